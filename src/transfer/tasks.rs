//! One task per request, bounded in number, never outliving the call that started them.

use super::progress::counted_as_here;
use crate::error::{Code, Error, Result};
use crate::runtime::{self, Era};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
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

/// Runs every job, at most `limit` at once, each as a task of its own; results in order.
/// `inline` runs them one after the other on this thread instead: for stores that block.
pub(super) async fn run_all<T, F>(
    jobs: impl IntoIterator<Item = F>,
    limit: usize,
    inline: bool,
) -> Vec<Result<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    drive(jobs, limit, inline, false).await
}

/// As [`run_all`], but the first error cancels the rest, and is given once all of them stopped.
pub(super) async fn try_run_all<T, F>(
    jobs: impl IntoIterator<Item = F>,
    limit: usize,
    inline: bool,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    // A cancelled task's outcome never hides the error that caused it.
    let results = drive(jobs, limit, inline, true).await;
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

async fn drive<T, F>(
    jobs: impl IntoIterator<Item = F>,
    limit: usize,
    inline: bool,
    stop_at_error: bool,
) -> Vec<Result<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut results = Vec::new();
    if inline {
        for job in jobs {
            results.push(job.await);
            if stop_at_error && results.last().is_some_and(Result::is_err) {
                break;
            }
        }
        return results;
    }
    let mut running = FuturesUnordered::new();
    let mut failed = false;
    for (index, job) in jobs.into_iter().enumerate() {
        while running.len() >= limit.max(1) && !(failed && stop_at_error) {
            failed |= take_one(&mut running, &mut results).await;
        }
        if failed && stop_at_error {
            break;
        }
        results.push(Err(Error::new(Code::Internal, "a task gave no result")));
        match Task::spawn(job) {
            Ok(task) => running.push(Numbered { index, task }),
            Err(error) => {
                results[index] = Err(error);
                failed = true;
            }
        }
    }
    while !running.is_empty() {
        if failed && stop_at_error {
            running.iter().for_each(|numbered| numbered.task.cancel());
        }
        failed |= take_one(&mut running, &mut results).await;
    }
    results
}

/// Waits for one task and files its result; whether that is an error.
async fn take_one<T>(running: &mut FuturesUnordered<Numbered<T>>, results: &mut [Result<T>]) -> bool {
    let Some((index, result)) = running.next().await else { return false };
    let failed = result.is_err();
    results[index] = result;
    failed
}

/// A task that remembers its place.
struct Numbered<T> {
    index: usize,
    task: Task<T>,
}

impl<T> Future for Numbered<T> {
    type Output = (usize, Result<T>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        Pin::new(&mut self.task).poll(cx).map(|result| (index, result))
    }
}
