//! io_uring and going without it: the same bytes and the same errors, visibly; nothing of a parent's
//! ring in a forked child.

use super::sys::{Refusal, with_refused};
use super::*;
use s3dlio::base::buffer::BufferPool;
use s3dlio::store::posix::io_uring_fallbacks;
use s3dlio::transfer;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::tempdir;

const REFUSED_SETUP: Refusal = Refusal { call: libc::SYS_io_uring_setup, errno: libc::EPERM, bit: None };
const REFUSED_ENTER: Refusal = Refusal { call: libc::SYS_io_uring_enter, errno: libc::EPERM, bit: None };

/// Small requests and a depth of its own, so that no ring of another test is taken.
fn options(mode: &str, depth: u64) -> Options {
    let small =
        Options::new().with("local.block_size", 8192).unwrap().with("local.queue_depth", depth).unwrap();
    small.with("local.io_uring", mode).unwrap()
}

fn data(size: usize) -> Vec<u8> {
    (0..size as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn get_many(store: &Store, keys: &[String]) -> Vec<Result<Vec<u8>>> {
    let results = wait(transfer::get_many(store, keys.to_vec()));
    results.into_iter().map(|result| result.map(|data| data.to_vec())).collect()
}

/// More keys than one thread takes, every odd kind among them, with what each must give.
fn odd_files(root: &Path) -> Vec<(String, std::result::Result<Vec<u8>, Code>)> {
    let outside = root.parent().unwrap().join("outside");
    std::fs::write(&outside, "secret").unwrap();
    std::fs::create_dir_all(root.join("folder/deep")).unwrap();
    let mut cases = Vec::new();
    for n in 0..700 {
        let key = if n % 3 == 0 { format!("folder/deep/{n}") } else { n.to_string() };
        let bytes = data(if n % 50 == 0 { 20_000 + n } else { n * 7 });
        std::fs::write(root.join(&key), &bytes).unwrap();
        cases.push((key, Ok(bytes)));
    }
    symlink("1", root.join("link")).unwrap();
    symlink(root.join("folder"), root.join("absolute")).unwrap();
    symlink(&outside, root.join("out")).unwrap();
    let fifo = std::ffi::CString::new(root.join("fifo").to_str().unwrap()).unwrap();
    // SAFETY: `fifo` is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for (at, key, outcome) in [
        (0, "missing", Err(Code::NotFound)),
        (5, "link", Ok(data(7))),
        (40, "absolute/deep/3", Ok(data(21))),
        (70, "out", Err(Code::InvalidKey)),
        (71, "../outside", Err(Code::InvalidKey)),
        (72, "nul\0", Err(Code::InvalidKey)),
        (73, "", Err(Code::InvalidKey)),
        (100, "folder", Err(Code::NotFound)),
        (300, "fifo", Err(Code::NotFound)),
        (301, "1/below", Err(Code::NotFound)),
    ] {
        cases.insert(at, (key.to_owned(), outcome));
    }
    cases
}

fn assert_all(store: &Store, cases: &[(String, std::result::Result<Vec<u8>, Code>)]) {
    let keys: Vec<String> = cases.iter().map(|(key, _)| key.clone()).collect();
    let results = get_many(store, &keys);
    assert_eq!(results.len(), cases.len());
    for ((key, expected), got) in cases.iter().zip(results) {
        match (expected, got) {
            (Ok(bytes), got) => assert!(got.unwrap() == *bytes, "{key:?} has other bytes"),
            (Err(code), got) => {
                let error = assert_code(got, *code);
                assert_eq!(error.operation(), Some("get"));
            }
        }
    }
}

#[test]
fn g1_a_batch_of_files_gives_each_its_bytes_or_its_error() {
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let cases = odd_files(&root);
        for mode in ["on", "off"] {
            assert_all(&open_with(scheme, &root, options(mode, 6)), &cases);
        }
        let gone = open_with(scheme, &dir.path().join("none"), options("auto", 6));
        for result in get_many(&gone, &["a".into(), "b".into(), "c".into(), "d".into(), "e".into()]) {
            assert_code(result, Code::ContainerNotFound);
        }
    }
}

