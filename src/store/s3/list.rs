//! ListObjectsV2 and ListMultipartUploads. Listed keys travel URL-encoded: XML cannot hold all of them.

use super::{
    Code, Error, ListEntry, ListPage, ListRequest, ObjectMeta, PendingUpload, Result, S3Store, to_system_time,
};
use crate::base::key;
use aws_sdk_s3::types::{EncodingType, Object};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The service gives no more entries than this in one page.
const MOST_ENTRIES: usize = 1000;

pub(super) async fn page(store: &S3Store, request: &ListRequest) -> Result<ListPage> {
    key::check_prefix(&request.prefix)?;
    let list = store.client().await?.list_objects_v2().bucket(store.bucket());
    let most = Some(request.max_entries).filter(|n| *n > 0).map(|n| n.min(MOST_ENTRIES) as i32);
    let output = list
        .prefix(format!("{}{}", store.prefix, request.prefix))
        .set_delimiter(request.one_level.then(|| "/".to_owned()))
        .set_max_keys(most)
        .set_continuation_token(request.continuation.clone())
        .encoding_type(EncodingType::Url)
        .send()
        .await
        .map_err(|e| store.failed(e))?;
    let decode = Decoder::new(output.encoding_type());
    let mut entries = Vec::with_capacity(output.contents().len() + output.common_prefixes().len());
    for object in output.contents() {
        let full = decode.key(object.key())?;
        // The marker object of the root folder itself has no key below the root.
        if let Some(key) = relative(store, &full)?.filter(|key| !key.is_empty()) {
            entries.push(ListEntry::Object(to_meta(key, object)?));
        }
    }
    for folder in output.common_prefixes() {
        let full = decode.key(folder.prefix())?;
        entries.extend(relative(store, &full)?.map(|prefix| ListEntry::Prefix(prefix.to_owned())));
    }
    // Objects and prefixes come apart; the trait gives one order.
    entries.sort_by(|a, b| a.key().cmp(b.key()));
    let next = output.next_continuation_token.filter(|token| !token.is_empty());
    match (output.is_truncated == Some(true), next) {
        (false, _) => Ok(ListPage { entries, next: None }),
        (true, Some(next)) if request.continuation.as_ref() == Some(&next) => {
            Err(Error::new(Code::Protocol, "the listing does not move on: the page names itself as the next"))
        }
        (true, Some(next)) => Ok(ListPage { entries, next: Some(next) }),
        (true, None) => Err(Error::new(Code::Protocol, "the page says that more follow, but not where")),
    }
}

fn to_meta(key: &str, object: &Object) -> Result<ObjectMeta> {
    let size = object.size.and_then(|n| u64::try_from(n).ok());
    Ok(ObjectMeta {
        key: key.to_owned(),
        size: size.ok_or_else(|| Error::new(Code::Protocol, format!("the size of {key:?} is missing")))?,
        etag: object.e_tag.clone(),
        last_modified: to_system_time(object.last_modified()),
        ..ObjectMeta::default()
    })
}

/// The key below the root; a key of elsewhere is a lie of the server.
fn relative<'a>(store: &S3Store, full: &'a str) -> Result<Option<&'a str>> {
    match full.strip_prefix(store.prefix.as_str()) {
        Some(key) => Ok(Some(key)),
        None => {
            Err(Error::new(Code::Protocol, format!("the server lists {full:?}, which is not below the root")))
        }
    }
}

/// Undoes the encoding that the answer says it has.
struct Decoder {
    url: bool,
}

impl Decoder {
    fn new(encoding: Option<&EncodingType>) -> Self {
        Decoder { url: encoding == Some(&EncodingType::Url) }
    }

    fn key<'a>(&self, text: Option<&'a str>) -> Result<Cow<'a, str>> {
        let text = text.ok_or_else(|| Error::new(Code::Protocol, "the server lists an entry without key"))?;
        if !self.url {
            return Ok(Cow::Borrowed(text));
        }
        // As in forms: a space is a plus.
        let decoded = percent_decode_str(&text.replace('+', " ")).decode_utf8().map(|key| key.into_owned());
        let decoded = decoded.map_err(|e| {
            Error::new(Code::Protocol, format!("the server lists a key that is not UTF-8: {text:?}"))
                .with_source(&e)
        })?;
        Ok(Cow::Owned(decoded))
    }
}

pub(super) async fn pending_uploads(store: &S3Store, prefix: &str) -> Result<Vec<PendingUpload>> {
    key::check_prefix(prefix)?;
    let client = store.client().await?;
    let mut found = Vec::new();
    let mut marker = (None, None);
    // No URL encoding here: SeaweedFS says that it encodes these keys, and does not.
    loop {
        let output = client
            .list_multipart_uploads()
            .bucket(store.bucket())
            .prefix(format!("{}{prefix}", store.prefix))
            .set_key_marker(marker.0.clone())
            .set_upload_id_marker(marker.1.clone())
            .send()
            .await
            .map_err(|e| store.failed(e))?;
        let decode = Decoder::new(output.encoding_type());
        for upload in output.uploads() {
            let full = decode.key(upload.key())?;
            found.extend(relative(store, &full)?.map(|key| PendingUpload {
                key: key.to_owned(),
                id: upload.upload_id().unwrap_or_default().to_owned(),
                started: to_system_time(upload.initiated()),
            }));
        }
        if output.is_truncated != Some(true) {
            return Ok(found);
        }
        let key_marker =
            output.next_key_marker().map(|key| decode.key(Some(key)).map(Cow::into_owned)).transpose()?;
        let key_marker = key_marker.filter(|key| !key.is_empty());
        let next = (key_marker, output.next_upload_id_marker.filter(|id| !id.is_empty()));
        if next == marker || next.0.is_none() {
            return Err(Error::new(Code::Protocol, "the listing does not move on: no new marker follows"));
        }
        marker = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_keys_are_decoded_only_where_the_answer_says_so() {
        let url = Decoder::new(Some(&EncodingType::Url));
        assert_eq!(url.key(Some("a+b%2Bc%25/%D0%BA")).unwrap(), "a b+c%/к");
        assert_eq!(url.key(Some("%FF")).unwrap_err().code(), Code::Protocol);
        assert_eq!(Decoder::new(None).key(Some("a+b%2B")).unwrap(), "a+b%2B");
    }
}
