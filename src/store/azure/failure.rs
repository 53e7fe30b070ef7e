//! What went wrong with one request: from the service's answer, or from the way to it.

use super::headers::Headers;
use crate::base::date::Timestamp;
use crate::error::{Code, Error};
use crate::net;
use crate::net::retry::backoff;
use crate::net::retry::classify::{self, Lost};
use std::error::Error as StdError;
use std::time::{Duration, Instant};

/// A failed try, with what a retry needs to know.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The service's own code, such as `BlobNotFound`.
    pub(super) service_code: Option<String>,
    /// How long the service asks to wait.
    pub(super) retry_after: Option<Duration>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Another try would fail alike.
    Final,
    Lost(Lost),
    Answer(Refused),
}

/// What an answer that is no success shows besides its error.
#[derive(Debug, Default)]
struct Refused {
    status: u16,
    /// Its date is far from the time that the request was signed with.
    skewed: bool,
    dated: Option<Dated>,
    /// The number of the token that the request was made with.
    token: Option<u64>,
}

/// When a request was sent and its answer came, by our clock, and its date by the service's.
#[derive(Debug)]
pub(super) struct Dated {
    pub(super) sent: Timestamp,
    pub(super) received: Timestamp,
    pub(super) date: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, service_code: None, retry_after: None, kind: Kind::Final }
    }
}

impl Failure {
    /// No answer, or not all of one, or not to what was asked.
    pub(super) fn lost(lost: Lost, error: Error) -> Failure {
        Failure { kind: Kind::Lost(lost), ..Failure::from(error) }
    }

    pub(super) fn is(&self, service_code: &str) -> bool {
        self.service_code.as_deref() == Some(service_code)
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.error.http_status()
    }

    /// What the table of retries looks at; `None` where nothing may help.
    pub(super) fn cause(&self) -> Option<classify::Failure<'_>> {
        match &self.kind {
            Kind::Final => None,
            Kind::Lost(lost) => Some(classify::Failure::Lost(*lost)),
            Kind::Answer(refused) => Some(classify::Failure::Answer(classify::Answer {
                status: refused.status,
                code: self.service_code.as_deref(),
                other_region: false,
                skewed: refused.skewed,
            })),
        }
    }

    /// Notes when the answer was given, and whether the request was signed with another time.
    pub(super) fn with_date(mut self, dated: Dated, skewed: bool) -> Failure {
        if let Kind::Answer(refused) = &mut self.kind {
            refused.skewed = skewed;
            refused.dated = Some(dated);
        }
        self
    }

    pub(super) fn dated(&self) -> Option<&Dated> {
        match &self.kind {
            Kind::Answer(refused) => refused.dated.as_ref(),
            _ => None,
        }
    }

    pub(super) fn with_token(mut self, number: Option<u64>) -> Failure {
        if let Kind::Answer(refused) = &mut self.kind {
            refused.token = number;
        }
        self
    }

    pub(super) fn token(&self) -> Option<u64> {
        match &self.kind {
            Kind::Answer(refused) => refused.token,
            _ => None,
        }
    }

    /// Changes the error and keeps the rest.
    pub(super) fn map(mut self, f: impl FnOnce(Error) -> Error) -> Failure {
        self.error = f(self.error);
        self
    }
}

