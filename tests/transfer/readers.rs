//! The reader: positions, sequential reading, read-ahead, decompression (SPEC G1, W4, I2).

use crate::fake::{Answer, Log, Request, blocking, remote};
use crate::{crc, noise, read_all, read_some, run, store as put_object, window};
use bytes::Bytes;
use s3dlio::options::Options;
use s3dlio::store::{PutOptions, Store};
use s3dlio::transfer::Reader;
use s3dlio::{Code, Result};
use std::io::SeekFrom;

const MIB: usize = 1 << 20;

fn open(store: &Store, key: &str) -> Reader {
    run(Reader::open(store, key, store.options())).unwrap()
}

fn gets(log: &Log) -> Vec<(u64, usize)> {
    let gets = log.requests().into_iter().filter_map(|r| match r {
        Request::Get { offset, len, .. } => Some((offset, len)),
        _ => None,
    });
    gets.collect()
}

#[test]
fn g1_sequential_reads_of_every_size_give_every_byte_once() {
    let data = noise(11 * MIB + 17, 1);
    for read_ahead in ["0", "1", "3MiB", "32MiB"] {
        for (store, log) in
            [remote(&[("reader.read_ahead", read_ahead)]), blocking(&[("reader.read_ahead", read_ahead)])]
        {
            put_object(&store, "k", &data);
            for step in [if read_ahead == "0" { 100_003 } else { 4099 }, MIB, 3 * MIB + 1, 20 * MIB] {
                let reader = open(&store, "k");
                log.forget();
                assert!(read_all(&reader, step).unwrap() == data, "{read_ahead} {step}");
                assert!(read_some(&reader, 10).unwrap().is_empty(), "the end stays the end");
                let fetched: usize = gets(&log).iter().map(|(_, len)| len).sum();
                assert_eq!(fetched, data.len(), "{read_ahead} {step}: each byte is fetched once");
                let pinned = |r: &Request| matches!(r, Request::Get { if_match: Some(_), .. });
                assert_eq!(log.count(pinned), gets(&log).len());
            }
        }
    }
}

#[test]
fn g1_read_ahead_is_fetched_in_parallel_and_bounded() {
    let (store, log) = remote(&[("reader.read_ahead", "8MiB")]);
    put_object(&store, "k", &noise(40 * MIB, 2));
    let reader = open(&store, "k");
    let mut at = 0;
    for _ in 0..300 {
        at += read_some(&reader, 100_000).unwrap().len();
        let end = gets(&log).iter().map(|(offset, len)| *offset as usize + len).max().unwrap();
        assert!(end <= at + 8 * MIB, "{end} was asked for at position {at}");
    }
    crate::eventually("it reads ahead", || {
        gets(&log).iter().any(|(offset, len)| *offset as usize + len > at + 4 * MIB)
    });
    let any_get = |r: &Request| matches!(r, Request::Get { .. });
    crate::held_until(&log, 2, any_get, || read_all(&reader, 100_000)).unwrap();
}

#[test]
fn g1_a_store_that_blocks_is_not_read_ahead() {
    let (store, log) = blocking(&[]);
    put_object(&store, "k", &noise(4 * MIB, 3));
    let reader = open(&store, "k");
    for _ in 0..10 {
        read_some(&reader, 1000).unwrap();
    }
    assert_eq!(gets(&log), [(0, MIB)], "small reads share one request");
}

