//! Names of files that are not published yet. Most writes never have one: a name exists only for
//! the moment of a replacement, or where the file system has no unnamed files. A killed process can
//! leave one behind; listings hide it and a later writer removes it.

use super::sys;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// What every temporary name starts with.
pub(super) const PREFIX: &str = ".s3dlio-tmp-";
/// The name of a replacement in a folder whose lock is held: whoever has the lock may remove it.
pub(super) const SLOT: &CStr = c".s3dlio-tmp-publish";
/// Where locks do not tell who is alive, a temporary file of this age is taken for left behind.
const STALE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A name that nobody else uses.
pub(super) fn unique_name() -> Result<CString> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    sys::name(format!("{PREFIX}{:x}-{now:x}-{count:x}", std::process::id()))
}

/// Removes what a killed replacement left in `folder`, if anything.
pub(super) fn clean_slot(folder: BorrowedFd) {
    if sys::stat_at(folder, SLOT).is_ok()
        && let Err(error) = remove_stale(folder, SLOT)
    {
        tracing::debug!(%error, "a temporary file could not be removed");
    }
}

/// Removes all temporary files that were left behind; scans each folder once per process. Only for
/// writers that have named temporary files themselves, so it is rare.
pub(super) fn sweep_once(folder: BorrowedFd) {
    /// By device, inode and birth: inodes are used again.
    type Identity = (u64, u64, Option<SystemTime>);
    static SWEPT: Mutex<Option<HashSet<Identity>>> = Mutex::new(None);
    const MOST: usize = 10_000; // more are forgotten
    let Ok(stat) = sys::stat(folder) else { return };
    let identity = (stat.device, stat.inode, sys::born(folder));
    // try_lock: after a fork nobody may be left to unlock it, and a sweep can always wait.
    let Ok(mut swept) = SWEPT.try_lock() else { return };
    let known = swept.get_or_insert_default();
    if known.len() >= MOST {
        known.clear();
    }
    if known.insert(identity) {
        drop(swept);
        sweep(folder);
    }
}

/// Removes what was left behind in `folder`.
pub(super) fn sweep(folder: BorrowedFd) {
    let Ok(names) = sys::read_folder(folder) else { return };
    for (name, _) in names {
        if name.starts_with(PREFIX.as_bytes())
            && let Ok(name) = sys::name(name)
            && let Err(error) = remove_stale(folder, &name)
        {
            tracing::debug!(?name, %error, "a temporary file could not be removed");
        }
    }
}

fn remove_stale(folder: BorrowedFd, name: &CStr) -> Result<()> {
    if name == SLOT {
        return match sys::try_lock(folder)? {
            true => sys::unlink(folder, name).and(sys::unlock(folder)),
            false => Ok(()), // a replacement is going on
        };
    }
    let file = sys::open_at(folder, name, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)?;
    let stale = match sys::try_lock(file.as_fd()) {
        Ok(free) => free,
        Err(_) => {
            let modified = sys::stat(file.as_fd())?.modified;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
            now as i128 - modified > STALE.as_nanos() as i128
        }
    };
    if stale { sys::unlink(folder, name) } else { Ok(()) }
}
