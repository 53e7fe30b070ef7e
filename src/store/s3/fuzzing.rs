//! What `crate::fuzzing` reaches here.

use super::{plane, read};

pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    read::parse_content_range(text)
}

/// The XML of a failure.
pub(crate) fn report(xml: &[u8]) {
    plane::report(xml);
}
