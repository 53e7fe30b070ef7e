//! The stores of a list of URIs: one per bucket, container or folder, opened once.

use super::Location;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::store::{Store, store_for_uri};
use std::collections::HashMap;
use std::sync::Arc;

/// In more folders than this, files are opened below the one that all of them have in common.
const MAX_FOLDERS: usize = 1024;

/// Grows while the URIs are read, never after; so that threads and forked children share it without a lock.
#[derive(Debug)]
pub struct Stores {
    options: Options,
    of: HashMap<String, Arc<Store>>,
    /// What all local roots of a scheme have in common, where there are too many of them.
    common: Vec<(String, Arc<Store>)>,
    last: String,
}

impl Stores {
    pub fn new(options: &Options) -> Stores {
        Stores { options: options.clone(), of: HashMap::new(), common: Vec::new(), last: String::new() }
    }

    /// Makes sure of the store of an object's URI. Checks the URI; does no I/O.
    pub fn add(&mut self, uri: &str) -> Result<()> {
        let root = root_of(uri)?;
        if root == self.last || self.of.contains_key(root) {
            return Ok(());
        }
        // The strict parser has the last word, once per root; of the key only its rules can say more.
        Uri::parse(uri)?.split_object()?;
        self.last = root.to_owned();
        if is_local(root) && self.of.len() >= MAX_FOLDERS {
            return self.widen(root);
        }
        self.of.insert(root.to_owned(), Arc::new(store_for_uri(root, &self.options)?));
        Ok(())
    }

    /// Where the object of a URI that was added is.
    pub fn locate(&self, uri: String) -> Result<Location> {
        let root = root_of(&uri)?;
        let common = || self.common.iter().find(|(common, _)| is_below(root, common));
        let own = self.of.get(root).map(|store| (store, root.len()));
        let (store, root_len) = match own.or_else(|| common().map(|(common, store)| (store, common.len()))) {
            Some(found) => found,
            None => {
                return Err(Error::new(
                    Code::Changed,
                    "the URI is of a place that was not in the list before",
                )
                .with_context("get", uri)
                .with_hint("open the dataset anew after its list has changed"));
            }
        };
        let key_at = root_len + usize::from(!root_of_all(&uri, root_len));
        let store = store.clone();
        Ok(Location { store, uri, key_at, range: None, size: None, etag: None, name: String::new() })
    }

    /// Whether all of them do their I/O on the caller's thread; `None` where some do.
    pub fn is_blocking(&self) -> Option<bool> {
        let mut all = self.of.values().map(|store| store.capabilities().blocking_io);
        let first = all.next().unwrap_or(false);
        all.all(|other| other == first).then_some(first)
    }

    /// Takes the folder that a further root has in common with all local ones.
    fn widen(&mut self, root: &str) -> Result<()> {
        let scheme = root.find("://").map_or(0, |at| at + 3);
        let known = self.common.iter().position(|(common, _)| common.starts_with(&root[..scheme]));
        let mut common = known.map_or(root, |known| self.common[known].0.as_str());
        for other in self.of.keys().map(String::as_str).filter(|other| other.starts_with(&root[..scheme])) {
            common = shared_folder(common, other, scheme);
        }
        common = shared_folder(common, root, scheme);
        if known.is_none_or(|known| self.common[known].0 != common) {
            let common = common.to_owned();
            let store = Arc::new(store_for_uri(&common, &self.options)?);
            match known {
                Some(known) => self.common[known] = (common, store),
                None => self.common.push((common, store)),
            }
        }
        Ok(())
    }
}

/// The longest folder of both: `a` up to a slash, or all of it.
fn shared_folder<'a>(a: &'a str, b: &str, scheme: usize) -> &'a str {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let whole = |text: &str| text.len() == same || text.as_bytes().get(same) == Some(&b'/');
    if same >= scheme && whole(a) && whole(b) {
        return &a[..same];
    }
    let cut = a.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    // The root folder keeps its slash; before it stands ASCII.
    a.get(..cut.max(scheme + 1)).unwrap_or(a)
}

/// Whether the root's text ends in the slash that parts it from the key: only that of `file:///`.
fn root_of_all(uri: &str, root_len: usize) -> bool {
    uri.as_bytes().get(root_len.wrapping_sub(1)) == Some(&b'/')
}

/// Whether a root is the folder or lies in it.
fn is_below(root: &str, folder: &str) -> bool {
    let rest = root.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

fn is_local(root: &str) -> bool {
    root.starts_with("file://") || root.starts_with("direct://")
}

/// The part of an object's URI that names its store: the container, for local paths the folder.
fn root_of(uri: &str) -> Result<&str> {
    let bad = |why: &str| {
        Error::new(Code::InvalidUri, why.to_owned())
            .with_context("open", uri)
            .with_hint("write s3://bucket/key, az://account/container/key, file:///path, direct:///path or memory://name/key")
    };
    let (scheme, rest) = uri.split_once("://").ok_or_else(|| bad("the URI has no scheme"))?;
    let at = scheme.len() + 3;
    let segments = |n: usize| rest.match_indices('/').nth(n - 1).map(|(slash, _)| at + slash);
    let end = match scheme {
        "s3" | "memory" => segments(1),
        "az" => segments(2),
        // The root folder keeps its slash.
        "file" | "direct" => rest.rfind('/').map(|slash| at + slash.max(1)),
        _ => return Err(bad("unknown scheme; expected s3, az, file, direct or memory")),
    };
    let end = end
        .filter(|end| *end < uri.len())
        .ok_or_else(|| bad("the URI names no object: the key is missing"))?;
    Ok(&uri[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_uris_are_split_as_the_parser_does() {
        for uri in [
            "s3://b/k",
            "s3://b/a/b",
            "az://acc/c/k/x",
            "file:///a/b/c",
            "file:///a",
            "memory://m/x/y",
            "direct:///d/e",
        ] {
            let mut stores = Stores::new(&Options::new());
            stores.add(uri).unwrap();
            let location = stores.locate(uri.to_owned()).unwrap();
            let (root, key) = Uri::parse(uri).unwrap().split_object().unwrap();
            assert_eq!((location.store.root(), location.key()), (&root, key.as_str()), "{uri}");
        }
        for uri in ["s3://b", "s3://b/", "k", "http://b/k", "az://acc/c", "file://a", "file:///a/"] {
            let mut stores = Stores::new(&Options::new());
            assert!(
                stores
                    .add(uri)
                    .and_then(|()| stores.locate(uri.to_owned()))
                    .map(|l| l.key().to_owned())
                    .is_err(),
                "{uri}"
            );
        }
    }

    #[test]
    fn l1_very_many_folders_share_one_store() {
        let mut stores = Stores::new(&Options::new());
        let uri = |n: usize| format!("file:///data/set{}/f{n}/x", n % 3);
        for n in 0..3000 {
            stores.add(&uri(n)).unwrap();
        }
        for n in [0, 1023, 1024, 2999] {
            let location = stores.locate(uri(n)).unwrap();
            assert_eq!(location.store.root().join(location.key()).to_string(), uri(n));
        }
        assert!(stores.of.len() <= MAX_FOLDERS);
    }
}
