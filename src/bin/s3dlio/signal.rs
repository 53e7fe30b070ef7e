//! SIGINT, SIGTERM and SIGHUP: the first asks to stop, and what is under way is cleaned up; a second ends at once, but
//! for SIGHUP, which terminals and shells send one after the other.

use crate::exit::Failure;
use s3dlio::api::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use tokio::sync::watch;

/// Whether, and by which signal, the command was asked to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<i32>>);

impl Stop {
    /// Takes the signals from now on; SIGHUP not where it is ignored, as `nohup` has it.
    pub fn install() -> Result<Stop> {
        let stop = Stop(Arc::new(watch::Sender::new(0)));
        let refused = |e: std::io::Error| Error::from_io("cannot take signals", &e).with_operation("start");
        let taken = [Some(SIGINT), Some(SIGTERM), may_hang_up().then_some(SIGHUP)];
        let mut signals = Signals::new(taken.iter().flatten()).map_err(refused)?;
        let told = stop.clone();
        let wait = move || {
            for signal in signals.forever() {
                let first = *told.0.borrow() == 0;
                if first {
                    told.0.send_replace(signal);
                } else if signal != SIGHUP {
                    signal_hook::low_level::exit(128 + signal);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(refused)?;
        Ok(stop)
    }

    /// Fails once a stop was asked for: for loops that never wait.
    pub fn check(&self) -> Result<(), Failure> {
        match *self.0.borrow() {
            0 => Ok(()),
            signal => Err(Failure::Stopped(signal)),
        }
    }

    /// Waits until a stop is asked for.
    pub async fn asked(&self) -> Failure {
        let mut signal = self.0.subscribe();
        let asked = signal.wait_for(|signal| *signal != 0).await.map(|signal| *signal);
        match asked {
            Ok(signal) => Failure::Stopped(signal),
            // The sender is ours.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Whether SIGHUP was not ignored when the command was started. As /proc says: to ask the C library takes unsafe code.
fn may_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 0)
}
