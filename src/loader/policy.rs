//! What options say about a pass, resolved.

use super::sampler::Shuffle;
use super::state::Split;
use crate::error::Result;
use crate::options::{self, OptionDef, Options, Resolved};
use std::time::Duration;

/// What happens to an item that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// `next` fails with its error; the call after that goes on behind it.
    Raise,
    /// Its place in the batch stays empty.
    Skip,
    /// The next item takes its place.
    Substitute,
}

/// How a pass goes.
#[derive(Clone, Debug)]
pub struct Policy {
    pub in_order: bool,
    /// Requests at once.
    pub in_flight: usize,
    /// With those that take half as long again as most.
    pub most_in_flight: usize,
    /// Batches that are fetched ahead.
    pub ahead: u64,
    /// Bytes that are fetched ahead.
    pub bytes: u64,
    pub timeout: Option<Duration>,
    pub shuffle: Shuffle,
    pub drop_last: bool,
    pub on_error: OnError,
    pub decompress: bool,
    pub validate: bool,
    pub split: Split,
}

type Values = [(&'static OptionDef, &'static str)];

/// Few requests and little memory: beside other work on the machine.
static CONSERVATIVE: &Values = &[
    (&options::LOADER_IN_FLIGHT, "8"),
    (&options::LOADER_MAX_IN_FLIGHT, "16"),
    (&options::LOADER_PREFETCH_BATCHES, "2"),
    (&options::LOADER_PREFETCH_BYTES, "64MiB"),
];
static BALANCED: &Values = &[
    (&options::LOADER_ORDER, "completion"),
    (&options::LOADER_IN_FLIGHT, "32"),
    (&options::LOADER_PREFETCH_BATCHES, "4"),
    (&options::LOADER_PREFETCH_BYTES, "256MiB"),
];
/// For stores with long latencies and machines with memory.
static AGGRESSIVE: &Values = &[
    (&options::LOADER_ORDER, "completion"),
    (&options::LOADER_IN_FLIGHT, "128"),
    (&options::LOADER_PREFETCH_BATCHES, "16"),
    (&options::LOADER_PREFETCH_BYTES, "1GiB"),
];

/// Options with what `loader.preset` sets where nobody else did.
pub fn with_preset(given: &Options) -> Result<Options> {
    let preset = match given.get(options::LOADER_PRESET.key)?.as_str() {
        "conservative" => CONSERVATIVE,
        "balanced" => BALANCED,
        "aggressive" => AGGRESSIVE,
        _ => &[],
    };
    let mut tuned = given.clone();
    for (def, value) in preset {
        if !given.is_set(def) {
            tuned.set(def.key, value)?;
        }
    }
    Ok(tuned)
}

impl Policy {
    pub fn new(resolved: &Resolved) -> Result<Policy> {
        let word = |def| resolved.text(def).unwrap_or_default();
        let timeout = resolved.duration(&options::LOADER_BATCH_TIMEOUT_MS);
        let in_flight = match resolved.size(&options::LOADER_IN_FLIGHT) {
            0 => resolved.size(&options::TRANSFER_GET_MANY_CONCURRENCY),
            given => given,
        };
        let most_in_flight = match resolved.size(&options::LOADER_MAX_IN_FLIGHT) {
            0 => in_flight.saturating_mul(8),
            given => given,
        };
        Ok(Policy {
            in_order: word(&options::LOADER_ORDER) == "ordered",
            in_flight,
            most_in_flight,
            ahead: resolved.number(&options::LOADER_PREFETCH_BATCHES),
            bytes: resolved.number(&options::LOADER_PREFETCH_BYTES),
            timeout: (!timeout.is_zero()).then_some(timeout),
            shuffle: Shuffle::of(
                word(&options::LOADER_SHUFFLE),
                resolved.number(&options::LOADER_SHUFFLE_WINDOW),
            )?,
            drop_last: resolved.bool(&options::LOADER_DROP_LAST),
            on_error: match word(&options::LOADER_ON_ERROR) {
                "skip" => OnError::Skip,
                "substitute" => OnError::Substitute,
                _ => OnError::Raise,
            },
            decompress: word(&options::LOADER_DECOMPRESS) == "auto",
            validate: resolved.bool(&options::LOADER_VALIDATE),
            split: match word(&options::LOADER_SPLIT_FILES) {
                "record" => Split::Record,
                _ => Split::File,
            },
        })
    }
}
