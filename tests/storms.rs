//! When a service is in trouble as a whole (SPEC I1, I2): a storm of 503 is not made worse and is over when it ends,
//! and peers that stall in the middle of their answers stop nobody else. Through the stores, against faultd.

mod support;

use bytes::Bytes;
use faultd::{Config, Fault, Faultd, Ledger, Op, Rule, Script, Service};
use futures_util::future::join_all;
use s3dlio::Code;
use s3dlio::api::{self, Lister, PutOptions, Store};
use s3dlio::options::Options;
use s3dlio::runtime::{block_on, spawn};
use s3dlio::store::store_for_uri;
use std::time::Duration;

const CONTAINER: &str = "box";
/// Nothing here may take so long.
const LONGEST: Duration = Duration::from_secs(120);

struct Place {
    faultd: Faultd,
    store: Store,
}

fn place(service: Service, settings: &[(&str, u64)]) -> Place {
    let faultd = Faultd::start(Config::default()).unwrap();
    faultd.objects(service, |objects| objects.container(CONTAINER).objects.clear());
    let (mut options, uri): (Options, String) = match service {
        Service::S3 => (support::s3_options(&faultd.s3_endpoint()), format!("s3://{CONTAINER}/root")),
        Service::Azure => (
            support::azure_options(&faultd.azure_endpoint()),
            format!("az://{}/{CONTAINER}/root", support::AZURITE_ACCOUNT),
        ),
    };
    for (name, value) in settings {
        options.set_u64(name, *value).unwrap();
    }
    let store = store_for_uri(&uri, &options).unwrap();
    Place { faultd, store }
}

impl Place {
    fn put(&self, key: &str, bytes: &[u8]) {
        let data = Bytes::copy_from_slice(bytes);
        let put = async { api::put(&self.store, key, data, &PutOptions::default()).await };
        block_on(put).unwrap().unwrap();
    }

    /// This many gets of one object; how many gave its bytes, all others being `Unavailable`.
    fn get(&self, count: usize) -> usize {
        let keys = vec!["object".to_owned(); count];
        let results = block_on(api::get_many(&self.store, keys)).unwrap();
        let good = results.into_iter().filter(|result| match result {
            Ok(bytes) => {
                assert_eq!(&bytes[..], b"bytes");
                true
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Unavailable, "{error}");
                assert!(error.retryable(), "{error}");
                false
            }
        });
        good.count()
    }

    fn requests(&self, op: Op) -> usize {
        self.faultd.requests(|entries| entries.iter().filter(|entry| entry.op == op).count())
    }
}

/// 503 to this share of all requests of an operation.
fn storm(op: Op, share: f64) -> Script {
    Rule::on(op, Fault::named("status").unwrap()).probability(share).into()
}

#[test]
fn i1_a_storm_of_503_is_not_made_worse_and_ends() {
    const MANY: usize = 3000;
    for service in Service::ALL {
        for share in [0.3, 0.6, 1.0] {
            let place = place(service, &[("net.max_attempts", 10), ("transfer.get_many_concurrency", 64)]);
            place.put("object", b"bytes");
            place.faultd.script(storm(Op::Get, share));
            let useful = place.get(MANY);
            let during = place.requests(Op::Get);
            let case = format!("{} {share}: {during} requests, {useful} useful", service.name());
            assert!(during <= MANY * 3 / 2, "more than 1.5 requests for each asked for: {case}");
            assert!(share < 1.0 || useful == 0, "there was no storm: {case}");
            // It ends: from the first request on all is well, and nothing is asked for twice.
            place.faultd.script(Script::default());
            assert_eq!(place.get(MANY), MANY, "it is not over: {case}");
            assert_eq!(place.requests(Op::Get) - during, MANY, "{case}");
            let (all, useful) = (during + MANY, useful + MANY);
            assert!(share > 0.5 || all * 2 <= useful * 3, "{all} requests for {useful} useful ones: {case}");
        }
    }
}

#[test]
fn i1_a_storm_of_503_is_not_made_worse_by_the_sdk() {
    const MANY: usize = 800;
    let place = place(Service::S3, &[("net.max_attempts", 10)]);
    place.faultd.script(storm(Op::Delete, 1.0));
    let delete = || async { join_all((0..MANY).map(|_| place.store.delete("none"))).await };
    let results = block_on(delete()).unwrap();
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|e| e.code() == Code::Unavailable)));
    let during = place.requests(Op::Delete);
    assert!(during <= MANY * 3 / 2, "{during} requests for {MANY} deletes");
    place.faultd.script(Script::default());
    let results = block_on(delete()).unwrap();
    assert!(results.iter().all(Result::is_ok), "it is not over");
    assert_eq!(place.requests(Op::Delete) - during, MANY);
}

#[test]
fn i2_stalled_peers_do_not_stop_other_transfers() {
    const STALLED: usize = 64;
    for service in Service::ALL {
        let place = place(service, &[("net.max_attempts", 1), ("net.progress_timeout_ms", 8000)]);
        let object = vec![7; 300_000];
        place.put("stalled", &object);
        place.put("object", b"bytes");
        let stall = Fault::named("stall_in_body").unwrap().with("at", "mid");
        place.faultd.script(Rule::on(Op::Get, stall).key("*/stalled"));
        let stalled: Vec<_> = (0..STALLED)
            .map(|_| {
                let store = place.store.clone();
                spawn(async move { api::get(&store, "stalled").await.map(|bytes| bytes.len()) }).unwrap()
            })
            .collect();
        let waiting = |l: &Ledger| l.entries.iter().filter(|e| e.fault.is_some()).count() == STALLED;
        assert!(place.faultd.wait_until(LONGEST, waiting), "not all of them stall");
        // Everything else goes on, while they stand.
        for round in 0..20 {
            let key = format!("other/{round}");
            place.put(&key, &object);
            let work = async {
                assert_eq!(api::get(&place.store, &key).await.unwrap().len(), object.len());
                assert_eq!(place.store.stat(&key).await.unwrap().size, object.len() as u64);
                place.store.copy(&key, "copy").await.unwrap();
                let page = Lister::new(&place.store, "other/", true).next_page().await.unwrap();
                assert_eq!(page.map(|page| page.len()), Some(1));
                place.store.delete(&key).await.unwrap();
            };
            block_on(work).unwrap();
            assert_eq!(place.get(64), 64);
        }
        assert!(stalled.iter().all(|task| !task.is_finished()), "a stalled one ended before the others");
        for task in stalled {
            let error = block_on(task).unwrap().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::Timeout, "{error}");
        }
        let Place { faultd, store } = place;
        drop(store);
        assert!(faultd.wait_until(LONGEST, |l| l.open_connections == 0), "connections are left");
    }
}
