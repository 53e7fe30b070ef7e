//! Log events and spans of this crate, to whoever asked for them. A span comes as one message when it closes, of
//! its level and target, with all its fields, its number, its parent's, and how long it was open.
//!
//! Only events and spans whose target is this crate leave it: an SDK's debug output may show headers and
//! bodies, and so credentials. Nothing is installed before the first [`set_sink`]; in the shared
//! library the subscriber is the library's own, in a Rust program it is the program's choice.

use crate::base::sync::{lock, read, write};
use crate::error::{Code, Error, Result};
use crate::options;
use crate::runtime::Era;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Receives level (1 error, 2 warn, 3 info, 4 debug, 5 trace), target and message; called on any
/// thread, several at once.
pub type Sink = Box<dyn Fn(u8, &str, &str) + Send + Sync>;

/// The number of a level's name; `off` is 0. `None` takes the option `log.level`.
pub fn level_number(name: Option<&str>) -> Result<u8> {
    let mut wanted = options::Options::new();
    if let Some(name) = name {
        wanted.set(options::LOG_LEVEL.key, name)?;
    }
    let name = wanted.get(options::LOG_LEVEL.key)?;
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    Ok(names.iter().position(|known| *known == name).unwrap_or(0) as u8)
}

/// Sends events up to `level` to `sink`, in place of the one from before; `None` switches off.
/// When this returned, the old sink is not running and will not be called any more.
///
/// `InvalidState` inside a sink, and where a Rust program has a subscriber of its own.
pub fn set_sink(sink: Option<Sink>, level: u8) -> Result<()> {
    if INSIDE.try_with(Cell::get).unwrap_or(true) {
        return Err(Error::new(Code::InvalidState, "a log callback cannot change the logging"));
    }
    if sink.is_some() {
        install()?;
    }
    let level = if sink.is_some() { level } else { 0 };
    let fresh = sink.map(|call| Arc::new(Installed { call, era: Era::now() }));
    let old = {
        let mut installed = write(&SINK);
        LEVEL.store(level, Ordering::Release);
        std::mem::replace(&mut *installed, fresh)
    };
    tracing::callsite::rebuild_interest_cache();
    if let Some(mut old) = old {
        // In a forked child the parent's threads are gone without having let go.
        while !old.era.forked() {
            match Arc::try_unwrap(old) {
                Ok(_) => break,
                Err(still_running) => old = still_running,
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    options::warn_of_unknown_environment();
    Ok(())
}

struct Installed {
    call: Sink,
    era: Era,
}

/// Held for the copy of a pointer only; the sink itself runs outside.
static SINK: RwLock<Option<Arc<Installed>>> = RwLock::new(None);
static LEVEL: AtomicU8 = AtomicU8::new(0);

thread_local! {
    /// This thread runs a sink: events from inside it are dropped, they could go round for ever.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn install() -> Result<()> {
    use std::sync::OnceLock;
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    crate::runtime::hold_during_fork(crate::runtime::ForkRank::Log, || {
        Box::new((write(&SINK), lock(&SPANS)))
    });
    match INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Forward).is_ok()) {
        true => Ok(()),
        false => Err(Error::new(Code::InvalidState, "the program has a tracing subscriber of its own")
            .with_hint("events of the target s3dlio arrive there")),
    }
}

/// Forwards events of this crate to the sink, and spans when they close.
struct Forward;

/// Spans that are open, by their number; only while the level asks for spans.
static SPANS: Mutex<BTreeMap<u64, Open>> = Mutex::new(BTreeMap::new());
static NEXT_SPAN: AtomicU64 = AtomicU64::new(1);

struct Open {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    text: String,
    started: Instant,
    holders: usize,
}

fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

fn ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    // Not only events and spans: `tracing::enabled!` asks with a hint.
    target == "s3dlio" || target.starts_with("s3dlio::")
}

