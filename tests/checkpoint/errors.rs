//! What goes wrong among ranks is said, with the code and the names that help.

use crate::support::Backend;
use crate::world::*;
use s3dlio::base::buffer::lend_mut;
use s3dlio::checkpoint::{self, Checkpoint, CheckpointWriter, Dtype, Params, Request, TensorSpec};
use s3dlio::runtime::block_on;
use s3dlio::store::Store;
use s3dlio::{Code, Error, Result};

fn begin(store: &Store, options: &s3dlio::options::Resolved, params: Params) -> Result<CheckpointWriter> {
    block_on(CheckpointWriter::open(store, options, params))?
}

fn detail(error: &Error, key: &str) -> String {
    error
        .details()
        .into_iter()
        .find(|(name, _)| *name == key)
        .map_or(String::new(), |(_, value)| value.to_string())
}

fn hurried(store: &Store) -> s3dlio::options::Resolved {
    options(store, &[("checkpoint.timeout_ms", "300")])
}

#[test]
fn c1_a_missing_rank_is_named_after_the_deadline() {
    for backend in [Backend::memory(), Backend::file(), Backend::seaweed(), Backend::azurite()] {
        let store = backend.store();
        let mut rank0 = begin(&store, &hurried(&store), params(1, 0, 4)).unwrap();
        let mut rank2 = begin(&store, &hurried(&store), params(1, 2, 4)).unwrap();
        block_on(rank2.finish()).unwrap().unwrap();
        let error = block_on(rank0.commit()).unwrap().unwrap_err();
        assert_eq!(
            (error.code(), detail(&error, "missing_ranks").as_str()),
            (Code::Timeout, "1, 3"),
            "{error}"
        );
        let error = block_on(rank2.commit()).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
        // They come late; the commit may be tried again.
        for rank in [1, 3] {
            block_on(begin(&store, &hurried(&store), params(1, rank, 4)).unwrap().finish()).unwrap().unwrap();
        }
        block_on(rank0.commit()).unwrap().unwrap();
        block_on(rank2.commit()).unwrap().unwrap();
        assert_eq!(open(&store, None).unwrap().manifest().world_size, 4);
    }
}

#[test]
fn c1_without_rank_0_the_others_do_not_wait_for_ever() {
    let backend = Backend::memory();
    let store = backend.store();
    let error = begin(&store, &hurried(&store), params(1, 1, 2)).unwrap_err();
    assert_eq!((error.code(), detail(&error, "missing_ranks").as_str()), (Code::Timeout, "0"), "{error}");
}

#[test]
fn c1_a_duplicate_rank_is_refused() {
    for backend in [Backend::memory(), Backend::file(), Backend::seaweed(), Backend::azurite()] {
        let store = backend.store();
        let _rank0 = begin(&store, store.options(), params(1, 0, 2)).unwrap();
        let mut first = begin(&store, store.options(), params(1, 1, 2)).unwrap();
        let mut second = begin(&store, store.options(), params(1, 1, 2)).unwrap();
        put(&mut first, "data", model(1, 2)).unwrap();
        put(&mut second, "data", model(1, 2)).unwrap();
        block_on(first.finish()).unwrap().unwrap();
        let error = block_on(second.finish()).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert!(
            error.to_string().contains("rank 1") && error.to_string().contains("rank-00001.json"),
            "{error}"
        );
    }
}

#[test]
fn c1_world_sizes_that_differ_are_refused() {
    let backend = Backend::memory();
    let store = backend.store();
    let mut rank0 = begin(&store, store.options(), params(1, 0, 2)).unwrap();
    let error = begin(&store, store.options(), params(1, 1, 3)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.to_string().contains('3') && error.to_string().contains('2'), "{error}");
    let id = Some(rank0.id().to_owned());
    let mut other = begin(&store, store.options(), Params { id, ..params(1, 1, 3) }).unwrap();
    block_on(other.finish()).unwrap().unwrap();
    let error = block_on(rank0.commit()).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.to_string().contains("one of 3 ranks") && error.to_string().contains("of 2"), "{error}");
}

#[test]
fn c1_a_rank_that_gives_up_tells_rank_0_why() {
    let backend = Backend::file();
    let store = backend.store();
    let mut rank0 = begin(&store, store.options(), params(1, 0, 2)).unwrap();
    let mut rank1 = begin(&store, store.options(), params(1, 1, 2)).unwrap();
    put(&mut rank1, "data", model(1, 2)).unwrap();
    block_on(rank1.abort()).unwrap().unwrap();
    let error = block_on(rank0.commit()).unwrap().unwrap_err();
    assert_eq!((error.code(), detail(&error, "rank").as_str()), (Code::Cancelled, "1"), "{error}");
    assert!(error.to_string().contains("aborted"), "{error}");
    assert_eq!(block_on(rank1.finish()).unwrap().unwrap_err().code(), Code::InvalidState);
}

