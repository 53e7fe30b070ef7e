//! The system calls of the local stores, each as a safe function with `io::Result`; interrupted
//! calls are repeated here and nowhere else. What differs between systems is in `platform`.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

#[cfg(target_os = "linux")]
#[path = "linux/sys.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "other/sys.rs"]
mod platform;

pub use platform::*;

/// What a name in a folder stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    File,
    Folder,
    Link,
    /// A device, pipe or socket: never an object.
    Special,
}

/// The facts of a file that matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    pub device: u64,
    pub inode: u64,
    /// Last modification in nanoseconds since 1970.
    pub modified: i128,
    /// How many names the file has.
    pub names: u64,
}

/// Repeats a call while it is interrupted by a signal; -1 means errno.
pub(super) fn repeat<T: PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> Result<T> {
    loop {
        let result = call();
        if result != T::from(-1) {
            return Ok(result);
        }
        let error = Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

/// A path or name for a system call; a NUL inside is `EINVAL`.
pub fn name(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

/// Opens a path from the working directory on.
pub fn open(path: &CStr, flags: i32) -> Result<OwnedFd> {
    // SAFETY: `path` is NUL-terminated; a new descriptor has no other owner.
    unsafe {
        repeat(|| libc::open(path.as_ptr(), flags | libc::O_CLOEXEC)).map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// Opens a name in a folder; `mode` is for new files.
pub fn open_at(folder: BorrowedFd, name: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: `name` is NUL-terminated, `folder` is open; a new descriptor has no other owner.
    unsafe {
        repeat(|| libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, mode as libc::c_uint))
            .map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// The facts of an open file.
pub fn stat(fd: BorrowedFd) -> Result<Stat> {
    // SAFETY: `stat` is plain data that a successful call fills.
    unsafe {
        let mut raw: libc::stat = std::mem::zeroed();
        repeat(|| libc::fstat(fd.as_raw_fd(), &mut raw))?;
        Ok(Stat::from_raw(&raw))
    }
}

/// The facts of a name in a folder; of a symbolic link itself, not of what it points at.
pub fn stat_at(folder: BorrowedFd, name: &CStr) -> Result<Stat> {
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `name` is NUL-terminated; `stat` is plain data that a successful call fills.
    unsafe {
        let mut raw: libc::stat = std::mem::zeroed();
        repeat(|| libc::fstatat(folder.as_raw_fd(), name.as_ptr(), &mut raw, flags))?;
        Ok(Stat::from_raw(&raw))
    }
}

impl Stat {
    #[allow(clippy::unnecessary_cast)] // the fields' types differ between systems
    fn from_raw(raw: &libc::stat) -> Stat {
        let kind = match raw.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Folder,
            libc::S_IFLNK => Kind::Link,
            _ => Kind::Special,
        };
        Stat {
            kind,
            size: raw.st_size as u64,
            device: raw.st_dev as u64,
            inode: raw.st_ino as u64,
            modified: raw.st_mtime as i128 * 1_000_000_000 + raw.st_mtime_nsec as i128,
            names: raw.st_nlink as u64,
        }
    }
}

/// Makes a folder; the umask applies.
pub fn make_folder(folder: BorrowedFd, name: &CStr) -> Result<()> {
    // SAFETY: `name` is NUL-terminated, `folder` is open.
    unsafe { repeat(|| libc::mkdirat(folder.as_raw_fd(), name.as_ptr(), 0o777)).map(drop) }
}

/// Removes a name that is no folder.
pub fn unlink(folder: BorrowedFd, name: &CStr) -> Result<()> {
    // SAFETY: `name` is NUL-terminated, `folder` is open.
    unsafe { repeat(|| libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0)).map(drop) }
}

/// Removes an empty folder.
pub fn remove_folder(folder: BorrowedFd, name: &CStr) -> Result<()> {
    // SAFETY: `name` is NUL-terminated, `folder` is open.
    unsafe { repeat(|| libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR)).map(drop) }
}

/// Moves a name, replacing a file of the new name.
pub fn rename(from: BorrowedFd, old: &CStr, to: BorrowedFd, new: &CStr) -> Result<()> {
    // SAFETY: both names are NUL-terminated, both folders open.
    unsafe {
        repeat(|| libc::renameat(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr())).map(drop)
    }
}

/// Gives a file a second name; `EEXIST` where there is one.
pub fn link(from: BorrowedFd, old: &CStr, to: BorrowedFd, new: &CStr) -> Result<()> {
    // SAFETY: both names are NUL-terminated, both folders open.
    unsafe {
        repeat(|| libc::linkat(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr(), 0)).map(drop)
    }
}

/// What a symbolic link says.
pub fn read_link(folder: BorrowedFd, name: &CStr) -> Result<Vec<u8>> {
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `target` has the length that is passed; `name` is NUL-terminated.
    let n = unsafe {
        repeat(|| {
            libc::readlinkat(folder.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len())
        })?
    };
    target.truncate(n as usize);
    Ok(target)
}

/// Takes the exclusive advisory lock of an open file or folder, waiting for it.
pub fn lock(fd: BorrowedFd) -> Result<()> {
    // SAFETY: takes no pointers.
    unsafe { repeat(|| libc::flock(fd.as_raw_fd(), libc::LOCK_EX)).map(drop) }
}

/// As [`lock`]; `false` where somebody else has it.
pub fn try_lock(fd: BorrowedFd) -> Result<bool> {
    // SAFETY: takes no pointers.
    match unsafe { repeat(|| libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB)) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a lock back, also where a forked child shares the descriptor.
pub fn unlock(fd: BorrowedFd) -> Result<()> {
    // SAFETY: takes no pointers.
    unsafe { repeat(|| libc::flock(fd.as_raw_fd(), libc::LOCK_UN)).map(drop) }
}

/// Sets the last modification (and access) to `nanoseconds` since 1970.
pub fn set_modified(file: &File, nanoseconds: i64) -> Result<()> {
    let time = libc::timespec {
        tv_sec: (nanoseconds / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanoseconds % 1_000_000_000) as _,
    };
    let times = [time, time];
    // SAFETY: `times` holds the two values that the call reads.
    unsafe { repeat(|| libc::futimens(file.as_raw_fd(), times.as_ptr())).map(drop) }
}

/// Reads until `dst` is full or the file ends; says how much it was.
pub fn read_at(file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < dst.len() {
        match read_some_at(file, offset + done as u64, &mut dst[done..])? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// One read, which may be short.
pub fn read_some_at(file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
    loop {
        match file.read_at(dst, offset) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            done => return done,
        }
    }
}

/// Writes all of `data`.
pub fn write_all_at(file: &File, offset: u64, data: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < data.len() {
        match write_some_at(file, offset + done as u64, &data[done..])? {
            0 => return Err(Error::from_raw_os_error(libc::EIO)),
            n => done += n,
        }
    }
    Ok(())
}

/// One write, which may be short.
pub fn write_some_at(file: &File, offset: u64, data: &[u8]) -> Result<usize> {
    loop {
        match file.write_at(data, offset) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            done => return done,
        }
    }
}

/// Flushes data and facts of a file, or the names of a folder, to the device.
pub fn sync(fd: BorrowedFd) -> Result<()> {
    borrowed_file(&fd).sync_all()
}

/// When a file was made, where the file system knows.
pub fn born(fd: BorrowedFd) -> Option<std::time::SystemTime> {
    borrowed_file(&fd).metadata().and_then(|meta| meta.created()).ok()
}

/// A `File` that does not close the descriptor.
fn borrowed_file<'a>(fd: &'a BorrowedFd) -> impl std::ops::Deref<Target = File> + use<'a> {
    // SAFETY: the descriptor is open as long as `fd`, and this `File` never closes it.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// The names in a folder without `.` and `..`, in no order; the kind is `None` where the file system does not say.
pub fn read_folder(folder: BorrowedFd) -> Result<Vec<(Vec<u8>, Option<Kind>)>> {
    let own = open_at(folder, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    // SAFETY: `fdopendir` takes the descriptor over when it succeeds; else it is closed here.
    let stream = unsafe {
        let raw = own.into_raw_fd();
        let stream = libc::fdopendir(raw);
        if stream.is_null() {
            let error = Error::last_os_error();
            drop(OwnedFd::from_raw_fd(raw));
            return Err(error);
        }
        stream
    };
    let mut names = Vec::new();
    let outcome = loop {
        clear_errno();
        // SAFETY: `stream` is open; the entry is read before the next call on the stream.
        unsafe {
            let entry = libc::readdir(stream);
            if entry.is_null() {
                let error = Error::last_os_error();
                break if error.raw_os_error() == Some(0) { Ok(()) } else { Err(error) };
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr()).to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match (*entry).d_type {
                libc::DT_REG => Some(Kind::File),
                libc::DT_DIR => Some(Kind::Folder),
                libc::DT_LNK => Some(Kind::Link),
                libc::DT_UNKNOWN => None,
                _ => Some(Kind::Special),
            };
            names.push((name.to_vec(), kind));
        }
    };
    // SAFETY: `stream` is open and not used afterwards.
    unsafe { libc::closedir(stream) };
    outcome.map(|()| names)
}

/// The size of a memory page in bytes.
pub fn page_size() -> usize {
    // SAFETY: takes no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|n| n.is_power_of_two()).unwrap_or(4096)
}