#[test]
fn g1_seek_goes_anywhere_and_past_the_end() {
    for (store, _) in [remote(&[]), blocking(&[])] {
        let data = noise(5 * MIB, 4);
        put_object(&store, "k", &data);
        let reader = open(&store, "k");
        let size = data.len() as u64;
        assert_eq!(reader.size().unwrap(), size);
        let seek = |pos| run(reader.seek(pos));
        for (pos, expected) in [
            (SeekFrom::Start(100), 100),
            (SeekFrom::Current(-50), 60),
            (SeekFrom::End(-10), size - 10),
            (SeekFrom::Start(3), 3),
            (SeekFrom::Current(2 << 20), 13 + (2 << 20)),
            (SeekFrom::Start(0), 0),
        ] {
            assert_eq!(seek(pos).unwrap(), expected);
            let at = expected as usize;
            assert!(read_some(&reader, 10).unwrap() == data[at..at + 10], "{pos:?}");
        }
        assert_eq!(seek(SeekFrom::End(5)).unwrap(), size + 5);
        assert!(read_some(&reader, 10).unwrap().is_empty(), "past the end there is nothing");
        for pos in [SeekFrom::Start(u64::MAX), SeekFrom::Current(i64::MIN), SeekFrom::End(-6 << 20)] {
            assert_eq!(seek(pos).unwrap_err().code(), Code::InvalidArgument, "{pos:?}");
        }
        assert_eq!(seek(SeekFrom::Current(-6)).unwrap(), size - 1, "a refused seek moved nothing");
        assert!(read_some(&reader, 10).unwrap() == data[data.len() - 1..]);
    }
}

#[test]
fn g1_positional_reads_leave_the_position_alone() {
    for (store, _) in
        [remote(&[("transfer.range_threshold", "1MiB"), ("transfer.range_size", "1MiB")]), blocking(&[])]
    {
        let data = noise(6 * MIB, 5);
        put_object(&store, "k", &data);
        let reader = open(&store, "k");
        let size = data.len();
        read_some(&reader, 7).unwrap();
        for (offset, len) in [(0, 0), (5, 100), (size - 5, 100), (size, 10), (1, 5 * MIB), (MIB, 20 * MIB)] {
            let (window, bytes) = window(len);
            let n = run(reader.read_at(offset as u64, window)).unwrap();
            assert!(bytes(n) == data[offset..(offset + len).min(size)], "{offset}+{len}");
        }
        let error = run(reader.read_at(size as u64 + 1, window(1).0)).unwrap_err();
        assert_eq!(error.code(), Code::Range);
        let (ranges, owners): (Vec<_>, Vec<_>) = (0..20)
            .map(|n: u64| {
                let (window, bytes) = window(300_001);
                ((5_900_000 - n * 290_000, window), bytes)
            })
            .unzip();
        let offsets: Vec<usize> = ranges.iter().map(|(offset, _)| *offset as usize).collect();
        let lens = run(reader.readv_at(ranges)).unwrap();
        for ((offset, len), bytes) in offsets.into_iter().zip(lens).zip(owners) {
            assert!(bytes(len) == data[offset..(offset + 300_001).min(size)]);
        }
        let bad = vec![(0, window(1).0), (u64::MAX, window(1).0)];
        assert_eq!(run(reader.readv_at(bad)).unwrap_err().code(), Code::Range);
        assert!(read_some(&reader, 3).unwrap() == data[7..10]);
    }
}

#[test]
fn g1_many_threads_read_positions_of_one_reader() {
    let (store, _) = remote(&[]);
    let data = noise(2 * MIB, 6);
    put_object(&store, "k", &data);
    let reader = open(&store, "k");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (reader, data) = (&reader, &data);
            scope.spawn(move || {
                for n in 0..50 {
                    let offset = (thread * 7919 + n * 104_729) % (2 * MIB - 1000);
                    let (window, bytes) = window(1000);
                    assert_eq!(run(reader.read_at(offset as u64, window)).unwrap(), 1000);
                    assert!(bytes(1000) == data[offset..offset + 1000]);
                }
            });
        }
    });
}

#[test]
fn g1_an_object_replaced_after_open_is_changed() {
    for (store, _) in [remote(&[]), blocking(&[])] {
        put_object(&store, "k", &noise(3 * MIB, 7));
        let reader = open(&store, "k");
        put_object(&store, "k", &noise(3 * MIB, 8));
        assert_eq!(read_some(&reader, 10).unwrap_err().code(), Code::Changed);
        assert_eq!(run(reader.read_at(0, window(10).0)).unwrap_err().code(), Code::Changed);
    }
}

