//! A store of one backend at a root of its own, with short forms for what the behaviours do.

use crate::support::Backend;
use s3dlio::base::buffer::{lend, lend_mut};
use s3dlio::base::key::KeyRules;
use s3dlio::runtime::block_on;
use s3dlio::store::{
    GetRequest, GetResult, ListEntry, ListRequest, ObjectMeta, PutOptions, Store, Upload, store_for_uri,
};
use s3dlio::transfer::{self, Lister, WriteStats};
use s3dlio::{Code, Result};
use std::sync::Arc;

pub struct Context {
    pub store: Store,
    pub root: String,
    backend: Arc<Backend>,
}

macro_rules! backends {
    ($($name:ident)+) => {
        impl Context {
            $(pub fn $name(test: &str) -> Context { Context::new(Backend::$name(), test) })+
        }
    };
}
backends!(memory file direct seaweed s3b azurite faultd_s3 faultd_azure);

impl Context {
    fn new(backend: Backend, test: &str) -> Context {
        let root = format!("{}/{test}", backend.root_uri.trim_end_matches('/'));
        let context = Context::at(Arc::new(backend), root);
        if context.store.capabilities().blocking_io {
            // The root folder is the container: it is there once something was written.
            let _ = block_on(context.store.create_container()).unwrap();
        }
        context
    }

    fn at(backend: Arc<Backend>, root: String) -> Context {
        let store = store_for_uri(&root, &backend.options).unwrap();
        Context { store, root, backend }
    }

    /// The same backend at a root below this one.
    pub fn below(&self, folder: &str) -> Context {
        Context::at(self.backend.clone(), format!("{}/{folder}", self.root))
    }

    /// The root of a container that does not exist; a new name at every call.
    pub fn fresh_container(&self) -> String {
        self.backend.missing_container_uri()
    }

    /// A store at another URI with the same options.
    pub fn open(&self, uri: &str) -> Store {
        store_for_uri(uri, &self.backend.options).unwrap()
    }

    pub fn put(&self, key: &str, data: &[u8]) -> WriteStats {
        self.try_put(key, data, &PutOptions::default()).unwrap()
    }

    pub fn try_put(&self, key: &str, data: &[u8], options: &PutOptions) -> Result<WriteStats> {
        lend(data, |bytes| block_on(transfer::put(&self.store, key, bytes, options)))?
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.try_get(key).unwrap()
    }

    pub fn try_get(&self, key: &str) -> Result<Vec<u8>> {
        block_on(transfer::get(&self.store, key))?.map(|buffer| buffer.to_vec())
    }

    /// Reads through the trait itself, into memory that was filled with 0xEE before.
    pub fn get_into(
        &self,
        key: &str,
        offset: u64,
        len: usize,
        if_match: Option<&str>,
    ) -> Result<(Vec<u8>, GetResult)> {
        let mut memory = vec![0xEE; len];
        let request = GetRequest { offset, if_match: if_match.map(str::to_owned), ..GetRequest::default() };
        let result = lend_mut(&mut memory, |window| block_on(self.store.get_into(key, request, window)))??;
        assert!(memory[result.bytes..].iter().all(|b| *b == 0xEE), "bytes after the result were touched");
        memory.truncate(result.bytes);
        Ok((memory, result))
    }

    pub fn stat(&self, key: &str) -> Result<ObjectMeta> {
        block_on(self.store.stat(key))?
    }

    pub fn exists(&self, key: &str) -> bool {
        block_on(self.store.exists(key)).unwrap().unwrap()
    }

    pub fn delete(&self, key: &str) {
        block_on(self.store.delete(key)).unwrap().unwrap();
    }

    pub fn upload(&self, key: &str, options: &PutOptions) -> Arc<dyn Upload> {
        block_on(self.store.create_upload(key, options)).unwrap().unwrap()
    }

    /// Every key (and folded prefix) in the order in which the store gives them.
    pub fn list(&self, prefix: &str, recursive: bool) -> Vec<String> {
        self.entries(prefix, recursive).iter().map(|entry| entry.key().to_owned()).collect()
    }

    pub fn entries(&self, prefix: &str, recursive: bool) -> Vec<ListEntry> {
        let mut lister = Lister::new(&self.store, prefix, recursive);
        let mut entries = Vec::new();
        while let Some(entry) = block_on(lister.next()).unwrap().unwrap() {
            entries.push(entry);
        }
        entries
    }

    /// The same with pages of `max` entries, by the trait itself.
    pub fn list_in_pages(&self, prefix: &str, one_level: bool, max: usize) -> Vec<String> {
        let mut request =
            ListRequest { prefix: prefix.into(), one_level, max_entries: max, continuation: None };
        let mut keys = Vec::new();
        loop {
            let page = block_on(self.store.list_page(&request)).unwrap().unwrap();
            assert!(
                page.entries.len() <= max,
                "a page of {} entries, {max} were asked for",
                page.entries.len()
            );
            keys.extend(page.entries.iter().map(|entry| entry.key().to_owned()));
            match page.next {
                Some(next) => request.continuation = Some(next),
                None => return keys,
            }
        }
    }

    /// Which keys the backend refuses.
    pub fn keys(&self) -> KeyRules {
        self.store.capabilities().keys
    }

    /// A service that keeps keys as paths, what else follows from that: another order of lists, and
    /// folders that outlive their objects for a while.
    pub fn keys_are_paths(&self) -> bool {
        self.keys() == KeyRules::SERVICE_PATHS
    }
}

/// Asserts the code of a failure and that its message names the URI.
#[track_caller]
pub fn assert_code<T: std::fmt::Debug>(result: Result<T>, code: Code) -> s3dlio::Error {
    let error = result.expect_err("this must fail");
    assert_eq!(error.code(), code, "{error}");
    error
}

/// Bytes that repeat with no short period.
pub fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
