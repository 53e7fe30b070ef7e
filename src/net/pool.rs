//! The connections to one endpoint: so many at once, the rest waits in order; the last one used is
//! the first used again.

use super::connection::Connection;
use crate::base::sync::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Pool {
    turns: Arc<Semaphore>,
    idle: Mutex<Idle>,
    idle_timeout: Duration,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Idle {
    /// The one that was used last is at the end.
    connections: Vec<Resting>,
    /// A task is closing those that nobody uses.
    swept: bool,
}

struct Resting {
    connection: Held,
    since: Instant,
}

/// What connections there are and were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStats {
    /// Open now, in use or not.
    pub open: u64,
    /// Open and unused.
    pub idle: u64,
    /// Ever established.
    pub created: u64,
    /// How often one served another request.
    pub reused: u64,
    /// Requests that wait for a connection.
    pub waiting: u64,
}

#[derive(Default)]
struct Counters {
    open: AtomicU64,
    created: AtomicU64,
    reused: AtomicU64,
    waiting: AtomicU64,
}

/// A connection that is counted as open while it lives.
pub(super) struct Held {
    pub(super) connection: Box<Connection>,
    counters: Arc<Counters>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(max: usize, idle_timeout: Duration) -> Arc<Pool> {
        Arc::new(Pool {
            turns: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))),
            idle: Mutex::default(),
            idle_timeout,
            counters: Arc::default(),
        })
    }

    /// The right to one connection, in the order of asking. `None` only if the pool is closed, which
    /// it never is.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.turns.clone().try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = Waiting::new(&self.counters.waiting);
        self.turns.clone().acquire_owned().await.ok()
    }

    /// A connection that is kept and, as far as is known, alive. The caller has a turn.
    pub(super) fn reuse(&self) -> Option<Held> {
        loop {
            let mut idle = lock(&self.idle);
            let Resting { connection: mut held, since } = idle.connections.pop()?;
            if since.elapsed() >= self.idle_timeout {
                // The others have rested for longer.
                let expired = std::mem::take(&mut idle.connections);
                drop(idle);
                drop(expired);
                return None;
            }
            drop(idle);
            if held.connection.is_quiet() {
                self.counters.reused.fetch_add(1, Ordering::Relaxed);
                return Some(held);
            }
        }
    }

    pub(super) fn created(&self, connection: Connection) -> Held {
        self.counters.created.fetch_add(1, Ordering::Relaxed);
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        Held { connection: Box::new(connection), counters: self.counters.clone() }
    }

    /// Keeps a connection for the next request, if it can serve one. The caller still has its turn.
    pub(super) fn give_back(self: &Arc<Self>, mut held: Held) {
        if !held.connection.is_reusable() || self.idle_timeout.is_zero() {
            return;
        }
        held.connection.rest();
        let mut idle = lock(&self.idle);
        idle.connections.push(Resting { connection: held, since: Instant::now() });
        if !idle.swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            idle.swept = true;
            drop(idle);
            runtime.spawn(sweep(Arc::downgrade(self), self.idle_timeout));
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            open: count(&self.counters.open),
            idle: lock(&self.idle).connections.len() as u64,
            created: count(&self.counters.created),
            reused: count(&self.counters.reused),
            waiting: count(&self.counters.waiting),
        }
    }

    /// Closes what rested for too long; whether any connection is left.
    fn close_expired(&self) -> bool {
        let mut idle = lock(&self.idle);
        let fresh = idle.connections.iter().position(|resting| resting.since.elapsed() < self.idle_timeout);
        let expired: Vec<_> = match fresh {
            Some(at) => idle.connections.drain(..at).collect(),
            None => std::mem::take(&mut idle.connections),
        };
        idle.swept = !idle.connections.is_empty();
        let left = idle.swept;
        drop(idle);
        drop(expired);
        left
    }
}

/// Ends with the pool, and as soon as nothing rests in it.
async fn sweep(pool: Weak<Pool>, idle_timeout: Duration) {
    let pause = (idle_timeout / 4).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(pause).await;
        match pool.upgrade() {
            Some(pool) if pool.close_expired() => {}
            _ => return,
        }
    }
}

/// Counts one up while it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Waiting(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
