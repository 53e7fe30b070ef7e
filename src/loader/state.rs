//! What a run delivered, as text: the position to resume from, and what all shards of a run leave to the next.
//!
//! The text is JSON; docs/loader.md documents it. Whoever stores it may be a stranger: everything is checked.

use super::sampler::{Origin as Left, Run, Runs, Shard, Shuffle};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;
/// The longest text that is parsed.
const MAX_BYTES: usize = 256 << 20;
/// How many numbers a merge may have to tell one by one, because one shard was so far ahead of another.
const MAX_AHEAD: u64 = 8 << 20;
/// Numbers of shards, ranks and files stay below this, so that their products have room.
const MAX_SHARDS: u64 = 1 << 40;
/// So are numbers of records.
const MAX_RECORDS: u64 = 1 << 61;
/// Marks a file of which every record was delivered.
const FINISHED: Run = (0, u64::MAX);

/// The epoch's order, what was delivered before this run, and what this shard delivered in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    fingerprint: String,
    pub(super) seed: u64,
    pub(super) epoch: u64,
    shuffle: String,
    window: u64,
    /// Of files that are read in sequence, whether whole files are dealt, or records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<String>,
    origin: Origin,
    run: Progress,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    base: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    delivered: Vec<Run>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<(u64, Vec<Run>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    shard: u64,
    shards: u64,
    done: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<Run>,
    /// Number of the file among the shard's own, records of it that were delivered (numbered among the shard's
    /// own), how many there are, if that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<(u64, Vec<Run>, Option<u64>)>,
}

/// What identifies a run's epoch: states of different ones do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub fingerprint: u64,
    pub seed: u64,
    pub epoch: u64,
    pub shuffle: Shuffle,
    /// Of files that are read in sequence.
    pub split: Option<Split>,
}

/// How files that are read in sequence are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each file is one shard's.
    File,
    /// Every shard reads every file and takes its part of the records.
    Record,
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Split::File => "file",
            Split::Record => "record",
        }
    }
}

/// What a shard delivered of its own sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// So many from the start.
    pub first: u64,
    /// And these.
    pub also: Runs,
}

impl Done {
    pub fn insert(&mut self, number: u64) {
        if number == self.first && self.also.is_empty() {
            self.first += 1;
        } else if number >= self.first && self.also.insert(number) {
            self.first += self.also.take_front(self.first);
        }
    }

    pub fn contains(&self, number: u64) -> bool {
        number < self.first || self.also.contains(number)
    }

    fn all(&self) -> Vec<Run> {
        let mut all = self.also.to_vec();
        if self.first > 0 {
            all.insert(0, (0, self.first));
        }
        all
    }

    fn of(all: &[Run]) -> Result<Done> {
        let mut also = Runs::of(all)?;
        let first = also.take_front(0);
        Ok(Done { first, also })
    }
}

/// What was delivered of the files before a run: ordinals below `base`, and of others these records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesLeft {
    pub base: u64,
    /// `None` for all of its records.
    pub files: BTreeMap<u64, Option<Runs>>,
}

impl FilesLeft {
    /// Whether nothing of the file is left.
    pub fn is_finished(&self, ordinal: u64) -> bool {
        ordinal < self.base || matches!(self.files.get(&ordinal), Some(None))
    }

    /// The files of which something is left, in order.
    pub fn left(&self, files: u64) -> impl Iterator<Item = u64> + '_ {
        (self.base..files).filter(|ordinal| !self.is_finished(*ordinal))
    }
}

/// What a shard delivered of its own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesDone {
    /// So many of its first files, completely.
    pub first: u64,
    /// Of others: its own records, and how many there are, where that is known.
    pub files: BTreeMap<u64, (Done, Option<u64>)>,
}

impl FilesDone {
    pub fn insert(&mut self, file: u64, record: u64) {
        if file >= self.first {
            self.files.entry(file).or_default().0.insert(record);
        }
    }

