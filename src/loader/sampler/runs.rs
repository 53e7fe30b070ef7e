//! Sets of numbers as runs.

use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

/// `length` numbers from `start`.
pub type Run = (u64, u64);

/// A growing set: disjoint runs, none of which touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    runs: BTreeMap<u64, u64>,
    count: u64,
}

impl Runs {
    /// `Corrupt` where they are not in order, touch each other, are empty or end past 2^64.
    pub fn of(runs: &[Run]) -> Result<Runs> {
        let mut set = Runs::default();
        let mut end = None;
        for &(start, length) in runs {
            let next = start.checked_add(length).filter(|_| length > 0 && end.is_none_or(|end| start > end));
            let Some(next) = next else {
                return Err(Error::new(
                    Code::Corrupt,
                    format!("the runs are not in order, or not apart, at [{start}, {length}]"),
                ));
            };
            set.runs.insert(start, length);
            set.count = set.count.saturating_add(length);
            end = Some(next);
        }
        Ok(set)
    }

    /// Of runs in any order that may touch, but not overlap.
    pub fn of_any(mut runs: Vec<Run>) -> Runs {
        runs.sort_unstable();
        let mut set = Runs::default();
        let mut last: Option<Run> = None;
        for (start, length) in runs {
            set.count += length;
            last = match last {
                Some((from, so_far)) if from + so_far == start => Some((from, so_far + length)),
                Some((from, so_far)) => {
                    set.runs.insert(from, so_far);
                    Some((start, length))
                }
                None => Some((start, length)),
            };
        }
        set.runs.extend(last);
        set
    }

    /// Adds a number; whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let before = self.runs.range(..=number).next_back().map(|(start, length)| (*start, *length));
        if before.is_some_and(|(start, length)| number - start < length) {
            return false;
        }
        self.count += 1;
        let after = number.checked_add(1).and_then(|next| self.runs.remove(&next)).unwrap_or(0);
        match before {
            Some((start, length)) if start + length == number => self.runs.insert(start, length + 1 + after),
            _ => self.runs.insert(number, 1 + after),
        };
        true
    }

    pub fn contains(&self, number: u64) -> bool {
        let before = self.runs.range(..=number).next_back();
        before.is_some_and(|(start, length)| number - start < *length)
    }

    /// How many numbers from 0 on are in it without a gap; they leave it.
    pub fn take_front(&mut self, from: u64) -> u64 {
        let Some(length) = self.runs.remove(&from) else { return 0 };
        self.count -= length;
        length
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Run> + '_ {
        self.runs.iter().map(|(start, length)| (*start, *length))
    }

    pub fn to_vec(&self) -> Vec<Run> {
        self.iter().collect()
    }
}

/// A set that no longer grows, for counting what is *not* in it.
#[derive(Clone, Debug, Default)]
pub struct RunsRef {
    /// The first number of each run, with how many numbers below it are in no run.
    starts: Vec<(u64, u64)>,
    ends: Vec<u64>,
    count: u64,
}

impl RunsRef {
    pub fn new(runs: &Runs) -> RunsRef {
        let mut set = RunsRef::default();
        for (start, length) in runs.iter() {
            set.starts.push((start, start - set.count));
            set.ends.push(start + length);
            set.count += length;
        }
        set
    }

    /// The `n`-th number, from 0, that is not in it.
    pub fn nth_missing(&self, n: u64) -> u64 {
        // Of the runs with at most `n` missing numbers below them the last one.
        match self.starts.partition_point(|(_, missing)| *missing <= n) {
            0 => n,
            at => self.ends[at - 1] + (n - self.starts[at - 1].1),
        }
    }

    pub fn contains(&self, number: u64) -> bool {
        match self.starts.partition_point(|(start, _)| *start <= number) {
            0 => false,
            at => number < self.ends[at - 1],
        }
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.count
    }
}
