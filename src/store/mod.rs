//! Backends behind one trait. A store is opened at a root URI; keys are relative to it.
//!
//! The semantics below are the same for every backend; `tests/store_suite` holds them. What a
//! backend cannot do it says in its [`Capabilities`] and refuses with `Unsupported`.

pub mod azure;
mod cached;
mod check;
pub mod direct;
pub mod file;
pub mod memory;
mod observed;
mod place;
pub mod posix;
mod registry;
pub mod s3;
mod traced;
mod types;

pub use cached::store_for_object;
pub use check::*;
pub use registry::{Store, direct_io_store_for_uri, high_performance_store_for_uri, store_for_uri};
pub use types::*;

use crate::base::buffer::{Buffer, BufferPool, Window};
use crate::base::checksum::Crc32c;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A shared store.
pub type StoreRef = Arc<dyn ObjectStore>;

/// Objects below one root. Every method may be called from many threads at once.
///
/// Futures of stores whose [`Capabilities::blocking_io`] is set do their I/O inside `poll`, on the
/// polling thread; the others need a tokio runtime.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// The root URI, without a slash at its end.
    fn root(&self) -> &Uri;

    fn capabilities(&self) -> Capabilities;

    /// Reads `dst.len()` bytes from `offset`, fewer only at the end of the object. An offset equal
    /// to the size gives no bytes; a larger one is `Range`. With `if_match`, an object of another
    /// ETag is `Changed`. The answer's `meta.size` is the whole object's size.
    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult>;

    /// Whole objects, in order, `at_once` of them at the same time; `None` from a store that has no better
    /// way than one [`ObjectStore::get_into`] for each. `admit` is asked once an object's size is known, before
    /// there is memory for it.
    async fn get_batch(&self, _keys: &[&str], _at_once: usize, _admit: Admit<'_>) -> Option<GotBatch> {
        None
    }

    /// As [`ObjectStore::get_into`], of at most `limit` bytes, into a pooled buffer that fits what came.
    async fn get(&self, key: &str, request: GetRequest, limit: usize) -> Result<(Buffer, ObjectMeta)> {
        let (window, owner) = BufferPool::global().take(limit)?.into_window();
        let got = self.get_into(key, request, window.split_at(limit).0).await?;
        let buffer = owner.reclaim(got.bytes);
        let buffer =
            buffer.ok_or_else(|| Error::new(Code::Internal, "a finished read still holds its memory"))?;
        Ok((place::fitted(buffer)?, got.meta))
    }

    /// Stores the object whole or not at all; `UnknownOutcome` where it may have arrived and neither an
    /// answer nor the object tells. What was refused, or never had a connection, fails plainly. The data may
    /// be the caller's memory: no clone of it may outlive the call.
    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult>;

    /// As [`ObjectStore::put`], with the checksum of `data`, which some stores compute while they write.
    async fn put_checked(&self, key: &str, data: Bytes, options: &PutOptions) -> Result<(PutResult, Crc32c)> {
        let content = Content::of(data);
        let crc32c = content.crc32c;
        Ok((self.put(key, content, options).await?, crc32c))
    }

    /// Starts an object that comes in parts. Nothing is visible before
    /// [`Upload::complete`] succeeded.
    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>>;

    /// The object's facts; `NotFound` where there is none.
    async fn stat(&self, key: &str) -> Result<ObjectMeta>;

    /// One page of the keys that start with `request.prefix`, in order of their UTF-8 bytes.
    async fn list_page(&self, request: &ListRequest) -> Result<ListPage>;

    /// Deletes one object. A missing one is success, as S3 has it: the state asked for is there.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Deletes many objects; the result has one outcome per key, in order. `Err` only where
    /// nothing was tried.
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>>;

    /// Copies an object with content type and metadata inside the store, without moving its bytes
    /// through this process. The source must exist; the destination is replaced. `Changed` where the
    /// source was replaced meanwhile.
    async fn copy(&self, from: &str, to: &str) -> Result<PutResult>;

    /// Moves an object; on object stores copy and delete (not atomic), on file systems a rename.
    /// Deleted is only what was copied: a source that was replaced in between stays, and the rename is
    /// `Changed`. An S3 service without conditional deletes is asked before; a write to the source in
    /// the moment between question and delete is lost there.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Creates the root's bucket, container or folder; `AlreadyExists` where it exists.
    async fn create_container(&self) -> Result<()>;

    /// Deletes the root's empty bucket, container or folder; `NotEmpty` where objects are left.
    async fn delete_container(&self) -> Result<()>;

    /// The containers of the root's account; for file systems the folders beside the root.
    async fn list_containers(&self) -> Result<Vec<ContainerInfo>>;

    /// Uploads below a prefix that were neither completed nor aborted, by whatever process. Local files and
    /// memory keep nothing of them: their uploads have no name before they are published.
    async fn list_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>>;

    /// Removes what such an upload stored. One that is gone is what was asked for; one that is still under
    /// way fails from then on.
    async fn abort_upload(&self, upload: &PendingUpload) -> Result<()>;

    /// Whether there is an object of this key. An error is an error, never "no".
    async fn exists(&self, key: &str) -> Result<bool> {
        match self.stat(key).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// An object that is being uploaded in parts. Dropping it without `complete` or `abort` leaves
/// cleaning up to the caller: call [`Upload::abort`].
#[async_trait]
pub trait Upload: Send + Sync + fmt::Debug {
    /// Stores a part; many may be in flight at once, in any order, each number once or again after
    /// a failure. Parts other than the last have the size that [`Capabilities`] asks for. No clone
    /// of the data may outlive the call.
    async fn put_part(&self, part: Part) -> Result<()>;

    /// Publishes parts `0..parts` as the object, if every one of them was stored.
    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult>;

    /// Removes everything that was stored. May be called again after a failure.
    async fn abort(&self) -> Result<()>;
}
