//! The one hidden tokio runtime: started at first use, never dropped, rebuilt after fork.
//!
//! * Worker threads block all signals, so that the host's handlers run on the host's threads; in a build with the
//!   feature `profiling` all but SIGPROF.
//! * A forked child inherits memory but no threads. The `pthread_atfork` child handler only counts
//!   the fork; whatever the child uses first then builds a fresh runtime, and the old one is leaked,
//!   never dropped. What holds sockets lives in a [`PerProcess`] and is rebuilt in the same way.
//! * Locks that a child needs are held by the forking thread during the fork, so that no other
//!   thread can leave them locked: see [`hold_during_fork`].

use crate::base::budget::Budget;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// When something was made: it is stale once the process forked or the library was shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Era {
    forks: u64,
    shutdowns: u64,
}

static FORKS: AtomicU64 = AtomicU64::new(0);
static SHUTDOWNS: AtomicU64 = AtomicU64::new(0);
static CURRENT: AtomicPtr<Live> = AtomicPtr::new(ptr::null_mut());
/// What [`shutdown`] ended: late calls may still refer to it, and a leak checker sees that it is known.
static RETIRED: Mutex<Vec<&'static Live>> = Mutex::new(Vec::new());
/// Worker threads of the next runtime; 0 chooses.
static THREADS: AtomicUsize = AtomicUsize::new(0);

impl Era {
    /// The present one.
    pub fn now() -> Era {
        Era { forks: FORKS.load(Ordering::Acquire), shutdowns: SHUTDOWNS.load(Ordering::Acquire) }
    }

    /// Whether the process forked since.
    pub fn forked(self) -> bool {
        self.forks != FORKS.load(Ordering::Acquire)
    }

    /// `Forked` where the process forked since.
    pub fn check_fork(self) -> Result<()> {
        if self.forked() {
            return Err(Error::new(
                Code::Forked,
                "this handle was inherited through fork() and works only in the parent process",
            )
            .with_hint("open readers, writers and queues in the process that uses them"));
        }
        Ok(())
    }

    /// `Forked` or `Shutdown` where this era is over.
    pub fn check(self) -> Result<()> {
        self.check_fork()?;
        if self.shutdowns != SHUTDOWNS.load(Ordering::Acquire) {
            return Err(Error::new(
                Code::Shutdown,
                "this handle was opened before the library was shut down",
            ));
        }
        Ok(())
    }
}

/// A running runtime with what is under way on it.
struct Live {
    era: Era,
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
    busy: Mutex<Busy>,
    idle: Condvar,
    /// Whether a shutdown waits, for the work that it cuts short: [`Admission`].
    closing: watch::Sender<bool>,
}

/// Whether something may start is decided under the lock that counts it, so that nothing is ever
/// started on a runtime that has ended.
#[derive(Default)]
struct Busy {
    calls: u64,
    background: u64,
    /// Shutdowns that wait for the counts; they refuse calls, but not clean-up.
    closing: u64,
    /// Set for good with both counts at 0; by then it is no longer [`CURRENT`].
    ended: bool,
}

/// How many worker threads a runtime that starts from now on has; 0 takes one per CPU, at most 32.
pub fn set_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

/// Runs `future` to its end, polling it on this thread.
///
/// Fails with `WouldDeadlock` on a thread of an async runtime and with `Shutdown` during shutdown.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    check_may_block()?;
    let call = Counted::call()?;
    Ok(call.live.handle.block_on(future))
}

/// Starts `future` on the worker threads. For use inside a call or background work: they keep the
/// runtime from ending, and one that began before a shutdown may go on during it.
pub fn spawn<F>(future: F) -> Result<tokio::task::JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Ok(live()?.handle.spawn(future))
}

/// As [`spawn`], for a future that blocks the thread that polls it.
pub fn spawn_blocking<F>(future: F) -> Result<tokio::task::JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let handle = live()?.handle.clone();
    let on = handle.clone();
    Ok(handle.spawn_blocking(move || on.block_on(future)))
}

