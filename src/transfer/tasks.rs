//! One task per request in flight, bounded in number, never outliving the call that started them.

use super::progress::counted_as_here;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime::{self, Era};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::future::Future;
use std::iter::Enumerate;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A spawned request. Dropping it cancels, but does not wait until it let go of its memory.
pub(super) struct Task<T> {
    handle: Option<JoinHandle<Result<T>>>,
    era: Era,
}

impl<T> Task<T> {
    pub(super) fn spawn(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<Task<T>>
    where
        T: Send + 'static,
    {
        let era = Era::now();
        Ok(Task { handle: Some(runtime::spawn(counted_as_here(future))?), era })
    }

    /// As [`Task::spawn`], of a future that blocks the thread that polls it.
    fn spawn_blocking(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<Task<T>>
    where
        T: Send + 'static,
    {
        let era = Era::now();
        Ok(Task { handle: Some(runtime::spawn_blocking(counted_as_here(future))?), era })
    }

    /// Asks the task to end; awaiting it then tells when it did.
    pub(super) fn cancel(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(handle) = self.handle.as_mut() else {
            return Poll::Ready(Err(Error::new(Code::Internal, "a task was awaited twice")));
        };
        let Poll::Ready(outcome) = Pin::new(handle).poll(cx) else { return Poll::Pending };
        self.handle = None;
        Poll::Ready(outcome.unwrap_or_else(|error| {
            Err(match error.is_panic() {
                true => Error::new(Code::Internal, "a task of the library panicked").with_source(&error),
                false => Error::new(Code::Cancelled, "the task was cancelled").with_source(&error),
            })
        }))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        // A forked child must not touch the parent's scheduler: its locks may be held for ever.
        match self.era.check() {
            Err(error) if error.code() == Code::Forked => std::mem::forget(handle),
            _ => handle.abort(),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", if self.handle.is_some() { "running" } else { "done" })
    }
}

/// Runs `job` on every input, at most `limit` at once; results in order. What panics is an error of its
/// input. `inline` runs them one after the other on this thread instead: for stores that block.
pub(super) async fn run_all<I, T, F>(
    inputs: Vec<I>,
    limit: usize,
    inline: bool,
    job: impl Fn(I) -> F + Send + Sync + 'static,
) -> Vec<Result<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    drive(inputs, limit, if inline { Place::Here } else { Place::Workers }, false, job).await
}

/// As [`run_all`], but the first error cancels the rest, and is given once all of them stopped.
pub(super) async fn try_run_all<I, T, F>(
    inputs: Vec<I>,
    limit: usize,
    inline: bool,
    job: impl Fn(I) -> F + Send + Sync + 'static,
) -> Result<Vec<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let place = if inline { Place::Here } else { Place::Workers };
    first_error(drive(inputs, limit, place, true, job).await)
}

/// As [`try_run_all`], but jobs that are `blocking` run on threads of their own.
pub(super) async fn try_run_apart<I, T, F>(
    inputs: Vec<I>,
    limit: usize,
    blocking: bool,
    job: impl Fn(I) -> F + Send + Sync + 'static,
) -> Result<Vec<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let place = match blocking {
        false => Place::Workers,
        true if inputs.len() < 2 || limit < 2 => Place::Here,
        true => Place::Threads,
    };
    first_error(drive(inputs, limit, place, true, job).await)
}

/// Where jobs run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One after the other on this thread.
    Here,
    Workers,
    /// Threads that may block.
    Threads,
}

/// All values, or the first error; a cancelled job's outcome never hides the error that caused it.
fn first_error<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(results.len());
    let mut failure = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) if error.code() == Code::Cancelled => {
                failure.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    failure.map_or(Ok(values), Err)
}

async fn drive<I, T, F>(
    inputs: Vec<I>,
    limit: usize,
    place: Place,
    stop_at_error: bool,
    job: impl Fn(I) -> F + Send + Sync + 'static,
) -> Vec<Result<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let count = inputs.len();
    if place == Place::Here {
        let mut results = Vec::with_capacity(count);
        for input in inputs {
            results.push(job(input).await);
            if stop_at_error && results.last().is_some_and(Result::is_err) {
                break;
            }
        }
        return results;
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(stopped.clone());
    let inputs = Mutex::new(inputs.into_iter().enumerate());
    let work = Arc::new(Work { inputs, job, stop_at_error, stopped });
    let mut lanes = FuturesUnordered::new();
    let mut unfinished = None;
    // Where threads block, this one is a lane itself: others may never be free.
    let own = place == Place::Threads;
    for _ in usize::from(own)..limit.clamp(1, count.max(1)).min(count) {
        let lane = lane(work.clone(), false);
        match if place == Place::Threads { Task::spawn_blocking(lane) } else { Task::spawn(lane) } {
            Ok(task) => lanes.push(task),
            // Those that run do the work of this one.
            Err(error) => unfinished = Some(error),
        }
    }
    let mut results: Vec<Option<Result<T>>> = (0..count).map(|_| None).collect();
    if own {
        match lane(work.clone(), true).await {
            Ok(done) => done.into_iter().for_each(|(index, result)| results[index] = Some(result)),
            Err(error) => unfinished = Some(error),
        }
    }
    while let Some(done) = lanes.next().await {
        match done {
            Ok(done) => {
                if stop_at_error && done.iter().any(|(_, result)| result.is_err()) {
                    lanes.iter().for_each(Task::cancel);
                }
                done.into_iter().for_each(|(index, result)| results[index] = Some(result));
            }
            Err(error) => unfinished = Some(error),
        }
    }
    let mut missing = || {
        let reason = unfinished.take();
        reason.unwrap_or_else(|| Error::new(Code::Cancelled, "the task was cancelled"))
    };
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(missing()))).collect()
}

/// What the lanes share.
struct Work<I, J> {
    inputs: Mutex<Enumerate<std::vec::IntoIter<I>>>,
    job: J,
    stop_at_error: bool,
    /// Threads that block cannot be cancelled, but take no further input.
    stopped: Arc<AtomicBool>,
}

/// Nobody waits any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes one input after the other until none is left. One task for many jobs: nobody is woken between
/// them, and the memory of one request serves the next.
async fn lane<I, T, F>(work: Arc<Work<I, impl Fn(I) -> F>>, yields: bool) -> Result<Vec<(usize, Result<T>)>>
where
    F: Future<Output = Result<T>>,
{
    let mut done = Vec::new();
    loop {
        if work.stopped.load(Ordering::Relaxed) {
            return Ok(done);
        }
        if yields {
            tokio::task::yield_now().await; // whoever waits for this may have changed his mind
        }
        let next = lock(&work.inputs).next();
        let Some((index, input)) = next else { return Ok(done) };
        let job = AssertUnwindSafe((work.job)(input)).catch_unwind();
        let result =
            job.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "a task of the library panicked")));
        let failed = result.is_err();
        done.push((index, result));
        if failed && work.stop_at_error {
            work.stopped.store(true, Ordering::Relaxed);
            return Ok(done);
        }
    }
}
