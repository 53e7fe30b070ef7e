//! The engine of files that are read in sequence: a few at once, each by a lane of its own.

use super::super::batch::Sample;
use super::super::sampler::{Origin, Runs, Shard, Shuffle};
use super::super::source::{Location, Record, RecordFormat};
use super::super::state::{FilesDone, FilesLeft, Split, own_record};
use super::super::stats::Stats;
use super::{Bounds, Held, Lanes, Outcome, Room, Tag, Taken, panicked};
use crate::base::sync::lock;
use crate::error::{Error, Result};
use futures_util::FutureExt;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Files that are read at once: each reader has parallel requests of its own.
const MAX_FILES: usize = 4;
/// A file whose records fail so often in a row is given up.
const MAX_FAILURES: u32 = 16;

/// Which files there are, and in what order.
#[derive(Debug)]
pub struct FileDraw {
    pub format: Arc<dyn RecordFormat>,
    pub files: Arc<Vec<Location>>,
    pub shuffle: Shuffle,
    pub seed: u64,
    pub epoch: u64,
    pub split: Split,
    pub shard: Shard,
    pub left: FilesLeft,
    pub done: FilesDone,
}

impl FileDraw {
    /// The ordinals of the shard's own files.
    fn own(&self) -> Vec<u64> {
        let left = self.left.left(self.files.len() as u64);
        match self.split {
            Split::File => {
                let of = usize::try_from(self.shard.of).unwrap_or(usize::MAX);
                left.skip(usize::try_from(self.shard.number).unwrap_or(usize::MAX)).step_by(of).collect()
            }
            Split::Record => left.collect(),
        }
    }
}

/// Lanes, and what they share.
#[derive(Debug)]
pub struct FileEngine {
    shared: Arc<Shared>,
    lanes: Lanes,
}

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    draw: FileDraw,
    own: Vec<u64>,
    plan: Mutex<Plan>,
    /// For lanes, when records were drawn or all ends.
    room: Notify,
    /// For who draws.
    ready: Notify,
}

#[derive(Debug, Default)]
struct Plan {
    /// The next of the shard's own files.
    next: u64,
    /// Those that are being read, or have records that were not drawn.
    files: BTreeMap<u64, Queue>,
    buffered: u64,
    reading: u64,
    room: Room,
    wanted: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    came: VecDeque<Outcome>,
    /// How many records of the shard's it had; known at its end.
    ended: Option<u64>,
}

impl FileEngine {
    pub fn start(bounds: Bounds, draw: FileDraw, blocking: bool) -> Result<FileEngine> {
        let own = draw.own();
        let plan = Plan { next: draw.done.first, ..Plan::default() };
        let lanes = bounds.in_flight.min(MAX_FILES).min(own.len());
        let (room, ready) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { bounds, draw, own, plan: Mutex::new(plan), room, ready });
        let engine = FileEngine { shared, lanes: Lanes::new() };
        for _ in 0..lanes {
            engine.lanes.start(blocking, lane(engine.shared.clone())).inspect_err(|_| engine.close())?;
        }
        Ok(engine)
    }

    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub async fn take(&self, wanted: usize, out: &mut Vec<Outcome>) -> Result<Taken> {
        loop {
            let arrival = self.shared.ready.notified();
            {
                let mut plan = lock(&self.shared.plan);
                plan.wanted = 0;
                let there = plan.available(self.shared.bounds.in_order);
                let ended = self.shared.is_read(&plan);
                if there >= wanted || ended {
                    plan.give(wanted, out, self.shared.bounds.in_order);
                    drop(plan);
                    self.shared.room.notify_waiters();
                    return Ok(if there == 0 { Taken::End } else { Taken::Some });
                }
                plan.wanted = wanted;
            }
            self.shared.room.notify_waiters();
            arrival.await;
        }
    }

    pub fn take_now(&self, wanted: usize, out: &mut Vec<Outcome>) {
        lock(&self.shared.plan).give(wanted, out, self.shared.bounds.in_order);
        self.shared.room.notify_waiters();
    }

    pub fn stats(&self, stats: &mut Stats) {
        let plan = lock(&self.shared.plan);
        stats.in_flight = plan.reading;
        stats.buffered_items = plan.files.values().map(|queue| queue.came.len() as u64).sum();
        stats.buffered_bytes = plan.room.used;
        stats.listed = self.shared.draw.files.len() as u64;
    }

    pub fn close(&self) {
        lock(&self.shared.plan).closed = true;
        self.shared.room.notify_waiters();
    }
}

impl Plan {
    /// The first file that is still being read.
    fn head(&self) -> Option<u64> {
        self.files.iter().find(|(_, queue)| queue.ended.is_none()).map(|(file, _)| *file)
    }

    /// How many records can be handed over now.
    fn available(&self, in_order: bool) -> usize {
        let mut count = 0;
        for queue in self.files.values() {
            count += queue.came.len();
            if in_order && queue.ended.is_none() {
                break;
            }
        }
        count
    }

