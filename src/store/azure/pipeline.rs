//! Requests through the SDK's pipeline: `net.optimized=false`, to compare with.

use super::account::{Account, Credential};
use super::client::{Answer, Body, Call};
use super::failure::{self, Failure};
use super::headers::Headers;
use super::sign::{SasPolicy, SharedKeyPolicy};
use super::token;
use super::transport::{self, HttpTransport};
use crate::error::{Code, Error, Result};
use crate::net;
use crate::net::retry::classify::Lost;
use crate::options::Resolved;
use azure_core::Uuid;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    AsyncResponseBody, ClientOptions, Context, Method, PipelineStreamOptions, Request, RetryOptions,
    Transport, Url,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) struct Pipeline {
    pipeline: azure_core::http::Pipeline,
    endpoint: Url,
}

/// How the SDK's clients reach a service: over connections that obey our options.
pub(super) fn client_options(options: &Resolved) -> Result<ClientOptions> {
    Ok(ClientOptions {
        retry: RetryOptions::none(), // ours counts tries and resolves unknown outcomes
        transport: Some(Transport::new(Arc::new(HttpTransport::new(options)?))),
        ..ClientOptions::default()
    })
}

impl Pipeline {
    /// Connects to nothing yet.
    pub(super) fn new(account: &Account, options: &Resolved) -> Result<Pipeline> {
        let client_options = client_options(options)?;
        let authorize: Option<Arc<dyn Policy>> = match &account.credential {
            Credential::Anonymous => None,
            Credential::Key(key) => Some(Arc::new(SharedKeyPolicy(key.clone()))),
            Credential::Sas(sas) => Some(Arc::new(SasPolicy(sas.clone()))),
            Credential::Token => Some(Arc::new(BearerTokenAuthorizationPolicy::new(
                token::from_environment(&client_options)?,
                [token::SCOPE],
            ))),
        };
        let pipeline = azure_core::http::Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            client_options,
            Vec::new(),
            authorize.into_iter().collect(),
            None,
        );
        Ok(Pipeline { pipeline, endpoint: account.endpoint.clone() })
    }

    pub(super) async fn send(&self, call: &Call, deadline: Option<Instant>) -> Result<Answer, Failure> {
        let url = self
            .endpoint
            .join(&call.target)
            .map_err(|e| Error::new(Code::InvalidUri, "the request's URL is malformed").with_source(&e))?;
        let mut request = Request::new(url, method(call.method));
        for (name, value) in call.headers.iter() {
            request.insert_header(HeaderName::from(name.to_owned()), value.to_owned());
        }
        // Set here, as the pipeline would first look for it, and make an error of it that is not there.
        request.insert_header("x-ms-client-request-id", Uuid::new_v4().to_string());
        if call.has_length() {
            request.insert_header("content-length", call.body.len().to_string());
        }
        request.set_body(call.body.clone());
        let options = PipelineStreamOptions { skip_checks: true, ..PipelineStreamOptions::default() };
        let sent: Arc<AtomicBool> = Arc::default();
        let context = Context::new();
        let exchange = self.pipeline.stream(&context, &mut request, Some(options));
        let exchange = transport::SENT.scope(sent.clone(), exchange);
        let answer = in_time(deadline, exchange).await;
        let sent = sent.load(Ordering::Acquire);
        let answer = answer.ok_or_else(|| failure::over(sent))?;
        let answer = answer.map_err(|error| failure::from_azure(&error, sent))?;
        let (status, headers, body) = answer.deconstruct();
        let headers: Headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Answer::new(status.into(), headers, Body::Sdk(Receiving { body, deadline })).await
    }
}

fn method(method: net::Method) -> Method {
    match method {
        net::Method::Get => Method::Get,
        net::Method::Head => Method::Head,
        net::Method::Put => Method::Put,
        net::Method::Post => Method::Post,
        net::Method::Delete => Method::Delete,
    }
}

/// A body that comes in chunks.
pub(super) struct Receiving {
    body: AsyncResponseBody,
    deadline: Option<Instant>,
}

impl Receiving {
    /// Copies the whole body to the start of `dst`; `came` grows with it.
    pub(super) async fn receive(&mut self, dst: &mut [u8], came: &mut usize) -> Result<(), Failure> {
        while let Some(chunk) = self.next().await? {
            let Some(place) = dst[*came..].get_mut(..chunk.len()) else {
                return Err(too_long("more bytes came than were promised"));
            };
            place.copy_from_slice(&chunk);
            *came += chunk.len();
        }
        Ok(())
    }

    pub(super) async fn collect(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            if all.len() + chunk.len() > limit {
                return Err(too_long("the answer is larger than any that is expected"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let chunk = in_time(self.deadline, self.body.next()).await.ok_or_else(|| failure::over(true))?;
        chunk.transpose().map_err(|error| failure::from_azure(&error, true))
    }
}

fn too_long(why: &str) -> Failure {
    Failure::lost(Lost::Malformed, Error::new(Code::Protocol, why))
}

/// `None`: the deadline passed.
async fn in_time<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.ok(),
    }
}
