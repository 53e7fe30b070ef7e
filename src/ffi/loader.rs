//! Loaders
//!
//! A loader is one worker's pass over one epoch of a dataset: it gives batch after batch, and fetches
//! ahead meanwhile, within the bounds of the loader.* options. The order follows from dataset, seed and
//! epoch (option loader.shuffle) and is the same on every machine; the ranks and their workers share it out
//! without overlap. Any thread, one call at a time; another one meanwhile is INVALID_STATE. After fork() an
//! inherited one is FORKED: open another one there, of the same dataset.
//!
//! s3dlio_loader_state says what was given so far, as JSON to be stored with a checkpoint. A loader that
//! is opened with it goes on as if it had never stopped. What another number of ranks or workers is to go
//! on with is the states of all loaders of the old run: the rest is then dealt anew, every item once.
//!
//! Where an item cannot be read (option loader.on_error): raise, the default, makes it the error of a
//! next, which names its URI, and the next call goes on after it; skip and substitute leave it out, and
//! s3dlio_loader_stats counts it.
//!
//! ```c
//! while ((status = s3dlio_loader_next(loader, &batch, &err)) == S3DLIO_OK) {
//!     const s3dlio_sample *samples = s3dlio_batch_samples(batch);
//!     for (size_t i = 0; i < s3dlio_batch_count(batch); i++) train(samples[i].data, samples[i].length);
//!     s3dlio_batch_free(batch);
//! }
//! ```
//!
//! Beside the errors that a function names, those of datasets, and FORKED and SHUTDOWN.

use super::batch::BatchValue;
use super::buffer::BufferValue;
use super::convert::*;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::options;
use super::queue::Value;
use super::submit::Destination;
use super::types::*;
use crate::loader::{self, Loader, LoaderParams};
use crate::queue::Work;
use crate::runtime::{Era, block_on};
use std::ffi::c_char;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Which part of an epoch is drawn, and how. All zero: the first epoch, alone, in batches of 1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_loader_params {
    /// Samples in a batch; the last one may have fewer (option loader.drop_last). 0 is 1.
    pub batch_size: u64,
    /// Of the order; the same on every rank.
    pub seed: u64,
    /// Other epochs have other orders.
    pub epoch: u64,
    /// Of this process, from 0.
    pub rank: u32,
    /// How many ranks; 0 is 1.
    pub world_size: u32,
    /// Which of the loaders that share this rank, from 0.
    pub worker: u32,
    /// How many of them; 0 is 1.
    pub workers: u32,
    /// To go on: what s3dlio_loader_state gave, of this shard, or of all shards of the old run in any
    /// order, or one text that s3dlio_loader_merge_states made. Seed and epoch are then those of the states.
    pub states: *const *const c_char,
    /// How many; 0: the epoch begins.
    pub state_count: usize,
}

// SAFETY: integers and a nullable pointer without padding.
unsafe impl Plain for s3dlio_loader_params {}
const _: () = assert!(size_of::<s3dlio_loader_params>() == 8 * 3 + 4 * 4 + 8 * 2);

/// What a loader did, and what it has at hand.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_loader_stats {
    /// Samples given.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Batches given.
    pub batches: u64,
    /// Items left out because they could not be read.
    pub skipped: u64,
    /// Of them, those whose place another one took.
    pub substituted: u64,
    /// How long calls of next waited, in nanoseconds: what the training loop lost to data.
    pub wait_ns: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Items that were fetched and not yet given.
    pub buffered_items: u64,
    /// Their bytes.
    pub buffered_bytes: u64,
    /// Objects listed so far.
    pub listed: u64,
}

// SAFETY: integers without padding.
unsafe impl Plain for s3dlio_loader_stats {}
const _: () = assert!(size_of::<s3dlio_loader_stats>() == 8 * 10);

/// What a loader handle stands for.
pub struct LoaderValue {
    era: Era,
    loader: Arc<Mutex<Loader>>,
}

impl Handle for s3dlio_loader {
    const KIND: u64 = 14;
    const NAME: &'static str = "loader";
    type Value = LoaderValue;

    fn era(value: &LoaderValue) -> Option<Era> {
        Some(value.era)
    }
}

/// Begins a pass over a dataset, or goes on with one. `params` and `options` may be NULL; the options
/// go over those of the environment. The caller frees the loader.
/// Errors: INVALID_ARGUMENT (also a full shuffle of a dataset of unknown length, a rank or worker that is
/// not less than their number, fewer files of records than shards, a state of another dataset or run, and
/// states of which one is missing), CORRUPT (a state is malformed), BAD_HANDLE, INVALID_OPTION.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_open(
    dataset: *const s3dlio_dataset,
    params: *const s3dlio_loader_params,
    params_size: usize,
    options: *const s3dlio_options,
    loader: *mut *mut s3dlio_loader,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_loader_open", err, || {
            let out = Out::new(loader, "loader")?;
            let params = match read_struct(params, params_size, "params")? {
                None => LoaderParams::default(),
                Some(given) => LoaderParams {
                    batch_size: given.batch_size.max(1),
                    seed: given.seed,
                    epoch: given.epoch,
                    rank: given.rank,
                    world_size: given.world_size.max(1),
                    worker: given.worker,
                    workers: given.workers.max(1),
                    states: texts(given.states, given.state_count, "states")?,
                },
            };
            let options = options::given(options)?;
            let used = handle::get(dataset)?;
            let era = Era::now();
            let opened = block_on(Loader::open(&used, &params, &options)).flatten()?;
            out.set_handle(LoaderValue { era, loader: Arc::new(Mutex::new(opened)) })
        })
    }
}

