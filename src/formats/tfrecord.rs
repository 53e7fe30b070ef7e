//! TFRecord: a sequence of frames, each of a length (8 bytes), the masked CRC32C of the length, the data, and the
//! masked CRC32C of the data, all little-endian (<https://www.tensorflow.org/tutorials/load_data/tfrecord>).

use super::{Fields, LONGEST, corrupt, mismatch, truncated};
use crate::base::checksum::Crc32c;
use crate::error::Result;
use std::ops::Range;

/// Bytes of a frame before the data.
pub const HEAD: u64 = 12;
/// Bytes of a frame over its data.
pub const OVERHEAD: u64 = 16;

const WHAT: &str = "the TFRecord file";
/// Room is made as bytes come: a length is a claim.
const FIRST_ROOM: u64 = 1 << 20;

/// One record with the place of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first byte of the frame in the file.
    pub offset: u64,
    pub data: Vec<u8>,
}

impl Record {
    /// Bytes of the whole frame.
    pub fn frame(&self) -> u64 {
        self.data.len() as u64 + OVERHEAD
    }
}

/// Appends the frame of one record.
pub fn append(out: &mut Vec<u8>, data: &[u8]) {
    let (head, tail) = around(data);
    out.reserve(data.len() + OVERHEAD as usize);
    out.extend_from_slice(&head);
    out.extend_from_slice(data);
    out.extend_from_slice(&tail);
}

/// What stands before and after the data of a record.
pub fn around(data: &[u8]) -> ([u8; 12], [u8; 4]) {
    let mut head = [0; 12];
    head[..8].copy_from_slice(&(data.len() as u64).to_le_bytes());
    let crc = masked(&head[..8]);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    (head, masked(data).to_le_bytes())
}

/// The record of the one frame that `frame` is; `at` is its place in the file, for errors.
pub fn record_of(frame: &[u8], at: u64) -> Result<Range<usize>> {
    let data = next_record(frame, 0, at, LONGEST)?;
    let end = data.end + 4;
    if end != frame.len() {
        let expected = format!("one of {}, as the index says", frame.len());
        return Err(corrupt(WHAT, at, format!("a frame of {end} bytes"), expected).with_hint(STALE));
    }
    Ok(data)
}

/// Where the data of every record of `file` lies. `at` is the place of `file` in the whole file, for errors.
pub fn records(file: &[u8], at: u64) -> Result<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut begin = 0;
    while begin < file.len() {
        let data = next_record(file, begin, at, LONGEST)?;
        begin = data.end + 4;
        found.push(data);
    }
    Ok(found)
}

const STALE: &str = "the index belongs to another version of the file; build it again";

/// The data of the frame that begins at `begin`; both checksums are right.
fn next_record(file: &[u8], begin: usize, at: u64, longest: u64) -> Result<Range<usize>> {
    let place = at + begin as u64;
    let left = (file.len() - begin) as u64;
    let Some(head) = file[begin..].first_chunk::<12>() else {
        return Err(truncated(WHAT, place, format!("{left} bytes"), "a record's head of 12"));
    };
    let length = length_of(head, place, longest)?;
    if length + OVERHEAD > left {
        return Err(truncated(
            WHAT,
            place,
            format!("{left} bytes"),
            format!("a frame of {}", length + OVERHEAD),
        ));
    }
    let start = begin + HEAD as usize;
    let data = start..start + length as usize;
    let crc = file.u32_at(data.end).unwrap_or_default();
    check(&file[data.clone()], crc, place + HEAD)?;
    Ok(data)
}

fn length_of(head: &[u8; 12], at: u64, longest: u64) -> Result<u64> {
    let length = head.u64_at(0).unwrap_or_default();
    let (found, expected) = (masked(&head[..8]), head.u32_at(8).unwrap_or_default());
    if found != expected {
        let hint = "this is no TFRecord file (is it compressed?), or it is damaged here";
        return Err(mismatch(WHAT, at, found, expected).with_hint(hint));
    }
    if length > longest.min(LONGEST) {
        return Err(corrupt(WHAT, at, format!("a record of {length} bytes"), format!("at most {longest}")));
    }
    Ok(length)
}

fn check(data: &[u8], expected: u32, at: u64) -> Result<()> {
    let found = masked(data);
    if found != expected {
        return Err(mismatch(WHAT, at, found, expected));
    }
    Ok(())
}

/// TensorFlow's mask: rotated by 15 bits, plus a constant.
fn masked(data: &[u8]) -> u32 {
    Crc32c::of(data).value().rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Takes a file in chunks of any size.
#[derive(Debug)]
pub struct Parser {
    /// Where the present frame begins.
    frame: u64,
    longest: u64,
    head: [u8; 12],
    head_have: usize,
    /// Of data and its checksum, once the head is whole.
    wanted: u64,
    body: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new(LONGEST)
    }
}

impl Parser {
    /// Refuses records of more than `longest` bytes.
    pub fn new(longest: u64) -> Parser {
        Parser { frame: 0, longest, head: [0; 12], head_have: 0, wanted: 0, body: Vec::new() }
    }

