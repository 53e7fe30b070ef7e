//! One budget of bytes for the whole process: memory that makes transfers faster, but that each of them
//! can do with less of. Writers' parts and what readers fetch ahead share it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts bytes against a limit.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    /// Whose bytes are counted: a forked child begins with none.
    process: AtomicU32,
}

/// Bytes of a budget that are in use as long as it lives.
#[derive(Debug)]
pub struct Share {
    budget: &'static Budget,
    bytes: u64,
    process: u32,
}

impl Budget {
    pub const fn new(limit: u64) -> Budget {
        Budget { limit: AtomicU64::new(limit), used: AtomicU64::new(0), process: AtomicU32::new(0) }
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

    /// How many bytes are in use. More than the limit where [`Budget::take`] had to.
    pub fn used(&self) -> u64 {
        self.count();
        self.used.load(Ordering::Relaxed)
    }

    /// How many bytes are free.
    pub fn left(&self) -> u64 {
        self.limit.load(Ordering::Relaxed).saturating_sub(self.used())
    }

    /// A share, if so much is free.
    pub fn try_take(&'static self, bytes: u64) -> Option<Share> {
        let process = self.count();
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|after| *after <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Share { budget: self, bytes, process })
    }

    /// A share of what its user cannot do without, free or not.
    pub fn take(&'static self, bytes: u64) -> Share {
        let process = self.count();
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Share { budget: self, bytes, process }
    }

    /// Begins to count anew in a forked child; gives the process's number.
    fn count(&self) -> u32 {
        let process = std::process::id();
        if self.process.swap(process, Ordering::Relaxed) != process {
            self.used.store(0, Ordering::Relaxed);
        }
        process
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // What was inherited through a fork was never counted here.
        if self.process == self.budget.process.load(Ordering::Relaxed) {
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
        assert_eq!((BUDGET.used(), BUDGET.left()), (60, 40));
        assert!(BUDGET.try_take(41).is_none() && BUDGET.try_take(u64::MAX).is_none());
        let second = BUDGET.try_take(40).unwrap();
        let needed = BUDGET.take(25);
        assert_eq!((BUDGET.used(), BUDGET.left()), (125, 0));
        drop((first, needed));
        assert_eq!(BUDGET.left(), 60);
        BUDGET.set_limit(30);
        assert_eq!(BUDGET.left(), 0);
        drop(second);
        assert_eq!((BUDGET.used(), BUDGET.left()), (0, 30));
    }

    #[test]
    fn w2_a_forked_child_counts_from_nothing() {
        static BUDGET: Budget = Budget::new(100);
        let inherited = BUDGET.take(70);
        BUDGET.process.store(0, Ordering::Relaxed); // as in a child, whose number is another one
        assert_eq!(BUDGET.left(), 100);
        let own = BUDGET.take(10);
        BUDGET.process.store(1, Ordering::Relaxed);
        drop(inherited);
        BUDGET.process.store(own.process, Ordering::Relaxed);
        assert_eq!(BUDGET.left(), 90);
    }
}
