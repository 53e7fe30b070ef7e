//! A store that counts the requests that go through it.

use async_trait::async_trait;
use s3dlio::base::buffer::{Buffer, Window};
use s3dlio::base::uri::Uri;
use s3dlio::options::Options;
use s3dlio::store::{
    Capabilities, ContainerInfo, Content, GetRequest, GetResult, ListPage, ListRequest, ObjectMeta,
    ObjectStore, PendingUpload, PutOptions, PutResult, Store, Upload,
};
use s3dlio::{Code, Result};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub struct Counts {
    answered: AtomicU64,
    missed: AtomicU64,
    lists: AtomicU64,
    /// The keys that were read, each once.
    read: Mutex<Vec<String>>,
    again: AtomicU64,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Made {
    /// Requests that did or gave something.
    pub answered: u64,
    /// Of these, reads of what had been read twice before: questions while it waits.
    pub again: u64,
    /// Questions for what was not there.
    pub missed: u64,
    pub lists: u64,
}

impl Counts {
    pub fn made(&self) -> Made {
        let load = |count: &AtomicU64| count.load(Relaxed);
        Made {
            answered: load(&self.answered),
            again: load(&self.again),
            missed: load(&self.missed),
            lists: load(&self.lists),
        }
    }

    fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Err(error) if error.code() == Code::NotFound => self.missed.fetch_add(1, Relaxed),
            _ => self.answered.fetch_add(1, Relaxed),
        };
        outcome
    }

    fn note_read<T>(&self, key: &str, outcome: Result<T>) -> Result<T> {
        if outcome.is_ok() && key.starts_with("begin/") {
            let mut read = self.read.lock().unwrap();
            read.push(key.to_owned());
            self.again.fetch_add(u64::from(read.len() > 2), Relaxed);
        }
        self.note(outcome)
    }
}

#[derive(Debug)]
struct Counted {
    inner: Store,
    counts: Arc<Counts>,
}

pub fn count(inner: &Store) -> (Store, Arc<Counts>) {
    let counts = Arc::new(Counts {
        answered: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        lists: AtomicU64::new(0),
        read: Mutex::default(),
        again: AtomicU64::new(0),
    });
    let backend = Counted { inner: inner.clone(), counts: counts.clone() };
    (Store::from_backend(Arc::new(backend), &Options::new()).unwrap(), counts)
}

#[async_trait]
impl ObjectStore for Counted {
    fn root(&self) -> &Uri {
        self.inner.root()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        self.counts.note_read(key, self.inner.get_into(key, request, dst).await)
    }

    async fn get(&self, key: &str, request: GetRequest, limit: usize) -> Result<(Buffer, ObjectMeta)> {
        self.counts.note_read(key, self.inner.get(key, request, limit).await)
    }

    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        self.counts.note(self.inner.put(key, content, options).await)
    }

    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        self.counts.note(self.inner.create_upload(key, options).await)
    }

    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        // The memory store has no requests: its size is asked for before a read.
        let found = self.inner.stat(key).await;
        self.counts.missed.fetch_add(u64::from(found.is_err()), Relaxed);
        found
    }

    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        if request.continuation.is_none() {
            self.counts.lists.fetch_add(1, Relaxed);
        }
        self.counts.note(self.inner.list_page(request).await)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.counts.note(self.inner.delete(key).await)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.counts.note(self.inner.delete_many(keys).await)
    }

    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        self.counts.note(self.inner.copy(from, to).await)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.counts.note(self.inner.rename(from, to).await)
    }

    async fn create_container(&self) -> Result<()> {
        self.inner.create_container().await
    }

    async fn delete_container(&self) -> Result<()> {
        self.inner.delete_container().await
    }

    async fn list_containers(&self) -> Result<Vec<ContainerInfo>> {
        self.inner.list_containers().await
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>> {
        self.inner.list_uploads(prefix).await
    }

    async fn abort_upload(&self, upload: &PendingUpload) -> Result<()> {
        self.inner.abort_upload(upload).await
    }
}
