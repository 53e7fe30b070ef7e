//! Requests: built literally, sent over the data plane or through the SDK's pipeline, tried again where
//! that may help.

use super::account::{Account, Credential};
use super::failure::{self, Failure};
use super::headers::Headers;
use super::pipeline::{Pipeline, Receiving};
use super::plane::Plane;
use super::retry::Retry;
use crate::error::{Code, Error, Result};
use crate::net::retry::backoff::Backoff;
use crate::net::retry::bucket::Bucket;
use crate::net::retry::classify::{Lost, RequestKind, Service};
use crate::net::retry::{Attempts, RetryPolicy};
use crate::net::{self, Method};
use crate::options::{self, Resolved};
use azure_core::http::Url;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The protocol version: blocks of 4000 MiB, encoded names in listings.
const VERSION: &str = "2021-12-02";
/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for paths.
const ESCAPED_PATH: &AsciiSet = &ESCAPED.remove(b'/');
/// Far above every answer that is parsed: a listing of 5000 names, each escaped.
const LARGEST_ANSWER: usize = 64 << 20;
/// The same for those of which only some words are read.
const LARGEST_REMARK: usize = 64 << 10;

/// The way to the service, of one process with its connections.
pub(super) struct Client {
    wire: Wire,
    endpoint: Url,
    policy: RetryPolicy,
    bucket: Arc<Bucket>,
}

enum Wire {
    /// Our own connections.
    Net(Plane),
    /// The SDK's pipeline, with `net.optimized=false`.
    Sdk(Pipeline),
}

/// A request that can be sent any number of times.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query, escaped, without a signature.
    pub(super) target: String,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    /// Sent twice, the second may be refused because of the first.
    pub(super) conditional: bool,
}

/// An answer of success.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Headers,
    body: Body,
}

pub(super) enum Body {
    Net(net::Answer, Option<Instant>),
    Sdk(Receiving),
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(account: &Account, options: &Resolved) -> Result<Client> {
        let wire = match options.bool(&options::NET_OPTIMIZED) {
            true => Wire::Net(Plane::new(account, options)?),
            false => Wire::Sdk(Pipeline::new(account, options)?),
        };
        let bucket = Arc::new(Bucket::new(Instant::now()));
        let policy = RetryPolicy::from_options(options);
        Ok(Client { wire, endpoint: account.endpoint.clone(), policy, bucket })
    }

    /// A request on a container, a blob (`container/key`) or the account (empty path).
    pub(super) fn call(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Call {
        let target = target(self.endpoint.path(), path, query);
        let headers = [("x-ms-version", VERSION)].into_iter().collect();
        Call { method, target, headers, body: Bytes::new(), conditional: false }
    }

    /// The attempts of an operation that begins now.
    pub(super) fn attempts(&self, kind: RequestKind) -> Retry {
        let now = Instant::now();
        let attempts: Attempts =
            self.policy.start(Service::Azure, kind, &self.bucket, now, Backoff::random());
        Retry::new(attempts, now)
    }

    /// Sends once, within the operation's deadline. An answer that is no success is a failure.
    pub(super) async fn send_once(&self, call: &Call, retry: &Retry) -> Result<Answer, Failure> {
        match &self.wire {
            Wire::Net(plane) => plane.send(call, retry).await,
            Wire::Sdk(pipeline) => pipeline.send(call, retry.deadline()).await,
        }
    }

    /// Sends until there is a whole answer, or trying again makes no sense. The body is kept in memory.
    pub(super) async fn fetch(&self, call: &Call, retry: &mut Retry) -> Result<(Headers, Bytes), Failure> {
        loop {
            let answer = match self.send_once(call, retry).await {
                Ok(answer) => answer.collect(LARGEST_ANSWER).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(answer) => {
                    retry.succeeded();
                    return Ok(answer);
                }
                Err(failure) => retry.again(self, failure).await?,
            }
        }
    }

    /// Sends a write once. The answer's head decides; its body says nothing more.
    pub(super) async fn confirm_once(&self, call: &Call, retry: &Retry) -> Result<Headers, Failure> {
        let answer = self.send_once(call, retry).await?;
        let headers = answer.headers.clone();
        if let Err(failure) = answer.collect(LARGEST_REMARK).await {
            tracing::debug!(error = %failure.error, "the body of a good answer was lost");
        }
        Ok(headers)
    }

    /// Follows the service's clock; false where the answer does not tell it, or nothing is signed.
    pub(super) fn correct_clock(&self, failure: &Failure) -> bool {
        match &self.wire {
            Wire::Net(plane) => plane.correct_clock(failure),
            Wire::Sdk(_) => false,
        }
    }

    /// Gives up the credentials that an answer refused; false where there can be no others.
    pub(super) fn renew_credentials(&self, failure: &Failure) -> bool {
        match &self.wire {
            Wire::Net(plane) => plane.renew_credentials(failure),
            Wire::Sdk(_) => false,
        }
    }

    /// The whole URL of a blob for another request's header, with what grants access to it.
    pub(super) fn url_for_service(&self, path: &str, credential: &Credential) -> Result<Url> {
        let mut url = self.endpoint.clone();
        url = url
            .join(&target(self.endpoint.path(), path, &[]))
            .map_err(|e| Error::new(Code::InvalidUri, "the request's URL is malformed").with_source(&e))?;
        if let Credential::Sas(sas) = credential {
            super::sign::append_sas(&mut url, sas);
        }
        Ok(url)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.endpoint)
    }
}

