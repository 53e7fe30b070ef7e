//! Counts of times by size: every value is kept to a fixed share of itself, whatever the number of values.

/// Values up to 2^64 - 1, each counted in a bucket that is at most 1/2^`bits` of the value wide.
#[derive(Clone, Debug)]
pub struct Histogram {
    bits: u32,
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Histogram {
    /// `bits` from 1 to 10.
    pub fn new(bits: u32) -> Histogram {
        Histogram { bits: bits.clamp(1, 10), counts: Vec::new(), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    pub fn add(&mut self, value: u64) {
        let index = self.index(value);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds what another of the same `bits` counted.
    pub fn merge(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, more) in self.counts.iter_mut().zip(&other.counts) {
            *mine += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact; 0 without values.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Exact; 0 without values.
    pub fn mean(&self) -> u64 {
        let mean = self.sum.checked_div(u128::from(self.count)).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    /// The value below or at which `share` (0 to 1) of the values lie; 0 without values.
    pub fn percentile(&self, share: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == self.count {
            return self.max;
        }
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return self.middle(index).clamp(self.min, self.max);
            }
        }
        self.max
    }

    fn index(&self, value: u64) -> usize {
        let low = 1u64 << self.bits;
        if value < low {
            return value as usize;
        }
        let shift = value.ilog2() - self.bits;
        // Of each power of two, `low` buckets.
        ((u64::from(shift) + 1) * low + (value >> shift) - low) as usize
    }

    /// Of the values that a bucket counts.
    fn middle(&self, index: usize) -> u64 {
        let (index, low) = (index as u64, 1u64 << self.bits);
        if index < low {
            return index;
        }
        let shift = index / low - 1;
        ((index % low + low) << shift) + ((1u64 << shift) - 1) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o2_percentiles_are_within_the_promised_share() {
        let mut histogram = Histogram::new(6);
        let value = |n: u64| n * n * 37 + 5;
        (1..=10_000).for_each(|n| histogram.add(value(n)));
        for (share, rank) in [(0.0, 1), (0.5, 5000), (0.9, 9000), (0.99, 9900), (0.999, 9990), (1.0, 10_000)]
        {
            let (wanted, found) = (value(rank) as f64, histogram.percentile(share) as f64);
            assert!((found - wanted).abs() <= wanted / 64.0, "{share}: {found} for {wanted}");
        }
        assert_eq!((histogram.count(), histogram.max()), (10_000, value(10_000)));
        assert_eq!(histogram.mean(), (1..=10_000).map(value).sum::<u64>() / 10_000);
    }

    #[test]
    fn o2_extreme_values_and_none_are_counted() {
        let mut histogram = Histogram::new(6);
        assert_eq!((histogram.percentile(0.5), histogram.mean(), histogram.max()), (0, 0, 0));
        for value in [0, 1, 63, 64, 65, u64::MAX] {
            histogram.add(value);
        }
        assert_eq!((histogram.percentile(0.0), histogram.percentile(1.0)), (0, u64::MAX));
        assert_eq!(histogram.percentile(0.5), 63);
        let mut two = histogram.clone();
        two.merge(&Histogram::new(6));
        two.merge(&histogram);
        assert_eq!((two.count(), two.percentile(0.5)), (12, 63));
    }
}
