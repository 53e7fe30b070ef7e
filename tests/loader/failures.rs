//! Items that fail, under each policy; objects that go or change; an end at any time (SPEC L1, L2).

use crate::support::*;
use s3dlio::Code;
use s3dlio::api::loader::{Dataset, DatasetParams, LoaderParams};
use s3dlio::api::{self, Options};

fn delete(root: &str, key: &str) {
    let store = api::store_for_uri(root, &Options::new()).unwrap();
    wait(store.delete(key)).unwrap();
}

fn batches_of(batch_size: u64) -> LoaderParams {
    LoaderParams { batch_size, ..LoaderParams::default() }
}

#[test]
fn l1_each_policy_does_what_it_says_with_an_item_that_is_gone() {
    let root = root();
    let uris = objects(&root, 20);
    let indexed = wait(of_prefix(&root).index()).unwrap();
    delete(&root, "o000005");
    delete(&root, "o000006");
    for dataset in [of_uris(uris), indexed] {
        for order in ["ordered", "completion"] {
            let one = |policy| {
                options(&[("loader.on_error", policy), ("loader.order", order), ("loader.in_flight", "1")])
            };
            // raise: the error says which item it was, and everything else still comes.
            let mut loader = open(&dataset, &batches_of(4), &one("raise"));
            let (mut all, mut errors) = (Vec::new(), Vec::new());
            loop {
                match next(&mut loader) {
                    Ok(Some(batch)) => all.extend(numbers(&batch)),
                    Ok(None) => break,
                    Err(error) => errors.push(error),
                }
            }
            all.sort_unstable();
            assert_eq!(all, (0..20).filter(|n| ![5, 6].contains(n)).collect::<Vec<_>>());
            assert_eq!(errors.len(), 2);
            for (error, index) in errors.iter().zip(["5", "6"]) {
                assert_eq!(error.code(), Code::NotFound, "{error}");
                assert!(error.uri().unwrap().ends_with(&format!("/o00000{index}")), "{error}");
                assert!(
                    error.details().iter().any(|(key, value)| *key == "index" && value == index),
                    "{error}"
                );
            }
            // What failed was not delivered: who resumes gets it once it is there again.
            let state = loader.state().unwrap();
            drop(loader);
            let resumed = LoaderParams { states: vec![state], ..batches_of(4) };
            let error = next(&mut open(&dataset, &resumed, &one("raise"))).unwrap_err();
            assert_eq!(error.code(), Code::NotFound);

            for (policy, sizes) in [("skip", [4, 2, 4, 4, 4]), ("substitute", [4, 4, 4, 4, 2])] {
                let mut loader = open(&dataset, &batches_of(4), &one(policy));
                let mut found = Vec::new();
                while let Some(batch) = next(&mut loader).unwrap() {
                    found.push(batch.samples.len());
                }
                assert_eq!(found, sizes, "{policy} {order}");
                let stats = loader.stats();
                let expected = if policy == "skip" { (2, 0) } else { (0, 2) };
                assert_eq!((stats.skipped, stats.substituted, stats.items), (expected.0, expected.1, 18));
                let resumed = LoaderParams { states: vec![loader.state().unwrap()], ..batches_of(4) };
                assert!(rest(&mut open(&dataset, &resumed, &one(policy))).is_empty(), "{policy}");
            }
        }
    }
}

#[test]
fn l1_a_batch_of_failures_is_left_out_whole() {
    let root = root();
    let uris = objects(&root, 12);
    (4..8).for_each(|n| delete(&root, &format!("o{n:06}")));
    let mut loader = open(&of_uris(uris), &batches_of(4), &options(&[("loader.on_error", "skip")]));
    assert_eq!(numbers(&next(&mut loader).unwrap().unwrap()), [0, 1, 2, 3]);
    assert_eq!(numbers(&next(&mut loader).unwrap().unwrap()), [8, 9, 10, 11]);
    assert!(next(&mut loader).unwrap().is_none());
}

#[test]
fn l1_an_object_that_changed_after_the_listing_is_found_by_validation() {
    for memory in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let root = if memory { root() } else { format!("file://{}", folder.path().display()) };
        objects(&root, 10);
        let dataset = wait(of_prefix(&root).index()).unwrap();
        put(&root, "o000003", b"3333".to_vec());
        put(&root, "o000004", b"5".to_vec());
        let draw = |validate| {
            let options = options(&[("loader.validate", validate), ("loader.on_error", "raise")]);
            let mut loader = open(&dataset, &batches_of(10), &options);
            let mut found = Vec::new();
            loop {
                match next(&mut loader) {
                    Ok(Some(batch)) => return (numbers(&batch), found),
                    Ok(None) => return (Vec::new(), found),
                    Err(error) => found.push((error.code(), error.uri().unwrap().to_owned())),
                }
            }
        };
        let (all, errors) = draw("true");
        assert_eq!(all, [0, 1, 2, 5, 6, 7, 8, 9]);
        let expected = ["o000003", "o000004"].map(|key| (Code::Changed, format!("{root}/{key}")));
        assert_eq!(errors, expected);
        let (all, errors) = draw("false");
        assert_eq!(
            (all, errors),
            (vec![0, 1, 2, 3333, 5, 5, 6, 7, 8, 9], vec![]),
            "without it what is there comes"
        );
    }
}

