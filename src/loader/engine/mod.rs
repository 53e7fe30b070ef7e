//! Fetches ahead of who draws, within bounds of items, bytes and requests, and hands over in order or as things
//! come.
//!
//! A few long-lived tasks (lanes) share a plan under one lock: each leaves what it fetched, takes what is next,
//! and nobody is woken between two items; who draws is woken once a batch is there. On stores that block the lanes are
//! threads, and each takes many items at once, so that files come through an io_uring.
//!
//! **Bounds.** An item's bytes are admitted before it is fetched, or, where nobody knows how many they are, once
//! the head of the answer says it. Where the loader's bytes or the process's budget are used up, lanes wait
//! until batches are drawn; but the next item that the batch under way needs is always let through, one at a time, so
//! that bytes are never what nothing moves for.

mod feed;
mod fetch;
mod files;
mod items;
mod lane;
mod lateness;

pub use feed::Feeder;
pub use fetch::{Sizes, failure, fetch_one, sample};
pub use files::{FileDraw, FileEngine};
pub use items::{Draw, ItemEngine, ItemPlan};

use super::batch::Sample;
use super::policy::Policy;
use super::stats::Stats;
use crate::base::budget::{Budget, Share};
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime::{self, Era};
use std::future::Future;
use std::sync::{Arc, Mutex, Weak};
use tokio::task::JoinHandle;

/// What an engine is told.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub in_order: bool,
    pub in_flight: usize,
    /// With those that are late.
    pub most_in_flight: usize,
    pub batch: u64,
    /// Items that are on their way or wait, at most.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    pub decompress: bool,
    pub validate: bool,
}

impl Bounds {
    pub fn new(policy: &Policy, batch: u64) -> Bounds {
        Bounds {
            in_order: policy.in_order,
            in_flight: policy.in_flight.max(1),
            most_in_flight: policy.most_in_flight.max(policy.in_flight).max(1),
            batch,
            items: batch.saturating_mul(policy.ahead.saturating_add(1)).max(policy.in_flight as u64),
            bytes: policy.bytes,
            decompress: policy.decompress,
            validate: policy.validate,
        }
    }

    /// What is asked for first of an object of unknown size: of all lanes together half of the bytes.
    pub fn first(&self) -> u64 {
        (self.bytes / 2 / self.in_flight as u64).clamp(64 << 10, 2 << 20)
    }
}

/// Where an item stands in the shard's own sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Item(u64),
    /// Number of the file among the shard's own, and of the record among its own of that file.
    Record {
        file: u64,
        record: u64,
    },
    /// So many records the file had of the shard's own; no item.
    End {
        file: u64,
        records: u64,
    },
}

/// An item that came, or why it did not.
#[derive(Debug)]
pub struct Outcome {
    pub tag: Tag,
    pub result: Result<Sample>,
    pub(super) held: Held,
}

/// Bytes that an item has of the loader's bounds and of the process's budget.
#[derive(Debug, Default)]
pub struct Held {
    bytes: u64,
    share: Option<Share>,
    /// It went past the bounds.
    over: bool,
}

impl Held {
    /// So many of its bytes, for another item.
    fn split(&mut self, bytes: u64) -> Held {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Held { bytes, share: self.share.as_mut().map(|share| share.split(bytes)), over: false }
    }

    /// Takes over another item's bytes, so that all are given back at once.
    fn merge(&mut self, other: Held) {
        self.bytes += other.bytes;
        match (&mut self.share, other.share) {
            (Some(share), Some(other)) => share.merge(other),
            (none, share) => *none = none.take().or(share),
        }
    }
}

/// The loader's bytes.
#[derive(Debug, Default)]
struct Room {
    used: u64,
}

impl Room {
    /// Makes `held` one of `bytes`, if there is room, or `anyway`; whether it did.
    fn admit(&mut self, held: &mut Held, bytes: u64, limit: u64, anyway: bool) -> bool {
        let more = bytes.saturating_sub(held.bytes);
        let fits = self.used.saturating_add(more) <= limit;
        if more > 0 && !fits && !anyway {
            return false;
        }
        if more > 0 || bytes < held.bytes {
            let budget = Budget::global();
            held.share = None;
            held.share = match budget.try_take(bytes) {
                None if anyway || more == 0 => Some(budget.take(bytes)),
                None => {
                    // Back to what it had.
                    held.share = Some(budget.take(held.bytes));
                    return false;
                }
                share => share,
            };
        }
        self.used = self.used - held.bytes + bytes;
        held.bytes = bytes;
        true
    }

