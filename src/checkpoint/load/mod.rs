//! Tensors, or boxes of them, into the caller's memory.

mod plan;
mod read;
mod stream;

use super::manifest::Shard;
use super::open::Checkpoint;
use super::tensor::{Region, bytes_of};
use crate::base::buffer::{Buffer, BufferPool, Window};
use crate::error::{Code, Error, Result};
use crate::options;
use plan::{Plan, Wanted};
use std::collections::BTreeMap;

/// What to load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The entry's.
    pub name: String,
    /// The first element along each axis; `None`: zeros.
    pub start: Option<Vec<u64>>,
    /// How many along each axis; `None`: up to the end.
    pub shape: Option<Vec<u64>>,
    /// Only what this rank stored: for entries whose copies differ from rank to rank.
    pub rank: Option<u32>,
}

impl Request {
    /// All of an entry.
    pub fn whole(name: impl Into<String>) -> Request {
        Request { name: name.into(), ..Request::default() }
    }

    /// A box of an entry.
    pub fn slice(name: impl Into<String>, start: impl Into<Vec<u64>>, shape: impl Into<Vec<u64>>) -> Request {
        Request { name: name.into(), start: Some(start.into()), shape: Some(shape.into()), rank: None }
    }
}

impl Checkpoint {
    /// Fills each window with the elements that its request names, row-major. Every window has exactly the bytes
    /// that they need. Parts that are read whole are compared with their CRC32C; of others the object's size
    /// is checked only (in shards of zstd, which are read whole, everything is compared).
    pub async fn load(&self, requests: Vec<(Request, Window)>) -> Result<()> {
        let mut wanted = Vec::with_capacity(requests.len());
        for (request, window) in requests {
            let (entry, region) = self.resolve(&request).map_err(|e| self.context(e))?;
            let needed = self.bytes(entry, &region);
            if needed != window.len() as u64 {
                let message = format!(
                    "{:?} from {:?} of shape {:?} has {needed} bytes, but memory for {} was given",
                    request.name,
                    region.start,
                    region.shape,
                    window.len()
                );
                let error = Error::new(Code::InvalidArgument, message).with_detail("required", needed);
                return Err(self.context(error));
            }
            wanted.push(Wanted { entry, region, rank: request.rank, window });
        }
        let waste = self.options.number(&options::CHECKPOINT_READ_WASTE);
        let blocking = self.store.capabilities().blocking_io;
        let plan = Plan::make(&self.manifest, wanted, waste, blocking).map_err(|e| self.context(e))?;
        read::run(self, plan).await
    }

    /// The bytes that a request needs.
    pub fn bytes_needed(&self, request: &Request) -> Result<u64> {
        let (entry, region) = self.resolve(request).map_err(|e| self.context(e))?;
        Ok(self.bytes(entry, &region))
    }

    /// A whole shard as it was before compression, compared with its CRC32C.
    pub async fn read_shard(&self, rank: u32, name: &str) -> Result<Buffer> {
        let shard = self.shard(rank, name)?;
        let size = usize::try_from(shard.size);
        let size = size
            .map_err(|_| self.context(Error::new(Code::OutOfMemory, "the shard does not fit in memory")))?;
        let (window, owner) = BufferPool::global().take(size)?.into_window();
        let (window, spare) = window.split_at(size);
        drop(spare);
        match shard.compressed {
            true => stream::whole(self, shard, window).await?,
            false => read::whole(self, shard, window).await?,
        }
        let kept = || self.context(Error::new(Code::Internal, "a finished read still holds its memory"));
        owner.reclaim(size).ok_or_else(kept)
    }

    /// The entry and the box that a request means.
    fn resolve(&self, request: &Request) -> Result<(usize, Region)> {
        let at = self.find(&request.name)?;
        let entry = &self.manifest.entries[at];
        let start = request.start.clone().unwrap_or_else(|| vec![0; entry.shape.len()]);
        let to_end =
            || entry.shape.iter().zip(&start).map(|(axis, start)| axis.saturating_sub(*start)).collect();
        let shape = request.shape.clone().unwrap_or_else(to_end);
        let region = Region { start, shape };
        if !region.is_within(&entry.shape) {
            let message = format!(
                "the box of shape {:?} from {:?} is not within {:?} of shape {:?}",
                region.shape, region.start, entry.name, entry.shape
            );
            return Err(Error::new(Code::Range, message));
        }
        if let Some(rank) = request.rank.filter(|rank| *rank >= self.manifest.world_size) {
            let message = format!("there is no rank {rank} in a checkpoint of {}", self.manifest.world_size);
            return Err(Error::new(Code::InvalidArgument, message));
        }
        Ok((at, region))
    }

    fn bytes(&self, entry: usize, region: &Region) -> u64 {
        bytes_of(self.manifest.entries[entry].dtype, &region.shape).unwrap_or(u64::MAX)
    }

    pub(super) fn context(&self, error: Error) -> Error {
        error.with_context("checkpoint_load", self.uri())
    }

    /// As errors about a shard's bytes have it.
    fn damaged(&self, shard: &Shard, what: &str, expected: u32, actual: u32) -> Error {
        let message = format!(
            "{what} in {} has crc32c:{actual:08x}, but crc32c:{expected:08x} was saved",
            shard.title()
        );
        Error::new(Code::ChecksumMismatch, message)
            .with_context("checkpoint_load", self.store.root().join(&shard.key))
            .with_detail("expected", format!("crc32c:{expected:08x}"))
            .with_detail("actual", format!("crc32c:{actual:08x}"))
            .with_hint("the object was damaged after it was saved; restore it, or load another step")
    }
}

/// The checksums of parts that are read whole: what came of each, by its offset in the part.
type Sums = BTreeMap<u64, crate::base::checksum::Crc32c>;

/// For tests/fuzz: the reads that all of an entry needs, each as shard, begin, end and the bytes it fills.
#[cfg(fuzzing)]
pub(super) fn plan_sizes(
    manifest: &super::manifest::Manifest,
    entry: usize,
) -> Option<Vec<(usize, u64, u64, u64)>> {
    let region = Region::all(&manifest.entries[entry].shape);
    let bytes = bytes_of(manifest.entries[entry].dtype, &region.shape)?;
    let (window, _owner) = BufferPool::global().take(bytes as usize).ok()?.into_window();
    let (window, _spare) = window.split_at(bytes as usize);
    let plan = Plan::make(manifest, vec![Wanted { entry, region, rank: None, window }], 10, true).ok()?;
    let size = |read: &plan::Read| read.pieces.iter().map(|piece| piece.window.len() as u64).sum();
    Some(plan.reads.iter().map(|read| (read.shard, read.begin(), read.end(), size(read))).collect())
}
