//! Atomic publication: a file gets its final name when it is whole, recorded and flushed, or never.
//!
//! A write goes to an unnamed file (`O_TMPFILE`), which vanishes with the process. A new name is
//! given with `linkat`, which is atomic and refuses a taken name, so it also serves create-only. A
//! replacement links to a temporary name and renames, both under the folder's lock; if-match
//! compares under the same lock, and deletes take it too. File systems without unnamed files get a
//! named temporary file instead.

use super::facts::{Record, etag};
use super::sys;
use super::temp;
use super::tree::{MAX_PRUNED, Tree, failed_to, split};
use crate::error::{Code, Error, Result};
use crate::store::{PutCondition, PutResult, check_condition};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

/// A file that is being written and has no final name yet. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) file: File,
    folder: OwnedFd,
    /// Whether `folder` is the key's own folder and not one above it.
    in_place: bool,
    /// Where the file system has no unnamed files.
    name: Option<CString>,
    /// A forked child must not remove its parent's file.
    process: u32,
}

impl Staged {
    /// A file on the file system where `key` will be. Missing folders are not made before
    /// publication, so that an abort leaves none.
    pub(super) fn create(tree: &Tree, key: &str) -> Result<Staged> {
        for _ in 0..MAX_PRUNED {
            let (folder, in_place) = tree.nearest_folder(split(key).0)?;
            match create_in(folder.as_fd()) {
                Ok((fd, name)) => {
                    let process = std::process::id();
                    return Ok(Staged { file: File::from(fd), folder, in_place, name, process });
                }
                Err(e) if was_pruned(&e, folder.as_fd()) => {}
                Err(e) => return Err(Error::from_io("cannot create a temporary file", &e)),
            }
        }
        Err(pruned())
    }

    /// Gives the file its record and its name. Afterwards it is the object `key`, unless the error
    /// is that of the last flush, and says so.
    pub(super) fn publish(
        self,
        tree: &Tree,
        key: &str,
        condition: &PutCondition,
        record: &Record,
    ) -> Result<PutResult> {
        let etag = self.seal(tree, record)?;
        let folder = self.place(tree, key, condition);
        if folder.is_err()
            && !self.in_place
            && let Ok(root) = tree.root()
        {
            tree.prune(root.as_fd(), split(key).0);
        }
        if tree.sync {
            sys::sync(folder?.as_fd()).map_err(|e| {
                Error::from_io(
                    "the object is in place, but its folder could not be flushed to the device",
                    &e,
                )
                .with_code(Code::UnknownOutcome)
                .with_hint("the object can be read, but may be gone after a power failure")
            })?;
        } else {
            folder?;
        }
        Ok(PutResult { etag: Some(etag), version: None })
    }

