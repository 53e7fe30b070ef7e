//! An upload in parts: kept aside until it is complete.

use super::{MemoryStore, Part, PutOptions, PutResult, Upload, UploadTotal};
use crate::base::checksum::Crc32c;
use crate::base::sync::lock;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

pub(super) struct MemoryUpload {
    store: MemoryStore,
    key: String,
    options: PutOptions,
    parts: Mutex<BTreeMap<u32, Bytes>>,
}

impl MemoryUpload {
    pub(super) fn new(root: &Uri, key: &str, options: &PutOptions) -> Self {
        MemoryUpload {
            store: MemoryStore::open(root.clone()),
            key: key.to_owned(),
            options: options.clone(),
            parts: Mutex::default(),
        }
    }

    fn join(&self, count: u32) -> Result<Bytes> {
        let parts = lock(&self.parts);
        let mut whole = BytesMut::with_capacity(parts.values().map(Bytes::len).sum());
        for number in 0..count {
            let part = parts.get(&number).ok_or_else(|| {
                Error::new(Code::InvalidState, format!("part {number} of {count} was not stored"))
            })?;
            whole.extend_from_slice(part);
        }
        Ok(whole.freeze())
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn put_part(&self, part: Part) -> Result<()> {
        let copy = Bytes::copy_from_slice(&part.data);
        lock(&self.parts).insert(part.number, copy);
        Ok(())
    }

    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        let context = |e: Error| e.with_context("put", self.store.uri(&self.key));
        let whole = self.join(parts).map_err(context)?;
        let crc = Crc32c::of(&whole);
        if crc != total.crc32c {
            return Err(context(Error::new(
                Code::ChecksumMismatch,
                format!("the stored parts have {crc:?}, but {:?} was expected", total.crc32c),
            )));
        }
        let result = self.store.publish(&self.key, whole, crc, &self.options).map_err(context)?;
        lock(&self.parts).clear();
        Ok(result)
    }

    async fn abort(&self) -> Result<()> {
        lock(&self.parts).clear();
        Ok(())
    }
}

impl fmt::Debug for MemoryUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryUpload({})", self.store.uri(&self.key))
    }
}
