//! Gets, validation and puts of whole objects (SPEC G1, I2).

use crate::fake::{Answer, Request, blocking, remote};
use crate::{crc, held_until, noise, run, store as put_object, window};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::base::buffer::lend_mut;
use s3dlio::store::Store;
use s3dlio::transfer::{
    Check, get, get_into, get_many, get_range, get_range_into, get_ranges, validate, validate_many,
};
use std::sync::atomic::{AtomicUsize, Ordering};

const MIB: usize = 1 << 20;

/// Ranges of 1 MiB from 2 MiB on, so that objects of some MiB are many ranges.
const SPLIT: &[(&str, &str)] = &[
    ("transfer.range_threshold", "2MiB"),
    ("transfer.range_size", "1MiB"),
    ("transfer.range_concurrency", "3"),
];

fn pins(requests: &[Request]) -> Vec<bool> {
    let gets = requests.iter().filter_map(|r| match r {
        Request::Get { if_match, .. } => Some(if_match.is_some()),
        _ => None,
    });
    gets.collect()
}

#[test]
fn g1_a_small_object_is_one_request_and_a_large_one_parallel_pinned_ranges() {
    let (store, log) = remote(SPLIT);
    let data = noise(7 * MIB + 5, 1);
    for size in [0, 1, 2 * MIB, 2 * MIB + 1, 7 * MIB + 5] {
        put_object(&store, "k", &data[..size]);
        log.forget();
        let got = run(get(&store, "k")).unwrap();
        assert!(got[..] == data[..size], "{size}");
        let mut pins = pins(&log.requests());
        assert!(!pins.remove(0), "{size}: the first request asks for size and ETag");
        assert!(pins.iter().all(|pinned| *pinned), "{size}: the others are pinned");
        assert_eq!(pins.len(), size.saturating_sub(2 * MIB).div_ceil(MIB), "{size}");
        assert_eq!(log.count(|r| *r == Request::Stat), 0, "{size}: no HEAD");
    }
    let pinned = |r: &Request| matches!(r, Request::Get { if_match: Some(_), .. });
    assert!(held_until(&log, 3, pinned, || run(get(&store, "k"))).unwrap()[..] == data);
    assert_eq!(log.most_flying(), 3);
}

#[test]
fn g1_a_small_result_does_not_hold_a_large_buffer() {
    let (store, _) = remote(&[]);
    put_object(&store, "k", b"abc");
    assert!(run(get(&store, "k")).unwrap().capacity() <= 8192);
}

#[test]
fn g1_ranges_at_across_and_past_the_end() {
    for (store, _) in [remote(SPLIT), blocking(SPLIT)] {
        let data = noise(5 * MIB, 2);
        put_object(&store, "k", &data);
        let size = data.len() as u64;
        for (offset, length) in [
            (0, 0),
            (0, 1),
            (3, 10),
            (size - 1, 1),
            (size - 1, 100),
            (size, 0),
            (size, 9),
            (1, u64::MAX),
            (1, 4 << 20),
            (size - 10, u64::MAX),
            (size - (3 << 20), 8 << 20),
            (0, 1 << 50),
        ] {
            let expected = &data[offset as usize..(offset.saturating_add(length)).min(size) as usize];
            let got = run(get_range(&store, "k", offset, length)).unwrap();
            assert!(got[..] == *expected, "{offset}+{length}");
            if length <= 8 << 20 {
                let (window, bytes) = window(length as usize);
                let got = run(get_range_into(&store, "k", offset, window)).unwrap();
                assert_eq!((got.bytes, got.meta.size), (expected.len(), size), "{offset}+{length}");
                assert!(bytes(got.bytes) == expected, "{offset}+{length}");
            }
        }
        for length in [0, 1, u64::MAX] {
            let error = run(get_range(&store, "k", size + 1, length)).unwrap_err();
            assert_eq!(error.code(), Code::Range, "{length}");
        }
        let error = run(get_range_into(&store, "k", u64::MAX, window(3 * MIB).0)).unwrap_err();
        assert_eq!(error.code(), Code::Range);
        assert_eq!(run(get(&store, "missing")).unwrap_err().code(), Code::NotFound);
    }
}

