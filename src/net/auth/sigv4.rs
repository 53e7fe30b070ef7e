//! AWS Signature Version 4 in headers, as S3 wants it: the path escaped once, the body's hash or
//! `UNSIGNED-PAYLOAD` in `x-amz-content-sha256`.

use super::hmac::{Hash, hex, hmac_sha256, sha256};
use super::{check_credential, escape};
use crate::base::date::Timestamp;
use crate::base::secret::Secret;
use crate::error::Result;
use std::fmt;
use std::ops::Range;
use std::sync::{RwLock, TryLockError};
use zeroize::Zeroizing;

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As in the header `host`, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// Escaped, as in the request line; see [`escape::path`].
    pub path: &'a str,
    /// Escaped, as in the request line, without `?`.
    pub query: &'a str,
    /// Names in any case and any order. `host` and what [`Signer::sign`] appends are not among them.
    /// Headers that proxies change (`user-agent`, `connection` ...) may be, and are not signed.
    pub headers: &'a [(&'a str, &'a str)],
    pub payload: Payload<'a>,
}

/// What the signature says of the body.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// Nothing: TLS protects it, or a checksum header.
    Unsigned,
    /// The hash of these bytes, which may be none.
    Bytes(&'a [u8]),
    /// Its hash, known already.
    Sha256(Hash),
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub id: &'a str,
    pub secret: &'a Secret,
    /// Of temporary credentials.
    pub token: Option<&'a Secret>,
}

/// Signs requests for one region of one service. Shared by all tasks: nothing here ever waits.
#[derive(Debug)]
pub struct Signer {
    region: String,
    service: &'static str,
    keys: KeyCache,
}

/// Memory that signatures are computed in; keep one with each connection or task and reuse it.
#[derive(Default)]
pub struct Scratch {
    /// Lines or pairs before they are sorted.
    parts: Zeroizing<Vec<u8>>,
    spans: Vec<Span>,
    /// The canonical request, then the string to sign. Zeroized: a session token is in it.
    text: Zeroizing<Vec<u8>>,
    names: Vec<u8>,
}

/// A header line or a pair in `Scratch::parts`: its name ends at `middle`, its value begins after that.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    middle: usize,
    end: usize,
}

const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
const SHA256_OF_NOTHING: &[u8; 64] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Headers that proxies and gateways take away or change.
const NOT_SIGNED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

