//! Each item exactly once per epoch, over all shards, from every source and in every mode (SPEC L1).

use crate::support::*;
use s3dlio::api::loader::LoaderParams;

fn shard(rank: u32, world_size: u32, worker: u32, workers: u32) -> LoaderParams {
    LoaderParams {
        batch_size: 4,
        seed: 7,
        epoch: 1,
        rank,
        world_size,
        worker,
        workers,
        ..LoaderParams::default()
    }
}

#[test]
fn l1_every_item_is_drawn_once_by_all_shards_together() {
    for source in sources() {
        for (world, workers) in [(1, 1), (3, 2), (4, 3)] {
            for options in modes(source, world * workers) {
                let mut all = Vec::new();
                for (rank, worker) in
                    (0..world).flat_map(|rank| (0..workers).map(move |worker| (rank, worker)))
                {
                    all.extend(rest(&mut open(
                        &source.dataset,
                        &shard(rank, world, worker, workers),
                        &options,
                    )));
                }
                all.sort_unstable();
                let expected: Vec<u64> = (0..COUNT as u64).collect();
                assert_eq!(all, expected, "{} {options:?} {world}x{workers}", source.name);
            }
        }
    }
}

#[test]
fn l1_the_same_seed_gives_the_same_order_and_another_epoch_another() {
    for source in sources() {
        let modes = modes(source, 1);
        for options in modes.iter().filter(|options| options.get("loader.order").unwrap() == "ordered") {
            let draw = |seed, epoch| {
                let params = LoaderParams { batch_size: 5, seed, epoch, ..LoaderParams::default() };
                rest(&mut open(&source.dataset, &params, options))
            };
            let case = format!("{} {options:?}", source.name);
            let first = draw(1, 1);
            assert_eq!(first, draw(1, 1), "{case}");
            if options.get("loader.shuffle").unwrap() == "none" {
                assert_eq!(first, (0..COUNT as u64).collect::<Vec<_>>(), "{case}");
            } else {
                assert!(first != draw(1, 2) && first != draw(2, 1) && draw(1, 2) != draw(2, 1), "{case}");
            }
        }
    }
}

#[test]
fn l1_ranks_in_lock_step_draw_a_prefix_of_the_global_order() {
    let source = &sources()[0];
    let options = options(&[("loader.shuffle", "full")]);
    let global = rest(&mut open(&source.dataset, &shard(0, 1, 0, 1), &options));
    let mut shards: Vec<_> = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
        .map(|(rank, worker)| {
            rest(&mut open(&source.dataset, &shard(rank, 3, worker, 2), &options)).into_iter()
        })
        .into();
    let mut together = Vec::new();
    while together.len() < COUNT {
        together.extend(shards.iter_mut().filter_map(Iterator::next));
    }
    assert_eq!(together, global);
}

#[test]
fn l1_drop_last_leaves_out_a_short_batch() {
    for source in sources() {
        for drop_last in ["true", "false"] {
            let options = options(&[("loader.drop_last", drop_last)]);
            let params = LoaderParams { batch_size: 10, ..LoaderParams::default() };
            let mut loader = open(&source.dataset, &params, &options);
            let mut sizes = Vec::new();
            while let Some(batch) = next(&mut loader).unwrap() {
                sizes.push(batch.samples.len());
            }
            let expected = if drop_last == "true" { vec![10; 10] } else { [vec![10; 10], vec![3]].concat() };
            assert_eq!(sizes, expected, "{}", source.name);
            assert!(next(&mut loader).unwrap().is_none());
            assert_eq!(loader.stats().items, sizes.iter().sum::<usize>() as u64);
        }
    }
}

#[test]
fn l1_map_style_access_gives_items_in_the_order_of_their_indices() {
    for source in sources().iter().filter(|source| source.name != "tar") {
        let indexed = wait(source.dataset.index()).unwrap();
        assert_eq!(indexed.length(), Some(COUNT as u64), "{}", source.name);
        let wanted = [102, 0, 50, 50, 7];
        let got = wait(indexed.get_many(&wanted));
        for (index, sample) in wanted.iter().zip(got) {
            let sample = sample.unwrap();
            assert_eq!(sample.index, *index, "{}", source.name);
            assert_eq!(
                std::str::from_utf8(sample.data()).unwrap().trim(),
                index.to_string(),
                "{}",
                source.name
            );
        }
        let error = wait(indexed.get(COUNT as u64)).unwrap_err();
        assert_eq!(error.code(), s3dlio::Code::InvalidArgument, "{error}");
    }
}

#[test]
fn l1_what_a_dataset_cannot_do_is_refused_with_a_way_out() {
    let refused = |source: &Source, params: &LoaderParams, pairs: &[(&str, &str)]| {
        let error =
            wait(s3dlio::api::loader::Loader::open(&source.dataset, params, &options(pairs))).unwrap_err();
        assert_eq!(error.code(), s3dlio::Code::InvalidArgument, "{error}");
        error.to_string()
    };
    let find = |name| sources().iter().find(|source| source.name == name).unwrap();
    for name in ["prefix", "tar", "tfrecord"] {
        refused(find(name), &shard(0, 1, 0, 1), &[("loader.shuffle", "full")]);
    }
    let text = refused(find("tar"), &shard(0, 4, 0, 2), &[]);
    assert!(text.contains("7 files"), "{text}");
    refused(find("uris"), &shard(3, 3, 0, 1), &[]);
}
