//! `s3dlio_object_info` with the memory of its texts.

use super::types::*;
use crate::error::{Code, Error, Result};
use crate::store::{ContainerInfo, ObjectMeta};
use std::ffi::{CString, c_char};
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Owns what `raw` points to.
pub struct Info {
    raw: s3dlio_object_info,
    _texts: Vec<CString>,
    _pairs: Vec<s3dlio_key_value>,
}

// SAFETY: the pointers lead into `_texts` and `_pairs`, which nobody changes.
unsafe impl Send for Info {}
// SAFETY: as above.
unsafe impl Sync for Info {}

impl Info {
    pub fn object(meta: &ObjectMeta, uri: impl ToString) -> Result<Info> {
        let mut info = Info::new(S3DLIO_KIND_OBJECT, &meta.key, uri)?;
        info.raw.has_crc32c = u32::from(meta.crc32c.is_some());
        info.raw.crc32c = meta.crc32c.unwrap_or(0);
        info.raw.size = meta.size;
        info.raw.last_modified_ns = nanoseconds(meta.last_modified);
        info.raw.etag = info.keep_optional(meta.etag.as_deref())?;
        info.raw.content_type = info.keep_optional(meta.content_type.as_deref())?;
        for (key, value) in &meta.metadata {
            let pair = s3dlio_key_value { key: info.keep(key)?, value: info.keep(value)? };
            info._pairs.push(pair);
        }
        info.raw.metadata_count = info._pairs.len();
        info.raw.metadata = if info._pairs.is_empty() { ptr::null() } else { info._pairs.as_ptr() };
        Ok(info)
    }

    pub fn prefix(prefix: &str, uri: impl ToString) -> Result<Info> {
        Info::new(S3DLIO_KIND_PREFIX, prefix, uri)
    }

    pub fn container(container: &ContainerInfo, uri: impl ToString) -> Result<Info> {
        let mut info = Info::new(S3DLIO_KIND_CONTAINER, &container.name, uri)?;
        info.raw.last_modified_ns = nanoseconds(container.created);
        Ok(info)
    }

    /// For C: valid while this lives.
    pub fn raw(&self) -> &s3dlio_object_info {
        &self.raw
    }

    /// For a caller who does not want to own texts.
    pub fn raw_without_texts(&self) -> s3dlio_object_info {
        s3dlio_object_info {
            key: ptr::null(),
            uri: ptr::null(),
            etag: ptr::null(),
            content_type: ptr::null(),
            metadata: ptr::null(),
            metadata_count: 0,
            ..self.raw
        }
    }

    fn new(kind: u32, key: &str, uri: impl ToString) -> Result<Info> {
        let raw = s3dlio_object_info {
            kind,
            has_crc32c: 0,
            size: 0,
            last_modified_ns: i64::MIN,
            crc32c: 0,
            reserved: 0,
            key: ptr::null(),
            uri: ptr::null(),
            etag: ptr::null(),
            content_type: ptr::null(),
            metadata: ptr::null(),
            metadata_count: 0,
        };
        let mut info = Info { raw, _texts: Vec::new(), _pairs: Vec::new() };
        info.raw.key = info.keep(key)?;
        info.raw.uri = info.keep(&uri.to_string())?;
        Ok(info)
    }

    /// A C string's memory stays where it is when the vector grows.
    fn keep(&mut self, text: &str) -> Result<*const c_char> {
        let text = CString::new(text).map_err(|_| {
            Error::new(Code::Protocol, format!("the store's answer has a text with a NUL byte: {text:?}"))
        })?;
        let start = text.as_ptr();
        self._texts.push(text);
        Ok(start)
    }

    fn keep_optional(&mut self, text: Option<&str>) -> Result<*const c_char> {
        text.map_or(Ok(ptr::null()), |text| self.keep(text))
    }
}

fn nanoseconds(time: Option<SystemTime>) -> i64 {
    let Some(time) = time else { return i64::MIN };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}
