//! The way of operations to the thread of one log: batches in a queue that has an end, and the counts of what became
//! of them. Each log has its own, so that a thread which a file never lets go cannot touch the next log.

use super::observe::{Site, Times};
use super::writer::Summary;
use crate::base::op::Op;
use crate::base::sync::lock;
use crate::error::Error;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Operations per batch, and bytes of their keys and errors.
pub(super) const BATCH: usize = 256;
pub(super) const BATCH_TEXT: usize = 64 << 10;
/// Batches that the thread takes at once: about as many as make one write.
const TURN: usize = 8;
/// Empty batches that are kept.
const SPARE: usize = 16;
/// How often who waits for the thread looks whether it got further.
const LOOK: Duration = Duration::from_millis(100);

/// What a log bears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Batches on their way.
    pub queue: usize,
    /// How long operations wait for a file that takes nothing, before they are dropped until it does again.
    pub stall: Duration,
    /// How long rows stay in memory.
    pub flush: Duration,
}

impl Limits {
    pub const USUAL: Limits =
        Limits { queue: 256, stall: Duration::from_secs(2), flush: Duration::from_secs(1) };
}

/// An operation, with its texts in the batch.
pub(super) struct Event {
    pub site: Arc<Site>,
    pub op: Op,
    pub thread: u16,
    pub times: Times,
    pub objects: u64,
    pub bytes: u64,
    pub text: usize,
    pub error_at: usize,
    pub end: usize,
}

#[derive(Default)]
pub(super) struct Batch {
    pub events: Vec<Event>,
    pub text: String,
}

impl Batch {
    pub const fn new() -> Batch {
        Batch { events: Vec::new(), text: String::new() }
    }

    pub fn is_full(&self) -> bool {
        self.events.len() >= BATCH || self.text.len() >= BATCH_TEXT
    }

    pub fn clear(&mut self) {
        self.events.clear();
        self.text.clear();
    }

    fn len(&self) -> u64 {
        self.events.len() as u64
    }
}

pub(super) struct Channel {
    limits: Limits,
    state: Mutex<State>,
    /// There is something for the thread.
    ready: Condvar,
    /// There is room again, or it is over.
    room: Condvar,
    /// Operations that were handed over; each ends as a row or as lost.
    all: AtomicU64,
    rows: AtomicU64,
    lost: AtomicU64,
    /// Grows when the file takes something.
    steps: AtomicU64,
}

struct State {
    batches: VecDeque<Batch>,
    /// Empty ones, to be filled again.
    spare: Vec<Batch>,
    /// Since when there is no room.
    full: Option<Instant>,
    /// The file took nothing for [`Limits::stall`]: nobody waits until it does again.
    stalled: bool,
    /// Batches that wait for room.
    waiting: usize,
    closing: bool,
    /// Nobody waits for the thread any more.
    abandoned: bool,
    ended: bool,
    failure: Option<Error>,
}

/// What the thread does next.
pub(super) struct Turn {
    pub batches: VecDeque<Batch>,
    /// What there is has to go to the file, with what lies in batches that are not full.
    pub flush: bool,
    /// There will be no more.
    pub last: bool,
}

