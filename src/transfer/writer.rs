//! Streaming an object into a store (DESIGN section 6): bytes flow checksum -> zstd (optional) ->
//! checksum -> parts. Constant memory: `transfer.parts_in_flight` parts and one more.

use super::codec::{self, Compressor};
use super::sink::Sink;
use crate::base::buffer::{Buffer, BufferPool};
use crate::base::checksum::Crc32c;
use crate::base::op::Op;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::oplog::{Site, cancelled};
use crate::options::{self, Resolved};
use crate::runtime::Era;
use crate::store::{PutOptions, Store, check_put_options};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Plain bytes that are kept back before compression starts: an object that ends within them says
/// its plain size in the frame's header.
const HOLD: usize = 256 << 10;
/// The least memory that `reserve` gives where the bytes will be compressed.
const STAGING: usize = 1 << 20;

/// What a writer did so far, or altogether once it is finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Bytes that came in.
    pub bytes: u64,
    /// Bytes that were stored: fewer where they were compressed.
    pub stored_bytes: u64,
    /// CRC32C of the bytes that came in.
    pub crc32c: u32,
    /// CRC32C of the stored bytes.
    pub stored_crc32c: u32,
    /// Requests that carried data.
    pub parts: u32,
    /// Whether the object is published.
    pub finished: bool,
    /// The published object's, where the store says it.
    pub etag: Option<String>,
}

/// One object being written. Nothing is visible before [`Writer::finish`] succeeded. Dropping an
/// unfinished writer aborts it in the background, without I/O on the dropping thread.
///
/// The first error stays: later calls give it again, and [`Writer::finish`] removes what was
/// stored. A call whose future was dropped half-way counts as such an error.
#[derive(Debug)]
pub struct Writer {
    uri: Uri,
    key: String,
    era: Era,
    state: State,
    sink: Sink,
    codec: Option<Codec>,
    /// Of the bytes that came in, where they are compressed; else the sink knows.
    plain: Crc32c,
    reserved: Option<usize>,
    etag: Option<String>,
    told: Told,
}

/// An object is one operation, however many calls and requests it takes.
#[derive(Debug)]
struct Told {
    site: Arc<Site>,
    started: Instant,
    done: bool,
}

impl Told {
    /// How it ended: once, whatever is called afterwards.
    fn end(&mut self, key: &str, stored: u64, error: Option<&Error>) {
        if !std::mem::replace(&mut self.done, true) {
            let each = std::iter::once((key, 1, stored, error));
            self.site.report(Op::Put, (self.started, self.started.elapsed()), each);
        }
    }
}

#[derive(Clone, Debug)]
enum State {
    Open,
    /// In a call; where its future is dropped, the writer stays so.
    Busy,
    /// The same in a call that publishes.
    Publishing,
    Finished,
    Aborted,
    Failed(Error),
}

#[derive(Debug)]
struct Codec {
    compressor: Compressor,
    /// The first bytes, until there are more than [`HOLD`].
    held: Option<Vec<u8>>,
    /// What `reserve` gives.
    staging: Option<Buffer>,
}

impl Writer {
    /// Starts an object; with `writer.compression`, `.zst` is appended to the key unless it is
    /// there. No I/O yet.
    pub async fn open(store: &Store, key: &str, options: &Resolved, put: &PutOptions) -> Result<Writer> {
        let mut key = key.to_owned();
        let mut codec = None;
        if options.text(&options::WRITER_COMPRESSION) == Some("zstd") {
            if !key.ends_with(codec::SUFFIX) {
                key.push_str(codec::SUFFIX);
            }
            let level = options.number(&options::WRITER_COMPRESSION_LEVEL) as i32; // 1 to 22
            let compressor = Compressor::new(level);
            let compressor = compressor.map_err(|e| e.with_context("write", store.root().join(&key)))?;
            codec = Some(Codec { compressor, held: Some(Vec::new()), staging: None });
        }
        let uri = store.root().join(&key);
        let check_key = || store.capabilities().keys.check(&key);
        check_put_options(put).and_then(|()| check_key()).map_err(|e| e.with_context("write", &uri))?;
        Ok(Writer {
            era: Era::now(),
            state: State::Open,
            sink: Sink::new(store, &key, options, put),
            codec,
            plain: Crc32c::new(),
            reserved: None,
            etag: None,
            told: Told { site: store.site().clone(), started: Instant::now(), done: false },
            uri,
            key,
        })
    }

