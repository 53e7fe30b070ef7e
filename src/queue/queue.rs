//! The events, and who waits for them.

use super::wake::Wake;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime::{Era, check_may_block};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Network operations of one queue that run at once.
const NETWORK: usize = 256;

/// Events with outcomes of type `T`.
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
    era: Era,
}

/// The end of one operation.
#[derive(Debug)]
pub struct Event<T> {
    /// As it was given to the submit.
    pub token: u64,
    pub outcome: Result<T>,
}

/// What a wait gave.
#[derive(Debug)]
pub enum Next<T> {
    Event(Event<T>),
    /// None came in time.
    Timeout,
    /// None will come: the queue is closed and every event was taken.
    End,
}

pub struct Shared<T> {
    state: Mutex<State<T>>,
    /// Tells those inside [`Queue::next`] that there is an event, or never will be.
    changed: Condvar,
    /// Readable exactly while there are events; changed with `state` locked.
    wake: Wake,
    /// Whether all operations are to stop.
    cancel: watch::Sender<bool>,
    pub network: Semaphore,
    pub blocking: Semaphore,
}

struct State<T> {
    events: VecDeque<Event<T>>,
    /// Operations whose event is not posted yet.
    pending: u64,
    closed: bool,
    /// Threads inside [`Queue::next`].
    waiting: u32,
}

impl<T: Send + 'static> Queue<T> {
    pub fn new() -> Result<Queue<T>> {
        let state = State { events: VecDeque::new(), pending: 0, closed: false, waiting: 0 };
        let shared = Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Wake::new()?,
            cancel: watch::Sender::new(false),
            network: Semaphore::new(NETWORK),
            blocking: Semaphore::new(blocking_threads()),
        };
        Ok(Queue { shared: Arc::new(shared), era: Era::now() })
    }

    /// Readable exactly while there are events; only to be waited for. Closed with the queue's last
    /// operation.
    pub fn fd(&self) -> RawFd {
        self.shared.wake.fd()
    }

    pub fn era(&self) -> Era {
        self.era
    }

    /// The next event, waiting for it no longer than `timeout`; `None` waits for ever.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Next<T>> {
        let shared = &self.shared;
        let mut state = lock(&shared.state);
        if let Some(next) = shared.take(&mut state) {
            return Ok(next);
        }
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Ok(Next::Timeout);
        }
        check_may_block()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        state.waiting += 1;
        let next = loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Next::Timeout;
            }
            let left = left.unwrap_or(Duration::from_secs(3600));
            state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if let Some(next) = shared.take(&mut state) {
                break next;
            }
        };
        state.waiting -= 1;
        Ok(next)
    }

    /// At most `max` events that are there.
    pub fn drain(&self, max: usize) -> Vec<Event<T>> {
        let mut state = lock(&self.shared.state);
        let n = state.events.len().min(max);
        let events = state.events.drain(..n).collect();
        if n > 0 && state.events.is_empty() {
            self.shared.wake.clear();
        }
        events
    }

    /// Takes no more operations; with `cancel`, those under way are to stop. Their events come.
    pub fn close(&self, cancel: bool) {
        lock(&self.shared.state).closed = true;
        if cancel {
            self.shared.cancel.send_replace(true);
        }
        self.shared.changed.notify_all();
    }

    pub(super) fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }
}

impl<T> Shared<T> {
    /// Counts an operation whose event will come; `InvalidState` where the queue is closed.
    pub fn expect_event(&self) -> Result<()> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::new(Code::InvalidState, "the queue is closed")
                .with_hint("submit to another queue, or before s3dlio_queue_close"));
        }
        state.pending += 1;
        Ok(())
    }

    /// Takes [`Shared::expect_event`] back.
    pub fn expect_no_event(&self) {
        let mut state = lock(&self.state);
        state.pending -= 1;
        if state.closed && state.pending == 0 {
            self.changed.notify_all(); // it was the last that somebody waited for
        }
    }

    pub fn post(&self, event: Event<T>) {
        let mut state = lock(&self.state);
        state.pending -= 1;
        state.events.push_back(event);
        if state.events.len() == 1 {
            self.wake.set();
        }
        let (waiting, last) = (state.waiting > 0, state.closed && state.pending == 0);
        drop(state);
        match (waiting, last) {
            (false, _) => {}
            (true, false) => self.changed.notify_one(),
            (true, true) => self.changed.notify_all(),
        }
    }

    /// The first event, or the end.
    fn take(&self, state: &mut MutexGuard<'_, State<T>>) -> Option<Next<T>> {
        match state.events.pop_front() {
            Some(event) => {
                if state.events.is_empty() {
                    self.wake.clear();
                    if state.closed && state.pending == 0 && state.waiting > 0 {
                        self.changed.notify_all(); // for the others it is the end
                    }
                }
                Some(Next::Event(event))
            }
            None if state.closed && state.pending == 0 => Some(Next::End),
            None => None,
        }
    }

    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Comes once all operations are to stop.
    pub async fn cancelled(&self) {
        // The sender is part of `self`.
        let _ = self.cancel.subscribe().wait_for(|cancel| *cancel).await;
    }
}

/// Blocking operations of one queue that run at once: a device is kept busy by more than there are
/// processors.
fn blocking_threads() -> usize {
    std::thread::available_parallelism().map_or(8, |n| n.get() * 4).clamp(8, 32)
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        write!(f, "Queue({} pending, {} events, closed: {})", state.pending, state.events.len(), state.closed)
    }
}
