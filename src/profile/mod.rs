//! CPU profiles of the whole process as flamegraphs, one at a time: docs/tracing.md. The functions are in
//! every build; they work where the cargo feature `profiling` is on, and say `Unsupported` elsewhere.

#[cfg(not(feature = "profiling"))]
mod off;
#[cfg(feature = "profiling")]
mod on;
#[cfg(feature = "profiling")]
mod sys;

#[cfg(not(feature = "profiling"))]
use off as sampler;
#[cfg(feature = "profiling")]
use on as sampler;

use crate::error::{Code, Error, Result};
use std::path::Path;

/// Samples per second of CPU time where none are given: odd, so as not to beat in time with periodic work.
pub const DEFAULT_HZ: u32 = 199;
/// The kernel's clock gives no more.
pub const MAX_HZ: u32 = 1000;

/// Whether this build can.
pub const AVAILABLE: bool = cfg!(feature = "profiling");

/// Starts to sample the stacks of all threads, `hz` times in a second of CPU time; 0 takes [`DEFAULT_HZ`].
///
/// `InvalidArgument` over [`MAX_HZ`]; `InvalidState` where a profile is running, or the program has a handler
/// of SIGPROF of its own; `Forked` in the child of a process that was being profiled.
pub fn start(hz: u32) -> Result<()> {
    if hz > MAX_HZ {
        let message = format!("{hz} samples per second; expected at most {MAX_HZ}");
        return Err(Error::new(Code::InvalidArgument, message).with_operation("profile_start"));
    }
    sampler::start(if hz == 0 { DEFAULT_HZ } else { hz })
        .map_err(|error| error.with_operation("profile_start"))
}

/// Ends the profile and writes it to `path` as an SVG; `None` drops it. Where the file cannot be written the
/// profile goes on.
///
/// `InvalidState` where none is running, or the process used too little CPU for a single sample (nothing is
/// left at `path` then); the errors of files.
pub fn stop(path: Option<&Path>) -> Result<()> {
    sampler::stop(path).map_err(|error| error.with_operation("profile_stop"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P1
    #[test]
    fn no_more_samples_than_the_clock_has() {
        assert_eq!(start(MAX_HZ + 1).unwrap_err().code(), Code::InvalidArgument);
    }

    /// P1; with the feature on the test below takes its place.
    #[test]
    #[cfg(not(feature = "profiling"))]
    fn a_build_without_the_feature_says_how_to_get_it() {
        for error in [start(0).unwrap_err(), stop(None).unwrap_err()] {
            assert_eq!(error.code(), Code::Unsupported);
            assert!(error.to_string().contains("--features profiling"), "{error}");
        }
    }

    /// P1: `cargo test --release --features profiling --lib profile`.
    #[test]
    #[cfg(feature = "profiling")]
    fn a_profile_is_started_once_and_kept_until_it_can_be_written() {
        let code = |outcome: Result<()>| outcome.unwrap_err().code();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("busy.svg");
        assert_eq!(code(stop(Some(&file))), Code::InvalidState);
        start(500).unwrap();
        assert_eq!(code(start(0)), Code::InvalidState);
        assert_eq!(code(stop(Some(&folder.path().join("no/where.svg")))), Code::NotFound);
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while began.elapsed().as_millis() < 300 {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
        }
        stop(Some(&file)).unwrap();
        let picture = std::fs::read_to_string(&file).unwrap();
        assert!(picture.contains("<svg") && picture.contains("a_profile_is_started_once"), "{picture}");
        start(1).unwrap();
        stop(None).unwrap();
        assert_eq!(code(stop(None)), Code::InvalidState);
    }
}