/// From an answer that is no success. `body` may be empty (HEAD).
pub(super) fn from_answer(status: u16, headers: &Headers, body: &[u8]) -> Failure {
    let header = |name| headers.get(name).map(str::to_owned);
    let body = String::from_utf8_lossy(body);
    let service_code = header("x-ms-error-code").or_else(|| element(&body, "Code"));
    let said = element(&body, "Message").and_then(|m| m.lines().next().map(str::to_owned));
    let name = service_code.as_deref().unwrap_or_default();
    let said_unauthenticated =
        said.as_deref().is_some_and(|m| m.starts_with("Server failed to authenticate the request"));
    let code = match (status, name) {
        (_, "ContainerNotFound") => Code::ContainerNotFound,
        (404, _) => Code::NotFound,
        (_, "BlobAlreadyExists" | "ContainerAlreadyExists") => Code::AlreadyExists,
        (409, "ContainerBeingDeleted") => Code::Unavailable,
        (409, "PublicAccessNotPermitted") => Code::PermissionDenied,
        (412 | 304, _) => Code::PreconditionFailed,
        (416, _) => Code::Range,
        (401, _)
        | (_, "AuthenticationFailed" | "NoAuthenticationInformation" | "InvalidAuthenticationInfo") => {
            Code::Unauthenticated
        }
        (403, _) if said_unauthenticated => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (408, _) => Code::Timeout,
        (429 | 500 | 502 | 503 | 504, _) => Code::Unavailable,
        _ => Code::Server,
    };
    let message = match (name, said) {
        ("", None) => format!("the service answered HTTP {status}"),
        ("", Some(said)) => format!("the service said: {said}"),
        (name, None) => format!("the service answered {name}"),
        (name, Some(said)) => format!("the service answered {name}: {said}"),
    };
    let mut error = Error::new(code, message).with_http_status(status);
    if let Some(id) = header("x-ms-request-id") {
        error = error.with_request_id(id);
    }
    if !name.is_empty() {
        error = error.with_detail("service_code", name);
    }
    error = match (code, name) {
        (_, "ContainerBeingDeleted") => error.with_hint(
            "the container is being deleted; it can be made again when that is done, usually within a minute",
        ),
        (Code::Unauthenticated, _) => {
            error.with_hint("check the account key, the SAS token's expiry or the clock of this machine")
        }
        (Code::PermissionDenied, _) => error.with_hint(
            "the credentials are valid but lack this permission (role, SAS permissions, network rules)",
        ),
        (Code::ContainerNotFound, _) => error.with_hint("create_container makes it"),
        _ => error,
    };
    let retry_after = backoff::retry_after(|name| headers.get(name), Timestamp::now());
    let kind = Kind::Answer(Refused { status, ..Refused::default() });
    Failure { error, service_code, retry_after, kind }
}

