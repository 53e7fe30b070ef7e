//! From the SDK's errors to ours: what kind, why, what to do.

use super::client::Settings;
use super::watch::{Endless, Stalled};
use super::whole::CutShort;
use crate::error::{Code, Error};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error as StdError;
use std::io;

/// An SDK call's failure.
pub(super) type Failure<E> = SdkError<E, HttpResponse>;

/// What the SDK reported, in our terms; operation and URI are added by the caller.
pub(super) fn from_sdk<E>(settings: &Settings, failure: Failure<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let answer = |error: Error, response: &HttpResponse| {
        let headers = response.headers();
        let id = headers.get("x-amz-request-id").or_else(|| headers.get("x-amzn-requestid"));
        with_answer(error, response.status().as_u16(), headers.get("x-amz-bucket-region"), id)
    };
    match &failure {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let error = from_service(settings, status, service.err().code(), service.err().message());
            answer(error, service.raw())
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let error = match transport_code(&failure) {
                Some(code) => Error::new(code, "the server's answer could not be received"),
                None if status >= 500 || status == 429 => Error::new(Code::Unavailable, "the server failed"),
                None => Error::new(Code::Protocol, "the server's answer is not what S3 sends"),
            };
            answer(add_sources(error, &failure), response.raw())
        }
        SdkError::ConstructionFailure(_) => {
            add_sources(Error::new(Code::InvalidArgument, "the request cannot be built"), &failure)
        }
        _ => from_transport(settings, &failure),
    }
}

/// What every answer tells of a failure: its status, the region that it names, its id.
pub(super) fn with_answer(error: Error, status: u16, region: Option<&str>, id: Option<&str>) -> Error {
    let error = error.with_http_status(status);
    let error = match (status, region) {
        (301 | 307 | 400, Some(region)) => {
            error.with_hint(format!("the bucket is in region {region}; set s3.region"))
        }
        (300..=399, _) => error
            .with_cause("redirects are not followed, as a stranger would see the signature")
            .with_hint("check s3.region and s3.endpoint"),
        _ => error,
    };
    match id {
        Some(id) => error.with_request_id(id),
        None => error,
    }
}

/// A failure of the connection, of the credentials or of a deadline.
pub(super) fn from_transport(settings: &Settings, failure: &(dyn StdError + 'static)) -> Error {
    let target = settings.endpoint.as_deref().unwrap_or("the AWS endpoint of the region");
    let error = match chain(failure).find_map(|link| link.downcast_ref::<CredentialsError>()) {
        Some(error) => from_credentials(error),
        None => match transport_code(failure) {
            Some(Code::Dns) => Error::new(Code::Dns, format!("the host of {target} cannot be resolved"))
                .with_hint("check s3.endpoint and s3.region; a custom endpoint may need s3.addressing=path"),
            Some(Code::Tls) => Error::new(Code::Tls, format!("no TLS connection to {target}"))
                .with_hint("name the service's certificate authority with net.ca_bundle"),
            Some(Code::Timeout) => Error::new(Code::Timeout, format!("{target} does not answer in time"))
                .with_hint("see net.connect_timeout_ms and net.progress_timeout_ms"),
            Some(Code::Protocol) => {
                Error::new(Code::Protocol, format!("the answer of {target} cannot be understood"))
            }
            Some(code) => Error::new(code, format!("no connection to {target}"))
                .with_hint("is the service running there? check s3.endpoint"),
            None => Error::new(Code::Connection, format!("the request to {target} failed")),
        },
    };
    let errno =
        chain(failure).find_map(|link| link.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error));
    let error = add_sources(error, failure);
    match errno {
        Some(errno) => error.with_errno(errno),
        None => error,
    }
}

fn from_credentials(error: &CredentialsError) -> Error {
    const HINT: &str = "set s3.access_key_id and s3.secret_access_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                        s3.profile, or s3.anonymous for public buckets";
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            Error::new(Code::Unauthenticated, "no credentials were found")
        }
        CredentialsError::ProviderTimedOut(_) => {
            Error::new(Code::Unauthenticated, "the provider of credentials does not answer in time")
        }
        _ => Error::new(Code::Unauthenticated, "the credentials cannot be loaded"),
    }
    .with_hint(HINT)
}

