//! `s3://bucket/prefix`: Amazon S3 and services that speak its protocol, over the official SDK.
//!
//! Opening does no I/O. What holds sockets is made at first use, per process, so that a forked child
//! never touches its parent's connections. Every logical operation runs inside [`S3Store::run`],
//! which bounds the requests in flight, holds the deadline and completes the error.

mod bucket;
mod client;
mod copy;
mod delete;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod keys;
mod list;
mod lost;
mod plane;
mod read;
mod sdk;
mod throttle;
mod tls;
mod upload;
mod watch;
mod whole;
mod wire;
mod write;

pub use super::PendingUpload;
use super::place::Place;
use super::*;
use crate::error::{Code, Error};
use crate::options::Resolved;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use client::{Connected, Settings, Shared};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Instant, SystemTime};
use watch::Seen;

/// Limits of the protocol, in bytes and parts.
const MIN_PART: u64 = 5 << 20;
const MAX_PART: u64 = 5 << 30;
const MAX_PARTS: u32 = 10_000;

/// Objects below one root of a bucket.
#[derive(Clone, Debug)]
pub struct S3Store {
    root: Uri,
    /// What full keys below the root start with.
    prefix: String,
    shared: Arc<Shared>,
}

impl S3Store {
    /// Checks the options; does no I/O but reading the CA bundle.
    pub fn open(root: Uri, options: &Resolved) -> Result<Self> {
        let shared = Shared::new(Settings::from_options(options)?);
        Ok(S3Store { prefix: root.key_prefix(), root, shared })
    }

    /// Uploads in parts below a prefix that were neither completed nor aborted.
    pub async fn pending_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>> {
        self.run("list_uploads", &self.uri(prefix), list::pending_uploads(self, prefix)).await
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    fn bucket(&self) -> &str {
        self.root.container()
    }

    fn uri(&self, key: &str) -> Uri {
        self.root.join(key)
    }

    fn full_key(&self, key: &str) -> Result<String> {
        let rules = self.settings().keys;
        rules.check(key)?;
        let full = format!("{}{key}", self.prefix);
        rules.check(&full)?;
        Ok(full)
    }

    async fn connected(&self) -> Result<Arc<Connected>> {
        self.shared.connected(&self.root).await
    }

    async fn client(&self) -> Result<Client> {
        Ok(self.connected().await?.client.clone())
    }

    /// What an SDK call's failure means.
    fn failed<E>(&self, failure: error::Failure<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        error::from_sdk(self.settings(), failure)
    }

    /// Runs one logical operation: bounded, in time, its error complete. Not to be nested.
    /// A deadline that passes while a write's outcome is open is `UnknownOutcome`.
    fn run<'a, T: 'a>(
        &'a self,
        operation: &'static str,
        uri: &'a Uri,
        work: impl Future<Output = Result<T>> + Send + 'a,
    ) -> impl Future<Output = Result<T>> + Send {
        // Boxed: the SDK's futures are large and deeply nested types.
        self.run_boxed(operation, uri, Box::pin(work))
    }

    async fn run_boxed<T>(
        &self,
        operation: &'static str,
        uri: &Uri,
        work: Pin<Box<dyn Future<Output = Result<T>> + Send + '_>>,
    ) -> Result<T> {
        let bounded = pin!(async {
            let _permit = self.shared.permit().await?;
            work.await
        });
        let in_time = pin!(async {
            match self.settings().operation_timeout {
                None => bounded.await,
                Some(limit) => tokio::time::timeout(limit, bounded).await.unwrap_or_else(|_| {
                    Err(Error::new(Code::Timeout, format!("not done within {} ms", limit.as_millis()))
                        .with_hint("see net.operation_timeout_ms"))
                }),
            }
        });
        self.complete(operation, || uri.clone(), in_time).await
    }

    /// As [`S3Store::run`] for the requests of the data plane, which keeps the deadline itself, to say
    /// how far a request came, and whose pool bounds the requests in flight. The caller pins the work: by value,
    /// its 2 KiB would be copied and kept once more in each of the layers around it, for every object.
    async fn run_data<T>(
        &self,
        operation: &'static str,
        key: &str,
        work: Pin<&mut (impl Future<Output = Result<T>> + Send)>,
    ) -> Result<T> {
        match self.shared.is_on_plane(&self.root) {
            true => self.complete(operation, || self.uri(key), work).await,
            false => Box::pin(self.run(operation, &self.uri(key), work)).await,
        }
    }

    /// Counts the attempts of an operation and completes its error.
    async fn complete<T>(
        &self,
        operation: &'static str,
        uri: impl Fn() -> Uri,
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let began = Instant::now();
        let (result, Seen { attempts, outcome_open }) = watch::counting(work).await;
        result.map_err(|error| {
            let error = match error.code() {
                Code::Timeout if outcome_open => write::unknown(error),
                _ => error,
            };
            let uri = uri();
            let dots = uri.path().split('/').any(|part| matches!(part, "." | ".."));
            let error = match error.code() {
                Code::InvalidArgument if dots && error.http_status().is_some() => error
                    .with_code(Code::InvalidKey)
                    .with_hint("this service keeps keys as paths and refuses . and .. in them"),
                _ => error,
            };
            let error = error.with_context(operation, uri);
            if attempts > 0 { error.with_attempts(attempts, began.elapsed()) } else { error }
        })
    }
}

/// Of a call that does the same when it is made again: an unknown outcome is a reason to do so.
fn repeatable(error: Error) -> Error {
    if error.code() == Code::UnknownOutcome { error.with_retryable(true) } else { error }
}

/// The SDK's time as the standard library's.
fn to_system_time(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Option<SystemTime> {
    time.and_then(|time| SystemTime::try_from(*time).ok())
}

#[async_trait]
impl ObjectStore for S3Store {
    fn root(&self) -> &Uri {
        &self.root
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking_io: false,
            conditional_put: self.settings().conditional_put,
            metadata: true,
            keys: self.settings().keys,
            min_part_size: MIN_PART,
            max_part_size: MAX_PART,
            max_parts: MAX_PARTS,
            alignment: 1,
        }
    }

    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        let mut place = Place::Lent(dst);
        self.run_data("get", key, pin!(read::get(self, key, request, &mut place))).await
    }

