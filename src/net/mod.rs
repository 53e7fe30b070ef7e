//! The HTTP/1.1 data plane: bytes go from the socket into the destination's memory, and a request
//! costs little more than its two system calls. Small on purpose: methods with and without bodies,
//! content-length and chunked answers, keep-alive; no redirects, no `Expect`, no HTTP/2.
//!
//! ```text
//! client        Client, Peer: send a request to an endpoint
//!   request     method, target, headers, body      answer    status, headers, body into memory
//!   pool        the connections of an endpoint     failure   how far it came, what a retry may rely on
//!   connection  one exchange: send, head, body     watch     progress timeout and deadline
//!     head, chunked, range  parsers                      stream, tcp, sys   bytes, plain or through TLS
//!   connect     addresses, tunnel, handshake       dns, proxy, tls    where to, through what, whom to trust
//! turn          whose turn it is on a thread
//! endpoint      scheme, host, port
//! auth/         signatures and tokens                retry/    what a failure means, when to try again
//! ```
//!
//! Nothing here tries a request again, but for a kept connection that was dead all along; that is
//! the caller's part, who signs it anew. Dropping a future or an [`Answer`] ends what it was doing:
//! memory that was lent to it is free at that moment.

pub mod answer;
mod attempt;
pub mod auth;
mod chunked;
pub mod client;
mod connect;
mod connection;
pub mod dns;
pub mod endpoint;
pub mod failure;
mod head;
mod pool;
pub mod proxy;
mod range;
pub mod request;
pub mod retry;
mod stream;
mod sys;
mod tcp;
pub mod tls;
mod turn;
mod watch;

pub use answer::Answer;
pub use client::{Client, Config, Peer};
pub use endpoint::{Endpoint, Scheme};
pub use failure::{Failure, Phase};
pub use pool::PoolStats;
pub use range::content_range;
pub use request::{Body, Headers, Method, Request};
pub use watch::Limits;
#[cfg(fuzzing)]
pub(crate) use {
    chunked::Chunked,
    head::{Framing, Head, find_end},
};
