//! The same calls where the system is not Linux: what it has no counterpart for is refused with the
//! errno that makes the caller take its portable way.

use super::repeat;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Opens for looking names and facts up only.
pub const O_PATH: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

fn unsupported<T>() -> Result<T> {
    Err(Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// There is no such flag.
pub const O_DIRECT: i32 = 0;

/// There is no call that takes it.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow(());

impl OpenHow {
    pub fn new(_flags: i32) -> OpenHow {
        OpenHow(())
    }
}

pub fn open_beneath(_root: BorrowedFd, _path: &CStr, _flags: i32) -> Result<OwnedFd> {
    Err(Error::from_raw_os_error(libc::ENOSYS))
}

pub fn allocate(_file: &File, _offset: u64, _length: u64) -> Result<()> {
    unsupported()
}

pub fn open_unnamed(_folder: BorrowedFd) -> Result<OwnedFd> {
    unsupported()
}

pub fn link_open(_file: BorrowedFd, _folder: BorrowedFd, _name: &CStr) -> Result<()> {
    unsupported()
}

pub fn rename_new(_from: BorrowedFd, _old: &CStr, _to: BorrowedFd, _new: &CStr) -> Result<()> {
    Err(Error::from_raw_os_error(libc::EINVAL))
}

pub fn set_attribute(file: &File, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: `value` has the length that is passed; `name` is NUL-terminated.
    unsafe {
        repeat(|| libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0, 0))
            .map(drop)
    }
}

pub fn attribute(file: &File, name: &CStr, value: &mut [u8]) -> Result<usize> {
    // SAFETY: `value` has the length that is passed; `name` is NUL-terminated.
    let n = unsafe {
        repeat(|| {
            libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len(), 0, 0)
        })?
    };
    Ok(n as usize)
}

pub fn is_no_attribute(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::ENOATTR)
}

pub fn copy_range(_from: &File, _to: &File, _offset: u64, _length: usize) -> Result<usize> {
    unsupported()
}

pub fn begin_flush(_file: &File, _offset: u64, _length: u64) {}

pub fn set_direct(_file: &File, on: bool) -> Result<()> {
    if on { unsupported() } else { Ok(()) }
}

pub fn direct_alignment(_file: &File) -> Option<(usize, usize)> {
    None
}

pub fn clear_errno() {
    // SAFETY: errno of this thread is always writable.
    unsafe { *libc::__error() = 0 }
}
