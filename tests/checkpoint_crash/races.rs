//! Two jobs save the same step at once: one commits, the other is told so by all of its ranks.

use crate::support::Backend;
use crate::work::{self, keys, params, torn, wait};
use s3dlio::checkpoint::{self, Checkpoint, CheckpointWriter};
use s3dlio::store::Store;
use s3dlio::{Code, Error, Result};
use std::sync::Barrier;
use std::time::Duration;

const WORLD: u32 = 2;

/// One rank of a job on a thread of its own. The barrier lets all commits begin at once: otherwise the second job
/// would mostly find the step taken when it begins.
fn rank(store: &Store, job: &str, step: u64, rank: u32, all: &Barrier) -> Result<String> {
    let begun: Result<CheckpointWriter> = wait(work::begin(store, params(job, step, rank, WORLD)));
    all.wait();
    let mut writer = begun?;
    wait(writer.commit())?;
    Ok(writer.id().to_owned())
}

fn race(store: &Store, round: u64, step: u64) {
    let jobs = ["a", "b"].map(|job| format!("{job}-{round}"));
    let all = Barrier::new(4);
    let ended: Vec<(String, u32, Result<String>)> = std::thread::scope(|scope| {
        let ranks: Vec<_> =
            (0..WORLD).flat_map(|number| jobs.iter().map(move |job| (job.clone(), number))).collect();
        let all = &all;
        let threads: Vec<_> = ranks
            .into_iter()
            .map(|(job, number)| {
                scope.spawn(move || (job.clone(), number, rank(store, &job, step, number, all)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let opened = wait(Checkpoint::open(store, store.options(), None)).unwrap();
    assert_eq!(opened.manifest().step, step);
    let winner = opened.manifest().framework.clone();
    for (job, number, outcome) in &ended {
        match outcome {
            Ok(id) => assert_eq!((job, id), (&winner, &opened.manifest().id), "rank {number} of {job}"),
            Err(error) => {
                assert_ne!(*job, winner, "rank {number} of the winner failed: {error}");
                check(error, step, &opened.manifest().id);
            }
        }
    }
    assert_eq!(ended.iter().filter(|(_, _, outcome)| outcome.is_ok()).count(), WORLD as usize, "{ended:?}");
    work::verify(store, &opened).unwrap();
}

/// The error is clear: what is taken, by whom, and what to do.
fn check(error: &Error, step: u64, id: &str) {
    let text = error.to_string();
    assert_eq!(error.code(), Code::AlreadyExists, "{text}");
    assert!(text.contains(&format!("step {step}")) && text.contains(id) && error.hint().is_some(), "{text}");
    assert!(error.uri().is_some() && error.operation().is_some(), "{text}");
}

fn races(backend: Backend, rounds: u64) {
    let store = backend.store();
    for round in 0..rounds {
        race(&store, round, round + 1);
    }
    let steps = wait(checkpoint::list(&store)).unwrap();
    assert_eq!(steps, (1..=rounds).collect::<Vec<_>>());
    // What the losers stored is no checkpoint and can be removed; what is committed stays.
    wait(checkpoint::collect(&store, Duration::ZERO)).unwrap();
    assert_eq!(torn(&store, &steps), [""; 0], "not collected");
    for step in steps {
        work::verify(&store, &wait(Checkpoint::open(&store, store.options(), Some(step))).unwrap()).unwrap();
    }
    assert_eq!(keys(&store, "begin/"), [""; 0], "beginnings are left");
}

#[test]
fn c2_of_two_jobs_that_save_a_step_one_commits_on_files() {
    races(Backend::file(), 60);
}

#[test]
fn c2_of_two_jobs_that_save_a_step_one_commits_on_seaweed() {
    races(Backend::seaweed(), 30);
}

#[test]
fn c2_of_two_jobs_that_save_a_step_one_commits_on_faultd() {
    races(Backend::faultd_s3(), 60);
    races(Backend::faultd_azure(), 60);
}

#[test]
fn c2_of_two_jobs_that_save_a_step_one_commits_on_azurite() {
    races(Backend::azurite(), 15);
}
