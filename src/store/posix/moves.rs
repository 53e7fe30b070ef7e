//! Copy and rename inside a store.

use super::facts::Record;
use super::publish::{FolderLock, Staged, refuse_special};
use super::remove::sync_above;
use super::sys::{self, Kind, Stat};
use super::tree::{MAX_PRUNED, Tree, check_key, failed_to, not_found, split};
use crate::base::buffer::BufferPool;
use crate::error::{Code, Error, Result};
use crate::store::{PutCondition, PutResult};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes per call of a copy.
const CHUNK: usize = 64 << 20;
/// Bytes per round of a copy through memory.
const BOUNCE: usize = 1 << 20;

/// Copies inside the kernel, with the record; the destination appears whole or not at all.
pub(super) fn copy(tree: &Tree, from: &str, to: &str) -> Result<PutResult> {
    let (source, stat) = tree.open_object(from).map_err(|e| e.with_context("copy", tree.uri_of(from)))?;
    check_key(to)?;
    let record = Record::read(&source, &stat)?;
    let staged = Staged::create(tree, to)?;
    copy_bytes(&source, &staged.file, stat.size)?;
    let after = sys::stat(source.as_fd()).map_err(|e| Error::from_io("cannot stat the source", &e))?;
    if (after.size, after.modified) != (stat.size, stat.modified) {
        return Err(Error::new(Code::Changed, "the source was changed while it was copied"));
    }
    staged.publish(tree, to, &PutCondition::Always, &record)
}

fn copy_bytes(from: &File, to: &File, size: u64) -> Result<()> {
    let failed = |e: io::Error| Error::from_io("cannot copy the file", &e);
    let mut done = 0;
    while done < size {
        let wanted = usize::try_from(size - done).unwrap_or(CHUNK).min(CHUNK);
        match sys::copy_range(from, to, done, wanted) {
            Ok(0) => return Err(Error::new(Code::Changed, "the source became shorter while it was copied")),
            Ok(n) => done += n as u64,
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EXDEV | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | libc::EBADF)
                ) =>
            {
                return copy_through_memory(from, to, done, size);
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(())
}

fn copy_through_memory(from: &File, to: &File, mut done: u64, size: u64) -> Result<()> {
    let failed = |e: io::Error| Error::from_io("cannot copy the file", &e);
    let mut buffer = BufferPool::global().take(BOUNCE)?;
    while done < size {
        let wanted = usize::try_from(size - done).unwrap_or(BOUNCE).min(BOUNCE);
        let memory = &mut buffer.spare_mut()[..wanted];
        if sys::read_at(from, done, memory).map_err(failed)? < wanted {
            return Err(Error::new(Code::Changed, "the source became shorter while it was copied"));
        }
        sys::write_all_at(to, done, memory).map_err(failed)?;
        done += wanted as u64;
    }
    Ok(())
}

/// Renames atomically; the destination is replaced.
pub(super) fn rename(tree: &Tree, from: &str, to: &str) -> Result<()> {
    check_key(from)?;
    check_key(to)?;
    let root = tree.root()?;
    let ((from_path, from_name), (to_path, to_name)) = (split(from), split(to));
    let source = tree.folder(root.as_fd(), from_path).map_err(|e| failed_to("open the folder", &e))?;
    let from_name = sys::name(from_name).map_err(|e| failed_to("use the name", &e))?;
    let to_name = sys::name(to_name).map_err(|e| failed_to("use the name", &e))?;
    object_at(source.as_fd(), &from_name)?;
    if from == to {
        return Ok(());
    }
    for _ in 0..MAX_PRUNED {
        let target = tree.make_folder(to_path)?;
        let moved = {
            let _locks = lock_both(&source, &target)?;
            let stat =
                object_at(source.as_fd(), &from_name).inspect_err(|_| tree.prune(root.as_fd(), to_path))?;
            refuse_special(target.as_fd(), &to_name)?;
            move_name(&stat, source.as_fd(), &from_name, target.as_fd(), &to_name)
        };
        match moved {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => continue, // pruned, or the source is gone
            Err(e) => {
                tree.prune(root.as_fd(), to_path);
                return Err(cannot_move(&e));
            }
            Ok(()) => {}
        }
        tree.prune(root.as_fd(), from_path);
        sync_above(tree, to_path)?;
        return sync_above(tree, from_path);
    }
    Err(Error::new(Code::Io, "the folder of the key is removed again and again").with_retryable(true))
}

fn move_name(
    stat: &Stat,
    from: BorrowedFd,
    old: &std::ffi::CStr,
    to: BorrowedFd,
    new: &std::ffi::CStr,
) -> io::Result<()> {
    let there = sys::stat_at(to, new).ok();
    let same = there.is_some_and(|there| (there.device, there.inode) == (stat.device, stat.inode));
    if same && old == new && same_folder(from, to)? {
        return Ok(()); // one name, reached over two paths: a folder may be a link
    }
    if same && stat.names > 1 {
        return sys::unlink(from, old); // two names of one file: rename(2) would leave both
    }
    match sys::rename(from, old, to, new) {
        Err(e) if e.raw_os_error() == Some(libc::EISDIR) && sys::remove_folder(to, new).is_ok() => {
            sys::rename(from, old, to, new) // the folder was empty
        }
        moved => moved,
    }
}

fn same_folder(a: BorrowedFd, b: BorrowedFd) -> io::Result<bool> {
    let (a, b) = (sys::stat(a)?, sys::stat(b)?);
    Ok((a.device, a.inode) == (b.device, b.inode))
}

fn cannot_move(e: &io::Error) -> Error {
    match e.raw_os_error() {
        Some(libc::EISDIR | libc::ENOTEMPTY | libc::EEXIST) => {
            Error::new(Code::InvalidKey, "there is a folder of the new name")
                .with_errno(libc::EISDIR)
                .with_hint("in a file system a name is either a file or a folder")
        }
        Some(libc::EXDEV) => Error::new(Code::Unsupported, "the two keys are on different file systems")
            .with_errno(libc::EXDEV)
            .with_hint("copy and delete instead"),
        _ => failed_to("rename the file", e),
    }
}

/// The facts of a name that is an object (or a link that may lead to one).
fn object_at(folder: BorrowedFd, name: &std::ffi::CStr) -> Result<Stat> {
    match sys::stat_at(folder, name) {
        Ok(stat) if matches!(stat.kind, Kind::File | Kind::Link) => Ok(stat),
        Ok(_) => Err(not_found()),
        Err(e) => Err(failed_to("stat the file", &e)),
    }
}

/// Locks two folders, always in the same order; one and the same folder is locked once.
fn lock_both<'a>(a: &'a OwnedFd, b: &'a OwnedFd) -> Result<(Option<FolderLock<'a>>, Option<FolderLock<'a>>)> {
    let id = |fd: &OwnedFd| {
        let stat = sys::stat(fd.as_fd()).map_err(|e| Error::from_io("cannot stat the folder", &e))?;
        Ok::<_, Error>((stat.device, stat.inode))
    };
    let (first, second) = match id(a)?.cmp(&id(b)?) {
        std::cmp::Ordering::Less => (a, Some(b)),
        std::cmp::Ordering::Equal => (a, None),
        std::cmp::Ordering::Greater => (b, Some(a)),
    };
    let first = FolderLock::take(first.as_fd())?;
    let second = second.map(|fd| FolderLock::take(fd.as_fd())).transpose()?.flatten();
    Ok((first, second))
}
