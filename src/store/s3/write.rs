//! PutObject: one request, whole or not at all.

use super::client::Checksum;
use super::{Bytes, Code, Error, MAX_PART, PutCondition, PutOptions, PutResult, Result, S3Store};
use super::{check_put_options, read, watch};
use crate::base::checksum::{Crc32c, crc32c_base64, crc32c_base64_value, format_crc32c};
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;

pub(super) async fn put(store: &S3Store, key: &str, data: Bytes, options: &PutOptions) -> Result<PutResult> {
    check_put(store, options)?;
    let full = store.full_key(key)?;
    if data.len() as u64 > MAX_PART {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("{} bytes do not fit into one request; at most {MAX_PART} do", data.len()),
        )
        .with_hint("larger objects go up in parts, as a writer does it"));
    }
    let crc = Crc32c::of(&data);
    let mut conflicts = 0;
    loop {
        let failure = match send(store, &full, data.clone(), crc, options).await? {
            Ok(output) => {
                check_returned(crc, output.checksum_crc32_c())?;
                return Ok(PutResult { etag: output.e_tag, version: output.version_id });
            }
            Err(failure) => failure,
        };
        // Another conditional write of the key was under way: S3 asks to try again.
        let conflict = failure.raw_response().is_some_and(|r| r.status().as_u16() == 409);
        let error = store.failed(failure);
        conflicts += 1;
        if conflict && error.code() == Code::Unavailable && conflicts < store.settings().max_attempts {
            tokio::time::sleep(store.settings().backoff(conflicts)).await;
            continue;
        }
        return condition_failed(store, key, crc, options, error).await;
    }
}

type Put = std::result::Result<
    PutObjectOutput,
    super::error::Failure<aws_sdk_s3::operation::put_object::PutObjectError>,
>;

async fn send(store: &S3Store, full: &str, data: Bytes, crc: Crc32c, options: &PutOptions) -> Result<Put> {
    let put = store.client().await?.put_object().bucket(store.bucket()).key(full);
    let (if_none_match, if_match) = condition_headers(&options.condition);
    let put = put
        .set_content_type(options.content_type.clone())
        .set_metadata((!options.metadata.is_empty()).then(|| options.metadata.clone().into_iter().collect()))
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .content_length(data.len() as i64)
        .body(ByteStream::from(data));
    if store.settings().checksum != Checksum::Always {
        return Ok(put.send().await);
    }
    // The signed checksum covers the body, so hashing it once more for the signature is left out.
    let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32C).checksum_crc32_c(crc32c_base64(crc.value()));
    Ok(put.customize().disable_payload_signing().send().await)
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

/// The error of a conditional write in the words of the trait. Where the request went out more
/// than once, the first may have taken effect without its answer coming back: then the object is
/// compared with what was sent.
pub(super) async fn condition_failed(
    store: &S3Store,
    key: &str,
    crc: Crc32c,
    options: &PutOptions,
    error: Error,
) -> Result<PutResult> {
    let refused = error.http_status() == Some(412);
    match &options.condition {
        PutCondition::CreateOnly if refused => {
            if watch::attempts() > 1
                && let Some(result) = stored_already(store, key, crc).await
            {
                return Ok(result);
            }
            Err(error.with_code(Code::AlreadyExists).with_cause("there is an object of this key already"))
        }
        // S3 answers 404 where there is nothing that could match.
        PutCondition::IfMatch(etag) if refused || error.code() == Code::NotFound => {
            if watch::attempts() > 1
                && let Some(result) = stored_already(store, key, crc).await
            {
                return Ok(result);
            }
            let error = error.with_cause(format!("an object with ETag {etag} was expected"));
            Err(error.with_code(Code::PreconditionFailed))
        }
        _ => Err(error),
    }
}

/// The object, if it is there and has exactly these bytes by size and checksum.
pub(super) async fn stored_already(store: &S3Store, key: &str, crc: Crc32c) -> Option<PutResult> {
    let meta = read::stat(store, key, None).await.ok()?;
    let same = meta.size == crc.covered() && meta.crc32c == Some(crc.value());
    same.then_some(PutResult { etag: meta.etag, version: None })
}
