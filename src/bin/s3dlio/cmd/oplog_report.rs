//! `oplog report`: a page to look at, or numbers for programs.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome};
use clap::{Arg, ArgMatches, Command};
use s3dlio::api::advanced::oplog;
use s3dlio::api::{Code, Error};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

const LOGS: &str = "Op-logs, plain or compressed; those of several processes make one report";

fn command() -> Command {
    Command::new("report")
        .about("Write a page about op-logs: throughput, latency, concurrency, errors, slowest operations")
        .after_help(
            "The page is one file without scripts that asks for nothing else. With --json the numbers go to \
             standard output, and a page is written only where -f names it.",
        )
        .arg(args::uri(LOGS).id("log").value_name("LOG").num_args(1..))
        .arg(
            Arg::new("output")
                .long("output")
                .short('f')
                .value_name("FILE")
                .help("The page; default: the first log's name with .html, here; - is standard output"),
        )
        .arg(args::text("title", "TEXT", "The page's title; default: the logs' names"))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let logs = args::strings(given, "log");
    let readers = logs.iter().map(oplog::read).collect::<Result<Vec<_>, _>>()?;
    let mut asked = Ok(());
    let rows = readers.into_iter().flatten().take_while(|_| {
        asked = app.stop.check();
        asked.is_ok()
    });
    let summary = oplog::report::summary(rows);
    asked?;
    for error in &summary.bad {
        app.say(&format!("s3dlio: warning: {error}"));
    }
    if summary.rows == 0 && summary.bad_rows > 0 {
        return Err(Error::new(Code::Corrupt, "no row of the op-log can be read")
            .with_context("oplog", logs.join(" "))
            .into());
    }
    let output = given.get_one::<String>("output").cloned();
    if app.out.json {
        app.out.line(String::new, || summary.json())?;
    }
    if output.is_some() || !app.out.json {
        let title = match given.get_one::<String>("title") {
            Some(title) => title.clone(),
            None => names(&logs),
        };
        let page = summary.html(&title);
        match output.unwrap_or_else(|| page_name(&logs)).as_str() {
            "-" => app.out.bytes(page.as_bytes())?,
            file => {
                write(Path::new(file), page.as_bytes())?;
                let text = format!("{file}: {} operations, {} errors", summary.rows, summary.errors());
                if !app.out.json {
                    app.out.line(|| crate::text::name(&text), || serde_json::Value::Null)?;
                }
            }
        }
    }
    match summary.bad_rows {
        0 => Ok(()),
        bad => {
            app.say(&format!("s3dlio: {bad} rows could not be read and are not in the report"));
            Err(Failure::Partly)
        }
    }
}

fn file_name(log: &str) -> String {
    Path::new(log).file_name().map_or_else(|| log.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// `bench.tsv.zst` gives `bench.html`.
fn page_name(logs: &[String]) -> String {
    let name = file_name(logs.first().map_or("oplog", String::as_str));
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    let stem =
        [".tsv", ".csv", ".jsonl", ".json"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    format!("{stem}.html")
}

fn names(logs: &[String]) -> String {
    match logs {
        [one] => format!("Op-log {}", file_name(one)),
        [one, ..] => format!("Op-logs {} and {} more", file_name(one), logs.len() - 1),
        [] => "Op-log".to_owned(),
    }
}

/// Whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, file));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary); // the first failure is the one to tell
        Error::from_io("cannot write the report", &e).with_context("oplog report", file.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o2_a_page_is_named_after_its_log() {
        let named = |log: &str| page_name(&[log.to_owned()]);
        let names = ["/a/run.tsv.zst", "run.tsv", "run.csv.zst", "run", "a.b.jsonl"].map(named);
        assert_eq!(names, ["run.html", "run.html", "run.html", "run.html", "a.b.html"]);
    }
}
