//! Reading one object, by position or as a stream (SPEC G1, W4, I2).

use super::codec::{self, Decompressor};
use super::range::{Pin, RangePlan, check_range, read_pinned};
use super::source::Source;
use super::tasks::try_run_all;
use crate::base::buffer::Window;
use crate::base::checksum::{Crc32c, format_crc32c};
use crate::base::op::Op;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use crate::runtime::Era;
use crate::store::{ObjectMeta, Store, range_len};
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::sync::Mutex;

/// One object, pinned to the version that it had when it was opened: a read after it was replaced
/// is `Changed`. A key that ends in `.zst` is decompressed (option `reader.decompress`).
///
/// [`Reader::read_at`] and [`Reader::readv_at`] may run on many threads at once. The sequential
/// calls share one position and wait for each other.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    uri: Uri,
    meta: ObjectMeta,
    pin: Pin,
    plan: RangePlan,
    ranges_in_flight: usize,
    era: Era,
    decompress: bool,
    /// In plain bytes, where it is known.
    size: Option<u64>,
    stream: Mutex<Stream>,
}

/// The sequential side.
#[derive(Debug)]
struct Stream {
    source: Source,
    decoder: Option<Decoder>,
    /// Of the next read, in plain bytes; may be past the end.
    position: u64,
    expected: Option<u32>,
    /// Of the bytes from 0 to `position`, unless a seek left some out.
    crc: Option<Crc32c>,
    /// What the end gave; until the next seek.
    failure: Option<Error>,
}

#[derive(Debug)]
struct Decoder {
    decompressor: Decompressor,
    /// Plain bytes that came out.
    produced: u64,
    ended: bool,
    /// What is wrong with the stored bytes; until a restart. A zstd context that failed gives
    /// anything when it is asked again, also the end.
    broken: Option<Error>,
}

impl Reader {
    /// Asks for the object's facts (one request), and for its start where it will be decompressed.
    pub async fn open(store: &Store, key: &str, options: &Resolved) -> Result<Reader> {
        let uri = store.root().join(key);
        let meta = store.stat(key).await.map_err(|e| e.with_context("open", &uri))?;
        let plan = RangePlan::new(store, options);
        let pin = Pin::of(&meta);
        let read_ahead = options.number(&options::READER_READ_AHEAD);
        let decompress = key.ends_with(codec::SUFFIX) && options.bool(&options::READER_DECOMPRESS);
        let mut source = Source::new(store, key, pin.clone(), plan, read_ahead);
        let (mut size, mut decoder) = (Some(meta.size), None);
        if decompress {
            let start = source.fill().await.map_err(|e| e.with_context("open", &uri))?;
            size = if start.len() as u64 == meta.size { codec::plain_size(start) } else { None };
            let decompressor = Decompressor::new().map_err(|e| e.with_context("open", &uri))?;
            decoder = Some(Decoder { decompressor, produced: 0, ended: false, broken: None });
        }
        let stream =
            Stream { source, decoder, position: 0, expected: None, crc: Some(Crc32c::new()), failure: None };
        Ok(Reader {
            store: store.clone(),
            uri,
            meta,
            pin,
            plan,
            ranges_in_flight: options.size(&options::TRANSFER_GET_MANY_CONCURRENCY),
            era: Era::now(),
            decompress,
            size,
            stream: Mutex::new(stream),
        })
    }

    /// Whether its calls keep the polling thread busy: with I/O or with decompression.
    pub fn keeps_thread(&self) -> bool {
        self.decompress || self.store.capabilities().blocking_io
    }

    /// The object's.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// In plain bytes; `Unsupported` where a compressed object does not tell.
    pub fn size(&self) -> Result<u64> {
        self.size.ok_or_else(|| {
            let message = "the compressed object does not tell its plain size";
            self.context(Error::new(Code::Unsupported, message)).with_hint(
                "read it to the end, or set reader.decompress to false for the size of the stored bytes",
            )
        })
    }

    /// The facts of the stored object: where it is compressed, `size` and `crc32c` are of the
    /// compressed bytes.
    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// Reads `dst.len()` bytes from `offset`, fewer only at the end; a large read goes in parallel
    /// ranges. An offset past the end is `Range`. Does not touch the position of [`Reader::read`].
    pub async fn read_at(&self, offset: u64, dst: Window) -> Result<usize> {
        let (dst, bytes) = self.clip(offset, dst)?;
        let watch = self.store.watch(Op::Get, &self.meta.key);
        let (key, first_byte) = (&self.meta.key, watch.first_byte());
        let read = read_pinned(&self.store, key, offset, dst, &self.pin, &self.plan, first_byte).await;
        watch.end(&read, |()| (1, bytes as u64));
        read.map_err(|e| self.context(e))?;
        Ok(bytes)
    }

