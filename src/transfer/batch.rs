//! Whole objects from stores that have a way of their own for many of them.

use super::progress::moved;
use crate::base::op::Op;
use crate::options;
use crate::store::{GotBatch, Store};

/// One result per key, in order; `None` where each is to be got by itself. Neither logged nor counted:
/// [`GotBatch::report`].
pub(super) async fn get(store: &Store, keys: &[String]) -> Option<GotBatch> {
    let at_once = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let batch = store.get_batch(keys, at_once).await?;
    moved(batch.results.iter().flatten().map(|data| data.len()).sum());
    Some(batch)
}

impl GotBatch {
    /// Tells of each of its objects.
    pub(super) fn report(&self, store: &Store, keys: &[String]) {
        let pieces = keys.chunks(self.size.max(1)).zip(self.results.chunks(self.size.max(1)));
        for ((keys, results), times) in pieces.zip(&self.times) {
            let each = keys.iter().zip(results).map(|(key, result)| match result {
                Ok(data) => (key.as_str(), 1, data.len() as u64, None),
                Err(error) => (key.as_str(), 1, 0, Some(error)),
            });
            store.site().report(Op::Get, *times, each);
        }
    }
}