    fn give(&mut self, wanted: usize, out: &mut Vec<Outcome>, in_order: bool) {
        let mut given = 0;
        let mut drained = Vec::new();
        for (file, queue) in &mut self.files {
            while given < wanted
                && let Some(outcome) = queue.came.pop_front()
            {
                self.room.release(&outcome.held);
                self.buffered -= 1;
                out.push(Outcome { held: Held::default(), ..outcome });
                given += 1;
            }
            match queue.ended {
                Some(records) if queue.came.is_empty() => drained.push((*file, records)),
                _ if in_order => break,
                _ => {}
            }
        }
        for (file, records) in drained {
            self.files.remove(&file);
            let tag = Tag::End { file, records };
            out.push(Outcome { tag, result: Ok(Sample::default()), held: Held::default() });
        }
    }
}

impl Shared {
    /// Whether nothing comes any more.
    fn is_read(&self, plan: &Plan) -> bool {
        plan.next >= self.own.len() as u64 && plan.files.values().all(|queue| queue.ended.is_some())
    }

    fn tell(&self, plan: &Plan) {
        if plan.wanted > 0 && (plan.available(self.bounds.in_order) >= plan.wanted || self.is_read(plan)) {
            self.ready.notify_one();
        }
    }

    /// Waits until a record of `bytes` may be held; `false` where all ends.
    async fn admit(&self, file: u64, held: &mut Held, bytes: u64) -> bool {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut plan = lock(&self.plan);
                if plan.closed {
                    return false;
                }
                let wanted = if plan.wanted > 0 { plan.wanted } else { self.bounds.batch as usize };
                let head = plan.head() == Some(file);
                let needed = (head || !self.bounds.in_order) && plan.available(self.bounds.in_order) < wanted;
                let room_for_one = plan.buffered < self.bounds.items;
                if (needed || room_for_one) && plan.room.admit(held, bytes, self.bounds.bytes, needed) {
                    plan.buffered += 1;
                    return true;
                }
            }
            room.await;
        }
    }

    fn put(&self, file: u64, outcomes: impl IntoIterator<Item = Outcome>) {
        let mut plan = lock(&self.plan);
        if let Some(queue) = plan.files.get_mut(&file) {
            queue.came.extend(outcomes);
        }
        self.tell(&plan);
    }

    fn discard(&self, held: &Held) {
        let mut plan = lock(&self.plan);
        plan.room.release(held);
        plan.buffered -= 1;
        drop(plan);
        self.room.notify_waiters();
    }
}

async fn lane(shared: Arc<Shared>) {
    loop {
        let file = {
            let mut plan = lock(&shared.plan);
            if plan.closed || plan.next >= shared.own.len() as u64 {
                // Files that were delivered before may have been the last ones: only now it is known.
                shared.tell(&plan);
                return;
            }
            plan.next += 1;
            let file = plan.next - 1;
            if shared.draw.done.is_finished(file) {
                continue;
            }
            plan.reading += 1;
            plan.files.insert(file, Queue::default());
            file
        };
        let mut reading = Reading::new(&shared, file);
        let work = AssertUnwindSafe(reading.all()).catch_unwind().await;
        if work.is_err() {
            reading.give_up(panicked()).await;
        }
        reading.cut();
        let records = reading.own;
        let mut plan = lock(&shared.plan);
        plan.reading -= 1;
        if let Some(queue) = plan.files.get_mut(&file) {
            queue.ended = Some(records);
        }
        shared.tell(&plan);
        drop(plan);
        shared.room.notify_waiters(); // another file may be the first now
    }
}

/// A file that is being read.
struct Reading<'s> {
    shared: &'s Shared,
    file: u64,
    ordinal: u64,
    location: &'s Location,
    /// Of its records, those that were delivered before the run.
    told: Origin,
    /// Records read so far, those that were left when the run began, and the shard's own among those.
    number: u64,
    left: u64,
    own: u64,
    /// A window that is being filled: the first record's number, the records.
    window: Vec<(u64, Result<Record>, Held)>,
}

