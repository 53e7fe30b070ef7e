//! The rows of the matrix: faults, and what may come of them.

/// What a fault may lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Not seen by the caller, however often it comes.
    Harmless,
    /// Overcome where it comes once; exact or an error where it always comes.
    Passing,
    /// Exact, or an error.
    Lasting,
}

use Class::{Harmless, Lasting, Passing};

/// As a script names them.
pub const FAULTS: &[(&str, Class)] = &[
    // Attempts may all fall into that time.
    ("refuse ms=60", Lasting),
    ("reset_before_head", Passing),
    ("reset_before_head phase=after", Passing),
    ("reset_in_head", Passing),
    ("reset_after_head", Passing),
    ("reset_in_body at=0", Passing),
    ("reset_in_body at=1", Passing),
    ("reset_in_body at=mid", Passing),
    ("reset_in_body at=last", Passing),
    ("reset_after_body", Passing),
    ("reset_in_request at=0", Passing),
    ("reset_in_request at=1", Passing),
    ("reset_in_request at=mid", Passing),
    ("reset_in_request at=last", Passing),
    ("close_before_head", Passing),
    ("close_in_head", Passing),
    ("close_in_body at=0", Passing),
    ("close_in_body at=1", Passing),
    ("close_in_body at=mid", Passing),
    ("close_in_body at=last", Passing),
    ("close_after_body", Harmless),
    ("half_close at=mid", Passing),
    ("half_close at=end", Harmless),
    ("short_body at=mid", Lasting),
    ("short_range at=mid", Lasting),
    ("no_length at=mid", Lasting),
    ("no_length at=end", Lasting),
    ("stall_before_head", Passing),
    ("stall_before_head phase=before", Passing),
    ("stall_in_head", Passing),
    ("stall_in_body at=0", Passing),
    ("stall_in_body at=mid", Passing),
    ("stall_in_body at=last", Passing),
    // Not for ever: while bytes wait to be read, a server cannot see that the client has left.
    ("stall_in_request at=mid ms=2500", Passing),
    ("stall_before_head ms=30", Harmless),
    ("stall_in_head ms=30", Harmless),
    ("stall_in_body at=mid ms=30", Harmless),
    ("stall_in_request at=mid ms=30", Harmless),
    ("trickle count=4 ms=10", Harmless),
    ("status status=400", Lasting),
    ("status status=403", Lasting),
    ("status status=404", Lasting),
    ("status status=408", Passing),
    ("status status=409", Lasting),
    ("status status=412", Lasting),
    ("status status=416", Lasting),
    ("status status=429", Passing),
    ("status status=429 retry_after=1", Passing),
    ("status status=500", Passing),
    ("status status=500 body=none", Passing),
    ("status status=502 body=html", Passing),
    ("status status=503", Passing),
    ("status status=503 retry_after=1", Passing),
    ("status status=503 body=none", Passing),
    ("status status=504 body=none", Passing),
    ("error_in_200", Passing),
    ("error_in_200 phase=after", Lasting),
    ("error_in_200 code=AccessDenied", Lasting),
    ("error_in_200 body=none", Lasting),
    ("error_in_200 body=html", Lasting),
    ("error_in_200 body=truncated", Lasting),
    ("error_in_200 body=spaces", Passing),
    ("wrong_content_range body=shift", Lasting),
    ("wrong_content_range body=longer", Lasting),
    ("wrong_content_range body=total", Lasting),
    ("wrong_content_range body=unit", Lasting),
    ("wrong_content_range body=reversed", Lasting),
    ("wrong_content_range body=missing", Lasting),
    ("wrong_length count=1", Lasting),
    ("wrong_length count=-1", Lasting),
    ("other_etag", Lasting),
    ("replace", Lasting),
    ("remove", Lasting),
    ("corrupt at=mid", Lasting),
    ("corrupt_request at=mid", Lasting),
    ("duplicate", Harmless),
    ("extra_bytes count=16", Harmless),
    ("garbage_head", Passing),
    ("oversized_head count=200000", Lasting),
    ("chunked at=mid", Lasting),
    ("chunked_malformed body=size", Lasting),
    ("chunked_malformed body=overflow", Lasting),
    ("chunked_malformed body=data", Lasting),
    ("chunked_malformed body=end", Lasting),
    ("act_then_drop", Passing),
    ("act_then_500", Passing),
    ("expired_credentials", Lasting),
    ("skewed_clock", Lasting),
    // Where several connections are stale at once, each of them costs an attempt.
    ("stale", Passing),
    ("redirect status=301 region=eu-west-1", Lasting),
    ("redirect status=307", Lasting),
    ("continue count=1", Harmless),
    ("drop_header name=ETag", Lasting),
    ("drop_header name=Content-Length", Lasting),
];

/// A defect that the matrix has found and that is not mended yet: once its cells pass, the row is taken out.
pub struct Known {
    /// `service operation/wire-operation fault mode` with `*`.
    pub cells: &'static str,
    /// How they fail, with `*`.
    pub failure: &'static str,
    pub reason: &'static str,
}

const fn known(cells: &'static str, failure: &'static str, reason: &'static str) -> Known {
    Known { cells, failure, reason }
}

pub const KNOWN: &[Known] = &[
    known("* get*/get corrupt at=mid*", "WRONG BYTES*", "bytes that come are not compared with a checksum"),
    known("azure * corrupt_request at=mid*", "FALSE SUCCESS*", "bytes that go are sent without a checksum"),
    known(
        "azure write/put_part stall_in_request at=mid ms=2500*",
        "LEFT BEHIND*",
        "a block that arrives behind the end of its upload waits until the service expires it",
    ),
    known(
        "azure write*/complete_upload * always",
        "LEFT BEHIND*",
        "what refuses to publish the blocks refuses to remove them, too",
    ),
];
