//! The policies that put the account key's signature, or a shared access signature, on a request of
//! the SDK's pipeline. How they are made is in [`crate::net::auth`].

pub(super) use crate::net::auth::shared_key::SharedKey;

use crate::base::date::Timestamp;
use crate::base::secret::Secret;
use crate::net::auth::{sas, shared_key};
use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use std::sync::Arc;

/// Signs every try with the account key.
#[derive(Debug)]
pub(super) struct SharedKeyPolicy(pub(super) Arc<SharedKey>);

#[async_trait]
impl Policy for SharedKeyPolicy {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header("x-ms-date", Timestamp::now().http().to_string());
        let authorization = authorization(&self.0, request);
        request.insert_header("authorization", authorization);
        forward(ctx, request, next).await
    }
}

fn authorization(key: &SharedKey, request: &Request) -> String {
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    key.authorization(&shared_key::Request {
        method: request.method().as_str(),
        path: request.url().path(),
        query: request.url().query().unwrap_or_default(),
        headers: &headers,
    })
}

/// Appends a shared access signature to every request's query.
#[derive(Debug)]
pub(super) struct SasPolicy(pub(super) Secret);

#[async_trait]
impl Policy for SasPolicy {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let plain = request.url().clone();
        append_sas(request.url_mut(), &self.0);
        let result = forward(ctx, request, next).await;
        *request.url_mut() = plain;
        result
    }
}

/// Puts the signature into a URL's query.
pub(super) fn append_sas(url: &mut Url, sas: &Secret) {
    let query = sas::join(url.query().unwrap_or_default(), sas);
    url.set_query(Some(&query));
}

async fn forward(ctx: &Context<'_>, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
    match next.split_first() {
        Some((policy, rest)) => policy.send(ctx, request, rest).await,
        None => Err(azure_core::Error::with_message(
            azure_core::error::ErrorKind::Other,
            "the request pipeline has no transport",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::Method;

    /// The signature of the same request by [`shared_key`]'s known answers.
    #[test]
    fn s3_the_pipelines_request_is_what_is_signed() {
        let key = SharedKey::new("devstoreaccount1", &Secret::new("a2V5LW9mLXRoZS10ZXN0")).unwrap();
        let url = "http://127.0.0.1:10000/devstoreaccount1/box/a%20b%2B?Comp=block&blockid=YQ%3D%3D";
        let mut request = Request::new(Url::parse(url).unwrap(), Method::Put);
        request.insert_header("content-length", "11");
        request.insert_header("x-ms-blob-type", "BlockBlob");
        let expected = key.authorization(&shared_key::Request {
            method: "PUT",
            path: "/devstoreaccount1/box/a%20b%2B",
            query: "comp=block&blockid=YQ%3D%3D",
            headers: &[("x-ms-blob-type", "BlockBlob"), ("content-length", "11")],
        });
        assert_eq!(authorization(&key, &request), expected);
        request.insert_header("content-length", "12");
        assert_ne!(authorization(&key, &request), expected);
    }

    #[test]
    fn s3_sas_joins_the_query() {
        let mut url = Url::parse("https://a.b/c?comp=list").unwrap();
        append_sas(&mut url, &Secret::new("sv=1&sig=x%2By"));
        assert_eq!(url.as_str(), "https://a.b/c?comp=list&sv=1&sig=x%2By");
    }
}
