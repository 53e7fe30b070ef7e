//! Many at once: concurrent writers and readers, calls for many objects, validation.

use crate::context::{Context, assert_code, bytes};
use bytes::Bytes;
use s3dlio::base::checksum::Crc32c;
use s3dlio::runtime::{block_on, spawn};
use s3dlio::store::PutOptions;
use s3dlio::transfer::{self, Check};
use s3dlio::{Code, Result};
use std::future::Future;

/// Runs all at the same time and gives their results in order.
fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    futures: impl IntoIterator<Item = F>,
) -> Vec<T> {
    block_on(async {
        let tasks: Vec<_> = futures.into_iter().map(|future| spawn(future).unwrap()).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    })
    .unwrap()
}

pub fn hundred_writers_to_different_keys(c: &Context) {
    let writes = (0..100u64).map(|i| {
        let store = c.store.clone();
        async move {
            transfer::put(
                &store,
                &format!("d{}/k{i}", i % 7),
                Bytes::from(bytes(10_000, i)),
                &PutOptions::default(),
            )
            .await
        }
    });
    together(writes).into_iter().for_each(|result| drop(result.unwrap()));
    assert_eq!(c.list("", true).len(), 100);
    for i in 0..100 {
        assert!(c.get(&format!("d{}/k{i}", i % 7)) == bytes(10_000, i), "{i}");
    }
}

pub fn two_writers_to_one_key_leave_one_of_both(c: &Context) {
    for round in 0..5 {
        let writes = (0..2u8).map(|i| {
            let store = c.store.clone();
            let data = Bytes::from(vec![i + 1; 2_000_000 + usize::from(i)]);
            async move { transfer::put(&store, "k", data, &PutOptions::default()).await }
        });
        together(writes).into_iter().for_each(|result| drop(result.unwrap()));
        let got = c.get("k");
        let last = got[0];
        assert!(
            got.iter().all(|b| *b == last) && got.len() == 1_999_999 + usize::from(last),
            "round {round}: torn"
        );
    }
}

pub fn readers_during_overwrites_see_whole_objects(c: &Context) {
    let size = 3_000_000;
    c.put("k", &vec![0; size]);
    let writer = {
        let store = c.store.clone();
        spawn(async move {
            for i in 1..10u8 {
                transfer::put(&store, "k", Bytes::from(vec![i; size]), &PutOptions::default()).await.unwrap();
            }
        })
        .unwrap()
    };
    let reads = (0..4).map(|_| {
        let store = c.store.clone();
        async move {
            let mut outcomes = Vec::new();
            for _ in 0..10 {
                outcomes.push(transfer::get(&store, "k").await.map(|buffer| buffer.to_vec()));
            }
            outcomes
        }
    });
    for outcome in together(reads).into_iter().flatten() {
        match outcome {
            Ok(got) => {
                assert!(got.len() == size && got.iter().all(|b| *b == got[0]), "a mix of two versions")
            }
            Err(error) => assert_eq!(error.code(), Code::Changed, "{error}"),
        }
    }
    block_on(writer).unwrap().unwrap();
}

pub fn get_many_keeps_order_and_single_errors(c: &Context) {
    let mut keys: Vec<String> = (0..50).map(|i| format!("k{i}")).collect();
    for (i, key) in keys.iter().enumerate() {
        c.put(key, &bytes(1000 + i, i as u64));
    }
    keys.insert(20, "absent".into());
    keys.push("k0".into());
    let results = block_on(transfer::get_many(&c.store, keys.clone())).unwrap();
    assert_eq!(results.len(), 52);
    for (key, result) in keys.iter().zip(results) {
        match key.strip_prefix('k') {
            Some(i) => {
                let i: usize = i.parse().unwrap();
                assert!(result.unwrap()[..] == bytes(1000 + i, i as u64), "{key}");
            }
            None => drop(assert_code(result, Code::NotFound)),
        }
    }
}

fn check(c: &Context, key: &str, offset: u64, length: u64, expected: Option<u32>) -> Result<()> {
    block_on(transfer::validate(&c.store, &Check { key: key.into(), offset, length, expected }))?
}

/// I2: a flipped byte is found by the whole object and by a range that holds it, not by another.
pub fn validate_finds_a_flipped_byte(c: &Context) {
    let mut data = bytes(200_000, 3);
    let whole = Crc32c::of(&data).value();
    let (left, right) = (Crc32c::of(&data[..100_000]).value(), Crc32c::of(&data[100_000..]).value());
    c.put("k", &data);
    check(c, "k", 0, u64::MAX, Some(whole)).unwrap();
    check(c, "k", 0, 100_000, Some(left)).unwrap();
    data[150_000] ^= 1;
    c.put("k", &data);
    let error = assert_code(check(c, "k", 0, u64::MAX, Some(whole)), Code::ChecksumMismatch);
    for part in [format!("{whole:08x}"), format!("{:08x}", Crc32c::of(&data).value()), c.root.clone()] {
        assert!(error.to_string().contains(&part), "{part} is missing in {error}");
    }
    let error = assert_code(check(c, "k", 100_000, 100_000, Some(right)), Code::ChecksumMismatch);
    assert!(error.to_string().contains("100000"), "the offset is missing in {error}");
    check(c, "k", 0, 100_000, Some(left)).unwrap();
    assert_code(check(c, "k", 200_001, 1, Some(0)), Code::Range);
    assert_code(check(c, "absent", 0, u64::MAX, Some(0)), Code::NotFound);
    let checks: Vec<_> = [(0, left), (100_000, right)]
        .map(|(offset, crc)| Check { key: "k".into(), offset, length: 100_000, expected: Some(crc) })
        .into();
    let outcomes = block_on(transfer::validate_many(&c.store, checks.clone())).unwrap();
    assert!(outcomes[0].is_ok() && outcomes[1].is_err(), "{outcomes:?}");
}

pub fn validate_against_the_stored_checksum(c: &Context) {
    c.put("k", &bytes(50_000, 4));
    match c.stat("k").unwrap().crc32c {
        Some(_) => check(c, "k", 0, u64::MAX, None).unwrap(),
        None => drop(assert_code(check(c, "k", 0, u64::MAX, None), Code::Unsupported)),
    }
}
