//! The writer where nothing goes wrong.

use crate::fake::{Answer, PART, Request, blocking, remote};
use crate::{crc, eventually, noise, read_all, run};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::options::Options;
use s3dlio::store::{PutCondition, PutOptions, Store, store_for_uri};
use s3dlio::transfer::{Reader, WriteStats, Writer, get, put};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn open(store: &Store, key: &str) -> Writer {
    run(Writer::open(store, key, store.options(), &PutOptions::default())).unwrap()
}

fn zstd(level: u32) -> Options {
    let options = Options::new().with("writer.compression", "zstd").unwrap();
    let options = options.with("writer.compression_level", level).unwrap();
    options.with("transfer.part_size", "5MiB").unwrap()
}

fn write_in_chunks(writer: &mut Writer, data: &[u8], chunk: usize) -> WriteStats {
    for piece in data.chunks(chunk) {
        run(writer.write(piece)).unwrap();
    }
    run(writer.finish()).unwrap()
}

#[test]
fn w1_w2_every_size_in_every_chunk_on_every_kind_of_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = store_for_uri(&format!("file://{}", folder.path().display()), &zstd(1)).unwrap();
    let memory = store_for_uri("memory://writers/root", &zstd(1)).unwrap();
    let stores = [remote(&[]).0, blocking(&[]).0, memory, file];
    let all = noise(3 * PART + 7, 1);
    for store in &stores {
        for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7] {
            for chunk in [4095, 1 << 20, 20 << 20] {
                for options in [Options::new().with("transfer.part_size", "5MiB").unwrap(), zstd(1)] {
                    let data = &all[..size];
                    let what = format!("{} bytes by {chunk} on {} {options:?}", size, store.root());
                    let options = options.resolve().unwrap();
                    let mut writer = run(Writer::open(store, "k", &options, &PutOptions::default())).unwrap();
                    let stats = write_in_chunks(&mut writer, data, chunk);
                    assert_eq!((stats.bytes, stats.crc32c), (size as u64, crc(data)), "{what}");
                    let stored = run(get(store, writer.key())).unwrap();
                    let expected = (stored.len() as u64, crc(&stored));
                    assert_eq!((stats.stored_bytes, stats.stored_crc32c), expected, "{what}");
                    let plain = match writer.key() {
                        "k" => stored.to_vec(),
                        _ => ::zstd::decode_all(&stored[..]).unwrap(),
                    };
                    assert!(plain == data, "{what}");
                    assert!(stats.finished && stats.etag.is_some() && stats == writer.stats(), "{what}");
                }
            }
        }
    }
}

#[test]
fn w2_single_bytes() {
    let (store, _) = remote(&[]);
    let data = noise(PART + 3, 2);
    let mut writer = open(&store, "k");
    let stats = run(async {
        for byte in &data {
            writer.write(std::slice::from_ref(byte)).await.unwrap();
        }
        writer.finish().await.unwrap()
    });
    assert_eq!((stats.crc32c, stats.parts), (crc(&data), 2));
    assert!(run(get(&store, "k")).unwrap()[..] == data);
}

#[test]
fn w2_one_part_is_one_put_and_more_are_an_upload() {
    let (store, log) = remote(&[]);
    for (size, parts) in [(0, 1), (PART, 1), (PART + 1, 2), (2 * PART, 2)] {
        log.forget();
        let stats = write_in_chunks(&mut open(&store, "k"), &noise(size, 3), 1 << 20);
        assert_eq!(stats.parts, parts, "{size}");
        assert_eq!(log.count(|r| *r == Request::Create), usize::from(size > PART), "{size}");
        assert_eq!(log.open_uploads(), 0);
    }
}

#[test]
fn w3_reserved_memory_is_what_the_store_gets() {
    let (store, log) = remote(&[]);
    let data = noise(2 * PART + 100, 4);
    let mut writer = open(&store, "k");
    let mut addresses = Vec::new();
    let mut at = 0;
    run(async {
        // First more than the small first buffer, so that no growth copies it.
        while at < data.len() {
            let memory = writer.reserve(1 << 20).await.unwrap();
            assert!(memory.len() >= 1 << 20);
            let n = memory.len().min(data.len() - at).min(1 << 20);
            memory[..n].copy_from_slice(&data[at..at + n]);
            addresses.push(memory.as_ptr() as usize);
            writer.commit(n).await.unwrap();
            at += n;
        }
        writer.finish().await.unwrap();
    });
    assert!(run(get(&store, "k")).unwrap()[..] == data);
    let parts = log.requests().into_iter().filter_map(|r| match r {
        Request::Part { offset, address, len, .. } => Some((offset, address, len)),
        _ => None,
    });
    let (_, address, len) = parts.max().unwrap();
    assert!(addresses.contains(&address), "the last part of {len} bytes was copied");
}

