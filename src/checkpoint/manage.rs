//! What checkpoints there are, and getting rid of some: of committed ones by name, of torn saves by age.

use super::manifest::Manifest;
use super::names::{self, BEGIN, MANIFESTS, SHARDS, is_absent};
use super::open::read_manifest;
use super::{latest, names::step_of_id};
use crate::error::{Code, Error, Result};
use crate::store::{ListEntry, Store};
use crate::transfer::{self, Lister};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

/// Keys that one request deletes.
const BATCH: usize = 1000;

/// The steps that have a committed checkpoint, ascending. What is no manifest by its name is passed over.
pub async fn list(store: &Store) -> Result<Vec<u64>> {
    let context = |e: Error| e.with_context("checkpoint_list", store.root().join(MANIFESTS));
    let mut lister = Lister::new(store, MANIFESTS, false);
    let mut steps = Vec::new();
    loop {
        match lister.next_page().await {
            Ok(Some(page)) => steps.extend(page.iter().filter_map(|entry| match entry {
                ListEntry::Object(meta) => names::step_of_manifest(&meta.key),
                ListEntry::Prefix(_) => None,
            })),
            Ok(None) => break,
            Err(error) if is_absent(store, &error) => break,
            Err(error) => return Err(context(error)),
        }
    }
    steps.sort_unstable(); // some services list in an order of their own
    Ok(steps)
}

/// Deletes a checkpoint: first its manifest, so that nobody finds it half gone, then its data. `NotFound` where
/// the step has none. What a crash leaves of the data, [`collect`] removes.
pub async fn delete(store: &Store, step: u64) -> Result<()> {
    let context = |e: Error| e.with_context("checkpoint_delete", store.root().join(&names::manifest(step)));
    names::check_step(step).map_err(context)?;
    // A damaged manifest can be deleted; what it stood for is then collected as torn.
    let manifest = match read_manifest(store, step).await {
        Ok(manifest) => Some(manifest),
        Err(error) if matches!(error.code(), Code::Corrupt | Code::ChecksumMismatch) => None,
        Err(error) => return Err(context(error)),
    };
    store.delete(&names::manifest(step)).await.map_err(context)?;
    if let Err(error) = settle_latest(store, step).await {
        tracing::warn!(%error, uri = %store.root(), "latest.json still names a checkpoint that was deleted");
    }
    match manifest {
        Some(manifest) => delete_data(store, &manifest).await.map_err(context),
        None => Ok(()),
    }
}

/// Deletes all checkpoints but the `keep_last` newest ones (at least one) and those whose step is a multiple of
/// `keep_every` (0: none). Gives the steps that are gone, ascending.
pub async fn prune(store: &Store, keep_last: u64, keep_every: u64) -> Result<Vec<u64>> {
    prune_but(store, keep_last, keep_every, None).await
}

