//! Storing an object whose bytes are in memory.

use super::WriteStats;
use super::progress::moved;
use super::sink::Sink;
use super::tasks::run_all;
use crate::base::checksum::Crc32c;
use crate::base::op::Op;
use crate::error::Result;
use crate::options;
use crate::store::{PutOptions, Store, check_put_options};
use bytes::Bytes;
use std::sync::Arc;

/// Stores `data` whole or not at all: one request, or parallel parts where it is larger than two
/// parts. `data` may be lent: no piece of it is kept after the call.
pub async fn put(store: &Store, key: &str, data: Bytes, options: &PutOptions) -> Result<WriteStats> {
    let watch = store.watch(Op::Put, key);
    let outcome = whole(store, key, data, options).await;
    watch.end(&outcome, |stats| (1, stats.stored_bytes));
    outcome
}

async fn whole(store: &Store, key: &str, data: Bytes, options: &PutOptions) -> Result<WriteStats> {
    let context = |e: crate::Error| e.with_context("put", store.root().join(key));
    check_put_options(options).map_err(context)?;
    let single = store.options().number(&options::TRANSFER_PART_SIZE).saturating_mul(2);
    if store.capabilities().blocking_io || data.len() as u64 <= single {
        let (result, crc) = store.put_checked(key, data, options).await.map_err(context)?;
        moved(usize::try_from(crc.covered()).unwrap_or(usize::MAX));
        return Ok(stats(crc, 1, result.etag));
    }
    let mut sink = Sink::new(store, key, store.options(), options);
    let outcome = match sink.write_owned(data, true).await {
        Ok(()) => sink.finish().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(result) => Ok(stats(sink.crc(), sink.requests(), result.etag)),
        Err(error) => {
            if let Err(second) = sink.abort().await {
                tracing::warn!(error = %second, uri = %store.root().join(key), "a failed upload could not be removed");
            }
            Err(context(error))
        }
    }
}

/// Many objects in one call, `transfer.put_many_concurrency` of them at once; one result each, in the
/// order of `items`.
pub async fn put_many(
    store: &Store,
    items: Vec<(String, Bytes)>,
    options: &PutOptions,
) -> Vec<Result<WriteStats>> {
    let limit = store.options().size(&options::TRANSFER_PUT_MANY_CONCURRENCY);
    let inline = store.capabilities().blocking_io;
    let with = Arc::new((store.clone(), options.clone()));
    let job = move |(key, data): (String, Bytes)| {
        let with = with.clone();
        async move { put(&with.0, &key, data, &with.1).await }
    };
    run_all(items, limit, inline, job).await
}

fn stats(crc: Crc32c, parts: u32, etag: Option<String>) -> WriteStats {
    WriteStats {
        bytes: crc.covered(),
        stored_bytes: crc.covered(),
        crc32c: crc.value(),
        stored_crc32c: crc.value(),
        parts,
        finished: true,
        etag,
    }
}
