//! The time limits of a connection: one timer that is set again only when it rings early, so that a
//! request that runs well touches no timer at all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection, from the name to the end of the TLS handshake.
    pub connect: Duration,
    /// Without a byte in either direction. A slow but moving exchange is never ended by this.
    pub progress: Duration,
    /// For everything, the wait for a connection included.
    pub deadline: Option<Instant>,
}

/// Which limit was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expired {
    Progress,
    Deadline,
}

#[derive(Debug)]
pub(super) struct Watch {
    timer: Option<Pin<Box<Sleep>>>,
    progress: Duration,
    deadline: Option<Instant>,
    last: Instant,
    moved: bool,
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { timer: None, progress: Duration::MAX, deadline: None, last: Instant::now(), moved: true }
    }

    /// Begins an exchange.
    pub(super) fn start(&mut self, limits: &Limits) {
        self.progress = limits.progress;
        self.deadline = limits.deadline;
        self.moved = true;
    }

    pub(super) fn progress(&self) -> Duration {
        self.progress
    }

    /// Says that a byte moved.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// Ready when a limit is reached; to be asked only while nothing moves.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        if self.moved {
            self.moved = false;
            self.last = Instant::now();
            // What never stops moving never lets the timer ring.
            if self.deadline.is_some_and(|deadline| self.last >= deadline) {
                return Poll::Ready(Expired::Deadline);
            }
        }
        let idle = self.last.checked_add(self.progress);
        let due = match (idle, self.deadline) {
            (Some(idle), Some(deadline)) => idle.min(deadline),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return Poll::Pending,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due {
                let late = self.deadline.is_some_and(|deadline| now >= deadline);
                return Poll::Ready(if late { Expired::Deadline } else { Expired::Progress });
            }
            timer.as_mut().reset(due);
        }
    }
}
