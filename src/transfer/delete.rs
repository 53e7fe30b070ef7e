//! Deleting everything below a folder.

use crate::error::{Error, Result};
use crate::store::{ListEntry, ListRequest, Store};

/// Deletes every object below the folder `prefix`, page by page, and returns how many. `run1` means
/// `run1/` and never takes `run10`; the empty prefix means everything below the root. Where objects
/// cannot be deleted, the others still are, and the first error says with its details `deleted` and
/// `failed` how many.
pub async fn delete_prefix(store: &Store, prefix: &str) -> Result<u64> {
    let context = |e: Error| e.with_context("delete_prefix", store.root().join(prefix));
    let folder = match prefix {
        "" => String::new(),
        prefix if prefix.ends_with('/') => prefix.to_owned(),
        prefix => format!("{prefix}/"),
    };
    let mut request = ListRequest { prefix: folder, ..ListRequest::default() };
    let (mut deleted, mut failed, mut first) = (0_u64, 0_u64, None);
    loop {
        let page = store.list_page(&request).await.map_err(context)?;
        let objects = page.entries.into_iter().filter_map(|entry| match entry {
            ListEntry::Object(meta) => Some(meta.key),
            ListEntry::Prefix(_) => None,
        });
        let keys: Vec<String> = objects.collect();
        if !keys.is_empty() {
            for outcome in store.delete_many(&keys).await.map_err(context)? {
                match outcome {
                    Ok(()) => deleted += 1,
                    Err(error) => {
                        failed += 1;
                        first.get_or_insert(error);
                    }
                }
            }
        }
        request.continuation = page.next;
        if request.continuation.is_none() {
            break;
        }
    }
    match first {
        None => Ok(deleted),
        Some(error) => Err(context(error)
            .with_cause(format!("{failed} objects could not be deleted, {deleted} were"))
            .with_detail("deleted", deleted)
            .with_detail("failed", failed)),
    }
}