thread_local! {
    static ON_LOG_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is the thread of a log, where a program's log callback may run.
pub(super) fn on_log_thread() -> bool {
    ON_LOG_THREAD.try_with(Cell::get).unwrap_or(false)
}

impl Channel {
    /// `before`: what is in the file already.
    pub fn new(limits: Limits, before: Summary) -> Arc<Channel> {
        Arc::new(Channel {
            limits,
            state: Mutex::new(State {
                batches: VecDeque::new(),
                spare: Vec::new(),
                full: None,
                stalled: false,
                waiting: 0,
                closing: false,
                abandoned: false,
                ended: false,
                failure: None,
            }),
            ready: Condvar::new(),
            room: Condvar::new(),
            all: AtomicU64::new(before.rows + before.dropped),
            rows: AtomicU64::new(before.rows),
            lost: AtomicU64::new(before.dropped),
            steps: AtomicU64::new(0),
        })
    }

    /// Hands a batch over without waiting. Gives an empty one, and the batch back where there is no room: then
    /// [`Channel::insist`] has to follow.
    pub fn offer(&self, batch: Batch) -> (Batch, Option<Batch>) {
        self.all.fetch_add(batch.len(), Ordering::AcqRel);
        let mut state = lock(&self.state);
        if state.batches.len() < self.limits.queue {
            state.batches.push_back(batch);
            self.ready.notify_one();
        } else if state.stalled || on_log_thread() {
            self.lost.fetch_add(batch.len(), Ordering::AcqRel);
        } else {
            state.waiting += 1;
            return (state.spare.pop().unwrap_or_default(), Some(batch));
        }
        (state.spare.pop().unwrap_or_default(), None)
    }

    /// Waits for room, with no lock of the caller's held; drops the batch where the file takes nothing.
    pub fn insist(&self, batch: Batch) {
        let mut state = lock(&self.state);
        loop {
            if state.ended {
                self.lost.fetch_add(batch.len(), Ordering::AcqRel);
                break;
            }
            if state.closing || state.batches.len() < self.limits.queue {
                state.batches.push_back(batch);
                break;
            }
            if state.stalled {
                self.lost.fetch_add(batch.len(), Ordering::AcqRel);
                break;
            }
            let since = *state.full.get_or_insert_with(Instant::now);
            let left = self.limits.stall.saturating_sub(since.elapsed());
            if left.is_zero() {
                state.stalled = true;
                self.room.notify_all();
                continue;
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        self.ready.notify_one();
    }

    /// Hands over what a stripe has left when the log ends. Never waits.
    pub fn add_last(&self, batch: Batch) {
        if batch.events.is_empty() {
            return;
        }
        self.all.fetch_add(batch.len(), Ordering::AcqRel);
        lock(&self.state).batches.push_back(batch);
    }

    /// There is no more but what waits for room already.
    pub fn close(&self) {
        lock(&self.state).closing = true;
        self.room.notify_all();
        self.ready.notify_one();
    }

    /// Waits for the thread's end; `false` where its file took nothing for so long. Then it is left alone, and writes
    /// nothing more than what it is at.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        let (mut seen, mut since) = (self.steps.load(Ordering::Acquire), Instant::now());
        while !state.ended {
            let steps = self.steps.load(Ordering::Acquire);
            if steps != seen {
                (seen, since) = (steps, Instant::now());
            }
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                state.abandoned = true;
                return false;
            }
            state = self.room.wait_timeout(state, left.min(LOOK)).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Once the log is closed: what is not in the file by now is missing in it.
    pub fn outcome(&self) -> (Summary, Option<Error>) {
        let failure = lock(&self.state).failure.take();
        let rows = self.rows.load(Ordering::Acquire);
        (Summary { rows, dropped: self.all.load(Ordering::Acquire) - rows }, failure)
    }

    /// Of a log that goes on: what was taken in, and what is lost.
    pub fn progress(&self) -> Summary {
        let dropped = self.lost.load(Ordering::Acquire);
        Summary { rows: self.all.load(Ordering::Acquire).saturating_sub(dropped), dropped }
    }

    /// For the thread, which flushed last at `flushed`: what there is to do, once there is something.
    pub fn next(&self, flushed: Instant) -> Turn {
        let mut state = lock(&self.state);
        loop {
            if state.abandoned {
                return Turn { batches: VecDeque::new(), flush: false, last: true };
            }
            let left = self.limits.flush.saturating_sub(flushed.elapsed());
            let over = state.closing && state.waiting == 0;
            if !state.batches.is_empty() || over || left.is_zero() {
                let count = state.batches.len().min(TURN);
                let batches = state.batches.drain(..count).collect();
                (state.full, state.stalled) = (None, false);
                self.room.notify_all();
                let emptied = state.batches.is_empty();
                let last = emptied && over;
                return Turn { batches, flush: last || emptied && left.is_zero(), last };
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From the thread: this batch did not pass the queue.
    pub fn count_in(&self, batch: &Batch) {
        self.all.fetch_add(batch.len(), Ordering::AcqRel);
    }

    /// From the thread: a batch is empty again.
    pub fn give_back(&self, mut batch: Batch) {
        batch.clear();
        let mut state = lock(&self.state);
        if state.spare.len() < SPARE && batch.text.capacity() <= 2 * BATCH_TEXT {
            state.spare.push(batch);
        }
    }

    /// From the thread: the file took something.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::AcqRel);
    }

    /// From the thread: so many more rows are in the file.
    pub fn stored(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::AcqRel);
    }

    /// From the thread: so many operations are not going to be in it.
    pub fn lose(&self, rows: u64) {
        self.lost.fetch_add(rows, Ordering::AcqRel);
    }

    /// From the thread: the file cannot be written.
    pub fn fail(&self, error: Error) {
        lock(&self.state).failure = Some(error);
    }
}

/// What the thread of a log holds: however it ends, those who wait hear of it.
pub(super) struct Serving(Arc<Channel>);

impl Serving {
    pub fn new(channel: Arc<Channel>) -> Serving {
        let _ = ON_LOG_THREAD.try_with(|on| on.set(true));
        Serving(channel)
    }
}

impl std::ops::Deref for Serving {
    type Target = Channel;
    fn deref(&self) -> &Channel {
        &self.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.ended = true;
        drop(state);
        self.0.room.notify_all();
    }
}
