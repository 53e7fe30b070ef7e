//! A remote store in memory: it does not block, wants parts of 5 MiB, notes every request, and does
//! what a test's script says.

use async_trait::async_trait;
use bytes::Bytes;
use s3dlio::base::buffer::Window;
use s3dlio::base::first_byte::FirstByte;
use s3dlio::base::uri::Uri;
use s3dlio::options::Options;
use s3dlio::store::*;
use s3dlio::{Code, Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use tokio::sync::Semaphore;

pub const PART: usize = 5 << 20;

/// One request as the store sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Stat,
    Get { offset: u64, len: usize, if_match: Option<String> },
    Put { len: usize, address: usize },
    Create,
    Part { number: u32, offset: u64, len: usize, address: usize },
    Complete { parts: u32 },
    Abort { thread: ThreadId },
    List,
    DeleteMany { keys: usize },
}

/// What the store does with a request.
pub enum Answer {
    Serve,
    Fail(Code),
    Panic,
    /// Serve once the semaphore has a permit.
    Wait(Arc<Semaphore>),
    /// Serve one byte less than asked for, and say so.
    Short,
    /// Put other bytes in the object's place first.
    Replace(Bytes),
    /// The same, and ignore what ETag was asked for, as some servers do.
    ReplaceAndIgnoreMatch(Bytes),
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

pub struct Fake {
    inner: Store,
    blocking: bool,
    log: Arc<Log>,
}

pub struct Log {
    requests: Mutex<Vec<Request>>,
    script: Mutex<Script>,
    flying: AtomicUsize,
    most_flying: AtomicUsize,
}

impl Log {
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
    pub fn count(&self, which: impl Fn(&Request) -> bool) -> usize {
        self.requests().iter().filter(|request| which(request)).count()
    }
    pub fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }
    pub fn script(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }
    /// The most parts and gets that were in flight at the same time.
    pub fn most_flying(&self) -> usize {
        self.most_flying.load(Ordering::SeqCst)
    }
    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        let ended = |r: &Request| matches!(r, Request::Complete { .. } | Request::Abort { .. });
        self.count(|r| *r == Request::Create) - self.count(ended)
    }

    async fn begin(&self, request: Request) -> Result<Answer> {
        self.requests.lock().unwrap().push(request.clone());
        let answer = (self.script.lock().unwrap())(&request);
        match answer {
            Answer::Fail(code) => Err(Error::new(code, format!("scripted failure of {request:?}"))),
            Answer::Panic => panic!("scripted panic"),
            Answer::Wait(gate) => {
                gate.acquire().await.unwrap().forget();
                Ok(Answer::Serve)
            }
            answer => Ok(answer),
        }
    }
}

/// A store over fresh memory, and its log.
pub fn remote(options: &[(&str, &str)]) -> (Store, Arc<Log>) {
    fake(false, options)
}

/// As [`remote`], but it works on the caller's thread.
pub fn blocking(options: &[(&str, &str)]) -> (Store, Arc<Log>) {
    fake(true, options)
}

fn fake(blocking: bool, options: &[(&str, &str)]) -> (Store, Arc<Log>) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut set = Options::new();
    set.set("transfer.part_size", "5MiB").unwrap();
    for (key, value) in options {
        set.set(key, value).unwrap();
    }
    let inner = store_for_uri(&format!("memory://fake{name}/root"), &set).unwrap();
    let log = Arc::new(Log {
        requests: Mutex::default(),
        script: Mutex::new(Box::new(|_| Answer::Serve)),
        flying: AtomicUsize::new(0),
        most_flying: AtomicUsize::new(0),
    });
    let fake = Fake { inner, blocking, log: log.clone() };
    (Store::from_backend(Arc::new(fake), &set).unwrap(), log)
}

/// Counts a request while it is served.
struct Flying<'a>(&'a Log);

impl<'a> Flying<'a> {
    async fn new(log: &'a Log, blocking: bool) -> Flying<'a> {
        let now = log.flying.fetch_add(1, Ordering::SeqCst) + 1;
        log.most_flying.fetch_max(now, Ordering::SeqCst);
        let flying = Flying(log);
        if !blocking {
            tokio::task::yield_now().await; // so that others come
        }
        flying
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.flying.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ObjectStore for Fake {
    fn root(&self) -> &Uri {
        self.inner.root()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking_io: self.blocking,
            min_part_size: PART as u64,
            max_parts: 10_000,
            ..self.inner.capabilities()
        }
    }
    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        assert_eq!(request.first_byte, FirstByte::default(), "without an op-log there is nothing to note");
        let (offset, if_match) = (request.offset, request.if_match.clone());
        let _flying = Flying::new(&self.log, self.blocking).await;
        match self.log.begin(Request::Get { offset, len: dst.len(), if_match }).await? {
            Answer::Short => {
                let (dst, _last) = {
                    let len = dst.len();
                    dst.split_at(len - 1)
                };
                self.inner.get_into(key, request, dst).await
            }
            Answer::Replace(data) => {
                self.inner.put(key, data.into(), &PutOptions::default()).await?;
                self.inner.get_into(key, request, dst).await
            }
            Answer::ReplaceAndIgnoreMatch(data) => {
                self.inner.put(key, data.into(), &PutOptions::default()).await?;
                self.inner.get_into(key, GetRequest { if_match: None, ..request }, dst).await
            }
            _ => self.inner.get_into(key, request, dst).await,
        }
    }
    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        self.log
            .begin(Request::Put { len: content.data.len(), address: content.data.as_ptr() as usize })
            .await?;
        self.inner.put(key, content, options).await
    }
    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        self.log.begin(Request::Create).await?;
        let inner = self.inner.create_upload(key, options).await?;
        Ok(Arc::new(FakeUpload { inner, blocking: self.blocking, log: self.log.clone() }))
    }
    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        self.log.begin(Request::Stat).await?;
        self.inner.stat(key).await
    }
    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        self.log.begin(Request::List).await?;
        self.inner.list_page(&ListRequest { max_entries: 10, ..request.clone() }).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.log.begin(Request::DeleteMany { keys: keys.len() }).await?;
        let mut outcomes = Vec::new();
        for key in keys {
            outcomes.push(match key.contains("locked") {
                true => Err(Error::new(Code::PermissionDenied, format!("{key} is locked"))),
                false => self.inner.delete(key).await,
            });
        }
        Ok(outcomes)
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

struct FakeUpload {
    inner: Arc<dyn Upload>,
    blocking: bool,
    log: Arc<Log>,
}

#[async_trait]
impl Upload for FakeUpload {
    async fn put_part(&self, part: Part) -> Result<()> {
        let (number, offset, len) = (part.number, part.offset, part.data.len());
        let _flying = Flying::new(&self.log, self.blocking).await;
        let address = part.data.as_ptr() as usize;
        self.log.begin(Request::Part { number, offset, len, address }).await?;
        self.inner.put_part(part).await
    }
    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        self.log.begin(Request::Complete { parts }).await?;
        self.inner.complete(parts, total).await
    }
    async fn abort(&self) -> Result<()> {
        self.log.begin(Request::Abort { thread: std::thread::current().id() }).await?;
        self.inner.abort().await
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl fmt::Debug for FakeUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeUpload")
    }
}
