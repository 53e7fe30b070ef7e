//! The checksum of an object's stored bytes: as the store knows it, else of what is read.

use s3dlio::api::advanced::{BufferPool, Crc32c};
use s3dlio::api::{Code, Error, Options, Reader, Result, Store};

const PIECE: usize = 16 << 20;

pub async fn of(store: &Store, key: &str) -> Result<u32> {
    if let Some(crc) = store.stat(key).await?.crc32c {
        return Ok(crc);
    }
    let as_stored = Options::new().with("reader.decompress", false)?;
    let reader = Reader::open(store, key, &as_stored.resolve_over(store.options())).await?;
    let mut crc = Crc32c::new();
    loop {
        let (window, owner) = BufferPool::global().take(PIECE)?.into_window();
        let read = reader.read(window.split_at(PIECE).0).await?;
        if read == 0 {
            return Ok(crc.value());
        }
        let piece = owner.reclaim(read);
        let piece =
            piece.ok_or_else(|| Error::new(Code::Internal, "a finished read still holds its memory"))?;
        crc = crc.combine(Crc32c::of(&piece));
    }
}
