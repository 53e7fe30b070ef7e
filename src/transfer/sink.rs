//! Stored bytes into one object: a single put where they fit in one part, else parts that upload
//! in the background. What is not finished is aborted, also by dropping.

use super::parts::PartSizes;
use super::progress::moved;
use super::tasks::Task;
use crate::base::budget::{Budget, Share};
use crate::base::buffer::{Buffer, BufferPool, lend};
use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use crate::runtime::{self, Era};
use crate::store::{Content, Part, PutOptions, PutResult, Store, Upload, UploadTotal};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::sync::Arc;

/// What a first part starts with, so that many writers of small objects stay small.
const FIRST_ROOM: usize = 256 << 10;
/// Bytes of the caller's that are worth ending a part for, where that spares their copy.
const THROUGH: usize = 1 << 20;
/// What stays in the cache.
const CACHED: usize = 512 << 10;
/// How small parts become where the process's budget is used up.
const SHORT: usize = 5 << 20;

pub(super) struct Sink {
    store: Store,
    key: String,
    put: PutOptions,
    sizes: PartSizes,
    inline: bool,
    in_flight: usize,
    era: Era,
    current: Current,
    /// Of the next part.
    number: u32,
    /// Of everything that was handed to the store, in order.
    sent: Crc32c,
    requests: u32,
    pending: Pending,
}

/// What cleaning up needs.
#[derive(Default)]
struct Pending {
    upload: Slot,
    parts: FuturesUnordered<Task<()>>,
}

#[derive(Default)]
enum Slot {
    #[default]
    None,
    Coming(Task<Arc<dyn Upload>>),
    Open(Arc<dyn Upload>),
}

/// The part that is being filled.
enum Current {
    Empty,
    Filling {
        buffer: Buffer,
        target: usize,
        crc: Crc32c,
        share: Share,
    },
    /// A whole part that came as one piece; kept back because the object may end with it.
    Held {
        data: Bytes,
        crc: Crc32c,
    },
}

impl Sink {
    pub(super) fn new(store: &Store, key: &str, options: &Resolved, put: &PutOptions) -> Sink {
        let capabilities = store.capabilities();
        Sink {
            store: store.clone(),
            key: key.to_owned(),
            put: put.clone(),
            sizes: PartSizes::new(options.number(&options::TRANSFER_PART_SIZE), &capabilities),
            inline: capabilities.blocking_io,
            in_flight: options.size(&options::TRANSFER_PARTS_IN_FLIGHT).max(1),
            era: Era::now(),
            current: Current::Empty,
            number: 0,
            sent: Crc32c::new(),
            requests: 0,
            pending: Pending::default(),
        }
    }

    /// Of everything that came in.
    pub(super) fn crc(&self) -> Crc32c {
        match &self.current {
            Current::Empty => self.sent,
            Current::Filling { crc, .. } | Current::Held { crc, .. } => self.sent.combine(*crc),
        }
    }

    /// How many requests carried data.
    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// Makes room for at least `min` (at least 1) bytes in one piece: [`Sink::room`].
    pub(super) async fn make_room(&mut self, min: usize) -> Result<()> {
        let min = min.max(1);
        match &mut self.current {
            Current::Empty => {}
            Current::Held { .. } => self.ship().await?,
            Current::Filling { buffer, target, share, .. } => {
                if buffer.len() == *target
                    || *target - buffer.len() < min && self.sizes.may_be_followed(buffer.len())
                {
                    self.ship().await?;
                } else {
                    let needed = self.sizes.round_up(buffer.len().saturating_add(min))?;
                    *target = (*target).max(needed);
                    if buffer.capacity().min(*target) - buffer.len() < min {
                        if Budget::global().is_short() {
                            *target = self.sizes.at_least(SHORT)?.max(needed).min(*target);
                        }
                        let larger = Budget::global().take(*target as u64);
                        *buffer = grown(buffer, *target)?;
                        *share = larger;
                    }
                }
            }
        }
        if let Current::Empty = self.current {
            let needed = self.sizes.round_up(min)?;
            let target = self.affordable(self.sizes.of(self.number)?.max(needed), needed).await?;
            let first = if self.number == 0 { FIRST_ROOM.max(min).min(target) } else { target };
            let share = Budget::global().take(first as u64);
            let buffer = BufferPool::global().take(first)?;
            self.current = Current::Filling { buffer, target, crc: Crc32c::new(), share };
        }
        Ok(())
    }