#[test]
fn g1_a_failed_read_can_be_repeated() {
    let (store, log) = remote(&[]);
    let data = noise(6 * MIB, 9);
    put_object(&store, "k", &data);
    let mut gets = 0;
    log.script(move |r| match r {
        Request::Get { .. } => {
            gets += 1;
            match gets % 3 {
                1 => Answer::Fail(Code::Connection),
                2 => Answer::Short,
                _ => Answer::Serve,
            }
        }
        _ => Answer::Serve,
    });
    let reader = open(&store, "k");
    let (mut all, mut errors) = (Vec::new(), 0);
    while all.len() < data.len() {
        match read_some(&reader, 100_000) {
            Ok(some) => {
                assert!(!some.is_empty(), "an error was taken for the end");
                all.extend(some);
            }
            Err(error) => {
                assert!(matches!(error.code(), Code::Connection | Code::Truncated), "{error}");
                errors += 1;
                assert!(errors < 1000);
            }
        }
    }
    assert!(all == data && errors > 1);
}

#[test]
fn i2_the_expected_checksum_is_compared_at_the_end() {
    let data = noise(3 * MIB, 10);
    let compressed = zstd::encode_all(&data[..], 1).unwrap();
    for (store, _) in [remote(&[]), blocking(&[])] {
        for (key, stored) in [("k", &data), ("k.zst", &compressed)] {
            put_object(&store, key, stored);
            for step in [10_000, MIB, 4 * MIB] {
                let reader = open(&store, key);
                reader.expect_crc32c(crc(&data)).unwrap();
                assert!(read_all(&reader, step).unwrap() == data, "{key} {step}");
                assert_eq!(reader.expect_crc32c(0).unwrap_err().code(), Code::InvalidState);
                run(reader.seek(SeekFrom::Start(0))).unwrap();
                reader.expect_crc32c(crc(&data) ^ 1).unwrap();
                for _ in 0..2 {
                    let error = read_all(&reader, step).unwrap_err();
                    assert_eq!(error.code(), Code::ChecksumMismatch, "{key} {step}");
                    assert!(error.to_string().contains(&format!("crc32c:{:08x}", crc(&data))), "{error}");
                }
                run(reader.seek(SeekFrom::Start(10))).unwrap();
                assert!(read_all(&reader, step).unwrap() == data[10..], "not from 0: not compared");
            }
        }
        put_object(&store, "empty", b"");
        let reader = open(&store, "empty");
        reader.expect_crc32c(7).unwrap();
        assert_eq!(read_some(&reader, 1).unwrap_err().code(), Code::ChecksumMismatch);
    }
}

#[test]
fn w4_frames_of_every_maker_are_read_forward_and_after_seeks() {
    let parts = [noise(3 * MIB, 11), vec![7; 2 * MIB], Vec::new(), noise(100, 12)];
    let plain = parts.concat();
    let mut stored = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        stored.extend(zstd::encode_all(&part[..], [1, 19, 3, 22][number]).unwrap());
        stored.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]); // a frame to be skipped
    }
    for (store, _) in [remote(&[]), blocking(&[]), remote(&[("reader.read_ahead", "0")])] {
        put_object(&store, "k.zst", &stored);
        let reader = open(&store, "k.zst");
        assert_eq!(reader.size().unwrap_err().code(), Code::Unsupported);
        assert_eq!(reader.meta().size, stored.len() as u64);
        for step in [1000, MIB, 20 * MIB] {
            run(reader.seek(SeekFrom::Start(0))).unwrap();
            assert!(read_all(&reader, step).unwrap() == plain, "{step}");
        }
        for offset in [5, 4 * MIB, 1000, plain.len() - 3, plain.len(), plain.len() + 10, 0] {
            assert_eq!(run(reader.seek(SeekFrom::Start(offset as u64))).unwrap(), offset as u64);
            let end = plain.len().min(offset + 50);
            assert!(read_some(&reader, 50).unwrap() == plain[offset.min(end)..end], "{offset}");
        }
        assert_eq!(run(reader.seek(SeekFrom::End(0))).unwrap_err().code(), Code::Unsupported);
        let error = run(reader.read_at(0, window(1).0)).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.hint().unwrap().contains("reader.decompress"));

        let options = Options::new().with("reader.decompress", false).unwrap().resolve().unwrap();
        let raw = run(Reader::open(&store, "k.zst", &options)).unwrap();
        assert_eq!(raw.size().unwrap(), stored.len() as u64);
        assert!(read_all(&raw, MIB).unwrap() == stored);
    }
}

