//! Many objects, some at once: what every verb does that is about more than one.

use crate::app::App;
use crate::exit::{Failure, Outcome};
use crate::progress::Counters;
use crate::text;
use s3dlio::api::advanced::block_on;
use s3dlio::api::{Code, Error};
use serde_json::json;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Items that are found before one is taken up.
const AHEAD: usize = 1000;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It was done, with so many bytes.
    Done(u64),
    /// It was done before.
    Skipped,
    Deleted,
    /// The job counted what it did by itself, on the bar, too.
    Counted,
}

/// Where lanes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// As tasks: their waiting is for the network.
    Tasks(usize),
    /// On threads, as files block them.
    Threads(usize),
}

impl Lanes {
    /// `asked` of them, or what suits: network waits, files keep processors busy.
    pub fn new(asked: Option<u64>, local: bool, network: bool) -> Lanes {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let asked = asked.map(|number| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, 4096));
        match (local, network) {
            (true, false) => Lanes::Threads(asked.unwrap_or((2 * processors).min(16))),
            _ => Lanes::Tasks(asked.unwrap_or(32)),
        }
    }

    fn count(self) -> usize {
        let (Lanes::Tasks(count) | Lanes::Threads(count)) = self;
        count
    }
}

/// Counts of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub done: AtomicU64,
    pub bytes: AtomicU64,
    pub skipped: AtomicU64,
    pub deleted: AtomicU64,
    pub failed: AtomicU64,
    /// Of the failure that was counted last.
    code: Mutex<Option<Code>>,
    /// What would fail every other item, too.
    fatal: Mutex<Option<Failure>>,
}

impl Tally {
    /// One of the many that an item stood for is done.
    pub fn done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    /// An item, or one of the many that it stood for, failed with this error, which was shown.
    pub fn failed(&self, code: Code) {
        self.failed.fetch_add(1, Relaxed);
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
    }
}

/// A run of a verb over many items.
#[derive(Debug)]
pub struct Run {
    app: Arc<App>,
    verb: &'static str,
    pub tally: Arc<Tally>,
    pub counters: Arc<Counters>,
    started: Instant,
}

/// Where items are sent to by whoever finds them.
#[derive(Debug)]
pub struct Items<I> {
    sender: mpsc::Sender<I>,
    counters: Arc<Counters>,
    tally: Arc<Tally>,
    app: Arc<App>,
}

impl<I> Items<I> {
    /// One more item, of so many bytes; a failure where nobody takes it up any more.
    pub async fn send(&self, item: I, bytes: u64) -> Outcome {
        self.send_many(item, 1, bytes).await
    }

    /// All that there will be, of so many bytes.
    pub async fn send_all(&self, all: impl Iterator<Item = I>, objects: u64, bytes: u64) -> Outcome {
        self.counters.announce(objects, bytes);
        self.counters.all_known.store(true, Relaxed);
        for item in all {
            self.sender.send(item).await.map_err(|_| Failure::Partly)?;
        }
        Ok(())
    }

    /// An item that stands for several objects, which the job counts ([`Did::Counted`]).
    pub async fn send_many(&self, item: I, objects: u64, bytes: u64) -> Outcome {
        self.counters.announce(objects, bytes);
        // The run ended, and says why.
        self.sender.send(item).await.map_err(|_| Failure::Partly)
    }

    /// What was asked for and cannot be looked at: shown and counted, as the others are still to be done.
    pub fn refuse(&self, errors: &[Error]) {
        for error in errors {
            self.counters.announce(1, 0);
            self.counters.done();
            self.tally.failed(error.code());
            self.app.report(error);
        }
    }

