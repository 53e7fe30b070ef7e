//! GET, HEAD, PutObject and UploadPart over the official SDK, which makes the attempts of each request.

use super::client::Checksum;
use super::plane::{Failed, Then};
use super::wire::{Broken, Facts, Incoming, Piece, Put, PutPart};
use super::{Code, Error, Result, S3Store, error, to_system_time, write};
use crate::base::checksum::crc32c_base64;
use crate::net::retry::classify::Lost;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};

/// Progress after which earlier failures of the same read are forgotten.
const GOOD_PROGRESS: u64 = 1 << 20;

pub(super) struct Sdk {
    client: Client,
    /// What the SDK does not retry itself.
    failures: u32,
}

impl Sdk {
    pub(super) fn new(client: Client) -> Sdk {
        Sdk { client, failures: 0 }
    }

    pub(super) async fn get(
        &self,
        store: &S3Store,
        full: &str,
        range: &str,
        if_match: Option<&str>,
    ) -> Result<Option<(Facts, Incoming)>> {
        let get = self.client.get_object().bucket(store.bucket()).key(full);
        match get.range(range).set_if_match(if_match.map(str::to_owned)).send().await {
            Ok(output) => {
                let facts = Facts {
                    length: output.content_length.and_then(|n| u64::try_from(n).ok()),
                    partial: super::watch::partial(),
                    content_range: output.content_range,
                    etag: output.e_tag,
                    version: output.version_id,
                    last_modified: to_system_time(output.last_modified.as_ref()),
                    content_type: output.content_type,
                    metadata: output.metadata.unwrap_or_default(),
                    crc32c: None,
                    composite: false,
                };
                Ok(Some((facts, Incoming::Sdk(output.body))))
            }
            Err(failure) if failure.raw_response().is_some_and(|r| r.status().as_u16() == 416) => Ok(None),
            Err(failure) => Err(store.failed(failure)),
        }
    }

    pub(super) async fn head(&self, store: &S3Store, full: &str, if_match: Option<&str>) -> Result<Facts> {
        let head = self.client.head_object().bucket(store.bucket()).key(full);
        let head = head.checksum_mode(ChecksumMode::Enabled).set_if_match(if_match.map(str::to_owned));
        let output = head.send().await.map_err(|failure| store.failed(failure))?;
        Ok(Facts {
            length: output.content_length.and_then(|n| u64::try_from(n).ok()),
            partial: false,
            content_range: None,
            last_modified: to_system_time(output.last_modified()),
            composite: output.checksum_type == Some(ChecksumType::Composite),
            etag: output.e_tag,
            version: output.version_id,
            content_type: output.content_type,
            metadata: output.metadata.unwrap_or_default(),
            crc32c: output.checksum_crc32_c,
        })
    }

    pub(super) async fn put(&mut self, store: &S3Store, put: &Put<'_>) -> Result<Facts, Failed> {
        let (if_none_match, if_match) = write::condition_headers(&put.options.condition);
        let request = self.client.put_object().bucket(store.bucket()).key(put.full);
        let request = request
            .set_content_type(put.options.content_type.clone())
            .set_metadata(write::metadata(put.options, put.nonce))
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .content_length(put.data.len() as i64)
            .body(ByteStream::from(put.data.clone()));
        let sent = if store.settings().checksum == Checksum::Always {
            // The signed checksum covers the body, so hashing it once more for the signature is left out.
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
            let request = request.checksum_crc32_c(crc32c_base64(put.crc.value()));
            request.customize().disable_payload_signing().send().await
        } else {
            request.send().await
        };
        let failure = match sent {
            Ok(output) => {
                return Ok(Facts {
                    etag: output.e_tag,
                    version: output.version_id,
                    crc32c: output.checksum_crc32_c,
                    ..Facts::default()
                });
            }
            Err(failure) => failure,
        };
        // Another conditional write of the key was under way: S3 asks to try again.
        let conflict = failure.raw_response().is_some_and(|r| r.status().as_u16() == 409);
        let error = store.failed(failure);
        self.failures += 1;
        let settings = store.settings();
        if conflict && error.code() == Code::Unavailable && self.failures < settings.max_attempts {
            return Err(Failed { error, then: Then::Again(settings.backoff(self.failures)) });
        }
        Err(Failed::finally(error))
    }

    pub(super) async fn put_part(&self, store: &S3Store, part: &PutPart<'_>) -> Result<Facts> {
        let request = self.client.upload_part().bucket(store.bucket()).key(part.full);
        let request = request
            .upload_id(part.upload)
            .part_number(part.number as i32)
            .content_length(part.data.len() as i64)
            .body(ByteStream::from(part.data.clone()));
        let sent = if store.settings().checksum == Checksum::Always {
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
            let request = request.checksum_crc32_c(crc32c_base64(part.crc.value()));
            request.customize().disable_payload_signing().send().await
        } else {
            request.send().await
        };
        let output = sent.map_err(|failure| store.failed(failure))?;
        Ok(Facts { etag: output.e_tag, crc32c: output.checksum_crc32_c, ..Facts::default() })
    }

    /// Waits for the next attempt at the rest of a body, or gives the error back.
    pub(super) async fn resume(&mut self, store: &S3Store, error: Error, got: u64) -> Result<()> {
        self.failures = if got >= GOOD_PROGRESS { 1 } else { self.failures + 1 };
        if self.failures >= store.settings().max_attempts {
            return Err(error);
        }
        tokio::time::sleep(store.settings().backoff(self.failures)).await;
        Ok(())
    }
}

/// As [`super::wire::Wire::receive`].
pub(super) async fn receive(
    store: &S3Store,
    mut body: ByteStream,
    piece: Piece,
    dst: &mut [u8],
    filled: &mut usize,
) -> Result<(), Broken> {
    let Piece { mut skip, promised } = piece;
    let mut came = 0u64;
    loop {
        let complete = *filled == dst.len();
        if complete && (skip > 0 || came < promised) {
            return Ok(()); // the rest of a whole object that nobody asked for
        }
        let chunk = match body.next().await {
            None => return Ok(()),
            Some(Ok(chunk)) => chunk,
            Some(Err(failure)) => {
                let error = body_error(store, &failure, *filled, dst.len());
                return Err(Broken { error, lost: Some(Lost::Answering) });
            }
        };
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= skipped as u64;
        let chunk = &chunk[skipped..];
        came += chunk.len() as u64;
        if came > promised {
            let error = Error::new(Code::Protocol, "the server sends more bytes than it announced");
            return Err(Broken { error, lost: None });
        }
        let n = chunk.len().min(dst.len() - *filled);
        dst[*filled..*filled + n].copy_from_slice(&chunk[..n]);
        *filled += n;
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
        _ => super::read::short(filled, end).with_source(failure),
    }
}
