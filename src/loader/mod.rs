//! Batches of samples for training: datasets, their seeded order, prefetch, and a position to resume from
//! (DESIGN section 8, docs/loader.md).
//!
//! ```text
//! dataset      what there is to draw; immutable, shared by threads, survives a fork
//!   source/    where items come from: lists, manifests, listings, files of records
//! sampler/     which item stands at which position of an epoch, and which positions a shard draws
//! state        what was delivered, as text; merging what many shards delivered
//! engine/      fetches ahead within bounds, and hands over in order or as things come
//! loader       one worker's pass over one epoch: batches, policies, statistics
//! ```

mod batch;
mod dataset;
mod engine;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gather;
mod loader;
mod params;
mod policy;
mod sampler;
pub mod source;
mod state;
mod stats;

pub use batch::{Batch, Field, Sample};
pub use dataset::{Dataset, write_manifest};
pub use loader::Loader;
pub use params::{DatasetParams, Format, LoaderParams};
pub use sampler::Permutation;
pub use source::pattern::Pattern;
pub use state::merge_states;
pub use stats::Stats;
