//! O_DIRECT: exact bytes for every length, offset and alignment; visible fallback.

use super::*;
use s3dlio::store::direct::fallbacks;
use std::sync::Mutex;
use tempfile::tempdir;

/// Lengths around every boundary that matters: sector, page, bounce buffer.
const SIZES: [usize; 20] = [
    0, 1, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193, 12_289, 65_535, 65_536, 65_537, 1_048_575,
    1_048_576, 1_048_577, 3_145_728, 5_000_001,
];

/// The counter is one for the process: tests that look at it take turns.
static COUNTER: Mutex<()> = Mutex::new(());

pub fn turn() -> std::sync::MutexGuard<'static, ()> {
    COUNTER.lock().unwrap_or_else(|e| e.into_inner())
}

/// Bytes that differ from block to block, so that a misplaced block shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ length as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn open_small_bounce(root: &Path) -> Store {
    open_with("direct", root, Options::new().with("direct.min_io_size", 8192).unwrap())
}

/// Requests of one block, three of them at once: with io_uring, almost every transfer takes many.
fn open_small_requests(root: &Path) -> Store {
    let small = Options::new().with("local.block_size", 4096).unwrap().with("local.queue_depth", 3).unwrap();
    open_with("direct", root, small.with("direct.min_io_size", 8192).unwrap())
}

#[test]
fn d1_files_have_exactly_the_bytes_that_were_put() {
    let _turn = turn();
    let before = fallbacks();
    let dir = tempdir().unwrap();
    for store in [open("direct", dir.path()), open_small_bounce(dir.path()), open_small_requests(dir.path())]
    {
        for size in SIZES {
            let data = pattern(size + 1);
            // From memory that is aligned, and from memory that is not.
            for shift in [0, 1] {
                let data = Bytes::from_owner(Buffer::copy_of(&data).unwrap()).slice(shift..size + shift);
                wait(store.put("k", data.clone().into(), &PutOptions::default())).unwrap();
                let stored = std::fs::read(dir.path().join("k")).unwrap();
                assert_eq!(stored.len(), size);
                assert!(stored == data, "{size} bytes from memory shifted by {shift} differ");
                assert!(get(&store, "k").unwrap() == data, "{size} bytes read differ");
            }
        }
    }
    assert_eq!(fallbacks(), before, "this file system takes O_DIRECT, so nothing may fall back");
}

#[test]
fn d1_any_range_into_any_memory() {
    let dir = tempdir().unwrap();
    let data = pattern(100_001);
    std::fs::write(dir.path().join("k"), &data).unwrap();
    let edges = [0, 1, 511, 512, 513, 4095, 4096, 4097, 8192, 20_000, 65_536, 99_999, 100_000, 100_001];
    for store in [open("direct", dir.path()), open_small_bounce(dir.path()), open_small_requests(dir.path())]
    {
        for offset in edges {
            for length in edges {
                for shift in [0, 1, 512] {
                    let (whole, owner) = window(length + shift + 64);
                    let (before, rest) = whole.split_at(shift);
                    let (mut dst, after) = rest.split_at(length);
                    dst.fill(0xee);
                    let request = GetRequest { offset: offset as u64, ..GetRequest::default() };
                    let got = wait(store.get_into("k", request, dst)).unwrap();
                    drop((before, after));
                    let memory = owner.reclaim(length + shift + 64).unwrap();
                    let expected = &data[offset..(offset + length).min(data.len())];
                    assert_eq!(got.bytes, expected.len(), "{offset}+{length}");
                    assert!(memory[shift..shift + got.bytes] == *expected, "{offset}+{length} shift {shift}");
                    assert!(memory[shift + length..].iter().all(|b| *b == 0), "written past the window");
                    assert!(
                        memory[shift + got.bytes..shift + length].iter().all(|b| *b == 0xee),
                        "written past the end of the object"
                    );
                }
            }
        }
    }
    assert_code(get_at(&open("direct", dir.path()), "k", 100_002, 1), Code::Range);
}

