//! Numbers about a pass.

/// What a [`Loader`](super::Loader) did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that were handed over.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    pub batches: u64,
    /// Items that failed and were left out: `loader.on_error=skip`.
    pub skipped: u64,
    /// Items that failed and whose place the next one took: `loader.on_error=substitute`.
    pub substituted: u64,
    /// How long `next` waited for data.
    pub wait_ns: u64,
    /// Items that are being fetched now.
    pub in_flight: u64,
    /// Items that were fetched and wait to be handed over.
    pub buffered_items: u64,
    /// Bytes of both.
    pub buffered_bytes: u64,
    /// Keys that were listed.
    pub listed: u64,
}
