//! Submitting operations
//!
//! Each takes what the blocking function of the same name takes, then the queue, the token of the
//! event, and `op`: NULL, or where a handle goes to cancel the operation and ask how far it is, which
//! the caller frees. None of them blocks or does I/O. What is wrong with the arguments is returned at
//! once, and then there is no event: INVALID_ARGUMENT, BAD_HANDLE, INVALID_STATE (the queue is closed; a
//! reader, lister or writer is busy), FORKED, SHUTDOWN (during s3dlio_shutdown), OUT_OF_MEMORY. What
//! goes wrong later is in the event, with the codes of the blocking function.

use super::convert::*;
use super::guard;
use super::handle::{self, exclusive};
use super::info::Info;
use super::queue::{OpValue, Value};
use super::reader::{ReaderValue, over};
use super::store::{StoreValue, put_options, store_of};
use super::types::*;
use crate::base::buffer::{Keep, Window, lent_bytes};
use crate::error::Result;
use crate::queue::Work;
use crate::runtime::Era;
use crate::transfer::{self, Writer};
use std::ffi::{c_char, c_void};
use std::future::Future;
use tokio::sync::OwnedMutexGuard;

/// Where the outcome goes: the last parameters of every submit.
pub struct Destination {
    pub queue: *const s3dlio_queue,
    pub token: u64,
    pub op: *mut *mut s3dlio_op,
}

impl Destination {
    /// Starts what `make` gives.
    ///
    /// # Safety
    /// `op` is NULL or valid for writing a pointer.
    pub unsafe fn submit<F>(self, work: Work, make: impl FnOnce(Keep) -> F) -> Result<()>
    where
        F: Future<Output = Result<Value>> + Send + 'static,
    {
        // SAFETY: passed on.
        let out = if self.op.is_null() { None } else { Some(unsafe { Out::new(self.op, "op") }?) };
        let queue = handle::get(self.queue)?;
        let mut made = None;
        let outcome = queue.submit(self.token, work, |keep, op| {
            if out.is_some() {
                made = Some(handle::insert::<s3dlio_op>(OpValue { op: op.clone(), era: Era::now() })?);
            }
            Ok(make(keep))
        });
        match (outcome, out, made) {
            (Ok(()), Some(out), Some(op)) => out.set(op),
            (Ok(()), ..) => {}
            (Err(error), _, made) => {
                if let Some(op) = made {
                    handle::free(op.cast_const());
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A store's operation on a key.
fn on_key(operation: &'static str, used: &StoreValue, key: &str, total: Option<u64>) -> Work {
    let uri = used.store.root().join(key).to_string();
    Work { operation, uri, blocking: used.store.capabilities().blocking_io, total }
}

/// Memory of the caller's that is the library's until the event is taken.
///
/// # Safety
/// `dst` is NULL or has `length` bytes that stay so long.
unsafe fn check_lent(dst: *mut c_void, length: usize) -> Result<impl FnOnce(Keep) -> Window> {
    // SAFETY: only checks.
    let (start, len) = unsafe { memory(dst, length).map(|m| (m.as_mut_ptr().expose_provenance(), m.len())) }?;
    // SAFETY: the caller's promise, which ends with the event, which comes after `keep`.
    Ok(move |keep| unsafe { Window::lent(std::ptr::with_exposed_provenance_mut(start), len, keep) })
}

/// Starts reading a whole object; the event has it in data.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let used = store_of(store)?;
            let work = on_key("get", &used, &key, None);
            Destination { queue, token, op }
                .submit(work, |_keep| async move { transfer::get(&used.store, &key).await.map(Value::Data) })
        })
    }
}

/// Starts reading `length` bytes from `offset`, as s3dlio_store_get_range; the event has them in data.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_range_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    offset: u64,
    length: u64,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_range_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let used = store_of(store)?;
            let work = on_key("get", &used, &key, (length != S3DLIO_TO_END).then_some(length));
            Destination { queue, token, op }.submit(work, |_keep| async move {
                transfer::get_range(&used.store, &key, offset, length).await.map(Value::Data)
            })
        })
    }
}