    /// The next record; takes from `input` what it used. `None`: `input` is used up, go on with the next chunk.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Record>> {
        if self.head_have < self.head.len() {
            let (taken, rest) = input.split_at(input.len().min(self.head.len() - self.head_have));
            self.head[self.head_have..][..taken.len()].copy_from_slice(taken);
            self.head_have += taken.len();
            *input = rest;
            if self.head_have < self.head.len() {
                return Ok(None);
            }
            self.wanted = length_of(&self.head, self.frame, self.longest)?.saturating_add(4);
            self.body = Vec::with_capacity(self.wanted.min(FIRST_ROOM) as usize);
        }
        let missing = self.wanted - self.body.len() as u64;
        let (taken, rest) = input.split_at(missing.min(input.len() as u64) as usize);
        self.body.extend_from_slice(taken);
        *input = rest;
        if (self.body.len() as u64) < self.wanted {
            return Ok(None);
        }
        let mut data = std::mem::take(&mut self.body);
        let end = data.len() - 4;
        check(&data[..end], data.u32_at(end).unwrap_or_default(), self.frame + HEAD)?;
        data.truncate(end);
        let record = Record { offset: self.frame, data };
        self.frame += record.frame();
        self.head_have = 0;
        Ok(Some(record))
    }

    /// Says that there are no more bytes: an error inside a record.
    pub fn finish(&self) -> Result<()> {
        if self.head_have == 0 {
            return Ok(());
        }
        let have = self.head_have + self.body.len();
        let expected = match self.head_have == self.head.len() {
            true => format!("a frame of {}", self.wanted + HEAD),
            false => "a record's head of 12".to_owned(),
        };
        Err(truncated(WHAT, self.frame, format!("{have} bytes"), expected))
    }
}

#[cfg(test)]
mod tests {
    use super::super::damage;
    use super::*;
    use crate::error::Code;

    fn file(records: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        records.iter().for_each(|record| append(&mut out, record));
        out
    }

    fn sliced(file: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(records(file, 0)?.into_iter().map(|data| file[data].to_vec()).collect())
    }

    fn streamed(file: &[u8], step: usize) -> Result<Vec<Vec<u8>>> {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for mut chunk in file.chunks(step) {
            while let Some(record) = parser.next(&mut chunk)? {
                found.push(record.data);
            }
            assert!(chunk.is_empty());
        }
        parser.finish()?;
        Ok(found)
    }

    const RECORDS: &[&[u8]] = &[b"", b"a", b"hello world", &[0xff; 100]];

    #[test]
    fn f1_the_frame_of_tensorflow() {
        // Of tf.io.TFRecordWriter(...).write(b"abc").
        let expected = [3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, b'a', b'b', b'c', 110, 87, 241, 33];
        assert_eq!(file(&[b"abc"]), expected);
    }

    #[test]
    fn f1_what_was_written_is_read_however_it_comes() {
        let file = file(RECORDS);
        assert_eq!(sliced(&file).unwrap(), RECORDS);
        for step in 1..=file.len() {
            assert_eq!(streamed(&file, step).unwrap(), RECORDS, "chunks of {step}");
        }
        assert!(sliced(b"").unwrap().is_empty() && streamed(b"", 1).unwrap().is_empty());
    }

    #[test]
    fn f1_damage_is_never_an_item() {
        let file = file(RECORDS);
        let cut = |bytes: &[u8]| {
            let (a, b) = (sliced(bytes), streamed(bytes, 5));
            assert_eq!(a.clone().map_err(|e| e.code()), b.map_err(|e| e.code()));
            a
        };
        assert_eq!(damage::flips(&file, 0..file.len(), cut), file.len() * 8);
        // Between two records a shorter file is a file of its own: only an index or a size tells.
        let mut ends = vec![0];
        RECORDS.iter().for_each(|r| ends.push(ends.last().unwrap() + r.len() + 16));
        for end in (0..file.len()).filter(|end| !ends.contains(end)) {
            assert_eq!(cut(&file[..end]).unwrap_err().code(), Code::Truncated, "{end}");
        }
    }

    #[test]
    fn f1_frames_by_their_index() {
        let file = file(RECORDS);
        assert_eq!(record_of(&file[16..33], 16).unwrap(), 12..13);
        assert_eq!(record_of(&file[16..34], 16).unwrap_err().code(), Code::Corrupt);
        assert_eq!(record_of(&file[16..32], 16).unwrap_err().code(), Code::Truncated);
        let error = record_of(&file[17..34], 17).unwrap_err();
        assert_eq!(error.code(), Code::ChecksumMismatch);
        assert!(error.details().contains(&("offset", "17".into())), "{error}");
    }

    #[test]
    fn f1_lengths_that_lie_take_no_memory() {
        let length = (1u64 << 39).to_le_bytes();
        let mut head = length.to_vec();
        head.extend_from_slice(&masked(&length).to_le_bytes());
        let mut parser = Parser::default();
        assert_eq!(parser.next(&mut &head[..]).unwrap(), None);
        assert!(parser.body.capacity() <= 2 << 20);
        assert_eq!(parser.finish().unwrap_err().code(), Code::Truncated);
        assert_eq!(Parser::new(1 << 20).next(&mut &head[..]).unwrap_err().code(), Code::Corrupt);
        assert_eq!(records(&head, 0).unwrap_err().code(), Code::Truncated);
    }
}
