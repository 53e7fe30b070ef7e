//! Waiting for other ranks: polls with growing pauses and jitter, until a deadline.

use crate::base::random::{Random, seed};
use crate::options::{self, Resolved};
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How long somebody still waits. Pauses double up to a second, each shortened by up to half at random: once
/// they are long, a waiting rank asks at most twice a second.
#[derive(Debug)]
pub struct Patience {
    began: Instant,
    limit: Duration,
    pause: Duration,
    random: Random,
}

impl Patience {
    /// As long as `checkpoint.timeout_ms` says.
    pub fn new(options: &Resolved) -> Patience {
        let limit = Duration::from_millis(options.number(&options::CHECKPOINT_TIMEOUT_MS));
        Patience { began: Instant::now(), limit, pause: SHORTEST, random: Random::new(seed()) }
    }

    /// Waits before the next question; `false` once the time is over.
    pub async fn wait(&mut self) -> bool {
        let left = self.limit.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return false;
        }
        let half = u64::try_from(self.pause.as_micros() / 2).unwrap_or(u64::MAX);
        let pause = Duration::from_micros(half + self.random.up_to(half));
        self.pause = (self.pause * 2).min(LONGEST);
        tokio::time::sleep(pause.min(left)).await;
        true
    }

    /// Short pauses again: something came.
    pub fn encourage(&mut self) {
        self.pause = SHORTEST;
    }

    /// How long the whole wait may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}
