//! Op-log and metrics
//!
//! The op-log has a row for every operation of the process, of all languages, in the format of MinIO's
//! warp: docs/oplog.md. Metrics are counters that are always on: docs/metrics.md. Any thread,
//! concurrently.

use super::buffer::BufferValue;
use super::convert::{Out, optional_text};
use super::types::*;
use super::{guard, handle, options};
use crate::error::{Code, Error};
use crate::metrics::{self, Gauges};
use crate::oplog;
use crate::options::OPLOG_PATH;
use std::ffi::c_char;

/// Starts to write every operation of the process to the file at `path`, compressed with zstd where it
/// ends in ".zst"; "{pid}" in it becomes the process id. NULL takes the option oplog.path. `options` may
/// be NULL; it takes oplog.level. What is there is replaced, unless another process is writing or reading
/// it: then the process id is put before the first dot of the name. A forked child goes on in a file that
/// is named in this way. The log ends with s3dlio_oplog_stop, s3dlio_shutdown or the process; one that the
/// option began goes on after a shutdown, in the same file.
/// Errors: INVALID_ARGUMENT (no path), INVALID_STATE (one is being written already), and those of files.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_oplog_start(
    path: *const c_char,
    options: *const s3dlio_options,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_oplog_start", err, || {
            let options = options::given(options)?;
            match optional_text(path, "path")? {
                Some(path) => oplog::start(path, &options),
                None => {
                    let path = options.get(OPLOG_PATH.key)?;
                    let none = || {
                        Error::new(Code::InvalidArgument, "neither a path nor the option oplog.path is given")
                    };
                    if path.is_empty() { Err(none()) } else { oplog::start(&path, &options) }
                }
            }
        })
    }
}

/// Ends the op-log once everything is written. `rows`: how many rows the file has; `dropped`: how many
/// operations are missing in it, because the file took nothing for two seconds. Both may be NULL.
/// Errors: INVALID_STATE (none is being written, another thread ends it, or this is a log callback on its
/// own thread), TIMEOUT (the file took nothing for ten seconds; the log is over all the same), and those of
/// files, such as NO_SPACE: then the details `rows` and `dropped` say how much is there.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_oplog_stop(
    rows: *mut u64,
    dropped: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_oplog_stop", err, || {
            let optional = |pointer: *mut u64, name| match pointer.is_null() {
                true => Ok(None),
                false => Out::new(pointer, name).map(Some),
            };
            let (rows, dropped) = (optional(rows, "rows")?, optional(dropped, "dropped")?);
            let summary = oplog::stop()?;
            if let Some(rows) = rows {
                rows.set(summary.rows);
            }
            if let Some(dropped) = dropped {
                dropped.set(summary.dropped);
            }
            Ok(())
        })
    }
}

/// All metrics as one JSON object: text with a NUL after its end. The caller frees `json`.
/// Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_stats_json(
    json: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_stats_json", err, || {
            Out::new(json, "json")?.set_handle(BufferValue::text(&metrics::json(&gauges()))?)
        })
    }
}

/// All metrics in Prometheus' text format, version 0.0.4: text with a NUL after its end. The caller frees
/// `text`.
/// Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_stats_prometheus(
    text: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_stats_prometheus", err, || {
            Out::new(text, "text")?.set_handle(BufferValue::text(&metrics::prometheus(&gauges()))?)
        })
    }
}

fn gauges() -> Gauges {
    let log = oplog::progress();
    Gauges {
        handles: handle::live(),
        direct_fallbacks: crate::store::direct::fallbacks(),
        io_uring_fallbacks: crate::store::posix::io_uring_fallbacks(),
        oplog_rows: log.rows,
        oplog_dropped: log.dropped,
    }
}
