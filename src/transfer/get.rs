//! Whole objects and ranges into memory.

use crate::base::buffer::{Buffer, BufferPool, Window};
use crate::error::{Code, Error, Result};
use crate::store::{GetRequest, GetResult, Store, range_len};

/// The whole object in a pooled buffer.
pub async fn get(store: &Store, key: &str) -> Result<Buffer> {
    get_range(store, key, 0, u64::MAX).await
}

/// `length` bytes from `offset` (fewer at the object's end; `u64::MAX`: to the end).
pub async fn get_range(store: &Store, key: &str, offset: u64, length: u64) -> Result<Buffer> {
    let context = |e: Error| e.with_context("get", store.root().join(key));
    let meta = store.stat(key).await?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let wanted = range_len(offset, wanted, meta.size).map_err(context)?;
    let (window, owner) = BufferPool::global().take(wanted)?.into_window();
    let (window, _rest) = window.split_at(wanted);
    drop(_rest);
    let request = GetRequest { offset, if_match: meta.etag };
    let got = store.get_into(key, request, window).await?;
    if got.bytes != wanted {
        return Err(context(Error::new(Code::Truncated, format!("{} of {wanted} bytes came", got.bytes))));
    }
    owner.reclaim(got.bytes).ok_or_else(|| context(Error::new(Code::Internal, "the buffer is still in use")))
}

/// The whole object into `dst`; `BufferTooSmall` with the detail `required` where it does not fit.
pub async fn get_into(store: &Store, key: &str, dst: Window) -> Result<GetResult> {
    let meta = store.stat(key).await?;
    if meta.size > dst.len() as u64 {
        let message = format!("the object has {} bytes, the memory given {}", meta.size, dst.len());
        return Err(Error::new(Code::BufferTooSmall, message)
            .with_context("get", store.root().join(key))
            .with_detail("required", meta.size));
    }
    store.get_into(key, GetRequest { offset: 0, if_match: meta.etag }, dst).await
}

/// `dst.len()` bytes from `offset`, fewer only at the object's end.
pub async fn get_range_into(store: &Store, key: &str, offset: u64, dst: Window) -> Result<GetResult> {
    store.get_into(key, GetRequest { offset, if_match: None }, dst).await
}

/// Many ranges of one object; how many bytes each gave, in order.
pub async fn get_ranges(store: &Store, key: &str, ranges: Vec<(u64, Window)>) -> Result<Vec<usize>> {
    let mut bytes = Vec::with_capacity(ranges.len());
    for (offset, dst) in ranges {
        bytes.push(get_range_into(store, key, offset, dst).await?.bytes);
    }
    Ok(bytes)
}

/// Many objects; one result each, in order.
pub async fn get_many(store: &Store, keys: &[String]) -> Vec<Result<Buffer>> {
    let mut results = Vec::with_capacity(keys.len());
    for key in keys {
        results.push(get(store, key).await);
    }
    results
}