#[test]
fn d2_without_io_uring_everything_holds_and_it_shows() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let cases = odd_files(&root);
    let large = data(1_000_003);
    with_refused(&[REFUSED_SETUP], || {
        for scheme in SCHEMES {
            let before = io_uring_fallbacks();
            let store = open_with(scheme, &root, options("auto", 301));
            put(&store, "large", &large).unwrap();
            assert!(get(&store, "large").unwrap() == large);
            assert_all(&store, &cases);
            assert!(io_uring_fallbacks() > before, "{scheme}");

            let strict = open_with(scheme, &root, options("on", 302));
            let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
            for result in get_many(&strict, &keys) {
                let error = assert_code(result, Code::Unsupported);
                assert_eq!(error.os_errno(), Some(libc::EPERM));
                assert!(error.hint().is_some() && error.to_string().contains("local.io_uring"), "{error}");
            }
            if scheme == "direct" {
                assert_code(get(&strict, "large"), Code::Unsupported);
                assert_code(put(&strict, "new", &large), Code::Unsupported);
                assert!(!root.join("new").exists());
            }
        }
    });
}

#[test]
fn d2_a_ring_that_breaks_loses_nothing() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let cases = odd_files(&root);
    let large = data(1_000_003);
    with_refused(&[REFUSED_ENTER], || {
        for scheme in SCHEMES {
            let store = open_with(scheme, &root, options("on", 303));
            put(&store, "large", &large).unwrap();
            assert!(get(&store, "large").unwrap() == large);
            assert_all(&store, &cases);
        }
    });
    let descriptors = || {
        std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| {
            let fd = fd.as_ref().unwrap().path();
            std::fs::read_link(fd).is_ok_and(|target| target.starts_with(&root))
        })
    };
    assert_eq!(descriptors().count(), 0, "files of the batches are still open");
}

/// Leaves bytes that are nobody's in the buffers that the next results come in.
fn poison_pool(size: usize, count: usize) {
    let mut buffers: Vec<Buffer> = (0..count).map(|_| BufferPool::global().take(size).unwrap()).collect();
    buffers.iter_mut().for_each(|buffer| buffer.spare_mut().fill(0xee));
}

/// Ends the other thread also where this one panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn s2_a_file_that_shrinks_while_it_is_read_is_changed_or_as_it_was() {
    let dir = tempdir().unwrap();
    // Files that take many requests, and files that a batch reads with one each.
    let cases = [("direct", "on", 400_000), ("direct", "off", 400_000), ("file", "on", 8_000)];
    for (scheme, mode, size) in cases {
        let whole = data(size);
        let store = open_with(scheme, dir.path(), options(mode, 5));
        let path = dir.path().join("k");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::fs::write(&path, &whole).unwrap(); // in place: cut to nothing, then grown again
                }
            });
            std::fs::write(&path, &whole).unwrap();
            let keys = vec!["k".to_owned(); 8];
            for _ in 0..200 {
                poison_pool(size, keys.len());
                for got in get_many(&store, &keys) {
                    match got {
                        Ok(got) => {
                            assert!(got.len() <= whole.len());
                            // A hole that is filled later reads as zeros.
                            let same = |(a, b): (&u8, &u8)| a == b || *a == 0;
                            assert!(
                                got.iter().zip(&whole).all(same),
                                "{scheme} {mode}: bytes of another place"
                            );
                        }
                        Err(error) => drop(assert_code::<()>(Err(error), Code::Changed)),
                    }
                }
            }
        });
    }
}

#[test]
fn s7_a_forked_child_has_rings_of_its_own() {
    let dir = tempdir().unwrap();
    let large = data(2_000_003);
    let store = open_with("direct", dir.path(), options("on", 40));
    let keys: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    for key in &keys {
        put(&store, key, &large[..10_000]).unwrap();
    }
    let works = |key: &str| {
        put(&store, key, &large).is_ok()
            && get(&store, key).is_ok_and(|got| got == large)
            && get_many(&store, &keys).into_iter().all(|got| got.is_ok_and(|got| got == large[..10_000]))
    };
    assert!(works("parent")); // leaves a ring to inherit
    // SAFETY: the child calls the library, which is made for it, and leaves without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let all = std::panic::AssertUnwindSafe(|| (0..5).all(|_| works("child")));
        let status = i32::from(!std::panic::catch_unwind(all).unwrap_or(false));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) };
    }
    let parent = (0..5).all(|_| works("parent"));
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(parent, "the parent's rings are disturbed");
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child: {status:#x}");
}
