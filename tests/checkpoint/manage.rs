//! Lists, deletion, pruning and what is left of torn saves; commits that compete.

use crate::support::Backend;
use crate::world::*;
use s3dlio::checkpoint::{self, CheckpointWriter, Params};
use s3dlio::runtime::block_on;
use s3dlio::store::{ListEntry, Store};
use s3dlio::transfer::Lister;
use s3dlio::{Code, Result};
use std::time::Duration;

fn steps(store: &Store) -> Vec<u64> {
    block_on(checkpoint::list(store)).unwrap().unwrap()
}

fn latest(store: &Store) -> Option<u64> {
    block_on(checkpoint::read_latest(store)).unwrap().unwrap().map(|latest| latest.step)
}

/// Every key below the root.
fn keys(store: &Store) -> Vec<String> {
    let mut lister = Lister::new(store, "", true);
    let mut keys = Vec::new();
    while let Some(entry) = block_on(lister.next()).unwrap().unwrap() {
        if let ListEntry::Object(meta) = entry {
            keys.push(meta.key);
        }
    }
    keys
}

fn backends() -> Vec<Backend> {
    vec![Backend::memory(), Backend::file(), Backend::direct(), Backend::seaweed(), Backend::azurite()]
}

#[test]
fn c1_list_delete_prune_and_collect() {
    for (at, backend) in backends().into_iter().enumerate() {
        let store = backend.store();
        let strategy = ["flat", "round_robin", "binary"][at % 3];
        let options = options(&store, &[("checkpoint.strategy", strategy)]);
        for step in [30, 10, 20, 40, 50] {
            save_all(&store, &options, step, 2).unwrap();
        }
        assert_eq!(steps(&store), [10, 20, 30, 40, 50]);
        assert_eq!(latest(&store), Some(50), "it never moved back");
        block_on(checkpoint::delete(&store, 20)).unwrap().unwrap();
        assert_eq!(block_on(checkpoint::delete(&store, 20)).unwrap().unwrap_err().code(), Code::NotFound);
        block_on(checkpoint::delete(&store, 50)).unwrap().unwrap();
        assert_eq!((steps(&store), latest(&store)), (vec![10, 30, 40], Some(40)));
        check_model(&open(&store, None).unwrap());
        assert_eq!(block_on(checkpoint::prune(&store, 1, 30)).unwrap().unwrap(), [10]);
        assert_eq!(steps(&store), [30, 40]);
        assert_eq!(
            block_on(checkpoint::prune(&store, 0, 0)).unwrap().unwrap_err().code(),
            Code::InvalidArgument
        );
        assert_eq!(
            block_on(checkpoint::collect(&store, Duration::ZERO)).unwrap().unwrap(),
            0,
            "nothing was left"
        );
        for step in [30, 40] {
            check_model(&open(&store, Some(step)).unwrap());
            block_on(checkpoint::delete(&store, step)).unwrap().unwrap();
        }
        assert_eq!(keys(&store), Vec::<String>::new(), "on {}", backend.name);
    }
}

#[test]
fn c1_a_commit_prunes_when_asked() {
    let backend = Backend::file();
    let store = backend.store();
    let options = options(&store, &[("checkpoint.keep_last", "2"), ("checkpoint.keep_every", "100")]);
    for step in (50..=400).step_by(50) {
        save_all(&store, &options, step, 2).unwrap();
    }
    assert_eq!(steps(&store), [100, 200, 300, 350, 400]);
}

/// A job that went back to an early checkpoint goes on from there: what it saves is smaller than what there is.
#[test]
fn c1_a_commit_never_prunes_itself() {
    let backend = Backend::memory();
    let store = backend.store();
    for step in [80, 90, 100] {
        save_all(&store, store.options(), step, 1).unwrap();
    }
    let options = options(&store, &[("checkpoint.keep_last", "3")]);
    save_all(&store, &options, 60, 2).unwrap();
    check_model(&open(&store, Some(60)).unwrap());
    assert_eq!((steps(&store), latest(&store)), (vec![60, 80, 90, 100], Some(100)));
}

#[test]
fn c1_the_newest_can_be_deleted_when_another_is_damaged() {
    let backend = Backend::memory();
    let store = backend.store();
    save_all(&store, store.options(), 1, 1).unwrap();
    save_all(&store, store.options(), 2, 1).unwrap();
    let options = s3dlio::store::PutOptions::default();
    let damaged = s3dlio::transfer::put(&store, "manifests/step-000000000001.json", "x".into(), &options);
    block_on(damaged).unwrap().unwrap();
    block_on(checkpoint::delete(&store, 2)).unwrap().unwrap();
    assert!(!keys(&store).iter().any(|key| key.contains("000000000002-")), "its data is gone");
}

