//! What is known of a file: its ETag, and the record in its extended attribute.
//!
//! The attribute `user.s3dlio.object` has lines of `name=value`:
//! ```text
//! crc32c=e3069283 9 1700000000000000000    checksum, size and modification time it is valid for
//! content-type=text/plain
//! meta.owner=alice                          one per name of user metadata
//! ```
//! It is written before the file gets its name, so a published file always has its whole record.

use super::sys::{self, Stat};
use crate::error::{Code, Error, Result};
use crate::store::{ObjectMeta, PutOptions};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

const ATTRIBUTE: &CStr = c"user.s3dlio.object";
/// More than the metadata limit of the trait, names and checksum need.
const MAX_RECORD: usize = 8192;

/// What is recorded with a file beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) content_type: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) crc32c: Option<u32>,
}

impl Record {
    pub(super) fn new(options: &PutOptions, crc32c: u32) -> Record {
        Record {
            content_type: options.content_type.clone(),
            metadata: options.metadata.clone(),
            crc32c: Some(crc32c),
        }
    }

    /// Whether losing it would lose something that the caller gave.
    fn is_wanted(&self) -> bool {
        self.content_type.is_some() || !self.metadata.is_empty()
    }

    /// Writes the record of a file whose facts are `stat`. A file system without attributes loses
    /// the checksum silently, and is `Unsupported` for metadata.
    pub(super) fn write(&self, file: &File, stat: &Stat) -> Result<()> {
        let mut text = String::new();
        if let Some(crc) = self.crc32c {
            text += &format!("crc32c={crc:08x} {} {}\n", stat.size, stat.modified);
        }
        if let Some(content_type) = &self.content_type {
            text += &format!("content-type={content_type}\n");
        }
        for (name, value) in &self.metadata {
            text += &format!("meta.{name}={value}\n");
        }
        if text.is_empty() {
            return Ok(());
        }
        match sys::set_attribute(file, ATTRIBUTE, text.as_bytes()) {
            Ok(()) => Ok(()),
            Err(e) if has_no_attributes(&e) && !self.is_wanted() => Ok(()),
            Err(e) if has_no_attributes(&e) => Err(Error::new(
                Code::Unsupported,
                "this file system has no extended attributes to keep content type and metadata in",
            )
            .with_hint("write without content type and metadata, or to another file system")),
            Err(e) => Err(Error::from_io("cannot write the extended attribute of the file", &e)),
        }
    }

    /// The record of a file whose facts are `stat`; empty where there is none. A checksum of other
    /// bytes than those that `stat` saw is left out.
    pub(super) fn read(file: &File, stat: &Stat) -> Result<Record> {
        let mut text = [0u8; MAX_RECORD];
        let length = match sys::attribute(file, ATTRIBUTE, &mut text) {
            Ok(length) => length,
            Err(e) if sys::is_no_attribute(&e) || has_no_attributes(&e) => return Ok(Record::default()),
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) => return Ok(Record::default()), // not ours
            Err(e) => return Err(Error::from_io("cannot read the extended attribute of the file", &e)),
        };
        let mut record = Record::default();
        for line in String::from_utf8_lossy(&text[..length]).lines() {
            match line.split_once('=') {
                Some(("crc32c", value)) => record.crc32c = valid_crc(value, stat),
                Some(("content-type", value)) => record.content_type = Some(value.to_owned()),
                Some((name, value)) => {
                    if let Some(name) = name.strip_prefix("meta.") {
                        record.metadata.insert(name.to_owned(), value.to_owned());
                    }
                }
                None => {}
            }
        }
        Ok(record)
    }
}

/// The checksum if it is one of the bytes that are there.
fn valid_crc(text: &str, stat: &Stat) -> Option<u32> {
    let mut words = text.split(' ');
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    let size: u64 = words.next()?.parse().ok()?;
    let modified: i128 = words.next()?.parse().ok()?;
    (size == stat.size && modified == stat.modified).then_some(crc)
}

fn has_no_attributes(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

/// Differs with every publication: a new file has another inode or another time in nanoseconds.
pub(super) fn etag(stat: &Stat) -> String {
    format!("\"{:x}-{:x}-{:x}\"", stat.inode, stat.modified, stat.size)
}

/// The facts that a listing knows.
pub(super) fn meta(key: &str, stat: &Stat) -> ObjectMeta {
    ObjectMeta {
        key: key.to_owned(),
        size: stat.size,
        etag: Some(etag(stat)),
        last_modified: system_time(stat.modified),
        ..ObjectMeta::default()
    }
}

/// All facts.
pub(super) fn full_meta(key: &str, file: &File, stat: &Stat) -> Result<ObjectMeta> {
    let record = Record::read(file, stat)?;
    Ok(ObjectMeta {
        content_type: record.content_type,
        metadata: record.metadata,
        crc32c: record.crc32c,
        ..meta(key, stat)
    })
}

fn system_time(nanoseconds: i128) -> Option<SystemTime> {
    let distance = u64::try_from(nanoseconds.unsigned_abs()).map(Duration::from_nanos).ok()?;
    if nanoseconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    }
}
