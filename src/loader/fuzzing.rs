//! What the fuzz targets feed.

use super::source::manifest::parse_line;
use super::state::{State, merge};

/// A state, or several parted by NUL.
pub(crate) fn state(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut states = Vec::new();
    for text in text.split('\0') {
        if let Ok(state) = State::parse(text) {
            // What was accepted is written as it was read.
            let again = state.to_text().and_then(|text| State::parse(&text));
            assert!(again.is_ok_and(|again| again == state));
            states.push(state);
        }
    }
    if let Ok(merged) = merge(&states) {
        let text = merged.to_text();
        assert!(text.is_ok_and(|text| State::parse(&text).is_ok()));
    }
}

/// Lines of a manifest.
pub(crate) fn manifest(data: &[u8]) {
    for line in data.split_inclusive(|b| *b == b'\n') {
        if let Ok(Some(line)) = parse_line(line) {
            assert!(!line.uri.contains(['\t', '\n']));
        }
    }
}
