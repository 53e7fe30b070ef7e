//! Checkpoints of two ranks, the older ones pruned.

use super::work::{self, params, wait};
use super::{Scenario, open, say};
use s3dlio::Code;
use s3dlio::checkpoint::{self, Checkpoint, CheckpointWriter};
use s3dlio::store::Store;
use std::path::Path;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario { name: "checkpoints", act, check };
const SAVES: u64 = 4;
const KEPT: u64 = 2;
const WORLD: u32 = 2;

fn act(root: &Path) {
    let store = open(root, true);
    for step in 1..=SAVES {
        say(format!("saving {step}"));
        save(&store, step).unwrap();
        say(format!("saved {step}"));
    }
}

/// All ranks, one after the other.
fn save(store: &Store, step: u64) -> s3dlio::Result<()> {
    let mut ranks: Vec<CheckpointWriter> = Vec::new();
    for rank in 0..WORLD {
        ranks.push(wait(work::begin(store, params("run", step, rank, WORLD)))?);
    }
    for rank in ranks.iter_mut().rev() {
        wait(rank.finish())?;
    }
    ranks.iter_mut().try_for_each(|rank| wait(rank.commit()))?;
    wait(checkpoint::prune(store, KEPT, 0)).map(drop)
}

fn check(root: &Path, said: &[&str]) -> Result<(), String> {
    let number =
        |what: &str| said.iter().rev().find_map(|line| line.strip_prefix(what)?.parse().ok()).unwrap_or(0);
    let (saving, saved): (u64, u64) = (number("saving "), number("saved "));
    let store = open(root, false);
    let steps = committed(&store)?;
    // Between the two one is being saved, and the oldest pruned.
    let lost = (1..=saved).filter(|step| step + KEPT > saving && !steps.contains(step)).collect::<Vec<_>>();
    if !lost.is_empty() || steps.iter().any(|step| *step > saving) {
        return Err(format!("steps {steps:?} are there; {lost:?} are lost"));
    }
    match wait(Checkpoint::open(&store, store.options(), None)) {
        Ok(latest) if (saved.max(1)..=saving).contains(&latest.manifest().step) => {}
        Ok(latest) => return Err(format!("the latest is {}", latest.manifest().step)),
        Err(error) if saved == 0 && error.code() == Code::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    if let Some(latest) = wait(checkpoint::read_latest(&store)).map_err(|error| error.to_string())?
        && !steps.contains(&latest.step)
    {
        return Err(format!("latest.json names {}, which is not there", latest.step));
    }
    // It goes on: the torn step is saved anew, what is left of it is removed, what was committed stays.
    let next = steps.last().unwrap_or(&0) + 1;
    save(&store, next).map_err(|error| format!("{next} cannot be saved: {error}"))?;
    let steps = committed(&store)?;
    wait(checkpoint::collect(&store, Duration::ZERO)).map_err(|error| error.to_string())?;
    let left = work::torn(&store, &steps);
    if !left.is_empty() || committed(&store)? != steps || steps.last() != Some(&next) {
        return Err(format!("after collecting: {steps:?}, and {left:?} of torn saves"));
    }
    Ok(())
}

/// The steps that are listed; every one of them must be whole.
fn committed(store: &Store) -> Result<Vec<u64>, String> {
    let steps = wait(checkpoint::list(store)).map_err(|error| error.to_string())?;
    for step in &steps {
        let opened = wait(Checkpoint::open(store, store.options(), Some(*step)));
        work::verify(store, &opened.map_err(|error| error.to_string())?)?;
    }
    Ok(steps)
}
