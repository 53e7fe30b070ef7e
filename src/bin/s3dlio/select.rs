//! Which objects the arguments of a verb mean.

use crate::app::App;
use crate::exit::{Outcome, usage};
use crate::place::Place;
use s3dlio::api::advanced::Pattern;
use s3dlio::api::{Code, Error, ListEntry, Lister, ObjectMeta, Store};
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
        let meta = store.stat(&key).await?;
        Ok(Chosen { store, meta })
    }

    /// Pages of what is meant, in the order of the keys; a folder that is missing is an error, one that is
    /// empty is not.
    pub async fn pages(&self, app: &App) -> Outcome<Pages> {
        let root = self.place.root();
        if root.container().is_empty() && !self.place.is_local() {
            return Err(usage(format!("{root} names no bucket; expected one, such as s3://BUCKET/")));
        }
        let store = app.store(&root.to_string())?;
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
        Ok(Pages { selection: self.clone(), store, lister, itself, found: false, done: local })
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
}

impl Pages {
    pub async fn next(&mut self, app: &App) -> Outcome<Option<Vec<Chosen>>> {
        app.stop.check()?;
        if let Some(itself) = self.itself.take() {
            self.found = true;
            return Ok(Some(vec![itself]));
        }
        if self.done {
            return Ok(None);
        }
        let Some(page) = self.lister.next_page().await? else {
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
        let mut chosen = Vec::with_capacity(page.len());
        for entry in page {
            let ListEntry::Object(meta) = entry else { continue };
            if self.selection.pattern.as_ref().is_none_or(|pattern| pattern.fits(&meta.key)) {
                chosen.push(Chosen { store: self.store.clone(), meta });
            }
        }
        Ok(Some(chosen))
    }
}
