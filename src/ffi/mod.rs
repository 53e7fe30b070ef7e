//! The C ABI: parse arguments, call the core, convert the result. One file per handle.
//!
//! * [`guard`] runs every body: errors become statuses, panics become `S3DLIO_ERR_INTERNAL`.
//! * [`handle`] turns values into checked tokens, so that no handle is ever dereferenced blindly.
//! * [`convert`] reads and writes what lies behind the caller's pointers.
//!
//! The `///` texts of exports and public types, and the `//!` texts of the files named in
//! `tests/support/header.rs`, are the manual: `include/s3dlio.h` is made of them.
//!
//! **The promise that every `unsafe` here rests on**: a pointer that comes from C is NULL, or valid
//! for what the header says that the call reads or writes there. Handles are exempt: they may be
//! anything.

#![allow(non_camel_case_types)] // the names of the header

mod batch;
mod buffer;
mod checkpoint;
mod checkpoint_manage;
mod checkpoint_shard;
mod checkpoint_submit;
mod checkpoint_writer;
mod convert;
mod datagen;
mod dataset;
mod error;
mod formats;
mod get;
mod guard;
mod handle;
mod info;
mod library;
mod lister;
mod loader;
mod log;
mod many;
mod oneshot;
mod oplog;
mod options;
mod profile;
mod queue;
mod reader;
mod status;
mod store;
mod submit;
mod tensor;
mod types;
mod world;
mod writer;
