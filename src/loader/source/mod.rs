//! Where items come from.
//!
//! There are two kinds of sources. An [`Indexed`] one knows its length and says of every item where its bytes
//! are: a range of an object. The engine fetches those, many at once, and gives what came to
//! [`Indexed::decode`]. A [`RecordFormat`] reads files in sequence, record by record ([`RecordStream`]),
//! because nobody can say where the n-th record is without having read those before it.
//!
//! **How a source is added.** A file here, `source/<format>.rs`, that parses with `crate::formats` (no parser here, no
//! I/O there) and implements [`RecordFormat`]: `open` where its files can be read in sequence, `index` where
//! the places of its records are known or can be found, which makes a dataset of it map-style; one line in
//! [`record_format`], and a variant of [`Format`](super::Format) with its parameters where it is a new one. What an
//! implementation must hold:
//!
//! * The same file gives the same records in the same order, every time and on every machine.
//! * `locate` does no I/O, takes no lock and allocates little: it is called once per item, on any thread. What it
//!   holds survives a fork: [`Store`]s, texts, numbers, maps; no tasks, sockets or locks.
//! * A record that cannot be read is an error of that record, with the file's URI
//!   ([`Error::with_context`](crate::Error::with_context)); after it `next` gives `None`, or the next record where that is certain.
//!   Never a wrong record, and never an end that is not the file's.
//! * A stream holds no more than the record it reads and its reader's read-ahead.

mod chunks;
mod fixed;
pub(super) mod list;
pub(super) mod manifest;
pub mod npz;
pub(crate) mod pattern;
pub(super) mod prefix;
mod stores;
pub mod tar;
pub mod tfrecord;

use super::batch::Field;
use super::params::{DatasetParams, Format};
use crate::error::{Code, Error, Result};
use crate::store::Store;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Where the bytes of one item, or of a file of records, are.
#[derive(Clone, Debug)]
pub struct Location {
    pub store: Arc<Store>,
    /// The whole URI; its end is the key.
    pub uri: String,
    /// Where in `uri` the key starts that the store knows the object by.
    pub key_at: usize,
    /// Offset and length of the item's bytes; `None` for the whole object.
    pub range: Option<(u64, u64)>,
    /// Of the whole object, where a listing or a manifest told.
    pub size: Option<u64>,
    /// Likewise.
    pub etag: Option<String>,
    /// What the sample is called: [`Sample::name`](super::Sample::name).
    pub name: String,
}

impl Location {
    /// The object's key in its store.
    pub fn key(&self) -> &str {
        self.uri.get(self.key_at..).unwrap_or_default()
    }

    /// The same object's `length` bytes from `offset` as an item of this name.
    pub fn part(&self, offset: u64, length: u64, name: String) -> Location {
        Location { range: Some((offset, length)), name, ..self.clone() }
    }

    /// Bytes that a fetch brings, where that is known.
    pub fn expected(&self) -> Option<u64> {
        self.range.map(|(_, length)| length).or(self.size)
    }
}

/// Items whose number and places are known.
pub trait Indexed: Send + Sync + fmt::Debug {
    /// How many items there are.
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where item `index`, which is less than [`Indexed::len`], is.
    fn locate(&self, index: u64) -> Result<Location>;

    /// Whether all items are on stores whose I/O blocks; `None` where some are.
    fn is_blocking(&self) -> Option<bool> {
        let first = (!self.is_empty()).then(|| self.locate(0).ok()).flatten();
        Some(first.is_some_and(|first| first.store.capabilities().blocking_io))
    }

    /// The sample's fields, out of what was fetched for `location`. Checks what the format can check.
    fn decode(&self, _location: &Location, data: Bytes) -> Result<Vec<Field>> {
        Ok(vec![Field { name: String::new(), data }])
    }

    /// Names the items for [`Loader::state`](super::Loader::state): other items, another fingerprint, on every machine the same.
    fn fingerprint(&self) -> u64;
}

/// One record of a file that is read in sequence.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// [`Sample::name`](super::Sample::name).
    pub name: String,
    pub fields: Vec<Field>,
}

/// A file's records, one after the other.
#[async_trait]
pub trait RecordStream: Send {
    /// The next one; `None` at the end of the file.
    async fn next(&mut self) -> Result<Option<Record>>;

    /// Goes past `count` records without giving them, fewer at the end.
    async fn skip(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            if self.next().await?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// How files of one format are read.
#[async_trait]
pub trait RecordFormat: Send + Sync + fmt::Debug {
    /// Reads `file` in sequence, from its start. Runs on a thread that may block where the store does.
    async fn open(&self, file: &Location) -> Result<Box<dyn RecordStream>>;

    /// Finds where every record of `files` is, in their order.
    async fn index(&self, files: Vec<Location>) -> Result<Arc<dyn Indexed>>;

    /// Whether a dataset of it is indexed as soon as it is opened, because that takes little: a read of a
    /// header or of an index file for each. Such a format is never read in sequence.
    fn is_indexed(&self) -> bool {
        false
    }
}

/// How the files of a dataset are read; `None` where every object is an item.
pub fn record_format(params: &DatasetParams) -> Result<Option<Arc<dyn RecordFormat>>> {
    Ok(match params.format {
        Format::Objects => None,
        Format::Tar => Some(Arc::new(tar::Tar)),
        Format::TfRecord => Some(Arc::new(tfrecord::TfRecord::new(params.index.as_deref()))),
        Format::Npz => Some(Arc::new(npz::Npz::new(params.member.as_deref()))),
        Format::Fixed => Some(Arc::new(fixed::FixedRecords::new(params)?)),
    })
}

/// The error of [`RecordFormat::index`] and [`RecordFormat::open`] where a format has no such way.
pub fn no_such_way(what: &str, hint: &str) -> Error {
    Error::new(Code::Unsupported, format!("{what} is not possible")).with_hint(hint.to_owned())
}

/// FNV-1a with 64 bits, for fingerprints: stable, and the same on every machine.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint(0xCBF2_9CE4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes a text or bytes, with where they end.
    pub fn add(mut self, bytes: &[u8]) -> Fingerprint {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
        self.number(bytes.len() as u64)
    }

    pub fn number(mut self, number: u64) -> Fingerprint {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
        self
    }

    pub fn value(self) -> u64 {
        self.0
    }
}
