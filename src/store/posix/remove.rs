//! Deleting objects and folders.

use super::publish::FolderLock;
use super::sys::{self, Kind};
use super::temp;
use super::tree::{Tree, check_key, failed_to, split};
use crate::error::{Code, Error, Result};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Deletes one object and the folders that it leaves empty.
pub(super) fn object(tree: &Tree, key: &str) -> Result<()> {
    unlink(tree, key)?;
    sync_above(tree, split(key).0)
}

/// Deletes many; each folder is flushed once.
pub(super) fn objects(tree: &Tree, keys: &[String]) -> Vec<Result<()>> {
    let mut outcomes: Vec<Result<()>> = keys.iter().map(|key| unlink(tree, key)).collect();
    let folders: BTreeSet<&str> = keys.iter().map(|key| split(key).0).collect();
    for folder in folders {
        let Err(error) = sync_above(tree, folder) else { continue };
        for (outcome, key) in outcomes.iter_mut().zip(keys) {
            if outcome.is_ok() && split(key).0 == folder {
                *outcome = Err(error.clone());
            }
        }
    }
    outcomes
}

fn unlink(tree: &Tree, key: &str) -> Result<()> {
    check_key(key)?;
    let (path, name) = split(key);
    let root = tree.root()?;
    let folder = match tree.folder(root.as_fd(), path) {
        Ok(folder) => folder,
        Err(e) if is_missing(&e) => return Ok(()),
        Err(e) => return Err(failed_to("open the folder", &e)),
    };
    let name = sys::name(name).map_err(|e| failed_to("use the name", &e))?;
    {
        let _lock = FolderLock::take(folder.as_fd())?;
        match sys::stat_at(folder.as_fd(), &name).map(|stat| stat.kind) {
            Ok(Kind::File | Kind::Link) => {}
            Ok(Kind::Special) => return Ok(()), // no object, so there is nothing to delete
            Ok(Kind::Folder) => {
                return Err(Error::new(Code::InvalidKey, "the key names a folder, not an object")
                    .with_errno(libc::EISDIR)
                    .with_hint("delete_prefix deletes what is below a folder"));
            }
            Err(e) if is_missing(&e) => return Ok(()),
            Err(e) => return Err(failed_to("stat the file", &e)),
        }
        match sys::unlink(folder.as_fd(), &name) {
            Err(e) if !is_missing(&e) => return Err(failed_to("delete the file", &e)),
            _ => {}
        }
    }
    tree.prune(root.as_fd(), path);
    Ok(())
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Flushes the folder `path`, or the nearest one above it that is left.
pub(super) fn sync_above(tree: &Tree, path: &str) -> Result<()> {
    if !tree.sync {
        return Ok(());
    }
    let root = tree.root()?;
    let mut at = path;
    loop {
        let flushed = tree.folder(root.as_fd(), at).and_then(|folder| sys::sync(folder.as_fd()));
        match flushed {
            Err(e) if is_missing(&e) && !at.is_empty() => at = split(at).0,
            flushed => {
                return flushed.map_err(|e| Error::from_io("cannot flush the folder to the device", &e));
            }
        }
    }
}

/// Removes temporary files and empty folders below `folder`, as deep as they go: what is left of
/// writers that were killed. Anything else stays.
pub(super) fn leftovers(folder: BorrowedFd) -> io::Result<()> {
    temp::sweep(folder);
    for (name, kind) in sys::read_folder(folder)? {
        let name = sys::name(name)?;
        if kind == Some(Kind::Folder) || kind.is_none() {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let Ok(inner) = sys::open_at(folder, &name, flags, 0) else { continue };
            leftovers(inner.as_fd())?;
            let _ = sys::remove_folder(folder, &name); // not empty: it stays
        }
    }
    Ok(())
}
