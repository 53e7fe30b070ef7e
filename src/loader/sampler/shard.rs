//! Who draws what is left of an epoch.

use super::runs::{Runs, RunsRef};

/// What of an epoch was delivered before a run began. The positions that are left, numbered in order, are
/// what the shards of the run share.
#[derive(Clone, Debug, Default)]
pub struct Origin(RunsRef);

impl Origin {
    /// All below `base`, and `delivered`, were.
    pub fn new(base: u64, delivered: &Runs) -> Origin {
        let mut all: Vec<_> = delivered.to_vec();
        match all.first_mut() {
            _ if base == 0 => {}
            Some((start, length)) if *start == base => (*start, *length) = (0, base + *length),
            _ => all.insert(0, (0, base)),
        }
        // They are in order and apart, as those of `delivered` are.
        Origin(RunsRef::new(&Runs::of(&all).unwrap_or_default()))
    }

    /// The `j`-th position that is left.
    pub fn position(&self, j: u64) -> u64 {
        self.0.nth_missing(j)
    }

    pub fn contains(&self, position: u64) -> bool {
        self.0.contains(position)
    }

    /// How many positions of `length` are left.
    pub fn left(&self, length: u64) -> u64 {
        length.saturating_sub(self.0.count())
    }
}

/// One of the shards of a run: it draws every `of`-th of what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub number: u64,
    pub of: u64,
}

impl Shard {
    /// What its `k`-th draw is among all that is left.
    pub fn nth(self, k: u64) -> u64 {
        self.number + k * self.of
    }

    /// How many of `left` are its own.
    pub fn share(self, left: u64) -> u64 {
        left.saturating_sub(self.number).div_ceil(self.of)
    }
}
