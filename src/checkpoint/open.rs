//! Finding committed checkpoints.

use super::manage;
use super::manifest::{Manifest, Shard};
use super::names::{self, MANIFESTS, is_absent};
use super::seal::LARGEST;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::store::Store;
use crate::transfer;
use std::collections::HashMap;
use std::sync::Arc;

/// A committed checkpoint. Many threads may read from it at once.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(super) store: Store,
    pub(super) options: Arc<Resolved>,
    pub(super) manifest: Arc<Manifest>,
    by_name: Arc<HashMap<String, usize>>,
    uri: Uri,
}

impl Checkpoint {
    /// The checkpoint of a step, or the one of the greatest step there is; `NotFound` where there is none.
    pub async fn open(store: &Store, options: &Resolved, step: Option<u64>) -> Result<Checkpoint> {
        let context = |e: Error| e.with_context("checkpoint_open", store.root().join(MANIFESTS));
        // What was listed may be pruned before it is read; then there is a newer one.
        for _ in 0..8 {
            let wanted = match step {
                Some(step) => step,
                None => manage::list(store).await?.last().copied().ok_or_else(|| {
                    context(
                        Error::new(Code::NotFound, "there is no committed checkpoint")
                            .with_hint("the URI must be the base that was saved to; saves that were not committed are no checkpoints"),
                    )
                })?,
            };
            match read_manifest(store, wanted).await {
                Ok(manifest) => return Ok(Checkpoint::of(store, options, manifest)),
                Err(error) if error.code() == Code::NotFound && step.is_none() => {}
                Err(error) if error.code() == Code::NotFound => {
                    return Err(not_found(store, wanted, error).await);
                }
                Err(error) => return Err(error),
            }
        }
        Err(context(Error::new(Code::Changed, "the latest checkpoint was deleted again and again")))
    }

    /// The checkpoint of this id; `NotFound` where it is not committed.
    pub async fn open_id(store: &Store, options: &Resolved, id: &str) -> Result<Checkpoint> {
        let step = names::step_of_id(id).map_err(|e| e.with_context("checkpoint_open", store.root()))?;
        let checkpoint = Checkpoint::open(store, options, Some(step)).await?;
        if checkpoint.manifest.id == id {
            return Ok(checkpoint);
        }
        let message = format!("step {step} has the checkpoint {}, not {id}", checkpoint.manifest.id);
        Err(Error::new(Code::NotFound, message).with_context("checkpoint_open", &checkpoint.uri))
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Index of an entry in the manifest.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.by_name.get(name).copied().ok_or_else(|| {
            Error::new(Code::NotFound, format!("the checkpoint has no entry {name:?}"))
                .with_context("checkpoint_load", &self.uri)
        })
    }

    /// The shard of a rank.
    pub fn shard(&self, rank: u32, name: &str) -> Result<&Shard> {
        self.manifest.shard(rank, name).ok_or_else(|| {
            let message = format!(
                "rank {rank} has no shard {name:?} in this checkpoint of {} ranks",
                self.manifest.world_size
            );
            Error::new(Code::NotFound, message).with_context("checkpoint_load", &self.uri)
        })
    }

    fn of(store: &Store, options: &Resolved, manifest: Manifest) -> Checkpoint {
        let by_name =
            manifest.entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        Checkpoint {
            uri: store.root().join(&names::manifest(manifest.step)),
            store: store.clone(),
            options: Arc::new(options.clone()),
            manifest: Arc::new(manifest),
            by_name: Arc::new(by_name),
        }
    }
}

/// The manifest of a step, checked.
pub(super) async fn read_manifest(store: &Store, step: u64) -> Result<Manifest> {
    let key = names::manifest(step);
    let context = |e: Error| e.with_context("checkpoint_open", store.root().join(&key));
    names::check_step(step).map_err(context)?;
    let bytes = match transfer::get_range(store, &key, 0, LARGEST).await {
        Ok(bytes) => bytes,
        Err(error) if is_absent(store, &error) => return Err(context(error.with_code(Code::NotFound))),
        Err(error) => return Err(context(error)),
    };
    let manifest = Manifest::from_bytes(&bytes).map_err(context)?;
    if manifest.step != step {
        let message = format!("this is the manifest of step {}, not of {step}", manifest.step);
        return Err(context(Error::new(Code::Corrupt, message)));
    }
    Ok(manifest)
}

/// Says which steps there are.
async fn not_found(store: &Store, step: u64, error: Error) -> Error {
    let hint = match manage::list(store).await {
        Ok(steps) if steps.is_empty() => "there is no committed checkpoint at all".to_owned(),
        Ok(steps) => {
            let newest: Vec<_> = steps.iter().rev().take(10).map(u64::to_string).collect();
            format!("the newest steps are {}", newest.join(", "))
        }
        Err(_) => return error, // the first error is the one to tell
    };
    let message = format!("step {step} has no committed checkpoint");
    Error::new(Code::NotFound, message)
        .with_context("checkpoint_open", store.root().join(&names::manifest(step)))
        .with_cause(error.to_string())
        .with_hint(hint)
}
