//! `oplog convert`: the same rows in another form.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use clap::{Arg, ArgMatches, Command};
use s3dlio::api::advanced::oplog;
use s3dlio::api::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    Command::new("convert")
        .about("Write op-logs in another form, and those of several processes as one")
        .after_help(
            "The form follows the name: .tsv or .csv are columns, .jsonl is JSON lines, each with .zst behind it \
             compressed. The rows of one log keep their order, those of several come in the order in which their \
             operations ended. All are numbered anew.",
        )
        .arg(args::uri("Op-logs, plain or compressed").id("log").value_name("LOG").num_args(1..))
        .arg(
            Arg::new("output").long("output").short('f').value_name("FILE").required(true).help("What to write"),
        )
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let (logs, output) = (args::strings(given, "log"), args::string(given, "output"));
    let form = oplog::Form::of_name(output)
        .ok_or_else(|| usage(format!("{output} ends in none of .tsv, .csv, .jsonl, each also with .zst")))?;
    let mut name = PathBuf::from(output).into_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let outcome = convert(app, &logs, &temporary, form).and_then(|counts| {
        let moved = std::fs::rename(&temporary, output);
        moved.map_err(|e| failed(&e, Path::new(output)))?;
        Ok(counts)
    });
    if outcome.is_err() {
        let _ = std::fs::remove_file(&temporary); // the first failure is the one to tell
    }
    let (rows, bad) = outcome?;
    app.out.line(
        || format!("{}: {rows} operations", crate::text::name(output)),
        || serde_json::json!({ "file": output, "rows": rows, "bad_rows": bad }),
    )?;
    if bad == 0 { Ok(()) } else { Err(Failure::Partly) }
}

fn convert(app: &App, logs: &[String], to: &Path, form: oplog::Form) -> Outcome<(u64, u64)> {
    let file = File::create(to).map_err(|e| failed(&e, to))?;
    let mut sheet = oplog::Sheet::new(file, form)?;
    let (mut rows, mut bad) = (0, 0);
    for row in Merged::new(logs)? {
        app.stop.check()?;
        match row {
            Ok(mut row) => {
                row.idx = rows;
                rows += 1;
                sheet.add(&row)?;
            }
            Err(error) => {
                bad += 1;
                app.report(&error);
            }
        }
    }
    sheet.finish()?;
    Ok((rows, bad))
}

fn failed(error: &std::io::Error, path: &Path) -> Failure {
    Error::from_io("cannot write the op-log", error).with_context("oplog convert", path.display()).into()
}

/// The rows of several logs as one process would have written them: of each log in its order, first whose operation
/// ended first. warp, which adds up row by row, leaves out what began before the second in which the first row began.
struct Merged {
    /// Logs whose next row is not known yet.
    unread: Vec<(usize, oplog::Reader)>,
    /// The other logs behind that row, by its operation's end and the log's number.
    heads: BTreeMap<(u64, usize), (oplog::Record, oplog::Reader)>,
}

impl Merged {
    fn new(logs: &[String]) -> Result<Merged> {
        let unread = logs.iter().map(oplog::read).enumerate().map(|(number, log)| Ok((number, log?)));
        Ok(Merged { unread: unread.collect::<Result<_>>()?, heads: BTreeMap::new() })
    }
}

impl Iterator for Merged {
    type Item = Result<oplog::Record>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((number, mut log)) = self.unread.pop() {
            match log.next() {
                Some(Ok(row)) => _ = self.heads.insert((row.end, number), (row, log)),
                Some(Err(error)) => {
                    self.unread.push((number, log));
                    return Some(Err(error));
                }
                None => {}
            }
        }
        let ((_, number), (row, log)) = self.heads.pop_first()?;
        self.unread.push((number, log));
        Some(Ok(row))
    }
}