fn send(metadata: &Metadata<'_>, text: &str) {
    if INSIDE.try_with(Cell::get).unwrap_or(true) {
        return;
    }
    let Some(sink) = read(&SINK).clone() else { return };
    let _inside = Inside::enter();
    (sink.call)(number(metadata.level()), metadata.target(), text);
}

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let wanted = ours(metadata) && number(metadata.level()) <= LEVEL.load(Ordering::Acquire);
        // Asked again whenever the level changes: what is off costs no more than without a subscriber.
        if wanted { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ours(metadata) && number(metadata.level()) <= LEVEL.load(Ordering::Acquire)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        send(event.metadata(), &text.0);
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let id = NEXT_SPAN.fetch_add(1, Ordering::Relaxed);
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => {
                ENTERED.try_with(|inside| inside.borrow().last().copied()).ok().flatten()
            }
            None => None,
        };
        let metadata = attributes.metadata();
        let mut text = Text(metadata.name().to_owned());
        attributes.record(&mut text);
        let open = Open { metadata, parent, text: text.0, started: Instant::now(), holders: 1 };
        lock(&SPANS).insert(id, open);
        span::Id::from_u64(id)
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        if let Some(open) = lock(&SPANS).get_mut(&span.into_u64()) {
            let mut text = Text(std::mem::take(&mut open.text));
            values.record(&mut text);
            open.text = text.0;
        }
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, span: &span::Id) {
        let _ = ENTERED.try_with(|inside| inside.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &span::Id) {
        let _ = ENTERED.try_with(|inside| {
            let mut inside = inside.borrow_mut();
            if let Some(at) = inside.iter().rposition(|entered| *entered == span.into_u64()) {
                inside.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &span::Id) -> span::Id {
        if let Some(open) = lock(&SPANS).get_mut(&span.into_u64()) {
            open.holders += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: span::Id) -> bool {
        let id = span.into_u64();
        let mut spans = lock(&SPANS);
        let Some(open) = spans.get_mut(&id) else { return true };
        open.holders -= 1;
        if open.holders > 0 {
            return false;
        }
        let closed = spans.remove(&id);
        drop(spans);
        if let Some(Open { metadata, parent, mut text, started, .. }) = closed {
            // Writing to a string cannot fail.
            let _ = write!(text, " elapsed_us={} span={id}", started.elapsed().as_micros());
            let _ = parent.map_or(Ok(()), |parent| write!(text, " parent={parent}"));
            if self.enabled(metadata) {
                send(metadata, &text);
            }
        }
        true
    }
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        let _ = INSIDE.try_with(|inside| inside.set(true));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.set(false));
    }
}

/// The message, then ` key=value` for every field.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn only_our_events_up_to_the_level_arrive() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let sink: Sink = Box::new(|level, target, message| {
            tracing::error!("from inside");
            assert!(set_sink(None, 0).is_err(), "a sink cannot replace itself");
            crate::base::sync::lock(&SEEN).push(format!("{level} {target} {message}"));
        });
        set_sink(Some(sink), level_number(Some("info")).unwrap()).unwrap();
        assert!(tracing::enabled!(target: "s3dlio::test", Level::INFO));
        assert!(!tracing::enabled!(target: "s3dlio::test", Level::DEBUG));
        tracing::info!(target: "s3dlio::test", bytes = 5, "trace test");
        tracing::debug!(target: "s3dlio::test", "trace test: too detailed");
        tracing::error!(target: "aws_config", "trace test: canary");
        set_sink(None, 0).unwrap();
        tracing::error!(target: "s3dlio::test", "trace test: after the end");
        let seen = SEEN.lock().unwrap();
        let seen: Vec<_> = seen.iter().filter(|line| line.contains("trace test")).collect();
        assert_eq!(seen, ["3 s3dlio::test trace test bytes=5"]);
        spans_come_when_they_close();
    }

    /// P1; a part of the test above, as there is one sink in a process.
    fn spans_come_when_they_close() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let sink: Sink = Box::new(|_, target, message| lock(&SEEN).push(format!("{target} {message}")));
        let make = || tracing::debug_span!(target: "s3dlio::test", "trace test", key = "k", status = tracing::field::Empty);
        set_sink(Some(sink), 3).unwrap();
        assert!(make().is_disabled(), "the level does not ask for spans");
        let sink: Sink = Box::new(|_, target, message| lock(&SEEN).push(format!("{target} {message}")));
        set_sink(Some(sink), 4).unwrap();
        let outer = make();
        let inner = outer.in_scope(make);
        let beside = make();
        let kept = inner.clone();
        inner.record("status", 200);
        drop((inner, outer, beside));
        assert_eq!(lock(&SEEN).len(), 2, "one is still held");
        drop(kept);
        assert!(lock(&SPANS).is_empty());
        set_sink(None, 0).unwrap();
        assert!(make().is_disabled());
        let seen = lock(&SEEN);
        let field = |line: &str, name: &str| {
            line.split(name).nth(1).map(|rest| rest.split(' ').next().unwrap().to_owned())
        };
        assert!(seen[0].starts_with("s3dlio::test trace test key=\"k\" elapsed_us="), "{seen:?}");
        assert_eq!((field(&seen[0], " parent="), field(&seen[1], " parent=")), (None, None));
        assert!(seen[2].contains(" status=200 "));
        assert_eq!(field(&seen[2], " parent="), field(&seen[0], " span="));
    }

    #[test]
    fn levels_have_numbers() {
        assert_eq!(level_number(Some("off")).unwrap(), 0);
        assert_eq!(level_number(Some("trace")).unwrap(), 5);
        assert_eq!(level_number(Some("loud")).unwrap_err().code(), Code::InvalidOption);
    }
}