#[test]
fn w3_a_reservation_larger_than_a_part_becomes_a_part() {
    let (store, log) = remote(&[]);
    let data = noise(3 * PART, 5);
    let mut writer = open(&store, "k");
    run(async {
        writer.write(&data[..10]).await.unwrap();
        let memory = writer.reserve(2 * PART).await.unwrap();
        memory[..2 * PART].copy_from_slice(&data[10..2 * PART + 10]);
        writer.commit(2 * PART).await.unwrap();
        writer.write(&data[2 * PART + 10..]).await.unwrap();
        writer.finish().await.unwrap();
    });
    assert!(run(get(&store, "k")).unwrap()[..] == data);
    assert_eq!(log.count(|r| matches!(r, Request::Part { .. })), 2);
}

#[test]
fn w3_reserve_and_commit_refuse_what_does_not_fit_together() {
    for options in [Options::new(), zstd(1)] {
        let (store, _) = remote(&[]);
        let options = options.resolve().unwrap();
        let mut writer = run(Writer::open(&store, "k", &options, &PutOptions::default())).unwrap();
        run(async {
            assert_eq!(writer.commit(1).await.unwrap_err().code(), Code::InvalidState);
            let len = writer.reserve(100).await.unwrap().len();
            assert_eq!(writer.commit(len + 1).await.unwrap_err().code(), Code::InvalidArgument);
            writer.reserve(3).await.unwrap()[..3].copy_from_slice(b"abc");
            writer.commit(3).await.unwrap();
            assert_eq!(writer.commit(0).await.unwrap_err().code(), Code::InvalidState, "already committed");
            writer.reserve(3).await.unwrap();
            writer.write(b"de").await.unwrap();
            assert_eq!(writer.commit(1).await.unwrap_err().code(), Code::InvalidState, "given up by write");
            writer.reserve(0).await.unwrap()[0] = b'f';
            writer.commit(1).await.unwrap();
            let stats = writer.finish().await.unwrap();
            assert_eq!((stats.bytes, stats.crc32c), (6, crc(b"abcdef")));
            let reader = Reader::open(&store, writer.key(), &options).await.unwrap();
            assert_eq!(reader.size().unwrap(), 6);
        });
    }
}

#[test]
fn w1_owned_data_is_not_copied() {
    let (store, log) = remote(&[]);
    let data = Bytes::from(noise(3 * PART + 9, 6));
    let start = data.as_ptr() as usize;
    let mut writer = open(&store, "k");
    run(writer.write_owned(data.clone())).unwrap();
    assert_eq!(run(writer.finish()).unwrap().crc32c, crc(&data));
    let parts = log.requests().into_iter().filter_map(|r| match r {
        Request::Part { offset, len, address, .. } if len == PART => Some((offset, address)),
        _ => None,
    });
    let mut parts: Vec<(u64, usize)> = parts.collect();
    parts.sort();
    let expected: Vec<(u64, usize)> = (0..3).map(|n| ((n * PART) as u64, start + n * PART)).collect();
    assert_eq!(parts, expected);
    assert!(run(get(&store, "k")).unwrap()[..] == data);
    assert!(data.is_unique(), "the writer let go of it");
}

#[test]
fn w1_owned_and_borrowed_writes_mix() {
    for (store, _) in [remote(&[]), blocking(&[])] {
        let data = noise(4 * PART + 123, 7);
        let mut writer = open(&store, "k");
        let cuts = [0, 3, 3 + PART, 3 + 2 * PART, 2 * PART + 1000, data.len()];
        for (number, cut) in cuts.windows(2).enumerate() {
            let piece = &data[cut[0]..cut[1]];
            match number % 2 {
                0 => run(writer.write_owned(Bytes::copy_from_slice(piece))).unwrap(),
                _ => run(writer.write(piece)).unwrap(),
            }
            assert_eq!(writer.stats().crc32c, crc(&data[..cut[1]]), "so far");
        }
        assert_eq!(run(writer.finish()).unwrap().crc32c, crc(&data));
        assert!(run(get(&store, "k")).unwrap()[..] == data);
    }
}

#[test]
fn w1_large_writes_to_a_store_that_blocks_are_not_copied() {
    let (store, log) = blocking(&[]);
    let data = noise(2 * PART + 5, 8);
    let start = data.as_ptr() as usize;
    let mut writer = open(&store, "k");
    run(writer.write(&data)).unwrap();
    run(writer.finish()).unwrap();
    let from_caller = |r: &Request| matches!(r, Request::Part { address, offset, .. } if *address == start + *offset as usize);
    assert_eq!(log.count(from_caller), 2);
    assert!(run(get(&store, "k")).unwrap()[..] == data);
}

