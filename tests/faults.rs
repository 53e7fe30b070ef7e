//! The matrix fault x operation x service (SPEC H1, I1, W3) through the Rust API, against faultd: every cell ends in
//! exact bytes or a true error before its deadline, and leaves no upload, block or connection behind.
//!
//! `S3DLIO_TEST_CELLS="s3 get/*"` runs the cells whose names match; a failing cell's name is all that it takes to run
//! it again.

#[path = "faults/kinds.rs"]
mod kinds;
#[path = "faults/operations.rs"]
mod operations;
mod support;

use faultd::{Config, Fault, Faultd, Op, Rule, Script, Service};
use kinds::{Class, FAULTS, KNOWN};
use operations::{CONTAINER, OPERATIONS, Operation, Outcome, Stage};
use s3dlio::Code;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::store_for_uri;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Cells at the same time: they wait more than they work.
const AT_ONCE: usize = 24;
const ATTEMPTS: u64 = 3;
const PROGRESS: Duration = Duration::from_millis(1000);
/// `net.operation_timeout_ms`.
const DEADLINE: Duration = Duration::from_secs(8);
/// For a busy machine.
const GRACE: Duration = Duration::from_secs(10);
/// For clean-up in the background.
const CLEANUP: Duration = Duration::from_secs(5);

struct Cell {
    name: String,
    service: Service,
    operation: &'static Operation,
    wire: Op,
    fault: &'static str,
    class: Class,
    /// The occurrence that the fault meets; 0: every one.
    nth: u64,
}

