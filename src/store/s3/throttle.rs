//! What the SDK's rules of retries leave out: statuses that ask to come again, and when.

use crate::base::date::Timestamp;
use crate::net::retry::backoff::retry_after;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_types::retry::ErrorKind;

/// Tries again after 408, 425 and 429, and honours Retry-After.
#[derive(Debug)]
pub(super) struct Throttled;

impl ClassifyRetry for Throttled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else { return RetryAction::NoActionIndicated };
        let kind = match response.status().as_u16() {
            429 => ErrorKind::ThrottlingError,
            408 | 425 | 503 => ErrorKind::TransientError,
            _ => return RetryAction::NoActionIndicated,
        };
        match retry_after(|name| response.headers().get(name), Timestamp::now()) {
            Some(wait) => RetryAction::retryable_error_with_explicit_delay(kind, wait),
            None => RetryAction::retryable_error(kind),
        }
    }

    fn name(&self) -> &'static str {
        "throttled"
    }
}
