//! Keeping checkpoints
//!
//! Lists and removes the checkpoints below a store's root. A checkpoint is removed manifest first: it
//! cannot be opened any more before its data goes, and what a killed removal leaves is collected like a
//! torn save. One process of a job should do it, not all of them.
//!
//! Beside the errors that a function names, those of stores.

use super::convert::*;
use super::guard;
use super::store::store_of;
use super::types::*;
use crate::checkpoint;
use crate::error::Result;
use crate::runtime::block_on;
use std::time::Duration;

/// The steps of the committed checkpoints, ascending. `*count` is how many there are; `steps` has room
/// for `capacity` of them and gets the largest ones, where there are more. With NULL and 0 they are only
/// counted.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_list(
    store: *const s3dlio_store,
    steps: *mut u64,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_list", err, || {
            let (out, steps) = (Out::new(count, "count")?, slice_mut(steps, capacity, "steps")?);
            let all = block_on(checkpoint::list(&store_of(store)?.store)).flatten()?;
            guard::test_hook();
            let newest = &all[all.len().saturating_sub(steps.len())..];
            steps[..newest.len()].copy_from_slice(newest);
            out.set(all.len());
            Ok(())
        })
    }
}

/// Removes the checkpoint of a step.
/// Errors: NOT_FOUND (there is none).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_delete(
    store: *const s3dlio_store,
    step: u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_delete", err, || {
            block_on(checkpoint::delete(&store_of(store)?.store, step)).flatten()
        })
    }
}

/// Removes all checkpoints but the last `keep_last` ones (at least 1), and, where `keep_every` is not
/// 0, those whose step is a multiple of it. `deleted`, which may be NULL, gets how many were
/// removed.
/// Errors: INVALID_ARGUMENT (keep_last is 0).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_prune(
    store: *const s3dlio_store,
    keep_last: u64,
    keep_every: u64,
    deleted: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_prune", err, || {
            let out = optional_out(deleted, "deleted")?;
            let removed =
                block_on(checkpoint::prune(&store_of(store)?.store, keep_last, keep_every)).flatten()?;
            if let Some(out) = out {
                out.set(removed.len());
            }
            Ok(())
        })
    }
}

/// Removes what saves left that were never committed, and removals that were cut short, where nothing
/// of it is younger than `min_age_ms`: choose more than the longest save takes, as a save under way looks
/// the same. `removed`, which may be NULL, gets how many saves that were.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_collect(
    store: *const s3dlio_store,
    min_age_ms: u64,
    removed: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_collect", err, || {
            let out = optional_out(removed, "removed")?;
            let min_age = Duration::from_millis(min_age_ms);
            let count = block_on(checkpoint::collect(&store_of(store)?.store, min_age)).flatten()?;
            if let Some(out) = out {
                out.set(count);
            }
            Ok(())
        })
    }
}

/// # Safety
/// `pointer` is NULL or valid for a write until the result is dropped.
unsafe fn optional_out(pointer: *mut usize, name: &str) -> Result<Option<Out<usize>>> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { Ok(Some(unsafe { Out::new(pointer, name) }?)) }
}
