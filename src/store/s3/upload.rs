//! An object in parts: CreateMultipartUpload, UploadPart, CompleteMultipartUpload, Abort.

use super::client::Checksum;
use super::lost::{self, Creation, Lost, OwnId};
use super::wire::{PutPart, Wire};
use super::{
    Code, Content, Error, MAX_PARTS, Part, PutOptions, PutResult, Result, S3Store, Upload, UploadTotal,
};
use super::{async_trait, watch, write};
use crate::base::checksum::{Crc32c, crc32c_base64};
use crate::base::sync::lock;
use crate::net::retry::classify::RequestKind;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Mutex;

pub(super) struct S3Upload {
    store: S3Store,
    key: String,
    full: String,
    id: OwnId,
    /// Creates before this one's whose answer was lost, until they are looked for.
    lost: Mutex<Option<Lost>>,
    options: PutOptions,
    /// The mark of a conditional write.
    nonce: Option<String>,
    /// What the service said of each part.
    parts: Mutex<BTreeMap<u32, Stored>>,
}

#[derive(Clone)]
struct Stored {
    etag: String,
    crc: Crc32c,
}

pub(super) async fn create(store: &S3Store, key: &str, options: &PutOptions) -> Result<S3Upload> {
    write::check_put(store, options)?;
    let full = store.full_key(key)?;
    let nonce = write::new_nonce(options);
    let mut create = store
        .client()
        .await?
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(&full)
        .set_content_type(options.content_type.clone())
        .set_metadata(write::metadata(options, nonce.as_deref()));
    if store.settings().checksum == Checksum::Always {
        // One checksum over the whole object, so that a later HEAD gives it.
        create = create.checksum_algorithm(ChecksumAlgorithm::Crc32C).checksum_type(ChecksumType::FullObject);
    }
    let creation = Creation::begin(store, key)?;
    let created = async {
        watch::committing();
        create.send().await
    };
    let (outcome, seen) = watch::counting(created).await;
    watch::add_attempts(seen.attempts);
    let output = match outcome {
        Ok(output) => output,
        Err(failure) => {
            creation.failed(seen.outcome_open);
            return Err(store.failed(failure));
        }
    };
    let Some(id) = output.upload_id.filter(|id| !id.is_empty()) else {
        return Err(Error::new(Code::Protocol, "the server gave no upload id"));
    };
    let (id, lost) = creation.created(id, seen.outcome_open)?;
    Ok(S3Upload {
        store: store.clone(),
        key: key.to_owned(),
        full,
        id,
        lost: Mutex::new(lost),
        options: options.clone(),
        nonce,
        parts: Mutex::default(),
    })
}

impl S3Upload {
    fn checksum(&self) -> bool {
        self.store.settings().checksum == Checksum::Always
    }

