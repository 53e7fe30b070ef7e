//! Synthetic data: bytes that a storage system can neither guess, deduplicate nor compress, or only
//! as far as was asked for.
//!
//! A [`Generator`] maps (seed, object, offset) to bytes and keeps no state: any slice of any object
//! can be made alone, on any machine and by any number of threads, and equals the slice of the whole.
//! Objects of different numbers or seeds share no block.

mod block;
mod objects;
mod page;
mod sys;

use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime::with_signals_blocked;
pub use objects::{ObjectFormat, ObjectParams};

use block::Blocks;
use page::{Key, PAGE, Pages, UNIT};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread;
use sys::Simd;

/// What threads take at a time: small enough that none has to wait long for the last.
const CHUNK: usize = 1 << 20;

/// What a thread fills at least, since starting one takes as long as filling some hundred KiB.
const WORTH_A_THREAD: usize = 2 << 20;

/// Fills of this size go past the caches: they would evict everything else and be evicted before
/// anyone reads them.
const STREAM_FROM: usize = 4 << 20;

const MOST_THREADS: u32 = 4096;
const MOST_DEDUPE: f64 = 1000.0;
const MOST_COMPRESS: f64 = 50.0;
const LARGEST_BLOCK: u64 = 1 << 30;

/// What the data is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Keys everything: other seeds, such as one for each run, give other bytes.
    pub seed: u64,
    /// Blocks for each block of different content in an object: from 1 (none is repeated) to 1000.
    pub dedupe: f64,
    /// Bytes for each byte that zstd at level 1 makes of them: from 1 (incompressible) to 50.
    pub compress: f64,
    /// The unit of deduplication: a multiple of 1 KiB up to 1 GiB. What divides it has the same ratio.
    pub block_size: u64,
    /// How many threads fill large memory, the caller's among them; 0 is one for each processor.
    pub threads: u32,
}

impl Params {
    /// The block size unless another is asked for: the page of most file systems and arrays.
    pub const BLOCK_SIZE: u64 = 4096;
}

impl Default for Params {
    fn default() -> Params {
        Params { seed: 0, dedupe: 1.0, compress: 1.0, block_size: Params::BLOCK_SIZE, threads: 0 }
    }
}

/// Makes the bytes of numbered objects. Any number of threads may use it at once.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    blocks: Blocks,
    random_of_unit: usize,
    threads: u32,
}

impl Generator {
    /// A generator of such data, or what is wrong with the parameters.
    pub fn new(params: &Params) -> Result<Generator> {
        within("dedupe", params.dedupe, MOST_DEDUPE)?;
        within("compress", params.compress, MOST_COMPRESS)?;
        let size = params.block_size;
        if size == 0 || size > LARGEST_BLOCK || !size.is_multiple_of(UNIT as u64) {
            return Err(refused(format!(
                "block_size is {size}, expected a multiple of {UNIT} up to {LARGEST_BLOCK}"
            )));
        }
        let threads = params.threads;
        if threads > MOST_THREADS {
            return Err(refused(format!(
                "threads is {threads}, expected 0 (one for each processor) to {MOST_THREADS}"
            )));
        }
        let random_of_unit = Pages::random_of_unit(params.compress);
        Ok(Generator { seed: params.seed, blocks: Blocks::new(size, params.dedupe), random_of_unit, threads })
    }

    /// Fills `dst` with the bytes of object `object` from `offset` on. An object has no end but that of
    /// 2^52 blocks.
    pub fn fill(&self, object: u64, offset: u64, dst: &mut [u8]) -> Result<()> {
        let end = self.blocks.end();
        if offset.checked_add(dst.len() as u64).is_none_or(|last| last > end) {
            let text =
                format!("{} bytes from offset {offset} pass the end of every object, {end}", dst.len());
            return Err(refused(text));
        }
        let key = Key::new(self.seed, object);
        let stream = dst.len() >= STREAM_FROM;
        let threads = self.threads_for(dst.len());
        if threads == 1 {
            self.fill_here(key, offset, dst, stream);
            return Ok(());
        }
        // A thread that cannot be started leaves its share to the others.
        let work = Mutex::new(dst.chunks_mut(CHUNK).zip(0_u64..));
        let fill = || {
            while let Some((chunk, number)) = { lock(&work).next() } {
                self.fill_here(key, offset + number * CHUNK as u64, chunk, stream);
            }
        };
        thread::scope(|scope| {
            let started = |_: &usize| thread::Builder::new().spawn_scoped(scope, fill).is_ok();
            with_signals_blocked(|| (1..threads).take_while(started).count());
            fill();
        });
        Ok(())
    }

