//! Copying inside the service: CopyObject, or UploadPartCopy for what is too large for it.

use super::{Code, Error, MAX_PART, ObjectMeta, PutCondition, PutOptions, PutResult, Result, S3Store};
use super::{read, write};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Objects of more bytes than this are copied in parts of this size.
const COPY_PART: u64 = 1 << 30;
/// What stays as it is in the x-amz-copy-source header.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

pub(super) async fn copy(store: &S3Store, from: &str, to: &str) -> Result<PutResult> {
    let (full_from, full_to) = (store.full_key(from)?, store.full_key(to)?);
    let meta = read::stat(store, from, None).await?;
    if from == to {
        return Ok(PutResult { etag: meta.etag, version: None }); // S3 refuses to copy onto itself
    }
    let source = utf8_percent_encode(&format!("{}/{full_from}", store.bucket()), PLAIN).to_string();
    if meta.size > MAX_PART {
        return copy_parts(store, &source, &full_to, &meta).await;
    }
    let copy = store.client().await?.copy_object().bucket(store.bucket()).key(&full_to);
    let copy = copy.copy_source(source).set_copy_source_if_match(meta.etag);
    let output = copy.send().await.map_err(|e| source_changed(store.failed(e)))?;
    // A 200 may carry an error or nothing: only an ETag says that the copy is there.
    let etag = output.copy_object_result.and_then(|result| result.e_tag).filter(|etag| !etag.is_empty());
    match etag {
        Some(etag) => Ok(PutResult { etag: Some(etag), version: output.version_id }),
        None => Err(Error::new(Code::UnknownOutcome, "the server named no ETag of the copy")),
    }
}

fn source_changed(error: Error) -> Error {
    match error.code() {
        Code::PreconditionFailed => error.with_code(Code::Changed).with_cause("the source was replaced"),
        _ => error,
    }
}

async fn copy_parts(store: &S3Store, source: &str, full_to: &str, meta: &ObjectMeta) -> Result<PutResult> {
    let client = store.client().await?;
    let options = PutOptions {
        content_type: meta.content_type.clone(),
        metadata: meta.metadata.clone(),
        condition: PutCondition::Always,
    };
    let create = client
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(full_to)
        .set_content_type(options.content_type)
        .set_metadata(Some(options.metadata.into_iter().collect()));
    let created = create.send().await.map_err(|e| store.failed(e))?;
    let id = created.upload_id.ok_or_else(|| Error::new(Code::Protocol, "the server gave no upload id"))?;
    let result = fill_and_complete(store, source, full_to, &id, meta).await;
    if result.is_err() {
        let abort = client.abort_multipart_upload().bucket(store.bucket()).key(full_to).upload_id(&id);
        if let Err(error) = abort.send().await {
            let error = store.failed(error);
            tracing::warn!(uri = %store.root, upload = id, %error, "an incomplete copy was not removed");
        }
    }
    result
}

async fn fill_and_complete(
    store: &S3Store,
    source: &str,
    full_to: &str,
    id: &str,
    meta: &ObjectMeta,
) -> Result<PutResult> {
    let client = store.client().await?;
    let part_size = COPY_PART.max(meta.size.div_ceil(u64::from(super::MAX_PARTS)));
    let mut list = CompletedMultipartUpload::builder();
    let mut start = 0;
    let mut number = 1;
    while start < meta.size {
        let end = (start + part_size).min(meta.size);
        let part = client
            .upload_part_copy()
            .bucket(store.bucket())
            .key(full_to)
            .upload_id(id)
            .part_number(number)
            .copy_source(source)
            .set_copy_source_if_match(meta.etag.clone())
            .copy_source_range(format!("bytes={start}-{}", end - 1));
        let output = part.send().await.map_err(|e| source_changed(store.failed(e)))?;
        let etag = output.copy_part_result.and_then(|part| part.e_tag);
        let etag =
            etag.ok_or_else(|| Error::new(Code::Protocol, "the server named no ETag of a copied part"))?;
        list = list.parts(CompletedPart::builder().part_number(number).e_tag(etag).build());
        start = end;
        number += 1;
    }
    let complete = client.complete_multipart_upload().bucket(store.bucket()).key(full_to).upload_id(id);
    let output = complete.multipart_upload(list.build()).send().await.map_err(|e| {
        let error = store.failed(e);
        if write::lost(&error) { write::unknown(error) } else { error }
    })?;
    match output.e_tag.filter(|etag| !etag.is_empty()) {
        Some(etag) => Ok(PutResult { etag: Some(etag), version: output.version_id }),
        None => Err(Error::new(Code::UnknownOutcome, "the server named no ETag of the copy")),
    }
}
