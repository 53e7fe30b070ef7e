//! Writers
//!
//! A writer streams one object of any size in constant memory: parts upload in the background while
//! more is written. Nothing is visible under the key before s3dlio_writer_finish succeeded; abort, or
//! free without finish, leaves nothing behind. The first error stays: every later write and finish
//! returns it. Any thread, one at a time.
//!
//! Option writer.compression=zstd compresses and appends .zst to the key. Memory: one part more than
//! transfer.parts_in_flight, of transfer.part_size each. Errors are those of stores, and FORKED for a writer
//! that was inherited through fork() (the parent's goes on), SHUTDOWN, INVALID_STATE (after finish or
//! abort, or another thread is inside), NO_SPACE, CHECKSUM_MISMATCH.

use super::convert::*;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::reader::over;
use super::store::{put_options, store_of};
use super::types::*;
use crate::error::Result;
use crate::runtime::{Era, block_on};
use crate::transfer::{WriteStats, Writer};
use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a writer handle stands for.
pub struct WriterValue {
    era: Era,
    key: CString,
    /// What tells of the writer without waiting for it.
    pub uri: String,
    pub keeps_thread: bool,
    pub writer: Arc<Mutex<Writer>>,
}

impl Handle for s3dlio_writer {
    const KIND: u64 = 7;
    const NAME: &'static str = "writer";
    type Value = WriterValue;

    fn era(value: &WriterValue) -> Option<Era> {
        Some(value.era)
    }
}

/// Statistics in C's form.
pub fn raw_stats(stats: &WriteStats) -> s3dlio_write_stats {
    let mut etag = [0; 256];
    let text = stats.etag.as_deref().unwrap_or_default().as_bytes();
    if text.len() < etag.len() {
        for (to, from) in etag.iter_mut().zip(text) {
            *to = from.cast_signed() as c_char;
        }
    }
    s3dlio_write_stats {
        bytes: stats.bytes,
        stored_bytes: stats.stored_bytes,
        crc32c: stats.crc32c,
        stored_crc32c: stats.stored_crc32c,
        parts: stats.parts,
        finished: stats.finished.into(),
        etag,
    }
}

fn with_writer<R>(writer: *const s3dlio_writer, f: impl FnOnce(&mut Writer) -> Result<R>) -> Result<R> {
    let used = handle::get(writer)?;
    let mut writer = exclusive(&used.writer)?;
    f(&mut writer)
}

/// Opens a writer for the object `key`. `options` may be NULL; what is set in them goes over the
/// store's. `put_options` may be NULL: all defaults. The caller frees the writer.
/// Errors: ALREADY_EXISTS, PRECONDITION_FAILED (here or at finish), UNSUPPORTED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_open(
    store: *const s3dlio_store,
    key: *const c_char,
    options: *const s3dlio_options,
    put_options: *const s3dlio_put_options,
    put_options_size: usize,
    writer: *mut *mut s3dlio_writer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_open", err, || {
            let (out, key) = (Out::new(writer, "writer")?, text(key, "key")?);
            let put = self::put_options(put_options, put_options_size)?;
            let used = store_of(store)?;
            let options = over(&used.store, options)?;
            let era = Era::now();
            let writer = block_on(Writer::open(&used.store, key, &options, &put)).flatten()?;
            let key = super::error::c_string(writer.key());
            let (uri, keeps_thread) = (writer.uri().to_string(), writer.keeps_thread());
            out.set_handle(WriterValue { era, key, uri, keeps_thread, writer: Arc::new(Mutex::new(writer)) })
        })
    }
}

/// The object's key, with .zst if it is compressed; it lives as long as the handle. NULL for NULL
/// and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_key(writer: *const s3dlio_writer) -> *const c_char {
    guard::value("s3dlio_writer_key", ptr::null(), || {
        handle::peek(writer).map_or(ptr::null(), |writer| writer.key.as_ptr())
    })
}

/// Appends `length` bytes, which are copied. Waits while all parts in flight are busy.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_write(
    writer: *mut s3dlio_writer,
    data: *const c_void,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_write", err, || {
            let data = bytes(data, length)?;
            with_writer(writer, |writer| block_on(writer.write(data)).flatten())
        })
    }
}

/// Appends a whole buffer without copying it. On success the writer has taken the handle over: it is
/// not to be used or freed any more, and clones of it are not to be written to. On failure it stays
/// the caller's.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_write_buffer(
    writer: *mut s3dlio_writer,
    buffer: *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_write_buffer", err, || {
            with_writer(writer, |writer| {
                let data = handle::get(buffer.cast_const())?.to_bytes();
                block_on(writer.write_owned(data)).flatten()
            })?;
            handle::free(buffer.cast_const());
            Ok(())
        })
    }
}

/// Gives memory of at least `min_size` bytes to fill in place: `*data` with room for `*capacity`. It
/// is the writer's, and valid until the next call on the writer; s3dlio_writer_commit appends what
/// was filled. A reservation without a commit is forgotten.
/// Errors: INVALID_ARGUMENT (min_size is 0 or more than memory can be), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_reserve(
    writer: *mut s3dlio_writer,
    min_size: usize,
    data: *mut *mut c_void,
    capacity: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_reserve", err, || {
            let (data, capacity) = (Out::new(data, "data")?, Out::new(capacity, "capacity")?);
            if min_size == 0 || min_size > isize::MAX as usize {
                return Err(invalid(format!("min_size is {min_size}; expected 1 or more bytes of memory")));
            }
            with_writer(writer, |writer| {
                let room = block_on(writer.reserve(min_size)).flatten()?;
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
pub unsafe extern "C" fn s3dlio_writer_commit(
    writer: *mut s3dlio_writer,
    length: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_commit", err, || {
            with_writer(writer, |writer| block_on(writer.commit(length)).flatten())
        })
    }
}

/// Stores what is left and publishes the object. `stats` may be NULL. After a failure nothing is
/// published, unless the code is UNKNOWN_OUTCOME (such as a cloud store's last answer lost: look),
/// or CHECKSUM_MISMATCH from a service that says it stored other bytes than were sent. The handle still has to be freed.
/// Errors: ALREADY_EXISTS, PRECONDITION_FAILED, UNKNOWN_OUTCOME, INVALID_STATE (finished or aborted
/// before).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_finish(
    writer: *mut s3dlio_writer,
    stats: *mut s3dlio_write_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_finish", err, || {
            let out = OutStruct::optional(stats, stats_size, "stats")?;
            let stats = with_writer(writer, |writer| block_on(writer.finish()).flatten())?;
            if let Some(out) = out {
                out.set(&raw_stats(&stats));
            }
            Ok(())
        })
    }
}

/// Removes everything that was stored and waits for that; nothing is published. Again is success.
/// Errors: INVALID_STATE (finished before).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_abort(writer: *mut s3dlio_writer, err: *mut *mut s3dlio_error) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_abort", err, || {
            with_writer(writer, |writer| block_on(writer.abort()).flatten())
        })
    }
}

/// What was written so far; also after finish, abort and failures.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE (another thread is inside), FORKED, SHUTDOWN.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_get_stats(
    writer: *const s3dlio_writer,
    stats: *mut s3dlio_write_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_get_stats", err, || {
            let out = OutStruct::new(stats, stats_size, "stats")?;
            with_writer(writer, |writer| {
                out.set(&raw_stats(&writer.stats()));
                Ok(())
            })
        })
    }
}

/// Frees the writer. Without finish this is abort: what was stored is removed in the background
/// (s3dlio_shutdown waits for it). NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_free(writer: *mut s3dlio_writer) {
    guard::free("s3dlio_writer_free", writer);
}
