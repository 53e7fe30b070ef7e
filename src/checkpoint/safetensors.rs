//! The header of a safetensors file (<https://huggingface.co/docs/safetensors>, "Format"): eight bytes with
//! its length, little-endian, then JSON, then the tensors' bytes without holes. Shards are such files, so
//! that other tools open them.

use super::tensor::{Dtype, bytes_of};
use crate::error::{Code, Error, Result};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The key of what is no tensor.
pub const METADATA: &str = "__metadata__";
/// The longest header that the format's own reader takes.
pub const LONGEST_HEADER: u64 = 100_000_000;
/// The header is padded so that data starts at a multiple of this ...
const ALIGNMENT: usize = 8;
/// ... and of this where there is so much data that it hardly counts: whole pages, which O_DIRECT and mmap like.
const PAGE: usize = 4096;
const LARGE: u64 = 1 << 20;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<u64>,
    /// First byte and one past the last, counted from the start of the data.
    pub begin: u64,
    pub end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The bytes before the data: length, JSON and padding. Members are written in the order given.
pub fn header(members: &[Member], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let failed = |e: serde_json::Error| Error::new(Code::Internal, format!("cannot be written as JSON: {e}"));
    let mut text = vec![0; 8];
    text.push(b'{');
    if !metadata.is_empty() {
        add(&mut text, METADATA, metadata).map_err(failed)?;
    }
    for member in members {
        let data_offsets = [member.begin, member.end];
        let fields = Fields { dtype: member.dtype, shape: member.shape.clone(), data_offsets };
        add(&mut text, &member.name, &fields).map_err(failed)?;
    }
    text.push(b'}');
    let large = members.last().is_some_and(|last| last.end >= LARGE);
    text.resize(text.len().next_multiple_of(if large { PAGE } else { ALIGNMENT }), b' ');
    let length = (text.len() - 8) as u64;
    if length > LONGEST_HEADER {
        let message = format!(
            "{} tensors need a header of {length} bytes; safetensors allows {LONGEST_HEADER}",
            members.len()
        );
        return Err(Error::new(Code::InvalidArgument, message).with_hint("spread them over several shards"));
    }
    text[..8].copy_from_slice(&length.to_le_bytes());
    Ok(text)
}

/// One more member of the JSON object that starts at the ninth byte.
fn add(text: &mut Vec<u8>, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
    if text.len() > 9 {
        text.push(b',');
    }
    serde_json::to_writer(&mut *text, name)?;
    text.push(b':');
    serde_json::to_writer(text, value)
}

/// How many bytes stand before the data, by a file's first eight bytes.
pub fn data_start(first: [u8; 8], file_size: u64) -> Result<u64> {
    let length = u64::from_le_bytes(first);
    let end = length.checked_add(8).filter(|end| length <= LONGEST_HEADER && *end <= file_size);
    end.ok_or_else(|| corrupt(format!("its header would have {length} bytes, the file has {file_size}")))
}

/// The members of a file, in the order of their data, and its metadata, by its first [`data_start`] bytes.
/// Strict: what overlaps, leaves holes or does not fit its shape is `Corrupt`.
pub fn parse(head: &[u8], file_size: u64) -> Result<(Vec<Member>, BTreeMap<String, String>)> {
    let (first, _) = head.split_first_chunk::<8>().ok_or_else(|| corrupt("it is too short".into()))?;
    let start = data_start(*first, file_size)?;
    let text = usize::try_from(start).ok().and_then(|start| head.get(8..start));
    let text = text.ok_or_else(|| corrupt("its header is cut off".into()))?;
    if text.first() != Some(&b'{') {
        return Err(corrupt("its header does not start with a brace".into()));
    }
    let Header { mut members, metadata } = serde_json::from_slice(text)
        .map_err(|e| corrupt(format!("its header is not as it should be: {e}")))?;
    members.sort_by_key(|member| (member.begin, member.end));
    let mut at = 0;
    for Member { name, dtype, shape, begin, end } in &members {
        let length = bytes_of(*dtype, shape);
        if *begin != at || length.and_then(|length| begin.checked_add(length)) != Some(*end) {
            let message = format!("tensor {name:?} of {} {shape:?} lies at {begin}..{end}", dtype.name());
            return Err(corrupt(format!("{message}, after data that ends at {at}")));
        }
        at = *end;
    }
    if start.checked_add(at) != Some(file_size) {
        let message = format!("its header has {start} bytes and its tensors {at}, the file has {file_size}");
        return Err(corrupt(message));
    }
    Ok((members, metadata))
}

fn corrupt(what: String) -> Error {
    Error::new(Code::Corrupt, format!("this is no safetensors file: {what}"))
}

struct Header {
    members: Vec<Member>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one member per tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { members: Vec::new(), metadata: BTreeMap::new() };
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
            if name == METADATA {
                header.metadata = map.next_value()?;
                continue;
            }
            let Fields { dtype, shape, data_offsets: [begin, end] } = map.next_value()?;
            header.members.push(Member { name, dtype, shape, begin, end });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, dtype: Dtype, shape: &[u64], begin: u64, end: u64) -> Member {
        Member { name: name.into(), dtype, shape: shape.to_vec(), begin, end }
    }

    #[test]
    fn c4_what_was_written_is_read() {
        let members = [
            member("weights \"1\"", Dtype::F32, &[2, 3], 0, 24),
            member("empty", Dtype::I64, &[0], 24, 24),
            member("ü", Dtype::U8, &[], 24, 25),
        ];
        let metadata = BTreeMap::from([("framework".to_owned(), "pt".to_owned())]);
        let head = header(&members, &metadata).unwrap();
        assert_eq!(head.len() % 8, 0);
        let size = head.len() as u64 + 25;
        assert_eq!(data_start(head[..8].try_into().unwrap(), size).unwrap(), head.len() as u64);
        assert_eq!(parse(&head, size).unwrap(), (members.to_vec(), metadata));
        let large = header(&[member("l", Dtype::U8, &[1 << 20], 0, 1 << 20)], &BTreeMap::new()).unwrap();
        assert_eq!(large.len(), 4096);
        assert!(parse(&header(&[], &BTreeMap::new()).unwrap(), 16).unwrap().0.is_empty());
    }

    #[test]
    fn c4_files_that_lie_are_corrupt() {
        let of = |members: &[Member], data: u64| {
            let head = header(members, &BTreeMap::new()).unwrap();
            parse(&head, head.len() as u64 + data).unwrap_err()
        };
        let f32s = |name, begin, end| member(name, Dtype::F32, &[2], begin, end);
        for (what, error) in [
            ("hole", of(&[f32s("a", 0, 8), f32s("b", 9, 17)], 17)),
            ("overlap", of(&[f32s("a", 0, 8), f32s("b", 4, 12)], 12)),
            ("wrong length", of(&[f32s("a", 0, 9)], 9)),
            ("rest", of(&[f32s("a", 0, 8)], 9)),
            ("cut", of(&[f32s("a", 0, 8)], 7)),
            ("twice", of(&[f32s("a", 0, 8), f32s("a", 8, 16)], 16)),
            ("overflow", of(&[member("a", Dtype::F64, &[u64::MAX, 8], 0, 8)], 8)),
        ] {
            assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        }
        for head in
            [&b""[..], b"\x02\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff{}", b"\x02\0\0\0\0\0\0\0[]"]
        {
            assert_eq!(parse(head, head.len() as u64).unwrap_err().code(), Code::Corrupt, "{head:?}");
        }
    }
}
