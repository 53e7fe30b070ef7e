//! One io_uring as safe functions: memory, files and names that a request uses belong to the ring
//! until the request is over, whatever happens meanwhile.

use super::op::{Done, Op};
use io_uring::{IoUring, Probe, opcode, types};
use std::collections::VecDeque;
use std::fmt;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How long a broken ring's requests are left alone between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A submission and a completion queue shared with the kernel. Any thread may use it, one at a time,
/// but never a forked child: its requests would be the parent's.
pub struct Ring {
    uring: IoUring,
    /// A call to the kernel failed for good; the ring is not to be used again.
    broken: bool,
}

impl Ring {
    /// A ring for `depth` requests at once. `ENOSYS`, `EPERM`, `EACCES`, `ENOMEM`, `EMFILE` ... where the
    /// kernel, its settings, a sandbox or a limit refuses it; `EOPNOTSUPP` where it lacks a request.
    pub fn new(depth: usize) -> Result<Ring> {
        let entries = u32::try_from(depth.next_power_of_two()).unwrap_or(u32::MAX);
        let uring = IoUring::builder().dontfork().setup_clamp().build(entries)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::OpenAt2::CODE, opcode::Close::CODE];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        Ok(Ring { uring, broken: false })
    }

    /// How many requests may be under way at once.
    pub fn depth(&self) -> usize {
        self.uring.params().sq_entries() as usize
    }

    /// Whether it may be used again.
    pub fn is_usable(&self) -> bool {
        !self.broken
    }

    /// Runs `f`, which gives requests to the flight and takes them back; returns, or unwinds, only
    /// once every one of them is over.
    pub fn fly<'a, R>(&mut self, f: impl FnOnce(&mut Flight<'_, 'a>) -> R) -> R {
        let depth = self.depth();
        let mut flight = Flight {
            ring: self,
            slots: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            queued: VecDeque::new(),
            flying: 0,
        };
        f(&mut flight)
        // Its drop waits for what is left.
    }
}

