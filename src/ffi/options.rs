//! Options
//!
//! Options have dotted keys, such as s3.endpoint or transfer.part_size. A value that is not set
//! comes from the environment, else it is the default; s3dlio_option_at tells keys, types, bounds,
//! environment names and meanings. Options are copied where they are used: changing or freeing them
//! later does not matter. Secrets can be set but never be read back.

use super::convert::{Out, OutStruct, Plain, invalid, text};
use super::error::c_string;
use super::guard;
use super::handle::{self, Handle};
use super::types::{s3dlio_buffer, s3dlio_error, s3dlio_options};
use crate::error::Result;
use crate::options::{Options, TABLE};
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

/// One option of the table. All texts are static and NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_option_info {
    /// The dotted key.
    pub key: *const c_char,
    /// bool, count, size (bytes; also "16MiB"), ms, text, secret or choice.
    pub r#type: *const c_char,
    /// The default as text; "" if there is none.
    pub default_value: *const c_char,
    /// What is accepted: "1..=100", "zstd|none"; "" for any text.
    pub bounds: *const c_char,
    /// Environment variables that set it, separated by spaces; the first one that is set wins.
    pub env: *const c_char,
    /// What it does.
    pub doc: *const c_char,
}

// SAFETY: six nullable pointers.
unsafe impl Plain for s3dlio_option_info {}
const _: () = assert!(size_of::<s3dlio_option_info>() == 8 * 6);

/// Never changed in place: a set puts a changed copy in its place, see `handle::replace`.
impl Handle for s3dlio_options {
    const KIND: u64 = 3;
    const NAME: &'static str = "options";
    type Value = Options;
}

/// The caller's options; none are set where the handle is NULL.
pub fn given(options: *const s3dlio_options) -> Result<Options> {
    if options.is_null() { Ok(Options::new()) } else { Ok(handle::get(options)?.clone()) }
}

/// A set of options of which none is set.
/// Errors: INVALID_ARGUMENT.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_new(
    options: *mut *mut s3dlio_options,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_options_new", err, || Out::new(options, "options")?.set_handle(Options::new()))
    }
}

fn change(options: *const s3dlio_options, f: impl FnOnce(&mut Options) -> Result<()>) -> Result<()> {
    let used = handle::get(options)?;
    let mut changed = used.clone();
    f(&mut changed)?;
    handle::replace(options, &used, changed)
}

/// Sets an option from text.
/// Errors: INVALID_ARGUMENT (NULL, not UTF-8), BAD_HANDLE, UNKNOWN_OPTION (the error names the
/// nearest key), INVALID_OPTION (wrong type or out of bounds), INVALID_STATE (another thread changes
/// the same options).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_set(
    options: *mut s3dlio_options,
    key: *const c_char,
    value: *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_options_set", err, || {
            let (key, value) = (text(key, "key")?, text(value, "value")?);
            change(options, |options| options.set(key, value))
        })
    }
}

/// Sets an option of type count, size (in bytes) or ms.
/// Errors: as s3dlio_options_set.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_set_u64(
    options: *mut s3dlio_options,
    key: *const c_char,
    value: u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_options_set_u64", err, || {
            let key = text(key, "key")?;
            change(options, |options| options.set_u64(key, value))
        })
    }
}

/// The value in force as text: the one set, else the environment's, else the default; a secret is
/// "***" if there is one. `options` may be NULL: nothing is set. The result is NUL-terminated
/// text; its size does not count the NUL. The caller frees it.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, UNKNOWN_OPTION, INVALID_OPTION (the environment's value).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_get(
    options: *const s3dlio_options,
    key: *const c_char,
    value: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_options_get", err, || {
            let out = Out::new(value, "value")?;
            let shown = given(options)?.get(text(key, "key")?)?;
            out.set_handle(super::buffer::BufferValue::text(&shown)?)
        })
    }
}

/// An independent copy.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_clone(
    options: *const s3dlio_options,
    clone: *mut *mut s3dlio_options,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_options_clone", err, || {
            let out = Out::new(clone, "clone")?;
            out.set_handle(handle::get(options)?.clone())
        })
    }
}

/// Frees the options. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_options_free(options: *mut s3dlio_options) {
    guard::free("s3dlio_options_free", options);
}

/// How many options there are.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_option_count() -> usize {
    guard::value("s3dlio_option_count", 0, || TABLE.len())
}

/// Describes the option at `index`, which counts from 0, in the order of the keys.
/// Errors: INVALID_ARGUMENT (also where index is not less than s3dlio_option_count).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_option_at(
    index: usize,
    info: *mut s3dlio_option_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_option_at", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            let [key, kind, default, bounds, env, doc] = option_texts()
                .get(index)
                .ok_or_else(|| invalid(format!("there are only {} options", TABLE.len())))?;
            out.set(&s3dlio_option_info {
                key: key.as_ptr(),
                r#type: kind.as_ptr(),
                default_value: default.as_ptr(),
                bounds: bounds.as_ptr(),
                env: env.as_ptr(),
                doc: doc.as_ptr(),
            });
            Ok(())
        })
    }
}

/// The table in C's form.
fn option_texts() -> &'static [[CString; 6]] {
    static TEXTS: OnceLock<Vec<[CString; 6]>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let texts = TABLE.iter().map(|def| {
            let parts =
                [def.key, def.kind.name(), def.default, &def.kind.bounds(), &def.env.join(" "), def.doc];
            parts.map(c_string)
        });
        texts.collect()
    })
}
