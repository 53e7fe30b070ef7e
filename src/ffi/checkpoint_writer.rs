//! Saving checkpoints
//!
//! A checkpoint is what a job of world_size ranks saved at one step, below the root of a store (open
//! the store at "s3://bucket/run1/checkpoints"). Each rank writes its shards, and then rank 0 publishes a
//! manifest that names them all with sizes and checksums. Before that there is nothing to be loaded;
//! whatever dies on the way, the checkpoints that were committed before stay whole. A step is committed
//! once: saving it again is ALREADY_EXISTS, until s3dlio_checkpoint_delete.
//!
//! ```c
//! s3dlio_checkpoint_params params = {.step = 1000, .rank = rank, .world_size = size, .run_id = run};
//! s3dlio_checkpoint_writer *writer;
//! s3dlio_checkpoint_writer_open(store, NULL, &params, sizeof params, &writer, &err);
//! s3dlio_checkpoint_writer_put_tensors(writer, NULL, tensors, count, &err);
//! s3dlio_checkpoint_writer_commit(writer, &err);
//! s3dlio_checkpoint_writer_free(writer);
//! ```
//!
//! Agreeing. All ranks of one save need one id. Either through the storage: give every rank the same
//! run_id, which no other launch of the job has, and rank 0 tells the others through an object. Or a
//! host with a broadcast of its own opens rank 0 first, takes s3dlio_checkpoint_writer_id, and gives
//! it to the others as id: then no object and no run_id is needed. The same holds for the end: commit
//! on every rank waits through the storage; a host with a barrier calls finish everywhere, then its
//! barrier, then commit on rank 0 only. With a world_size of 1 neither is needed.
//!
//! Memory of the caller's: put_tensors and put_bytes read it in place, and are done with it when they
//! return. snapshot_tensors copies it: when that returns the caller may change its tensors, and the
//! copy is stored by finish or commit, or in the background by s3dlio_checkpoint_writer_commit_submit.
//! A streamed shard (s3dlio_checkpoint_writer_open_shard) needs memory for a few parts only.
//!
//! A rank may write several shards; their names differ. Names have 1 to 64 of the characters A-Z a-z 0-9
//! _ -; NULL is "data". Option writer.compression=zstd compresses them; checkpoint.strategy says how
//! their keys are spread. Shards of tensors are safetensors files that other tools open.
//!
//! Free before finish aborts: rank 0 is told, and what this rank stored is removed in the background
//! (s3dlio_shutdown waits for it). Once a rank's part is finished it is rank 0 who decides. What a
//! killed process leaves is invisible, and removed by s3dlio_checkpoint_collect.
//!
//! Beside the errors that a function names, those of stores and writers: FORKED for a writer that was
//! inherited through fork() (the parent's goes on), SHUTDOWN, INVALID_STATE (after finish or abort,
//! or another thread is inside), NO_SPACE, PERMISSION_DENIED, CANCELLED and UNKNOWN_OUTCOME (after a
//! submitted call that was cancelled). Arguments that are wrong change nothing. What fails while it
//! stores stays: the calls after it give the same error, and the save can only be aborted or freed.

