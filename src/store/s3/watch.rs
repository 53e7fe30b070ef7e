//! Watches every HTTP attempt from between the SDK and its connector: counts them, gives up one on
//! which no byte moved for the progress timeout (a slow but moving one never is), takes the body
//! back when the operation ends, so that no connection keeps lent memory, and knows of a write
//! whether it may have taken effect although no answer says so. The data plane, which watches its
//! connections itself, reports to the same [`Operation`].

use super::whole::XmlEnds;
use crate::base::sync::lock;
use crate::metrics::REQUESTS;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::ErrorKind;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Request bodies go out in pieces of this many bytes, so that progress shows. Each is a copy: a
/// connection that is stuck in a write cannot be made to give its queue back.
const PIECE: usize = 256 << 10;

tokio::task_local! {
    static OPERATION: Operation;
}

/// What one logical operation has sent.
struct Operation {
    started: std::time::Instant,
    attempts: Cell<u32>,
    /// Whether the attempts from now on may publish something: [`committing`].
    committing: Cell<bool>,
    commits: RefCell<Vec<Arc<Commit>>>,
    /// As [`leave_open`] says.
    left_open: Cell<bool>,
    /// As [`partial`] says.
    partial: Cell<bool>,
    bodies: RefCell<Vec<Arc<Mutex<Option<Outgoing>>>>>,
}

impl Operation {
    fn new() -> Operation {
        Operation {
            started: std::time::Instant::now(),
            attempts: Cell::new(0),
            committing: Cell::new(false),
            commits: RefCell::default(),
            left_open: Cell::new(false),
            partial: Cell::new(false),
            bodies: RefCell::default(),
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        for body in self.bodies.take() {
            let taken = lock(&body).take();
            drop(taken);
        }
    }
}

/// One attempt to publish something.
#[derive(Default)]
struct Commit {
    /// The service may have it.
    sent: AtomicBool,
    /// An answer says what became of it.
    answered: AtomicBool,
}

/// What [`counting`] saw.
pub(super) struct Seen {
    pub(super) attempts: u32,
    /// As [`outcome_open`] at the end.
    pub(super) outcome_open: bool,
}

/// Runs `future` as one operation and says what it sent. Afterwards, and when it is dropped, no
/// request body of it is referred to any more.
pub(super) async fn counting<F: Future>(future: F) -> (F::Output, Seen) {
    let counted = async {
        let output = future.await;
        let attempts = OPERATION.try_with(|operation| operation.attempts.get()).unwrap_or(0);
        (output, Seen { attempts, outcome_open: outcome_open() })
    };
    OPERATION.scope(Operation::new(), counted).await
}

/// When the surrounding operation began; now, outside of one.
pub(super) fn started() -> std::time::Instant {
    OPERATION.try_with(|operation| operation.started).unwrap_or_else(|_| std::time::Instant::now())
}

/// Adds attempts that were made for the surrounding operation elsewhere: in a task, on the data plane.
pub(super) fn add_attempts(attempts: u32) {
    let _ = OPERATION.try_with(|operation| operation.attempts.set(operation.attempts.get() + attempts));
}

/// From here on, a PUT or POST of the surrounding operation takes effect once the service has it.
pub(super) fn committing() {
    let _ = OPERATION.try_with(|operation| operation.committing.set(true)); // none outside of `counting`
}

/// Whether [`committing`] was called in the surrounding operation.
pub(super) fn is_committing() -> bool {
    OPERATION.try_with(|operation| operation.committing.get()).unwrap_or(false)
}

/// Says that an attempt of the data plane may have reached the service, and no answer says what became
/// of it. It counts since [`committing`].
pub(super) fn leave_open() {
    let _ = OPERATION.try_with(|operation| operation.left_open.set(operation.committing.get())); // none outside of `counting`
}

/// Whether an attempt since [`committing`] may have reached the service, and no answer says what
/// became of it. An attempt that never had a connection, and one that was refused, leave nothing open.
pub(super) fn outcome_open() -> bool {
    let open = |commit: &Arc<Commit>| {
        commit.sent.load(Ordering::Acquire) && !commit.answered.load(Ordering::Acquire)
    };
    OPERATION
        .try_with(|operation| operation.left_open.get() || operation.commits.borrow().iter().any(open))
        .unwrap_or(false)
}

/// Whether the last answer of the surrounding operation was a part of an object (206).
pub(super) fn partial() -> bool {
    OPERATION.try_with(|operation| operation.partial.get()).unwrap_or(false)
}

/// Whether the answer tells what became of the request. Servers fail half-way, and gateways lose
/// their server's answer; a 503 is a refusal only where the service itself says so.
pub(super) fn is_definite(status: u16, request_id: Option<&str>) -> bool {
    match status {
        408 => false,
        503 => request_id.is_some(),
        501 | 505 => true,
        status => status < 500,
    }
}

fn request_id(response: &HttpResponse) -> Option<&str> {
    let headers = response.headers();
    headers.get("x-amz-request-id").or_else(|| headers.get("x-amzn-requestid"))
}

/// Whether there was no connection that the request could have gone out on.
fn never_connected(error: &ConnectorError) -> bool {
    let chain = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |e| e.source());
    chain.into_iter().any(|link| link.to_string() == "client error (Connect)")
}

