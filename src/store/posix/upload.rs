//! An upload in parts: written in place into one file that is published when all are there.

use super::facts::Record;
use super::publish::Staged;
use super::tree::{Tree, check_key};
use super::{Io, Sink, sys};
use crate::base::checksum::Crc32c;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime;
use crate::store::{Part, PutOptions, PutResult, Upload, UploadTotal};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// The device starts on so many bytes at a time while more are written, rather than on everything at the end.
const FLUSHED: u64 = 16 << 20;

pub(super) struct PosixUpload<S: Sink> {
    tree: Tree,
    key: String,
    options: PutOptions,
    process: u32,
    state: Mutex<State<S>>,
}

struct State<S> {
    /// `None` once the upload is over.
    target: Option<Arc<Target<S>>>,
    parts: BTreeMap<u32, Stored>,
}

struct Target<S> {
    staged: Staged,
    sink: S,
}

#[derive(Clone, Copy)]
struct Stored {
    offset: u64,
    length: u64,
    crc32c: Crc32c,
}

impl<S: Sink> PosixUpload<S> {
    pub(super) fn create<I: Io<Sink = S>>(
        tree: &Tree,
        io: &I,
        key: &str,
        options: &PutOptions,
    ) -> Result<Self> {
        check_key(key)?;
        let staged = Staged::create(tree, key)?;
        let sink = io.sink(&staged.file)?;
        Ok(PosixUpload {
            tree: tree.clone(),
            key: key.to_owned(),
            options: options.clone(),
            process: std::process::id(),
            state: Mutex::new(State {
                target: Some(Arc::new(Target { staged, sink })),
                parts: BTreeMap::new(),
            }),
        })
    }

    fn store(&self, part: &Part) -> Result<()> {
        let target = lock(&self.state).target.clone().ok_or_else(over)?;
        let length = part.data.len() as u64;
        if part.offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("a part of {length} bytes at offset {} is beyond every file", part.offset),
            ));
        }
        target.sink.write_at(&target.staged.file, part.offset, &part.data)?;
        let whole = |at: u64| at - at % FLUSHED;
        let (from, to) = (whole(part.offset), whole(part.offset + length));
        if self.tree.sync && from < to {
            sys::begin_flush(&target.staged.file, from, to - from);
        }
        drop(target);
        let stored = Stored { offset: part.offset, length, crc32c: part.crc32c };
        lock(&self.state).parts.insert(part.number, stored);
        Ok(())
    }

    /// Publishes, or ends the upload without a trace.
    fn publish(&self, count: u32, total: UploadTotal) -> Result<PutResult> {
        let (target, parts) = {
            let mut state = lock(&self.state);
            (state.target.take().ok_or_else(over)?, std::mem::take(&mut state.parts))
        };
        let target = Arc::into_inner(target)
            .ok_or_else(|| Error::new(Code::InvalidState, "parts are still being written"))?;
        check_parts(&parts, count, total)?;
        target.sink.finish(&target.staged.file, total.crc32c.covered())?;
        let record = Record::new(&self.options, total.crc32c.value());
        target.staged.publish(&self.tree, &self.key, &self.options.condition, &record)
    }
}

/// Every part is there, they touch, and together they are what was announced.
fn check_parts(parts: &BTreeMap<u32, Stored>, count: u32, total: UploadTotal) -> Result<()> {
    let mut whole = Crc32c::new();
    let mut end = 0;
    for number in 0..count {
        let part = parts.get(&number).ok_or_else(|| {
            Error::new(Code::InvalidState, format!("part {number} of {count} was not stored"))
        })?;
        if part.offset != end {
            return Err(Error::new(
                Code::InvalidState,
                format!("part {number} starts at {}, but the parts before it end at {end}", part.offset),
            ));
        }
        end += part.length;
        whole = whole.combine(part.crc32c);
    }
    if parts.len() != count as usize {
        return Err(Error::new(
            Code::InvalidState,
            format!("{} parts were stored, but {count} were announced", parts.len()),
        ));
    }
    if whole != total.crc32c || end != total.crc32c.covered() {
        return Err(Error::new(
            Code::ChecksumMismatch,
            format!("the parts have {whole:?} in {end} bytes, but {:?} was expected", total.crc32c),
        ));
    }
    Ok(())
}

fn over() -> Error {
    Error::new(Code::InvalidState, "the upload was completed or aborted before")
}

#[async_trait]
impl<S: Sink> Upload for PosixUpload<S> {
    async fn put_part(&self, part: Part) -> Result<()> {
        self.store(&part).map_err(|e| e.with_context("put", self.tree.uri_of(&self.key)))
    }

    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        self.publish(parts, total).map_err(|e| e.with_context("put", self.tree.uri_of(&self.key)))
    }

    async fn abort(&self) -> Result<()> {
        let target = lock(&self.state).target.take();
        drop(target); // closing the file removes it
        Ok(())
    }
}

impl<S: Sink> Drop for PosixUpload<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(target) = state.target.take() else { return };
        // Closing frees the blocks of the file, which can take long. In a forked child the parent
        // still has the file, so that closing is quick and no threads are started for it.
        if self.process == std::process::id() {
            runtime::spawn_background(async move { drop(target) });
        }
    }
}

impl<S: Sink> fmt::Debug for PosixUpload<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PosixUpload({})", self.tree.uri_of(&self.key))
    }
}
