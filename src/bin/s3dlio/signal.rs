//! SIGINT and SIGTERM: the first asks to stop, and what is under way is cleaned up; a second ends at once.

use crate::exit::Failure;
use s3dlio::api::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use tokio::sync::watch;

/// Whether, and by which signal, the command was asked to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<i32>>);

impl Stop {
    /// Takes the two signals from now on.
    pub fn install() -> Result<Stop> {
        let stop = Stop(Arc::new(watch::Sender::new(0)));
        let refused = |e: std::io::Error| Error::from_io("cannot take signals", &e).with_operation("start");
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
        let told = stop.clone();
        let wait = move || {
            for signal in signals.forever() {
                if told.0.send_replace(signal) != 0 {
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