use super::checkpoint_shard::ShardValue;
use super::convert::*;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::reader::over;
use super::store::store_of;
use super::tensor::{s3dlio_tensor, specs, tensors, tensors_within};
use super::types::*;
use crate::base::buffer::{lend, lend_many};
use crate::checkpoint::{CheckpointWriter, Params};
use crate::error::Result;
use crate::runtime::{Era, block_on};
use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Who saves what. All zero but world_size is rank 0 of 1 at step 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_checkpoint_params {
    /// Less than 10^12; checkpoints are ordered by it.
    pub step: u64,
    /// If has_epoch is 1; else 0.
    pub epoch: u64,
    /// 1 if there is an epoch, else 0.
    pub has_epoch: u32,
    /// This process's, less than world_size.
    pub rank: u32,
    /// How many ranks take part, 1 or more; the same on all of them.
    pub world_size: u32,
    /// 0.
    pub reserved: u32,
    /// The id that rank 0 got and the host broadcast; NULL: rank 0 makes one, the others find it
    /// through the storage.
    pub id: *const c_char,
    /// What all ranks of this launch share and no other launch does, such as the run_id of
    /// s3dlio_world; NULL where the host tells the id, and in a world of 1.
    pub run_id: *const c_char,
    /// Who wrote it, kept in the manifest: "pytorch"; NULL: "".
    pub framework: *const c_char,
    /// Rank 0's are kept in the manifest; any UTF-8 texts, no name twice.
    pub metadata: *const s3dlio_key_value,
    /// How many pairs metadata has.
    pub metadata_count: usize,
}

// SAFETY: integers and pointers without padding (the size below).
unsafe impl Plain for s3dlio_checkpoint_params {}
const _: () = assert!(size_of::<s3dlio_checkpoint_params>() == 8 * 2 + 4 * 4 + 8 * 5);

/// What a checkpoint writer's handle stands for.
pub struct CheckpointWriterValue {
    era: Era,
    id: CString,
    pub writer: Arc<Mutex<CheckpointWriter>>,
}

impl Handle for s3dlio_checkpoint_writer {
    const KIND: u64 = 10;
    const NAME: &'static str = "checkpoint writer";
    type Value = CheckpointWriterValue;

    fn era(value: &CheckpointWriterValue) -> Option<Era> {
        Some(value.era)
    }
}

/// # Safety
/// `given` is NULL or has `size` bytes, whose pointers are NULL or valid.
unsafe fn params(given: *const s3dlio_checkpoint_params, size: usize) -> Result<Params> {
    // SAFETY: passed on.
    unsafe {
        let given = read_struct(given, size, "params")?.ok_or_else(|| invalid("params is NULL"))?;
        let epoch = match given.has_epoch {
            0 if given.epoch == 0 => None,
            0 => return Err(invalid(format!("epoch is {} but has_epoch is 0", given.epoch))),
            1 => Some(given.epoch),
            other => return Err(invalid(format!("has_epoch is {other}; expected 0 or 1"))),
        };
        if given.reserved != 0 {
            return Err(invalid("reserved of params is not 0"));
        }
        Ok(Params {
            step: given.step,
            epoch,
            rank: given.rank,
            world_size: given.world_size,
            id: optional_text(given.id, "id")?.map(str::to_owned),
            run_id: optional_text(given.run_id, "run_id")?.map(str::to_owned),
            framework: optional_text(given.framework, "framework")?.unwrap_or_default().to_owned(),
            metadata: text_map(given.metadata, given.metadata_count)?,
        })
    }
}

/// A shard's name as C gives it.
///
/// # Safety
/// `shard` is NULL or a NUL-terminated string that lives as long as the result is used.
pub unsafe fn shard_name<'a>(shard: *const c_char) -> Result<&'a str> {
    // SAFETY: passed on.
    Ok(unsafe { optional_text(shard, "shard") }?.unwrap_or("data"))
}

fn with_writer<R>(
    writer: *const s3dlio_checkpoint_writer,
    f: impl FnOnce(&mut CheckpointWriter) -> Result<R>,
) -> Result<R> {
    let used = handle::get(writer)?;
    let mut writer = exclusive(&used.writer)?;
    f(&mut writer)
}

