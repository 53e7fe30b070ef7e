//! What has to be asked of the C library.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Has `close` called when the process exits normally, before what was registered earlier.
pub fn at_exit(close: extern "C" fn()) -> bool {
    // SAFETY: a function that takes nothing and never unwinds; the library is never unloaded.
    unsafe { libc::atexit(close) == 0 }
}

/// Has writes to a file that was opened with `O_NONBLOCK` wait again.
pub fn wait_for_room(file: &File) -> io::Result<()> {
    // SAFETY: `file` keeps the descriptor open; the call takes and gives plain flags.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