    fn threads_for(&self, length: usize) -> usize {
        let useful = length / WORTH_A_THREAD;
        let wanted = match self.threads {
            _ if useful < 2 => 1,
            0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads as usize,
        };
        wanted.min(useful).max(1)
    }

    fn fill_here(&self, key: Key, offset: u64, dst: &mut [u8], stream: bool) {
        let simd = Simd::detect();
        let mut pages = Pages::new(key, self.random_of_unit, simd);
        let phase = key.fraction();
        let (size, page) = (self.blocks.size, PAGE as u64);
        let pages_of_block = size.div_ceil(page);
        let (mut block, mut inside) = (offset / size, offset % size);
        let mut left = dst;
        while !left.is_empty() {
            let first_page = self.blocks.content(block, phase) * pages_of_block;
            while inside < size && !left.is_empty() {
                let (number, skip) = (inside / page, (inside % page) as usize);
                let length = (size - number * page).min(page) as usize;
                let (now, rest) = left.split_at_mut((length - skip).min(left.len()));
                pages.make(first_page + number, length, skip, now, stream);
                inside += now.len() as u64;
                left = rest;
            }
            (block, inside) = (block + 1, 0);
        }
        if stream {
            simd.flush();
        }
    }
}

fn within(name: &str, value: f64, most: f64) -> Result<()> {
    match (1.0..=most).contains(&value) {
        true => Ok(()),
        false => Err(refused(format!("{name} is {value}, expected a ratio from 1 to {most}"))),
    }
}

