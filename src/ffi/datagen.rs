//! Synthetic data
//!
//! Bytes for benchmarks and tests: what storage can neither guess, deduplicate nor compress, or only as
//! far as was asked for. They are a function of seed, block size, ratios, object number and offset, and
//! of nothing else: any slice of any object can be made again, alone, on any machine, by any number of
//! threads. Objects of different numbers or seeds share no block, so ranks take different numbers.
//!
//! - dedupe d: of d blocks of block_size bytes in an object one is new, the others repeat earlier ones.
//!   Units of deduplication that divide block_size see the same ratio.
//! - compress c: zstd at level 1 makes 1 / c of the bytes. Where d is more than 1, it also finds the
//!   repetitions within its window, which is until some hundred blocks are known: measure with larger
//!   objects. The tail of each KiB is zero.
//!
//! Any thread, concurrently. Large memory is filled by many threads, which end with the call. The errors
//! are INVALID_ARGUMENT and OUT_OF_MEMORY.

use super::convert::*;
use super::guard;
use super::types::s3dlio_error;
use crate::datagen::{Generator, Params};
use crate::error::Result;
use std::ffi::c_void;

/// What the data is like. All zero are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_generate_params {
    /// Other seeds give other bytes.
    pub seed: u64,
    /// Blocks for each one of different content, 1 to 1000; 0 is 1: none is repeated.
    pub dedupe: f64,
    /// Bytes for each one that is left when compressed, 1 to 50; 0 is 1: incompressible.
    pub compress: f64,
    /// The unit of deduplication in bytes: a multiple of 1024 up to 1 GiB; 0 is 4096.
    pub block_size: u64,
    /// How many threads, the caller's among them; 0 is one for each processor. Small fills take one.
    pub threads: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: numbers without padding; all-zero is a value.
unsafe impl Plain for s3dlio_generate_params {}
const _: () = assert!(size_of::<s3dlio_generate_params>() == 8 * 4 + 4 * 2);

/// The generator that the caller's parameters ask for.
///
/// # Safety
/// `params` is NULL or has `params_size` readable bytes.
unsafe fn generator(params: *const s3dlio_generate_params, params_size: usize) -> Result<Generator> {
    // SAFETY: passed on.
    let Some(given) = (unsafe { read_struct(params, params_size, "params") })? else {
        return Generator::new(&Params::default());
    };
    let or_one = |ratio: f64| if ratio == 0.0 { 1.0 } else { ratio };
    Generator::new(&Params {
        seed: given.seed,
        dedupe: or_one(given.dedupe),
        compress: or_one(given.compress),
        block_size: if given.block_size == 0 { Params::BLOCK_SIZE } else { given.block_size },
        threads: given.threads,
    })
}

/// Fills `dst` with `length` bytes of object `object` from `offset` on. `params` may be NULL.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_generate(
    params: *const s3dlio_generate_params,
    params_size: usize,
    object: u64,
    offset: u64,
    dst: *mut c_void,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_generate", err, || {
            let (generator, memory) = (generator(params, params_size)?, memory(dst, length)?);
            generator.fill(object, offset, memory)
        })
    }
}