#[test]
fn g1_get_into_says_what_memory_is_required() {
    for (store, _) in [remote(SPLIT), blocking(SPLIT)] {
        let data = noise(4 * MIB, 3);
        put_object(&store, "k", &data);
        for capacity in [0, 100, 3 * MIB, data.len() - 1] {
            let error = run(get_into(&store, "k", window(capacity).0)).unwrap_err();
            assert_eq!(error.code(), Code::BufferTooSmall, "{capacity}");
            assert!(error.details().contains(&("required", data.len().to_string())), "{error}");
        }
        for capacity in [data.len(), data.len() + 1, 9 * MIB] {
            let (window, bytes) = window(capacity);
            assert_eq!(run(get_into(&store, "k", window)).unwrap().bytes, data.len());
            assert!(bytes(data.len()) == data);
        }
        put_object(&store, "empty", b"");
        assert_eq!(run(get_into(&store, "empty", window(0).0)).unwrap().bytes, 0);
    }
}

type Call = fn(&Store) -> s3dlio::Result<usize>;

/// The calls that read an object of 7 MiB.
const CALLS: &[(&str, Call)] = &[
    ("get", |store| run(get(store, "k")).map(|data| data.len())),
    ("get_into", |store| run(get_into(store, "k", window(7 * MIB).0)).map(|got| got.bytes)),
    ("get_range_into", |store| run(get_range_into(store, "k", 0, window(6 * MIB).0)).map(|got| got.bytes)),
    ("get_ranges", |store| {
        let ranges = (0..6).map(|n| (n << 20, window(MIB).0)).collect();
        run(get_ranges(store, "k", ranges)).map(|lens| lens.iter().sum())
    }),
    ("validate", |store| {
        let check = Check { key: "k".into(), offset: 0, length: u64::MAX, expected: Some(0) };
        run(validate(store, &check)).map(|()| 0)
    }),
];

/// Answers the `kth` get (from 0) with what `answer` makes.
fn on_kth_get(
    kth: usize,
    answer: impl Fn() -> Answer + Send + 'static,
) -> impl FnMut(&Request) -> Answer + Send {
    let gets = AtomicUsize::new(0);
    move |r| match r {
        Request::Get { .. } if gets.fetch_add(1, Ordering::SeqCst) == kth => answer(),
        _ => Answer::Serve,
    }
}

#[test]
fn g1_a_short_answer_or_a_failed_range_is_never_success() {
    for (name, call) in CALLS {
        for kth in 0..4 {
            let (store, log) = remote(SPLIT);
            put_object(&store, "k", &noise(7 * MIB, 4));
            if *name == "validate" && kth > 1 {
                continue; // it reads in chunks of 4 MiB
            }
            log.script(on_kth_get(kth, || Answer::Short));
            assert_eq!(call(&store).unwrap_err().code(), Code::Truncated, "{name} {kth}");
            log.script(on_kth_get(kth, || Answer::Fail(Code::Connection)));
            assert_eq!(call(&store).unwrap_err().code(), Code::Connection, "{name} {kth}");
            log.script(on_kth_get(kth, || Answer::Panic));
            if kth > 0 {
                assert_eq!(call(&store).unwrap_err().code(), Code::Internal, "{name} {kth}");
            }
        }
    }
}

#[test]
fn g1_an_object_replaced_while_it_is_read_is_changed() {
    for (name, call) in CALLS {
        for other in [noise(7 * MIB, 99), noise(8 * MIB, 99)] {
            for answer in [Answer::Replace, Answer::ReplaceAndIgnoreMatch] {
                let (store, log) = remote(SPLIT);
                put_object(&store, "k", &noise(7 * MIB, 5));
                let other = Bytes::from(other.clone());
                log.script(on_kth_get(1, move || answer(other.clone())));
                assert_eq!(call(&store).unwrap_err().code(), Code::Changed, "{name}");
            }
        }
    }
}

/// A local object's size is asked for before it is read; a larger one may come between the two.
#[test]
fn g1_a_local_object_replaced_after_its_size_was_read_comes_whole() {
    let (store, log) = blocking(&[]);
    put_object(&store, "k", &noise(1000, 7));
    let mut others = (2..4).map(|n| Bytes::from(noise(n * 1000, n as u64))).collect::<Vec<_>>().into_iter();
    let last = noise(3000, 3);
    log.script(move |r| match r {
        Request::Get { .. } => others.next().map_or(Answer::Serve, Answer::Replace),
        _ => Answer::Serve,
    });
    assert_eq!(&run(get(&store, "k")).unwrap()[..], &last[..]);
}