#[test]
fn c1_when_rank_0_gives_up_the_others_learn_it() {
    let backend = Backend::memory();
    let store = backend.store();
    let mut rank0 = begin(&store, store.options(), params(1, 0, 2)).unwrap();
    let mut rank1 = begin(&store, store.options(), params(1, 1, 2)).unwrap();
    block_on(rank1.finish()).unwrap().unwrap();
    block_on(rank0.abort()).unwrap().unwrap();
    let error = block_on(rank1.commit()).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Cancelled, "{error}");
}

#[test]
fn c1_a_save_that_rank_0_began_anew_is_not_mixed_with_the_old_one() {
    let backend = Backend::memory();
    let store = backend.store();
    let old = begin(&store, store.options(), params(1, 0, 2)).unwrap();
    let mut rank1 = begin(&store, store.options(), params(1, 1, 2)).unwrap();
    let new = begin(&store, store.options(), params(1, 0, 2)).unwrap();
    assert_ne!(old.id(), new.id());
    let error = block_on(rank1.finish()).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Changed, "{error}");
}

#[test]
fn c1_no_checkpoint_and_unknown_steps_ids_entries_and_ranks() {
    for backend in [Backend::memory(), Backend::file(), Backend::seaweed(), Backend::azurite()] {
        let store = backend.store();
        let error = open(&store, None).unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{error}");
        assert!(error.to_string().contains("no committed checkpoint"), "{error}");
        save_all(&store, store.options(), 7, 1).unwrap();
        let error = open(&store, Some(8)).unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{error}");
        assert!(error.to_string().contains("newest steps are 7"), "{error}");
        let by_id = |id: &str| block_on(Checkpoint::open_id(&store, store.options(), id)).unwrap();
        assert_eq!(by_id("000000000007-0000000000000000").unwrap_err().code(), Code::NotFound);
        assert_eq!(by_id("7").unwrap_err().code(), Code::InvalidArgument);
        let checkpoint = open(&store, None).unwrap();
        assert_eq!(load_one(&checkpoint, Request::whole("no such"), 0).unwrap_err().code(), Code::NotFound);
        assert_eq!(block_on(checkpoint.read_shard(3, "data")).unwrap().unwrap_err().code(), Code::NotFound);
        let beyond = Request::slice("rows", [130, 0], [1, 33]);
        assert_eq!(load_one(&checkpoint, beyond, 132).unwrap_err().code(), Code::Range);
        let error = load_one(&checkpoint, Request::whole("scalar"), 7).unwrap_err();
        assert_eq!(
            (error.code(), detail(&error, "required").as_str()),
            (Code::InvalidArgument, "8"),
            "{error}"
        );
    }
    let error = open(
        &s3dlio::store::store_for_uri(
            &Backend::seaweed().missing_container_uri(),
            &Backend::seaweed().options,
        )
        .unwrap(),
        None,
    );
    assert_eq!(error.unwrap_err().code(), Code::ContainerNotFound, "a wrong bucket is no empty one");
}

fn load_one(checkpoint: &Checkpoint, request: Request, len: usize) -> Result<()> {
    let mut memory = vec![0; len];
    lend_mut(&mut memory, |window| block_on(checkpoint.load(vec![(request, window)])))?
}

