//! The commit under faults: it ends committed, or not committed, or says that it does not know; and a look at the
//! storage agrees. Whatever was said, a checkpoint that is there is whole.

use crate::support;
use crate::work::{self, params, wait};
use faultd::{Config, Faultd, Script, Service};
use s3dlio::Code;
use s3dlio::checkpoint::{self, Checkpoint};
use s3dlio::options::Options;
use s3dlio::store::{Store, store_for_uri};
use std::sync::Mutex;
use std::time::Duration;

const CONTAINER: &str = "box";
const AT_ONCE: usize = 16;

/// What is done to the request that publishes the manifest.
const FAULTS: &[&str] = &[
    "act_then_drop",
    "act_then_500",
    "close_before_head phase=before",
    "close_before_head phase=after",
    "reset_before_head",
    "reset_before_head phase=after",
    "reset_in_head",
    "reset_in_request at=mid",
    "status status=503",
    "status status=503 phase=after",
    "status status=500",
    "status status=409 code=ConditionalRequestConflict",
    "status status=409 code=ConditionalRequestConflict phase=after",
    "status status=412",
    "status status=412 phase=after",
    "status status=403",
    "status status=403 phase=after",
    "stall_before_head",
    "stall_before_head phase=before",
    "stall_in_request at=mid",
    "garbage_head",
    "error_in_200 phase=after",
];

/// How often it is.
const TIMES: &[&str] = &["nth=1", "nth=1-3", "nth=2-4", ""];

/// What becomes of a look at the manifest while it is being published.
const LOOKS: &[&str] = &[
    "",
    "fault=status status=503",
    "fault=reset_before_head",
    "fault=status status=403",
    "fault=stall_before_head",
];

struct Place {
    faultd: Faultd,
    store: Store,
}

fn place(service: Service) -> Place {
    let faultd = Faultd::start(Config::default()).unwrap();
    faultd.objects(service, |objects| objects.container(CONTAINER).objects.clear());
    let (mut options, uri): (Options, String) = match service {
        Service::S3 => (support::s3_options(&faultd.s3_endpoint()), format!("s3://{CONTAINER}/root")),
        Service::Azure => {
            let uri = format!("az://{}/{CONTAINER}/root", support::AZURITE_ACCOUNT);
            (support::azure_options(&faultd.azure_endpoint()), uri)
        }
    };
    let settings = [
        ("net.max_attempts", 3),
        ("net.progress_timeout_ms", 300),
        ("net.operation_timeout_ms", 2000),
        ("checkpoint.timeout_ms", 3000),
    ];
    for (name, value) in settings {
        options.set_u64(name, value).unwrap();
    }
    Place { faultd, store: store_for_uri(&uri, &options).unwrap() }
}

impl Place {
    /// What the server holds as the manifest of a step.
    fn manifest(&self, service: Service, step: u64) -> Option<String> {
        let key = format!("root/manifests/step-{step:012}.json");
        self.faultd.objects(service, |objects| {
            objects.get(CONTAINER, &key).map(|object| String::from_utf8_lossy(&object.bytes).into_owned())
        })
    }

    /// Saves a step under a script; gives what the commit said and how many faults there were.
    fn commit(&self, step: u64, script: &str) -> (String, Result<(), s3dlio::Error>, usize) {
        let mut writer = wait(work::begin(&self.store, params("run", step, 0, 1))).unwrap();
        wait(writer.finish()).unwrap();
        let before = self.faultd.requests(|entries| entries.len());
        self.faultd.script(Script::parse(script).unwrap_or_else(|why| panic!("{script}: {why}")));
        let said = wait(writer.commit());
        let id = writer.id().to_owned();
        drop(writer);
        // What an abandoned save removes, it removes under the same faults.
        self.faultd.script(Script::default());
        let faults =
            self.faultd.requests(|entries| entries[before..].iter().filter(|e| e.fault.is_some()).count());
        (id, said, faults)
    }
}

/// What was seen of one fault.
#[derive(Default)]
struct Seen {
    commits: u64,
    committed: usize,
    unknown: usize,
    not_committed: usize,
    wrong: Vec<String>,
}

#[test]
fn c2_a_commit_under_faults_says_what_is_so() {
    let cases = Service::ALL.iter().flat_map(|service| FAULTS.iter().map(move |fault| (*service, *fault)));
    let (cases, all) = (Mutex::new(cases), Mutex::new(Seen::default()));
    // They wait most of the time.
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((service, fault)) = cases.lock().unwrap().next() else { return };
                    let seen = under(service, fault);
                    let mut all = all.lock().unwrap();
                    all.commits += seen.commits;
                    all.committed += seen.committed;
                    all.unknown += seen.unknown;
                    all.not_committed += seen.not_committed;
                    all.wrong.extend(seen.wrong);
                }
            });
        }
    });
    let Seen { commits, committed, unknown, not_committed, wrong } = all.into_inner().unwrap();
    println!("{commits} commits: {committed} committed, {unknown} unknown, {not_committed} not committed");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(committed > 20 && unknown > 20 && not_committed > 20, "{committed} {unknown} {not_committed}");
}

