//! Which backend serves which scheme. A new backend is one line in [`open`].

use super::{ObjectStore, StoreRef, azure, direct, file, memory, s3};
use crate::base::uri::{Scheme, Uri};
use crate::error::Result;
use crate::options::{self, Options, Resolved};
use crate::runtime;
use std::ops::Deref;
use std::sync::Arc;

/// A backend with the options it was opened with. Cheap to clone; dereferences to the backend.
#[derive(Clone, Debug)]
pub struct Store {
    backend: StoreRef,
    options: Arc<Resolved>,
}

impl Store {
    /// A backend that the registry does not know: for embedding programs and tests.
    pub fn from_backend(backend: StoreRef, options: &Options) -> Result<Store> {
        Ok(Store { backend, options: Arc::new(options.resolve()?) })
    }

    /// The options in force.
    pub fn options(&self) -> &Resolved {
        &self.options
    }
}

impl Deref for Store {
    type Target = dyn ObjectStore;
    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}

/// Opens the store at a root URI; keys of its operations are relative to it. Does no I/O: a missing
/// bucket or wrong credentials show at the first operation.
pub fn store_for_uri(uri: &str, options: &Options) -> Result<Store> {
    let root = Uri::parse(uri)?.to_root();
    let resolved = options.resolve().map_err(|e| e.with_context("open", &root))?;
    options::warn_of_unknown_environment();
    runtime::set_threads(resolved.size(&options::RUNTIME_THREADS));
    let options = Arc::new(resolved);
    let backend = open(root.clone(), &options).map_err(|e| e.with_context("open", &root))?;
    Ok(Store { backend, options })
}

/// As [`store_for_uri`], but `file://` opens as `direct://`: O_DIRECT past the page cache.
pub fn direct_io_store_for_uri(uri: &str, options: &Options) -> Result<Store> {
    match uri.strip_prefix("file://") {
        Some(path) => store_for_uri(&format!("direct://{path}"), options),
        None => store_for_uri(uri, options),
    }
}

/// As [`store_for_uri`] with options for throughput where the caller set none: larger parts, more
/// of them in flight, more read-ahead, O_DIRECT for local files.
pub fn high_performance_store_for_uri(uri: &str, options: &Options) -> Result<Store> {
    let preset = [
        (&options::TRANSFER_PART_SIZE, "32MiB"),
        (&options::TRANSFER_PARTS_IN_FLIGHT, "8"),
        (&options::READER_READ_AHEAD, "128MiB"),
        (&options::DIRECT_MIN_IO_SIZE, "4MiB"),
    ];
    let mut tuned = options.clone();
    for (def, value) in preset {
        if !options.explicit().any(|(key, _)| key == def.key) {
            tuned.set(def.key, value)?;
        }
    }
    direct_io_store_for_uri(uri, &tuned)
}

fn open(root: Uri, options: &Resolved) -> Result<StoreRef> {
    Ok(match root.scheme() {
        Scheme::Memory => Arc::new(memory::MemoryStore::open(root)),
        Scheme::File => Arc::new(file::open(root, options)),
        Scheme::Direct => Arc::new(direct::open(root, options)?),
        Scheme::Azure => Arc::new(azure::AzureStore::open(root, options)?),
        Scheme::S3 => Arc::new(s3::S3Store::open(root, options)?),
    })
}
