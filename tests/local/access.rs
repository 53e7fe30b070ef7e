//! What the system refuses: permissions, flushes, calls that it does not have.

use super::sys::{OLD_SYSTEM, Refusal, as_nobody, with_refused};
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tempfile::tempdir;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn s2_what_may_not_be_read_is_an_error_and_never_empty() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        set_mode(dir.path(), 0o755);
        let store = open(scheme, dir.path());
        put(&store, "locked/k", b"1").unwrap();
        put(&store, "secret", b"2").unwrap();
        set_mode(&dir.path().join("locked"), 0o000);
        set_mode(&dir.path().join("secret"), 0o000);
        as_nobody(|| {
            for prefix in ["", "locked/", "loc"] {
                let error = assert_code(list(&store, prefix, false), Code::PermissionDenied);
                assert_eq!(error.os_errno(), Some(libc::EACCES));
            }
            assert_eq!(list(&store, "", true).unwrap(), ["locked/", "secret"]);
            assert_code(list(&store, "locked/", true), Code::PermissionDenied);
            for key in ["locked/k", "secret"] {
                assert_code(wait(store.stat(key)), Code::PermissionDenied);
                assert_code(wait(store.exists(key)), Code::PermissionDenied);
                assert_code(get_at(&store, key, 0, 1), Code::PermissionDenied);
                assert_code(put(&store, key, b"x"), Code::PermissionDenied);
                assert_code(upload(&store, key, &[b"x"]), Code::PermissionDenied);
                assert_code(wait(store.delete(key)), Code::PermissionDenied);
                assert_code(wait(store.rename(key, "other")), Code::PermissionDenied);
                assert_code(wait(store.copy(key, "other")), Code::PermissionDenied);
            }
            assert_code(put(&store, "new/k", b"x"), Code::PermissionDenied);
        });
        assert_eq!(names_below(dir.path()), ["locked", "locked/k", "secret"]);
        set_mode(&dir.path().join("secret"), 0o644);
        assert_eq!(get(&store, "secret").unwrap(), b"2");
    }
}

#[test]
fn s5_a_failed_flush_is_an_error_and_leaves_the_old_object() {
    let no_flush = [Refusal { call: libc::SYS_fsync, errno: libc::EIO, bit: None }];
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        put(&store, "k", b"old").unwrap();
        with_refused(&no_flush, || {
            for key in ["k", "new", "folder/new"] {
                let error = assert_code(put(&store, key, b"new"), Code::Io);
                assert_eq!(error.os_errno(), Some(libc::EIO));
                assert_code(upload(&store, key, &[b"new"]), Code::Io);
                assert_code(wait(store.copy("k", key)), Code::Io);
            }
            let lazy = open_with(scheme, dir.path(), Options::new().with("file.sync", false).unwrap());
            put(&lazy, "lazy", b"1").unwrap();
        });
        assert_eq!(names_below(dir.path()), ["k", "lazy"]);
        assert_eq!(get(&store, "k").unwrap(), b"old");
    }
}

#[test]
fn s5_without_the_calls_of_new_kernels_everything_holds_as_well() {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(["local::basics", "local::direct", "local::mounts", "local::kill"]);
    // SAFETY: between fork and exec only system calls are made, and memory is allocated, which the
    // C library allows after a fork.
    unsafe { tests.pre_exec(|| super::sys::refuse(&OLD_SYSTEM)) };
    let output = tests.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("s4_keys_never_leave_the_root ... ok"), "{text}");
}

