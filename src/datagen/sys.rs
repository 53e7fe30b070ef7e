//! Random numbers in the widest registers that the processor has, and stores past its caches.
//!
//! The numbers are xorshift128+ (Vigna 2017) in eight lanes, which makes a cache line a step; every
//! kind of processor makes the same ones. They are fast and incompressible; they keep no secrets.

/// Generators that run side by side.
pub const LANES: usize = 8;
/// Bytes that they make in a step.
pub const STEP: usize = LANES * 8;

/// Two words for each lane.
pub type State = [[u64; LANES]; 2];

/// Which instructions are used.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Simd(Level);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// The best that this processor has.
    pub fn detect() -> Simd {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            return Simd(Level::Avx512);
        } else if is_x86_feature_detected!("avx2") {
            return Simd(Level::Avx2);
        }
        Simd(Level::Portable)
    }

    /// Fills `dst`, whose length is a multiple of [`STEP`] (bytes past the last whole step stay as they are).
    pub fn random(self, state: State, dst: &mut [u8]) {
        let steps = dst.as_chunks_mut::<STEP>().0;
        match self.0 {
            Level::Portable => portable(state, steps),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes this level, where the processor has AVX2.
            Level::Avx2 => unsafe { x86::random_avx2(&state, steps) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes this level, where the processor has AVX-512F.
            Level::Avx512 => unsafe { x86::random_avx512(&state, steps) },
        }
    }

    /// Copies `source` to `dst`, of the same length, which is not read soon. Others see the bytes after
    /// [`Simd::flush`].
    pub fn copy_past_caches(self, source: &[u8], dst: &mut [u8]) {
        match self.0 {
            Level::Portable => dst.copy_from_slice(source),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: both levels are made by `detect` alone and include AVX2.
            Level::Avx2 | Level::Avx512 => unsafe { x86::copy_avx2(source, dst) },
        }
    }

    /// Makes what [`Simd::copy_past_caches`] wrote visible to other threads before what this thread does next.
    pub fn flush(self) {
        #[cfg(target_arch = "x86_64")]
        if self.0 != Level::Portable {
            // SAFETY: every x86-64 has SSE.
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
    }
}

/// One step of one lane.
fn step(first: &mut u64, second: &mut u64) -> u64 {
    let (mut x, y) = (*first, *second);
    let number = x.wrapping_add(y);
    x ^= x << 23;
    *first = y;
    *second = x ^ y ^ (x >> 18) ^ (y >> 5);
    number
}

fn portable(state: State, steps: &mut [[u8; STEP]]) {
    let [mut first, mut second] = state;
    for bytes in steps {
        let words = bytes.as_chunks_mut::<8>().0;
        for ((word, first), second) in words.iter_mut().zip(&mut first).zip(&mut second) {
            *word = step(first, second).to_le_bytes();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{STEP, State};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub fn random_avx2(state: &State, steps: &mut [[u8; STEP]]) {
        let word = state.as_ptr().cast::<__m256i>();
        // SAFETY: the state is four times 32 bytes; the loads may be unaligned.
        let (mut a0, mut a1, mut b0, mut b1) = unsafe {
            (
                _mm256_loadu_si256(word),
                _mm256_loadu_si256(word.add(1)),
                _mm256_loadu_si256(word.add(2)),
                _mm256_loadu_si256(word.add(3)),
            )
        };
        for bytes in steps {
            let to = bytes.as_mut_ptr().cast::<__m256i>();
            // SAFETY: a step is twice 32 bytes; the stores may be unaligned.
            unsafe {
                _mm256_storeu_si256(to, _mm256_add_epi64(a0, b0));
                _mm256_storeu_si256(to.add(1), _mm256_add_epi64(a1, b1));
            }
            (a0, b0) = (b0, step_avx2(a0, b0));
            (a1, b1) = (b1, step_avx2(a1, b1));
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn step_avx2(x: __m256i, y: __m256i) -> __m256i {
        let x = _mm256_xor_si256(x, _mm256_slli_epi64(x, 23));
        let shifted = _mm256_xor_si256(_mm256_srli_epi64(x, 18), _mm256_srli_epi64(y, 5));
        _mm256_xor_si256(_mm256_xor_si256(x, y), shifted)
    }

    #[target_feature(enable = "avx512f")]
    pub fn random_avx512(state: &State, steps: &mut [[u8; STEP]]) {
        let word = state.as_ptr().cast::<__m512i>();
        // SAFETY: the state is twice 64 bytes; the loads may be unaligned.
        let (mut a, mut b) = unsafe { (_mm512_loadu_si512(word), _mm512_loadu_si512(word.add(1))) };
        for bytes in steps {
            // SAFETY: a step is 64 bytes; the store may be unaligned.
            unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), _mm512_add_epi64(a, b)) };
            let x = _mm512_xor_si512(a, _mm512_slli_epi64(a, 23));
            let shifted = _mm512_xor_si512(_mm512_srli_epi64(x, 18), _mm512_srli_epi64(b, 5));
            (a, b) = (b, _mm512_xor_si512(_mm512_xor_si512(x, b), shifted));
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn copy_avx2(source: &[u8], dst: &mut [u8]) {
        const LINE: usize = 64;
        // Only whole lines are written past the caches: a part of one would be read first.
        let head = dst.as_ptr().align_offset(LINE).min(dst.len());
        let (head, body) = dst.split_at_mut(head);
        let (head_source, body_source) = source.split_at(head.len());
        head.copy_from_slice(head_source);
        let (lines, tail) = body.as_chunks_mut::<LINE>();
        let (line_sources, tail_source) = body_source.as_chunks::<LINE>();
        for (line, source) in lines.iter_mut().zip(line_sources) {
            let (to, from) = (line.as_mut_ptr().cast::<__m256i>(), source.as_ptr().cast::<__m256i>());
            // SAFETY: both are 64 bytes; `to` is aligned to 64, `from` need not be.
            unsafe {
                let (first, second) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
                _mm256_stream_si256(to, first);
                _mm256_stream_si256(to.add(1), second);
            }
        }
        tail.copy_from_slice(tail_source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Vec<Simd> {
        let mut levels = vec![Simd(Level::Portable), Simd::detect()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            levels.push(Simd(Level::Avx2));
        }
        levels
    }

    /// F2: whatever the processor, the bytes are the same.
    #[test]
    fn every_level_makes_the_same_numbers() {
        let state = [[1, 2, 3, 4, 5, 6, 7, u64::MAX], [11, 12, 13, 14, 15, 16, 17, 1 << 63]];
        let mut expected = vec![0; 100 * STEP];
        portable(state, expected.as_chunks_mut().0);
        for level in levels() {
            let mut made = vec![7; 100 * STEP + 1];
            level.random(state, &mut made[1..]);
            assert!(made[1..] == expected[..], "{level:?}");
        }
    }

    /// The words of the published generator: a lane that starts with 1 and 2.
    #[test]
    fn a_lane_is_xorshift128_plus() {
        let (mut first, mut second) = (1, 2);
        let numbers: Vec<u64> = (0..4).map(|_| step(&mut first, &mut second)).collect();
        assert_eq!(numbers[..2], [3, 2 + ((1 | 1 << 23) ^ 2 ^ ((1 | 1 << 23) >> 18))]);
    }

    #[test]
    fn copies_past_the_caches_are_copies_at_every_alignment() {
        let source: Vec<u8> = (0..1000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for level in levels() {
            for (from, to, length) in
                [(0, 0, 1000), (1, 0, 999), (0, 3, 700), (5, 63, 130), (9, 9, 1), (2, 8, 0)]
            {
                let mut dst = vec![0xEE; 1100];
                level.copy_past_caches(&source[from..from + length], &mut dst[to..to + length]);
                level.flush();
                assert_eq!(dst[to..to + length], source[from..from + length]);
                assert!(dst[..to].iter().chain(&dst[to + length..]).all(|b| *b == 0xEE));
            }
        }
    }
}
