//! Queues
//!
//! A queue takes the place of waiting: the _submit functions start an operation and return at once,
//! and its outcome comes as an event of the queue, under the token that the caller chose. The descriptor
//! of a queue is readable exactly while there are events, so that epoll, poll, select, asyncio or
//! libuv can wait for it. Any thread, concurrently: one queue for a program, a thread or an event loop.
//!
//! - A submit that returned S3DLIO_OK gives exactly one event: on success, on error, when it was
//!   cancelled (CANCELLED), when s3dlio_shutdown ended it (SHUTDOWN). A submit that failed gives none.
//! - Memory that was passed to a submit is the library's until its event is taken. Texts and structs
//!   (keys, put options) are copied: they are the caller's again when the submit returns.
//! - Handles may be freed while operations on them are under way. A reader's sequential read, a lister
//!   and a writer have one operation at a time; another one before its event is INVALID_STATE.
//! - Of each queue up to 256 network operations, and 4 per processor (8 to 32) on local files and memory,
//!   run at once; the others wait for their turn. Events come in the order in which operations end.
//! - In a forked child the queue is FORKED. After s3dlio_shutdown it can be used as before.
//!
//! Freeing a queue cancels what is under way, and then nobody can tell when the memory is free. So end
//! with s3dlio_queue_close, take events until S3DLIO_END, and free it then.

use super::batch::BatchValue;
use super::buffer::BufferValue;
use super::convert::*;
use super::error::handle_of;
use super::guard;
use super::handle::{self, Handle};
use super::info::Info;
use super::reader::ReaderValue;
use super::types::*;
use super::writer::raw_stats;
use crate::base::buffer::Buffer;
use crate::error::Result;
use crate::queue::{Event, Next, Op, Queue};
use crate::runtime::Era;
use crate::transfer::WriteStats;
use std::ptr;
use std::time::Duration;

/// The end of one operation. The caller frees data, error, reader and batch where they are not NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_event {
    /// As it was given to the submit.
    pub token: u64,
    /// What the blocking function would have returned: S3DLIO_OK, S3DLIO_END or an error's code.
    pub status: i32,
    /// 0.
    pub reserved: u32,
    /// Bytes read or written.
    pub bytes: u64,
    /// The bytes of a get. Where infos or written are set: the owner of what they point to, without
    /// contents of its own. Else NULL.
    pub data: *mut s3dlio_buffer,
    /// What went wrong, or NULL.
    pub error: *mut s3dlio_error,
    /// The reader that was opened, or NULL.
    pub reader: *mut s3dlio_reader,
    /// A stat's or a listing's facts: info_count pointers, which live as long as data.
    pub infos: *const *const s3dlio_object_info,
    /// How many infos there are.
    pub info_count: usize,
    /// What a put or a writer's finish has written; lives as long as data.
    pub written: *const s3dlio_write_stats,
    /// The batch that a loader gave, or NULL.
    pub batch: *mut s3dlio_batch,
}

// SAFETY: integers and pointers without padding (the size below).
unsafe impl Plain for s3dlio_event {}
const _: () = assert!(size_of::<s3dlio_event>() == 8 + 4 * 2 + 8 * 8);

/// Of s3dlio_event in version 0.1; no program's is smaller.
const FIRST_SIZE: usize = 72;

/// What an operation gave.
pub enum Value {
    Nothing,
    /// So many bytes came or went.
    Bytes(usize),
    Data(Buffer),
    Infos(Vec<Info>),
    /// There is nothing more.
    End,
    Written(WriteStats),
    Reader(Box<ReaderValue>),
    Batch(Box<BatchValue>),
}

impl Handle for s3dlio_queue {
    const KIND: u64 = 8;
    const NAME: &'static str = "queue";
    const SURVIVES_SHUTDOWN: bool = true;
    type Value = Queue<Value>;

    fn era(queue: &Queue<Value>) -> Option<Era> {
        Some(queue.era())
    }
}

/// What an op handle stands for.
pub struct OpValue {
    pub op: Op,
    pub era: Era,
}

impl Handle for s3dlio_op {
    const KIND: u64 = 9;
    const NAME: &'static str = "op";
    const SURVIVES_SHUTDOWN: bool = true;
    type Value = OpValue;

    fn era(value: &OpValue) -> Option<Era> {
        Some(value.era)
    }
}

/// Infos with the pointers to them.
struct InfoList {
    pointers: Vec<*const s3dlio_object_info>,
    _infos: Vec<Info>,
}

// SAFETY: the pointers lead into `_infos`, which nobody changes.
unsafe impl Send for InfoList {}
// SAFETY: as above.
unsafe impl Sync for InfoList {}

fn raw_event(event: Event<Value>) -> s3dlio_event {
    let mut raw = s3dlio_event {
        token: event.token,
        status: S3DLIO_OK,
        reserved: 0,
        bytes: 0,
        data: ptr::null_mut(),
        error: ptr::null_mut(),
        reader: ptr::null_mut(),
        infos: ptr::null(),
        info_count: 0,
        written: ptr::null(),
        batch: ptr::null_mut(),
    };
    let outcome = event.outcome.and_then(|value| fill(&mut raw, value));
    if let Err(error) = outcome {
        raw.status = error.code() as i32;
        raw.error = handle_of(error);
    }
    raw
}

