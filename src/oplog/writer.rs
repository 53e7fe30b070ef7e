//! Writing the log of the process, off the paths of its operations.
//!
//! An operation adds its facts to one of a few batches, each behind a lock of its own; a full batch goes to the
//! log's thread, which makes rows of it, compresses them and writes them. What is on its way is bounded: an
//! operation waits where the thread does not keep up, so that no row is lost, unless the file takes nothing for
//! [`PATIENCE`]; then rows are dropped and counted, because no log is worth a program that hangs. Each second
//! what there is goes to the file as a whole zstd frame, so that a process that is killed leaves a log that
//! can be read.
//!
//! A forked child writes a log of its own, with its process id in the name, from its first operation on.

use super::observe::Site;
use super::record::{HEADER, Row, Second};
use super::redact::redact;
use super::sys;
use crate::base::op::Op;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::options::{self, Options, Resolved};
use crate::runtime::{self, ForkRank, hold_during_fork};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long an operation waits for a file that takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an exit waits for the last rows.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long rows stay in memory.
const FLUSH: Duration = Duration::from_secs(1);
/// Operations per batch, and bytes of their keys and errors.
const BATCH: usize = 256;
const BATCH_TEXT: usize = 64 << 10;
/// Batches on their way.
const QUEUE: usize = 64;
const STRIPES: usize = 16;
/// Bytes of rows that one zstd frame holds, or one write.
const FRAME: usize = 256 << 10;
/// Longer errors are cut.
const MAX_ERROR: usize = 1000;

/// What became of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the file.
    pub rows: u64,
    /// Operations that are missing in it.
    pub dropped: u64,
}

/// Starts the log of this process at `path`, compressed where that ends in `.zst`; `{pid}` in it becomes the
/// process id. What is there is replaced, unless another process is writing it: then the process id is put
/// before the first dot of the name.
///
/// `InvalidState` where one is being written already.
pub fn start(path: &str, options: &Options) -> Result<()> {
    let resolved = options.resolve().map_err(|e| e.with_operation("oplog"))?;
    start_resolved(path, &resolved)
}

