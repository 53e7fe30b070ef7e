//! What a store must hold: plain maps, and the rules for outcomes that a fault left open.

use faultd::Object;
use s3dlio::Code;
use s3dlio::api::{ListEntry, PutCondition, PutOptions};
use std::collections::{BTreeMap, BTreeSet};

/// One object as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub bytes: Vec<u8>,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl Version {
    pub fn new(bytes: Vec<u8>, options: &PutOptions) -> Version {
        Version { bytes, content_type: options.content_type.clone(), metadata: options.metadata.clone() }
    }

    /// Whether the server holds just this.
    pub fn is(&self, stored: &Object) -> bool {
        self.bytes == *stored.bytes
    }
}

#[derive(Debug, Default)]
pub struct Model {
    pub objects: BTreeMap<String, Version>,
}

impl Model {
    /// What a put under this condition must end in, were there no faults. The ETag is the server's.
    pub fn expect_put(&self, key: &str, options: &PutOptions, etag: Option<&str>) -> Result<(), Code> {
        match &options.condition {
            PutCondition::Always => Ok(()),
            PutCondition::CreateOnly if self.objects.contains_key(key) => Err(Code::AlreadyExists),
            PutCondition::CreateOnly => Ok(()),
            PutCondition::IfMatch(wanted) if etag.is_some_and(|etag| same_etag(etag, wanted)) => Ok(()),
            PutCondition::IfMatch(_) => Err(Code::PreconditionFailed),
        }
    }

    pub fn expect_there(&self, key: &str) -> Result<&Version, Code> {
        self.objects.get(key).ok_or(Code::NotFound)
    }

    /// The entries of a listing, with sizes of objects.
    pub fn list(&self, prefix: &str, recursive: bool) -> BTreeSet<(String, Option<u64>)> {
        let entry = |(key, version): (&String, &Version)| match key[prefix.len()..].find('/') {
            Some(at) if !recursive => (key[..prefix.len() + at + 1].to_owned(), None),
            _ => (key.clone(), Some(version.bytes.len() as u64)),
        };
        self.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(entry).collect()
    }
}

/// An entry as the model has it.
pub fn seen(entry: &ListEntry) -> (String, Option<u64>) {
    match entry {
        ListEntry::Object(meta) => (meta.key.clone(), Some(meta.size)),
        ListEntry::Prefix(prefix) => (prefix.clone(), None),
    }
}

pub fn same_etag(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

/// Whether an error is true: without a fault only the one that the state of things demands, and
/// with one never an answer about the object that is not so.
pub fn judge(error: &s3dlio::Error, expected: Result<(), Code>, faults: usize) -> Result<(), String> {
    let code = error.code();
    if expected == Err(code) {
        return Ok(());
    }
    if faults == 0 {
        return Err(format!("FALSE FAILURE: without a fault, where {expected:?} was due: {error}"));
    }
    // `BufferTooSmall` is not among them: a wrong Content-Range may say that there is more.
    let states =
        [Code::NotFound, Code::AlreadyExists, Code::PreconditionFailed, Code::Range, Code::ContainerNotFound];
    let never = [
        Code::Internal,
        Code::Io,
        Code::InvalidState,
        Code::Cancelled,
        Code::InvalidKey,
        Code::InvalidArgument,
        Code::Poisoned,
    ];
    if states.contains(&code) {
        return Err(format!("FALSE FAILURE: it says what is not so, {expected:?} was due: {error}"));
    }
    if never.contains(&code) || error.operation().is_none() || error.uri().is_none() {
        return Err(format!("no such error is documented: {error}"));
    }
    Ok(())
}
