//! A descriptor that is readable or not, as it is told.

use super::sys;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

/// Callers see to it that [`Wake::set`] and [`Wake::clear`] take turns and do not overlap.
#[derive(Debug)]
pub struct Wake {
    reader: File,
    writer: Option<File>,
}

impl Wake {
    pub fn new() -> Result<Wake> {
        let (reader, writer) = sys::signal().map_err(|e| {
            Error::from_io("cannot make the descriptor of a queue", &e)
                .with_hint("close descriptors that are not needed, or raise the limit (ulimit -n)")
        })?;
        Ok(Wake { reader, writer })
    }

    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn set(&self) {
        // What an eventfd takes; a pipe has room for it.
        let outcome = self.writer.as_ref().unwrap_or(&self.reader).write(&1u64.to_ne_bytes());
        report(outcome.map(drop));
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        report((&self.reader).read(&mut [0; 8]).map(drop));
    }
}

/// A program that reads or writes the descriptor itself can make these fail; the events are safe.
fn report(outcome: std::io::Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            tracing::warn!(
                "somebody else read or wrote the descriptor of a queue; it is only to be waited for"
            );
        }
        Err(error) => tracing::error!(%error, "the descriptor of a queue does not work"),
    }
}