#[test]
fn c1_bad_parameters_are_refused_before_anything_is_stored() {
    let backend = Backend::memory();
    let store = backend.store();
    let base = params(1, 0, 2);
    for bad in [
        Params { world_size: 0, ..base.clone() },
        Params { rank: 2, ..base.clone() },
        Params { step: 1_000_000_000_000, ..base.clone() },
        Params { id: Some("000000000002-0000000000000000".into()), ..base.clone() },
        Params { id: Some("x".into()), ..base.clone() },
        Params { rank: 1, run_id: None, ..base.clone() },
        Params { rank: 1, run_id: Some(String::new()), ..base.clone() },
    ] {
        assert_eq!(
            begin(&store, store.options(), bad.clone()).unwrap_err().code(),
            Code::InvalidArgument,
            "{bad:?}"
        );
    }
    let mut writer = begin(&store, store.options(), params(1, 0, 1)).unwrap();
    let spec = TensorSpec::new("w", Dtype::F32, [4]);
    let refused = |writer: &mut CheckpointWriter, shard: &str, spec: &TensorSpec, len: usize| {
        block_on(writer.put_tensors(shard, vec![(spec.clone(), vec![0; len].into())]))
            .unwrap()
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(&mut writer, "data", &spec, 15), Code::InvalidArgument, "shard size mismatch");
    assert_eq!(refused(&mut writer, "a/b", &spec, 16), Code::InvalidArgument);
    put(&mut writer, "data", vec![spec.clone()]).unwrap();
    assert_eq!(refused(&mut writer, "data", &spec, 16), Code::AlreadyExists);
    let twice = vec![(spec.clone(), vec![0; 16].into()), (spec.clone(), vec![0; 16].into())];
    assert_eq!(block_on(writer.put_tensors("x", twice)).unwrap().unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn c1_streams_that_are_short_long_or_left_open() {
    let backend = Backend::memory();
    let store = backend.store();
    let mut writer = begin(&store, store.options(), params(1, 0, 1)).unwrap();
    let spec = TensorSpec::new("w", Dtype::F32, [4]);
    let mut shard = block_on(writer.open_shard("a", Some(vec![spec.clone()]))).unwrap().unwrap();
    assert_eq!(
        block_on(shard.write(&[0; 17])).unwrap().unwrap_err().code(),
        Code::InvalidArgument,
        "too long"
    );
    block_on(shard.write(&[0; 15])).unwrap().unwrap();
    let error = block_on(writer.finish()).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::InvalidState, "a shard is open: {error}");
    let error = block_on(shard.finish()).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Truncated, "{error}");
    assert!(error.to_string().contains("\"w\""), "{error}");
    drop(shard);
    block_on(writer.finish()).unwrap().unwrap(); // the save goes on without it

    let mut writer = begin(&store, store.options(), params(2, 0, 1)).unwrap();
    let mut shard = block_on(writer.open_shard("a", Some(vec![spec]))).unwrap().unwrap();
    block_on(shard.abort()).unwrap().unwrap();
    block_on(writer.commit()).unwrap().unwrap();
}

#[test]
fn c4_tensors_that_do_not_fit_together_are_refused_at_the_commit() {
    let backend = Backend::memory();
    let store = backend.store();
    let cases: &[(&str, fn(u32) -> TensorSpec)] = &[
        ("box of shape [1] from [3]", |rank| {
            TensorSpec::new("w", Dtype::F32, [2]).slice_of([4], [u64::from(rank)])
        }),
        ("box of shape [2] from [2]", |rank| {
            TensorSpec::new("w", Dtype::F32, [1]).slice_of([4], [u64::from(rank)])
        }),
        ("as F32", |rank| TensorSpec::new("w", if rank == 0 { Dtype::F32 } else { Dtype::I32 }, [4])),
        ("which did not store it", |rank| {
            let spec = TensorSpec::new(format!("w{rank}"), Dtype::F32, [4]);
            spec.replicated()
        }),
    ];
    for (step, (expected, spec)) in (1..).zip(cases) {
        let id = format!("{step:012}-{:016x}", 5);
        for rank in [1, 0] {
            let mut writer =
                begin(&store, store.options(), Params { id: Some(id.clone()), ..params(step, rank, 2) })
                    .unwrap();
            put(&mut writer, "data", vec![spec(rank)]).unwrap();
            match rank {
                0 => {
                    let error = block_on(writer.commit()).unwrap().unwrap_err();
                    assert!(
                        error.code() == Code::InvalidArgument && error.to_string().contains(expected),
                        "{error}"
                    );
                }
                _ => block_on(writer.finish()).unwrap().unwrap(),
            }
        }
    }
    assert!(block_on(checkpoint::list(&store)).unwrap().unwrap().is_empty());
}

#[test]
fn c1_a_full_disk_is_no_space_and_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        assert!(std::process::Command::new(args[0]).args(&args[1..]).status().unwrap().success())
    };
    let path = folder.path().to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path]);
    let outcome = std::panic::catch_unwind(|| {
        let store = s3dlio::store::store_for_uri(&format!("file://{path}"), &s3dlio::options::Options::new())
            .unwrap();
        save_all(&store, store.options(), 1, 2).unwrap();
        let mut writer = begin(&store, store.options(), params(2, 0, 1)).unwrap();
        let error = put(&mut writer, "data", vec![TensorSpec::new("w", Dtype::U8, [8 << 20])]).unwrap_err();
        assert_eq!(error.code(), Code::NoSpace, "{error}");
        drop(writer);
        check_model(&open(&store, None).unwrap());
        save_all(&store, store.options(), 3, 2).unwrap();
        check_model(&open(&store, None).unwrap());
    });
    mount(&["umount", "-l", path]);
    outcome.unwrap();
}