    /// Sets time and record, and flushes. An error of the flush is final: the system may have
    /// dropped the bytes, so trying again could succeed falsely.
    fn seal(&self, tree: &Tree, record: &Record) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        sys::set_modified(&self.file, now)
            .map_err(|e| Error::from_io("cannot set the modification time", &e))?;
        let stat = sys::stat(self.file.as_fd()).map_err(|e| Error::from_io("cannot stat the file", &e))?;
        record.write(&self.file, &stat)?;
        if tree.sync {
            sys::sync(self.file.as_fd())
                .map_err(|e| Error::from_io("cannot flush the file to the device", &e))?;
        }
        Ok(etag(&stat))
    }

    /// Gives the file its name and returns its folder.
    fn place(&self, tree: &Tree, key: &str, condition: &PutCondition) -> Result<OwnedFd> {
        let (path, name) = split(key);
        let name = sys::name(name).map_err(|e| failed_to("use the name", &e))?;
        for attempt in 0..MAX_PRUNED {
            let folder = if attempt == 0 && self.in_place {
                self.folder.try_clone().map_err(|e| Error::from_io("cannot keep the folder open", &e))?
            } else {
                tree.make_folder(path)?
            };
            match self.place_in(tree, folder.as_fd(), key, &name, condition)? {
                Ok(()) => {
                    temp::clean_slot(folder.as_fd());
                    return Ok(folder);
                }
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {} // pruned meanwhile
                Err(e) => return Err(failed_to("give the file its name", &e)),
            }
        }
        Err(pruned())
    }

    /// The outer error is a refusal by the condition, the inner one of a system call.
    fn place_in(
        &self,
        tree: &Tree,
        folder: BorrowedFd,
        key: &str,
        name: &CStr,
        condition: &PutCondition,
    ) -> Result<io::Result<()>> {
        match condition {
            PutCondition::Always => {
                if self.name.is_none() {
                    match self.attach(folder, name) {
                        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
                        attached => return Ok(attached),
                    }
                }
                let lock = FolderLock::take(folder)?;
                self.replace(folder, name, lock.is_some())
            }
            PutCondition::CreateOnly => match self.attach(folder, name) {
                Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {
                    let is_folder =
                        sys::stat_at(folder, name).is_ok_and(|stat| stat.kind == sys::Kind::Folder);
                    if is_folder {
                        make_way(folder, name)?;
                        return Ok(self.attach(folder, name));
                    }
                    check_condition(condition, Some(""))?;
                    Ok(Err(e))
                }
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Err(Error::new(
                    Code::Unsupported,
                    "this file system has neither hard links nor renames that refuse a taken name",
                )
                .with_errno(libc::EOPNOTSUPP)),
                attached => Ok(attached),
            },
            PutCondition::IfMatch(_) => {
                let Some(_lock) = FolderLock::take(folder)? else {
                    return Err(Error::new(
                        Code::Unsupported,
                        "this file system has no locks, so if-match cannot be atomic",
                    ));
                };
                let present = match tree.open_object(key) {
                    Ok((_, stat)) => Some(etag(&stat)),
                    Err(e) if e.code() == Code::NotFound => None,
                    Err(e) => return Err(e),
                };
                check_condition(condition, present.as_deref())?;
                self.replace(folder, name, true)
            }
        }
    }

    /// Gives the file a name that must be free (`EEXIST`).
    fn attach(&self, folder: BorrowedFd, name: &CStr) -> io::Result<()> {
        let Some(own) = &self.name else {
            return sys::link_open(self.file.as_fd(), folder, name);
        };
        match sys::link(self.folder.as_fd(), own, folder, name) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)) => {
                sys::rename_new(self.folder.as_fd(), own, folder, name).map_err(|e| match e.raw_os_error() {
                    Some(libc::EINVAL | libc::ENOSYS) => io::Error::from_raw_os_error(libc::EOPNOTSUPP),
                    _ => e,
                })
            }
            linked => linked, // the temporary name goes when this is dropped
        }
    }

    /// Gives the file a name that may be taken by another file.
    fn replace(&self, folder: BorrowedFd, name: &CStr, locked: bool) -> Result<io::Result<()>> {
        if let Some(own) = &self.name {
            return rename_over(self.folder.as_fd(), own, folder, name);
        }
        let slot = match self.link_to_slot(folder, locked) {
            Ok(slot) => slot,
            Err(e) => return Ok(Err(e)),
        };
        let renamed = rename_over(folder, &slot, folder, name);
        if !matches!(renamed, Ok(Ok(()))) {
            // The end of the file: what had a name once cannot get another one without it.
            let _ = sys::unlink(folder, &slot); // if it remains, a later writer removes it
        }
        renamed
    }

    /// Gives the unnamed file the name that it is renamed from.
    fn link_to_slot(&self, folder: BorrowedFd, locked: bool) -> io::Result<CString> {
        if !locked {
            temp::sweep_once(folder);
            let slot = temp::unique_name()?;
            let _ = sys::try_lock(self.file.as_fd()); // tells a sweep that we are alive
            return sys::link_open(self.file.as_fd(), folder, &slot).map(|()| slot);
        }
        match sys::link_open(self.file.as_fd(), folder, temp::SLOT) {
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {
                // Left behind by a writer that was killed: we have the lock, so nobody uses it.
                sys::unlink(folder, temp::SLOT)?;
                sys::link_open(self.file.as_fd(), folder, temp::SLOT)?;
            }
            linked => linked?,
        }
        Ok(temp::SLOT.to_owned())
    }
}

