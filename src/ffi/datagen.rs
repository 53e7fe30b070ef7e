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

use super::buffer::BufferValue;
use super::convert::*;
use super::guard;
use super::types::*;
use crate::base::buffer::Buffer;
use crate::datagen::{Generator, ObjectFormat, ObjectParams, Params};
use crate::error::Result;
use std::ffi::{c_char, c_void};

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

/// A whole object in a format. All zero is refused: something has to say how large it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_generate_object_params {
    /// S3DLIO_FORMAT_OBJECTS, _RAW or _FIXED: records without anything between them; _TAR: a sample for each
    /// record, 000000000.bin, 000000001.bin ...; _TFRECORD; _NPZ and _HDF5: one array.
    pub format: i32,
    /// How many numbers shape has.
    pub ndim: u32,
    /// Of an array, as for tensors; NULL is "U8". Types of 8-bit floats and BF16 are none of NumPy's.
    /// Floats are any bits, NaN among them.
    pub dtype: *const c_char,
    /// Of an array.
    pub shape: *const u64,
    /// How many records, 0 is 1; of an array, unless 0, how many of this shape are stacked along a first axis.
    pub count: u64,
    /// Bytes of a record.
    pub record_size: u64,
    /// Of an array, NULL is "x"; of a tar file the members' extension, NULL is "bin".
    pub name: *const c_char,
}

// SAFETY: integers and nullable pointers without padding.
unsafe impl Plain for s3dlio_generate_object_params {}
const _: () = assert!(size_of::<s3dlio_generate_object_params>() == 4 * 2 + 8 * 5);

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

/// Makes a whole object in one of the formats. Its payload is what s3dlio_generate makes of that object from
/// offset 0 on, with the format's heads and checksums between. The caller frees the buffer.
/// Errors: INVALID_ARGUMENT (also a type or name that the format cannot hold), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_generate_object(
    params: *const s3dlio_generate_params,
    params_size: usize,
    object_params: *const s3dlio_generate_object_params,
    object_params_size: usize,
    object: u64,
    data: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_generate_object", err, || {
            let (out, generator) = (Out::new(data, "data")?, generator(params, params_size)?);
            let given = read_struct(object_params, object_params_size, "object_params")?
                .ok_or_else(|| invalid("object_params is NULL"))?;
            let format = match given.format {
                S3DLIO_FORMAT_OBJECTS | S3DLIO_FORMAT_RAW | S3DLIO_FORMAT_FIXED => ObjectFormat::Raw,
                S3DLIO_FORMAT_TAR => ObjectFormat::Tar,
                S3DLIO_FORMAT_TFRECORD => ObjectFormat::TfRecord,
                S3DLIO_FORMAT_NPZ => ObjectFormat::Npz,
                S3DLIO_FORMAT_HDF5 => ObjectFormat::Hdf5,
                other => return Err(invalid(format!("format is {other}; expected S3DLIO_FORMAT_*"))),
            };
            let made = generator.object(
                object,
                &ObjectParams {
                    format,
                    dtype: optional_text(given.dtype, "dtype")?.unwrap_or("U8").to_owned(),
                    shape: slice(given.shape, given.ndim as usize, "shape")?.to_vec(),
                    count: given.count,
                    record_size: given.record_size,
                    name: optional_text(given.name, "name")?.unwrap_or_default().to_owned(),
                },
            )?;
            out.set_handle(BufferValue::new(Buffer::copy_of(&made)?))
        })
    }
}
