//! Reading bytes and facts of an object.

use super::client::Client;
use super::failure::Failure;
use super::headers::Headers;
use super::retry::Retry;
use super::{HIDDEN_METADATA, Inner, META_CRC32C, etag_of, http_date};
use crate::base::checksum::parse_crc32c;
use crate::base::first_byte::FirstByte;
use crate::error::{Code, Error, Result};
use crate::net::retry::classify::Lost;
use crate::net::retry::classify::RequestKind::Read;
use crate::net::{Method, content_range as content_range_numbers};
use crate::store::place::Place;
use crate::store::{GetRequest, GetResult, ObjectMeta, range_len};
use std::collections::BTreeMap;
use std::ops::Range;

/// Past the end of every object: not worth a range that no server parses.
const MAX_OFFSET: u64 = 1 << 60;

/// A read that may go on after a failure where it stopped.
struct Reading<'a> {
    client: &'a Client,
    path: &'a str,
    key: &'a str,
    offset: u64,
    place: &'a mut Place,
    first_byte: FirstByte,
    /// How many bytes are there.
    done: usize,
    /// Every answer must be of this object.
    etag: Option<String>,
    meta: Option<ObjectMeta>,
}

/// Reads as much of the blob as there is place for.
pub(super) async fn get(
    store: &Inner,
    key: &str,
    request: GetRequest,
    place: &mut Place,
) -> Result<GetResult> {
    let path = store.blob_path(key)?;
    let client = store.client()?;
    let mut retry = client.attempts(Read);
    if place.is_empty() || request.offset > MAX_OFFSET {
        let meta = head(&client, &path, key, request.if_match.as_deref(), &mut retry).await;
        let meta = meta.map_err(|f| changed(f).error)?;
        range_len(request.offset, 0, meta.size)?;
        return Ok(GetResult { bytes: 0, meta });
    }
    let (client, path) = (&*client, path.as_str());
    let GetRequest { offset, if_match: etag, first_byte } = request;
    let mut reading = Reading { client, path, key, offset, place, first_byte, done: 0, etag, meta: None };
    loop {
        let before = reading.done;
        let failure = match reading.go_on(&retry).await {
            Ok(meta) => {
                retry.succeeded();
                return Ok(GetResult { bytes: reading.done, meta });
            }
            Err(failure) => failure,
        };
        retry.progressed(reading.done.saturating_sub(before));
        if failure.status() == Some(416) {
            // The range starts at or past the end; the answer does not say where the end is.
            let meta = head(client, path, key, reading.etag.as_deref(), &mut retry.inquiry(Read)).await;
            let meta = meta.map_err(|f| changed(f).error)?;
            if reading.done == 0 && range_len(offset, reading.place.len(), meta.size)? == 0 {
                return Ok(GetResult { bytes: 0, meta });
            }
            let grew = Error::new(Code::Changed, "the object grew while it was being read");
            let grew = Failure::lost(Lost::Malformed, grew.with_retryable(true));
            retry.again(client, grew).await.map_err(|f| f.error)?;
            continue;
        }
        retry.again(client, changed(failure)).await.map_err(|f| f.error)?;
    }
}

impl Reading<'_> {
    /// One request for all that is missing.
    async fn go_on(&mut self, retry: &Retry) -> Result<ObjectMeta, Failure> {
        if self.etag.is_none() {
            self.done = 0; // without an ETag what is there may be of another object
        }
        if let Some(meta) = &self.meta
            && self.done as u64 == meta.size.saturating_sub(self.offset).min(self.place.len() as u64)
        {
            return Ok(meta.clone());
        }
        let start = self.offset + self.done as u64;
        let end = self.offset.saturating_add(self.place.len() as u64) - 1;
        let mut call = self.client.call(Method::Get, self.path, &[]);
        call = call.header("range", format!("bytes={start}-{end}"));
        if let Some(etag) = &self.etag {
            call = call.header("if-match", etag.as_str());
        }
        let answer = self.client.send_once(&call, retry).await?;
        let range = content_range(answer.status, &answer.headers)?;
        let wanted = start..range.total.min(end + 1);
        if range.bytes != wanted {
            let (got, total) = (&range.bytes, range.total);
            return Err(protocol(format!("bytes {wanted:?} were asked for, but {got:?} of {total} came")));
        }
        let meta = meta(self.key, &answer.headers, range.total);
        if let (Some(wanted), Some(got)) = (&self.etag, &meta.etag)
            && wanted != got
        {
            let why = format!("the object was replaced: its ETag is {got}, not {wanted}");
            return Err(Error::new(Code::Changed, why).into());
        }
        if self.etag.is_none() {
            self.etag.clone_from(&meta.etag);
        }
        self.meta = Some(meta.clone());
        self.first_byte.mark();
        let stop = self.done + (range.bytes.end - start) as usize; // within the place
        let from = self.done;
        let place = self.place.first(stop)?;
        answer.receive(&mut place[from..], &mut self.done).await?;
        Ok(meta)
    }
}