/// Starts `future` on the worker threads as work that [`shutdown`] waits for: the clean-up of a
/// handle that was freed. Never blocks.
pub fn spawn_background<F: Future<Output = ()> + Send + 'static>(future: F) {
    match Counted::background() {
        Ok(counted) => {
            counted.live.handle.spawn(async move {
                let _counted = counted;
                future.await;
            });
        }
        Err(error) => tracing::warn!(%error, "background work was not started"),
    }
}

/// Leave to run something that nobody waits for, and that a shutdown cuts short. While it lives the
/// runtime does not end.
#[derive(Debug)]
pub struct Admission(Counted);

impl Admission {
    /// `Shutdown` while one waits. Never blocks.
    pub fn enter() -> Result<Admission> {
        Ok(Admission(Counted::enter(|busy| &mut busy.background, true)?))
    }

    /// Starts `future`, which holds an admission, on the worker threads.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.live.handle.spawn(future);
    }

    /// Runs `future` to its end on a thread that may block; `None` where it panicked.
    pub async fn on_blocking_thread<F>(&self, future: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = &self.0.live.handle;
        let on = handle.clone();
        handle.spawn_blocking(move || on.block_on(future)).await.ok()
    }

    /// Comes once a shutdown waits.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.0.live.closing.subscribe();
        async move {
            // The sender is never dropped.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Whether a shutdown waits.
    pub fn is_closing(&self) -> bool {
        *self.0.live.closing.borrow()
    }
}

/// Refuses with `WouldDeadlock` on a thread of an async runtime.
pub fn check_may_block() -> Result<()> {
    if Handle::try_current().is_ok() {
        return Err(Error::new(
            Code::WouldDeadlock,
            "a blocking call was made on a thread of an async runtime",
        )
        .with_hint("make the call on a thread of the program's own"));
    }
    Ok(())
}

/// Waits until calls and background work are done, then ends the worker threads; what has an
/// [`Admission`] is cut short. Later calls start afresh; readers and writers from before return
/// `Shutdown`. `Timeout` leaves all else as it was.
pub fn shutdown(timeout: Duration) -> Result<()> {
    let pointer = CURRENT.load(Ordering::Acquire);
    // SAFETY: a `Live` is never freed.
    let Some(live) = (unsafe { pointer.as_ref() }) else {
        SHUTDOWNS.fetch_add(1, Ordering::AcqRel);
        return Ok(());
    };
    if live.era.forks != FORKS.load(Ordering::Acquire) {
        return Ok(()); // a child that never used the library
    }
    if Handle::try_current().is_ok() {
        return Err(Error::new(Code::WouldDeadlock, "shutdown was called on a thread of an async runtime"));
    }
    let deadline = Instant::now().checked_add(timeout);
    let mut busy = lock(&live.busy);
    busy.closing += 1;
    live.closing.send_replace(true);
    while !busy.ended && busy.calls + busy.background > 0 {
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(3600),
        };
        if left.is_zero() {
            busy.closing -= 1;
            live.closing.send_replace(busy.closing > 0);
            return Err(Error::new(
                Code::Timeout,
                format!("{} calls and {} background tasks are still running", busy.calls, busy.background),
            ));
        }
        busy = live.idle.wait_timeout(busy, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
    if busy.ended {
        return Ok(()); // another thread's shutdown was first
    }
    busy.ended = true;
    SHUTDOWNS.fetch_add(1, Ordering::AcqRel); // before anyone can start the next one
    CURRENT.store(ptr::null_mut(), Ordering::Release); // only this replaces it, or a forked child
    live.idle.notify_all();
    drop(busy);
    lock(&RETIRED).push(live);
    if let Some(runtime) = lock(&live.runtime).take() {
        let left =
            deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
        runtime.shutdown_timeout(left);
    }
    let closers = lock(&CLOSERS).clone();
    closers.into_iter().for_each(|close| close());
    Ok(())
}

/// Counts a call or a task of a [`Live`] while it lives.
struct Counted {
    live: &'static Live,
    which: fn(&mut Busy) -> &mut u64,
}

impl Counted {
    /// `Shutdown` while one waits.
    fn call() -> Result<Counted> {
        Counted::enter(|busy| &mut busy.calls, true)
    }

    fn background() -> Result<Counted> {
        Counted::enter(|busy| &mut busy.background, false)
    }

    fn enter(which: fn(&mut Busy) -> &mut u64, refused_while_closing: bool) -> Result<Counted> {
        loop {
            let live = live()?;
            let mut busy = lock(&live.busy);
            if busy.ended {
                continue; // since `live` looked
            }
            if refused_while_closing && busy.closing > 0 {
                return Err(Error::new(Code::Shutdown, "the library is shutting down"));
            }
            *which(&mut busy) += 1;
            drop(busy);
            return Ok(Counted { live, which });
        }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut busy = lock(&self.live.busy);
        *(self.which)(&mut busy) -= 1;
        self.live.idle.notify_all();
    }
}

/// The runtime of this process, started if need be. It may end at any time, unless something is
/// counted in it.
fn live() -> Result<&'static Live> {
    loop {
        let pointer = CURRENT.load(Ordering::Acquire);
        // SAFETY: a `Live` is never freed.
        if let Some(live) = unsafe { pointer.as_ref() }
            && !live.era.forked()
        {
            return Ok(live);
        }
        let fresh = Box::into_raw(Box::new(start()?));
        if CURRENT.compare_exchange(pointer, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: `fresh` was not published; another thread was first.
            let unused = unsafe { Box::from_raw(fresh) };
            if let Some(runtime) = lock(&unused.runtime).take() {
                runtime.shutdown_background();
            }
        }
    }
}

