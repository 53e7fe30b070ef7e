//! Real file systems with limits: a full one, one without O_DIRECT and without attributes.

use super::sys::Mount;
use super::*;
use s3dlio::store::direct::fallbacks;
use tempfile::tempdir;

#[test]
fn s5_a_full_disk_is_an_error_with_errno_and_leaves_nothing() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let _mount = Mount::new("tmpfs", "size=1m", dir.path());
        let store = open(scheme, dir.path());
        put(&store, "kept", &[1; 1000]).unwrap();
        let big = vec![2u8; 2 << 20];
        for key in ["kept", "new", "deep/folder/new"] {
            let error = assert_code(put(&store, key, &big), Code::NoSpace);
            assert_eq!(error.os_errno(), Some(28), "{error}");
            let error = assert_code(upload(&store, key, &[&big[..100_001], &big]), Code::NoSpace);
            assert_eq!(error.os_errno(), Some(28), "{error}");
        }
        eventually(|| holds_only(dir.path(), &["kept"]));
        assert_eq!(get(&store, "kept").unwrap(), [1; 1000]);

        let half = Bytes::from(vec![3u8; 512 << 10]);
        let crc32c = Crc32c::of(&half);
        let part = |number: u32| Part { number, offset: u64::from(number) << 19, data: half.clone(), crc32c };
        // Space comes back as soon as the descriptors in the background are closed.
        let half_full = || {
            let upload = wait(store.create_upload("k", &PutOptions::default()))?;
            wait(upload.put_part(part(0))).map(|()| upload)
        };
        let upload = eventually(half_full);
        assert_code(wait(upload.put_part(part(1))), Code::NoSpace);
        let total = UploadTotal { crc32c: crc32c.combine(crc32c) };
        assert_code(wait(upload.complete(2, total)), Code::InvalidState);
        wait(upload.abort()).unwrap();
        // Everything is free again.
        eventually(|| put(&store, "k", &big[..900 << 10]));
        eventually(|| holds_only(dir.path(), &["k", "kept"]));
        wait(store.delete("k")).unwrap();
        // An upload that is dropped frees its space in the background.
        let upload = eventually(half_full);
        drop(upload);
        eventually(|| put(&store, "k", &big[..900 << 10]));
    }
}

/// Whether these files and no others are there; what failed is removed in the background.
fn holds_only(folder: &std::path::Path, expected: &[&str]) -> s3dlio::Result<()> {
    let names = names_below(folder);
    match names == expected {
        true => Ok(()),
        false => Err(s3dlio::Error::new(Code::Io, format!("{names:?} are there, not {expected:?}"))),
    }
}

/// Tries until it succeeds; 30 seconds at most.
fn eventually<T>(mut attempt: impl FnMut() -> s3dlio::Result<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(std::time::Instant::now() < deadline, "the space stays occupied: {error}"),
        }
    }
}

#[test]
fn s5_no_room_for_another_file_is_an_error_that_leaves_nothing() {
    // One more each time: before the file has room with its four folders, one folder after the other has.
    let mut refused = 0;
    for inodes in 3.. {
        let dir = tempdir().unwrap();
        let _mount = Mount::new("tmpfs", &format!("nr_inodes={inodes}"), dir.path());
        let store = open("file", dir.path());
        if put(&store, "a", b"1").is_err() {
            continue;
        }
        let Err(error) = put(&store, "b/c/d/e/f", b"1") else {
            assert!(refused >= 4, "only {refused} times there was no room");
            return;
        };
        assert_eq!((error.code(), error.os_errno()), (Code::NoSpace, Some(libc::ENOSPC)), "{error}");
        assert_eq!(names_below(dir.path()), ["a"], "{inodes} inodes");
        refused += 1;
        assert!(refused < 50, "there is never room");
    }
}

#[test]
fn d2_a_file_system_without_o_direct_falls_back_visibly_or_is_an_error() {
    let _turn = direct::turn();
    let dir = tempdir().unwrap();
    let _mount = Mount::new("ramfs", "mode=755", dir.path());
    let store = open("direct", dir.path());
    let data: Vec<u8> = (0..100_003u32).map(|n| (n % 251) as u8).collect();
    let before = fallbacks();
    put(&store, "k", &data).unwrap();
    assert_eq!(fallbacks(), before + 1);
    assert_eq!(get(&store, "k").unwrap(), data);
    assert_eq!(fallbacks(), before + 2);
    upload(&store, "k", &[&data[..50_001], &data[50_001..]]).unwrap();
    assert_eq!(fallbacks(), before + 3);
    assert_eq!(get(&store, "k").unwrap(), data);

    let strict = Options::new().with("direct.fallback", "error").unwrap();
    let strict = open_with("direct", dir.path(), strict);
    let before = fallbacks();
    let error = assert_code(put(&strict, "new", &data), Code::Unsupported);
    assert!(error.hint().is_some());
    assert_code(get_at(&strict, "k", 0, 10), Code::Unsupported);
    assert_code(upload(&strict, "new", &[&data]), Code::Unsupported);
    assert_eq!(fallbacks(), before);
    assert_eq!(names_below(dir.path()), ["k"]);
}

#[test]
fn s2_a_file_system_without_attributes_refuses_metadata_and_keeps_no_checksum() {
    let dir = tempdir().unwrap();
    let _mount = Mount::new("ramfs", "mode=755", dir.path());
    let store = open("file", dir.path());
    put(&store, "k", b"123456789").unwrap();
    let meta = wait(store.stat("k")).unwrap();
    assert_eq!((meta.size, meta.crc32c), (9, None));
    let options = PutOptions { content_type: Some("text/plain".into()), ..PutOptions::default() };
    assert_code(wait(store.put("typed", Bytes::from_static(b"1").into(), &options)), Code::Unsupported);
    wait(store.copy("k", "copied")).unwrap();
    assert_eq!(names_below(dir.path()), ["copied", "k"]);
    assert_eq!(get(&store, "copied").unwrap(), b"123456789");
}

#[test]
fn s2_two_file_systems_below_one_root() {
    let dir = tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let _mount = Mount::new("tmpfs", "size=1m", &inner);
    let store = open("file", dir.path());
    put(&store, "a", b"1").unwrap();
    put(&store, "inner/deep/b", b"2").unwrap();
    wait(store.copy("a", "inner/deep/c")).unwrap();
    wait(store.copy("inner/deep/b", "d")).unwrap();
    assert_eq!(list(&store, "", false).unwrap(), ["a", "d", "inner/deep/b", "inner/deep/c"]);
    let error = assert_code(wait(store.rename("a", "inner/deep/a")), Code::Unsupported);
    assert_eq!(error.os_errno(), Some(libc::EXDEV));
    assert_eq!(get(&store, "a").unwrap(), b"1");
    wait(store.delete_many(&["inner/deep/b".into(), "inner/deep/c".into()])).unwrap();
    assert_eq!(names_below(dir.path()), ["a", "d", "inner"], "a mounted folder cannot be pruned");
}
