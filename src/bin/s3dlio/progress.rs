//! Progress on standard error: one line that is drawn anew, or nothing where that is not a terminal. What works only
//! adds to counters; a thread of its own draws them.

use crate::text;
use console::Term;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is over before that shows no line.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(100);
const TURNING: [char; 4] = ['|', '/', '-', '\\'];
/// Of the bar, without its brackets.
const BAR: usize = 12;
/// A terminal of less shows the share as a number only.
const ROOM_FOR_A_BAR: usize = 60;
/// Columns that stay free, so that `^C`, which the terminal itself shows behind the line, does not begin another one.
const ROOM_FOR_INTERRUPT: usize = 3;

/// What is done so far.
#[derive(Debug, Default)]
pub struct Counters {
    pub objects: AtomicU64,
    pub bytes: Arc<AtomicU64>,
    pub all_objects: AtomicU64,
    pub all_bytes: AtomicU64,
    /// Whether `all_` are the last word.
    pub all_known: AtomicBool,
    /// How long it goes on, where it is not for so many objects.
    pub all_millis: AtomicU64,
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

/// Where the line is drawn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    shown: bool,
    /// What is on the screen now; nothing behind it.
    line: Arc<Mutex<String>>,
}

/// A line that is drawn until this is dropped.
#[derive(Debug)]
pub struct Drawn {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// `wanted`: not where the user asked for quiet.
    pub fn new(wanted: bool) -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Progress { shown: wanted && !dumb && std::io::stderr().is_terminal(), line: Arc::default() }
    }

    /// Writes something else to the terminal without tearing the line.
    pub fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        let line = self.line();
        if line.is_empty() {
            return write();
        }
        print(&erasing(&line, columns()));
        let written = write();
        print(&line);
        written
    }

    /// Draws the counters from now on.
    pub fn draw(&self, what: &'static str, counters: &Arc<Counters>) -> Drawn {
        let end = Arc::new(AtomicBool::new(false));
        let mut thread = None;
        if self.shown {
            let (progress, counters, ended) = (self.clone(), counters.clone(), end.clone());
            let draw = move || progress.follow(what, &counters, &ended);
            // Without a thread nothing is drawn, and the work goes on.
            thread = thread::Builder::new().name("progress".into()).spawn(draw).ok();
        }
        Drawn { end, thread }
    }

    fn follow(&self, what: &str, counters: &Counters, ended: &AtomicBool) {
        let started = Instant::now();
        thread::park_timeout(PATIENCE);
        for turn in TURNING.iter().cycle() {
            if ended.load(Relaxed) {
                break;
            }
            let columns = columns();
            self.replace(counters.now(started.elapsed()).line(what, *turn, columns), columns);
            thread::park_timeout(TICK);
        }
        self.replace(String::new(), columns());
    }

    fn replace(&self, fresh: String, columns: usize) {
        let mut line = self.line();
        if !(line.is_empty() && fresh.is_empty()) {
            print(&format!("{}{fresh}", erasing(&line, columns)));
        }
        *line = fresh;
    }

    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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

fn columns() -> usize {
    Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns)).max(1)
}

fn print(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Where it cannot be shown there is nobody to tell.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// What takes this line from the screen, where a terminal that became narrower has wrapped it, and puts the cursor to
/// its start.
fn erasing(line: &str, columns: usize) -> String {
    match line.len().div_ceil(columns) {
        0 | 1 => "\r\x1b[K".to_owned(),
        rows => format!("\x1b[{}A\r\x1b[J", rows - 1),
    }
}

/// [`Counters`] at one moment.
struct Now {
    objects: u64,
    bytes: u64,
    all_objects: u64,
    all_bytes: u64,
    known: bool,
    all_millis: u64,
    time: Duration,
}

impl Counters {
    fn now(&self, time: Duration) -> Now {
        // Before the sums that it is about.
        let known = self.all_known.load(Relaxed);
        Now {
            objects: self.objects.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            all_objects: self.all_objects.load(Relaxed),
            all_bytes: self.all_bytes.load(Relaxed),
            known,
            all_millis: self.all_millis.load(Relaxed),
            time,
        }
    }
}

impl Now {
    /// How much of how much is done, where that is known.
    fn share(&self) -> Option<(u64, u64)> {
        let (at, end) = match (self.all_millis, self.all_bytes) {
            (0, 0) => (self.objects, self.all_objects),
            (0, bytes) => (self.bytes, bytes),
            (millis, _) => (u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX), millis),
        };
        ((self.known || self.all_millis > 0) && end > 0).then_some((at.min(end), end))
    }

    /// One line of ASCII that fits; what comes last is left out first.
    fn line(&self, what: &str, turn: char, columns: usize) -> String {
        let mut line = match self.share() {
            None => format!("{turn} "),
            Some((at, end)) => {
                let of = |parts: u64| (u128::from(at) * u128::from(parts) / u128::from(end)) as usize;
                let bar = if columns < ROOM_FOR_A_BAR { String::new() } else { bar(of(BAR as u64)) };
                format!("{bar}{:3}% ", of(100))
            }
        };
        let room = columns.saturating_sub(ROOM_FOR_INTERRUPT);
        line += what;
        for (number, fact) in self.facts().iter().enumerate() {
            let gap = if number == 0 { " " } else { ", " };
            if number > 0 && line.len() + gap.len() + fact.len() > room {
                break;
            }
            line += gap;
            line += fact;
        }
        line.truncate(room);
        line
    }

    fn facts(&self) -> Vec<String> {
        let (objects, bytes) = (self.objects, self.bytes);
        let all = |all: String| if self.known { format!("/{all}") } else { format!("/{all}+") };
        let mut facts = Vec::new();
        if self.all_millis > 0 {
            facts.push(text::count(objects, "operation"));
        } else if self.all_objects > 0 {
            facts.push(format!("{objects}{} objects", all(self.all_objects.to_string())));
        }
        let counts_bytes = self.all_bytes > 0 || bytes > 0;
        if counts_bytes {
            let of = if self.all_bytes > 0 { all(text::size(self.all_bytes)) } else { String::new() };
            facts.push(format!("{}{of}", text::size(bytes)));
        }
        if let Some((at, end)) = self.share()
            && at > 0
            && at < end
        {
            let left = self.time.mul_f64((end - at) as f64 / at as f64);
            facts.push(format!("ETA {}", text::duration(left)));
        }
        facts.push(match counts_bytes {
            true => text::rate(bytes, self.time),
            false => format!("{:.0}/s", text::per_second(objects, self.time)),
        });
        facts
    }
}