    /// The key that is written, with `.zst` where it is compressed.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether its calls keep the polling thread busy: with I/O or with compression.
    pub fn keeps_thread(&self) -> bool {
        self.codec.is_some() || self.sink.is_inline()
    }

    /// The object's.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The checksum of everything that came in so far.
    pub fn crc32c(&self) -> Crc32c {
        if self.codec.is_some() { self.plain } else { self.sink.crc() }
    }

    /// What happened so far; complete after [`Writer::finish`].
    pub fn stats(&self) -> WriteStats {
        let stored = self.sink.crc();
        let plain = if self.codec.is_some() { self.plain } else { stored };
        WriteStats {
            bytes: plain.covered(),
            stored_bytes: stored.covered(),
            crc32c: plain.value(),
            stored_crc32c: stored.value(),
            parts: self.sink.requests(),
            finished: matches!(self.state, State::Finished),
            etag: self.etag.clone(),
        }
    }

    /// Takes `data` in; returns once it may be reused, before it is stored.
    pub async fn write(&mut self, data: &[u8]) -> Result<()> {
        self.enter()?;
        let outcome = self.take_in(data).await;
        self.leave(outcome)
    }

    /// Takes `data` in without copying whole parts of it. The writer keeps them until they are
    /// uploaded, which may be after the call: for memory that is only lent use [`Writer::write`].
    /// Where it fails, nothing refers to `data` any more.
    pub async fn write_owned(&mut self, data: Bytes) -> Result<()> {
        self.enter()?;
        let outcome = match self.codec {
            Some(_) => self.take_in(&data).await,
            None => self.sink.write_owned(data, false).await,
        };
        if outcome.is_err() {
            self.sink.settle().await;
        }
        self.leave(outcome)
    }

    /// At least `min` bytes of the library's memory: fill its start, then [`Writer::commit`]. What
    /// was there is left in it. Another call than `commit` gives the memory up.
    pub async fn reserve(&mut self, min: usize) -> Result<&mut [u8]> {
        self.enter()?;
        let outcome = match &mut self.codec {
            Some(codec) => codec.stage(min),
            None => self.sink.make_room(min).await,
        };
        self.leave(outcome)?;
        let memory = match &mut self.codec {
            Some(codec) => codec.staging.as_mut().map_or(&mut [][..], Buffer::spare_mut),
            None => self.sink.room(),
        };
        self.reserved = Some(memory.len());
        Ok(memory)
    }

    /// Takes the first `n` reserved bytes in, without copying them.
    pub async fn commit(&mut self, n: usize) -> Result<()> {
        let reserved = self.reserved;
        self.check_usable()?;
        let Some(reserved) = reserved else {
            return Err(self.context(Error::new(Code::InvalidState, "commit without a reservation")));
        };
        if n > reserved {
            let message = format!("commit of {n} bytes, but {reserved} were reserved");
            return Err(self.context(Error::new(Code::InvalidArgument, message)));
        }
        self.enter()?;
        let outcome = match self.codec.as_mut().and_then(|codec| codec.staging.take()) {
            Some(mut staging) => {
                staging.set_len(n);
                let outcome = self.take_in(&staging).await;
                if let Some(codec) = &mut self.codec {
                    codec.staging = Some(staging);
                }
                outcome
            }
            None => {
                self.sink.advance(n);
                self.sink.check_parts()
            }
        };
        self.leave(outcome)
    }

    /// Publishes the object. Where that fails, everything that was stored is removed and the error
    /// stays; where even that fails, it is tried once more when the writer is dropped.
    pub async fn finish(&mut self) -> Result<WriteStats> {
        let outcome = match self.enter() {
            Ok(()) => {
                self.state = State::Publishing;
                self.publish().await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                self.state = State::Finished;
                let stats = self.stats();
                self.told.end(&self.key, stats.stored_bytes, None);
                Ok(stats)
            }
            Err(error) => {
                let error = match error.code() {
                    // The same data cannot be finished once more.
                    Code::UnknownOutcome => self.context(error).with_retryable(false),
                    _ => self.context(error),
                };
                if matches!(self.state, State::Busy | State::Publishing | State::Failed(_)) {
                    self.state = State::Failed(error.clone());
                    self.told.end(&self.key, 0, Some(&error));
                    if let Err(second) = self.sink.abort().await {
                        tracing::warn!(error = %second, uri = %self.uri, "a failed upload could not be removed");
                    }
                }
                Err(error)
            }
        }
    }

