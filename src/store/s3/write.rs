//! PutObject: one request, whole or not at all.

use super::plane::Then;
use super::wire::{Put, Wire};
use super::{Code, Content, Error, MAX_PART, PutCondition, PutOptions, PutResult, Result, S3Store};
use super::{check_put_options, read, watch};
use crate::base::checksum::{Crc32c, crc32c_base64_value, format_crc32c};
use crate::net::retry::classify::RequestKind;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Metadata of a conditional write that tells its object from one of equal bytes by somebody else.
/// Never shown; users' names cannot have a dash.
pub(super) const META_WRITE: &str = "s3dlio-write";

pub(super) async fn put(
    store: &S3Store,
    key: &str,
    content: Content,
    options: &PutOptions,
) -> Result<PutResult> {
    let Content { data, crc32c: crc } = content;
    check_put(store, options)?;
    let full = store.full_key(key)?;
    if data.len() as u64 > MAX_PART {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("{} bytes do not fit into one request; at most {MAX_PART} do", data.len()),
        )
        .with_hint("larger objects go up in parts, as a writer does it"));
    }
    let nonce = new_nonce(options);
    let kind = match options.condition {
        PutCondition::Always => RequestKind::Write,
        _ => RequestKind::Commit,
    };
    let mut wire = Wire::new(store, kind).await?;
    let put = Put { full: &full, data: &data, crc, options, nonce: nonce.as_deref() };
    watch::committing();
    loop {
        let failed = match wire.put(store, &put).await {
            Ok(stored) => {
                check_returned(crc, stored.crc32c.as_deref())?;
                return Ok(PutResult { etag: stored.etag, version: stored.version });
            }
            Err(failed) => failed,
        };
        match failed.then {
            Then::Again(wait) => tokio::time::sleep(wait).await,
            Then::Resolve(wait) => {
                tokio::time::sleep(wait).await;
                match stored_before(store, &full, put.nonce, crc, options).await {
                    Ok(Some(done)) => return Ok(done),
                    Ok(None) if wire.not_applied() => {}
                    Ok(None) => {
                        return put_failed(store, &full, put.nonce, options, crc, failed.error).await;
                    }
                    Err(cause) => return Err(unknown(failed.error.with_cause(cause.to_string()))),
                }
            }
            Then::GiveUp => {
                return put_failed(store, &full, put.nonce, options, crc, failed.error).await;
            }
        }
    }
}

/// The object, if a write of which nobody knows whether it took effect stored it: by its mark, else by
/// being what it would have made it.
async fn stored_before(
    store: &S3Store,
    full: &str,
    nonce: Option<&str>,
    crc: Crc32c,
    options: &PutOptions,
) -> Result<Option<PutResult>> {
    match nonce {
        Some(nonce) => own_write(store, full, nonce).await,
        None => stored_already(store, full, crc, options).await,
    }
}

/// Refuses options that this store or service cannot keep.
pub(super) fn check_put(store: &S3Store, options: &PutOptions) -> Result<()> {
    check_put_options(options)?;
    if options.condition != PutCondition::Always && !store.settings().conditional_put {
        return Err(Error::new(Code::Unsupported, "the service is said not to honour conditions on writes")
            .with_hint("s3.conditional_put=true sends them"));
    }
    Ok(())
}

/// If-None-Match and If-Match.
pub(super) fn condition_headers(condition: &PutCondition) -> (Option<String>, Option<String>) {
    match condition {
        PutCondition::Always => (None, None),
        PutCondition::CreateOnly => (Some("*".into()), None),
        PutCondition::IfMatch(etag) => (None, Some(etag.clone())),
    }
}

/// The service's own checksum of what it stored, where it gives one, must be ours.
pub(super) fn check_returned(crc: Crc32c, returned: Option<&str>) -> Result<()> {
    match returned.and_then(crc32c_base64_value) {
        Some(stored) if stored != crc.value() => Err(Error::new(
            Code::ChecksumMismatch,
            format!("the service stored {}, but {crc} was sent", format_crc32c(stored)),
        )),
        _ => Ok(()),
    }
}

