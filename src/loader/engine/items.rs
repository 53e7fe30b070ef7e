//! The engine of items whose places are known: whole objects, and ranges of them.

use super::super::sampler::{Origin, Runs, Shard, Shuffle};
use super::super::source::{Indexed, Location};
use super::super::stats::Stats;
use super::fetch::Sizes;
use super::lane::{Lane, replace_late};
use super::lateness::Lateness;
use super::{Bounds, Held, Lanes, Outcome, Room, Taken, panicked};
use crate::base::sync::lock;
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::Notify;

/// Items that a lane on a store that blocks takes at once.
const CHUNK: usize = 64;
/// Threads for stores that block.
const MAX_THREADS: usize = 8;

/// Which items there are, and in what order.
#[derive(Debug)]
pub struct Draw {
    pub source: Arc<dyn Indexed>,
    pub shuffle: Shuffle,
    pub seed: u64,
    pub epoch: u64,
    pub origin: Origin,
    pub shard: Shard,
}

impl Draw {
    /// The item of the shard's `k`-th draw.
    fn item(&self, k: u64) -> u64 {
        let position = self.origin.position(self.shard.nth(k));
        self.shuffle.item(self.seed, self.epoch, self.source.len(), position)
    }

    /// How many items the shard draws.
    pub fn count(&self) -> u64 {
        self.shard.share(self.origin.left(self.source.len()))
    }
}

/// An item that a listing gave: the number of its draw, its number in the listing, its place.
pub type Fed = (u64, u64, Location);

/// Where draws come from.
#[derive(Debug)]
pub enum ItemPlan {
    Known(Draw),
    /// From a task that lists; it keeps about so many waiting.
    Fed,
}

/// Lanes, and what they share.
#[derive(Debug)]
pub struct ItemEngine {
    shared: Arc<Shared>,
    lanes: Lanes,
}

#[derive(Debug)]
pub struct Shared {
    pub(super) bounds: Bounds,
    pub(super) sizes: Sizes,
    draw: ItemPlan,
    pub(super) plan: Mutex<Plan>,
    /// For lanes, when batches were drawn, items were fed, or all ends.
    pub(super) room: Notify,
    /// For the feeder, when what it fed runs low.
    pub(super) hungry: Notify,
    /// For who looks after lanes that are late, when there is work again.
    pub(super) busy: Notify,
    /// For who draws.
    ready: Notify,
    listed: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Plan {
    /// The next draw, and the one after the last.
    next: u64,
    end: u64,
    /// Draws that were delivered before.
    also: Runs,
    fed: VecDeque<Fed>,
    /// No more is fed.
    complete: bool,
    failure: Option<Error>,
    /// In order: what was taken and not handed over, from number `base` on; `frontier` of them came without a gap.
    slots: VecDeque<Option<Outcome>>,
    base: u64,
    frontier: usize,
    /// In the order of arrival: what came.
    came: VecDeque<Outcome>,
    taken: u64,
    pub(super) in_flight: u64,
    /// An item went past the bounds and is on its way.
    pub(super) over: bool,
    pub(super) room: Room,
    /// How many items who draws waits for; 0 where nobody does.
    wanted: usize,
    pub(super) lateness: Lateness,
    /// Nobody looks who is late, as nothing is under way.
    pub(super) unwatched: bool,
    pub(super) closed: bool,
}

/// What a lane does next.
pub(super) struct Ticket {
    /// In the order in which items were taken.
    pub(super) number: u64,
    pub(super) draw: u64,
    fed: Option<(u64, Location)>,
}

impl ItemEngine {
    /// Starts at draw `first`, without those in `also`. `blocks` says whether the stores do their I/O on the thread that
    /// asks; `None`: some do.
    pub fn start(
        bounds: Bounds,
        draw: ItemPlan,
        first: u64,
        also: Runs,
        blocks: Option<bool>,
    ) -> Result<ItemEngine> {
        let blocking = blocks == Some(true);
        let end = match &draw {
            ItemPlan::Known(draw) => draw.count(),
            ItemPlan::Fed => u64::MAX,
        };
        let plan = Plan {
            next: first,
            end,
            also,
            fed: VecDeque::new(),
            complete: matches!(draw, ItemPlan::Known(_)),
            failure: None,
            slots: VecDeque::new(),
            base: 0,
            frontier: 0,
            came: VecDeque::new(),
            taken: 0,
            in_flight: 0,
            over: false,
            room: Room::default(),
            wanted: 0,
            lateness: Lateness::default(),
            unwatched: false,
            closed: false,
        };
        let left = end.saturating_sub(first);
        let shared = Arc::new(Shared {
            bounds,
            sizes: Sizes::default(),
            draw,
            plan: Mutex::new(plan),
            room: Notify::new(),
            hungry: Notify::new(),
            busy: Notify::new(),
            ready: Notify::new(),
            listed: AtomicU64::new(0),
        });
        let engine = ItemEngine { shared, lanes: Lanes::new() };
        let lanes = match blocking {
            true => {
                let processors = std::thread::available_parallelism().map_or(2, |n| n.get());
                engine.shared.bounds.in_flight.min(processors).min(MAX_THREADS)
            }
            false => engine.shared.bounds.in_flight,
        };
        let share = engine.shared.bounds.items / (2 * lanes as u64);
        let chunk = usize::try_from(share).unwrap_or(usize::MAX).clamp(1, CHUNK);
        for _ in 0..lanes.min(usize::try_from(left).unwrap_or(usize::MAX)) {
            let lane = Lane::new(&engine.shared, !blocking);
            let started = match blocking {
                true => engine.lanes.start(true, lane.run_chunks(chunk)),
                false => engine.lanes.start(false, lane.run(blocks.is_none())),
            };
            // Otherwise for those that did start.
            started.inspect_err(|_| engine.close())?;
        }
        if !blocking {
            let watcher = replace_late(engine.shared.clone(), engine.lanes.starter(), blocks.is_none());
            engine.lanes.start(false, watcher).inspect_err(|_| engine.close())?;
        }
        Ok(engine)
    }

