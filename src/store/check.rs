//! Rules that every backend applies in the same words.

use super::{GetRequest, PutCondition, PutOptions};
use crate::error::{Code, Error, Result};

/// Entries of a listing page where the caller named no number.
pub const PAGE_ENTRIES: usize = 1000;
/// The most user metadata that every backend takes, names and values together, in bytes (S3's limit).
const MAX_METADATA_BYTES: usize = 2048;

/// How many bytes a read of `wanted` at `offset` gives from an object of `size` bytes.
pub fn range_len(offset: u64, wanted: usize, size: u64) -> Result<usize> {
    let left = size.checked_sub(offset).ok_or_else(|| {
        Error::new(Code::Range, format!("offset {offset} is past the end of the object ({size} bytes)"))
    })?;
    Ok(usize::try_from(left).unwrap_or(usize::MAX).min(wanted))
}

/// Holds a get's if-match against the object's ETag.
pub fn check_if_match(request: &GetRequest, etag: Option<&str>) -> Result<()> {
    match &request.if_match {
        Some(wanted) if Some(wanted.as_str()) != etag => Err(Error::new(
            Code::Changed,
            format!("the object was replaced: its ETag is {}, not {wanted}", etag.unwrap_or("absent")),
        )),
        _ => Ok(()),
    }
}

/// Holds a put's condition against what is there (`None`: nothing is).
pub fn check_condition(condition: &PutCondition, present: Option<&str>) -> Result<()> {
    match (condition, present) {
        (PutCondition::CreateOnly, Some(_)) => {
            Err(Error::new(Code::AlreadyExists, "there is an object of this key already"))
        }
        (PutCondition::IfMatch(wanted), None) => Err(Error::new(
            Code::PreconditionFailed,
            format!("there is no object of this key, but one with ETag {wanted} was expected"),
        )),
        (PutCondition::IfMatch(wanted), Some(etag)) if wanted != etag => Err(Error::new(
            Code::PreconditionFailed,
            format!("the object's ETag is {etag}, but {wanted} was expected"),
        )),
        _ => Ok(()),
    }
}

/// Refuses metadata that not every backend could store and give back unchanged.
pub fn check_put_options(options: &PutOptions) -> Result<()> {
    let bad = |what: String| Err(Error::new(Code::InvalidArgument, what));
    let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
    if let Some(content_type) = &options.content_type
        && (content_type.is_empty() || !printable(content_type))
    {
        return bad(format!("content type {content_type:?} is not printable ASCII"));
    }
    let mut bytes = 0;
    for (name, value) in &options.metadata {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !first || !name.bytes().all(legal) {
            return bad(format!(
                "metadata name {name:?} is not a lower-case letter followed by letters, digits and _"
            ));
        }
        if !printable(value) {
            return bad(format!("metadata value of {name:?} is not printable ASCII without spaces around"));
        }
        bytes += name.len() + value.len();
    }
    if bytes > MAX_METADATA_BYTES {
        return bad(format!("user metadata has {bytes} bytes; at most {MAX_METADATA_BYTES} are allowed"));
    }
    Ok(())
}
