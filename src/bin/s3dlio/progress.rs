//! Progress on standard error: a bar, or nothing where that is not a terminal. What works only adds to
//! counters; a thread of its own draws them.

use crate::text;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is over before that shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often a bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// What is done so far.
#[derive(Debug, Default)]
pub struct Counters {
    pub objects: AtomicU64,
    pub bytes: Arc<AtomicU64>,
    pub all_objects: AtomicU64,
    pub all_bytes: AtomicU64,
    /// Whether `all_` are the last word.
    pub all_known: AtomicBool,
}

impl Counters {
    /// More objects to do.
    pub fn announce(&self, objects: u64, bytes: u64) {
        self.all_objects.fetch_add(objects, Relaxed);
        self.all_bytes.fetch_add(bytes, Relaxed);
    }

    /// One object less to do.
    pub fn done(&self) {
        self.objects.fetch_add(1, Relaxed);
    }
}

/// Where the bar is drawn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    shown: bool,
    /// The bar that is drawn now.
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

/// A bar that is drawn until it is dropped.
#[derive(Debug)]
pub struct Drawn {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// `wanted`: not where the user asked for quiet.
    pub fn new(wanted: bool) -> Progress {
        let target = ProgressDrawTarget::stderr();
        Progress { shown: wanted && !target.is_hidden(), bar: Arc::default() }
    }

    /// Writes something else to the terminal without tearing the bar.
    pub fn around(&self, write: impl FnOnce()) {
        match &*self.bar() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Draws the counters from now on.
    pub fn draw(&self, what: &'static str, counters: &Arc<Counters>) -> Drawn {
        let end = Arc::new(AtomicBool::new(false));
        let mut thread = None;
        if self.shown {
            let (progress, counters, ended) = (self.clone(), counters.clone(), end.clone());
            let draw = move || progress.follow(what, &counters, &ended);
            // Without a thread there is no bar, and the work goes on.
            thread = thread::Builder::new().name("progress".into()).spawn(draw).ok();
        }
        Drawn { end, thread }
    }

    fn follow(&self, what: &str, counters: &Counters, ended: &AtomicBool) {
        let started = Instant::now();
        thread::park_timeout(PATIENCE);
        while !ended.load(Relaxed) {
            let mut drawn = self.bar();
            let bar = drawn.get_or_insert_with(|| {
                ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(20))
            });
            show(bar, what, counters, started.elapsed());
            drop(drawn);
            thread::park_timeout(TICK);
        }
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // a panic of it was shown
        }
    }
}

fn show(bar: &ProgressBar, what: &str, counters: &Counters, time: Duration) {
    let load = |counter: &AtomicU64| counter.load(Relaxed);
    let (objects, bytes) = (load(&counters.objects), load(&counters.bytes));
    let (all_objects, all_bytes) = (load(&counters.all_objects), load(&counters.all_bytes));
    let known = counters.all_known.load(Relaxed);
    let (at, end) = if all_bytes > 0 { (bytes, all_bytes) } else { (objects, all_objects) };
    // The rest of the line is cut where the terminal is narrow.
    let template = if known { "{bar:12} {wide_msg}" } else { "{spinner} {wide_msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_length(end);
    bar.set_position(at.min(end));
    bar.set_message(message(what, known, (objects, all_objects), (bytes, all_bytes), time));
    bar.tick();
}

fn message(what: &str, known: bool, objects: (u64, u64), bytes: (u64, u64), time: Duration) -> String {
    let mut line = String::new();
    let (at, end) = if bytes.1 > 0 { bytes } else { objects };
    if known && end > 0 {
        line = format!("{:3}% ", at.min(end) * 100 / end);
    }
    line += &format!("{what} {}/{} objects", objects.0, objects.1);
    if bytes.1 > 0 || bytes.0 > 0 {
        let all = if bytes.1 > 0 { format!("/{}", text::size(bytes.1)) } else { String::new() };
        line += &format!(", {}{all}, {}", text::size(bytes.0), text::rate(bytes.0, time));
    } else {
        line += &format!(", {:.0}/s", text::per_second(objects.0, time));
    }
    if known && at > 0 && at < end {
        let left = time.mul_f64((end - at) as f64 / at as f64);
        line += &format!(", ETA {}", text::duration(left));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_a_bar_tells_objects_bytes_rate_and_time_left() {
        let of = |known, objects, bytes| message("upload", known, objects, bytes, Duration::from_secs(10));
        assert_eq!(
            of(true, (1, 4), (10 << 20, 40 << 20)),
            " 25% upload 1/4 objects, 10.0 MiB/40.0 MiB, 1.0 MiB/s, ETA 30.0 s"
        );
        assert_eq!(of(true, (50, 100), (0, 0)), " 50% upload 50/100 objects, 5/s, ETA 10.0 s");
        assert_eq!(
            of(false, (1, 4), (10 << 20, 40 << 20)),
            "upload 1/4 objects, 10.0 MiB/40.0 MiB, 1.0 MiB/s"
        );
        assert_eq!(
            of(true, (4, 4), (1 << 20, 1 << 20)),
            "100% upload 4/4 objects, 1.0 MiB/1.0 MiB, 102.4 KiB/s"
        );
    }
}
