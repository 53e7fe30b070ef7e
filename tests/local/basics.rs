//! Objects as files: names, folders, conditions, records.

use super::*;
use std::os::unix::fs::symlink;
use tempfile::tempdir;

#[test]
fn s2_folders_come_and_go_with_their_objects() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let store = open(scheme, &root);
        assert_code(wait(store.stat("a/b/c")), Code::ContainerNotFound);
        assert_code(list(&store, "", false), Code::ContainerNotFound);
        put(&store, "a/b/c", b"1").unwrap();
        put(&store, "a/d", b"2").unwrap();
        assert_eq!(names_below(&root), ["a", "a/b", "a/b/c", "a/d"]);
        wait(store.delete("a/b/c")).unwrap();
        assert_eq!(names_below(&root), ["a", "a/d"], "the empty folder is gone");
        wait(store.delete("a/d")).unwrap();
        wait(store.delete("a/d")).unwrap();
        wait(store.delete("a/d/x")).unwrap();
        assert!(root.is_dir() && names_below(&root).is_empty(), "the root stays");
        wait(store.delete_container()).unwrap();
        assert!(!root.exists());
        assert_code(wait(store.delete_container()), Code::ContainerNotFound);
        wait(store.create_container()).unwrap();
        assert_code(wait(store.create_container()), Code::AlreadyExists);
    }
}

#[test]
fn s2_a_folder_is_no_object_and_is_never_removed_with_its_tree() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        put(&store, "a/b", b"1").unwrap();
        assert_code(wait(store.stat("a")), Code::NotFound);
        assert_code(get_at(&store, "a", 0, 1), Code::NotFound);
        assert!(!wait(store.exists("a")).unwrap());
        assert_code(wait(store.delete("a")), Code::InvalidKey);
        let bulk = wait(store.delete_many(&["a".into(), "missing".into()])).unwrap();
        assert_code(bulk[0].clone(), Code::InvalidKey);
        assert!(bulk[1].is_ok());
        assert_code(put(&store, "a", b"2"), Code::InvalidKey);
        assert_code(put_if(&store, "a", b"2", PutCondition::CreateOnly), Code::InvalidKey);
        assert_code(put(&store, "a/b/c", b"2"), Code::InvalidKey);
        assert_code(upload(&store, "a/b/c", &[b"2"]), Code::InvalidKey);
        assert_code(wait(store.rename("a", "c")), Code::NotFound);
        assert_code(wait(store.rename("a/b", "a")), Code::InvalidKey);
        assert_code(wait(store.copy("a", "c")), Code::NotFound);
        assert_code(wait(store.delete_container()), Code::NotEmpty);
        assert_eq!(names_below(dir.path()), ["a", "a/b"]);
        assert_eq!(get(&store, "a/b").unwrap(), b"1");
        // An empty folder is nothing at all, and gives way to an object.
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        assert_eq!(list(&store, "", true).unwrap(), ["a/"]);
        put(&store, "empty", b"3").unwrap();
        assert_eq!(get(&store, "empty").unwrap(), b"3");
    }
}

#[test]
fn s2_conditions_hold() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        let first = put_if(&store, "k", b"1", PutCondition::CreateOnly).unwrap().etag.unwrap();
        assert_code(put_if(&store, "k", b"2", PutCondition::CreateOnly), Code::AlreadyExists);
        assert_eq!(wait(store.stat("k")).unwrap().etag.as_ref(), Some(&first));
        let second = put_if(&store, "k", b"2", PutCondition::IfMatch(first.clone())).unwrap().etag.unwrap();
        assert_ne!(first, second);
        assert_code(
            put_if(&store, "k", b"3", PutCondition::IfMatch(first.clone())),
            Code::PreconditionFailed,
        );
        assert_code(
            put_if(&store, "new", b"3", PutCondition::IfMatch(first.clone())),
            Code::PreconditionFailed,
        );
        assert_eq!(get(&store, "k").unwrap(), b"2");
        assert_eq!(names_below(dir.path()), ["k"]);
        let request = GetRequest { if_match: Some(first), ..GetRequest::default() };
        assert_code(wait(store.get_into("k", request, window(1).0)), Code::Changed);
    }
}