/// Starts reading a whole object into `dst`, which has room for `capacity` bytes and is the library's
/// until the event is taken; the event has the object's size in bytes.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_into_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    dst: *mut c_void,
    capacity: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_into_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let window = check_lent(dst, capacity)?;
            let used = store_of(store)?;
            let work = on_key("get", &used, &key, None);
            Destination { queue, token, op }.submit(work, |keep| {
                let window = window(keep);
                async move { Ok(Value::Bytes(transfer::get_into(&used.store, &key, window).await?.bytes)) }
            })
        })
    }
}

/// Starts reading `length` bytes from `offset` into `dst`, which is the library's until the event is
/// taken; the event says how many bytes came, fewer only at the object's end.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_get_range_into_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    offset: u64,
    dst: *mut c_void,
    length: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_get_range_into_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let window = check_lent(dst, length)?;
            let used = store_of(store)?;
            let work = on_key("get", &used, &key, Some(length as u64));
            Destination { queue, token, op }.submit(work, |keep| {
                let window = window(keep);
                async move {
                    Ok(Value::Bytes(transfer::get_range_into(&used.store, &key, offset, window).await?.bytes))
                }
            })
        })
    }
}

/// Starts storing `length` bytes as the object `key`. `data` is the library's, and not to be changed,
/// until the event is taken. `options` may be NULL. The event has what was written.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_put_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    data: *const c_void,
    length: usize,
    options: *const s3dlio_put_options,
    options_size: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`; the data stays until the event, which comes after `keep`.
    unsafe {
        guard::call("s3dlio_store_put_submit", err, || {
            let (key, data) = (text(key, "key")?.to_owned(), bytes(data, length)?);
            let options = put_options(options, options_size)?;
            let used = store_of(store)?;
            let work = on_key("put", &used, &key, Some(length as u64));
            Destination { queue, token, op }.submit(work, |keep| {
                let data = lent_bytes(data.as_ptr(), data.len(), keep);
                async move { transfer::put(&used.store, &key, data, &options).await.map(Value::Written) }
            })
        })
    }
}

/// Starts asking for an object's facts; the event has them as its one info, with all texts.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_stat_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_stat_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let used = store_of(store)?;
            let work = on_key("stat", &used, &key, None);
            Destination { queue, token, op }.submit(work, |_keep| async move {
                let meta = used.store.stat(&key).await?;
                Ok(Value::Infos(vec![Info::object(&meta, used.store.root().join(&meta.key))?]))
            })
        })
    }
}

/// Starts deleting one object. A missing one is success.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_delete_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_delete_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let used = store_of(store)?;
            let work = on_key("delete", &used, &key, None);
            Destination { queue, token, op }.submit(work, |_keep| async move {
                used.store.delete(&key).await?;
                Ok(Value::Nothing)
            })
        })
    }
}

/// Starts fetching the next entries of a listing, as many as come in one answer: the event has at
/// least one info, or the status S3DLIO_END. s3dlio_lister_next goes on after them.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_lister_page_submit(
    lister: *mut s3dlio_lister,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_lister_page_submit", err, || {
            let used = handle::get(lister.cast_const())?;
            let mut state = exclusive(&used.state)?;
            let work =
                Work { operation: "list", uri: used.uri.clone(), blocking: used.blocking, total: None };
            Destination { queue, token, op }.submit(work, |_keep| async move {
                let page = state.next_page().await;
                drop((state, used));
                Ok(page?.map_or(Value::End, Value::Infos))
            })
        })
    }
}

/// Starts opening an object for reading; the event has the reader. `options` may be NULL; they are
/// copied.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_open_submit(
    store: *const s3dlio_store,
    key: *const c_char,
    options: *const s3dlio_options,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_open_submit", err, || {
            let key = text(key, "key")?.to_owned();
            let used = store_of(store)?;
            let options = over(&used.store, options)?.into_owned();
            let work = on_key("open", &used, &key, None);
            Destination { queue, token, op }.submit(work, |_keep| async move {
                let reader = ReaderValue::open(&used.store, &key, &options).await?;
                Ok(Value::Reader(Box::new(reader)))
            })
        })
    }
}

/// Starts reading `length` bytes from `offset` into `dst`, which is the library's until the event is
/// taken; the event says how many bytes came, fewer only at the object's end. Many may be under way on
/// one reader.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_read_at_submit(
    reader: *const s3dlio_reader,
    offset: u64,
    dst: *mut c_void,
    length: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_read_at_submit", err, || {
            let window = check_lent(dst, length)?;
            let used = handle::get(reader)?;
            let work = of_reader(&used, length);
            Destination { queue, token, op }.submit(work, |keep| {
                let window = window(keep);
                async move { used.reader.read_at(offset, window).await.map(Value::Bytes) }
            })
        })
    }
}

/// Starts reading up to `length` bytes from the position into `dst`, which is the library's until the
/// event is taken. The event has the bytes that came, at least 1, or S3DLIO_END at the end; with
/// length 0 it is S3DLIO_OK. After a cancelled one the position is unspecified: seek.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_read_submit(
    reader: *mut s3dlio_reader,
    dst: *mut c_void,
    length: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_read_submit", err, || {
            let window = check_lent(dst, length)?;
            let used = handle::get(reader.cast_const())?;
            let sequence = exclusive(&used.sequence)?;
            let work = of_reader(&used, length);
            Destination { queue, token, op }.submit(work, |keep| {
                let window = window(keep);
                async move {
                    let _sequence = sequence;
                    if length == 0 {
                        return Ok(Value::Bytes(0));
                    }
                    let read = used.reader.read(window).await?;
                    Ok(if read == 0 { Value::End } else { Value::Bytes(read) })
                }
            })
        })
    }
}

fn of_reader(used: &ReaderValue, length: usize) -> Work {
    let uri = used.reader.uri().to_string();
    Work { operation: "read", uri, blocking: used.reader.keeps_thread(), total: Some(length as u64) }
}

/// A submitted call on a writer. One that is given up before it begins leaves the writer as one that
/// is cut short does: else an object without those bytes could be published.
struct WriterCall {
    writer: OwnedMutexGuard<Writer>,
    begun: bool,
}

impl WriterCall {
    fn begin(&mut self) -> &mut Writer {
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

/// Starts appending `length` bytes. `data` is the library's, and not to be changed, until the event is
/// taken, which comes once the bytes are taken in, as s3dlio_writer_write returns.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_write_submit(
    writer: *mut s3dlio_writer,
    data: *const c_void,
    length: usize,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`; the data stays until the event, which comes after `keep`.
    unsafe {
        guard::call("s3dlio_writer_write_submit", err, || {
            let data = bytes(data, length)?;
            let used = handle::get(writer.cast_const())?;
            let writer = exclusive(&used.writer)?;
            let (uri, blocking) = (used.uri.clone(), used.keeps_thread);
            let work = Work { operation: "write", uri, blocking, total: Some(length as u64) };
            Destination { queue, token, op }.submit(work, |keep| {
                let data = lent_bytes(data.as_ptr(), data.len(), keep);
                let mut call = WriterCall { writer, begun: false };
                async move {
                    let _used = used;
                    call.begin().write(&data).await?;
                    Ok(Value::Bytes(data.len()))
                }
            })
        })
    }
}