    /// What a feeder needs.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Starts the task that feeds the lanes.
    pub fn feed(&self, blocking: bool, feeder: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        self.lanes.start(blocking, feeder).inspect_err(|_| self.close())
    }

    pub async fn take(&self, wanted: usize, out: &mut Vec<Outcome>) -> Result<Taken> {
        loop {
            let arrival = self.shared.ready.notified();
            {
                let mut plan = lock(&self.shared.plan);
                plan.wanted = 0;
                let there = plan.available(&self.shared.bounds);
                let idle = plan.in_flight == 0 && plan.pending() == 0;
                if there >= wanted || idle && plan.is_drained() {
                    plan.give(wanted, out, &self.shared.bounds);
                    drop(plan);
                    self.shared.room.notify_waiters();
                    return Ok(if there == 0 { Taken::End } else { Taken::Some });
                }
                if idle
                    && plan.fed.is_empty()
                    && let Some(error) = plan.failure.take()
                {
                    self.shared.hungry.notify_one(); // it tries again
                    return Err(error);
                }
                plan.wanted = wanted;
            }
            // What is wanted may be let through only now.
            self.shared.room.notify_waiters();
            arrival.await;
        }
    }

    pub fn take_now(&self, wanted: usize, out: &mut Vec<Outcome>) {
        lock(&self.shared.plan).give(wanted, out, &self.shared.bounds);
        self.shared.room.notify_waiters();
    }

    pub fn stats(&self, stats: &mut Stats) {
        let plan = lock(&self.shared.plan);
        stats.in_flight = plan.in_flight;
        stats.buffered_items = plan.came.len() as u64 + plan.slots.iter().flatten().count() as u64;
        stats.buffered_bytes = plan.room.used;
        stats.listed = self.shared.listed.load(Ordering::Relaxed);
    }

    pub fn close(&self) {
        lock(&self.shared.plan).closed = true;
        self.shared.room.notify_waiters();
        self.shared.hungry.notify_one();
        self.shared.busy.notify_one();
    }
}

impl Plan {
    /// How many items can be handed over now.
    fn available(&self, bounds: &Bounds) -> usize {
        if bounds.in_order { self.frontier } else { self.came.len() }
    }

    /// Items in order that came behind a gap, or are on their way.
    fn pending(&self) -> usize {
        self.slots.len() - self.frontier
    }

    pub(super) fn is_drained(&self) -> bool {
        self.complete && self.fed.is_empty() && (self.next >= self.end || self.end == u64::MAX)
    }

    fn give(&mut self, wanted: usize, out: &mut Vec<Outcome>, bounds: &Bounds) {
        let mut freed = Held::default();
        for _ in 0..wanted.min(self.available(bounds)) {
            let next = match bounds.in_order {
                true => {
                    self.base += 1;
                    self.frontier -= 1;
                    self.slots.pop_front().flatten()
                }
                false => self.came.pop_front(),
            };
            if let Some(Outcome { tag, result, held }) = next {
                freed.merge(held);
                out.push(Outcome { tag, result, held: Held::default() });
            }
        }
        self.room.release(&freed);
    }

    /// The next draw, if the bounds leave room for an item.
    fn take(&mut self, bounds: &Bounds, known: bool) -> Option<Ticket> {
        let waiting = match bounds.in_order {
            true => self.slots.len() as u64,
            // What is late takes nobody's place.
            false => self.in_flight - self.lateness.late() as u64 + self.came.len() as u64,
        };
        if waiting >= bounds.items {
            return None;
        }
        let (draw, fed) = match known {
            true => {
                while self.next < self.end && !self.also.is_empty() && self.also.contains(self.next) {
                    self.next += 1;
                }
                if self.next >= self.end {
                    return None;
                }
                self.next += 1;
                (self.next - 1, None)
            }
            false => {
                let (draw, index, location) = self.fed.pop_front()?;
                (draw, Some((index, location)))
            }
        };
        let number = self.taken;
        self.taken += 1;
        self.in_flight += 1;
        if bounds.in_order {
            self.slots.push_back(None);
        }
        Some(Ticket { number, draw, fed })
    }

