//! A keyed permutation of `0..n` that is computed, not stored: a Feistel network over the next power of two
//! whose results outside the range are permuted again until they are inside (cycle walking).

/// Half-rounds of the network. The statistical tests pass with 6.
const ROUNDS: usize = 10;
/// The longest range that is shuffled as a table: a network of so few bits would reach few permutations.
const TABLE: usize = 64;

/// The same length and key give the same permutation on every machine.
#[derive(Clone, Debug)]
pub struct Permutation(Way);

#[derive(Clone, Debug)]
enum Way {
    Table { values: [u8; TABLE], length: u64 },
    Network { keys: [u64; ROUNDS], length: u64, low: u32, low_mask: u64, high_mask: u64 },
}

impl Permutation {
    pub fn new(length: u64, key: [u64; 4]) -> Permutation {
        let mut key = Self::key(key);
        let mut next = || {
            key = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mix(key)
        };
        if length <= TABLE as u64 {
            let mut values: [u8; TABLE] = std::array::from_fn(|i| i as u8); // below 64
            for last in (1..length as usize).rev() {
                let other = (u128::from(next()) * (last as u128 + 1)) >> 64;
                values.swap(last, other as usize); // at most `last`
            }
            return Permutation(Way::Table { values, length });
        }
        let bits = u64::BITS - (length - 1).leading_zeros();
        let low = bits / 2;
        let (low_mask, high_mask) = ((1 << low) - 1, u64::MAX >> (u64::BITS - (bits - low)));
        let keys = std::array::from_fn(|_| next());
        Permutation(Way::Network { keys, length, low, low_mask, high_mask })
    }

    /// One number out of several.
    pub fn key(parts: [u64; 4]) -> u64 {
        parts.iter().fold(0x243F_6A88_85A3_08D3, |key, part| mix(key ^ mix(part.wrapping_add(key))))
    }

    /// Where position `at`, which is less than the length, goes; beyond the length, `at` itself.
    pub fn at(&self, at: u64) -> u64 {
        match &self.0 {
            Way::Table { values, length } => match values.get(at as usize) {
                Some(value) if at < *length => u64::from(*value),
                _ => at,
            },
            Way::Network { length, .. } if at >= *length => at,
            Way::Network { keys, length, low, low_mask, high_mask } => {
                let mut value = at;
                loop {
                    let (mut left, mut right) = (value >> low, value & low_mask);
                    for pair in keys.chunks_exact(2) {
                        left ^= mix(right ^ pair[0]) & high_mask;
                        right ^= mix(left ^ pair[1]) & low_mask;
                    }
                    value = (left << low) | right;
                    if value < *length {
                        return value;
                    }
                }
            }
        }
    }
}

/// SplitMix64's finalizer: every bit of the result depends on every bit of `z`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