    /// A file has so many records of the shard's.
    pub fn ended(&mut self, file: u64, records: u64) {
        if file >= self.first {
            self.files.entry(file).or_default().1 = Some(records);
        }
    }

    /// Whether all of the file's own records were delivered.
    pub fn is_finished(&self, file: u64) -> bool {
        let all = |(done, total): &(Done, Option<u64>)| total.is_some_and(|total| done.first >= total);
        file < self.first || self.files.get(&file).is_some_and(all)
    }

    /// Forgets the details of the first files that are finished.
    pub fn advance(&mut self) {
        while self.files.contains_key(&self.first) && self.is_finished(self.first) {
            self.files.remove(&self.first);
            self.first += 1;
        }
    }
}

impl State {
    /// Of a run over items.
    pub fn of_items(epoch: &Epoch, base: u64, delivered: &Runs, shard: Shard, done: &Done) -> State {
        let origin = Origin { base, delivered: delivered.to_vec(), files: Vec::new() };
        let run = Progress {
            shard: shard.number,
            shards: shard.of,
            done: done.first,
            also: done.also.to_vec(),
            files: Vec::new(),
        };
        State::new(epoch, origin, run)
    }

    /// Of a run over files that are read in sequence.
    pub fn of_files(epoch: &Epoch, left: &FilesLeft, shard: Shard, done: &FilesDone) -> State {
        let files = left
            .files
            .iter()
            .map(|(ordinal, runs)| (*ordinal, runs.as_ref().map_or_else(|| vec![FINISHED], Runs::to_vec)));
        let origin = Origin { base: left.base, delivered: Vec::new(), files: files.collect() };
        let files = done.files.iter().map(|(file, (done, total))| (*file, done.all(), *total));
        let run = Progress {
            shard: shard.number,
            shards: shard.of,
            done: done.first,
            also: Vec::new(),
            files: files.collect(),
        };
        State::new(epoch, origin, run)
    }