/// The next batch: S3DLIO_OK and the batch, which the caller frees, or S3DLIO_END at the end of the
/// epoch. Blocks until all samples of the batch are there.
/// Errors: what reading an item gave (on_error raise; the next call goes on after it), TIMEOUT (option
/// loader.batch_timeout_ms; nothing is lost, call again).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_next(
    loader: *mut s3dlio_loader,
    batch: *mut *mut s3dlio_batch,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::step("s3dlio_loader_next", err, || {
            let out = Out::new(batch, "batch")?;
            let used = handle::get(loader.cast_const())?;
            let mut loader = exclusive(&used.loader)?;
            match block_on(loader.next()).flatten()? {
                None => Ok(S3DLIO_END),
                Some(batch) => out.set_handle(BatchValue::new(batch)).map(|()| S3DLIO_OK),
            }
        })
    }
}

/// Starts waiting for the next batch, as s3dlio_loader_next; the event has it in batch, or the status
/// S3DLIO_END. One at a time. A batch whose submit was cancelled was not given: the next one has it.
/// Errors: those of submits: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE, FORKED, SHUTDOWN, OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_next_submit(
    loader: *mut s3dlio_loader,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_loader_next_submit", err, || {
            let used = handle::get(loader.cast_const())?;
            let mut loader = exclusive(&used.loader)?;
            // What blocks are the loader's own tasks, on threads of their own; this one only waits for them.
            let work = Work { operation: "next", uri: String::new(), blocking: false, total: None };
            Destination { queue, token, op }.submit(work, |_keep| async move {
                let next = loader.next().await;
                drop((loader, used));
                Ok(next?.map_or(Value::End, |batch| Value::Batch(Box::new(BatchValue::new(batch)))))
            })
        })
    }
}

/// What was given so far, as JSON: store it, and open a loader with it. What was fetched ahead does not
/// count as given. The caller frees the buffer, which has a NUL after its bytes.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_state(
    loader: *mut s3dlio_loader,
    json: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_loader_state", err, || {
            let out = Out::new(json, "json")?;
            let used = handle::get(loader.cast_const())?;
            let state = exclusive(&used.loader)?.state()?;
            out.set_handle(BufferValue::text(&state)?)
        })
    }
}

/// One state of the states of all shards of a run, in any order: for another number of ranks or workers,
/// each of which opens its loader with it. The caller frees the buffer, which has a NUL after its bytes.
/// Errors: INVALID_ARGUMENT (no states, one of another run, a shard that is missing or there twice), CORRUPT
/// (one that is malformed), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_merge_states(
    states: *const *const c_char,
    count: usize,
    json: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_loader_merge_states", err, || {
            let out = Out::new(json, "json")?;
            let merged = loader::merge_states(&texts(states, count, "states")?)?;
            out.set_handle(BufferValue::text(&merged)?)
        })
    }
}

/// What the loader did so far.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_get_stats(
    loader: *mut s3dlio_loader,
    stats: *mut s3dlio_loader_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_loader_get_stats", err, || {
            let out = OutStruct::new(stats, stats_size, "stats")?;
            let used = handle::get(loader.cast_const())?;
            let stats = exclusive(&used.loader)?.stats();
            out.set(&s3dlio_loader_stats {
                items: stats.items,
                bytes: stats.bytes,
                batches: stats.batches,
                skipped: stats.skipped,
                substituted: stats.substituted,
                wait_ns: stats.wait_ns,
                in_flight: stats.in_flight,
                buffered_items: stats.buffered_items,
                buffered_bytes: stats.buffered_bytes,
                listed: stats.listed,
            });
            Ok(())
        })
    }
}

/// Ends the loader: cancels its requests and, unlike other frees, waits until its tasks have ended, which
/// takes milliseconds; where another call is under way, that one ends first and the tasks end with it.
/// Batches that were given stay. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_loader_free(loader: *mut s3dlio_loader) {
    guard::value("s3dlio_loader_free", (), || {
        let used = handle::peek(loader.cast_const());
        handle::free(loader.cast_const());
        let Some(used) = used.filter(|used| used.era.check().is_ok()) else { return };
        let Ok(loader) = exclusive(&used.loader) else { return };
        // On a thread of a runtime, which must not wait, the tasks end on their own.
        let _ = block_on(loader.cancel());
    });
}