/// Ends the log once everything is written. `InvalidState` where there is none; where it could not be
/// written whole, the error of that.
pub fn stop() -> Result<Summary> {
    let mut log = lock(&LOG);
    // A parent's is not this process's to end.
    let Some(active) = log.take_if(|active| active.forks == runtime::forks()) else {
        let error = Error::new(Code::InvalidState, "no op-log is being written").with_operation("oplog");
        return Err(error.with_hint("start one first"));
    };
    close(|stripe| Some(lock(stripe)));
    let mut state = lock(&QUEUE_STATE);
    while !state.ended {
        state = WAITERS.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    drop(state);
    if active.thread.join().is_err() {
        return Err(context(Error::new(Code::Internal, "the op-log's thread panicked"), &active.path));
    }
    let summary = Summary { rows: ROWS.load(Ordering::Acquire), dropped: DROPPED.load(Ordering::Acquire) };
    let failure = lock(&QUEUE_STATE).failure.take();
    drop(log);
    match failure {
        None => Ok(summary),
        Some(error) => Err(context(error, &active.path)
            .with_detail("rows", summary.rows)
            .with_detail("dropped", summary.dropped)),
    }
}

/// Starts the log that the option `oplog.path` names, once per process.
pub fn start_by_option(options: &Resolved) -> Result<()> {
    static STARTED: Mutex<Option<String>> = Mutex::new(None);
    let Some(path) = options.text(&options::OPLOG_PATH).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut started = lock(&STARTED);
    if is_on() || started.as_deref() == Some(path) {
        return Ok(());
    }
    start_resolved(path, options)?;
    *started = Some(path.to_owned());
    Ok(())
}

/// Rows and dropped ones of the log that is being written, so far.
pub fn progress() -> Summary {
    match is_on() {
        true => Summary { rows: TAKEN.load(Ordering::Relaxed), dropped: DROPPED.load(Ordering::Relaxed) },
        false => Summary::default(),
    }
}

/// Whether [`push`] has anything to do.
#[inline]
pub(super) fn is_on() -> bool {
    STATE.load(Ordering::Relaxed) != 0
}

/// Notes an operation.
#[cold]
#[inline(never)]
pub(super) fn push(
    site: &Arc<Site>,
    key: &str,
    op: Op,
    (started, took): (Instant, Duration),
    objects: u64,
    bytes: u64,
    error: Option<&Error>,
) {
    if STATE.load(Ordering::Acquire) != runtime::forks() + 1 && !go_on_in_child() {
        return;
    }
    let thread = THREAD.try_with(|number| match number.get() {
        0 => {
            let fresh = THREADS.fetch_add(1, Ordering::Relaxed).saturating_add(1).max(1);
            number.set(fresh);
            fresh
        }
        known => known,
    });
    let thread = thread.unwrap_or(1) - 1;
    let mut stripe = lock(&STRIPE[usize::from(thread) % STRIPES]);
    if !stripe.open {
        return;
    }
    let text = stripe.batch.text.len();
    stripe.batch.text.push_str(key);
    let error_at = stripe.batch.text.len();
    if let Some(error) = error {
        describe(error, &mut stripe.batch.text);
    }
    let end = stripe.batch.text.len();
    let event = Event { site: site.clone(), op, thread, started, took, objects, bytes, text, error_at, end };
    stripe.batch.events.push(event);
    if stripe.batch.events.len() >= BATCH || stripe.batch.text.len() >= BATCH_TEXT {
        let full = std::mem::take(&mut stripe.batch);
        stripe.batch = send(full, PATIENCE); // with the stripe's lock, so that a stop waits for it
    }
}

/// 0: no log. Else one more than [`runtime::forks`] was when it began.
static STATE: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
static ROWS: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static THREADS: AtomicU16 = AtomicU16::new(0);

thread_local! {
    /// Counts from 1; warp's reader takes 16 bits.
    static THREAD: Cell<u16> = const { Cell::new(0) };
}

/// An operation, with its texts in the batch.
struct Event {
    site: Arc<Site>,
    op: Op,
    thread: u16,
    started: Instant,
    took: Duration,
    objects: u64,
    bytes: u64,
    text: usize,
    error_at: usize,
    end: usize,
}

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    text: String,
}

struct Stripe {
    open: bool,
    batch: Batch,
}

static STRIPE: [Mutex<Stripe>; STRIPES] =
    [const { Mutex::new(Stripe { open: false, batch: Batch { events: Vec::new(), text: String::new() } }) };
        STRIPES];

/// What is on its way to the log's thread.
struct Queue {
    batches: VecDeque<Batch>,
    /// Empty ones, to be filled again.
    spare: Vec<Batch>,
    closing: bool,
    ended: bool,
    /// The file took nothing for [`PATIENCE`]: nobody waits until it does again.
    stalled: bool,
    failure: Option<Error>,
}

static QUEUE_STATE: Mutex<Queue> = Mutex::new(Queue {
    batches: VecDeque::new(),
    spare: Vec::new(),
    closing: false,
    ended: false,
    stalled: false,
    failure: None,
});
/// There is something to do.
static READY: Condvar = Condvar::new();
/// There is room again, or it is over.
static WAITERS: Condvar = Condvar::new();

/// Held while a log starts and stops.
static LOG: Mutex<Option<Active>> = Mutex::new(None);

struct Active {
    path: PathBuf,
    asked: String,
    level: i32,
    forks: u64,
    thread: std::thread::JoinHandle<()>,
}

