//! The operations of a [`Store`] that are logged and counted as they are. Those that a larger one may be
//! made of (reads, puts, uploads) are so in `transfer/`, where it is known what belongs together.

use super::{ListPage, ListRequest, ObjectMeta, ObjectStore, PutResult, Store};
use crate::base::op::Op;
use crate::error::Result;
use crate::oplog::{Site, Watch};
use std::sync::Arc;
use std::time::Instant;

impl Store {
    /// As [`ObjectStore::stat`].
    pub async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        let watch = self.watch(Op::Head, key);
        let outcome = self.backend().stat(key).await;
        watch.end(&outcome, |_| (1, 0));
        outcome
    }

    /// As [`ObjectStore::exists`].
    pub async fn exists(&self, key: &str) -> Result<bool> {
        let watch = self.watch(Op::Head, key);
        let outcome = self.backend().exists(key).await;
        watch.end(&outcome, |found| (u64::from(*found), 0));
        outcome
    }

    /// As [`ObjectStore::list_page`].
    pub async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        let watch = self.watch(Op::List, &request.prefix);
        let outcome = self.backend().list_page(request).await;
        watch.end(&outcome, |page| (page.entries.len() as u64, 0));
        outcome
    }

    /// As [`ObjectStore::delete`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let watch = self.watch(Op::Delete, key);
        let outcome = self.backend().delete(key).await;
        watch.end(&outcome, |()| (1, 0));
        outcome
    }

    /// As [`ObjectStore::delete_many`].
    pub async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let started = Instant::now();
        let outcome = self.backend().delete_many(keys).await;
        let whole = outcome.as_ref().err();
        let each = keys.iter().enumerate().map(|(at, key)| {
            let own = outcome.as_ref().ok().and_then(|outcomes| outcomes.get(at)?.as_ref().err());
            (key.as_str(), 1, 0, own.or(whole))
        });
        self.site().report(Op::Delete, (started, started.elapsed()), each);
        outcome
    }

    /// As [`ObjectStore::copy`]: a PUT that moves no bytes of this process.
    pub async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        let watch = self.watch(Op::Put, to);
        let outcome = self.backend().copy(from, to).await;
        watch.end(&outcome, |_| (1, 0));
        outcome
    }

    /// As [`ObjectStore::rename`]: as a copy, and a DELETE.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (copy, delete) = (self.watch(Op::Put, to), self.watch(Op::Delete, from));
        let outcome = self.backend().rename(from, to).await;
        copy.end(&outcome, |()| (1, 0));
        delete.end(&outcome, |()| (1, 0));
        outcome
    }

    /// Its operations as they are, neither logged nor counted.
    pub(crate) fn backend(&self) -> &dyn ObjectStore {
        &**self
    }

    /// An operation that begins now.
    pub(crate) fn watch<'a>(&'a self, op: Op, key: &'a str) -> Watch<'a> {
        Watch::begin(self.site(), op, key)
    }

    pub(crate) fn site(&self) -> &Arc<Site> {
        &self.shared.site
    }
}
