//! Checkpoints (SPEC C1-C4) on every backend: what was saved by a world of any size loads byte for byte in a
//! world of any other, and what is wrong is said.

#[path = "../support/mod.rs"]
mod support;

mod corruption;
mod counting;
mod errors;
mod manage;
mod reshard;
mod round_trips;
mod world;
