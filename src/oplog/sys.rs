//! What has to be asked of the C library.

/// Has `close` called when the process exits normally, before what was registered earlier.
pub fn at_exit(close: extern "C" fn()) -> bool {
    // SAFETY: a function that takes nothing and never unwinds; the library is never unloaded.
    unsafe { libc::atexit(close) == 0 }
}
