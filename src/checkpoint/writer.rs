//! One rank's part of one save.

use super::agree::Meeting;
use super::commit;
use super::layout::Layout;
use super::manifest::MAX_WORLD;
use super::names;
use super::receipt::{LeftOut, Receipt};
use super::replicate::Owners;
use super::shard::{Done, Place, ShardWriter, check_specs};
use super::tensor::TensorSpec;
use crate::base::buffer::BufferPool;
use crate::base::random::{Random, seed};
use crate::base::sync::lock;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use crate::runtime::{self, Era};
use crate::store::{PutCondition, PutOptions, Store};
use crate::transfer;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What is saved, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Below 10^12. A step has at most one committed checkpoint.
    pub step: u64,
    pub epoch: Option<u64>,
    /// This rank, from 0.
    pub rank: u32,
    /// How many ranks save.
    pub world_size: u32,
    /// The save's id where the host tells it to all ranks: what rank 0's [`CheckpointWriter::id`] gave.
    pub id: Option<String>,
    /// What all ranks of this launch share and no other launch has: how they find the id that rank 0 publishes.
    /// Not needed where `id` is given, or for a world of one.
    pub run_id: Option<String>,
    /// Who saves, for people: `pytorch`, `jax`, a program's name. Ranks other than 0 need not say.
    pub framework: String,
    /// The caller's own, kept exactly. Ranks other than 0 need not say.
    pub metadata: BTreeMap<String, String>,
}

/// One rank's part of one save. Nothing is visible before rank 0's [`CheckpointWriter::commit`] succeeded.
/// Dropping it before [`CheckpointWriter::finish`] removes what this rank stored and tells rank 0, in the
/// background. The first error stays.
#[derive(Debug)]
pub struct CheckpointWriter {
    pub(super) store: Store,
    pub(super) options: Resolved,
    pub(super) params: Params,
    pub(super) layout: Layout,
    pub(super) id: String,
    pub(super) meeting: Option<Meeting>,
    uri: Uri,
    folder: String,
    nonce: u32,
    era: Era,
    state: State,
    names: BTreeSet<String>,
    owners: Owners,
    left_out: Vec<LeftOut>,
    snapshots: Vec<(String, Vec<(TensorSpec, Bytes)>)>,
    done: Arc<Mutex<Done>>,
}

#[derive(Clone, Debug)]
enum State {
    Open,
    /// In a call; where its future is dropped, it stays so.
    Busy,
    /// The same in a call that commits.
    Committing,
    /// The receipt is stored: from here on rank 0 decides.
    Stored,
    Committed,
    Aborted,
    Failed(Error),
}

impl CheckpointWriter {
    /// Begins. Rank 0 makes the id, unless it is given, after it has seen that the step is free (`AlreadyExists`
    /// otherwise); the others wait for it.
    pub async fn open(store: &Store, options: &Resolved, params: Params) -> Result<CheckpointWriter> {
        let context =
            |e: Error| e.with_context("checkpoint_open", store.root().join(&names::manifest(params.step)));
        let layout = check(&params, options).map_err(context)?;
        let run = params.run_id.as_deref().filter(|_| params.world_size > 1 && params.id.is_none());
        let meeting = run.map(|run| Meeting::new(run, params.step, params.world_size));
        if params.rank == 0 {
            commit::check_free(store, params.step).await.map_err(context)?;
        }
        let id = match (&params.id, &meeting) {
            (Some(id), _) => id.clone(),
            (None, Some(meeting)) if params.rank == 0 => meeting.publish(store).await?,
            (None, Some(meeting)) => meeting.wait(store, options).await?,
            (None, None) => names::new_id(params.step),
        };
        let folder = layout.folder(&id, params.rank);
        let uri = store.root().join(&receipt_key(&folder, params.rank));
        Ok(CheckpointWriter {
            store: store.clone(),
            options: options.clone(),
            layout,
            id,
            meeting,
            uri,
            folder,
            nonce: (Random::new(seed()).next() >> 32) as u32,
            era: Era::now(),
            state: State::Open,
            names: BTreeSet::new(),
            owners: Owners::new(params.world_size),
            left_out: Vec::new(),
            snapshots: Vec::new(),
            done: Arc::default(),
            params,
        })
    }

    /// The save's, for the other ranks.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Of its receipt.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether its calls keep the polling thread busy.
    pub fn keeps_thread(&self) -> bool {
        let compressed = self.options.text(&options::WRITER_COMPRESSION) == Some("zstd");
        compressed || self.store.capabilities().blocking_io
    }

