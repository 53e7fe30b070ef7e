//! One shard being written: a safetensors file of tensors that were announced, or a plain stream of bytes.

use super::manifest::{Kind, Shard};
use super::receipt::Piece;
use super::safetensors::{self, Member};
use super::tensor::TensorSpec;
use crate::base::checksum::Crc32c;
use crate::base::sync::lock;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::store::{PutOptions, Store};
use crate::transfer::{WriteStats, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// What a rank has stored so far.
#[derive(Debug, Default)]
pub struct Done {
    pub shards: Vec<Shard>,
    pub pieces: Vec<Piece>,
    /// Shards that are still being written.
    pub under_way: usize,
    /// No shard is taken in any more.
    pub closed: bool,
}

/// One shard being written. It belongs to its save once [`ShardWriter::finish`] succeeded; dropping it before
/// removes it. Tensors' bytes come in the order in which the tensors were announced.
#[derive(Debug)]
pub struct ShardWriter {
    writer: Writer,
    name: String,
    rank: u32,
    kind: Kind,
    data_start: u64,
    /// Whose bytes are coming, the present one first.
    coming: VecDeque<Coming>,
    pieces: Vec<Piece>,
    /// Where this shard's bytes end, if that is known.
    expected: Option<u64>,
    done: Arc<Mutex<Done>>,
    counted: bool,
}

/// A tensor that was announced.
#[derive(Debug)]
struct Coming {
    spec: TensorSpec,
    offset: u64,
    length: u64,
    /// Of the bytes before its first one, once they are in.
    before: Option<Crc32c>,
}

/// Who writes which shard where.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub store: &'a Store,
    pub options: &'a Resolved,
    /// Of the rank's objects in this save, with a slash.
    pub folder: &'a str,
    pub rank: u32,
    /// What no other process has.
    pub nonce: u32,
    pub name: &'a str,
}

impl ShardWriter {
    pub(super) async fn open(
        place: Place<'_>,
        specs: Option<Vec<TensorSpec>>,
        metadata: &BTreeMap<String, String>,
        done: &Arc<Mutex<Done>>,
    ) -> Result<ShardWriter> {
        let (kind, suffix) = match specs {
            Some(_) => (Kind::Safetensors, "safetensors"),
            None => (Kind::Bytes, "bin"),
        };
        let rank = super::names::rank(place.rank);
        let key = format!("{}{rank}.{:08x}.{}.{suffix}", place.folder, place.nonce, place.name);
        let head = specs.as_deref().map(|specs| announce(specs, metadata)).transpose()?;
        let put = PutOptions::default();
        let mut writer = Writer::open(place.store, &key, place.options, &put).await?;
        let (mut coming, mut data_start, mut expected) = (VecDeque::new(), 0, None);
        if let (Some((head, members)), Some(specs)) = (head, specs) {
            data_start = head.len() as u64;
            let end = members.last().map_or(0, |member| member.end);
            expected = Some(data_start + end);
            coming = specs
                .into_iter()
                .zip(members)
                .map(|(spec, member)| Coming {
                    spec,
                    offset: data_start + member.begin,
                    length: member.end - member.begin,
                    before: None,
                })
                .collect();
            writer.write(&head).await?;
        }
        lock(done).under_way += 1;
        let mut shard = ShardWriter {
            writer,
            name: place.name.to_owned(),
            rank: place.rank,
            kind,
            data_start,
            coming,
            pieces: Vec::new(),
            expected,
            done: done.clone(),
            counted: true,
        };
        shard.settle_pieces();
        Ok(shard)
    }