    /// How finding what is below one of `sources` ended: of several, one that fails is [refused](Items::refuse).
    pub fn found(&self, outcome: Outcome, sources: usize) -> Outcome {
        match outcome {
            Err(Failure::Failed(error)) if sources > 1 && !error_of_all(error.code()) => {
                self.refuse(&[error]);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl Run {
    pub fn new(app: &Arc<App>, verb: &'static str) -> Run {
        Run {
            app: app.clone(),
            verb,
            tally: Arc::default(),
            counters: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Does `job` for each item that `find` sends. An item's failure is shown and counted; one that every
    /// other item would meet, and a wish to stop, end the run. Fails where `find` did, or a stop was asked for.
    pub fn each<I, P, F>(
        &self,
        lanes: Lanes,
        find: impl FnOnce(Items<I>) -> P,
        job: impl Fn(I) -> F + Send + Sync + 'static,
    ) -> Outcome
    where
        I: Send + 'static,
        P: Future<Output = Outcome> + Send + 'static,
        F: Future<Output = Outcome<Did>> + Send + 'static,
    {
        let _drawn = self.app.progress.draw(self.verb, &self.counters);
        let (sender, receiver) = mpsc::channel(AHEAD);
        let counters = self.counters.clone();
        let (tally, app) = (self.tally.clone(), self.app.clone());
        let find = find(Items { sender, counters: counters.clone(), tally, app });
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let job = Arc::new(job);
        let found = block_on(async {
            let stop = self.app.stop.clone();
            let known = async move {
                let found = tokio::select! {
                    biased;
                    found = find => found,
                    failure = stop.asked() => Err(failure),
                };
                counters.all_known.store(true, Relaxed);
                found
            };
            // Finding may block, too, and goes on while its items are taken up.
            let on = Handle::current();
            let finder = tokio::task::spawn_blocking(move || on.block_on(known));
            let lane = || {
                lane(
                    self.app.clone(),
                    self.tally.clone(),
                    self.counters.clone(),
                    receiver.clone(),
                    job.clone(),
                )
            };
            let mut running = Vec::new();
            for _ in 0..lanes.count() {
                running.push(match lanes {
                    Lanes::Tasks(_) => tokio::spawn(lane()),
                    Lanes::Threads(_) => {
                        let (on, lane) = (Handle::current(), lane());
                        tokio::task::spawn_blocking(move || on.block_on(lane))
                    }
                });
            }
            for lane in running {
                lane.await.map_err(|e| defect(&e))?;
            }
            // Nobody takes up what it still finds.
            receiver.lock().await.close();
            finder.await.map_err(|e| defect(&e))?
        })?;
        if let Some(error) = self.tally.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        self.app.stop.check()?;
        match found {
            Err(Failure::Partly) => Ok(()), // the lanes had ended before it
            found => found,
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Fails where an item did.
    pub fn all_succeeded(&self) -> Outcome {
        let tally = &*self.tally;
        match (tally.failed.load(Relaxed), *tally.code.lock().unwrap_or_else(PoisonError::into_inner)) {
            (0, _) => Ok(()),
            // The only one there was: it failed, not a part.
            (1, Some(code)) if self.counters.all_objects.load(Relaxed) == 1 => Err(Failure::Shown(code)),
            _ => Err(Failure::Partly),
        }
    }

    /// Says what was done, also where that is not all, and how the run ended.
    pub fn finish(&self, outcome: Outcome, past: &str, dry_run: bool) -> Outcome {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let tally = &*self.tally;
        let (done, bytes, skipped) = (load(&tally.done), load(&tally.bytes), load(&tally.skipped));
        let (deleted, failed, time) = (load(&tally.deleted), load(&tally.failed), self.elapsed());
        let stopped = matches!(outcome, Err(Failure::Stopped(_)));
        if outcome.is_err() && !stopped && done + skipped + deleted + failed == 0 {
            return outcome; // nothing was done, and the failure says why
        }
        let plain = || {
            let mut line = format!("{past} {}", text::count(done, "object"));
            if !dry_run && bytes > 0 {
                line += &format!(
                    ", {} in {} ({})",
                    text::size(bytes),
                    text::duration(time),
                    text::rate(bytes, time)
                );
            } else if bytes > 0 {
                line += &format!(", {}", text::size(bytes));
            }
            for (number, what) in [(skipped, "there already"), (deleted, "deleted"), (failed, "failed")] {
                if number > 0 {
                    line += &format!(", {number} {what}");
                }
            }
            let interrupted = if stopped { "interrupted: " } else { "" };
            let dry = if dry_run { "dry run: would have " } else { "" };
            format!("{interrupted}{dry}{line}")
        };
        let shown = self.app.out.line(plain, || {
            json!({
                "operation": self.verb, "objects": done, "bytes": bytes, "skipped": skipped,
                "deleted": deleted, "failed": failed, "seconds": time.as_secs_f64(),
                "dry_run": dry_run, "interrupted": stopped,
            })
        });
        outcome?;
        // Also where nobody reads what was shown.
        self.all_succeeded()?;
        shown
    }
}

async fn lane<I, F>(
    app: Arc<App>,
    tally: Arc<Tally>,
    counters: Arc<Counters>,
    items: Arc<tokio::sync::Mutex<mpsc::Receiver<I>>>,
    job: Arc<impl Fn(I) -> F>,
) where
    F: Future<Output = Outcome<Did>>,
{
    loop {
        let item = async { items.lock().await.recv().await };
        let item = tokio::select! {
            biased;
            _ = app.stop.asked() => return,
            item = item => item,
        };
        let Some(item) = item else { return };
        let did = tokio::select! {
            biased;
            did = job(item) => did,
            _ = app.stop.asked() => return,
        };
        if !matches!(did, Ok(Did::Counted)) {
            counters.done();
        }
        match did {
            Ok(Did::Done(bytes)) => {
                tally.done.fetch_add(1, Relaxed);
                tally.bytes.fetch_add(bytes, Relaxed);
            }
            Ok(Did::Skipped) => drop(tally.skipped.fetch_add(1, Relaxed)),
            Ok(Did::Deleted) => drop(tally.deleted.fetch_add(1, Relaxed)),
            Ok(Did::Counted) => {}
            Err(Failure::Failed(error)) if !is_fatal(error.code()) => {
                tally.failed(error.code());
                app.report(&error);
            }
            Err(failure) => {
                tally.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                items.lock().await.close();
                return;
            }
        }
        if tally.fatal.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
    }
}

/// What every other item would meet, too.
fn is_fatal(code: Code) -> bool {
    matches!(
        code,
        Code::ContainerNotFound
            | Code::Unauthenticated
            | Code::Dns
            | Code::NoSpace
            | Code::OutOfMemory
            | Code::Shutdown
    )
}

/// What ends a run of several sources, each of which has a bucket or a folder of its own.
pub fn error_of_all(code: Code) -> bool {
    let of_the_arguments = matches!(code, Code::InvalidArgument | Code::InvalidUri);
    of_the_arguments || code != Code::ContainerNotFound && is_fatal(code)
}

fn defect(error: &tokio::task::JoinError) -> Failure {
    Error::new(Code::Internal, "a task of the command panicked").with_source(error).into()
}