    /// How large the next part may become: `wanted` bytes while less than half of the process's budget is in
    /// use, where need be once this writer's own parts are stored; else fewer. Waits for nobody else: two
    /// writers of one thread would wait for each other.
    async fn affordable(&mut self, wanted: usize, needed: usize) -> Result<usize> {
        while Budget::global().is_short() {
            match self.pending.parts.next().await {
                Some(done) => done?,
                None => return Ok(self.sizes.at_least(SHORT)?.max(needed).min(wanted)),
            }
        }
        Ok(wanted)
    }

    /// The free rest of the current part; fill its start, then [`Sink::advance`].
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.current {
            Current::Filling { buffer, target, .. } => {
                let (start, end) = (buffer.len(), (*target).min(buffer.capacity()));
                &mut buffer.spare_mut()[start..end]
            }
            _ => &mut [],
        }
    }

    /// Takes the first `n` bytes of [`Sink::room`] in.
    pub(super) fn advance(&mut self, n: usize) {
        if let Current::Filling { buffer, crc, .. } = &mut self.current {
            let start = buffer.len();
            buffer.set_len(start + n);
            crc.update(&buffer[start..]);
        }
    }

    /// Takes `data` in by copying it; whole parts go to a store that blocks without the copy.
    pub(super) async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            if let Some(len) = self.through(data.len())? {
                self.put_through(&data[..len]).await?;
                data = &data[len..];
                continue;
            }
            self.make_room(1).await?;
            let room = self.room();
            let n = room.len().min(data.len());
            room[..n].copy_from_slice(&data[..n]);
            self.advance(n);
            data = &data[n..];
        }
        self.check_parts()
    }

    /// Takes `data` in; whole parts are slices of it, kept until they are uploaded. The `last` data
    /// of an object ends in a slice, too; else its rest is copied.
    pub(super) async fn write_owned(&mut self, mut data: Bytes, last: bool) -> Result<()> {
        while !data.is_empty() {
            if let Some(len) = self.through(data.len())? {
                self.put_through(&data.split_to(len)).await?;
                continue;
            }
            if self.is_at_boundary() && (last || data.len() >= self.sizes.of(self.number)?) {
                self.ship().await?;
                let size = self.sizes.of(self.number)?; // shipping may have made it grow
                if last || data.len() >= size {
                    let part = data.split_to(size.min(data.len()));
                    let crc = Crc32c::of(&part);
                    self.current = Current::Held { data: part, crc };
                    if self.number > 0 {
                        self.ship().await?;
                    }
                    continue;
                }
            }
            self.make_room(1).await?;
            let n = self.room().len().min(data.len());
            let head = data.split_to(n);
            self.room()[..n].copy_from_slice(&head);
            self.advance(n);
        }
        self.check_parts()
    }

    /// Publishes the object.
    pub(super) async fn finish(&mut self) -> Result<PutResult> {
        self.era.check()?;
        if self.number == 0 {
            let data = match std::mem::replace(&mut self.current, Current::Empty) {
                Current::Empty => Bytes::new(),
                Current::Filling { buffer, crc, .. } => {
                    self.sent = crc;
                    buffer.into_bytes()
                }
                Current::Held { data, crc } => {
                    self.sent = crc;
                    data
                }
            };
            self.requests += 1;
            let bytes = data.len();
            let put = self.store.put(&self.key, Content { data, crc32c: self.sent }, &self.put).await?;
            moved(bytes);
            return Ok(put);
        }
        self.ship().await?;
        while let Some(part) = self.pending.parts.next().await {
            part?;
        }
        let Slot::Open(upload) = &self.pending.upload else {
            return Err(Error::new(Code::Internal, "parts were sent without an upload"));
        };
        let result = upload.complete(self.number, UploadTotal { crc32c: self.sent }).await?;
        self.pending.upload = Slot::None;
        Ok(result)
    }

    /// Removes everything that was stored, once the parts in flight have ended. May be called
    /// again after it failed.
    pub(super) async fn abort(&mut self) -> Result<()> {
        self.era.check()?;
        self.current = Current::Empty;
        self.pending.abort().await
    }

    /// After an error: waits for the parts in flight and gives up what was kept back, so that
    /// nobody reads the caller's memory any more.
    pub(super) async fn settle(&mut self) {
        while let Some(part) = self.pending.parts.next().await {
            drop(part); // the first error is the one to tell
        }
        if let Current::Held { .. } = self.current {
            self.current = Current::Empty;
        }
    }

    /// How many of so many bytes go straight to a store that blocks, whose parts may have any size; `None` where
    /// it is not worth it, or the part that is being filled cannot end here.
    fn through(&self, len: usize) -> Result<Option<usize>> {
        if !self.inline || len < THROUGH {
            return Ok(None);
        }
        let may_end = match &self.current {
            Current::Empty | Current::Held { .. } => true,
            Current::Filling { buffer, .. } => buffer.is_empty() || self.sizes.may_be_followed(buffer.len()),
        };
        let len = self.sizes.round_down(len.min(self.sizes.of(self.number)?));
        Ok((may_end && len > 0).then_some(len))
    }

    /// Stores what is borrowed, in pieces that stay in the cache between their checksum and their way out.
    async fn put_through(&mut self, data: &[u8]) -> Result<()> {
        self.ship().await?;
        self.open_upload().await?;
        let small = self.sizes.may_be_followed(1);
        let piece = if small { CACHED } else { data.len().max(1) };
        // Pieces end at multiples of their size in the object: the page cache keeps those in larger units, which
        // are read faster.
        let past = if small { (self.sent.covered() % CACHED as u64) as usize } else { 0 };
        let (first, rest) = data.split_at(data.len().min(piece - past));
        let requests = self.requests + 1;
        std::iter::once(first).chain(rest.chunks(piece)).try_for_each(|piece| self.put_borrowed(piece))?;
        self.requests = requests;
        Ok(())
    }

    /// Whether whole parts may follow without being copied into the current one.
    fn is_at_boundary(&self) -> bool {
        match &self.current {
            Current::Empty | Current::Held { .. } => true,
            Current::Filling { buffer, target, .. } => buffer.len() == *target || buffer.is_empty(),
        }
    }

    /// Hands the current part, if there is any, to the store.
    async fn ship(&mut self) -> Result<()> {
        if let Current::Filling { buffer, .. } = &self.current
            && buffer.is_empty()
        {
            self.current = Current::Empty;
        }
        if let Current::Empty = self.current {
            return Ok(());
        }
        self.open_upload().await?;
        let (data, crc32c, share) = match std::mem::replace(&mut self.current, Current::Empty) {
            Current::Empty => return Ok(()),
            Current::Filling { buffer, crc, share, .. } => (buffer.into_bytes(), crc, Some(share)),
            Current::Held { data, crc } => (data, crc, None),
        };
        let part = Part { number: self.number, offset: self.sent.covered(), data, crc32c };
        let upload = self.upload()?;
        self.count(crc32c);
        let store = async move {
            let bytes = part.data.len();
            upload.put_part(part).await?;
            drop(share); // the memory is back in its pool
            moved(bytes);
            Ok(())
        };
        if self.inline {
            return store.await;
        }
        while self.pending.parts.len() >= self.in_flight {
            if let Some(done) = self.pending.parts.next().await {
                done?;
            }
        }
        self.pending.parts.push(Task::spawn(store)?);
        self.check_parts()
    }

    /// The first error of the parts that have ended.
    pub(super) fn check_parts(&mut self) -> Result<()> {
        while !self.pending.parts.is_empty() {
            match self.pending.parts.next().now_or_never() {
                Some(Some(done)) => done?,
                _ => break,
            }
        }
        Ok(())
    }

    /// As [`Sink::ship`], of memory that is only borrowed: for stores that block.
    fn put_borrowed(&mut self, data: &[u8]) -> Result<()> {
        let upload = self.upload()?;
        let crc32c = Crc32c::of(data);
        let (number, offset) = (self.number, self.sent.covered());
        self.count(crc32c);
        let outcome =
            lend(data, |data| upload.put_part(Part { number, offset, data, crc32c }).now_or_never());
        outcome.unwrap_or_else(|| {
            Err(Error::new(Code::Internal, "a store that says it blocks did not, and kept borrowed memory"))
        })?;
        moved(data.len());
        Ok(())
    }

    fn count(&mut self, part: Crc32c) {
        self.number += 1;
        self.requests += 1;
        self.sent = self.sent.combine(part);
    }

    fn upload(&self) -> Result<Arc<dyn Upload>> {
        match &self.pending.upload {
            Slot::Open(upload) => Ok(upload.clone()),
            _ => Err(Error::new(Code::Internal, "the upload is not open")),
        }
    }

    /// Whether its I/O happens on the polling thread.
    pub(super) fn is_inline(&self) -> bool {
        self.inline
    }

    /// Opens the upload, in a task: one that was cancelled would leave an upload nobody knows of.
    async fn open_upload(&mut self) -> Result<()> {
        self.era.check()?;
        if let Slot::None = self.pending.upload {
            let (store, key, put) = (self.store.clone(), self.key.clone(), self.put.clone());
            if self.inline {
                self.pending.upload = Slot::Open(store.create_upload(&key, &put).await?);
            } else {
                let task = Task::spawn(async move { store.create_upload(&key, &put).await })?;
                self.pending.upload = Slot::Coming(task);
            }
        }
        if let Slot::Coming(task) = &mut self.pending.upload {
            let opened = task.await;
            self.pending.upload = Slot::None;
            self.pending.upload = Slot::Open(opened?);
        }
        Ok(())
    }
}

