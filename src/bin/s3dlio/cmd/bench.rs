//! `bench`: operations for a while, and their rate and latencies.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::latency::Latencies;
use crate::place::Place;
use crate::progress::Counters;
use crate::text;
use clap::{Arg, ArgMatches, Command, value_parser};
use s3dlio::api::advanced::{BufferPool, block_on, parse_size};
use s3dlio::api::datagen::{Generator, Params};
use s3dlio::api::{Code, Error, Lister, PutOptions, Result, Store, get, put};
use serde_json::json;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

pub const VERB: Verb = Verb { command, run };

/// The operations, in the order of the results.
const KINDS: [&str; 4] = ["get", "put", "list", "stat"];

fn command() -> Command {
    Command::new("bench")
        .about("Measure rates and latencies of operations")
        .after_help(
            "Stores --count objects below the URI, in a folder of its own, does the operations for --duration and \
             deletes the objects. Operations are drawn by their weights; a put replaces one of the objects.",
        )
        .arg(args::uri("The folder to work in"))
        .arg(
            args::text("mix", "OPERATIONS", "get, put, list, stat, or weights such as get=70,put=20,stat=10")
                .short('m')
                .default_value("get"),
        )
        .arg(args::text("size", "SIZE", "Bytes of an object").short('s').default_value("1MiB"))
        .arg(args::number("count", "How many objects").short('n').default_value("1000"))
        .arg(
            Arg::new("duration")
                .long("duration")
                .short('d')
                .value_name("SECONDS")
                .default_value("10")
                .value_parser(value_parser!(f64))
                .help("How long, objects' making not counted"),
        )
        .arg(args::jobs("Operations at once").default_value("32"))
        .arg(args::switch("keep", None, "Leave the objects there"))
}

/// So many failures are shown: the objects are few, and the operations are not.
const SHOWN: u64 = 20;

/// What all lanes share.
struct Bench {
    app: Arc<App>,
    store: Store,
    generator: Generator,
    weights: [u64; 4],
    size: u64,
    count: u64,
    /// Numbers operations, and so draws them.
    next: AtomicU64,
    end: Instant,
    /// The measurement cannot be what was asked for, and ends.
    halt: AtomicBool,
    counters: Arc<Counters>,
    /// Operations that failed.
    failures: AtomicU64,
}

/// What a lane found, by kind of operation.
#[derive(Default)]
struct Found {
    latencies: [Latencies; 4],
    bytes: [u64; 4],
    failed: [u64; 4],
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let place = Place::parse(args::string(given, "uri"))?;
    let size = args::string(given, "size");
    let size = parse_size(size)
        .ok_or_else(|| usage(format!("--size cannot be {size:?}; expected bytes, such as 4KiB")))?;
    let number = |name| given.get_one::<u64>(name).copied();
    let (count, jobs) =
        (number("count").unwrap_or(1).max(1), number("jobs").unwrap_or(1).clamp(1, 4096) as usize);
    let seconds = given.get_one::<f64>("duration").copied().unwrap_or(10.0);
    if !(0.0..=1e6).contains(&seconds) {
        return Err(usage(format!("--duration cannot be {seconds}; expected seconds")));
    }
    let weights = weights(args::string(given, "mix"))?;
    // Process numbers repeat, also on machines that measure one bucket at once.
    let random = RandomState::new().build_hasher().finish();
    let root = place.root().join(&format!("s3dlio-bench-{}-{random:016x}", std::process::id()));
    let store = app.store(&root.to_string())?;
    let mut bench = Bench {
        app: app.clone(),
        store: store.clone(),
        generator: Generator::new(&Params { threads: 1, ..Params::default() })?,
        weights,
        size,
        count,
        next: AtomicU64::new(0),
        end: Instant::now(),
        halt: AtomicBool::new(false),
        counters: Arc::default(),
        failures: AtomicU64::new(0),
    };
    let mut outcome = (|| {
        bench.prepare(jobs)?;
        bench.end = Instant::now() + Duration::from_secs_f64(seconds);
        let started = Instant::now();
        let found = bench.measure(jobs)?;
        show(app, &found, started.elapsed(), jobs, size)
    })();
    if !given.get_flag("keep") {
        let removed = block_on(s3dlio::api::delete_prefix(&store, ""))?;
        match (&outcome, removed) {
            (Ok(()), Err(error)) => outcome = Err(Failure::Failed(error)),
            // The failure was before there was anything.
            (Err(_), Err(error)) if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) => {}
            (Err(_), Err(error)) => app.report(&error),
            (_, Ok(_)) => {}
        }
        // The folder itself, where there are folders; what is not empty stays.
        if place.is_local() {
            let _ = block_on(store.delete_container())?;
        }
    }
    outcome
}

