//! Deleting everything below a folder.

use super::Lister;
use crate::error::Result;
use crate::store::{ListEntry, Store};

/// Deletes every object below the folder `prefix` and returns how many. `run1` means `run1/` and
/// never takes `run10`; the empty prefix means everything below the root.
pub async fn delete_prefix(store: &Store, prefix: &str) -> Result<u64> {
    let folder = match prefix {
        "" => String::new(),
        prefix if prefix.ends_with('/') => prefix.to_owned(),
        prefix => format!("{prefix}/"),
    };
    let mut lister = Lister::new(store, &folder, true);
    let mut keys = Vec::new();
    while let Some(entry) = lister.next().await? {
        if let ListEntry::Object(meta) = entry {
            keys.push(meta.key);
        }
    }
    for result in store.delete_many(&keys).await? {
        result?;
    }
    Ok(keys.len() as u64)
}
