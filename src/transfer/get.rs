//! Whole objects and ranges into memory (SPEC G1).

use super::batch;
use super::range::{Pin, RangePlan, check_range, read_first, read_pinned, read_range};
use super::tasks::{run_all, try_run_all};
use crate::base::buffer::{ALIGNMENT, Buffer, BufferPool, Window};
use crate::base::first_byte::FirstByte;
use crate::base::op::Op;
use crate::error::{Code, Error, Result};
use crate::options;
use crate::store::{Admit, GetResult, ObjectMeta, Store, range_len};
use std::future::Future;
use std::sync::Arc;

/// What the first request asks for where the size is unknown.
const FIRST: usize = 2 << 20;
/// How often a local object may be replaced between asking for its size and reading it.
const REPLACED: u32 = 8;

/// The whole object in a pooled buffer. One request where it is small; a larger one comes in
/// parallel ranges of the same ETag, `Changed` where it was replaced meanwhile.
pub async fn get(store: &Store, key: &str) -> Result<Buffer> {
    let watch = store.watch(Op::Get, key);
    let outcome = whole(store, key, watch.first_byte()).await;
    watch.end(&outcome, |data| (1, data.len() as u64));
    outcome
}

async fn whole(store: &Store, key: &str, first_byte: &FirstByte) -> Result<Buffer> {
    if store.capabilities().blocking_io
        && let Some(mut batch) = batch::get(store, &[key], &|_, _| true).await
        && let Some(Some(only)) = batch.results.pop()
    {
        return only;
    }
    range(store, key, 0, u64::MAX, first_byte).await
}

/// `length` bytes from `offset`, fewer only at the object's end; `u64::MAX`: to the end. An offset
/// past the end is `Range`.
pub async fn get_range(store: &Store, key: &str, offset: u64, length: u64) -> Result<Buffer> {
    let watch = store.watch(Op::Get, key);
    let outcome = range(store, key, offset, length, watch.first_byte()).await;
    watch.end(&outcome, |data| (1, data.len() as u64));
    outcome
}

async fn range(store: &Store, key: &str, offset: u64, length: u64, first_byte: &FirstByte) -> Result<Buffer> {
    let plan = RangePlan::new(store, store.options());
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let context = |e: Error| e.with_context("get", store.root().join(key));
    check_range(offset, length).map_err(context)?;
    let blocking = store.capabilities().blocking_io;
    let mut tries = 0;
    let (first, meta, total) = loop {
        let first_len = match blocking {
            // Asking for the size costs next to nothing there.
            true => {
                let size = store.backend().stat(key).await.map_err(context)?.size;
                range_len(offset, wanted, size).map_err(context)?
            }
            false if length <= plan.threshold => wanted,
            false => FIRST.min(wanted),
        };
        let (first, meta) = read_first(store, key, offset, first_len, None, first_byte).await?;
        let total = range_len(offset, wanted, meta.size)?;
        if total == first.len() {
            return Ok(first);
        }
        tries += 1;
        // Replaced by a larger one after its size was asked for: read that one whole.
        if !blocking || tries == REPLACED {
            break (first, meta, total);
        }
    };
    let (window, owner) = pooled(total)?;
    let (mut head, rest) = window.split_at(first.len());
    head.copy_from_slice(&first);
    let at = offset + first.len() as u64;
    drop((first, head));
    read_pinned(store, key, at, rest, &Pin::of(&meta), &plan, first_byte).await?;
    owner(total)
}

/// As [`get_range`], for callers with a budget, who keep room for `first` bytes: `admit` is awaited with the
/// number of bytes where it is another one, before there is memory for more. With `if_match`, an object of another ETag
/// is `Changed`. Gives the object's facts, too.
pub async fn get_admitted<F: Future<Output = ()>>(
    store: &Store,
    key: &str,
    (offset, length): (u64, u64),
    if_match: Option<&str>,
    first: u64,
    admit: impl FnMut(u64) -> F,
) -> Result<(Buffer, ObjectMeta)> {
    let watch = store.watch(Op::Get, key);
    let outcome = admitted(store, key, (offset, length), if_match, first, admit, watch.first_byte()).await;
    watch.end(&outcome, |(data, _)| (1, data.len() as u64));
    outcome
}

