//! `stat`: the facts of objects.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::Outcome;
use crate::jobs::{Did, Items, Lanes, Run};
use crate::place;
use crate::select::{Chosen, Page, Selection};
use crate::text;
use clap::{ArgMatches, Command};
use s3dlio::api::ObjectMeta;
use s3dlio::api::advanced::{Uri, format_crc32c};
use serde_json::{Value, json};
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    Command::new("stat")
        .about("Print size, time, ETag, type, checksum and metadata of objects")
        .arg(args::uris("Of the objects; with -r, a pattern or a slash at the end everything below"))
        .arg(args::recursive())
        .args(place::pattern_args())
        .arg(args::jobs("Objects at once"))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let recursive = given.get_flag("recursive");
    super::for_each(app, given, |place| {
        let selection = Selection::new(place.clone(), recursive, place::pattern(given)?);
        if !selection.tree {
            return app.wait(async {
                let chosen = selection.object(app).await?;
                print(app, &chosen.store.root().join(&chosen.meta.key), &chosen.meta)
            });
        }
        let run = Run::new(app, "stat");
        let local = selection.place.is_local();
        let finder = app.clone();
        let find = move |items: Items<Chosen>| async move {
            let mut pages = selection.pages(&finder).await?;
            while let Some(Page { chosen, refused }) = pages.next(&finder).await? {
                items.refuse(&refused);
                for chosen in chosen {
                    items.send(chosen, 0).await?;
                }
            }
            Ok(())
        };
        let shown = app.clone();
        let job = move |chosen: Chosen| {
            let app = shown.clone();
            async move {
                // Lists do not know everything.
                let meta = chosen.store.stat(&chosen.meta.key).await?;
                print(&app, &chosen.store.root().join(&meta.key), &meta)?;
                Ok(Did::Done(0))
            }
        };
        let lanes = Lanes::new(given.get_one("jobs").copied(), local, !local);
        run.each(lanes, find, job)?;
        run.all_succeeded()
    })
}

fn print(app: &App, uri: &Uri, meta: &ObjectMeta) -> Outcome {
    let crc = meta.crc32c.map(format_crc32c);
    let plain = || {
        let mut lines = format!(
            "{}\n  size          {} ({})",
            text::name(&uri.to_string()),
            meta.size,
            text::size(meta.size)
        );
        let facts = [
            ("last modified", meta.last_modified.map(text::time)),
            ("etag", meta.etag.clone()),
            ("content type", meta.content_type.clone()),
            ("checksum", crc.clone()),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                lines += &format!("\n  {name:13} {}", text::name(&value));
            }
        }
        for (name, value) in &meta.metadata {
            lines += &format!("\n  metadata      {}={}", text::name(name), text::name(value));
        }
        lines
    };
    app.out.line(plain, || {
        let mut object: Value = super::object_json(uri, meta);
        object["metadata"] = json!(meta.metadata);
        if let Some(crc) = &crc {
            object["checksum"] = crc.as_str().into();
        }
        object
    })
}
