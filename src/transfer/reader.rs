//! Reading one object, by position or as a stream.

use super::{get_range_into, get_ranges};
use crate::base::buffer::Window;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::store::{GetRequest, ObjectMeta, Store};
use std::io::SeekFrom;
use std::sync::Mutex;

/// One object, pinned to the ETag that it had when it was opened.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    meta: ObjectMeta,
    position: Mutex<u64>,
}

impl Reader {
    pub async fn open(store: &Store, key: &str, options: &Resolved) -> Result<Reader> {
        let _ = options;
        let meta = store.stat(key).await?;
        Ok(Reader { store: store.clone(), meta, position: Mutex::new(0) })
    }

    /// In plain bytes.
    pub fn size(&self) -> Result<u64> {
        Ok(self.meta.size)
    }

    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    pub async fn read_at(&self, offset: u64, dst: Window) -> Result<usize> {
        Ok(get_range_into(&self.store, &self.meta.key, offset, dst).await?.bytes)
    }

    pub async fn readv_at(&self, ranges: Vec<(u64, Window)>) -> Result<Vec<usize>> {
        get_ranges(&self.store, &self.meta.key, ranges).await
    }

    /// The next bytes; 0 at the end.
    pub async fn read(&self, dst: Window) -> Result<usize> {
        let offset = *lock(&self.position);
        if offset >= self.meta.size {
            return Ok(0);
        }
        let request = GetRequest { offset, if_match: self.meta.etag.clone() };
        let bytes = self.store.get_into(&self.meta.key, request, dst).await?.bytes;
        *lock(&self.position) = offset + bytes as u64;
        Ok(bytes)
    }

    /// Moves the position of [`Reader::read`] and returns it, from the start.
    pub async fn seek(&self, pos: SeekFrom) -> Result<u64> {
        let mut position = lock(&self.position);
        let target = match pos {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => position.checked_add_signed(by),
            SeekFrom::End(by) => self.meta.size.checked_add_signed(by),
        };
        let Some(target) = target else {
            return Err(Error::new(Code::InvalidArgument, "the position is negative or too large")
                .with_context("seek", self.store.root().join(&self.meta.key)));
        };
        *position = target;
        Ok(target)
    }

    pub fn expect_crc32c(&self, crc: u32) -> Result<()> {
        let _ = crc;
        Ok(())
    }
}