async fn admitted<F: Future<Output = ()>>(
    store: &Store,
    key: &str,
    (offset, length): (u64, u64),
    if_match: Option<&str>,
    first: u64,
    mut admit: impl FnMut(u64) -> F,
    first_byte: &FirstByte,
) -> Result<(Buffer, ObjectMeta)> {
    let plan = RangePlan::new(store, store.options());
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let context = |e: Error| e.with_context("get", store.root().join(key));
    check_range(offset, length).map_err(context)?;
    let blocking = store.capabilities().blocking_io;
    let mut tries = 0;
    let (head, meta, total) = loop {
        let first_len = match blocking {
            true => {
                let size = store.backend().stat(key).await.map_err(context)?.size;
                let bytes = range_len(offset, wanted, size).map_err(context)?;
                if bytes as u64 != first {
                    admit(bytes as u64).await;
                }
                bytes
            }
            false => {
                let most = usize::try_from(plan.threshold).unwrap_or(usize::MAX).max(FIRST);
                // No buffer is smaller; and some services have no answer to the first byte of an empty object.
                let first = usize::try_from(first).unwrap_or(usize::MAX).max(ALIGNMENT);
                wanted.min(first).clamp(1, most)
            }
        };
        let (head, meta) = read_first(store, key, offset, first_len, if_match, first_byte).await?;
        let total = range_len(offset, wanted, meta.size).map_err(context)?;
        tries += 1;
        if total == head.len() || !blocking || tries == REPLACED {
            break (head, meta, total);
        }
    };
    if total as u64 != first {
        admit(total as u64).await;
    }
    if total == head.len() {
        return Ok((head, meta));
    }
    let (window, owner) = pooled(total)?;
    let (mut start, rest) = window.split_at(head.len());
    start.copy_from_slice(&head);
    let at = offset + head.len() as u64;
    drop((head, start));
    read_pinned(store, key, at, rest, &Pin::of(&meta), &plan, first_byte).await?;
    Ok((owner(total)?, meta))
}

/// The whole object into `dst`; `BufferTooSmall` with the detail `required` where it does not fit.
pub async fn get_into(store: &Store, key: &str, dst: Window) -> Result<GetResult> {
    let watch = store.watch(Op::Get, key);
    let plan = RangePlan::new(store, store.options());
    let outcome = read_range(store, key, 0, dst, true, &plan, watch.first_byte()).await;
    watch.end(&outcome, |got| (1, got.bytes as u64));
    outcome
}

/// `dst.len()` bytes from `offset`, fewer only at the object's end.
pub async fn get_range_into(store: &Store, key: &str, offset: u64, dst: Window) -> Result<GetResult> {
    one_range(store, key, offset, dst, &RangePlan::new(store, store.options())).await
}

async fn one_range(
    store: &Store,
    key: &str,
    offset: u64,
    dst: Window,
    plan: &RangePlan,
) -> Result<GetResult> {
    let watch = store.watch(Op::Get, key);
    let outcome = read_range(store, key, offset, dst, false, plan, watch.first_byte()).await;
    watch.end(&outcome, |got| (1, got.bytes as u64));
    outcome
}

/// Many ranges of one object in one call; how many bytes each gave, in order. All come from the
/// same version of the object, else `Changed`.
pub async fn get_ranges(store: &Store, key: &str, ranges: Vec<(u64, Window)>) -> Result<Vec<usize>> {
    let plan = RangePlan::new(store, store.options());
    let of: Arc<(Store, String)> = Arc::new((store.clone(), key.to_owned()));
    let job = move |(offset, dst): (u64, Window)| {
        let of = of.clone();
        async move { one_range(&of.0, &of.1, offset, dst, &plan).await }
    };
    let limit = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let results = try_run_all(ranges, limit, store.capabilities().blocking_io, job).await?;
    if let Some(first) = results.first().map(|got| Pin::of(&got.meta)) {
        for got in &results {
            first.check(&got.meta).map_err(|e| e.with_context("get", store.root().join(key)))?;
        }
    }
    Ok(results.into_iter().map(|got| got.bytes).collect())
}

/// Many objects at once, from a store that has a way of its own for that; `None` from others. For callers with a budget:
/// `admit` is asked once an object's size is known, and where it refuses there is no result.
pub async fn get_batch(
    store: &Store,
    keys: &[&str],
    admit: Admit<'_>,
) -> Option<Vec<Option<Result<Buffer>>>> {
    let batch = batch::get(store, keys, admit).await?;
    batch.report(store, keys);
    Some(batch.results)
}

/// Many objects in one call, `transfer.get_many_concurrency` of them at once; one result each, in
/// the order of `keys`.
pub async fn get_many(store: &Store, keys: Vec<String>) -> Vec<Result<Buffer>> {
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    if let Some(results) = get_batch(store, &names, &|_, _| true).await {
        let missing = || Err(Error::new(Code::Internal, "an object of a batch was not read"));
        return results.into_iter().map(|result| result.unwrap_or_else(missing)).collect();
    }
    let limit = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let inline = store.capabilities().blocking_io;
    let store = store.clone();
    let job = move |key: String| {
        let store = store.clone();
        async move { get(&store, &key).await }
    };
    run_all(keys, limit, inline, job).await
}

/// A window of `len` pooled bytes, and what gives the buffer back once the window is dropped.
pub(super) fn pooled(len: usize) -> Result<(Window, impl FnOnce(usize) -> Result<Buffer>)> {
    let (window, owner) = BufferPool::global().take(len)?.into_window();
    let (window, _spare) = window.split_at(len);
    let give_back = |len| {
        owner.reclaim(len).ok_or_else(|| Error::new(Code::Internal, "a finished read still holds its memory"))
    };
    Ok((window, give_back))
}
