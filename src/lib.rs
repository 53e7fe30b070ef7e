//! libs3dlio moves training data and checkpoints between memory and S3, Azure Blob, local files and
//! O_DIRECT files. The product is the C ABI (`include/s3dlio.h`); this crate is its inside, and
//! [`api`] is the stable way in for Rust.
//!
//! ```text
//! ffi            one file per C handle: parse arguments, call the core, convert the result
//!   checkpoint/  saves of many ranks, commit, loads of any slice
//!   datagen/     synthetic data of given dedupe and compression ratios
//!   formats/     TFRecord, tar, NPY, NPZ, HDF5, indexes: bytes to bytes, no I/O
//!   loader/      batches of samples in a seeded order, prefetched and resumable
//!   queue/       operations without a caller who waits: events, cancel, progress
//!   transfer/    ranged get, writer, reader, codec, validation
//!     store/     trait ObjectStore and its five backends
//!       net/     the HTTP/1.1 data plane: connections, TLS, heads, bodies into memory
//!       base/    URIs, keys, checksums, memory: no I/O
//! error, metrics, options, oplog, profile, runtime, trace: for all
//! ```

#![deny(unsafe_op_in_unsafe_fn, unused_must_use)]
#![warn(missing_debug_implementations)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod base;
pub mod checkpoint;
pub mod datagen;
pub mod error;
pub mod formats;
pub mod loader;
pub mod metrics;
#[doc(hidden)]
pub mod net;
pub mod oplog;
pub mod options;
pub mod profile;
#[doc(hidden)]
pub mod queue;
pub mod runtime;
pub mod store;
pub mod trace;
pub mod transfer;

mod ffi;
#[cfg(fuzzing)]
mod fuzzing;

pub use error::{Code, Error, Result};