/// Starts publishing the object, as s3dlio_writer_finish; the event has what was written.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_finish_submit(
    writer: *mut s3dlio_writer,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_finish_submit", err, || {
            let used = handle::get(writer.cast_const())?;
            let writer = exclusive(&used.writer)?;
            let (uri, blocking) = (used.uri.clone(), used.keeps_thread);
            let work = Work { operation: "write", uri, blocking, total: None };
            Destination { queue, token, op }.submit(work, |_keep| {
                let mut call = WriterCall { writer, begun: false };
                async move {
                    let _used = used;
                    call.begin().finish().await.map(Value::Written)
                }
            })
        })
    }
}

/// Starts removing everything that was stored, as s3dlio_writer_abort.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_writer_abort_submit(
    writer: *mut s3dlio_writer,
    queue: *const s3dlio_queue,
    token: u64,
    op: *mut *mut s3dlio_op,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_writer_abort_submit", err, || {
            let used = handle::get(writer.cast_const())?;
            let mut writer = exclusive(&used.writer)?;
            let (uri, blocking) = (used.uri.clone(), used.keeps_thread);
            let work = Work { operation: "abort", uri, blocking, total: None };
            Destination { queue, token, op }.submit(work, |_keep| async move {
                let _used = used;
                writer.abort().await?;
                Ok(Value::Nothing)
            })
        })
    }
}
