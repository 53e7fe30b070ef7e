//! The bytes of one page: pseudo-random ones, and zeros where the data shall be compressible.

use super::sys::{LANES, STEP, Simd};

/// The largest piece of a block, made at once from a seed of its own.
pub const PAGE: usize = 4096;

/// In each unit of a page the first bytes are random and the others zero; blocks are whole units.
pub const UNIT: usize = 1024;

/// What zstd spends in a unit on saying where its zeros begin and end, in bytes.
const RUN_COST: f64 = 3.0;

/// The least that a unit has of random bytes: two units would be equal by chance among 2^64.
const LEAST_RANDOM: usize = 16;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// What all bytes of an object derive from: 128 bits of the seed and the object's number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key(u64, u64);

impl Key {
    pub fn new(seed: u64, object: u64) -> Key {
        let seed = mix(seed ^ 0x5851_F42D_4C95_7F2D);
        Key(mix(seed.wrapping_add(object)), mix(seed.rotate_left(32) ^ mix(object.wrapping_add(GOLDEN))))
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn fraction(self) -> f64 {
        (mix(self.0 ^ self.1) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The state from which the random numbers of page `number` start.
    fn lanes(self, number: u64) -> [[u64; LANES]; 2] {
        let starts = [self.0.wrapping_add(number), self.1 ^ mix(number.wrapping_add(GOLDEN))];
        starts.map(|start| {
            let start = mix(start);
            std::array::from_fn(|lane| mix(start.wrapping_add(GOLDEN.wrapping_mul(lane as u64 + 1))))
        })
    }
}

/// Memory for a page while it is made.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Room([u8; PAGE]);

/// Makes the pages of one object, in one thread.
#[derive(Debug)]
pub struct Pages {
    simd: Simd,
    key: Key,
    random_of_unit: usize,
    random: Room,
    page: Room,
}

impl Pages {
    pub fn new(key: Key, random_of_unit: usize, simd: Simd) -> Pages {
        Pages { simd, key, random_of_unit, random: Room([0; PAGE]), page: Room([0; PAGE]) }
    }

    /// How many bytes of each unit are random for a compression ratio.
    pub fn random_of_unit(compress: f64) -> usize {
        if compress <= 1.0 {
            return UNIT;
        }
        let random = (UNIT as f64 / compress - RUN_COST).round();
        (random as usize).clamp(LEAST_RANDOM, UNIT)
    }

    /// Fills `dst` with the bytes of page `number` from `skip` on. The page has `length` bytes: whole
    /// units, at most [`PAGE`]. With `stream` they go past the caches.
    pub fn make(&mut self, number: u64, length: usize, skip: usize, dst: &mut [u8], stream: bool) {
        if skip == 0 && dst.len() == length && !stream {
            self.whole(number, length, Some(dst));
            return;
        }
        self.whole(number, length, None);
        let part = &self.page.0[skip..skip + dst.len()];
        if stream {
            self.simd.copy_past_caches(part, dst);
        } else {
            dst.copy_from_slice(part);
        }
    }

    /// Makes a whole page in `dst`, else in the room for it.
    fn whole(&mut self, number: u64, length: usize, dst: Option<&mut [u8]>) {
        let state = self.key.lanes(number);
        let page = match dst {
            Some(page) => page,
            None => &mut self.page.0[..length],
        };
        if self.random_of_unit == UNIT {
            self.simd.random(state, page);
            return;
        }
        let wanted = (length / UNIT * self.random_of_unit).next_multiple_of(STEP);
        let random = &mut self.random.0[..wanted];
        self.simd.random(state, random);
        for (unit, random) in page.chunks_mut(UNIT).zip(random.chunks(self.random_of_unit)) {
            let (filled, zeros) = unit.split_at_mut(self.random_of_unit);
            filled.copy_from_slice(random);
            zeros.fill(0);
        }
    }
}
