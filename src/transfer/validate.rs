//! Comparing stored bytes with a checksum (SPEC I2).

use super::get::pooled;
use super::range::{Pin, RangePlan, check_range, read_once};
use super::tasks::{run_all, try_run_all};
use crate::base::checksum::{Crc32c, format_crc32c};
use crate::base::first_byte::FirstByte;
use crate::base::op::Op;
use crate::error::{Code, Error, Result};
use crate::options;
use crate::store::{ObjectMeta, Store, range_len};
use std::sync::Arc;

/// Bytes that are read and checksummed at once.
const CHUNK: u64 = 4 << 20;
/// Chunks of one object in flight.
const CHUNKS_IN_FLIGHT: usize = 8;

/// What to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub key: String,
    /// The first byte.
    pub offset: u64,
    /// `u64::MAX`: to the object's end. A range that ends past the object is cut to it.
    pub length: u64,
    /// CRC32C of those bytes; `None`: the checksum that the store recorded of the whole object.
    pub expected: Option<u32>,
}

/// Reads the stored bytes, in constant memory, and compares. `ChecksumMismatch` names URI, expected
/// and actual value and offset; `Unsupported` where no value was given and the store has none.
pub async fn validate(store: &Store, check: &Check) -> Result<()> {
    validate_with(store, check, CHUNKS_IN_FLIGHT).await
}

/// Many checks at once; one result each, in order.
pub async fn validate_many(store: &Store, checks: Vec<Check>) -> Vec<Result<()>> {
    let limit = store.options().size(&options::TRANSFER_GET_MANY_CONCURRENCY);
    let inline = store.capabilities().blocking_io;
    let store = store.clone();
    let job = move |check: Check| {
        let store = store.clone();
        async move { validate_with(&store, &check, 1).await }
    };
    run_all(checks, limit, inline, job).await
}

async fn validate_with(store: &Store, check: &Check, in_flight: usize) -> Result<()> {
    let context = |e: Error| e.with_context("validate", store.root().join(&check.key));
    check_range(check.offset, check.length).map_err(context)?;
    let meta = store.stat(&check.key).await.map_err(context)?;
    let wanted = usize::try_from(check.length).unwrap_or(usize::MAX);
    let length = range_len(check.offset, wanted, meta.size).map_err(context)? as u64;
    let expected = match check.expected {
        Some(expected) => expected,
        None => stored_checksum(check, length, &meta).map_err(context)?,
    };
    let watch = store.watch(Op::Get, &check.key);
    let read = checksum(store, &meta, check.offset, length, in_flight, watch.first_byte()).await;
    watch.end(&read, |crc| (1, crc.covered()));
    let actual = read.map_err(context)?.value();
    if actual == expected {
        return Ok(());
    }
    let message = format!(
        "the {length} bytes from offset {} have {}, but {} was expected",
        check.offset,
        format_crc32c(actual),
        format_crc32c(expected)
    );
    Err(context(Error::new(Code::ChecksumMismatch, message))
        .with_detail("expected", format_crc32c(expected))
        .with_detail("actual", format_crc32c(actual))
        .with_detail("offset", check.offset))
}

fn stored_checksum(check: &Check, length: u64, meta: &ObjectMeta) -> Result<u32> {
    if check.offset != 0 || length != meta.size {
        return Err(Error::new(Code::InvalidArgument, "the stored checksum is of the whole object")
            .with_hint("give the expected checksum of the range"));
    }
    meta.crc32c.ok_or_else(|| {
        Error::new(Code::Unsupported, "the store recorded no CRC32C of this object")
            .with_hint("give the expected checksum, such as the writer's statistics have it")
    })
}

/// Of `length` bytes that lie within the object.
async fn checksum(
    store: &Store,
    meta: &ObjectMeta,
    offset: u64,
    length: u64,
    in_flight: usize,
    first_byte: &FirstByte,
) -> Result<Crc32c> {
    let chunk = CHUNK.max(RangePlan::new(store, store.options()).range_size(0) as u64 / 2);
    let of = Arc::new((store.clone(), meta.key.clone(), Pin::of(meta), first_byte.clone()));
    let job = move |number: u64| {
        let of = of.clone();
        async move {
            let at = offset + number * chunk;
            let len = chunk.min(offset + length - at) as usize; // at most the chunk
            let (window, owner) = pooled(len)?;
            read_once(&of.0, &of.1, at, window, Some(&of.2), &of.3).await?;
            Ok(Crc32c::of(&owner(len)?))
        }
    };
    let numbers = (0..length.div_ceil(chunk)).collect();
    let pieces = try_run_all(numbers, in_flight, store.capabilities().blocking_io, job).await?;
    Ok(pieces.into_iter().fold(Crc32c::new(), Crc32c::combine))
}
