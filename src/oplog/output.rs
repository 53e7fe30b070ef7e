//! The thread of a log: makes rows of operations, compresses them and writes them.

use super::channel::{Batch, Channel, Serving};
use super::held::{Held, Mark};
use super::record::{HEADER, Row, Second};
use crate::base::redact::{redact, redact_behind};
use crate::error::{Error, Result};
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use zstd::zstd_safe::CParameter;

/// Bytes of rows that one zstd frame holds, or one write.
const FRAME: usize = 256 << 10;

/// The file and what will go to it next.
pub(super) struct Output {
    file: Held,
    /// How much of a regular file is good.
    good: Option<u64>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    text: Vec<u8>,
    /// Rows in `text`.
    rows: u64,
}

/// Rows resemble those just before them: at level 1 a table of 4 KiB finds more than the usual one of 64 KiB, which
/// finds rows long ago, is a third faster, and leaves the cache to others.
fn compressor(level: i32) -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    if level == 1 {
        compressor.set_parameter(CParameter::HashLog(10))?;
    }
    Ok(compressor)
}

impl Output {
    /// A log that begins with its first line, compressed at `level`. What was in the file is gone.
    pub fn begin(file: Held, level: Option<i32>) -> Result<Output> {
        let regular = file.mark().is_some();
        if regular {
            file.file().set_len(0).map_err(|e| Error::from_io("cannot empty the op-log", &e))?;
        }
        let mut output = Output::new(file, level, regular.then_some(0))?;
        output.text.extend_from_slice(HEADER.as_bytes());
        output.text.push(b'\n');
        output.write(|| {})?;
        output.wait_for_room()
    }

    /// A log that goes on behind its last row.
    pub fn go_on(file: Held, level: Option<i32>) -> Result<Output> {
        let end = file.mark().as_ref().map(Mark::length);
        if let Some(end) = end {
            let sought = file.file().seek(SeekFrom::Start(end));
            sought.map_err(|e| Error::from_io("cannot go on with the op-log", &e))?;
        }
        Output::new(file, level, end)?.wait_for_room()
    }

    fn new(file: Held, level: Option<i32>, good: Option<u64>) -> Result<Output> {
        let compressor = level.map(compressor).transpose();
        let compressor = compressor.map_err(|e| Error::from_io("cannot start to compress", &e))?;
        Ok(Output { file, good, compressor, text: Vec::with_capacity(FRAME + (64 << 10)), rows: 0 })
    }

    fn wait_for_room(self) -> Result<Output> {
        self.file.wait_for_room().map_err(|e| Error::from_io("cannot prepare the op-log", &e))?;
        Ok(self)
    }

