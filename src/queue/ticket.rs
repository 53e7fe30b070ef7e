//! The promise of an event.

use super::op::Op;
use super::queue::{Event, Shared};
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime::Admission;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Posts the event of one operation when it is dropped, with the outcome that was [settled](Ticket::settle)
/// or else with what must have happened.
pub struct Ticket<T: Send + 'static> {
    pub queue: Arc<Shared<T>>,
    pub op: Op,
    pub operation: &'static str,
    pub uri: String,
    token: u64,
    outcome: Mutex<Option<Result<T>>>,
    /// Whether the queue counts on it.
    expected: bool,
    /// Whether the submit succeeded: only then an event is owed.
    armed: AtomicBool,
    /// Goes last: a shutdown that waits for it finds the event posted.
    pub admission: Admission,
}

impl<T: Send + 'static> Ticket<T> {
    pub fn new(
        queue: Arc<Shared<T>>,
        token: u64,
        op: Op,
        operation: &'static str,
        uri: String,
    ) -> Result<Self> {
        let (outcome, armed) = (Mutex::new(None), AtomicBool::new(false));
        Ok(Ticket {
            queue,
            op,
            operation,
            uri,
            token,
            outcome,
            expected: false,
            armed,
            admission: Admission::enter()?,
        })
    }

    /// Announces the event to the queue. `InvalidState` where that is closed.
    pub fn announce(&mut self) -> Result<()> {
        self.queue.expect_event()?;
        self.expected = true;
        Ok(())
    }

    /// From here on the event is owed.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::Release);
    }

    /// Sets what the event will say.
    pub fn settle(&self, outcome: Result<T>) {
        *lock(&self.outcome) = Some(outcome.map_err(|e| self.context(e)));
    }

    fn context(&self, error: Error) -> Error {
        // A deeper layer names the operation better.
        let error = error.with_operation(self.operation);
        match error.uri().is_some() || self.uri.is_empty() {
            true => error,
            false => error.with_context(self.operation, &self.uri),
        }
    }

    /// Of a ticket that nobody settled.
    fn lost(&self) -> Error {
        self.context(match (std::thread::panicking(), self.op.is_cancelled()) {
            (true, _) => defect("a panic ended the operation"),
            (false, true) => cancelled(),
            (false, false) => shut_down(),
        })
    }
}

impl<T: Send + 'static> Drop for Ticket<T> {
    fn drop(&mut self) {
        if self.armed.load(Ordering::Acquire) {
            let outcome = lock(&self.outcome).take();
            let outcome = outcome.unwrap_or_else(|| Err(self.lost()));
            self.queue.post(Event { token: self.token, outcome });
        } else if self.expected {
            self.queue.expect_no_event();
        }
    }
}

pub fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the operation was cancelled")
        .with_hint("a cancelled write may or may not have taken effect: look before writing again")
}

pub fn shut_down() -> Error {
    Error::new(Code::Shutdown, "the library was shut down before the operation was done")
        .with_hint("reap the events of all operations before the shutdown")
}

pub fn defect(what: impl std::fmt::Display) -> Error {
    Error::new(Code::Internal, format!("a defect of the library: {what}"))
        .with_hint("please report it with this message")
}
