//! What every verb has at hand: options, stores, output, progress and the wish to stop.

use crate::args;
use crate::exit::{self, Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::signal::Stop;
use clap::ArgMatches;
use s3dlio::api::advanced::{OPTION_TABLE, Uri, block_on, oplog, profile, set_log_sink, shutdown};
use s3dlio::api::metrics;
use s3dlio::api::{Code, Error, Options, Result, Store, store_for_uri};
use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SYNC: &str = "file.sync";
/// What unfinished uploads have to be removed in, at the end.
const CLEAN_UP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct App {
    pub options: Options,
    pub out: Output,
    pub stop: Stop,
    pub progress: Progress,
    /// How many -v there were.
    pub verbose: u8,
    pub quiet: bool,
    /// Whether an op-log has to be closed at the end.
    logs: bool,
    /// Where the profile is written at the end.
    profile: Option<PathBuf>,
    /// In which form the counters are printed at the end.
    stats: Option<String>,
    /// One store for each root that was asked for.
    stores: Mutex<HashMap<String, Store>>,
}

impl App {
    /// From the arguments that all verbs take.
    pub fn start(verb: &str, all: &ArgMatches) -> Result<App> {
        let given = args::deepest(all);
        let mut options = args::options(given, &args::pairs(all))?;
        // A run that was cut short is run again: what the device did not get yet, it gets then.
        let again = matches!(verb, "upload" | "download" | "cp" | "sync" | "get");
        if again && !OPTION_TABLE.iter().any(|def| def.key == SYNC && options.is_set(def)) {
            options.set(SYNC, "false")?;
        }
        let (verbose, quiet) = (given.get_count("verbose"), given.get_flag("quiet"));
        let progress = Progress::new(!quiet);
        let out = Output::new(given.get_flag("json"), progress.clone());
        let level = match (quiet, verbose) {
            (true, _) => 1,
            (false, 0) => args::log_level(&options)?,
            (false, 1) => 3,
            (false, 2) => 4,
            (false, _) => 5,
        };
        let shown = progress.clone();
        let names = ["", "error", "warning", "info", "debug", "trace"];
        let sink = move |level: u8, _: &str, message: &str| {
            let name = names.get(usize::from(level)).copied().unwrap_or("log");
            shown.around(|| output::complain(&format!("s3dlio: {name}: {}", crate::text::name(message))));
        };
        set_log_sink(Some(Box::new(sink)), level)?;
        let stop = Stop::install()?;
        let log = given.get_one::<String>("op-log");
        if let Some(path) = log {
            refuse_to_overwrite(path, given)?;
            oplog::start(path, &options)?;
        }
        let profile = given.get_one::<String>("profile").map(PathBuf::from);
        if profile.is_some() {
            profile::start(0)?;
        }
        let (logs, stats) = (log.is_some(), given.get_one("stats").cloned());
        Ok(App {
            logs,
            profile,
            stats,
            options,
            out,
            stop,
            progress,
            verbose,
            quiet,
            stores: Mutex::default(),
        })
    }

    /// The store at a root URI in a bucket, or in a folder.
    pub fn store(&self, root: &str) -> Result<Store> {
        let uri = Uri::parse(root)?;
        if uri.container().is_empty() && !uri.scheme().is_local_path() {
            let message = format!("{root} names no bucket; expected one, such as {root}BUCKET/");
            return Err(Error::new(Code::InvalidArgument, message));
        }
        self.account(root)
    }

    /// The store at a root URI, which may be that of an account; opened once.
    pub fn account(&self, root: &str) -> Result<Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(root) {
            return Ok(store.clone());
        }
        let store = store_for_uri(root, &self.options)?;
        stores.insert(root.to_owned(), store.clone());
        Ok(store)
    }

    /// Runs to the end, or until a stop is asked for: what is dropped then cleans up behind itself.
    pub fn wait<T>(&self, future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        block_on(async {
            tokio::select! {
                biased;
                outcome = future => outcome,
                failure = self.stop.asked() => Err(failure),
            }
        })?
    }

    /// Says that one of many items failed.
    pub fn report(&self, error: &Error) {
        let line = match self.out.json {
            true => output::error_json(error).to_string(),
            false => output::error_line(error),
        };
        self.progress.around(|| output::complain(&line));
    }

    /// A remark for people, on standard error.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.progress.around(|| output::complain(line));
        }
    }

    /// Shows what went wrong, cleans up and gives the exit code.
    pub fn end(&self, outcome: Outcome) -> ExitCode {
        let outcome = outcome.and_then(|()| self.out.flush());
        let mut code = match &outcome {
            Ok(()) => 0,
            Err(failure) => {
                if let Failure::Failed(error) = failure {
                    self.report(error);
                }
                // What was printed before the failure is still worth something.
                if !matches!(failure, Failure::ClosedPipe) {
                    let _ = self.out.flush();
                }
                failure.code()
            }
        };
        let mut fail = |error: Error, as_code: u8| {
            self.report(&error);
            code = if code == 0 { as_code } else { code };
        };
        if let Some(path) = &self.profile
            && let Err(error) = profile::stop(Some(path))
        {
            let as_code = exit::of_code(error.code());
            fail(error, as_code);
        }
        if let Some(form) = &self.stats {
            self.print_stats(form);
        }
        // Before the shutdown, which closes it without a word. A log that is not whole is a failure of a run that was asked for one,
        // and of nothing else: a log that took nothing is no network that timed out.
        match if self.logs { oplog::stop() } else { Ok(oplog::Summary::default()) } {
            Ok(log) if log.dropped > 0 => {
                let message = format!("the op-log lacks {} operations", log.dropped);
                fail(Error::new(Code::Io, message).with_operation("oplog"), exit::FAILED);
            }
            Ok(_) => {}
            Err(error) => fail(error, exit::FAILED),
        }
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Err(error) = shutdown(CLEAN_UP) {
            output::complain(&format!("s3dlio: warning: {error}"));
        }
        ExitCode::from(code)
    }
    fn print_stats(&self, form: &str) {
        let log = oplog::progress();
        let gauges = metrics::Gauges {
            direct_fallbacks: metrics::direct_fallbacks(),
            io_uring_fallbacks: metrics::io_uring_fallbacks(),
            oplog_rows: log.rows,
            oplog_dropped: log.dropped,
            ..metrics::Gauges::default()
        };
        let text = if form == "prometheus" { metrics::prometheus(&gauges) } else { metrics::json(&gauges) };
        output::complain(text.trim_end());
    }
}

/// The log of a run is not one of those that it reads.
fn refuse_to_overwrite(path: &str, given: &ArgMatches) -> Result<()> {
    let place = |path: &str| fs::canonicalize(path.strip_prefix("file://").unwrap_or(path)).ok();
    let Some(own) = place(path) else { return Ok(()) };
    let mut read = given.try_get_many::<String>("log").ok().flatten().into_iter().flatten();
    if read.any(|log| place(log).is_some_and(|log| log == own)) {
        let error =
            Error::new(Code::InvalidArgument, "the op-log of this run would replace one that it reads");
        return Err(error.with_context("oplog", path).with_hint("give --op-log another name"));
    }
    Ok(())
}
