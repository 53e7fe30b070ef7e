//! `get`: reads objects and says how fast; their bytes are dropped.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::Outcome;
use crate::jobs::{Did, Items, Lanes, Run};
use crate::place::{self, Place};
use crate::range::{self, Range};
use crate::select::{Chosen, Page, Selection};
use crate::tree::{Plan, Skip};
use clap::{ArgMatches, Command};
use s3dlio::api::advanced::{BufferPool, count_bytes, get_range_into};
use s3dlio::api::{Code, Error, PutOptions, Result, get, get_range};
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

/// Objects up to this size are read in one call.
const WHOLE: u64 = 64 << 20;

fn command() -> Command {
    Command::new("get")
        .about("Read objects and say how fast that was, or save them")
        .after_help("Without --save the bytes are dropped as they come.")
        .arg(args::uris("Of the objects; with -r, a pattern or a slash at the end everything below"))
        .arg(args::recursive())
        .args(place::pattern_args())
        .arg(
            range::arg()
                .help("Read these bytes of each object: 0-99, 100- (to the end), -100 (the last 100)"),
        )
        .arg(
            args::text("save", "PATH", "Write objects to this file, or below this folder")
                .conflicts_with("range"),
        )
        .arg(args::jobs("Objects at once"))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let (recursive, range) = (given.get_flag("recursive"), range::of(given)?);
    let jobs = given.get_one("jobs").copied();
    let mut selections = Vec::new();
    for text in args::strings(given, "uri") {
        selections.push(Selection::new(Place::parse(&text)?, recursive, place::pattern(given)?));
    }
    if let Some(path) = given.get_one::<String>("save") {
        let plan = Plan {
            verb: "get",
            past: "got",
            from: selections,
            to: Place::parse(path)?,
            skip: Skip::Never,
            delete: false,
            dry_run: false,
            jobs,
            put: PutOptions::default(),
        };
        return plan.run(app);
    }
    let run = Run::new(app, "get");
    let local = selections.iter().any(|selection| selection.place.is_local());
    let network = selections.iter().any(|selection| !selection.place.is_local());
    let finder = app.clone();
    let find = move |items: Items<Chosen>| async move {
        let sources = selections.len();
        for selection in selections {
            items.found(find(&finder, &selection, &items).await, sources)?;
        }
        Ok(())
    };
    let counter = run.counters.bytes.clone();
    let job = move |chosen: Chosen| {
        let counter = counter.clone();
        async move { Ok(Did::Done(count_bytes(counter, read(chosen, range)).await?)) }
    };
    let outcome = run.each(Lanes::new(jobs, local, network), find, job);
    run.finish(outcome, "got", false)
}

async fn find(app: &App, selection: &Selection, items: &Items<Chosen>) -> Outcome {
    if !selection.tree {
        let chosen = selection.object(app).await?;
        let size = chosen.meta.size;
        return items.send(chosen, size).await;
    }
    let mut pages = selection.pages(app).await?;
    while let Some(Page { chosen, refused }) = pages.next(app).await? {
        items.refuse(&refused);
        for chosen in chosen {
            let size = chosen.meta.size;
            items.send(chosen, size).await?;
        }
    }
    Ok(())
}

async fn read(chosen: Chosen, range: Option<Range>) -> Result<u64> {
    let (store, key, size) = (&chosen.store, &chosen.meta.key, chosen.meta.size);
    if let Some(range) = range {
        let (length, start) =
            range.within(size).map_err(|e| e.with_context("get", store.root().join(key)))?;
        return Ok(get_range(store, key, start, length).await?.len() as u64);
    }
    if size <= WHOLE {
        return Ok(get(store, key).await?.len() as u64);
    }
    let mut at = 0;
    while at < size {
        let piece = (size - at).min(WHOLE) as usize;
        let (window, _owner) = BufferPool::global().take(piece)?.into_window();
        let bytes = get_range_into(store, key, at, window.split_at(piece).0).await?.bytes as u64;
        if bytes == 0 {
            let message = format!("it ends at {at} bytes, but had {size} when it was found");
            return Err(Error::new(Code::Changed, message).with_context("get", store.root().join(key)));
        }
        at += bytes;
    }
    Ok(at)
}
