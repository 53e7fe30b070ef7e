//! The log of the process, off the paths of its operations.
//!
//! An operation adds its facts to one of a few batches, each behind a lock of its own; a full batch goes through a
//! [`Channel`] to the log's thread, which makes rows of it, compresses them and writes them. What is on its way is
//! bounded: an operation waits where the thread does not keep up, so that no row is lost, unless the file takes
//! nothing for two seconds; then rows are dropped and counted, because no log is worth a program that hangs. Each
//! second what there is goes to the file as a whole zstd frame, so that a process that is killed leaves a log that
//! can be read.
//!
//! A forked child writes a log of its own, with its process id in the name, from its first operation on. A log that an
//! option began rests after a shutdown, and goes on in the same file with the next operation.
//!
//! Locks are taken in this order: [`STARTED`], [`LOG`], a stripe, the channel's. None is held while a file is waited for.

use super::channel::{Batch, Channel, Event, Limits, on_log_thread};
use super::held::{Held, Mark};
use super::observe::{Site, Times};
use super::output::{self, Output};
use super::sys;
use crate::base::op::Op;
use crate::base::redact::redact;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::options::{self, Options, Resolved};
use crate::runtime::{self, ForkRank, hold_during_fork};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an end waits for a file that takes nothing.
const FAREWELL: Duration = Duration::from_secs(10);
const STRIPES: usize = 16;
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
/// process id. What is there is replaced, unless another process is writing or reading it: then the process id is put
/// before the first dot of the name.
///
/// `InvalidState` where one is being written already.
pub fn start(path: &str, options: &Options) -> Result<()> {
    let resolved = options.resolve().map_err(|e| e.with_operation("oplog"))?;
    start_resolved(path, &resolved, false)
}

/// Ends the log once everything is written. `InvalidState` where there is none, or on its own thread; where it
/// could not be written whole, the error of that. `Timeout` where the file takes nothing for ten seconds: then the
/// log is over all the same.
pub fn stop() -> Result<Summary> {
    if on_log_thread() {
        let error = Error::new(Code::InvalidState, "a log callback cannot end the op-log that called it");
        return Err(error.with_operation("oplog").with_hint("end it on another thread"));
    }
    end(false)
}

/// Starts the log that the option `oplog.path` names, once per process.
pub fn start_by_option(options: &Resolved) -> Result<()> {
    let Some(path) = options.text(&options::OPLOG_PATH).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    hooks();
    let mut started = lock(&STARTED);
    // One that is just being ended is no reason to refuse a store: the next one starts it.
    if is_on() || started.as_deref() == Some(path) || lock(&LOG).as_ref().is_some_and(Active::is_ours) {
        return Ok(());
    }
    start_resolved(path, options, true)?;
    *started = Some(path.to_owned());
    Ok(())
}

