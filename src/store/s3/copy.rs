//! Copying inside the service: CopyObject, or UploadPartCopy for what is too large for it.

use super::{Code, Error, MAX_PART, ObjectMeta, PutResult, Result, S3Store};
use super::{read, watch, write};
use crate::runtime::{self, Era};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot;

/// Objects of more bytes than this are copied in parts of this size.
const COPY_PART: u64 = 1 << 30;
/// What stays as it is in the x-amz-copy-source header.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A copy, and which version of the source it is of.
pub(super) struct Copied {
    pub(super) result: PutResult,
    pub(super) source_etag: Option<String>,
}

pub(super) async fn copy(store: &S3Store, from: &str, to: &str) -> Result<Copied> {
    let (full_from, full_to) = (store.full_key(from)?, store.full_key(to)?);
    let meta = read::stat(store, from, None).await?;
    let source_etag = meta.etag.clone();
    let copied = |result| Copied { result, source_etag };
    if from == to {
        // S3 refuses to copy onto itself.
        return Ok(copied(PutResult { etag: meta.etag, version: None }));
    }
    let source = utf8_percent_encode(&format!("{}/{full_from}", store.bucket()), PLAIN).to_string();
    let outcome = match meta.size > MAX_PART {
        true => copy_parts(store, &source, &full_to, &meta).await,
        false => copy_whole(store, source, &full_to, &meta).await,
    };
    match outcome {
        Err(error) if write::lost(&error) => match copied_already(store, &full_to, &meta).await {
            Ok(Some(result)) => Ok(copied(result)),
            _ => Err(write::unknown(error)),
        },
        outcome => outcome.map(copied),
    }
}

async fn copy_whole(store: &S3Store, source: String, full_to: &str, meta: &ObjectMeta) -> Result<PutResult> {
    let copy = store.client().await?.copy_object().bucket(store.bucket()).key(full_to);
    let copy = copy.copy_source(source).set_copy_source_if_match(meta.etag.clone());
    watch::committing();
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

/// The destination, if it is what the copy would have made it.
async fn copied_already(store: &S3Store, full_to: &str, source: &ObjectMeta) -> Result<Option<PutResult>> {
    let Some(there) = read::meta(store, full_to).await? else { return Ok(None) };
    let same_bytes = there.etag.is_some() && there.etag == source.etag
        || there.crc32c.is_some() && there.crc32c == source.crc32c;
    let same = same_bytes
        && there.size == source.size
        && there.metadata == source.metadata
        && there.content_type == source.content_type;
    Ok(same.then_some(PutResult { etag: there.etag, version: None }))
}

async fn copy_parts(store: &S3Store, source: &str, full_to: &str, meta: &ObjectMeta) -> Result<PutResult> {
    let upload = create(store, full_to, meta).await?;
    let result = fill_and_complete(store, source, &upload, meta).await;
    match &result {
        Ok(_) => upload.settled(),
        Err(_) => upload.abort().await,
    }
    result
}

/// Creates the upload in a task: a call that was given up half-way would leave one that nobody knows of.
async fn create(store: &S3Store, full_to: &str, meta: &ObjectMeta) -> Result<Incomplete> {
    let create = store
        .client()
        .await?
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(full_to)
        .set_content_type(meta.content_type.clone())
        .set_metadata(Some(meta.metadata.clone().into_iter().collect()));
    let (store, full_to) = (store.clone(), full_to.to_owned());
    let (done, created) = oneshot::channel();
    runtime::spawn_background(async move {
        let (outcome, seen) = watch::counting(create.send()).await;
        let upload = outcome.map_err(|e| store.failed(e)).and_then(|created| {
            let id = created.upload_id.filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| Error::new(Code::Protocol, "the server gave no upload id"))?;
            Ok(Incomplete { store, full_to, id, era: Era::now(), settled: false })
        });
        let unclaimed = done.send((upload, seen.attempts));
        drop(unclaimed); // an upload that nobody waits for any more is aborted
    });
    let (upload, attempts) = created.await.map_err(|e| {
        Error::new(Code::Internal, "the task that creates the upload was not started").with_source(&e)
    })?;
    watch::add_attempts(attempts);
    upload
}

/// An upload that is aborted in the background when it is dropped before it is settled.
struct Incomplete {
    store: S3Store,
    full_to: String,
    id: String,
    era: Era,
    settled: bool,
}

impl Incomplete {
    fn settled(mut self) {
        self.settled = true;
    }

    /// Aborts it; where that fails or is given up half-way, once more in the background.
    async fn abort(mut self) {
        match remove(&self.store, &self.full_to, &self.id).await {
            Ok(()) => self.settled = true,
            Err(error) => tracing::debug!(upload = self.id, %error, "an incomplete copy is removed later"),
        }
    }
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        if self.settled || self.era.forked() {
            return; // of a forked child it is the parent's
        }
        let (store, full_to, id) = (self.store.clone(), self.full_to.clone(), self.id.clone());
        runtime::spawn_background(async move {
            let removed = store.run("abort", &store.root, remove(&store, &full_to, &id)).await;
            if let Err(error) = removed {
                tracing::warn!(key = full_to, upload = id, %error, "an incomplete copy was not removed");
            }
        });
    }
}

async fn remove(store: &S3Store, full_to: &str, id: &str) -> Result<()> {
    let abort = store.client().await?.abort_multipart_upload();
    match abort.bucket(store.bucket()).key(full_to).upload_id(id).send().await.map_err(|e| store.failed(e)) {
        // Gone already: the state asked for is there.
        Err(error) if error.code() == Code::NotFound => Ok(()),
        other => other.map(drop),
    }
}

async fn fill_and_complete(
    store: &S3Store,
    source: &str,
    upload: &Incomplete,
    meta: &ObjectMeta,
) -> Result<PutResult> {
    let client = store.client().await?;
    let Incomplete { full_to, id, .. } = upload;
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
    watch::committing();
    let complete = client.complete_multipart_upload().bucket(store.bucket()).key(full_to).upload_id(id);
    let complete = complete.multipart_upload(list.build());
    let output = complete.send().await.map_err(|e| store.failed(e))?;
    match output.e_tag.filter(|etag| !etag.is_empty()) {
        Some(etag) => Ok(PutResult { etag: Some(etag), version: output.version_id }),
        None => Err(Error::new(Code::UnknownOutcome, "the server named no ETag of the copy")),
    }
}
