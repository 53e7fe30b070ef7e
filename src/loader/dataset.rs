//! What there is to draw.

use super::batch::Sample;
use super::engine::{
    Bounds, Draw, Engine, Feeder, FileDraw, FileEngine, ItemEngine, ItemPlan, Sizes, failure, fetch_one,
    sample,
};
use super::loader::Progress;
use super::params::DatasetParams;
use super::policy::Policy;
use super::sampler::{Origin, Runs, Shard, Shuffle};
use super::source::list::{Collected, UriList};
use super::source::manifest::{Manifest, ManifestWriter};
use super::source::prefix::Prefix;
use super::source::{Fingerprint, Indexed, Location, RecordFormat, record_format};
use super::state::{Done, Epoch, FilesDone, FilesLeft, Split, State};
use crate::error::{Code, Error, Result};
use crate::options::Options;
use futures_util::stream::{self, StreamExt};
use std::path::Path;
use std::sync::Arc;

/// Items, or files of records. Cheap to clone; shared by threads; of use in a forked child.
#[derive(Clone, Debug)]
pub struct Dataset(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    params: DatasetParams,
    options: Options,
    /// Of what [`Dataset::get_many`] read.
    sizes: Sizes,
}

#[derive(Debug)]
enum Kind {
    /// Items whose places are known.
    Items(Arc<dyn Indexed>),
    /// Objects that are listed while they are drawn.
    Listed(Prefix),
    /// Files that are read in sequence.
    Files(Files, Arc<dyn RecordFormat>),
}

/// Files of records.
#[derive(Debug)]
enum Files {
    Known(Arc<dyn Indexed>),
    Listed(Prefix),
}

impl Files {
    async fn collect(&self) -> Result<Vec<Location>> {
        match self {
            Files::Known(known) => (0..known.len()).map(|index| known.locate(index)).collect(),
            Files::Listed(prefix) => prefix.collect().await,
        }
    }
}

impl Dataset {
    /// The objects below a URI, of which the parameters choose. Those of a format whose records have known
    /// places are listed now, others when they are drawn.
    pub async fn open(uri: &str, params: &DatasetParams, options: &Options) -> Result<Dataset> {
        let files = Files::Listed(Prefix::new(uri, params, options)?);
        Dataset::of(files, params, options).await.map_err(|e| e.with_context("open", uri))
    }

    /// These objects, of any schemes, in this order.
    pub async fn of_uris(uris: Vec<String>, params: &DatasetParams, options: &Options) -> Result<Dataset> {
        let files = Files::Known(Arc::new(UriList::new(uris, options)?));
        Dataset::of(files, params, options).await
    }

    /// The objects that a local text file names; see [`write_manifest`].
    pub async fn from_manifest(path: &Path, params: &DatasetParams, options: &Options) -> Result<Dataset> {
        let files = Files::Known(Arc::new(Manifest::open(path, options)?));
        Dataset::of(files, params, options).await
    }

    async fn of(files: Files, params: &DatasetParams, options: &Options) -> Result<Dataset> {
        if matches!(files, Files::Known(_)) && (params.glob.is_some() || params.regex.is_some()) {
            return Err(Error::new(
                Code::InvalidArgument,
                "a glob or regular expression chooses from a listing, not from a list of URIs",
            )
            .with_hint("leave it out, or open the dataset by the URI of a folder"));
        }
        let kind = match record_format(params)? {
            None => match files {
                Files::Known(known) => Kind::Items(known),
                Files::Listed(prefix) => Kind::Listed(prefix),
            },
            Some(format) if format.is_indexed() => Kind::Items(format.index(files.collect().await?).await?),
            Some(format) => Kind::Files(files, format),
        };
        let (params, options) = (params.clone(), options.clone());
        Ok(Dataset(Arc::new(Inner { kind, params, options, sizes: Sizes::default() })))
    }

    /// How many items there are, where that is known: [`Dataset::index`] finds out.
    pub fn length(&self) -> Option<u64> {
        match &self.0.kind {
            Kind::Items(items) => Some(items.len()),
            Kind::Listed(_) | Kind::Files(..) => None,
        }
    }

