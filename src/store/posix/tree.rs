//! The folder that a local store is opened at, and how keys become files below it.

use super::sys::{self, Kind, Stat};
use super::{confine, temp};
use crate::base::key;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How often a write starts again because a delete pruned its folder, before it gives up.
pub(super) const MAX_PRUNED: usize = 100;

/// How objects are opened: nonblocking, so that a pipe in the way cannot hang us; it has no effect on
/// files.
pub(super) const READ_FLAGS: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// A root folder. It is opened anew by every operation, so that one that was deleted, replaced or
/// inherited through fork is always the one that the path names now.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) uri: Uri,
    pub(super) path: PathBuf,
    /// Flush to the device before success is reported.
    pub(super) sync: bool,
}

impl Tree {
    /// Does no I/O.
    pub(super) fn new(uri: Uri, options: &Resolved) -> Tree {
        // Drop of an upload tells its own process from a forked child.
        crate::runtime::register_fork_handlers();
        let path = PathBuf::from(uri.path());
        Tree { uri, path, sync: options.bool(&options::FILE_SYNC) }
    }

    pub(super) fn uri_of(&self, key: &str) -> Uri {
        self.uri.join(key)
    }

    /// The root folder, for looking names up.
    pub(super) fn root(&self) -> Result<OwnedFd> {
        let opened = self.c_path().and_then(|path| sys::open(&path, sys::O_PATH | libc::O_DIRECTORY));
        opened.map_err(|e| match e.raw_os_error() {
            Some(libc::ENOENT) => {
                Error::new(Code::ContainerNotFound, format!("there is no folder {}", self.path.display()))
                    .with_errno(libc::ENOENT)
                    .with_hint("the first write or create_container makes it")
            }
            Some(libc::ENOTDIR) => {
                Error::new(Code::ContainerNotFound, format!("{} is not a folder", self.path.display()))
                    .with_errno(libc::ENOTDIR)
                    .with_hint("open the store at the folder and name the file by its key")
            }
            _ => Error::from_io(format_args!("cannot open the folder {}", self.path.display()), &e),
        })
    }

    fn c_path(&self) -> io::Result<CString> {
        use std::os::unix::ffi::OsStrExt;
        sys::name(self.path.as_os_str().as_bytes())
    }

    /// Opens what `path` names below `root`; links that stay inside are followed.
    pub(super) fn open(&self, root: BorrowedFd, path: &str, flags: i32) -> io::Result<OwnedFd> {
        confine::open(root, &self.path, path, flags)
    }

    /// Opens an object for reading. What is no regular file is no object.
    pub(super) fn open_object(&self, key: &str) -> Result<(File, Stat)> {
        check_key(key)?;
        let root = self.root()?;
        let fd = self.open(root.as_fd(), key, READ_FLAGS).map_err(|e| failed_to("open the file", &e))?;
        let stat = sys::stat(fd.as_fd()).map_err(|e| failed_to("stat the file", &e))?;
        if stat.kind != Kind::File {
            return Err(not_found());
        }
        Ok((File::from(fd), stat))
    }

    /// Opens a folder below the root for reading, locking and flushing.
    pub(super) fn folder(&self, root: BorrowedFd, path: &str) -> io::Result<OwnedFd> {
        self.open(root, path, libc::O_RDONLY | libc::O_DIRECTORY)
    }

