//! Comparing stored bytes with a checksum (SPEC I2).

use super::get_range;
use crate::base::checksum::{Crc32c, format_crc32c};
use crate::error::{Code, Error, Result};
use crate::store::Store;

/// What to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub key: String,
    pub offset: u64,
    /// `u64::MAX`: to the object's end.
    pub length: u64,
    /// `None`: the checksum that the store recorded of the whole object.
    pub expected: Option<u32>,
}

/// Reads the bytes and compares; `ChecksumMismatch` where they differ.
pub async fn validate(store: &Store, check: &Check) -> Result<()> {
    let context = |e: Error| e.with_context("validate", store.root().join(&check.key));
    let expected = match check.expected {
        Some(expected) => expected,
        None => store.stat(&check.key).await?.crc32c.ok_or_else(|| {
            context(Error::new(Code::Unsupported, "the store recorded no CRC32C of this object"))
        })?,
    };
    let data = get_range(store, &check.key, check.offset, check.length).await?;
    let actual = Crc32c::of(&data).value();
    if actual == expected {
        return Ok(());
    }
    let message = format!(
        "the bytes from {} have {}, but {} was expected",
        check.offset,
        format_crc32c(actual),
        format_crc32c(expected)
    );
    Err(context(Error::new(Code::ChecksumMismatch, message)))
}

/// Many checks at once; one result each, in order.
pub async fn validate_many(store: &Store, checks: &[Check]) -> Vec<Result<()>> {
    let mut results = Vec::with_capacity(checks.len());
    for check in checks {
        results.push(validate(store, check).await);
    }
    results
}