/// Hands a batch over and gives an empty one.
fn send(batch: Batch, patience: Duration) -> Batch {
    let count = batch.events.len() as u64;
    let mut state = lock(&QUEUE_STATE);
    let deadline = Instant::now() + patience;
    while state.batches.len() >= QUEUE && !state.stalled && !state.ended {
        let left = deadline.saturating_duration_since(Instant::now());
        state.stalled = left.is_zero();
        state = WAITERS.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    if state.batches.len() >= QUEUE || state.ended {
        DROPPED.fetch_add(count, Ordering::AcqRel);
        return Batch::default();
    }
    TAKEN.fetch_add(count, Ordering::Relaxed);
    state.batches.push_back(batch);
    READY.notify_one();
    state.spare.pop().unwrap_or_default()
}

fn describe(error: &Error, text: &mut String) {
    use std::fmt::Write as _;
    let start = text.len();
    // Writing to a string cannot fail. The URI stands in the row already.
    let _ = write!(text, "{}", error.code().name());
    if let Some(status) = error.http_status() {
        let _ = write!(text, " (HTTP {status})");
    }
    let _ = write!(text, ": {}", error.message());
    if text.len() - start > MAX_ERROR {
        let mut cut = start + MAX_ERROR;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
    }
}

fn context(error: Error, path: &Path) -> Error {
    error.with_context("oplog", path.display())
}

fn start_resolved(path: &str, options: &Resolved) -> Result<()> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    if path.is_empty() {
        return Err(Error::new(Code::InvalidArgument, "the op-log's path is empty").with_operation("oplog"));
    }
    let mut log = lock(&LOG);
    if let Some(active) = log.as_ref().filter(|active| active.forks == runtime::forks()) {
        let error = Error::new(Code::InvalidState, "an op-log is being written already");
        return Err(context(error, &active.path).with_hint("stop it before another one is started"));
    }
    let level = options.number(&options::OPLOG_LEVEL) as i32; // 1 to 22
    begin(&mut log, path, level, false)
}

fn begin(log: &mut Option<Active>, asked: &str, level: i32, in_child: bool) -> Result<()> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        hold_during_fork(ForkRank::Oplog, hold);
        runtime::after_shutdown(close_after_shutdown);
        sys::at_exit(close_at_exit);
    });
    let named = PathBuf::from(asked.replace("{pid}", &std::process::id().to_string()));
    let opened = if in_child && named == Path::new(asked) { None } else { open(&named)? };
    let (path, file) = match opened {
        Some(file) => (named, file),
        None => {
            let own = with_pid(&named);
            let file = open(&own)?.ok_or_else(|| {
                context(Error::new(Code::InvalidState, "another process is writing this op-log"), &own)
            })?;
            (own, file)
        }
    };
    let compressed = path.extension().is_some_and(|extension| extension == "zst");
    let mut output = Output::new(file, compressed.then_some(level)).map_err(|e| context(e, &path))?;
    output.text.extend_from_slice(HEADER.as_bytes());
    output.text.push(b'\n');
    output.write().map_err(|e| context(e, &path))?;
    if let Some(parents) = log.take() {
        std::mem::forget(parents.thread); // it does not run here
    }
    {
        let mut state = lock(&QUEUE_STATE);
        state.batches.clear();
        (state.closing, state.ended, state.stalled, state.failure) = (false, false, false, None);
    }
    [&TAKEN, &ROWS, &DROPPED].into_iter().for_each(|counter| counter.store(0, Ordering::Release));
    let client = client_id();
    let thread = runtime::with_signals_blocked(|| {
        let work = move || run(output, &client);
        std::thread::Builder::new().name("s3dlio-oplog".into()).spawn(work)
    });
    let thread =
        thread.map_err(|e| context(Error::from_io("cannot start the op-log's thread", &e), &path))?;
    for stripe in &STRIPE {
        let mut stripe = lock(stripe);
        stripe.batch.events.clear();
        stripe.batch.text.clear();
        stripe.open = true;
    }
    let forks = runtime::forks();
    *log = Some(Active { path, asked: asked.to_owned(), level, forks, thread });
    STATE.store(forks + 1, Ordering::Release);
    Ok(())
}

/// The file, empty; `None` where another process is writing it.
fn open(path: &Path) -> Result<Option<File>> {
    let failed = |e: std::io::Error| context(Error::from_io("cannot open the op-log for writing", &e), path);
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks, or no file: then nobody is asked.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => {}
    }
    if file.metadata().is_ok_and(|facts| facts.is_file()) {
        file.set_len(0).map_err(failed)?;
    }
    Ok(Some(file))
}