    async fn send_part(&self, number: u32, data: Bytes, crc: Crc32c) -> Result<()> {
        if number >= MAX_PARTS {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("part {number} is past the last one; an object has at most {MAX_PARTS} parts"),
            ));
        }
        let part =
            PutPart { full: &self.full, upload: self.id.as_str(), number: number + 1, data: &data, crc };
        let mut wire = Wire::new(&self.store, RequestKind::Write).await?;
        let stored = wire.put_part(&self.store, &part).await?;
        write::check_returned(crc, stored.crc32c.as_deref())?;
        let etag = stored.etag.filter(|etag| !etag.is_empty());
        let etag = etag.ok_or_else(|| {
            Error::new(Code::Protocol, format!("the server gave no ETag for part {number}"))
        })?;
        lock(&self.parts).insert(number, Stored { etag, crc });
        Ok(())
    }

    /// The list of parts to publish; every one of them must be there.
    fn completed(&self, count: u32, total: UploadTotal) -> Result<CompletedMultipartUpload> {
        let parts = lock(&self.parts);
        let mut whole = Crc32c::new();
        let mut list = CompletedMultipartUpload::builder();
        for number in 0..count {
            let part = parts.get(&number).ok_or_else(|| {
                Error::new(Code::InvalidState, format!("part {number} of {count} was not stored"))
            })?;
            whole = whole.combine(part.crc);
            let completed = CompletedPart::builder().part_number(number as i32 + 1).e_tag(&part.etag);
            let completed = match self.checksum() {
                true => completed.checksum_crc32_c(crc32c_base64(part.crc.value())),
                false => completed,
            };
            list = list.parts(completed.build());
        }
        match whole == total.crc32c {
            true => Ok(list.build()),
            false => Err(Error::new(
                Code::ChecksumMismatch,
                format!("the stored parts have {whole:?}, but {:?} was expected", total.crc32c),
            )),
        }
    }

    async fn publish(&self, count: u32, total: UploadTotal) -> Result<PutResult> {
        if count == 0 {
            // S3 has no uploads without parts.
            self.remove().await?;
            return write::put(&self.store, &self.key, Content::of(Bytes::new()), &self.options).await;
        }
        let list = self.completed(count, total)?;
        let (if_none_match, if_match) = write::condition_headers(&self.options.condition);
        let mut complete = self
            .store
            .client()
            .await?
            .complete_multipart_upload()
            .bucket(self.store.bucket())
            .key(&self.full)
            .upload_id(self.id.as_str())
            .multipart_upload(list)
            .mpu_object_size(total.crc32c.covered() as i64)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match);
        if self.checksum() {
            let whole = crc32c_base64(total.crc32c.value());
            complete = complete.checksum_type(ChecksumType::FullObject).checksum_crc32_c(whole);
        }
        watch::committing();
        match complete.send().await {
            Ok(output) => {
                // A 200 may carry an error or nothing: only an ETag says that the object is there.
                if output.e_tag.as_deref().unwrap_or_default().is_empty() {
                    let error = Error::new(Code::Protocol, "the answer to the completion names no ETag");
                    return self.publish_failed(total, error.with_http_status(200), false).await;
                }
                if output.checksum_type() == Some(&ChecksumType::FullObject) {
                    write::check_returned(total.crc32c, output.checksum_crc32_c())?;
                }
                Ok(PutResult { etag: output.e_tag, version: output.version_id })
            }
            Err(failure) => {
                let gone = failure.code() == Some("NoSuchUpload");
                self.publish_failed(total, self.store.failed(failure), gone).await
            }
        }
    }

    /// The upload is `gone` or the answer was lost: the object itself tells whether it is published.
    async fn publish_failed(&self, total: UploadTotal, error: Error, gone: bool) -> Result<PutResult> {
        if gone && !write::lost(&error) {
            return Err(error.with_cause("the upload was aborted or completed before"));
        }
        let nonce = self.nonce.as_deref();
        write::put_failed(&self.store, &self.full, nonce, &self.options, total.crc32c, error).await
    }

    async fn remove(&self) -> Result<()> {
        lost::abort(&self.store, &self.key, self.id.as_str()).await
    }

    /// Where an answer to the upload's creation was lost: removes what that may have left. To be done
    /// while the service still lists this upload, which tells its clock.
    async fn remove_lost(&self) -> Result<()> {
        let Some(lost) = *lock(&self.lost) else { return Ok(()) };
        let remove = lost::remove(&self.store, &self.key, lost, Some(&self.id));
        self.store.run("abort", &self.store.uri(&self.key), remove).await?;
        *lock(&self.lost) = None;
        Ok(())
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn put_part(&self, part: Part) -> Result<()> {
        let sent = pin!(self.send_part(part.number, part.data, part.crc32c));
        self.store.run_data("put", &self.key, sent).await
    }

    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        let uri = self.store.uri(&self.key);
        if let Err(error) = self.remove_lost().await {
            // The object is no worse for it.
            tracing::warn!(%uri, %error, "whether an upload without a known id is left could not be found out");
        }
        self.store.run("put", &uri, self.publish(parts, total)).await
    }

    async fn abort(&self) -> Result<()> {
        let lost = self.remove_lost().await;
        self.store.run("abort", &self.store.uri(&self.key), self.remove()).await?;
        lost
    }
}

impl fmt::Debug for S3Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Upload({})", self.store.uri(&self.key))
    }
}
