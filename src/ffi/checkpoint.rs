//! Loading checkpoints
//!
//! Only committed checkpoints can be opened: by step, by id, or the latest one, which is the one of the
//! largest step. Opening reads the manifest and nothing else. A load reads boxes of entries into the
//! caller's memory, with as few ranged requests as that takes, whatever the number of ranks that saved
//! them. What is read whole is compared with its CRC32C. A part of a piece is checked by its length
//! only: s3dlio_checkpoint_validate reads and checks everything.
//!
//! A checkpoint is for any thread, concurrently, and may be used in forked children. It keeps what it
//! needs of its store.
//!
//! Beside the errors that a function names, those of stores and gets: NOT_FOUND, TRUNCATED (a shard is
//! shorter than the manifest says: it is named), CHECKSUM_MISMATCH, CORRUPT (a manifest or shard is not
//! what was written), UNSUPPORTED (written by a later version of the format).

use super::buffer::BufferValue;
use super::checkpoint_writer::shard_name;
use super::convert::*;
use super::error::c_string;
use super::guard;
use super::handle::{self, Handle};
use super::reader::over;
use super::store::store_of;
use super::tensor::{requests, s3dlio_tensor_request};
use super::types::*;
use crate::base::buffer::lend_many_mut;
use crate::checkpoint::{Checkpoint, Kind};
use crate::error::Result;
use crate::runtime::block_on;
use crate::store::Store;
use std::ffi::{CString, c_char};
use std::ptr;

/// As a step: the largest one that is committed.
pub const S3DLIO_LATEST: u64 = u64::MAX;

/// `kind` of s3dlio_shard_info: tensors, a safetensors file.
pub const S3DLIO_SHARD_SAFETENSORS: u32 = 0;
/// `kind` of s3dlio_shard_info: bytes of the caller's.
pub const S3DLIO_SHARD_BYTES: u32 = 1;

/// Facts of a checkpoint. The texts live as long as the checkpoint.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_checkpoint_info {
    /// As it was saved.
    pub step: u64,
    /// If has_epoch is 1; else 0.
    pub epoch: u64,
    /// 1 if there is an epoch, else 0.
    pub has_epoch: u32,
    /// How many ranks saved it.
    pub world_size: u32,
    /// Of this save; no other one has it.
    pub id: *const c_char,
    /// Who wrote it; "" if nobody said.
    pub framework: *const c_char,
    /// When it was committed: RFC 3339, UTC, such as "2026-01-31T12:34:56Z".
    pub created: *const c_char,
    /// How its keys are spread: flat, round_robin or binary.
    pub strategy: *const c_char,
    /// Of its manifest.
    pub uri: *const c_char,
    /// How many entries it has.
    pub entry_count: usize,
    /// How many shards it has.
    pub shard_count: usize,
    /// How many pairs of metadata it has.
    pub metadata_count: usize,
    /// All shards together, before compression.
    pub bytes: u64,
    /// All shards together, as stored.
    pub stored_bytes: u64,
}

/// Facts of an entry. The pointers live as long as the checkpoint.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_entry_info {
    /// As it was saved.
    pub name: *const c_char,
    /// A type's name: "F32".
    pub dtype: *const c_char,
    /// The whole entry's: ndim numbers; NULL where ndim is 0.
    pub shape: *const u64,
    /// How many dimensions.
    pub ndim: usize,
    /// The whole entry's size in memory.
    pub bytes: u64,
    /// In how many pieces it is stored.
    pub parts: usize,
}

/// Facts of a shard. The texts live as long as the checkpoint.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_shard_info {
    /// Who wrote it.
    pub rank: u32,
    /// S3DLIO_SHARD_SAFETENSORS or S3DLIO_SHARD_BYTES.
    pub kind: u32,
    /// As it was saved.
    pub name: *const c_char,
    /// The object, relative to the store's root; ends in .zst if it is compressed.
    pub key: *const c_char,
    /// In bytes, before compression.
    pub size: u64,
    /// In bytes as stored.
    pub stored_size: u64,
    /// CRC32C before compression.
    pub crc32c: u32,
    /// CRC32C as stored.
    pub stored_crc32c: u32,
}

// SAFETY: each is `repr(C)`, without padding (the sizes below), and made of integers and
// nullable pointers.
unsafe impl Plain for s3dlio_checkpoint_info {}
// SAFETY: as above.
unsafe impl Plain for s3dlio_entry_info {}
// SAFETY: as above.
unsafe impl Plain for s3dlio_shard_info {}

const _: () = {
    assert!(size_of::<s3dlio_checkpoint_info>() == 8 * 2 + 4 * 2 + 8 * 10);
    assert!(size_of::<s3dlio_entry_info>() == 8 * 6);
    assert!(size_of::<s3dlio_shard_info>() == 4 * 2 + 8 * 4 + 4 * 2);
};