/// Sets nothing that would have to be freed where it fails.
fn fill(raw: &mut s3dlio_event, value: Value) -> Result<()> {
    match value {
        Value::Nothing => {}
        Value::End => raw.status = S3DLIO_END,
        Value::Bytes(bytes) => raw.bytes = bytes as u64,
        Value::Data(buffer) => {
            let bytes = buffer.len() as u64;
            raw.data = handle::insert(BufferValue::new(buffer))?;
            raw.bytes = bytes;
        }
        Value::Infos(infos) => {
            let list = InfoList {
                pointers: infos.iter().map(|info| &raw const *info.raw()).collect(),
                _infos: infos,
            };
            let (start, count) = (list.pointers.as_ptr(), list.pointers.len());
            raw.data = handle::insert(BufferValue::keeping(list))?;
            (raw.infos, raw.info_count) = (start, count);
        }
        Value::Written(stats) => {
            let kept = Box::new(raw_stats(&stats));
            let start = &raw const *kept;
            raw.data = handle::insert(BufferValue::keeping(kept))?;
            (raw.written, raw.bytes) = (start, stats.bytes);
        }
        Value::Reader(reader) => raw.reader = handle::insert(*reader)?,
        Value::Batch(batch) => {
            let bytes = batch.bytes();
            raw.batch = handle::insert(*batch)?;
            raw.bytes = bytes;
        }
    }
    Ok(())
}

/// Makes a queue. The caller frees it.
/// Errors: INVALID_ARGUMENT, IO (no more descriptors), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_queue_new(queue: *mut *mut s3dlio_queue, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_queue_new", err, || {
            let out = Out::new(queue, "queue")?;
            out.set_handle(Queue::new()?)
        })
    }
}

/// The descriptor that is readable exactly while there are events. It is the queue's: wait for it, but
/// do not read, write or close it. It does not pass through exec().
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_queue_fd(
    queue: *const s3dlio_queue,
    fd: *mut i32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_queue_fd", err, || {
            let out = Out::new(fd, "fd")?;
            out.set(handle::get(queue)?.fd());
            Ok(())
        })
    }
}

/// Takes the next event: S3DLIO_OK and the event; S3DLIO_TIMEOUT where none came within `timeout_ms`
/// milliseconds (0: do not wait; negative: wait for ever); S3DLIO_END where none will come, because the
/// queue is closed and all were taken. An operation's failure is in the event, not here.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED, WOULD_DEADLOCK (only where it would wait).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_queue_next(
    queue: *const s3dlio_queue,
    timeout_ms: i64,
    event: *mut s3dlio_event,
    event_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::step("s3dlio_queue_next", err, || {
            let out = OutStruct::new(event, event_size, "event")?;
            if event_size < FIRST_SIZE {
                // Handles would be lost.
                let message = format!("the size of event is {event_size}; pass sizeof of the struct");
                return Err(invalid(message));
            }
            let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
            match handle::get(queue)?.next(timeout)? {
                Next::Event(event) => out.set(&raw_event(event)),
                Next::Timeout => return Ok(S3DLIO_TIMEOUT),
                Next::End => return Ok(S3DLIO_END),
            }
            Ok(S3DLIO_OK)
        })
    }
}

/// Ends the queue: submits are INVALID_STATE from now on. With `cancel` 1 the operations under way are
/// cancelled too. Their events still come, and after the last one S3DLIO_END. Again is success.
/// Errors: INVALID_ARGUMENT (also where cancel is not 0 or 1), BAD_HANDLE, FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_queue_close(
    queue: *mut s3dlio_queue,
    cancel: i32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_queue_close", err, || {
            if !matches!(cancel, 0 | 1) {
                return Err(invalid(format!("cancel is {cancel}; expected 0 or 1")));
            }
            handle::get(queue.cast_const())?.close(cancel == 1);
            Ok(())
        })
    }
}

/// Frees the queue with the events that nobody took. Operations under way are cancelled; the memory
/// that was passed to them is to stay until s3dlio_shutdown returned S3DLIO_OK, so rather close the
/// queue and take its events before. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_queue_free(queue: *mut s3dlio_queue) {
    guard::value("s3dlio_queue_free", (), || {
        if let Some(used) = handle::peek(queue.cast_const())
            && !used.era().forked()
        {
            used.close(true);
        }
        handle::free(queue.cast_const());
    });
}

/// Asks the operation to end soon. Its event comes as ever: CANCELLED, or its outcome where it was
/// faster. A cancelled put, delete or finish may have taken effect; a writer whose write was cancelled
/// can only be aborted or freed. Again, and after the end, is success.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_op_cancel(op: *const s3dlio_op, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_op_cancel", err, || {
            handle::get(op)?.op.cancel();
            Ok(())
        })
    }
}

/// How far the operation is: bytes moved so far, counted as requests end, and how many there will be
/// at most (UINT64_MAX where that is not known before). Either pointer may be NULL.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_op_progress(
    op: *const s3dlio_op,
    done: *mut u64,
    total: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_op_progress", err, || {
            let progress = handle::get(op)?.op.progress();
            for (to, value) in [(done, progress.done), (total, progress.total.unwrap_or(u64::MAX))] {
                if !to.is_null() {
                    Out::new(to, "done or total")?.set(value);
                }
            }
            Ok(())
        })
    }
}

/// Frees the op; the operation goes on, and its event comes. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_op_free(op: *mut s3dlio_op) {
    guard::free("s3dlio_op_free", op);
}
