//! How an operation runs: it waits for its turn, works, and can be stopped at any time.

use super::op::Op;
use super::queue::{Queue, Shared};
use super::ticket::{Ticket, cancelled, defect, shut_down};
use crate::base::buffer::Keep;
use crate::error::{Error, Result};
use crate::transfer;
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

/// What is known of an operation before it runs.
#[derive(Debug)]
pub struct Work {
    /// Names it in errors.
    pub operation: &'static str,
    /// Empty where it is about many.
    pub uri: String,
    /// Whether it does its I/O on the thread that polls it.
    pub blocking: bool,
    /// How many bytes it moves at most, where that is known.
    pub total: Option<u64>,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts the future that `make` gives and returns without waiting. `Ok` means that exactly one
    /// event with this token will come; `Err`, that none will, and that there never was a
    /// future. Memory that is lent to the future
    /// keeps the [`Keep`] that `make` is called with: it is free when the event comes. What `make`
    /// did is undone by the caller where the submit fails after it.
    pub fn submit<F>(&self, token: u64, work: Work, make: impl FnOnce(Keep, &Op) -> Result<F>) -> Result<()>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let op = Op::new(work.total);
        let mut ticket = Ticket::new(self.shared().clone(), token, op.clone(), work.operation, work.uri)?;
        ticket.announce()?;
        let ticket = Arc::new(ticket);
        // In a box, so that what drives it is there once and not for every operation there is.
        let future: Running<T> = Box::pin(make(ticket.clone(), &op)?);
        ticket.arm();
        launch(ticket, work.blocking, future);
        Ok(())
    }
}

/// An operation that was submitted.
type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

fn launch<T: Send + 'static>(ticket: Arc<Ticket<T>>, blocking: bool, future: Running<T>) {
    let running = ticket.clone();
    ticket.admission.spawn(async move {
        let outcome = run(&running, blocking, future).await;
        running.settle(outcome);
    });
}

/// Gives the outcome once `future` is gone.
async fn run<T: Send + 'static>(ticket: &Arc<Ticket<T>>, blocking: bool, future: Running<T>) -> Result<T> {
    let turns = if blocking { &ticket.queue.blocking } else { &ticket.queue.network };
    let _turn = tokio::select! {
        biased;
        reason = stopped(ticket) => return Err(reason),
        turn = turns.acquire() => turn.map_err(|_| defect("the queue's turns are closed"))?,
    };
    if let Some(reason) = reason_to_stop(ticket) {
        return Err(reason);
    }
    let stop = ticket.clone();
    let driven = async move {
        let counted = transfer::count_bytes(stop.op.counter(), future);
        tokio::select! {
            biased; // what is done is not cancelled any more
            outcome = AssertUnwindSafe(counted).catch_unwind() => outcome.unwrap_or_else(|panic| Err(caught(panic))),
            reason = stopped(&stop) => Err(reason),
        }
    };
    match blocking {
        true => ticket.admission.on_blocking_thread(driven).await.unwrap_or_else(|| Err(defect("a panic"))),
        false => driven.await,
    }
}

/// Comes once the operation, its queue or the library is to stop.
async fn stopped<T: Send + 'static>(ticket: &Ticket<T>) -> Error {
    tokio::select! {
        () = ticket.op.cancelled() => cancelled(),
        () = Shared::cancelled(&ticket.queue) => cancelled(),
        () = ticket.admission.closing() => shut_down(),
    }
}

fn reason_to_stop<T: Send + 'static>(ticket: &Ticket<T>) -> Option<Error> {
    if ticket.op.is_cancelled() || ticket.queue.is_cancelled() {
        return Some(cancelled());
    }
    ticket.admission.is_closing().then(shut_down)
}

fn caught(panic: Box<dyn Any + Send>) -> Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no message".into(),
    };
    std::mem::forget(panic); // its drop is foreign code
    defect(format!("panic: {text}"))
}
