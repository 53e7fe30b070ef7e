//! Numbers from a seed: the same seed and the same words give the same number.

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// A stream that depends on the seed and these words only, not on what was drawn elsewhere.
    pub fn of(seed: u64, words: &[&str]) -> Rng {
        let mut state = seed ^ 0xCBF2_9CE4_8422_2325;
        for word in words {
            for byte in word.bytes().chain([0xFF]) {
                state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
        let mut rng = Rng(state);
        rng.next();
        rng
    }

    #[allow(clippy::should_implement_trait)] // it never ends
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to less than `n`; 0 for 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    /// From 0 to less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_words_give_the_same_numbers() {
        assert_eq!(Rng::of(1, &["a", "b"]).next(), Rng::of(1, &["a", "b"]).next());
        assert_ne!(Rng::of(1, &["a", "b"]).next(), Rng::of(1, &["ab", ""]).next());
        assert_ne!(Rng::of(1, &["a"]).next(), Rng::of(2, &["a"]).next());
        let mut rng = Rng::new(7);
        let mean = (0..10_000).map(|_| rng.unit()).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