/// Begins this rank's part of a save. Rank 0 checks that the step is free and, where no id is given,
/// makes it and tells it through the storage; the other ranks wait for that, no longer than
/// checkpoint.timeout_ms. `options` may be NULL; what is set in them goes over the store's. The caller
/// frees the writer.
/// Errors: INVALID_ARGUMENT (of params; neither id nor run_id on a rank that has to find the id; rank 0
/// began with another world_size, which is named), ALREADY_EXISTS (the step is committed), TIMEOUT
/// (rank 0 did not begin; detail missing_ranks).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_open(
    store: *const s3dlio_store,
    options: *const s3dlio_options,
    params: *const s3dlio_checkpoint_params,
    params_size: usize,
    writer: *mut *mut s3dlio_checkpoint_writer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_open", err, || {
            let out = Out::new(writer, "writer")?;
            let params = self::params(params, params_size)?;
            let used = store_of(store)?;
            let options = over(&used.store, options)?;
            let era = Era::now();
            let writer = block_on(CheckpointWriter::open(&used.store, &options, params)).flatten()?;
            let id = super::error::c_string(writer.id());
            out.set_handle(CheckpointWriterValue { era, id, writer: Arc::new(Mutex::new(writer)) })
        })
    }
}

/// The save's id, the same on all ranks; it lives as long as the handle. NULL for NULL and stale
/// handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_id(
    writer: *const s3dlio_checkpoint_writer,
) -> *const c_char {
    guard::value("s3dlio_checkpoint_writer_id", ptr::null(), || {
        handle::peek(writer).map_or(ptr::null(), |writer| writer.id.as_ptr())
    })
}

/// Stores tensors as one shard. Their memory is read in place and not used after the call. A tensor may
/// be empty, and so may the list. In the shard, larger types come first, so that all are aligned.
/// Errors: INVALID_ARGUMENT (a tensor, which is named: its type is unknown, its length is not what type
/// and shape say, its box leaves global_shape, its name is empty or is there twice with the same box;
/// the shard's name), ALREADY_EXISTS (the shard's name was used before).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_put_tensors(
    writer: *mut s3dlio_checkpoint_writer,
    shard: *const c_char,
    tensors: *const s3dlio_tensor,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_put_tensors", err, || {
            let shard = shard_name(shard)?;
            let (specs, memory) = self::tensors(tensors, count)?;
            with_writer(writer, |writer| {
                lend_many(&memory, |lent| {
                    block_on(writer.put_tensors(shard, specs.into_iter().zip(lent).collect())).flatten()
                })
            })
        })
    }
}

/// Copies tensors into memory of the library's and does no I/O: when it returns, the caller may change
/// them. They are stored as one shard by finish or commit, blocking or submitted, and the copy is
/// freed then.
/// Errors: as s3dlio_checkpoint_writer_put_tensors; OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_snapshot_tensors(
    writer: *mut s3dlio_checkpoint_writer,
    shard: *const c_char,
    tensors: *const s3dlio_tensor,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_snapshot_tensors", err, || {
            let shard = shard_name(shard)?;
            let (specs, memory) = self::tensors(tensors, count)?;
            with_writer(writer, |writer| {
                writer.snapshot_tensors(shard, specs.into_iter().zip(memory).collect())
            })
        })
    }
}

/// As s3dlio_checkpoint_writer_snapshot_tensors without the copy: tensor i lies within the memory of
/// `buffers[i]` (the same buffer may hold many). The writer has handles of its own: the caller may free
/// its own at any time, but changes nothing in these tensors until finish or commit returned, or the
/// event came.
/// Errors: as s3dlio_checkpoint_writer_put_tensors; INVALID_ARGUMENT (a tensor is not within its
/// buffer), BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_snapshot_buffers(
    writer: *mut s3dlio_checkpoint_writer,
    shard: *const c_char,
    tensors: *const s3dlio_tensor,
    buffers: *const *const s3dlio_buffer,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_snapshot_buffers", err, || {
            let shard = shard_name(shard)?;
            let tensors = tensors_within(tensors, buffers, count)?;
            with_writer(writer, |writer| writer.snapshot_owned(shard, tensors))
        })
    }
}

