//! Errors
//!
//! An error object says which operation on which URI failed, why, whether trying again can help, and
//! what to do about it. It is immutable and independent of the handle it came from. Its texts live
//! until s3dlio_error_free. On NULL and on stale handles these functions give 0 or NULL.

use super::guard;
use super::handle::{self, Handle};
use super::types::s3dlio_error;
use crate::error::{Code, Error};
use std::ffi::{CString, c_char};
use std::panic::catch_unwind;
use std::ptr;

/// What an error handle stands for: the error with its texts in C's form.
pub struct ErrorValue {
    error: Error,
    message: CString,
    details: Vec<(CString, CString)>,
}

impl Handle for s3dlio_error {
    const KIND: u64 = 1;
    const NAME: &'static str = "error";
    type Value = ErrorValue;
}

/// The text without NUL bytes, which C could not see past.
pub fn c_string(text: impl Into<String>) -> CString {
    let text = text.into();
    let text = if text.contains('\0') { text.replace('\0', "\\0") } else { text };
    CString::new(text).unwrap_or_default()
}

/// A handle for `error`; NULL where not even that can be had.
pub fn handle_of(error: Error) -> *mut s3dlio_error {
    let details = error.details().into_iter().map(|(key, value)| (c_string(key), c_string(value)));
    let value = ErrorValue { message: c_string(error.to_string()), details: details.collect(), error };
    handle::insert::<s3dlio_error>(value).unwrap_or(ptr::null_mut())
}

/// The last parameter of every function that can fail.
pub struct ErrorOut(*mut *mut s3dlio_error);

impl ErrorOut {
    /// Sets `*err` to NULL: there is no error yet.
    ///
    /// # Safety
    /// `err` is NULL or valid for writing a pointer until the result is dropped.
    pub unsafe fn new(err: *mut *mut s3dlio_error) -> Self {
        if !err.is_null() {
            // SAFETY: valid for writing by the caller's promise.
            unsafe { err.write(ptr::null_mut()) }
        }
        ErrorOut(err)
    }

    /// Gives the error to the caller, if it asked for it, and says its code.
    pub fn report(self, error: Error) -> Code {
        let code = error.code();
        if !self.0.is_null() {
            let handle = catch_unwind(move || handle_of(error)).unwrap_or(ptr::null_mut());
            // SAFETY: as in `new`.
            unsafe { self.0.write(handle) }
        }
        code
    }
}

fn of<T>(name: &'static str, error: *const s3dlio_error, none: T, f: impl FnOnce(&ErrorValue) -> T) -> T
where
    T: Copy,
{
    guard::value(name, none, || handle::peek(error).map_or(none, |error| f(&error)))
}

/// The status that the failed call returned: one of S3DLIO_ERR_*.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_code(error: *const s3dlio_error) -> i32 {
    of("s3dlio_error_code", error, 0, |e| e.error.code() as i32)
}

/// The whole error in one line: operation, URI, what was wrong, code, HTTP status, errno, causes and
/// hint. UTF-8, for people; do not parse it.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_message(error: *const s3dlio_error) -> *const c_char {
    of("s3dlio_error_message", error, ptr::null(), |e| e.message.as_ptr())
}

/// 1 if the same call may succeed later without any change, else 0.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_retryable(error: *const s3dlio_error) -> i32 {
    of("s3dlio_error_retryable", error, 0, |e| i32::from(e.error.retryable()))
}

/// The HTTP status of the server's answer; 0 if there was none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_http_status(error: *const s3dlio_error) -> i32 {
    of("s3dlio_error_http_status", error, 0, |e| e.error.http_status().map_or(0, i32::from))
}

/// The errno of the failed system call; 0 if there was none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_os_errno(error: *const s3dlio_error) -> i32 {
    of("s3dlio_error_os_errno", error, 0, |e| e.error.os_errno().unwrap_or(0))
}

/// How many details the error has, for s3dlio_error_detail_at.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_detail_count(error: *const s3dlio_error) -> usize {
    of("s3dlio_error_detail_count", error, 0, |e| e.details.len())
}

/// The detail at `index`: its key and value, which live as long as the error. Either pointer may be
/// NULL. Returns S3DLIO_OK, S3DLIO_END past the last detail, S3DLIO_ERR_INVALID_ARGUMENT for a NULL
/// handle, S3DLIO_ERR_BAD_HANDLE for a stale one.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_detail_at(
    error: *const s3dlio_error,
    index: usize,
    key: *mut *const c_char,
    value: *mut *const c_char,
) -> i32 {
    // SAFETY: the promise of the module `ffi`: no error is asked for, the outputs are NULL or valid.
    unsafe {
        guard::step("s3dlio_error_detail_at", ptr::null_mut(), || {
            let error = handle::get(error)?;
            let Some(detail) = error.details.get(index) else { return Ok(super::types::S3DLIO_END) };
            for (out, text) in [(key, &detail.0), (value, &detail.1)] {
                if !out.is_null() {
                    out.write(text.as_ptr());
                }
            }
            Ok(super::types::S3DLIO_OK)
        })
    }
}

/// The value of the detail `key`, which lives as long as the error; NULL if the error has no such
/// detail. Keys: operation, uri, request_id, attempts, elapsed_ms, hint, and by code: required (the
/// size in bytes that S3DLIO_ERR_BUFFER_TOO_SMALL wants), expected and actual (checksums), offset.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_detail(
    error: *const s3dlio_error,
    key: *const c_char,
) -> *const c_char {
    of("s3dlio_error_detail", error, ptr::null(), |e| {
        // SAFETY: the promise of the module `ffi`.
        let Ok(key) = (unsafe { super::convert::text(key, "key") }) else { return ptr::null() };
        let found = e.details.iter().find(|(known, _)| known.to_bytes() == key.as_bytes());
        found.map_or(ptr::null(), |(_, value)| value.as_ptr())
    })
}

/// Frees the error. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_error_free(error: *mut s3dlio_error) {
    guard::free("s3dlio_error_free", error);
}
