//! One-shot functions
//!
//! For single objects by their full URI. The stores behind them are kept and reused, told apart by
//! container and by the options that are set; the environment is read when one is first opened. Any
//! thread, concurrently. Errors: as the function of the store, and INVALID_URI.

use super::buffer::BufferValue;
use super::convert::*;
use super::store::InfoOut;
use super::types::*;
use super::{guard, options};
use crate::base::buffer::lend;
use crate::error::Result;
use crate::runtime::block_on;
use crate::store::{PutOptions, Store, store_for_object};
use crate::transfer;
use std::ffi::{c_char, c_void};

/// # Safety
/// `uri` is NULL or a NUL-terminated string.
unsafe fn find(uri: *const c_char, given: *const s3dlio_options) -> Result<(Store, String)> {
    // SAFETY: passed on.
    store_for_object(unsafe { text(uri, "uri") }?, &options::given(given)?)
}

/// Reads a whole object. `options` may be NULL. The caller frees `data`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_get(
    uri: *const c_char,
    options: *const s3dlio_options,
    data: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_get", err, || {
            let out = Out::new(data, "data")?;
            let (store, key) = find(uri, options)?;
            out.set_handle(BufferValue::new(block_on(transfer::get(&store, &key)).flatten()?))
        })
    }
}

/// Stores an object, whole or not at all. `options` may be NULL.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_put(
    uri: *const c_char,
    options: *const s3dlio_options,
    data: *const c_void,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_put", err, || {
            let data = bytes(data, length)?;
            let (store, key) = find(uri, options)?;
            let put = PutOptions::default();
            lend(data, |data| block_on(transfer::put(&store, &key, data, &put))).flatten().map(drop)
        })
    }
}

/// An object's facts; `strings` as for s3dlio_store_stat. `options` may be NULL. The key in `info` is
/// relative to the container, for paths to the root folder.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_stat(
    uri: *const c_char,
    options: *const s3dlio_options,
    info: *mut s3dlio_object_info,
    info_size: usize,
    strings: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_stat", err, || {
            let out = InfoOut::new(info, info_size, strings)?;
            let (store, key) = find(uri, options)?;
            out.set(&store, &block_on(store.stat(&key)).flatten()?)
        })
    }
}

/// Whether there is an object: 1 or 0. A failure is an error, never 0. `options` may be NULL.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_exists(
    uri: *const c_char,
    options: *const s3dlio_options,
    exists: *mut i32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_exists", err, || {
            let out = Out::new(exists, "exists")?;
            let (store, key) = find(uri, options)?;
            out.set(block_on(store.exists(&key)).flatten()?.into());
            Ok(())
        })
    }
}

/// Deletes an object. A missing one is success. `options` may be NULL.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_delete(
    uri: *const c_char,
    options: *const s3dlio_options,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_delete", err, || {
            let (store, key) = find(uri, options)?;
            block_on(store.delete(&key)).flatten()
        })
    }
}
