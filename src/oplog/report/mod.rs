//! A report of a log (SPEC O2): its statistics, and one page to look at.

mod chart;
mod histogram;
mod json;
mod page;
mod scale;
mod series;
mod stats;

pub use stats::Summary;

use super::Record;
use crate::error::Result;

/// The statistics of a log; what of it cannot be read is counted there.
pub fn summary(records: impl IntoIterator<Item = Result<Record>>) -> Summary {
    Summary::of(records)
}

impl Summary {
    /// One page of HTML that needs nothing else: no script, no font, no picture from elsewhere. `title` may be any text.
    pub fn html(&self, title: &str) -> String {
        page::html(self, title)
    }

    /// The same numbers for programs; times in nanoseconds, rates per second.
    pub fn json(&self) -> serde_json::Value {
        json::value(self)
    }
}
