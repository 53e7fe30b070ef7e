//! Checkpoints of many ranks (DESIGN section 7): saved by streaming shards, committed by one create-only
//! manifest, loaded in whole or in any slice by a job of any size.
//!
//! ```text
//! <base>/begin/<run>/<step>.json                     how rank 0 tells the id to the others      agree
//! <base>/shards/<prefix>/<id>/rank-<r>.<..>          data                                       shard, layout
//! <base>/shards/<prefix>/<id>/rank-<r>.json          receipt: what the rank stored              receipt
//! <base>/manifests/step-<step>.json                  the commit point, one per step             commit, manifest
//! <base>/latest.json                                 a hint, never trusted                      latest
//! ```
//!
//! A crash at any point leaves every committed checkpoint as it was and the torn one invisible; [`collect`]
//! removes what is left of it.

mod agree;
mod commit;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host;
mod latest;
mod layout;
mod load;
mod manage;
mod manifest;
mod names;
mod open;
mod receipt;
mod replicate;
pub mod safetensors;
mod seal;
mod shard;
mod tensor;
mod validate;
mod wait;
mod writer;

pub use host::World;
pub use latest::{Latest, read as read_latest};
pub use layout::Layout;
pub use load::Request;
pub use manage::{collect, delete, list, prune};
pub use manifest::{Entry, Kind, Manifest, Part, Shard};
pub use open::Checkpoint;
pub use shard::ShardWriter;
pub use tensor::{Dtype, Region, TensorSpec};
pub use writer::{CheckpointWriter, Params};