    /// The folder `path`, or the nearest one above it that exists; says whether it is `path` itself.
    /// The root is made where it is missing.
    pub(super) fn nearest_folder(&self, path: &str) -> Result<(OwnedFd, bool)> {
        let root = self.make_root()?;
        let mut at = path;
        loop {
            match self.folder(root.as_fd(), at) {
                Ok(folder) => return Ok((folder, at == path)),
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) && !at.is_empty() => at = parent_of(at),
                Err(e) => return Err(self.not_a_folder(at, &e)),
            }
        }
    }

    /// The folder `path`, made with those above it where they are missing.
    pub(super) fn make_folder(&self, path: &str) -> Result<OwnedFd> {
        for _ in 0..MAX_PRUNED {
            let root = self.make_root()?;
            match self.folder(root.as_fd(), path) {
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
                opened => return opened.map_err(|e| self.not_a_folder(path, &e)),
            }
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            for end in ends {
                let (above, name) = split(&path[..end]);
                match self.make_one(root.as_fd(), above, name) {
                    // EEXIST: it is there. ENOENT: the one above was pruned meanwhile; start again.
                    Err(e) if matches!(e.raw_os_error(), Some(libc::EEXIST | libc::ENOENT)) => {}
                    made => made.map_err(|e| self.not_a_folder(&path[..end], &e))?,
                }
            }
        }
        Err(Error::new(Code::Io, format!("the folder {path:?} is removed again and again"))
            .with_retryable(true))
    }

    fn make_one(&self, root: BorrowedFd, above: &str, name: &str) -> io::Result<()> {
        let folder = self.folder(root, above)?;
        sys::make_folder(folder.as_fd(), &sys::name(name)?)?;
        if self.sync { sys::sync(folder.as_fd()) } else { Ok(()) }
    }

    fn make_root(&self) -> Result<OwnedFd> {
        match self.root() {
            Err(e) if e.os_errno() == Some(libc::ENOENT) => {
                self.make_root_path()?;
                self.root()
            }
            opened => opened,
        }
    }

    /// Makes the root folder and those above it; whether it was missing.
    pub(super) fn make_root_path(&self) -> Result<bool> {
        let failed = |path: &Path, e: io::Error| {
            Error::from_io(format_args!("cannot make the folder {}", path.display()), &e)
        };
        let missing: Vec<&Path> = self.path.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.iter().rev() {
            match std::fs::create_dir(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|e| failed(path, e))?,
            }
            if let (true, Some(above)) = (self.sync, path.parent()) {
                File::open(above).and_then(|f| f.sync_all()).map_err(|e| failed(above, e))?;
            }
        }
        Ok(!missing.is_empty())
    }

    /// Removes the folder `path` and those above it as long as they are empty; never the root.
    pub(super) fn prune(&self, root: BorrowedFd, path: &str) {
        let mut at = path;
        while !at.is_empty() {
            let (above, name) = split(at);
            let removed = self
                .open(root, above, sys::O_PATH | libc::O_DIRECTORY)
                .and_then(|folder| sys::remove_folder(folder.as_fd(), &sys::name(name)?));
            // Not empty, a link, not ours: all of them end the matter.
            if removed.is_err_and(|e| e.raw_os_error() != Some(libc::ENOENT)) {
                return;
            }
            at = above;
        }
    }

    fn not_a_folder(&self, path: &str, e: &io::Error) -> Error {
        match e.raw_os_error() {
            Some(libc::ENOTDIR) => Error::new(
                Code::InvalidKey,
                format!("{path:?} or a part of it is an object, so there can be no keys below it"),
            )
            .with_errno(libc::ENOTDIR)
            .with_hint("in a file system a name is either a file or a folder"),
            _ => failed_to(&format!("use the folder {path:?}"), e),
        }
    }
}

/// Splits into the folder (empty: the root) and the name.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

fn parent_of(path: &str) -> &str {
    split(path).0
}

/// Refuses keys that are no relative paths of plain names, or that look like temporary files.
pub(super) fn check_key(key: &str) -> Result<()> {
    key::check_path(key)?;
    if key.split('/').any(temp::is_temporary) {
        return Err(Error::new(
            Code::InvalidKey,
            format!("names that start with {} are those of temporary files", temp::PREFIX),
        ));
    }
    Ok(())
}

pub(super) fn not_found() -> Error {
    Error::new(Code::NotFound, "there is no object of this key")
}

/// The error of a call on a path below the root.
pub(super) fn failed_to(what: &str, e: &io::Error) -> Error {
    let error = match e.raw_os_error() {
        // A file where the key has a folder: then there is nothing below it.
        Some(libc::ENOENT | libc::ENOTDIR) => not_found(),
        Some(libc::EXDEV) => {
            Error::new(Code::InvalidKey, "a symbolic link on the way leads out of the store's root")
                .with_hint("open the store at a folder that contains the link's target")
        }
        Some(libc::ELOOP) => {
            Error::new(Code::InvalidKey, "symbolic links on the way form a cycle, or there are too many")
        }
        Some(libc::ENAMETOOLONG) => Error::new(
            Code::InvalidKey,
            "a name in the key is longer than the file system allows (usually 255 bytes)",
        ),
        _ => return Error::from_io(format_args!("cannot {what}"), e),
    };
    match e.raw_os_error() {
        Some(errno) => error.with_errno(errno),
        None => error,
    }
}