#[test]
fn s5_a_temporary_file_of_a_living_writer_stays_and_one_left_behind_goes() {
    let dir = tempdir().unwrap();
    for scheme in SCHEMES {
        let store = open(scheme, dir.path());
        with_refused(&OLD_SYSTEM, || {
            let upload = wait(store.create_upload("folder/k", &PutOptions::default())).unwrap();
            let part = |data: &'static [u8]| Part {
                number: 0,
                offset: 0,
                data: Bytes::from_static(data),
                crc32c: Crc32c::of(data),
            };
            wait(upload.put_part(part(b"12345"))).unwrap();
            let names = names_below(dir.path());
            assert!(names.len() == 1 && names[0].starts_with(".s3dlio-tmp-"), "{names:?}");
            std::fs::write(dir.path().join(".s3dlio-tmp-left-behind"), "x").unwrap();
            std::fs::write(dir.path().join(".s3dlio-tmp-publish"), "x").unwrap();
            assert_eq!(list(&store, "", false).unwrap(), [""; 0]);
            assert_eq!(list(&store, "", true).unwrap(), [""; 0]);
            assert_eq!(list(&store, ".s3", true).unwrap(), [""; 0]);
            assert_code(wait(store.stat(&names[0])), Code::InvalidKey);
            // A container with leftovers only is empty, but what is being written is not lost.
            assert_code(wait(store.delete_container()), Code::NotEmpty);
            assert_eq!(names_below(dir.path()), names);
            let total = UploadTotal { crc32c: Crc32c::of(b"12345") };
            wait(upload.complete(1, total)).unwrap();
        });
        assert_eq!(names_below(dir.path()), ["folder", "folder/k"]);
        wait(store.delete("folder/k")).unwrap();
    }
}

#[test]
fn s5_a_forked_child_that_drops_an_upload_leaves_it_to_its_parent() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open(scheme, dir.path());
        // Named temporary files: what the child must not remove is there to see.
        with_refused(&OLD_SYSTEM, || {
            let upload = wait(store.create_upload("k", &PutOptions::default())).unwrap();
            let data = Bytes::from_static(b"12345");
            let crc32c = Crc32c::of(&data);
            wait(upload.put_part(Part { number: 0, offset: 0, data, crc32c })).unwrap();
            // SAFETY: the child only drops the upload, which takes no lock, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                drop(upload);
                // SAFETY: ends the child without running anything else of this process.
                unsafe { libc::_exit(0) };
            }
            let mut status = -1;
            // SAFETY: waits for the child that was just started.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            assert_eq!(names_below(dir.path()).len(), 1, "the child removed its parent's file");
            wait(upload.complete(1, UploadTotal { crc32c })).unwrap();
        });
        assert_eq!(get(&store, "k").unwrap(), b"12345");
    }
}

#[test]
fn s5_a_new_writer_removes_what_a_killed_one_left() {
    // One folder each: a process looks only once into every folder.
    for (scheme, overwrite) in [("file", true), ("file", false), ("direct", true), ("direct", false)] {
        let dir = tempdir().unwrap();
        std::fs::write(dir.path().join("old"), "old").unwrap();
        std::fs::write(dir.path().join(".s3dlio-tmp-publish"), "torn").unwrap();
        let store = open(scheme, dir.path());
        assert_eq!(list(&store, "", false).unwrap(), ["old"]);
        let key = if overwrite { "old" } else { "new" };
        put(&store, key, b"new").unwrap();
        assert_eq!(get(&store, key).unwrap(), b"new");
        assert!(!dir.path().join(".s3dlio-tmp-publish").exists(), "{scheme} {overwrite}");
    }
}

#[test]
fn s4_a_file_that_is_shorter_than_it_says_is_an_error() {
    // The kernel says 4096 bytes of every attribute below /sys, and gives fewer.
    for scheme in SCHEMES {
        let store = open(scheme, Path::new("/sys/kernel/mm"));
        let key = "transparent_hugepage/enabled";
        assert_eq!(wait(store.stat(key)).unwrap().size, 4096);
        assert_code(get(&store, key), Code::Changed);
    }
}

#[test]
fn s2_writers_and_deleters_of_one_folder_do_not_disturb_each_other() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let store = open_with(scheme, dir.path(), Options::new().with("file.sync", false).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..200 {
                        let key = format!("a/b{}/k{thread}", round % 2);
                        put(store, &key, b"1").unwrap();
                        wait(store.rename(&key, &format!("a/c/{thread}"))).unwrap();
                        wait(store.delete(&format!("a/c/{thread}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(names_below(dir.path()), [""; 0]);
    }
}