impl<'s> Reading<'s> {
    fn new(shared: &'s Shared, file: u64) -> Reading<'s> {
        let draw = &shared.draw;
        let ordinal = shared.own.get(file as usize).copied().unwrap_or_default();
        let at = draw.shuffle.file(draw.seed, draw.epoch, draw.files.len() as u64, ordinal);
        let nothing = Runs::default();
        let told = draw.left.files.get(&ordinal).and_then(Option::as_ref).unwrap_or(&nothing);
        Reading {
            shared,
            file,
            ordinal,
            location: &draw.files[at as usize],
            told: Origin::new(0, told),
            number: 0,
            left: 0,
            own: 0,
            window: Vec::new(),
        }
    }

    async fn all(&mut self) {
        let mut stream = match self.shared.draw.format.open(self.location).await {
            Ok(stream) => stream,
            Err(error) => return self.give_up(error).await,
        };
        let mut failures = 0;
        // An error is one record's, whoever that belongs to, if another record comes after it; else it is the file's.
        let mut broken = None;
        loop {
            let next = stream.next().await;
            let before = if matches!(next, Ok(None)) { None } else { broken.take() };
            if let Some(error) = before
                && !self.came(Err(error)).await
            {
                return;
            }
            match next {
                Ok(None) => break,
                Ok(Some(record)) => {
                    failures = 0;
                    if !self.came(Ok(record)).await {
                        return;
                    }
                }
                Err(error) => {
                    failures += 1;
                    broken = Some(error);
                    if failures == MAX_FAILURES {
                        break;
                    }
                }
            }
        }
        if let Some(error) = broken {
            self.give_up(error).await;
        }
    }

    /// The rest of the file cannot be read: says so in the place of the shard's next record. Of a window that was begun
    /// nothing is handed over, as its order is that of a whole one; a later run reads it again.
    async fn give_up(&mut self, error: Error) {
        for (.., held) in std::mem::take(&mut self.window) {
            self.shared.discard(&held);
        }
        let mut held = Held::default();
        if !self.shared.admit(self.file, &mut held, 0).await {
            return;
        }
        let (mut record, mut end) = (self.own, 0);
        if let Some((done, _)) = self.shared.draw.done.files.get(&self.file) {
            record = record.max(done.first);
            end = done.also.to_vec().last().map_or(0, |(start, length)| start + length);
        }
        self.own = end.max(record + 1);
        let error = error.with_context("get", &self.location.uri).with_detail("record", self.number);
        let tag = Tag::Record { file: self.file, record };
        self.shared.put(self.file, [Outcome { tag, result: Err(error), held }]);
    }

    /// Takes a record; `false` where all ends.
    async fn came(&mut self, record: Result<Record>) -> bool {
        let draw = &self.shared.draw;
        let window = draw.shuffle.size();
        let number = self.number;
        self.number += 1;
        if window == 0 && !self.is_ours(number) {
            self.count(number);
            return !lock(&self.shared.plan).closed;
        }
        let bytes = record
            .as_ref()
            .map_or(0, |record| record.fields.iter().map(|field| field.data.len() as u64).sum());
        let mut held = Held::default();
        if !self.shared.admit(self.file, &mut held, bytes).await {
            return false;
        }
        self.window.push((number, record, held));
        if self.window.len() as u64 >= window {
            self.cut();
        }
        true
    }

    /// Hands over the window's records that are the shard's, in the window's order.
    fn cut(&mut self) {
        let draw = &self.shared.draw;
        let window = std::mem::take(&mut self.window);
        let Some(start) = window.first().map(|(number, ..)| *number) else { return };
        let length = window.len() as u64;
        let order = match draw.shuffle {
            Shuffle::Window(size) => {
                Some(draw.shuffle.window(draw.seed, draw.epoch, self.ordinal + 1, start / size, length))
            }
            _ => None,
        };
        let mut window: Vec<_> = window.into_iter().map(Some).collect();
        let mut ready = Vec::new();
        for at in 0..length {
            let ours = self.is_ours(start + at);
            let record = self.count(start + at);
            let from = order.as_ref().map_or(at, |order| order.at(at));
            let Some((number, result, held)) = window.get_mut(from as usize).and_then(Option::take) else {
                continue;
            };
            let Some(record) = record.filter(|_| ours) else {
                self.shared.discard(&held);
                continue;
            };
            let uri = &self.location.uri;
            let result = result.map(|record| Sample {
                uri: uri.clone(),
                name: record.name,
                index: number,
                fields: record.fields,
            });
            let result = result.map_err(|e| e.with_context("get", uri).with_detail("record", number));
            ready.push(Outcome { tag: Tag::Record { file: self.file, record }, result, held });
        }
        self.shared.put(self.file, ready);
    }

    /// Whether the record at a place of the file's order is left, the shard's, and was not delivered.
    fn is_ours(&self, place: u64) -> bool {
        if self.told.contains(place) {
            return false;
        }
        let own = own_record(self.shared.draw.split, self.shared.draw.shard, self.ordinal, self.left);
        let done = self.shared.draw.done.files.get(&self.file);
        own.is_some_and(|own| done.is_none_or(|(done, _)| !done.contains(own)))
    }

    /// Goes on to the next place of the file's order; its number among the shard's own, if it is one.
    fn count(&mut self, place: u64) -> Option<u64> {
        if self.told.contains(place) {
            return None;
        }
        let draw = &self.shared.draw;
        let own = own_record(draw.split, draw.shard, self.ordinal, self.left);
        self.left += 1;
        if let Some(own) = own {
            self.own = own + 1;
        }
        own
    }
}