/// Stores bytes of any kind as one shard, which s3dlio_checkpoint_read_shard gives back: no entries can
/// be loaded from it. They are read in place and not used after the call.
/// Errors: INVALID_ARGUMENT (the shard's name), ALREADY_EXISTS (it was used before).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_put_bytes(
    writer: *mut s3dlio_checkpoint_writer,
    shard: *const c_char,
    data: *const c_void,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_put_bytes", err, || {
            let (shard, data) = (shard_name(shard)?, bytes(data, length)?);
            with_writer(writer, |writer| lend(data, |lent| block_on(writer.put_bytes(shard, lent)).flatten()))
        })
    }
}

/// Opens a shard to be written in pieces: see the section on streamed shards. `tensors` says what will
/// come, in this order; their data and length are ignored. With NULL and 0 it is a shard of plain
/// bytes, of any length. The caller frees the shard. Several may be open at once, each used by a thread
/// of its own; every one has to be finished or freed before the writer's finish.
/// Errors: INVALID_ARGUMENT (as s3dlio_checkpoint_writer_put_tensors; a replicated tensor),
/// ALREADY_EXISTS (the shard's name was used before).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_open_shard(
    writer: *mut s3dlio_checkpoint_writer,
    shard: *const c_char,
    tensors: *const s3dlio_tensor,
    count: usize,
    stream: *mut *mut s3dlio_checkpoint_shard,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_open_shard", err, || {
            let (out, shard) = (Out::new(stream, "stream")?, shard_name(shard)?);
            let plain = tensors.is_null() && count == 0;
            let specs = if plain { None } else { Some(specs(tensors, count)?) };
            let opened = with_writer(writer, |writer| block_on(writer.open_shard(shard, specs)).flatten())?;
            out.set_handle(ShardValue::new(opened))
        })
    }
}

/// Stores what is left of this rank's part, then its receipt: from now on it counts. Nothing can be
/// added. Again is success.
/// Errors: ALREADY_EXISTS (another process handed in this rank's part of this save), INVALID_STATE (a
/// streamed shard is neither finished nor freed), CHANGED (rank 0 began the save anew), UNKNOWN_OUTCOME.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_finish(
    writer: *mut s3dlio_checkpoint_writer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_finish", err, || {
            with_writer(writer, |writer| block_on(writer.finish()).flatten())
        })
    }
}

/// Finish, and then the end of the save. Rank 0 waits for the receipts of all ranks, no longer than
/// checkpoint.timeout_ms, publishes the checkpoint, and removes older ones where checkpoint.keep_last or
/// checkpoint.keep_every say so. The other ranks wait until it is published. Success means that the
/// checkpoint is there, on every rank. Again is success.
/// Errors: TIMEOUT (detail missing_ranks; commit may be called again), CANCELLED (a rank gave up; on rank
/// 0 detail rank and that rank's error), INVALID_ARGUMENT (a rank saved with another world_size, the ranks
/// do not agree on a tensor's type or whole shape, or a box of one was given by none), ALREADY_EXISTS
/// (another save of this step was first), UNKNOWN_OUTCOME (a cloud store's last answer was lost: open
/// the step to see), and those of finish.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_commit(
    writer: *mut s3dlio_checkpoint_writer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_commit", err, || {
            with_writer(writer, |writer| block_on(writer.commit()).flatten())
        })
    }
}

/// Removes what this rank stored and waits for that; the checkpoint will not be committed. After finish
/// only rank 0's abort does so. Again is success.
/// Errors: INVALID_STATE (committed before), UNKNOWN_OUTCOME (a commit was cut short or lost its answer, and may
/// still arrive: nothing is removed).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_abort(
    writer: *mut s3dlio_checkpoint_writer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_abort", err, || {
            with_writer(writer, |writer| block_on(writer.abort()).flatten())
        })
    }
}

/// Frees the writer. Before finish (on rank 0: before commit) this is abort, in the background; a commit
/// that was submitted goes on. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_free(writer: *mut s3dlio_checkpoint_writer) {
    guard::free("s3dlio_checkpoint_writer_free", writer);
}
