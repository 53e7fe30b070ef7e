//! Profiles
//!
//! Where the CPU time of the process goes, as a flamegraph: docs/tracing.md. One profile at a time, of all
//! threads. The functions are in every build; they work in one with the cargo feature "profiling"
//! (s3dlio_has_feature), elsewhere they answer S3DLIO_ERR_UNSUPPORTED. Any thread.

use super::convert::optional_text;
use super::guard;
use super::types::*;
use crate::profile;
use std::ffi::c_char;
use std::path::Path;

/// Starts to sample the stacks of all threads, `hz` times in a second of CPU time, at most 1000; 0 takes 199. Uses
/// SIGPROF, which is ignored afterwards.
/// Errors: UNSUPPORTED, INVALID_ARGUMENT, INVALID_STATE (a profile is running, or the program has a handler of
/// SIGPROF), FORKED (the parent was being profiled).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_profile_start(hz: u32, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe { guard::call("s3dlio_profile_start", err, || profile::start(hz)) }
}

/// Ends the profile and writes it to the file at `path` as an SVG; NULL drops it. Where the file cannot be written the
/// profile goes on.
/// Errors: UNSUPPORTED, INVALID_STATE (none is running, or no sample was taken), FORKED, and those of files.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_profile_stop(path: *const c_char, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_profile_stop", err, || profile::stop(optional_text(path, "path")?.map(Path::new)))
    }
}
