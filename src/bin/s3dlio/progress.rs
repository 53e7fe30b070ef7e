//! Progress on standard error: a bar, or nothing where that is not a terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a bar is drawn anew while nothing else moves it.
#[allow(dead_code)]
const TICK: Duration = Duration::from_millis(100);

/// Where bars are drawn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    shown: bool,
    current: Arc<Mutex<Option<Bar>>>,
}

/// Counts what is done of objects and bytes. Cheap to clone.
#[derive(Clone, Debug)]
#[allow(dead_code)]
pub struct Bar {
    bar: ProgressBar,
}

impl Progress {
    /// `wanted`: not where the user asked for quiet.
    pub fn new(wanted: bool) -> Progress {
        let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let shown = !bars.is_hidden();
        Progress { bars, shown, current: Arc::default() }
    }

    /// Writes something else to the terminal without tearing the bar.
    pub fn around(&self, write: impl FnOnce()) {
        match self.shown {
            true => self.bars.suspend(write),
            false => write(),
        }
    }

    /// Removes what is drawn.
    pub fn clear(&self) {
        if let Some(bar) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.bar.finish_and_clear();
        }
    }
}
