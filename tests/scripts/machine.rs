//! A script from its seed to its end: the server, the steps, and what must not be left.

use crate::model::{Model, Version, judge, same_etag};
use crate::steps;
use crate::support;
use faultd::{Config, Faultd, Object, Rng, Script as Faults, Service};
use s3dlio::api::advanced::Upload;
use s3dlio::api::{self, Store, Writer};
use s3dlio::runtime::block_on;
use s3dlio::{Code, Error};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub const CONTAINER: &str = "box";
/// For one step; `net.operation_timeout_ms` is shorter, and a step has a few operations.
const STEP: Duration = Duration::from_secs(150);
const CLEANUP: Duration = Duration::from_secs(20);

/// What is passed over and repeated, or ends in an error. What nobody can see without a checksum is
/// left out, and what takes long.
const AMONG: &str = "reset_before_head,reset_in_head,reset_after_head,reset_in_body,reset_after_body,\
    reset_in_request,close_before_head,close_in_head,close_in_body,close_after_body,short_body,short_range,\
    no_length,stall_before_head,stall_in_head,stall_in_body,stall_in_request,trickle,status,act_then_500,\
    error_in_200,wrong_content_range,wrong_length,other_etag,duplicate,garbage_head,chunked,\
    chunked_malformed,act_then_drop,expired_credentials,skewed_clock,stale,half_close,redirect,continue,extra_bytes";
/// What removes uploads meets these once only, so that nothing may be left.
const PASSING: &str = "reset_before_head,reset_in_head,close_before_head,status,act_then_500,garbage_head,\
    act_then_drop,stale,stall_before_head,duplicate";

/// What happened in all scripts.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    pub steps: usize,
    pub requests: usize,
    pub faults: usize,
    pub errors: usize,
    pub unknown: usize,
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.faults += other.faults;
        self.errors += other.errors;
        self.unknown += other.unknown;
    }
}

pub struct Script {
    pub rng: Rng,
    pub service: Service,
    pub faultd: Faultd,
    pub store: Store,
    pub model: Model,
    pub totals: Totals,
    /// Of the running step.
    entries_before: usize,
    /// Uploads that could not be removed yet: done once more when the faults are over.
    pub writers: Vec<Writer>,
    pub uploads: Vec<Arc<dyn Upload>>,
    /// Azure: keys with an object whose waiting blocks an abort must leave to expire.
    pub may_keep_blocks: BTreeSet<String>,
    /// For names that are used once.
    pub unique: u64,
    verbose: bool,
}