/// Bytes that are no HTTP are as good as none: a gateway's page, a confused connection. The SDK would
/// not try again after them.
fn or_transient(error: ConnectorError) -> ConnectorError {
    let chain = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |e| e.source());
    let confused = chain.into_iter().any(|link| link.to_string() == "client error (SendRequest)");
    match error.is_other() && error.as_other().is_none() && confused {
        true => ConnectorError::other(error.into(), Some(ErrorKind::TransientError)),
        false => error,
    }
}

/// The failure of an attempt on which nothing moved.
#[derive(Debug, thiserror::Error)]
#[error("no byte moved for {} ms", .0.as_millis())]
pub(super) struct Stalled(Duration);

/// The failure of an answer that nobody could tell from a cut one.
#[derive(Debug, thiserror::Error)]
#[error("the answer says neither how long its body is nor where it ends")]
pub(super) struct Endless;

/// Whether it cannot be told where the body of a good answer to `method` ends.
fn is_endless(method: &str, response: &HttpResponse) -> bool {
    let headers = response.headers();
    let marked = headers.get("content-length").is_some() || headers.get("transfer-encoding").is_some();
    matches!(method, "GET" | "POST") && matches!(response.status().as_u16(), 200 | 206) && !marked
}

/// An SDK client whose attempts are counted and watched.
#[derive(Debug)]
pub(super) struct WatchedClient {
    inner: SharedHttpClient,
    limit: Duration,
}

impl WatchedClient {
    /// Attempts of `inner` without a byte for `limit` fail.
    pub(super) fn new(inner: SharedHttpClient, limit: Duration) -> Self {
        WatchedClient { inner, limit }
    }
}

impl HttpClient for WatchedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(WatchedConnector { inner, limit: self.limit })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct WatchedConnector {
    inner: SharedHttpConnector,
    limit: Duration,
}

impl HttpConnector for WatchedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let clock = Clock::start();
        REQUESTS.first();
        let method = request.method().to_owned();
        let changes = matches!(&*method, "PUT" | "POST");
        // Objects are always asked for by range; all that comes else is XML.
        let control = method != "HEAD" && request.headers().get("range").is_none();
        // These tell their outcome in the body, so an empty one says nothing.
        let in_body = method == "POST" || request.headers().get("x-amz-copy-source").is_some();
        let commit = (changes && is_committing()).then(Arc::<Commit>::default);
        let body = request.take_body();
        // An empty body stays as it is: a wrapped one would be announced.
        let outgoing = match body.content_length() {
            Some(0) => {
                *request.body_mut() = body;
                if let Some(commit) = &commit {
                    commit.sent.store(true, Ordering::Release); // nothing shows when it goes out
                }
                None
            }
            _ => {
                let size = Body::size_hint(&body);
                let outgoing = Outgoing { inner: Box::pin(body), rest: Bytes::new() };
                let outgoing = Arc::new(Mutex::new(Some(outgoing)));
                let sent = SentBody {
                    outgoing: outgoing.clone(),
                    left: size.exact(),
                    clock: clock.clone(),
                    commit: commit.clone(),
                };
                *request.body_mut() = SdkBody::from_body_1_x(sent);
                Some(outgoing)
            }
        };
        let _ = OPERATION.try_with(|operation| {
            operation.attempts.set(operation.attempts.get() + 1);
            operation.bodies.borrow_mut().extend(outgoing);
            operation.commits.borrow_mut().extend(commit.clone());
        }); // none outside of `counting`
        let answer = self.inner.call(request);
        let limit = self.limit;
        HttpConnectorFuture::new(async move {
            let mut answer = pin!(answer);
            loop {
                let until = clock.last() + limit;
                tokio::select! {
                    biased;
                    response = &mut answer => {
                        let response = response.map_err(or_transient);
                        let mut unread = None;
                        if let Some(commit) = &commit {
                            match &response {
                                // It is said in the body, which has to arrive.
                                Ok(response) if response.status().is_success() => unread = Some(commit.clone()),
                                Ok(response) if is_definite(response.status().as_u16(), request_id(response)) => {
                                    commit.answered.store(true, Ordering::Release);
                                }
                                Err(error) if never_connected(error) => {
                                    commit.sent.store(false, Ordering::Release);
                                }
                                _ => {}
                            }
                        }
                        let mut xml = false;
                        if let Ok(response) = &response {
                            xml = control && response.status().is_success();
                            let partial = response.status().as_u16() == 206;
                            let _ = OPERATION.try_with(|operation| operation.partial.set(partial)); // none outside of `counting`
                            if is_endless(&method, response) {
                                return Err(ConnectorError::other(Endless.into(), None));
                            }
                        }
                        let watch = |body| {
                            let unread = unread.clone().map(|commit| Unread { commit, in_body });
                            ReceivedBody::new(body, limit, unread, xml)
                        };
                        return response.map(|response| response.map(|body| SdkBody::from_body_1_x(watch(body))));
                    }
                    () = tokio::time::sleep_until(until) => {
                        if clock.last() + limit <= Instant::now() {
                            return Err(ConnectorError::timeout(Stalled(limit).into()));
                        }
                    }
                }
            }
        })
    }
}