/// Rows and dropped ones of the log that is being written, so far.
pub fn progress() -> Summary {
    if !is_on() {
        return Summary::default();
    }
    match lock(&LOG).as_ref().filter(|active| active.is_ours()).map(|active| &active.phase) {
        Some(Phase::Running(channel, _)) => channel.progress(),
        Some(Phase::Resting(left)) => left.summary,
        Some(Phase::Ending(_)) | None => Summary::default(),
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
    times: Times,
    objects: u64,
    bytes: u64,
    error: Option<&Error>,
) {
    if STATE.load(Ordering::Acquire) != runtime::forks() + 1 && !go_on() {
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
    let error = error.map(describe).unwrap_or_default();
    let mut guard = lock(&STRIPE[usize::from(thread) % STRIPES]);
    let stripe = &mut *guard;
    let Some(channel) = &stripe.channel else { return };
    let text = stripe.batch.text.len();
    stripe.batch.text.push_str(key);
    let error_at = stripe.batch.text.len();
    stripe.batch.text.push_str(&error);
    let end = stripe.batch.text.len();
    let event = Event { site: site.clone(), op, thread, times, objects, bytes, text, error_at, end };
    stripe.batch.events.push(event);
    if !stripe.batch.is_full() {
        return;
    }
    // With the stripe's lock, so that an end knows of it; what has to wait does so without.
    let channel = channel.clone();
    let (empty, refused) = channel.offer(std::mem::take(&mut stripe.batch));
    stripe.batch = empty;
    drop(guard);
    if let Some(batch) = refused {
        channel.insist(batch);
    }
}

/// 0: no log. [`RESTING`]. Else one more than [`runtime::forks`] was when it began.
static STATE: AtomicU64 = AtomicU64::new(0);
/// A log waits for the next operation.
const RESTING: u64 = u64::MAX;
static THREADS: AtomicU16 = AtomicU16::new(0);

thread_local! {
    /// Counts from 1; warp's reader takes 16 bits.
    static THREAD: Cell<u16> = const { Cell::new(0) };
}

struct Stripe {
    /// Of the log that takes rows.
    channel: Option<Arc<Channel>>,
    batch: Batch,
}

static STRIPE: [Mutex<Stripe>; STRIPES] =
    [const { Mutex::new(Stripe { channel: None, batch: Batch::new() }) }; STRIPES];

/// The option's path of which a log was started.
static STARTED: Mutex<Option<String>> = Mutex::new(None);

/// Never held while a file is waited for.
static LOG: Mutex<Option<Active>> = Mutex::new(None);

struct Active {
    path: PathBuf,
    asked: String,
    level: i32,
    /// Begun by the option.
    by_option: bool,
    forks: u64,
    phase: Phase,
}

enum Phase {
    Running(Arc<Channel>, JoinHandle<()>),
    /// Somebody waits for its thread.
    Ending(Arc<Channel>),
    /// The library was shut down.
    Resting(Left),
}

/// Where a log is taken up again.
#[derive(Clone, Copy)]
struct Left {
    summary: Summary,
    /// `None` of what is no regular file.
    mark: Option<Mark>,
}

impl Active {
    /// Not the parent's.
    fn is_ours(&self) -> bool {
        self.forks == runtime::forks()
    }
}

/// The code, the status and the message, without secrets. The URI stands in the row already.
fn describe(error: &Error) -> String {
    let code = error.code().name();
    let text = match error.http_status() {
        Some(status) => format!("{code} (HTTP {status}): {}", error.message()),
        None => format!("{code}: {}", error.message()),
    };
    let mut shown = redact(&text).into_owned(); // before it is cut: a name could be left without its value's end
    if shown.len() > MAX_ERROR {
        let mut cut = MAX_ERROR;
        while !shown.is_char_boundary(cut) {
            cut -= 1;
        }
        shown.truncate(cut);
    }
    shown
}

fn context(error: Error, path: &Path) -> Error {
    error.with_context("oplog", path.display())
}

fn start_resolved(path: &str, options: &Resolved, by_option: bool) -> Result<()> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    if path.is_empty() {
        return Err(Error::new(Code::InvalidArgument, "the op-log's path is empty").with_operation("oplog"));
    }
    hooks();
    let mut log = lock(&LOG);
    if let Some(active) = log.as_ref().filter(|active| active.is_ours()) {
        let (what, hint) = match &active.phase {
            Phase::Running(..) => {
                ("an op-log is being written already", "stop it before another one is started")
            }
            Phase::Ending(_) => {
                ("the op-log before is still being written", "start this one once that has ended")
            }
            Phase::Resting(_) => ("", ""),
        };
        if !what.is_empty() {
            return Err(context(Error::new(Code::InvalidState, what), &active.path).with_hint(hint));
        }
    }
    let level = options.number(&options::OPLOG_LEVEL) as i32; // 1 to 22
    begin(&mut log, Begin { asked: path.to_owned(), level, by_option, own_name: false })
}

/// What a log begins with.
struct Begin {
    asked: String,
    level: i32,
    by_option: bool,
    /// What has the name that was asked for is not to be touched.
    own_name: bool,
}

/// Has to be called before the first of the locks is taken. Twice is as good as once: a `Once` could be left
/// locked by a fork.
fn hooks() {
    static HOOKED: AtomicBool = AtomicBool::new(false);
    if HOOKED.load(Ordering::Acquire) {
        return;
    }
    hold_during_fork(ForkRank::Oplog, hold);
    runtime::after_shutdown(rest_after_shutdown);
    sys::at_exit(close_at_exit);
    HOOKED.store(true, Ordering::Release);
}

fn begin(log: &mut Option<Active>, how: Begin) -> Result<()> {
    let named = PathBuf::from(how.asked.replace("{pid}", &std::process::id().to_string()));
    let open = |path: &Path| Held::to_write(path).map_err(|e| context(e, path));
    let opened = if how.own_name && named == Path::new(&how.asked) { None } else { open(&named)? };
    let (path, file) = match opened {
        Some(file) => (named, file),
        None => {
            let own = with_pid(&named);
            let file = open(&own)?.ok_or_else(|| {
                context(Error::new(Code::InvalidState, "another process is using this op-log"), &own)
            })?;
            (own, file)
        }
    };
    let output = Output::begin(file, zstd_level(&path, how.level)).map_err(|e| context(e, &path))?;
    let Begin { asked, level, by_option, .. } = how;
    run(
        log,
        output,
        Summary::default(),
        Active {
            path,
            asked,
            level,
            by_option,
            forks: runtime::forks(),
            phase: Phase::Resting(Left { summary: Summary::default(), mark: None }),
        },
    )
}

/// Goes on with a log that rested, in its file, if that is as it was left.
fn take_up(log: &mut Option<Active>, active: Active, left: Left) -> Result<()> {
    let file = Held::to_write(&active.path).map_err(|e| context(e, &active.path))?;
    if let Some(file) = file {
        let now = file.mark();
        if now == left.mark {
            let output = Output::go_on(file, zstd_level(&active.path, active.level));
            let output = output.map_err(|e| context(e, &active.path))?;
            return run(log, output, left.summary, active);
        }
        // Gone, and made again by the opening; else it is not ours any more.
        let own_name = now.is_none_or(|mark| mark.length() > 0);
        drop(file);
        let Active { asked, level, by_option, .. } = active;
        return begin(log, Begin { asked, level, by_option, own_name });
    }
    let Active { asked, level, by_option, .. } = active;
    begin(log, Begin { asked, level, by_option, own_name: true })
}

/// From here on operations are taken.
fn run(log: &mut Option<Active>, output: Output, before: Summary, active: Active) -> Result<()> {
    let channel = Channel::new(Limits::USUAL, before);
    let client = client_id();
    let thread = runtime::with_signals_blocked(|| {
        let served = channel.clone();
        let work = move || output::run(output, served, &client, before.rows, sweep);
        std::thread::Builder::new().name("s3dlio-oplog".into()).spawn(work)
    });
    let thread =
        thread.map_err(|e| context(Error::from_io("cannot start the op-log's thread", &e), &active.path))?;
    for stripe in &STRIPE {
        let mut stripe = lock(stripe);
        stripe.batch.clear();
        std::mem::forget(stripe.channel.replace(channel.clone())); // at most a parent's, whose lock may be held
    }
    let fresh = Active { phase: Phase::Running(channel, thread), ..active };
    let forks = fresh.forks;
    if let Some(before) = log.replace(fresh)
        && !before.is_ours()
    {
        std::mem::forget(before); // its thread does not run here
    }
    STATE.store(forks + 1, Ordering::Release);
    Ok(())
}

/// What lies in batches that are not full.
fn sweep(channel: &Arc<Channel>) -> Vec<Batch> {
    let mut found = Vec::new();
    for stripe in &STRIPE {
        let mut stripe = lock(stripe);
        let ours = stripe.channel.as_ref().is_some_and(|own| Arc::ptr_eq(own, channel));
        if ours && !stripe.batch.events.is_empty() {
            channel.count_in(&stripe.batch);
            found.push(std::mem::take(&mut stripe.batch));
        }
    }
    found
}

fn zstd_level(path: &Path, level: i32) -> Option<i32> {
    path.extension().is_some_and(|extension| extension == "zst").then_some(level)
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

/// The first operation in a forked child, or after a shutdown; whether there is a log.
fn go_on() -> bool {
    let mut log = lock(&LOG);
    let forks = runtime::forks();
    let state = STATE.load(Ordering::Acquire);
    if state == 0 || state == forks + 1 {
        return state != 0;
    }
    let begun = match log.take() {
        Some(mut active) if active.is_ours() => match active.phase {
            Phase::Resting(left) => {
                active.phase = Phase::Resting(left);
                take_up(&mut log, active, left)
            }
            // Not with this state.
            Phase::Running(..) | Phase::Ending(_) => {
                *log = Some(active);
                return false;
            }
        },
        Some(parents) => {
            let (asked, level, by_option) = (parents.asked.clone(), parents.level, parents.by_option);
            std::mem::forget(parents); // its thread does not run here
            begin(&mut log, Begin { asked, level, by_option, own_name: true })
        }
        None => Ok(()),
    };
    if begun.is_err() || log.is_none() {
        STATE.store(0, Ordering::Release);
    }
    drop(log);
    match begun {
        Ok(()) => is_on(),
        Err(error) => {
            tracing::warn!(%error, "the op-log does not go on after a fork or a shutdown");
            false
        }
    }
}

/// Ends the log of this process, or lets it rest.
fn end(rest: bool) -> Result<Summary> {
    let mut log = lock(&LOG);
    let none = |what, hint| Err(Error::new(Code::InvalidState, what).with_operation("oplog").with_hint(hint));
    // A parent's is not this process's to end.
    let Some(active) = log.take_if(|active| active.is_ours()) else {
        return none("no op-log is being written", "start one first");
    };
    let (channel, thread) = match active.phase {
        Phase::Running(channel, thread) => (channel, thread),
        Phase::Resting(left) => {
            STATE.store(0, Ordering::Release);
            return Ok(left.summary);
        }
        Phase::Ending(_) => {
            *log = Some(active);
            return none("the op-log is being ended already", "wait for whoever ends it");
        }
    };
    let (path, forks, again) = (active.path.clone(), active.forks, rest && active.by_option);
    close(&channel, |stripe| Some(lock(stripe)));
    let waiting = Active { phase: Phase::Ending(channel.clone()), ..active };
    *log = Some(waiting);
    drop(log);
    let whole = channel.wait_for_end(FAREWELL);
    let panicked = whole && thread.join().is_err();
    let (summary, failure) = channel.outcome();
    let mut log = lock(&LOG);
    let ended = log.take_if(|active| active.forks == forks && active.is_ours());
    if whole && !panicked && failure.is_none() {
        if let Some(active) = ended.filter(|_| again) {
            let mark = std::fs::metadata(&path).ok().as_ref().and_then(Mark::of);
            *log = Some(Active { phase: Phase::Resting(Left { summary, mark }), ..active });
            STATE.store(RESTING, Ordering::Release);
        }
        return Ok(summary);
    }
    drop(log);
    let error = match failure {
        Some(error) => error,
        None if panicked => Error::new(Code::Internal, "the op-log's thread panicked"),
        None => {
            let what = format!("the op-log's file took nothing for {} s", FAREWELL.as_secs());
            Error::new(Code::Timeout, what).with_hint("nobody reads the FIFO, or its file system hangs")
        }
    };
    Err(context(error, &path).with_detail("rows", summary.rows).with_detail("dropped", summary.dropped))
}

/// No more rows are taken; those there are go to the thread, which then ends. A stripe that cannot be had
/// keeps its rows.
fn close<'a>(channel: &Arc<Channel>, hold: impl Fn(&'a Mutex<Stripe>) -> Option<MutexGuard<'a, Stripe>>) {
    STATE.store(0, Ordering::Release);
    for stripe in &STRIPE {
        let Some(mut stripe) = hold(stripe) else { continue };
        stripe.channel = None;
        channel.add_last(std::mem::take(&mut stripe.batch));
    }
    channel.close();
}

/// A channel's lock is not among these: a child never uses its parent's channel.
fn hold() -> Box<dyn std::any::Any> {
    let started = lock(&STARTED);
    let log = lock(&LOG);
    let stripes: Vec<_> = STRIPE.iter().map(lock).collect();
    Box::new((stripes, log, started))
}

fn rest_after_shutdown() {
    if STATE.load(Ordering::Acquire) != runtime::forks() + 1 || on_log_thread() {
        return;
    }
    if let Err(error) = end(true)
        && error.code() != Code::InvalidState
    // another thread ends it
    {
        tracing::warn!(%error, "the op-log is not whole");
    }
}

/// Waits for no lock for long: the thread that has it may be the one that exits.
extern "C" fn close_at_exit() {
    let deadline = Instant::now() + FAREWELL;
    let Some(mut log) = patiently(&LOG, deadline) else { return };
    let Some(active) = log.take_if(|active| active.is_ours()) else { return };
    let channel = match active.phase {
        Phase::Running(channel, _) => {
            close(&channel, |stripe| patiently(stripe, deadline));
            channel
        }
        Phase::Ending(channel) => channel,
        Phase::Resting(_) => return,
    };
    drop(log);
    if !on_log_thread() {
        channel.wait_for_end(FAREWELL);
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