/// As [`prune`]; `spared` stays, whatever else: a job that went back to an early step has just committed it.
pub(super) async fn prune_but(
    store: &Store,
    keep_last: u64,
    keep_every: u64,
    spared: Option<u64>,
) -> Result<Vec<u64>> {
    if keep_last == 0 {
        let error =
            Error::new(Code::InvalidArgument, "keep_last is 0; expected at least 1 checkpoint to keep");
        return Err(error.with_context("checkpoint_prune", store.root()));
    }
    let mut steps = list(store).await?;
    let kept = usize::try_from(keep_last).unwrap_or(usize::MAX);
    steps.truncate(steps.len().saturating_sub(kept));
    steps.retain(|step| (keep_every == 0 || step % keep_every != 0) && Some(*step) != spared);
    for step in &steps {
        match delete(store, *step).await {
            Ok(()) => {}
            // Somebody else pruned, too.
            Err(error) if error.code() == Code::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(steps)
}

/// Removes the data of saves that were never committed, or whose checkpoint was deleted, where none of it is
/// younger than `min_age`: a save under way looks the same, so `min_age` must be longer than any save takes.
/// Gives how many saves are gone.
pub async fn collect(store: &Store, min_age: Duration) -> Result<usize> {
    let context = |e: Error| e.with_context("checkpoint_collect", store.root().join(SHARDS));
    // First what there is, then what of it is committed: a save that commits in between is seen.
    let mut saves = saves(store).await.map_err(context)?;
    let now = SystemTime::now();
    saves.retain(|_, save| match save.youngest {
        Some(at) => now.duration_since(at).unwrap_or_default() >= min_age,
        None => min_age.is_zero(),
    });
    let steps: HashSet<u64> = saves.keys().filter_map(|id| step_of_id(id).ok()).collect();
    let mut committed = HashSet::new();
    for step in steps {
        match read_manifest(store, step).await {
            Ok(manifest) => drop(committed.insert(manifest.id)),
            Err(error) if error.code() == Code::NotFound => {}
            // Whatever the manifest was about, it stays.
            Err(error)
                if matches!(error.code(), Code::Corrupt | Code::ChecksumMismatch | Code::Unsupported) =>
            {
                tracing::warn!(%error, "saves of a step whose manifest cannot be read are kept");
                committed.extend(saves.keys().filter(|id| step_of_id(id).ok() == Some(step)).cloned());
            }
            Err(error) => return Err(context(error)),
        }
    }
    saves.retain(|id, _| !committed.contains(id));
    for save in saves.values() {
        delete_keys(store, &save.keys).await.map_err(context)?;
    }
    let beginnings = older(store, BEGIN, min_age, now).await.map_err(context)?;
    delete_keys(store, &beginnings).await.map_err(context)?;
    Ok(saves.len())
}

/// What lies below a prefix and is not younger than `min_age`.
async fn older(store: &Store, prefix: &str, min_age: Duration, now: SystemTime) -> Result<Vec<String>> {
    let (mut lister, mut keys) = (Lister::new(store, prefix, true), Vec::new());
    loop {
        match lister.next().await {
            Ok(Some(ListEntry::Object(meta))) => {
                if meta.last_modified.is_none_or(|at| now.duration_since(at).unwrap_or_default() >= min_age) {
                    keys.push(meta.key);
                }
            }
            Ok(Some(ListEntry::Prefix(_))) => {}
            Ok(None) => return Ok(keys),
            Err(error) if is_absent(store, &error) => return Ok(keys),
            Err(error) => return Err(error),
        }
    }
}

/// What lies below `shards/` of one id.
#[derive(Default)]
struct Save {
    keys: Vec<String>,
    youngest: Option<SystemTime>,
}

async fn saves(store: &Store) -> Result<BTreeMap<String, Save>> {
    let mut saves: BTreeMap<String, Save> = BTreeMap::new();
    let mut lister = Lister::new(store, SHARDS, true);
    loop {
        let entry = match lister.next().await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(saves),
            Err(error) if is_absent(store, &error) => return Ok(saves),
            Err(error) => return Err(error),
        };
        let ListEntry::Object(meta) = entry else { continue };
        let mut folders = meta.key.rsplit('/').skip(1);
        let Some(id) = folders.next().filter(|id| step_of_id(id).is_ok()) else { continue };
        let save = saves.entry(id.to_owned()).or_default();
        save.youngest = save.youngest.max(meta.last_modified);
        save.keys.push(meta.key);
    }
}

/// The shards and receipts of a checkpoint, and whatever else its ranks left in its folders.
async fn delete_data(store: &Store, manifest: &Manifest) -> Result<()> {
    let mut keys: Vec<String> = manifest.shards.iter().map(|shard| shard.key.clone()).collect();
    let receipts = (0..manifest.world_size)
        .map(|rank| super::writer::receipt_key(&manifest.layout.folder(&manifest.id, rank), rank));
    keys.extend(receipts);
    delete_keys(store, &keys).await?;
    if let super::layout::Layout::Flat {} = manifest.layout {
        transfer::delete_prefix(store, &manifest.layout.folder(&manifest.id, 0)).await?;
    }
    Ok(())
}

async fn delete_keys(store: &Store, keys: &[String]) -> Result<()> {
    for batch in keys.chunks(BATCH) {
        for outcome in store.delete_many(batch).await? {
            outcome?;
        }
    }
    Ok(())
}

/// Points `latest.json` to what is left, if it named the step that is gone.
async fn settle_latest(store: &Store, gone: u64) -> Result<()> {
    match latest::read(store).await {
        Ok(Some(found)) if found.step != gone => return Ok(()),
        Ok(None) => return Ok(()),
        Ok(Some(_)) => {}
        Err(error) if matches!(error.code(), Code::Corrupt | Code::ChecksumMismatch) => {}
        Err(error) => return Err(error),
    }
    let newest = match list(store).await?.last() {
        Some(step) => Some((*step, read_manifest(store, *step).await?.id)),
        None => None,
    };
    latest::retreat(store, gone, newest).await
}
