//! Listings: order, pages, prefixes, one level and recursive.

use crate::context::{Context, bytes};
use crate::keys::put_odd_keys;
use s3dlio::runtime::{block_on, spawn};
use s3dlio::store::{ListEntry, PutOptions};

fn put_all(c: &Context, keys: &[&str]) {
    keys.iter().for_each(|key| drop(c.put(key, b"x")));
}

const TREE: &[&str] = &["a", "b/1", "b/2", "b/c/3", "b/c/d/4", "e/5", "f"];

pub fn of_an_empty_prefix_is_empty(c: &Context) {
    c.put("a", b"x");
    assert_eq!(c.list("nothing", true), [""; 0]);
    assert_eq!(c.list("nothing/", false), [""; 0]);
    c.delete("a");
    assert_eq!(c.list("", true), [""; 0]);
}

pub fn recursive_is_sorted(c: &Context) {
    let mut shuffled: Vec<_> = TREE.to_vec();
    shuffled.reverse();
    put_all(c, &shuffled);
    assert_eq!(c.list("", true), TREE);
}

pub fn one_level_folds_folders(c: &Context) {
    put_all(c, TREE);
    assert_eq!(c.list("", false), ["a", "b/", "e/", "f"]);
    let folders = c.entries("", false).iter().filter(|entry| matches!(entry, ListEntry::Prefix(_))).count();
    assert_eq!(folders, 2);
}

pub fn one_level_below_a_folder(c: &Context) {
    put_all(c, TREE);
    assert_eq!(c.list("b/", false), ["b/1", "b/2", "b/c/"]);
    assert_eq!(c.list("b/c/", false), ["b/c/3", "b/c/d/"]);
    assert_eq!(c.list("b", false), ["b/"]);
    assert_eq!(c.list("b/", true), ["b/1", "b/2", "b/c/3", "b/c/d/4"]);
}

pub fn prefix_is_a_string_prefix(c: &Context) {
    put_all(c, &["data/1", "data/2", "database", "date", "dog"]);
    assert_eq!(c.list("dat", true), ["data/1", "data/2", "database", "date"]);
    assert_eq!(c.list("data", true), ["data/1", "data/2", "database"]);
    assert_eq!(c.list("data", false), ["data/", "database"]);
    assert_eq!(c.list("data/", true), ["data/1", "data/2"]);
    assert_eq!(c.list("data/1", true), ["data/1"]);
}

pub fn prefix_that_is_a_whole_key(c: &Context) {
    put_all(c, &["model", "model.bin", "models/1"]);
    assert_eq!(c.list("model", true), ["model", "model.bin", "models/1"]);
    assert_eq!(c.list("model.bin", true), ["model.bin"]);
}

pub fn pages_join_without_gap_or_repeat(c: &Context) {
    put_all(c, TREE);
    for max in [1, 2, 3, 6, 7, 8] {
        assert_eq!(c.list_in_pages("", false, max), TREE, "pages of {max}");
        assert_eq!(c.list_in_pages("b/", false, max), &TREE[1..5], "pages of {max} below b/");
    }
}

pub fn one_level_pages_join_without_gap_or_repeat(c: &Context) {
    put_all(c, &["a", "b/1", "b/2", "b/3", "b0", "c/1", "c/2", "d"]);
    for max in [1, 2, 3, 4, 5] {
        assert_eq!(c.list_in_pages("", true, max), ["a", "b/", "b0", "c/", "d"], "pages of {max}");
    }
}

pub fn sorted_by_bytes_around_the_slash(c: &Context) {
    // '-' and '.' sort before '/', '0' and letters after it: folders are not sorted by their names.
    let keys = ["a-b", "a.b", "a/1", "a/2", "a0", "aa", "ä", "日"];
    put_all(c, &keys);
    let walked = ["a/1", "a/2", "a-b", "a.b", "a0", "aa", "ä", "日"]; // the order of a tree walk
    let expected = if c.keys_are_paths() { walked } else { keys };
    assert_eq!(c.list_in_pages("", false, 1), expected);
    assert_eq!(c.list("", true), keys, "one page is always sorted");
    assert_eq!(c.list("", false), ["a-b", "a.b", "a/", "a0", "aa", "ä", "日"]);
}

pub fn odd_keys_come_back_unchanged(c: &Context) {
    let mut expected = put_odd_keys(c);
    expected.sort_unstable();
    assert_eq!(c.list("", true), expected);
    assert_eq!(c.list_in_pages("", false, 7), expected);
    assert_eq!(c.list("a%2", true), ["a%20b"]);
}

pub fn sizes_times_and_full_uris(c: &Context) {
    c.put("sub/k", &bytes(1234, 1));
    let entries = c.entries("", true);
    let [ListEntry::Object(meta)] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((meta.key.as_str(), meta.size), ("sub/k", 1234));
    assert!(meta.last_modified.is_some());
    if let Some(etag) = &meta.etag {
        assert_eq!(Some(etag), c.stat("sub/k").unwrap().etag.as_ref());
    }
    assert_eq!(c.store.root().join(&meta.key).to_string(), format!("{}/sub/k", c.root));
}

pub fn ten_thousand_and_one_keys(c: &Context) {
    let keys: Vec<String> = (0..10_001).map(|i| format!("f{}/{i:05}", i % 3)).collect();
    block_on(async {
        let mut tasks = Vec::new();
        for chunk in keys.chunks(400) {
            let (store, chunk) = (c.store.clone(), chunk.to_vec());
            tasks.push(
                spawn(async move {
                    for key in chunk {
                        store
                            .put(&key, bytes::Bytes::from_static(b"x").into(), &PutOptions::default())
                            .await
                            .unwrap();
                    }
                })
                .unwrap(),
            );
        }
        for task in tasks {
            task.await.unwrap();
        }
    })
    .unwrap();
    let mut sorted = keys;
    sorted.sort_unstable();
    assert!(c.list("", true) == sorted, "recursive");
    assert_eq!(c.list("", false), ["f0/", "f1/", "f2/"]);
    assert_eq!(c.list("f1/", false).len(), 3334);
    assert_eq!(c.list("f2/0", true).len(), 3333);
    let deleted = block_on(s3dlio::transfer::delete_prefix(&c.store, "")).unwrap().unwrap();
    assert_eq!(deleted, 10_001);
    assert_eq!(c.list("", true), [""; 0]);
}