    /// Stores tensors as one shard. The bytes may be lent: they are not used after the call. The file has the
    /// tensors with larger elements first, so that all are aligned.
    pub async fn put_tensors(&mut self, shard: &str, tensors: Vec<(TensorSpec, Bytes)>) -> Result<()> {
        let tensors = self.admit(shard, tensors)?;
        self.enter()?;
        let outcome = self.store_tensors(shard, tensors).await;
        self.leave(outcome)
    }

    /// Copies tensors; they are stored as one shard by [`CheckpointWriter::finish`]. The caller may change
    /// them once this returned.
    pub fn snapshot_tensors(&mut self, shard: &str, tensors: Vec<(TensorSpec, &[u8])>) -> Result<()> {
        let mut copies = Vec::with_capacity(tensors.len());
        for (spec, data) in self.admit(shard, tensors)?.unwrap_or_default() {
            // The name and the owners are settled: without the copy the save is incomplete.
            let mut buffer = match BufferPool::global().take(data.len()) {
                Ok(buffer) => buffer,
                Err(error) => {
                    let error = self.context(error);
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            };
            buffer.extend_from_slice(data);
            copies.push((spec, buffer.into_bytes()));
        }
        self.snapshots.push((shard.to_owned(), copies));
        Ok(())
    }

    /// As [`CheckpointWriter::snapshot_tensors`], of bytes that need no copy: they are owned, and stay as
    /// they are until they are stored.
    pub fn snapshot_owned(&mut self, shard: &str, tensors: Vec<(TensorSpec, Bytes)>) -> Result<()> {
        let tensors = self.admit(shard, tensors)?.unwrap_or_default();
        self.snapshots.push((shard.to_owned(), tensors));
        Ok(())
    }

    /// Stores bytes of any kind as one shard. They may be lent.
    pub async fn put_bytes(&mut self, shard: &str, data: Bytes) -> Result<()> {
        self.claim(shard)?;
        self.enter()?;
        let outcome = self.store_bytes(shard, data).await;
        self.leave(outcome)
    }

    /// Starts a shard that is written piece by piece: tensors in the order given, or bytes of any kind. Several
    /// may be open at once; all must be finished before [`CheckpointWriter::finish`].
    pub async fn open_shard(&mut self, shard: &str, specs: Option<Vec<TensorSpec>>) -> Result<ShardWriter> {
        if let Some(spec) = specs.iter().flatten().find(|spec| spec.replicated) {
            let message =
                format!("the tensor {:?} is replicated, which a streamed shard cannot be", spec.name);
            return Err(self.context(Error::new(Code::InvalidArgument, message)));
        }
        check_specs(specs.iter().flatten()).map_err(|e| self.context(e))?;
        self.claim(shard)?;
        self.enter()?;
        let mut opened = None;
        let outcome = self.begin_shard(shard, specs).await.map(|shard| opened = Some(shard));
        self.leave(outcome)?;
        opened.ok_or_else(|| self.context(Error::new(Code::Internal, "no shard was opened")))
    }

    /// Stores what is left to store, then the receipt. Success also where that was done before.
    pub async fn finish(&mut self) -> Result<()> {
        if let State::Stored | State::Committed = self.state {
            return self.era.check().map_err(|e| self.context(e));
        }
        self.check_usable()?;
        self.check_complete()?;
        self.enter()?;
        let outcome = self.hand_in().await;
        let stored = outcome.is_ok();
        self.leave(outcome)?;
        if stored {
            self.state = State::Stored;
        }
        Ok(())
    }

    /// Makes the save a checkpoint, after [`CheckpointWriter::finish`]: rank 0 waits for all receipts and
    /// publishes the manifest; the others wait until it did. `Timeout` names the ranks that are missing.
    pub async fn commit(&mut self) -> Result<()> {
        self.finish().await?;
        if let State::Committed = self.state {
            return Ok(());
        }
        // Cut short while it waits for others, it may be tried again.
        let outcome = match self.params.rank {
            0 => match commit::gather(self).await {
                Ok(receipts) => {
                    self.state = State::Committing;
                    commit::publish(self, &receipts).await
                }
                Err(error) => Err(error),
            },
            _ => commit::wait(self).await,
        };
        if let Err(error) = &outcome
            && self.params.rank == 0
        {
            commit::give_up(self, error).await;
        }
        match outcome {
            Ok(()) => {
                self.state = State::Committed;
                if self.params.rank == 0 {
                    commit::tidy(self).await;
                }
                Ok(())
            }
            // The receipt stays; the commit may be tried again.
            Err(error) if error.code() == Code::Timeout => {
                self.state = State::Stored;
                Err(self.context(error))
            }
            Err(error) => {
                let error = self.context(error);
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// Gives up: removes what this rank stored, and tells rank 0. Once the receipt is stored only rank 0 can
    /// do that; the others leave what they stored to [`collect`](super::collect).
    pub async fn abort(&mut self) -> Result<()> {
        self.era.check().map_err(|e| self.context(e))?;
        match self.state {
            State::Committed => {
                let error = Error::new(Code::InvalidState, "the checkpoint is committed");
                return Err(self.context(error).with_hint("delete the checkpoint to take it back"));
            }
            State::Aborted => return Ok(()),
            _ => self.settle_fate().await?,
        }
        let reason = self.reason();
        let leavings = self.leavings();
        self.state = State::Aborted;
        self.snapshots.clear();
        match leavings {
            Some(leavings) => leavings.remove(&reason).await.map_err(|e| self.context(e)),
            None => Ok(()),
        }
    }

    /// Counts a call that was given up before it began as one that was cut short.
    pub fn interrupt(&mut self) {
        if let State::Open = self.state {
            self.state = State::Busy;
        }
    }

    /// Where it is open whether this rank's commit took effect: looks. `InvalidState` where it did,
    /// `UnknownOutcome` where that does not tell.
    async fn settle_fate(&mut self) -> Result<()> {
        let open = match &self.state {
            State::Committing => true,
            State::Failed(error) => error.code() == Code::UnknownOutcome && lock(&self.done).closed,
            _ => false,
        };
        if !open || self.params.rank > 0 {
            return Ok(());
        }
        match commit::committed_id(&self.store, self.params.step).await.map_err(|e| self.context(e))? {
            Some(id) if id == self.id => {
                self.state = State::Committed;
                let error = Error::new(Code::InvalidState, "the checkpoint is committed");
                Err(self.context(error).with_hint("delete the checkpoint to take it back"))
            }
            // Another save has the step: this one cannot arrive any more.
            Some(_) => {
                self.state = State::Stored;
                Ok(())
            }
            None => {
                let error = Error::new(Code::UnknownOutcome, "the manifest was sent and may still arrive");
                let hint = "open the step's checkpoint later to see; collect removes what is left";
                Err(self.context(error).with_hint(hint))
            }
        }
    }

    /// This rank's receipt, as it was stored.
    pub(super) fn receipt(&self) -> Receipt {
        let mut receipt = Receipt::new(&self.id, self.params.rank, self.params.world_size);
        let done = lock(&self.done);
        receipt.shards.clone_from(&done.shards);
        receipt.pieces.clone_from(&done.pieces);
        receipt.left_out.clone_from(&self.left_out);
        receipt
    }

    /// Checks tensors and the shard's name, and takes those out that other ranks store. `None` where that
    /// leaves nothing to store.
    fn admit<T: AsRef<[u8]>>(
        &mut self,
        shard: &str,
        tensors: Vec<(TensorSpec, T)>,
    ) -> Result<Option<Vec<(TensorSpec, T)>>> {
        self.check_usable()?;
        for (spec, data) in &tensors {
            let (bytes, given) = (spec.bytes().map_err(|e| self.context(e))?, data.as_ref().len());
            if bytes != given as u64 {
                let message = format!(
                    "tensor {:?} of {} {:?} has {bytes} bytes, but {given} were given",
                    spec.name,
                    spec.dtype.name(),
                    spec.shape
                );
                return Err(self.context(Error::new(Code::InvalidArgument, message)));
            }
        }
        check_specs(tensors.iter().map(|(spec, _)| spec)).map_err(|e| self.context(e))?;
        self.claim(shard)?;
        let given = tensors.len();
        let by = self.owners.assign(tensors.iter().map(|(spec, _)| spec));
        let mut ours = Vec::with_capacity(given);
        for (tensor, by) in tensors.into_iter().zip(by) {
            match by {
                Some(by) if by != self.params.rank => {
                    self.left_out.push(LeftOut { name: tensor.0.name, by });
                }
                _ => ours.push(tensor),
            }
        }
        ours.sort_by_key(|(spec, _)| std::cmp::Reverse(spec.dtype.size()));
        Ok((given == 0 || !ours.is_empty()).then_some(ours))
    }

    fn claim(&mut self, shard: &str) -> Result<()> {
        self.check_usable()?;
        names::check_shard(shard).map_err(|e| self.context(e))?;
        if !self.names.insert(shard.to_owned()) {
            let message = format!("this rank has a shard {shard:?} already");
            return Err(self
                .context(Error::new(Code::AlreadyExists, message))
                .with_hint("give it another name"));
        }
        Ok(())
    }

    async fn begin_shard(&self, shard: &str, specs: Option<Vec<TensorSpec>>) -> Result<ShardWriter> {
        let place = Place {
            store: &self.store,
            options: &self.options,
            folder: &self.folder,
            rank: self.params.rank,
            nonce: self.nonce,
            name: shard,
        };
        let about = [("s3dlio.checkpoint", self.id.clone()), ("s3dlio.rank", self.params.rank.to_string())];
        let about = about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        ShardWriter::open(place, specs, &about, &self.done).await
    }

    async fn store_tensors(&self, shard: &str, tensors: Option<Vec<(TensorSpec, Bytes)>>) -> Result<()> {
        let Some(tensors) = tensors else { return Ok(()) };
        let (specs, data): (Vec<_>, Vec<_>) = tensors.into_iter().unzip();
        let writer = self.begin_shard(shard, Some(specs)).await?;
        fill(writer, data).await
    }

    async fn store_bytes(&self, shard: &str, data: Bytes) -> Result<()> {
        let writer = self.begin_shard(shard, None).await?;
        fill(writer, vec![data]).await
    }

    /// Refuses a save of which a shard is open.
    fn check_complete(&self) -> Result<()> {
        let under_way = lock(&self.done).under_way;
        if under_way == 0 {
            return Ok(());
        }
        let message = format!("{under_way} shards of this rank are not finished");
        let error = Error::new(Code::InvalidState, message).with_hint("finish, abort or free them first");
        Err(self.context(error))
    }

    async fn hand_in(&mut self) -> Result<()> {
        for (shard, tensors) in std::mem::take(&mut self.snapshots) {
            self.store_tensors(&shard, Some(tensors)).await?;
        }
        if let (Some(meeting), true) = (&self.meeting, self.params.rank > 0)
            && let Some(now) = meeting.look(&self.store).await?.filter(|now| *now != self.id)
        {
            let message =
                format!("rank 0 began this save anew as {now}, after this rank had joined {}", self.id);
            return Err(Error::new(Code::Changed, message)
                .with_hint("save again; a run_id that no other launch has, or giving the id, avoids this"));
        }
        lock(&self.done).closed = true;
        let key = receipt_key(&self.folder, self.params.rank);
        let outcome = store_receipt(&self.store, &key, &self.receipt()).await;
        if outcome.as_ref().is_err_and(|error| error.code() != Code::UnknownOutcome) {
            lock(&self.done).closed = false; // it is certain that rank 0 does not count on this rank
        }
        outcome
    }

    fn enter(&mut self) -> Result<()> {
        self.check_usable()?;
        self.state = State::Busy;
        Ok(())
    }

    fn leave(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => {
                self.state = State::Open;
                Ok(())
            }
            Err(error) => {
                let error = self.context(error);
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn check_usable(&mut self) -> Result<()> {
        self.era.check().map_err(|e| self.context(e))?;
        let refused = |what| Err(self.context(Error::new(Code::InvalidState, what)));
        match &self.state {
            State::Open => Ok(()),
            State::Stored => refused("this rank's part is finished"),
            State::Committed => refused("the checkpoint is committed"),
            State::Aborted => refused("the save was aborted"),
            State::Failed(error) => Err(error.clone()),
            State::Busy => {
                let error =
                    Error::new(Code::Cancelled, "an earlier call of this save was cancelled half-way");
                self.fail(error)
            }
            State::Committing => {
                let error = Error::new(
                    Code::UnknownOutcome,
                    "an earlier commit was cancelled half-way; whether it took effect is unknown",
                );
                self.fail(error.with_hint("open the step's checkpoint to see"))
            }
        }
    }

    fn fail(&mut self, error: Error) -> Result<()> {
        let error = self.context(error);
        self.state = State::Failed(error.clone());
        Err(error)
    }

    fn context(&self, error: Error) -> Error {
        error.with_context("checkpoint_save", &self.uri)
    }

    /// Why it is given up.
    fn reason(&self) -> String {
        match &self.state {
            State::Failed(error) => error.to_string(),
            _ => "it was aborted".into(),
        }
    }

    /// What giving up has to remove; `None` where only rank 0 may, or nothing is left.
    fn leavings(&self) -> Option<Leavings> {
        let rank = self.params.rank;
        let handed_in = lock(&self.done).closed;
        if handed_in && rank > 0
            || matches!(self.state, State::Committed | State::Aborted | State::Committing)
        {
            return None;
        }
        // Rank 0's failed commit may have left its fate open: what it stored may be part of a checkpoint.
        if let State::Failed(error) = &self.state
            && handed_in
            && error.code() == Code::UnknownOutcome
        {
            return None;
        }
        let mut done = lock(&self.done);
        done.closed = true;
        Some(Leavings {
            store: self.store.clone(),
            receipt_key: receipt_key(&self.folder, rank),
            receipt: Receipt::new(&self.id, rank, self.params.world_size),
            keys: done.shards.iter().map(|shard| shard.key.clone()).collect(),
            meeting: self.meeting.clone().filter(|_| rank == 0),
        })
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if self.era.check().is_err() {
            return;
        }
        let reason = self.reason();
        if let Some(leavings) = self.leavings() {
            runtime::spawn_background(async move {
                let uri = leavings.store.root().join(&leavings.receipt_key);
                if let Err(error) = leavings.remove(&reason).await {
                    tracing::warn!(%error, %uri, "an abandoned save was not removed");
                }
            });
        }
    }
}

/// What a rank that gives up has stored.
struct Leavings {
    store: Store,
    receipt_key: String,
    receipt: Receipt,
    keys: Vec<String>,
    meeting: Option<Meeting>,
}

impl Leavings {
    /// Tells rank 0 first, so that nobody commits what is being removed.
    async fn remove(self, reason: &str) -> Result<()> {
        let Leavings { store, receipt_key, mut receipt, keys, meeting } = self;
        match meeting {
            Some(meeting) => meeting.end(&store).await,
            None if receipt.rank > 0 => {
                receipt.failure = Some(reason.chars().take(2000).collect());
                match store_receipt(&store, &receipt_key, &receipt).await {
                    // Of another process of this rank, or said before.
                    Err(error) if error.code() == Code::AlreadyExists => {}
                    outcome => outcome?,
                }
            }
            None => {}
        }
        for outcome in store.delete_many(&keys).await? {
            outcome?;
        }
        Ok(())
    }
}

/// Puts a receipt where there is none.
async fn store_receipt(store: &Store, key: &str, receipt: &Receipt) -> Result<()> {
    let put = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    let bytes = Bytes::from(receipt.to_bytes()?);
    match transfer::put(store, key, bytes.clone(), &put).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Code::AlreadyExists => {
            // This one, if it was sent twice: no other process has the same names of shards.
            if !receipt.shards.is_empty() && transfer::get(store, key).await?[..] == bytes[..] {
                return Ok(());
            }
            let message = format!("rank {} of save {} was handed in before", receipt.rank, receipt.id);
            Err(Error::new(Code::AlreadyExists, message)
                .with_context("checkpoint_save", store.root().join(key))
                .with_detail("rank", receipt.rank)
                .with_hint("two processes have the same rank, or one saved twice with the same id"))
        }
        Err(error) => Err(error),
    }
}

/// A shard of these bytes.
async fn fill(mut writer: ShardWriter, data: Vec<Bytes>) -> Result<()> {
    let outcome = async {
        for bytes in data {
            writer.write_owned(bytes).await?;
        }
        writer.finish().await.map(drop)
    };
    let outcome = outcome.await;
    if outcome.is_err()
        && let Err(second) = writer.abort().await
    {
        tracing::warn!(error = %second, uri = %writer.uri(), "a failed shard could not be removed");
    }
    outcome
}

/// Where a rank's receipt lies.
pub(super) fn receipt_key(folder: &str, rank: u32) -> String {
    format!("{folder}{}.json", names::rank(rank))
}

fn check(params: &Params, options: &Resolved) -> Result<Layout> {
    let Params { step, rank, world_size, id, run_id, .. } = params;
    names::check_step(*step)?;
    if *world_size == 0 || *world_size > MAX_WORLD || rank >= world_size {
        let message = format!(
            "rank {rank} of a world of {world_size}; expected a rank below the world size, at most {MAX_WORLD}"
        );
        return Err(Error::new(Code::InvalidArgument, message));
    }
    if let Some(id) = id
        && names::step_of_id(id)? != *step
    {
        return Err(Error::new(Code::InvalidArgument, format!("the id {id:?} is not of step {step}")));
    }
    if *world_size > 1 && id.is_none() && run_id.as_deref().is_none_or(str::is_empty) && *rank > 0 {
        return Err(Error::new(Code::InvalidArgument, "several ranks need a common id or run_id, but neither is given")
            .with_hint("give rank 0's id to all ranks, or a run_id that all ranks of this launch share and no other launch has"));
    }
    Layout::of(options)
}
