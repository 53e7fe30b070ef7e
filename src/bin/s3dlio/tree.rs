//! Trees of objects from anywhere to anywhere: what upload, download, cp and sync have in common.

use crate::app::App;
use crate::copy::Copy;
use crate::exit::{Failure, Outcome, usage};
use crate::jobs::{Did, Items, Lanes, Run};
use crate::place::Place;
use crate::select::{Chosen, Page, Selection};
use crate::text;
use s3dlio::api::advanced::{Scheme, Uri};
use s3dlio::api::{Code, Error, ListEntry, Lister, ObjectMeta, PutOptions, Store};
use serde_json::json;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When an object at the destination spares a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    Never,
    /// Of the same size, and not older in whole seconds.
    Unchanged,
    /// Of the same size.
    SameSize,
    /// Of the same size and CRC32C; bytes are read where a store does not know it.
    SameBytes,
}

/// What to move, and how.
#[derive(Debug)]
pub struct Plan {
    pub verb: &'static str,
    /// `copied`, for the last line.
    pub past: &'static str,
    pub from: Vec<Selection>,
    pub to: Place,
    pub skip: Skip,
    /// Delete at the destination what the source does not have.
    pub delete: bool,
    pub dry_run: bool,
    pub jobs: Option<u64>,
    pub put: PutOptions,
}

/// One object to move.
struct Item {
    copy: Copy,
    meta: ObjectMeta,
    /// What is at the destination.
    there: Option<(u64, Option<SystemTime>)>,
}

/// What is at the destination, by key: size and time.
type There = HashMap<String, (u64, Option<SystemTime>)>;

impl Plan {
    /// Does it, and says what was done.
    pub fn run(self, app: &Arc<App>) -> Outcome {
        let plan = Arc::new(self);
        let to_tree = plan.goes_below();
        plan.check_names()?;
        for selection in &plan.from {
            plan.check_apart(selection, to_tree)?;
        }
        let run = Run::new(app, plan.verb);
        let local = |place: &Place| place.is_local() || place.uri.scheme() == Scheme::Memory;
        let sources_local = plan.from.iter().any(|selection| local(&selection.place));
        let network = !local(&plan.to) || plan.from.iter().any(|selection| !local(&selection.place));
        let lanes = Lanes::new(plan.jobs, sources_local || local(&plan.to), network);
        let outcome = plan.clone().go(app, &run, lanes, to_tree);
        let outcome = match outcome {
            Ok(surplus) if plan.delete => plan.delete_surplus(app, &run, lanes, surplus),
            Ok(_) => Ok(()),
            Err(failure) => Err(failure),
        };
        run.finish(outcome, plan.past, plan.dry_run)
    }

    /// Whether the destination is a folder that objects go below, rather than an object's name.
    fn goes_below(&self) -> bool {
        let many = self.from.len() > 1 || self.from.iter().any(|selection| selection.tree);
        let is_folder = || Path::new(self.to.uri.path()).is_dir();
        many || self.to.folder || self.to.is_local() && is_folder()
    }

    /// Copies; gives the keys that are at the destination only.
    fn go(self: Arc<Self>, app: &Arc<App>, run: &Run, lanes: Lanes, to_tree: bool) -> Outcome<Vec<String>> {
        let there: Arc<Mutex<There>> = Arc::default();
        let (finding, finder, found) = (self.clone(), app.clone(), there.clone());
        let find = move |items| async move { finding.find(&finder, items, to_tree, &found).await };
        let (plan, shown, counters) = (self.clone(), app.clone(), run.counters.clone());
        let job = move |item: Item| {
            let (plan, app, counters) = (plan.clone(), shown.clone(), counters.clone());
            async move { Ok(plan.one(&app, item, &counters.bytes).await?) }
        };
        run.each(lanes, find, job)?;
        let mut there = there.lock().unwrap_or_else(PoisonError::into_inner);
        let mut surplus: Vec<String> = std::mem::take(&mut *there).into_keys().collect();
        surplus.sort_unstable();
        Ok(surplus)
    }

