//! Handles and shared structures
//!
//! Handles are pointers to incomplete types. They are tokens, not addresses: never dereference or
//! compute with one. Each type has its thread rule; "any thread, concurrently" means that many calls
//! may run on one handle at the same time.

use super::convert::Plain;
use std::ffi::{c_char, c_void};

/// Success.
pub const S3DLIO_OK: i32 = 0;
/// Not an error: there is nothing more. A lister at its end, a sequential reader at the end of its
/// object, a loader at the end of its epoch, a closed queue whose events were all taken.
pub const S3DLIO_END: i32 = 1;
/// Not an error: a wait ended without an event.
pub const S3DLIO_TIMEOUT: i32 = 2;

/// `kind` of s3dlio_object_info: an object.
pub const S3DLIO_KIND_OBJECT: u32 = 0;
/// `kind` of s3dlio_object_info: a common prefix ("folder"), its key ends in a slash.
pub const S3DLIO_KIND_PREFIX: u32 = 1;
/// `kind` of s3dlio_object_info: a bucket, container or root folder.
pub const S3DLIO_KIND_CONTAINER: u32 = 2;

/// `whence` of s3dlio_reader_seek: from the start.
pub const S3DLIO_SEEK_SET: i32 = 0;
/// `whence` of s3dlio_reader_seek: from the present position.
pub const S3DLIO_SEEK_CUR: i32 = 1;
/// `whence` of s3dlio_reader_seek: from the end.
pub const S3DLIO_SEEK_END: i32 = 2;

/// `format`: every object is an item.
pub const S3DLIO_FORMAT_OBJECTS: i32 = 0;
/// `format`: tar files in WebDataset's convention.
pub const S3DLIO_FORMAT_TAR: i32 = 1;
/// `format`: TFRecord files.
pub const S3DLIO_FORMAT_TFRECORD: i32 = 2;
/// `format`: NPZ files.
pub const S3DLIO_FORMAT_NPZ: i32 = 3;
/// `format`: files of records of one size.
pub const S3DLIO_FORMAT_FIXED: i32 = 4;
/// `format` of s3dlio_generate_object: an HDF5 file.
pub const S3DLIO_FORMAT_HDF5: i32 = 5;
/// `format` of s3dlio_generate_object: bytes without a format.
pub const S3DLIO_FORMAT_RAW: i32 = 6;

/// As a length: up to the end of the object.
pub const S3DLIO_TO_END: u64 = u64::MAX;

/// An error with everything that is known about it. Immutable; any thread, concurrently.
pub struct s3dlio_error(());
/// A block of memory, reference counted. Any thread, concurrently; who writes to the memory sees to
/// it that nobody else uses those bytes meanwhile.
pub struct s3dlio_buffer(());
/// A set of options. Any thread; many may read it at once, a change that meets another change is
/// S3DLIO_ERR_INVALID_STATE.
pub struct s3dlio_options(());
/// Objects below one root URI. Any thread, concurrently.
pub struct s3dlio_store(());
/// A listing under way. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE).
pub struct s3dlio_lister(());
/// One object that is being read. Any thread; size, info, read_at and readv_at concurrently, the
/// others one at a time (else S3DLIO_ERR_INVALID_STATE).
pub struct s3dlio_reader(());
/// One object that is being written. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE).
pub struct s3dlio_writer(());

/// What there is to draw samples from. Any thread, concurrently.
pub struct s3dlio_dataset(());
/// A pass over a dataset. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE).
pub struct s3dlio_loader(());
/// Samples with their bytes. Immutable; any thread, concurrently.
pub struct s3dlio_batch(());

/// One rank's part of one save. Any thread, one at a time (else S3DLIO_ERR_INVALID_STATE).
pub struct s3dlio_checkpoint_writer(());
/// One shard of a save that is being written. Any thread, one at a time (else
/// S3DLIO_ERR_INVALID_STATE); different shards of one writer concurrently.
pub struct s3dlio_checkpoint_shard(());
/// A committed checkpoint. Any thread, concurrently.
pub struct s3dlio_checkpoint(());

