//! Stores for callers who name whole objects: opened once per root and options, then reused, so
//! that connections and credentials are.

use super::registry::{Store, store_for_uri};
use crate::base::sync::lock;
use crate::base::uri::Uri;
use crate::error::Result;
use crate::options::Options;
use crate::runtime::{ForkRank, hold_during_fork};
use std::sync::{Mutex, Once};

/// How many stores are kept; the least recently used one goes first.
const MAX_STORES: usize = 64;

struct Cached {
    root: Uri,
    options: Options,
    store: Store,
}

/// The most recently used one is last. Held for a look-up only, never while a store opens.
static STORES: Mutex<Vec<Cached>> = Mutex::new(Vec::new());

/// The store of an object's container (for paths: of the root folder), and the object's key in it.
/// Only the explicit options tell stores apart: the environment is read when one is first opened.
pub fn store_for_object(uri: &str, options: &Options) -> Result<(Store, String)> {
    static HELD: Once = Once::new();
    HELD.call_once(|| hold_during_fork(ForkRank::Registry, || Box::new(lock(&STORES))));
    let (root, key) = Uri::parse(uri)?.split_object()?;
    if let Some(store) = find(&mut lock(&STORES), &root, options) {
        return Ok((store, key));
    }
    let opened = store_for_uri(&root.to_string(), options)?;
    let mut stores = lock(&STORES);
    if let Some(store) = find(&mut stores, &root, options) {
        return Ok((store, key)); // another thread was first
    }
    stores.push(Cached { root, options: options.clone(), store: opened.clone() });
    let evicted = (stores.len() > MAX_STORES).then(|| stores.remove(0));
    drop(stores);
    drop(evicted); // outside the lock: it may close connections
    Ok((opened, key))
}

fn find(stores: &mut Vec<Cached>, root: &Uri, options: &Options) -> Option<Store> {
    let at = stores.iter().position(|cached| cached.root == *root && cached.options == *options)?;
    let cached = stores.remove(at);
    let store = cached.store.clone();
    stores.push(cached);
    Some(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_reused_by_root_and_options_and_bounded() {
        let options = Options::new();
        let open = |uri: &str, options: &Options| {
            let (store, key) = store_for_object(uri, options).unwrap();
            (std::ptr::from_ref(store.options()).addr(), key)
        };
        let first = open("memory://cached/a/b", &options);
        assert_eq!(first.1, "a/b");
        assert_eq!(open("memory://cached/c", &options), (first.0, "c".into()));
        let other = options.clone().with("transfer.part_size", "8MiB").unwrap();
        assert_ne!(open("memory://cached/c", &other).0, first.0);
        for n in 0..2 * MAX_STORES {
            open(&format!("memory://cached-{n}/x"), &options);
        }
        assert_eq!(lock(&STORES).len(), MAX_STORES);
    }
}