impl Pending {
    fn is_nothing(&self) -> bool {
        matches!(self.upload, Slot::None) && self.parts.is_empty()
    }

    async fn abort(&mut self) -> Result<()> {
        // A part that is still on its way could arrive after the abort and stay for ever.
        while let Some(part) = self.parts.next().await {
            drop(part);
        }
        if let Slot::Coming(task) = &mut self.upload {
            let opened = task.await;
            self.upload = opened.map_or(Slot::None, Slot::Open);
        }
        if let Slot::Open(upload) = &self.upload {
            upload.abort().await?;
        }
        self.upload = Slot::None;
        Ok(())
    }
}

/// The same bytes with room for `target`.
fn grown(buffer: &Buffer, target: usize) -> Result<Buffer> {
    let mut larger = BufferPool::global().take(target)?;
    larger.extend_from_slice(buffer);
    Ok(larger)
}

impl Drop for Sink {
    fn drop(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_nothing() {
            return;
        }
        if self.era.check().is_err_and(|error| error.code() == Code::Forked) {
            std::mem::forget(pending); // it is the parent's
            return;
        }
        let uri = self.store.root().join(&self.key);
        let mut pending = pending;
        runtime::spawn_background(async move {
            if let Err(error) = pending.abort().await {
                tracing::warn!(%error, %uri, "an unfinished upload could not be removed");
            }
        });
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, flying) = (self.number, self.pending.parts.len());
        write!(f, "Sink({}, {parts} parts, {flying} in flight)", self.store.root().join(&self.key))
    }
}
