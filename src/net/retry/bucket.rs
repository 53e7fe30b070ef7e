//! The budget of retries of one endpoint: where most requests fail, more of them make it worse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a full bucket holds.
pub const CAPACITY: u32 = 500;
/// What a retry costs; it is given back when the retry succeeds.
pub const RETRY: u32 = 5;
/// What a retry costs after a timeout, which holds resources for longer.
pub const RETRY_AFTER_TIMEOUT: u32 = 10;
/// What a request that succeeds at once adds.
pub const SUCCESS: u32 = 1;
/// What a second adds, so that an endpoint which is rarely used gets its retries back.
const PER_SECOND: u64 = 1;

/// One per endpoint, shared by all its operations; without locks.
#[derive(Debug)]
pub struct Bucket {
    origin: Instant,
    /// The seconds from `origin` to the last refill (high half) and the tokens (low half).
    state: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Bucket {
        Bucket { origin: now, state: AtomicU64::new(u64::from(CAPACITY)) }
    }

    /// Takes the price of a retry; false: there is not so much in it, so there should be no retry.
    pub fn take(&self, price: u32, now: Instant) -> bool {
        let second = self.second(now);
        let taken = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            let (last, tokens) = refilled(state, second);
            tokens.checked_sub(u64::from(price)).map(|rest| pack(last, rest))
        });
        taken.is_ok()
    }

    /// Gives back or adds. Of a full bucket this only reads.
    pub fn give(&self, tokens: u32) {
        let given = |state| {
            let (last, held) = unpack(state);
            let more = (held + u64::from(tokens)).min(u64::from(CAPACITY));
            (more != held).then(|| pack(last, more))
        };
        // An error says that it was full.
        let _full = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given);
    }

    /// What is in it.
    pub fn tokens(&self, now: Instant) -> u32 {
        let (_, tokens) = refilled(self.state.load(Ordering::Relaxed), self.second(now));
        u32::try_from(tokens).unwrap_or(CAPACITY)
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs().min(u64::from(u32::MAX))
    }
}

/// The state at a later second.
fn refilled(state: u64, second: u64) -> (u64, u64) {
    let (last, tokens) = unpack(state);
    let passed = second.saturating_sub(last);
    (last + passed, (tokens + passed * PER_SECOND).min(u64::from(CAPACITY)))
}

fn pack(second: u64, tokens: u64) -> u64 {
    second << 32 | tokens
}

fn unpack(state: u64) -> (u64, u64) {
    (state >> 32, state & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn retries_are_paid_for_and_refunded() {
        let start = Instant::now();
        let bucket = Bucket::new(start);
        let retries = (0..1000).filter(|_| bucket.take(RETRY, start)).count();
        assert_eq!(retries, (CAPACITY / RETRY) as usize);
        assert!(!bucket.take(SUCCESS, start) && bucket.take(0, start));
        bucket.give(RETRY);
        assert!(!bucket.take(RETRY_AFTER_TIMEOUT, start) && bucket.take(RETRY, start));
        for _ in 0..2000 {
            bucket.give(SUCCESS);
        }
        assert_eq!(bucket.state.load(Ordering::Relaxed), u64::from(CAPACITY), "it does not overflow");
    }

    #[test]
    fn time_refills_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let bucket = Bucket::new(start);
        while bucket.take(RETRY, start) {}
        assert!(!bucket.take(RETRY, at(4)) && bucket.take(RETRY, at(5)) && !bucket.take(RETRY, at(9)));
        assert!(bucket.take(RETRY, at(10)) && !bucket.take(RETRY, at(3)), "the clock of another thread");
        assert_eq!(bucket.tokens(at(11)), 1);
        assert_eq!(bucket.tokens(at(u64::from(u32::MAX) + 5)), CAPACITY);
    }

    #[test]
    fn threads_do_not_take_the_same_token() {
        let start = Instant::now();
        let bucket = Bucket::new(start);
        let taken: usize = std::thread::scope(|scope| {
            let work = || (0..1000).filter(|_| bucket.take(RETRY, start)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, (CAPACITY / RETRY) as usize);
    }
}