fn parse(fault: &str) -> Fault {
    let mut words = fault.split(' ');
    let mut parsed = Fault::named(words.next().unwrap()).unwrap();
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        parsed.set(name, value).unwrap();
    }
    parsed
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for service in Service::ALL {
        for operation in OPERATIONS {
            for (wire, nth) in operation.wire {
                // On S3 many deletes are one request; on Azure each is its own.
                let foreign =
                    operation.name == "delete_many" && (service == Service::S3) != (*wire == Op::DeleteMany);
                if wire.title(service).is_empty() || foreign {
                    continue;
                }
                for (fault, class) in FAULTS {
                    // Whoever says that a deleted object is not there is believed.
                    let believed = *wire == Op::Delete && *fault == "status status=404";
                    if believed || !parse(fault).is_legal(service, *wire) {
                        continue;
                    }
                    for (mode, nth) in [("once", *nth), ("always", 0)] {
                        let name = format!("{} {}/{wire} {fault} {mode}", service.name(), operation.name);
                        cells.push(Cell { name, service, operation, wire: *wire, fault, class: *class, nth });
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    fn options(&self, faultd: &Faultd) -> Options {
        let mut options = match self.service {
            Service::S3 => support::s3_options(&faultd.s3_endpoint()),
            Service::Azure => support::azure_options(&faultd.azure_endpoint()),
        };
        for (name, value) in [
            ("net.max_attempts", ATTEMPTS),
            ("net.connect_timeout_ms", 2000),
            ("net.progress_timeout_ms", PROGRESS.as_millis() as u64),
            ("net.operation_timeout_ms", DEADLINE.as_millis() as u64),
            ("transfer.part_size", 5 << 20),
            ("transfer.range_size", 100_000),
            ("transfer.range_threshold", 1 << 20),
        ] {
            options.set_u64(name, value).unwrap();
        }
        options
    }

    /// What is wrong with it; nothing, where all is well: then whether it ended in an error.
    fn run(&self) -> Result<Option<Code>, String> {
        let faultd = Faultd::start(Config { verify_signatures: true, ..Config::default() }).unwrap();
        faultd.objects(self.service, |objects| objects.container(CONTAINER).objects.clear());
        let uri = match self.service {
            Service::S3 => format!("s3://{CONTAINER}/root"),
            Service::Azure => format!("az://{}/{CONTAINER}/root", support::AZURITE_ACCOUNT),
        };
        let store = store_for_uri(&uri, &self.options(&faultd)).unwrap();
        let stage = Stage { faultd, service: self.service, store };
        stage.fill();
        let fault = parse(self.fault);
        let rule = Rule::on(self.wire, fault);
        let before = stage.faultd.ledger().entries.len();
        stage.faultd.script(Script::from(if self.nth > 0 { rule.nth(self.nth) } else { rule }));
        let started = Instant::now();
        let run = async { tokio::time::timeout(DEADLINE + GRACE, (self.operation.run)(&stage)).await };
        let outcome = block_on(run).map_err(|e| e.to_string())?;
        let elapsed = started.elapsed();
        let outcome = outcome.map_err(|_| format!("HANG: not done after {elapsed:?}"))??;
        let ledger = stage.faultd.ledger();
        if ledger.faults() == 0 {
            return Err("the fault was never met: the cell proves nothing".into());
        }
        let requests = ledger.entries.len() - before;
        let code = match outcome {
            Outcome::Done => None,
            Outcome::Failed(error) => Some(self.judge(&error)?),
        };
        self.leftovers(stage)?;
        if requests > 60 {
            return Err(format!("{requests} requests were made"));
        }
        Ok(code)
    }

    /// Whether the error is one that this fault may lead to.
    fn judge(&self, error: &s3dlio::Error) -> Result<Code, String> {
        if self.class == Class::Harmless || self.class == Class::Passing && self.nth > 0 {
            return Err(format!("not overcome: {error}"));
        }
        if error.operation().is_none() || error.uri().is_none() {
            return Err(format!("the error names no operation or URI: {error}"));
        }
        let never = [Code::Internal, Code::Io, Code::InvalidState, Code::Cancelled, Code::InvalidKey];
        match never.contains(&error.code()) {
            true => Err(format!("no such error is documented for it: {error}")),
            false => Ok(error.code()),
        }
    }

    fn leftovers(&self, stage: Stage) -> Result<(), String> {
        stage.faultd.script(Script::default());
        let Stage { faultd, store, .. } = stage;
        drop(store);
        if faultd.wait_until(CLEANUP, |l| l.open_uploads + l.staged_blocks == 0 && l.open_connections == 0) {
            return Ok(());
        }
        let ledger = faultd.ledger();
        Err(format!(
            "LEFT BEHIND: {} uploads, {} blocks, {} connections",
            ledger.open_uploads, ledger.staged_blocks, ledger.open_connections
        ))
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(text) = text.strip_prefix(start) else { return false };
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
        }
    }
}

#[test]
fn every_fault_at_every_operation() {
    let wanted = std::env::var("S3DLIO_TEST_CELLS").unwrap_or_else(|_| "*".into());
    let cells: Vec<Cell> = cells().into_iter().filter(|cell| glob(&wanted, &cell.name)).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let result = cell.run();
                    results.lock().unwrap().insert(cell.name.clone(), (result, began.elapsed()));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    again_alone(&cells, &mut results);
    report(&results, started.elapsed(), wanted == "*");
}

/// Cells have deadlines, and many at once on a busy machine miss some: what was wrong is run again by
/// itself, and only that counts.
fn again_alone(cells: &[Cell], results: &mut Results) {
    for cell in cells {
        let Some((Err(why), _)) = results.get(&cell.name) else { continue };
        if known(&cell.name, why).is_some() {
            continue;
        }
        println!("again, alone: {}: {why}", cell.name);
        let began = Instant::now();
        let result = cell.run();
        results.insert(cell.name.clone(), (result, began.elapsed()));
    }
}

/// The row of [`KNOWN`] that this failure belongs to.
fn known(cell: &str, why: &str) -> Option<usize> {
    KNOWN.iter().position(|row| glob(row.cells, cell) && glob(row.failure, why))
}

type Results = BTreeMap<String, (Result<Option<Code>, String>, Duration)>;

/// Fails where a cell is wrong that is not known to be.
fn report(results: &Results, took: Duration, all: bool) {
    let (mut exact, mut errors, mut wrong) = (0, BTreeMap::new(), Vec::new());
    let mut seen = vec![0; KNOWN.len()];
    for (name, (result, took)) in results {
        match result {
            Ok(None) => exact += 1,
            Ok(Some(code)) => *errors.entry(code.name()).or_insert(0) += 1,
            Err(why) => match known(name, why) {
                Some(row) => seen[row] += 1,
                None => wrong.push(format!("{name} ({took:.1?}): {why}")),
            },
        }
    }
    println!("{} cells in {took:.1?}: {exact} exact, errors {errors:?}", results.len());
    for (row, count) in KNOWN.iter().zip(&seen) {
        println!("known: {count} cells {:?} {:?}: {}", row.cells, row.failure, row.reason);
    }
    for (row, _) in KNOWN.iter().zip(&seen).filter(|(_, count)| all && **count == 0) {
        // Some depend on who is first, so this is no failure.
        println!("did not fail this time; if it never does, take it out of KNOWN: {:?}", row.cells);
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
