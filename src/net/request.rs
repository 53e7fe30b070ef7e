//! A request: what the caller says, and the bytes of its head.

use super::endpoint::Endpoint;
use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use std::fmt;
use std::io::IoSlice;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }

    /// Whether a request of this method says how long its body is even when there is none.
    fn has_body(self) -> bool {
        matches!(self, Method::Put | Method::Post)
    }
}

/// One request to one endpoint. It borrows its body, so that lent memory is never held longer than
/// the call that sends it.
#[derive(Clone)]
pub struct Request<'a> {
    method: Method,
    target: String,
    headers: Headers,
    signature: Vec<u8>,
    body: Body<'a>,
    replayable: bool,
}

impl<'a> Request<'a> {
    /// `target` is path and query, escaped: what the request line says. A request without
    /// conditions can be sent again after a connection died, except by POST; see
    /// [`Request::set_replayable`].
    pub fn new(method: Method, target: impl Into<String>) -> Result<Request<'a>> {
        let target = target.into();
        let legal = |b: u8| b.is_ascii_graphic() && b != b'#';
        if !target.starts_with('/') || !target.bytes().all(legal) {
            // Not shown: a query may hold a signature.
            return Err(Error::new(Code::Internal, "the path or the query of a request is not escaped"));
        }
        let replayable = method != Method::Post;
        Ok(Request {
            method,
            target,
            headers: Headers::default(),
            signature: Vec::new(),
            body: Body::Empty,
            replayable,
        })
    }

    pub fn method(&self) -> Method {
        self.method
    }

    /// Path and query as they stand in the request line.
    pub fn target(&self) -> &str {
        &self.target
    }

    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// Without `?`; empty if there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Adds what a signer of [`super::auth`] writes: whole header lines. They are sent with the
    /// others and replace those of an earlier signature; [`Headers::iter`] does not show them.
    pub fn sign(&mut self, write: impl FnOnce(&Self, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut lines = std::mem::take(&mut self.signature);
        lines.clear();
        let result = write(self, &mut lines);
        let whole = lines.is_empty() || lines.ends_with(b"\r\n");
        if result.is_err() || !whole || lines.windows(4).any(|window| window == b"\r\n\r\n") {
            lines.clear();
            result?;
            return Err(Error::new(Code::Internal, "a signature is no list of whole header lines"));
        }
        self.signature = lines;
        Ok(())
    }

    /// Adds a header; see [`Headers::push`].
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self> {
        self.headers.push(name, value)?;
        Ok(self)
    }

    pub fn with_body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }

    pub fn body(&self) -> Body<'a> {
        self.body
    }

    /// Whether sending it twice is as good as once. What is not replayable is never sent again
    /// unless no byte of it left. Set it to false for conditional writes: their second try would
    /// be refused because of the first.
    pub fn set_replayable(&mut self, replayable: bool) {
        self.replayable = replayable;
    }

    pub fn replayable(&self) -> bool {
        self.replayable
    }

    /// Replaces `out` by the head, from the request line to the empty line.
    pub(super) fn write_head(&self, to: &Endpoint, via: &Form, out: &mut Vec<u8>) {
        out.clear();
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        put(&[self.method.name(), " "]);
        if let Form::Absolute(_) = via {
            put(&[to.scheme().name(), "://", to.authority()]);
        }
        put(&[&self.target, " HTTP/1.1\r\nHost: ", to.authority(), "\r\n", &self.headers.text]);
        if let Form::Absolute(Some(authorization)) = via {
            put(&["Proxy-Authorization: ", authorization.reveal(), "\r\n"]);
        }
        let length = self.body.len();
        if length > 0 || self.method.has_body() {
            put(&["Content-Length: ", &length.to_string(), "\r\n"]);
        }
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for Request<'_> {
    /// Without the query and the headers' values, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {:?}, {:?})", self.method.name(), self.path(), self.headers, self.body)
    }
}

