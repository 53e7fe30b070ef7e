//! Bytes, requests and time: what a pass may hold, and that nothing of it is left behind (SPEC L1, L2).

use crate::backends::{s3_options, unique};
use crate::support::*;
use faultd::{Config, Fault, Faultd, Op, Rule, Script, Service};
use s3dlio::Code;
use s3dlio::api::loader::{Dataset, DatasetParams, LoaderParams};
use s3dlio::api::{Options, advanced::Uri};
use std::time::Instant;

fn batches_of(batch_size: u64) -> LoaderParams {
    LoaderParams { batch_size, ..LoaderParams::default() }
}

/// A bucket of objects on a service that can be made slow.
fn service(count: usize) -> (Faultd, Dataset, Options) {
    let faultd = Faultd::start(Config::default()).unwrap();
    let bucket = unique("loader").to_string();
    faultd.objects(Service::S3, |objects| objects.container(&bucket).objects.clear());
    let mut options = s3_options(&faultd.s3_endpoint());
    options.set("loader.in_flight", "32").unwrap();
    let store = s3dlio::api::store_for_uri(&format!("s3://{bucket}"), &options).unwrap();
    let all = (0..count).map(|n| (format!("o{n:06}"), n.to_string().into_bytes().into())).collect();
    wait(s3dlio::api::put_many(&store, all, &Default::default()))
        .into_iter()
        .for_each(|put| drop(put.unwrap()));
    let dataset =
        wait(Dataset::open(&format!("s3://{bucket}"), &DatasetParams::default(), &options)).unwrap();
    let _ = Uri::parse(&format!("s3://{bucket}")).unwrap();
    (faultd, dataset, options)
}

fn slow(share: f64, ms: &str) -> Script {
    Rule::on(Op::Get, Fault::named("stall_before_head").unwrap().with("ms", ms)).probability(share).into()
}

#[test]
fn l2_completion_order_does_not_wait_for_slow_items() {
    const COUNT: usize = 2000;
    let (faultd, dataset, given) = service(COUNT);
    let dataset = wait(dataset.index()).unwrap();
    let pass = |order: &str| {
        let options =
            given.clone().with("loader.order", order).unwrap().with("loader.prefetch_batches", 16).unwrap();
        let began = Instant::now();
        let all = rest(&mut open(&dataset, &batches_of(32), &options));
        (all, COUNT as f64 / began.elapsed().as_secs_f64())
    };
    let (_, undelayed) = pass("completion");
    // The very first item is slow: in completion order others come before it.
    let first =
        Rule::on(Op::Get, Fault::named("stall_before_head").unwrap().with("ms", "500")).key("*/o000000");
    faultd.script(Script::from(first));
    let (mut all, _) = pass("completion");
    let overtaken = all.iter().position(|n| *n == 0).unwrap();
    assert!(overtaken >= 32, "a slow item was waited for: {:?}", &all[..40]);
    all.sort_unstable();
    assert_eq!(all, (0..COUNT as u64).collect::<Vec<_>>());
    faultd.script(slow(0.05, "500"));
    let (mut all, delayed) = pass("completion");
    all.sort_unstable();
    assert_eq!(all, (0..COUNT as u64).collect::<Vec<_>>());
    let (all, ordered) = pass("ordered");
    assert_eq!(all, (0..COUNT as u64).collect::<Vec<_>>());
    println!(
        "head of line, 5 % of gets 500 ms late: completion order {delayed:.0}/s, ordered {ordered:.0}/s, none late {undelayed:.0}/s"
    );
}

#[test]
fn l2_items_that_are_late_do_not_take_the_places_of_others() {
    let (faultd, dataset, given) = service(40);
    let late = Fault::named("stall_before_head").unwrap().with("ms", "3000");
    faultd.script(Script::from(Rule::on(Op::Get, late).key("*/o00000*"))); // ten of them
    let given = given.with("loader.in_flight", 4).unwrap().with("loader.order", "completion").unwrap();
    let mut all = rest(&mut open(&dataset, &batches_of(5), &given));
    let last = all.split_off(30);
    assert!(all.iter().all(|n| *n >= 10), "{all:?} came before {last:?}");
    assert_eq!(last.iter().filter(|n| **n < 10).count(), 10);

    // Unless there are no more places than that.
    let few = given.with("loader.max_in_flight", 4).unwrap();
    let all = rest(&mut open(&dataset, &batches_of(5), &few));
    assert!(all[..30].iter().any(|n| *n < 10), "{all:?}");
}

