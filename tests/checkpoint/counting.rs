//! A store that counts what is read from it.

use async_trait::async_trait;
use s3dlio::Result;
use s3dlio::base::buffer::Window;
use s3dlio::base::uri::Uri;
use s3dlio::options::Options;
use s3dlio::store::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was asked of it.
#[derive(Debug, Default)]
pub struct Counts {
    pub reads: AtomicU64,
    pub bytes_read: AtomicU64,
}

#[derive(Debug)]
struct Counting {
    inner: Store,
    counts: Arc<Counts>,
}

/// `inner`, counted.
pub fn counting(inner: &Store) -> (Store, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let backend = Counting { inner: inner.clone(), counts: counts.clone() };
    (Store::from_backend(Arc::new(backend), &Options::new()).unwrap(), counts)
}

#[async_trait]
impl ObjectStore for Counting {
    fn root(&self) -> &Uri {
        self.inner.root()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        let got = self.inner.get_into(key, request, dst).await?;
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes_read.fetch_add(got.bytes as u64, Ordering::Relaxed);
        Ok(got)
    }
    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        self.inner.put(key, content, options).await
    }
    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        self.inner.create_upload(key, options).await
    }
    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        self.inner.stat(key).await
    }
    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        self.inner.list_page(request).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.inner.delete_many(keys).await
    }
    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        self.inner.copy(from, to).await
    }
    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to).await
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
