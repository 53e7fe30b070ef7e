//! Completion queues: operations that nobody waits for, whose outcomes come as events.
//!
//! * Whoever submits an operation gets exactly one event, whatever happens to it: its [`Ticket`]
//!   posts the event when its last holder drops it. The operation holds the ticket, and so does every
//!   piece of memory that was lent to it; so the event comes after the last use of that memory.
//! * The descriptor of a queue is readable exactly while it has events.
//! * Stores that block do so on threads of their own, a bounded number per queue; so is the number of
//!   network operations that run at once. The others wait for their turn.

mod op;
mod queue;
mod run;
mod sys;
mod ticket;
mod wake;

pub use op::{Op, Progress};
pub use queue::{Event, Next, Queue};
pub use run::Work;
#[cfg(doc)]
use ticket::Ticket;