/// What a conditional write marks its object with; the others need no mark.
pub(super) fn new_nonce(options: &PutOptions) -> Option<String> {
    if options.condition == PutCondition::Always {
        return None;
    }
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id()); // a forked child has the same random state
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    Some(format!("{:016x}", hasher.finish()))
}

/// The user's metadata and the mark.
pub(super) fn metadata(options: &PutOptions, nonce: Option<&str>) -> Option<HashMap<String, String>> {
    let mut all: HashMap<_, _> = options.metadata.clone().into_iter().collect();
    all.extend(nonce.map(|nonce| (META_WRITE.to_owned(), nonce.to_owned())));
    (!all.is_empty()).then_some(all)
}

/// Stored metadata without the mark.
pub(super) fn visible<T: FromIterator<(String, String)>>(stored: HashMap<String, String>) -> T {
    stored.into_iter().filter(|(name, _)| name != META_WRITE).collect()
}

/// Whether a write that ended in this error may have taken effect: an attempt got no answer that
/// tells, or the last answer of success cannot be used.
pub(super) fn lost(error: &Error) -> bool {
    let unusable = matches!(error.code(), Code::Timeout | Code::Connection | Code::Protocol);
    watch::outcome_open() || watch::is_committing() && unusable && error.http_status().is_some()
}

/// The error of a write of which nobody knows whether it took effect.
pub(super) fn unknown(error: Error) -> Error {
    error
        .with_code(Code::UnknownOutcome)
        .with_retryable(false)
        .with_cause("no usable answer came; whether the write took effect is unknown")
        .with_hint("read the object before writing again")
}

/// What a failed write means, in the words of the trait. A refusal that follows an attempt without an
/// answer may be due to that one's success, and no answer says nothing: then the object tells, by the
/// mark of a conditional write, or by being what an unconditional one would have made it.
pub(super) async fn put_failed(
    store: &S3Store,
    full: &str,
    nonce: Option<&str>,
    options: &PutOptions,
    crc: Crc32c,
    error: Error,
) -> Result<PutResult> {
    // S3 answers 404 where there is nothing that could match.
    let if_match = matches!(options.condition, PutCondition::IfMatch(_));
    let conditional = options.condition != PutCondition::Always;
    let refused =
        conditional && error.http_status() == Some(412) || if_match && error.code() == Code::NotFound;
    if lost(&error) {
        let stored = stored_before(store, full, nonce, crc, options).await;
        match stored {
            Ok(Some(done)) => return Ok(done),
            Ok(None) if refused => {} // it is somebody else's, or nothing is there
            _ => return Err(unknown(error)),
        }
    }
    Err(match &options.condition {
        PutCondition::CreateOnly if refused => {
            error.with_code(Code::AlreadyExists).with_cause("there is an object of this key already")
        }
        PutCondition::IfMatch(etag) if refused => error
            .with_code(Code::PreconditionFailed)
            .with_cause(format!("an object with ETag {etag} was expected")),
        _ => error,
    })
}

/// The object, if it is what the write with this mark stored.
pub(super) async fn own_write(store: &S3Store, full: &str, nonce: &str) -> Result<Option<PutResult>> {
    match read::head(store, full, None).await {
        Ok(facts) => {
            let own = facts.metadata.get(META_WRITE).is_some_and(|mark| mark == nonce);
            Ok(own.then_some(PutResult { etag: facts.etag, version: facts.version }))
        }
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The object, if it is what an unconditional write of these bytes would leave, whoever made it:
/// size, checksum, metadata and the content type that was asked for are the same.
pub(super) async fn stored_already(
    store: &S3Store,
    full: &str,
    crc: Crc32c,
    options: &PutOptions,
) -> Result<Option<PutResult>> {
    let Some(meta) = read::meta(store, full).await? else { return Ok(None) };
    let same = meta.size == crc.covered()
        && meta.crc32c == Some(crc.value())
        && meta.metadata == options.metadata
        && (options.content_type.is_none() || meta.content_type == options.content_type);
    Ok(same.then_some(PutResult { etag: meta.etag, version: None }))
}