/// Where the events of submitted operations come. Any thread, concurrently.
pub struct s3dlio_queue(());
/// A submitted operation, to cancel it or to ask how far it is. Any thread, concurrently.
pub struct s3dlio_op(());

/// A pair of texts. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_key_value {
    /// NUL-terminated UTF-8.
    pub key: *const c_char,
    /// NUL-terminated UTF-8.
    pub value: *const c_char,
}

/// Facts of an object, a common prefix or a container. The call that fills it says how long its
/// texts live.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_object_info {
    /// S3DLIO_KIND_OBJECT, S3DLIO_KIND_PREFIX or S3DLIO_KIND_CONTAINER.
    pub kind: u32,
    /// 1 if crc32c is known, else 0.
    pub has_crc32c: u32,
    /// In bytes as stored; 0 for prefixes and containers.
    pub size: u64,
    /// Nanoseconds since 1970-01-01 UTC, of a container its creation; INT64_MIN if unknown.
    pub last_modified_ns: i64,
    /// CRC32C of the stored bytes, if has_crc32c is 1.
    pub crc32c: u32,
    /// 0.
    pub reserved: u32,
    /// Relative to the store's root; of a container its name.
    pub key: *const c_char,
    /// The full URI.
    pub uri: *const c_char,
    /// Opaque, differs whenever the bytes differ; NULL if unknown.
    pub etag: *const c_char,
    /// NULL if unknown.
    pub content_type: *const c_char,
    /// User metadata; listings do not know it.
    pub metadata: *const s3dlio_key_value,
    /// How many pairs metadata has.
    pub metadata_count: usize,
}

/// How to store an object. All zero are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_put_options {
    /// NULL: none.
    pub content_type: *const c_char,
    /// User metadata: names of lower-case letters, digits and _, starting with a letter; values of
    /// printable ASCII; together at most 2048 bytes.
    pub metadata: *const s3dlio_key_value,
    /// How many pairs metadata has.
    pub metadata_count: usize,
    /// NULL: no condition; else replace only the object of this ETag, or fail with
    /// S3DLIO_ERR_PRECONDITION_FAILED.
    pub if_match: *const c_char,
    /// 1: fail with S3DLIO_ERR_ALREADY_EXISTS where there is an object of this key. 0: replace it.
    pub create_only: u32,
    /// 0.
    pub reserved: u32,
}

/// What was written.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_write_stats {
    /// Plain bytes taken in.
    pub bytes: u64,
    /// Bytes stored: the same, or what compression made of them.
    pub stored_bytes: u64,
    /// CRC32C of the plain bytes.
    pub crc32c: u32,
    /// CRC32C of the stored bytes.
    pub stored_crc32c: u32,
    /// Parts stored; 1 for an object that went in one request.
    pub parts: u32,
    /// 1 once the object is published, else 0.
    pub finished: u32,
    /// The new object's ETag; "" until it is published, or if it is unknown or longer.
    pub etag: [c_char; 256],
}

/// A piece of an object and where it goes. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_range {
    /// The first byte in the object.
    pub offset: u64,
    /// Bytes wanted; dst has room for them.
    pub length: usize,
    /// Where they go. The memory of two ranges of one call must not overlap.
    pub dst: *mut c_void,
    /// Out: bytes read; fewer than length only at the end of the object.
    pub bytes_read: usize,
}

// SAFETY: each is `repr(C)`, without padding (the sizes below), and made of integers and
// nullable pointers.
unsafe impl Plain for s3dlio_object_info {}
// SAFETY: as above.
unsafe impl Plain for s3dlio_put_options {}
// SAFETY: as above.
unsafe impl Plain for s3dlio_write_stats {}

// The sizes are part of the ABI: fields are only ever appended.
const _: () = {
    assert!(size_of::<s3dlio_key_value>() == 16);
    assert!(size_of::<s3dlio_object_info>() == 4 * 2 + 8 * 2 + 4 * 2 + 8 * 6);
    assert!(size_of::<s3dlio_put_options>() == 8 * 4 + 4 * 2);
    assert!(size_of::<s3dlio_write_stats>() == 8 * 2 + 4 * 4 + 256);
    assert!(size_of::<s3dlio_range>() == 8 * 4);
};
