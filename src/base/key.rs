//! Which keys are legal. Cloud stores take every legal key literally; file stores refuse keys that
//! could leave the root (SPEC S4, DESIGN section 4).

use crate::error::{Code, Error, Result};

/// The longest key in bytes: the limit of S3 and of Azure, held by every backend.
pub const MAX_KEY_BYTES: usize = 1024;

/// Checks a key for a cloud or memory store.
pub fn check(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(bad(key, "the key is empty"));
    }
    check_prefix(key)
}

/// Checks a listing prefix: as a key, but it may be empty.
pub fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.len() > MAX_KEY_BYTES {
        return Err(bad(
            prefix,
            &format!("the key has {} bytes; at most {MAX_KEY_BYTES} are allowed", prefix.len()),
        ));
    }
    if prefix.contains('\0') {
        return Err(bad(prefix, "the key contains a NUL byte"));
    }
    Ok(())
}

/// Which keys a backend takes; those of [`check`] that are none of these it refuses, before anything
/// is sent: no object is ever stored under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// `/a`, `a//b` and `a/`.
    pub empty_segments: bool,
    /// `.` and `..` between slashes.
    pub dot_segments: bool,
    /// Segments that end in a dot, such as `a./b`.
    pub trailing_dots: bool,
    pub backslashes: bool,
    /// Control characters, and U+FFFE and U+FFFF, which are none but no characters of XML either.
    pub control_characters: bool,
}

impl KeyRules {
    /// Every key, as it is.
    pub const LITERAL: KeyRules = KeyRules {
        empty_segments: true,
        dot_segments: true,
        trailing_dots: true,
        backslashes: true,
        control_characters: true,
    };
    /// Relative paths of plain names: files.
    pub const PATHS: KeyRules = KeyRules { empty_segments: false, dot_segments: false, ..Self::LITERAL };
    /// Paths of a service that may be of another system, where a backslash is a slash.
    pub const SERVICE_PATHS: KeyRules = KeyRules { backslashes: false, ..Self::PATHS };
    /// Names of Azure's blobs, which the service reads as paths of URLs.
    pub const AZURE: KeyRules = KeyRules {
        empty_segments: true,
        dot_segments: false,
        trailing_dots: false,
        backslashes: false,
        control_characters: false,
    };

    /// Checks a key.
    pub fn check(self, key: &str) -> Result<()> {
        check(key)?;
        self.check_segments(key, key)?;
        if !self.backslashes && key.contains('\\') {
            return Err(bad(key, "the key has a backslash; this store would keep it as a slash"));
        }
        let unfit = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        if !self.control_characters && key.contains(unfit) {
            return Err(bad(key, "the key has control characters; this store cannot keep them"));
        }
        Ok(())
    }

    fn check_segments(self, path: &str, key: &str) -> Result<()> {
        for segment in path.split('/') {
            let why = match segment {
                "" if !self.empty_segments => {
                    "the key is absolute, ends in a slash or has two in a row; paths of names cannot"
                }
                "." | ".." if !self.dot_segments => {
                    "the key has a . or .. component and could leave the store's root"
                }
                _ if !self.trailing_dots && segment.ends_with('.') => {
                    "a component of the key ends in a dot; this store would drop it"
                }
                _ => continue,
            };
            return Err(bad(key, why));
        }
        Ok(())
    }
}

/// Checks a key for a file store: relative, every component a plain name.
pub fn check_path(key: &str) -> Result<()> {
    KeyRules::PATHS.check(key)
}

/// Checks a listing prefix for a file store: as [`check_path`], but the last component may be
/// empty or incomplete.
pub fn check_path_prefix(prefix: &str) -> Result<()> {
    check_prefix(prefix)?;
    match prefix.rsplit_once('/') {
        Some((folder, _)) => KeyRules::PATHS.check_segments(folder, prefix),
        None => Ok(()),
    }
}

fn bad(key: &str, why: &str) -> Error {
    let shown: String = key.chars().take(80).collect();
    Error::new(Code::InvalidKey, format!("{why} (key {shown:?})"))
        .with_hint("keys are relative to the store's root URI")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_cloud_keys_are_literal() {
        for key in ["a", "../x", "/x", "a//b", "a/", " %+#?", "ключ", &"k".repeat(1024)] {
            assert!(check(key).is_ok(), "{key:?}");
        }
        for key in ["", "a\0b", &"k".repeat(1025)] {
            assert_eq!(check(key).unwrap_err().code(), Code::InvalidKey, "{key:?}");
        }
    }

    #[test]
    fn s4_file_keys_stay_below_the_root() {
        for key in ["a", "a/b.c", "..a/b", " %+#?", "a\\b"] {
            assert!(check_path(key).is_ok(), "{key:?}");
        }
        for key in ["", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "./a", "a\0"] {
            assert_eq!(check_path(key).unwrap_err().code(), Code::InvalidKey, "{key:?}");
        }
        assert!(check_path_prefix("a/").is_ok() && check_path_prefix("").is_ok());
        assert!(check_path_prefix("../").is_err() && check_path_prefix("/").is_err());
    }
    #[test]
    fn s4_rules_refuse_what_a_backend_would_change() {
        let keys = ["a", "/a", "a//b", "a/", "../x", "a/./b", "a./b", "...", "a\\b", "a\nb", "a\u{fffe}"];
        let refused = |rules: KeyRules| {
            let fails = |key: &&str| rules.check(key).is_err_and(|e| e.code() == Code::InvalidKey);
            keys.into_iter().filter(fails).collect::<Vec<_>>()
        };
        assert_eq!(refused(KeyRules::LITERAL), [""; 0]);
        assert_eq!(refused(KeyRules::PATHS), &keys[1..6]);
        assert_eq!(refused(KeyRules::SERVICE_PATHS), [&keys[1..6], &keys[8..9]].concat());
        assert_eq!(refused(KeyRules::AZURE), &keys[4..]);
        for rules in [KeyRules::LITERAL, KeyRules::PATHS, KeyRules::AZURE] {
            assert!(rules.check("").is_err() && rules.check("a\0").is_err());
        }
    }
}
