//! io_uring for the local stores: whether it is used, how deep, and rings that are kept for reuse.
//!
//! A ring is asked for by each operation that has more than one request to make; where the system
//! has none to give, the operation goes by `pread` and `pwrite` ([`fallbacks`] counts that and the log
//! tells it) or is refused, as `local.io_uring` says. What a request through a ring does not do whole, and any
//! error of it, is done again by those calls, so that there is one way that knows every odd case.

mod op;
#[cfg_attr(target_os = "linux", path = "linux/sys.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other/sys.rs")]
mod platform;

pub use op::{Op, Source, Target};
pub use platform::Ring;

use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use crate::runtime::{Era, PerProcess};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Rings that nobody uses, of any depth. A forked child has none of its parent's.
static IDLE: PerProcess<Mutex<Vec<Ring>>> = PerProcess::new();
/// The oldest are closed where there are more.
const MAX_IDLE: usize = 16;

static FALLBACKS: AtomicU64 = AtomicU64::new(0);

/// How many operations of this process went without io_uring because the system refused it.
pub fn fallbacks() -> u64 {
    FALLBACKS.load(Ordering::Relaxed)
}

/// What a store was told about io_uring. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rings(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    mode: Mode,
    depth: usize,
    block: usize,
    /// One line in the log per store is enough.
    warned: AtomicBool,
}

impl Settings {
    /// What a ring is made for.
    fn room(&self) -> usize {
        (self.depth * 2).next_power_of_two()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Auto,
    On,
    Off,
}

impl Rings {
    /// Asks the system for nothing yet.
    pub fn new(options: &Resolved) -> Rings {
        let mode = match options.text(&options::LOCAL_IO_URING) {
            Some("on") => Mode::On,
            Some("off") => Mode::Off,
            _ => Mode::Auto,
        };
        Rings(Arc::new(Settings {
            mode,
            depth: options.size(&options::LOCAL_QUEUE_DEPTH).max(1),
            block: options.size(&options::LOCAL_BLOCK_SIZE),
            warned: AtomicBool::new(false),
        }))
    }

    /// Requests that one operation keeps under way; a ring has room for twice as many.
    pub fn depth(&self) -> usize {
        self.0.depth
    }

    /// The bytes of one request, as a multiple of `block`.
    pub fn request_size(&self, block: usize) -> usize {
        self.0.block.max(block).next_multiple_of(block)
    }

    /// A ring for one operation; `None`: go without. `Unsupported` where there must be one.
    pub fn take(&self) -> Result<Option<Lease>> {
        if self.0.mode == Mode::Off {
            return Ok(None);
        }
        let era = Era::now();
        let idle = IDLE.get(|| Ok(Mutex::default()))?;
        let kept = {
            let mut idle = lock(&idle);
            let at = idle.iter().rposition(|ring| ring.depth() == self.0.room());
            at.map(|at| idle.swap_remove(at))
        };
        let ring = match kept {
            Some(ring) => ring,
            None => match Ring::new(self.0.room()) {
                Ok(ring) => ring,
                Err(reason) => return self.fall_back(&reason).map(|()| None),
            },
        };
        Ok(Some(Lease { ring: Some(ring), idle, era }))
    }

    /// Goes on without, visibly, or refuses to.
    fn fall_back(&self, reason: &io::Error) -> Result<()> {
        if self.0.mode == Mode::On {
            let error = Error::new(
                Code::Unsupported,
                format!("option local.io_uring is on, but the system refuses io_uring: {reason}"),
            )
            .with_hint("local.io_uring=auto goes without it; a sandbox or the sysctl kernel.io_uring_disabled may forbid it");
            return Err(match reason.raw_os_error() {
                Some(errno) => error.with_errno(errno),
                None => error,
            });
        }
        FALLBACKS.fetch_add(1, Ordering::Relaxed);
        if self.0.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(%reason, "io_uring is refused, so this operation goes without it");
        } else {
            tracing::warn!(%reason, "io_uring is refused, so local files are read and written without it");
        }
        Ok(())
    }
}

/// A ring that is one operation's until this is dropped.
pub struct Lease {
    ring: Option<Ring>,
    idle: Arc<Mutex<Vec<Ring>>>,
    era: Era,
}

impl Lease {
    /// The ring, unless it failed.
    pub fn usable(&mut self) -> Option<&mut Ring> {
        self.ring.as_mut().filter(|ring| ring.is_usable())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(ring) = self.ring.take() else { return };
        if self.era.forked() {
            std::mem::forget(ring); // it is the parent's
        } else if ring.is_usable() && self.era == Era::now() {
            let mut idle = lock(&self.idle);
            let oldest = (idle.len() >= MAX_IDLE).then(|| idle.remove(0));
            idle.push(ring);
            drop(idle);
            drop(oldest); // outside the lock: it is closed
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.ring.as_ref().map_or(0, Ring::depth))
    }
}