    /// Sends what has to be moved, or looked at; leaves in `there` what no source has.
    async fn find(&self, app: &App, items: Items<Item>, to_tree: bool, there: &Mutex<There>) -> Outcome {
        let (to, name) = match to_tree {
            true => (app.store(&self.to.root().to_string())?, None),
            false => {
                let (root, key) = self.to.uri.split_object()?;
                (app.store(&root.to_string())?, Some(key))
            }
        };
        let compares = self.skip != Skip::Never || self.delete;
        if compares && to_tree {
            let listed = list_all(app, &to).await?;
            *there.lock().unwrap_or_else(PoisonError::into_inner) = listed;
        }
        for selection in &self.from {
            let to = (&to, name.as_deref());
            items.found(self.find_one(app, &items, selection, to, there).await, self.from.len())?;
        }
        Ok(())
    }

    /// Of one source. `to` is where it goes, and by which name if not its own.
    async fn find_one(
        &self,
        app: &App,
        items: &Items<Item>,
        selection: &Selection,
        (to, name): (&Store, Option<&str>),
        there: &Mutex<There>,
    ) -> Outcome {
        let there_already = |key: &str| there.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if !selection.tree {
            let chosen = selection.object(app).await?;
            let to_key = name.unwrap_or(selection.place.name()).to_owned();
            let mut at = there_already(&to_key);
            if name.is_some() && (self.skip != Skip::Never || self.delete) {
                at = at_destination(to, &to_key).await?;
            }
            return self.send(app, items, chosen, to, to_key, at).await;
        }
        let prefix = match self.from.len() > 1 {
            true => format!("{}/", selection.place.name()),
            false => String::new(),
        };
        let mut pages = selection.pages(app).await?;
        while let Some(Page { chosen, refused }) = pages.next(app).await? {
            items.refuse(&refused);
            for chosen in chosen {
                // A key that ends in a slash stands for a folder, which files have without it.
                if chosen.meta.key.ends_with('/') && self.to.is_local() && chosen.meta.size == 0 {
                    continue;
                }
                let to_key = format!("{prefix}{}", chosen.meta.key);
                let at = there_already(&to_key);
                self.send(app, items, chosen, to, to_key, at).await?;
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        app: &App,
        items: &Items<Item>,
        chosen: Chosen,
        to: &Store,
        to_key: String,
        there: Option<(u64, Option<SystemTime>)>,
    ) -> Outcome {
        let size = chosen.meta.size;
        let key = chosen.meta.key.clone();
        let copy = match one_container(app, &chosen.store, to)? {
            Some((store, [from, to])) => {
                let (key, to_key) = (format!("{from}{key}"), format!("{to}{to_key}"));
                Copy { from: store.clone(), key, to: store, to_key }
            }
            None => Copy { from: chosen.store, key, to: to.clone(), to_key },
        };
        items.send(Item { copy, meta: chosen.meta, there }, size).await
    }

    async fn one(
        &self,
        app: &App,
        item: Item,
        counter: &std::sync::atomic::AtomicU64,
    ) -> s3dlio::api::Result<Did> {
        let (from, to) =
            (item.copy.from.root().join(&item.copy.key), item.copy.to.root().join(&item.copy.to_key));
        let size = item.meta.size;
        let same = match item.there {
            Some(there) => self.is_same(&item, there).await?,
            None => false,
        };
        let context = |e: Error| e.with_operation("copy").with_cause(format!("copying {from} to {to}"));
        if !same && !self.dry_run {
            item.copy.run(size, &self.put, counter).await.map_err(context)?;
        } else {
            counter.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
        }
        if app.verbose > 0 || self.dry_run && !same {
            let would = if self.dry_run { "would copy" } else { "copied" };
            let did = if same { "kept" } else { would };
            let shown = app.out.line(
                || format!("{did} {} -> {}", text::name(&from.to_string()), text::name(&to.to_string())),
                || {
                    json!({
                        "operation": "copy", "from": from.to_string(), "to": to.to_string(), "bytes": size,
                        "skipped": same, "dry_run": self.dry_run,
                    })
                },
            );
            // Moving goes on where nobody reads what is said of it.
            if let Err(Failure::Failed(error)) = shown {
                return Err(error);
            }
        }
        Ok(if same { Did::Skipped } else { Did::Done(size) })
    }

    async fn is_same(&self, item: &Item, there: (u64, Option<SystemTime>)) -> s3dlio::api::Result<bool> {
        let (size, time) = there;
        if size != item.meta.size {
            return Ok(false);
        }
        Ok(match self.skip {
            Skip::Never => false,
            Skip::SameSize => true,
            Skip::Unchanged => match (item.meta.last_modified, time) {
                (Some(source), Some(there)) => whole_seconds(there) >= whole_seconds(source),
                _ => false,
            },
            Skip::SameBytes => {
                let source = crate::crc::of(&item.copy.from, &item.copy.key).await?;
                source == crate::crc::of(&item.copy.to, &item.copy.to_key).await?
            }
        })
    }

    /// After everything was copied: a source that could not be read whole deletes nothing.
    fn delete_surplus(&self, app: &Arc<App>, run: &Run, lanes: Lanes, surplus: Vec<String>) -> Outcome {
        if run.tally.failed.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            app.say("s3dlio: nothing is deleted, as not everything could be copied");
            return Ok(());
        }
        let store = app.store(&self.to.root().to_string())?;
        let sources: Vec<Place> = self.from.iter().map(|selection| selection.place.clone()).collect();
        let find = move |items: Items<(String, Option<Error>)>| async move {
            for key in surplus {
                let kept = sources.iter().find_map(|source| unlisted(source, &key));
                items.send((key, kept), 0).await?;
            }
            Ok(())
        };
        let (dry_run, shown) = (self.dry_run, app.clone());
        let job = move |(key, kept): (String, Option<Error>)| {
            let (store, app) = (store.clone(), shown.clone());
            async move {
                if let Some(error) = kept {
                    return Err(error.with_context("delete", store.root().join(&key)).into());
                }
                if !dry_run {
                    store.delete(&key).await?;
                }
                if dry_run || app.verbose > 0 {
                    let uri = store.root().join(&key).to_string();
                    let did = if dry_run { "would delete" } else { "deleted" };
                    let line = app.out.line(
                        || format!("{did} {}", text::name(&uri)),
                        || json!({ "operation": "delete", "uri": uri, "dry_run": dry_run }),
                    );
                    if let Err(Failure::Failed(error)) = line {
                        return Err(error.into());
                    }
                }
                Ok(Did::Deleted)
            }
        };
        run.each(lanes, find, job)
    }

    /// Of several sources each goes below its own name: two of one name would be one.
    fn check_names(&self) -> Outcome {
        if self.from.len() < 2 {
            return Ok(());
        }
        let mut seen: HashMap<&str, &Uri> = HashMap::new();
        for Selection { place, .. } in &self.from {
            let name = place.name();
            if matches!(name, "" | "." | "..") {
                let uri = &place.uri;
                return Err(usage(format!("{uri} has no name of its own to go below; copy it by itself")));
            }
            if let Some(other) = seen.insert(name, &place.uri) {
                let (to, uri) = (&self.to.uri, &place.uri);
                let message = format!("{other} and {uri} would both be {name:?} at {to}; copy one at a time");
                return Err(usage(message));
            }
        }
        Ok(())
    }

    /// A tree that is copied into itself would never end, or be deleted; an object would be replaced by itself.
    fn check_apart(&self, selection: &Selection, to_tree: bool) -> Outcome {
        let source = &selection.place.uri;
        let target = match to_tree && !selection.tree {
            true => self.to.root().join(selection.place.name()),
            false => self.to.uri.clone(),
        };
        let place = |uri: &Uri| {
            let scheme = if uri.scheme().is_local_path() { Scheme::File } else { uri.scheme() };
            (scheme, uri.account().to_owned(), uri.container().to_owned())
        };
        if place(source) != place(&target) {
            return Ok(());
        }
        let (from, to) = (names(source), names(&target));
        let nested =
            from == to || selection.tree && to_tree && (from.starts_with(&to) || to.starts_with(&from));
        match nested {
            true => Err(usage(format!("{source} and {target} are the same, or one lies within the other"))),
            false => Ok(()),
        }
    }
}

/// The names on the way to a place; of files those of the place itself, whatever leads there.
fn names(uri: &Uri) -> Vec<OsString> {
    if !uri.scheme().is_local_path() {
        let path = uri.path().trim_matches('/');
        return path.split('/').filter(|_| !path.is_empty()).map(OsString::from).collect();
    }
    let mut real = PathBuf::from("/");
    for part in Path::new(uri.path()).components() {
        match part {
            Component::Normal(name) => {
                real.push(name);
                // What is not there yet has no links in it.
                real = std::fs::canonicalize(&real).unwrap_or(real);
            }
            Component::ParentDir => drop(real.pop()),
            _ => {}
        }
    }
    real.iter().map(OsString::from).collect()
}

/// Why a key that no list of this source has may still not be deleted: files behind links are not listed, and
/// the destination may have their only copies.
fn unlisted(source: &Place, key: &str) -> Option<Error> {
    if !source.is_local() {
        return None;
    }
    let path = source.root().join(key);
    match std::fs::metadata(path.path()) {
        // An object is not a copy of a folder.
        Ok(facts) if facts.is_dir() => None,
        Ok(_) => {
            let message = format!("it is kept: {path} is there, but not among what the source lists");
            let hint = "links that lead out of a folder are not followed: put the files themselves there, or \
                        delete the copy with `s3dlio rm`";
            Some(Error::new(Code::Unsupported, message).with_hint(hint))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) => Some(Error::from_io(format!("it is kept: cannot tell whether {path} is there"), &e)),
    }
}

/// Two places below one container as its store and the prefixes of their keys, so that the service can copy
/// by itself.
fn one_container(app: &App, from: &Store, to: &Store) -> s3dlio::api::Result<Option<(Store, [String; 2])>> {
    let (source, target) = (from.root(), to.root());
    let place = |uri: &Uri| (uri.scheme(), uri.account().to_owned(), uri.container().to_owned());
    if source.scheme().is_local_path() || place(source) != place(target) {
        return Ok(None);
    }
    let container = app.store(&source.sibling(source.container()).to_string())?;
    Ok(Some((container, [source.key_prefix(), target.key_prefix()])))
}

/// What is below a destination that may not be there yet.
async fn list_all(app: &App, store: &Store) -> Outcome<There> {
    let mut there = There::new();
    let mut lister = Lister::new(store, "", true);
    loop {
        app.stop.check()?;
        match lister.next_page().await {
            Ok(Some(page)) => there.extend(page.into_iter().filter_map(|entry| match entry {
                ListEntry::Object(meta) => Some((meta.key, (meta.size, meta.last_modified))),
                ListEntry::Prefix(_) => None,
            })),
            Ok(None) => return Ok(there),
            // The first copy makes the folder. A bucket that is missing it will not make, and says so.
            Err(error) if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) => {
                return Ok(there);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn at_destination(store: &Store, key: &str) -> Outcome<Option<(u64, Option<SystemTime>)>> {
    match store.stat(key).await {
        Ok(meta) => Ok(Some((meta.size, meta.last_modified))),
        Err(error) if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Some services tell no more.
fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