/// What a checkpoint's handle stands for: it, and its texts in C's form, in its manifest's order.
pub struct CheckpointValue {
    pub checkpoint: Checkpoint,
    /// Whether its store does I/O on the thread that polls.
    pub blocking: bool,
    id: CString,
    framework: CString,
    created: CString,
    strategy: CString,
    uri: CString,
    metadata: Vec<(CString, CString)>,
    /// Name and type.
    entries: Vec<(CString, CString)>,
    /// Name and key.
    shards: Vec<(CString, CString)>,
}

impl CheckpointValue {
    fn new(checkpoint: Checkpoint, store: &Store) -> CheckpointValue {
        let manifest = checkpoint.manifest();
        let pair = |(a, b): (&str, &str)| (c_string(a), c_string(b));
        CheckpointValue {
            id: c_string(&*manifest.id),
            framework: c_string(&*manifest.framework),
            created: c_string(&*manifest.created),
            strategy: c_string(manifest.layout.name()),
            uri: c_string(checkpoint.uri().to_string()),
            metadata: manifest.metadata.iter().map(|(name, value)| pair((name, value))).collect(),
            entries: manifest.entries.iter().map(|entry| pair((&entry.name, entry.dtype.name()))).collect(),
            shards: manifest.shards.iter().map(|shard| pair((&shard.name, &shard.key))).collect(),
            blocking: store.capabilities().blocking_io,
            checkpoint,
        }
    }
}

impl Handle for s3dlio_checkpoint {
    const KIND: u64 = 12;
    const NAME: &'static str = "checkpoint";
    type Value = CheckpointValue;
}

/// An element of a list of the checkpoint's.
fn element<'a, T>(list: &'a [T], index: usize, name: &str) -> Result<&'a T> {
    list.get(index).ok_or_else(|| {
        invalid(format!("index is {index}; the checkpoint has {} {name}, counted from 0", list.len()))
    })
}

/// Opens the checkpoint of a step; S3DLIO_LATEST: the one of the largest step. `options` may be NULL;
/// what is set in them goes over the store's. The caller frees the checkpoint.
/// Errors: NOT_FOUND (there is none).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_open(
    store: *const s3dlio_store,
    options: *const s3dlio_options,
    step: u64,
    checkpoint: *mut *mut s3dlio_checkpoint,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_open", err, || {
            let out = Out::new(checkpoint, "checkpoint")?;
            let used = store_of(store)?;
            let options = over(&used.store, options)?;
            let step = (step != S3DLIO_LATEST).then_some(step);
            let opened = block_on(Checkpoint::open(&used.store, &options, step)).flatten()?;
            out.set_handle(CheckpointValue::new(opened, &used.store))
        })
    }
}

/// Opens the checkpoint of this id, as s3dlio_checkpoint_open does the one of a step.
/// Errors: INVALID_ARGUMENT (also what is no id), NOT_FOUND (there is none, or another save of the step
/// was committed).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_open_id(
    store: *const s3dlio_store,
    options: *const s3dlio_options,
    id: *const c_char,
    checkpoint: *mut *mut s3dlio_checkpoint,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_open_id", err, || {
            let (out, id) = (Out::new(checkpoint, "checkpoint")?, text(id, "id")?);
            let used = store_of(store)?;
            let options = over(&used.store, options)?;
            let opened = block_on(Checkpoint::open_id(&used.store, &options, id)).flatten()?;
            out.set_handle(CheckpointValue::new(opened, &used.store))
        })
    }
}

/// What the manifest says of the whole.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_get_info(
    checkpoint: *const s3dlio_checkpoint,
    info: *mut s3dlio_checkpoint_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_get_info", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            let used = handle::get(checkpoint)?;
            let manifest = used.checkpoint.manifest();
            out.set(&s3dlio_checkpoint_info {
                step: manifest.step,
                epoch: manifest.epoch.unwrap_or(0),
                has_epoch: manifest.epoch.is_some().into(),
                world_size: manifest.world_size,
                id: used.id.as_ptr(),
                framework: used.framework.as_ptr(),
                created: used.created.as_ptr(),
                strategy: used.strategy.as_ptr(),
                uri: used.uri.as_ptr(),
                entry_count: used.entries.len(),
                shard_count: used.shards.len(),
                metadata_count: used.metadata.len(),
                bytes: manifest.bytes(),
                stored_bytes: manifest.stored_bytes(),
            });
            Ok(())
        })
    }
}

/// One pair of the metadata, in the order of the names. The texts live as long as the checkpoint.
/// Errors: INVALID_ARGUMENT (also where index is metadata_count or more), BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_metadata(
    checkpoint: *const s3dlio_checkpoint,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_metadata", err, || {
            let (name_out, value_out) = (Out::new(name, "name")?, Out::new(value, "value")?);
            let used = handle::get(checkpoint)?;
            let (name, value) = element(&used.metadata, index, "pairs of metadata")?;
            name_out.set(name.as_ptr());
            value_out.set(value.as_ptr());
            Ok(())
        })
    }
}

