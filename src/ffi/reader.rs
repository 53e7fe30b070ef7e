//! Readers
//!
//! A reader is one object, pinned to the version (ETag) it had when it was opened: if the object is
//! replaced, reads fail with CHANGED. There are two ways to read, which do not disturb each other: by
//! position (read_at, readv_at: any thread, concurrently) and in sequence (read, seek,
//! expect_crc32c: one at a time), which fetches ahead.
//!
//! An object whose key ends in .zst is decompressed as it is read in sequence (option
//! reader.decompress); by position it cannot be read then (UNSUPPORTED). Errors are those of stores
//! and gets, and FORKED for a reader that was inherited through fork(), SHUTDOWN, INVALID_STATE,
//! CORRUPT and TRUNCATED (broken .zst), CHECKSUM_MISMATCH.

use super::convert::*;
use super::get::read_ranges;
use super::guard;
use super::handle::{self, Handle, exclusive};
use super::info::Info;
use super::store::store_of;
use super::types::*;
use crate::base::buffer::lend_mut;
use crate::error::Result;
use crate::options::Resolved;
use crate::runtime::{Era, block_on};
use crate::store::Store;
use crate::transfer::Reader;
use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a reader handle stands for.
pub struct ReaderValue {
    era: Era,
    pub reader: Reader,
    info: Info,
    /// Held by the calls that move the position.
    pub sequence: Arc<Mutex<()>>,
}

impl ReaderValue {
    pub async fn open(store: &Store, key: &str, options: &Resolved) -> Result<ReaderValue> {
        let era = Era::now();
        let reader = Reader::open(store, key, options).await?;
        let info = Info::object(reader.meta(), store.root().join(key))?;
        Ok(ReaderValue { era, reader, info, sequence: Arc::default() })
    }
}

impl Handle for s3dlio_reader {
    const KIND: u64 = 6;
    const NAME: &'static str = "reader";
    type Value = ReaderValue;

    fn era(value: &ReaderValue) -> Option<Era> {
        Some(value.era)
    }
}

/// The store's options, with what the caller set over them.
pub fn over<'a>(store: &'a Store, options: *const s3dlio_options) -> Result<Cow<'a, Resolved>> {
    if options.is_null() {
        return Ok(Cow::Borrowed(store.options()));
    }
    Ok(Cow::Owned(handle::get(options)?.resolve_over(store.options())))
}

/// Opens an object for reading. `options` may be NULL; what is set in them goes over the store's.
/// The caller frees the reader.
/// Errors: NOT_FOUND.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_open(
    store: *const s3dlio_store,
    key: *const c_char,
    options: *const s3dlio_options,
    reader: *mut *mut s3dlio_reader,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_open", err, || {
            let (out, key) = (Out::new(reader, "reader")?, text(key, "key")?);
            let used = store_of(store)?;
            let options = over(&used.store, options)?;
            out.set_handle(block_on(ReaderValue::open(&used.store, key, &options)).flatten()?)
        })
    }
}

/// The object's size in bytes, as its reader gives it: plain bytes.
/// Errors: UNSUPPORTED (a .zst object that does not tell), INVALID_ARGUMENT, BAD_HANDLE, FORKED,
/// SHUTDOWN.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_size(
    reader: *const s3dlio_reader,
    size: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_size", err, || {
            let out = Out::new(size, "size")?;
            out.set(handle::get(reader)?.reader.size()?);
            Ok(())
        })
    }
}

/// The object's facts as they were when it was opened. The texts live as long as the reader.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, FORKED, SHUTDOWN.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_info(
    reader: *const s3dlio_reader,
    info: *mut s3dlio_object_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_info", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            out.set(handle::get(reader)?.info.raw());
            Ok(())
        })
    }
}

