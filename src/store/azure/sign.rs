//! The account key's signature (the "Shared Key" scheme of the blob service), and the policies that
//! put it, or a shared access signature, on a request.

use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use azure_core::time::{OffsetDateTime, to_rfc7231};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// An account with its decoded key.
pub(super) struct SharedKey {
    account: String,
    key: Zeroizing<Vec<u8>>,
}

impl SharedKey {
    pub(super) fn new(account: &str, key: &Secret) -> Result<SharedKey> {
        let bytes = STANDARD.decode(key.reveal().trim()).map_err(|_| {
            Error::new(Code::Unauthenticated, "the account key is malformed: it is not base64")
                .with_hint("copy the whole key of the storage account, == at its end included")
        })?;
        if bytes.is_empty() {
            return Err(Error::new(Code::Unauthenticated, "the account key is empty"));
        }
        Ok(SharedKey { account: account.to_owned(), key: Zeroizing::new(bytes) })
    }

    /// The value of the Authorization header.
    fn authorize(&self, request: &Request) -> String {
        let text = string_to_sign(&self.account, request);
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.key) {
            Ok(mac) => mac,
            Err(_) => return String::new(), // an HMAC key has no illegal length
        };
        mac.update(text.as_bytes());
        format!("SharedKey {}:{}", self.account, STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({}, ***)", self.account)
    }
}

/// What the service recomputes and compares: verb, standard headers, `x-ms-` headers in order, and
/// the resource with its decoded query in order.
fn string_to_sign(account: &str, request: &Request) -> String {
    let headers: BTreeMap<&str, &str> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let standard = |name: &str| headers.get(name).copied().unwrap_or("");
    let mut text = request.method().as_str().to_owned();
    for name in [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        let value = match standard(name) {
            "0" if name == "content-length" => "",
            value => value,
        };
        text.push('\n');
        text.push_str(value);
    }
    for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-ms-")) {
        text.push_str(&format!("\n{name}:{}", value.trim()));
    }
    text.push_str(&format!("\n/{account}{}", request.url().path()));
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in request.url().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.entry(decode(name).to_lowercase()).or_default().push(decode(value));
    }
    for (name, mut values) in query {
        values.sort();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Signs every try with the account key.
#[derive(Debug)]
pub(super) struct SharedKeyPolicy(pub(super) Arc<SharedKey>);

#[async_trait]
impl Policy for SharedKeyPolicy {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header("x-ms-date", to_rfc7231(&OffsetDateTime::now_utc()));
        let authorization = self.0.authorize(request);
        request.insert_header("authorization", authorization);
        forward(ctx, request, next).await
    }
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
    let query = match url.query() {
        Some(query) if !query.is_empty() => Zeroizing::new(format!("{query}&{}", sas.reveal())),
        _ => Zeroizing::new(sas.reveal().to_owned()),
    };
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

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Url::parse(url).unwrap(), method);
        for (name, value) in headers {
            request.insert_header(*name, *value);
        }
        request
    }

    /// The examples of the service's documentation ("Authorize with Shared Key").
    #[test]
    fn s3_string_to_sign_known_answers() {
        let list = request(
            Method::Get,
            "https://myaccount.blob.core.windows.net/mycontainer?comp=metadata&restype=container&timeout=20",
            &[("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("x-ms-version", "2015-02-21")],
        );
        assert_eq!(
            string_to_sign("myaccount", &list),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
        let put = request(
            Method::Put,
            "http://127.0.0.1:10000/devstoreaccount1/box/a%20b%2B?Comp=block&blockid=YQ%3D%3D&x=b&x=a",
            &[
                ("content-length", "11"),
                ("content-type", "text/plain; charset=UTF-8"),
                ("if-none-match", "*"),
                ("x-ms-version", "2021-12-02"),
                ("x-ms-blob-type", "BlockBlob"),
                ("x-ms-meta-a", "two  words "),
            ],
        );
        assert_eq!(
            string_to_sign("devstoreaccount1", &put),
            "PUT\n\n\n11\n\ntext/plain; charset=UTF-8\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n\
             x-ms-meta-a:two  words\nx-ms-version:2021-12-02\n\
             /devstoreaccount1/devstoreaccount1/box/a%20b%2B\nblockid:YQ==\ncomp:block\nx:a,b"
        );
        let empty = request(Method::Put, "https://a.b/c", &[("content-length", "0")]);
        assert!(string_to_sign("a", &empty).starts_with("PUT\n\n\n\n\n"), "an empty body's length is empty");
    }

    /// Computed with Python's hmac and hashlib.
    #[test]
    fn s3_signature_known_answer() {
        let key = SharedKey::new("myaccount", &Secret::new("a2V5LW9mLXRoZS10ZXN0")).unwrap();
        let get = request(Method::Get, "https://myaccount.blob.core.windows.net/c", &[("x-ms-date", "D")]);
        assert_eq!(key.authorize(&get), "SharedKey myaccount:ruc8AUj/59/YYk9BlCuM0tc7NM62jp3zEon7nQTFVvg=");
        assert!(!format!("{key:?}").contains("key-of"));
    }

    #[test]
    fn s3_sas_joins_the_query() {
        let mut url = Url::parse("https://a.b/c?comp=list").unwrap();
        append_sas(&mut url, &Secret::new("sv=1&sig=x%2By"));
        assert_eq!(url.as_str(), "https://a.b/c?comp=list&sv=1&sig=x%2By");
    }
}
