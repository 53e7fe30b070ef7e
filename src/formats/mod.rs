//! File formats of training data, without I/O: what is parsed is given as bytes, what is missing is asked for as
//! a range of the file, and what is written is appended to a `Vec`.
//!
//! Two kinds of readers: those that take a stream in chunks of any size ([`tfrecord::Parser`], [`tar::Parser`]), and
//! those that need a few ranges of a file ([`npy`], [`npz`], [`hdf5`], [`raw`]). All are strict: what is cut off is
//! `Truncated`, what breaks the format `Corrupt`, what fails a checksum `ChecksumMismatch`, what is right but not
//! read here `Unsupported`; each error says at which byte of the file, what was found and what was expected.

pub mod deflate;
pub mod dtype;
pub mod hdf5;
pub mod index;
pub mod npy;
pub mod npz;
pub mod raw;
pub mod tar;
pub mod tfrecord;
pub mod zip;

use crate::error::{Code, Error};
use std::fmt::Display;
use std::ops::Range;

/// How far a reader of ranges is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// These bytes of the file are needed first.
    Need(Range<u64>),
    Done(T),
}

/// The longest record, member or entry that is taken into memory unless the caller says otherwise.
pub const LONGEST: u64 = 1 << 40;

/// The file ends, or is cut, where more was promised.
fn truncated(what: &str, at: u64, found: impl Display, expected: impl Display) -> Error {
    Error::new(
        Code::Truncated,
        format!("{what} ends early: at byte {at} there is {found}, expected {expected}"),
    )
    .with_detail("offset", at)
    .with_hint("the file was cut off, or its writer did not finish; write or copy it again")
}

/// The bytes break the format.
fn corrupt(what: &str, at: u64, found: impl Display, expected: impl Display) -> Error {
    Error::new(
        Code::Corrupt,
        format!("{what} is malformed: at byte {at} there is {found}, expected {expected}"),
    )
    .with_detail("offset", at)
}

/// A checksum does not match.
fn mismatch(what: &str, at: u64, found: u32, expected: u32) -> Error {
    let message = format!(
        "{what} is damaged: at byte {at} the checksum of the bytes is {found:08x}, expected {expected:08x}"
    );
    Error::new(Code::ChecksumMismatch, message).with_detail("offset", at)
}

/// The bytes may be right, but are not read here.
fn unsupported(what: &str, at: u64, found: impl Display, expected: impl Display) -> Error {
    let message =
        format!("{what} is not read by this library: at byte {at} there is {found}, expected {expected}");
    Error::new(Code::Unsupported, message).with_detail("offset", at)
}

/// What was asked for cannot be written.
fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

/// Little-endian integers of a slice; `None` past its end.
trait Fields {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    fn u16_at(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}

impl Fields for [u8] {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

/// What the tests of all formats do to files.
#[cfg(test)]
mod damage {
    /// `read` gives the items; every shorter file must give an error or, where only padding is gone, the same.
    pub fn truncations<T: PartialEq + std::fmt::Debug, E>(
        file: &[u8],
        read: impl Fn(&[u8]) -> Result<T, E>,
    ) -> usize {
        let Ok(whole) = read(file) else { panic!("the whole file is not read") };
        let mut failed = 0;
        for end in 0..file.len() {
            match read(&file[..end]) {
                Ok(items) => {
                    assert_eq!(items, whole, "other items from the first {end} of {} bytes", file.len())
                }
                Err(_) => failed += 1,
            }
        }
        failed
    }

    /// As above, for every file of which one bit differs, in the bytes that `at` gives.
    pub fn flips<T: PartialEq + std::fmt::Debug, E>(
        file: &[u8],
        at: impl Iterator<Item = usize>,
        read: impl Fn(&[u8]) -> Result<T, E>,
    ) -> usize {
        let Ok(whole) = read(file) else { panic!("the whole file is not read") };
        let mut failed = 0;
        for byte in at {
            for bit in 0..8 {
                let mut changed = file.to_vec();
                changed[byte] ^= 1 << bit;
                match read(&changed) {
                    Ok(items) => {
                        assert_eq!(items, whole, "other items with bit {bit} of byte {byte} flipped")
                    }
                    Err(_) => failed += 1,
                }
            }
        }
        failed
    }
}
