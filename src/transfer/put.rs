//! Storing an object whose bytes are in memory.

use super::WriteStats;
use crate::base::checksum::Crc32c;
use crate::error::Result;
use crate::store::{PutOptions, Store};
use bytes::Bytes;

/// Stores `data` whole or not at all: one request, or parts when it is large.
pub async fn put(store: &Store, key: &str, data: Bytes, options: &PutOptions) -> Result<WriteStats> {
    let crc = Crc32c::of(&data);
    let result = store.put(key, data, options).await?;
    Ok(WriteStats {
        bytes: crc.covered(),
        stored_bytes: crc.covered(),
        crc32c: crc.value(),
        stored_crc32c: crc.value(),
        parts: 1,
        finished: true,
        etag: result.etag,
    })
}