/// Reads `length` bytes from `offset` into `dst`, fewer only at the object's end. The position of
/// s3dlio_reader_read does not move.
/// Errors: RANGE (offset is past the end), CHANGED, UNSUPPORTED (decompressing).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_read_at(
    reader: *const s3dlio_reader,
    offset: u64,
    dst: *mut c_void,
    length: usize,
    bytes_read: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_read_at", err, || {
            let (out, memory) = (Out::new(bytes_read, "bytes_read")?, memory(dst, length)?);
            let used = handle::get(reader)?;
            out.set(lend_mut(memory, |window| block_on(used.reader.read_at(offset, window))).flatten()?);
            Ok(())
        })
    }
}

/// Reads many ranges, each into its own memory, in one call; sets bytes_read of each.
/// Errors: as s3dlio_reader_read_at; INVALID_ARGUMENT (also where two destinations overlap).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_readv_at(
    reader: *const s3dlio_reader,
    ranges: *mut s3dlio_range,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_readv_at", err, || {
            let used = handle::get(reader)?;
            read_ranges(ranges, count, |ranges| block_on(used.reader.readv_at(ranges)).flatten())
        })
    }
}

/// Reads up to `length` bytes from the position and moves it. Gives at least 1 byte, or
/// S3DLIO_END with 0 bytes at the end. With length 0 it gives S3DLIO_OK and 0 bytes.
/// Errors: CHANGED, CORRUPT, TRUNCATED, CHECKSUM_MISMATCH (s3dlio_reader_expect_crc32c).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_read(
    reader: *mut s3dlio_reader,
    dst: *mut c_void,
    length: usize,
    bytes_read: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::step("s3dlio_reader_read", err, || {
            let (out, memory) = (Out::new(bytes_read, "bytes_read")?, memory(dst, length)?);
            let used = handle::get(reader.cast_const())?;
            let _sequence = exclusive(&used.sequence)?;
            if length == 0 {
                out.set(0);
                return Ok(S3DLIO_OK);
            }
            let read = lend_mut(memory, |window| block_on(used.reader.read(window))).flatten()?;
            out.set(read);
            Ok(if read == 0 { S3DLIO_END } else { S3DLIO_OK })
        })
    }
}

/// Moves the position of s3dlio_reader_read: `offset` bytes from `whence`, S3DLIO_SEEK_SET, _CUR or
/// _END. `position`, which may be NULL, gets the new one. A position past the end is allowed and
/// reads S3DLIO_END.
/// Errors: INVALID_ARGUMENT (before the start, unknown whence), UNSUPPORTED (decompressing, except
/// back to the start).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_seek(
    reader: *mut s3dlio_reader,
    offset: i64,
    whence: i32,
    position: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_seek", err, || {
            let out = if position.is_null() { None } else { Some(Out::new(position, "position")?) };
            let target = match whence {
                S3DLIO_SEEK_SET => SeekFrom::Start(
                    u64::try_from(offset).map_err(|_| invalid(format!("position {offset} is negative")))?,
                ),
                S3DLIO_SEEK_CUR => SeekFrom::Current(offset),
                S3DLIO_SEEK_END => SeekFrom::End(offset),
                other => return Err(invalid(format!("whence is {other}; expected S3DLIO_SEEK_*"))),
            };
            let used = handle::get(reader.cast_const())?;
            let _sequence = exclusive(&used.sequence)?;
            let at = block_on(used.reader.seek(target)).flatten()?;
            if let Some(out) = out {
                out.set(at);
            }
            Ok(())
        })
    }
}

/// Demands that the object's plain bytes have this CRC32C. It is checked when a sequential read from
/// the start, without seeks, reaches the end: the read that would give the end fails with
/// CHECKSUM_MISMATCH (details: expected, actual). To be called before the first read.
/// Errors: INVALID_STATE (something was read already).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_expect_crc32c(
    reader: *mut s3dlio_reader,
    crc32c: u32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_reader_expect_crc32c", err, || {
            let used = handle::get(reader.cast_const())?;
            let _sequence = exclusive(&used.sequence)?;
            used.reader.expect_crc32c(crc32c)
        })
    }
}

/// Frees the reader. Calls on it that are under way on other threads end normally. NULL and stale
/// handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_reader_free(reader: *mut s3dlio_reader) {
    guard::free("s3dlio_reader_free", reader);
}