    /// The same items with a known length: lists, or reads where each record is. Itself where it is known already.
    pub async fn index(&self) -> Result<Dataset> {
        let items: Arc<dyn Indexed> = match &self.0.kind {
            Kind::Items(_) => return Ok(self.clone()),
            Kind::Listed(prefix) => Arc::new(Collected { items: prefix.collect().await? }),
            Kind::Files(files, format) => format.index(files.collect().await?).await?,
        };
        let (params, options) = (self.0.params.clone(), self.0.options.clone());
        Ok(Dataset(Arc::new(Inner { kind: Kind::Items(items), params, options, sizes: Sizes::default() })))
    }

    /// One item, where the length is known.
    pub async fn get(&self, index: u64) -> Result<Sample> {
        let mut one = self.get_many(&[index]).await;
        one.pop().unwrap_or_else(|| Err(Error::new(Code::Internal, "an item was not read")))
    }

    /// Items in the order of `indices`, many at once; one result each.
    pub async fn get_many(&self, indices: &[u64]) -> Vec<Result<Sample>> {
        let ready = self.ready_to_get();
        let (items, bounds) = match ready {
            Ok(ready) => ready,
            Err(error) => return indices.iter().map(|_| Err(error.clone())).collect(),
        };
        let one = |index: u64| {
            let (items, bounds, sizes) = (items.clone(), &bounds, &self.0.sizes);
            async move {
                if index >= items.len() {
                    return Err(super::source::list::no_item(index, items.len()));
                }
                let work = async {
                    let location = items.locate(index)?;
                    let data = fetch_one(&location, bounds, sizes, |_| std::future::ready(())).await?;
                    sample(Some(&*items), index, location, data)
                };
                work.await.map_err(|e| failure(index, e))
            }
        };
        stream::iter(indices.iter().copied()).map(one).buffered(bounds.in_flight).collect().await
    }

    fn ready_to_get(&self) -> Result<(Arc<dyn Indexed>, Bounds)> {
        let Kind::Items(items) = &self.0.kind else {
            return Err(Error::new(Code::InvalidState, "items of this dataset have no known places yet")
                .with_hint("take the dataset that index() gives"));
        };
        let policy = Policy::new(&self.0.options.resolve()?)?;
        Ok((items.clone(), Bounds::new(&policy, 1)))
    }

    /// What a pass draws from.
    pub(super) async fn draw(&self, _split: Split) -> Result<Drawing> {
        Ok(match &self.0.kind {
            Kind::Items(items) => Drawing::Items(items.clone(), self.fingerprint_of(items.fingerprint())),
            Kind::Listed(prefix) => {
                Drawing::Listed(prefix.clone(), self.fingerprint_of(prefix.fingerprint()))
            }
            Kind::Files(files, format) => {
                let found = files.collect().await?;
                let all = found.iter().fold(Fingerprint::default(), |all, file| all.add(file.uri.as_bytes()));
                Drawing::Files(Arc::new(found), format.clone(), self.fingerprint_of(all.value()))
            }
        })
    }

    fn fingerprint_of(&self, items: u64) -> u64 {
        let params = &self.0.params;
        Fingerprint::default()
            .number(items)
            .add(params.format.name().as_bytes())
            .number(params.record_size)
            .number(params.skip_bytes)
            .add(params.member.as_deref().unwrap_or_default().as_bytes())
            .value()
    }
}

/// What a pass draws from, resolved.
#[derive(Debug)]
pub(super) enum Drawing {
    Items(Arc<dyn Indexed>, u64),
    Listed(Prefix, u64),
    Files(Arc<Vec<Location>>, Arc<dyn RecordFormat>, u64),
}

impl Drawing {
    pub(super) fn fingerprint(&self) -> u64 {
        match self {
            Drawing::Items(_, fingerprint)
            | Drawing::Listed(_, fingerprint)
            | Drawing::Files(_, _, fingerprint) => *fingerprint,
        }
    }

    /// How records are shared, where files are read in sequence.
    pub(super) fn split(&self, split: Split) -> Option<Split> {
        matches!(self, Drawing::Files(..)).then_some(split)
    }

