//! Objects that are named one by one.

use super::stores::Stores;
use super::{Fingerprint, Indexed, Location};
use crate::error::{Code, Error, Result};
use crate::options::Options;

/// URIs of any schemes, in one text.
#[derive(Debug)]
pub struct UriList {
    text: String,
    /// Where each URI ends.
    ends: Vec<usize>,
    stores: Stores,
    fingerprint: u64,
}

impl UriList {
    pub fn new(uris: Vec<String>, options: &Options) -> Result<UriList> {
        let mut stores = Stores::new(options);
        let mut text = String::with_capacity(uris.iter().map(String::len).sum());
        let mut ends = Vec::with_capacity(uris.len());
        let mut fingerprint = Fingerprint::default();
        for (index, uri) in uris.into_iter().enumerate() {
            stores.add(&uri).map_err(|e| e.with_detail("index", index))?;
            fingerprint = fingerprint.add(uri.as_bytes());
            text.push_str(&uri);
            ends.push(text.len());
        }
        Ok(UriList { text, ends, stores, fingerprint: fingerprint.value() })
    }
}

impl Indexed for UriList {
    fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    fn locate(&self, index: u64) -> Result<Location> {
        let at = usize::try_from(index).ok().filter(|at| *at < self.ends.len());
        let at = at.ok_or_else(|| no_item(index, self.len()))?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.stores.locate(self.text[start..self.ends[at]].to_owned())
    }

    fn is_blocking(&self) -> Option<bool> {
        self.stores.is_blocking()
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Places that are known already: a listing that was collected.
#[derive(Debug)]
pub struct Collected {
    pub items: Vec<Location>,
}

impl Indexed for Collected {
    fn len(&self) -> u64 {
        self.items.len() as u64
    }

    fn locate(&self, index: u64) -> Result<Location> {
        let item = usize::try_from(index).ok().and_then(|at| self.items.get(at));
        item.cloned().ok_or_else(|| no_item(index, self.len()))
    }

    fn fingerprint(&self) -> u64 {
        self.items.iter().fold(Fingerprint::default(), |all, item| all.add(item.uri.as_bytes())).value()
    }
}

/// The error of an index that is out of range.
pub fn no_item(index: u64, length: u64) -> Error {
    Error::new(Code::InvalidArgument, format!("there is no item {index}; the dataset has {length}"))
        .with_detail("index", index)
}