#[test]
fn l1_a_missing_bucket_is_an_error_and_an_empty_folder_an_end() {
    let root = root();
    let dataset = of_prefix(&root);
    let mut loader = open(&dataset, &batches_of(1), &Options::new());
    for _ in 0..2 {
        assert_eq!(next(&mut loader).unwrap_err().code(), Code::ContainerNotFound);
    }
    put(&root, "one", b"1".to_vec());
    assert_eq!(rest(&mut open(&dataset, &batches_of(1), &Options::new())), [1]);
    delete(&root, "one");
    assert!(rest(&mut open(&dataset, &batches_of(1), &Options::new())).is_empty());
    assert!(rest(&mut open(&of_uris(Vec::new()), &batches_of(1), &Options::new())).is_empty());
}

#[test]
fn l1_compressed_objects_are_decompressed_or_not() {
    let root = root();
    let store = api::store_for_uri(&root, &options(&[("writer.compression", "zstd")])).unwrap();
    let plain: Vec<u8> = (0..300_000u32).map(|n| (n / 100) as u8).collect();
    wait(async {
        let mut writer = api::Writer::open(&store, "a.zst", store.options(), &Default::default()).await?;
        writer.write(&plain).await?;
        writer.finish().await
    })
    .unwrap();
    put(&root, "b.zst", b"no zstd".to_vec());
    let draw = |decompress, key: &str| {
        let dataset = of_uris(vec![format!("{root}/{key}")]);
        next(&mut open(&dataset, &batches_of(1), &options(&[("loader.decompress", decompress)])))
    };
    assert_eq!(&draw("auto", "a.zst").unwrap().unwrap().samples[0].data()[..], plain);
    assert!(draw("none", "a.zst").unwrap().unwrap().samples[0].data().len() < plain.len());
    let error = draw("auto", "b.zst").unwrap_err();
    assert!(error.code() == Code::Corrupt && error.uri().unwrap().ends_with("b.zst"), "{error}");
    let cut = wait(api::get(&store, "a.zst")).unwrap();
    put(&root, "c.zst", cut[..cut.len() / 2].to_vec());
    assert_eq!(draw("auto", "c.zst").unwrap_err().code(), Code::Truncated);
}

#[test]
fn l1_files_of_records_that_are_cut_give_errors_and_the_rest() {
    let root = root();
    put(&root, "a", b"1       2       ".to_vec());
    put(&root, "b", b"3       4   ".to_vec());
    let fixed = DatasetParams {
        format: s3dlio::api::loader::Format::Fixed,
        record_size: 8,
        ..DatasetParams::default()
    };
    let error = wait(Dataset::open(&root, &fixed, &Options::new())).unwrap_err();
    assert!(error.code() == Code::Corrupt && error.uri().unwrap().ends_with("/b"), "{error}");
    put(&root, "b", b"3       4       ".to_vec());
    let dataset = wait(Dataset::open(&root, &fixed, &Options::new())).unwrap();
    put(&root, "b", b"3       4   ".to_vec());
    let mut loader = open(&dataset, &batches_of(3), &Options::new());
    assert_eq!(next(&mut loader).unwrap().map(|batch| numbers(&batch)), Some(vec![1, 2, 3]));
    assert_eq!(next(&mut loader).unwrap_err().code(), Code::Truncated);
    assert!(next(&mut loader).unwrap().is_none());
}

#[test]
fn l2_a_forked_child_uses_the_dataset_but_not_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..50 {
        std::fs::write(folder.path().join(format!("o{n:06}")), n.to_string()).unwrap();
    }
    let dataset = of_prefix(&format!("file://{}", folder.path().display()));
    let mut loader = open(&dataset, &batches_of(5), &Options::new());
    assert_eq!(next(&mut loader).unwrap().unwrap().samples.len(), 5);
    // SAFETY: the child only uses the library, which is made for that, and leaves without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let forked = next(&mut loader).is_err_and(|error| error.code() == Code::Forked);
        let all = rest(&mut open(&dataset, &batches_of(7), &Options::new()));
        drop(loader);
        let good = forked && all == (0..50).collect::<Vec<_>>();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: waits for the child that was just started.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(rest(&mut loader), (5..50).collect::<Vec<_>>(), "the parent goes on");
}
