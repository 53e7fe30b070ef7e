//! What went wrong with one request: from the service's answer, or from the way to it.

use super::client::header;
use crate::error::{Code, Error};
use azure_core::http::headers::Headers;
use std::error::Error as StdError;
use std::time::Duration;

/// A failed try, with what a retry needs to know.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The service's own code, such as `BlobNotFound`.
    pub(super) service_code: Option<String>,
    /// How long the service asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// The request may have taken effect: there is no answer that says it did not.
    pub(super) ambiguous: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, service_code: None, retry_after: None, ambiguous: false }
    }
}

impl Failure {
    pub(super) fn is(&self, service_code: &str) -> bool {
        self.service_code.as_deref() == Some(service_code)
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.error.http_status()
    }

    /// Changes the error and keeps the rest.
    pub(super) fn map(mut self, f: impl FnOnce(Error) -> Error) -> Failure {
        self.error = f(self.error);
        self
    }
}

/// From an answer that is no success. `body` may be empty (HEAD).
pub(super) fn from_answer(status: u16, headers: &Headers, body: &[u8]) -> Failure {
    let header = |name: &'static str| header(headers, name).map(str::to_owned);
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
    Failure {
        error,
        retry_after: retry_after(headers),
        // Servers fail half-way, and gateways lose their server's answer; a 503 is a refusal only where
        // the service itself says so.
        ambiguous: match status {
            408 => true,
            501 | 505 => false,
            503 => service_code.is_none(),
            status => status >= 500,
        },
        service_code,
    }
}

fn retry_after(headers: &Headers) -> Option<Duration> {
    let header = |name: &'static str| header(headers, name).map(str::to_owned);
    let number = |name| header(name).and_then(|text| text.trim().parse::<u64>().ok());
    let millis = number("x-ms-retry-after-ms").or_else(|| number("retry-after-ms"));
    millis.map(Duration::from_millis).or_else(|| number("retry-after").map(Duration::from_secs))
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

/// From the pipeline: our transport's own error is inside; others are of the token credentials.
pub(super) fn from_azure(error: &azure_core::Error) -> Failure {
    use azure_core::error::ErrorKind;
    let mut link: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = link {
        if let Some(lost) = cause.downcast_ref::<Lost>() {
            let credential = matches!(error.kind(), ErrorKind::Credential);
            let error = match credential {
                true => lost.error.clone().with_cause("while asking for an access token"),
                false => lost.error.clone(),
            };
            return Failure { ambiguous: lost.sent && !credential, ..Failure::from(error) };
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
pub(super) struct Lost {
    pub(super) error: Error,
    /// Whether the service may have got the request.
    pub(super) sent: bool,
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Lost { error, sent: false }
    }
}

/// From the HTTP client. The URL must be off it, since it may hold a signature.
pub(super) fn from_reqwest(error: reqwest::Error) -> Lost {
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
    Lost { error: made.with_source(&error), sent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Failure {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        from_answer(status, &all, body.as_bytes())
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
        assert!(failure.error.retryable() && !failure.ambiguous);
        assert!(answer(503, &[], "").ambiguous, "of a gateway");
        assert!(answer(500, &[("x-ms-error-code", "OperationTimedOut")], "").ambiguous);
    }
}
