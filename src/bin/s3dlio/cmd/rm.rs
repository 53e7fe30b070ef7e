//! `rm`: deletes objects.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome};
use crate::jobs::{Did, Items, Lanes, Run};
use crate::place::{self, Place};
use crate::select::{Chosen, Page, Selection};
use crate::text;
use clap::{ArgMatches, Command};
use s3dlio::api::{Code, Error, Store};
use serde_json::json;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

/// Keys that one request deletes.
const BATCH: usize = 1000;

fn command() -> Command {
    Command::new("rm")
        .visible_alias("delete")
        .about("Delete objects")
        .arg(args::uris("Of the objects; with -r, a pattern or a slash at the end everything below"))
        .arg(args::recursive())
        .args(place::pattern_args())
        .arg(args::switch("yes", Some('y'), "Do not ask before everything below a URI is deleted"))
        .arg(args::switch("force", Some('f'), "An object that is not there is no failure"))
        .arg(args::switch("dry-run", Some('n'), "Only print what would be deleted"))
        .arg(args::jobs("Requests at once"))
}

/// What one request deletes.
struct Batch {
    store: Store,
    keys: Vec<String>,
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let (recursive, dry_run, force) =
        (given.get_flag("recursive"), given.get_flag("dry-run"), given.get_flag("force"));
    let mut selections = Vec::new();
    for text in args::strings(given, "uri") {
        selections.push(Selection::new(Place::parse(&text)?, recursive, place::pattern(given)?));
    }
    if !dry_run {
        for selection in selections.iter().filter(|selection| selection.tree) {
            let what = match (&selection.pattern, selection.place.folder) {
                (Some(_), _) => "what fits the pattern below",
                (None, true) => "everything below",
                (None, false) => "this and everything below it:",
            };
            super::confirm(app, given, &format!("Delete {what} {}?", selection.place.uri))?;
        }
    }
    let run = Run::new(app, "rm");
    let network = selections.iter().any(|selection| !selection.place.is_local());
    let finder = app.clone();
    let find = move |items: Items<Batch>| async move {
        let sources = selections.len();
        for selection in selections {
            let found = match find(&finder, &selection, &items).await {
                Err(Failure::Failed(error)) if force && is_missing(&error) => Ok(()),
                found => found,
            };
            items.found(found, sources)?;
        }
        Ok(())
    };
    let (shown, tally, counters) = (app.clone(), run.tally.clone(), run.counters.clone());
    let job = move |batch: Batch| {
        let (app, tally, counters) = (shown.clone(), tally.clone(), counters.clone());
        async move {
            let outcomes = match dry_run {
                true => batch.keys.iter().map(|_| Ok(())).collect(),
                false => batch.store.delete_many(&batch.keys).await?,
            };
            for (key, outcome) in batch.keys.iter().zip(outcomes) {
                counters.done();
                match outcome {
                    Ok(()) => {
                        tally.done();
                        say(&app, &batch.store.root().join(key).to_string(), dry_run)?;
                    }
                    Err(error) => {
                        tally.failed(error.code());
                        app.report(&error);
                    }
                }
            }
            Ok(Did::Counted)
        }
    };
    let jobs: Option<u64> = given.get_one("jobs").copied();
    let outcome = run.each(Lanes::new(jobs.or(Some(4)), !network, network), find, job);
    run.finish(outcome, "deleted", dry_run)
}

async fn find(app: &App, selection: &Selection, items: &Items<Batch>) -> Outcome {
    if !selection.tree {
        let Chosen { store, meta } = selection.object(app).await?;
        return items.send(Batch { store, keys: vec![meta.key] }, 0).await;
    }
    let mut pages = selection.pages(app).await?;
    while let Some(Page { chosen, refused }) = pages.next(app).await? {
        items.refuse(&refused);
        for chosen in chosen.chunks(BATCH) {
            let Some(first) = chosen.first() else { continue };
            let keys = chosen.iter().map(|chosen| chosen.meta.key.clone()).collect();
            let batch = Batch { store: first.store.clone(), keys };
            items.send_many(batch, chosen.len() as u64, 0).await?;
        }
    }
    Ok(())
}

fn is_missing(error: &Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::ContainerNotFound)
}

fn say(app: &App, uri: &str, dry_run: bool) -> s3dlio::api::Result<()> {
    if app.verbose == 0 && !dry_run {
        return Ok(());
    }
    let did = if dry_run { "would delete" } else { "deleted" };
    let line = app.out.line(
        || format!("{did} {}", text::name(uri)),
        || json!({ "operation": "delete", "uri": uri, "dry_run": dry_run }),
    );
    match line {
        Err(Failure::Failed(error)) => Err(error),
        _ => Ok(()), // deleting goes on where nobody reads what is said of it
    }
}
