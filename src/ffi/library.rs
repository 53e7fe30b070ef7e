//! The library
//!
//! Any thread, concurrently. Nothing has to be initialised.

use super::convert::{OutStruct, Plain, bytes, text};
use super::types::s3dlio_error;
use super::{guard, handle, status};
use crate::base::buffer::BufferPool;
use crate::base::checksum::Crc32c;
use crate::base::uri::Scheme;
use crate::runtime;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::time::Duration;

/// Numbers of the whole process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_stats {
    /// Bytes in buffers that are kept for reuse.
    pub pool_idle_bytes: u64,
    /// How many of those buffers there are.
    pub pool_idle_buffers: u64,
    /// How often a file system refused O_DIRECT and buffered I/O was used instead.
    pub direct_fallbacks: u64,
    /// Live handles of all types.
    pub handles: u64,
    /// How many operations on files went without io_uring because the system refused it.
    pub io_uring_fallbacks: u64,
}

// SAFETY: five integers.
unsafe impl Plain for s3dlio_stats {}
const _: () = assert!(size_of::<s3dlio_stats>() == 8 * 5);

/// The version's text, with a NUL.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Major and minor of the ABI: before 1.0 the package's minor version is the ABI's major.
const ABI_VERSION: u32 = {
    let (major, minor) = (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")));
    if major == 0 { minor << 16 } else { major << 16 | minor }
};

const fn number(digits: &str) -> u32 {
    let (digits, mut value, mut at) = (digits.as_bytes(), 0, 0);
    while at < digits.len() {
        value = value * 10 + (digits[at] - b'0') as u32;
        at += 1;
    }
    value
}

/// The ABI version of the library that is loaded, as S3DLIO_ABI_VERSION is of this header: major
/// in the upper 16 bits, minor in the lower. A program works with a library of the same major and
/// the same or a larger minor.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_abi_version() -> u32 {
    guard::value("s3dlio_abi_version", 0, || ABI_VERSION)
}

/// The version of the library that is loaded, such as "0.1.0". Static.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_version() -> *const c_char {
    guard::value("s3dlio_version", ptr::null(), || VERSION.as_ptr())
}

/// Whether the library has a feature: 1 or 0. Names: s3, azure, file, direct, memory, zstd,
/// profiling. An unknown name and NULL give 0.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_has_feature(name: *const c_char) -> i32 {
    guard::value("s3dlio_has_feature", 0, || {
        // SAFETY: the promise of the module `ffi`.
        let name = unsafe { text(name, "name") }.unwrap_or_default();
        let scheme = if name == "azure" { Scheme::Azure.name() } else { name };
        if name == "profiling" {
            return i32::from(crate::profile::AVAILABLE);
        }
        i32::from(name == "zstd" || name != "az" && Scheme::ALL.iter().any(|known| known.name() == scheme))
    })
}

/// The name of a status, such as "not_found"; "unknown" for numbers that are none. Static.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_status_name(status: i32) -> *const c_char {
    guard::value("s3dlio_status_name", ptr::null(), || status::name(status).as_ptr())
}

/// What a status means, in one sentence. Static.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_status_doc(status: i32) -> *const c_char {
    guard::value("s3dlio_status_doc", ptr::null(), || status::doc(status).as_ptr())
}

/// Cancels submitted operations, whose events say SHUTDOWN and can be taken afterwards, waits until
/// they, running calls and the clean-up of freed handles are done, at most `timeout_ms` milliseconds,
/// and ends the library's threads. Optional: a program may simply exit. Readers,
/// writers and listers from before return S3DLIO_ERR_SHUTDOWN afterwards; everything else starts the
/// library afresh.
/// Errors: TIMEOUT (work is still running; nothing else changed), WOULD_DEADLOCK.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_shutdown(timeout_ms: u64, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe { guard::call("s3dlio_shutdown", err, || runtime::shutdown(Duration::from_millis(timeout_ms))) }
}

/// CRC32C (Castagnoli) of `length` bytes that follow those that `crc` covers; start with 0. NULL
/// with length 0 is fine; NULL with another length gives `crc` back.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_crc32c(crc: u32, data: *const c_void, length: usize) -> u32 {
    guard::value("s3dlio_crc32c", crc, || {
        // SAFETY: the promise of the module `ffi`.
        let data = unsafe { bytes(data, length) }.unwrap_or_default();
        let mut sum = Crc32c::from_parts(crc, 0);
        sum.update(data);
        sum.value()
    })
}

/// CRC32C of two pieces in a row, from the CRC32C of each and the second's length in bytes.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_crc32c_combine(first: u32, second: u32, second_length: u64) -> u32 {
    guard::value("s3dlio_crc32c_combine", 0, || {
        Crc32c::from_parts(first, 0).combine(Crc32c::from_parts(second, second_length)).value()
    })
}

/// Numbers of the whole process.
/// Errors: INVALID_ARGUMENT.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_get_stats(
    stats: *mut s3dlio_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_get_stats", err, || {
            let out = OutStruct::new(stats, stats_size, "stats")?;
            let pool = BufferPool::global().stats();
            out.set(&s3dlio_stats {
                pool_idle_bytes: pool.idle_bytes,
                pool_idle_buffers: pool.idle_buffers,
                direct_fallbacks: crate::store::direct::fallbacks(),
                handles: handle::live(),
                io_uring_fallbacks: crate::store::posix::io_uring_fallbacks(),
            });
            Ok(())
        })
    }
}