/// Reads a compressed object to its end or its error.
fn decompress(stored: &[u8]) -> Result<Vec<u8>> {
    let (store, _) = remote(&[]);
    put_object(&store, "k.zst", stored);
    let result = read_all(&open(&store, "k.zst"), 10_000);
    if let Err(error) = &result {
        assert!(error.uri().unwrap().ends_with("/root/k.zst"), "{error}");
    }
    result
}

#[test]
fn w4_a_truncated_stream_is_truncated_wherever_it_ends() {
    let data = [noise(300_000, 13), vec![0; 300_000]].concat();
    let stored = zstd::encode_all(&data[..], 3).unwrap();
    assert!(decompress(&stored).unwrap() == data);
    for end in [0, 1, 3, 4, 5, 8, 100, stored.len() / 2, stored.len() - 5, stored.len() - 1] {
        let error = decompress(&stored[..end]).unwrap_err();
        assert_eq!(error.code(), Code::Truncated, "{end}: {error}");
        assert!(error.details().contains(&("offset", end.to_string())), "{error}");
    }
    let mut two = stored.clone();
    two.extend_from_slice(&stored[..50]);
    assert_eq!(decompress(&two).unwrap_err().code(), Code::Truncated, "in the second frame");
}

#[test]
fn w4_malformed_streams_are_corrupt() {
    let data = noise(500_000, 14);
    let mut options = zstd::Encoder::new(Vec::new(), 3).unwrap();
    options.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut options, &data).unwrap();
    let stored = options.finish().unwrap();
    let mut flipped = stored.clone();
    flipped[250_000] ^= 1;
    let mut followed = stored.clone();
    followed.extend_from_slice(b"garbage after the frame");
    for (name, bad) in [("text", b"this is not zstd".to_vec()), ("flipped", flipped), ("followed", followed)]
    {
        let error = decompress(&bad).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{name}: {error}");
        assert!(error.details().iter().any(|(key, _)| *key == "offset"), "{error}");
    }
}

/// After an error in the stored bytes a later read gives the same error: no bytes, and no end.
#[test]
fn w4_a_broken_stream_stays_broken_however_often_it_is_read() {
    let data = [noise(200_000, 16), vec![3; 200_000], noise(200_000, 17)].concat();
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, &data).unwrap();
    let stored = encoder.finish().unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = stored.clone();
        change(&mut bad);
        bad
    };
    let broken = [
        ("cut", with(&|bad| bad.truncate(stored.len() / 2)), Code::Truncated),
        ("cut in the checksum", with(&|bad| bad.truncate(stored.len() - 2)), Code::Truncated),
        ("another checksum", with(&|bad| *bad.last_mut().unwrap() ^= 1), Code::Corrupt),
        ("garbage behind", with(&|bad| bad.extend_from_slice(b"garbage and more of it")), Code::Corrupt),
        ("a frame cut behind", with(&|bad| bad.extend_from_slice(&stored[..1000])), Code::Truncated),
        ("the header", with(&|bad| bad[4] |= 0x08), Code::Corrupt),
        ("a block", with(&|bad| bad[9..12].fill(0xff)), Code::Corrupt),
    ];
    for (name, bad, code) in broken {
        let (store, _) = remote(&[]);
        put_object(&store, "k.zst", &bad);
        for step in [1000, 70_001, 1 << 20] {
            let reader = open(&store, "k.zst");
            for round in ["first", "after a seek"] {
                let mut all = Vec::new();
                let error = loop {
                    match read_some(&reader, step) {
                        Ok(some) => {
                            assert!(
                                !some.is_empty(),
                                "{name} {step} {round}: an error was taken for the end"
                            );
                            all.extend(some);
                        }
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.code(), code, "{name} {step} {round}: {error}");
                // Of a changed block only the checksum at the frame's end tells; all else comes out right.
                assert!(name == "a block" || data.starts_with(&all), "{name} {step} {round}");
                for again in 0..3 {
                    let error = read_some(&reader, step).map(|some| some.len()).unwrap_err();
                    assert_eq!(error.code(), code, "{name} {step} {round} {again}: {error}");
                }
                run(reader.seek(SeekFrom::Start(0))).unwrap();
            }
        }
    }
}

