//! Streaming an object into a store.

use super::put::put;
use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::store::{PutOptions, Store};
use bytes::Bytes;

/// What a writer did so far, or altogether once it is finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Bytes that came in.
    pub bytes: u64,
    /// Bytes that were stored: fewer where they were compressed.
    pub stored_bytes: u64,
    /// CRC32C of the bytes that came in.
    pub crc32c: u32,
    /// CRC32C of the stored bytes.
    pub stored_crc32c: u32,
    /// Requests that carried data.
    pub parts: u32,
    /// Whether the object is published.
    pub finished: bool,
    pub etag: Option<String>,
}

/// One object being written.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    key: String,
    put: PutOptions,
    data: Vec<u8>,
    reserved: Vec<u8>,
    closed: bool,
    stats: WriteStats,
}

impl Writer {
    pub async fn open(store: &Store, key: &str, options: &Resolved, put: &PutOptions) -> Result<Writer> {
        let _ = options;
        Ok(Writer {
            store: store.clone(),
            key: key.to_owned(),
            put: put.clone(),
            data: Vec::new(),
            reserved: Vec::new(),
            closed: false,
            stats: WriteStats::default(),
        })
    }

    /// The key that is written, with `.zst` where it is compressed.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn stats(&self) -> WriteStats {
        let crc = Crc32c::of(&self.data);
        match self.stats.finished {
            true => self.stats.clone(),
            false => WriteStats { bytes: crc.covered(), crc32c: crc.value(), ..WriteStats::default() },
        }
    }

    pub async fn write(&mut self, data: &[u8]) -> Result<()> {
        self.check_open()?;
        self.data.extend_from_slice(data);
        Ok(())
    }

    pub async fn write_owned(&mut self, data: Bytes) -> Result<()> {
        self.write(&data).await
    }

    /// Memory of the library's for at least `min` bytes, to be filled and given to `commit`.
    pub async fn reserve(&mut self, min: usize) -> Result<&mut [u8]> {
        self.check_open()?;
        self.reserved = vec![0; min.max(1)];
        Ok(&mut self.reserved)
    }

    pub async fn commit(&mut self, n: usize) -> Result<()> {
        self.check_open()?;
        if n > self.reserved.len() {
            return Err(self.context(Error::new(Code::InvalidArgument, "more than was reserved")));
        }
        let reserved = std::mem::take(&mut self.reserved);
        self.write(&reserved[..n]).await
    }

    pub async fn finish(&mut self) -> Result<WriteStats> {
        self.check_open()?;
        self.closed = true;
        let data = Bytes::from(std::mem::take(&mut self.data));
        self.stats = put(&self.store, &self.key, data, &self.put).await?;
        Ok(self.stats.clone())
    }

    pub async fn abort(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        match self.closed {
            true => Err(self.context(Error::new(Code::InvalidState, "the writer is closed"))),
            false => Ok(()),
        }
    }

    fn context(&self, error: Error) -> Error {
        error.with_context("write", self.store.root().join(&self.key))
    }
}
