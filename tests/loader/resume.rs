//! Positions: a pass that is broken anywhere goes on with exactly the rest, by as many shards or by others (SPEC L1).

use crate::support::*;
use s3dlio::Code;
use s3dlio::api::loader::{Dataset, DatasetParams, Format, Loader, LoaderParams, merge_states};
use s3dlio::api::{self, Options};
use s3dlio::formats::tfrecord;

fn params(batch: u64, rank: u32, world_size: u32, states: Vec<String>) -> LoaderParams {
    LoaderParams { batch_size: batch, seed: 3, epoch: 2, rank, world_size, states, ..LoaderParams::default() }
}

/// Numbers for a test: the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn l1_one_shard_goes_on_as_if_never_broken_from_every_position() {
    for source in sources() {
        for options in modes(source, 1) {
            let ordered = options.get("loader.order").unwrap() == "ordered";
            let whole = rest(&mut open(&source.dataset, &params(5, 0, 1, vec![]), &options));
            for batches in 0..=COUNT.div_ceil(5) {
                let mut loader = open(&source.dataset, &params(5, 0, 1, vec![]), &options);
                let mut all = Vec::new();
                for _ in 0..batches {
                    all.extend(numbers(&next(&mut loader).unwrap().unwrap()));
                }
                let state = loader.state().unwrap();
                drop(loader);
                all.extend(rest(&mut open(&source.dataset, &params(5, 0, 1, vec![state.clone()]), &options)));
                let case = format!("{} {options:?} after {batches}: {state}", source.name);
                if ordered {
                    assert_eq!(all, whole, "{case}");
                } else {
                    all.sort_unstable();
                    assert_eq!(all, (0..COUNT as u64).collect::<Vec<_>>(), "{case}");
                }
            }
        }
    }
}

#[test]
fn l1_several_breaks_and_other_numbers_of_shards_draw_exactly_the_rest() {
    let mut random = Random(5);
    for round in 0..40 {
        for source in sources() {
            // As many files as the largest world needs would have to be left: records are dealt instead.
            let many = source.shards != u32::MAX;
            let all_modes = modes(source, if many { 100 } else { 1 });
            let options = &all_modes[random.below(all_modes.len() as u64) as usize];
            let (mut all, mut states, mut trail) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..4 {
                let world = 1 + random.below(5) as u32;
                let mut new_states = Vec::new();
                for rank in 0..world {
                    let batch = 1 + random.below(7);
                    let mut loader =
                        open(&source.dataset, &params(batch, rank, world, states.clone()), options);
                    for _ in 0..random.below(4) {
                        let Some(batch) = next(&mut loader).unwrap() else { break };
                        all.extend(numbers(&batch));
                    }
                    new_states.push(loader.state().unwrap());
                }
                trail.push(world);
                states = new_states;
            }
            let merged = merge_states(&states).unwrap();
            let mut loader = open(&source.dataset, &params(9, 0, 1, vec![merged.clone()]), options);
            all.extend(rest(&mut loader));
            all.sort_unstable();
            let expected: Vec<u64> = (0..COUNT as u64).collect();
            assert_eq!(all, expected, "{round} {} {options:?} {trail:?} {merged}", source.name);
        }
    }
}

#[test]
fn l1_whole_files_are_dealt_anew_too() {
    let find = |name| sources().iter().find(|source| source.name == name).unwrap();
    for source in [find("tar"), find("tfrecord")] {
        for shuffle in ["none", "window"] {
            let options = options(&[("loader.shuffle", shuffle), ("loader.shuffle_window", "4")]);
            for drawn in 0..9 {
                let (mut all, mut states) = (Vec::new(), Vec::new());
                for rank in 0..3 {
                    let mut loader = open(&source.dataset, &params(3, rank, 3, vec![]), &options);
                    for _ in 0..(drawn + rank).min(10) {
                        let Some(batch) = next(&mut loader).unwrap() else { break };
                        all.extend(numbers(&batch));
                    }
                    states.push(loader.state().unwrap());
                }
                for rank in 0..2 {
                    all.extend(rest(&mut open(
                        &source.dataset,
                        &params(4, rank, 2, states.clone()),
                        &options,
                    )));
                }
                all.sort_unstable();
                assert_eq!(all, (0..COUNT as u64).collect::<Vec<_>>(), "{} {shuffle} {drawn}", source.name);
            }
        }
    }
}

