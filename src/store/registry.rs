//! Which backend serves which scheme. A new backend is one line in [`open`].

use super::traced::traced;
use super::{ObjectStore, StoreRef, azure, direct, file, memory, s3};
use crate::base::budget::Budget;
use crate::base::buffer::BufferPool;
use crate::base::pace::Pace;
use crate::base::uri::{Scheme, Uri};
use crate::error::Result;
use crate::oplog::{self, Site};
use crate::options::{self, Options, Resolved};
use crate::runtime;
use std::ops::Deref;
use std::sync::Arc;

/// A backend with the options it was opened with. Cheap to clone; dereferences to the backend.
#[derive(Clone, Debug)]
pub struct Store {
    backend: StoreRef,
    options: Arc<Resolved>,
    pub(super) shared: Arc<Shared>,
}

/// What the clones of a store have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pace: Pace,
    pub(super) site: Arc<Site>,
}

impl Shared {
    fn of(root: &Uri) -> Arc<Shared> {
        Arc::new(Shared { pace: Pace::default(), site: Site::of(root) })
    }
}

impl Store {
    /// A backend that the registry does not know: for embedding programs and tests.
    pub fn from_backend(backend: StoreRef, options: &Options) -> Result<Store> {
        let shared = Shared::of(backend.root());
        Ok(Store { backend, options: Arc::new(options.resolve()?), shared })
    }

    /// The options in force.
    pub fn options(&self) -> &Resolved {
        &self.options
    }

    /// How its transfers went so far.
    pub(crate) fn pace(&self) -> &Pace {
        &self.shared.pace
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
    BufferPool::global().set_max_idle(resolved.number(&options::MEMORY_POOL_IDLE));
    Budget::global().set_limit(resolved.number(&options::MEMORY_BUDGET));
    let options = Arc::new(resolved);
    let backend = open(root.clone(), &options).map_err(|e| e.with_context("open", &root))?;
    oplog::start_by_option(&options)?;
    Ok(Store { backend, options, shared: Shared::of(&root) })
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
        if !options.is_set(def) {
            tuned.set(def.key, value)?;
        }
    }
    direct_io_store_for_uri(uri, &tuned)
}

fn open(root: Uri, options: &Resolved) -> Result<StoreRef> {
    let backend: StoreRef = match root.scheme() {
        Scheme::Memory => Arc::new(memory::MemoryStore::open(root)),
        Scheme::File => Arc::new(file::open(root, options)),
        Scheme::Direct => Arc::new(direct::open(root, options)?),
        Scheme::Azure => Arc::new(azure::AzureStore::open(root, options)?),
        Scheme::S3 => Arc::new(s3::S3Store::open(root, options)?),
    };
    Ok(traced(backend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::uri::Scheme;

    #[test]
    fn s1_direct_io_factory_opens_files_as_direct() {
        let open = |uri| direct_io_store_for_uri(uri, &Options::new()).unwrap().root().to_string();
        assert_eq!(open("file:///data/run1/"), "direct:///data/run1");
        assert_eq!(open("direct:///data"), "direct:///data");
        assert_eq!(open("memory://name"), "memory://name");
    }

    #[test]
    fn s1_high_performance_factory_tunes_what_is_not_set() {
        let options = Options::new().with("transfer.part_size", "8MiB").unwrap();
        let store = high_performance_store_for_uri("file:///data", &options).unwrap();
        assert_eq!(store.root().scheme(), Scheme::Direct);
        assert_eq!(store.options().number(&options::TRANSFER_PART_SIZE), 8 << 20, "the caller's");
        assert_eq!(store.options().number(&options::TRANSFER_PARTS_IN_FLIGHT), 8, "the preset's");
    }

    #[test]
    fn opening_does_no_io_and_names_the_uri_of_a_refusal() {
        assert!(store_for_uri("s3://no-such-bucket/x", &Options::new()).is_ok());
        let error =
            store_for_uri("s3://b", &Options::new().with("s3.endpoint", "nonsense").unwrap()).unwrap_err();
        assert_eq!((error.code(), error.uri()), (crate::Code::InvalidOption, Some("s3://b")), "{error}");
    }
}
