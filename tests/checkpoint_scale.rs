//! Checkpoints of thousands of ranks (SPEC C1): how many requests each makes. Ranks are tasks of this process over the
//! memory store, where every request of every rank is counted, and over faultd with 20 ms of latency.
//!
//! `benches/checkpoint_scale` makes the table in docs/checkpoints.md of the ignored test.

#[path = "checkpoint_scale/counted.rs"]
mod counted;
mod support;
#[path = "checkpoint_scale/world.rs"]
mod world;

use faultd::{Config, Faultd, Op, Service, Shaping};
use s3dlio::checkpoint::{Checkpoint, Request};
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{Store, store_for_uri};
use std::time::{Duration, Instant};
use world::{Meeting, Outcome, save};

/// Rank 0's requests beside one for each other rank's receipt: a look at the step, its shard and its receipt, the
/// manifest, three for latest.json, and two of the beginning where the ranks meet through the storage.
const RANK_0: u64 = 9;
/// What another rank asks for beside its parts: the id twice, its receipt, the manifest.
const OTHERS: u64 = 4;
/// Each rank stores one shard in one request.
const PARTS: u64 = 1;

fn memory() -> Store {
    let name = format!("memory://{}/base", support::unique("scale"));
    store_for_uri(&name, &Options::new()).unwrap()
}

/// No more polls than pauses that double from 10 ms to 1 s, shortened by half, leave room for; every eighth asks for
/// more than one thing.
fn most_polls(took: Duration) -> u64 {
    let pauses = 8 + (took.as_secs_f64() / 0.5) as u64;
    pauses + pauses / 4 + 2
}

fn check(outcome: &Outcome, world: u32, meeting: Meeting) {
    let first = &outcome.ranks[0];
    let polls = most_polls(outcome.took);
    assert!(first.answered <= u64::from(world) - 1 + RANK_0, "{world}: rank 0 made {first:?}");
    // While it waits it asks for at most 32 receipts at a time.
    assert!(first.missed <= u64::from(world) + 32 * polls, "{world}: rank 0 made {first:?}");
    for (rank, made) in outcome.ranks.iter().enumerate().skip(1) {
        assert_eq!(made.lists, 0, "rank {rank} lists");
        match meeting {
            Meeting::Host => {
                assert_eq!((made.answered, made.missed), (PARTS + 1, 0), "rank {rank}: {made:?}")
            }
            Meeting::Storage => {
                assert!(made.answered - made.again <= OTHERS + PARTS, "rank {rank}: {made:?}");
                assert!(made.missed + made.again <= 2 * polls, "rank {rank} in {:?}: {made:?}", outcome.took);
            }
        }
    }
    assert_eq!(first.lists, 0, "rank 0 lists");
}

#[test]
fn c1_every_rank_of_thousands_makes_four_requests_beside_its_parts() {
    for (world, meeting) in [
        (1, Meeting::Storage),
        (64, Meeting::Storage),
        (4096, Meeting::Storage),
        (4096, Meeting::Host),
        (16_384, Meeting::Host),
    ] {
        let store = memory();
        let outcome = save(&store, world, meeting);
        check(&outcome, world, meeting);
        loads(&store, world);
    }
}

/// Another job opens it with one list and one get, and loads a slice of a rank's rows with as many reads as shards.
fn loads(store: &Store, world: u32) {
    let (counted, counts) = counted::count(store);
    let opened = wait(Checkpoint::open(&counted, counted.options(), None)).unwrap();
    assert_eq!(opened.manifest().shards.len(), world as usize);
    let opening = counts.made();
    assert!(opening.lists == 1 && opening.answered <= 3, "{opening:?}");
    let rank = u64::from(world / 2);
    let (window, owner) = s3dlio::base::buffer::Buffer::allocate(world::BYTES).unwrap().into_window();
    let request = Request {
        name: "rows".into(),
        start: Some(vec![rank, 0]),
        shape: Some(vec![1, world::COLUMNS]),
        rank: None,
    };
    wait(opened.load(vec![(request, window.split_at(world::BYTES).0)])).unwrap();
    assert_eq!(owner.reclaim(world::BYTES).unwrap()[..], world::row(rank as u32)[..]);
    assert_eq!(counts.made().answered - opening.answered, 1, "one slice of one shard");
}

fn wait<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

fn slow() -> (Faultd, Store) {
    let shaping = Shaping { latency: Duration::from_millis(20), ..Shaping::default() };
    let faultd = Faultd::start(Config { shaping, ..Config::default() }).unwrap();
    faultd.objects(Service::S3, |objects| objects.container("box").objects.clear());
    let store = store_for_uri("s3://box/base", &support::s3_options(&faultd.s3_endpoint())).unwrap();
    (faultd, store)
}

#[test]
fn c1_thousands_of_ranks_save_over_a_slow_service() {
    let world = 4096;
    let (faultd, store) = slow();
    let outcome = save(&store, world, Meeting::Host);
    check(&outcome, world, Meeting::Host);
    faultd.requests(|entries| {
        let count = |op: Op| entries.iter().filter(|entry| entry.op == op).count() as u64;
        let ranks = u64::from(world);
        assert_eq!(count(Op::List), 0);
        assert!(count(Op::Put) <= 2 * ranks + 2, "{} puts", count(Op::Put));
        assert!(entries.len() as u64 <= 3 * ranks + RANK_0, "{} requests of {world} ranks", entries.len());
    });
}

#[test]
#[ignore = "minutes; benches/checkpoint_scale runs it"]
fn table() {
    let show = |store: &str, world: u32, meeting: Meeting, base: &Store| {
        let outcome = save(base, world, meeting);
        check(&outcome, world, meeting);
        let others = &outcome.ranks[1..];
        let most = others.iter().map(|made| made.answered - made.again).max().unwrap_or(0);
        let polls: u64 = others.iter().map(|made| made.missed + made.again).sum();
        let began = Instant::now();
        let opened = wait(Checkpoint::open(base, base.options(), None)).unwrap();
        let opening = began.elapsed();
        let manifest = wait(base.stat("manifests/step-000000000001.json")).unwrap().size;
        assert_eq!(opened.manifest().world_size, world);
        println!(
            "ROW {store} {} {world} {} {most} {:.1} {:.3} {manifest} {:.4}",
            if meeting == Meeting::Host { "host" } else { "storage" },
            outcome.ranks[0].answered,
            polls as f64 / others.len().max(1) as f64,
            outcome.took.as_secs_f64(),
            opening.as_secs_f64(),
        );
    };
    for meeting in [Meeting::Host, Meeting::Storage] {
        for world in [64, 256, 1024, 4096, 16_384] {
            show("memory", world, meeting, &memory());
        }
        for world in [64, 256, 1024, 4096] {
            let (_faultd, store) = slow();
            show("faultd", world, meeting, &store);
        }
    }
}