fn start() -> Result<Live> {
    register_fork_handlers();
    let threads = match THREADS.load(Ordering::Relaxed) {
        0 => std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 32),
        n => n,
    };
    let era = Era::now();
    let runtime = with_signals_blocked(|| {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("s3dlio")
            .on_thread_start(|| {
                block_signals();
            })
            .enable_all()
            .build()
    })
    .map_err(|e| Error::from_io("cannot start worker threads", &e))?;
    let handle = runtime.handle().clone();
    Ok(Live {
        era,
        runtime: Mutex::new(Some(runtime)),
        handle,
        busy: Mutex::default(),
        idle: Condvar::new(),
        closing: watch::Sender::new(false),
    })
}

/// Blocks all signals on this thread (but SIGPROF, where the feature `profiling` is on) and returns the mask from before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are plain data that the calls fill; only this thread's mask changes.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        // Blocked, a profile would charge the workers' time to the host's threads.
        #[cfg(feature = "profiling")]
        libc::sigdelset(&mut all, libc::SIGPROF);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// Threads that `f` starts inherit a mask that blocks everything.
pub fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    let before = block_signals();
    let result = f();
    // SAFETY: restores the mask that `block_signals` returned.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
    }
    result
}

/// A value with sockets or threads behind it that a forked child must not touch: the child (and
/// whoever comes after a shutdown) makes its own. An inherited one is leaked; one from before a
/// shutdown is dropped once the next is made.
pub struct PerProcess<T> {
    slot: AtomicPtr<Slot<T>>,
}

/// Stays where it is as long as the [`PerProcess`], as another thread may be reading it; only what
/// it holds can go. A child never takes an inherited lock: `era` tells it first.
struct Slot<T> {
    era: Era,
    value: Mutex<Option<Arc<T>>>,
    before: *mut Slot<T>,
}

