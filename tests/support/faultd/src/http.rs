//! Requests as they come from a socket, answers before they go into one.

use crate::text::{parse_query, percent_decode};
use std::io::{self, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;

/// The longest head of a request.
const MAX_HEAD: usize = 1 << 20;
const PIECE: usize = 256 << 10;

/// Shared bytes.
pub type Bytes = Arc<Vec<u8>>;

/// A request, its body perhaps not read yet.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Escaped, as it came.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case, values trimmed; trailers of the body are added.
    pub headers: Vec<(String, String)>,
    /// What is stored: without the framing of chunks.
    pub body: Bytes,
    /// As it came, where that differs from `body`.
    pub framed: Option<Bytes>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Headers that start with `prefix`, without it.
    pub fn headers_below(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// Whether the client waits for `100 Continue`.
    pub fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the connection ends with this exchange.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn is_aws_chunked(&self) -> bool {
        self.header("x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"))
            || self.header("content-encoding").is_some_and(|value| value.contains("aws-chunked"))
    }

    fn parse(head: &[u8]) -> io::Result<Request> {
        let bad =
            |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the request's head: {why}"));
        let text = std::str::from_utf8(head).map_err(|_| bad("not UTF-8"))?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(bad("no request line"));
        };
        // Through a proxy the target is a whole URL.
        let local = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
            query: parse_query(query),
            headers,
            ..Request::default()
        })
    }

    /// The path's first segment and the rest, decoded.
    pub fn split_path(&self) -> (String, String) {
        let path = self.path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        (percent_decode(first), percent_decode(rest))
    }

    /// Takes the framing of `aws-chunked` off.
    fn unframe(&mut self) -> io::Result<()> {
        if !self.is_aws_chunked() {
            return Ok(());
        }
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("aws-chunked: {why}"));
        let framed = std::mem::take(&mut self.body);
        let mut body = Vec::with_capacity(framed.len());
        let mut rest = framed.as_slice();
        loop {
            let end = find(rest, b"\r\n").ok_or_else(|| bad("a chunk without a size"))?;
            let line = std::str::from_utf8(&rest[..end]).map_err(|_| bad("a size that is no text"))?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                .map_err(|_| bad("a size that is no number"))?;
            rest = &rest[end + 2..];
            if size == 0 {
                break;
            }
            let chunk = rest.get(..size).ok_or_else(|| bad("a chunk that is cut off"))?;
            body.extend_from_slice(chunk);
            rest = rest[size..].strip_prefix(b"\r\n").ok_or_else(|| bad("a chunk without an end"))?;
        }
        for line in String::from_utf8_lossy(rest).split("\r\n") {
            if let Some((name, value)) = line.split_once(':') {
                self.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        if let Some(wanted) = self.header("x-amz-decoded-content-length")
            && wanted != body.len().to_string()
        {
            return Err(bad("another length than x-amz-decoded-content-length"));
        }
        (self.body, self.framed) = (Arc::new(body), Some(framed));
        Ok(())
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The reading side of a connection.
#[derive(Debug)]
pub struct Incoming {
    stream: Arc<TcpStream>,
    buffer: Vec<u8>,
    /// Bytes that came since the count was last taken.
    pub count: u64,
}

impl Incoming {
    pub fn new(stream: Arc<TcpStream>) -> Incoming {
        Incoming { stream, buffer: Vec::new(), count: 0 }
    }

    /// The next request's head; `None` where the client is done.
    pub fn head(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let request = Request::parse(&self.buffer[..end]);
                self.buffer.drain(..end + 4);
                return request.map(Some);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the request's head is too long"));
            }
            if self.more()? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Whether bytes of a next request are there already.
    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The request's body, framing of chunks taken off. `watch` is told after every piece how many
    /// bytes are there, and is asked right at `stop` where that is within the body.
    pub fn body(
        &mut self,
        request: &mut Request,
        stop: Option<usize>,
        watch: &mut dyn FnMut(usize) -> io::Result<()>,
    ) -> io::Result<()> {
        match (request.is_chunked(), request.content_length()) {
            (true, _) => request.body = Arc::new(self.chunked()?),
            (false, Some(len)) => {
                let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?;
                let stop = stop.filter(|stop| *stop <= len);
                let mut body = Vec::with_capacity(len.min(1 << 30));
                if stop == Some(0) {
                    watch(0)?;
                }
                while body.len() < len {
                    let end = stop.filter(|stop| body.len() < *stop).unwrap_or(len);
                    let missing = end - body.len();
                    self.some(&mut body, missing)?;
                    watch(body.len())?;
                }
                request.body = Arc::new(body);
            }
            (false, None) => {}
        }
        request.unframe()
    }

    /// Reads up to `most` bytes of a body and throws them away; how many there were.
    pub fn discard(&mut self, most: usize) -> io::Result<usize> {
        let mut done = 0;
        let mut piece = Vec::new();
        while done < most {
            piece.clear();
            done += self.some(&mut piece, most - done)?;
        }
        Ok(done)
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let n = (&*self.stream).read(&mut piece)?;
        self.count += n as u64;
        self.buffer.extend_from_slice(&piece[..n]);
        Ok(n)
    }

    /// At least one and at most `most` bytes, appended.
    fn some(&mut self, out: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        if !self.buffer.is_empty() {
            let n = self.buffer.len().min(most);
            out.extend(self.buffer.drain(..n));
            return Ok(n);
        }
        let n = (&*self.stream).take(most.min(PIECE) as u64).read_to_end_once(out)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.count += n as u64;
        Ok(n)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without a size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            let end = body.len() + size;
            while body.len() < end {
                let missing = end - body.len();
                self.some(&mut body, missing)?;
            }
            self.line()?;
        }
    }
}

/// One read into the spare room of a vector.
trait ReadOnce {
    fn read_to_end_once(self, out: &mut Vec<u8>) -> io::Result<usize>;
}

impl ReadOnce for io::Take<&TcpStream> {
    fn read_to_end_once(mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let (start, most) = (out.len(), self.limit() as usize);
        out.resize(start + most, 0);
        let got = self.read(&mut out[start..]);
        out.truncate(start + *got.as_ref().unwrap_or(&0));
        got
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The part of `body` that is sent.
    pub range: Range<usize>,
    /// Without body; Content-Length says what it would be.
    pub head_only: bool,
}

impl Response {
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Bytes::default(), range: 0..0, head_only: false }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.set(name, value);
        self
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.drop(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub fn drop(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn bytes(mut self, body: Bytes, range: Range<usize>) -> Response {
        (self.body, self.range) = (body, range);
        self
    }

    pub fn text(self, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let body = Arc::new(body.into());
        let len = body.len();
        self.header("Content-Type", content_type).bytes(body, 0..len)
    }

    pub fn xml(self, body: &str) -> Response {
        self.text("application/xml", format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}"))
    }

    /// The bytes that follow the head.
    pub fn payload(&self) -> &[u8] {
        if self.head_only { &[] } else { &self.body[self.range.clone()] }
    }

    /// The head with its empty line.
    pub fn head(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let framed = self.get("Content-Length").is_some() || self.get("Transfer-Encoding").is_some();
        if !framed && !matches!(self.status, 100..200 | 204 | 304) {
            text.push_str(&format!("Content-Length: {}\r\n", self.range.len()));
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.starts_with('-')) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// What a Range header asks for of `len` bytes. `Err`: nothing of it is there (416).
pub fn parse_range(header: Option<&str>, len: usize) -> Result<Option<Range<usize>>, ()> {
    let Some(spec) = header.and_then(|text| text.strip_prefix("bytes=")) else { return Ok(None) };
    let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
    let parse = |text: &str| text.parse::<u64>().ok().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    match (parse(first), parse(last)) {
        (Some(first), _) if first >= len => Err(()),
        (Some(first), Some(last)) if last < first => Ok(None),
        (Some(first), Some(last)) => Ok(Some(first..last.saturating_add(1).min(len))),
        (Some(first), None) if last.is_empty() => Ok(Some(first..len)),
        (None, Some(0)) if first.is_empty() => Err(()),
        (None, Some(_)) if first.is_empty() && len == 0 => Err(()),
        (None, Some(n)) if first.is_empty() => Ok(Some(len.saturating_sub(n)..len)),
        _ => Ok(None), // malformed: as if it were not there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |text| parse_range(Some(text), 10);
        assert_eq!(range("bytes=2-4"), Ok(Some(2..5)));
        assert_eq!(range("bytes=2-"), Ok(Some(2..10)));
        assert_eq!(range("bytes=-3"), Ok(Some(7..10)));
        assert_eq!(range("bytes=9-99"), Ok(Some(9..10)));
        assert_eq!(range("bytes=10-"), Err(()));
        assert_eq!(range("bytes=4-2"), Ok(None));
        assert_eq!(parse_range(Some("bytes=0-0"), 0), Err(()));
        assert_eq!(parse_range(None, 10), Ok(None));
    }

    #[test]
    fn aws_chunks_are_taken_off() {
        let mut request = Request::parse(
            b"PUT /b/k?a=1&b HTTP/1.1\r\nX-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nx-amz-decoded-content-length: 9",
        )
        .unwrap();
        request.body = Arc::new(
            b"4\r\nabcd\r\n5;chunk-signature=x\r\nefghi\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"
                .to_vec(),
        );
        request.unframe().unwrap();
        assert_eq!((request.body.as_slice(), request.query("b")), (&b"abcdefghi"[..], Some("")));
        assert_eq!(request.header("x-amz-checksum-crc32c"), Some("AAAAAA=="));
        for bad in ["4\r\nabc", "x\r\n", "4\r\nabcdX\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", ""] {
            request.body = Arc::new(bad.into());
            assert!(request.unframe().is_err(), "{bad:?}");
        }
    }
}