#[test]
fn d1_parts_of_any_size_in_any_order() {
    let _turn = turn();
    let before = fallbacks();
    let dir = tempdir().unwrap();
    let store = open_small_requests(dir.path());
    let part_sizes = [1, 7, 511, 512, 1000, 4095, 4096, 4097, 10_000, 65_536, 70_001];
    for part_size in part_sizes {
        for size in [0usize, 1, 4096, 12_289, 200_003] {
            if size / part_size > 2000 {
                continue; // thousands of one-byte parts show nothing more
            }
            let data = pattern(size);
            let parts: Vec<&[u8]> = data.chunks(part_size).collect();
            let upload = wait(store.create_upload("u", &PutOptions::default())).unwrap();
            let put = |number: usize| {
                let data = Bytes::copy_from_slice(parts[number]);
                let crc32c = Crc32c::of(&data);
                let offset = (number * part_size) as u64;
                wait(upload.put_part(Part { number: number as u32, offset, data, crc32c })).unwrap();
            };
            // Odd parts backwards, then even ones from two threads, then some again.
            (0..parts.len()).rev().filter(|n| n % 2 == 1).for_each(put);
            std::thread::scope(|scope| {
                scope.spawn(|| (0..parts.len()).filter(|n| n % 4 == 0).for_each(put));
                scope.spawn(|| (0..parts.len()).filter(|n| n % 4 == 2).for_each(put));
            });
            (0..parts.len()).step_by(3).for_each(put);
            let total = UploadTotal { crc32c: Crc32c::of(&data) };
            wait(upload.complete(parts.len() as u32, total)).unwrap();
            let stored = std::fs::read(dir.path().join("u")).unwrap();
            assert!(stored == data, "{size} bytes in parts of {part_size} differ");
        }
    }
    assert_eq!(fallbacks(), before);
    assert_eq!(names_below(dir.path()), ["u"]);
}

#[test]
fn d1_a_given_alignment_is_used_or_refused() {
    let dir = tempdir().unwrap();
    for alignment in [4096, 65_536, 1 << 20] {
        let options = Options::new().with("direct.alignment", alignment).unwrap();
        let store = open_with("direct", dir.path(), options.with("direct.fallback", "error").unwrap());
        assert_eq!(store.capabilities().alignment, alignment);
        for size in [1, 65_535, 65_537, 2_000_000] {
            put(&store, "k", &pattern(size)).unwrap();
            assert!(std::fs::read(dir.path().join("k")).unwrap() == pattern(size));
            assert!(get(&store, "k").unwrap() == pattern(size));
        }
    }
    let options = Options::new().with("direct.alignment", 1000).unwrap();
    let uri = format!("direct://{}", dir.path().display());
    assert_eq!(store_for_uri(&uri, &options).unwrap_err().code(), Code::InvalidOption);
}

#[test]
fn d2_a_refused_request_falls_back_visibly_or_is_an_error() {
    let _turn = turn();
    let dir = tempdir().unwrap();
    // One byte is no alignment that a device takes: the kernel refuses the first request.
    let one = Options::new().with("direct.alignment", 1).unwrap();
    let store = open_with("direct", dir.path(), one.clone());
    for (n, size) in [1, 4097, 3_000_001].into_iter().enumerate() {
        let (data, before) = (pattern(size), fallbacks());
        put(&store, "k", &data).unwrap();
        assert_eq!(fallbacks(), before + 1, "one file was written");
        assert!(get(&store, "k").unwrap() == data, "{n}");
        assert_eq!(fallbacks(), before + 2, "one file was read");
        let parts: Vec<&[u8]> = data.chunks(1_000_000).collect();
        upload(&store, "k", &parts).unwrap();
        assert_eq!(fallbacks(), before + 3, "one file was written in {} parts", parts.len());
        assert!(std::fs::read(dir.path().join("k")).unwrap() == data);
    }
    let strict = open_with("direct", dir.path(), one.with("direct.fallback", "error").unwrap());
    let before = fallbacks();
    let error = assert_code(put(&strict, "new", b"12345"), Code::Unsupported);
    assert_eq!(error.os_errno(), Some(libc::EINVAL));
    assert_code(get_at(&strict, "k", 1, 5), Code::Unsupported);
    assert_code(upload(&strict, "new", &[b"12345"]), Code::Unsupported);
    assert_eq!(fallbacks(), before);
    assert_eq!(names_below(dir.path()), ["k"]);
}