    /// Many reads at once; how many bytes each gave, in order. The first error cancels the rest.
    pub async fn readv_at(&self, ranges: Vec<(u64, Window)>) -> Result<Vec<usize>> {
        let mut clipped = Vec::with_capacity(ranges.len());
        for (offset, dst) in ranges {
            let (dst, bytes) = self.clip(offset, dst)?;
            clipped.push((offset, dst, bytes));
        }
        let of = Arc::new((self.store.clone(), self.meta.key.clone(), self.pin.clone(), self.plan));
        let job = move |(offset, dst, bytes): (u64, Window, usize)| {
            let of = of.clone();
            async move {
                let watch = of.0.watch(Op::Get, &of.1);
                let read = read_pinned(&of.0, &of.1, offset, dst, &of.2, &of.3, watch.first_byte()).await;
                watch.end(&read, |()| (1, bytes as u64));
                read.map(|()| bytes)
            }
        };
        let inline = self.store.capabilities().blocking_io;
        try_run_all(clipped, self.ranges_in_flight, inline, job).await.map_err(|e| self.context(e))
    }

    /// The next bytes: all of `dst`, fewer only at the end, 0 at the end and past it.
    pub async fn read(&self, dst: Window) -> Result<usize> {
        self.check_era()?;
        let mut stream = self.stream.lock().await;
        if let Some(error) = &stream.failure {
            return Err(error.clone());
        }
        let outcome = match stream.decoder.is_some() {
            true => stream.read_decoded(dst).await,
            false => stream.read_plain(dst).await,
        };
        let bytes = outcome.map_err(|e| self.context(e))?;
        if let Err(error) = stream.check_end(self.size) {
            let error = self.context(error);
            stream.failure = Some(error.clone());
            return Err(error);
        }
        Ok(bytes)
    }

    /// Moves the position of [`Reader::read`] and returns it, counted from the start. Past the end
    /// is allowed: reads give 0 bytes there. In a compressed object, forward means decompressing
    /// what lies between, backward starting again; from the end only where its size is known.
    pub async fn seek(&self, pos: SeekFrom) -> Result<u64> {
        self.check_era()?;
        let mut stream = self.stream.lock().await;
        let (base, by) = match pos {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(by) => (stream.position, by),
            SeekFrom::End(by) => (self.size()?, by),
        };
        let target = base.checked_add_signed(by).filter(|at| i64::try_from(*at).is_ok());
        let target = target.ok_or_else(|| {
            let message = format!("the position {base} moved by {by} is negative or too large");
            self.context(Error::new(Code::InvalidArgument, message))
        })?;
        stream.seek(target);
        Ok(target)
    }

    /// Sets what the plain bytes must have; compared when sequential reading from 0 reaches the end,
    /// which then is `ChecksumMismatch` instead of the last bytes. To be called at position 0.
    pub fn expect_crc32c(&self, crc: u32) -> Result<()> {
        let busy = |what: &str| {
            self.context(Error::new(Code::InvalidState, what))
                .with_hint("set the expected checksum before the first read, or after a seek to 0")
        };
        let mut stream = self.stream.try_lock().map_err(|_| busy("a read is under way"))?;
        if stream.position != 0 {
            return Err(busy("reading has begun"));
        }
        stream.expected = Some(crc);
        Ok(())
    }

    fn clip(&self, offset: u64, dst: Window) -> Result<(Window, usize)> {
        self.check_era()?;
        if self.decompress {
            let error = Error::new(Code::Unsupported, "a compressed object has no positions to read at");
            return Err(self
                .context(error)
                .with_hint("read it sequentially, or set reader.decompress to false for the stored bytes"));
        }
        let bytes = check_range(offset, dst.len() as u64)
            .and_then(|()| range_len(offset, dst.len(), self.pin.size))
            .map_err(|e| self.context(e))?;
        Ok((dst.split_at(bytes).0, bytes))
    }

    fn check_era(&self) -> Result<()> {
        self.era.check().map_err(|e| self.context(e))
    }

    fn context(&self, error: Error) -> Error {
        error.with_context("read", &self.uri)
    }
}

