//! Reading whole objects and ranges
//!
//! Reads either fill the caller's memory or give a buffer of the library's, which the caller frees.
//! Large ones are split into parallel ranges of one version of the object: an object that is
//! replaced meanwhile is CHANGED, never a mixture. A range that starts at the object's end has 0
//! bytes; one that starts past it is RANGE; one that ends past it is cut. What is stored is what is
//! read: only a reader decompresses.
//!
//! Beside the errors named at the stores: NOT_FOUND, RANGE, CHANGED, TRUNCATED, OUT_OF_MEMORY. After
//! an error the contents of the destination are unspecified.

use super::buffer::BufferValue;
use super::convert::*;
use super::guard;
use super::store::store_of;
use super::types::*;
use crate::base::buffer::{Window, lend_many_mut, lend_mut};
use crate::error::Result;
use crate::runtime::block_on;
use crate::transfer::{self, Check};
use std::ffi::{c_char, c_void};

const _: () = assert!(S3DLIO_TO_END == u64::MAX, "what `transfer` takes for the object's end");

/// Reads a whole object.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get(
    store: *const s3dlio_store,
    key: *const c_char,
    data: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get", err, || {
            let (out, key) = (Out::new(data, "data")?, text(key, "key")?);
            let buffer = block_on(transfer::get(&store_of(store)?.store, key)).flatten()?;
            out.set_handle(BufferValue::new(buffer))
        })
    }
}

/// Reads `length` bytes from `offset`, fewer only at the object's end; S3DLIO_TO_END reads up to the
/// end.
/// Errors: RANGE (also where offset + length is more than 64 bits, S3DLIO_TO_END aside).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_range(
    store: *const s3dlio_store,
    key: *const c_char,
    offset: u64,
    length: u64,
    data: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_range", err, || {
            let (out, key) = (Out::new(data, "data")?, text(key, "key")?);
            let used = store_of(store)?;
            let buffer = block_on(transfer::get_range(&used.store, key, offset, length)).flatten()?;
            out.set_handle(BufferValue::new(buffer))
        })
    }
}

/// Reads a whole object into `dst`, which has room for `capacity` bytes.
/// Errors: BUFFER_TOO_SMALL (the error's detail `required` is the size in bytes).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_into(
    store: *const s3dlio_store,
    key: *const c_char,
    dst: *mut c_void,
    capacity: usize,
    bytes_read: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_into", err, || {
            let (out, key) = (Out::new(bytes_read, "bytes_read")?, text(key, "key")?);
            let used = store_of(store)?;
            let read = |window| block_on(transfer::get_into(&used.store, key, window));
            out.set(lend_mut(memory(dst, capacity)?, read).flatten()?.bytes);
            Ok(())
        })
    }
}

/// Reads `length` bytes from `offset` into `dst`, fewer only at the object's end.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_range_into(
    store: *const s3dlio_store,
    key: *const c_char,
    offset: u64,
    dst: *mut c_void,
    length: usize,
    bytes_read: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_range_into", err, || {
            let (out, key) = (Out::new(bytes_read, "bytes_read")?, text(key, "key")?);
            let memory = memory(dst, length)?;
            let used = store_of(store)?;
            let read = |window| block_on(transfer::get_range_into(&used.store, key, offset, window));
            out.set(lend_mut(memory, read).flatten()?.bytes);
            Ok(())
        })
    }
}

/// Lends the memory of all ranges to `read` and fills in how many bytes each got.
///
/// # Safety
/// `ranges` is NULL or has `count` ranges, whose memory is valid.
pub unsafe fn read_ranges(
    ranges: *mut s3dlio_range,
    count: usize,
    read: impl FnOnce(Vec<(u64, Window)>) -> Result<Vec<usize>>,
) -> Result<()> {
    // SAFETY: passed on.
    let ranges = unsafe { slice_mut(ranges, count, "ranges") }?;
    let mut pieces = Vec::with_capacity(count);
    let mut places = Vec::with_capacity(count);
    for range in &*ranges {
        // SAFETY: passed on; that no two overlap is checked below, before any is used.
        pieces.push(unsafe { memory(range.dst, range.length) }?);
        places.push((range.dst.addr(), range.length));
    }
    places.retain(|(_, length)| *length > 0);
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[1].0 - pair[0].0 < pair[0].1) {
        return Err(invalid("the destinations of two ranges overlap"));
    }
    let lengths = lend_many_mut(pieces, |windows| {
        let offsets = ranges.iter().map(|range| range.offset);
        read(offsets.zip(windows).collect())
    })?;
    guard::test_hook();
    for (range, length) in ranges.iter_mut().zip(lengths) {
        range.bytes_read = length;
    }
    Ok(())
}

/// Reads many ranges of one object, each into its own memory, in one call; sets bytes_read of each.
/// Errors: INVALID_ARGUMENT (also where two destinations overlap).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_ranges(
    store: *const s3dlio_store,
    key: *const c_char,
    ranges: *mut s3dlio_range,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_ranges", err, || {
            let key = text(key, "key")?;
            let used = store_of(store)?;
            read_ranges(ranges, count, |ranges| {
                block_on(transfer::get_ranges(&used.store, key, ranges)).flatten()
            })
        })
    }
}

/// Reads an object, or `length` bytes of it from `offset` (S3DLIO_TO_END: up to the end), and compares
/// the CRC32C of the stored bytes with `*crc32c`; where that is NULL, with the checksum that the
/// store recorded (whole objects only).
/// Errors: CHECKSUM_MISMATCH (details: expected, actual, offset), UNSUPPORTED (no checksum is
/// recorded).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_validate(
    store: *const s3dlio_store,
    key: *const c_char,
    offset: u64,
    length: u64,
    crc32c: *const u32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_validate", err, || {
            let key = text(key, "key")?.to_owned();
            let expected = slice(crc32c, usize::from(!crc32c.is_null()), "crc32c")?.first().copied();
            let check = Check { key, offset, length, expected };
            block_on(transfer::validate(&store_of(store)?.store, &check)).flatten()
        })
    }
}
