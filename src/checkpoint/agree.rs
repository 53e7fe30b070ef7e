//! One id for all ranks of a save, agreed through the storage: rank 0 publishes it under the run's name, the
//! others wait for it.

use super::commit;
use super::names::{self, BEGIN, is_absent};
use super::seal::{seal, unseal};
use super::wait::Patience;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use crate::store::{PutOptions, Store};
use crate::transfer;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FORMAT: &str = "s3dlio-checkpoint-begin";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    format: String,
    version: u32,
    id: String,
    run_id: String,
    step: u64,
    world_size: u32,
}

/// Where the ranks of one launch meet for one step.
#[derive(Clone, Debug)]
pub struct Meeting {
    key: String,
    run_id: String,
    step: u64,
    world_size: u32,
}

impl Meeting {
    /// `run_id` is what all ranks of this launch share, and no other launch has.
    pub fn new(run_id: &str, step: u64, world_size: u32) -> Meeting {
        let digest = Sha256::digest(run_id.as_bytes());
        let run: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Meeting { key: format!("{BEGIN}{run}/{step:012}.json"), run_id: run_id.into(), step, world_size }
    }

    /// Rank 0's part: a new id, published.
    pub async fn publish(&self, store: &Store) -> Result<String> {
        let id = names::new_id(self.step);
        let begin = Begin {
            format: FORMAT.into(),
            version: VERSION,
            id: id.clone(),
            run_id: self.run_id.clone(),
            step: self.step,
            world_size: self.world_size,
        };
        transfer::put(store, &self.key, Bytes::from(seal(&begin)?), &PutOptions::default()).await?;
        Ok(id)
    }

    /// The others' part: the id, once it is there.
    pub async fn wait(&self, store: &Store, options: &Resolved) -> Result<String> {
        let mut patience = Patience::new(options);
        let mut asked = 0_u32;
        loop {
            if let Some(id) = self.look(store).await? {
                return Ok(id);
            }
            // A rank 0 that found the step taken publishes nothing.
            asked += 1;
            if asked.is_multiple_of(8) {
                commit::check_free(store, self.step).await?;
            }
            if !patience.wait().await {
                let message = format!(
                    "rank 0 did not begin the save of step {} within {} ms",
                    self.step,
                    patience.limit().as_millis()
                );
                return Err(Error::new(Code::Timeout, message)
                    .with_context("checkpoint_open", store.root().join(&self.key))
                    .with_detail("missing_ranks", 0)
                    .with_hint("see what rank 0 does; all ranks need the same store, step and run_id, or give them rank 0's id; checkpoint.timeout_ms sets the time"));
            }
        }
    }

    /// The id that is published now, if any.
    pub async fn look(&self, store: &Store) -> Result<Option<String>> {
        let bytes = match transfer::get(store, &self.key).await {
            Ok(bytes) => bytes,
            Err(error) if is_absent(store, &error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let context = |e: Error| e.with_context("checkpoint_open", store.root().join(&self.key));
        let begin: Begin = unseal(&bytes, FORMAT, VERSION).map_err(context)?;
        if begin.world_size != self.world_size {
            let message = format!(
                "this rank is one of {}, but rank 0 began the save for a world of {}",
                self.world_size, begin.world_size
            );
            return Err(context(Error::new(Code::InvalidArgument, message)));
        }
        let ours = begin.run_id == self.run_id && begin.step == self.step;
        if !ours || names::step_of_id(&begin.id).ok() != Some(self.step) {
            return Err(context(Error::new(Code::Corrupt, "this is the beginning of another save")));
        }
        Ok(Some(begin.id))
    }

    /// Rank 0's part at the end. What cannot be removed does no harm: the next save replaces it.
    pub async fn end(&self, store: &Store) {
        if let Err(error) = store.delete(&self.key).await {
            tracing::warn!(%error, uri = %store.root().join(&self.key), "the beginning of a save was not removed");
        }
    }
}