impl Stream {
    async fn read_plain(&mut self, dst: Window) -> Result<usize> {
        self.source.seek(self.position);
        let wanted = dst.len().min(usize::try_from(self.source.left()).unwrap_or(usize::MAX));
        let (mut dst, _beyond) = dst.split_at(wanted);
        let mut crc = self.crc;
        let mut at = 0;
        while at < wanted {
            // The checksum needs the bytes once more; a window that was given away has them no longer.
            if self.expected.is_none() && self.source.prefers_direct((wanted - at) as u64) {
                self.source.read(dst.split_at(at).1).await?;
                break;
            }
            let data = self.source.fill().await?;
            let n = data.len().min(wanted - at);
            dst[at..at + n].copy_from_slice(&data[..n]);
            self.source.consume(n);
            if let Some(crc) = crc.as_mut().filter(|_| self.expected.is_some()) {
                crc.update(&dst[at..at + n]);
            }
            at += n;
        }
        self.source.fetch_ahead().await?;
        self.advance(wanted, crc);
        Ok(wanted)
    }

    async fn read_decoded(&mut self, mut dst: Window) -> Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        if decoder.produced > self.position {
            decoder.restart(&mut self.source)?;
        }
        if decoder.produced < self.position {
            let mut passed = vec![0; 128 << 10];
            while decoder.produced < self.position && !decoder.ended {
                let most = (self.position - decoder.produced).min(passed.len() as u64) as usize;
                decoder.read(&mut self.source, &mut passed[..most]).await?;
            }
        }
        let mut at = 0;
        while at < dst.len() && !decoder.ended {
            at += decoder.read(&mut self.source, &mut dst[at..]).await?;
        }
        let mut crc = self.crc;
        if let Some(crc) = crc.as_mut().filter(|_| self.expected.is_some()) {
            crc.update(&dst[..at]);
        }
        self.advance(at, crc);
        Ok(at)
    }

    fn advance(&mut self, bytes: usize, crc: Option<Crc32c>) {
        self.position += bytes as u64;
        self.crc = crc;
    }

    /// Compares at the end, if everything from 0 on was read.
    fn check_end(&self, size: Option<u64>) -> Result<()> {
        let ended = match &self.decoder {
            Some(decoder) => decoder.ended || size == Some(self.position),
            None => size == Some(self.position),
        };
        match (self.expected, self.crc) {
            (Some(expected), Some(crc)) if ended => {
                let actual = crc.value();
                if actual == expected {
                    return Ok(());
                }
                let message = format!(
                    "the {} bytes from offset 0 have {}, but {} was expected",
                    self.position,
                    format_crc32c(actual),
                    format_crc32c(expected)
                );
                Err(Error::new(Code::ChecksumMismatch, message)
                    .with_detail("expected", format_crc32c(expected))
                    .with_detail("actual", format_crc32c(actual))
                    .with_detail("offset", 0))
            }
            _ => Ok(()),
        }
    }

    fn seek(&mut self, target: u64) {
        self.failure = None;
        if let Some(decoder) = self.decoder.as_mut().filter(|decoder| decoder.broken.is_some()) {
            decoder.produced = u64::MAX; // the next read starts again
        }
        match target {
            0 => self.crc = Some(Crc32c::new()),
            target if target != self.position => self.crc = None,
            _ => {}
        }
        self.position = target;
    }
}

impl Decoder {
    /// Decompresses into `out`: at least one byte, or none and `ended`.
    async fn read(&mut self, source: &mut Source, out: &mut [u8]) -> Result<usize> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        loop {
            let input = source.fill().await?;
            let at_end = input.is_empty();
            if at_end && self.decompressor.is_complete() {
                self.ended = true;
                return Ok(0);
            }
            let step = match self.decompressor.step(input, out) {
                Ok(step) => step,
                Err(error) => {
                    let at = source.position();
                    let error = error.with_detail("offset", at).with_cause(format!(
                        "at or after byte {at} of the stored object, {} of the plain bytes",
                        self.produced
                    ));
                    return Err(self.broken.insert(error).clone());
                }
            };
            source.consume(step.taken);
            self.produced += step.given as u64;
            if step.taken > 0 {
                source.fetch_ahead().await?;
            }
            if step.given > 0 {
                return Ok(step.given);
            }
            if at_end {
                let message = format!(
                    "the zstd stream ends in the middle of a frame, after {} stored and {} plain bytes",
                    source.position(),
                    self.produced
                );
                let error = Error::new(Code::Truncated, message).with_detail("offset", source.position());
                return Err(self.broken.insert(error).clone());
            }
        }
    }

    fn restart(&mut self, source: &mut Source) -> Result<()> {
        source.seek(0);
        self.decompressor.restart()?;
        self.produced = 0;
        self.ended = false;
        self.broken = None;
        Ok(())
    }
}