    /// Removes everything that was stored; waits for parts in flight. Success also where it was
    /// aborted before; `InvalidState` once the object is published. May be called again after it
    /// failed.
    pub async fn abort(&mut self) -> Result<()> {
        self.era.check().map_err(|e| self.context(e))?;
        self.reserved = None;
        if let State::Finished = self.state {
            let error = Error::new(Code::InvalidState, "the object is finished and published");
            return Err(self.context(error).with_hint("delete the object to take it back"));
        }
        self.told.end(&self.key, 0, Some(&self.given_up()));
        self.state = State::Aborted;
        self.sink.abort().await.map_err(|e| self.context(e))
    }

    /// Counts a call that was given up before it began as one that was cut short: whoever asked for it
    /// does not know which it was.
    pub fn interrupt(&mut self) {
        if let State::Open = self.state {
            self.state = State::Busy;
        }
    }

    async fn take_in(&mut self, data: &[u8]) -> Result<()> {
        let Some(codec) = &mut self.codec else { return self.sink.write(data).await };
        self.plain.update(data);
        match &mut codec.held {
            Some(held) if held.len() + data.len() <= HOLD => {
                held.extend_from_slice(data);
                return Ok(());
            }
            _ => {}
        }
        if let Some(held) = codec.held.take() {
            codec.compress(&held, &mut self.sink).await?;
        }
        codec.compress(data, &mut self.sink).await
    }

    async fn publish(&mut self) -> Result<()> {
        if let Some(codec) = &mut self.codec {
            codec.end(&mut self.sink).await?;
        }
        self.etag = self.sink.finish().await?.etag;
        Ok(())
    }

    /// Begins a call that changes something.
    fn enter(&mut self) -> Result<()> {
        self.reserved = None;
        self.check_usable()?;
        self.state = State::Busy;
        Ok(())
    }

    /// Ends it; an error stays.
    fn leave(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => {
                self.state = State::Open;
                Ok(())
            }
            Err(error) => {
                let error = self.context(error);
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn check_usable(&mut self) -> Result<()> {
        self.era.check().map_err(|e| self.context(e))?;
        let refused = |what| Err(self.context(Error::new(Code::InvalidState, what)));
        match &self.state {
            State::Open => Ok(()),
            State::Finished => refused("the writer is finished"),
            State::Aborted => refused("the writer was aborted"),
            State::Failed(error) => Err(error.clone()),
            State::Busy | State::Publishing => {
                let error = match &self.state {
                    State::Publishing => Error::new(
                        Code::UnknownOutcome,
                        "an earlier finish was cancelled half-way; whether it took effect is unknown",
                    )
                    .with_hint("read the object before writing again"),
                    _ => Error::new(Code::Cancelled, "an earlier call of this writer was cancelled half-way"),
                };
                let error = self.context(error);
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn context(&self, error: Error) -> Error {
        error.with_context("write", &self.uri)
    }

    /// Why it was never published.
    fn given_up(&self) -> Error {
        match &self.state {
            State::Failed(error) => error.clone(),
            _ => cancelled(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.told.done && !self.era.forked() {
            let error = self.given_up();
            self.told.end(&self.key, 0, Some(&error));
        }
    }
}

impl Codec {
    /// Compresses straight into the parts.
    async fn compress(&mut self, mut data: &[u8], sink: &mut Sink) -> Result<()> {
        while !data.is_empty() {
            sink.make_room(1).await?;
            let step = self.compressor.step(data, sink.room())?;
            sink.advance(step.given);
            data = &data[step.taken..];
        }
        sink.check_parts()
    }

    async fn end(&mut self, sink: &mut Sink) -> Result<()> {
        if let Some(held) = self.held.take() {
            self.compressor.pledge(held.len() as u64)?;
            self.compress(&held, sink).await?;
        }
        self.staging = None;
        loop {
            sink.make_room(1).await?;
            let (given, done) = self.compressor.end(sink.room())?;
            sink.advance(given);
            if done {
                return Ok(());
            }
        }
    }

    fn stage(&mut self, min: usize) -> Result<()> {
        if self.staging.as_ref().is_none_or(|staging| staging.capacity() < min) {
            self.staging = None;
            self.staging = Some(BufferPool::global().take(min.max(STAGING))?);
        }
        Ok(())
    }
}