#[test]
fn c1_torn_saves_are_invisible_and_collected_by_age() {
    for backend in backends() {
        let store = backend.store();
        save_all(&store, store.options(), 1, 2).unwrap();
        let committed = keys(&store);
        for step in [2, 3] {
            let params = Params { id: Some(format!("{step:012}-{step:016x}")), ..params(step, 1, 2) };
            let mut writer =
                block_on(CheckpointWriter::open(&store, store.options(), params)).unwrap().unwrap();
            put(&mut writer, "data", model(1, 2)).unwrap();
            block_on(writer.finish()).unwrap().unwrap(); // and rank 0 never comes
        }
        assert!(keys(&store).len() > committed.len());
        assert_eq!(open(&store, None).unwrap().manifest().step, 1);
        let hour = Duration::from_secs(3600);
        assert_eq!(block_on(checkpoint::collect(&store, hour)).unwrap().unwrap(), 0, "they are too young");
        assert_eq!(block_on(checkpoint::collect(&store, Duration::ZERO)).unwrap().unwrap(), 2);
        assert_eq!(keys(&store), committed, "on {}", backend.name);
        check_model(&open(&store, None).unwrap());
    }
}

#[test]
fn c1_a_writer_that_is_dropped_leaves_nothing() {
    let backend = Backend::file();
    let store = backend.store();
    let mut writer =
        block_on(CheckpointWriter::open(&store, store.options(), params(1, 0, 1))).unwrap().unwrap();
    put(&mut writer, "data", model(0, 1)).unwrap();
    assert_eq!(keys(&store).len(), 1);
    block_on(writer.abort()).unwrap().unwrap();
    assert_eq!(keys(&store), Vec::<String>::new());
    let mut writer =
        block_on(CheckpointWriter::open(&store, store.options(), params(1, 0, 1))).unwrap().unwrap();
    put(&mut writer, "data", model(0, 1)).unwrap();
    drop(writer);
    while !keys(&store).is_empty() {
        std::thread::yield_now(); // in the background; the suite's limit ends a wait for ever
    }
}

#[test]
fn c1_a_committed_step_is_taken() {
    for backend in backends() {
        let store = backend.store();
        let id = save_all(&store, store.options(), 1, 1).unwrap();
        let error = save(&store, store.options(), params(1, 0, 1)).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert!(error.to_string().contains(&id), "{error}");
        block_on(checkpoint::delete(&store, 1)).unwrap().unwrap();
        save_all(&store, store.options(), 1, 1).unwrap();
    }
}

/// Two jobs of two ranks save the same step at once: exactly one commits.
#[test]
fn c1_of_two_jobs_exactly_one_commits() {
    for (backend, rounds) in
        [(Backend::memory(), 30), (Backend::file(), 30), (Backend::seaweed(), 10), (Backend::azurite(), 10)]
    {
        let store = backend.store();
        for step in 1..=rounds {
            let outcomes = on_all_ranks(4, |thread| {
                let run_id = Some(format!("job {}", thread / 2));
                save(&store, store.options(), Params { run_id, ..params(step, thread % 2, 2) })
            });
            let mut winners: Vec<&String> = outcomes.iter().flatten().collect();
            winners.dedup();
            assert_eq!(winners.len(), 1, "step {step} on {}: {outcomes:?}", backend.name);
            let losers: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
            for error in &losers {
                // The loser's rank 1 may see that its rank 0 gave up before it sees the winner.
                assert!(
                    matches!(error.code(), Code::AlreadyExists | Code::Cancelled | Code::Changed),
                    "{error}"
                );
            }
            let checkpoint = open(&store, Some(step)).unwrap();
            assert_eq!(&checkpoint.manifest().id, winners[0]);
            check_model(&checkpoint);
        }
    }
}

#[test]
fn c1_list_errors_are_no_empty_list() -> Result<()> {
    let backend = Backend::seaweed();
    let wrong = backend.options.clone().with("s3.secret_access_key", "wrong")?;
    let store = s3dlio::store::store_for_uri(&backend.root_uri, &wrong)?;
    assert_eq!(block_on(checkpoint::list(&store))?.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(open(&store, None).unwrap_err().code(), Code::Unauthenticated);
    let error = save(&store, store.options(), params(1, 0, 1)).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    Ok(())
}
