//! Whole objects: put, get, stat, exists, delete.

use crate::context::{Context, assert_code, bytes};
use s3dlio::base::buffer::lend_mut;
use s3dlio::base::checksum::Crc32c;
use s3dlio::runtime::block_on;
use s3dlio::store::PutOptions;
use s3dlio::{Code, transfer};
use std::time::{Duration, SystemTime};

pub fn round_trip_of_many_sizes(c: &Context) {
    for size in [1, 2, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 1_000_003] {
        let data = bytes(size, size as u64);
        c.put("object", &data);
        assert!(c.get("object") == data, "{size} bytes came back changed");
    }
}

pub fn empty_object(c: &Context) {
    let stats = c.put("empty", b"");
    assert_eq!((stats.bytes, stats.crc32c), (0, 0));
    assert_eq!(c.get("empty"), b"");
    assert_eq!(c.stat("empty").unwrap().size, 0);
    assert!(c.exists("empty"));
    assert_eq!(c.list("", true), ["empty"]);
}

pub fn overwrite_replaces_bytes_and_size(c: &Context) {
    c.put("k", b"first");
    c.put("k", b"second, longer");
    assert_eq!(c.get("k"), b"second, longer");
    assert_eq!(c.stat("k").unwrap().size, 14);
}

pub fn overwrite_with_less_leaves_no_tail(c: &Context) {
    c.put("k", &bytes(100_000, 1));
    c.put("k", b"short");
    assert_eq!(c.get("k"), b"short");
}

pub fn get_of_a_missing_key_is_not_found(c: &Context) {
    c.put("present", b"x");
    assert_code(c.try_get("absent"), Code::NotFound);
    assert_code(c.get_into("absent", 0, 10, None), Code::NotFound);
    assert_code(c.try_get("present/below"), Code::NotFound);
}

pub fn stat_tells_size_etag_and_time(c: &Context) {
    let hour = Duration::from_secs(3600);
    c.put("k", b"12345");
    let meta = c.stat("k").unwrap();
    assert_eq!((meta.key.as_str(), meta.size), ("k", 5));
    assert!(meta.etag.is_some_and(|etag| !etag.is_empty()));
    let time = meta.last_modified.expect("last modification is known");
    assert!(time > SystemTime::now() - hour && time < SystemTime::now() + hour, "{time:?}");
}

pub fn stat_of_a_missing_key_is_not_found(c: &Context) {
    c.put("dir/k", b"x");
    assert_code(c.stat("absent"), Code::NotFound);
    assert_code(c.stat("dir"), Code::NotFound); // a folder is no object
}

pub fn etag_changes_with_the_bytes(c: &Context) {
    c.put("k", b"one");
    let first = c.stat("k").unwrap().etag;
    c.put("k", b"two");
    assert_ne!(first, c.stat("k").unwrap().etag);
}

pub fn exists_says_yes_and_no(c: &Context) {
    c.put("dir/k", b"x");
    assert!(c.exists("dir/k"));
    assert!(!c.exists("dir/l"));
    assert!(!c.exists("dir"));
}

pub fn delete_removes_and_is_idempotent(c: &Context) {
    c.put("dir/k", b"x");
    c.put("dir/l", b"y");
    c.delete("dir/k");
    assert!(!c.exists("dir/k"));
    assert_eq!(c.get("dir/l"), b"y");
    c.delete("dir/k");
    c.delete("never/was");
    assert_eq!(c.list("", true), ["dir/l"]);
}

pub fn content_type_and_metadata_round_trip(c: &Context) {
    let options = described();
    c.try_put("k", b"x", &options).unwrap();
    let meta = c.stat("k").unwrap();
    assert_eq!(meta.content_type, options.content_type);
    assert_eq!(meta.metadata, options.metadata);
    let (_, result) = c.get_into("k", 0, 1, None).unwrap();
    assert_eq!(result.meta.metadata, options.metadata, "a get tells the same");
}

/// Put options with a content type and two pairs of metadata.
pub fn described() -> PutOptions {
    let pairs = [("epoch", "12"), ("note", "a, b; c=\"d\" %20")];
    PutOptions {
        content_type: Some("application/x-tensor".into()),
        metadata: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..PutOptions::default()
    }
}

pub fn overwrite_forgets_old_metadata(c: &Context) {
    c.try_put("k", b"x", &described()).unwrap();
    c.put("k", b"y");
    let meta = c.stat("k").unwrap();
    assert!(meta.metadata.is_empty(), "{:?}", meta.metadata);
    assert_ne!(meta.content_type, described().content_type);
}

pub fn bad_metadata_is_refused_before_anything_is_stored(c: &Context) {
    for (name, value) in [
        ("Upper", "x"),
        ("a b", "x"),
        ("", "x"),
        ("a-b", "x"),
        ("ok", "line\nbreak"),
        ("ok", "ü"),
        ("1st", "x"),
    ] {
        let metadata = [(name.to_owned(), value.to_owned())].into();
        let options = PutOptions { metadata, ..PutOptions::default() };
        assert_code(c.try_put("k", b"x", &options), Code::InvalidArgument);
    }
    let metadata = [("long".to_owned(), "v".repeat(3000))].into();
    assert_code(
        c.try_put("k", b"x", &PutOptions { metadata, ..PutOptions::default() }),
        Code::InvalidArgument,
    );
    assert!(!c.exists("k"));
}

pub fn get_into_a_buffer_that_is_too_small_says_the_size(c: &Context) {
    c.put("k", &bytes(1000, 3));
    let mut memory = vec![0; 999];
    let result = lend_mut(&mut memory, |window| block_on(transfer::get_into(&c.store, "k", window))).unwrap();
    let error = assert_code(result, Code::BufferTooSmall);
    assert!(error.details().contains(&("required", "1000".to_owned())), "{:?}", error.details());
}

pub fn get_into_a_larger_buffer_leaves_the_rest(c: &Context) {
    c.put("k", b"12345");
    let mut memory = vec![7; 100];
    let result =
        lend_mut(&mut memory, |window| block_on(transfer::get_into(&c.store, "k", window))).unwrap().unwrap();
    assert_eq!((result.bytes, &memory[..5]), (5, &b"12345"[..]));
    assert!(memory[5..].iter().all(|b| *b == 7));
}

pub fn errors_name_operation_and_uri(c: &Context) {
    c.put("present", b"x");
    let error = c.try_get("folder/absent").unwrap_err();
    let uri = format!("{}/folder/absent", c.root);
    assert_eq!((error.operation(), error.uri()), (Some("get"), Some(uri.as_str())), "{error}");
    let error = c.stat("folder/absent").unwrap_err();
    assert_eq!((error.operation(), error.uri()), (Some("stat"), Some(uri.as_str())), "{error}");
}

pub fn put_reports_size_checksum_and_etag(c: &Context) {
    let stats = c.put("k", b"123456789");
    assert_eq!((stats.bytes, stats.stored_bytes), (9, 9));
    assert_eq!((stats.crc32c, stats.stored_crc32c), (0xe306_9283, 0xe306_9283));
    assert!(stats.finished);
    assert_eq!(stats.etag, c.stat("k").unwrap().etag);
}

pub fn stored_checksum_is_that_of_the_bytes(c: &Context) {
    let data = bytes(100_000, 9);
    c.put("k", &data);
    if let Some(crc) = c.stat("k").unwrap().crc32c {
        assert_eq!(crc, Crc32c::of(&data).value());
    }
}