/// zstd may have decoded blocks before it came to the broken one, and not count their input as taken:
/// asked again it decodes them again, behind themselves.
#[test]
fn w4_a_shorter_read_after_a_broken_one_gives_no_wrong_bytes() {
    const BLOCK: usize = 128 << 10;
    let data = noise(50_000, 18).repeat(12); // matches of a distance that divides no block
    for level in [1, 3, 9, 15, 19] {
        let mut bad = zstd::encode_all(&data[..], level).unwrap();
        let mut header = 6; // magic, descriptor, window
        for _ in 0..3 {
            let block = u32::from_le_bytes([bad[header], bad[header + 1], bad[header + 2], 0]);
            assert_eq!(block & 1, 0, "not the last");
            header += 3 + if block >> 1 & 3 == 1 { 1 } else { block as usize >> 3 };
        }
        bad[header] |= 6; // a type of block that there is not
        let (store, _) = remote(&[]);
        put_object(&store, "k.zst", &bad);
        for first in [0, 1000, BLOCK] {
            let reader = open(&store, "k.zst");
            assert!(read_some(&reader, first).unwrap() == data[..first]);
            for len in [1 << 20, 100, BLOCK] {
                let code = read_some(&reader, len).map(|some| some == data[first..][..some.len()]);
                assert_eq!(code.map_err(|e| e.code()), Err(Code::Corrupt), "level {level}, {first}, {len}");
            }
            run(reader.seek(SeekFrom::Start(10))).unwrap();
            assert!(read_some(&reader, BLOCK).unwrap() == data[10..][..BLOCK], "a seek starts over");
        }
    }
}

#[test]
fn g1_a_range_past_2_to_the_64_names_the_object() {
    let (store, _) = remote(&[]);
    put_object(&store, "k", b"0123456789");
    let reader = open(&store, "k");
    let whole = |offset, length| {
        let check = s3dlio::transfer::Check { key: "k".into(), offset, length, expected: Some(0) };
        run(s3dlio::transfer::validate(&store, &check)).unwrap_err()
    };
    for (operation, error) in [
        ("get", run(s3dlio::transfer::get_range(&store, "k", 3, u64::MAX - 1)).unwrap_err()),
        ("get", run(s3dlio::transfer::get_range_into(&store, "k", u64::MAX, window(1).0)).unwrap_err()),
        ("get", run(s3dlio::transfer::get_ranges(&store, "k", vec![(u64::MAX, window(1).0)])).unwrap_err()),
        ("read", run(reader.read_at(u64::MAX, window(1).0)).unwrap_err()),
        ("read", run(reader.readv_at(vec![(u64::MAX, window(1).0)])).unwrap_err()),
        ("validate", whole(3, u64::MAX - 1)),
    ] {
        assert_eq!((error.code(), error.operation()), (Code::Range, Some(operation)), "{error}");
        assert!(error.to_string().contains("2^64"), "{error}");
        assert!(error.uri().is_some_and(|uri| uri.ends_with("/root/k")), "{error}");
    }
    assert_eq!(run(s3dlio::transfer::get_range(&store, "k", 3, u64::MAX)).unwrap()[..], b"3456789"[..]);
}

#[test]
fn w4_a_window_of_more_than_128_mib_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    std::io::Write::write_all(&mut encoder, &noise(1000, 15)).unwrap();
    let error = decompress(&encoder.finish().unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported, "{error}");
    assert!(error.hint().unwrap().contains("128 MiB"));
}

#[test]
fn w4_get_returns_the_stored_bytes() {
    let (store, _) = remote(&[]);
    let stored = zstd::encode_all(&b"plain"[..], 3).unwrap();
    run(store.put("k.zst", Bytes::from(stored.clone()).into(), &PutOptions::default())).unwrap();
    assert!(run(s3dlio::transfer::get(&store, "k.zst")).unwrap()[..] == stored);
}
