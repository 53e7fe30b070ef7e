//! Whether everything that a checkpoint consists of is there and right.

use super::latest;
use super::manifest::{Kind, Shard};
use super::open::Checkpoint;
use super::receipt::Receipt;
use super::safetensors;
use super::writer::receipt_key;
use crate::error::{Code, Error, Result};
use crate::transfer::{self, Check, run_apart};
use std::sync::Arc;

/// Requests in flight.
const AT_ONCE: usize = 16;

/// A tensor of a shard: offset, length, shape.
type Member = (u64, u64, Vec<u64>);

impl Checkpoint {
    /// Compares what is stored with the manifest: that all shards are there with their sizes; if `deep`, every
    /// stored byte of them, the headers of those that are not compressed, the receipts, and latest.json. The first thing that is wrong
    /// is the error, and names its object. Shards' bytes pass through a few MiB of memory.
    pub async fn validate(&self, deep: bool) -> Result<()> {
        let of = Arc::new(self.clone());
        let shards: Vec<usize> = (0..self.manifest.shards.len()).collect();
        let job = move |at: usize| {
            let of = of.clone();
            async move { of.check_size(&of.manifest.shards[at]).await }
        };
        run_apart(&self.store, shards, AT_ONCE, job).await?;
        if !deep {
            return Ok(());
        }
        let checks = self.manifest.shards.iter().map(|shard| Check {
            key: shard.key.clone(),
            offset: 0,
            length: u64::MAX,
            expected: Some(shard.stored_crc32c),
        });
        for outcome in transfer::validate_many(&self.store, checks.collect()).await {
            outcome?;
        }
        let mut members: Vec<Vec<Member>> = self.manifest.shards.iter().map(|_| Vec::new()).collect();
        for part in self.manifest.entries.iter().flat_map(|entry| &entry.parts) {
            members[part.shard as usize].push((part.offset, part.length, part.shape.clone()));
        }
        let with_header = |shard: &Shard| shard.kind == Kind::Safetensors && !shard.compressed;
        let jobs = members.into_iter().enumerate().filter(|(at, _)| with_header(&self.manifest.shards[*at]));
        let of = Arc::new(self.clone());
        let job = move |(at, expected): (usize, Vec<Member>)| {
            let of = of.clone();
            async move { of.check_header(&of.manifest.shards[at], expected).await }
        };
        run_apart(&self.store, jobs.collect(), AT_ONCE, job).await?;
        self.check_receipts().await?;
        latest::read(&self.store).await.map(drop)
    }

    async fn check_size(&self, shard: &Shard) -> Result<()> {
        let found = self.store.stat(&shard.key).await?.size;
        if found == shard.stored_size {
            return Ok(());
        }
        let message = format!("{} has {found} bytes, but {} were saved", shard.title(), shard.stored_size);
        let code = if found < shard.stored_size { Code::Truncated } else { Code::Corrupt };
        Err(Error::new(code, message).with_context("checkpoint_validate", self.store.root().join(&shard.key)))
    }

    /// That other tools find what the manifest says.
    async fn check_header(&self, shard: &Shard, mut expected: Vec<Member>) -> Result<()> {
        let context = |e: Error| e.with_context("checkpoint_validate", self.store.root().join(&shard.key));
        let head = transfer::get_range(&self.store, &shard.key, 0, shard.data_start).await?;
        let (members, _) = safetensors::parse(&head, shard.size).map_err(context)?;
        let mut found: Vec<_> = members
            .into_iter()
            .map(|member| (shard.data_start + member.begin, member.end - member.begin, member.shape))
            .collect();
        expected.sort_unstable();
        found.sort_unstable();
        if expected == found {
            return Ok(());
        }
        let message = format!("the header of {} has other tensors than the manifest", shard.title());
        Err(context(Error::new(Code::Corrupt, message)))
    }

    async fn check_receipts(&self) -> Result<()> {
        let manifest = &self.manifest;
        let key = |rank| receipt_key(&manifest.layout.folder(&manifest.id, rank), rank);
        let keys: Vec<String> = (0..manifest.world_size).map(key).collect();
        for (rank, outcome) in (0..).zip(transfer::get_many(&self.store, keys).await) {
            let context =
                |e: Error| e.with_context("checkpoint_validate", self.store.root().join(&key(rank)));
            let receipt = Receipt::from_bytes(&outcome?).map_err(context)?;
            let shards = manifest.shards.iter().filter(|shard| shard.rank == rank);
            if receipt.id != manifest.id || receipt.rank != rank || !shards.eq(&receipt.shards) {
                let message = format!("the receipt of rank {rank} does not agree with the manifest");
                return Err(context(Error::new(Code::Corrupt, message)));
            }
        }
        Ok(())
    }
}