/// What kind of transport failure it was, if it was one.
pub(super) fn transport_code(failure: &(dyn StdError + 'static)) -> Option<Code> {
    let mut code = None;
    for link in chain(failure) {
        if link.is::<rustls::Error>() {
            return Some(Code::Tls);
        }
        if link.is::<Stalled>() {
            return Some(Code::Timeout);
        }
        if link.is::<Endless>() || link.is::<CutShort>() || is_no_http(&link.to_string()) {
            return Some(Code::Protocol);
        }
        if let Some(connector) = link.downcast_ref::<ConnectorError>()
            && connector.is_timeout()
        {
            return Some(Code::Timeout);
        }
        if link.to_string().starts_with("dns error") {
            return Some(Code::Dns);
        }
        if let Some(io) = link.downcast_ref::<io::Error>() {
            use io::ErrorKind as K;
            code = match io.kind() {
                K::TimedOut => Some(Code::Timeout),
                K::UnexpectedEof => code.or(Some(Code::Connection)),
                K::ConnectionRefused | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => {
                    Some(Code::Connection)
                }
                K::NetworkUnreachable | K::HostUnreachable | K::NotConnected | K::AddrNotAvailable => {
                    Some(Code::Connection)
                }
                _ => code,
            };
        }
    }
    if code.is_none() && chain(failure).any(|link| link.is::<ConnectorError>()) {
        code = Some(Code::Connection);
    }
    code
}

/// hyper's words for heads that it cannot read.
fn is_no_http(text: &str) -> bool {
    text.starts_with("invalid HTTP") || text == "message head is too large"
}

/// The links of a failure. `io::Error` leaves its payload out of `source()`, so that is added.
fn chain<'a>(failure: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(failure), |&link| match link.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|payload| payload as &(dyn StdError + 'static)),
        None => link.source(),
    })
}

/// Adds the causes, without the SDK's own words for "failed" that say nothing.
fn add_sources(error: Error, failure: &(dyn StdError + 'static)) -> Error {
    const EMPTY_WORDS: &[&str] = &[
        "dispatch failure",
        "service error",
        "response error",
        "io error",
        "other",
        "timeout",
        "client error (Connect)",
        "user error",
    ];
    chain(failure)
        .map(ToString::to_string)
        .filter(|text| !EMPTY_WORDS.contains(&text.as_str()))
        .fold(error, Error::with_cause)
}

/// An error that the service named. Codes that AWS and its imitators use; else the status decides.
pub(super) fn from_service(
    settings: &Settings,
    status: u16,
    name: Option<&str>,
    message: Option<&str>,
) -> Error {
    let code = match name.unwrap_or_default() {
        "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => Code::NotFound,
        "NoSuchBucket" => Code::ContainerNotFound,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "MissingSecurityHeader"
        | "MissingAuthenticationToken"
        | "AuthorizationHeaderMalformed"
        | "CredentialsNotSupported"
        | "InvalidSecurity" => Code::Unauthenticated,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => Code::PermissionDenied,
        "PreconditionFailed" => Code::PreconditionFailed,
        "InvalidRange" => Code::Range,
        "BucketNotEmpty" => Code::NotEmpty,
        "BucketAlreadyOwnedByYou" | "BucketAlreadyExists" => Code::AlreadyExists,
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" => {
            Code::ChecksumMismatch
        }
        "KeyTooLongError" => Code::InvalidKey,
        "EntityTooLarge" | "EntityTooSmall" | "InvalidArgument" | "InvalidRequest" | "MetadataTooLarge"
        | "InvalidBucketName" | "InvalidPart" | "InvalidPartOrder" => Code::InvalidArgument,
        "NotImplemented" | "MethodNotAllowed" => Code::Unsupported,
        "SlowDown"
        | "ServiceUnavailable"
        | "InternalError"
        | "RequestTimeout"
        | "Throttling"
        | "Busy"
        | "ThrottlingException"
        | "TooManyRequests"
        | "BandwidthLimitExceeded"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Code::Unavailable,
        _ => match status {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            408 => Code::Timeout,
            412 => Code::PreconditionFailed,
            416 => Code::Range,
            429 | 500 | 502 | 503 | 504 => Code::Unavailable,
            501 => Code::Unsupported,
            200..=299 => Code::Protocol, // success that says nothing of what succeeded
            _ => Code::Server,
        },
    };
    // What an unsigned request may not do, a signed one might.
    let unsigned = code == Code::PermissionDenied && settings.anonymous;
    let code = if unsigned { Code::Unauthenticated } else { code };
    let text = match (name, message) {
        (Some(name), Some(message)) if !message.is_empty() => format!("the service says {name}: {message}"),
        (Some(name), _) => format!("the service says {name}"),
        (None, Some(message)) if !message.is_empty() => format!("the service says: {message}"),
        (None, _) => format!("the service answers with HTTP status {status}"),
    };
    let error = Error::new(code, text);
    match (name.unwrap_or_default(), code) {
        _ if unsigned => error.with_hint("the request was not signed (s3.anonymous); give credentials"),
        ("RequestTimeTooSkewed", _) => error.with_hint("set this machine's clock"),
        ("AuthorizationHeaderMalformed", _) => error.with_hint("check s3.region"),
        (_, Code::Unauthenticated) => error.with_hint(
            "check the access key and its secret: options, then environment, then profile are asked",
        ),
        (_, Code::PermissionDenied) => error.with_hint("the credentials are known but lack this permission"),
        (_, Code::ContainerNotFound) => {
            error.with_hint("create_container makes the bucket; check its name, s3.endpoint and s3.region")
        }
        _ => error,
    }
}
