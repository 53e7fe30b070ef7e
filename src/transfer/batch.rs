//! Whole objects from stores that have a way of their own for many of them.

use super::progress::moved;
use crate::base::op::Op;
use crate::options;
use crate::store::{Admit, GotBatch, Store};

/// One result per key, in order, `None` where `admit` refused it; no batch where each is to be got by itself. Neither logged nor counted:
/// [`GotBatch::report`].
pub(super) async fn get(store: &Store, keys: &[&str], admit: Admit<'_>) -> Option<GotBatch> {
    let at_once = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let batch = store.get_batch(keys, at_once, admit).await?;
    moved(batch.results.iter().flatten().flatten().map(|data| data.len()).sum());
    Some(batch)
}

impl GotBatch {
    /// Tells of each of its objects.
    pub(super) fn report(&self, store: &Store, keys: &[&str]) {
        let pieces = keys.chunks(self.size.max(1)).zip(self.results.chunks(self.size.max(1)));
        for ((keys, results), times) in pieces.zip(&self.times) {
            let each = keys.iter().zip(results).filter_map(|(key, result)| match result {
                Some(Ok(data)) => Some((*key, 1, data.len() as u64, None)),
                Some(Err(error)) => Some((*key, 1, 0, Some(error))),
                None => None,
            });
            store.site().report(Op::Get, *times, each.collect::<Vec<_>>().into_iter());
        }
    }
}