/// How the request line names its target.
#[derive(Debug)]
pub(super) enum Form {
    /// To the server itself.
    Origin,
    /// To a proxy, with what that asks for.
    Absolute(Option<Secret>),
}

/// The headers of a request, kept as they go over the wire.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    /// Where each name starts and ends, and its value ends.
    spans: Vec<(u32, u32, u32)>,
}

/// What a request says of itself; a caller's value could only contradict it.
const OWN: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];
/// Far above what any service accepts.
const MAX_HEADERS: usize = 64 << 10;

impl Headers {
    /// Appends a header. Refuses what could end the header early or change where the request ends.
    pub fn push(&mut self, name: &str, value: &str) -> Result<()> {
        let bad = |why: &str| {
            Err(Error::new(Code::InvalidArgument, format!("the header {name:?} {why}"))
                .with_hint("header values are one line of text; encode other bytes, for example with base64"))
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return bad("has no valid name");
        }
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return bad("is set by the connection");
        }
        if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return bad("has a value with a control character");
        }
        if self.text.len() + name.len() + value.len() > MAX_HEADERS {
            return bad("makes the request's head larger than 64 KiB");
        }
        let start = self.text.len() as u32;
        self.text.push_str(name);
        let name_end = self.text.len() as u32;
        self.text.push_str(": ");
        self.text.push_str(value);
        let value_end = self.text.len() as u32;
        self.text.push_str("\r\n");
        self.spans.push((start, name_end, value_end));
        Ok(())
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|&(start, name_end, value_end)| {
            (
                &self.text[start as usize..name_end as usize],
                &self.text[name_end as usize + 2..value_end as usize],
            )
        })
    }

    /// The first value of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Makes room for so many headers of so many bytes together, so that adding them allocates nothing.
    pub fn reserve(&mut self, headers: usize, bytes: usize) {
        self.spans.reserve(headers);
        self.text.reserve(bytes);
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Forgets all headers and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// The bytes that follow the head.
#[derive(Clone, Copy, Default)]
pub enum Body<'a> {
    #[default]
    Empty,
    Slice(&'a [u8]),
    /// Sent one after the other.
    Pieces(&'a [Bytes]),
}

impl<'a> Body<'a> {
    pub fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Slice(slice) => slice.len() as u64,
            Body::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what follows the first `skip` bytes into `out`, as far as there is room; gives how many
    /// slices that are.
    pub(super) fn gather<'o>(&self, mut skip: u64, out: &mut [IoSlice<'o>]) -> usize
    where
        'a: 'o,
    {
        let mut used = 0;
        let mut put = |piece: &'a [u8]| {
            let offset = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= offset as u64;
            if offset < piece.len() && used < out.len() {
                out[used] = IoSlice::new(&piece[offset..]);
                used += 1;
            }
        };
        match self {
            Body::Empty => {}
            Body::Slice(slice) => put(slice),
            Body::Pieces(pieces) => pieces.iter().for_each(|piece| put(piece)),
        }
        used
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: &Request<'_>, form: &Form) -> String {
        let (to, _) = Endpoint::parse("http://h:81").unwrap();
        let mut out = b"old".to_vec();
        request.write_head(&to, form, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_head_is_what_goes_over_the_wire() {
        let get = Request::new(Method::Get, "/b/k?x=%20").unwrap().with_header("Range", "bytes=0-3").unwrap();
        assert_eq!(
            head(&get, &Form::Origin),
            "GET /b/k?x=%20 HTTP/1.1\r\nHost: h:81\r\nRange: bytes=0-3\r\n\r\n"
        );
        let proxied = head(&get, &Form::Absolute(Some(Secret::new("Basic dTpw"))));
        assert!(proxied.starts_with("GET http://h:81/b/k?x=%20 HTTP/1.1\r\n"), "{proxied}");
        assert!(proxied.contains("\r\nProxy-Authorization: Basic dTpw\r\n"), "{proxied}");
        let put = Request::new(Method::Put, "/b/k").unwrap();
        assert!(head(&put, &Form::Origin).ends_with("\r\nContent-Length: 0\r\n\r\n"));
        let pieces = [Bytes::from_static(b"ab"), Bytes::from_static(b""), Bytes::from_static(b"cde")];
        let put = put.with_body(Body::Pieces(&pieces));
        assert!(head(&put, &Form::Origin).ends_with("\r\nContent-Length: 5\r\n\r\n"));
    }

    #[test]
    fn signatures_follow_the_headers_and_replace_each_other() {
        let mut get = Request::new(Method::Get, "/b/k?sig=canary").unwrap().with_header("A", "b").unwrap();
        assert_eq!((get.path(), get.query()), ("/b/k", "sig=canary"));
        for number in 0..2 {
            get.sign(|request, lines| {
                assert_eq!(request.headers().iter().count(), 1);
                lines.extend_from_slice(format!("authorization: canary{number}\r\n").as_bytes());
                Ok(())
            })
            .unwrap();
        }
        let text = head(&get, &Form::Origin);
        assert!(text.ends_with("\r\nA: b\r\nauthorization: canary1\r\n\r\n"), "{text}");
        assert!(!format!("{get:?}").contains("canary"), "{get:?}");
        for bad in ["x", "a: b\r\n\r\nGET / HTTP/1.1\r\n"] {
            let write = |_: &Request<'_>, lines: &mut Vec<u8>| {
                lines.extend_from_slice(bad.as_bytes());
                Ok(())
            };
            assert_eq!(get.sign(write).unwrap_err().code(), Code::Internal);
            assert!(!head(&get, &Form::Origin).contains("authorization"));
        }
        let refused = get.sign(|_, _| Err(Error::new(Code::Unauthenticated, "no key")));
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_head() {
        for target in ["", "x", "/a b", "/a\r\nX: y", "/\u{e4}", "/a#b", "/\0", "http://h/"] {
            assert_eq!(Request::new(Method::Get, target).unwrap_err().code(), Code::Internal, "{target:?}");
        }
        let mut headers = Headers::default();
        let bad = [
            ("", "v"),
            ("a b", "v"),
            ("a:", "v"),
            ("a\r\nb", "v"),
            ("\u{e4}", "v"),
            ("a\0", "v"),
            ("x", "a\r\nHost: evil"),
            ("x", "a\nb"),
            ("x", "a\rb"),
            ("x", "a\0b"),
            ("x", "\u{7f}"),
            ("Host", "v"),
            ("content-LENGTH", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
        ];
        for (name, value) in bad {
            assert_eq!(
                headers.push(name, value).unwrap_err().code(),
                Code::InvalidArgument,
                "{name:?} {value:?}"
            );
        }
        assert_eq!(headers.iter().count(), 0);
        assert!(headers.push("x", &"v".repeat(70_000)).is_err());
        headers.push("x-amz-meta-a", "gr\u{fc}n\tx").unwrap();
        headers.push("empty", "").unwrap();
        assert_eq!((headers.get("X-AMZ-META-A"), headers.get("empty")), (Some("gr\u{fc}n\tx"), Some("")));
        assert_eq!(format!("{headers:?}"), r#"["x-amz-meta-a", "empty"]"#);
    }

    #[test]
    fn gather_resumes_a_body_at_every_byte() {
        let pieces =
            [Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"de"), Bytes::from_static(b"f")];
        for skip in 0..=6u64 {
            let mut slices = [IoSlice::new(&[]); 8];
            let n = Body::Pieces(&pieces).gather(skip, &mut slices);
            let rest: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
            assert_eq!(rest, &b"abcdef"[skip as usize..]);
        }
        let mut two = [IoSlice::new(&[]); 2];
        assert_eq!(Body::Pieces(&pieces).gather(1, &mut two), 2);
        assert_eq!((&*two[0], &*two[1]), (&b"bc"[..], &b"de"[..]));
    }
}