    /// Refuses what the dataset cannot do.
    pub(super) fn check(&self, epoch: &Epoch, shard: Shard) -> Result<()> {
        let bad = |message: String| Error::new(Code::InvalidArgument, message);
        match self {
            Drawing::Items(..) => Ok(()),
            Drawing::Listed(..) if epoch.shuffle == Shuffle::Full => Err(bad(
                "loader.shuffle is full, but how many objects there are is known only at the end of their listing".into(),
            )
            .with_hint("set loader.shuffle to window, or take the dataset that index() gives or that a manifest names")),
            Drawing::Listed(..) => Ok(()),
            Drawing::Files(..) if epoch.shuffle == Shuffle::Full => Err(bad(
                "loader.shuffle is full, but the files are read in sequence".into(),
            )
            .with_hint("set loader.shuffle to window, or use files with an index")),
            Drawing::Files(files, ..)
                if epoch.split == Some(Split::File) && (files.len() as u64) < shard.of =>
            {
                Err(bad(format!("{} files cannot be shared by {} ranks and workers", files.len(), shard.of))
                    .with_hint("set loader.split_files to record, use fewer workers, or write more files"))
            }
            Drawing::Files(..) => Ok(()),
        }
    }

    /// Starts the engine where `resumed` ends.
    pub(super) fn start(
        self,
        bounds: Bounds,
        epoch: &Epoch,
        shard: Shard,
        resumed: Option<&State>,
    ) -> Result<(Progress, Engine)> {
        let same = resumed.filter(|state| state.shard() == shard);
        let (base, before) = resumed.map_or(Ok((0, Runs::default())), State::items_left)?;
        let done = same.map_or(Ok(Done::default()), State::items_done)?;
        let origin = Origin::new(base, &before);
        match self {
            Drawing::Items(source, _) => {
                let draw = Draw {
                    shuffle: epoch.shuffle,
                    seed: epoch.seed,
                    epoch: epoch.epoch,
                    origin,
                    shard,
                    source,
                };
                let blocking = draw.source.is_blocking();
                let progress = Progress::Items { base, before, done: done.clone() };
                let engine =
                    ItemEngine::start(bounds, ItemPlan::Known(draw), done.first, done.also, blocking)?;
                Ok((progress, Engine::Items(engine)))
            }
            Drawing::Listed(prefix, _) => {
                let blocking = prefix.is_blocking();
                let engine = ItemEngine::start(bounds, ItemPlan::Fed, 0, Runs::default(), Some(blocking))?;
                let feeder = Feeder {
                    prefix,
                    shuffle: epoch.shuffle,
                    seed: epoch.seed,
                    epoch: epoch.epoch,
                    origin,
                    shard,
                    first: done.first,
                    also: done.also.clone(),
                };
                engine.feed(blocking, feeder.run(engine.shared().clone()))?;
                Ok((Progress::Items { base, before, done }, Engine::Items(engine)))
            }
            Drawing::Files(files, format, _) => {
                let left = resumed.map_or(Ok(FilesLeft::default()), State::files_left)?;
                let done = same.map_or(Ok(FilesDone::default()), State::files_done)?;
                let blocking = files.iter().any(blocks); // a thread that may block can wait for the network, too
                let draw = FileDraw {
                    format,
                    files,
                    shuffle: epoch.shuffle,
                    seed: epoch.seed,
                    epoch: epoch.epoch,
                    split: epoch.split.unwrap_or(Split::File),
                    shard,
                    left: left.clone(),
                    done: done.clone(),
                };
                let engine = FileEngine::start(bounds, draw, blocking)?;
                Ok((Progress::Files { before: left, done }, Engine::Files(engine)))
            }
        }
    }
}

fn blocks(location: &Location) -> bool {
    location.store.capabilities().blocking_io
}

/// Lists the objects below a URI into a manifest, which is in place whole or not at all; how many there are.
pub async fn write_manifest(
    uri: &str,
    params: &DatasetParams,
    options: &Options,
    path: &Path,
) -> Result<u64> {
    let prefix = Prefix::new(uri, params, options)?;
    let mut out = ManifestWriter::create(path)?;
    let mut listing = prefix.list();
    while let Some(page) = listing.next_page().await? {
        for location in &page.fitting {
            out.write(location)?;
        }
    }
    out.finish()
}
