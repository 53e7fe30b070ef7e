//! The stored bytes of one pinned object in order, fetched ahead.

use super::get::pooled;
use super::range::{Pin, RangePlan, read_once, read_pinned};
use super::tasks::Task;
use crate::base::budget::{Budget, Share};
use crate::base::buffer::{Buffer, Window};
use crate::base::op::Op;
use crate::error::{Code, Error, Result};
use crate::store::Store;
use std::collections::VecDeque;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The smallest and largest piece that is fetched ahead.
const CHUNKS: std::ops::RangeInclusive<u64> = MIB..=8 * MIB;
/// Read-ahead starts with this many bytes and doubles while the reading stays sequential.
const FIRST_AHEAD: u64 = 2 * MIB;
/// Reads of at least so much go straight into the caller's memory where nothing was fetched ahead.
const DIRECT: u64 = MIB;
const DIRECT_INLINE: u64 = 256 * KIB;

/// A position in the object and what was fetched from there on.
#[derive(Debug)]
pub(super) struct Source {
    store: Store,
    key: String,
    pin: Pin,
    plan: RangePlan,
    /// The most bytes that are fetched before they are asked for.
    limit: u64,
    /// How many are now; 0 right after a seek.
    ahead: u64,
    inline: bool,
    alignment: u64,
    position: u64,
    /// Consecutive; the first one covers the position.
    chunks: VecDeque<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    len: u64,
    state: State,
    _share: Share,
}

#[derive(Debug)]
enum State {
    Coming(Task<Buffer>),
    Here(Buffer),
}

impl Source {
    pub(super) fn new(store: &Store, key: &str, pin: Pin, plan: RangePlan, limit: u64) -> Source {
        let capabilities = store.capabilities();
        Source {
            store: store.clone(),
            key: key.to_owned(),
            pin,
            plan,
            limit,
            ahead: FIRST_AHEAD.min(limit),
            inline: capabilities.blocking_io,
            alignment: capabilities.alignment.max(1) as u64,
            position: 0,
            chunks: VecDeque::new(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes from the position to the end of the object.
    pub(super) fn left(&self) -> u64 {
        self.pin.size.saturating_sub(self.position)
    }

    /// Moves the position, also past the end; what was fetched for it stays.
    pub(super) fn seek(&mut self, position: u64) {
        if position == self.position {
            return;
        }
        self.position = position;
        let covered = self.chunks.front().is_some_and(|first| first.start <= position);
        if !covered {
            self.chunks.clear();
        }
        self.drop_passed();
        if self.chunks.is_empty() {
            self.ahead = 0;
        }
    }

    /// Whether a read of `wanted` bytes should go straight to the caller's memory: [`Source::read`].
    pub(super) fn prefers_direct(&self, wanted: u64) -> bool {
        let enough = if self.inline { DIRECT_INLINE } else { DIRECT };
        self.chunks.is_empty() && (wanted >= enough || self.limit == 0)
    }

    /// Fills `dst`, which must not be longer than what is left.
    pub(super) async fn read(&mut self, dst: Window) -> Result<()> {
        let len = dst.len() as u64;
        let watch = self.store.watch(Op::Get, &self.key);
        let (at, first_byte) = (self.position, watch.first_byte());
        let read = read_pinned(&self.store, &self.key, at, dst, &self.pin, &self.plan, first_byte).await;
        watch.end(&read, |()| (1, len));
        read?;
        self.position += len;
        Ok(())
    }

    /// Some bytes at the position, at least one unless it is at the end; then [`Source::consume`].
    pub(super) async fn fill(&mut self) -> Result<&[u8]> {
        if self.left() == 0 {
            return Ok(&[]);
        }
        if self.chunks.is_empty() {
            let start = self.position - self.position % self.alignment;
            let len = MIB.max(self.alignment).min(self.pin.size - start);
            self.start(start, len, Budget::global().take(len)).await?;
        }
        if let Some(Chunk { state: State::Coming(task), .. }) = self.chunks.front_mut() {
            match task.await {
                Ok(buffer) => {
                    if let Some(first) = self.chunks.front_mut() {
                        first.state = State::Here(buffer);
                    }
                }
                Err(error) => {
                    self.chunks.clear(); // the next call asks again
                    return Err(error);
                }
            }
        }
        match self.chunks.front() {
            Some(Chunk { start, state: State::Here(buffer), .. }) => {
                Ok(&buffer[(self.position - start) as usize..]) // within the chunk
            }
            _ => Err(Error::new(Code::Internal, "read-ahead lost its place")),
        }
    }

    /// Goes on by `n` bytes of what [`Source::fill`] gave.
    pub(super) fn consume(&mut self, n: usize) {
        self.position += n as u64;
        self.drop_passed();
    }

    /// Fetches ahead, more each time; nothing right after a seek, nothing from stores that block.
    pub(super) async fn fetch_ahead(&mut self) -> Result<()> {
        if self.inline || self.limit == 0 {
            return Ok(());
        }
        if self.ahead == 0 {
            self.ahead = FIRST_AHEAD.min(self.limit);
            return Ok(());
        }
        let chunk = (self.ahead / 4).clamp(*CHUNKS.start(), *CHUNKS.end()).min(self.limit);
        loop {
            let next = self.chunks.back().map_or(self.position, |last| last.start + last.len);
            let len = chunk.min(self.pin.size.saturating_sub(next));
            if len == 0 || next + len - self.position > self.ahead {
                break;
            }
            // The next chunk is needed, the others are not.
            let share = match Budget::global().try_take(len) {
                None if self.chunks.is_empty() => Budget::global().take(len),
                None => break,
                Some(share) => share,
            };
            self.start(next, len, share).await?;
        }
        self.ahead = (self.ahead * 2).min(self.limit);
        Ok(())
    }

    async fn start(&mut self, start: u64, len: u64, share: Share) -> Result<()> {
        let (store, key, pin) = (self.store.clone(), self.key.clone(), self.pin.clone());
        let fetch = async move {
            let (window, owner) = pooled(len as usize)?; // at most a chunk
            let watch = store.watch(Op::Get, &key);
            let read = read_once(&store, &key, start, window, Some(&pin), watch.first_byte()).await;
            watch.end(&read, |got| (1, got.bytes as u64));
            owner(read?.bytes)
        };
        let state = if self.inline { State::Here(fetch.await?) } else { State::Coming(Task::spawn(fetch)?) };
        self.chunks.push_back(Chunk { start, len, state, _share: share });
        Ok(())
    }

    fn drop_passed(&mut self) {
        while self.chunks.front().is_some_and(|first| first.start + first.len <= self.position) {
            self.chunks.pop_front();
        }
    }
}