#[test]
fn g1_lent_memory_is_free_when_a_failed_call_returns() {
    let (store, log) = remote(SPLIT);
    put_object(&store, "k", &noise(7 * MIB, 6));
    let never = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let mut gets = 0;
    log.script(move |r| match r {
        Request::Get { .. } => {
            gets += 1;
            match gets {
                1 => Answer::Serve,
                2 => Answer::Fail(Code::Connection),
                _ => Answer::Wait(never.clone()), // would never end by itself
            }
        }
        _ => Answer::Serve,
    });
    let mut memory = vec![0; 7 * MIB];
    let error = lend_mut(&mut memory, |window| run(get_into(&store, "k", window))).unwrap_err();
    assert_eq!(error.code(), Code::Connection);
}

#[test]
fn g1_get_ranges_and_get_many_keep_their_order() {
    for (store, log) in [
        remote(&[("transfer.get_many_concurrency", "4")]),
        blocking(&[("transfer.get_many_concurrency", "4")]),
    ] {
        let data = noise(MIB, 7);
        put_object(&store, "k", &data);
        let (mut ranges, mut expected, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..50_usize {
            let (offset, len) = ((50 - n) * 20_000, n * 1000);
            let (window, bytes) = window(len);
            ranges.push((offset as u64, window));
            expected.push(data[offset..(offset + len).min(MIB)].to_vec());
            owners.push(bytes);
        }
        let lens = run(get_ranges(&store, "k", ranges)).unwrap();
        for ((len, bytes), expected) in lens.into_iter().zip(owners).zip(expected) {
            assert!(bytes(len) == expected);
        }
        assert!(run(get_ranges(&store, "k", Vec::new())).unwrap().is_empty());

        let keys: Vec<String> = (0..40).map(|n| format!("many/{n}")).collect();
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 7 != 3) {
            put_object(&store, key, &noise(n * 100, n as u64));
        }
        let limit = if store.capabilities().blocking_io { 1 } else { 4 };
        let any_get = |r: &Request| matches!(r, Request::Get { .. });
        let results = held_until(&log, limit, any_get, || run(get_many(&store, keys.clone())));
        assert_eq!(results.len(), keys.len());
        for (n, result) in results.into_iter().enumerate() {
            match n % 7 {
                3 => assert_eq!(result.unwrap_err().code(), Code::NotFound),
                _ => assert!(result.unwrap()[..] == noise(n * 100, n as u64)),
            }
        }
        assert_eq!(log.most_flying(), limit);
    }
}

#[test]
fn i2_validation_finds_a_flipped_byte_in_whole_objects_and_ranges() {
    for (store, _) in [remote(&[]), blocking(&[])] {
        let mut data = noise(9 * MIB + 3, 8);
        let good = data.clone();
        put_object(&store, "k", &data);
        let check = |offset: usize, length: usize, expected| Check {
            key: "k".into(),
            offset: offset as u64,
            length: length as u64,
            expected,
        };
        let whole = Check { length: u64::MAX, ..check(0, 0, Some(crc(&good))) };
        let range = check(5 * MIB, 1000, Some(crc(&good[5 * MIB..5 * MIB + 1000])));
        let stored = Check { expected: None, ..whole.clone() };
        for check in [&whole, &range, &stored, &check(9 * MIB, 100, Some(crc(&good[9 * MIB..])))] {
            run(validate(&store, check)).unwrap();
        }
        run(validate(&store, &check(3, 0, Some(0)))).unwrap();
        data[5 * MIB + 500] ^= 1;
        put_object(&store, "k", &data);
        for check in [&whole, &range] {
            let error = run(validate(&store, check)).unwrap_err();
            assert_eq!(error.code(), Code::ChecksumMismatch);
            let text = error.to_string();
            let expected = format!("crc32c:{:08x}", check.expected.unwrap());
            let span = &data[check.offset as usize..]
                [..(check.length as usize).min(data.len() - check.offset as usize)];
            let actual = format!("crc32c:{:08x}", crc(span));
            for part in ["/root/k", &expected, &actual, &format!("offset {}", check.offset)] {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        }
        let beside = check(0, 5 * MIB, Some(crc(&good[..5 * MIB])));
        let missing = Check { key: "missing".into(), ..whole.clone() };
        let partly_stored = Check { length: 5, ..stored.clone() };
        let past = check(10 * MIB, 1, Some(0));
        let codes: Vec<Option<Code>> =
            run(validate_many(&store, vec![whole, beside, missing, range, stored, partly_stored, past]))
                .into_iter()
                .map(|result| result.err().map(|e| e.code()))
                .collect();
        let mismatch = Some(Code::ChecksumMismatch);
        let expected = [
            mismatch,
            None,
            Some(Code::NotFound),
            mismatch,
            None,
            Some(Code::InvalidArgument),
            Some(Code::Range),
        ];
        assert_eq!(codes, expected);
    }
}
