//! The objects below a URI, as a listing gives them: page by page, while they are drawn.

use super::pattern::Pattern;
use super::{Fingerprint, Location};
use crate::base::uri::Uri;
use crate::error::Result;
use crate::loader::params::DatasetParams;
use crate::options::Options;
use crate::store::{ListEntry, ObjectMeta, Store, store_for_uri};
use crate::transfer::Lister;
use std::sync::Arc;

/// Objects below a folder; of these the ones that fit a pattern.
#[derive(Clone, Debug)]
pub struct Prefix {
    store: Arc<Store>,
    root: String,
    pattern: Pattern,
    fingerprint: u64,
}

impl Prefix {
    /// Does no I/O.
    pub fn new(uri: &str, params: &DatasetParams, options: &Options) -> Result<Prefix> {
        let root = Uri::parse(uri)?.to_root();
        let mut text = root.to_string();
        // The key follows: a root of `file:///` has its slash already.
        if !text.ends_with('/') {
            text.push('/');
        }
        let pattern = Pattern::new(params.glob.as_deref(), params.regex.as_deref())
            .map_err(|e| e.with_context("open", &root))?;
        let fingerprint = Fingerprint::default()
            .add(text.as_bytes())
            .add(params.glob.as_deref().unwrap_or_default().as_bytes())
            .add(params.regex.as_deref().unwrap_or_default().as_bytes());
        let store = Arc::new(store_for_uri(uri, options)?);
        Ok(Prefix { store, root: text, pattern, fingerprint: fingerprint.value() })
    }

    /// A listing from its start.
    pub fn list(&self) -> Listing {
        Listing { prefix: self.clone(), lister: Lister::new(&self.store, "", true) }
    }

    /// All of it.
    pub async fn collect(&self) -> Result<Vec<Location>> {
        let (mut listing, mut all) = (self.list(), Vec::new());
        while let Some(page) = listing.next_page().await? {
            all.extend(page.fitting);
        }
        Ok(all)
    }

    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub fn is_blocking(&self) -> bool {
        self.store.capabilities().blocking_io
    }

    fn location(&self, meta: ObjectMeta) -> Location {
        let mut uri = String::with_capacity(self.root.len() + meta.key.len());
        uri.push_str(&self.root);
        uri.push_str(&meta.key);
        Location {
            store: self.store.clone(),
            uri,
            key_at: self.root.len(),
            range: None,
            size: Some(meta.size),
            etag: meta.etag,
            name: String::new(),
        }
    }
}

/// A listing that goes on.
#[derive(Debug)]
pub struct Listing {
    prefix: Prefix,
    lister: Lister,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page {
    /// How many keys were listed.
    pub listed: u64,
    /// Those that belong to the dataset.
    pub fitting: Vec<Location>,
}

impl Listing {
    /// `None` at the end. After an error the same page is asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Page>> {
        let Some(entries) = self.lister.next_page().await? else { return Ok(None) };
        let listed = entries.len() as u64;
        let prefix = &self.prefix;
        let fitting = entries.into_iter().filter_map(|entry| match entry {
            ListEntry::Object(meta) if prefix.pattern.fits(&meta.key) => Some(prefix.location(meta)),
            _ => None,
        });
        Ok(Some(Page { listed, fitting: fitting.collect() }))
    }
}
