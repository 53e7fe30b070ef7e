//! `file:///path`: objects as files below a folder, through the page cache.

use super::posix::{Io, PosixStore, Sink, sys};
use crate::base::uri::Uri;
use crate::error::{Error, Result};
use crate::options::Resolved;
use std::fs::File;

/// The store of `file://`.
pub type FileStore = PosixStore<Buffered>;

/// Does no I/O.
pub fn open(root: Uri, options: &Resolved) -> FileStore {
    PosixStore::with_io(root, options, Buffered)
}

/// Plain positional reads and writes.
#[derive(Debug)]
pub struct Buffered;

impl Io for Buffered {
    type Sink = Buffered;

    fn alignment(&self) -> usize {
        1
    }

    fn read(&self, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
        sys::read_at(file, offset, dst).map_err(|e| Error::from_io("cannot read the file", &e))
    }

    fn sink(&self, _file: &File) -> Result<Buffered> {
        Ok(Buffered)
    }
}

impl Sink for Buffered {
    fn write_at(&self, file: &File, offset: u64, data: &[u8]) -> Result<()> {
        sys::write_all_at(file, offset, data).map_err(|e| Error::from_io("cannot write the file", &e))
    }

    fn finish(&self, _file: &File, _size: u64) -> Result<()> {
        Ok(()) // every byte was written, and none beyond
    }
}