    fn new(epoch: &Epoch, origin: Origin, run: Progress) -> State {
        State {
            version: VERSION,
            fingerprint: format!("{:016x}", epoch.fingerprint),
            seed: epoch.seed,
            epoch: epoch.epoch,
            shuffle: epoch.shuffle.name().to_owned(),
            window: epoch.shuffle.size(),
            split: epoch.split.map(|split| split.name().to_owned()),
            origin,
            run,
        }
    }

    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::new(Code::Internal, "a state cannot be written").with_source(&e))
    }

    /// `Corrupt` or `Unsupported` where the text is not what [`State::to_text`] gives.
    pub fn parse(text: &str) -> Result<State> {
        let bad = |why: String| {
            Error::new(Code::Corrupt, format!("the loader's state is malformed: {why}"))
                .with_hint("give the text that Loader::state returned, whole and unchanged")
        };
        if text.len() > MAX_BYTES {
            return Err(bad(format!("it has {} bytes; at most {MAX_BYTES} are read", text.len())));
        }
        let state: State = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        if state.version != VERSION {
            let message = format!("the loader's state has version {}; this library reads 1", state.version);
            return Err(Error::new(Code::Unsupported, message).with_hint("use the release that wrote it"));
        }
        state.check().map_err(|e| bad(e.to_string()))?;
        Ok(state)
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Error::new(Code::Corrupt, what.to_owned());
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if self.fingerprint.len() != 16 || !self.fingerprint.bytes().all(hex) {
            return Err(wrong("fingerprint is not of 16 hexadecimal digits"));
        }
        self.epoch_of()?;
        let (origin, run) = (&self.origin, &self.run);
        if run.shards == 0 || run.shard >= run.shards || run.shards > MAX_SHARDS {
            return Err(wrong("shard is not less than shards, or there are too many"));
        }
        if self.split.is_some() {
            if !origin.delivered.is_empty() || !run.also.is_empty() {
                return Err(wrong("it has delivered items, but is of files"));
            }
            if run.done > MAX_SHARDS || origin.base > MAX_SHARDS {
                return Err(wrong("it counts too many files"));
            }
            self.files_left()?;
            self.files_done()?;
            return Ok(());
        }
        if !origin.files.is_empty() || !run.files.is_empty() {
            return Err(wrong("it has files, but is of items"));
        }
        let (_, delivered) = self.items_left()?;
        let done = self.items_done()?;
        // The positions that it speaks of must be numbers.
        let last = done.also.iter().next_back().map_or(done.first, |(start, length)| start + length);
        let own = last.checked_mul(run.shards).and_then(|own| own.checked_add(run.shard));
        let total = own.and_then(|own| own.checked_add(delivered.count()));
        if total.and_then(|total| total.checked_add(origin.base)).is_none_or(|total| total > 1 << 63) {
            return Err(wrong("it speaks of positions past 2^63"));
        }
        Ok(())
    }

    /// The epoch that it is of.
    pub fn epoch_of(&self) -> Result<Epoch> {
        let split = match self.split.as_deref() {
            None => None,
            Some("file") => Some(Split::File),
            Some("record") => Some(Split::Record),
            Some(other) => {
                return Err(Error::new(
                    Code::Corrupt,
                    format!("split is {other:?}; expected file or record"),
                ));
            }
        };
        let fingerprint = u64::from_str_radix(&self.fingerprint, 16);
        Ok(Epoch {
            fingerprint: fingerprint.map_err(|_| Error::new(Code::Corrupt, "fingerprint is no number"))?,
            seed: self.seed,
            epoch: self.epoch,
            shuffle: Shuffle::of(&self.shuffle, self.window).map_err(|e| e.with_code(Code::Corrupt))?,
            split,
        })
    }

    pub fn shard(&self) -> Shard {
        Shard { number: self.run.shard, of: self.run.shards }
    }

    /// Base and delivered runs of the items before the run.
    pub fn items_left(&self) -> Result<(u64, Runs)> {
        let delivered = Runs::of(&self.origin.delivered)?;
        if self.origin.delivered.first().is_some_and(|(start, _)| *start < self.origin.base) {
            return Err(Error::new(Code::Corrupt, "delivered runs start below the base"));
        }
        Ok((self.origin.base, delivered))
    }

    pub fn items_done(&self) -> Result<Done> {
        let also = Runs::of(&self.run.also)?;
        if self.run.also.first().is_some_and(|(start, _)| *start <= self.run.done) {
            return Err(Error::new(Code::Corrupt, "runs start below what was done, or touch it"));
        }
        Ok(Done { first: self.run.done, also })
    }

    pub fn files_left(&self) -> Result<FilesLeft> {
        let mut left = FilesLeft { base: self.origin.base, files: BTreeMap::new() };
        for (ordinal, runs) in &self.origin.files {
            let runs = if *runs == [FINISHED] { None } else { Some(Runs::of(runs)?) };
            if runs.as_ref().is_some_and(|runs| end_of(runs) > MAX_RECORDS) {
                return Err(Error::new(Code::Corrupt, format!("file {ordinal} has too many records")));
            }
            let known = left.files.insert(*ordinal, runs).is_some();
            if *ordinal < self.origin.base || *ordinal > MAX_SHARDS || known {
                return Err(Error::new(
                    Code::Corrupt,
                    format!("file {ordinal} is below the base or told twice"),
                ));
            }
        }
        Ok(left)
    }

    pub fn files_done(&self) -> Result<FilesDone> {
        let mut done = FilesDone { first: self.run.done, files: BTreeMap::new() };
        for (file, runs, total) in &self.run.files {
            let runs = Done::of(runs)?;
            let last = end_of(&runs.also).max(runs.first);
            let most = MAX_RECORDS / self.run.shards;
            if last > most || total.is_some_and(|total| total > most) {
                return Err(Error::new(
                    Code::Corrupt,
                    format!("file {file} of the run has too many records"),
                ));
            }
            let known = done.files.insert(*file, (runs, *total)).is_some();
            if *file < self.run.done || *file > MAX_SHARDS || known || total.is_some_and(|total| last > total)
            {
                let message =
                    format!("file {file} of the run is below what was done, told twice or too long");
                return Err(Error::new(Code::Corrupt, message));
            }
        }
        Ok(done)
    }
}

