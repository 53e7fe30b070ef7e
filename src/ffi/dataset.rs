//! Datasets
//!
//! A dataset is what there is to draw samples from: objects below a URI, a list of URIs, or the records
//! of files. It is immutable; any thread, concurrently, also in forked children. It holds no connection and
//! no listing, so it is small, unless it was indexed.
//!
//! - S3DLIO_FORMAT_OBJECTS: every object is an item.
//! - S3DLIO_FORMAT_TAR: tar files in WebDataset's convention, also .tar.zst: members of one base name are
//!   a sample, with a field for each extension.
//! - S3DLIO_FORMAT_TFRECORD: every record is an item; index files, where there are some, tell where.
//! - S3DLIO_FORMAT_NPZ: every member is an item, an NPY file.
//! - S3DLIO_FORMAT_FIXED: every record_size bytes are an item, after skip_bytes of each file.
//!
//! Where the number of items is known, because they were listed in a manifest, given one by one, or
//! indexed, a dataset can be shuffled as a whole and asked for any item; else it is drawn in sequence as
//! it is listed and read. URIs may be of different stores. `options` may be NULL; they are copied, and go to the stores
//! that are opened.
//!
//! Beside the errors that a function names, those of stores and gets, and CORRUPT, TRUNCATED and
//! CHECKSUM_MISMATCH for files of a format that break it.

use super::batch::BatchValue;
use super::convert::*;
use super::guard;
use super::handle::{self, Handle};
use super::options;
use super::types::*;
use crate::error::Result;
use crate::loader::{self, Batch, Dataset, DatasetParams, Format};
use crate::runtime::block_on;
use std::ffi::c_char;
use std::path::Path;

/// As a length: nobody knows it, the dataset is drawn in sequence.
pub const S3DLIO_UNKNOWN_LENGTH: u64 = u64::MAX;

/// Which objects, and what is in them. All zero, and NULL, are all objects.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_dataset_params {
    /// S3DLIO_FORMAT_OBJECTS, _TAR, _TFRECORD, _NPZ or _FIXED.
    pub format: i32,
    /// 0.
    pub reserved: u32,
    /// Of a listing only the keys, relative to its URI, that match: * and ? within a folder, ** across
    /// them, [a-z], {a,b}. NULL: all.
    pub glob: *const c_char,
    /// Of a listing only the keys, relative to its URI, in which this regular expression is found. NULL: all.
    pub regex: *const c_char,
    /// FIXED: the bytes of a record.
    pub record_size: u64,
    /// FIXED: bytes before the first record of each file.
    pub skip_bytes: u64,
    /// TFRECORD: what an index file's key has after that of its file, such as ".idx". NULL: there are none.
    pub index: *const c_char,
    /// NPZ: only members of this name. NULL: all.
    pub member: *const c_char,
}

// SAFETY: integers and nullable pointers without padding.
unsafe impl Plain for s3dlio_dataset_params {}
const _: () = assert!(size_of::<s3dlio_dataset_params>() == 4 * 2 + 8 * 6);

impl Handle for s3dlio_dataset {
    const KIND: u64 = 13;
    const NAME: &'static str = "dataset";
    type Value = Dataset;
}

/// What the caller says about a dataset.
///
/// # Safety
/// `params` is NULL or has `params_size` readable bytes, and its texts are NULL or NUL-terminated.
unsafe fn params_of(params: *const s3dlio_dataset_params, params_size: usize) -> Result<DatasetParams> {
    // SAFETY: passed on.
    unsafe {
        let Some(given) = read_struct(params, params_size, "params")? else {
            return Ok(DatasetParams::default());
        };
        let owned = |pointer, name| optional_text(pointer, name).map(|text| text.map(str::to_owned));
        Ok(DatasetParams {
            format: match given.format {
                S3DLIO_FORMAT_OBJECTS => Format::Objects,
                S3DLIO_FORMAT_TAR => Format::Tar,
                S3DLIO_FORMAT_TFRECORD => Format::TfRecord,
                S3DLIO_FORMAT_NPZ => Format::Npz,
                S3DLIO_FORMAT_FIXED => Format::Fixed,
                other => {
                    return Err(invalid(format!("format is {other}; expected S3DLIO_FORMAT_* up to FIXED")));
                }
            },
            glob: owned(given.glob, "glob")?,
            regex: owned(given.regex, "regex")?,
            record_size: given.record_size,
            skip_bytes: given.skip_bytes,
            index: owned(given.index, "index")?,
            member: owned(given.member, "member")?,
        })
    }
}

