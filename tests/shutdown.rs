//! Shutdown next to other threads' calls. In a process of its own: it ends the library's runtime.

use s3dlio::Code;
use s3dlio::runtime::{PerProcess, block_on, shutdown, spawn, spawn_background};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const LONG: Duration = Duration::from_secs(60);

/// One test at a time: they share the runtime.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn calls_next_to_shutdowns_end_well_or_are_refused_and_no_clean_up_is_lost() {
    let _alone = alone();
    let (stop, ran) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
    let through = AtomicBool::new(false);
    let call = || {
        let (mut started, mut good) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            // A timer and a task: both fail on a runtime that has ended.
            let outcome = block_on(async {
                tokio::time::timeout(LONG, spawn(async { 7 }).unwrap()).await.unwrap().unwrap()
            });
            match outcome {
                Ok(value) => {
                    assert_eq!(value, 7);
                    good += 1;
                    through.store(true, Ordering::Relaxed);
                    let ran = ran.clone();
                    spawn_background(async move {
                        ran.fetch_add(1, Ordering::Relaxed);
                    });
                    started += 1;
                }
                Err(error) => assert_eq!(error.code(), Code::Shutdown, "{error}"),
            }
        }
        (started, good)
    };
    // At least until a call was there to be met.
    let end = || {
        let (began, mut ends) = (Instant::now(), 0);
        while ends < 100 || !through.load(Ordering::Relaxed) && began.elapsed() < LONG {
            shutdown(LONG).unwrap();
            ends += 1;
        }
    };
    let started = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3).map(|_| scope.spawn(call)).collect();
        let enders: Vec<_> = (0..2).map(|_| scope.spawn(end)).collect();
        let ended: Vec<_> = enders.into_iter().map(|thread| thread.join()).collect();
        stop.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|outcome| outcome.unwrap());
        let outcomes: Vec<(u64, u64)> = callers.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(outcomes.iter().any(|(_, good)| *good > 0), "no call got through");
        outcomes.iter().map(|(started, _)| started).sum::<u64>()
    });
    shutdown(LONG).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), started);
}

#[test]
fn a_shutdown_that_gives_up_leaves_the_one_that_waits_and_clean_up_is_let_in() {
    let _alone = alone();
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = oneshot::channel::<()>();
    let cleaned = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let call = scope.spawn(move || {
            block_on(async move {
                entered.send(()).unwrap();
                released.await.unwrap();
                spawn(async {}).unwrap().await.unwrap(); // a call may go on during a shutdown
            })
        });
        has_entered.recv().unwrap();
        let waiting = scope.spawn(|| shutdown(LONG));
        while block_on(async {}).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(shutdown(Duration::ZERO).unwrap_err().code(), Code::Timeout);
        assert_eq!(block_on(async {}).unwrap_err().code(), Code::Shutdown);
        let flag = cleaned.clone();
        spawn_background(async move { flag.store(true, Ordering::Relaxed) });
        release.send(()).unwrap();
        call.join().unwrap().unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(cleaned.load(Ordering::Relaxed));
    block_on(async {}).unwrap();
}

#[test]
fn a_value_from_before_a_shutdown_is_dropped_when_the_next_is_made() {
    let _alone = alone();
    let cell = PerProcess::new();
    block_on(async {}).unwrap();
    let before = Arc::downgrade(&cell.get(|| Ok(1)).unwrap());
    shutdown(LONG).unwrap();
    assert_eq!(*cell.get(|| Ok(2)).unwrap(), 2);
    assert!(before.upgrade().is_none());
    assert_eq!(*cell.get(|| Ok(3)).unwrap(), 2);
}
