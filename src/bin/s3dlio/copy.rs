//! One object from one store to another: its bytes as they are, with its type and metadata, published
//! whole or not at all.

use s3dlio::api::advanced::{BufferPool, Scheme, get_admitted};
use s3dlio::api::{Code, Error, Options, PutOptions, Reader, Result, Store, Writer, get, put};
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Objects up to this size go in one piece.
const SMALL: u64 = 8 << 20;
/// The least that is asked for: some services answer a range of one byte of an empty object wrongly.
const FIRST: u64 = 4096;
/// What a larger one is carried in.
const PIECE: usize = 16 << 20;

/// Where an object is, and where it goes. A tree has many of the same stores.
#[derive(Clone, Debug)]
pub struct Copy {
    pub from: Store,
    pub key: String,
    pub to: Store,
    pub to_key: String,
}

impl Copy {
    /// Moves `size` bytes, and adds them to `counter` as they are moved. Gives how many they were.
    /// Type and metadata are those of `put` where it has some, else those of the source.
    pub async fn run(&self, size: u64, put_options: &PutOptions, counter: &AtomicU64) -> Result<u64> {
        // A service keeps the type; another one needs the bytes to be stored again.
        if self.is_within_service() && put_options.content_type.is_none() {
            return self.by_service(size, counter).await;
        }
        if size > SMALL {
            return self.in_pieces(put_options, counter).await;
        }
        let mut with = put_options.clone();
        let data = match self.from.capabilities().metadata {
            false => get(&self.from, &self.key).await?,
            true => {
                let (whole, first) = ((0, u64::MAX), size.max(FIRST));
                let got = get_admitted(&self.from, &self.key, whole, None, first, |_| ready(()));
                let (data, meta) = got.await?;
                adopt(&mut with, meta.content_type, meta.metadata, &self.to);
                data
            }
        };
        let bytes = data.len() as u64;
        put(&self.to, &self.to_key, data.into_bytes(), &with).await?;
        counter.fetch_add(bytes, Relaxed);
        Ok(bytes)
    }

    /// Both in the same container of a service that copies by itself.
    fn is_within_service(&self) -> bool {
        let (from, to) = (self.from.root(), self.to.root());
        from == to && matches!(from.scheme(), Scheme::S3 | Scheme::Azure | Scheme::Memory)
    }

    async fn by_service(&self, size: u64, counter: &AtomicU64) -> Result<u64> {
        self.from.copy(&self.key, &self.to_key).await?;
        counter.fetch_add(size, Relaxed);
        Ok(size)
    }

    async fn in_pieces(&self, put_options: &PutOptions, counter: &AtomicU64) -> Result<u64> {
        let as_stored =
            Options::new().with("reader.decompress", false)?.with("writer.compression", "none")?;
        let reading = as_stored.resolve_over(self.from.options());
        let reader = Reader::open(&self.from, &self.key, &reading).await?;
        let mut with = put_options.clone();
        let meta = reader.meta();
        adopt(&mut with, meta.content_type.clone(), meta.metadata.clone(), &self.to);
        let writing = as_stored.resolve_over(self.to.options());
        let mut writer = Writer::open(&self.to, &self.to_key, &writing, &with).await?;
        match carry(&reader, &mut writer, counter).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                if let Err(second) = writer.abort().await {
                    let left = format!("and what was uploaded of it could not be removed: {second}");
                    return Err(error.with_cause(left));
                }
                Err(error)
            }
        }
    }
}

async fn carry(reader: &Reader, writer: &mut Writer, counter: &AtomicU64) -> Result<u64> {
    let size = reader.size()?;
    let mut done = 0;
    loop {
        let (window, owner) = BufferPool::global().take(PIECE)?.into_window();
        let read = reader.read(window.split_at(PIECE).0).await?;
        if read == 0 {
            break;
        }
        let piece = owner.reclaim(read);
        let piece =
            piece.ok_or_else(|| Error::new(Code::Internal, "a finished read still holds its memory"))?;
        writer.write_owned(piece.into_bytes()).await?;
        counter.fetch_add(read as u64, Relaxed);
        done += read as u64;
    }
    if done != size {
        let message = format!("{done} bytes came, but {size} were expected");
        return Err(Error::new(Code::Truncated, message).with_context("copy", reader.uri()));
    }
    writer.finish().await?;
    Ok(done)
}

/// Keeps what the source says of itself, where the caller says nothing and the destination can.
fn adopt(
    with: &mut PutOptions,
    content_type: Option<String>,
    metadata: std::collections::BTreeMap<String, String>,
    to: &Store,
) {
    if !to.capabilities().metadata {
        return;
    }
    with.content_type = with.content_type.take().or(content_type);
    if with.metadata.is_empty() {
        with.metadata = metadata;
    }
}
