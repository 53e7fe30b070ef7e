//! Checkpoints without waiting
//!
//! As the other _submit functions. While a commit or finish is under way its writer takes no other
//! call (INVALID_STATE), but may be freed: the save goes on. A commit occupies one of its queue's turns
//! until all ranks are there, so a process that plays many ranks takes a queue for each. A cancel
//! while it waits for other ranks leaves the save as it was: commit again, or abort. One that stops the
//! storing of data leaves only abort; one that comes too late changes nothing. The progress is in bytes moved, whatever they belong to.

use super::checkpoint_writer::CheckpointWriterValue;
use super::guard;
use super::handle::{self, Ref, exclusive};
use super::queue::Value;
use super::submit::Destination;
use super::tensor::{requests, s3dlio_tensor_request};
use super::types::*;
use crate::base::buffer::Window;
use crate::checkpoint::CheckpointWriter;
use crate::error::Result;
use crate::queue::Work;
use tokio::sync::OwnedMutexGuard;

/// A submitted call on a writer. One that is given up before it begins leaves the writer as one that is
/// cut short does.
struct WriterCall {
    writer: OwnedMutexGuard<CheckpointWriter>,
    begun: bool,
    _used: Ref<CheckpointWriterValue>,
}

impl WriterCall {
    fn new(writer: *const s3dlio_checkpoint_writer, operation: &'static str) -> Result<(WriterCall, Work)> {
        let used = handle::get(writer)?;
        let writer = exclusive(&used.writer)?;
        let (uri, blocking) = (writer.uri().to_string(), writer.keeps_thread());
        let work = Work { operation, uri, blocking, total: None };
        Ok((WriterCall { writer, begun: false, _used: used }, work))
    }

    fn begin(&mut self) -> &mut CheckpointWriter {
        self.begun = true;
        &mut self.writer
    }
}

impl Drop for WriterCall {
    fn drop(&mut self) {
        if !self.begun {
            self.writer.interrupt();
        }
    }
}

/// Starts storing what is left of this rank's part, as s3dlio_checkpoint_writer_finish.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_finish_submit(
    writer: *mut s3dlio_checkpoint_writer,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_finish_submit", err, || {
            let (mut call, work) = WriterCall::new(writer, "save")?;
            Destination { queue, token, op }
                .submit(work, |_keep| async move { call.begin().finish().await.map(|()| Value::Nothing) })
        })
    }
}

/// Starts the end of a save, as s3dlio_checkpoint_writer_commit: what snapshot_tensors copied is
/// stored in the background.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_writer_commit_submit(
    writer: *mut s3dlio_checkpoint_writer,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_writer_commit_submit", err, || {
            let (mut call, work) = WriterCall::new(writer, "save")?;
            Destination { queue, token, op }
                .submit(work, |_keep| async move { call.begin().commit().await.map(|()| Value::Nothing) })
        })
    }
}

/// Starts loading boxes of entries, as s3dlio_checkpoint_load. The memory is the library's until the
/// event is taken; the requests themselves are copied. The event has the sum of their bytes.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_load_submit(
    checkpoint: *const s3dlio_checkpoint,
    requests: *const s3dlio_tensor_request,
    count: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`; the memory stays until the event, which comes after `keep`.
    unsafe {
        guard::call("s3dlio_checkpoint_load_submit", err, || {
            let (wanted, memory) = self::requests(requests, count)?;
            let used = handle::get(checkpoint)?;
            let bytes = memory.iter().map(|memory| memory.len()).sum();
            let uri = used.checkpoint.uri().to_string();
            let work = Work { operation: "load", uri, blocking: used.blocking, total: None };
            Destination { queue, token, op }.submit(work, |keep| {
                let windows = memory.into_iter().map(|m| Window::lent(m.as_mut_ptr(), m.len(), keep.clone()));
                let requests: Vec<_> = wanted.into_iter().zip(windows).collect();
                async move {
                    used.checkpoint.load(requests).await?;
                    Ok(Value::Bytes(bytes))
                }
            })
        })
    }
}