#[test]
fn l1_random_positions_of_a_large_epoch() {
    let root = root();
    let count = 20_000;
    put(&root, "records", (0..count as u32).flat_map(|n| format!("{n:8}").into_bytes()).collect());
    let fixed = s3dlio::api::loader::DatasetParams {
        format: s3dlio::api::loader::Format::Fixed,
        record_size: 8,
        ..Default::default()
    };
    let dataset = wait(s3dlio::api::loader::Dataset::open(&root, &fixed, &Options::new())).unwrap();
    let options = options(&[("loader.shuffle", "full")]);
    let whole = rest(&mut open(&dataset, &params(64, 0, 1, vec![]), &options));
    assert_eq!(whole.len(), count);
    let mut random = Random(11);
    for _ in 0..6 {
        let batch = 1 + random.below(900);
        let batches = random.below(count as u64 / batch);
        let mut loader = open(&dataset, &params(batch, 0, 1, vec![]), &options);
        for _ in 0..batches {
            next(&mut loader).unwrap().unwrap();
        }
        let states = vec![loader.state().unwrap()];
        drop(loader);
        let rest = rest(&mut open(&dataset, &params(64, 0, 1, states), &options));
        assert_eq!(rest, whole[(batch * batches) as usize..], "{batch} x {batches}");
    }
}

#[test]
fn l1_states_that_do_not_fit_are_refused() {
    let dataset = &sources()[0].dataset;
    let none = Options::new();
    let mut states = Vec::new();
    for rank in 0..3 {
        let mut loader = open(dataset, &params(4, rank, 3, vec![]), &none);
        next(&mut loader).unwrap();
        states.push(loader.state().unwrap());
    }
    let refused = |dataset, states: Vec<String>| {
        wait(Loader::open(dataset, &params(4, 0, 2, states), &none)).unwrap_err()
    };
    let error = refused(dataset, vec![states[0].clone(), states[2].clone()]);
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.to_string().contains("shard 1 is missing"), "{error}");
    let twice = vec![states[0].clone(), states[0].clone(), states[1].clone(), states[2].clone()];
    assert_eq!(refused(dataset, twice).code(), Code::InvalidArgument);
    let other = of_uris(objects(&root(), 5));
    let error = refused(&other, states.clone());
    assert!(
        error.code() == Code::InvalidArgument && error.to_string().contains("another dataset"),
        "{error}"
    );
    let elsewhere = open(&sources()[0].dataset, &LoaderParams { seed: 9, ..LoaderParams::default() }, &none);
    assert!(merge_states(&[states[0].clone(), elsewhere.state().unwrap()]).is_err());
    for broken in [
        "",
        "{}",
        "null",
        &states[0][..states[0].len() - 1],
        &states[0].replace("\"version\":1", "\"version\":2"),
        &states[0].replace("\"version\":1", "\"version\":1,\"more\":1"),
        &states[0].replace("\"shard\":0", "\"shard\":3"),
        &states[0].replace("\"done\":4", "\"done\":18446744073709551615"),
        &states[0].replace("\"done\":4", "\"done\":4,\"also\":[[4,1]]"),
        &states[0].replace("\"done\":4", "\"done\":4,\"also\":[[9,1],[7,1]]"),
        &states[0].replace("\"done\":4", "\"done\":4,\"also\":[[9,18446744073709551615]]"),
        &states[0].replace("\"base\":0", "\"base\":1,\"delivered\":[[0,3]]"),
        &states[0].replace("\"shuffle\":\"none\"", "\"shuffle\":\"some\""),
    ] {
        let error = refused(dataset, vec![broken.to_owned()]);
        assert!(matches!(error.code(), Code::Corrupt | Code::Unsupported), "{broken}: {error}");
    }
}

#[test]
fn l1_a_file_that_is_gone_after_a_resume_is_an_error_and_not_the_end() {
    for options in [options(&[]), options(&[("loader.shuffle", "window"), ("loader.shuffle_window", "4")])] {
        let root = root();
        let mut data = Vec::new();
        (0..10).for_each(|n| tfrecord::append(&mut data, format!("{n}").as_bytes()));
        put(&root, "part", data);
        let format = DatasetParams { format: Format::TfRecord, ..DatasetParams::default() };
        let dataset = wait(Dataset::of_uris(vec![format!("{root}/part")], &format, &Options::new())).unwrap();
        let mut loader = open(&dataset, &params(3, 0, 1, vec![]), &options);
        next(&mut loader).unwrap();
        let state = loader.state().unwrap();
        drop(loader);
        let store = api::store_for_uri(&root, &Options::new()).unwrap();
        wait(store.delete("part")).unwrap();
        let mut loader = open(&dataset, &params(3, 0, 1, vec![state.clone()]), &options);
        let error = next(&mut loader).unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{error}");
        // It was not handed over: nothing of the file counts as read.
        assert!(
            next(&mut open(&dataset, &params(3, 0, 1, vec![loader.state().unwrap()]), &options)).is_err()
        );
    }
}
