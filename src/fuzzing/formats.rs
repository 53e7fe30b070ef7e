//! Files of training data: every parser, on bytes that nobody chose. What streams take is taken the same however it comes;
//! what readers of ranges ask for lies within the file; what is accepted comes back when it is written.

use crate::Result;
use crate::formats::{Step, dtype::Descr, hdf5, index, npy, npz, raw, tar, tfrecord, zip};
use std::ops::Range;

/// What a stream gives when it comes in pieces of `step` bytes.
fn streamed<P, T>(
    data: &[u8],
    step: usize,
    mut parser: P,
    next: impl Fn(&mut P, &mut &[u8]) -> Result<Option<T>>,
    finish: impl Fn(&P) -> Result<()>,
) -> (Vec<T>, bool) {
    let mut found = Vec::new();
    for mut chunk in data.chunks(step) {
        loop {
            match next(&mut parser, &mut chunk) {
                Ok(Some(item)) => found.push(item),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
        assert!(chunk.is_empty(), "the parser does not move on");
    }
    (found, finish(&parser).is_ok())
}

/// TFRecord files, and both kinds of index.
pub fn tfrecord(data: &[u8]) {
    let Some((steer, data)) = data.split_first() else { return };
    // Checksums are hard to guess: a file of right frames with one wrong byte, or the bytes as they are.
    let mut file = Vec::new();
    if steer % 2 == 0 {
        data.split(|byte| *byte == 0).for_each(|record| tfrecord::append(&mut file, record));
        let count = data.split(|byte| *byte == 0).count();
        assert_eq!(
            tfrecord::records(&file, 0).map(|found| found.len()).ok(),
            Some(count),
            "not what was written"
        );
        let at = usize::from(*steer) * 7 % file.len();
        file[at] ^= 1 << (steer % 8);
    } else {
        file.extend_from_slice(data);
    }
    let of = || tfrecord::Parser::new(1 << 20);
    let (whole, good) =
        streamed(&file, file.len().max(1), of(), tfrecord::Parser::next, tfrecord::Parser::finish);
    let step = usize::from(*steer) % 29 + 1;
    let pieces = streamed(&file, step, of(), tfrecord::Parser::next, tfrecord::Parser::finish);
    assert_eq!((&whole, good), (&pieces.0, pieces.1), "other records in pieces");
    if let Ok(found) = tfrecord::records(&file, 0) {
        assert!(good && found.len() == whole.len());
        assert!(steer % 2 == 1, "a flipped bit was not seen");
        let entries = index::build(&file).unwrap_or_default();
        for kind in [index::Kind::Pairs, index::Kind::Text] {
            let back = index::read(&index::write(&entries, kind), kind, Some(file.len() as u64));
            assert_eq!(back.ok().as_ref(), Some(&entries));
        }
    }
    if let Ok(entries) = index::read(data, index::kind_of(data), None) {
        assert!(
            entries.iter().all(|entry| entry.length >= 16)
                && entries.windows(2).all(|p| p[0].end() == p[1].offset)
        );
        let back = index::read(&index::write(&entries, index::Kind::Pairs), index::Kind::Pairs, None);
        assert_eq!(back.ok(), Some(entries));
    }
}

/// tar archives; with right checksums of their headers where the first byte says so.
pub fn tar(data: &[u8]) {
    let Some((steer, data)) = data.split_first() else { return };
    let mut file = data.to_vec();
    if steer % 2 == 0 {
        for block in
            file.chunks_exact_mut(512).filter(|block| block[148..156].iter().all(|byte| *byte == b'C'))
        {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
    let of = || tar::Parser::new(1 << 20);
    let (whole, good) = streamed(&file, file.len().max(1), of(), tar::Parser::next, tar::Parser::finish);
    let step = usize::from(*steer) * 3 + 1;
    let pieces = streamed(&file, step, of(), tar::Parser::next, tar::Parser::finish);
    assert_eq!((&whole, good), (&pieces.0, pieces.1), "other files in pieces");
    let mut again = Vec::new();
    for entry in &whole {
        assert!(!entry.name.is_empty() && entry.data.len() <= file.len() && entry.offset < file.len() as u64);
        if tar::append(&mut again, &entry.name, &entry.data).is_err() {
            return;
        }
    }
    tar::finish(&mut again);
    let (back, good) = streamed(&again, 512, of(), tar::Parser::next, tar::Parser::finish);
    let same = std::iter::zip(&back, &whole).all(|(a, b)| (&a.name, &a.data) == (&b.name, &b.data));
    assert!(good && same && back.len() == whole.len(), "they do not come back");
}

/// Reads by ranges as a caller would: gives what it asks for until it is done.
fn by_ranges<T>(
    data: &[u8],
    mut read: impl FnMut(&Range<u64>) -> Result<Step<T>>,
    first: Range<u64>,
) -> Option<T> {
    let mut known = first;
    for _ in 0..10_000 {
        match read(&known) {
            Ok(Step::Done(found)) => return Some(found),
            Err(_) => return None,
            Ok(Step::Need(range)) => {
                assert!(range.start < range.end && range.end <= data.len() as u64, "asks for {range:?}");
                assert!(range.start < known.start || range.end > known.end, "asks again for {range:?}");
                known = range;
            }
        }
    }
    assert!(data.is_empty(), "it asks without end");
    None
}

/// NPY files, and the types of NumPy.
pub fn npy(data: &[u8]) {
    if let Some(descr) = std::str::from_utf8(data).ok().and_then(Descr::parse) {
        assert_eq!(Descr::parse(descr.text()).as_ref(), Some(&descr));
    }
    let size = data.len() as u64;
    let pieces = by_ranges(data, |known| npy::read(&data[..known.end as usize], size), 0..0);
    let whole = match npy::read(data, size) {
        Ok(Step::Done(found)) => Some(found),
        _ => None,
    };
    assert_eq!(pieces, whole, "another array by ranges");
    let Some((header, range)) = whole else { return };
    assert!(range.end == size && header.data_len() == Some(range.end - range.start));
    let Ok(mut again) = header.write() else { return };
    again.extend_from_slice(&data[range.start as usize..]);
    let back = npy::read(&again, again.len() as u64);
    assert!(matches!(back, Ok(Step::Done((found, _))) if found == header), "it does not come back");
}

/// ZIP files, and what their members hold.
pub fn npz(data: &[u8]) {
    let size = data.len() as u64;
    let tail = |known: &Range<u64>| zip::members(&data[known.start as usize..], size);
    let pieces = by_ranges(data, tail, size..size);
    let whole = match zip::members(data, size) {
        Ok(Step::Done(found)) => Some(found),
        _ => None,
    };
    assert_eq!(pieces, whole, "other members by ranges");
    let mut arrays = Vec::new();
    for member in whole.unwrap_or_default() {
        let range = member.range();
        assert!(range.start < range.end && range.end <= size);
        if member.size > 1 << 24 {
            continue;
        }
        let bytes = &data[range.start as usize..range.end as usize];
        let stored = member.stored(bytes).ok().flatten();
        let Ok(unpacked) = member.unpack(bytes) else {
            assert!(stored.is_none());
            continue;
        };
        assert!(unpacked.len() as u64 == member.size && crc32fast::hash(&unpacked) == member.crc32);
        assert!(stored.is_none_or(|range| bytes[range] == unpacked[..]));
        if let Ok(Step::Done((header, _))) = npy::read(&unpacked, member.size) {
            arrays.push((npz::array_of(&member.name).to_owned(), header, unpacked));
        }
    }
    let of = |(name, header, bytes): &'_ (String, npy::Header, Vec<u8>)| {
        let length = header.data_len().unwrap_or_default() as usize;
        (name.clone(), header.descr.clone(), header.shape.clone(), bytes[bytes.len() - length..].to_vec())
    };
    let kept: Vec<_> = arrays.iter().map(of).collect();
    let given: Vec<_> = kept
        .iter()
        .map(|(name, descr, shape, data)| npz::Array { name, descr: descr.clone(), shape, data })
        .collect();
    if let Ok(again) = npz::write(&given) {
        let back = zip::members(&again, again.len() as u64);
        assert!(matches!(back, Ok(Step::Done(found)) if found.len() == given.len()), "they do not come back");
    }
}

/// HDF5 files, and records of one size.
pub fn hdf5(data: &[u8]) {
    let size = data.len() as u64;
    if let Some((first, _)) = data.split_first_chunk::<2>()
        && let Ok(cut) = raw::Fixed::new(u64::from(first[0]), u64::from(first[1]))
        && let Ok(count) = cut.count(size)
    {
        let end = count
            .checked_sub(1)
            .and_then(|last| cut.range(last))
            .map_or(u64::from(first[0]), |range| range.end);
        assert_eq!(end, size, "records do not cover the file");
    }
    let mut known = hdf5::Known::new(size);
    let found = loop {
        match hdf5::datasets(&known) {
            Ok(Step::Done(found)) => break found,
            Err(_) => return,
            Ok(Step::Need(range)) => {
                assert!(range.start < range.end && range.end <= size, "asks for {range:?}");
                known.add(range.start, data[range.start as usize..range.end as usize].to_vec());
            }
        }
    };
    let mut kept = Vec::new();
    for set in &found {
        if let (Ok(descr), Ok(range)) = (set.descr(), set.range()) {
            assert!(range.start <= range.end && range.end <= size, "{:?} lies at {range:?}", set.name);
            kept.push((set, descr.clone(), &data[range.start as usize..range.end as usize]));
        }
    }
    let arrays: Vec<_> = kept
        .iter()
        .map(|(set, descr, data)| hdf5::Array {
            name: &set.name,
            descr: descr.clone(),
            shape: &set.shape,
            data,
        })
        .collect();
    let Ok(again) = hdf5::write(&arrays) else { return };
    let mut known = hdf5::Known::new(again.len() as u64);
    known.add(0, again.clone());
    let back = hdf5::datasets(&known);
    assert!(matches!(back, Ok(Step::Done(back)) if back.len() == arrays.len()), "they do not come back");
}
