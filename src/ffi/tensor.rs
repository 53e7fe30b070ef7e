//! Tensors
//!
//! A checkpoint holds named entries: arrays of one of the safetensors types, in row-major order (C
//! order: the last index runs fastest), without gaps. The types are BOOL U8 I8 F8_E5M2 F8_E4M3 I16 U16
//! F16 BF16 I32 U32 F32 C64 F64 I64 U64; F16 is IEEE's, C64 two F32. Numbers are little-endian, as
//! they are in memory here. A shape of no dimensions is a single value.
//!
//! An entry may be stored in pieces, by one rank or by many. Each piece is a box of the whole: it begins
//! at `start` in the array of `global_shape` and has `shape`. So does a load, whose box need not be any
//! piece's: a job of another size loads the boxes that its own ranks hold.

use super::convert::*;
use super::handle;
use super::types::s3dlio_buffer;
use crate::checkpoint::{Dtype, Request, TensorSpec};
use crate::error::{Error, Result};
use bytes::Bytes;
use std::ffi::{c_char, c_void};

/// `flags` of s3dlio_tensor: every rank of the job gives this tensor with the same contents, and one of
/// them stores it.
pub const S3DLIO_TENSOR_REPLICATED: u32 = 1;

/// A tensor, or the box of one that this rank holds, to be saved. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_tensor {
    /// The entry. Unique in one shard; pieces of one entry in different shards have the same name.
    pub name: *const c_char,
    /// A type's name: "F32".
    pub dtype: *const c_char,
    /// What is given here: ndim numbers; may be NULL where ndim is 0.
    pub shape: *const u64,
    /// The whole entry's shape: ndim numbers; NULL: the same as shape.
    pub global_shape: *const u64,
    /// Where in the whole this begins: ndim numbers; NULL: at the beginning.
    pub start: *const u64,
    /// How many dimensions.
    pub ndim: u32,
    /// 0 or S3DLIO_TENSOR_REPLICATED.
    pub flags: u32,
    /// The bytes; may be NULL where length is 0. Any alignment.
    pub data: *const c_void,
    /// How many: those of the type times all numbers of shape.
    pub length: usize,
}

/// A box of an entry and the memory it is loaded into. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_tensor_request {
    /// The entry.
    pub name: *const c_char,
    /// Where the box begins: ndim numbers; NULL: at the beginning.
    pub start: *const u64,
    /// The box's shape: ndim numbers; NULL: from start to the end.
    pub shape: *const u64,
    /// How many numbers start and shape have; 0 where both are NULL.
    pub ndim: u32,
    /// 0.
    pub flags: u32,
    /// -1: whoever stored it. Else only what this rank stored: for an entry of which the ranks saved
    /// different contents under one name.
    pub rank: i64,
    /// Where the box goes, in row-major order; any alignment. The memory of two requests of one call
    /// must not overlap.
    pub data: *mut c_void,
    /// Its size: exactly the box's bytes.
    pub length: usize,
}

const _: () = assert!(size_of::<s3dlio_tensor>() == 8 * 8 && size_of::<s3dlio_tensor_request>() == 8 * 7);

/// What went wrong, with which of an array's elements it was.
fn at(index: usize) -> impl FnOnce(Error) -> Error {
    move |error| error.with_detail("index", index)
}

/// Numbers of a shape; `None` for NULL where that has a meaning.
///
/// # Safety
/// `start` is NULL or has `ndim` numbers.
unsafe fn numbers(start: *const u64, ndim: u32, name: &str) -> Result<Option<Vec<u64>>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    Ok(Some(unsafe { slice(start, ndim as usize, name) }?.to_vec()))
}

/// # Safety
/// The tensor's pointers are NULL or valid.
unsafe fn spec(tensor: &s3dlio_tensor) -> Result<TensorSpec> {
    // SAFETY: passed on.
    unsafe {
        let name = text(tensor.name, "the tensor's name")?.to_owned();
        let replicated = match tensor.flags {
            0 => false,
            S3DLIO_TENSOR_REPLICATED => true,
            other => {
                return Err(invalid(format!(
                    "flags of tensor {name:?} are {other:#x}; expected 0 or S3DLIO_TENSOR_REPLICATED"
                )));
            }
        };
        Ok(TensorSpec {
            dtype: Dtype::parse(text(tensor.dtype, "the tensor's dtype")?)?,
            shape: slice(tensor.shape, tensor.ndim as usize, "the tensor's shape")?.to_vec(),
            global_shape: numbers(tensor.global_shape, tensor.ndim, "the tensor's global_shape")?,
            start: numbers(tensor.start, tensor.ndim, "the tensor's start")?,
            replicated,
            name,
        })
    }
}

/// What tensors are like, without their bytes.
///
/// # Safety
/// `tensors` is NULL or has `count` tensors whose pointers, but for data, are NULL or valid.
pub unsafe fn specs(tensors: *const s3dlio_tensor, count: usize) -> Result<Vec<TensorSpec>> {
    // SAFETY: passed on.
    let tensors = unsafe { slice(tensors, count, "tensors") }?.iter().enumerate();
    // SAFETY: passed on.
    tensors.map(|(index, tensor)| unsafe { spec(tensor) }.map_err(at(index))).collect()
}

