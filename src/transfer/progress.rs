//! How many bytes an operation has moved so far, for those who ask meanwhile.

use futures_util::future::Either;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    static MOVED: Arc<AtomicU64>;
}

/// Runs `future`; the bytes that it moves are added to `counter`, request by request.
pub fn count_bytes<F: Future>(counter: Arc<AtomicU64>, future: F) -> impl Future<Output = F::Output> {
    MOVED.scope(counter, future)
}

/// Gives a task that the present one starts the same counter.
pub(super) fn counted_as_here<F: Future>(future: F) -> impl Future<Output = F::Output> {
    match MOVED.try_with(Arc::clone) {
        Ok(counter) => Either::Left(count_bytes(counter, future)),
        Err(_) => Either::Right(future), // nobody asks
    }
}

pub(super) fn moved(bytes: usize) {
    let _ = MOVED.try_with(|counter| counter.fetch_add(bytes as u64, Ordering::Relaxed));
}
