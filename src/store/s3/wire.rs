//! The requests that carry objects, whichever way they go: over the library's own data plane, or, with
//! `net.optimized=false`, over the SDK. What is done with their answers is the same.

use super::client::Checksum;
use super::plane::{self, Ask, Courier, Failed};
use super::sdk::Sdk;
use super::{Code, Error, PutCondition, PutOptions, Result, S3Store};
use crate::base::checksum::{Crc32c, crc32c_base64};
use crate::net::auth::escape;
use crate::net::retry::classify::RequestKind;
use crate::net::{Answer, Method};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::collections::HashMap;
use std::time::SystemTime;

/// What a service says of an object when nobody said what it is.
const DEFAULT_TYPE: &str = "application/octet-stream";
/// Some services keep a checksum only if this names it.
const CHECKSUM_ALGORITHM: (&str, &str) = ("x-amz-sdk-checksum-algorithm", "CRC32C");
/// Where bytes go that nobody asked for.
const DISCARD: usize = 16 << 10;

/// What the head of an answer says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Of the body, or to HEAD of the object.
    pub(super) length: Option<u64>,
    /// The body is a part of the object (206).
    pub(super) partial: bool,
    pub(super) content_range: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) version: Option<String>,
    pub(super) last_modified: Option<SystemTime>,
    pub(super) content_type: Option<String>,
    /// All of it, names in lower case.
    pub(super) metadata: HashMap<String, String>,
    /// Base64.
    pub(super) crc32c: Option<String>,
    /// The checksum is one of checksums.
    pub(super) composite: bool,
}

/// What PutObject sends.
pub(super) struct Put<'a> {
    pub(super) full: &'a str,
    pub(super) data: &'a Bytes,
    pub(super) crc: Crc32c,
    pub(super) options: &'a PutOptions,
    /// The mark of a conditional write.
    pub(super) nonce: Option<&'a str>,
}

/// What UploadPart sends.
pub(super) struct PutPart<'a> {
    pub(super) full: &'a str,
    pub(super) upload: &'a str,
    /// Counts from 1.
    pub(super) number: u32,
    pub(super) data: &'a Bytes,
    pub(super) crc: Crc32c,
}

/// The way of one operation's requests, with the attempts that were made. (The SDK's futures are large:
/// boxed, so that those of the data plane stay small.)
pub(super) enum Wire {
    Sdk(Sdk),
    Net(Courier),
}

/// A body that is on its way.
pub(super) enum Incoming {
    Sdk(ByteStream),
    Net(Answer),
}

/// A body that failed; `lost` where it may help to ask for the rest of it.
pub(super) struct Broken {
    pub(super) error: Error,
    pub(super) lost: Option<crate::net::retry::classify::Lost>,
}

impl Wire {
    pub(super) async fn new(store: &S3Store, kind: RequestKind) -> Result<Wire> {
        let connected = store.connected().await?;
        Ok(match connected.plane.clone() {
            Some(plane) => Wire::Net(Courier::new(plane, store.settings(), kind)),
            None => Wire::Sdk(Sdk::new(connected.client.clone())),
        })
    }

    /// A ranged GET. `None`: no byte at this offset (416).
    pub(super) async fn get(
        &mut self,
        store: &S3Store,
        full: &str,
        range: &str,
        if_match: Option<&str>,
    ) -> Result<Option<(Facts, Incoming)>> {
        match self {
            Wire::Sdk(sdk) => Box::pin(sdk.get(store, full, range, if_match)).await,
            Wire::Net(courier) => {
                let headers = [("range", range), ("if-match", if_match.unwrap_or_default())];
                let headers = &headers[..1 + usize::from(if_match.is_some())];
                match courier.send(store.settings(), &Ask::new(Method::Get, full, headers)).await {
                    Ok(answer) => Ok(Some((plane::facts(&answer), Incoming::Net(answer)))),
                    Err(failed) if failed.error.http_status() == Some(416) => Ok(None),
                    Err(failed) => Err(failed.error),
                }
            }
        }
    }

    pub(super) async fn head(
        &mut self,
        store: &S3Store,
        full: &str,
        if_match: Option<&str>,
    ) -> Result<Facts> {
        match self {
            Wire::Sdk(sdk) => Box::pin(sdk.head(store, full, if_match)).await,
            Wire::Net(courier) => {
                let headers =
                    [("x-amz-checksum-mode", "ENABLED"), ("if-match", if_match.unwrap_or_default())];
                let headers = &headers[..1 + usize::from(if_match.is_some())];
                match courier.send(store.settings(), &Ask::new(Method::Head, full, headers)).await {
                    Ok(answer) => Ok(plane::facts(&answer)),
                    Err(failed) => Err(failed.error),
                }
            }
        }
    }

