//! Ranged GET straight into the destination, and HEAD.

use super::wire::{Broken, Facts, Incoming, Piece, Wire};
use super::{Code, Error, GetRequest, GetResult, ObjectMeta, Place, Result, S3Store};
use super::{range_len, write};
use crate::base::checksum::crc32c_base64_value;
use crate::net::content_range;
use crate::net::retry::classify::{Lost, RequestKind};

/// Reads as much of the object as there is place for.
pub(super) async fn get(
    store: &S3Store,
    key: &str,
    request: GetRequest,
    place: &mut Place,
) -> Result<GetResult> {
    let full = store.full_key(key)?;
    let offset = request.offset;
    let limit = place.len();
    if place.is_empty() {
        let meta = Box::pin(stat(store, key, request.if_match.as_deref())).await?;
        return range_len(offset, 0, meta.size).map(|bytes| GetResult { bytes, meta });
    }
    let mut wire = Wire::new(store, RequestKind::Read).await?;
    let mut pin = request.if_match;
    let mut known: Option<ObjectMeta> = None;
    let mut filled = 0;
    loop {
        let want = known.as_ref().map_or(limit, |meta| wanted(meta, offset, limit));
        let span = Span { full: &full, key, from: offset + filled as u64, len: want - filled };
        let opened = match open(store, &mut wire, &span, pin.as_deref()).await {
            Ok(Some(opened)) => {
                request.first_byte.mark();
                opened
            }
            Ok(None) => {
                // Nothing at this offset: the end of the object, or past it.
                let meta = Box::pin(stat(store, key, pin.as_deref())).await?;
                return match range_len(offset, limit, meta.size)? {
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
                let end = range_len(offset, limit, opened.meta.size)?;
                pin = pin.or_else(|| opened.meta.etag.clone());
                known = Some(opened.meta);
                end
            }
            Some(meta) if meta.size != opened.meta.size => {
                return Err(Error::new(Code::Changed, "the object's size changed during the read"));
            }
            Some(_) => want,
        };
        let before = filled;
        let dst = place.first(end)?;
        let outcome = wire.receive(store, opened.body, opened.piece, dst, &mut filled).await;
        if let (true, Some(meta)) = (filled == end, known.take_if(|_| filled == end)) {
            return match outcome {
                Ok(()) => Ok(GetResult { bytes: filled, meta }),
                Err(broken) => Err(broken.error),
            };
        }
        let broken = outcome
            .err()
            .unwrap_or_else(|| Broken { error: short(filled, end), lost: Some(Lost::Truncated) });
        if pin.is_none() || broken.error.code() == Code::Protocol {
            return Err(broken.error);
        }
        tracing::debug!(uri = %store.uri(key), filled, end, error = %broken.error, "the body ended early; going on from there");
        Box::pin(wire.resume(store, broken, (filled - before) as u64)).await?;
    }
}

/// HEAD. Its errors have no body, so their reason is asked for with a GET of one byte.
pub(super) async fn stat(store: &S3Store, key: &str, if_match: Option<&str>) -> Result<ObjectMeta> {
    let full = store.full_key(key)?;
    let mut explained = false;
    loop {
        let error = match head(store, &full, if_match).await {
            Ok(facts) => return from_head(key, facts),
            Err(error) => pinned(error),
        };
        let status = error.http_status().unwrap_or(0);
        if explained || !(300..500).contains(&status) || matches!(status, 412 | 429) {
            return Err(error);
        }
        explained = true;
        let span = Span { full: &full, key, from: 0, len: 1 };
        let mut wire = Wire::new(store, RequestKind::Read).await?;
        match open(store, &mut wire, &span, if_match).await {
            Ok(_) => continue, // it came into being just now, or HEAD alone was refused: ask once more
            Err(reason) if reason.http_status().is_some() => return Err(reason),
            Err(_) => return Err(error),
        }
    }
}

/// One HEAD of a full key, without asking why it failed.
pub(super) async fn head(store: &S3Store, full: &str, if_match: Option<&str>) -> Result<Facts> {
    Wire::new(store, RequestKind::Read).await?.head(store, full, if_match).await
}

/// The same, as an object's facts; `None` where there is no object.
pub(super) async fn meta(store: &S3Store, full: &str) -> Result<Option<ObjectMeta>> {
    match head(store, full, None).await {
        Ok(facts) => from_head(full, facts).map(Some),
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn from_head(key: &str, facts: Facts) -> Result<ObjectMeta> {
    let size = facts.length;
    let whole = !facts.composite;
    Ok(ObjectMeta {
        key: key.to_owned(),
        size: size.ok_or_else(|| Error::new(Code::Protocol, "the answer has no Content-Length"))?,
        last_modified: facts.last_modified,
        // A composite checksum (with a dash and the number of parts) is not one of the bytes.
        crc32c: facts.crc32c.filter(|_| whole).and_then(|text| crc32c_base64_value(&text)),
        etag: facts.etag,
        content_type: facts.content_type,
        metadata: write::visible(facts.metadata),
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

pub(super) fn short(filled: usize, end: usize) -> Error {
    Error::new(Code::Truncated, format!("the body ended after {filled} of {end} bytes")).with_retryable(true)
}

/// What to ask for.
struct Span<'a> {
    full: &'a str,
    key: &'a str,
    from: u64,
    len: usize,
}

/// The checked head of an answer, and its body.
struct Opened {
    meta: ObjectMeta,
    piece: Piece,
    body: Incoming,
}

/// Sends the ranged GET and checks its head. `None`: no byte at this offset (416).
async fn open(
    store: &S3Store,
    wire: &mut Wire,
    span: &Span<'_>,
    if_match: Option<&str>,
) -> Result<Option<Opened>> {
    let last = span.from.saturating_add(span.len as u64 - 1);
    let range = format!("bytes={}-{last}", span.from);
    let Some((facts, body)) = wire.get(store, span.full, &range, if_match).await.map_err(pinned)? else {
        return Ok(None);
    };
    if let (Some(wanted), Some(etag)) = (if_match, facts.etag.as_deref())
        && wanted != etag
    {
        return Err(Error::new(
            Code::Changed,
            format!("the object was replaced: its ETag is {etag}, not {wanted}"),
        ));
    }
    Opened::check(span, last, facts, body).map(Some)
}

impl Opened {
    fn check(span: &Span<'_>, last: u64, facts: Facts, body: Incoming) -> Result<Opened> {
        let lie = |what: String| Error::new(Code::Protocol, what);
        let length = facts.length;
        let (size, skip, promised) = match facts.content_range.as_deref() {
            Some(text) => {
                let (first, end, size) = parse_content_range(text)
                    .ok_or_else(|| lie(format!("the server answers with Content-Range {text:?}")))?;
                let count = end - first + 1;
                if first != span.from || end > last || length.is_some_and(|n| n != count) {
                    return Err(lie(format!(
                        "bytes {}-{last} were asked for, but the server sends {text:?} with {length:?} bytes",
                        span.from
                    )));
                }
                (size, 0, count)
            }
            None if facts.partial => {
                return Err(lie("the server sends a part of the object and does not say which".into()));
            }
            // The whole object: the server does not know ranges.
            None => {
                let size = length.ok_or_else(|| lie("the answer has no Content-Length".into()))?;
                (size, span.from.min(size), size.saturating_sub(span.from))
            }
        };
        let meta = ObjectMeta {
            key: span.key.to_owned(),
            size,
            etag: facts.etag,
            last_modified: facts.last_modified,
            content_type: facts.content_type,
            metadata: write::visible(facts.metadata),
            crc32c: None,
        };
        Ok(Opened { meta, piece: Piece { skip, promised }, body })
    }
}

/// `bytes 5-9/10` gives (5, 9, 10).
pub(super) fn parse_content_range(text: &str) -> Option<(u64, u64, u64)> {
    content_range(text).filter(|(first, end, size)| first <= end && end < size)
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
