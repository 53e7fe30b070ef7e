//! The head of an answer: status, headers, and how long the body is. Strict where two readings of
//! the same bytes would give two bodies.

use super::request::Method;

/// The largest head that is read.
pub(super) const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 128;

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Length(u64),
    Chunked,
    /// The connection's end is the body's: a cut body looks like a whole one.
    UntilClose,
}

/// What is wrong with the bytes of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed(pub(super) String);

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// A parsed head. It keeps positions in the buffer that it was parsed from, no text.
#[derive(Debug, Default)]
pub struct Head {
    status: u16,
    headers: Vec<Span>,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

impl Head {
    /// Reads the head at the start of `bytes`, which holds it whole: see [`find_end`].
    pub fn parse(&mut self, bytes: &[u8], method: Method) -> Result<Framing, Malformed> {
        let mut memory = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut memory,
        );
        match parsed {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return malformed("the head is not whole"),
            Err(httparse::Error::TooManyHeaders) => {
                return malformed(format!("the head has more than {MAX_HEADERS} headers"));
            }
            Err(error) => return malformed(format!("the head is not HTTP/1.1: {error}")),
        }
        self.status = response.code.unwrap_or_default();
        if self.status < 100 {
            return malformed(format!("the status is {}", self.status));
        }
        let mut framing = Fields::default();
        self.headers.clear();
        for header in response.headers.iter() {
            framing.read(header.name, header.value)?;
            let at = |part: &[u8]| {
                let start = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize) as u32;
                (start, start + part.len() as u32)
            };
            self.headers.push(Span { name: at(header.name.as_bytes()), value: at(header.value) });
        }
        let http_1_1 = response.version == Some(1);
        self.keep_alive = !framing.close && (http_1_1 || framing.keep_alive);
        if method == Method::Head || self.is_interim() || matches!(self.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        match (framing.length, framing.chunked) {
            (Some(_), true) => malformed("there are both a Content-Length and a Transfer-Encoding"),
            (None, true) if !http_1_1 => malformed("there is a Transfer-Encoding in HTTP/1.0"),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => {
                self.keep_alive = false;
                Ok(Framing::UntilClose)
            }
        }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// An answer such as `100 Continue`, which the real one follows.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// Whether the connection can serve another request.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The first value of this name in any case. `bytes` is what was parsed.
    pub fn header<'b>(&self, bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
        self.headers(bytes)
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Name and value of each header. `bytes` is what was parsed.
    pub fn headers<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        let part = |(start, end): (u32, u32)| bytes.get(start as usize..end as usize).unwrap_or_default();
        self.headers.iter().map(move |span| (part(span.name), part(span.value)))
    }
}

/// Where the head that starts `bytes` ends, if it is there. `from` says how much an earlier call saw.
/// What cannot become a head is refused without waiting for its end.
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, Malformed> {
    const START: &[u8] = b"HTTP/1.";
    let seen = bytes.len().min(START.len());
    if bytes[..seen] != START[..seen] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(32)]).escape_debug().to_string();
        return malformed(format!("the answer does not begin like HTTP/1.1 but with {shown:?}"));
    }
    // Of an end that was cut the last three bytes may have been seen.
    let mut at = from.saturating_sub(3);
    while let Some(line) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += line + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Ok(Some(at + 1)),
            [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
            _ => {}
        }
    }
    match bytes.len() >= MAX_HEAD {
        true => malformed(format!("the head is larger than {} KiB", MAX_HEAD >> 10)),
        false => Ok(None),
    }
}

