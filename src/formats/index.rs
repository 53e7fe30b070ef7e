//! Where the records of a TFRecord file lie, in a file beside it. Two kinds are usual, both of which count whole
//! frames, the sixteen bytes around the data included: pairs of little-endian 64-bit numbers (offset, length), and the
//! text of NVIDIA DALI's `tfrecord2idx`, a line `offset length` for each record.

use super::{Fields, corrupt, tfrecord, truncated};
use crate::error::Result;

/// The frame of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: u64,
    pub length: u64,
}

impl Entry {
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// How an index is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sixteen bytes per record.
    Pairs,
    /// DALI's text.
    Text,
}

const WHAT: &str = "the TFRecord index";
const STALE: &str = "the index belongs to another version of the file; build it again";

/// Of the frames of a TFRecord file, which is checked by the way.
pub fn build(file: &[u8]) -> Result<Vec<Entry>> {
    let of = |data: std::ops::Range<usize>| Entry {
        offset: data.start as u64 - tfrecord::HEAD,
        length: data.len() as u64 + tfrecord::OVERHEAD,
    };
    Ok(tfrecord::records(file, 0)?.into_iter().map(of).collect())
}

/// The index file.
pub fn write(entries: &[Entry], kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 16);
    for Entry { offset, length } in entries {
        match kind {
            Kind::Pairs => {
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            }
            Kind::Text => out.extend_from_slice(format!("{offset} {length}\n").as_bytes()),
        }
    }
    out
}

/// Which kind an index is: text has only digits, spaces and line ends, and sixteen bytes of those would be an offset
/// of many petabytes.
pub fn kind_of(index: &[u8]) -> Kind {
    match index.iter().take(64).all(|byte| byte.is_ascii_digit() || b" \t\r\n".contains(byte)) {
        true => Kind::Text,
        false => Kind::Pairs,
    }
}

/// The entries, in the order of their offsets. With the size of the TFRecord file they are held against it: they
/// cover it from the first byte to the last.
pub fn read(index: &[u8], kind: Kind, file_size: Option<u64>) -> Result<Vec<Entry>> {
    let entries = match kind {
        Kind::Pairs => pairs(index)?,
        Kind::Text => lines(index)?,
    };
    let mut end = 0;
    for (number, entry) in entries.iter().enumerate() {
        let found = || format!("record {number} at {} with {} bytes", entry.offset, entry.length);
        if entry.length < tfrecord::OVERHEAD || entry.offset.checked_add(entry.length).is_none() {
            return Err(corrupt(WHAT, place(kind, number), found(), "a frame of at least 16 bytes"));
        }
        if entry.offset != end {
            return Err(
                corrupt(WHAT, place(kind, number), found(), format!("its frame at {end}")).with_hint(STALE)
            );
        }
        end = entry.end();
    }
    match file_size.filter(|size| *size != end) {
        Some(size) => {
            let expected = format!("the end of the file, which has {size}");
            Err(corrupt(WHAT, index.len() as u64, format!("a last record that ends at {end}"), expected)
                .with_hint(STALE))
        }
        None => Ok(entries),
    }
}

/// The byte of the index that an entry is at, or its line.
fn place(kind: Kind, number: usize) -> u64 {
    match kind {
        Kind::Pairs => number as u64 * 16,
        Kind::Text => number as u64,
    }
}

fn pairs(index: &[u8]) -> Result<Vec<Entry>> {
    let whole = index.len() / 16 * 16;
    if whole != index.len() {
        let found = format!("{} bytes", index.len() - whole);
        return Err(truncated(WHAT, whole as u64, found, "pairs of 16"));
    }
    let of = |pair: &[u8]| Some(Entry { offset: pair.u64_at(0)?, length: pair.u64_at(8)? });
    Ok(index.chunks_exact(16).filter_map(of).collect())
}

fn lines(index: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    for line in index.split_inclusive(|byte| *byte == b'\n') {
        let entry = entry_of(line);
        let shown = || format!("{:?}", String::from_utf8_lossy(&line[..line.len().min(60)]));
        entries.push(entry.ok_or_else(|| corrupt(WHAT, at, shown(), "a line \"offset length\""))?);
        if line.last() != Some(&b'\n') {
            // A number that was cut is another number.
            return Err(truncated(WHAT, at, shown(), "a line end"));
        }
        at += line.len() as u64;
    }
    Ok(entries)
}

fn entry_of(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line).ok()?;
    let mut numbers = text.split_ascii_whitespace();
    let mut number = || {
        let word = numbers.next()?;
        word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
    };
    let entry = Entry { offset: number()?, length: number()? };
    numbers.next().is_none().then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::super::damage;
    use super::*;
    use crate::error::Code;

    fn file() -> Vec<u8> {
        let mut out = Vec::new();
        [&b""[..], b"a", b"hello world"].iter().for_each(|record| tfrecord::append(&mut out, record));
        out
    }

    #[test]
    fn f1_both_kinds_come_back() {
        let file = file();
        let entries = build(&file).unwrap();
        assert_eq!(write(&entries, Kind::Text), b"0 16\n16 17\n33 27\n");
        assert_eq!(entries.last().unwrap().end(), file.len() as u64);
        for kind in [Kind::Pairs, Kind::Text] {
            let index = write(&entries, kind);
            assert_eq!(kind_of(&index), kind);
            assert_eq!(read(&index, kind, Some(file.len() as u64)).unwrap(), entries);
            let held = |index: &[u8]| read(index, kind, Some(file.len() as u64));
            assert_eq!(damage::truncations(&index, held), index.len());
            damage::flips(&index, 0..index.len(), held);
        }
        assert!(read(b"", Kind::Pairs, Some(0)).unwrap().is_empty());
    }

    #[test]
    fn f1_stale_and_odd_ones_are_refused() {
        let index = write(&build(&file()).unwrap(), Kind::Pairs);
        let error = read(&index, Kind::Pairs, Some(61)).unwrap_err();
        assert!(error.code() == Code::Corrupt && error.hint().unwrap().contains("build it again"), "{error}");
        for text in [
            "0 15\n",
            "0 16\n17 16\n",
            "-1 16\n",
            "0 +16\n",
            "0 16 1\n",
            "0\n",
            "\n",
            "0 99999999999999999999\n",
        ] {
            assert_eq!(
                read(text.as_bytes(), Kind::Text, None).unwrap_err().code(),
                Code::Corrupt,
                "{text:?}"
            );
        }
        assert_eq!(read(b"0 16", Kind::Text, None).unwrap_err().code(), Code::Truncated);
        assert_eq!(read(b"0\t16\r\n", Kind::Text, Some(16)).unwrap().len(), 1);
    }
}
