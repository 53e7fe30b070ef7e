//! Keys below a checkpoint base.

use crate::base::random::{Random, seed};
use crate::error::{Code, Error, Result};
use crate::store::Store;

/// Data and receipts.
pub const SHARDS: &str = "shards/";
/// Where ranks meet.
pub const BEGIN: &str = "begin/";
/// Commit points, one per step.
pub const MANIFESTS: &str = "manifests/";
/// The hint for people and other tools.
pub const LATEST: &str = "latest.json";
/// Steps are below this: twelve digits.
pub const STEPS: u64 = 1_000_000_000_000;

/// The manifest of a step.
pub fn manifest(step: u64) -> String {
    format!("{MANIFESTS}step-{step:012}.json")
}

/// The step of a manifest's key; `None` for what is no manifest.
pub fn step_of_manifest(key: &str) -> Option<u64> {
    digits(key.strip_prefix(MANIFESTS)?.strip_prefix("step-")?.strip_suffix(".json")?)
}

/// A new id of a save of this step.
pub fn new_id(step: u64) -> String {
    format!("{step:012}-{:016x}", Random::new(seed()).next())
}

/// The step of an id; `InvalidArgument` for what is none.
pub fn step_of_id(id: &str) -> Result<u64> {
    let parts = id.split_once('-').and_then(|(step, nonce)| {
        let plain = nonce.len() == 16 && nonce.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits(step).filter(|_| plain)
    });
    parts.ok_or_else(|| {
        let message = format!(
            "{id:?} is no checkpoint id; expected twelve digits, a dash and sixteen hexadecimal digits"
        );
        Error::new(Code::InvalidArgument, message)
    })
}

/// Refuses steps that have no name.
pub fn check_step(step: u64) -> Result<()> {
    if step < STEPS {
        return Ok(());
    }
    Err(Error::new(Code::InvalidArgument, format!("the step is {step}; expected less than {STEPS}")))
}

/// What starts the names of a rank's objects.
pub fn rank(rank: u32) -> String {
    format!("rank-{rank:05}")
}

/// Refuses names of shards that could not be part of a key everywhere.
pub fn check_shard(name: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let message = format!("{name:?} is no name of a shard; expected 1 to 64 letters, digits, _ or -");
    Err(Error::new(Code::InvalidArgument, message))
}

/// Whether an error says that an object is not there. A folder that no write has made yet is as good as an
/// empty one; a bucket that does not exist is a mistake.
pub fn is_absent(store: &Store, error: &Error) -> bool {
    match error.code() {
        Code::NotFound => true,
        Code::ContainerNotFound => store.capabilities().blocking_io,
        _ => false,
    }
}

fn digits(text: &str) -> Option<u64> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_names_are_read_back_and_others_are_not() {
        assert_eq!(manifest(42), "manifests/step-000000000042.json");
        assert_eq!(step_of_manifest(&manifest(STEPS - 1)), Some(STEPS - 1));
        for other in
            ["manifests/step-42.json", "manifests/x", "manifests/step-00000000004x.json", "latest.json"]
        {
            assert_eq!(step_of_manifest(other), None, "{other}");
        }
        let id = new_id(7);
        assert_eq!(step_of_id(&id).unwrap(), 7);
        assert_ne!(id, new_id(7));
        for bad in
            ["", "7-0", "000000000007", "000000000007-00000000000000g0", "+00000000007-0000000000000000"]
        {
            assert_eq!(step_of_id(bad).unwrap_err().code(), Code::InvalidArgument, "{bad}");
        }
        assert!(check_shard("opt-1_A").is_ok() && check_shard("").is_err() && check_shard("a/b").is_err());
        assert!(check_step(STEPS).is_err());
    }
}