/// The headers that decide about body and connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let shown = || String::from_utf8_lossy(&value[..value.len().min(64)]).into_owned();
        match name.len() {
            14 if is("content-length") => {
                let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                let text = std::str::from_utf8(value).ok().filter(|_| digits);
                let Some(length) = text.and_then(|text| text.parse().ok()) else {
                    return malformed(format!("the Content-Length is {:?}", shown()));
                };
                if self.length.replace(length).is_some() {
                    return malformed("there are several Content-Length headers");
                }
            }
            17 if is("transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return malformed(format!(
                        "the Transfer-Encoding is {:?}, expected chunked once",
                        shown()
                    ));
                }
                self.chunked = true;
            }
            10 if is("connection") => {
                for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, method: Method) -> Result<(Head, Framing), Malformed> {
        let end = find_end(text.as_bytes(), 0)?.expect("a whole head");
        let mut head = Head::default();
        let framing = head.parse(&text.as_bytes()[..end], method)?;
        Ok((head, framing))
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let text =
            "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\nETag:  \"x\" \r\nEmpty:\r\nB: \u{fc}\r\n\r\nhello";
        let (head, framing) = parse(text, Method::Get).unwrap();
        assert_eq!((head.status(), framing, head.keep_alive()), (206, Framing::Length(5), true));
        let bytes = text.as_bytes();
        assert_eq!(head.header(bytes, "etag"), Some(&b"\"x\""[..]));
        assert_eq!(head.header(bytes, "EMPTY"), Some(&b""[..]));
        assert_eq!(head.header(bytes, "b"), Some("\u{fc}".as_bytes()));
        assert_eq!((head.header(bytes, "none"), head.headers(bytes).count()), (None, 4));
    }

    #[test]
    fn the_end_is_found_however_the_head_is_cut() {
        for text in
            ["HTTP/1.1 200 OK\r\nA: b\r\n\r\nX", "HTTP/1.1 200 OK\nA: b\n\nX", "HTTP/1.1 200 OK\r\n\r\nX"]
        {
            let end = text.len() - 1;
            for cut in 0..text.len() {
                let first = find_end(&text.as_bytes()[..cut], 0).unwrap();
                assert_eq!(first, (cut >= end).then_some(end), "{cut}");
                assert_eq!(find_end(text.as_bytes(), cut.min(end)).unwrap(), Some(end), "{cut}");
            }
        }
    }

    #[test]
    fn framing_follows_the_headers_the_method_and_the_status() {
        let cases = [
            ("200 X\r\nContent-Length: 0", Method::Get, Framing::Length(0), true),
            ("200 X\r\nTransfer-Encoding: Chunked", Method::Get, Framing::Chunked, true),
            ("200 X", Method::Get, Framing::UntilClose, false),
            ("200 X\r\nContent-Length: 9", Method::Head, Framing::Length(0), true),
            ("200 X\r\nTransfer-Encoding: chunked", Method::Head, Framing::Length(0), true),
            ("204 X", Method::Put, Framing::Length(0), true),
            ("304 X\r\nContent-Length: 9", Method::Get, Framing::Length(0), true),
            ("100 Continue", Method::Put, Framing::Length(0), true),
            ("200 X\r\nConnection: a, Close\r\nContent-Length: 1", Method::Get, Framing::Length(1), false),
        ];
        for (text, method, framing, keep_alive) in cases {
            let (head, found) = parse(&format!("HTTP/1.1 {text}\r\n\r\n"), method).unwrap();
            assert_eq!((found, head.keep_alive()), (framing, keep_alive), "{text}");
        }
        let old =
            |text: &str| parse(&format!("HTTP/1.0 200 X\r\nContent-Length: 1\r\n{text}\r\n"), Method::Get);
        assert!(!old("").unwrap().0.keep_alive());
        assert!(old("Connection: Keep-Alive\r\n").unwrap().0.keep_alive());
    }

    #[test]
    fn two_readings_of_one_answer_are_refused() {
        let bad = [
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1\r\ncontent-length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: -1",
            "Content-Length: 0x1",
            "Content-Length:",
            "Content-Length: 1 2",
            "Content-Length: 18446744073709551616",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "X: a\r\n folded: b\r\nContent-Length: 1",
            "X: a\0b",
            "X: a\rb",
            ": empty",
        ];
        for text in bad {
            let text = format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n");
            assert!(parse(&text, Method::Get).is_err(), "{text:?}");
        }
        assert!(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Get).is_err());
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        assert!(parse(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), Method::Get).is_err());
    }

    #[test]
    fn what_is_no_answer_is_refused_at_once() {
        for bytes in [
            &b"\x15\x03\x01\0\x02"[..],
            b"SSH-2.0",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"<html>",
            b"HTTX",
            b"\r\nHTTP/1.1",
        ] {
            assert!(find_end(bytes, 0).is_err(), "{bytes:?}");
        }
        assert_eq!(find_end(b"", 0), Ok(None));
        assert_eq!(find_end(b"HTT", 0), Ok(None));
        assert!(parse("HTTP/1.1 099 X\r\n\r\n", Method::Get).is_err());
        assert!(parse("HTTP/1.1 20 X\r\n\r\n", Method::Get).is_err());
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD));
        assert!(find_end(long.as_bytes(), 0).is_err());
    }
}
