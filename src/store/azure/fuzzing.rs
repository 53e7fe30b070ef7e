//! What `crate::fuzzing` reaches here.

use super::list;
use super::read;
use super::xml::Element;

/// First byte, end and size.
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    read::parse_content_range(text).map(|range| (range.bytes.start, range.bytes.end, range.total))
}

/// The answer to a listing of what is below `prefix`.
pub(crate) fn listing(xml: &[u8], prefix: &str) {
    let Ok(root) = Element::parse(xml, "EnumerationResults") else { return };
    if let Ok(page) = list::entries(&root, prefix, prefix) {
        assert!(page.entries.windows(2).all(|two| two[0].key() <= two[1].key()), "not in order");
        assert_ne!(page.next.as_deref(), Some(""));
    }
    let _ = list::names(&root);
}
