//! One worker's pass over one epoch.

use super::batch::{Batch, Sample};
use super::dataset::Dataset;
use super::engine::{Bounds, Engine, Outcome, Tag, Taken};
use super::params::LoaderParams;
use super::policy::{OnError, Policy, with_preset};
use super::sampler::{Runs, Shard};
use super::state::{Done, Epoch, FilesDone, FilesLeft, State, merge};
use super::stats::Stats;
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::runtime::Era;
use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

/// Draws batches. Dropping it cancels what is under way; [`Loader::close`] also waits for that.
#[derive(Debug)]
pub struct Loader {
    engine: Engine,
    policy: Policy,
    batch: usize,
    epoch: Epoch,
    shard: Shard,
    progress: Progress,
    /// What the engine gave and no batch has yet.
    came: VecDeque<Outcome>,
    /// The batch under way.
    samples: Vec<(Tag, Sample)>,
    /// Places of it that stay empty.
    holes: usize,
    ended: bool,
    stats: Stats,
    era: Era,
}

/// What was delivered, before this run and in it.
#[derive(Debug)]
pub enum Progress {
    Items { base: u64, before: Runs, done: Done },
    Files { before: FilesLeft, done: FilesDone },
}

impl Progress {
    fn deliver(&mut self, tag: Tag) {
        match (self, tag) {
            (Progress::Items { done, .. }, Tag::Item(k)) => done.insert(k),
            (Progress::Files { done, .. }, Tag::Record { file, record }) => done.insert(file, record),
            (Progress::Files { done, .. }, Tag::End { file, records }) => done.ended(file, records),
            _ => {}
        }
    }
}

impl Loader {
    /// Starts to fetch. With states, it goes on where they end: seed, epoch and shuffle are theirs then.
    pub async fn open(dataset: &Dataset, params: &LoaderParams, options: &Options) -> Result<Loader> {
        let options = with_preset(options)?;
        let resolved = options.resolve()?;
        crate::options::warn_of_unknown_environment();
        let policy = Policy::new(&resolved)?;
        let shard = shard_of(params)?;
        let batch = usize::try_from(params.batch_size.max(1)).unwrap_or(usize::MAX);
        let bounds = Bounds::new(&policy, batch as u64);
        let states: Vec<State> =
            params.states.iter().map(|text| State::parse(text)).collect::<Result<_>>()?;
        let resumed = match states.as_slice() {
            [] => None,
            [state] if state.shard() == shard => Some(state.clone()),
            states => Some(merge(states)?),
        };
        let draw = dataset.draw(policy.split).await?;
        let mut epoch = Epoch {
            fingerprint: draw.fingerprint(),
            seed: params.seed,
            epoch: params.epoch,
            shuffle: policy.shuffle,
            split: draw.split(policy.split),
        };
        if let Some(state) = &resumed {
            let told = state.epoch_of()?;
            check_resumed(&told, &epoch)?;
            epoch = told;
        }
        draw.check(&epoch, shard)?;
        let (progress, engine) = draw.start(bounds, &epoch, shard, resumed.as_ref())?;
        Ok(Loader {
            engine,
            policy,
            batch,
            epoch,
            shard,
            progress,
            came: VecDeque::new(),
            samples: Vec::new(),
            holes: 0,
            ended: false,
            stats: Stats::default(),
            era: Era::now(),
        })
    }

