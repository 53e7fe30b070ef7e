//! The HTTP client under the SDK's pipeline: our TLS, pool and timeouts. A timeout counts from the last
//! byte that moved, so slow transfers live; a request's data is never held longer than its call.

use super::failure::{self, NoAnswer};
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::net::tls::client_config;
use crate::options::{self, Resolved};
use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::response::PinnedStream;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use bytes::Bytes;
use futures_util::stream;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

tokio::task_local! {
    /// Set once the service may have the surrounding call's request. Only requests of the blob
    /// service count, which have a version: those for tokens run inside of the same call.
    pub(super) static SENT: Arc<AtomicBool>;
}

/// How much of a body is handed to the connection at a time; a copy, because the data is only lent.
const CHUNK: usize = 128 << 10;

/// One connection pool with its limits.
pub(super) struct HttpTransport {
    client: reqwest::Client,
    in_flight: Arc<Semaphore>,
    progress_timeout: Duration,
}

impl HttpTransport {
    /// Reads the certificates; connects to nothing.
    pub(super) fn new(options: &Resolved) -> Result<HttpTransport> {
        let connections = options.size(&options::NET_MAX_CONNECTIONS);
        let idle = options.duration(&options::NET_IDLE_TIMEOUT_MS);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(options.text(&options::NET_CA_BUNDLE))?)
            .connect_timeout(options.duration(&options::NET_CONNECT_TIMEOUT_MS))
            .pool_idle_timeout(idle)
            .pool_max_idle_per_host(if idle.is_zero() { 0 } else { connections })
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .http1_only()
            .build()
            .map_err(|e| Error::new(Code::Internal, "cannot build the HTTP client").with_source(&e))?;
        Ok(HttpTransport {
            client,
            in_flight: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            progress_timeout: options.duration(&options::NET_PROGRESS_TIMEOUT_MS),
        })
    }

    async fn execute(&self, request: &Request) -> Result<AsyncRawResponse, NoAnswer> {
        let permit = self.in_flight.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::new(Code::Internal, "the connection limit is closed"))?;
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|e| Error::new(Code::Internal, "the request has no valid method").with_source(&e))?;
        let mut building = self.client.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            building = building.header(name.as_str(), value.as_str());
        }
        let Body::Bytes(data) = request.body() else {
            return Err(Error::new(Code::Internal, "a streaming body reached the HTTP client").into());
        };
        let blob = request.headers().iter().any(|(name, _)| name.as_str() == "x-ms-version");
        let sent = SENT.try_with(Arc::clone).ok().filter(|_| blob).unwrap_or_default();
        let upload = Upload::new(data.clone(), sent.clone());
        sent.store(data.is_empty(), Ordering::Release); // nothing shows when a request without a body goes out
        if !data.is_empty() {
            if request.headers().iter().all(|(name, _)| name.as_str() != "content-length") {
                building = building.header("content-length", data.len());
            }
            building = building.body(reqwest::Body::wrap_stream(upload.0.clone().stream()));
        }
        let exchange = unless_stalled(&upload.0, self.progress_timeout, building.send()).await;
        let lost = |lost: NoAnswer| NoAnswer { sent: lost.sent && sent.load(Ordering::Acquire), ..lost };
        let exchange = exchange.map_err(lost)?;
        let response = exchange.map_err(|e| lost(failure::from_reqwest(e.without_url())))?;
        sent.store(true, Ordering::Release);
        drop(upload);
        let status = response.status().as_u16().into();
        let headers = headers(response.headers());
        let limit = self.progress_timeout;
        let body: PinnedStream = Box::pin(stream::try_unfold((response, permit), move |state| async move {
            next_chunk(state, limit).await.map_err(|e| into_azure(ErrorKind::Io, e))
        }));
        Ok(AsyncRawResponse::new(status, headers, body))
    }
}

#[async_trait]
impl HttpClient for HttpTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.execute(request).await.map_err(|e| into_azure(ErrorKind::Io, e))
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpTransport")
    }
}

/// Our error inside the SDK's, to be found again by [`failure::from_azure`].
fn into_azure(kind: ErrorKind, error: NoAnswer) -> azure_core::Error {
    azure_core::Error::new(kind, error)
}

type Receiving = (reqwest::Response, OwnedSemaphorePermit);

async fn next_chunk(
    (mut response, permit): Receiving,
    limit: Duration,
) -> Result<Option<(Bytes, Receiving)>, NoAnswer> {
    match timeout(limit, response.chunk()).await {
        Ok(Ok(Some(chunk))) => Ok(Some((chunk, (response, permit)))),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(error)) => Err(failure::from_reqwest(error.without_url())),
        Err(_) => Err(stalled(limit)),
    }
}

fn stalled(limit: Duration) -> NoAnswer {
    let error = Error::new(Code::Timeout, format!("no byte moved for {} ms", limit.as_millis()))
        .with_hint("raise net.progress_timeout_ms if the service is just slow");
    NoAnswer { error, sent: true }
}

/// Runs the exchange until its response head is there; gives up once nothing moved for `limit`.
async fn unless_stalled<T>(
    progress: &Progress,
    limit: Duration,
    exchange: impl Future<Output = T>,
) -> Result<T, NoAnswer> {
    let mut exchange = pin!(exchange);
    loop {
        let deadline = progress.last() + limit;
        tokio::select! {
            done = &mut exchange => return Ok(done),
            () = sleep_until(deadline) => {
                if progress.last() + limit <= Instant::now() {
                    return Err(stalled(limit));
                }
            }
        }
    }
}

/// A body on its way out. Dropping it takes the data away from the connection, which may still have
/// the stream: the next poll of it fails and closes the connection.
struct Upload(Arc<Progress>);

struct Progress {
    state: Mutex<State>,
    /// Set when a connection asks for the body, behind the head.
    sent: Arc<AtomicBool>,
}

struct State {
    data: Option<Bytes>,
    last: Instant,
}

impl Upload {
    fn new(data: Bytes, sent: Arc<AtomicBool>) -> Upload {
        let state = State { data: Some(data), last: Instant::now() };
        Upload(Arc::new(Progress { state: Mutex::new(state), sent }))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        lock(&self.0.state).data = None;
    }
}

impl Progress {
    fn last(&self) -> Instant {
        lock(&self.state).last
    }

    fn next(&self) -> std::io::Result<Option<Bytes>> {
        let mut state = lock(&self.state);
        state.last = Instant::now();
        self.sent.store(true, Ordering::Release);
        let Some(data) = &mut state.data else {
            return Err(std::io::Error::other("the request was given up"));
        };
        if data.is_empty() {
            return Ok(None);
        }
        let chunk = data.split_to(CHUNK.min(data.len()));
        Ok(Some(Bytes::copy_from_slice(&chunk)))
    }

    fn stream(self: Arc<Self>) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        stream::poll_fn(move |_| std::task::Poll::Ready(self.next().transpose()))
    }
}

fn headers(map: &reqwest::header::HeaderMap) -> Headers {
    let readable = map.iter().map(|(name, value)| {
        let value = HeaderValue::from(String::from_utf8_lossy(value.as_bytes()).into_owned());
        (HeaderName::from(name.as_str().to_owned()), value)
    });
    Headers::from(readable.collect::<HashMap<_, _>>())
}
