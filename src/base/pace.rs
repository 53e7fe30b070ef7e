//! How many requests of one transfer to have in flight: as many as were fastest so far, by what whole
//! transfers took. No clock of its own: the caller measures.

use crate::base::sync::lock;
use std::sync::Mutex;
use std::time::Duration;

/// The numbers of requests that are tried.
const LEVELS: [usize; 6] = [2, 4, 8, 16, 32, 64];
/// More requests must be so much faster to be worth their connections.
const WORTH: f64 = 1.05;
/// A rate that was measured so many transfers ago is measured again.
const STALE: u64 = 64;
/// The share of the newest transfer in a rate.
const NEWEST: f64 = 0.3;

/// What is known of the transfers of one store.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    levels: [Option<Rate>; LEVELS.len()],
    transfers: u64,
    running: u32,
    /// How often a transfer has begun.
    begun: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    bytes_per_second: f64,
    measured: u64,
}

/// A transfer under way; dropped where it fails, which teaches nothing.
#[derive(Debug)]
pub struct Run<'a> {
    pace: &'a Pace,
    level: usize,
    began: u64,
    alone: bool,
}

impl Pace {
    /// Begins a transfer; `usual` is the number where nothing is known.
    pub fn begin(&self, usual: usize) -> Run<'_> {
        let mut known = lock(&self.0);
        let level = known.choose(LEVELS.iter().rposition(|level| *level <= usual).unwrap_or(0));
        known.begun += 1;
        known.running += 1;
        Run { pace: self, level, began: known.begun, alone: known.running == 1 }
    }
}

impl Run<'_> {
    /// Requests to have in flight.
    pub fn requests(&self) -> usize {
        LEVELS[self.level]
    }

    /// Bytes per second that one request had so far, where that is known.
    pub fn request_rate(&self) -> Option<f64> {
        let rate = lock(&self.pace.0).levels[self.level]?;
        Some(rate.bytes_per_second / self.requests() as f64)
    }

    /// The transfer succeeded. Transfers that ran beside others say nothing about their number.
    pub fn done(self, bytes: u64, took: Duration) {
        let mut known = lock(&self.pace.0);
        let seconds = took.as_secs_f64();
        if !self.alone || known.begun != self.began || seconds <= 0.0 {
            return;
        }
        known.transfers += 1;
        let (now, measured) = (bytes as f64 / seconds, known.transfers);
        let rate = known.levels[self.level]
            .map_or(now, |before| before.bytes_per_second * (1.0 - NEWEST) + now * NEWEST);
        known.levels[self.level] = Some(Rate { bytes_per_second: rate, measured });
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        lock(&self.pace.0).running -= 1;
    }
}

impl Known {
    /// The best level, or a neighbour of it that was not measured lately.
    fn choose(&self, usual: usize) -> usize {
        let mut best = None;
        for (level, rate) in self.levels.iter().enumerate() {
            let Some(rate) = rate else { continue };
            if best.is_none_or(|(_, fastest)| rate.bytes_per_second > fastest * WORTH) {
                best = Some((level, rate.bytes_per_second));
            }
        }
        let Some((best, _)) = best else { return usual };
        let neighbours = [Some(best + 1).filter(|up| *up < LEVELS.len()), best.checked_sub(1)];
        let unsure =
            |level: &usize| self.levels[*level].is_none_or(|rate| self.transfers - rate.measured >= STALE);
        neighbours.into_iter().flatten().find(unsure).unwrap_or(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs transfers on a service of this rate; how many requests each had.
    fn transfers(pace: &Pace, count: usize, rate: impl Fn(usize) -> f64) -> Vec<usize> {
        let one = |_| {
            let run = pace.begin(16);
            let requests = run.requests();
            run.done(1 << 30, Duration::from_secs_f64((1_u64 << 30) as f64 / rate(requests)));
            requests
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn g1_the_fastest_number_of_requests_is_found_and_kept() {
        // Each request is slow by itself: the more the better, up to the line's rate.
        let pace = Pace::default();
        let tried = transfers(&pace, 40, |n| (n as f64 * 50e6).min(1.5e9));
        assert_eq!(tried[0], 16, "nothing is known");
        assert!(tried[10..].iter().filter(|n| **n == 32).count() >= 28, "{tried:?}");
        // One request fills the line: few are enough.
        let pace = Pace::default();
        let tried = transfers(&pace, 40, |_| 1e9);
        assert!(tried[10..].iter().all(|n| *n == 2), "{tried:?}");
        // Too many hurt.
        let pace = Pace::default();
        let tried = transfers(&pace, 40, |n| 1e9 - 1e7 * (n as f64 - 8.0).abs());
        assert!(tried[10..].iter().filter(|n| **n == 8).count() >= 28, "{tried:?}");
    }

    #[test]
    fn g1_a_change_of_the_line_is_noticed() {
        let pace = Pace::default();
        transfers(&pace, 20, |n| (n as f64 * 50e6).min(8e8));
        let tried = transfers(&pace, 300, |n| n as f64 * 50e6);
        assert_eq!(tried.last(), Some(&64), "{tried:?}");
    }

    #[test]
    fn g1_transfers_beside_each_other_and_failed_ones_teach_nothing() {
        let pace = Pace::default();
        let (first, second) = (pace.begin(16), pace.begin(16));
        first.done(1 << 30, Duration::from_secs(1));
        second.done(1 << 30, Duration::from_secs(1));
        drop(pace.begin(16));
        let run = pace.begin(16);
        assert_eq!((run.requests(), run.request_rate()), (16, None));
        run.done(16_000, Duration::from_secs(1));
        let again = Pace::begin(&pace, 4);
        assert_eq!(again.requests(), 32, "16 is known, its neighbour is not");
        assert_eq!(again.request_rate(), None);
    }
}
