//! `az://account/container/prefix`: objects as block blobs.
//!
//! Requests are built here, because the SDK's typed client cannot list by delimiter, trims names in
//! listings and resolves `..` in keys. They go over the data plane (`net/`), or, with
//! `net.optimized=false`, through the SDK's pipeline; the SDK gives the token credentials.
//!
//! Azure records no CRC32C, so this backend keeps it in the user metadata, as `s3dlio_crc32c`. Names that
//! start with `s3dlio_` are hidden from, and refused in, the metadata of the interface. Whoever else
//! replaces the object replaces its metadata too, so the checksum cannot outlive its bytes.

mod account;
mod client;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod headers;
mod list;
mod manage;
mod name;
mod pipeline;
mod plane;
mod read;
mod retry;
mod sign;
mod token;
mod tokens;
mod transport;
mod write;
mod xml;

use super::place::Place;
use super::*;
use crate::base::date::Timestamp;
use crate::base::key::{self, KeyRules};
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::runtime::PerProcess;
use account::Account;
use client::Client;
use std::time::{Duration, SystemTime};

/// What the names of this backend's own metadata start with.
const HIDDEN_METADATA: &str = "s3dlio_";
/// CRC32C of the whole object, as `crc32c:xxxxxxxx`.
const META_CRC32C: &str = "s3dlio_crc32c";
/// A number that no other write has, so that a write whose answer was lost can be told from others.
const META_WRITE: &str = "s3dlio_write";
/// Blocks of one blob.
const MAX_PARTS: u32 = 50_000;
const MAX_PART_SIZE: u64 = 4000 << 20;

/// Objects below one root of a container.
#[derive(Debug)]
pub struct AzureStore(Arc<Inner>);

struct Inner {
    root: Uri,
    /// What full names below the root start with.
    prefix: String,
    account: Account,
    options: Resolved,
    client: PerProcess<Client>,
}

impl AzureStore {
    /// Checks the options; does no I/O.
    pub fn open(root: Uri, options: &Resolved) -> Result<Self> {
        let account = Account::from_options(&root, options)?;
        let (prefix, options) = (root.key_prefix(), options.clone());
        Ok(AzureStore(Arc::new(Inner { root, prefix, account, options, client: PerProcess::new() })))
    }

    /// The keys with blocks that no write published: uploads under way, and those whose process died.
    /// The service removes them a week after the last block.
    pub async fn pending_uploads(&self, prefix: &str) -> Result<Vec<String>> {
        list::pending(&self.0, prefix).await.map_err(|e| e.with_context("list", self.0.root.join(prefix)))
    }
}

impl Inner {
    fn client(&self) -> Result<Arc<Client>> {
        self.client.get(|| Client::new(&self.account, &self.options))
    }

    fn container(&self) -> Result<&str> {
        match self.root.container() {
            "" => Err(Error::new(Code::InvalidUri, "the URI names no container")
                .with_hint("write az://account/container/key")),
            name => Ok(name),
        }
    }

    /// `container/name` of a key.
    fn blob_path(&self, key: &str) -> Result<String> {
        key::check(key)?;
        let full = format!("{}{key}", self.prefix);
        name::check(&full)?;
        Ok(format!("{}/{full}", self.container()?))
    }

    fn context(&self, operation: &'static str, key: &str) -> impl FnOnce(Error) -> Error {
        let uri = self.root.join(key);
        move |error| error.with_context(operation, uri)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

#[async_trait]
impl ObjectStore for AzureStore {
    fn root(&self) -> &Uri {
        &self.0.root
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking_io: false,
            conditional_put: true,
            metadata: true,
            keys: KeyRules::AZURE,
            min_part_size: 1,
            max_part_size: MAX_PART_SIZE,
            max_parts: MAX_PARTS,
            alignment: 1,
        }
    }

    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        let mut place = Place::Lent(dst);
        read::get(&self.0, key, request, &mut place).await.map_err(self.0.context("get", key))
    }

    async fn get(&self, key: &str, request: GetRequest, limit: usize) -> Result<(Buffer, ObjectMeta)> {
        let mut place = Place::Fitting(limit, None);
        let got = read::get(&self.0, key, request, &mut place).await.map_err(self.0.context("get", key))?;
        Ok((place.into_buffer(got.bytes)?, got.meta))
    }

    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        write::put(&self.0, key, content, options).await.map_err(self.0.context("put", key))
    }

    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        let upload = write::BlockUpload::new(self.0.clone(), key, options);
        Ok(Arc::new(upload.map_err(self.0.context("put", key))?))
    }

    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        read::stat(&self.0, key).await.map_err(self.0.context("stat", key))
    }

    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        list::page(&self.0, request).await.map_err(self.0.context("list", &request.prefix))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        manage::delete(&self.0, key).await.map_err(self.0.context("delete", key))
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        Ok(manage::delete_many(&self.0, keys).await)
    }

    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        let copied = manage::copy(&self.0, from, to).await;
        copied.map(|copied| copied.result).map_err(failure::repeatable).map_err(self.0.context("copy", to))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if from == to {
            return self.stat(from).await.map(drop).map_err(self.0.context("rename", from));
        }
        let copied = manage::copy(&self.0, from, to).await.map_err(self.0.context("rename", to))?;
        let deleted = manage::delete_copied(&self.0, from, copied.source_etag).await;
        deleted.map_err(self.0.context("rename", from))
    }

    async fn create_container(&self) -> Result<()> {
        manage::create_container(&self.0).await.map_err(|e| e.with_context("create_container", &self.0.root))
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>> {
        let keys = self.pending_uploads(prefix).await?;
        Ok(keys.into_iter().map(|key| PendingUpload { key, id: String::new(), started: None }).collect())
    }

    async fn abort_upload(&self, upload: &PendingUpload) -> Result<()> {
        let (store, key) = (self.0.clone(), &upload.key);
        let left = write::BlockUpload::new(store, key, &PutOptions::default());
        let left = left.map_err(self.0.context("abort", key))?;
        left.discard_all().await.map_err(self.0.context("abort", key))
    }

    async fn delete_container(&self) -> Result<()> {
        manage::delete_container(&self.0).await.map_err(|e| e.with_context("delete_container", &self.0.root))
    }

    async fn list_containers(&self) -> Result<Vec<ContainerInfo>> {
        list::containers(&self.0).await.map_err(|e| e.with_context("list_containers", &self.0.root))
    }
}

/// An ETag in its quotes: headers have them, listings do not.
fn etag_of(text: &str) -> String {
    if text.starts_with('"') || text.starts_with("W/") { text.to_owned() } else { format!("\"{text}\"") }
}

fn http_date(text: &str) -> Option<SystemTime> {
    let seconds = u64::try_from(Timestamp::parse_http(text)?.unix()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
