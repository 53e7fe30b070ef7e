//! The commit: all receipts, then one create-only manifest. Everything after it is a convenience that may fail.

use super::manifest::{Entry, Manifest, Part};
use super::names::{self, is_absent};
use super::receipt::{Piece, Receipt};
use super::seal::LARGEST;
use super::tensor::{Region, hole};
use super::wait::Patience;
use super::writer::{CheckpointWriter, receipt_key};
use super::{latest, manage};
use crate::base::date::Timestamp;
use crate::error::{Code, Error, Result};
use crate::options;
use crate::store::{PutCondition, PutOptions, Store};
use crate::transfer;
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};

/// How many ranks that are late are asked for at once: the bound of rank 0's request rate while it waits.
const PROBES: usize = 32;
/// A manifest's first bytes, which have its id.
const HEAD: u64 = 256;
/// How often a manifest is put whose fate is unknown; the condition makes that harmless.
const TRIES: u32 = 3;

/// `AlreadyExists` where the step has a checkpoint.
pub async fn check_free(store: &Store, step: u64) -> Result<()> {
    match committed_id(store, step).await? {
        None => Ok(()),
        Some(id) => Err(taken(step, &id)),
    }
}

/// Rank 0's part after a failure: the others need not wait for their deadline. A `Timeout` may be tried again.
pub async fn give_up(writer: &CheckpointWriter, error: &Error) {
    if let Some(meeting) = &writer.meeting
        && error.code() != Code::Timeout
        && error.code() != Code::UnknownOutcome
    {
        meeting.end(&writer.store).await;
    }
}

/// Rank 0's part once the checkpoint is committed: what may fail without harm.
pub async fn tidy(writer: &CheckpointWriter) {
    let store = &writer.store;
    if let Err(error) = latest::advance(store, writer.params.step, &writer.id).await {
        tracing::warn!(%error, uri = %store.root(), "latest.json was not brought up to date");
    }
    let keep_last = writer.options.number(&options::CHECKPOINT_KEEP_LAST);
    if keep_last > 0 {
        let keep_every = writer.options.number(&options::CHECKPOINT_KEEP_EVERY);
        if let Err(error) = manage::prune_but(store, keep_last, keep_every, Some(writer.params.step)).await {
            tracing::warn!(%error, uri = %store.root(), "old checkpoints were not deleted");
        }
    }
    if let Some(meeting) = &writer.meeting {
        meeting.end(store).await;
    }
}

/// The other ranks' part: waits for the manifest.
pub async fn wait(writer: &CheckpointWriter) -> Result<()> {
    let (store, step) = (&writer.store, writer.params.step);
    let mut patience = Patience::new(&writer.options);
    let mut asked = 0_u32;
    loop {
        let failed = match committed_id(store, step).await {
            Ok(Some(id)) if id == writer.id => return Ok(()),
            Ok(Some(id)) => return Err(taken(step, &id)),
            Ok(None) => None,
            Err(error) if error.code() == Code::Corrupt => return Err(error),
            // Rank 0 may be luckier.
            Err(error) => Some(error),
        };
        asked += 1;
        if let Some(meeting) = writer.meeting.as_ref().filter(|_| asked.is_multiple_of(8))
            && let Ok(found) = meeting.look(store).await
            && found.is_none_or(|id| id != writer.id)
            && let Ok(None) = committed_id(store, step).await
        {
            return Err(Error::new(Code::Cancelled, format!("rank 0 gave up the save {}", writer.id))
                .with_hint("see rank 0's error"));
        }
        if !patience.wait().await {
            if let Some(error) = failed {
                return Err(error
                    .with_code(Code::UnknownOutcome)
                    .with_hint("open the step's checkpoint to see whether it is committed"));
            }
            let message = format!(
                "rank 0 did not commit the save {} within {} ms",
                writer.id,
                patience.limit().as_millis()
            );
            return Err(Error::new(Code::Timeout, message).with_detail("missing_ranks", 0));
        }
    }
}

