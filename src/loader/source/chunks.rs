//! A file as a sequence of pieces, decompressed and checked against its size, for formats that are read in sequence.

use super::Location;
use crate::base::buffer::{Buffer, BufferPool};
use crate::error::{Code, Error, Result};
use crate::transfer::Reader;

/// What is asked of the reader at once; it fetches ahead by itself.
const PIECE: usize = 256 << 10;

/// The bytes of one file.
#[derive(Debug)]
pub(super) struct Chunks {
    reader: Reader,
    piece: Buffer,
    used: usize,
}

impl Chunks {
    /// Opens the file. What ends in `.zst` is decompressed (option `reader.decompress`).
    pub async fn open(file: &Location) -> Result<Chunks> {
        let reader = Reader::open(&file.store, file.key(), file.store.options()).await?;
        if let Some(size) = file.size.filter(|size| *size != reader.meta().size) {
            let message = format!("the file has {} bytes, its listing said {size}", reader.meta().size);
            return Err(Error::new(Code::Changed, message)
                .with_context("open", &file.uri)
                .with_hint("list it again, or write a new manifest"));
        }
        Ok(Chunks { reader, piece: BufferPool::global().take(PIECE)?, used: 0 })
    }

    /// What is left of the present piece.
    pub fn rest(&self) -> &[u8] {
        &self.piece[self.used..]
    }

    /// Goes past all but the last `left` bytes of [`Chunks::rest`].
    pub fn keep(&mut self, left: usize) {
        self.used = self.piece.len() - left;
    }

    /// The next piece; whether there is one.
    pub async fn fill(&mut self) -> Result<bool> {
        let room = std::mem::replace(&mut self.piece, Buffer::allocate(0)?);
        let (window, owner) = room.into_window();
        let bytes = self.reader.read(window).await?;
        let lost = || Error::new(Code::Internal, "a finished read still holds its memory");
        self.piece = owner.reclaim(bytes).ok_or_else(lost)?;
        self.used = 0;
        Ok(bytes > 0)
    }
}

#[cfg(test)]
/// What the tests of all record formats need.
pub(super) mod testing {
    use super::super::{Indexed, Location};
    use crate::error::Result;
    use crate::options::Options;
    use crate::store::{PutOptions, store_for_uri};
    use crate::transfer;
    use bytes::Bytes;
    use std::sync::Arc;

    /// Places in memory that nobody else uses.
    pub fn files(test: &str, names: &[&str]) -> Vec<Location> {
        let root = format!("memory://source-{test}-{}/", std::process::id());
        let store = Arc::new(store_for_uri(&root, &Options::new()).unwrap());
        let of = |name: &&str| Location {
            store: store.clone(),
            uri: format!("{root}{name}"),
            key_at: root.len(),
            range: None,
            size: None,
            etag: None,
            name: String::new(),
        };
        names.iter().map(of).collect()
    }

    pub async fn put(file: &Location, suffix: &str, bytes: &[u8]) {
        let key = format!("{}{suffix}", file.key());
        transfer::put(&file.store, &key, Bytes::copy_from_slice(bytes), &PutOptions::default())
            .await
            .unwrap();
    }

    /// Every item's name and bytes, fetched as the engine does.
    pub async fn fetch(items: &dyn Indexed) -> Result<Vec<(String, Bytes)>> {
        let mut found = Vec::new();
        for index in 0..items.len() {
            let location = items.locate(index)?;
            let (offset, length) = location.range.unwrap();
            let data = transfer::get_range(&location.store, location.key(), offset, length).await?;
            assert_eq!(data.len() as u64, length);
            let mut fields = items.decode(&location, data.into_bytes())?;
            assert_eq!(fields.len(), 1);
            found.push((location.name, fields.remove(0).data));
        }
        Ok(found)
    }
}