/// When a byte of the request moved last.
#[derive(Debug)]
struct Clock {
    start: Instant,
    /// Microseconds after `start`.
    moved: AtomicU64,
}

impl Clock {
    fn start() -> Arc<Clock> {
        Arc::new(Clock { start: Instant::now(), moved: AtomicU64::new(0) })
    }

    fn touch(&self) {
        self.moved.store(self.start.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.moved.load(Ordering::Relaxed))
    }
}

/// The caller's bytes of a request that is under way.
struct Outgoing {
    inner: Pin<Box<SdkBody>>,
    rest: Bytes,
}

/// A request body in pieces; each one that the connection takes is progress.
struct SentBody {
    /// Empty once the operation is over.
    outgoing: Arc<Mutex<Option<Outgoing>>>,
    /// Bytes to come, where that is known.
    left: Option<u64>,
    clock: Arc<Clock>,
    commit: Option<Arc<Commit>>,
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.clock.touch();
        if let Some(commit) = &self.commit {
            commit.sent.store(true, Ordering::Release); // a connection asks for it behind the head
        }
        let outgoing = self.outgoing.clone();
        let mut outgoing = lock(&outgoing);
        let Some(body) = outgoing.as_mut() else {
            return Poll::Ready(Some(Err("the operation is over".into())));
        };
        while body.rest.is_empty() {
            match body.inner.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => body.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        let n = body.rest.len().min(PIECE);
        let piece = Bytes::copy_from_slice(&body.rest.split_to(n));
        self.left = self.left.map(|left| left.saturating_sub(n as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A response body that fails when nothing comes for the limit, and where it is XML that was cut.
struct ReceivedBody {
    inner: Pin<Box<SdkBody>>,
    limit: Duration,
    alarm: Pin<Box<Sleep>>,
    unread: Option<Unread>,
    ends: Option<XmlEnds>,
}

/// What a body, once it has come whole, is the answer to.
struct Unread {
    commit: Arc<Commit>,
    /// Only an XML document answers it.
    in_body: bool,
}

impl ReceivedBody {
    fn new(body: SdkBody, limit: Duration, unread: Option<Unread>, xml: bool) -> Self {
        let ends = xml.then(XmlEnds::default);
        let alarm = Box::pin(tokio::time::sleep(limit));
        let mut received = ReceivedBody { inner: Box::pin(body), limit, alarm, unread, ends };
        if received.inner.is_end_stream() {
            received.is_read(); // nobody may ask for what is empty
        }
        received
    }

    fn is_read(&mut self) {
        let Some(Unread { commit, in_body }) = self.unread.take() else { return };
        let says = self.ends.as_ref().is_some_and(|ends| ends.has_root() && !ends.leaves_open());
        if says || !in_body {
            commit.answered.store(true, Ordering::Release);
        }
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let limit = self.limit;
        if let Poll::Ready(frame) = self.inner.as_mut().poll_frame(cx) {
            self.alarm.as_mut().reset(Instant::now() + limit);
            if let (Some(Ok(frame)), Some(ends)) = (&frame, &mut self.ends)
                && let Some(data) = frame.data_ref()
            {
                ends.see(data);
            }
            // Whoever reads may stop at the last byte: so the end is looked at there.
            if frame.is_none() || self.inner.is_end_stream() && matches!(frame, Some(Ok(_))) {
                if let Some(Err(cut)) = self.ends.as_ref().map(XmlEnds::check) {
                    return Poll::Ready(Some(Err(cut.into())));
                }
                self.is_read();
            }
            return Poll::Ready(frame);
        }
        match self.alarm.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Stalled(limit).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
