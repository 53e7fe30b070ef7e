//! Azure's "Shared Key": the account key's signature over verb, headers and resource.

use super::hmac::hmac_sha256;
use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::cmp::Ordering;
use std::fmt;
use zeroize::Zeroizing;

/// An account with its decoded key.
pub struct SharedKey {
    account: String,
    key: Zeroizing<Vec<u8>>,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Escaped, as in the request line: with the account in it where the endpoint has it there.
    pub path: &'a str,
    /// Escaped, as in the request line, without `?`.
    pub query: &'a str,
    /// All headers, names in any case and any order; `x-ms-date` must be among them.
    pub headers: &'a [(&'a str, &'a str)],
}

/// The headers of the string to sign, in their order.
const STANDARD_HEADERS: [&str; 11] = [
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
];

impl SharedKey {
    /// The key in base64, as the portal shows it.
    pub fn new(account: &str, key: &Secret) -> Result<SharedKey> {
        let bytes = STANDARD.decode(key.reveal().trim()).map_err(|_| {
            Error::new(Code::Unauthenticated, "the account key is malformed: it is not base64")
                .with_hint("copy the whole key of the storage account, == at its end included")
        })?;
        if bytes.is_empty() {
            return Err(Error::new(Code::Unauthenticated, "the account key is empty"));
        }
        Ok(SharedKey { account: account.to_owned(), key: Zeroizing::new(bytes) })
    }

    /// Appends the line `authorization: SharedKey ACCOUNT:SIGNATURE`.
    pub fn sign(&self, request: &Request<'_>, head: &mut Vec<u8>) {
        for part in ["authorization: ", &self.authorization(request), "\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self, request: &Request<'_>) -> String {
        let mac = hmac_sha256(&self.key, &[string_to_sign(&self.account, request).as_bytes()]);
        let mut value = String::with_capacity(self.account.len() + 56);
        for part in ["SharedKey ", &self.account, ":"] {
            value.push_str(part);
        }
        STANDARD.encode_string(mac, &mut value);
        value
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({}, ***)", self.account)
    }
}

/// What the service recomputes and compares: verb, standard headers, `x-ms-` headers in order, and
/// the resource with its decoded query in order.
fn string_to_sign(account: &str, request: &Request<'_>) -> String {
    let mut standard = [""; STANDARD_HEADERS.len()];
    let mut own: Vec<(String, &str)> = Vec::with_capacity(request.headers.len());
    for (name, value) in request.headers {
        let value = value.trim();
        if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("x-ms-")) {
            own.push((name.to_ascii_lowercase(), value));
        } else if let Some(at) = STANDARD_HEADERS.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            let no_body = value == "0" && STANDARD_HEADERS[at] == "content-length";
            standard[at] = if no_body { "" } else { value };
        }
    }
    own.sort_by(|(a, _), (b, _)| service_order(a, b));
    let mut text = String::with_capacity(512);
    text.push_str(request.method);
    for value in standard {
        text.push('\n');
        text.push_str(value);
    }
    for (name, value) in &own {
        for part in ["\n", name, ":", value] {
            text.push_str(part);
        }
    }
    for part in ["\n/", account, request.path] {
        text.push_str(part);
    }
    let mut query: Vec<(String, String)> = Vec::new();
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.push((decode(name).to_lowercase(), decode(value)));
    }
    query.sort();
    let mut before = None;
    for (name, value) in &query {
        if before == Some(name) {
            text.push(',');
        } else {
            for part in ["\n", name, ":"] {
                text.push_str(part);
            }
        }
        text.push_str(value);
        before = Some(name);
    }
    text
}

/// The service sorts header names as text, not as bytes: `-` counts only between names that are equal
/// without it, and `_`, which names of metadata may hold, stands before digits and letters.
fn service_order(a: &str, b: &str) -> Ordering {
    let weights = |byte: u8| if byte == b'_' { b' ' } else { byte };
    let plain = |byte: &u8| *byte != b'-';
    let (first, second) = (a.bytes().filter(plain).map(weights), b.bytes().filter(plain).map(weights));
    first.cmp(second).then_with(|| a.cmp(b))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the service's documentation ("Authorize with Shared Key").
    #[test]
    fn s3_string_to_sign_known_answers() {
        let list = Request {
            method: "GET",
            path: "/mycontainer",
            query: "comp=metadata&restype=container&timeout=20",
            headers: &[("x-ms-version", "2015-02-21"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")],
        };
        assert_eq!(
            string_to_sign("myaccount", &list),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
        let put = Request {
            method: "PUT",
            path: "/devstoreaccount1/box/a%20b%2B",
            query: "Comp=block&blockid=YQ%3D%3D&x=b&x=a",
            headers: &[
                ("Content-Length", "11"),
                ("content-type", "text/plain; charset=UTF-8"),
                ("if-none-match", "*"),
                ("X-Ms-Version", "2021-12-02"),
                ("x-ms-blob-type", "BlockBlob"),
                ("user-agent", "x"),
                ("x-ms-meta-a", "two  words "),
            ],
        };
        assert_eq!(
            string_to_sign("devstoreaccount1", &put),
            "PUT\n\n\n11\n\ntext/plain; charset=UTF-8\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n\
             x-ms-meta-a:two  words\nx-ms-version:2021-12-02\n\
             /devstoreaccount1/devstoreaccount1/box/a%20b%2B\nblockid:YQ==\ncomp:block\nx:a,b"
        );
        let empty = Request { method: "PUT", path: "/c", query: "", headers: &[("content-length", "0")] };
        assert!(string_to_sign("a", &empty).starts_with("PUT\n\n\n\n\n"), "an empty body's length is empty");
    }

    /// Computed with Python's hmac and hashlib.
    #[test]
    fn s3_signature_known_answer() {
        let key = SharedKey::new("myaccount", &Secret::new("a2V5LW9mLXRoZS10ZXN0")).unwrap();
        let get = Request { method: "GET", path: "/c", query: "", headers: &[("x-ms-date", "D")] };
        let mut head = Vec::new();
        key.sign(&get, &mut head);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "authorization: SharedKey myaccount:ruc8AUj/59/YYk9BlCuM0tc7NM62jp3zEon7nQTFVvg=\r\n"
        );
        assert!(!format!("{key:?}").contains("key-of"));
        for bad in ["", "not base64!"] {
            assert!(SharedKey::new("a", &Secret::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn s3_own_headers_are_sorted_as_the_service_does() {
        let mut names = ["x-ms-meta-ab", "x-ms-meta-a1", "x-ms-meta-a_", "x-ms-meta-a", "x-ms-date"];
        names.sort_by(|a, b| service_order(a, b));
        assert_eq!(names, ["x-ms-date", "x-ms-meta-a", "x-ms-meta-a_", "x-ms-meta-a1", "x-ms-meta-ab"]);
    }
}
