//! Object headers of both versions: the messages that say what an object is.

use super::super::Fields;
use super::checksum::lookup3;
use super::read::{Known, Stop, wrong};
use super::*;
use std::collections::VecDeque;

/// The most messages and blocks of one header that are read.
const MOST: usize = 1 << 16;

/// A message: its type, where its body lies, and the body.
pub(super) struct Message<'a> {
    pub kind: u16,
    pub at: u64,
    pub body: &'a [u8],
}

/// The messages of the object whose header is at `at`.
pub(super) fn messages(file: &Known, at: u64) -> Result<Vec<Message<'_>>, Stop> {
    match file.get(at, 16)? {
        [b'O', b'H', b'D', b'R', 2, ..] => second(file, at),
        [1, 0, ..] => first(file, at),
        found => Err(wrong(at, format!("{:?}", &found[..4]), "an object header of version 1 or 2")),
    }
}

/// A block that a header goes on in.
fn continuation(message: &Message) -> Result<(u64, u64), Stop> {
    let (Some(at), Some(length)) = (message.body.u64_at(0), message.body.u64_at(8)) else {
        return Err(wrong(message.at, "a continuation that is cut off", "one of 16 bytes"));
    };
    Ok((at, length))
}

/// Refuses what is kept elsewhere, which is not followed.
fn shared(flags: u8, kind: u16, at: u64) -> Result<(), Stop> {
    match flags & 2 != 0 && matches!(kind, DATASPACE | LAYOUT | CONTINUATION | SYMBOLS | LINK) {
        true => Err(wrong(at, "a shared message", "one of the object's own")),
        false => Ok(()),
    }
}

fn first(file: &Known, at: u64) -> Result<Vec<Message<'_>>, Stop> {
    let head = file.get(at, 16)?;
    let (Some(count), Some(length)) = (head.u16_at(2), head.u32_at(8)) else {
        return Err(wrong(at, "a header that is cut off", "one of 16 bytes"));
    };
    let mut blocks = VecDeque::from([(at + 16, u64::from(length))]);
    let mut found = Vec::new();
    let mut read = 0;
    while let Some((begin, length)) = blocks.pop_front() {
        let block = file.get(begin, length)?;
        let mut from = 0;
        while read < count && from + 8 <= block.len() {
            let (Some(kind), Some(size), Some(flags)) =
                (block.u16_at(from), block.u16_at(from + 2), block.get(from + 4))
            else {
                break;
            };
            let place = begin + from as u64 + 8;
            let Some(body) = block.get(from + 8..from + 8 + usize::from(size)) else {
                return Err(wrong(
                    place,
                    format!("a message of {size} bytes"),
                    "one that ends with its block",
                ));
            };
            // A datatype that is kept elsewhere has nothing of a type in its place.
            let body = if flags & 2 != 0 && kind == DATATYPE { &[][..] } else { body };
            shared(*flags, kind, place)?;
            let message = Message { kind, at: place, body };
            if kind == CONTINUATION {
                blocks.push_back(continuation(&message)?);
            }
            found.push(message);
            from += 8 + usize::from(size);
            read += 1;
        }
        if found.len() + blocks.len() > MOST {
            return Err(wrong(at, "a header without end", "one of a few blocks"));
        }
    }
    if read < count {
        return Err(wrong(at, format!("{read} messages"), &format!("{count}")));
    }
    Ok(found)
}

fn second(file: &Known, at: u64) -> Result<Vec<Message<'_>>, Stop> {
    let head = file.get(at, 16)?;
    let flags = head[5];
    let times = if flags & 0x20 != 0 { 16 } else { 0 };
    let phases = if flags & 0x10 != 0 { 4 } else { 0 };
    let width = 1u64 << (flags & 3);
    let prefix = 6 + times + phases + width;
    let sized = file.get(at, prefix)?;
    let mut number = [0; 8];
    number[..width as usize].copy_from_slice(&sized[(prefix - width) as usize..]);
    let length = u64::from_le_bytes(number);
    let mut found = Vec::new();
    let mut blocks = VecDeque::new();
    let whole = checked(file, at, prefix.checked_add(length))?;
    let body = &whole[prefix as usize..];
    chunk(body, at + prefix, flags, &mut found, &mut blocks)?;
    while let Some((begin, length)) = blocks.pop_front() {
        let whole = checked(file, begin, length.checked_sub(4))?;
        if !whole.starts_with(b"OCHK") {
            return Err(wrong(begin, "something else", "the rest of an object header"));
        }
        chunk(&whole[4..], begin + 4, flags, &mut found, &mut blocks)?;
        if found.len() + blocks.len() > MOST {
            return Err(wrong(at, "a header without end", "one of a few blocks"));
        }
    }
    Ok(found)
}

/// `length` bytes, which the checksum after them covers.
fn checked(file: &Known, at: u64, length: Option<u64>) -> Result<&[u8], Stop> {
    let Some(whole) = length.and_then(|length| length.checked_add(4)) else {
        return Err(wrong(at, "a length that cannot be", "that of an object header"));
    };
    let bytes = file.get(at, whole)?;
    let (body, sum) = bytes.split_at(bytes.len() - 4);
    let (found, expected) = (lookup3(body), sum.u32_at(0).unwrap_or_default());
    if found != expected {
        return Err(Stop::Failed(super::super::mismatch(WHAT, at, found, expected)));
    }
    Ok(body)
}

fn chunk<'a>(
    block: &'a [u8],
    begin: u64,
    flags: u8,
    found: &mut Vec<Message<'a>>,
    blocks: &mut VecDeque<(u64, u64)>,
) -> Result<(), Stop> {
    let head = if flags & 4 != 0 { 6 } else { 4 };
    let mut from = 0;
    // Less than a head is a gap.
    while from + head <= block.len() {
        let (kind, size, flags) =
            (u16::from(block[from]), block.u16_at(from + 1).unwrap_or_default(), block[from + 3]);
        let place = begin + (from + head) as u64;
        let Some(body) = block.get(from + head..from + head + usize::from(size)) else {
            return Err(wrong(place, format!("a message of {size} bytes"), "one that ends with its block"));
        };
        let body = if flags & 2 != 0 && kind == DATATYPE { &[][..] } else { body };
        shared(flags, kind, place)?;
        let message = Message { kind, at: place, body };
        if kind == CONTINUATION {
            blocks.push_back(continuation(&message)?);
        }
        found.push(message);
        from += head + usize::from(size);
    }
    Ok(())
}
