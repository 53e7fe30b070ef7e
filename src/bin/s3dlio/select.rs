//! Which objects the arguments of a verb mean.

use crate::app::App;
use crate::exit::Outcome;
use crate::place::Place;
use s3dlio::api::advanced::Pattern;
use s3dlio::api::{Code, Error, ListEntry, Lister, ObjectMeta, Store};
use std::path::Path;
use std::sync::Arc;

/// What is meant below one URI.
#[derive(Clone, Debug)]
pub struct Selection {
    pub place: Place,
    /// Everything below; else one object.
    pub tree: bool,
    pub pattern: Option<Arc<Pattern>>,
}

/// An object that is meant. Its key is relative to the store's root.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub store: Store,
    pub meta: ObjectMeta,
}

impl Selection {
    /// A slash at the end, a pattern, or `recursive` mean everything below.
    pub fn new(place: Place, recursive: bool, pattern: Option<Pattern>) -> Selection {
        let tree = recursive || place.folder || pattern.is_some();
        Selection { place, tree, pattern: pattern.map(Arc::new) }
    }

    /// The one object that is meant.
    pub async fn object(&self, app: &App) -> Outcome<Chosen> {
        let (root, key) = self.place.uri.split_object()?;
        let store = app.store(&root.to_string())?;
        let meta = store.stat(&key).await.map_err(|e| match e.code() {
            Code::NotFound if self.place.is_local() && Path::new(self.place.uri.path()).is_dir() => {
                e.with_hint("it is a folder: -r, or a slash at the end, means everything below")
            }
            _ => e,
        })?;
        Ok(Chosen { store, meta })
    }

    /// Pages of what is meant, in the order of the keys; a folder that is missing is an error, one that is
    /// empty is not.
    pub async fn pages(&self, app: &App) -> Outcome<Pages> {
        let store = app.store(&self.place.root().to_string())?;
        let lister = Lister::new(&store, "", true);
        // A name may be an object and a folder.
        let itself = match self.place.folder || self.pattern.is_some() {
            true => None,
            false => match self.object(app).await {
                Ok(chosen) => Some(chosen),
                Err(crate::exit::Failure::Failed(error))
                    if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) =>
                {
                    None
                }
                Err(failure) => return Err(failure),
            },
        };
        let local = itself.is_some() && self.place.is_local();
        let (selection, last) = (self.clone(), String::new());
        Ok(Pages { selection, store, lister, itself, found: false, done: local, last, folders: None })
    }
}

/// See [`Selection::pages`].
#[derive(Debug)]
pub struct Pages {
    selection: Selection,
    store: Store,
    lister: Lister,
    itself: Option<Chosen>,
    found: bool,
    done: bool,
    /// The last key of the tree that was given.
    last: String,
    /// Folders that are still to be listed one by one, as one of them is closed.
    folders: Option<Vec<String>>,
}

/// Some of what is meant.
#[derive(Debug, Default)]
pub struct Page {
    pub chosen: Vec<Chosen>,
    /// Folders of a file system that may not be looked into: what else is there is given all the same.
    pub refused: Vec<Error>,
}

impl Pages {
    pub async fn next(&mut self, app: &App) -> Outcome<Option<Page>> {
        app.stop.check()?;
        if let Some(itself) = self.itself.take() {
            self.found = true;
            return Ok(Some(Page { chosen: vec![itself], ..Page::default() }));
        }
        if self.done {
            return Ok(None);
        }
        if self.folders.is_some() {
            return self.next_folder().await;
        }
        let entries = match self.lister.next_page().await {
            Err(error) if error.code() == Code::PermissionDenied && self.selection.place.is_local() => {
                self.folders = Some(vec![String::new()]);
                return self.next_folder().await;
            }
            entries => entries?,
        };
        let Some(entries) = entries else {
            let place = &self.selection.place;
            // A container, or a folder of a file system, may be empty; a folder of keys that has none is not there.
            if !self.found && !place.root().path().is_empty() && !place.is_local() {
                let error =
                    Error::new(Code::NotFound, "there is neither such an object nor anything below it");
                return Err(error.with_context("list", &place.uri).into());
            }
            return Ok(None);
        };
        self.found = true;
        if let Some(entry) = entries.last() {
            self.last = entry.key().to_owned();
        }
        Ok(Some(Page { chosen: self.choose(entries), ..Page::default() }))
    }

    /// The next folder's objects that were not given before. Only the root's own list has to succeed.
    async fn next_folder(&mut self) -> Outcome<Option<Page>> {
        let Some(folder) = self.folders.as_mut().and_then(Vec::pop) else { return Ok(None) };
        let mut page = Page::default();
        let mut lister = Lister::new(&self.store, &folder, false);
        loop {
            match lister.next_page().await {
                Ok(None) => return Ok(Some(page)),
                Ok(Some(mut entries)) => {
                    let below = entries.iter().filter_map(|entry| match entry {
                        ListEntry::Prefix(folder) => Some(folder.clone()),
                        ListEntry::Object(_) => None,
                    });
                    self.folders.get_or_insert_default().extend(below);
                    entries.retain(|entry| entry.key() > self.last.as_str());
                    page.chosen.extend(self.choose(entries));
                }
                Err(error) if error.code() == Code::PermissionDenied && !folder.is_empty() => {
                    page.refused.push(error);
                    return Ok(Some(page));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn choose(&self, entries: Vec<ListEntry>) -> Vec<Chosen> {
        let pattern = self.selection.pattern.as_ref();
        let objects = entries.into_iter().filter_map(|entry| match entry {
            ListEntry::Object(meta) => Some(meta),
            ListEntry::Prefix(_) => None,
        });
        let meant = objects.filter(|meta| pattern.is_none_or(|pattern| pattern.fits(&meta.key)));
        meant.map(|meta| Chosen { store: self.store.clone(), meta }).collect()
    }
}
