//! Copy, rename, and deleting many.

use crate::context::{Context, assert_code, bytes};
use crate::objects::described;
use s3dlio::runtime::block_on;
use s3dlio::{Code, Result, transfer};

fn copy(c: &Context, from: &str, to: &str) -> Result<()> {
    block_on(c.store.copy(from, to))?.map(drop)
}

fn rename(c: &Context, from: &str, to: &str) -> Result<()> {
    block_on(c.store.rename(from, to))?
}

fn delete_prefix(c: &Context, prefix: &str) -> u64 {
    block_on(transfer::delete_prefix(&c.store, prefix)).unwrap().unwrap()
}

pub fn copy_keeps_bytes_type_and_metadata(c: &Context) {
    let data = bytes(300_000, 2);
    c.try_put("from", &data, &described()).unwrap();
    copy(c, "from", "sub/to").unwrap();
    assert!(c.get("sub/to") == data && c.get("from") == data);
    let meta = c.stat("sub/to").unwrap();
    assert_eq!((meta.content_type, meta.metadata), (described().content_type, described().metadata));
}

pub fn copy_replaces_the_destination(c: &Context) {
    c.put("from", b"new");
    c.put("to", b"old and longer");
    copy(c, "from", "to").unwrap();
    assert_eq!(c.get("to"), b"new");
}

pub fn copy_of_a_missing_object_is_not_found(c: &Context) {
    c.put("to", b"stays");
    assert_code(copy(c, "absent", "to"), Code::NotFound);
    assert_eq!(c.get("to"), b"stays");
}

pub fn copy_onto_itself_keeps_the_object(c: &Context) {
    c.try_put("k", b"same", &described()).unwrap();
    copy(c, "k", "k").unwrap();
    assert_eq!(c.get("k"), b"same");
    assert_eq!(c.stat("k").unwrap().metadata, described().metadata);
}

pub fn copy_with_odd_keys(c: &Context) {
    for (from, to) in [("a b+c%20#?", "x/%41 ü"), ("日本", "semi;colon&=")] {
        c.put(from, from.as_bytes());
        copy(c, from, to).unwrap();
        assert_eq!(c.get(to), from.as_bytes());
    }
}

pub fn rename_moves(c: &Context) {
    c.try_put("dir/from", b"x", &described()).unwrap();
    rename(c, "dir/from", "other/to").unwrap();
    assert_eq!(c.get("other/to"), b"x");
    assert_eq!(c.stat("other/to").unwrap().metadata, described().metadata);
    assert_eq!(c.list("", true), ["other/to"]);
}

pub fn rename_of_a_missing_object_is_not_found(c: &Context) {
    c.put("to", b"stays");
    assert_code(rename(c, "absent", "to"), Code::NotFound);
    assert_eq!(c.list("", true), ["to"]);
}

pub fn rename_replaces_the_destination(c: &Context) {
    c.put("from", b"new");
    c.put("to", b"old");
    rename(c, "from", "to").unwrap();
    assert_eq!((c.get("to"), c.list("", true)), (b"new".to_vec(), vec!["to".to_owned()]));
}

pub fn rename_onto_itself_keeps_the_object(c: &Context) {
    c.put("k", b"x");
    rename(c, "k", "k").unwrap();
    assert_eq!(c.get("k"), b"x");
}

pub fn delete_prefix_leaves_siblings(c: &Context) {
    for key in ["run1/a", "run1/b/c", "run10/a", "run1.txt", "other"] {
        c.put(key, b"x");
    }
    assert_eq!(delete_prefix(c, "run1"), 2, "a folder, not every key that begins so");
    assert_eq!(c.list("", true), ["other", "run1.txt", "run10/a"]);
    assert_eq!(delete_prefix(c, "run10/"), 1);
    assert_eq!(c.list("", true), ["other", "run1.txt"]);
}

pub fn delete_prefix_of_nothing_is_zero(c: &Context) {
    c.put("a", b"x");
    assert_eq!(delete_prefix(c, "absent/"), 0);
    assert_eq!(delete_prefix(c, "a"), 0, "an object is no folder");
    assert_eq!(c.list("", true), ["a"]);
}

pub fn delete_prefix_of_everything_stays_below_the_root(c: &Context) {
    c.put("in/a", b"x");
    c.put("in/b/c", b"x");
    c.put("in2/a", b"x");
    let inner = c.open(&format!("{}/in", c.root));
    assert_eq!(block_on(transfer::delete_prefix(&inner, "")).unwrap().unwrap(), 2);
    assert_eq!(c.list("", true), ["in2/a"]);
}

pub fn delete_many_has_one_outcome_per_key(c: &Context) {
    for key in ["a", "b", "c d%"] {
        c.put(key, b"x");
    }
    let keys = ["a", "absent", "", "c d%"].map(str::to_owned);
    let outcomes = block_on(c.store.delete_many(&keys)).unwrap().unwrap();
    let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(|e| e.code())).collect();
    assert_eq!(codes, [None, None, Some(Code::InvalidKey), None]);
    assert_eq!(c.list("", true), ["b"]);
}
