//! Many objects in one call
//!
//! `transfer.get_many_concurrency` (`transfer.put_many_concurrency`) of them are in flight at once. Each
//! has an outcome of its own, in the order given: one that fails does not stop the others. The call's
//! own status and error are those of the first that failed, with the detail `index`.
//!
//! Beside the errors named at the stores: those of the call for one object.

use super::buffer::BufferValue;
use super::convert::*;
use super::error::handle_of;
use super::store::{put_options, store_of};
use super::types::*;
use super::{guard, handle};
use crate::base::buffer::{Buffer, lend_many};
use crate::error::{Code, Error, Result};
use crate::runtime::block_on;
use crate::transfer::{self, Check, WriteStats};
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

/// One object of s3dlio_store_put_many. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_put_item {
    /// In: the object.
    pub key: *const c_char,
    /// In: its bytes; may be NULL where length is 0.
    pub data: *const c_void,
    /// In: how many.
    pub length: usize,
    /// Out: S3DLIO_OK or the error's code.
    pub status: i32,
    /// Out: CRC32C of the bytes, where they were stored.
    pub crc32c: u32,
    /// Out: the error, or NULL. The caller frees it.
    pub error: *mut s3dlio_error,
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

const _: () = assert!(size_of::<s3dlio_get_result>() == 24 && size_of::<s3dlio_put_item>() == 40);
const _: () = assert!(size_of::<s3dlio_check>() == 48);

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

/// Stores many objects at once, each as s3dlio_store_put does, with the same options (NULL: all defaults).
/// The data is read in place and not used after the call. Sets status, crc32c and error of every item,
/// also on failure, if `items` is not NULL. Returns S3DLIO_OK if all were stored, else the first failure;
/// the others are stored or not by themselves.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_put_many(
    store: *const s3dlio_store,
    items: *mut s3dlio_put_item,
    count: usize,
    options: *const s3dlio_put_options,
    options_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_put_many", err, || {
            let items = blank(items, count, "items", |item: *mut s3dlio_put_item| s3dlio_put_item {
                status: Code::Internal as i32, // what a panic leaves
                crc32c: 0,
                error: ptr::null_mut(),
                ..item.read()
            })?;
            let mut given = Vec::with_capacity(count);
            let mut memory = Vec::with_capacity(count);
            for item in items.iter() {
                let parts = text(item.key, "key").and_then(|key| Ok((key, bytes(item.data, item.length)?)));
                memory.push(parts.as_ref().map_or(&[][..], |(_, data)| data));
                given.push(parts.map(|(key, _)| key.to_owned()));
            }
            let used = many(
                items,
                |item| &mut item.status,
                || Ok((store_of(store)?, put_options(options, options_size)?)),
            );
            let (used, options) = used?;
            let outcomes = many(
                items,
                |item| &mut item.status,
                || {
                    lend_many(&memory, |lent| {
                        let paired =
                            given.into_iter().zip(lent).map(|(key, data)| Ok((key?, data))).collect();
                        each_valid(paired, |items| block_on(transfer::put_many(&used.store, items, &options)))
                    })
                },
            )?;
            let place = |item: &mut s3dlio_put_item, stats: WriteStats| {
                item.crc32c = stats.crc32c;
                Ok(())
            };
            settle(items, outcomes, place, |item| (&mut item.status, &mut item.error))
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