/// One fault, as often and with such looks as there are.
fn under(service: Service, fault: &str) -> Seen {
    let place = place(service);
    let mut seen = Seen::default();
    for (times, look) in TIMES.iter().flat_map(|times| LOOKS.iter().map(move |look| (*times, *look))) {
        let slow = |what: &str| what.contains("stall");
        if slow(fault) && slow(look) || (slow(fault) || slow(look)) && !matches!(times, "" | "nth=1") {
            continue; // long, and nothing new
        }
        seen.commits += 1;
        let step = seen.commits;
        let looks =
            if look.is_empty() { String::new() } else { format!("key=*/manifests/* op=get,head {look}\n") };
        let script = format!("{looks}key=*/manifests/* op=put {times} fault={fault}\n");
        let (id, said, faults) = place.commit(step, &script);
        let ours = place.manifest(service, step).is_some_and(|text| text.contains(&id));
        let case = format!("{} step {step} {script}", service.name());
        assert!(faults > 0 || times == "nth=2-4", "no fault: {case}");
        match &said {
            Ok(()) if ours => seen.committed += 1,
            Err(error) if error.code() == Code::UnknownOutcome => seen.unknown += 1,
            Err(_) if !ours => seen.not_committed += 1,
            Ok(()) => seen.wrong.push(format!("FALSE SUCCESS: {case}")),
            Err(error) => seen.wrong.push(format!("FALSE FAILURE: {case}{error}")),
        }
        if let Err(error) = &said
            && (error.uri().is_none() || error.operation().is_none() || error.to_string().is_empty())
        {
            seen.wrong.push(format!("it says too little: {case}{error}"));
        }
        if times == "nth=1" && look.is_empty() && passes(service, fault) && said.is_err() {
            seen.wrong.push(format!("one fault is too much: {case}{said:?}"));
        }
    }
    // What is there is whole, whatever the writers removed that were dropped.
    settled(&place);
    for step in wait(checkpoint::list(&place.store)).unwrap() {
        let opened = wait(Checkpoint::open(&place.store, place.store.options(), Some(step))).unwrap();
        if let Err(why) = work::verify(&place.store, &opened) {
            seen.wrong.push(format!("DATA LOST of the committed step {step}: {why}"));
        }
    }
    seen
}

/// Whether one such fault is passed over by repeating. To Azure 409 means that the blob exists.
fn passes(service: Service, fault: &str) -> bool {
    let refusals: &[&str] = if service == Service::S3 { &["412", "403"] } else { &["412", "403", "409"] };
    !refusals.iter().any(|status| fault.contains(status)) && !fault.starts_with("garbage")
}

/// Waits until abandoned saves were removed.
fn settled(place: &Place) {
    let count = || place.faultd.requests(|entries| entries.len());
    let mut before = count();
    loop {
        std::thread::sleep(Duration::from_millis(500)); // nothing tells; requests take milliseconds
        let now = count();
        if now == before {
            return;
        }
        before = now;
    }
}

#[test]
fn c2_a_rank_that_cannot_look_does_not_say_that_nothing_was_committed() {
    for service in Service::ALL {
        let place = place(service);
        for (number, (times, fault)) in
            [("1-12", "status status=503"), ("1-", "status status=503"), ("1-", "reset_before_head")]
                .into_iter()
                .enumerate()
        {
            let step = number as u64;
            let part = |rank| {
                let store = place.store.clone();
                move || wait(work::begin(&store, params("run", step, rank, 2)))
            };
            let (mut first, mut second) = std::thread::scope(|scope| {
                let second = scope.spawn(part(1));
                (part(0)().unwrap(), second.join().unwrap().unwrap())
            });
            wait(second.finish()).unwrap();
            let script = format!("key=*/manifests/* op=get nth={times} fault={fault}\n");
            place.faultd.script(Script::parse(&script).unwrap());
            wait(first.commit()).unwrap();
            let said = wait(second.commit());
            place.faultd.script(Script::default());
            let expected = if times == "1-12" { None } else { Some(Code::UnknownOutcome) };
            assert_eq!(
                said.as_ref().err().map(|e| e.code()),
                expected,
                "{}: {script}: {said:?}",
                service.name()
            );
            drop((first, second));
            let opened = wait(Checkpoint::open(&place.store, place.store.options(), Some(step))).unwrap();
            work::verify(&place.store, &opened).unwrap();
        }
    }
}

#[test]
fn c2_a_commit_does_not_need_latest_json() {
    for service in Service::ALL {
        let place = place(service);
        let mut step = 0;
        for fault in FAULTS.iter().filter(|fault| !fault.starts_with("stall")) {
            step += 1;
            let script = format!("key=*/latest.json op=get,head,put fault={fault}\n");
            let (_, said, faults) = place.commit(step, &script);
            assert!(said.is_ok(), "{}: {fault}: {:?}", service.name(), said);
            assert!(faults > 0, "no fault: {fault}");
            check_latest(&place.store, step);
            let opened = wait(Checkpoint::open(&place.store, place.store.options(), None)).unwrap();
            assert_eq!(opened.manifest().step, step);
        }
        // It is brought up to date by the next commit.
        step += 1;
        let (_, said, _) = place.commit(step, "");
        said.unwrap();
        assert_eq!(
            wait(checkpoint::read_latest(&place.store)).unwrap().map(|latest| latest.step),
            Some(step)
        );
    }
}

/// `latest.json` may lag, but what it names is committed.
pub fn check_latest(store: &Store, newest: u64) {
    if let Some(latest) = wait(checkpoint::read_latest(store)).unwrap() {
        assert!(latest.step <= newest, "latest.json is ahead: {latest:?}");
        let named = wait(Checkpoint::open(store, store.options(), Some(latest.step))).unwrap();
        assert_eq!(named.manifest().id, latest.id);
    }
}