fn refused(text: String) -> Error {
    Error::new(Code::InvalidArgument, text).with_operation("generate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn made(params: &Params, object: u64, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xEE; length];
        Generator::new(params).unwrap().fill(object, offset, &mut bytes).unwrap();
        bytes
    }

    fn params(dedupe: f64, compress: f64, block_size: u64) -> Params {
        Params { seed: 42, dedupe, compress, block_size, threads: 1 }
    }

    fn hash(bytes: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        hasher.finish()
    }

    /// F2: the bytes are part of what a version of the library promises: data written by one is checked by the next.
    #[test]
    fn the_bytes_stay_what_they_are() {
        let crc = |params: &Params, object| crc32c::crc32c(&made(params, object, 0, 100_000));
        let all = [
            crc(&Params::default(), 0),
            crc(&Params::default(), 1),
            crc(&Params { seed: 1, ..Params::default() }, 0),
            crc(&params(2.5, 1.0, 4096), 7),
            crc(&params(1.0, 3.0, 65536), 7),
            crc(&params(3.0, 2.0, 5120), u64::MAX),
        ];
        assert_eq!(all, [185_975_005, 2_665_814_244, 3_050_785_496, 42_047_431, 967_040_569, 242_305_539]);
    }

    /// F2: a slice made alone equals the slice of the whole.
    #[test]
    fn slices_are_slices_of_the_whole() {
        let mut random = crate::base::random::Random::new(5);
        for params in [
            params(1.0, 1.0, 4096),
            params(2.3, 4.0, 5120),
            params(3.0, 1.7, 1024),
            params(1.5, 1.0, 131_072),
        ] {
            let whole = made(&params, 9, 0, 400_000);
            for _ in 0..200 {
                let start = random.up_to(400_000) as usize;
                let length = random.up_to((400_000 - start).min(20_000) as u64) as usize;
                assert!(
                    made(&params, 9, start as u64, length) == whole[start..start + length],
                    "{start}+{length}"
                );
            }
        }
        let far = params(2.0, 2.0, 1024);
        let end = (1_u64 << 52) * 1024 - 5000;
        assert!(made(&far, 9, end, 5000)[3000..] == made(&far, 9, end + 3000, 2000));
    }

    /// F2: neither the number of threads, nor the alignment of the memory, nor the way past the caches changes a byte.
    #[test]
    fn threads_change_nothing() {
        let length = 3 * STREAM_FROM + 12_345;
        let plain = params(1.7, 1.3, 4096);
        let mut expected = vec![0; length];
        for (piece, number) in expected.chunks_mut(1_000_000).zip(0..) {
            piece.copy_from_slice(&made(&plain, 3, 777 + number * 1_000_000, piece.len()));
        }
        for threads in [0, 1, 2, 3, 64] {
            let params = Params { threads, ..plain.clone() };
            for shift in [0, 1, 16] {
                let mut memory = vec![0xEE; length + 100];
                Generator::new(&params).unwrap().fill(3, 777, &mut memory[shift..shift + length]).unwrap();
                assert!(memory[shift..shift + length] == expected, "{threads} threads, shift {shift}");
                assert!(memory[shift + length..].iter().all(|byte| *byte == 0xEE));
            }
        }
    }

    /// F2: the ratio of deduplication, measured by hashing blocks, in one object and over many.
    #[test]
    fn blocks_repeat_as_often_as_asked() {
        let ratio = |params: &Params, objects: u64, length: usize| {
            let (mut blocks, mut contents) = (0_u64, HashSet::new());
            for object in 0..objects {
                for block in made(params, object, 0, length).chunks(params.block_size as usize) {
                    blocks += 1;
                    contents.insert(hash(block));
                }
            }
            blocks as f64 / contents.len() as f64
        };
        for dedupe in [1.0, 1.2, 2.0, 3.5, 10.0] {
            for compress in [1.0, 4.0] {
                let near = |measured: f64| (measured / dedupe - 1.0).abs() < 0.02;
                let (one, many) = (params(dedupe, compress, 4096), params(dedupe, compress, 1024));
                assert!(near(ratio(&one, 1, 8 << 20)), "{} of {dedupe}", ratio(&one, 1, 8 << 20));
                assert!(near(ratio(&many, 500, 28 * 1024)), "{} of {dedupe}", ratio(&many, 500, 28 * 1024));
                // A unit that divides the block sees the same.
                let halves = Params { block_size: 8192, ..one };
                let measured = made(&halves, 1, 0, 8 << 20);
                let contents: HashSet<u64> = measured.chunks(4096).map(hash).collect();
                assert!(near(2048.0 / contents.len() as f64));
            }
        }
    }

    /// F2: the ratio of compression, measured with zstd at level 1.
    #[test]
    fn zstd_compresses_as_far_as_asked() {
        let ratio = |bytes: &[u8]| bytes.len() as f64 / zstd::bulk::compress(bytes, 1).unwrap().len() as f64;
        for compress in [1.0, 1.25, 2.0, 3.0, 5.0, 8.0] {
            for (params, length) in [
                (params(1.0, compress, 4096), 117_760),
                (params(1.0, compress, 4096), 8 << 20),
                (params(1.0, compress, 1 << 20), 8 << 20),
                (params(2.0, compress, 4096), 32 << 20),
            ] {
                let measured = ratio(&made(&params, 11, 0, length));
                assert!(
                    (measured / compress - 1.0).abs() < 0.05,
                    "{measured:.3} of {params:?}, {length} bytes"
                );
            }
        }
    }

    /// F2: objects and seeds share no block, at whatever ratio.
    #[test]
    fn objects_and_seeds_share_nothing() {
        for (dedupe, compress) in [(1.0, 1.0), (4.0, 50.0)] {
            let (mut seen, mut contents) = (HashSet::new(), 0);
            for seed in [0, 1, 2, u64::MAX, 1 << 32, 42] {
                for object in [0, 1, 2, 1 << 32, u64::MAX, 42, 43] {
                    let params = Params { seed, ..params(dedupe, compress, 1024) };
                    let own: HashSet<u64> =
                        made(&params, object, 0, 64 * 1024).chunks(1024).map(hash).collect();
                    contents += own.len();
                    seen.extend(own);
                }
            }
            assert_eq!(seen.len(), contents);
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let plain = Params::default;
        let wrong = [
            (Params { dedupe: 0.9, ..plain() }, "dedupe is 0.9"),
            (Params { dedupe: f64::NAN, ..plain() }, "dedupe is NaN"),
            (Params { dedupe: 1000.5, ..plain() }, "dedupe is 1000.5"),
            (Params { compress: 0.0, ..plain() }, "compress is 0"),
            (Params { compress: f64::INFINITY, ..plain() }, "compress is inf"),
            (Params { block_size: 0, ..plain() }, "block_size is 0"),
            (Params { block_size: 1500, ..plain() }, "block_size is 1500"),
            (Params { block_size: 2 << 30, ..plain() }, "block_size is 2147483648"),
            (Params { threads: 5000, ..plain() }, "threads is 5000"),
        ];
        for (params, text) in wrong {
            let error = Generator::new(&params).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.to_string().contains(text), "{error}");
        }
        let generator = Generator::new(&Params { block_size: 1024, ..plain() }).unwrap();
        for offset in [u64::MAX, (1 << 62) - 9] {
            let error = generator.fill(0, offset, &mut [0; 10]).unwrap_err();
            assert!(error.to_string().contains("pass the end of every object"), "{error}");
        }
        generator.fill(0, 1 << 62, &mut []).unwrap();
    }
}
