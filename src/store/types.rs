//! What goes into and comes out of a store's operations.

use crate::base::buffer::Buffer;
use crate::base::checksum::Crc32c;
use crate::base::first_byte::FirstByte;
use crate::base::key::KeyRules;
use crate::error::Result;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// What a backend can do and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// I/O happens inside `poll` on the caller's thread.
    pub blocking_io: bool,
    /// Create-only and if-match puts are atomic.
    pub conditional_put: bool,
    /// Content type and user metadata are kept.
    pub metadata: bool,
    /// Which keys are refused.
    pub keys: KeyRules,
    /// The smallest part but the last, in bytes.
    pub min_part_size: u64,
    /// The largest part, in bytes.
    pub max_part_size: u64,
    /// How many parts an object may have.
    pub max_parts: u32,
    /// Offsets and lengths that are multiples of this avoid a copy; 1 where it does not matter.
    pub alignment: usize,
}

impl Capabilities {
    /// Keys may be any text, and are stored as they are.
    pub fn literal_keys(&self) -> bool {
        self.keys == KeyRules::LITERAL
    }
}

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetRequest {
    /// The first byte.
    pub offset: u64,
    /// Only the object of this ETag.
    pub if_match: Option<String>,
    /// A backend that sends requests marks it whenever the head of a good answer has arrived, before the body.
    pub first_byte: FirstByte,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetResult {
    /// Bytes written to the start of the destination.
    pub bytes: usize,
    /// Facts of the object; `size` is the whole object's.
    pub meta: ObjectMeta,
}

/// Whether there is room for so many bytes of this one of the keys.
pub type Admit<'a> = &'a (dyn Fn(usize, u64) -> bool + Sync);

/// Many whole objects that were read together.
#[derive(Debug)]
pub struct GotBatch {
    /// One per key, in order; `None` where its size was refused.
    pub results: Vec<Option<Result<Buffer>>>,
    /// So many of them, one after the other, were read at the same time; the last piece may be smaller.
    pub size: usize,
    /// Of each piece, when it began and how long it took.
    pub times: Vec<(Instant, Duration)>,
}

/// An object's facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Relative to the store's root.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Opaque; differs whenever the bytes differ.
    pub etag: Option<String>,
    pub last_modified: Option<SystemTime>,
    pub content_type: Option<String>,
    /// User metadata; names in lower case.
    pub metadata: BTreeMap<String, String>,
    /// CRC32C of the stored bytes, where the backend recorded one of the whole object.
    pub crc32c: Option<u32>,
}

/// How to store an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    pub content_type: Option<String>,
    /// User metadata: names of lower-case letters, digits, and `_`, the first a letter (Azure allows no more); values of printable ASCII.
    pub metadata: BTreeMap<String, String>,
    pub condition: PutCondition,
}

/// Under which condition a put takes effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutCondition {
    /// Replace what is there.
    #[default]
    Always,
    /// Only where there is no object of this key; else `AlreadyExists`.
    CreateOnly,
    /// Only where the object has this ETag; else `PreconditionFailed`.
    IfMatch(String),
}

/// The bytes of an object that is stored whole, with their checksum: computed once, where they are in
/// the cache.
#[derive(Clone, Debug)]
pub struct Content {
    pub data: Bytes,
    /// Of `data`.
    pub crc32c: Crc32c,
}

impl Content {
    pub fn of(data: Bytes) -> Content {
        Content { crc32c: Crc32c::of(&data), data }
    }
}

impl From<Bytes> for Content {
    fn from(data: Bytes) -> Content {
        Content::of(data)
    }
}

/// What was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResult {
    pub etag: Option<String>,
    pub version: Option<String>,
}

/// One part of an upload.
#[derive(Clone, Debug)]
pub struct Part {
    /// Counts from 0.
    pub number: u32,
    /// Where it starts in the object.
    pub offset: u64,
    pub data: Bytes,
    /// Of `data`.
    pub crc32c: Crc32c,
}

/// What all parts together must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTotal {
    /// Of the whole object: its length is [`Crc32c::covered`].
    pub crc32c: Crc32c,
}

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Keys that start with this text, relative to the root.
    pub prefix: String,
    /// One level only: keys with a further `/` after the prefix are folded into prefixes.
    pub one_level: bool,
    /// At most this many entries in the page; 0 leaves it to the backend (usually 1,000).
    pub max_entries: usize,
    /// Where the page before ended: [`ListPage::next`].
    pub continuation: Option<String>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    pub entries: Vec<ListEntry>,
    /// `None` at the end; else what the next request continues from.
    pub next: Option<String>,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEntry {
    /// Lists know key, size, last modification and (mostly) the ETag.
    Object(ObjectMeta),
    /// A common prefix, ending in `/`; only in listings of one level.
    Prefix(String),
}

impl ListEntry {
    /// The key or prefix, relative to the root.
    pub fn key(&self) -> &str {
        match self {
            ListEntry::Object(meta) => &meta.key,
            ListEntry::Prefix(prefix) => prefix,
        }
    }
}

/// An upload in parts that was neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingUpload {
    /// Relative to the store's root.
    pub key: String,
    /// The service's name for it; empty where the service keeps parts by key alone (Azure).
    pub id: String,
    /// Where the service says it.
    pub started: Option<SystemTime>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    pub name: String,
    pub created: Option<SystemTime>,
}
