//! `file:///path`: objects as files below a folder, through the page cache.

use super::posix::ring::Rings;
use super::posix::{Io, PosixStore, Sink, sys};
use crate::base::checksum::Crc32c;
use crate::base::uri::Uri;
use crate::error::{Error, Result};
use crate::options::Resolved;
use std::fs::File;

/// The store of `file://`.
pub type FileStore = PosixStore<Buffered>;

/// Does no I/O.
pub fn open(root: Uri, options: &Resolved) -> FileStore {
    PosixStore::with_io(root, options, Buffered { rings: Rings::new(options) })
}

/// What is checksummed and then written, so that the processor's cache still has it.
const IN_CACHE: usize = 256 << 10;

/// Plain positional reads and writes.
#[derive(Debug)]
pub struct Buffered {
    rings: Rings,
}

/// The writing side.
#[derive(Debug)]
pub struct BufferedSink;

impl Io for Buffered {
    type Sink = BufferedSink;

    fn alignment(&self) -> usize {
        1
    }

    fn rings(&self) -> &Rings {
        &self.rings
    }

    fn open_flags(&self) -> i32 {
        0
    }

    fn read(&self, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
        sys::read_at(file, offset, dst).map_err(|e| Error::from_io("cannot read the file", &e))
    }

    fn sink(&self, _file: &File) -> Result<BufferedSink> {
        Ok(BufferedSink)
    }
}

impl Sink for BufferedSink {
    fn write_at(&self, file: &File, offset: u64, data: &[u8]) -> Result<()> {
        sys::write_all_at(file, offset, data).map_err(|e| Error::from_io("cannot write the file", &e))
    }

    fn write_at_checked(&self, file: &File, offset: u64, data: &[u8]) -> Result<Crc32c> {
        let (mut crc, mut at) = (Crc32c::new(), offset);
        for piece in data.chunks(IN_CACHE) {
            crc.update(piece);
            self.write_at(file, at, piece)?;
            at += piece.len() as u64;
        }
        Ok(crc)
    }

    fn finish(&self, _file: &File, _size: u64) -> Result<()> {
        Ok(()) // every byte was written, and none beyond
    }
}
