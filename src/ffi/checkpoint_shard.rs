//! Streamed shards
//!
//! A shard of a save that is written piece by piece, in constant memory: parts upload in the background
//! while more is written, as with a writer. Of a shard of tensors, the bytes are those of its tensors in
//! the order in which they were announced, one after the other; pieces may begin and end anywhere. Any
//! thread, one at a time; different shards of one writer concurrently.
//!
//! Errors are those of writers: FORKED, SHUTDOWN, INVALID_STATE (after finish, or another thread is
//! inside), NO_SPACE. The first one stays: every later write and finish returns it.

use super::convert::*;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::types::*;
use super::writer::raw_stats;
use crate::checkpoint::ShardWriter;
use crate::error::Result;
use crate::runtime::{Era, block_on};
use std::ffi::c_void;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a shard's handle stands for.
pub struct ShardValue {
    era: Era,
    shard: Arc<Mutex<ShardWriter>>,
}

impl ShardValue {
    pub fn new(shard: ShardWriter) -> ShardValue {
        ShardValue { era: Era::now(), shard: Arc::new(Mutex::new(shard)) }
    }
}

impl Handle for s3dlio_checkpoint_shard {
    const KIND: u64 = 11;
    const NAME: &'static str = "checkpoint shard";
    type Value = ShardValue;

    fn era(value: &ShardValue) -> Option<Era> {
        Some(value.era)
    }
}

fn with_shard<R>(
    shard: *const s3dlio_checkpoint_shard,
    f: impl FnOnce(&mut ShardWriter) -> Result<R>,
) -> Result<R> {
    let used = handle::get(shard)?;
    let mut shard = exclusive(&used.shard)?;
    f(&mut shard)
}

/// Appends `length` bytes, which are copied. Waits while all parts in flight are busy.
/// Errors: INVALID_ARGUMENT (also more bytes than the tensors have).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_write(
    shard: *mut s3dlio_checkpoint_shard,
    data: *const c_void,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_shard_write", err, || {
            let data = bytes(data, length)?;
            with_shard(shard, |shard| block_on(shard.write(data)).flatten())
        })
    }
}

/// Gives memory of at least `min_size` bytes to fill in place: `*data` with room for `*capacity`, which
/// in a shard of tensors ends with the present tensor. It is the shard's, and valid until the next call
/// on the shard; s3dlio_checkpoint_shard_commit appends what was filled. A reservation without a commit
/// is forgotten.
/// Errors: INVALID_ARGUMENT (min_size is 0, more than memory can be, or more than is left of the present
/// tensor), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_reserve(
    shard: *mut s3dlio_checkpoint_shard,
    min_size: usize,
    data: *mut *mut c_void,
    capacity: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_shard_reserve", err, || {
            let (data, capacity) = (Out::new(data, "data")?, Out::new(capacity, "capacity")?);
            if min_size == 0 || min_size > isize::MAX as usize {
                return Err(invalid(format!("min_size is {min_size}; expected 1 or more bytes of memory")));
            }
            with_shard(shard, |shard| {
                let room = block_on(shard.reserve(min_size)).flatten()?;
                data.set(room.as_mut_ptr().cast());
                capacity.set(room.len());
                Ok(())
            })
        })
    }
}

/// Appends the first `length` bytes of the reserved memory without copying them.
/// Errors: INVALID_STATE (nothing is reserved), INVALID_ARGUMENT (more than was reserved).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_commit(
    shard: *mut s3dlio_checkpoint_shard,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_shard_commit", err, || {
            with_shard(shard, |shard| block_on(shard.commit(length)).flatten())
        })
    }
}

/// Stores what is left and adds the shard to its writer's part of the save. `stats` may be NULL. The
/// handle still has to be freed.
/// Errors: TRUNCATED (fewer bytes came than the tensors have), INVALID_STATE (finished before, or the
/// writer was finished, aborted or freed meanwhile).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_finish(
    shard: *mut s3dlio_checkpoint_shard,
    stats: *mut s3dlio_write_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_shard_finish", err, || {
            let out = OutStruct::optional(stats, stats_size, "stats")?;
            let stats = with_shard(shard, |shard| block_on(shard.finish()).flatten())?;
            if let Some(out) = out {
                out.set(&raw_stats(&stats));
            }
            Ok(())
        })
    }
}

/// Frees the shard. Without finish, what was stored of it is removed in the background, and the save goes
/// on without it. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_free(shard: *mut s3dlio_checkpoint_shard) {
    guard::free("s3dlio_checkpoint_shard_free", shard);
}
