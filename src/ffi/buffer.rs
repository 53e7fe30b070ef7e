//! Buffers
//!
//! Blocks of memory that the library owns and reuses: results of gets, and memory to fill for
//! s3dlio_writer_write_buffer. The memory is aligned to 4096 bytes and lives until the last handle
//! (clone) is freed. Size and address never change.

use super::convert::{Out, invalid};
use super::guard;
use super::handle::{self, Handle};
use super::types::{s3dlio_buffer, s3dlio_error};
use crate::base::buffer::{Buffer, BufferPool};
use crate::error::Result;
use bytes::Bytes;
use std::any::Any;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// What a buffer handle stands for.
#[derive(Clone)]
pub struct BufferValue(Arc<Memory>);

enum Memory {
    /// With the address that C may write to.
    Data { buffer: Buffer, start: *mut u8 },
    /// Owner of what other structs point to.
    Kept { _owner: Box<dyn Any + Send + Sync> },
}

// SAFETY: `start` is the address of `buffer`'s own memory, which does not move.
unsafe impl Send for Memory {}
// SAFETY: as above; the header leaves it to the caller that nobody reads what another writes.
unsafe impl Sync for Memory {}

impl AsRef<[u8]> for BufferValue {
    fn as_ref(&self) -> &[u8] {
        match &*self.0 {
            Memory::Data { buffer, .. } => buffer,
            Memory::Kept { .. } => &[],
        }
    }
}

impl BufferValue {
    pub fn new(mut buffer: Buffer) -> Self {
        // Where there is no memory, C still gets an address that is not NULL, for its memcpy.
        let start = buffer.spare_mut().as_mut_ptr();
        BufferValue(Arc::new(Memory::Data { buffer, start }))
    }

    /// Keeps what structs that C sees point to.
    pub fn keeping(owner: impl Any + Send + Sync) -> Self {
        BufferValue(Arc::new(Memory::Kept { _owner: Box::new(owner) }))
    }

    /// A text with a NUL after its `size` bytes.
    pub fn text(text: &str) -> Result<Self> {
        let mut buffer = Buffer::allocate(text.len() + 1)?;
        buffer.extend_from_slice(text.as_bytes());
        buffer.extend_from_slice(&[0]);
        buffer.set_len(text.len());
        Ok(BufferValue::new(buffer))
    }

    /// The same memory as shared bytes.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }
}

impl Handle for s3dlio_buffer {
    const KIND: u64 = 2;
    const NAME: &'static str = "buffer";
    type Value = BufferValue;
}

/// Memory of `size` bytes, 0 included. Its contents are unspecified: zeros or old data of this
/// process.
/// Errors: INVALID_ARGUMENT (buffer is NULL, size is more than memory can be), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_buffer_new(
    size: usize,
    buffer: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_buffer_new", err, || {
            let out = Out::new(buffer, "buffer")?;
            if size > isize::MAX as usize {
                return Err(invalid(format!("{size} bytes are more than memory can be")));
            }
            let mut memory = BufferPool::global().take(size)?;
            memory.set_len(size);
            out.set_handle(BufferValue::new(memory))
        })
    }
}

/// The memory's address. It is not NULL even where the size is 0; NULL for NULL and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_buffer_data(buffer: *const s3dlio_buffer) -> *mut c_void {
    guard::value("s3dlio_buffer_data", ptr::null_mut(), || {
        handle::peek(buffer).map_or(ptr::null_mut(), |buffer| match &*buffer.0 {
            Memory::Data { start, .. } => start.cast(),
            Memory::Kept { .. } => ptr::NonNull::<u64>::dangling().as_ptr().cast(),
        })
    })
}

/// The memory's size in bytes; 0 for NULL and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_buffer_size(buffer: *const s3dlio_buffer) -> usize {
    guard::value("s3dlio_buffer_size", 0, || handle::peek(buffer).map_or(0, |buffer| buffer.as_ref().len()))
}

/// Another handle to the same memory; both are freed separately.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_buffer_clone(
    buffer: *const s3dlio_buffer,
    clone: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_buffer_clone", err, || {
            let out = Out::new(clone, "clone")?;
            out.set_handle(handle::get(buffer)?.clone())
        })
    }
}

/// Frees this handle; the memory goes back to the library with the last one. NULL and stale handles
/// are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_buffer_free(buffer: *mut s3dlio_buffer) {
    guard::free("s3dlio_buffer_free", buffer);
}
