//! Batches
//!
//! A batch is what a loader's next gives: samples with all their bytes, in memory of the library's.
//! Everything that it points to (samples, fields, texts, data) lives until the batch is freed, also after
//! its loader and dataset are. Any thread, concurrently, also in forked children. The data is not to be
//! changed. A batch keeps memory that its loader counts against its budget no more.

use super::convert::*;
use super::guard;
use super::handle::{self, Handle};
use super::types::*;
use crate::loader::Batch;
use std::ffi::{c_char, c_void};
use std::ptr;

/// One piece of a sample. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_field {
    /// "" where the sample has but one; in tar files what follows the sample's key, without the dot: "jpg".
    pub name: *const c_char,
    /// Never NULL, also where length is 0. Any alignment.
    pub data: *const c_void,
    /// In bytes.
    pub length: usize,
}

/// One item with its bytes. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_sample {
    /// Of the object that the bytes are from.
    pub uri: *const c_char,
    /// The sample's key in a tar file, the member of an NPZ file, a record's number; "" for whole objects.
    pub name: *const c_char,
    /// The item's number in the dataset's own order; of a file of records that is read in sequence the
    /// record's number in its file.
    pub index: u64,
    /// At least one.
    pub fields: *const s3dlio_field,
    /// How many.
    pub field_count: usize,
    /// The first field's data: all there is, except in tar files.
    pub data: *const c_void,
    /// The first field's length.
    pub length: usize,
}

const _: () = assert!(size_of::<s3dlio_field>() == 8 * 3 && size_of::<s3dlio_sample>() == 8 * 7);

/// What a batch handle stands for.
pub struct BatchValue {
    samples: Vec<s3dlio_sample>,
    /// What the pointers in `samples` lead to.
    _fields: Vec<s3dlio_field>,
    _texts: Vec<u8>,
    batch: Batch,
}

// SAFETY: the pointers lead into memory that the value owns and nobody changes or moves.
unsafe impl Send for BatchValue {}
// SAFETY: as above.
unsafe impl Sync for BatchValue {}

impl Handle for s3dlio_batch {
    const KIND: u64 = 15;
    const NAME: &'static str = "batch";
    type Value = BatchValue;
}

impl BatchValue {
    pub fn new(batch: Batch) -> BatchValue {
        let texts = batch.samples.iter().flat_map(|sample| {
            [&sample.uri, &sample.name].into_iter().chain(sample.fields.iter().map(|field| &field.name))
        });
        let room = texts.clone().map(|text| text.len() + 1).sum();
        let mut kept: Vec<u8> = Vec::with_capacity(room);
        for text in texts {
            // A NUL within would end the text in C: what follows it would be lost without a trace.
            kept.extend(text.bytes().map(|byte| if byte == 0 { b'?' } else { byte }));
            kept.push(0);
        }
        let mut next_text = kept.as_ptr();
        let mut text = |text: &str| {
            let start = next_text;
            next_text = next_text.wrapping_add(text.len() + 1);
            start.cast::<c_char>()
        };
        let mut fields = Vec::with_capacity(batch.samples.iter().map(|sample| sample.fields.len()).sum());
        let first_field: *const s3dlio_field = fields.as_ptr();
        let mut samples = Vec::with_capacity(batch.samples.len());
        for sample in &batch.samples {
            let (uri, name) = (text(&sample.uri), text(&sample.name));
            let at = first_field.wrapping_add(fields.len());
            fields.extend(sample.fields.iter().map(|field| s3dlio_field {
                name: text(&field.name),
                data: field.data.as_ptr().cast(),
                length: field.data.len(),
            }));
            let data = sample.data();
            samples.push(s3dlio_sample {
                uri,
                name,
                index: sample.index,
                fields: at,
                field_count: sample.fields.len(),
                data: data.as_ptr().cast(),
                length: data.len(),
            });
        }
        BatchValue { samples, _fields: fields, _texts: kept, batch }
    }

    /// The bytes of all fields.
    pub fn bytes(&self) -> u64 {
        self.batch.samples.iter().map(|sample| sample.bytes()).sum()
    }
}

/// How many samples there are; 0 for NULL and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_batch_count(batch: *const s3dlio_batch) -> usize {
    guard::value("s3dlio_batch_count", 0, || handle::peek(batch).map_or(0, |batch| batch.samples.len()))
}

/// The samples, as many as s3dlio_batch_count says; NULL for NULL and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_batch_samples(batch: *const s3dlio_batch) -> *const s3dlio_sample {
    guard::value("s3dlio_batch_samples", ptr::null(), || {
        handle::peek(batch).map_or(ptr::null(), |batch| batch.samples.as_ptr())
    })
}

/// Copies field number `field` of all samples to `dst`, one after the other without gaps. `offsets`,
/// which may be NULL, gets where each begins, and after them where the last one ends: count + 1 numbers.
/// Errors: INVALID_ARGUMENT (also where a sample has no such field), BAD_HANDLE, BUFFER_TOO_SMALL (the
/// error's detail `required` is the size in bytes; dst and offsets are as they were).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_batch_gather(
    batch: *const s3dlio_batch,
    field: usize,
    dst: *mut c_void,
    capacity: usize,
    offsets: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_batch_gather", err, || {
            let memory = memory(dst, capacity)?;
            let used = handle::get(batch)?;
            let count = if offsets.is_null() { 0 } else { used.samples.len() + 1 };
            let offsets = slice_mut(offsets, count, "offsets")?;
            let ends = used.batch.gather(field, memory)?;
            offsets.iter_mut().zip(ends).for_each(|(to, offset)| *to = offset);
            Ok(())
        })
    }
}

/// Frees the batch with all that it points to. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_batch_free(batch: *mut s3dlio_batch) {
    guard::free("s3dlio_batch_free", batch);
}