/// The id of the step's checkpoint, if there is one.
pub async fn committed_id(store: &Store, step: u64) -> Result<Option<String>> {
    let key = names::manifest(step);
    match transfer::get_range(store, &key, 0, HEAD).await {
        Ok(head) => match Manifest::peek_id(&head) {
            Some(id) => Ok(Some(id.to_owned())),
            None => Err(Error::new(Code::Corrupt, "this is no manifest: it does not start with an id")
                .with_context("checkpoint_open", store.root().join(&key))),
        },
        Err(error) if is_absent(store, &error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn taken(step: u64, id: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("step {step} has a committed checkpoint: {id}"))
        .with_hint("committed data is never overwritten; delete that checkpoint to save the step again")
}

/// All receipts, by rank. At first every rank's is asked for; then, with growing pauses, those of at most
/// [`PROBES`] ranks that are late, one after the other; at the end of patience all once more.
pub async fn gather(writer: &CheckpointWriter) -> Result<Vec<Receipt>> {
    let world_size = writer.params.world_size;
    let mut receipts = vec![(0, writer.receipt())];
    let mut missing: Vec<u32> = (1..world_size).collect();
    let mut patience = Patience::new(&writer.options);
    let (mut most, mut last) = (missing.len(), false);
    while !missing.is_empty() {
        let asked: Vec<u32> = missing.iter().copied().take(most).collect();
        let keys = asked.iter().map(|rank| key_of(writer, *rank)).collect();
        let outcomes = transfer::get_many(&writer.store, keys).await;
        let mut late = Vec::new();
        for (rank, outcome) in asked.into_iter().zip(outcomes) {
            match outcome {
                Ok(bytes) => receipts.push((rank, read_receipt(writer, rank, &bytes)?)),
                Err(error) if is_absent(&writer.store, &error) => late.push(rank),
                Err(error) => return Err(error),
            }
        }
        let rest = missing.split_off(most.min(missing.len()));
        let (came, all_came) = (missing.len() - late.len(), late.is_empty());
        missing = rest;
        missing.extend(late);
        if came > 0 {
            patience.encourage();
        }
        if last && !missing.is_empty() {
            missing.sort_unstable();
            return Err(overdue(writer, &missing, &patience));
        }
        last = !all_came && !patience.wait().await;
        most = if last { missing.len() } else { PROBES };
    }
    receipts.sort_by_key(|(rank, _)| *rank);
    Ok(receipts.into_iter().map(|(_, receipt)| receipt).collect())
}

fn key_of(writer: &CheckpointWriter, rank: u32) -> String {
    receipt_key(&writer.layout.folder(&writer.id, rank), rank)
}

fn overdue(writer: &CheckpointWriter, missing: &[u32], patience: &Patience) -> Error {
    let mut names: Vec<String> = missing.iter().take(20).map(u32::to_string).collect();
    if missing.len() > names.len() {
        names.push(format!("and {} more", missing.len() - names.len()));
    }
    let names = names.join(", ");
    let (many, of) = (missing.len(), writer.params.world_size);
    let message = format!(
        "{many} of {of} ranks did not finish their part of {} within {} ms: {names}",
        writer.id,
        patience.limit().as_millis()
    );
    Error::new(Code::Timeout, message)
        .with_detail("missing_ranks", names)
        .with_hint("see what those ranks do; checkpoint.timeout_ms sets the time")
}

fn read_receipt(writer: &CheckpointWriter, rank: u32, bytes: &[u8]) -> Result<Receipt> {
    let context =
        |e: Error| e.with_context("checkpoint_commit", writer.store.root().join(&key_of(writer, rank)));
    let receipt = Receipt::from_bytes(bytes).map_err(context)?;
    if receipt.world_size != writer.params.world_size {
        let message = format!(
            "rank {rank} saved as one of {} ranks, but this save is of {}",
            receipt.world_size, writer.params.world_size
        );
        return Err(context(Error::new(Code::InvalidArgument, message)));
    }
    if receipt.rank != rank || receipt.id != writer.id {
        let message = format!("this is the receipt of rank {} of {}", receipt.rank, receipt.id);
        return Err(context(Error::new(Code::Corrupt, message)));
    }
    match &receipt.failure {
        None => Ok(receipt),
        Some(failure) => {
            let message = format!("rank {rank} gave up its part of {}", writer.id);
            Err(context(Error::new(Code::Cancelled, message).with_cause(failure.as_str()))
                .with_detail("rank", rank))
        }
    }
}

/// One manifest of all receipts.
fn combine(writer: &CheckpointWriter, receipts: &[Receipt]) -> Result<Manifest> {
    let params = &writer.params;
    let mut manifest = Manifest::new(&writer.id, params.step, params.world_size, writer.layout);
    manifest.epoch = params.epoch;
    manifest.framework.clone_from(&params.framework);
    manifest.metadata.clone_from(&params.metadata);
    manifest.created = Timestamp::now().rfc3339().to_string();
    let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
    for receipt in receipts {
        let first = manifest.shards.len() as u64;
        manifest.shards.extend(receipt.shards.iter().cloned());
        for piece in &receipt.pieces {
            let shard = u32::try_from(first + u64::from(piece.shard)).unwrap_or(u32::MAX);
            add(&mut entries, piece, shard, receipt.rank)?;
        }
    }
    check_left_out(receipts)?;
    entries.values().try_for_each(check_covered)?;
    manifest.entries = entries.into_values().collect();
    Ok(manifest)
}

/// That what some ranks left to others was stored.
fn check_left_out(receipts: &[Receipt]) -> Result<()> {
    let stored: HashSet<(u32, &str)> =
        receipts.iter().flat_map(|r| r.pieces.iter().map(|piece| (r.rank, piece.name.as_str()))).collect();
    for receipt in receipts {
        let lost = receipt.left_out.iter().find(|left| !stored.contains(&(left.by, left.name.as_str())));
        if let Some(left) = lost {
            let message = format!(
                "rank {} left the replicated tensor {:?} to rank {}, which did not store it",
                receipt.rank, left.name, left.by
            );
            return Err(Error::new(Code::InvalidArgument, message)
                .with_hint("every rank must give the same replicated tensors"));
        }
    }
    Ok(())
}

fn add<'a>(entries: &mut BTreeMap<&'a str, Entry>, piece: &'a Piece, shard: u32, rank: u32) -> Result<()> {
    let entry = entries.entry(&piece.name).or_insert_with(|| Entry {
        name: piece.name.clone(),
        dtype: piece.dtype,
        shape: piece.whole.clone(),
        parts: Vec::new(),
    });
    if entry.dtype != piece.dtype || entry.shape != piece.whole {
        let message = format!(
            "rank {rank} has the tensor {:?} as {} {:?}, another rank as {} {:?}",
            piece.name,
            piece.dtype.name(),
            piece.whole,
            entry.dtype.name(),
            entry.shape
        );
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let (start, shape) = (piece.start.clone(), piece.shape.clone());
    let (offset, length, crc32c) = (piece.offset, piece.length, piece.crc32c);
    entry.parts.push(Part { shard, offset, length, crc32c, start, shape });
    Ok(())
}

/// Refuses tensors of which a box is missing: a checkpoint must load.
fn check_covered(entry: &Entry) -> Result<()> {
    let mut boxes = HashSet::new();
    let distinct = entry.parts.iter().map(Part::region).filter(|region| boxes.insert(region.clone()));
    let Some(missing) = hole(Region::all(&entry.shape), distinct) else { return Ok(()) };
    let message = format!(
        "no rank gave the box of shape {:?} from {:?} of tensor {:?} of shape {:?}",
        missing.shape, missing.start, entry.name, entry.shape
    );
    Err(Error::new(Code::InvalidArgument, message)
        .with_hint("every box of a tensor must be given by some rank"))
}

/// Puts the manifest. Whatever the answer was, the storage decides: an overloaded service may refuse what it did
/// all the same. Where neither tells, the outcome is unknown; then it is put again, as there is only one.
pub async fn publish(writer: &CheckpointWriter, receipts: &[Receipt]) -> Result<()> {
    let (store, step) = (&writer.store, writer.params.step);
    let manifest = combine(writer, receipts)?;
    let wrong = |what| Error::new(Code::Corrupt, format!("the receipts do not make a checkpoint: {what}"));
    manifest.check().map_err(wrong)?;
    let manifest = Bytes::from(manifest.to_bytes()?);
    if manifest.len() as u64 > LARGEST {
        let message = format!("the manifest would have {} bytes; {LARGEST} are allowed", manifest.len());
        return Err(Error::new(Code::InvalidArgument, message).with_hint("save fewer, larger tensors"));
    }
    let put = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    let blocking = store.capabilities().blocking_io;
    let mut unknown = None;
    for _ in 0..TRIES {
        let error = match transfer::put(store, &names::manifest(step), manifest.clone(), &put).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let lasting = !(blocking && error.code() == Code::UnknownOutcome);
        let answered = error.http_status().is_some() || error.code() == Code::AlreadyExists;
        match committed_id(store, step).await {
            Ok(Some(id)) if id == writer.id && lasting => return Ok(()),
            // It is there, but the file system could not say that it will stay.
            Ok(Some(id)) if id == writer.id => return Err(error),
            Ok(Some(id)) => return Err(taken(step, &id)),
            // What was sent may still arrive.
            Ok(None) if error.code() == Code::UnknownOutcome => unknown = Some(error),
            Err(look) if error.code() == Code::UnknownOutcome => unknown = Some(undecided(error, &look)),
            Err(look) if answered => return Err(undecided(error, &look)),
            Ok(None) | Err(_) => return Err(unknown.unwrap_or(error)),
        }
    }
    Err(unknown.unwrap_or_else(|| Error::new(Code::Internal, "the manifest was not put")))
}

/// The error of a put whose fate the storage did not tell either.
fn undecided(error: Error, look: &Error) -> Error {
    error
        .with_code(Code::UnknownOutcome)
        .with_cause(format!("whether the checkpoint is there could not be read: {look}"))
        .with_hint("open the step's checkpoint to see whether it is committed")
}