#[test]
fn w2_parts_in_flight_are_bounded_and_parallel() {
    let (store, log) = remote(&[("transfer.parts_in_flight", "3")]);
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    log.script(move |r| match r {
        Request::Part { .. } => Answer::Wait(wait.clone()),
        _ => Answer::Serve,
    });
    let data = noise(8 * PART, 9);
    let is_part = |r: &Request| matches!(r, Request::Part { .. });
    let mut writer = open(&store, "k");
    run(async {
        let mut writing = Box::pin(writer.write(&data));
        // From the first part on, it goes as far as it may within one poll.
        while log.count(is_part) == 0 {
            assert!(futures_util::poll!(writing.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(writer.stats().bytes, 4 * PART as u64, "three parts under way and one in hand");
    eventually("three parts are in flight", || log.most_flying() == 3);
    gate.add_permits(100);
    run(writer.abort()).unwrap();

    let stats = write_in_chunks(&mut open(&store, "k"), &data, 1 << 20);
    assert_eq!((stats.parts, stats.crc32c), (8, crc(&data)));
    assert_eq!(log.most_flying(), 3);
}

#[test]
fn w1_after_finish_nothing_but_statistics() {
    let (store, _) = remote(&[]);
    let mut writer = open(&store, "k");
    run(async {
        writer.write(b"abc").await.unwrap();
        let stats = writer.finish().await.unwrap();
        for error in [
            writer.write(b"d").await.unwrap_err(),
            writer.write_owned(Bytes::from_static(b"d")).await.unwrap_err(),
            writer.reserve(1).await.map(drop).unwrap_err(),
            writer.commit(0).await.unwrap_err(),
            writer.finish().await.unwrap_err(),
            writer.abort().await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::InvalidState, "{error}");
            assert!(error.uri().unwrap().ends_with("/root/k"), "{error}");
        }
        assert_eq!(writer.stats(), stats);
        drop(writer);
        assert_eq!(get(&store, "k").await.unwrap()[..], *b"abc");
    });
}

#[test]
fn w4_the_suffix_is_appended_once_and_small_objects_tell_their_size() {
    let (store, _) = remote(&[]);
    let options = zstd(3).resolve().unwrap();
    for key in ["a", "a.zst"] {
        for size in [0, 1, 256 << 10] {
            let mut writer = run(Writer::open(&store, key, &options, &PutOptions::default())).unwrap();
            assert_eq!(writer.key(), "a.zst");
            let data = noise(size, 10);
            write_in_chunks(&mut writer, &data, 1000);
            let reader = run(Reader::open(&store, "a.zst", &options)).unwrap();
            assert_eq!(reader.size().unwrap(), size as u64);
            assert!(read_all(&reader, 10_000).unwrap() == data);
        }
    }
}

#[test]
fn w3_conditions_and_metadata_hold_for_one_part_and_for_many() {
    for size in [10, PART + 10] {
        let (store, log) = remote(&[]);
        let data = noise(size, 11);
        let put_options = PutOptions {
            content_type: Some("application/x-test".into()),
            metadata: [("step".to_owned(), "7".to_owned())].into(),
            condition: PutCondition::CreateOnly,
        };
        for attempt in 0..2 {
            let mut writer = run(Writer::open(&store, "k", store.options(), &put_options)).unwrap();
            run(writer.write(&data)).unwrap();
            match attempt {
                0 => assert!(run(writer.finish()).is_ok()),
                _ => {
                    let error = run(writer.finish()).unwrap_err();
                    assert_eq!(error.code(), Code::AlreadyExists);
                    assert_eq!(run(writer.write(b"x")).unwrap_err().code(), Code::AlreadyExists, "latched");
                }
            }
        }
        assert_eq!(log.count(|r| matches!(r, Request::Abort { .. })), usize::from(size > PART));
        let meta = run(store.stat("k")).unwrap();
        assert_eq!(meta.content_type, put_options.content_type);
        assert_eq!(meta.metadata, put_options.metadata);
    }
}

#[test]
fn w1_open_refuses_bad_keys_and_metadata() {
    let (store, _) = remote(&[]);
    let error = run(Writer::open(&store, "", store.options(), &PutOptions::default())).unwrap_err();
    assert_eq!(error.code(), Code::InvalidKey);
    let bad = PutOptions { metadata: [("Bad Name".to_owned(), String::new())].into(), ..Default::default() };
    let error = run(Writer::open(&store, "k", store.options(), &bad)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[test]
fn w1_put_is_one_request_or_parallel_slices() {
    for (store, log) in [remote(&[]), blocking(&[])] {
        for size in [0, 2 * PART, 2 * PART + 1, 4 * PART + 3] {
            let data = Bytes::from(noise(size, 12));
            log.forget();
            let stats = run(put(&store, "k", data.clone(), &PutOptions::default())).unwrap();
            assert_eq!((stats.bytes, stats.crc32c, stats.finished), (size as u64, crc(&data), true));
            assert!(data.is_empty() || data.is_unique(), "nothing is kept");
            assert!(run(get(&store, "k")).unwrap()[..] == data);
            let start = data.as_ptr() as usize;
            let copied = |r: &Request| matches!(r, Request::Part { offset, address, .. } if *address != start + *offset as usize);
            assert_eq!(log.count(copied), 0);
            if size <= 2 * PART {
                assert_eq!(log.count(|r| *r == Request::Create), 0);
            }
        }
    }
}
