//! Random scripts against a reference model (SPEC H1, I1, W3): 10,000 seeded scripts of 20 to 200 operations on
//! S3 and Azure, over a server that fails as the seed has it. No wrong byte, no false success, no hang, and nothing
//! left: no upload, block, connection, descriptor or thread.
//!
//! `S3DLIO_TEST_SEED=n` runs script n alone and tells every step.

#[path = "scripts/machine.rs"]
mod machine;
#[path = "scripts/model.rs"]
mod model;
#[path = "scripts/steps.rs"]
mod steps;
mod support;

use machine::Script;
use s3dlio::runtime;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Scripts at the same time: where one waits after a fault, others work.
const AT_ONCE: usize = 32;
/// For one script, on a busy machine: beyond it something hangs that no deadline of the library holds.
const LONGEST: Duration = Duration::from_secs(240);
/// For connections and threads of clean-up to end.
const CLEANUP: Duration = Duration::from_secs(30);

/// One test at a time: they count what the process has open.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn ten_thousand_scripts() {
    run(0..10_000);
}

/// For a quick run: others than those above.
#[test]
fn a_few_scripts() {
    run(1_000_000..1_000_300);
}

fn run(seeds: std::ops::Range<u64>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(seed) = std::env::var("S3DLIO_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let outcome = machine::run(Script::new(seed, true));
        println!("script {seed}: {outcome:?}");
        return assert!(outcome.is_ok());
    }
    for seed in [seeds.end, seeds.end + 1] {
        machine::run(Script::new(seed, false)).unwrap(); // what stays open in any case is open from now on
    }
    let before = open_now();
    let started = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let running = Mutex::new(BTreeMap::new());
    let (wrong, totals) = (Mutex::new(Vec::new()), Mutex::new(machine::Totals::default()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&running, &over));
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || wrong.lock().unwrap().len() > 20 {
                    return;
                }
                running.lock().unwrap().insert(seed, Instant::now());
                let outcome = catch_unwind(AssertUnwindSafe(|| machine::run(Script::new(seed, false))));
                running.lock().unwrap().remove(&seed);
                match outcome.unwrap_or_else(|_| Err("it panicked".into())) {
                    Ok(one) => totals.lock().unwrap().add(&one),
                    Err(why) => {
                        println!("S3DLIO_TEST_SEED={seed}: {why}");
                        wrong.lock().unwrap().push(format!("S3DLIO_TEST_SEED={seed}: {why}"));
                    }
                }
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    println!("{seeds:?} in {:.1?}: {:?}", started.elapsed(), totals.into_inner().unwrap());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} scripts went wrong:\n{}", wrong.len(), wrong.join("\n"));
    let deadline = Instant::now() + CLEANUP;
    while open_now() > before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = open_now();
    assert!(
        after.0 <= before.0 && after.1 <= before.1,
        "left: (descriptors, threads) {before:?} -> {after:?}"
    );
    runtime::shutdown(CLEANUP).unwrap(); // nothing is under way any more
}

/// What hangs in spite of all deadlines is named before the process ends.
fn watch(running: &Mutex<BTreeMap<u64, Instant>>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        let running = running.lock().unwrap();
        let hung: Vec<_> = running.iter().filter(|(_, began)| began.elapsed() > LONGEST).collect();
        if !hung.is_empty() {
            println!("HANG: S3DLIO_TEST_SEED of these: {hung:?}");
            std::process::abort();
        }
    }
}

/// Descriptors and threads of this process.
fn open_now() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (count("/proc/self/fd"), count("/proc/self/task"))
}
