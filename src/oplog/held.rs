//! Files of logs, with the locks that say who uses them: who writes one has it alone, who reads one keeps others from
//! replacing it. Where the file system has no locks, nobody is asked.

use super::sys;
use crate::error::{Error, Result};
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// An open file with its lock. A forked child has the same lock without knowing: it ends when this is dropped, not
/// when the last copy of the descriptor is closed.
#[derive(Debug)]
pub(super) struct Held(File);

/// A regular file as it was left: nobody has replaced or changed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    number: u64,
    length: u64,
}

impl Held {
    /// For a log that is to be written, made where there is none; `None` where somebody uses it. Never waits: a FIFO
    /// that nobody reads is an error, and one that is full is one of the first write. [`Held::wait_for_room`] ends that.
    pub fn to_write(path: &Path) -> Result<Option<Held>> {
        let mut asked = File::options();
        asked.write(true).create(true).truncate(false).custom_flags(libc::O_NONBLOCK);
        let file = asked.open(path).map_err(|e| {
            let error = Error::from_io("cannot open the op-log for writing", &e);
            match e.raw_os_error() {
                Some(libc::ENXIO) => {
                    error.with_hint("it is a FIFO that nobody reads: start its reader first")
                }
                _ => error,
            }
        })?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Held(file))),
        }
    }

    /// For a log that is to be read.
    pub fn to_read(path: &Path) -> io::Result<Held> {
        let file = File::open(path)?;
        match file.try_lock_shared() {
            // Its writer has it: then it is not replaced either.
            Ok(()) | Err(_) => Ok(Held(file)),
        }
    }

    /// From now on writes wait where the file takes nothing.
    pub fn wait_for_room(&self) -> io::Result<()> {
        sys::wait_for_room(&self.0)
    }

    /// How it is now; `None` of what is no regular file.
    pub fn mark(&self) -> Option<Mark> {
        self.0.metadata().ok().as_ref().and_then(Mark::of)
    }

    pub fn file(&self) -> &File {
        &self.0
    }

    #[cfg(test)]
    pub fn of(file: File) -> Held {
        Held(file)
    }
}

impl Mark {
    /// `None` of what is no regular file.
    pub fn of(facts: &Metadata) -> Option<Mark> {
        let mark = Mark { device: facts.dev(), number: facts.ino(), length: facts.len() };
        facts.is_file().then_some(mark)
    }

    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Read for Held {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing ends it, unless a child has the descriptor
    }
}