    /// The next batch; `None` at the end of the epoch. After an error the next call goes on. If the future is
    /// dropped, nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Batch>> {
        self.era.check()?;
        let began = Instant::now();
        let deadline = self.policy.timeout.map(|timeout| began + timeout);
        let result = self.fill(deadline).await;
        self.stats.wait_ns += u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        result?;
        Ok(self.give())
    }

    /// The position: what was handed over so far. [`LoaderParams::states`] takes it.
    pub fn state(&self) -> Result<String> {
        let state = match &self.progress {
            Progress::Items { base, before, done } => {
                State::of_items(&self.epoch, *base, before, self.shard, done)
            }
            Progress::Files { before, done } => State::of_files(&self.epoch, before, self.shard, done),
        };
        state.to_text()
    }

    /// Numbers about the pass so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        if !self.era.forked() {
            self.engine.stats(&mut stats);
            stats.buffered_items += (self.came.len() + self.samples.len()) as u64;
        }
        stats
    }

    /// The epoch that it draws: of the states, if it was opened with some.
    pub fn epoch(&self) -> u64 {
        self.epoch.epoch
    }

    /// Cancels what is under way and waits until no task of it is left.
    pub async fn close(self) {
        let ended = self.cancel();
        drop(self);
        ended.await;
    }

    /// As [`Loader::close`], to be awaited elsewhere: nothing is fetched any more, and what comes back ends when all
    /// tasks did.
    pub fn cancel(&self) -> impl Future<Output = ()> + Send + 'static {
        let ended = (!self.era.forked()).then(|| self.engine.cancel());
        async move {
            if let Some(ended) = ended {
                ended.await;
            }
        }
    }

    /// Puts items into the batch until it is full, the epoch ends or time is up.
    async fn fill(&mut self, deadline: Option<Instant>) -> Result<()> {
        loop {
            self.sort()?;
            let wanted = self.batch - self.samples.len() - self.holes;
            if wanted == 0 && !self.samples.is_empty() || self.ended {
                return Ok(());
            }
            if wanted == 0 {
                self.holes = 0; // a batch of which nothing is left
                continue;
            }
            let mut out = Vec::with_capacity(wanted.min(4096));
            let taken = match deadline {
                None => self.engine.take(wanted, &mut out).await,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    match tokio::time::timeout(left, self.engine.take(wanted, &mut out)).await {
                        Ok(taken) => taken,
                        Err(_) => return self.time_is_up(out),
                    }
                }
            };
            self.came.extend(out);
            if taken? == Taken::End {
                self.ended = true;
            }
        }
    }

    fn time_is_up(&mut self, mut out: Vec<Outcome>) -> Result<()> {
        if !self.policy.in_order {
            self.engine.take_now(self.batch - self.samples.len() - self.holes, &mut out);
        }
        self.came.extend(out);
        self.sort()?;
        if !self.policy.in_order && !self.samples.is_empty() {
            return Ok(());
        }
        let waited = self.policy.timeout.unwrap_or(Duration::ZERO).as_millis();
        Err(Error::new(Code::Timeout, format!("no batch came within {waited} ms"))
            .with_hint("call again to go on waiting, or set loader.batch_timeout_ms higher"))
    }

    /// Puts what came into the batch, as the policy says.
    fn sort(&mut self) -> Result<()> {
        while self.samples.len() + self.holes < self.batch
            || matches!(self.came.front(), Some(Outcome { tag: Tag::End { .. }, .. }))
        {
            let Some(outcome) = self.came.pop_front() else { return Ok(()) };
            match outcome.result {
                _ if matches!(outcome.tag, Tag::End { .. }) => self.progress.deliver(outcome.tag),
                Ok(sample) => self.samples.push((outcome.tag, sample)),
                Err(error) => match self.policy.on_error {
                    OnError::Raise => return Err(error),
                    policy => {
                        tracing::warn!(%error, "an item of a batch is left out");
                        self.progress.deliver(outcome.tag);
                        if policy == OnError::Skip {
                            self.holes += 1;
                            self.stats.skipped += 1;
                        } else {
                            self.stats.substituted += 1;
                        }
                    }
                },
            }
        }
        Ok(())
    }

    /// Hands the batch over.
    fn give(&mut self) -> Option<Batch> {
        let full = self.samples.len() + self.holes >= self.batch;
        if self.samples.is_empty() || self.ended && self.policy.drop_last && !full {
            return None;
        }
        self.holes = 0;
        let mut batch = Batch { samples: Vec::with_capacity(self.samples.len()) };
        for (tag, sample) in self.samples.drain(..) {
            self.progress.deliver(tag);
            self.stats.bytes += sample.bytes();
            batch.samples.push(sample);
        }
        if let Progress::Files { done, .. } = &mut self.progress
            && self.epoch.split == Some(super::state::Split::File)
        {
            done.advance();
        }
        self.stats.items += batch.samples.len() as u64;
        self.stats.batches += 1;
        Some(batch)
    }
}

fn shard_of(params: &LoaderParams) -> Result<Shard> {
    let (world, workers) = (u64::from(params.world_size.max(1)), u64::from(params.workers.max(1)));
    for (name, number, of) in
        [("rank", u64::from(params.rank), world), ("worker", u64::from(params.worker), workers)]
    {
        if number >= of {
            let message = format!("{name} is {number}, but there are {of}; expected 0 to {}", of - 1);
            return Err(Error::new(Code::InvalidArgument, message));
        }
    }
    Ok(Shard { number: u64::from(params.worker) * world + u64::from(params.rank), of: world * workers })
}

/// That a state is of this dataset, read in this way.
fn check_resumed(told: &Epoch, here: &Epoch) -> Result<()> {
    let bad = |message: &str| Err(Error::new(Code::InvalidArgument, message));
    if told.fingerprint != here.fingerprint {
        return bad("the state is of another dataset: its fingerprint differs");
    }
    if told.split.is_some() != here.split.is_some() {
        return bad("the state is of a dataset that was read in another way");
    }
    Ok(())
}
