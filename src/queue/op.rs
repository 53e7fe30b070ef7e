//! What the submitter of an operation can do about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// An operation that was submitted; it goes on whether or not somebody has this.
#[derive(Clone)]
pub struct Op(Arc<Control>);

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that came or went, in whole requests.
    pub done: u64,
    /// How many there will be at most, where that is known before.
    pub total: Option<u64>,
}

struct Control {
    cancelled: AtomicBool,
    wake: Notify,
    done: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Op {
    pub(super) fn new(total: Option<u64>) -> Op {
        let (cancelled, wake, done) = (AtomicBool::new(false), Notify::new(), Arc::default());
        Op(Arc::new(Control { cancelled, wake, done, total }))
    }

    /// Asks the operation to end. Its event comes as ever: `Cancelled`, or its outcome where it was
    /// faster.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    pub fn progress(&self) -> Progress {
        Progress { done: self.0.done.load(Ordering::Relaxed), total: self.0.total }
    }

    /// What counts the bytes.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.0.done.clone()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Comes once it is cancelled. One waits at a time.
    pub(super) async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.0.wake.notified().await;
        }
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Op({:?}, cancelled: {})", self.progress(), self.is_cancelled())
    }
}