/// Renames over a file, or over a folder with nothing in it.
fn rename_over(from: BorrowedFd, old: &CStr, to: BorrowedFd, new: &CStr) -> Result<io::Result<()>> {
    refuse_special(to, new)?;
    match sys::rename(from, old, to, new) {
        Err(e) if e.raw_os_error() == Some(libc::EISDIR) => {
            make_way(to, new)?;
            Ok(sys::rename(from, old, to, new))
        }
        renamed => Ok(renamed),
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && self.process == std::process::id()
        {
            let _ = sys::unlink(self.folder.as_fd(), name); // renamed by a publication, mostly
        }
    }
}

/// An open file and, where it could not do without, its name in `folder`.
fn create_in(folder: BorrowedFd) -> io::Result<(OwnedFd, Option<CString>)> {
    match sys::open_unnamed(folder) {
        // EISDIR and EINVAL: kernels and file systems that do not know the flag.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
            create_named(folder).map(|(fd, name)| (fd, Some(name)))
        }
        opened => opened.map(|fd| (fd, None)),
    }
}

/// Whether a file could not be made because its folder is gone; ext4 says EPERM for unnamed ones.
fn was_pruned(e: &io::Error, folder: BorrowedFd) -> bool {
    match e.raw_os_error() {
        Some(libc::ENOENT) => true,
        Some(libc::EPERM) => sys::stat(folder).is_ok_and(|stat| stat.names == 0),
        _ => false,
    }
}

fn create_named(folder: BorrowedFd) -> io::Result<(OwnedFd, CString)> {
    temp::sweep_once(folder);
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_NOFOLLOW;
    loop {
        let name = temp::unique_name()?;
        let fd = sys::open_at(folder, &name, flags, 0o666)?;
        // The lock says that the writer is alive. A sweep between the two calls took it first and
        // removed the file; then another one is made.
        let ours = sys::try_lock(fd.as_fd()).unwrap_or(true);
        if ours && sys::stat(fd.as_fd())?.names > 0 {
            return Ok((fd, name));
        }
    }
}

/// A device, pipe or socket is no object that could be replaced: `/dev/null` has to stay what it is.
pub(super) fn refuse_special(folder: BorrowedFd, name: &CStr) -> Result<()> {
    match sys::stat_at(folder, name) {
        Ok(stat) if stat.kind == sys::Kind::Special => {
            let error = Error::new(Code::InvalidKey, "there is a device, pipe or socket of this name");
            Err(error.with_hint("objects are stored in files of their own: choose another name"))
        }
        // What else is there, and whether it can be looked at, the rename itself tells.
        _ => Ok(()),
    }
}

/// Removes an empty folder that has the name of an object; one with something in it stays.
fn make_way(folder: BorrowedFd, name: &CStr) -> Result<()> {
    sys::remove_folder(folder, name).map_err(|_| {
        Error::new(Code::InvalidKey, "there is a folder of this name, with something in it")
            .with_errno(libc::EISDIR)
            .with_hint("in a file system a name is either a file or a folder")
    })
}

fn pruned() -> Error {
    Error::new(Code::Io, "the folder of the key is removed again and again").with_retryable(true)
}

/// The lock of a folder in which names are replaced or removed.
#[derive(Debug)]
pub(super) struct FolderLock<'a>(BorrowedFd<'a>);

impl<'a> FolderLock<'a> {
    /// Waits for the lock; `None` where the file system has none.
    pub(super) fn take(folder: BorrowedFd<'a>) -> Result<Option<FolderLock<'a>>> {
        match sys::lock(folder) {
            Ok(()) => Ok(Some(FolderLock(folder))),
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EBADF | libc::EINVAL | libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS)
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(Error::from_io("cannot lock the folder", &e)),
        }
    }
}

impl Drop for FolderLock<'_> {
    fn drop(&mut self) {
        let _ = sys::unlock(self.0); // closing the folder does it too
    }
}
