//! Systems without io_uring.

use crate::store::posix::ring::op::{Done, Op};
use std::io::{Error, Result};
use std::marker::PhantomData;

/// There is none.
#[derive(Debug)]
pub enum Ring {}

impl Ring {
    pub fn new(_depth: usize) -> Result<Ring> {
        Err(Error::from_raw_os_error(libc::ENOSYS))
    }

    pub fn depth(&self) -> usize {
        match *self {}
    }

    pub fn is_usable(&self) -> bool {
        match *self {}
    }

    pub fn fly<'a, R>(&mut self, _: impl FnOnce(&mut Flight<'_, 'a>) -> R) -> R {
        match *self {}
    }
}

/// The requests of one [`Ring::fly`].
#[derive(Debug)]
pub struct Flight<'r, 'a> {
    ring: &'r mut Ring,
    _ops: PhantomData<Op<'a>>,
}

impl<'a> Flight<'_, 'a> {
    pub fn is_empty(&self) -> bool {
        match *self.ring {}
    }

    pub fn push(&mut self, _tag: usize, _op: Op<'a>) -> std::result::Result<(), Op<'a>> {
        match *self.ring {}
    }

    pub fn submit(&mut self) {
        match *self.ring {}
    }

    pub fn next(&mut self, _wait: bool) -> Option<Done<'a>> {
        match *self.ring {}
    }
}
