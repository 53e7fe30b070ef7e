//! Deleting: one by one, or up to a thousand in one request.

use super::{Code, Error, Result, S3Store, read};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;

/// Keys in one DeleteObjects request.
const BATCH: usize = 1000;
/// Requests of one call in flight.
const IN_FLIGHT: usize = 4;

pub(super) async fn one(store: &S3Store, key: &str) -> Result<()> {
    let full = store.full_key(key)?;
    let delete = store.client().await?.delete_object().bucket(store.bucket()).key(full);
    match delete.send().await.map_err(|e| store.failed(e)) {
        // Some services say that it is not there; that is what was asked for.
        Err(error) if error.code() == Code::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// Deletes the source of a copy, only if it is still what was copied: else it is `Changed` and stays.
/// A service without conditional deletes is asked before; a write between the two requests is lost.
pub(super) async fn copied(store: &S3Store, key: &str, etag: Option<String>) -> Result<()> {
    let full = store.full_key(key)?;
    let Some(etag) = etag else {
        return Err(Error::new(Code::Protocol, "the service names no ETag of the source, which stays")
            .with_hint("the copy is there; delete the source if nobody writes it"));
    };
    match read::meta(store, &full).await? {
        None => return Ok(()),
        Some(meta) if meta.etag.as_ref() != Some(&etag) => return Err(replaced(&etag, meta.etag.as_deref())),
        Some(_) => {}
    }
    if store.settings().conditional_put {
        let delete = store.client().await?.delete_object().bucket(store.bucket()).key(&full);
        match delete.if_match(&etag).send().await.map_err(|e| store.failed(e)) {
            Ok(_) => return Ok(()),
            Err(error) => match error.code() {
                Code::NotFound => return Ok(()),
                Code::PreconditionFailed => {
                    // Some services say so of what is gone; then an earlier try deleted it.
                    return match read::meta(store, &full).await? {
                        None => Ok(()),
                        Some(meta) => Err(replaced(&etag, meta.etag.as_deref())),
                    };
                }
                Code::Unsupported | Code::InvalidArgument => {
                    tracing::debug!(uri = %store.uri(key), %error, "the service has no conditional delete");
                }
                _ => return Err(error),
            },
        }
    }
    one(store, key).await
}

fn replaced(copied: &str, there: Option<&str>) -> Error {
    let there = there.map_or(String::new(), |etag| format!("; its ETag is {etag}"));
    let message = format!("the source was replaced after ETag {copied} was copied, and stays{there}");
    Error::new(Code::Changed, message).with_hint("rename it again to move what is there now")
}

/// One outcome per key, in order.
pub(super) async fn many(store: &S3Store, keys: &[String]) -> Result<Vec<Result<()>>> {
    store.client().await?; // no credentials: nothing was tried
    let mut outcomes: Vec<Result<()>> = Vec::with_capacity(keys.len());
    let (mut together, mut single) = (Vec::new(), Vec::new());
    for (at, key) in keys.iter().enumerate() {
        outcomes.push(store.full_key(key).map(drop));
        match &outcomes[at] {
            Err(_) => {}
            Ok(()) if fits_xml(key) && fits_xml(&store.prefix) => together.push(at),
            Ok(()) => single.push(at),
        }
    }
    let batches: Vec<Vec<usize>> = together.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let batches = stream::iter(batches)
        .map(|batch| async move {
            let result = delete_batch(store, keys, &batch).await;
            (batch, result)
        })
        .buffer_unordered(IN_FLIGHT)
        .collect::<Vec<_>>();
    for (batch, result) in batches.await {
        for at in batch {
            outcomes[at] = match &result {
                Ok(done) => done.get(keys[at].as_str()).cloned().unwrap_or_else(|| Err(unanswered())),
                Err(error) => Err(error.clone()),
            };
        }
    }
    for at in single {
        outcomes[at] = one(store, &keys[at]).await;
    }
    let context =
        |(key, outcome): (&String, Result<()>)| outcome.map_err(|e| e.with_context("delete", store.uri(key)));
    Ok(keys.iter().zip(outcomes).map(context).collect())
}

fn unanswered() -> Error {
    Error::new(Code::UnknownOutcome, "the server's answer does not mention this key")
}

/// What became of each key of one request.
async fn delete_batch<'a>(
    store: &S3Store,
    keys: &'a [String],
    batch: &[usize],
) -> Result<HashMap<&'a str, Result<()>>> {
    let mut list = Delete::builder().quiet(false);
    let mut asked: HashMap<String, &str> = HashMap::with_capacity(batch.len());
    for at in batch {
        let key = keys[*at].as_str();
        let full = format!("{}{key}", store.prefix);
        if asked.insert(full.clone(), key).is_none() {
            let object = ObjectIdentifier::builder().key(full).build().map_err(unbuildable)?;
            list = list.objects(object);
        }
    }
    let list = list.build().map_err(unbuildable)?;
    let delete = store.client().await?.delete_objects().bucket(store.bucket()).delete(list);
    let output = delete.send().await.map_err(|e| store.failed(e))?;
    let mut done = HashMap::with_capacity(batch.len());
    for deleted in output.deleted() {
        if let Some(key) = deleted.key().and_then(|full| asked.get(full)) {
            done.insert(*key, Ok(()));
        }
    }
    for error in output.errors() {
        if let Some(key) = error.key().and_then(|full| asked.get(full)) {
            let error = super::error::from_service(store.settings(), 200, error.code(), error.message());
            let outcome = if error.code() == Code::NotFound { Ok(()) } else { Err(error) };
            done.insert(*key, outcome);
        }
    }
    Ok(done)
}

fn unbuildable(error: impl std::error::Error + 'static) -> Error {
    Error::new(Code::Internal, "the request cannot be built").with_source(&error)
}

/// Whether XML 1.0 can carry the key unchanged: no control characters, no non-characters.
fn fits_xml(key: &str) -> bool {
    key.chars().all(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
}
