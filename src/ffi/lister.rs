//! Listers
//!
//! A lister gives one entry after the other and fetches pages as it goes. Any thread, one at a
//! time. After fork() an inherited one is FORKED.

use super::convert::*;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::info::Info;
use super::types::*;
use crate::base::uri::Uri;
use crate::error::Result;
use crate::runtime::{Era, block_on};
use crate::store::{ContainerInfo, ListEntry, Store};
use crate::transfer::Lister;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a lister handle stands for.
pub struct ListerValue {
    era: Era,
    pub uri: String,
    pub blocking: bool,
    pub state: Arc<Mutex<State>>,
}

pub struct State {
    root: Uri,
    source: Source,
    /// The texts of the entry that was given last.
    given: Option<Info>,
}

enum Source {
    Objects(Lister),
    Containers(std::vec::IntoIter<ContainerInfo>),
}

impl Handle for s3dlio_lister {
    const KIND: u64 = 5;
    const NAME: &'static str = "lister";
    type Value = ListerValue;

    fn era(value: &ListerValue) -> Option<Era> {
        Some(value.era)
    }
}

impl ListerValue {
    pub fn objects(store: &Store, prefix: &str, recursive: bool) -> Self {
        ListerValue::new(store, Source::Objects(Lister::new(store, prefix, recursive)))
    }

    pub fn containers(store: &Store, containers: Vec<ContainerInfo>) -> Self {
        ListerValue::new(store, Source::Containers(containers.into_iter()))
    }

    fn new(store: &Store, source: Source) -> Self {
        let root = store.root().clone();
        let (uri, blocking) = (root.to_string(), store.capabilities().blocking_io);
        let state = State { root, source, given: None };
        ListerValue { era: Era::now(), uri, blocking, state: Arc::new(Mutex::new(state)) }
    }
}

impl State {
    fn next(&mut self) -> Result<Option<Info>> {
        match &mut self.source {
            Source::Objects(lister) => {
                let entry = block_on(lister.next()).flatten()?;
                entry.map(|entry| info(&self.root, &entry)).transpose()
            }
            Source::Containers(containers) => {
                containers.next().map(|one| container_info(&self.root, &one)).transpose()
            }
        }
    }

    /// What is there without another request, or else the next page; `None` at the end.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Info>>> {
        match &mut self.source {
            Source::Objects(lister) => {
                let Some(page) = lister.next_page().await? else { return Ok(None) };
                page.iter().map(|entry| info(&self.root, entry)).collect::<Result<_>>().map(Some)
            }
            Source::Containers(containers) => {
                let rest: Vec<_> =
                    containers.map(|one| container_info(&self.root, &one)).collect::<Result<_>>()?;
                Ok(if rest.is_empty() { None } else { Some(rest) })
            }
        }
    }
}

fn info(root: &Uri, entry: &ListEntry) -> Result<Info> {
    match entry {
        ListEntry::Object(meta) => Info::object(meta, root.join(&meta.key)),
        ListEntry::Prefix(prefix) => Info::prefix(prefix, root.join(prefix)),
    }
}

fn container_info(root: &Uri, container: &ContainerInfo) -> Result<Info> {
    Info::container(container, root.sibling(&container.name))
}

/// The next entry: S3DLIO_OK and the entry in `info`, or S3DLIO_END. The entry's texts live until the
/// next call on this lister or its free. Listings know key, URI, size, last modification and mostly
/// the ETag; content type and metadata only s3dlio_store_stat knows.
/// Errors: as stores; INVALID_STATE (another thread is inside), FORKED, SHUTDOWN.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_lister_next(
    lister: *mut s3dlio_lister,
    info: *mut s3dlio_object_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::step("s3dlio_lister_next", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            let used = handle::get(lister.cast_const())?;
            let mut state = exclusive(&used.state)?;
            let next = state.next()?;
            let status = next.as_ref().map_or(S3DLIO_END, |next| {
                out.set(next.raw());
                S3DLIO_OK
            });
            state.given = next;
            Ok(status)
        })
    }
}

/// Frees the lister. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_lister_free(lister: *mut s3dlio_lister) {
    guard::free("s3dlio_lister_free", lister);
}