    fn release(&mut self, held: &Held) {
        self.used -= held.bytes;
    }
}

/// The tasks of an engine: they end when it is dropped.
#[derive(Debug)]
pub struct Lanes {
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    era: Era,
}

/// Starts more of them from one of them.
#[derive(Debug)]
struct Starter(Weak<Mutex<Vec<JoinHandle<()>>>>);

impl Starter {
    /// `lane` is asked once nothing can be cancelled in between; it gives none where all ends.
    fn start<F: Future<Output = ()> + Send + 'static>(&self, lane: impl FnOnce() -> Option<F>) -> Result<()> {
        let Some(tasks) = self.0.upgrade() else { return Ok(()) };
        let mut tasks = lock(&tasks);
        if let Some(lane) = lane() {
            tasks.retain(|task| !task.is_finished());
            tasks.push(runtime::spawn(lane)?);
        }
        Ok(())
    }
}

impl Lanes {
    fn new() -> Lanes {
        Lanes { tasks: Arc::default(), era: Era::now() }
    }

    fn starter(&self) -> Starter {
        Starter(Arc::downgrade(&self.tasks))
    }

    fn start(&self, blocking: bool, lane: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let task = if blocking { runtime::spawn_blocking(lane)? } else { runtime::spawn(lane)? };
        lock(&self.tasks).push(task);
        Ok(())
    }

    /// Tells all to end; what comes back ends when they did.
    fn cancel(&self) -> impl Future<Output = ()> + Send + 'static {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.iter().for_each(JoinHandle::abort);
        async move {
            for task in tasks {
                let _ = task.await; // how it ended does not matter
            }
        }
    }

    /// A forked child must not touch the parent's tasks.
    fn forget(&self) {
        std::mem::forget(std::mem::take(&mut *lock(&self.tasks)));
    }
}

/// The engine of a pass.
#[derive(Debug)]
pub enum Engine {
    Items(ItemEngine),
    Files(FileEngine),
}

/// What [`Engine::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Some,
    /// Nothing is left, and nothing comes any more.
    End,
}

impl Engine {
    /// Waits until `wanted` items can be taken, or fewer at the end, and takes them. What stops the whole pass, such as
    /// a listing that fails, is an error; the next call tries again.
    pub async fn take(&self, wanted: usize, out: &mut Vec<Outcome>) -> Result<Taken> {
        match self {
            Engine::Items(engine) => engine.take(wanted, out).await,
            Engine::Files(engine) => engine.take(wanted, out).await,
        }
    }

    /// As [`Engine::take`] without waiting.
    pub fn take_now(&self, wanted: usize, out: &mut Vec<Outcome>) {
        match self {
            Engine::Items(engine) => engine.take_now(wanted, out),
            Engine::Files(engine) => engine.take_now(wanted, out),
        }
    }

    /// What is under way.
    pub fn stats(&self, stats: &mut Stats) {
        match self {
            Engine::Items(engine) => engine.stats(stats),
            Engine::Files(engine) => engine.stats(stats),
        }
    }

    fn lanes(&self) -> &Lanes {
        match self {
            Engine::Items(engine) => engine.lanes(),
            Engine::Files(engine) => engine.lanes(),
        }
    }

    /// Ends all that is under way; what comes back ends when it did.
    pub fn cancel(&self) -> impl Future<Output = ()> + Send + 'static {
        match self {
            Engine::Items(engine) => engine.close(),
            Engine::Files(engine) => engine.close(),
        }
        self.lanes().cancel()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.lanes().era.forked() {
            self.lanes().forget();
            return;
        }
        let ended = self.cancel();
        if self.lanes().era.check().is_ok() {
            runtime::spawn_background(ended);
        }
    }
}

/// The error of an item whose fetch panicked.
fn panicked() -> Error {
    Error::new(Code::Internal, "a task of the library panicked")
}