#[test]
fn s2_if_match_lets_exactly_one_of_many_win_each_round() {
    let dir = tempdir().unwrap();
    let store = open_with("file", dir.path(), Options::new().with("file.sync", false).unwrap());
    put(&store, "counter", b"0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut won = 0;
                while won < 25 {
                    let meta = wait(store.stat("counter")).unwrap();
                    let etag = meta.etag.unwrap();
                    let (window, owner) = window(meta.size as usize);
                    let request = GetRequest { if_match: Some(etag.clone()), ..GetRequest::default() };
                    let Ok(got) = wait(store.get_into("counter", request, window)) else { continue };
                    let text = owner.reclaim(got.bytes).unwrap();
                    let next: u32 = std::str::from_utf8(&text).unwrap().parse::<u32>().unwrap() + 1;
                    match put_if(&store, "counter", next.to_string().as_bytes(), PutCondition::IfMatch(etag))
                    {
                        Ok(_) => won += 1,
                        Err(e) => assert_eq!(e.code(), Code::PreconditionFailed, "{e}"),
                    }
                }
            });
        }
    });
    assert_eq!(get(&store, "counter").unwrap(), b"200", "an update was lost");
    assert_eq!(names_below(dir.path()), ["counter"]);
}

#[test]
fn s2_create_only_lets_exactly_one_of_many_win() {
    let dir = tempdir().unwrap();
    let store = open_with("file", dir.path(), Options::new().with("file.sync", false).unwrap());
    for round in 0..50 {
        let key = format!("folder{round}/k");
        let put_one = |n: u8| put_if(&store, &key, &[n], PutCondition::CreateOnly);
        let won: Vec<u8> = std::thread::scope(|scope| {
            let put_one = &put_one;
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || (n, put_one(n)))).collect();
            let results = threads.into_iter().map(|t| t.join().unwrap());
            results.filter(|(_, r)| r.is_ok()).map(|(n, _)| n).collect()
        });
        assert_eq!(get(&store, &key).unwrap(), won, "exactly one, and its bytes are there");
    }
}

#[test]
fn moves_of_a_file_onto_itself_through_a_folder_link_keep_it() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        put(&store, "in/a", b"kept").unwrap();
        std::fs::hard_link(dir.path().join("in/a"), dir.path().join("in/b")).unwrap();
        symlink("in", dir.path().join("folder")).unwrap();
        wait(store.rename("in/a", "folder/a")).unwrap();
        wait(store.rename("folder/a", "in/a")).unwrap();
        assert_eq!(get(&store, "in/a").unwrap(), b"kept");
        // Two names of one file are still moved.
        wait(store.rename("in/a", "folder/b")).unwrap();
        assert_eq!(names_below(dir.path()), ["folder", "in", "in/b"]);
    }
}

#[test]
fn s2_record_survives_copy_and_rename() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        let options = PutOptions {
            content_type: Some("text/plain; charset=utf-8".into()),
            metadata: [("owner".into(), "a=b".into()), ("empty".into(), "".into())].into(),
            condition: PutCondition::Always,
        };
        wait(store.put("a", Bytes::from_static(b"123456789").into(), &options)).unwrap();
        wait(store.copy("a", "x/b")).unwrap();
        wait(store.rename("x/b", "y/c")).unwrap();
        assert_code(wait(store.rename("x/b", "y/c")), Code::NotFound);
        assert_code(wait(store.copy("none", "y/c")), Code::NotFound);
        assert_eq!(names_below(dir.path()), ["a", "y", "y/c"]);
        for key in ["a", "y/c"] {
            let meta = wait(store.stat(key)).unwrap();
            assert_eq!((meta.size, meta.crc32c), (9, Some(0xe306_9283)), "{key}");
            assert_eq!(
                (meta.content_type, meta.metadata),
                (options.content_type.clone(), options.metadata.clone())
            );
        }
        assert_eq!(get(&store, "y/c").unwrap(), b"123456789");
    }
}

#[test]
fn i2_an_edit_from_outside_invalidates_the_checksum() {
    let dir = tempdir().unwrap();
    let store = open("file", dir.path());
    upload(&store, "k", &[b"1234", b"56789"]).unwrap();
    assert_eq!(wait(store.stat("k")).unwrap().crc32c, Some(0xe306_9283));
    let before = wait(store.stat("k")).unwrap();
    std::fs::write(dir.path().join("k"), b"12345678X").unwrap();
    let after = wait(store.stat("k")).unwrap();
    assert_eq!(after.crc32c, None);
    assert_ne!(after.etag, before.etag);
}

