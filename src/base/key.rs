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

/// Checks a key for a file store: relative, every component a plain name.
pub fn check_path(key: &str) -> Result<()> {
    check(key)?;
    check_components(key, key)
}

/// Checks a listing prefix for a file store: as [`check_path`], but the last component may be
/// empty or incomplete.
pub fn check_path_prefix(prefix: &str) -> Result<()> {
    check_prefix(prefix)?;
    match prefix.rsplit_once('/') {
        Some((folder, _)) => check_components(folder, prefix),
        None => Ok(()),
    }
}

fn check_components(path: &str, key: &str) -> Result<()> {
    for component in path.split('/') {
        match component {
            "" => {
                return Err(bad(
                    key,
                    "the key is absolute, ends in a slash or has two in a row; file names cannot",
                ));
            }
            "." | ".." => {
                return Err(bad(key, "the key has a . or .. component and could leave the store's root"));
            }
            _ => {}
        }
    }
    Ok(())
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
}
