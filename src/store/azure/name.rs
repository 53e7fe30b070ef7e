//! Which keys Azure can hold. The service reads names as paths of URLs: it drops dots at the end of path
//! segments, resolves `.` and `..`, and turns a backslash into a slash, escaped or not. An object of such
//! a key would be stored under another name, over what is there. So these keys are refused.

use crate::base::key;
use crate::error::{Code, Error, Result};

/// Checks a full name, the store's prefix included.
pub(super) fn check(name: &str) -> Result<()> {
    key::check(name)?;
    let bad = |why: &str| {
        let shown: String = name.chars().take(80).collect();
        Err(Error::new(Code::InvalidKey, format!("{why} (key {shown:?})"))
            .with_hint("the service would store the object under another name"))
    };
    if name.split('/').any(|segment| segment.ends_with('.')) {
        return bad("Azure cannot hold keys with a path segment that ends in a dot");
    }
    if name.contains('\\') {
        return bad("Azure cannot hold keys with a backslash");
    }
    // U+FFFE and U+FFFF are no characters of XML either, and would break every listing.
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return bad("Azure cannot hold keys with control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_names_that_the_service_would_change_are_refused() {
        for name in ["a", ".hidden", "a..b/c", "/a", "a//b", "a/", " %+#?&", "\u{1f680}"] {
            assert!(check(name).is_ok(), "{name:?}");
        }
        for name in ["", ".", "..", "a/../b", "./a", "a.", "a./b", "a\\b", "a\nb", "a\u{81}", "a\u{fffe}"] {
            assert_eq!(check(name).unwrap_err().code(), Code::InvalidKey, "{name:?}");
        }
    }
}
