//! The verbs: one file each, one line each here.

mod bench;
mod cat;
mod checkpoint;
mod completions;
mod config;
mod containers;
mod get;
mod ls;
mod oplog;
mod oplog_convert;
mod oplog_replay;
mod oplog_report;
mod put;
mod rm;
mod stat;
mod transfer;
mod uploads;
mod version;

use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::jobs::error_of_all;
use crate::place::Place;
use crate::text;
use clap::{ArgMatches, Command};
use s3dlio::api::advanced::Uri;
use s3dlio::api::{Error, ObjectMeta};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// One verb: its part of the command line, and what it does.
pub struct Verb {
    pub command: fn() -> Command,
    pub run: fn(&Arc<App>, &ArgMatches) -> Outcome,
}

/// In the order in which the help shows them.
pub const VERBS: &[Verb] = &[
    ls::VERB,
    stat::VERB,
    cat::VERB,
    get::VERB,
    put::VERB,
    transfer::UPLOAD,
    transfer::DOWNLOAD,
    transfer::CP,
    transfer::SYNC,
    rm::VERB,
    containers::LIST,
    containers::CREATE,
    containers::DELETE,
    oplog::VERB,
    checkpoint::VERB,
    uploads::VERB,
    bench::VERB,
    config::VERB,
    completions::VERB,
    completions::MAN,
    version::VERB,
];

/// Does what was asked for.
pub fn run(app: &Arc<App>, name: &str, given: &ArgMatches) -> Outcome {
    match VERBS.iter().find(|verb| (verb.command)().get_name() == name) {
        Some(verb) => (verb.run)(app, given),
        None => Err(usage(format!("there is no verb {name:?}"))),
    }
}

/// Does it for each of the URIs; of several, one that fails is shown, and the others are done.
fn for_each(app: &App, given: &ArgMatches, mut one: impl FnMut(&Place) -> Outcome) -> Outcome {
    let places = args::strings(given, "uri");
    let places = places.iter().map(|text| Place::parse(text)).collect::<s3dlio::api::Result<Vec<_>>>()?;
    let mut failed = false;
    for place in &places {
        match one(place) {
            Err(Failure::Failed(error)) if places.len() > 1 && !error_of_all(error.code()) => {
                failed = true;
                app.report(&error);
            }
            Err(Failure::Partly | Failure::Shown(_)) if places.len() > 1 => failed = true,
            outcome => outcome?,
        }
    }
    if failed { Err(Failure::Partly) } else { Ok(()) }
}

/// An object as every verb prints it with --json.
fn object_json(uri: &Uri, meta: &ObjectMeta) -> Value {
    let mut object = json!({ "type": "object", "uri": uri.to_string(), "size": meta.size });
    let facts = [
        ("etag", meta.etag.clone()),
        ("last_modified", meta.last_modified.map(text::time)),
        ("content_type", meta.content_type.clone()),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            object[name] = value.into();
        }
    }
    object
}

/// Asks at the terminal, unless `--yes` was given; without a terminal to ask at, `--yes` has to be.
fn confirm(app: &App, given: &ArgMatches, question: &str) -> Outcome {
    if given.get_flag("yes") {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(usage(format!("{question} Nobody can be asked here; say --yes")));
    }
    app.progress.around(|| {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{} [y/N] ", text::name(question)).and_then(|()| stderr.flush());
    });
    // Nobody may ever answer: reading has a thread of its own, and a wish to stop need not wait for it.
    let (sender, answer) = tokio::sync::oneshot::channel();
    let read = move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line); // no answer is no
        let _ = sender.send(line); // nobody waits after a stop
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(read);
    thread.map_err(|e| Error::from_io("cannot start a thread", &e))?;
    let answer = app.wait(async { Ok(answer.await.unwrap_or_default()) })?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(usage("not confirmed; nothing was deleted")),
    }
}