#[test]
fn s4_keys_never_leave_the_root() {
    for scheme in SCHEMES {
        let outer = tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::create_dir(outer.path().join("outside")).unwrap();
        std::fs::write(outer.path().join("outside/secret"), "secret").unwrap();
        std::fs::write(root.join("in/file"), "inside").unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("../outside/secret", root.join("leak")).unwrap();
        symlink("in/file", root.join("alias")).unwrap();
        symlink("in", root.join("folder")).unwrap();
        symlink(".", root.join("in/cycle")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let store = open(scheme, &root);
        let bad =
            ["..", "../outside/secret", "in/../../outside/secret", "/etc/passwd", "in//file", "a\0b", ""];
        for key in bad {
            assert_code(get_at(&store, key, 0, 1), Code::InvalidKey);
            assert_code(put(&store, key, b"x"), Code::InvalidKey);
            assert_code(wait(store.delete(key)), Code::InvalidKey);
            assert_code(upload(&store, key, &[b"x"]), Code::InvalidKey);
            assert_code(wait(store.copy("in/file", key)), Code::InvalidKey);
            assert_code(wait(store.rename("in/file", key)), Code::InvalidKey);
        }
        for key in ["out/secret", "out/new", "leak", "out/x/y"] {
            assert_code(wait(store.stat(key)), Code::InvalidKey);
            if key.contains('/') {
                assert_code(put(&store, key, b"x"), Code::InvalidKey);
                assert_code(wait(store.delete(key)), Code::InvalidKey);
                assert_code(wait(store.rename("in/file", key)), Code::InvalidKey);
            }
        }
        assert_code(list(&store, "out/", false), Code::InvalidKey);
        assert_code(list(&store, "../", false), Code::InvalidKey);
        assert_eq!(get(&store, "alias").unwrap(), b"inside");
        assert_eq!(get(&store, "folder/file").unwrap(), b"inside");
        assert_eq!(list(&store, "", false).unwrap(), ["alias", "in/file"]);
        assert_eq!(list(&store, "", true).unwrap(), ["alias", "in/"]);
        assert_eq!(list(&store, "folder/", false).unwrap(), ["folder/file"]);
        // A write to the name of a link replaces the link, wherever it led.
        put(&store, "leak", b"mine").unwrap();
        assert_eq!(std::fs::read(outer.path().join("outside/secret")).unwrap(), b"secret");
        assert_eq!(names_below(&outer.path().join("outside")), ["secret"]);
    }
}

#[test]
fn s4_what_is_no_file_is_not_seen() {
    let dir = tempdir().unwrap();
    let path = std::ffi::CString::new(dir.path().join("pipe").to_str().unwrap()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    use std::os::unix::ffi::OsStrExt;
    std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"latin-\xe9")), "x").unwrap();
    let store = open("file", dir.path());
    put(&store, "k", b"1").unwrap();
    assert_eq!(list(&store, "", false).unwrap(), ["k"]);
    assert_eq!(list(&store, "", true).unwrap(), ["k"]);
    for key in ["pipe", "socket"] {
        assert!(!wait(store.exists(key)).map_err(|e| e.code()).unwrap_or(false));
        wait(store.delete(key)).unwrap();
        assert!(dir.path().join(key).exists());
    }
}

#[test]
fn s4_names_that_the_file_system_cannot_hold_are_refused() {
    let dir = tempdir().unwrap();
    let store = open("file", dir.path());
    let long = "n".repeat(256);
    assert_code(put(&store, &long, b"x"), Code::InvalidKey);
    assert_code(put(&store, ".s3dlio-tmp-x", b"x"), Code::InvalidKey);
    assert_code(wait(store.delete(".s3dlio-tmp-x/k")), Code::InvalidKey);
    let deep = ["d"; 500].join("/");
    put(&store, &deep, b"x").unwrap();
    assert_eq!(list(&store, "", false).unwrap(), [deep.clone()]);
    wait(store.delete(&deep)).unwrap();
    assert!(names_below(dir.path()).is_empty());
}

#[test]
fn s4_ten_thousand_and_one_files_in_order_over_pages() {
    let dir = tempdir().unwrap();
    let mut expected: Vec<String> = (0..10_001).map(|n| format!("f{}/k{n}", n % 3)).collect();
    for folder in ["f0", "f1", "f2"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for key in &expected {
        std::fs::write(dir.path().join(key), "").unwrap();
    }
    expected.sort();
    let store = open("file", dir.path());
    assert_eq!(list(&store, "", false).unwrap(), expected);
    assert_eq!(list(&store, "f1/", true).unwrap().len(), 3334);
    assert_eq!(list(&store, "", true).unwrap(), ["f0/", "f1/", "f2/"]);
}
