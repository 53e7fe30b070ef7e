//! A span for every request that is sent, for whoever subscribed to `s3dlio::attempt` (docs/tracing.md), with
//! OpenTelemetry's names. A query is not shown: it may be a signature.

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::request::Request;
use crate::base::redact::redact;
use tracing::Span;
use tracing::field::Empty;

/// Opens at once and closes when the last of its clones is dropped: the answer keeps one as long as its body comes.
pub(super) fn begin(endpoint: &Endpoint, request: &Request<'_>) -> Span {
    tracing::debug_span!(
        target: "s3dlio::attempt",
        "attempt",
        otel.name = request.method().name(),
        otel.kind = "client",
        http.request.method = request.method().name(),
        http.request.body.size = request.body().len(),
        url.scheme = endpoint.scheme().name(),
        url.path = &*redact(request.path()),
        server.address = endpoint.host(),
        server.port = endpoint.port(),
        http.response.status_code = Empty,
        http.response.body.size = Empty,
        aws.request_id = Empty,
        az.service_request_id = Empty,
        "error.type" = Empty,
    )
}

/// Notes what came back.
pub(super) fn end(span: &Span, outcome: &Result<Answer, Failure>) {
    if span.is_disabled() {
        return;
    }
    let answer = match outcome {
        Ok(answer) => answer,
        Err(failure) => {
            span.record("error.type", failure.code().name());
            return;
        }
    };
    let status = answer.status();
    span.record("http.response.status_code", status);
    if let Some(left) = answer.left() {
        span.record("http.response.body.size", left);
    }
    if let Some(id) = answer.header("x-amz-request-id") {
        span.record("aws.request_id", id);
    }
    if let Some(id) = answer.header("x-ms-request-id") {
        span.record("az.service_request_id", id);
    }
    if status >= 400 {
        span.record("error.type", status);
    }
}
