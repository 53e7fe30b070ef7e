//! Requests: built literally, sent through the SDK's pipeline, tried again where that may help.

use super::account::{Account, Credential};
use super::failure::{self, Failure};
use super::retry::Retry;
use super::sign::{SasPolicy, SharedKeyPolicy};
use super::token;
use super::transport::{self, HttpTransport};
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use azure_core::Uuid;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    AsyncRawResponse, AsyncResponseBody, ClientOptions, Context, Method, Pipeline, PipelineStreamOptions,
    Request, RetryOptions, Transport, Url,
};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The protocol version: blocks of 4000 MiB, encoded names in listings.
const VERSION: &str = "2021-12-02";
/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for paths.
const ESCAPED_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// The pipeline of one process with its connections.
pub(super) struct Client {
    pipeline: Pipeline,
    endpoint: Url,
}

/// A request that can be sent any number of times.
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: Headers,
    body: Bytes,
    /// Whether the service may have got it in the last try.
    sent: Arc<AtomicBool>,
}

/// An answer of success.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Headers,
    pub(super) body: AsyncResponseBody,
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(account: &Account, options: &Resolved) -> Result<Client> {
        let client_options = ClientOptions {
            retry: RetryOptions::none(), // ours counts tries and resolves unknown outcomes
            transport: Some(Transport::new(Arc::new(HttpTransport::new(options)?))),
            ..ClientOptions::default()
        };
        let authorize: Option<Arc<dyn Policy>> = match &account.credential {
            Credential::Anonymous => None,
            Credential::Key(key) => Some(Arc::new(SharedKeyPolicy(key.clone()))),
            Credential::Sas(sas) => Some(Arc::new(SasPolicy(sas.clone()))),
            Credential::Token => Some(Arc::new(BearerTokenAuthorizationPolicy::new(
                token::from_environment(&client_options)?,
                ["https://storage.azure.com/.default"],
            ))),
        };
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            client_options,
            Vec::new(),
            authorize.into_iter().collect(),
            None,
        );
        Ok(Client { pipeline, endpoint: account.endpoint.clone() })
    }

    /// A request on a container, a blob (`container/key`) or the account (empty path).
    pub(super) fn call(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<Call> {
        let url = resource_url(&self.endpoint, path, query)?;
        let mut headers = Headers::new();
        headers.insert("x-ms-version", VERSION);
        Ok(Call { method, url, headers, body: Bytes::new(), sent: Arc::default() })
    }

    /// Sends once. An answer that is no success is a failure.
    pub(super) async fn send_once(&self, call: &Call) -> Result<Answer, Failure> {
        let mut request = Request::new(call.url.clone(), call.method);
        *request.headers_mut() = call.headers.clone();
        // Set here, as the pipeline would first look for it; see `header`.
        request.insert_header("x-ms-client-request-id", Uuid::new_v4().to_string());
        if !matches!(call.method, Method::Get | Method::Head | Method::Delete) {
            request.insert_header("content-length", call.body.len().to_string());
        }
        request.set_body(call.body.clone());
        let options = PipelineStreamOptions { skip_checks: true, ..PipelineStreamOptions::default() };
        call.sent.store(false, Ordering::Release);
        let context = Context::new();
        let exchange = self.pipeline.stream(&context, &mut request, Some(options));
        let answer = transport::SENT.scope(call.sent.clone(), exchange).await;
        drop(request);
        let answer: AsyncRawResponse = answer.map_err(|e| failure::from_azure(&e))?;
        let (status, headers, body) = answer.deconstruct();
        let status = u16::from(status);
        if (200..300).contains(&status) {
            return Ok(Answer { status, headers, body });
        }
        // Without a body the status still says enough.
        let body = body.collect().await.unwrap_or_default();
        Err(failure::from_answer(status, &headers, &body))
    }

    /// Sends until there is a whole answer, or trying again makes no sense. The body is kept in memory.
    pub(super) async fn fetch(&self, call: &Call, retry: &mut Retry) -> Result<(Headers, Bytes), Failure> {
        let once = async || {
            let answer = self.send_once(call).await?;
            let body = answer.body.collect().await.map_err(|e| failure::from_azure(&e))?;
            Ok((answer.headers, body))
        };
        loop {
            match retry.attempt(once()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => retry.again(failure).await?,
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.endpoint)
    }
}

impl Call {
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.insert(name, value.into());
        self
    }

    pub(super) fn metadata(mut self, name: &str, value: &str) -> Call {
        self.headers.insert(HeaderName::from(format!("x-ms-meta-{name}")), value.to_owned());
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Call {
        self.body = body;
        self
    }

    /// Whether a try that failed like this may have taken effect.
    pub(super) fn may_be_done(&self, failure: &Failure) -> bool {
        failure.ambiguous && self.sent.load(Ordering::Acquire)
    }

    /// The whole URL, without a signature.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }
}

impl Answer {
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }
}

/// One header's text.
///
/// The SDK's own lookup makes an error of a header that is not there, with a backtrace where the
/// environment asks for those: slow, and under a lock that a forked child may inherit locked.
pub(super) fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    let name = HeaderName::from_static(name);
    headers.iter().find(|(known, _)| **known == name).map(|(_, value)| value.as_str())
}

/// Every character of `path` and of the query's values arrives at the service as it is.
/// (Path segments `.` and `..` would not: they are no legal names.)
fn resource_url(endpoint: &Url, path: &str, query: &[(&str, &str)]) -> Result<Url> {
    let mut text = endpoint.as_str().trim_end_matches('/').to_owned();
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
    let url = Url::parse(&text)
        .map_err(|e| Error::new(Code::InvalidUri, "the request's URL is malformed").with_source(&e))?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_keys_are_escaped_literally() {
        let endpoint = Url::parse("http://h:1/acct").unwrap();
        let cases = [
            ("box/a b%+#?&=~.txt", "/acct/box/a%20b%25%2B%23%3F%26%3D~.txt"),
            ("box//a//b/", "/acct/box//a//b/"),
            ("box/\u{44f}\u{1f600}", "/acct/box/%D1%8F%F0%9F%98%80"),
            ("box/b'()*", "/acct/box/b%27%28%29%2A"),
            ("box", "/acct/box"),
            ("", "/acct/"),
        ];
        for (path, wanted) in cases {
            assert_eq!(resource_url(&endpoint, path, &[]).unwrap().path(), wanted, "{path:?}");
        }
        let url = resource_url(&endpoint, "box", &[("comp", "list"), ("prefix", "a+b c/&")]).unwrap();
        assert_eq!(url.query(), Some("comp=list&prefix=a%2Bb%20c%2F%26"));
    }
}