#[test]
fn l2_a_batch_timeout_gives_what_is_there_or_says_so() {
    let (faultd, dataset, given) = service(40);
    let late = Fault::named("stall_before_head").unwrap().with("ms", "3000");
    faultd.script(Script::from(Rule::on(Op::Get, late).key("*/o000003")));
    let with = |order: &str| {
        let options = given.clone().with("loader.order", order).unwrap();
        open(&dataset, &batches_of(40), &options.with("loader.batch_timeout_ms", 700).unwrap())
    };
    let mut loader = with("ordered");
    let error = next(&mut loader).unwrap_err();
    assert!(error.code() == Code::Timeout && error.retryable(), "{error}");
    let all = loop {
        match next(&mut loader) {
            Ok(batch) => break batch,
            Err(error) => assert_eq!(error.code(), Code::Timeout),
        }
    };
    assert_eq!(numbers(&all.unwrap()), (0..40).collect::<Vec<_>>(), "nothing was lost");
    let mut loader = with("completion");
    let short = numbers(&next(&mut loader).unwrap().unwrap());
    assert!(short.len() == 39 && !short.contains(&3), "{short:?}");
    let rest = loop {
        match next(&mut loader) {
            Ok(batch) => break numbers(&batch.unwrap()),
            Err(error) => assert_eq!(error.code(), Code::Timeout),
        }
    };
    assert_eq!(rest, [3]);
}

#[test]
fn l2_bytes_stay_within_the_budget_with_objects_of_all_sizes() {
    const LIMIT: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let sizes: Vec<usize> = (0..60).map(|n| [1, 4000, 300_000, 1 << 20, 9 << 20][n % 5]).collect();
    let root = root();
    let mut uris = Vec::new();
    for (n, size) in sizes.iter().enumerate() {
        let data = vec![n as u8; *size];
        if n % 2 == 0 {
            put(&root, &format!("o{n:03}"), data);
            uris.push(format!("{root}/o{n:03}"));
        } else {
            let path = folder.path().join(format!("o{n:03}"));
            std::fs::write(&path, data).unwrap();
            uris.push(format!("file://{}", path.display()));
        }
    }
    let on_files = wait(Dataset::open(
        &format!("file://{}", folder.path().display()),
        &DatasetParams::default(),
        &Options::new(),
    ));
    for dataset in [of_uris(uris), on_files.unwrap(), of_prefix(&root)] {
        for order in ["ordered", "completion"] {
            let options = options(&[
                ("loader.order", order),
                ("loader.prefetch_bytes", "4MiB"),
                ("loader.in_flight", "8"),
                ("loader.prefetch_batches", "100"),
            ]);
            let mut loader = open(&dataset, &batches_of(2), &options);
            let mut count = 0;
            while let Some(batch) = next(&mut loader).unwrap() {
                count += batch.samples.len();
                for sample in &batch.samples {
                    let n: usize = sample.uri[sample.uri.len() - 3..].parse().unwrap();
                    assert!(sample.data().len() == sizes[n] && sample.data().iter().all(|b| *b == n as u8));
                }
                // One item that the next batch needs may go past it: the largest.
                let held = loader.stats().buffered_bytes;
                assert!(held <= LIMIT + 2 * (9 << 20), "{held} bytes are held");
            }
            assert!(count >= 30, "{count}");
            assert_eq!(loader.stats().buffered_bytes, 0);
        }
    }
}

#[test]
fn l2_an_end_at_any_time_leaves_nothing_behind() {
    let (faultd, dataset, given) = service(500);
    faultd.script(slow(0.3, "50"));
    for source in sources() {
        for drawn in 0..3 {
            let mut loader = open(&source.dataset, &batches_of(7), &Options::new());
            for _ in 0..drawn {
                next(&mut loader).unwrap();
            }
            wait(loader.close());
        }
    }
    for drawn in 0..6 {
        let mut loader = open(&dataset, &batches_of(8), &given);
        for _ in 0..drawn {
            next(&mut loader).unwrap();
        }
        wait(loader.close());
        // Every request of it is over on the service, too.
        let requests = faultd.requests(|all| all.len());
        assert_eq!(faultd.requests(|all| all.len()), requests);
        let loader = open(&dataset, &batches_of(8), &given);
        drop(loader);
    }
}
