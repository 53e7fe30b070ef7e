//! Compressed shards: read from the start to the end, whatever is wanted of them.

use super::super::manifest::Shard;
use super::super::open::Checkpoint;
use super::plan::Read;
use crate::base::buffer::{BufferPool, Window};
use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use crate::options::{self, Options};
use crate::transfer::{Reader, run_apart};
use std::sync::Arc;

/// Shards that are decompressed at once, at most.
const AT_ONCE: usize = 8;
/// Bytes that are decompressed at once.
const CHUNK: usize = 1 << 20;

/// Reads of compressed shards, by shard; checksums as [`super::read`] has them.
pub async fn run(checkpoint: &Checkpoint, reads: Vec<Read>) -> Result<Vec<Vec<(usize, u64, Crc32c)>>> {
    let mut shards: Vec<(usize, Vec<Read>)> = Vec::new();
    for read in reads {
        match shards.last_mut() {
            Some((shard, reads)) if *shard == read.shard => reads.push(read),
            _ => shards.push((read.shard, vec![read])),
        }
    }
    let limit = std::thread::available_parallelism().map_or(2, usize::from).min(AT_ONCE);
    let of = Arc::new(checkpoint.clone());
    let job = move |(shard, reads): (usize, Vec<Read>)| {
        let of = of.clone();
        async move { scatter(&of, &of.manifest.shards[shard], reads).await }
    };
    run_apart(&checkpoint.store, shards, limit, job).await
}

/// A whole shard.
pub async fn whole(checkpoint: &Checkpoint, shard: &Shard, mut window: Window) -> Result<()> {
    let mut at = 0;
    let out = &mut window;
    pass(checkpoint, shard, |data| {
        if let Some(to) = out.get_mut(at..at + data.len()) {
            to.copy_from_slice(data);
        }
        at += data.len();
    })
    .await
}

/// The pieces of one shard. They may overlap where the same bytes are wanted twice.
async fn scatter(
    checkpoint: &Checkpoint,
    shard: &Shard,
    reads: Vec<Read>,
) -> Result<Vec<(usize, u64, Crc32c)>> {
    let mut pieces: Vec<_> = reads.into_iter().flat_map(|read| read.pieces).collect();
    let mut at = 0_u64;
    let (mut first, mut sums) = (0, Vec::new());
    pass(checkpoint, shard, |data| {
        let end = at + data.len() as u64;
        for piece in &mut pieces[first..] {
            if piece.offset >= end {
                break;
            }
            let (begin, stop) = (piece.offset, piece.offset + piece.window.len() as u64);
            let (from, to) = (begin.max(at), stop.min(end));
            if from < to {
                // Both lie within memory: the differences are small.
                let source = &data[(from - at) as usize..(to - at) as usize];
                piece.window[(from - begin) as usize..(to - begin) as usize].copy_from_slice(source);
            }
        }
        while pieces.get(first).is_some_and(|piece| piece.offset + piece.window.len() as u64 <= end) {
            first += 1;
        }
        at = end;
    })
    .await?;
    for piece in pieces {
        sums.extend(piece.check.map(|check| (check, piece.offset, Crc32c::of(&piece.window))));
    }
    Ok(sums)
}

/// Shows all bytes of a shard to `see`, in order, and compares their number and checksum.
async fn pass(checkpoint: &Checkpoint, shard: &Shard, mut see: impl FnMut(&[u8]) + Send) -> Result<()> {
    let context = |e: Error| e.with_context("checkpoint_load", checkpoint.store.root().join(&shard.key));
    let options =
        Options::new().with(options::READER_DECOMPRESS.key, true)?.resolve_over(&checkpoint.options);
    let reader = Reader::open(&checkpoint.store, &shard.key, &options).await?;
    if reader.meta().size != shard.stored_size {
        let message =
            format!("the object has {} bytes, but {} were expected", reader.meta().size, shard.stored_size);
        return Err(context(Error::new(Code::Truncated, message)));
    }
    let (mut window, _owner) = BufferPool::global().take(CHUNK)?.into_window();
    let mut crc = Crc32c::new();
    loop {
        let (given, loan) = window.on_loan();
        let n = reader.read(given).await?;
        let kept = || context(Error::new(Code::Internal, "a finished read still holds its memory"));
        window = loan.take_back().ok_or_else(kept)?;
        if n == 0 {
            break;
        }
        crc.update(&window[..n]);
        if crc.covered() > shard.size {
            let message = format!("more than the {} bytes that were saved came", shard.size);
            return Err(context(Error::new(Code::Corrupt, message)));
        }
        see(&window[..n]);
    }
    if crc.covered() != shard.size {
        let message = format!("{} bytes came, but {} were saved", crc.covered(), shard.size);
        return Err(context(Error::new(Code::Truncated, message)));
    }
    match crc.value() == shard.crc32c {
        true => Ok(()),
        false => Err(checkpoint.damaged(shard, "the data", shard.crc32c, crc.value())),
    }
}