impl Signer {
    /// For S3 in this region.
    pub fn s3(region: &str) -> Result<Signer> {
        check_credential("region", region)?;
        Ok(Signer { region: region.to_owned(), service: "s3", keys: KeyCache::default() })
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// Appends the lines `x-amz-date`, `x-amz-content-sha256`, with temporary credentials
    /// `x-amz-security-token`, and `authorization` to a request's head. `now` is the service's time.
    pub fn sign(
        &self,
        request: &Request<'_>,
        credentials: &Credentials<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
        head: &mut Vec<u8>,
    ) -> Result<()> {
        check_credential("access key id", credentials.id)?;
        let token = credentials.token.map(|token| token.reveal());
        token.map_or(Ok(()), |token| check_credential("session token", token))?;
        let hashed;
        let payload: &[u8] = match request.payload {
            Payload::Unsigned => UNSIGNED,
            Payload::Bytes([]) => SHA256_OF_NOTHING,
            Payload::Bytes(body) => {
                hashed = hex(&sha256(body));
                &hashed
            }
            Payload::Sha256(hash) => {
                hashed = hex(&hash);
                &hashed
            }
        };
        let time = now.compact();
        let day = &time.as_bytes()[..8];
        let own: [(&str, &[u8]); 3] = [
            ("x-amz-content-sha256", payload),
            ("x-amz-date", time.as_bytes()),
            ("x-amz-security-token", token.unwrap_or_default().as_bytes()),
        ];
        let own = if token.is_some() { &own[..] } else { &own[..2] };

        scratch.canonical_request(request, own, payload);
        let hash = hex(&sha256(&scratch.text));
        let (region, service) = (self.region.as_bytes(), self.service.as_bytes());
        scratch.text.clear();
        for part in [b"AWS4-HMAC-SHA256\n", time.as_bytes(), b"\n"] {
            scratch.text.extend_from_slice(part);
        }
        push_scope(&mut scratch.text, [day, region, service]);
        scratch.text.push(b'\n');
        scratch.text.extend_from_slice(&hash);
        let key = self.keys.get(credentials.secret, [day, region, service]);
        let signature = hex(&hmac_sha256(&*key, &[&scratch.text]));

        for (name, value) in own {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"authorization: AWS4-HMAC-SHA256 Credential=");
        head.extend_from_slice(credentials.id.as_bytes());
        head.push(b'/');
        push_scope(head, [day, region, service]);
        for part in [b", SignedHeaders=", &scratch.names[..], b", Signature=", &signature, b"\r\n"] {
            head.extend_from_slice(part);
        }
        Ok(())
    }
}

fn push_scope(text: &mut Vec<u8>, scope: [&[u8]; 3]) {
    for part in scope {
        text.extend_from_slice(part);
        text.push(b'/');
    }
    text.extend_from_slice(b"aws4_request");
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Writes the canonical request into `text` and the signed headers' names into `names`.
    fn canonical_request(&mut self, request: &Request<'_>, own: &[(&str, &[u8])], payload: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(request.method.as_bytes());
        self.text.push(b'\n');
        match request.path {
            "" => self.text.push(b'/'),
            path => escape::canonical_path(path, &mut self.text),
        }
        self.text.push(b'\n');
        self.canonical_query(request.query);
        self.text.push(b'\n');
        self.parts.clear();
        self.spans.clear();
        self.line("host", request.host.as_bytes());
        for (name, value) in own {
            self.line(name, value);
        }
        for (name, value) in request.headers {
            if !NOT_SIGNED.iter().any(|unsigned| unsigned.eq_ignore_ascii_case(name)) {
                self.header(name, value.as_bytes());
            }
        }
        self.canonical_headers();
        self.text.push(b'\n');
        self.text.extend_from_slice(&self.names);
        self.text.push(b'\n');
        self.text.extend_from_slice(payload);
    }

    /// The pairs in the order of their escaped names, then values; a name alone has an empty value.
    fn canonical_query(&mut self, query: &str) {
        self.parts.clear();
        self.spans.clear();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let start = self.parts.len();
            escape::canonical_query(name, &mut self.parts);
            let middle = self.parts.len();
            self.parts.push(b'=');
            escape::canonical_query(value, &mut self.parts);
            self.spans.push(Span { start, middle, end: self.parts.len() });
        }
        let parts = &self.parts;
        self.spans.sort_unstable_by(|a, b| {
            (&parts[a.name()], &parts[a.value()]).cmp(&(&parts[b.name()], &parts[b.value()]))
        });
        for (index, span) in self.spans.iter().enumerate() {
            if index > 0 {
                self.text.push(b'&');
            }
            self.text.extend_from_slice(&parts[span.start..span.end]);
        }
    }

    /// Notes `name:value`, the name in lower case, the value without spaces around it and with single
    /// ones inside.
    fn header(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        if !value.windows(2).any(|pair| pair == b"  ") {
            return self.line(name, value);
        }
        self.line(name, b"");
        let mut before = 0;
        for byte in value {
            if (*byte, before) != (b' ', b' ') {
                self.parts.push(*byte);
            }
            before = *byte;
        }
        if let Some(span) = self.spans.last_mut() {
            span.end = self.parts.len();
        }
    }

    /// The same of a value without such spaces.
    fn line(&mut self, name: &str, value: &[u8]) {
        let start = self.parts.len();
        self.parts.extend_from_slice(name.as_bytes());
        self.parts[start..].make_ascii_lowercase();
        let middle = self.parts.len();
        self.parts.push(b':');
        self.parts.extend_from_slice(value);
        self.spans.push(Span { start, middle, end: self.parts.len() });
    }

