//! Latencies, counted in steps of 3 %.

use std::time::Duration;

/// Steps for each factor of two.
const STEPS: f64 = 24.0;

#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Up to 2^(i / STEPS) microseconds.
    steps: Vec<u64>,
    count: u64,
    most: Duration,
}

impl Latencies {
    pub fn add(&mut self, time: Duration) {
        let micros = (time.as_nanos() as f64 / 1e3).max(1.0);
        let step = (micros.log2() * STEPS).ceil() as usize;
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
        self.count += 1;
        self.most = self.most.max(time);
    }

    pub fn merge(&mut self, other: &Latencies) {
        if self.steps.len() < other.steps.len() {
            self.steps.resize(other.steps.len(), 0);
        }
        self.steps.iter_mut().zip(&other.steps).for_each(|(own, other)| *own += other);
        self.count += other.count;
        self.most = self.most.max(other.most);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn most(&self) -> Duration {
        self.most
    }

    /// The time that this fraction of all kept.
    pub fn at(&self, fraction: f64) -> Duration {
        let wanted = ((self.count as f64 * fraction).ceil() as u64).max(1);
        let mut seen = 0;
        for (step, number) in self.steps.iter().enumerate() {
            seen += number;
            if seen >= wanted {
                let micros = (step as f64 / STEPS).exp2();
                return Duration::from_secs_f64(micros / 1e6).min(self.most);
            }
        }
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_percentiles_are_right_within_a_step() {
        let (mut all, mut other) = (Latencies::default(), Latencies::default());
        for millis in 1..=1000 {
            let half = if millis % 2 == 0 { &mut all } else { &mut other };
            half.add(Duration::from_millis(millis));
        }
        all.merge(&other);
        for (fraction, millis) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let at = all.at(fraction).as_secs_f64() * 1e3;
            assert!((at / millis - 1.0).abs() < 0.03, "{at} instead of {millis}");
        }
        assert_eq!((all.count(), all.most()), (1000, Duration::from_millis(1000)));
        assert_eq!(all.at(1.0), Duration::from_millis(1000));
        assert_eq!(Latencies::default().at(0.5), Duration::ZERO);
    }
}
