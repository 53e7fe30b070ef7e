//! Durations in buckets whose width grows with them: eight to each power of two, from 128 ns to an hour. A
//! fixed size, and no lock: one addition tells of one duration.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// log2 of the nanoseconds that the first buckets are wide.
const UNIT: u32 = 7;
/// log2 of the buckets per power of two.
const FINE: u32 = 3;
pub const BUCKETS: usize = 272;

#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

/// What a [`Histogram`] held at one moment. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Durations {
    pub buckets: [u64; BUCKETS],
    pub count: u64,
    pub sum: u64,
    pub max: u64,
}

impl Histogram {
    pub const fn new() -> Histogram {
        Histogram {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// The same duration, so many times.
    pub fn add(&self, nanos: u64, times: u64) {
        self.buckets[bucket(nanos)].fetch_add(times, Relaxed);
        self.sum.fetch_add(nanos.saturating_mul(times), Relaxed);
        if nanos > self.max.load(Relaxed) {
            self.max.fetch_max(nanos, Relaxed);
        }
    }

    pub fn read(&self) -> Durations {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Relaxed));
        Durations {
            count: buckets.iter().sum(),
            buckets,
            sum: self.sum.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Durations {
    pub const fn none() -> Durations {
        Durations { buckets: [0; BUCKETS], count: 0, sum: 0, max: 0 }
    }

    pub fn join(&mut self, other: &Durations) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(mine, more)| *mine += more);
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The duration that so many of a thousand do not exceed, at most 12.5 % too large; 0 where there is none.
    pub fn permille(&self, part: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(part)).div_ceil(1000).max(1) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return end(at).min(self.max);
            }
        }
        0
    }

    /// How many lie in buckets that end at or before `nanos`.
    pub fn up_to(&self, nanos: u64) -> u64 {
        let whole = self.buckets.iter().enumerate().take_while(|(at, _)| end(*at) <= nanos);
        whole.map(|(_, count)| count).sum()
    }
}

fn bucket(nanos: u64) -> usize {
    let units = nanos >> UNIT;
    if units < 1 << FINE {
        return units as usize;
    }
    let power = units.ilog2() - FINE;
    let at = (((power + 1) << FINE) as u64 + ((units >> power) & ((1 << FINE) - 1))) as usize;
    at.min(BUCKETS - 1)
}

/// Where the bucket ends, in nanoseconds; the last one never does.
fn end(at: usize) -> u64 {
    if at + 1 >= BUCKETS {
        return u64::MAX;
    }
    let next = at as u64 + 1;
    let units = match next >> FINE {
        0 => next,
        power => ((1 << FINE) + (next & ((1 << FINE) - 1))) << (power - 1),
    };
    units << UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket_and_none_is_wider_than_an_eighth() {
        let mut start = 0;
        for at in 0..BUCKETS - 1 {
            assert_eq!((bucket(start), bucket(end(at) - 1)), (at, at));
            assert!(end(at) - start <= (start / 8).max(128), "{at}");
            start = end(at);
        }
        assert!(start > 3_600_000_000_000 && bucket(u64::MAX) == BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_at_most_an_eighth_too_large() {
        let histogram = Histogram::new();
        assert_eq!(histogram.read().permille(500), 0);
        (1..=10_000).for_each(|micros| histogram.add(micros * 1000, 1));
        let read = histogram.read();
        assert_eq!((read.count, read.sum, read.max), (10_000, 50_005_000_000, 10_000_000));
        for (part, exact) in [(500, 5_000_000), (990, 9_900_000), (1000, 10_000_000)] {
            let told = read.permille(part);
            assert!(told >= exact && told <= exact + exact / 8, "{part}: {told}");
        }
        let below = read.up_to(1 << 20);
        assert!((900..=1049).contains(&below), "{below}");
        let mut twice = read.clone();
        twice.join(&read);
        assert_eq!((twice.count, twice.permille(500)), (20_000, read.permille(500)));
    }
}