/// The text of the first such element: enough for error bodies, which have no attributes or nesting.
fn element(xml: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = xml.find(&open)? + open.len();
    let end = start + xml[start..].find(&close)?;
    let text = &xml[start..end];
    Some(
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

/// From the data plane, within this deadline.
pub(super) fn from_net(failure: net::Failure, deadline: Option<Instant>) -> Failure {
    let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let lost = Lost::of(&failure, late);
    let error = Error::from(failure);
    match lost {
        Some(Lost::Deadline) => Failure::lost(Lost::Deadline, error.with_retryable(false)),
        Some(lost) => Failure::lost(lost, error),
        None => error.into(),
    }
}

/// From the pipeline, whose request was sent or not: our transport's own error is inside; others are of
/// the token credentials.
pub(super) fn from_azure(error: &azure_core::Error, sent: bool) -> Failure {
    use azure_core::error::ErrorKind;
    let mut link: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = link {
        if let Some(lost) = cause.downcast_ref::<NoAnswer>() {
            return match error.kind() {
                ErrorKind::Credential => {
                    without_answer(lost.error.clone().with_cause("while asking for an access token"), false)
                }
                _ => without_answer(lost.error.clone(), sent && lost.sent),
            };
        }
        link = cause.source();
    }
    let (code, what) = match error.kind() {
        ErrorKind::Credential => (Code::Unauthenticated, "no access token could be had"),
        ErrorKind::DataConversion => (Code::Protocol, "the service's answer cannot be understood"),
        _ => (Code::Internal, "the request could not be made"),
    };
    Error::new(code, what).with_source(error).into()
}

fn without_answer(error: Error, sent: bool) -> Failure {
    let lost = match (error.code(), sent) {
        (Code::Dns, _) => Lost::Resolve,
        (Code::Timeout, false) => Lost::ConnectTimeout,
        (Code::Timeout, true) => Lost::ProgressTimeout,
        (Code::Connection, false) => Lost::Refused,
        (Code::Connection | Code::Tls, true) => Lost::Waiting,
        (Code::Tls, false) => Lost::Tls,
        (Code::Truncated, _) => Lost::Truncated,
        (Code::Protocol, _) => Lost::Malformed,
        _ => return error.into(),
    };
    Failure::lost(lost, error)
}

/// The operation's deadline passed when the request was sent, or before.
pub(super) fn over(sent: bool) -> Failure {
    let error = Error::new(Code::Timeout, "the operation's deadline passed")
        .with_retryable(false)
        .with_hint("raise net.operation_timeout_ms");
    Failure::lost(if sent { Lost::Deadline } else { Lost::ConnectTimeout }, error)
}

/// The error of a write of which nobody knows whether it took effect.
pub(super) fn unknown(error: Error) -> Error {
    error
        .with_code(Code::UnknownOutcome)
        .with_retryable(false)
        .with_cause("no usable answer came; whether the write took effect is unknown")
        .with_hint("read the object before writing again")
}

/// Of a call that does the same when it is made again: an unknown outcome is a reason to do so.
pub(super) fn repeatable(error: Error) -> Error {
    if error.code() == Code::UnknownOutcome { error.with_retryable(true) } else { error }
}

/// An exchange without an answer, as it travels through the SDK's pipeline.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct NoAnswer {
    pub(super) error: Error,
    /// Whether the service may have got the request.
    pub(super) sent: bool,
}

impl From<Error> for NoAnswer {
    fn from(error: Error) -> Self {
        NoAnswer { error, sent: false }
    }
}

/// From the HTTP client. The URL must be off it, since it may hold a signature.
pub(super) fn from_reqwest(error: reqwest::Error) -> NoAnswer {
    let mut io = None;
    let mut tls = None;
    let mut innermost = error.to_string();
    let mut link = error.source();
    while let Some(cause) = link {
        innermost = cause.to_string();
        tls = tls.or_else(|| cause.downcast_ref::<rustls::Error>());
        let this = cause.downcast_ref::<std::io::Error>();
        io = this.filter(|e| e.raw_os_error().is_some()).or(io);
        // An io::Error does not name what it wraps as its source.
        link = match this.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    let errno = io.and_then(std::io::Error::raw_os_error);
    let mut made = if error.is_dns() {
        Error::new(Code::Dns, format!("the host name cannot be resolved: {innermost}"))
            .with_hint("check the account name in the URI, or azure.endpoint")
    } else if let Some(tls) = tls {
        Error::new(Code::Tls, format!("TLS failed: {tls}"))
            .with_hint("set net.ca_bundle if the service's certificate is from a private authority")
    } else if error.is_timeout() && error.is_connect() {
        Error::new(Code::Timeout, "the connection could not be established in time")
    } else if error.is_timeout() {
        Error::new(Code::Timeout, "the request timed out")
    } else if error.is_connect() {
        Error::new(Code::Connection, format!("cannot connect: {innermost}"))
    } else if error.is_builder() {
        Error::new(Code::Internal, "the request could not be built")
    } else if innermost.contains("end of file before message length") {
        Error::new(Code::Truncated, "the connection ended before the whole body was there")
            .with_retryable(true)
    } else {
        Error::new(Code::Connection, format!("the connection was lost: {innermost}"))
    };
    if let Some(errno) = errno {
        made = made.with_errno(errno);
    }
    let sent = !(error.is_connect() || error.is_builder() || error.is_dns());
    NoAnswer { error: made.with_source(&error), sent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Failure {
        from_answer(status, &headers.iter().copied().collect(), body.as_bytes())
    }

    #[test]
    fn service_codes_decide_before_the_status() {
        let cases = [
            (404, "BlobNotFound", Code::NotFound),
            (404, "ContainerNotFound", Code::ContainerNotFound),
            (409, "BlobAlreadyExists", Code::AlreadyExists),
            (409, "ContainerBeingDeleted", Code::Unavailable),
            (412, "ConditionNotMet", Code::PreconditionFailed),
            (403, "AuthenticationFailed", Code::Unauthenticated),
            (403, "AuthorizationPermissionMismatch", Code::PermissionDenied),
            (401, "NoAuthenticationInformation", Code::Unauthenticated),
            (503, "ServerBusy", Code::Unavailable),
            (500, "OperationTimedOut", Code::Unavailable),
            (400, "InvalidBlockList", Code::Server),
        ];
        for (status, name, code) in cases {
            let failure = answer(status, &[("x-ms-error-code", name)], "");
            assert_eq!(failure.error.code(), code, "{status} {name}");
            assert!(failure.error.to_string().contains(name) && failure.is(name));
        }
    }

    #[test]
    fn the_body_gives_code_message_and_the_headers_the_rest() {
        let failure = answer(
            503,
            &[("x-ms-request-id", "id-7"), ("retry-after", "3")],
            "<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code><Message>Too &lt;busy&gt;\nRequestId:x</Message></Error>",
        );
        let text = failure.error.to_string();
        assert!(text.contains("ServerBusy: Too <busy>") && text.contains("id-7"), "{text}");
        assert!(!text.contains("RequestId:x"), "{text}");
        assert_eq!(failure.retry_after, Some(Duration::from_secs(3)));
        let leaves_open = |failure: Failure| {
            classify::find(classify::Service::Azure, &failure.cause().unwrap()).leaves_open()
        };
        assert!(failure.error.retryable() && !leaves_open(failure));
        assert!(leaves_open(answer(503, &[], "")), "of a gateway");
        assert!(leaves_open(answer(500, &[("x-ms-error-code", "OperationTimedOut")], "")));
    }
}
