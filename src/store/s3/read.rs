//! Ranged GET straight into the destination, and HEAD.

use super::{Code, Error, GetRequest, GetResult, ObjectMeta, Result, S3Store, Window};
use super::{error, range_len, to_system_time, write};
use crate::base::checksum::crc32c_base64_value;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};

/// Progress after which earlier failures of the same read are forgotten.
const GOOD_PROGRESS: usize = 1 << 20;

pub(super) async fn get_into(
    store: &S3Store,
    key: &str,
    request: GetRequest,
    mut dst: Window,
) -> Result<GetResult> {
    let full = store.full_key(key)?;
    let offset = request.offset;
    if dst.is_empty() {
        let meta = stat(store, key, request.if_match.as_deref()).await?;
        return range_len(offset, 0, meta.size).map(|bytes| GetResult { bytes, meta });
    }
    let mut pin = request.if_match;
    let mut known: Option<ObjectMeta> = None;
    let mut filled = 0;
    let mut failures = 0;
    loop {
        let want = known.as_ref().map_or(dst.len(), |meta| wanted(meta, offset, dst.len()));
        let piece = Piece { full: &full, key, from: offset + filled as u64, len: want - filled };
        let mut opened = match open(store, &piece, pin.as_deref()).await {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                // Nothing at this offset: the end of the object, or past it.
                let meta = stat(store, key, pin.as_deref()).await?;
                return match range_len(offset, dst.len(), meta.size)? {
                    0 => Ok(GetResult { bytes: 0, meta }),
                    _ => Err(Error::new(
                        Code::Protocol,
                        format!(
                            "the server refuses a range from {offset} in an object of {} bytes",
                            meta.size
                        ),
                    )),
                };
            }
            Err(error) if known.is_some() && error.code() == Code::NotFound => {
                return Err(error
                    .with_code(Code::Changed)
                    .with_cause("the object was deleted during the read"));
            }
            Err(error) => return Err(error),
        };
        let end = match &known {
            None => {
                let end = range_len(offset, dst.len(), opened.meta.size)?;
                pin = pin.or_else(|| opened.meta.etag.clone());
                known = Some(opened.meta.clone());
                end
            }
            Some(meta) if meta.size != opened.meta.size => {
                return Err(Error::new(Code::Changed, "the object's size changed during the read"));
            }
            Some(_) => want,
        };
        let before = filled;
        let outcome = opened.receive(store, &mut dst[..end], &mut filled).await;
        if let (true, Some(meta)) = (filled == end, known.take_if(|_| filled == end)) {
            outcome?;
            return Ok(GetResult { bytes: filled, meta });
        }
        failures = if filled - before >= GOOD_PROGRESS { 1 } else { failures + 1 };
        let error = outcome.err().unwrap_or_else(|| short(filled, end));
        if failures >= store.settings().max_attempts || pin.is_none() || error.code() == Code::Protocol {
            return Err(error);
        }
        tracing::debug!(uri = %store.uri(key), filled, end, %error, "the body ended early; going on from there");
        tokio::time::sleep(store.settings().backoff(failures)).await;
    }
}

/// HEAD. Its errors have no body, so their reason is asked for with a GET of one byte.
pub(super) async fn stat(store: &S3Store, key: &str, if_match: Option<&str>) -> Result<ObjectMeta> {
    let full = store.full_key(key)?;
    let mut explained = false;
    loop {
        let failure = match head(store, &full, if_match).await? {
            Ok(head) => return from_head(key, head),
            Err(failure) => failure,
        };
        let status = failure.raw_response().map_or(0, |r| r.status().as_u16());
        let error = pinned(store.failed(failure));
        if explained || !(300..500).contains(&status) || matches!(status, 412 | 429) {
            return Err(error);
        }
        explained = true;
        let piece = Piece { full: &full, key, from: 0, len: 1 };
        match open(store, &piece, if_match).await {
            Ok(_) => continue, // it came into being just now, or HEAD alone was refused: ask once more
            Err(reason) if reason.http_status().is_some() => return Err(reason),
            Err(_) => return Err(error),
        }
    }
}

pub(super) type Head = std::result::Result<HeadObjectOutput, error::Failure<HeadObjectError>>;

pub(super) async fn head(store: &S3Store, full: &str, if_match: Option<&str>) -> Result<Head> {
    let head = store.client().await?.head_object().bucket(store.bucket()).key(full);
    let head = head.checksum_mode(ChecksumMode::Enabled).set_if_match(if_match.map(str::to_owned));
    Ok(head.send().await)
}

/// One HEAD of a full key, without asking why it failed; `None` where there is no object.
pub(super) async fn meta(store: &S3Store, full: &str) -> Result<Option<ObjectMeta>> {
    match head(store, full, None).await? {
        Ok(head) => from_head(full, head).map(Some),
        Err(failure) => match store.failed(failure) {
            error if error.code() == Code::NotFound => Ok(None),
            error => Err(error),
        },
    }
}

fn from_head(key: &str, head: HeadObjectOutput) -> Result<ObjectMeta> {
    let size = head.content_length.and_then(|n| u64::try_from(n).ok());
    let whole = head.checksum_type != Some(ChecksumType::Composite);
    Ok(ObjectMeta {
        key: key.to_owned(),
        size: size.ok_or_else(|| Error::new(Code::Protocol, "the answer has no Content-Length"))?,
        last_modified: to_system_time(head.last_modified()),
        // A composite checksum (with a dash and the number of parts) is not one of the bytes.
        crc32c: head.checksum_crc32_c.filter(|_| whole).and_then(|text| crc32c_base64_value(&text)),
        etag: head.e_tag,
        content_type: head.content_type,
        metadata: write::visible(head.metadata),
    })
}