    /// The noted headers in the order of their names; those of one name become one, with commas.
    fn canonical_headers(&mut self) {
        let parts = &self.parts;
        // The place last: headers of one name stay in their order.
        self.spans.sort_unstable_by(|a, b| (&parts[a.name()], a.start).cmp(&(&parts[b.name()], b.start)));
        self.names.clear();
        let mut before: &[u8] = b"";
        for span in &self.spans {
            let name = &parts[span.name()];
            if name == before {
                self.text.pop();
                self.text.push(b',');
                self.text.extend_from_slice(&parts[span.value()]);
            } else {
                if !self.names.is_empty() {
                    self.names.push(b';');
                }
                self.names.extend_from_slice(name);
                self.text.extend_from_slice(&parts[span.start..span.end]);
            }
            self.text.push(b'\n');
            before = name;
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch(***)")
    }
}

impl Span {
    fn name(&self) -> Range<usize> {
        self.start..self.middle
    }

    fn value(&self) -> Range<usize> {
        self.middle + 1..self.end
    }
}

/// Derived keys, the newest last. They hold for a day, so there are few: midnight, and credentials
/// that change.
#[derive(Default)]
struct KeyCache(RwLock<Vec<Derived>>);

struct Derived {
    secret: Secret,
    scope: Vec<u8>,
    key: Zeroizing<Hash>,
}

const KEPT: usize = 4;

impl KeyCache {
    /// The key of a secret, day, region and service. Where another thread holds the lock (or held it
    /// when this process was forked) it is derived anew, which costs a microsecond.
    fn get(&self, secret: &Secret, scope: [&[u8]; 3]) -> Zeroizing<Hash> {
        let is_it = |kept: &&Derived| {
            let mut rest = kept.scope.as_slice();
            let same =
                scope.iter().all(|part| match rest.strip_prefix(*part).and_then(|r| r.strip_prefix(b"/")) {
                    Some(tail) => {
                        rest = tail;
                        true
                    }
                    None => false,
                });
            same && kept.secret == *secret
        };
        let found = match self.0.try_read() {
            Ok(keys) => keys.iter().rev().find(is_it).map(|kept| kept.key.clone()),
            Err(TryLockError::Poisoned(keys)) => {
                keys.into_inner().iter().rev().find(is_it).map(|kept| kept.key.clone())
            }
            Err(TryLockError::WouldBlock) => None,
        };
        found.unwrap_or_else(|| {
            let key = derive(secret, scope);
            if let Ok(mut keys) = self.0.try_write() {
                if keys.len() >= KEPT {
                    keys.remove(0);
                }
                let scope = scope.iter().flat_map(|part| part.iter().chain(b"/")).copied().collect();
                keys.push(Derived { secret: secret.clone(), scope, key: key.clone() });
            }
            key
        })
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache(***)")
    }
}

fn derive(secret: &Secret, scope: [&[u8]; 3]) -> Zeroizing<Hash> {
    let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.reveal().len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.reveal().as_bytes());
    let [day, region, service] = scope;
    let mut key = Zeroizing::new(hmac_sha256(&first, &[day]));
    for part in [region, service, b"aws4_request"] {
        *key = hmac_sha256(&*key, &[part]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials as SdkCredentials;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign as sdk_sign,
    };
    use aws_sigv4::sign::v4;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const DAY: Timestamp = Timestamp::from_unix(1_369_353_600);

    fn example<'a>(
        method: &'a str,
        path: &'a str,
        query: &'a str,
        headers: &'a [(&'a str, &'a str)],
        body: &'a [u8],
    ) -> Request<'a> {
        let host = "examplebucket.s3.amazonaws.com";
        Request { method, host, path, query, headers, payload: Payload::Bytes(body) }
    }

    fn signed(request: &Request<'_>, secret: &str, token: Option<&str>, now: Timestamp) -> String {
        let token = token.map(Secret::new);
        let secret = Secret::new(secret);
        let credentials = Credentials { id: ID, secret: &secret, token: token.as_ref() };
        let mut head = Vec::new();
        let signer = Signer::s3("us-east-1").unwrap();
        signer.sign(request, &credentials, now, &mut Scratch::new(), &mut head).unwrap();
        String::from_utf8(head).unwrap()
    }

    /// "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
    #[test]
    fn s1_the_documentations_examples() {
        let put = [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let examples = [
            (
                example("GET", "/test.txt", "", &[("Range", "bytes=0-9")], b""),
                "host;range;x-amz-content-sha256;x-amz-date",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                example("PUT", "/test$file.text", "", &put, b"Welcome to Amazon S3."),
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                example("GET", "/", "lifecycle", &[], b""),
                "host;x-amz-content-sha256;x-amz-date",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                example("GET", "/", "max-keys=2&prefix=J", &[], b""),
                "host;x-amz-content-sha256;x-amz-date",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (request, names, signature) in examples {
            let head = signed(&request, SECRET, None, DAY);
            let authorization = format!(
                "authorization: AWS4-HMAC-SHA256 Credential={ID}/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders={names}, Signature={signature}\r\n"
            );
            assert!(head.ends_with(&authorization), "{head}\nexpected {authorization}");
            assert!(head.contains("x-amz-date: 20130524T000000Z\r\n"), "{head}");
        }
    }

    #[test]
    fn s1_a_hash_that_is_known_already_is_the_bodys() {
        let request = example("PUT", "/a", "", &[], b"Welcome to Amazon S3.");
        let known = Request { payload: Payload::Sha256(sha256(b"Welcome to Amazon S3.")), ..request };
        assert_eq!(signed(&request, SECRET, None, DAY), signed(&known, SECRET, None, DAY));
        let unsigned = signed(&Request { payload: Payload::Unsigned, ..request }, SECRET, None, DAY);
        assert!(unsigned.contains("x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"), "{unsigned}");
    }

    /// What the SDK's own signer makes of the same request.
    fn by_sdk(request: &Request<'_>, secret: &str, token: Option<&str>, now: Timestamp) -> String {
        let credentials = SdkCredentials::new(ID, secret, token.map(str::to_owned), None, "test").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.excluded_headers = Some(NOT_SIGNED.iter().map(|name| (*name).into()).collect());
        let params = v4::SigningParams::builder()
            .identity(&credentials)
            .region("us-east-1")
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_secs(now.unix() as u64))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = match request.query {
            "" => format!("https://{}{}", request.host, request.path),
            query => format!("https://{}{}?{query}", request.host, request.path),
        };
        let body = match request.payload {
            Payload::Unsigned => SignableBody::UnsignedPayload,
            Payload::Bytes(body) => SignableBody::Bytes(body),
            Payload::Sha256(hash) => {
                SignableBody::Precomputed(String::from_utf8(hex(&hash).to_vec()).unwrap())
            }
        };
        let lower: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
        let headers = lower.iter().map(|(name, value)| (name.as_str(), *value));
        let signable = SignableRequest::new(request.method, uri, headers, body).unwrap();
        let (instructions, _) = sdk_sign(signable, &params).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        let find =
            |name: &str| headers.iter().find(|h| h.name() == name).map(|h| h.value().to_owned()).unwrap();
        find("authorization")
    }

    /// A seeded generator of odd requests.
    struct Odd(u64);

    impl Odd {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }

        fn text(&mut self, alphabet: &[char], longest: usize) -> String {
            (0..self.below(longest + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
        }
    }

    #[test]
    fn s1_odd_requests_are_signed_as_by_the_sdk() {
        let letters: Vec<char> = "abZ09-._~/ +%&=?#!$'()*,:;@[]{}|\\^`\"<>\u{7f}é漢𝄞\n\t".chars().collect();
        let visible: Vec<char> = "ab Z0-_,;:/=\"'  ()".chars().collect();
        let mut odd = Odd(20_130_524);
        for round in 0..3_000 {
            let mut path = b"/".to_vec();
            escape::path(&odd.text(&letters, 40), &mut path);
            let mut query = Vec::new();
            for _ in 0..odd.below(6) {
                if !query.is_empty() {
                    query.push(b'&');
                }
                escape::query(&odd.text(&letters[..12], 3), &mut query);
                if odd.below(4) > 0 {
                    query.push(b'=');
                    escape::query(&odd.text(&letters, 12), &mut query);
                }
            }
            let (path, query) = (String::from_utf8(path).unwrap(), String::from_utf8(query).unwrap());
            let names =
                ["Range", "content-md5", "X-Amz-Meta-a", "x-amz-meta-a-b", "x-amz-meta-b", "If-Match"];
            let more = ["x-amz-checksum-crc32c", "User-Agent", "Content-Length", "accept-encoding", "Expect"];
            let mut names: Vec<_> = names.into_iter().chain(more).filter(|_| odd.below(2) == 0).collect();
            let turn = odd.below(names.len().max(1));
            names.rotate_left(turn);
            // Spaces only around and inside: other white space is not legal there, or is not trimmed by all.
            let values: Vec<String> = names.iter().map(|_| odd.text(&visible, 20)).collect();
            let headers: Vec<_> =
                names.iter().zip(&values).map(|(name, value)| (*name, value.as_str())).collect();
            let body = vec![7; odd.below(200)];
            let payload = match odd.below(3) {
                0 => Payload::Unsigned,
                1 => Payload::Bytes(&body),
                _ => Payload::Sha256(sha256(&body)),
            };
            let method = ["GET", "PUT", "HEAD", "POST", "DELETE"][odd.below(5)];
            let host = ["127.0.0.1:9000", "b.s3.eu-west-1.amazonaws.com", "[::1]:8333"][odd.below(3)];
            let request = Request { method, host, path: &path, query: &query, headers: &headers, payload };
            let token = (odd.below(2) == 0).then_some("FwoGZXIvYXdzE//+token==");
            let secret = format!("secret{}", odd.below(3));
            let now = DAY.plus(odd.below(1_000_000_000) as i64);
            let head = signed(&request, &secret, token, now);
            let ours = head.lines().last().unwrap().strip_prefix("authorization: ").unwrap();
            assert_eq!(ours, by_sdk(&request, &secret, token, now), "round {round}: {request:?}");
            let sent = head.lines().any(|line| line == "x-amz-security-token: FwoGZXIvYXdzE//+token==");
            assert_eq!(sent, token.is_some());
        }
    }

    #[test]
    fn s1_headers_of_one_name_are_joined_in_their_order() {
        let two = [("x-amz-meta-a", "b"), ("X-Amz-Meta-A", " a  c ")];
        let apart = example("GET", "/k", "", &two, b"");
        let joined = [("x-amz-meta-a", "b,a c")];
        let joined = example("GET", "/k", "", &joined, b"");
        assert_eq!(signed(&apart, SECRET, None, DAY), signed(&joined, SECRET, None, DAY));
    }

    #[test]
    fn s1_what_proxies_change_is_not_signed() {
        let plain = signed(&example("GET", "/k", "", &[("range", "bytes=0-9")], b""), SECRET, None, DAY);
        for name in ["User-Agent", "accept-encoding", "connection", "Expect", "transfer-encoding", "te"] {
            let headers = [("range", "bytes=0-9"), (name, "x")];
            assert_eq!(signed(&example("GET", "/k", "", &headers, b""), SECRET, None, DAY), plain, "{name}");
        }
        let other = [("range", "bytes=0-9"), ("content-length", "0")];
        assert_ne!(signed(&example("GET", "/k", "", &other, b""), SECRET, None, DAY), plain);
    }

    #[test]
    fn s1_the_wires_form_of_path_and_query_does_not_matter() {
        let odd = example("GET", "/%7e%c3%a9+", "b=1&&a=%7E&c=x+y&", &[], b"");
        let plain = example("GET", "/~%C3%A9%2B", "a=~&b=1&c=x%20y", &[], b"");
        assert_eq!(signed(&odd, SECRET, None, DAY), signed(&plain, SECRET, None, DAY));
        let empty = example("GET", "", "", &[], b"");
        assert_eq!(
            signed(&empty, SECRET, None, DAY),
            signed(&example("GET", "/", "", &[], b""), SECRET, None, DAY)
        );
    }

    #[test]
    fn s1_the_key_cache_tells_secrets_and_days_apart() {
        let signer = Signer::s3("us-east-1").unwrap();
        let mut scratch = Scratch::new();
        let request = example("GET", "/k", "", &[], b"");
        for round in 0..3 {
            for day in 0..7 {
                for secret in ["one", "two"] {
                    let now = DAY.plus(day * 86_400 + round);
                    let (key, mut head) = (Secret::new(secret), Vec::new());
                    let credentials = Credentials { id: ID, secret: &key, token: None };
                    signer.sign(&request, &credentials, now, &mut scratch, &mut head).unwrap();
                    assert_eq!(String::from_utf8(head).unwrap(), signed(&request, secret, None, now));
                    assert!(signer.keys.0.read().unwrap().len() <= KEPT);
                }
            }
        }
        let held = signer.keys.0.write().unwrap();
        let (key, mut head) = (Secret::new("one"), Vec::new());
        let credentials = Credentials { id: ID, secret: &key, token: None };
        signer.sign(&request, &credentials, DAY, &mut scratch, &mut head).unwrap();
        drop(held);
        assert_eq!(String::from_utf8(head).unwrap(), signed(&request, "one", None, DAY), "does not wait");
    }

    #[test]
    fn s1_credentials_cannot_add_a_header_and_are_not_shown() {
        let signer = Signer::s3("us-east-1").unwrap();
        let mut scratch = Scratch::new();
        let request = example("GET", "/k", "", &[], b"");
        let secret = Secret::new("canary");
        for (id, token) in [("a\r\nx: y", None), ("", None), ("id", Some("t\r\nx: y")), ("id", Some(""))] {
            let token = token.map(Secret::new);
            let credentials = Credentials { id, secret: &secret, token: token.as_ref() };
            let mut head = Vec::new();
            assert!(
                signer.sign(&request, &credentials, DAY, &mut scratch, &mut head).is_err(),
                "{credentials:?}"
            );
            assert!(head.is_empty());
        }
        assert!(Signer::s3("eu west").is_err() && Signer::s3("").is_err());
        let token = Secret::new("canary-token");
        let credentials = Credentials { id: ID, secret: &secret, token: Some(&token) };
        signer.sign(&request, &credentials, DAY, &mut scratch, &mut Vec::new()).unwrap();
        let shown = format!("{signer:?} {scratch:?} {credentials:?}");
        assert!(!shown.contains("canary") && !shown.contains("99, 97, 110"), "{shown}");
    }

    /// `cargo test --release --lib sigv4 -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn nanoseconds_per_signature() {
        let signer = Signer::s3("us-east-1").unwrap();
        let secret = Secret::new(SECRET);
        let token = Secret::new("t".repeat(800));
        let headers = [("range", "bytes=0-8388607"), ("if-match", "\"d41d8cd98f00b204e9800998ecf8427e\"")];
        let path = "/bucket/datasets/imagenet/train/shard-000123.tar";
        let query = "partNumber=17&uploadId=2~abcdefghijklmnopqrstuvwxyz012345";
        let get = Request { payload: Payload::Unsigned, ..example("GET", path, "", &headers, b"") };
        let part = Request { payload: Payload::Unsigned, ..example("PUT", path, query, &headers[1..], b"") };
        for (name, request, token) in
            [("get", get, None), ("part", part, None), ("get, token", get, Some(&token))]
        {
            let credentials = Credentials { id: ID, secret: &secret, token };
            let (mut scratch, mut head) = (Scratch::new(), Vec::new());
            let mut best = Duration::MAX;
            for _ in 0..20 {
                let start = Instant::now();
                for _ in 0..10_000 {
                    head.clear();
                    signer.sign(&request, &credentials, DAY, &mut scratch, &mut head).unwrap();
                }
                best = best.min(start.elapsed());
            }
            println!("{name}: {} ns per signature", best.as_nanos() / 10_000);
        }
    }
}
