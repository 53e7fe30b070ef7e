//! One piece of an object into memory: a single request, or parallel ones pinned to one ETag.

use super::progress::moved;
use super::tasks::try_run_all;
use crate::base::buffer::{Buffer, BufferPool, Window};
use crate::base::first_byte::FirstByte;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use crate::store::{GetRequest, GetResult, ObjectMeta, Store, range_len};
use std::sync::Arc;
use std::time::Instant;

const MIB: u64 = 1 << 20;
/// Transfers of fewer bytes say little about the best number of requests.
const LEARN: u64 = 64 * MIB;
/// How long a range should take, in seconds: long beside the wait for its first byte, short beside the
/// loss of asking for it again.
const MOMENT: f64 = 0.2;
/// Bounds of a range whose size is found by measuring.
const SMALLEST: u64 = 4 * MIB;
const LARGEST: u64 = 64 * MIB;

/// How to split a get into ranges.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangePlan {
    /// More bytes than this are split.
    pub(super) threshold: u64,
    /// Bytes per range; 0 chooses.
    size: u64,
    /// Ranges in flight; 0 chooses.
    concurrency: usize,
    /// Requests run on the caller's thread, and splitting brings nothing.
    inline: bool,
    /// Ranges start at multiples of this where they can.
    alignment: u64,
}

impl RangePlan {
    pub(super) fn new(store: &Store, options: &Resolved) -> RangePlan {
        let capabilities = store.capabilities();
        RangePlan {
            threshold: options.number(&options::TRANSFER_RANGE_THRESHOLD),
            size: options.number(&options::TRANSFER_RANGE_SIZE),
            concurrency: options.size(&options::TRANSFER_RANGE_CONCURRENCY),
            inline: capabilities.blocking_io,
            alignment: capabilities.alignment.max(1) as u64,
        }
    }

    /// Whether `bytes` go in one request.
    pub(super) fn is_single(&self, bytes: u64) -> bool {
        self.inline || bytes <= self.threshold
    }

    /// Bytes per range of a transfer of `bytes`.
    pub(super) fn range_size(&self, bytes: u64) -> usize {
        let size = match self.size {
            0 if bytes < 256 * MIB => 8 * MIB,
            0 if bytes < 4096 * MIB => 16 * MIB,
            0 => 32 * MIB,
            size => size,
        };
        usize::try_from(size.next_multiple_of(self.alignment)).unwrap_or(usize::MAX)
    }

    /// Whether the number of ranges in flight of a transfer of `bytes` is found by measuring.
    fn learns(&self, bytes: u64) -> bool {
        self.concurrency == 0 && !self.inline && bytes >= LEARN
    }

    /// As [`RangePlan::range_size`], but with ranges that take a moment at the rate (in bytes per second)
    /// that a request had so far, and enough of them that all requests end at about the same time.
    fn measured_size(&self, bytes: u64, in_flight: usize, rate: Option<f64>) -> usize {
        match rate {
            Some(rate) if self.size == 0 => {
                let most = (bytes / (4 * in_flight as u64)).clamp(SMALLEST, LARGEST);
                let size = ((rate * MOMENT) as u64).clamp(SMALLEST, most);
                usize::try_from(size.next_multiple_of(MIB.max(self.alignment))).unwrap_or(usize::MAX)
            }
            _ => self.range_size(bytes),
        }
    }

    /// Ranges in flight for a transfer of `bytes`.
    pub(super) fn in_flight(&self, bytes: u64) -> usize {
        match self.concurrency {
            0 if bytes < 64 * MIB => 4,
            0 if bytes < 512 * MIB => 8,
            0 => 16,
            concurrency => concurrency,
        }
    }
}

/// The object that a read belongs to: every answer must come from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) etag: Option<String>,
    pub(super) size: u64,
}

impl Pin {
    pub(super) fn of(meta: &ObjectMeta) -> Pin {
        Pin { etag: meta.etag.clone(), size: meta.size }
    }

    /// `Changed` where `meta` is not the pinned object's.
    pub(super) fn check(&self, meta: &ObjectMeta) -> Result<()> {
        let other_etag = self.etag.is_some() && meta.etag.is_some() && self.etag != meta.etag;
        if meta.size == self.size && !other_etag {
            return Ok(());
        }
        Err(Error::new(Code::Changed, "the object was replaced while it was being read")
            .with_hint("read it again from the start"))
    }
}

/// Refuses ranges whose end has no number; a length of `u64::MAX` means to the object's end.
pub(super) fn check_range(offset: u64, length: u64) -> Result<()> {
    if length != u64::MAX && offset.checked_add(length).is_none() {
        return Err(Error::new(Code::Range, format!("{length} bytes from {offset} end past 2^64")));
    }
    Ok(())
}