/// The number after the last one.
fn end_of(runs: &Runs) -> u64 {
    runs.iter().next_back().map_or(0, |(start, length)| start + length)
}

/// One state out of those of all shards of a run: the next run, of any number of shards, starts from it.
pub fn merge_states(states: &[String]) -> Result<String> {
    let states: Vec<State> = states.iter().map(|text| State::parse(text)).collect::<Result<_>>()?;
    merge(&states)?.to_text()
}

pub(super) fn merge(states: &[State]) -> Result<State> {
    let bad = |message: String| {
        Error::new(Code::InvalidArgument, message)
            .with_hint("give the states of all shards of one run, each once: rank x worker of them")
    };
    let Some(first) = states.first() else {
        return Err(bad("there is no state to merge".into()));
    };
    let epoch = first.epoch_of()?;
    let shards = first.run.shards;
    let mut of: BTreeMap<u64, &State> = BTreeMap::new();
    for state in states {
        if state.epoch_of()? != epoch || state.origin != first.origin || state.run.shards != shards {
            return Err(bad(format!(
                "the states of shards {} and {} are of different runs",
                first.run.shard, state.run.shard
            )));
        }
        if of.insert(state.run.shard, state).is_some() {
            return Err(bad(format!("the state of shard {} was given twice", state.run.shard)));
        }
    }
    if let Some(missing) = (0..shards).find(|shard| !of.contains_key(shard)) {
        return Err(bad(format!("the state of shard {missing} is missing; the run had {shards} shards")));
    }
    let of: Vec<&State> = of.into_values().collect();
    match epoch.split {
        None => merge_items(&epoch, &of),
        Some(split) => merge_files(&epoch, split, &of),
    }
}

fn merge_items(epoch: &Epoch, states: &[&State]) -> Result<State> {
    let mut dones = Vec::with_capacity(states.len());
    for state in states {
        dones.push((state.shard(), state.items_done()?));
    }
    let Some(first) = states.first() else {
        return Err(Error::new(Code::Internal, "there is no state to merge"));
    };
    let (base, before) = first.items_left()?;
    let left = Left::new(base, &before);
    // Every shard delivered its first `common`, which together are the first ones of what was left.
    let common = dones.iter().map(|(_, done)| done.first).min().unwrap_or(0);
    let ahead = |done: &Done| done.first - common + done.also.count();
    let apart: u64 = dones.iter().map(|(_, done)| ahead(done)).fold(0, u64::saturating_add);
    if apart > MAX_AHEAD {
        let message = format!(
            "some shards are {apart} items ahead of the slowest one; at most {MAX_AHEAD} fit a state"
        );
        return Err(Error::new(Code::InvalidArgument, message)
            .with_hint("let the shards come closer to each other, and take their states then"));
    }
    let reached = left.position(common * first.run.shards);
    let mut all: Vec<Run> = Vec::new();
    for (shard, done) in &dones {
        let runs = done.also.iter().flat_map(|(start, length)| start..start + length);
        all.extend((common..done.first).chain(runs).map(|k| (left.position(shard.nth(k)), 1)));
    }
    // What was delivered before and lies above.
    let above = before.iter().filter(|(start, length)| start + length > reached);
    all.extend(above.map(|(start, length)| (start.max(reached), start + length - start.max(reached))));
    let mut all = Runs::of_any(all);
    let base = reached + all.take_front(reached);
    Ok(State::of_items(epoch, base, &all, Shard { number: 0, of: 1 }, &Done::default()))
}

