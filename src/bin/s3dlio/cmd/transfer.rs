//! `upload`, `download`, `cp` and `sync`.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Outcome, usage};
use crate::place::{self, Place};
use crate::select::Selection;
use crate::tree::{Plan, Skip};
use clap::{Arg, ArgAction, ArgMatches, Command};
use s3dlio::api::{Code, Error, PutOptions};
use std::path::Path;
use std::sync::Arc;

pub const UPLOAD: Verb = Verb { command: upload_command, run: upload };
pub const DOWNLOAD: Verb = Verb { command: download_command, run: download };
pub const CP: Verb = Verb { command: cp_command, run: cp };
pub const SYNC: Verb = Verb { command: sync_command, run: sync };

fn sources(value: &'static str, help: &'static str) -> Arg {
    Arg::new("from").value_name(value).required(true).num_args(1..).action(ArgAction::Append).help(help)
}

fn target(value: &'static str, help: &'static str) -> Arg {
    Arg::new("to").value_name(value).required(true).help(help)
}

fn with_shared(command: Command) -> Command {
    command
        .args(place::pattern_args())
        .arg(args::jobs("Objects at once"))
        .arg(args::switch("dry-run", Some('n'), "Only print what would be done"))
        .arg(args::text("content-type", "TYPE", "The content type of what is stored"))
}

fn upload_command() -> Command {
    with_shared(
        Command::new("upload")
            .about("Upload files, or folders with everything below them")
            .after_help(
                "A folder's content goes below the destination; of several folders, each below its own name. What is \
                 there already with the same size, and not older, is not sent again.",
            )
            .arg(sources("PATH", "Files and folders"))
            .arg(target("URI", "Where to: a slash at the end, a folder or several files mean below it")),
    )
    .arg(args::switch("force", Some('f'), "Send everything, also what is there already"))
}

fn download_command() -> Command {
    with_shared(
        Command::new("download")
            .about("Download an object, or everything below a URI")
            .after_help(
                "Folders are kept, and nothing is ever written outside the destination. Files appear whole or not at \
                 all. What is there already with the same size, and not older, is not fetched again: run an \
                 interrupted download again to finish it.",
            )
            .arg(sources("URI", "Objects and folders"))
            .arg(target("PATH", "Where to: a folder, or of one object its file")),
    )
    .arg(args::recursive())
    .arg(args::switch("force", Some('f'), "Fetch everything, also what is there already"))
}

fn cp_command() -> Command {
    with_shared(
        Command::new("cp")
            .about("Copy objects from any place to any other")
            .arg(sources("FROM", "Objects, or with -r, a pattern or a slash at the end everything below"))
            .arg(target("TO", "Where to: a slash at the end means below it")),
    )
    .arg(args::recursive())
    .arg(args::switch(
        "update",
        Some('u'),
        "Not what is there already with the same size, and not older",
    ))
}

fn sync_command() -> Command {
    with_shared(
        Command::new("sync")
            .about("Make one tree equal to another, by copying only what differs")
            .after_help(
                "An object differs where its size does, or where the source is younger (in whole seconds). With \
                 --delete, nothing is deleted unless everything was copied.",
            )
            .arg(target("FROM", "The tree to take").id("from"))
            .arg(target("TO", "The tree to make equal")),
    )
    .arg(args::switch("delete", None, "Delete at the destination what the source does not have"))
    .arg(args::switch("size-only", None, "Compare sizes only").conflicts_with("checksum"))
    .arg(args::switch("checksum", None, "Compare sizes and CRC32C, reading what no store knows it of"))
}

fn upload(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let mut plan = plan(given, "upload", "uploaded", skip_unless_forced(given))?;
    for text in args::strings(given, "from") {
        let place = Place::parse(&text)?;
        if !place.is_local() {
            return Err(usage(format!("{text} is no path; use cp or sync between stores")));
        }
        // A path tells by itself whether it is a folder.
        let path = Path::new(place.uri.path().trim_end_matches('/'));
        let facts = std::fs::metadata(if path.as_os_str().is_empty() { Path::new("/") } else { path });
        let facts =
            facts.map_err(|e| Error::from_io("cannot look at it", &e).with_context("upload", &place.uri))?;
        if !facts.is_dir() && place.folder {
            let error = Error::new(Code::NotFound, "it is a file, not a folder");
            return Err(error.with_context("upload", &place.uri).into());
        }
        plan.from.push(Selection::new(place, facts.is_dir(), place::pattern(given)?));
    }
    plan.run(app)
}

fn download(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let mut plan = plan(given, "download", "downloaded", skip_unless_forced(given))?;
    if !plan.to.is_local() {
        return Err(usage(format!("{} is no path; use cp or sync between stores", plan.to.uri)));
    }
    plan.from = given_sources(given)?;
    plan.run(app)
}

fn cp(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let skip = if given.get_flag("update") { Skip::Unchanged } else { Skip::Never };
    let mut plan = plan(given, "cp", "copied", skip)?;
    plan.from = given_sources(given)?;
    plan.run(app)
}

fn sync(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let skip = match (given.get_flag("size-only"), given.get_flag("checksum")) {
        (true, _) => Skip::SameSize,
        (_, true) => Skip::SameBytes,
        _ => Skip::Unchanged,
    };
    let mut plan = plan(given, "sync", "copied", skip)?;
    plan.delete = given.get_flag("delete");
    let pattern = place::pattern(given)?;
    if plan.delete && pattern.is_some() {
        return Err(usage(
            "--delete with a pattern would delete what the pattern leaves out; give one of them",
        ));
    }
    // Trees only, whether or not the URIs end in a slash.
    let folder = |place: Place| Place { folder: true, ..place };
    plan.to = folder(plan.to);
    plan.from = vec![Selection::new(folder(Place::parse(args::string(given, "from"))?), true, pattern)];
    plan.run(app)
}

fn skip_unless_forced(given: &ArgMatches) -> Skip {
    if given.get_flag("force") { Skip::Never } else { Skip::Unchanged }
}

fn given_sources(given: &ArgMatches) -> Outcome<Vec<Selection>> {
    let recursive = given.get_flag("recursive");
    let selection =
        |text: String| Ok(Selection::new(Place::parse(&text)?, recursive, place::pattern(given)?));
    args::strings(given, "from").into_iter().map(selection).collect()
}

fn plan(given: &ArgMatches, verb: &'static str, past: &'static str, skip: Skip) -> Outcome<Plan> {
    Ok(Plan {
        verb,
        past,
        from: Vec::new(),
        to: Place::parse(args::string(given, "to"))?,
        skip,
        delete: false,
        dry_run: given.get_flag("dry-run"),
        jobs: given.get_one("jobs").copied(),
        put: PutOptions { content_type: given.get_one("content-type").cloned(), ..PutOptions::default() },
    })
}