/// `get`, or `get=70,put=30`.
fn weights(text: &str) -> Outcome<[u64; 4]> {
    let wrong =
        || usage(format!("--mix cannot be {text:?}; expected operations as get=70,put=20,list=5,stat=5"));
    let mut weights = [None; 4];
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
        let kind = KINDS.iter().position(|kind| *kind == name).ok_or_else(wrong)?;
        let weight = weight.parse::<u64>().ok().filter(|weight| *weight <= 1_000_000).ok_or_else(wrong)?;
        if weights[kind].replace(weight).is_some() {
            return Err(wrong()); // which of the two?
        }
    }
    let weights = weights.map(Option::unwrap_or_default);
    if weights.iter().sum::<u64>() == 0 { Err(wrong()) } else { Ok(weights) }
}

impl Bench {
    fn key(number: u64) -> String {
        format!("{number:08}")
    }

    async fn store_one(&self, number: u64) -> Result<u64> {
        let buffer = BufferPool::global().take(self.size as usize);
        let mut buffer =
            buffer.map_err(|e| e.with_context("bench", self.store.root().join(&Self::key(number))))?;
        buffer.set_len(self.size as usize);
        self.generator.fill(number, 0, &mut buffer)?;
        let stats = put(&self.store, &Self::key(number), buffer.into_bytes(), &PutOptions::default()).await?;
        Ok(stats.bytes)
    }

    fn prepare(&self, jobs: usize) -> Outcome {
        let _drawn = self.app.progress.draw("preparing", &self.counters);
        self.counters.all_objects.store(self.count, Relaxed);
        self.counters.all_bytes.store(self.count.saturating_mul(self.size), Relaxed);
        self.counters.all_known.store(true, Relaxed);
        let next = AtomicU64::new(0);
        block_on(async {
            let lanes = (0..jobs).map(|_| async {
                loop {
                    self.app.stop.check()?;
                    let number = next.fetch_add(1, Relaxed);
                    if number >= self.count {
                        return Ok::<(), Failure>(());
                    }
                    let bytes = self.store_one(number).await?;
                    self.counters.bytes.fetch_add(bytes, Relaxed);
                    self.counters.done();
                }
            });
            let all = futures_util::future::try_join_all(lanes);
            tokio::select! {
                biased;
                done = all => done.map(drop),
                failure = self.app.stop.asked() => Err(failure),
            }
        })?
    }

    fn measure(self: &mut Bench, jobs: usize) -> Outcome<Found> {
        let counters: Arc<Counters> = Arc::default();
        let left = self.end.saturating_duration_since(Instant::now());
        counters.all_millis.store(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1), Relaxed);
        self.counters = counters.clone();
        let _drawn = self.app.progress.draw("measuring", &counters);
        let total = Mutex::new(Found::default());
        let blocking = self.store.capabilities().blocking_io;
        std::thread::scope(|scope| -> Outcome {
            // Lanes of stores that block are threads; the others share one.
            let threads = if blocking { jobs } else { 1 };
            let lanes = jobs / threads;
            for _ in 0..threads {
                let (bench, total) = (&*self, &total);
                let lanes = move || {
                    let outcome = block_on(async {
                        let lanes = (0..lanes).map(|_| bench.lane());
                        futures_util::future::join_all(lanes).await
                    });
                    for found in outcome.into_iter().flatten() {
                        total.lock().unwrap_or_else(PoisonError::into_inner).add(found);
                    }
                };
                let started = std::thread::Builder::new().name("bench".into()).spawn_scoped(scope, lanes);
                if let Err(e) = started {
                    self.halt.store(true, Relaxed);
                    let error = Error::from_io("cannot start a thread for each of --jobs", &e);
                    return Err(error.with_operation("bench").with_hint("give fewer --jobs").into());
                }
            }
            Ok(())
        })?;
        let _ = Handle::try_current(); // none: the lanes had their own
        Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lane(&self) -> Found {
        let mut found = Found::default();
        while Instant::now() < self.end && !self.halt.load(Relaxed) && self.app.stop.check().is_ok() {
            let draw = scatter(self.next.fetch_add(1, Relaxed));
            let kind = self.kind(draw);
            let started = Instant::now();
            let done = tokio::select! {
                biased;
                done = self.operation(kind, scatter(draw) % self.count) => done,
                _ = self.app.stop.asked() => break,
            };
            match done {
                Ok(bytes) => {
                    found.latencies[kind].add(started.elapsed());
                    found.bytes[kind] += bytes;
                    self.counters.bytes.fetch_add(bytes, Relaxed);
                }
                Err(error) => {
                    found.failed[kind] += 1;
                    match self.failures.fetch_add(1, Relaxed) {
                        number if number < SHOWN => self.app.report(&error),
                        SHOWN => self.app.say("s3dlio: more failures are counted, not shown"),
                        _ => {}
                    }
                }
            }
            self.counters.done();
        }
        found
    }

