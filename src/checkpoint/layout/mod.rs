//! Under which prefix a rank's objects lie: object stores spread load by the first characters of a key.

mod binary;
mod flat;
mod round_robin;

use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use serde::{Deserialize, Serialize};

/// How the shards of a save are spread over prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layout {
    /// All in one folder.
    Flat {},
    /// Over `prefixes` folders, one rank after the other.
    RoundRobin { prefixes: u32 },
    /// By the bits of the rank in reverse order: neighbours differ in the first character.
    Binary {},
}

impl Layout {
    /// What the options ask for.
    pub fn of(options: &Resolved) -> Result<Layout> {
        match options.text(&options::CHECKPOINT_STRATEGY).unwrap_or("flat") {
            "flat" => Ok(Layout::Flat {}),
            "round_robin" => {
                let prefixes = options.number(&options::CHECKPOINT_PREFIXES);
                Ok(Layout::RoundRobin { prefixes: u32::try_from(prefixes).unwrap_or(u32::MAX).max(1) })
            }
            "binary" => Ok(Layout::Binary {}),
            other => Err(Error::new(Code::InvalidOption, format!("there is no strategy {other:?}"))),
        }
    }

    /// The option's word.
    pub fn name(&self) -> &'static str {
        match self {
            Layout::Flat {} => "flat",
            Layout::RoundRobin { .. } => "round_robin",
            Layout::Binary {} => "binary",
        }
    }

    /// The folder of a rank's objects in a save, with a slash at its end.
    pub fn folder(&self, id: &str, rank: u32) -> String {
        let prefix = match self {
            Layout::Flat {} => flat::prefix(rank),
            Layout::RoundRobin { prefixes } => round_robin::prefix(rank, *prefixes),
            Layout::Binary {} => binary::prefix(rank),
        };
        format!("{}{prefix}{id}/", super::names::SHARDS)
    }
}