/// Opens what lies below `uri`, which ends in a slash or is read as if it did, or the one object that it
/// names. Objects are listed when they are drawn, not now. `params` may be NULL. The caller frees the dataset.
/// Errors: INVALID_ARGUMENT (also parameters that contradict each other), BAD_HANDLE, INVALID_URI,
/// UNSUPPORTED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_open(
    uri: *const c_char,
    params: *const s3dlio_dataset_params,
    params_size: usize,
    options: *const s3dlio_options,
    dataset: *mut *mut s3dlio_dataset,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_open", err, || {
            let (out, uri) = (Out::new(dataset, "dataset")?, text(uri, "uri")?);
            let (params, options) = (params_of(params, params_size)?, options::given(options)?);
            out.set_handle(block_on(Dataset::open(uri, &params, &options)).flatten()?)
        })
    }
}

/// Opens `count` objects by their URIs, in this order; schemes and buckets may differ.
/// Errors: as s3dlio_dataset_open; the error's detail `index` says which URI is wrong.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_open_uris(
    uris: *const *const c_char,
    count: usize,
    params: *const s3dlio_dataset_params,
    params_size: usize,
    options: *const s3dlio_options,
    dataset: *mut *mut s3dlio_dataset,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_open_uris", err, || {
            let out = Out::new(dataset, "dataset")?;
            let uris = texts(uris, count, "uris")?;
            let (params, options) = (params_of(params, params_size)?, options::given(options)?);
            out.set_handle(block_on(Dataset::of_uris(uris, &params, &options)).flatten()?)
        })
    }
}

/// Opens the objects of a manifest: a local file of a line for each, the URI and, after tabs, size and ETag
/// where they are known. It is read by position, not loaded, and must not change while the dataset lives. An epoch
/// over a manifest lists nothing and asks for no sizes.
/// Errors: as s3dlio_dataset_open; NOT_FOUND, IO, CORRUPT (the error names the line).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_open_manifest(
    path: *const c_char,
    params: *const s3dlio_dataset_params,
    params_size: usize,
    options: *const s3dlio_options,
    dataset: *mut *mut s3dlio_dataset,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_open_manifest", err, || {
            let (out, path) = (Out::new(dataset, "dataset")?, text(path, "path")?);
            let (params, options) = (params_of(params, params_size)?, options::given(options)?);
            out.set_handle(block_on(Dataset::from_manifest(Path::new(path), &params, &options)).flatten()?)
        })
    }
}

/// Lists what s3dlio_dataset_open would draw from, once, and writes it to the local file `path` as a
/// manifest, which is there whole or not at all. `count`, which may be NULL, gets the number of objects.
/// Errors: as s3dlio_dataset_open; IO, NO_SPACE, PERMISSION_DENIED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_write_manifest(
    uri: *const c_char,
    params: *const s3dlio_dataset_params,
    params_size: usize,
    options: *const s3dlio_options,
    path: *const c_char,
    count: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_write_manifest", err, || {
            let out = if count.is_null() { None } else { Some(Out::new(count, "count")?) };
            let (uri, path) = (text(uri, "uri")?, text(path, "path")?);
            let (params, options) = (params_of(params, params_size)?, options::given(options)?);
            let written = loader::write_manifest(uri, &params, &options, Path::new(path));
            let written = block_on(written).flatten()?;
            if let Some(out) = out {
                out.set(written);
            }
            Ok(())
        })
    }
}

/// How many items there are; S3DLIO_UNKNOWN_LENGTH where that shows only when they are drawn.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_length(
    dataset: *const s3dlio_dataset,
    length: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_length", err, || {
            let out = Out::new(length, "length")?;
            out.set(handle::get(dataset)?.length().unwrap_or(S3DLIO_UNKNOWN_LENGTH));
            Ok(())
        })
    }
}

/// The same items as a dataset of known length: lists and reads what that takes, and keeps it in memory.
/// Both are freed separately.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, UNSUPPORTED (the format's files can only be read in sequence).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_index(
    dataset: *const s3dlio_dataset,
    indexed: *mut *mut s3dlio_dataset,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_index", err, || {
            let out = Out::new(indexed, "indexed")?;
            out.set_handle(block_on(handle::get(dataset)?.index()).flatten()?)
        })
    }
}

/// Reads `count` items of a dataset of known length by their numbers; the batch has them in this order.
/// Errors: INVALID_ARGUMENT (also a number that is not less than the length), BAD_HANDLE, INVALID_STATE (the
/// length is unknown: index the dataset), and what reading gives. The first of those that failed is the error; its detail
/// `index` is the item's number.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_get_many(
    dataset: *const s3dlio_dataset,
    indices: *const u64,
    count: usize,
    batch: *mut *mut s3dlio_batch,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_dataset_get_many", err, || {
            let (out, indices) = (Out::new(batch, "batch")?, slice(indices, count, "indices")?);
            let used = handle::get(dataset)?;
            let read = block_on(used.get_many(indices))?;
            out.set_handle(BatchValue::new(Batch { samples: read.into_iter().collect::<Result<_>>()? }))
        })
    }
}

/// Frees the dataset; its loaders go on. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_dataset_free(dataset: *mut s3dlio_dataset) {
    guard::free("s3dlio_dataset_free", dataset);
}
