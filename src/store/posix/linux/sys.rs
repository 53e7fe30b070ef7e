//! System calls that only Linux has, or has in this form.

use super::repeat;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens for looking names and facts up only.
pub const O_PATH: i32 = libc::O_PATH;

/// Opens for I/O past the page cache.
pub const O_DIRECT: i32 = libc::O_DIRECT;

/// How [`open_beneath`] opens.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow(pub(in crate::store::posix) libc::open_how);

impl OpenHow {
    pub fn new(flags: i32) -> OpenHow {
        // SAFETY: all zero is valid for this plain data.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (flags | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        OpenHow(how)
    }
}

/// Opens `path` below `root`; every step must stay below it (`EXDEV` otherwise), and the links of
/// /proc are not followed (`ELOOP`). `ENOSYS` or `EPERM` where the kernel or its sandbox refuses the call.
pub fn open_beneath(root: BorrowedFd, path: &CStr, flags: i32) -> Result<OwnedFd> {
    let how = OpenHow::new(flags).0;
    // SAFETY: `how` is plain data of the size that is passed; a new descriptor has no other owner.
    unsafe {
        let size = size_of::<libc::open_how>();
        let fd = repeat(|| {
            libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const how, size)
        })?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A file without a name on the file system of `folder`.
pub fn open_unnamed(folder: BorrowedFd) -> Result<OwnedFd> {
    if !has_proc() {
        return Err(Error::from_raw_os_error(libc::EOPNOTSUPP)); // it could not be given a name
    }
    super::open_at(folder, c".", libc::O_TMPFILE | libc::O_RDWR, 0o666)
}

/// Gives a file of [`open_unnamed`] a name; `EEXIST` where there is one.
pub fn link_open(file: BorrowedFd, folder: BorrowedFd, name: &CStr) -> Result<()> {
    let path = super::name(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let flags = libc::AT_SYMLINK_FOLLOW;
    // SAFETY: both names are NUL-terminated, the folder is open.
    unsafe {
        repeat(|| libc::linkat(libc::AT_FDCWD, path.as_ptr(), folder.as_raw_fd(), name.as_ptr(), flags))
            .map(drop)
    }
}

fn has_proc() -> bool {
    static PROC: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *PROC.get_or_init(|| std::path::Path::new("/proc/self/fd").is_dir())
}

/// Moves a name; `EEXIST` where the new one is taken, `EINVAL` where the file system cannot.
pub fn rename_new(from: BorrowedFd, old: &CStr, to: BorrowedFd, new: &CStr) -> Result<()> {
    // SAFETY: both names are NUL-terminated, both folders open.
    unsafe {
        repeat(|| {
            libc::syscall(
                libc::SYS_renameat2,
                from.as_raw_fd(),
                old.as_ptr(),
                to.as_raw_fd(),
                new.as_ptr(),
                libc::RENAME_NOREPLACE,
            )
        })
        .map(drop)
    }
}

/// Sets an extended attribute.
pub fn set_attribute(file: &File, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: `value` has the length that is passed; `name` is NUL-terminated.
    unsafe {
        repeat(|| libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0))
            .map(drop)
    }
}

/// Reads an extended attribute into `value` and says its length: `ENODATA` where there is none,
/// `ERANGE` where it is longer, `EOPNOTSUPP` where the file system has none.
pub fn attribute(file: &File, name: &CStr, value: &mut [u8]) -> Result<usize> {
    // SAFETY: `value` has the length that is passed; `name` is NUL-terminated.
    let n = unsafe {
        repeat(|| libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()))?
    };
    Ok(n as usize)
}

/// Whether the error says that there is no such attribute.
pub fn is_no_attribute(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::ENODATA)
}

/// Copies within the kernel, sharing blocks where the file system can; says how much was copied.
pub fn copy_range(from: &File, to: &File, offset: u64, length: usize) -> Result<usize> {
    let (mut read, mut written) = (offset as libc::off64_t, offset as libc::off64_t);
    // SAFETY: both offsets are valid for the call.
    let n = unsafe {
        repeat(|| {
            libc::copy_file_range(from.as_raw_fd(), &mut read, to.as_raw_fd(), &mut written, length, 0)
        })?
    };
    Ok(n as usize)
}

/// Gives bytes of a file their room on the device; they are zero, and the file is at least that long,
/// afterwards. `EOPNOTSUPP` where the file system cannot, `ENOSPC` where there is no room.
pub fn allocate(file: &File, offset: u64, length: u64) -> Result<()> {
    let number = |n| libc::off_t::try_from(n).map_err(|_| Error::from_raw_os_error(libc::EFBIG));
    let (offset, length) = (number(offset)?, number(length)?);
    // SAFETY: takes no pointers.
    unsafe { repeat(|| libc::fallocate(file.as_raw_fd(), 0, offset, length)).map(drop) }
}

/// Starts to write dirty pages to the device, without waiting for them. It may do nothing: only a later flush
/// says whether they arrived.
pub fn begin_flush(file: &File, offset: u64, length: u64) {
    // SAFETY: takes no pointers.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset.cast_signed(),
            length.cast_signed(),
            libc::SYNC_FILE_RANGE_WRITE,
        );
    }
}

/// Turns O_DIRECT on or off; `EINVAL` where the file system refuses it.
pub fn set_direct(file: &File, on: bool) -> Result<()> {
    // SAFETY: takes no pointers.
    unsafe {
        let flags = repeat(|| libc::fcntl(file.as_raw_fd(), libc::F_GETFL))?;
        let flags = if on { flags | libc::O_DIRECT } else { flags & !libc::O_DIRECT };
        repeat(|| libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags)).map(drop)
    }
}

/// What O_DIRECT asks of this file: alignment of memory and of offsets, in bytes; (0, 0) where it is
/// refused, `None` where the kernel does not say.
pub fn direct_alignment(file: &File) -> Option<(usize, usize)> {
    // SAFETY: `raw` is plain data that a successful call fills.
    unsafe {
        let mut raw: libc::statx = std::mem::zeroed();
        repeat(|| {
            libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, &mut raw)
        })
        .ok()?;
        let known = raw.stx_mask & libc::STATX_DIOALIGN != 0;
        known.then_some((raw.stx_dio_mem_align as usize, raw.stx_dio_offset_align as usize))
    }
}

/// Sets errno to 0, where a call reports its failure through errno alone.
pub fn clear_errno() {
    // SAFETY: errno of this thread is always writable.
    unsafe { *libc::__errno_location() = 0 }
}