    /// Takes bytes in; returns once they may be reused.
    pub async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.check_room(data.len())?;
        while !data.is_empty() {
            let (now, rest) = data.split_at(self.until_boundary(data.len()));
            self.writer.write(now).await?;
            self.settle_pieces();
            data = rest;
        }
        Ok(())
    }

    /// As [`ShardWriter::write`], but the bytes may be kept until [`ShardWriter::finish`].
    pub(super) async fn write_owned(&mut self, mut data: Bytes) -> Result<()> {
        self.check_room(data.len())?;
        while !data.is_empty() {
            let now = data.split_to(self.until_boundary(data.len()));
            self.writer.write_owned(now).await?;
            self.settle_pieces();
        }
        Ok(())
    }

    /// At least `min` bytes of the library's memory, at most up to the end of the present tensor where there
    /// are that many: fill their start, then [`ShardWriter::commit`].
    pub async fn reserve(&mut self, min: usize) -> Result<&mut [u8]> {
        self.check_room(min)?;
        if self.until_boundary(min) < min {
            let message = format!(
                "{min} bytes do not fit in the present tensor, which expects {} more",
                self.until_boundary(min)
            );
            return Err(self.context(Error::new(Code::InvalidArgument, message)));
        }
        let most = self.until_boundary(usize::MAX);
        let room = self.writer.reserve(min).await?;
        let most = most.min(room.len());
        Ok(&mut room[..most])
    }

    /// Takes the first `n` reserved bytes in.
    pub async fn commit(&mut self, n: usize) -> Result<()> {
        self.check_room(n)?;
        if self.until_boundary(n) < n {
            let message = format!("commit of {n} bytes, more than were reserved");
            return Err(self.context(Error::new(Code::InvalidArgument, message)));
        }
        self.writer.commit(n).await?;
        self.settle_pieces();
        Ok(())
    }

    /// Stores the shard as a part of its save.
    pub async fn finish(&mut self) -> Result<WriteStats> {
        let came = self.writer.crc32c().covered();
        if let Some(expected) = self.expected.filter(|expected| *expected != came) {
            let missing = self.coming.front().map_or("", |coming| coming.spec.name.as_str());
            let message = format!(
                "{came} bytes came with the header, but the tensors that were announced have {expected}; next is {missing:?}"
            );
            let error = self.context(Error::new(Code::Truncated, message));
            self.writer.abort().await?;
            return Err(error);
        }
        if lock(&self.done).closed {
            let error =
                Error::new(Code::InvalidState, "its save is finished or aborted; this shard comes too late");
            self.writer.abort().await?;
            return Err(self.context(error));
        }
        let stats = self.writer.finish().await?;
        let mut done = lock(&self.done);
        if done.closed {
            drop(done);
            return Err(
                self.context(Error::new(Code::InvalidState, "its save was finished or aborted meanwhile"))
            );
        }
        let index = u32::try_from(done.shards.len()).unwrap_or(u32::MAX);
        done.shards.push(Shard {
            rank: self.rank,
            name: self.name.clone(),
            kind: self.kind,
            compressed: self.writer.key().ends_with(".zst"),
            key: self.writer.key().to_owned(),
            size: stats.bytes,
            stored_size: stats.stored_bytes,
            crc32c: stats.crc32c,
            stored_crc32c: stats.stored_crc32c,
            data_start: self.data_start,
        });
        let pieces = std::mem::take(&mut self.pieces);
        done.pieces.extend(pieces.into_iter().map(|piece| Piece { shard: index, ..piece }));
        done.under_way -= usize::from(std::mem::take(&mut self.counted));
        Ok(stats)
    }

    /// Removes what was stored; the save goes on without this shard, as after a drop.
    pub async fn abort(&mut self) -> Result<()> {
        self.writer.abort().await?;
        lock(&self.done).under_way -= usize::from(std::mem::take(&mut self.counted));
        Ok(())
    }

    /// As [`Writer::interrupt`].
    pub fn interrupt(&mut self) {
        self.writer.interrupt();
    }

    /// The object that is written.
    pub fn key(&self) -> &str {
        self.writer.key()
    }

    /// The object's.
    pub fn uri(&self) -> &Uri {
        self.writer.uri()
    }

    /// Whether its calls keep the polling thread busy.
    pub fn keeps_thread(&self) -> bool {
        self.writer.keeps_thread()
    }

    /// How many of `n` bytes belong to the present tensor.
    fn until_boundary(&self, n: usize) -> usize {
        let Some(coming) = self.coming.front() else { return n };
        let left = coming.offset + coming.length - self.writer.crc32c().covered();
        usize::try_from(left).unwrap_or(usize::MAX).min(n)
    }

    /// Refuses bytes past the end of what was announced.
    fn check_room(&self, n: usize) -> Result<()> {
        let came = self.writer.crc32c().covered();
        match self.expected {
            Some(expected) if came + n as u64 > expected => {
                let message = format!(
                    "{n} bytes are more than the {} that the announced tensors still have",
                    expected - came
                );
                Err(self.context(Error::new(Code::InvalidArgument, message)))
            }
            _ => Ok(()),
        }
    }

    /// Writes down the tensors whose bytes are all in.
    fn settle_pieces(&mut self) {
        let crc = self.writer.crc32c();
        while let Some(coming) = self.coming.front_mut() {
            if crc.covered() < coming.offset {
                return;
            }
            let before = *coming.before.get_or_insert(crc);
            if crc.covered() < coming.offset + coming.length {
                return;
            }
            let Some(Coming { spec, offset, length, .. }) = self.coming.pop_front() else { return };
            let region = spec.region();
            self.pieces.push(Piece {
                whole: spec.whole().to_vec(),
                name: spec.name,
                dtype: spec.dtype,
                shard: 0,
                offset,
                length,
                crc32c: crc.since(before).value(),
                start: region.start,
                shape: region.shape,
            });
        }
    }

    fn context(&self, error: Error) -> Error {
        error.with_context("checkpoint_write", self.uri())
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        lock(&self.done).under_way -= usize::from(self.counted);
    }
}

/// Refuses tensors that make no sense, or are given twice.
pub fn check_specs<'a>(specs: impl Iterator<Item = &'a TensorSpec>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for spec in specs {
        spec.bytes()?;
        if !seen.insert((&spec.name, spec.region().start)) {
            let message = format!("the tensor {:?} is given twice with the same box", spec.name);
            return Err(Error::new(Code::InvalidArgument, message));
        }
    }
    Ok(())
}

/// The header for these tensors, and where each lies. A box's member has the entry's name, with its position
/// where several of one entry are in the file.
fn announce(specs: &[TensorSpec], metadata: &BTreeMap<String, String>) -> Result<(Vec<u8>, Vec<Member>)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for spec in specs {
        *counts.entry(&spec.name).or_default() += 1;
    }
    let mut names = std::collections::HashSet::new();
    let mut members = Vec::with_capacity(specs.len());
    let mut at = 0_u64;
    for spec in specs {
        let length = spec.bytes()?;
        let name = match counts.get(spec.name.as_str()) {
            Some(1) => spec.name.clone(),
            _ => format!("{}@{:?}", spec.name, spec.region().start),
        };
        if !names.insert(name.clone()) {
            let message = format!("the tensor {:?} is given twice with the same box", spec.name);
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let end = at.checked_add(length);
        let too_large = || Error::new(Code::InvalidArgument, "the tensors have more bytes than a file can");
        let end = end.ok_or_else(too_large)?;
        members.push(Member { name, dtype: spec.dtype, shape: spec.shape.clone(), begin: at, end });
        at = end;
    }
    Ok((safetensors::header(&members, metadata)?, members))
}
