//! How often and how long one operation is tried: `net.max_attempts` tries with growing, jittered
//! pauses, all before the operation's deadline.

use super::failure::Failure;
use crate::error::{Code, Error};
use crate::options::{self, Resolved};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The tries of one operation.
#[derive(Debug)]
pub(super) struct Retry {
    most: u32,
    attempts: u32,
    started: Instant,
    deadline: Option<Instant>,
    pause: Duration,
}

impl Retry {
    pub(super) fn new(options: &Resolved) -> Retry {
        let started = Instant::now();
        let limit = options.duration(&options::NET_OPERATION_TIMEOUT_MS);
        Retry {
            most: u32::try_from(options.number(&options::NET_MAX_ATTEMPTS)).unwrap_or(u32::MAX),
            attempts: 0,
            started,
            deadline: if limit.is_zero() { None } else { started.checked_add(limit) },
            pause: FIRST_PAUSE,
        }
    }

    /// The tries of a further request of the same operation: the deadline stays.
    pub(super) fn afresh(&self) -> Retry {
        Retry { attempts: 0, pause: FIRST_PAUSE, ..*self }
    }

    /// One try, cut off at the deadline.
    pub(super) async fn attempt<T>(
        &mut self,
        once: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.attempts += 1;
        match self.deadline {
            None => once.await,
            Some(deadline) => match timeout_at(deadline, once).await {
                Ok(done) => done,
                Err(_) => Err(self.over()),
            },
        }
    }

    /// Waits before the next try, or gives the failure back where there should be none.
    pub(super) async fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        let pause = failure.retry_after.unwrap_or_else(|| jittered(self.pause)).min(LONGEST_PAUSE * 3);
        let late = self.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline);
        if !failure.error.retryable() || self.attempts >= self.most || late {
            return Err(self.finish(failure));
        }
        tracing::debug!(error = %failure.error, attempt = self.attempts, "trying again");
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        sleep(pause).await;
        Ok(())
    }

    /// Notes tries and time on a failure that is final.
    pub(super) fn finish(&self, failure: Failure) -> Failure {
        let (attempts, elapsed) = (self.attempts, self.started.elapsed());
        failure.map(|error| error.with_attempts(attempts, elapsed))
    }

    fn over(&self) -> Failure {
        let error = Error::new(Code::Timeout, "the operation's deadline passed")
            .with_retryable(false)
            .with_hint("raise net.operation_timeout_ms");
        self.finish(Failure { ambiguous: true, ..Failure::from(error) })
    }
}

/// Between half of it and all of it.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64((random() % 1024) as f64 / 1024.0)
}

/// Unpredictable enough for jitter and for names that must not collide, also after a fork.
pub(super) fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    hasher.finish()
}