    fn put(&mut self, number: u64, outcome: Outcome, bounds: &Bounds) {
        self.in_flight -= 1;
        if outcome.held.over {
            self.over = false;
        }
        if !bounds.in_order {
            self.came.push_back(outcome);
            return;
        }
        if let Some(slot) = self.slots.get_mut((number - self.base) as usize) {
            *slot = Some(outcome);
        }
        while self.slots.get(self.frontier).is_some_and(Option::is_some) {
            self.frontier += 1;
        }
    }

    /// Whether the item is one that the batch under way cannot do without, and none other went past the bounds.
    pub(super) fn is_needed(&self, number: u64, bounds: &Bounds) -> bool {
        let wanted =
            if self.wanted > 0 { self.wanted } else { usize::try_from(bounds.batch).unwrap_or(usize::MAX) };
        let next = !bounds.in_order || number == self.base + self.frontier as u64;
        next && !self.over && self.available(bounds) < wanted
    }
}

impl Shared {
    fn known(&self) -> bool {
        matches!(self.draw, ItemPlan::Known(_))
    }

    /// Whether a failure waits for who draws.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.plan).failure.is_some()
    }

    /// Whether the lanes are to end.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.plan).closed
    }

    /// How many items wait for a lane.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.plan).fed.len()
    }

    /// Gives lanes work.
    pub(super) fn push(&self, items: impl IntoIterator<Item = Fed>, listed: u64) {
        self.listed.fetch_add(listed, Ordering::Relaxed);
        lock(&self.plan).fed.extend(items);
        self.room.notify_waiters();
    }

    /// No more comes; or this went wrong, and the feeder waits until it is to try again.
    pub(super) fn fed(&self, outcome: Result<()>) {
        let mut plan = lock(&self.plan);
        match outcome {
            Ok(()) => plan.complete = true,
            Err(error) => plan.failure = Some(error),
        }
        drop(plan);
        self.room.notify_waiters();
        self.ready.notify_one();
    }

    /// Leaves what came and takes what is next, at most `most` items; `None` at the end. Wakes who draws where he has
    /// what he waits for.
    pub(super) fn exchange(
        &self,
        lane: Option<usize>,
        came: &mut Vec<(u64, Outcome)>,
        most: usize,
        tickets: &mut Vec<Ticket>,
    ) -> Option<bool> {
        let known = self.known();
        let left = !came.is_empty();
        let now = Instant::now();
        let mut plan = lock(&self.plan);
        if let Some(lane) = lane.filter(|_| left) {
            plan.lateness.end(lane, now);
        }
        for (number, outcome) in came.drain(..) {
            plan.put(number, outcome, &self.bounds);
        }
        if plan.closed {
            return None;
        }
        // Those that were late are back: this one is one too many.
        let spare = lane.is_some() && plan.lateness.too_many(self.bounds.in_flight);
        while tickets.len() < most
            && !spare
            && let Some(ticket) = plan.take(&self.bounds, known)
        {
            tickets.push(ticket);
        }
        let mut unwatched = false;
        if let Some(lane) = lane {
            if spare {
                plan.lateness.leave(lane);
            } else if !tickets.is_empty() {
                plan.lateness.begin(lane, now);
                unwatched = std::mem::take(&mut plan.unwatched);
            }
        }
        let ended = plan.is_drained();
        let idle = ended && plan.in_flight == 0;
        let wakes = plan.wanted > 0 && (plan.available(&self.bounds) >= plan.wanted || idle)
            || plan.failure.is_some() && plan.in_flight == 0;
        if wakes {
            plan.wanted = 0; // he looks again before he waits again
        }
        let starves = !known && !plan.complete && plan.fed.len() <= fed_ahead(&self.bounds) / 2;
        drop(plan);
        if wakes {
            self.ready.notify_one();
        } else if left {
            // Another item is the next one now, and its lane may wait for bytes.
            self.room.notify_waiters();
        }
        if starves {
            self.hungry.notify_one();
        }
        if unwatched {
            self.busy.notify_one();
        }
        if tickets.is_empty() && (ended || spare) { None } else { Some(!tickets.is_empty()) }
    }

    pub(super) fn locate(&self, ticket: &mut Ticket) -> (u64, Result<Location>) {
        match (ticket.fed.take(), &self.draw) {
            (Some((index, location)), _) => (index, Ok(location)),
            (None, ItemPlan::Known(draw)) => {
                let index = draw.item(ticket.draw);
                (index, draw.source.locate(index))
            }
            (None, ItemPlan::Fed) => (0, Err(panicked())),
        }
    }

    pub(super) fn source(&self) -> Option<&dyn Indexed> {
        match &self.draw {
            ItemPlan::Known(draw) => Some(&*draw.source),
            ItemPlan::Fed => None,
        }
    }
}

/// How many items a feeder keeps waiting.
pub fn fed_ahead(bounds: &Bounds) -> usize {
    let most = usize::try_from(bounds.items).unwrap_or(usize::MAX);
    most.clamp(256, 4096)
}
