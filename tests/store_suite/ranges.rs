//! Ranges at, across and past the end (SPEC S4, G1).

use crate::context::{Context, assert_code, bytes};
use s3dlio::base::buffer::lend_mut;
use s3dlio::runtime::block_on;
use s3dlio::store::PutOptions;
use s3dlio::{Code, transfer};

fn range(c: &Context, offset: u64, length: u64) -> s3dlio::Result<Vec<u8>> {
    block_on(transfer::get_range(&c.store, "k", offset, length))?.map(|buffer| buffer.to_vec())
}

pub fn at_the_start_the_middle_and_the_end(c: &Context) {
    let data = bytes(10_000, 1);
    c.put("k", &data);
    for (offset, len) in
        [(0, 1), (0, 4096), (0, 10_000), (1, 9_999), (4095, 2), (4096, 4096), (5_000, 1_234), (9_999, 1)]
    {
        let expected = &data[offset..offset + len];
        let (got, result) = c.get_into("k", offset as u64, len, None).unwrap();
        assert!(got == expected, "{offset}+{len}");
        assert_eq!(result.meta.size, 10_000, "{offset}+{len}");
        assert!(range(c, offset as u64, len as u64).unwrap() == expected, "{offset}+{len}");
    }
}

pub fn across_the_end_is_shorter(c: &Context) {
    let data = bytes(5_000, 1);
    c.put("k", &data);
    for (offset, len) in [(0, 5_001), (4_999, 2), (4_096, 4_096), (0, 1_000_000)] {
        let (got, _) = c.get_into("k", offset as u64, len, None).unwrap();
        assert!(got == data[offset..], "{offset}+{len}");
    }
    assert!(range(c, 10, u64::MAX).unwrap() == data[10..], "to the end");
}

pub fn exactly_at_the_end_is_empty(c: &Context) {
    c.put("k", &bytes(4096, 1));
    let (got, result) = c.get_into("k", 4096, 100, None).unwrap();
    assert_eq!((got.len(), result.meta.size), (0, 4096));
    assert_eq!(range(c, 4096, 100).unwrap().len(), 0);
    assert_eq!(range(c, 4096, u64::MAX).unwrap().len(), 0);
}

pub fn past_the_end_is_an_error(c: &Context) {
    c.put("k", &bytes(4096, 1));
    for offset in [4097, 5_000, u64::from(u32::MAX), 1 << 50] {
        assert_code(c.get_into("k", offset, 1, None), Code::Range);
        assert_code(range(c, offset, 1), Code::Range);
    }
}

pub fn of_an_empty_object(c: &Context) {
    c.put("k", b"");
    assert_eq!(c.get_into("k", 0, 10, None).unwrap().0, b"");
    assert_eq!(range(c, 0, u64::MAX).unwrap(), b"");
    assert_code(c.get_into("k", 1, 10, None), Code::Range);
}

pub fn of_no_bytes(c: &Context) {
    c.put("k", b"12345");
    for offset in [0, 3, 5] {
        let (got, result) = c.get_into("k", offset, 0, None).unwrap();
        assert_eq!((got.len(), result.meta.size), (0, 5), "at {offset}");
    }
    assert_code(c.get_into("k", 6, 0, None), Code::Range);
    assert_code(c.get_into("absent", 0, 0, None), Code::NotFound);
}

pub fn that_overflow_are_errors(c: &Context) {
    c.put("k", b"12345");
    assert_code(c.get_into("k", u64::MAX, 1, None), Code::Range);
    assert_code(c.get_into("k", u64::MAX - 1, 10, None), Code::Range);
    assert_code(range(c, u64::MAX, u64::MAX), Code::Range);
}

pub fn many_in_one_call_keep_their_order(c: &Context) {
    let data = bytes(300_000, 4);
    c.put("k", &data);
    let ranges = [(250_000, 60_000), (0, 10), (100, 100_000), (299_999, 1), (0, 10), (300_000, 5)];
    let mut memory = vec![0; ranges.iter().map(|(_, len)| len).sum()];
    let counts = lend_mut(&mut memory, |mut window| {
        let mut list = Vec::new();
        for (offset, len) in ranges {
            let (first, rest) = window.split_at(len);
            list.push((offset as u64, first));
            window = rest;
        }
        drop(window);
        block_on(transfer::get_ranges(&c.store, "k", list))
    });
    assert_eq!(counts.unwrap().unwrap(), [50_000, 10, 100_000, 1, 10, 0]);
    let mut at = 0;
    for (offset, len) in ranges {
        let end = (offset + len).min(data.len());
        assert!(memory[at..at + end - offset] == data[offset..end], "{offset}+{len}");
        at += len;
    }
}

pub fn with_the_right_etag(c: &Context) {
    c.put("k", b"12345");
    let etag = c.stat("k").unwrap().etag.unwrap();
    let (got, result) = c.get_into("k", 1, 3, Some(&etag)).unwrap();
    assert_eq!(got, b"234");
    assert_eq!(result.meta.etag, Some(etag));
}

pub fn of_a_replaced_object_are_changed(c: &Context) {
    c.put("k", b"12345");
    let etag = c.stat("k").unwrap().etag.unwrap();
    c.put("k", b"other");
    assert_code(c.get_into("k", 1, 3, Some(&etag)), Code::Changed);
}

pub fn large_object_in_parallel_ranges(c: &Context) {
    let data = bytes(40 << 20, 5);
    c.put("k", &data);
    assert!(c.get("k") == data);
    let offset = (5 << 20) + 3;
    assert!(range(c, offset as u64, 30 << 20).unwrap() == data[offset..offset + (30 << 20)]);
    let mut memory = vec![0; data.len()];
    let result =
        lend_mut(&mut memory, |window| block_on(transfer::get_into(&c.store, "k", window))).unwrap().unwrap();
    assert!(result.bytes == data.len() && memory == data);
}

pub fn one_byte_at_a_time(c: &Context) {
    let data = bytes(40, 6);
    c.try_put("k", &data, &PutOptions::default()).unwrap();
    for (at, byte) in data.iter().enumerate() {
        assert_eq!(c.get_into("k", at as u64, 1, None).unwrap().0, [*byte], "at {at}");
    }
}