    pub(super) async fn put(&mut self, store: &S3Store, put: &Put<'_>) -> Result<Facts, Failed> {
        let courier = match self {
            Wire::Sdk(sdk) => return Box::pin(sdk.put(store, put)).await,
            Wire::Net(courier) => courier,
        };
        let checksum = store.settings().checksum == Checksum::Always;
        let crc = checksum.then(|| crc32c_base64(put.crc.value()));
        let content_type = put.options.content_type.as_deref();
        let mut headers = vec![("content-type", content_type.unwrap_or(DEFAULT_TYPE))];
        if let Some(crc) = &crc {
            headers.extend([CHECKSUM_ALGORITHM, ("x-amz-checksum-crc32c", crc)]);
        }
        match &put.options.condition {
            PutCondition::Always => {}
            PutCondition::CreateOnly => headers.push(("if-none-match", "*")),
            PutCondition::IfMatch(etag) => headers.push(("if-match", etag)),
        }
        let mark = put.nonce.map(|nonce| (super::write::META_WRITE, nonce));
        let own = put.options.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let metadata: Vec<_> = own.chain(mark).collect();
        let ask = Ask {
            metadata: &metadata,
            body: put.data,
            sign_body: !checksum,
            ..Ask::new(Method::Put, put.full, &headers)
        };
        courier.send(store.settings(), &ask).await.map(|answer| plane::facts(&answer))
    }

    pub(super) async fn put_part(&mut self, store: &S3Store, part: &PutPart<'_>) -> Result<Facts> {
        let courier = match self {
            Wire::Sdk(sdk) => return Box::pin(sdk.put_part(store, part)).await,
            Wire::Net(courier) => courier,
        };
        let checksum = store.settings().checksum == Checksum::Always;
        let crc = checksum.then(|| crc32c_base64(part.crc.value()));
        let headers = [CHECKSUM_ALGORITHM, ("x-amz-checksum-crc32c", crc.as_deref().unwrap_or_default())];
        let mut query = format!("partNumber={}&uploadId=", part.number).into_bytes();
        escape::query(part.upload, &mut query);
        let query = String::from_utf8(query)
            .map_err(|e| Error::new(Code::Internal, "a query is not escaped").with_source(&e))?;
        let ask = Ask {
            query: &query,
            body: part.data,
            sign_body: !checksum,
            ..Ask::new(Method::Put, part.full, &headers[..if checksum { 2 } else { 0 }])
        };
        let sent = courier.send(store.settings(), &ask).await;
        sent.map(|answer| plane::facts(&answer)).map_err(|failed| failed.error)
    }

    /// After a body failed: waits until the rest may be asked for, or says why it may not. `got` are the
    /// bytes that came since the last failure.
    pub(super) async fn resume(&mut self, store: &S3Store, broken: Broken, got: u64) -> Result<()> {
        match (self, broken.lost) {
            (_, None) => Err(broken.error),
            (Wire::Sdk(sdk), Some(_)) => Box::pin(sdk.resume(store, broken.error, got)).await,
            (Wire::Net(courier), Some(lost)) => courier.resume(broken.error, lost, got).await,
        }
    }

    /// After [`plane::Then::Resolve`]: whether to send the write again, as it has not happened.
    pub(super) fn not_applied(&mut self) -> bool {
        match self {
            Wire::Sdk(_) => false,
            Wire::Net(courier) => courier.not_applied(),
        }
    }
}

impl<'a> Ask<'a> {
    fn new(method: Method, key: &'a str, headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
        Ask { method, key, query: "", headers, metadata: &[], body: &[], sign_body: true }
    }
}

/// A body that begins `skip` bytes before what was asked for.
pub(super) struct Piece {
    pub(super) skip: u64,
    /// Bytes that the answer promises after `skip`.
    pub(super) promised: u64,
}

impl Wire {
    /// Receives to `dst[*filled..]` and moves `filled` along. Fails where the body fails; a body that
    /// ends early is for the caller to see from `filled`.
    pub(super) async fn receive(
        &self,
        store: &S3Store,
        body: Incoming,
        piece: Piece,
        dst: &mut [u8],
        filled: &mut usize,
    ) -> Result<(), Broken> {
        match (self, body) {
            (Wire::Net(courier), Incoming::Net(answer)) => {
                receive(store, courier, answer, piece, dst, filled).await
            }
            (_, Incoming::Sdk(body)) => Box::pin(super::sdk::receive(store, body, piece, dst, filled)).await,
            (Wire::Sdk(_), Incoming::Net(_)) => {
                let error = Error::new(Code::Internal, "a body came over another way than its request");
                Err(Broken { error, lost: None })
            }
        }
    }
}

async fn receive(
    store: &S3Store,
    courier: &Courier,
    mut answer: Answer,
    piece: Piece,
    dst: &mut [u8],
    filled: &mut usize,
) -> Result<(), Broken> {
    let broken = |failure| {
        let (error, lost) = courier.explain(store.settings(), failure);
        Broken { error, lost }
    };
    let mut skip = piece.skip;
    if skip > 0 {
        let mut nowhere = vec![0; DISCARD.min(usize::try_from(skip).unwrap_or(DISCARD))];
        while skip > 0 {
            let n = nowhere.len().min(usize::try_from(skip).unwrap_or(nowhere.len()));
            match answer.read_into(&mut nowhere[..n]).await.map_err(broken)? {
                0 => return Ok(()),
                came => skip -= came as u64,
            }
        }
    }
    let wanted = dst.len() - *filled;
    let n = wanted.min(usize::try_from(piece.promised).unwrap_or(usize::MAX));
    let before = answer.received();
    match answer.read_into(&mut dst[*filled..*filled + n]).await {
        Ok(came) => *filled += came,
        Err(failure) => {
            let came = usize::try_from(failure.received().saturating_sub(before)).unwrap_or(0);
            *filled += came.min(n);
            return Err(broken(failure));
        }
    }
    match piece.promised > n as u64 {
        true => Ok(()), // the rest of a whole object that nobody asked for
        false => answer.finish().await.map_err(broken),
    }
}