/// The facts of an entry.
/// Errors: INVALID_ARGUMENT (also where index is entry_count or more), BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_entry(
    checkpoint: *const s3dlio_checkpoint,
    index: usize,
    info: *mut s3dlio_entry_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_entry", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            let used = handle::get(checkpoint)?;
            let entry = element(&used.checkpoint.manifest().entries, index, "entries")?;
            let (name, dtype) = element(&used.entries, index, "entries")?;
            out.set(&s3dlio_entry_info {
                name: name.as_ptr(),
                dtype: dtype.as_ptr(),
                shape: if entry.shape.is_empty() { ptr::null() } else { entry.shape.as_ptr() },
                ndim: entry.shape.len(),
                bytes: entry.shape.iter().fold(entry.dtype.size(), |n, side| n.saturating_mul(*side)),
                parts: entry.parts.len(),
            });
            Ok(())
        })
    }
}

/// The index of the entry of this name.
/// Errors: NOT_FOUND, INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_find(
    checkpoint: *const s3dlio_checkpoint,
    name: *const c_char,
    index: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_find", err, || {
            let (out, name) = (Out::new(index, "index")?, text(name, "name")?);
            let used = handle::get(checkpoint)?;
            out.set(used.checkpoint.find(name)?);
            Ok(())
        })
    }
}

/// The facts of a shard.
/// Errors: INVALID_ARGUMENT (also where index is shard_count or more), BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_shard_info(
    checkpoint: *const s3dlio_checkpoint,
    index: usize,
    info: *mut s3dlio_shard_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_shard_info", err, || {
            let out = OutStruct::new(info, info_size, "info")?;
            let used = handle::get(checkpoint)?;
            let shard = element(&used.checkpoint.manifest().shards, index, "shards")?;
            let (name, key) = element(&used.shards, index, "shards")?;
            out.set(&s3dlio_shard_info {
                rank: shard.rank,
                kind: match shard.kind {
                    Kind::Safetensors => S3DLIO_SHARD_SAFETENSORS,
                    Kind::Bytes => S3DLIO_SHARD_BYTES,
                },
                name: name.as_ptr(),
                key: key.as_ptr(),
                size: shard.size,
                stored_size: shard.stored_size,
                crc32c: shard.crc32c,
                stored_crc32c: shard.stored_crc32c,
            });
            Ok(())
        })
    }
}

/// Loads boxes of entries, each into its own memory, all in one call: the more are asked for at once,
/// the fewer and larger the reads. After an error the contents of all destinations are unspecified.
/// Errors: NOT_FOUND (no such entry, or not of this rank), RANGE (a box outside the entry), INVALID_ARGUMENT
/// (a length that is not the box's, which is the detail required; memory that overlaps; an entry whose
/// ranks saved different contents, without a rank).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_load(
    checkpoint: *const s3dlio_checkpoint,
    requests: *const s3dlio_tensor_request,
    count: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_load", err, || {
            let (wanted, memory) = self::requests(requests, count)?;
            let used = handle::get(checkpoint)?;
            lend_many_mut(memory, |windows| {
                block_on(used.checkpoint.load(wanted.into_iter().zip(windows).collect())).flatten()
            })
        })
    }
}

/// Reads a whole shard, decompressed, and compares it with its CRC32C. `shard` is its name; NULL is
/// "data".
/// Errors: NOT_FOUND (the rank wrote no shard of this name), OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_read_shard(
    checkpoint: *const s3dlio_checkpoint,
    rank: u32,
    shard: *const c_char,
    data: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_read_shard", err, || {
            let (out, shard) = (Out::new(data, "data")?, shard_name(shard)?);
            let used = handle::get(checkpoint)?;
            let buffer = block_on(used.checkpoint.read_shard(rank, shard)).flatten()?;
            out.set_handle(BufferValue::new(buffer))
        })
    }
}

/// Checks that every shard is there with the size that the manifest says; with `deep` 1 compares the
/// CRC32C of all stored bytes, the headers of shards that are not compressed, the receipts and latest.json.
/// Errors: NOT_FOUND, TRUNCATED, CORRUPT, CHECKSUM_MISMATCH, each with the object's URI;
/// INVALID_ARGUMENT (deep is not 0 or 1).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_validate(
    checkpoint: *const s3dlio_checkpoint,
    deep: u32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_checkpoint_validate", err, || {
            if !matches!(deep, 0 | 1) {
                return Err(invalid(format!("deep is {deep}; expected 0 or 1")));
            }
            block_on(handle::get(checkpoint)?.checkpoint.validate(deep == 1)).flatten()
        })
    }
}

/// Frees the checkpoint; nothing is deleted. Loads that are under way end normally. NULL and stale
/// handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_checkpoint_free(checkpoint: *mut s3dlio_checkpoint) {
    guard::free("s3dlio_checkpoint_free", checkpoint);
}