impl<T> PerProcess<T> {
    pub const fn new() -> Self {
        PerProcess { slot: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value of this process, made by `make` if need be. `make` may run on several threads at
    /// once; one result wins.
    pub fn get(&self, make: impl Fn() -> Result<T>) -> Result<Arc<T>> {
        loop {
            let pointer = self.slot.load(Ordering::Acquire);
            // SAFETY: a published slot is freed only by `drop`, which has `self` to itself.
            let slot = unsafe { pointer.as_ref() };
            if let Some(slot) = slot
                && slot.era == Era::now()
                && let Some(value) = &*lock(&slot.value)
            {
                return Ok(value.clone());
            }
            let era = Era::now();
            let value = Mutex::new(Some(Arc::new(make()?)));
            let fresh = Box::into_raw(Box::new(Slot { era, value, before: pointer }));
            if self.slot.compare_exchange(pointer, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was not published.
                drop(unsafe { Box::from_raw(fresh) });
            } else if let Some(slot) = slot
                && !slot.era.forked()
            {
                let stale = lock(&slot.value).take();
                drop(stale); // with the lock released
            }
        }
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        PerProcess::new()
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerProcess")
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let mut pointer = *self.slot.get_mut();
        while !pointer.is_null() {
            // SAFETY: `&mut self`: nobody else can have the pointer, and each is met once.
            let slot = unsafe { Box::from_raw(pointer) };
            if slot.era.forked() {
                Box::leak(slot); // it and those before it are the parent's
                return;
            }
            pointer = slot.before;
        }
    }
}

/// In which order the locks of [`hold_during_fork`] are taken: outer ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ForkRank {
    Handles,
    /// The stores of the one-shot functions.
    Registry,
    Memory,
    Pool,
    Metrics,
    Oplog,
    Log,
}

type Hold = fn() -> Box<dyn Any>;
static HOLDS: Mutex<Vec<(ForkRank, Hold)>> = Mutex::new(Vec::new());

thread_local! {
    static HELD: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Registers a lock that is held while the process forks: `hold` takes it and returns its guard.
pub fn hold_during_fork(rank: ForkRank, hold: Hold) {
    register_fork_handlers();
    let mut holds = lock(&HOLDS);
    if !holds.iter().any(|(known, _)| *known == rank) {
        holds.push((rank, hold));
        holds.sort_by_key(|(rank, _)| *rank);
    }
}

/// How often this process, or those that it was forked from, forked since the library was loaded.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Acquire)
}

/// Has `close` called after each [`shutdown`], once the threads have ended.
pub fn after_shutdown(close: fn()) {
    let mut closers = lock(&CLOSERS);
    if !closers.iter().any(|known| std::ptr::fn_addr_eq(*known, close)) {
        closers.push(close);
    }
}

static CLOSERS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Installs the fork handlers. Two threads may do so at once, and twice does no harm: a `Once` could be left locked
/// by a fork.
pub fn register_fork_handlers() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the three handlers are `extern "C"`, take nothing and never unwind.
    unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
    }
    REGISTERED.store(true, Ordering::Release);
}

extern "C" fn before_fork() {
    if HELD.try_with(|held| !held.borrow().is_empty()).unwrap_or(true) {
        return; // registered twice
    }
    let holds = lock(&HOLDS);
    let mut guards: Vec<Box<dyn Any>> = holds.iter().map(|(_, hold)| hold()).collect();
    guards.push(Box::new((lock(&CLOSERS), holds)));
    let _ = HELD.try_with(|held| *held.borrow_mut() = guards);
}

extern "C" fn after_fork_in_parent() {
    let _ = HELD.try_with(|held| held.borrow_mut().clear());
}

extern "C" fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::AcqRel);
    Budget::global().forget();
    let _ = HELD.try_with(|held| held.borrow_mut().clear());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_call_on_a_worker_thread_is_refused() {
        let inner =
            block_on(async { spawn(async { block_on(async {}).map_err(|e| e.code()) }) }).unwrap().unwrap();
        assert_eq!(block_on(inner).unwrap().unwrap(), Err(Code::WouldDeadlock));
    }

    #[test]
    fn workers_block_signals() {
        let mask = block_on(async {
            spawn(async {
                let mut now = block_signals();
                // SAFETY: `now` is an initialised signal set.
                unsafe { libc::sigismember(&raw mut now, libc::SIGINT) }
            })
        });
        assert_eq!(block_on(mask.unwrap().unwrap()).unwrap().unwrap(), 1);
    }

    #[test]
    fn per_process_makes_its_value_once() {
        let cell = PerProcess::new();
        let first = cell.get(|| Ok(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &cell.get(|| Ok(2)).unwrap()));
    }
}
