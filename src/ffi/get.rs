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
use super::error::handle_of;
use super::store::store_of;
use super::types::*;
use super::{guard, handle};
use crate::base::buffer::{Buffer, Window, lend_many_mut, lend_mut};
use crate::error::{Code, Error, Result};
use crate::runtime::block_on;
use crate::transfer::{self, Check};
use std::ffi::{c_char, c_void};
use std::ptr;

/// One outcome of s3dlio_store_get_many. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_get_result {
    /// The object's bytes, or NULL. The caller frees it.
    pub data: *mut s3dlio_buffer,
    /// The error, or NULL. The caller frees it.
    pub error: *mut s3dlio_error,
    /// S3DLIO_OK or the error's code.
    pub status: i32,
    /// 0.
    pub reserved: u32,
}

/// One check of s3dlio_store_validate_many. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_check {
    /// In: the object.
    pub key: *const c_char,
    /// In: the first byte.
    pub offset: u64,
    /// In: how many bytes; S3DLIO_TO_END: up to the end.
    pub length: u64,
    /// In: 1: compare with crc32c; 0: with the checksum that the store recorded of the whole object.
    pub has_crc32c: u32,
    /// In: what the stored bytes of the range must have.
    pub crc32c: u32,
    /// Out: S3DLIO_OK or the error's code.
    pub status: i32,
    /// 0.
    pub reserved: u32,
    /// Out: the error, or NULL. The caller frees it.
    pub error: *mut s3dlio_error,
}

const _: () = assert!(S3DLIO_TO_END == u64::MAX, "what `transfer` takes for the object's end");
const _: () = assert!(size_of::<s3dlio_get_result>() == 24 && size_of::<s3dlio_check>() == 48);

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

/// Reads many whole objects at once. `results` has room for `count` results, in the order of the
/// keys, and is always filled, also on failure, if it is not NULL: the caller frees what is not
/// NULL in it. Returns S3DLIO_OK if all were read, else the first failure.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_many(
    store: *const s3dlio_store,
    keys: *const *const c_char,
    count: usize,
    results: *mut s3dlio_get_result,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_many", err, || {
            let results = blank(results, count, "results", |_| s3dlio_get_result {
                data: ptr::null_mut(),
                error: ptr::null_mut(),
                status: Code::Internal as i32, // what a panic leaves
                reserved: 0,
            })?;
            let keys = many(
                results,
                |result| &mut result.status,
                || {
                    let keys = slice(keys, count, "keys")?;
                    Ok((
                        store_of(store)?,
                        keys.iter().map(|key| text(*key, "key").map(str::to_owned)).collect(),
                    ))
                },
            );
            let (used, keys): (_, Vec<Result<String>>) = keys?;
            let outcomes = many(
                results,
                |result| &mut result.status,
                || each_valid(keys, |keys| block_on(transfer::get_many(&used.store, keys))),
            )?;
            let place = |result: &mut s3dlio_get_result, buffer: Buffer| {
                result.data = handle::insert(BufferValue::new(buffer))?;
                Ok(())
            };
            settle(results, outcomes, place, |result| (&mut result.status, &mut result.error))
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

/// Makes many checks at once, as s3dlio_store_validate does each. Sets status and error of every
/// check, also on failure, if `checks` is not NULL. Returns S3DLIO_OK if all are right, else the
/// first failure.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_validate_many(
    store: *const s3dlio_store,
    checks: *mut s3dlio_check,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_validate_many", err, || {
            let checks = blank(checks, count, "checks", |check: *mut s3dlio_check| s3dlio_check {
                status: Code::Internal as i32, // what a panic leaves
                error: ptr::null_mut(),
                ..check.read()
            })?;
            let parsed = checks.iter().map(|check| parse(check)).collect();
            let used = many(checks, |check| &mut check.status, || store_of(store))?;
            let outcomes = many(
                checks,
                |check| &mut check.status,
                || each_valid(parsed, |parsed| block_on(transfer::validate_many(&used.store, parsed))),
            )?;
            settle(checks, outcomes, |_, ()| Ok(()), |check| (&mut check.status, &mut check.error))
        })
    }
}

/// # Safety
/// The check's key is NULL or valid.
unsafe fn parse(check: &s3dlio_check) -> Result<Check> {
    let expected = match check.has_crc32c {
        0 => None,
        1 => Some(check.crc32c),
        other => return Err(invalid(format!("has_crc32c is {other}; expected 0 or 1"))),
    };
    // SAFETY: passed on.
    let key = unsafe { text(check.key, "key") }?.to_owned();
    Ok(Check { key, offset: check.offset, length: check.length, expected })
}

/// Gives every element a defined value before anything can fail.
///
/// # Safety
/// `start` is NULL or has `count` elements.
unsafe fn blank<'a, T>(
    start: *mut T,
    count: usize,
    name: &str,
    f: impl Fn(*mut T) -> T,
) -> Result<&'a mut [T]> {
    // SAFETY: checked here, promised by the caller.
    unsafe {
        check_memory(start, count, name)?;
        for at in 0..count {
            let element = start.add(at);
            element.write(f(element));
        }
        slice_mut(start, count, name)
    }
}

/// What fails as a whole fails for each.
fn many<T, R>(results: &mut [T], status: fn(&mut T) -> &mut i32, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let outcome = f();
    if let Err(error) = &outcome {
        results.iter_mut().for_each(|result| *status(result) = error.code() as i32);
    }
    outcome
}

/// Runs `f` on the good ones and puts its outcomes among the bad ones, in order.
fn each_valid<T, R>(
    given: Vec<Result<T>>,
    f: impl FnOnce(Vec<T>) -> Result<Vec<Result<R>>>,
) -> Result<Vec<Result<R>>> {
    let mut bad = Vec::with_capacity(given.len());
    let mut good = Vec::with_capacity(given.len());
    for item in given {
        match item {
            Ok(item) => {
                good.push(item);
                bad.push(None);
            }
            Err(error) => bad.push(Some(error)),
        }
    }
    let mut outcomes = f(good)?.into_iter();
    let missing = || Err(Error::new(Code::Internal, "an outcome is missing"));
    Ok(bad.into_iter().map(|bad| bad.map_or_else(|| outcomes.next().unwrap_or_else(missing), Err)).collect())
}

/// Fills the results in; fails with the first failure.
fn settle<T, R>(
    results: &mut [T],
    outcomes: Vec<Result<R>>,
    place: impl Fn(&mut T, R) -> Result<()>,
    fields: fn(&mut T) -> (&mut i32, &mut *mut s3dlio_error),
) -> Result<()> {
    guard::test_hook();
    let mut first = Ok(());
    for (at, (result, outcome)) in results.iter_mut().zip(outcomes).enumerate() {
        let outcome = outcome.and_then(|value| place(result, value));
        let (status, error_out) = fields(result);
        *status = S3DLIO_OK;
        if let Err(error) = outcome {
            *status = error.code() as i32;
            *error_out = handle_of(error.clone());
            if first.is_ok() {
                first = Err(error.with_detail("index", at));
            }
        }
    }
    first
}
