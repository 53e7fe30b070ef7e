//! What an io_uring is asked for.

use crate::base::buffer::Buffer;
use crate::store::posix::sys::OpenHow;
use std::ffi::CStr;
use std::io::Result;
use std::ops::{Deref, DerefMut};
use std::os::fd::{BorrowedFd, OwnedFd};

/// One request, with what it needs until it is over.
#[derive(Debug)]
pub enum Op<'a> {
    /// Opens a name below a folder, as `sys::open_beneath` does.
    Open { folder: BorrowedFd<'a>, name: &'a CStr, how: &'a OpenHow },
    /// Reads at an offset; may be short.
    Read { file: BorrowedFd<'a>, offset: u64, memory: Target<'a> },
    /// Writes at an offset; may be short.
    Write { file: BorrowedFd<'a>, offset: u64, memory: Source<'a> },
    /// Closes a descriptor.
    Close { file: OwnedFd },
    /// Does nothing: what is left of one that is over and gives nothing back.
    None,
}

/// Where a read puts its bytes.
#[derive(Debug)]
pub enum Target<'a> {
    Lent(&'a mut [u8]),
    Own(Buffer),
}

/// Where a write takes its bytes from.
#[derive(Debug)]
pub enum Source<'a> {
    Lent(&'a [u8]),
    Own(Buffer),
}

/// A request that is over.
#[derive(Debug)]
pub struct Done<'a> {
    /// Given with the request.
    pub tag: usize,
    /// The request, with its memory.
    pub op: Op<'a>,
    /// Bytes that were moved. `ECANCELED`: it was not even tried.
    pub result: Result<usize>,
    /// What an open gave.
    pub opened: Option<OwnedFd>,
}

impl Deref for Target<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Target::Lent(memory) => memory,
            Target::Own(buffer) => buffer,
        }
    }
}

impl DerefMut for Target<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Target::Lent(memory) => memory,
            Target::Own(buffer) => buffer,
        }
    }
}

impl Deref for Source<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Source::Lent(memory) => memory,
            Source::Own(buffer) => buffer,
        }
    }
}