/// The requests of one [`Ring::fly`].
pub struct Flight<'r, 'a> {
    ring: &'r mut Ring,
    /// By the number that the kernel gives back.
    slots: Vec<Option<(usize, Op<'a>)>>,
    free: Vec<usize>,
    /// Not yet taken by the kernel, in order.
    queued: VecDeque<usize>,
    /// Taken by the kernel and not yet given back.
    flying: usize,
}

impl<'a> Flight<'_, 'a> {
    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.flying == 0
    }

    /// Queues a request; `tag` comes back with it. It starts with the next [`Flight::submit`] or
    /// [`Flight::next`]. Without room it comes back at once.
    pub fn push(&mut self, tag: usize, op: Op<'a>) -> std::result::Result<(), Op<'a>> {
        let Some(slot) = self.free.pop() else { return Err(op) };
        let op = &mut self.slots[slot].insert((tag, op)).1;
        let entry = match op {
            Op::Open { folder, name, how } => {
                let fd = types::Fd(folder.as_raw_fd());
                opcode::OpenAt2::new(fd, name.as_ptr(), (&raw const how.0).cast()).build()
            }
            Op::Read { file, offset, memory } => {
                let (start, len) = (memory.as_mut_ptr(), length(memory.len()));
                opcode::Read::new(types::Fd(file.as_raw_fd()), start, len).offset(*offset).build()
            }
            Op::Write { file, offset, memory } => {
                let (start, len) = (memory.as_ptr(), length(memory.len()));
                opcode::Write::new(types::Fd(file.as_raw_fd()), start, len).offset(*offset).build()
            }
            Op::Close { file } => opcode::Close::new(types::Fd(file.as_raw_fd())).build(),
            Op::None => opcode::Nop::new().build(),
        };
        let entry = entry.user_data(slot as u64);
        // SAFETY: what the entry points at is in, or owned or borrowed for longer than this flight by,
        // the slot, which is emptied only once the request is over; the flight's drop waits for that.
        let pushed = unsafe { self.ring.uring.submission().push(&entry) };
        match pushed {
            Ok(()) => {
                self.queued.push_back(slot);
                Ok(())
            }
            Err(_) => {
                self.free.push(slot); // as many slots as entries: this does not happen
                Err(self.slots[slot].take().map_or(Op::None, |(_, op)| op))
            }
        }
    }

    /// Starts what is queued, without waiting for anything.
    pub fn submit(&mut self) {
        if !self.queued.is_empty() {
            self.enter(0);
        }
    }

    /// A request that is over; `None` where nothing is under way, or where nothing is over yet
    /// and `wait` is not set.
    pub fn next(&mut self, wait: bool) -> Option<Done<'a>> {
        loop {
            let event = self.ring.uring.completion().next();
            if let Some(event) = event {
                self.flying -= 1;
                if let Some(done) = self.finish(event.user_data() as usize, event.result()) {
                    return Some(done);
                }
                continue;
            }
            if self.ring.broken
                && let Some(slot) = self.queued.pop_front()
            {
                return self.finish(slot, -libc::ECANCELED);
            }
            if !wait || self.is_empty() {
                return None;
            }
            self.enter(1);
        }
    }

    fn finish(&mut self, slot: usize, result: i32) -> Option<Done<'a>> {
        let (tag, op) = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        let result = match usize::try_from(result) {
            Ok(value) => Ok(value),
            Err(_) => Err(Error::from_raw_os_error(-result)),
        };
        Some(match op {
            Op::Open { .. } => {
                // SAFETY: a descriptor that the kernel has just made has no other owner.
                let opened = result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) });
                match opened {
                    Ok(fd) => Done { tag, op: Op::None, opened: Some(fd), result: Ok(0) },
                    Err(error) => Done { tag, op: Op::None, opened: None, result: Err(error) },
                }
            }
            Op::Close { file } => {
                // One that was never started is closed here; all others have closed, also where they
                // report an error.
                match &result {
                    Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => drop(file),
                    _ => std::mem::forget(file),
                }
                Done { tag, op: Op::None, opened: None, result }
            }
            op => Done { tag, op, opened: None, result },
        })
    }

    /// One call to the kernel: starts what is queued, and waits for `want` requests to be over.
    fn enter(&mut self, want: u32) {
        if self.ring.broken {
            // The kernel still completes what it took: the queues stay mapped.
            std::thread::sleep(LOOK_AGAIN);
            return;
        }
        let flag = if want > 0 { GETEVENTS } else { 0 };
        let submitter = self.ring.uring.submitter();
        // SAFETY: no signal mask is passed; the entries were checked when they were pushed.
        let enter = |queued| unsafe { submitter.enter::<libc::sigset_t>(queued, want, flag, None) };
        let outcome = match enter(self.queued.len() as u32) {
            // No memory for more requests: first those that are under way.
            Err(e) if is_transient(&e) && want > 0 && self.flying > 0 => enter(0).map(|_| 0),
            outcome => outcome,
        };
        match outcome {
            Ok(taken) => {
                let taken = taken.min(self.queued.len());
                self.queued.drain(..taken);
                self.flying += taken;
            }
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) if is_transient(&e) && self.flying > 0 => {}
            Err(error) => {
                tracing::warn!(%error, "an io_uring failed; its requests are made by other means");
                self.ring.broken = true;
            }
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({})", self.depth())
    }
}

impl fmt::Debug for Flight<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flight({} queued, {} flying)", self.queued.len(), self.flying)
    }
}

impl Drop for Flight<'_, '_> {
    fn drop(&mut self) {
        while !self.is_empty() {
            drop(self.next(true));
        }
    }
}

const GETEVENTS: u32 = 1;

/// What one request may have; the kernel stops there, too.
fn length(bytes: usize) -> u32 {
    bytes.min(1 << 30) as u32
}

fn is_transient(e: &Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}
