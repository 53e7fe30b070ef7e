//! Uploads whose id was lost: the service may have carried out a CreateMultipartUpload of which no answer
//! came, and without its id nobody can abort such an upload, whose parts would be paid for.
//!
//! So where an answer was lost, the uploads of exactly that key are listed when the writer is done with
//! it, or at once where no id ever came. Aborted are those that
//! - began while the create was under way, by the service's own clock where it lists our upload, too,
//! - are not known to this process as an upload of its own, and
//! - have no parts.
//!
//! An upload of the same key that another process began in those seconds, and that has no part yet, looks
//! the same; its writer then fails with `NotFound` and publishes nothing. Without a lost answer nothing is
//! ever looked for.

use super::{Code, Result, S3Store};
use super::{PendingUpload, list};
use crate::base::sync::lock;
use crate::runtime::{self, Era, PerProcess};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// Services give the time in whole seconds, and clocks differ a little.
const SLACK: Duration = Duration::from_secs(2);

/// What this process has going on, over all stores.
#[derive(Default)]
struct Process {
    known: Mutex<Known>,
    /// A create ended.
    ended: Notify,
}

#[derive(Default)]
struct Known {
    /// With their places.
    ids: HashSet<(String, String)>,
    /// Creates under way, by place: what they made is not known yet.
    creating: HashMap<String, Vec<u64>>,
    /// Of the last create.
    number: u64,
}

static PROCESS: PerProcess<Process> = PerProcess::new();

fn process() -> Result<Arc<Process>> {
    PROCESS.get(|| Ok(Process::default()))
}

/// The id of an upload of this process; forgotten when it is dropped.
#[derive(Debug)]
pub(super) struct OwnId {
    place: String,
    id: String,
}

impl OwnId {
    pub(super) fn as_str(&self) -> &str {
        &self.id
    }
}

impl Drop for OwnId {
    fn drop(&mut self) {
        if let Ok(process) = process() {
            let whole = (std::mem::take(&mut self.place), std::mem::take(&mut self.id));
            lock(&process.known).ids.remove(&whole);
        }
    }
}

/// When uploads may have begun of which no answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// By this machine's clock.
    began: SystemTime,
    took: Duration,
}

/// A create that is under way. Dropped before its end is told, it counts as lost.
pub(super) struct Creation {
    store: S3Store,
    key: String,
    number: u64,
    began: (Instant, SystemTime),
    era: Era,
    open: bool,
}

impl Creation {
    pub(super) fn begin(store: &S3Store, key: &str) -> Result<Creation> {
        let process = process()?;
        let mut known = lock(&process.known);
        known.number += 1;
        let number = known.number;
        known.creating.entry(place(store, key)).or_default().push(number);
        let began = (Instant::now(), SystemTime::now());
        Ok(Creation { store: store.clone(), key: key.to_owned(), number, began, era: Era::now(), open: true })
    }

    /// It gave this upload; `open` where an attempt before may have made another one.
    pub(super) fn created(mut self, id: String, open: bool) -> Result<(OwnId, Option<Lost>)> {
        let place = place(&self.store, &self.key);
        lock(&process()?.known).ids.insert((place.clone(), id.clone()));
        self.open = false;
        Ok((OwnId { place, id }, open.then(|| self.lost())))
    }

    /// It failed; `open` where it may have made an upload all the same, which is then looked for.
    pub(super) fn failed(mut self, open: bool) {
        self.open = open;
    }

    fn lost(&self) -> Lost {
        Lost { began: self.began.1, took: self.began.0.elapsed() }
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        if self.era.forked() {
            return; // it is the parent's
        }
        if let Ok(process) = process() {
            let mut known = lock(&process.known);
            let place = place(&self.store, &self.key);
            if let Some(numbers) = known.creating.get_mut(&place) {
                numbers.retain(|number| *number != self.number);
                if numbers.is_empty() {
                    known.creating.remove(&place);
                }
            }
            drop(known);
            process.ended.notify_waiters();
        }
        if !self.open {
            return;
        }
        let (store, key, lost) = (self.store.clone(), self.key.clone(), self.lost());
        runtime::spawn_background(async move {
            let uri = store.uri(&key);
            if let Err(error) = store.run("abort", &uri, remove(&store, &key, lost, None)).await {
                tracing::warn!(%uri, %error, "whether an upload without a known id is left could not be found out");
            }
        });
    }
}

/// Where an upload is, among all services.
fn place(store: &S3Store, key: &str) -> String {
    let endpoint = store.settings().endpoint.as_deref().unwrap_or_default();
    format!("{endpoint}/{}/{}{key}", store.bucket(), store.prefix)
}

/// Aborts the uploads that were lost; `own` is the one that was not. Part of an operation.
pub(super) async fn remove(store: &S3Store, key: &str, lost: Lost, own: Option<&OwnId>) -> Result<()> {
    let mut listed = list::pending_uploads(store, key).await?;
    listed.retain(|upload| upload.key == key && !upload.id.is_empty());
    let reference = listed.iter().find(|upload| own.is_some_and(|own| own.id == upload.id));
    let (from, to) = match reference.and_then(|own| own.started) {
        Some(started) => (started.checked_sub(lost.took + SLACK), started.checked_add(SLACK)),
        None => (lost.began.checked_sub(SLACK), lost.began.checked_add(lost.took + SLACK)),
    };
    let in_time = |upload: &PendingUpload| {
        upload.started.is_some_and(|at| from.is_some_and(|from| at >= from) && to.is_some_and(|to| at <= to))
    };
    listed.retain(in_time);
    let (process, place) = (process()?, place(store, key));
    creations_ended(&process, &place).await;
    {
        let known = lock(&process.known);
        listed.retain(|upload| !known.ids.contains(&(place.clone(), upload.id.clone())));
    }
    for upload in listed {
        if is_empty(store, key, &upload.id).await? {
            tracing::debug!(key, upload = upload.id, "an upload whose creation got no answer is aborted");
            abort(store, key, &upload.id).await?;
        }
    }
    Ok(())
}

/// Waits for the creates that are under way now: what was listed before may be theirs.
async fn creations_ended(process: &Process, place: &str) {
    let under_way = || lock(&process.known).creating.get(place).cloned().unwrap_or_default();
    let awaited = under_way();
    loop {
        let mut ended = std::pin::pin!(process.ended.notified());
        ended.as_mut().enable();
        if !under_way().iter().any(|number| awaited.contains(number)) {
            return;
        }
        ended.await;
    }
}

async fn is_empty(store: &S3Store, key: &str, id: &str) -> Result<bool> {
    let parts = store.client().await?.list_parts().bucket(store.bucket()).key(store.full_key(key)?);
    match parts.upload_id(id).max_parts(1).send().await.map_err(|e| store.failed(e)) {
        Ok(output) => Ok(output.parts().is_empty()),
        Err(error) if error.code() == Code::NotFound => Ok(false), // gone
        Err(error) => Err(error),
    }
}

/// Aborts an upload; one that is gone already is what was asked for.
pub(super) async fn abort(store: &S3Store, key: &str, id: &str) -> Result<()> {
    let abort = store.client().await?.abort_multipart_upload();
    let abort = abort.bucket(store.bucket()).key(store.full_key(key)?).upload_id(id);
    match abort.send().await.map_err(|e| store.failed(e)) {
        Err(error) if error.code() == Code::NotFound => Ok(()),
        other => other.map(drop),
    }
}
