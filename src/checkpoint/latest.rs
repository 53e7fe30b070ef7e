//! `latest.json`: which step was committed last, for people and other tools. It may lag behind, never lie; loads
//! do not believe it.

use super::names::{self, LATEST, is_absent};
use super::seal::{seal, unseal};
use crate::base::buffer::Buffer;
use crate::error::{Code, Error, Result};
use crate::store::{PutCondition, PutOptions, Store};
use crate::transfer;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "s3dlio-checkpoint-latest";
const VERSION: u32 = 1;
/// How often somebody else may win before it is given up: they brought it up to date, too.
const TRIES: u32 = 20;

/// What `latest.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    format: String,
    version: u32,
    pub id: String,
    pub step: u64,
    /// The manifest's key.
    pub manifest: String,
}

impl Latest {
    fn new(step: u64, id: &str) -> Latest {
        Latest {
            format: FORMAT.into(),
            version: VERSION,
            id: id.into(),
            step,
            manifest: names::manifest(step),
        }
    }
}

/// What it says; `None` where there is none.
pub async fn read(store: &Store) -> Result<Option<Latest>> {
    match look(store).await? {
        None => Ok(None),
        Some((bytes, _)) => parse(store, &bytes).map(Some),
    }
}

/// Brings it up to this step, never back.
pub async fn advance(store: &Store, step: u64, id: &str) -> Result<()> {
    set(store, Some(Latest::new(step, id)), |found| found.step < step).await
}

/// After a deletion: what names the step that is gone names the newest that is left, if any.
pub async fn retreat(store: &Store, gone: u64, newest: Option<(u64, String)>) -> Result<()> {
    let next = newest.map(|(step, id)| Latest::new(step, &id));
    set(store, next, |found| found.step == gone).await
}

/// Replaces it where there is none or `replaces` says so, and nobody else did meanwhile.
async fn set(store: &Store, next: Option<Latest>, replaces: impl Fn(&Latest) -> bool) -> Result<()> {
    let context = |e: Error| e.with_context("checkpoint_latest", store.root().join(LATEST));
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let condition = match look(store).await? {
            None if next.is_none() => return Ok(()),
            None => PutCondition::CreateOnly,
            Some((bytes, etag)) => {
                match parse(store, &bytes) {
                    Ok(found) if !replaces(&found) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "a damaged latest.json is replaced"),
                }
                etag.map_or(PutCondition::Always, PutCondition::IfMatch)
            }
        };
        let Some(next) = &next else { return store.delete(LATEST).await.map_err(context) };
        let put = PutOptions { condition, ..PutOptions::default() };
        match transfer::put(store, LATEST, Bytes::from(seal(next)?), &put).await {
            Ok(_) => return Ok(()),
            Err(error) => match error.code() {
                Code::AlreadyExists | Code::PreconditionFailed | Code::NotFound | Code::UnknownOutcome => {
                    outcome = Err(context(error));
                }
                _ => return Err(context(error)),
            },
        }
    }
    outcome
}

fn parse(store: &Store, bytes: &[u8]) -> Result<Latest> {
    unseal(bytes, FORMAT, VERSION).map_err(|e| e.with_context("checkpoint_latest", store.root().join(LATEST)))
}

/// The bytes with their ETag.
async fn look(store: &Store) -> Result<Option<(Buffer, Option<String>)>> {
    let meta = match store.stat(LATEST).await {
        Ok(meta) => meta,
        Err(error) if is_absent(store, &error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match transfer::get(store, LATEST).await {
        // Read after the question: where it was replaced in between, the condition fails.
        Ok(bytes) => Ok(Some((bytes, meta.etag))),
        Err(error) if is_absent(store, &error) => Ok(None),
        Err(error) => Err(error),
    }
}
