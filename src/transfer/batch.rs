//! Whole objects from stores that have a way of their own for many of them.

use super::progress::moved;
use crate::base::buffer::Buffer;
use crate::error::Result;
use crate::options;
use crate::store::Store;

/// One result per key, in order; `None` where each is to be got by itself.
pub(super) async fn get(store: &Store, keys: &[String]) -> Option<Vec<Result<Buffer>>> {
    let at_once = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let results = store.get_batch(keys, at_once).await?;
    moved(results.iter().flatten().map(|data| data.len()).sum());
    Some(results)
}
