//! The descriptors behind [`Wake`](super::wake::Wake).

use std::fs::File;
use std::io;
#[cfg(not(target_os = "linux"))]
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;

/// A descriptor to read from, and the one to write to where that is another. Neither blocks, and
/// neither passes to another program through exec().
#[cfg(target_os = "linux")]
pub fn signal() -> io::Result<(File, Option<File>)> {
    // SAFETY: plain numbers; the result is checked below.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok((unsafe { File::from_raw_fd(fd) }, None))
}

/// As on Linux, with a pipe.
#[cfg(not(target_os = "linux"))]
pub fn signal() -> io::Result<(File, Option<File>)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (std::os::fd::OwnedFd::from(reader), std::os::fd::OwnedFd::from(writer));
    for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
        // SAFETY: the descriptor is open; only its flags change.
        if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((File::from(reader), Some(File::from(writer))))
}
