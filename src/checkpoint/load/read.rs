//! Carrying a plan out: reads of all shards at once, checksums compared at the end.

use super::super::manifest::Shard;
use super::super::open::Checkpoint;
use super::plan::{Check, Plan, Read};
use super::{Sums, stream};
use crate::base::buffer::{BufferPool, Window};
use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use crate::store::Store;
use crate::transfer::{read_exact, run_apart};
use std::sync::Arc;

/// Requests in flight to a service.
const REMOTE: usize = 16;
/// Threads that read files and checksum what they read, at most.
const LOCAL: usize = 8;
/// Reads of files below so many bytes in all are not worth a thread.
const SMALL: u64 = 2 << 20;
/// A whole shard is read in pieces of this.
const PIECE: usize = 2 << 20;

/// Checksums of pieces: index of the check, offset in the shard, checksum.
type Parts = Vec<(usize, u64, Crc32c)>;

pub async fn run(checkpoint: &Checkpoint, plan: Plan) -> Result<()> {
    let shards = &checkpoint.manifest.shards;
    let (packed, plain): (Vec<_>, Vec<_>) =
        plan.reads.into_iter().partition(|read| shards[read.shard].compressed);
    let bytes: u64 = plain.iter().map(|read| read.end() - read.begin()).sum();
    let limit = width(&checkpoint.store, bytes);
    let of = Arc::new(checkpoint.clone());
    let job = move |read: Read| {
        let of = of.clone();
        async move { one(&of.store, &of.manifest.shards[read.shard], read).await }
    };
    let mut sums: Vec<Sums> = plan.checks.iter().map(|_| Sums::new()).collect();
    let mut note = |parts: Parts| {
        for (check, offset, crc) in parts {
            sums[check].insert(offset, crc);
        }
    };
    run_apart(&checkpoint.store, plain, limit, job).await?.into_iter().for_each(&mut note);
    stream::run(checkpoint, packed).await?.into_iter().for_each(&mut note);
    plan.checks.iter().zip(sums).try_for_each(|(check, sums)| compare(checkpoint, check, sums))
}

/// A whole shard that is not compressed.
pub async fn whole(checkpoint: &Checkpoint, shard: &Shard, window: Window) -> Result<()> {
    let limit = width(&checkpoint.store, shard.size);
    let mut pieces = Vec::new();
    let (mut offset, mut rest) = (0, window);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(PIECE);
        let length = piece.len() as u64;
        pieces.push((offset, piece));
        (offset, rest) = (offset + length, more);
    }
    let of = Arc::new((checkpoint.store.clone(), shard.clone()));
    let job = move |(offset, window): (u64, Window)| {
        let of = of.clone();
        async move { read_exact(&of.0, &of.1.key, offset, window, of.1.stored_size).await.map(|(_, crc)| crc) }
    };
    let sums = run_apart(&checkpoint.store, pieces, limit, job).await?;
    if shard.size == 0 {
        let found = checkpoint.store.stat(&shard.key).await?.size;
        if found != 0 {
            let message = format!("the object has {found} bytes, but 0 were expected");
            let uri = checkpoint.store.root().join(&shard.key);
            return Err(Error::new(Code::Truncated, message).with_context("checkpoint_load", uri));
        }
    }
    let actual = sums.into_iter().fold(Crc32c::new(), Crc32c::combine).value();
    match actual == shard.crc32c {
        true => Ok(()),
        false => Err(checkpoint.damaged(shard, "the data", shard.crc32c, actual)),
    }
}

/// How many reads at once.
fn width(store: &Store, bytes: u64) -> usize {
    match store.capabilities().blocking_io {
        false => REMOTE,
        true if bytes < SMALL => 1,
        true => std::thread::available_parallelism().map_or(2, usize::from).min(LOCAL),
    }
}

/// One read: straight into the caller's memory, or into ours and from there.
async fn one(store: &Store, shard: &Shard, mut read: Read) -> Result<Parts> {
    if read.pieces.len() == 1
        && let Some(piece) = read.pieces.pop()
    {
        let (_, crc) = read_exact(store, &shard.key, piece.offset, piece.window, shard.stored_size).await?;
        return Ok(piece.check.map(|check| (check, piece.offset, crc)).into_iter().collect());
    }
    let (begin, end) = (read.begin(), read.end());
    let length = usize::try_from(end - begin).unwrap_or(usize::MAX);
    let (window, _owner) = BufferPool::global().take(length)?.into_window();
    let (window, _spare) = window.split_at(length);
    let (data, _) = read_exact(store, &shard.key, begin, window, shard.stored_size).await?;
    let mut parts = Vec::new();
    for mut piece in read.pieces {
        let at = usize::try_from(piece.offset - begin).unwrap_or(usize::MAX);
        let from = data.get(at..).and_then(|rest| rest.get(..piece.window.len()));
        let from = from.ok_or_else(|| Error::new(Code::Internal, "a piece lies outside of its read"))?;
        piece.window.copy_from_slice(from);
        parts.extend(piece.check.map(|check| (check, piece.offset, Crc32c::of(from))));
    }
    Ok(parts)
}

fn compare(checkpoint: &Checkpoint, check: &Check, sums: Sums) -> Result<()> {
    let actual = sums.into_values().fold(Crc32c::new(), Crc32c::combine).value();
    if actual == check.expected {
        return Ok(());
    }
    let shard = &checkpoint.manifest.shards[check.shard];
    let what = format!("{:?} at {}", checkpoint.manifest.entries[check.entry].name, check.offset);
    Err(checkpoint.damaged(shard, &what, check.expected, actual))
}
