//! What a rank says about its part of a save once that is stored, or that it gave up.

use super::manifest::Shard;
use super::seal::{hex, seal, unseal};
use super::tensor::Dtype;
use crate::error::Result;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "s3dlio-checkpoint-receipt";
const VERSION: u32 = 1;

/// One rank's part of a save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    format: String,
    version: u32,
    pub id: String,
    pub rank: u32,
    pub world_size: u32,
    /// Why the rank gave up; else everything is stored.
    pub failure: Option<String>,
    pub shards: Vec<Shard>,
    pub pieces: Vec<Piece>,
    /// Replicated tensors that this rank left to others.
    pub left_out: Vec<LeftOut>,
}

/// A stored box of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    pub name: String,
    pub dtype: Dtype,
    /// The whole tensor's shape.
    pub whole: Vec<u64>,
    /// Index into the receipt's shards.
    pub shard: u32,
    pub offset: u64,
    pub length: u64,
    #[serde(with = "hex")]
    pub crc32c: u32,
    pub start: Vec<u64>,
    pub shape: Vec<u64>,
}

/// A tensor that another rank stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    pub name: String,
    pub by: u32,
}

impl Receipt {
    pub fn new(id: &str, rank: u32, world_size: u32) -> Receipt {
        Receipt {
            format: FORMAT.into(),
            version: VERSION,
            id: id.into(),
            rank,
            world_size,
            failure: None,
            shards: Vec::new(),
            pieces: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Its bytes in the store.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        seal(self)
    }

    /// Reads what [`Receipt::to_bytes`] wrote, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Receipt> {
        unseal(bytes, FORMAT, VERSION)
    }
}
