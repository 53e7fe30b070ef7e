//! Checkpoints when something dies or goes wrong in the middle (SPEC C2): ranks are killed, jobs save the same step,
//! the service fails at the commit. What was committed loads and verifies, and nobody is told a falsehood about it.

#[path = "checkpoint_crash/kills.rs"]
mod kills;
#[path = "checkpoint_crash/races.rs"]
mod races;
#[path = "checkpoint_crash/retries.rs"]
mod retries;
mod support;
#[path = "checkpoint_crash/work.rs"]
mod work;
