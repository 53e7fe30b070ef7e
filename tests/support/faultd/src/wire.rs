//! From an answer and a fault to what goes over the wire.

use crate::call::{Call, Service};
use crate::fault::{Fault, Kind};
use crate::http::Response;
use crate::text::http_date;
use crate::{azure, s3};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// One thing that the server does with the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// This part of the answer's body.
    Body(Range<usize>),
    /// Nothing for this long; `None`: until the client leaves.
    Stall(Option<Duration>),
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// FIN, but the server goes on listening until the client leaves.
    HalfClose,
    /// Closed as soon as the next request comes.
    CloseAtNextRequest,
}

/// The service's own error in place of an answer, for kinds that mean one.
pub fn instead(fault: &Fault, call: &Call, now: SystemTime) -> Option<Response> {
    let s3 = call.service == Service::S3;
    let failure = |status, code: &str, message: &str| match s3 {
        true => s3::failure(status, code, message),
        false => azure::failure(status, code, message),
    };
    let response = match fault.kind {
        Kind::Status => status(fault, call, fault.status.unwrap_or(503)),
        Kind::ActThen500 => status(fault, call, 500),
        Kind::ErrorIn200 => status(
            &Fault { code: fault.code.clone().or(Some("InternalError".into())), ..fault.clone() },
            call,
            200,
        ),
        Kind::ExpiredCredentials if s3 => failure(400, "ExpiredToken", "The provided token has expired."),
        Kind::ExpiredCredentials => failure(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Signature not valid in the specified time frame: expired.",
        ),
        Kind::SkewedClock => {
            let ahead = Duration::from_millis(fault.ms.unwrap_or(3_600_000));
            let refused = match s3 {
                true => s3::refuse(&crate::sign::Signature::Skewed),
                false => azure::refuse(&crate::sign::Signature::Skewed),
            };
            refused.header("Date", http_date(now + ahead))
        }
        Kind::Redirect => {
            let status = fault.status.unwrap_or(307);
            let location = fault.location.as_deref().unwrap_or("http://127.0.0.2:9/elsewhere");
            let (code, message) = match status {
                301 => ("PermanentRedirect", "The bucket must be addressed using the specified endpoint."),
                _ => {
                    ("TemporaryRedirect", "Please re-send this request to the specified temporary endpoint.")
                }
            };
            let response = failure(status, code, message).header("Location", location);
            match &fault.region {
                Some(region) => response.header("x-amz-bucket-region", region),
                None => response,
            }
        }
        _ => return None,
    };
    Some(response)
}

fn status(fault: &Fault, call: &Call, status: u16) -> Response {
    let s3 = call.service == Service::S3;
    let code = fault.code.as_deref().unwrap_or(match (status, s3) {
        (400, true) => "InvalidRequest",
        (400, false) => "InvalidInput",
        (403, true) => "AccessDenied",
        (403, false) => "AuthorizationPermissionMismatch",
        (404, true) => "NoSuchKey",
        (404, false) => "BlobNotFound",
        (408, true) => "RequestTimeout",
        (409, true) => "OperationAborted",
        (409, false) => "OperationTimedOut",
        (412, true) => "PreconditionFailed",
        (412, false) => "ConditionNotMet",
        (416, _) => "InvalidRange",
        (429, true) => "TooManyRequests",
        (503, true) => "SlowDown",
        (503, false) => "ServerBusy",
        (_, true) => "InternalError",
        (_, false) => "InternalError",
    });
    let xml = match s3 {
        true => s3::error_xml(code, "faultd says so"),
        false => azure::error_xml(code, "faultd says so"),
    };
    let response = Response::new(status);
    let mut response = match fault.body.as_deref().unwrap_or("xml") {
        "none" => response,
        "html" => response.text("text/html", "<html><body><h1>Bad gateway</h1></body></html>"),
        "truncated" => response.text("application/xml", &xml.as_bytes()[..xml.len() / 2]),
        "spaces" => response.text("application/xml", format!("{}{xml}", " \n".repeat(40))),
        _ => response.xml(&xml),
    };
    if !s3 && status >= 300 && fault.body.as_deref() != Some("none") {
        response.set("x-ms-error-code", code);
    }
    if let Some(wait) = &fault.retry_after {
        response.set("Retry-After", wait);
    }
    response
}

/// Changes the answer where the fault is in what it says.
pub fn spoil(fault: &Fault, response: &mut Response) {
    let len = response.range.len();
    let place = fault.place(len).max(usize::from(fault.kind == Kind::ShortRange).min(len));
    match fault.kind {
        Kind::ShortBody | Kind::ShortRange => {
            response.range.end = response.range.start + place;
            if let (Kind::ShortRange, Some((first, total))) = (fault.kind, content_range(response)) {
                let last = (first + place).saturating_sub(1).max(first);
                response.set("Content-Range", format!("bytes {first}-{last}/{total}"));
            }
        }
        Kind::NoLength => {
            response.set("Connection", "close");
            response.set("Content-Length", "-"); // left out below
        }
        Kind::WrongContentRange => {
            let Some((first, total)) = content_range(response) else { return };
            let last = (first + len).saturating_sub(1);
            let text = match fault.body.as_deref().unwrap_or("shift") {
                "longer" => format!("bytes {first}-{}/{}", last + 1, total.max(last + 2)),
                "total" => format!("bytes {first}-{last}/{}", total + 1),
                "unit" => format!("octets {first}-{last}/{total}"),
                "reversed" => format!("bytes {}-{first}/{total}", last + 1),
                "missing" => return response.drop("Content-Range"),
                _ => format!("bytes {}-{}/{}", first + 1, last + 1, total.max(last + 2)),
            };
            response.set("Content-Range", text);
        }
        Kind::WrongLength => {
            let wrong = len as i64 + fault.count.unwrap_or(1);
            response.set("Content-Length", wrong.max(0).to_string());
        }
        Kind::OtherEtag => response.set("ETag", "\"another-object\""),
        Kind::Corrupt => {
            if len > 0 {
                let mut bytes = response.payload().to_vec();
                let at = place.min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x20;
                }
                response.range = 0..bytes.len();
                response.body = Arc::new(bytes);
            }
            if fault.checksum == Some(false) {
                response.headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("x-amz-checksum"));
            }
        }
        Kind::OversizedHead => {
            let missing = usize::try_from(fault.count.unwrap_or(1 << 20)).unwrap_or_default();
            for number in 0..missing.div_ceil(8000) {
                response.headers.push((format!("x-padding-{number}"), "x".repeat(7980)));
            }
        }
        Kind::Chunked | Kind::ChunkedMalformed => response.set("Transfer-Encoding", "chunked"),
        Kind::SetHeader => {
            if let Some(name) = &fault.name {
                response.set(name, fault.value.as_deref().unwrap_or_default());
            }
        }
        Kind::DropHeader => {
            if let Some(name) = &fault.name {
                match name.eq_ignore_ascii_case("content-length") {
                    true => response.set("Content-Length", "-"),
                    false => response.drop(name),
                }
            }
        }
        _ => {}
    }
}

