//! The HTTP/1.1 data plane: bytes go from the socket into the destination's memory, and a request
//! costs little more than its two system calls. Small on purpose: methods with and without bodies,
//! content-length and chunked answers, keep-alive; no redirects, no `Expect`, no HTTP/2.

pub mod auth;
pub mod retry;