impl Script {
    pub fn new(seed: u64, verbose: bool) -> Script {
        let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
        let service = if seed.is_multiple_of(2) { Service::S3 } else { Service::Azure };
        // Many addresses, so that ports of closed connections do not run out.
        let address = Ipv4Addr::new(127, 0, (seed / 200 % 50) as u8, (seed % 200) as u8 + 1);
        let listen = vec![SocketAddr::from((address, 0))];
        let (s3, azure) = match service {
            Service::S3 => (listen, Vec::new()),
            Service::Azure => (Vec::new(), listen),
        };
        let verify_signatures = rng.below(4) == 0;
        let config = Config { s3, azure, seed, verify_signatures, min_part_size: 1, ..Config::default() };
        let faultd = Faultd::start(config).unwrap();
        faultd.objects(service, |objects| objects.container(CONTAINER).objects.clear());
        let percent = [0, 1, 2, 3, 5, 12][rng.below(6) as usize];
        let cleaning = "op=abort_upload,list_uploads,list_parts";
        let faults = format!(
            "{cleaning} per=request nth=1 probability=0.{percent:02} fault=any among={PASSING}\n\
             {cleaning} fault=none\n\
             key={CONTAINER}/root/drop/* op=complete_upload,head,delete fault=none\n\
             op=get,head,put,list probability=0.0005 fault=stall_before_head\n\
             probability=0.{percent:02} fault=any among={AMONG}\n"
        );
        let mut faults = Faults::parse(&faults).unwrap();
        faults.seed = Some(seed);
        faultd.script(faults);
        let store = open(&faultd, service);
        Script {
            rng,
            service,
            faultd,
            store,
            model: Model::default(),
            totals: Totals::default(),
            entries_before: 0,
            writers: Vec::new(),
            uploads: Vec::new(),
            may_keep_blocks: BTreeSet::new(),
            unique: 0,
            verbose,
        }
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("  {}", what());
        }
    }

    fn tell_requests(&self) {
        self.faultd.requests(|entries| {
            for entry in &entries[self.entries_before.min(entries.len())..] {
                self.say(|| format!("   {} {} {:?} {:?}", entry.op, entry.target, entry.status, entry.fault));
            }
        });
    }

    /// What the server holds.
    pub fn stored<T>(&self, key: &str, look: impl FnOnce(Option<&Object>) -> T) -> T {
        let full = format!("root/{key}");
        self.faultd.objects(self.service, |objects| look(objects.get(CONTAINER, &full)))
    }

    pub fn etag(&self, key: &str) -> Option<String> {
        self.stored(key, |object| object.map(|object| object.etag.clone()))
    }

    /// Faults that the running step may feel: its own, and those that wait in a connection.
    pub fn faults(&self) -> usize {
        const WAIT: &[&str] = &["stale", "close_after_body", "half_close", "duplicate", "extra_bytes"];
        self.faultd.requests(|entries| {
            let (before, own) = entries.split_at(self.entries_before.min(entries.len()));
            let kind = |entry: &faultd::Entry| entry.fault.as_ref()?.split(' ').next().map(str::to_owned);
            let waits = |entry: &&faultd::Entry| kind(entry).is_some_and(|kind| WAIT.contains(&&*kind));
            own.iter().filter(|entry| entry.fault.is_some()).count()
                + before.iter().rev().take(40).filter(waits).count()
        })
    }

    /// After a read, a delete or a list: whether this error may be.
    pub fn failed(&mut self, error: &Error, expected: Result<(), Code>) -> Result<(), String> {
        let faults = self.faults();
        self.say(|| format!("-> {error} [{faults} faults]"));
        judge(error, expected, faults)?;
        if expected.is_ok() {
            self.totals.errors += 1;
            self.totals.unknown += usize::from(error.code() == Code::UnknownOutcome);
        }
        Ok(())
    }

    /// After a write of `new` (`None`: a delete): what is stored is what the outcome says, and the model takes it.
    pub fn wrote(
        &mut self,
        key: &str,
        new: Option<Version>,
        outcome: Result<Option<String>, Error>,
        expected: Result<(), Code>,
    ) -> Result<(), String> {
        let is = |wanted: Option<&Version>| {
            self.stored(key, |stored| match (stored, wanted) {
                (None, None) => true,
                (Some(stored), Some(wanted)) => wanted.is(stored),
                _ => false,
            })
        };
        let old = self.model.objects.get(key);
        let (is_new, is_old) = (is(new.as_ref()), is(old));
        match &outcome {
            Ok(_) if expected.is_err() => {
                return Err(format!("FALSE SUCCESS: {key} was written, where {expected:?} was due"));
            }
            Ok(_) if !is_new => return Err(format!("FALSE SUCCESS: {key} holds something else")),
            Ok(Some(etag)) => {
                let stored = self.etag(key).unwrap_or_default();
                if !same_etag(etag, &stored) {
                    return Err(format!("WRONG ETAG: {etag} for {key}, which has {stored}"));
                }
            }
            Ok(None) => {}
            Err(error) => {
                // A delete is the same done twice: its errors promise nothing of the object.
                let open = error.code() == Code::UnknownOutcome || new.is_none();
                if !is_old && !(open && is_new) {
                    return Err(match is_new {
                        true => format!("FALSE FAILURE: {key} was written, but the error is {error}"),
                        false => format!("TORN: {key} is neither old nor new after {error}"),
                    });
                }
            }
        }
        match new {
            Some(new) if is_new => drop(self.model.objects.insert(key.to_owned(), new)),
            None if is_new => drop(self.model.objects.remove(key)),
            _ => {}
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => self.failed(&error, expected),
        }
    }

    async fn play(&mut self) -> Result<(), String> {
        let steps = 20 + self.rng.below(181);
        for step in 0..steps {
            self.entries_before = self.faultd.requests(<[faultd::Entry]>::len);
            let done = tokio::time::timeout(STEP, steps::any(self)).await;
            let done = done.unwrap_or_else(|_| Err(format!("HANG: not done after {STEP:?}")));
            let why = |why| format!("step {step} of {steps} ({}): {why}", self.service.name());
            if let Err(error) = done {
                self.tell_requests();
                return Err(why(error));
            }
            self.totals.steps += 1;
        }
        Ok(())
    }

    /// Nothing is left, and all that was written is there.
    fn end(self) -> Result<Totals, String> {
        let Script {
            faultd,
            store,
            model,
            writers,
            uploads,
            service,
            may_keep_blocks,
            mut totals,
            verbose,
            ..
        } = self;
        faultd.script(Faults::default());
        drop(writers);
        for upload in uploads {
            let aborted = block_on(async move { upload.abort().await }).map_err(|e| e.to_string())?;
            aborted.map_err(|e| format!("an upload cannot be aborted without faults: {e}"))?;
        }
        let left = |l: &faultd::Ledger| l.open_uploads > 0 || l.open_connections > 0;
        drop(store);
        let gone = faultd.wait_until(CLEANUP, |l| !left(l));
        let blocks = faultd.objects(service, |objects| {
            let staged = objects.container(CONTAINER).staged.iter().filter(|(_, blocks)| !blocks.is_empty());
            let legal =
                |full: &str| full.strip_prefix("root/").is_some_and(|key| may_keep_blocks.contains(key));
            staged.map(|(key, _)| key.clone()).filter(|key| !legal(key)).collect::<Vec<_>>()
        });
        let ledger = faultd.ledger();
        if !gone || !blocks.is_empty() {
            let uploads: Vec<_> = faultd.objects(service, |objects| {
                objects.container(CONTAINER).uploads.iter().map(|(id, u)| format!("{id} {}", u.key)).collect()
            });
            let open = ledger.open_connections;
            for entry in ledger.entries.iter().filter(|_| verbose) {
                println!("{} {} {:?} {:?}", entry.op, entry.target, entry.status, entry.fault);
            }
            return Err(format!(
                "LEFT BEHIND: uploads {uploads:?}, blocks of {blocks:?}, {open} connections"
            ));
        }
        let wrong = faultd.objects(service, |objects| {
            let stored = &objects.container(CONTAINER).objects;
            let key = |full: &String| full.strip_prefix("root/").unwrap_or_default().to_owned();
            let there: BTreeSet<String> = stored.keys().map(key).collect();
            let wanted: BTreeSet<String> = model.objects.keys().cloned().collect();
            let differs = model.objects.iter().find(|(key, version)| {
                stored.get(&format!("root/{key}")).is_none_or(|stored| !version.is(stored))
            });
            (there != wanted || differs.is_some()).then(|| format!("at the end: {there:?}, not {wanted:?}"))
        });
        totals.requests = ledger.entries.len();
        totals.faults = ledger.faults();
        wrong.map_or(Ok(totals), Err)
    }
}

/// To its end: where it fails, why.
pub fn run(mut script: Script) -> Result<Totals, String> {
    block_on(script.play()).map_err(|e| e.to_string())??;
    script.end()
}

fn open(faultd: &Faultd, service: Service) -> Store {
    let (mut options, uri) = match service {
        Service::S3 => (support::s3_options(&faultd.s3_endpoint()), format!("s3://{CONTAINER}/root")),
        Service::Azure => (
            support::azure_options(&faultd.azure_endpoint()),
            format!("az://{}/{CONTAINER}/root", support::AZURITE_ACCOUNT),
        ),
    };
    for (name, value) in [
        ("net.max_attempts", 4),
        ("net.connect_timeout_ms", 5000),
        ("net.progress_timeout_ms", 2500),
        ("net.operation_timeout_ms", 30_000),
        ("transfer.part_size", 5 << 20),
        ("transfer.range_size", 20_000),
        ("transfer.range_threshold", 64 << 10),
    ] {
        options.set_u64(name, value).unwrap();
    }
    api::store_for_uri(&uri, &options).unwrap()
}