/// `run.tsv.zst` as `run.1234.tsv.zst`.
fn with_pid(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, rest) =
        name.split_at(name.get(1..).and_then(|rest| rest.find('.')).map_or(name.len(), |at| at + 1));
    path.with_file_name(format!("{stem}.{}{rest}", std::process::id()))
}

/// Host and process.
fn client_id() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "host" } else { host }, std::process::id())
}

/// The first operation in a forked child; whether there is a log.
fn go_on_in_child() -> bool {
    let mut log = lock(&LOG);
    let forks = runtime::forks();
    if STATE.load(Ordering::Acquire) == 0 {
        return false;
    }
    let Some(active) = log.as_ref().filter(|active| active.forks != forks) else {
        return log.is_some();
    };
    let (asked, level) = (active.asked.clone(), active.level);
    let begun = begin(&mut log, &asked, level, true);
    if let Err(error) = begun {
        STATE.store(0, Ordering::Release);
        drop(log);
        tracing::warn!(%error, "a forked process goes without an op-log");
        return false;
    }
    true
}

/// No more rows are taken; those there are go to the thread, which then ends. A stripe that cannot be had
/// keeps its rows.
fn close<'a>(hold: impl Fn(&'a Mutex<Stripe>) -> Option<MutexGuard<'a, Stripe>>) {
    STATE.store(0, Ordering::Release);
    for stripe in &STRIPE {
        let Some(mut stripe) = hold(stripe) else { continue };
        stripe.open = false;
        let rest = std::mem::take(&mut stripe.batch);
        if !rest.events.is_empty() {
            send(rest, PATIENCE);
        }
    }
    lock(&QUEUE_STATE).closing = true;
    READY.notify_one();
}

fn hold() -> Box<dyn std::any::Any> {
    let log = lock(&LOG);
    let stripes: Vec<_> = STRIPE.iter().map(lock).collect();
    let state = lock(&QUEUE_STATE);
    Box::new((state, stripes, log))
}

fn close_after_shutdown() {
    if !is_on() || STATE.load(Ordering::Acquire) != runtime::forks() + 1 {
        return;
    }
    if let Err(error) = stop() {
        tracing::warn!(%error, "the op-log is not whole");
    }
}

/// Waits for no lock for long: the thread that has it may be the one that exits.
extern "C" fn close_at_exit() {
    let deadline = Instant::now() + FAREWELL;
    if !is_on() || STATE.load(Ordering::Acquire) != runtime::forks() + 1 {
        return;
    }
    let Some(_log) = patiently(&LOG, deadline) else { return };
    close(|stripe| patiently(stripe, deadline));
    let Some(mut state) = patiently(&QUEUE_STATE, deadline) else { return };
    while !state.ended {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = WAITERS.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn patiently<T>(mutex: &Mutex<T>, deadline: Instant) -> Option<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(std::sync::TryLockError::WouldBlock) => return None,
        }
    }
}

/// The file and what will go to it next.
struct Output {
    file: File,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    text: Vec<u8>,
}

impl Output {
    fn new(file: File, level: Option<i32>) -> Result<Output> {
        let compressor = level.map(zstd::bulk::Compressor::new).transpose();
        let compressor = compressor.map_err(|e| Error::from_io("cannot start to compress", &e))?;
        Ok(Output { file, compressor, text: Vec::with_capacity(FRAME + (64 << 10)) })
    }

    /// Writes the rows there are, as one frame.
    fn write(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let failed = |e: std::io::Error| Error::from_io("cannot write the op-log", &e);
        match &mut self.compressor {
            None => self.file.write_all(&self.text),
            Some(compressor) => {
                let frame = compressor.compress(&self.text);
                frame.and_then(|frame| self.file.write_all(&frame))
            }
        }
        .map_err(failed)?;
        self.text.clear();
        Ok(())
    }
}

