//! Which keys there are (SPEC S4): every legal key is taken literally, illegal ones are refused.

use crate::context::{Context, assert_code};
use s3dlio::Code;
use s3dlio::runtime::block_on;

/// Keys that are legal file names and legal object names.
pub const ODD: &[&str] = &[
    "with space",
    "a  b",
    "100%",
    "a%20b",
    "%41",
    "plus+plus",
    "hash#tag",
    "what?why=yes&no",
    "semi;colon",
    "comma,",
    "quote'single",
    "quote\"double",
    "<angle>",
    "amp&amp;",
    "back\\slash",
    "[brackets]",
    "{braces}",
    "tilde~",
    "star*",
    "pipe|",
    "equals=",
    "at@sign",
    "dollar$",
    "colon:",
    "..hidden",
    "...",
    "dot.",
    "ünïcödé",
    "日本語",
    "ключ",
    "🚀",
    "e\u{301}",
    "deep er/with space/k e y",
    "-dash",
    "_",
    "x.zst.tmp",
];

/// Those of [`ODD`] that the backend takes; the others are asserted to be refused.
pub fn put_odd_keys(c: &Context) -> Vec<&'static str> {
    let (taken, refused): (Vec<&str>, Vec<&str>) = ODD.iter().partition(|key| c.keys().check(key).is_ok());
    for key in refused {
        assert_code(c.try_put(key, b"x", &Default::default()), Code::InvalidKey);
    }
    for key in &taken {
        c.put(key, key.as_bytes());
    }
    taken
}

pub fn odd_characters(c: &Context) {
    let keys = put_odd_keys(c);
    for key in &keys {
        assert_eq!(c.get(key), key.as_bytes(), "{key:?}");
        assert_eq!(c.stat(key).unwrap().key, *key);
    }
    for key in &keys {
        c.delete(key);
        assert!(!c.exists(key), "{key:?}");
    }
    assert_eq!(c.list("", true), [""; 0]);
}

pub fn very_long(c: &Context) {
    // 1,024 bytes is S3's limit for the full key, which begins with this test's root.
    let room = 1000 - c.store.root().key_prefix().len().min(500);
    let key = vec!["k".repeat(99); room / 100].join("/");
    c.put(&key, b"x");
    assert_eq!(c.get(&key), b"x");
    assert_eq!(c.list("", true), [key]);
}

pub fn deep(c: &Context) {
    let key = format!("{}leaf", "d/".repeat(60));
    c.put(&key, b"x");
    assert_eq!(c.list("d/d/", true), [key.as_str()]);
    assert_eq!(c.list("d/d/", false), ["d/d/d/"]);
    c.delete(&key);
    assert_eq!(c.list("", true), [""; 0]);
    if !c.keys_are_paths() {
        assert_eq!(c.list("", false), [""; 0]); // else the folders stay for a while
    }
}

pub fn empty_is_refused(c: &Context) {
    assert_code(c.try_put("", b"x", &Default::default()), Code::InvalidKey);
    assert_code(c.try_get(""), Code::InvalidKey);
    assert_code(c.stat(""), Code::InvalidKey);
}

pub fn nul_is_refused(c: &Context) {
    assert_code(c.try_put("a\0b", b"x", &Default::default()), Code::InvalidKey);
    assert_code(c.stat("a\0b"), Code::InvalidKey);
}

pub fn too_long_is_refused(c: &Context) {
    let key = "k".repeat(1025);
    assert_code(c.try_put(&key, b"x", &Default::default()), Code::InvalidKey);
    assert_code(c.try_get(&key), Code::InvalidKey);
}

/// Keys that a file system would normalise or climb with, and some that services change: stored
/// literally, or refused by the backend's rules, by every operation; never stored under another name.
pub fn that_could_change_are_literal_or_refused(c: &Context) {
    let paths = ["../up", "a/../b", "a/./b", "./a", "/absolute", "a//b", "folder/", "..", "."];
    let others = ["dot.", "a./b", "...", "back\\slash", "tab\there", "a\u{81}"];
    c.put("here", b"kept");
    for key in paths.into_iter().chain(others) {
        if c.keys().check(key).is_ok() {
            c.put(key, b"odd");
            assert_eq!(c.get(key), b"odd", "{key:?}");
            assert_eq!(c.stat(key).unwrap().key, key);
            let mut both = ["here", key];
            both.sort_unstable();
            assert_eq!(c.list("", true), both);
            c.delete(key);
        } else {
            assert_code(c.try_put(key, b"odd", &Default::default()), Code::InvalidKey);
            assert_code(c.try_get(key), Code::InvalidKey);
            assert_code(c.stat(key), Code::InvalidKey);
            assert_code(block_on(c.store.delete(key)).unwrap(), Code::InvalidKey);
            assert_code(block_on(c.store.create_upload(key, &Default::default())).unwrap(), Code::InvalidKey);
            assert_code(block_on(c.store.copy("here", key)).unwrap(), Code::InvalidKey);
            assert_code(block_on(c.store.rename("here", key)).unwrap(), Code::InvalidKey);
        }
        assert_eq!(c.list("", true), ["here"], "after {key:?}");
    }
    assert_eq!(c.get("here"), b"kept");
    let rules = c.keys();
    assert_eq!(
        c.store.capabilities().literal_keys(),
        [&paths[..], &others[..]].concat().iter().all(|key| rules.check(key).is_ok())
    );
}

pub fn case_is_kept(c: &Context) {
    c.put("Key", b"upper");
    c.put("key", b"lower");
    assert_eq!(c.get("Key"), b"upper");
    assert_eq!(c.list("", true), ["Key", "key"]);
}

pub fn with_common_beginnings_do_not_mix(c: &Context) {
    let keys = ["run1", "run10", "run1.old", "run2/x", "run20/x"];
    for key in keys {
        c.put(key, key.as_bytes());
    }
    c.delete("run1");
    for key in &keys[1..] {
        assert_eq!(c.get(key), key.as_bytes());
    }
    assert!(!c.exists("run1"));
}

pub fn of_other_roots_are_invisible(c: &Context) {
    c.put("run1/x", b"1");
    c.put("run10/y", b"2");
    let inner = c.below("run1");
    assert_eq!(inner.list("", true), ["x"]);
    assert_eq!(inner.get("x"), b"1");
    inner.put("z", b"3");
    assert_eq!(c.list("", true), ["run1/x", "run1/z", "run10/y"]);
}