    async fn get(&self, key: &str, request: GetRequest, limit: usize) -> Result<(Buffer, ObjectMeta)> {
        let mut place = Place::Fitting(limit, None);
        let got = self.run_data("get", key, pin!(read::get(self, key, request, &mut place))).await?;
        Ok((place.into_buffer(got.bytes)?, got.meta))
    }

    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        let done = self.run_data("put", key, pin!(write::put(self, key, content, options))).await;
        done.map_err(|error| match options.condition {
            PutCondition::Always => repeatable(error),
            _ => error,
        })
    }

    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        let upload = self.run("put", &self.uri(key), upload::create(self, key, options)).await?;
        Ok(Arc::new(upload))
    }

    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        self.run_data("stat", key, pin!(read::stat(self, key, None))).await
    }

    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        self.run("list", &self.uri(&request.prefix), list::page(self, request)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.run("delete", &self.uri(key), delete::one(self, key)).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.run("delete", &self.root, delete::many(self, keys)).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        let copied = self.run("copy", &self.uri(from), copy::copy(self, from, to)).await;
        copied.map(|copied| copied.result).map_err(repeatable)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if from == to {
            return self.stat(from).await.map(drop);
        }
        let source = self.uri(from);
        let copied = self.run("rename", &source, copy::copy(self, from, to)).await?;
        self.run("rename", &source, delete::copied(self, from, copied.source_etag)).await
    }

    async fn create_container(&self) -> Result<()> {
        self.run("create_container", &self.root, bucket::create(self)).await
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>> {
        self.pending_uploads(prefix).await
    }

    async fn abort_upload(&self, upload: &PendingUpload) -> Result<()> {
        let key = &upload.key;
        self.run("abort", &self.uri(key), lost::abort(self, key, &upload.id)).await
    }

    async fn delete_container(&self) -> Result<()> {
        self.run("delete_container", &self.root, bucket::delete(self)).await
    }

    async fn list_containers(&self) -> Result<Vec<ContainerInfo>> {
        self.run("list_containers", &self.root, bucket::list(self)).await
    }
}