/// The log's thread.
fn run(mut output: Output, client: &str) {
    let (mut rows, mut written, mut flushed) = (0, 0, Instant::now());
    loop {
        let (batches, closing) = next(flushed);
        // Now and what the clock says now: operations only know the former.
        let (now, clock) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let failed = lock(&QUEUE_STATE).failure.is_some();
        let mut outcome = Ok(());
        for batch in batches {
            if failed || outcome.is_err() {
                DROPPED.fetch_add(batch.events.len() as u64, Ordering::AcqRel);
            } else {
                append(&batch, &mut output.text, &mut rows, client, (now, clock));
                if output.text.len() >= FRAME {
                    outcome = output.write();
                }
            }
            give_back(batch);
        }
        let due = flushed.elapsed() >= FLUSH;
        if due || closing {
            outcome = outcome.and_then(|()| if failed { Ok(()) } else { output.write() });
            flushed = Instant::now();
        }
        if output.text.is_empty() {
            written = rows;
        }
        ROWS.store(written, Ordering::Release);
        if let Err(error) = outcome {
            DROPPED.fetch_add(rows - written, Ordering::AcqRel);
            tracing::warn!(%error, "the op-log cannot be written any more; operations go on without");
            output.text.clear();
            rows = written;
            lock(&QUEUE_STATE).failure = Some(error);
        }
        if closing {
            drop(output);
            lock(&QUEUE_STATE).ended = true;
            WAITERS.notify_all();
            return;
        }
    }
}

/// What has come, once there is something, or it is time to flush; then also batches that are not full.
fn next(flushed: Instant) -> (VecDeque<Batch>, bool) {
    let mut state = lock(&QUEUE_STATE);
    loop {
        let left = FLUSH.saturating_sub(flushed.elapsed());
        if !state.batches.is_empty() || state.closing || left.is_zero() {
            let mut batches = std::mem::take(&mut state.batches);
            let closing = state.closing;
            state.stalled = false;
            drop(state);
            WAITERS.notify_all();
            if left.is_zero() && !closing {
                for stripe in &STRIPE {
                    // A busy one may wait for room in the queue, and comes by itself.
                    let Ok(mut stripe) = stripe.try_lock() else { continue };
                    if !stripe.batch.events.is_empty() {
                        TAKEN.fetch_add(stripe.batch.events.len() as u64, Ordering::Relaxed);
                        batches.push_back(std::mem::take(&mut stripe.batch));
                    }
                }
            }
            return (batches, closing);
        }
        state = READY.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn give_back(mut batch: Batch) {
    batch.events.clear();
    batch.text.clear();
    let mut state = lock(&QUEUE_STATE);
    if state.spare.len() < STRIPES && batch.text.capacity() <= 2 * BATCH_TEXT {
        state.spare.push(batch);
    }
}

fn append(batch: &Batch, out: &mut Vec<u8>, rows: &mut u64, client: &str, (now, clock): (Instant, Duration)) {
    let mut second = Second::default();
    let nanos = |since: Duration| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    for event in &batch.events {
        let start = nanos(clock.saturating_sub(now.saturating_duration_since(event.started)));
        let key = batch.text.get(event.text..event.error_at).unwrap_or_default();
        let error = batch.text.get(event.error_at..event.end).unwrap_or_default();
        Row {
            idx: *rows,
            thread: u64::from(event.thread),
            op: event.op,
            client_id: client,
            n_objects: event.objects,
            bytes: event.bytes,
            endpoint: &event.site.endpoint,
            file: &[&redact(&event.site.prefix), &redact(key)],
            error: &redact(error),
            start,
            first_byte: None,
            end: start.saturating_add(nanos(event.took)),
        }
        .write(out, &mut second);
        *rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_a_second_process_puts_its_id_before_the_first_dot() {
        let pid = std::process::id();
        for (path, shown) in [
            ("/a.b/run.tsv.zst", format!("/a.b/run.{pid}.tsv.zst")),
            ("run", format!("run.{pid}")),
            (".run.tsv", format!(".run.{pid}.tsv")),
        ] {
            assert_eq!(with_pid(Path::new(path)), PathBuf::from(shown));
        }
    }
}