/// A failed precondition of a read: the object is another one now.
fn pinned(error: Error) -> Error {
    match error.code() {
        Code::PreconditionFailed => error.with_code(Code::Changed).with_cause("the object was replaced"),
        _ => error,
    }
}

fn wanted(meta: &ObjectMeta, offset: u64, len: usize) -> usize {
    range_len(offset, len, meta.size).unwrap_or(0)
}

fn short(filled: usize, end: usize) -> Error {
    Error::new(Code::Truncated, format!("the body ended after {filled} of {end} bytes")).with_retryable(true)
}

/// What to ask for.
struct Piece<'a> {
    full: &'a str,
    key: &'a str,
    from: u64,
    len: usize,
}

/// A body that begins `skip` bytes before what was asked for.
struct Opened {
    meta: ObjectMeta,
    skip: u64,
    /// Bytes that the answer promises after `skip`.
    promised: u64,
    body: ByteStream,
}

/// Sends the ranged GET and checks its head. `None`: no byte at this offset (416).
async fn open(store: &S3Store, piece: &Piece<'_>, if_match: Option<&str>) -> Result<Option<Opened>> {
    let last = piece.from.saturating_add(piece.len as u64 - 1);
    let get = store.client().await?.get_object().bucket(store.bucket()).key(piece.full);
    let get = get.range(format!("bytes={}-{last}", piece.from)).set_if_match(if_match.map(str::to_owned));
    let output = match get.send().await {
        Ok(output) => output,
        Err(failure) if is_range_error(&failure) => return Ok(None),
        Err(failure) => return Err(pinned(store.failed(failure))),
    };
    if let (Some(wanted), Some(etag)) = (if_match, output.e_tag())
        && wanted != etag
    {
        return Err(Error::new(
            Code::Changed,
            format!("the object was replaced: its ETag is {etag}, not {wanted}"),
        ));
    }
    Opened::check(piece, last, output).map(Some)
}

fn is_range_error(failure: &error::Failure<GetObjectError>) -> bool {
    failure.raw_response().is_some_and(|r| r.status().as_u16() == 416)
}

impl Opened {
    fn check(piece: &Piece<'_>, last: u64, output: GetObjectOutput) -> Result<Opened> {
        let lie = |what: String| Error::new(Code::Protocol, what);
        let length = output.content_length().and_then(|n| u64::try_from(n).ok());
        let (size, skip, promised) = match output.content_range() {
            Some(text) => {
                let (first, end, size) = parse_content_range(text)
                    .ok_or_else(|| lie(format!("the server answers with Content-Range {text:?}")))?;
                let count = end - first + 1;
                if first != piece.from || end > last || length.is_some_and(|n| n != count) {
                    return Err(lie(format!(
                        "bytes {}-{last} were asked for, but the server sends {text:?} with {length:?} bytes",
                        piece.from
                    )));
                }
                (size, 0, count)
            }
            // The whole object: the server does not know ranges.
            None => {
                let size = length.ok_or_else(|| lie("the answer has no Content-Length".into()))?;
                (size, piece.from.min(size), size.saturating_sub(piece.from))
            }
        };
        let meta = ObjectMeta {
            key: piece.key.to_owned(),
            size,
            etag: output.e_tag,
            last_modified: to_system_time(output.last_modified.as_ref()),
            content_type: output.content_type,
            metadata: write::visible(output.metadata),
            crc32c: None,
        };
        Ok(Opened { meta, skip, promised, body: output.body })
    }

    /// Copies what comes to `dst[*filled..]` and moves `filled` along. Fails where the body fails;
    /// a body that ends early is for the caller to see from `filled`.
    async fn receive(&mut self, store: &S3Store, dst: &mut [u8], filled: &mut usize) -> Result<()> {
        let mut came = 0u64;
        loop {
            let complete = *filled == dst.len();
            if complete && (self.skip > 0 || came < self.promised) {
                return Ok(()); // the rest of a whole object that nobody asked for
            }
            let chunk = match self.body.next().await {
                None => return Ok(()),
                Some(Ok(chunk)) => chunk,
                Some(Err(failure)) => return Err(body_error(store, &failure, *filled, dst.len())),
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skipped as u64;
            let chunk = &chunk[skipped..];
            came += chunk.len() as u64;
            if came > self.promised {
                return Err(Error::new(Code::Protocol, "the server sends more bytes than it announced"));
            }
            let n = chunk.len().min(dst.len() - *filled);
            dst[*filled..*filled + n].copy_from_slice(&chunk[..n]);
            *filled += n;
        }
    }
}

fn body_error(
    store: &S3Store,
    failure: &(dyn std::error::Error + 'static),
    filled: usize,
    end: usize,
) -> Error {
    match error::transport_code(failure) {
        Some(Code::Timeout) | Some(Code::Tls) => error::from_transport(store.settings(), failure),
        _ => short(filled, end).with_source(failure),
    }
}

/// `bytes 5-9/10` gives (5, 9, 10).
fn parse_content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, end) = range.split_once('-')?;
    let (first, end, size): (u64, u64, u64) = (first.parse().ok()?, end.parse().ok()?, size.parse().ok()?);
    (first <= end && end < size).then_some((first, end, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_content_range_is_parsed_strictly() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, 9, 10)));
        for bad in ["", "bytes */10", "bytes 5-9/*", "bytes 9-5/10", "bytes 5-10/10", "5-9/10", "bytes 5-/10"]
        {
            assert_eq!(parse_content_range(bad), None, "{bad:?}");
        }
    }
}
