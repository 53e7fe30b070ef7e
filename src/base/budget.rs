//! One budget of bytes for the whole process: memory that makes transfers faster, but that each of them
//! can do with less of. Writers' parts and what readers fetch ahead share it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts bytes against a limit.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    /// How often it began to count anew: see [`Budget::forget`].
    begun: AtomicU32,
}

/// Bytes of a budget that are in use as long as it lives.
#[derive(Debug)]
pub struct Share {
    budget: &'static Budget,
    bytes: u64,
    begun: u32,
}

impl Budget {
    pub const fn new(limit: u64) -> Budget {
        Budget { limit: AtomicU64::new(limit), used: AtomicU64::new(0), begun: AtomicU32::new(0) }
    }

    /// The process's.
    pub fn global() -> &'static Budget {
        static BUDGET: Budget = Budget::new(512 << 20);
        &BUDGET
    }

    /// Changes the limit; what is in use stays so.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// See [`Budget::set_limit`].
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many bytes are in use. More than the limit where [`Budget::take`] had to.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether a user that can do with less should: more than half is in use. The other half is for those who
    /// come later.
    pub fn is_short(&self) -> bool {
        self.used() > self.limit.load(Ordering::Relaxed) / 2
    }

    /// A share, if so much is free.
    pub fn try_take(&'static self, bytes: u64) -> Option<Share> {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|after| *after <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(self.share(bytes))
    }

    /// A share of what its user cannot do without, free or not.
    pub fn take(&'static self, bytes: u64) -> Share {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.share(bytes)
    }

    /// For a forked child before it does anything else: what it inherited is in use for ever, and counts no
    /// more.
    pub fn forget(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
    }

    fn share(&'static self, bytes: u64) -> Share {
        Share { budget: self, bytes, begun: self.begun.load(Ordering::Relaxed) }
    }
}

impl Share {
    /// A share of its own for `bytes` of these, all of them at most.
    pub fn split(&mut self, bytes: u64) -> Share {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Share { bytes, ..*self }
    }

    /// Takes over another one's bytes, so that they are given back together: threads contend for the count.
    pub fn merge(&mut self, mut other: Share) {
        if other.begun == self.begun && std::ptr::eq(other.budget, self.budget) {
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 && self.begun == self.budget.begun.load(Ordering::Relaxed) {
            self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w2_shares_are_counted_and_given_back() {
        static BUDGET: Budget = Budget::new(100);
        let first = BUDGET.try_take(60).unwrap();
        assert!(BUDGET.used() == 60 && BUDGET.is_short());
        assert!(BUDGET.try_take(41).is_none() && BUDGET.try_take(u64::MAX).is_none());
        let second = BUDGET.try_take(40).unwrap();
        let needed = BUDGET.take(25);
        assert!(BUDGET.used() == 125 && BUDGET.try_take(1).is_none());
        drop((first, needed));
        assert!(BUDGET.used() == 40 && !BUDGET.is_short());
        BUDGET.set_limit(30);
        assert!(BUDGET.is_short() && BUDGET.try_take(1).is_none());
        drop(second);
        assert!(BUDGET.used() == 0 && BUDGET.try_take(30).is_some());
    }

    #[test]
    fn w2_shares_are_split_and_merged() {
        static BUDGET: Budget = Budget::new(100);
        let mut first = BUDGET.take(60);
        let part = first.split(20);
        assert_eq!((first.bytes, part.bytes, BUDGET.used()), (40, 20, 60));
        let rest = first.split(50);
        assert_eq!((first.bytes, rest.bytes, BUDGET.used()), (0, 40, 60));
        drop(first);
        assert_eq!(BUDGET.used(), 60);
        let mut all = part;
        all.merge(rest);
        assert_eq!(BUDGET.used(), 60);
        BUDGET.forget();
        let anew = BUDGET.take(5);
        all.merge(anew); // of another count: it gives back its own
        assert_eq!((all.bytes, BUDGET.used()), (60, 0));
        drop(all);
        assert_eq!(BUDGET.used(), 0);
    }

    #[test]
    fn w2_a_forked_child_counts_from_nothing() {
        static BUDGET: Budget = Budget::new(100);
        let inherited = BUDGET.take(70);
        BUDGET.forget();
        assert_eq!(BUDGET.used(), 0);
        let own = BUDGET.take(10);
        drop(inherited);
        assert_eq!(BUDGET.used(), 10);
        drop(own);
        assert_eq!(BUDGET.used(), 0);
    }
}