fn merge_files(epoch: &Epoch, split: Split, states: &[&State]) -> Result<State> {
    let Some(first) = states.first() else {
        return Err(Error::new(Code::Internal, "there is no state to merge"));
    };
    let before = first.files_left()?;
    let mut dones = Vec::with_capacity(states.len());
    let mut most = 0;
    for state in states {
        let done = state.files_done()?;
        most = most.max(done.files.keys().next_back().map_or(done.first, |last| last + 1).max(done.first));
        dones.push((state.shard(), done));
    }
    let shards = first.run.shards;
    let reach = match split {
        Split::File => most.saturating_mul(shards),
        Split::Record => most,
    };
    if reach > MAX_AHEAD {
        let message = format!("the states speak of {reach} files; at most {MAX_AHEAD} can be merged");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    // All shards finished so many of their first files: none of those is looked at.
    let finished = dones.iter().map(|(_, done)| done.first).min().unwrap_or(0);
    let common = if split == Split::File { finished * shards } else { finished };
    let mut merged = before.clone();
    let mut ahead = 0u64;
    let ordinals: Vec<u64> = before.left(u64::MAX).take(reach as usize).collect(); // at most MAX_AHEAD
    for (j, ordinal) in ordinals.into_iter().enumerate() {
        let j = j as u64;
        let own = |shard: &Shard| match split {
            Split::File => (j % shards == shard.number).then_some(j / shards),
            Split::Record => Some(j),
        };
        if j < common {
            merged.base = ordinal + 1;
            continue;
        }
        let sharing: Vec<_> =
            dones.iter().filter_map(|(shard, done)| Some((shard, done, own(shard)?))).collect();
        if sharing.iter().all(|(_, done, file)| done.is_finished(*file)) {
            merged.files.insert(ordinal, None);
            continue;
        }
        let told = before.files.get(&ordinal).cloned().flatten().unwrap_or_default();
        let left = Left::new(0, &told);
        // Of what was left of the file the first `reached` records were delivered, and some of the others.
        let first =
            |(_, done, file): &(_, &FilesDone, u64)| done.files.get(file).map_or(0, |(done, _)| done.first);
        let least = sharing.iter().map(first).min().unwrap_or(0);
        let reached = left.position(least * sharing.len() as u64);
        let mut all: Vec<Run> = if reached == 0 { Vec::new() } else { vec![(0, reached)] };
        for (shard, done, file) in &sharing {
            let Some((records, _)) = done.files.get(file) else { continue };
            ahead += records.first - least + records.also.count();
            if ahead > MAX_AHEAD {
                let message = format!("more than {MAX_AHEAD} records are told one by one");
                return Err(Error::new(Code::InvalidArgument, message));
            }
            let runs = records.also.iter().flat_map(|(start, length)| start..start + length);
            let numbers = (least..records.first).chain(runs);
            all.extend(numbers.map(|n| (left.position(record_of(split, **shard, ordinal, n)), 1)));
        }
        let above = told.iter().filter(|(start, length)| start + length > reached);
        all.extend(above.map(|(start, length)| (start.max(reached), start + length - start.max(reached))));
        if !all.is_empty() {
            merged.files.insert(ordinal, Some(Runs::of_any(all)));
        }
    }
    let base = merged.base;
    merged.files.retain(|ordinal, _| *ordinal >= base);
    while matches!(merged.files.get(&merged.base), Some(None)) {
        merged.files.remove(&merged.base);
        merged.base += 1;
    }
    Ok(State::of_files(epoch, &merged, Shard { number: 0, of: 1 }, &FilesDone::default()))
}

/// Which of the records that are left of a file a shard's `number`-th one of it is.
pub fn record_of(split: Split, shard: Shard, ordinal: u64, number: u64) -> u64 {
    match split {
        Split::File => number,
        // Not the same shard first in every file: short files would all be its.
        Split::Record => (shard.number + shard.of - ordinal % shard.of) % shard.of + number * shard.of,
    }
}

/// The number among the shard's own records of a file of its `left`-th one, if it is its.
pub fn own_record(split: Split, shard: Shard, ordinal: u64, left: u64) -> Option<u64> {
    match split {
        Split::File => Some(left),
        Split::Record => {
            let first = record_of(split, shard, ordinal, 0);
            (left % shard.of == first).then_some(left / shard.of)
        }
    }
}