    fn kind(&self, draw: u64) -> usize {
        let mut at = draw % self.weights.iter().sum::<u64>();
        for (kind, weight) in self.weights.iter().enumerate() {
            if at < *weight {
                return kind;
            }
            at -= weight;
        }
        0
    }

    async fn operation(&self, kind: usize, number: u64) -> Result<u64> {
        match kind {
            0 => Ok(get(&self.store, &Self::key(number)).await?.len() as u64),
            1 => self.store_one(number).await,
            2 => {
                let mut lister = Lister::new(&self.store, "", true);
                lister
                    .next_page()
                    .await?
                    .map(|_| 0)
                    .ok_or_else(|| Error::new(Code::NotFound, "the list is empty"))
            }
            _ => self.store.stat(&Self::key(number)).await.map(|_| 0),
        }
    }
}

impl Found {
    fn add(&mut self, other: Found) {
        for (kind, latencies) in other.latencies.into_iter().enumerate() {
            self.latencies[kind].merge(&latencies);
            self.bytes[kind] += other.bytes[kind];
            self.failed[kind] += other.failed[kind];
        }
    }
}

fn show(app: &App, found: &Found, time: Duration, jobs: usize, size: u64) -> Outcome {
    let mut failed = 0;
    for (kind, name) in KINDS.iter().enumerate() {
        let (latencies, bytes) = (&found.latencies[kind], found.bytes[kind]);
        failed += found.failed[kind];
        if latencies.count() == 0 && found.failed[kind] == 0 {
            continue;
        }
        let at = |fraction| latencies.at(fraction);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let rate = text::per_second(latencies.count(), time);
        app.out.line(
            || {
                let bytes = if bytes > 0 { format!(", {}", text::rate(bytes, time)) } else { String::new() };
                format!(
                    "{name:4} {} operations, {rate:.0}/s{bytes}; ms: median {:.2}, 90% {:.2}, 99% {:.2}, 99.9% {:.2}, most {:.2}; {} failed",
                    latencies.count(), ms(at(0.5)), ms(at(0.9)), ms(at(0.99)), ms(at(0.999)), ms(latencies.most()),
                    found.failed[kind],
                )
            },
            || {
                json!({
                    "operation": format!("bench-{name}"), "operations": latencies.count(), "bytes": bytes,
                    "object_size": size, "jobs": jobs, "seconds": time.as_secs_f64(), "per_second": rate,
                    "bytes_per_second": text::per_second(bytes, time), "p50_ms": ms(at(0.5)), "p90_ms": ms(at(0.9)),
                    "p99_ms": ms(at(0.99)), "p999_ms": ms(at(0.999)), "max_ms": ms(latencies.most()),
                    "failed": found.failed[kind],
                })
            },
        )?;
    }
    app.stop.check()?;
    if failed > 0 { Err(Failure::Partly) } else { Ok(()) }
}

/// A number from which the next one cannot be guessed (splitmix64).
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_a_mix_is_of_known_operations_once_each() {
        assert_eq!(weights("get").unwrap(), [1, 0, 0, 0]);
        assert_eq!(weights("stat=10,get=70,list,put=20").unwrap(), [70, 20, 1, 10]);
        for text in
            ["", "get,", "get=", "get=-1", "get=0", "get=1,get=1", "get=1000001", "fly", "get=1=2", " get"]
        {
            assert!(weights(text).is_err(), "{text:?}");
        }
    }
}