/// One request for exactly `min(dst.len(), size - offset)` bytes. An empty `dst` asks for the facts.
pub(super) async fn read_once(
    store: &Store,
    key: &str,
    offset: u64,
    dst: Window,
    pin: Option<&Pin>,
    first_byte: &FirstByte,
) -> Result<GetResult> {
    let context = |e: Error| e.with_context("get", store.root().join(key));
    let wanted = dst.len();
    let got = match wanted {
        0 => GetResult { bytes: 0, meta: store.backend().stat(key).await.map_err(context)? },
        _ => {
            let if_match = pin.and_then(|pin| pin.etag.clone());
            let first_byte = first_byte.clone();
            store.get_into(key, GetRequest { offset, if_match, first_byte }, dst).await?
        }
    };
    if let Some(pin) = pin {
        pin.check(&got.meta).map_err(context)?;
    }
    check_length(offset, wanted, got.bytes, got.meta.size).map_err(context)?;
    moved(got.bytes);
    Ok(got)
}

/// One request for `min(limit, size - offset)` bytes, into memory that fits.
pub(super) async fn read_first(
    store: &Store,
    key: &str,
    offset: u64,
    limit: usize,
    if_match: Option<&str>,
    first_byte: &FirstByte,
) -> Result<(Buffer, ObjectMeta)> {
    let context = |e: Error| e.with_context("get", store.root().join(key));
    let (buffer, meta) = match limit {
        0 => (BufferPool::global().take(0)?, store.backend().stat(key).await.map_err(context)?),
        _ => {
            let (if_match, first_byte) = (if_match.map(str::to_owned), first_byte.clone());
            store.get(key, GetRequest { offset, if_match, first_byte }, limit).await?
        }
    };
    check_length(offset, limit, buffer.len(), meta.size).map_err(context)?;
    moved(buffer.len());
    Ok((buffer, meta))
}

/// That exactly what there is of `wanted` bytes came.
fn check_length(offset: u64, wanted: usize, came: usize, size: u64) -> Result<()> {
    let expected = range_len(offset, wanted, size)?;
    if came == expected {
        return Ok(());
    }
    let message = format!("{came} bytes came from offset {offset}, but {expected} were expected");
    Err(Error::new(Code::Truncated, message))
}

/// Fills the whole of `dst`, which must lie within the pinned object, by parallel requests.
pub(super) async fn read_pinned(
    store: &Store,
    key: &str,
    offset: u64,
    dst: Window,
    pin: &Pin,
    plan: &RangePlan,
    first_byte: &FirstByte,
) -> Result<()> {
    let bytes = dst.len() as u64;
    if bytes == 0 {
        return Ok(());
    }
    if plan.is_single(bytes) {
        return read_once(store, key, offset, dst, Some(pin), first_byte).await.map(drop);
    }
    let of = Arc::new((store.clone(), key.to_owned(), pin.clone(), first_byte.clone()));
    let job = move |(at, piece): (u64, Window)| {
        let of = of.clone();
        async move { read_once(&of.0, &of.1, at, piece, Some(&of.2), &of.3).await.map(drop) }
    };
    if !plan.learns(bytes) {
        let pieces = split(offset, dst, plan.range_size(bytes));
        return try_run_all(pieces, plan.in_flight(bytes), plan.inline, job).await.map(drop);
    }
    let run = store.pace().begin(plan.in_flight(bytes));
    let (began, in_flight) = (Instant::now(), run.requests());
    let pieces = split(offset, dst, plan.measured_size(bytes, in_flight, run.request_rate()));
    try_run_all(pieces, in_flight, plan.inline, job).await?;
    run.done(bytes, began.elapsed());
    Ok(())
}

/// Fills `dst` from `offset`, fewer bytes only at the object's end; the first request tells ETag
/// and size, the others follow it. With `whole`, an object that does not fit is `BufferTooSmall`.
pub(super) async fn read_range(
    store: &Store,
    key: &str,
    offset: u64,
    dst: Window,
    whole: bool,
    plan: &RangePlan,
    first_byte: &FirstByte,
) -> Result<GetResult> {
    let wanted = dst.len();
    check_range(offset, wanted as u64).map_err(|e| e.with_context("get", store.root().join(key)))?;
    let first_len = if plan.is_single(wanted as u64) { wanted } else { plan.range_size(wanted as u64) };
    let (first, rest) = dst.split_at(first_len);
    let first_len = first.len();
    let got = read_once(store, key, offset, first, None, first_byte).await?;
    if whole && got.meta.size > wanted as u64 {
        let message = format!("the object has {} bytes, but memory for {wanted} was given", got.meta.size);
        return Err(Error::new(Code::BufferTooSmall, message)
            .with_context("get", store.root().join(key))
            .with_detail("required", got.meta.size));
    }
    let total = range_len(offset, wanted, got.meta.size)?;
    if total > first_len {
        let (rest, _beyond) = rest.split_at(total - first_len);
        let pin = Pin::of(&got.meta);
        read_pinned(store, key, offset + first_len as u64, rest, &pin, plan, first_byte).await?;
    }
    Ok(GetResult { bytes: total, meta: got.meta })
}

/// Cuts a window into pieces of `size` bytes with their offsets in the object.
fn split(offset: u64, dst: Window, size: usize) -> Vec<(u64, Window)> {
    let mut pieces = Vec::with_capacity(dst.len().div_ceil(size));
    let (mut at, mut rest) = (offset, dst);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(size);
        let len = piece.len() as u64;
        pieces.push((at, piece));
        (at, rest) = (at + len, more);
    }
    pieces
}