impl Call {
    pub(super) fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Call {
        self.conditional |= self.method != Method::Get && matches!(name, "if-match" | "if-none-match");
        self.headers.push(name, value.as_ref());
        self
    }

    pub(super) fn metadata(mut self, name: &str, value: &str) -> Call {
        self.headers.push(&format!("x-ms-meta-{name}"), value);
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Call {
        self.body = body;
        self
    }

    /// Whether the request says how long its body is even when there is none.
    pub(super) fn has_length(&self) -> bool {
        matches!(self.method, Method::Put | Method::Post)
    }
}

impl Answer {
    /// An answer with its head. One that is no success is read to its end and is a failure.
    pub(super) async fn new(status: u16, headers: Headers, body: Body) -> Result<Answer, Failure> {
        let answer = Answer { status, headers, body };
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let headers = answer.headers.clone();
        // Without a body the status still says enough.
        let body = answer.collect(LARGEST_REMARK).await.map(|(_, body)| body).unwrap_or_default();
        Err(failure::from_answer(status, &headers, &body))
    }

    /// Receives the body, which must fill `dst` exactly. `done` grows by what was received, also where
    /// it fails; of an answer that breaks its own rules nothing counts.
    pub(super) async fn receive(self, dst: &mut [u8], done: &mut usize) -> Result<(), Failure> {
        let wanted = dst.len();
        let mut came = 0;
        let result = match self.body {
            Body::Sdk(mut receiving) => receiving.receive(dst, &mut came).await,
            Body::Net(mut answer, deadline) => {
                let received = match answer.read_into(dst).await {
                    Ok(n) => {
                        came = n;
                        // Where it is shorter the caller is told that; where it is longer, here.
                        answer.finish().await
                    }
                    Err(failure) => {
                        came = usize::try_from(failure.received()).unwrap_or(wanted).min(wanted);
                        Err(failure)
                    }
                };
                received.map_err(|failure| failure::from_net(failure, deadline))
            }
        };
        match result {
            Err(failure) if failure.error.code() == Code::Protocol => return Err(failure),
            result => {
                *done += came;
                result?;
            }
        }
        if came < wanted {
            let why = format!("{} bytes are missing at the end of the answer", wanted - came);
            let error = Error::new(Code::Truncated, why).with_retryable(true);
            return Err(Failure::lost(Lost::Truncated, error));
        }
        Ok(())
    }

    /// The headers and the whole body, which must not be longer than `limit`.
    async fn collect(self, limit: usize) -> Result<(Headers, Bytes), Failure> {
        let body = match self.body {
            Body::Sdk(mut receiving) => receiving.collect(limit).await?,
            Body::Net(mut answer, deadline) => {
                answer.collect(limit).await.map_err(|failure| failure::from_net(failure, deadline))?
            }
        };
        Ok((self.headers, body))
    }
}

/// Every character of `path` and of the query's values arrives at the service as it is.
/// (Path segments `.` and `..` would not: they are no legal names.)
fn target(base: &str, path: &str, query: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(base.len() + path.len() + 64);
    text.push_str(base.trim_end_matches('/'));
    let (container, key) = path.split_once('/').unwrap_or((path, ""));
    text.push('/');
    text.push_str(container);
    if !key.is_empty() {
        text.push('/');
        text.extend(utf8_percent_encode(key, ESCAPED_PATH));
    }
    for (at, (name, value)) in query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, ESCAPED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_keys_are_escaped_literally() {
        let cases = [
            ("box/a b%+#?&=~.txt", "/acct/box/a%20b%25%2B%23%3F%26%3D~.txt"),
            ("box//a//b/", "/acct/box//a//b/"),
            ("box/\u{44f}\u{1f600}", "/acct/box/%D1%8F%F0%9F%98%80"),
            ("box/b'()*", "/acct/box/b%27%28%29%2A"),
            ("box", "/acct/box"),
            ("", "/acct/"),
        ];
        for (path, wanted) in cases {
            assert_eq!(target("/acct", path, &[]), wanted, "{path:?}");
            // What the pipeline sends is the same.
            let url = Url::parse("http://h:1/acct").unwrap().join(wanted).unwrap();
            assert_eq!(url.path(), wanted, "{path:?}");
        }
        assert_eq!(
            target("/", "box", &[("comp", "list"), ("prefix", "a+b c/&")]),
            "/box?comp=list&prefix=a%2Bb%20c%2F%26"
        );
    }
}