/// `[=====>      ] `
fn bar(done: usize) -> String {
    let head = if done < BAR { ">" } else { "" };
    format!("[{}{head}{}] ", "=".repeat(done), " ".repeat(BAR.saturating_sub(done + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(known: bool, objects: (u64, u64), bytes: (u64, u64)) -> Now {
        let ((objects, all_objects), (bytes, all_bytes)) = (objects, bytes);
        Now { objects, bytes, all_objects, all_bytes, known, all_millis: 0, time: Duration::from_secs(10) }
    }

    #[test]
    fn k1_a_line_tells_objects_bytes_rate_and_time_left() {
        let of = |known, objects, bytes| now(known, objects, bytes).line("upload", '|', 200);
        assert_eq!(
            of(true, (1, 4), (10 << 20, 40 << 20)),
            "[===>        ]  25% upload 1/4 objects, 10.0 MiB/40.0 MiB, ETA 30.0 s, 1.0 MiB/s"
        );
        assert_eq!(of(true, (50, 100), (0, 0)), "[======>     ]  50% upload 50/100 objects, ETA 10.0 s, 5/s");
        assert_eq!(
            of(false, (1, 4), (10 << 20, 40 << 20)),
            "| upload 1/4+ objects, 10.0 MiB/40.0 MiB+, 1.0 MiB/s"
        );
        assert_eq!(
            of(true, (4, 4), (1 << 20, 1 << 20)),
            "[============] 100% upload 4/4 objects, 1.0 MiB/1.0 MiB, 102.4 KiB/s"
        );
        assert_eq!(of(false, (0, 0), (10 << 20, 0)), "| upload 10.0 MiB, 1.0 MiB/s");
        let timed = Now { all_millis: 40_000, ..now(false, (50, 0), (10 << 20, 0)) };
        assert_eq!(
            timed.line("measuring", '|', 200),
            "[===>        ]  25% measuring 50 operations, 10.0 MiB, ETA 30.0 s, 1.0 MiB/s"
        );
    }

    #[test]
    fn k1_a_line_fits_and_leaves_room_for_the_echo_of_an_interrupt() {
        let now = now(true, (1, 4), (10 << 20, 40 << 20));
        for columns in 1..120 {
            let line = now.line("upload", '|', columns);
            assert!(line.len() + ROOM_FOR_INTERRUPT <= columns.max(ROOM_FOR_INTERRUPT), "{columns}: {line}");
        }
        assert_eq!(
            now.line("upload", '|', 80),
            "[===>        ]  25% upload 1/4 objects, 10.0 MiB/40.0 MiB, ETA 30.0 s"
        );
        assert_eq!(now.line("upload", '|', 40), " 25% upload 1/4 objects");
        assert_eq!(now.line("upload", '|', 20), " 25% upload 1/4 o");
    }

    #[test]
    fn k1_a_line_that_a_narrower_terminal_wrapped_is_erased_whole() {
        assert_eq!(erasing("", 10), "\r\x1b[K");
        assert_eq!(erasing("1234567890", 10), "\r\x1b[K");
        assert_eq!(erasing("12345678901", 10), "\x1b[1A\r\x1b[J");
        assert_eq!(erasing(&"x".repeat(57), 20), "\x1b[2A\r\x1b[J");
    }
}
