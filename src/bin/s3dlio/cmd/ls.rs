//! `ls`: what is below a URI.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::place::{self, Place};
use crate::select::{Chosen, Page, Selection};
use crate::text;
use clap::{ArgMatches, Command};
use s3dlio::api::advanced::{Pattern, Uri};
use s3dlio::api::{Code, Error, ListEntry, Lister, ObjectMeta};
use serde_json::json;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    Command::new("ls")
        .visible_alias("list")
        .about("List objects and folders")
        .after_help(
            "Prints full URIs, in the order of their keys. s3:// and az://ACCOUNT/ list buckets and containers.",
        )
        .disable_help_flag(true)
        .arg(
            clap::Arg::new("help")
                .long("help")
                .action(clap::ArgAction::Help)
                .help("Print help"),
        )
        .arg(args::uris("Where to look; a name that is an object and a folder is both"))
        .arg(args::recursive())
        .args(place::pattern_args())
        .arg(args::switch("count", Some('c'), "Print only how many objects there are, and their bytes"))
        .arg(args::switch("long", Some('l'), "Print sizes and times, too"))
        .arg(args::switch("human", Some('h'), "Print sizes as 1.5 MiB"))
}

struct Listing<'a> {
    app: &'a App,
    count: bool,
    long: bool,
    human: bool,
    objects: u64,
    bytes: u64,
    folders: u64,
    /// Something below could not be looked at, and was shown.
    failed: bool,
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let pattern = place::pattern(given)?;
    let recursive = given.get_flag("recursive") || pattern.is_some();
    let flag = |name| given.get_flag(name);
    let human = flag("human");
    let (count, long) = (flag("count"), flag("long"));
    let mut listing = Listing { app, count, long, human, objects: 0, bytes: 0, folders: 0, failed: false };
    let each =
        super::for_each(app, given, |place| app.wait(listing.place(place, recursive, pattern.clone())));
    if matches!(each, Err(Failure::ClosedPipe | Failure::Stopped(_) | Failure::Failed(_))) {
        return each;
    }
    if listing.count {
        listing.total(recursive)?;
    }
    each?;
    if listing.failed { Err(Failure::Partly) } else { Ok(()) }
}

impl Listing<'_> {
    fn total(&self, recursive: bool) -> Outcome {
        let (objects, bytes, folders) = (self.objects, self.bytes, self.folders);
        self.app.out.line(
            || {
                let size = if self.human { text::size(bytes) } else { text::count(bytes, "byte") };
                let folders =
                    if recursive { String::new() } else { format!(", {}", text::count(folders, "folder")) };
                format!("{}, {size}{folders}", text::count(objects, "object"))
            },
            || json!({ "objects": objects, "bytes": bytes, "folders": folders }),
        )
    }

    async fn place(&mut self, place: &Place, recursive: bool, pattern: Option<Pattern>) -> Outcome {
        let root = place.root();
        if root.container().is_empty() && !place.is_local() {
            if recursive || self.count {
                let what = "-r, patterns and --count are about the objects of one";
                return Err(usage(format!("{root} names no bucket; {what}")));
            }
            for container in self.app.account(&root.to_string())?.list_containers().await? {
                super::containers::print(self.app, &root, &container)?;
            }
            return Ok(());
        }
        if recursive {
            let mut pages = Selection::new(place.clone(), true, pattern).pages(self.app).await?;
            while let Some(Page { chosen, refused }) = pages.next(self.app).await? {
                for Chosen { store, meta } in chosen {
                    self.object(&store.root().join(&meta.key), &meta)?;
                }
                self.failed |= !refused.is_empty();
                refused.iter().for_each(|error| self.app.report(error));
            }
            return Ok(());
        }
        let store = self.app.store(&root.to_string())?;
        let mut found = false;
        if !place.folder {
            let (parent, key) = place.uri.split_object()?;
            match self.app.store(&parent.to_string())?.stat(&key).await {
                Ok(meta) => {
                    found = true;
                    self.object(&place.uri, &meta)?;
                    if place.is_local() {
                        return Ok(());
                    }
                }
                Err(error) if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut lister = Lister::new(&store, "", false);
        while let Some(page) = lister.next_page().await? {
            self.app.stop.check()?;
            found = true;
            for entry in page {
                let uri = root.join(entry.key());
                match entry {
                    ListEntry::Object(meta) => self.object(&uri, &meta)?,
                    ListEntry::Prefix(_) => self.folder(&uri)?,
                }
            }
        }
        // A container, or a folder of a file system, may be empty; a folder of keys that has none is not there.
        if !found && !root.path().is_empty() && !place.is_local() {
            let error = Error::new(Code::NotFound, "there is neither such an object nor anything below it");
            return Err(error.with_context("list", &place.uri).into());
        }
        Ok(())
    }

    fn object(&mut self, uri: &Uri, meta: &ObjectMeta) -> Outcome {
        self.objects += 1;
        self.bytes += meta.size;
        if self.count {
            return Ok(());
        }
        let shown = || {
            let uri = text::name(&uri.to_string());
            if !self.long && !self.human {
                return uri;
            }
            let size = if self.human { text::size(meta.size) } else { meta.size.to_string() };
            let time = meta.last_modified.map_or("-".into(), text::time);
            if self.long { format!("{size:>14}  {time:20}  {uri}") } else { format!("{size:>10}  {uri}") }
        };
        self.app.out.line(shown, || super::object_json(uri, meta))
    }

    fn folder(&mut self, uri: &Uri) -> Outcome {
        self.folders += 1;
        if self.count {
            return Ok(());
        }
        let shown = || {
            let uri = text::name(&uri.to_string());
            match (self.long, self.human) {
                (true, _) => format!("{:>14}  {:20}  {uri}", "folder", ""),
                (false, true) => format!("{:>10}  {uri}", "folder"),
                (false, false) => uri,
            }
        };
        self.app.out.line(shown, || json!({ "type": "folder", "uri": uri.to_string() }))
    }
}
