//! Pieces of objects whose size is known, each in one request, checksummed while it is in the cache: what
//! loads of many tensors are made of.

use super::range::read_once;
use super::tasks::try_run_apart;
use crate::base::buffer::Window;
use crate::base::checksum::Crc32c;
use crate::base::op::Op;
use crate::error::{Code, Error, Result};
use crate::store::Store;
use std::future::Future;

/// Fills `dst` from `offset` of an object that must have `size` bytes, and gives it back with the checksum of
/// its bytes; `Truncated` where the object is of another size.
pub async fn read_exact(
    store: &Store,
    key: &str,
    offset: u64,
    dst: Window,
    size: u64,
) -> Result<(Window, Crc32c)> {
    if dst.is_empty() {
        return Ok((dst, Crc32c::new()));
    }
    let context = |e: Error| e.with_context("get", store.root().join(key));
    let (given, loan) = dst.on_loan();
    let watch = store.watch(Op::Get, key);
    let got = read_once(store, key, offset, given, None, watch.first_byte()).await;
    watch.end(&got, |got| (1, got.bytes as u64));
    let got = got.map_err(|error| match error.code() {
        Code::Range => error.with_code(Code::Truncated),
        _ => error,
    })?;
    if got.meta.size != size {
        let message = format!("the object has {} bytes, but {size} were expected", got.meta.size);
        return Err(context(Error::new(Code::Truncated, message)));
    }
    let kept = || context(Error::new(Code::Internal, "a finished read still holds its memory"));
    let dst = loan.take_back().ok_or_else(kept)?;
    let crc = Crc32c::of(&dst);
    Ok((dst, crc))
}

/// Runs `job` on every input, at most `limit` at once, on threads that suit the store; results in order. The
/// first error stops the rest, and is given once all of them stopped.
pub async fn run_apart<I, T, F>(
    store: &Store,
    inputs: Vec<I>,
    limit: usize,
    job: impl Fn(I) -> F + Send + Sync + 'static,
) -> Result<Vec<T>>
where
    I: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    try_run_apart(inputs, limit, store.capabilities().blocking_io, job).await
}