/// The same with the memory they are in.
///
/// # Safety
/// As [`specs`], and the data is valid as long as the result is used.
pub unsafe fn tensors<'a>(
    tensors: *const s3dlio_tensor,
    count: usize,
) -> Result<(Vec<TensorSpec>, Vec<&'a [u8]>)> {
    // SAFETY: passed on.
    let specs = unsafe { specs(tensors, count) }?;
    // SAFETY: passed on.
    let tensors = unsafe { slice(tensors, count, "tensors") }?.iter().enumerate();
    // SAFETY: passed on.
    let memory =
        tensors.map(|(index, tensor)| unsafe { bytes(tensor.data, tensor.length) }.map_err(at(index)));
    Ok((specs, memory.collect::<Result<_>>()?))
}

/// The same where each tensor lies in a buffer of the library's, which the result keeps.
///
/// # Safety
/// As [`specs`]; `buffers` is NULL or has `count` handles.
pub unsafe fn tensors_within(
    tensors: *const s3dlio_tensor,
    buffers: *const *const s3dlio_buffer,
    count: usize,
) -> Result<Vec<(TensorSpec, Bytes)>> {
    // SAFETY: passed on.
    let (specs, tensors, buffers) = unsafe {
        (specs(tensors, count)?, slice(tensors, count, "tensors")?, slice(buffers, count, "buffers")?)
    };
    let within = |tensor: &s3dlio_tensor, buffer: *const s3dlio_buffer| {
        let memory = handle::get(buffer)?.to_bytes();
        let outside = || {
            let (have, want) = (memory.len(), tensor.length);
            invalid(format!("its {want} bytes are not all within its buffer of {have}"))
        };
        if tensor.length == 0 {
            return Ok(Bytes::new());
        }
        let from = tensor.data.addr().checked_sub(memory.as_ptr().addr()).ok_or_else(outside)?;
        let to = from.checked_add(tensor.length).filter(|to| *to <= memory.len()).ok_or_else(outside)?;
        Ok(memory.slice(from..to))
    };
    let pieces = tensors.iter().zip(buffers).enumerate();
    let pieces = pieces.map(|(index, (tensor, buffer))| within(tensor, *buffer).map_err(at(index)));
    specs.into_iter().zip(pieces).map(|(spec, piece)| Ok((spec, piece?))).collect()
}

/// # Safety
/// The request's pointers are NULL or valid.
unsafe fn request(request: &s3dlio_tensor_request) -> Result<Request> {
    // SAFETY: passed on.
    unsafe {
        let name = text(request.name, "the request's name")?.to_owned();
        if request.flags != 0 {
            return Err(invalid(format!(
                "flags of the request for {name:?} are {:#x}; expected 0",
                request.flags
            )));
        }
        if request.start.is_null() && request.shape.is_null() && request.ndim != 0 {
            return Err(invalid(format!(
                "the request for {name:?} has an ndim of {} without start and shape; expected 0, for all of it",
                request.ndim
            )));
        }
        let rank = match request.rank {
            -1 => None,
            rank => Some(u32::try_from(rank).map_err(|_| {
                invalid(format!("the request for {name:?} has rank {rank}; expected a rank, or -1 for any"))
            })?),
        };
        Ok(Request {
            start: numbers(request.start, request.ndim, "the request's start")?,
            shape: numbers(request.shape, request.ndim, "the request's shape")?,
            rank,
            name,
        })
    }
}

/// What to load, and the memory it goes to, no two pieces of which overlap.
///
/// # Safety
/// `requests` is NULL or has `count` requests whose pointers are NULL or valid; their memory is
/// nobody else's as long as the result is used.
pub unsafe fn requests<'a>(
    requests: *const s3dlio_tensor_request,
    count: usize,
) -> Result<(Vec<Request>, Vec<&'a mut [u8]>)> {
    let mut wanted = Vec::with_capacity(count.min(1 << 20));
    let mut places = Vec::with_capacity(count.min(1 << 20));
    // SAFETY: passed on.
    let requests = unsafe { slice(requests, count, "requests") }?;
    for (index, given) in requests.iter().enumerate() {
        // SAFETY: passed on.
        wanted.push(unsafe { request(given) }.map_err(at(index))?);
        check_memory(given.data.cast::<u8>(), given.length, "data").map_err(at(index))?;
        places.push((given.data.addr(), given.length, index));
    }
    places.retain(|(_, length, _)| *length > 0);
    places.sort_unstable();
    if let Some(pair) = places.windows(2).find(|pair| pair[1].0 - pair[0].0 < pair[0].1) {
        let (one, other) = (pair[0].2.min(pair[1].2), pair[0].2.max(pair[1].2));
        return Err(invalid(format!("the memory of the requests {one} and {other} overlaps")));
    }
    // SAFETY: passed on; no two overlap.
    let memory = requests.iter().map(|given| unsafe { memory(given.data, given.length) });
    Ok((wanted, memory.collect::<Result<_>>()?))
}