/// The first byte and the total of `Content-Range`.
fn content_range(response: &Response) -> Option<(usize, usize)> {
    let (range, total) = response.get("Content-Range")?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
}

/// What is done with the connection, in order; without an end it stays open for more requests.
pub fn plan(fault: Option<&Fault>, response: &Response) -> Vec<Step> {
    let mut head = response.head();
    if response.get("Content-Length") == Some("-") {
        let text = String::from_utf8_lossy(&head).replacen("Content-Length: -\r\n", "", 1);
        head = text.into_bytes();
    }
    let len = response.payload().len();
    let (whole, send) = (Step::Body(0..len), Step::Send(head.clone()));
    let Some(fault) = fault else { return vec![send, whole] };
    let place = fault.place(len);
    let (first, rest) = (Step::Body(0..place), Step::Body(place..len));
    let (half, other_half) = {
        let (half, other) = head.split_at(head.len() / 2);
        (Step::Send(half.to_vec()), Step::Send(other.to_vec()))
    };
    let pause = Step::Stall(fault.pause());
    match fault.kind {
        Kind::Refuse | Kind::ResetBeforeHead => vec![Step::Reset],
        Kind::ResetInHead => vec![half, Step::Reset],
        Kind::ResetAfterHead => vec![send, Step::Reset],
        Kind::ResetInBody => vec![send, first, Step::Reset],
        Kind::ResetAfterBody => vec![send, whole, Step::Reset],
        Kind::CloseBeforeHead | Kind::ActThenDrop => vec![Step::Close],
        Kind::CloseInHead => vec![half, Step::Close],
        Kind::CloseInBody | Kind::NoLength => vec![send, first, Step::Close],
        Kind::CloseAfterBody => vec![send, whole, Step::Close],
        Kind::StallBeforeHead => vec![pause, send, whole],
        Kind::StallInHead => vec![half, pause, other_half, whole],
        Kind::StallInBody => vec![send, first, pause, rest],
        Kind::Trickle => {
            let pieces = usize::try_from(fault.count.unwrap_or(20)).unwrap_or(1).max(1);
            let size = len.div_ceil(pieces).max(1);
            let pause = Duration::from_millis(fault.ms.unwrap_or(20));
            let mut steps = vec![send];
            for start in (0..len).step_by(size) {
                steps.extend([Step::Stall(Some(pause)), Step::Body(start..(start + size).min(len))]);
            }
            steps
        }
        Kind::Duplicate => vec![send.clone(), whole.clone(), send, whole],
        Kind::GarbageHead => vec![
            Step::Send(b"\x16\x03\x01\x00\xa5 this is no HTTP\r\n\x00\xff\r\n\r\n".to_vec()),
            Step::Close,
        ],
        Kind::Chunked => {
            let mut steps = vec![send];
            for range in [0..place, place..len] {
                if !range.is_empty() {
                    steps.push(Step::Send(format!("{:X};ext=\"a;b\"\r\n", range.len()).into_bytes()));
                    steps.extend([Step::Body(range), Step::Send(b"\r\n".to_vec())]);
                }
            }
            steps.push(Step::Send(b"0\r\nx-trailer: 1\r\n\r\n".to_vec()));
            steps
        }
        Kind::ChunkedMalformed => {
            let text = |text: String| Step::Send(text.into_bytes());
            match fault.body.as_deref().unwrap_or("size") {
                "overflow" => vec![send, text("FFFFFFFFFFFFFFFFF\r\n".into()), whole, Step::Close],
                "data" => {
                    vec![send, text(format!("{len:x}\r\n")), whole, text("XX0\r\n\r\n".into()), Step::Close]
                }
                "end" => vec![send, text(format!("{len:x}\r\n")), whole, text("\r\n".into()), Step::Close],
                _ => vec![send, text("zz\r\n".into()), whole, text("\r\n0\r\n\r\n".into()), Step::Close],
            }
        }
        Kind::Stale => vec![send, whole, Step::CloseAtNextRequest],
        Kind::HalfClose => vec![send, first, Step::HalfClose],
        Kind::Continue => {
            let count = usize::try_from(fault.count.unwrap_or(1)).unwrap_or(1);
            vec![Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(count)), send, whole]
        }
        Kind::ExtraBytes => {
            let count = usize::try_from(fault.count.unwrap_or(16)).unwrap_or(16);
            vec![send, whole, Step::Send(b"#".repeat(count))]
        }
        _ => vec![send, whole],
    }
}