    /// Writes the rows there are, as one frame, and gives their number. Where that fails, they are in a regular file
    /// not even in part.
    fn write(&mut self, step: impl Fn()) -> Result<u64> {
        if self.text.is_empty() {
            return Ok(0);
        }
        let written = match &mut self.compressor {
            None => put(&self.file, &self.text, step).map(|()| self.text.len()),
            Some(compressor) => {
                let frame = compressor.compress(&self.text);
                frame.and_then(|frame| put(&self.file, &frame, step).map(|()| frame.len()))
            }
        };
        match written {
            Ok(length) => {
                self.good = self.good.map(|good| good + length as u64);
                self.text.clear();
                Ok(std::mem::take(&mut self.rows))
            }
            Err(error) => {
                if let Some(good) = self.good {
                    let _ = self.file.file().set_len(good); // the failure of the write is the one to tell
                }
                let hint = match error.kind() {
                    io::ErrorKind::WouldBlock => Some("it takes nothing: nobody reads it"),
                    io::ErrorKind::BrokenPipe => Some("its reader went away: it has to read to the end"),
                    _ => None,
                };
                let error = Error::from_io("cannot write the op-log", &error);
                Err(match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
        }
    }

    fn append(&mut self, batch: &Batch, idx: u64, client: &str, (now, clock): (Instant, Duration)) {
        let mut second = Second::default();
        let nanos = |since: Duration| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        for (idx, event) in (idx..).zip(&batch.events) {
            let start = nanos(clock.saturating_sub(now.saturating_duration_since(event.times.started)));
            let after = |since: Duration| start.saturating_add(nanos(since));
            let prefix = event.site.prefix.as_str();
            let key = batch.text.get(event.text..event.error_at).unwrap_or_default();
            Row {
                idx,
                thread: u64::from(event.thread),
                op: event.op,
                client_id: client,
                n_objects: event.objects,
                bytes: event.bytes,
                endpoint: &event.site.endpoint,
                file: &[&redact(prefix), &redact_behind(prefix, key)],
                error: batch.text.get(event.error_at..event.end).unwrap_or_default(),
                start,
                first_byte: event.times.first_byte.map(after),
                end: after(event.times.took),
            }
            .write(&mut self.text, &mut second);
            self.rows += 1;
        }
    }

    /// The rows that are not written yet, which never will be.
    fn give_up(&mut self) -> u64 {
        self.text.clear();
        std::mem::take(&mut self.rows)
    }
}

/// The whole of it; `step` is called whenever the file took something.
fn put(file: &Held, mut bytes: &[u8], step: impl Fn()) -> io::Result<()> {
    let mut file = file.file();
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                step();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Runs until the channel is closed. Rows are numbered from `idx`; `sweep` gives what lies in batches that are not
/// full.
pub(super) fn run(
    mut output: Output,
    channel: Arc<Channel>,
    client: &str,
    mut idx: u64,
    sweep: impl Fn(&Arc<Channel>) -> Vec<Batch>,
) {
    let serving = Serving::new(channel.clone());
    let (mut flushed, mut failed) = (Instant::now(), false);
    loop {
        let mut turn = serving.next(flushed);
        if turn.flush && !turn.last {
            turn.batches.extend(sweep(&channel));
        }
        // Now and what the clock says now: operations only know the former.
        let (now, clock) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut outcome = Ok(0);
        for batch in turn.batches {
            let count = batch.events.len() as u64;
            if failed || outcome.is_err() {
                serving.lose(count);
            } else {
                output.append(&batch, idx, client, (now, clock));
                idx += count;
                if output.text.len() >= FRAME {
                    outcome = output.write(|| serving.step());
                    serving.stored(*outcome.as_ref().unwrap_or(&0));
                }
            }
            serving.give_back(batch);
        }
        if turn.flush {
            if outcome.is_ok() {
                outcome = output.write(|| serving.step());
                serving.stored(*outcome.as_ref().unwrap_or(&0));
            }
            flushed = Instant::now();
        }
        if let Err(error) = outcome {
            serving.lose(output.give_up());
            failed = true;
            tracing::warn!(%error, "the op-log cannot be written any more; operations go on without");
            serving.fail(error);
        }
        if turn.last {
            drop(output); // before anybody hears of the end, who may open it again
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel::{BATCH, Event, Limits};
    use super::super::observe::{Site, Times};
    use super::super::writer::Summary;
    use super::*;
    use crate::base::op::Op;
    use crate::base::uri::Uri;
    use std::fs::File;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;
    use std::thread::JoinHandle;

    const EACH: u64 = BATCH as u64;
    const QUEUE: u64 = 4;

    /// A log into a pipe, whose thread is not running yet.
    fn log() -> (PipeReader, Arc<Channel>, Output) {
        let (reader, writer) = pipe().unwrap();
        let limits = Limits {
            queue: QUEUE as usize,
            stall: Duration::from_millis(50),
            flush: Duration::from_secs(60),
        };
        let output = Output::new(Held::of(File::from(OwnedFd::from(writer))), None, None).unwrap();
        (reader, Channel::new(limits, Summary::default()), output)
    }

    fn serve(channel: &Arc<Channel>, output: Output) -> JoinHandle<()> {
        let served = channel.clone();
        std::thread::spawn(move || run(output, served, "c", 0, |_| Vec::new()))
    }

    /// A full batch.
    fn batch() -> Batch {
        let site = Site::of(&Uri::parse("memory://channel").unwrap());
        let event = || Event {
            site: site.clone(),
            op: Op::Get,
            thread: 0,
            times: Times { started: Instant::now(), first_byte: None, took: Duration::ZERO },
            objects: 1,
            bytes: 1,
            text: 0,
            error_at: 1,
            end: 1,
        };
        Batch { events: (0..BATCH).map(|_| event()).collect(), text: "k".into() }
    }

    fn hand_over(channel: &Channel, batches: u64) {
        for _ in 0..batches {
            if let (_, Some(refused)) = channel.offer(batch()) {
                channel.insist(refused);
            }
        }
    }

    fn count(text: &[u8]) -> u64 {
        text.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    #[test]
    fn o1_a_file_that_takes_nothing_stops_operations_once_and_every_drop_is_counted() {
        let (mut reader, channel, output) = log();
        let thread = serve(&channel, output);
        let began = Instant::now();
        hand_over(&channel, 200);
        assert!(began.elapsed() < Duration::from_secs(10), "each batch waits by itself");
        let stalled = channel.progress();
        assert_eq!(stalled.rows + stalled.dropped, 200 * EACH);
        assert!(stalled.dropped >= 100 * EACH, "{stalled:?}");
        let drained = std::thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        // It takes something again: so does the log.
        let mut handed = 200;
        while channel.progress().rows == stalled.rows {
            hand_over(&channel, 1);
            handed += 1;
            assert!(began.elapsed() < Duration::from_secs(60), "rows are never taken again");
        }
        channel.close();
        assert!(channel.wait_for_end(Duration::from_secs(60)));
        thread.join().unwrap();
        let (summary, failure) = channel.outcome();
        assert!(failure.is_none());
        assert_eq!(summary, channel.progress());
        assert_eq!(summary.rows + summary.dropped, handed * EACH);
        assert_eq!(count(&drained.join().unwrap()), summary.rows);
    }

    #[test]
    fn o1_an_end_does_not_wait_for_ever() {
        let (reader, channel, output) = log();
        let thread = serve(&channel, output);
        hand_over(&channel, 40);
        channel.close();
        assert!(!channel.wait_for_end(Duration::from_millis(50)));
        assert_eq!(channel.outcome().0, Summary { rows: 0, dropped: 40 * EACH });
        drop(reader);
        thread.join().unwrap(); // it writes nothing more
    }

    #[test]
    fn o1_rows_before_a_failed_write_count_as_rows() {
        let (mut reader, channel, output) = log();
        (0..6 * QUEUE).for_each(|_| channel.add_last(batch()));
        channel.close();
        let reading = std::thread::spawn(move || {
            let mut text = vec![0; FRAME + FRAME / 4]; // all of the first write, a part of the second
            reader.read_exact(&mut text).unwrap();
            text
        });
        serve(&channel, output).join().unwrap();
        let (summary, failure) = channel.outcome();
        let (read, message) = (reading.join().unwrap(), failure.unwrap().to_string());
        assert!(message.contains("cannot write the op-log"), "{message}");
        assert!(summary.rows > 0 && summary.rows <= count(&read), "{summary:?}");
        assert_eq!(summary.rows % EACH, 0, "whole writes");
        assert_eq!(summary.rows + summary.dropped, 6 * QUEUE * EACH);
        assert_eq!(summary, channel.progress());
    }
}
