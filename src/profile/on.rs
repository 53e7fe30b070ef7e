//! The sampler of the crate `pprof`: a timer of the process' CPU time sends SIGPROF to the thread that is running.

use super::sys;
use crate::error::{Code, Error, Result};
use crate::runtime::Era;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Where no sample is taken: the unwinder itself could be half way through a change of its own state.
const BLOCKED: &[&str] = &["libgcc_s", "ld-linux", "linux-vdso"];

struct Session {
    sampler: ProfilerGuard<'static>,
    era: Era,
}

static SESSION: Mutex<Option<Session>> = Mutex::new(None);

pub fn start(hz: u32) -> Result<()> {
    let mut session = session()?;
    if session.is_some() {
        return Err(Error::new(Code::InvalidState, "a profile is running already")
            .with_hint("there is one per process; stop it first"));
    }
    if sys::has_handler()? {
        return Err(Error::new(Code::InvalidState, "the program has a handler of SIGPROF of its own")
            .with_hint("another profiler is at work in this process"));
    }
    let hz = i32::try_from(hz).unwrap_or(i32::MAX);
    let sampler = ProfilerGuardBuilder::default().frequency(hz).blocklist(BLOCKED).build().map_err(failed)?;
    *session = Some(Session { sampler, era: Era::now() });
    Ok(())
}

pub fn stop(path: Option<&Path>) -> Result<()> {
    let mut session = session()?;
    let Some(running) = session.as_ref() else {
        return Err(Error::new(Code::InvalidState, "no profile is running"));
    };
    let Some(path) = path else {
        *session = None;
        return Ok(());
    };
    let report = running.sampler.report().build().map_err(failed)?;
    if report.data.is_empty() {
        *session = None;
        return Err(Error::new(
            Code::InvalidState,
            "no sample was taken: the process used too little CPU time",
        )
        .with_hint("profile a longer section, or sample more often"));
    }
    let mut options = pprof::flamegraph::Options::default();
    options.title = "CPU time by stack".to_owned();
    let mut picture = Vec::new();
    report.flamegraph_with_options(&mut picture, &mut options).map_err(failed)?;
    fs::write(path, picture)
        .map_err(|error| Error::from_io(format!("cannot write the profile to {}", path.display()), &error))?;
    *session = None;
    Ok(())
}

/// Not waited for: the lock may have been inherited from another thread of the parent. An inherited profile belongs
/// to the parent, whose timer a child does not have.
fn session() -> Result<MutexGuard<'static, Option<Session>>> {
    let session = match SESSION.try_lock() {
        Ok(session) => session,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            return Err(Error::new(Code::InvalidState, "another thread is starting or stopping a profile"));
        }
    };
    if let Some(running) = session.as_ref() {
        running.era.check_fork()?;
    }
    Ok(session)
}

fn failed(error: pprof::Error) -> Error {
    Error::new(Code::Io, "the profiler failed").with_source(&error)
}