/// A refused if-match of a read.
fn changed(failure: Failure) -> Failure {
    if failure.status() != Some(412) {
        return failure;
    }
    failure.map(|error| {
        error.with_code(Code::Changed).with_cause("the object was replaced while it was being read")
    })
}

/// The facts of an object, without its bytes.
pub(super) async fn head(
    client: &Client,
    path: &str,
    key: &str,
    if_match: Option<&str>,
    retry: &mut Retry,
) -> Result<ObjectMeta, Failure> {
    let headers = head_headers(client, path, if_match, retry).await?;
    let size = headers.get("content-length").and_then(|text| text.parse().ok());
    let size = size.ok_or_else(|| protocol("the answer has no valid Content-Length".into()))?;
    Ok(meta(key, &headers, size))
}

pub(super) async fn head_headers(
    client: &Client,
    path: &str,
    if_match: Option<&str>,
    retry: &mut Retry,
) -> Result<Headers, Failure> {
    let mut call = client.call(Method::Head, path, &[]);
    if let Some(etag) = if_match {
        call = call.header("if-match", etag);
    }
    match client.fetch(&call, retry).await {
        Ok((headers, _)) => Ok(headers),
        Err(failure) if failure.status() == Some(403) => Err(explain(client, path, failure, retry).await),
        Err(failure) => Err(failure),
    }
}

/// A refused HEAD has no text, and some refusals differ in their text only: a GET has it.
async fn explain(client: &Client, path: &str, failure: Failure, retry: &Retry) -> Failure {
    let call = client.call(Method::Get, path, &[]).header("range", "bytes=0-0");
    match client.send_once(&call, retry).await {
        Err(more) if more.status() == Some(403) => more,
        _ => failure,
    }
}

fn meta(key: &str, headers: &Headers, size: u64) -> ObjectMeta {
    let text = |name| headers.get(name).map(str::to_owned);
    let named = headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        Some((name.strip_prefix("x-ms-meta-")?.to_owned(), value.to_owned()))
    });
    let (hidden, metadata): (BTreeMap<_, _>, BTreeMap<_, _>) =
        named.partition(|(name, _)| name.starts_with(HIDDEN_METADATA));
    let crc32c = hidden.get(META_CRC32C).and_then(|text| parse_crc32c(text).ok());
    ObjectMeta {
        key: key.to_owned(),
        size,
        etag: headers.get("etag").map(etag_of),
        last_modified: headers.get("last-modified").and_then(http_date),
        content_type: text("content-type"),
        metadata,
        crc32c,
    }
}

pub(super) struct ContentRange {
    pub(super) bytes: Range<u64>,
    pub(super) total: u64,
}

/// `Content-Range: bytes 0-9/100` of a 206 answer. Azurite answers a range at the end of the object with
/// an empty one, `bytes 100-99/100`, where the service says 416.
fn content_range(status: u16, headers: &Headers) -> Result<ContentRange, Failure> {
    match headers.get("content-range").and_then(parse_content_range) {
        Some(range) if status == 206 => Ok(range),
        _ => Err(protocol(format!(
            "the answer to a ranged request is HTTP {status} without a valid Content-Range"
        ))),
    }
}

pub(super) fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (start, last, total) = content_range_numbers(text)?;
    let end = last.checked_add(1)?;
    (start <= end && end <= total).then_some(ContentRange { bytes: start..end, total })
}

fn protocol(why: String) -> Failure {
    Failure::lost(Lost::Malformed, Error::new(Code::Protocol, why))
}

pub(super) async fn stat(store: &Inner, key: &str) -> Result<ObjectMeta> {
    let path = store.blob_path(key)?;
    let client = store.client()?;
    head(&client, &path, key, None, &mut client.attempts(Read)).await.map_err(|f| f.error)
}
