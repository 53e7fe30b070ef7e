//! Finds the datasets of a file, asking for one range after the other.

use super::super::{Fields, Step, corrupt, mismatch, truncated, unsupported};
use super::checksum::lookup3;
use super::header::{Message, messages};
use super::*;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

/// A dataset with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The path from the root group, without a slash before it.
    pub name: String,
    pub shape: Vec<u64>,
    descr: Option<Descr>,
    /// Of its header.
    at: u64,
    data: Result<Range<u64>, &'static str>,
}

impl Dataset {
    /// The element type; `Unsupported` where it is neither an integer nor a float.
    pub fn descr(&self) -> Result<&Descr> {
        let found = || format!("dataset {:?} of another type", self.name);
        self.descr
            .as_ref()
            .ok_or_else(|| unsupported(WHAT, self.at, found(), "integers and floats").with_hint(OTHERS))
    }

    /// Where its bytes lie in the file, row-major; `Unsupported` where they are not one run of bytes.
    pub fn range(&self) -> Result<Range<u64>> {
        let found = |what| format!("dataset {:?}, {what}", self.name);
        let refused = |what: &'static str| {
            unsupported(WHAT, self.at, found(what), "one run of bytes").with_hint(OTHERS)
        };
        self.data.clone().map_err(refused)
    }
}

const OTHERS: &str = "h5py reads it, through a reader of this library as well; or write it anew, contiguous";

/// The bytes of a file that were read so far.
#[derive(Debug)]
pub struct Known {
    size: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Known {
    /// Nothing yet, of a file of `size` bytes.
    pub fn new(size: u64) -> Known {
        Known { size, pieces: BTreeMap::new() }
    }

    /// Bytes of the file from `at` on.
    pub fn add(&mut self, at: u64, bytes: Vec<u8>) {
        self.pieces.insert(at, bytes);
    }

    pub(super) fn get(&self, at: u64, length: u64) -> Result<&[u8], Stop> {
        let Some(end) = at.checked_add(length).filter(|end| *end <= self.size) else {
            let found = format!("{} bytes", self.size.saturating_sub(at));
            return Err(Stop::Failed(truncated(WHAT, at.min(self.size), found, format!("{length} bytes"))));
        };
        if length == 0 {
            return Ok(&[]);
        }
        if length > LONGEST {
            return Err(wrong(at, format!("{length} bytes in one piece"), &format!("at most {LONGEST}")));
        }
        let holds = |(start, bytes): (&u64, &'_ Vec<u8>)| at >= *start && end - start <= bytes.len() as u64;
        // The nearest pieces before it: one that is longer may begin earlier.
        let mut before = self.pieces.range(..=at).rev().take(64);
        match before.find(|(start, bytes)| holds((start, bytes))) {
            Some((start, bytes)) => Ok(&bytes[(at - start) as usize..(end - start) as usize]),
            None => Err(Stop::Need(at..end.max(at.saturating_add(PIECE)).min(self.size))),
        }
    }
}

/// What is asked for at least: the parts of a file are small and lie together.
const PIECE: u64 = 8 << 10;
/// The longest part that is read as a whole.
const LONGEST: u64 = 64 << 20;
/// The most groups within each other and objects in all.
const DEEPEST: usize = 32;
const MOST: usize = 1 << 20;

/// Why the reading stopped.
pub(super) enum Stop {
    Need(Range<u64>),
    Failed(Error),
}

pub(super) fn wrong(at: u64, found: impl Display, expected: &str) -> Stop {
    Stop::Failed(corrupt(WHAT, at, found, expected))
}

fn refused(at: u64, found: impl Display, expected: &str) -> Stop {
    Stop::Failed(unsupported(WHAT, at, found, expected).with_hint(OTHERS))
}

/// The datasets of the file, with those of groups within groups, in the order of the file's own tables.
pub fn datasets(file: &Known) -> Result<Step<Vec<Dataset>>> {
    let mut walk = Walk { file, seen: 0, above: Vec::new(), found: Vec::new() };
    match root(file).and_then(|root| walk.object(root, String::new())) {
        Ok(()) => Ok(Step::Done(walk.found)),
        Err(Stop::Need(range)) => Ok(Step::Need(range)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The header of the root group.
fn root(file: &Known) -> Result<u64, Stop> {
    if file.size < 48 {
        return Err(Stop::Failed(truncated(WHAT, file.size, "its end", "a superblock of at least 48 bytes")));
    }
    let head = file.get(0, 48)?;
    if !head.starts_with(&SIGNATURE[..head.len().min(8)]) {
        return Err(wrong(
            0,
            format!("{:?}", &head[..head.len().min(8)]),
            "the signature \\x89HDF\\r\\n\\x1a\\n",
        ));
    }
    let version = head[8];
    let (widths, block, from) = match version {
        0 => ([head[13], head[14]], file.get(0, 96)?, 24),
        1 => ([head[13], head[14]], file.get(0, 100)?, 28),
        2 | 3 => ([head[9], head[10]], file.get(0, 48)?, 12),
        _ => return Err(refused(8, format!("version {version} of the superblock"), "0 to 3")),
    };
    if widths != [8, 8] {
        return Err(refused(9, format!("addresses and lengths of {widths:?} bytes"), "of 8"));
    }
    let field = |at| block.u64_at(at).unwrap_or(UNDEFINED);
    let (end, root) = match version {
        0 | 1 => (field(from + 16), field(from + 32 + 8)),
        _ => {
            let (found, expected) = (lookup3(&block[..44]), block.u32_at(44).unwrap_or_default());
            if found != expected {
                return Err(Stop::Failed(mismatch(WHAT, 0, found, expected)));
            }
            (field(28), field(36))
        }
    };
    if field(from) != 0 {
        return Err(refused(from as u64, format!("a base address of {}", field(from)), "0"));
    }
    if end > file.size {
        return Err(Stop::Failed(truncated(
            WHAT,
            file.size,
            "its end",
            format!("{end} bytes, as its head says"),
        )));
    }
    Ok(root)
}

struct Walk<'a> {
    file: &'a Known,
    seen: usize,
    /// The groups that the present object is in.
    above: Vec<u64>,
    found: Vec<Dataset>,
}

impl Walk<'_> {
    fn object(&mut self, at: u64, name: String) -> Result<(), Stop> {
        self.seen += 1;
        if self.above.contains(&at) || self.above.len() > DEEPEST || self.seen > MOST {
            return Err(wrong(at, format!("the object {name:?}"), "groups that are not within themselves"));
        }
        let found = messages(self.file, at)?;
        let one = |kind: u16| found.iter().find(|message| message.kind == kind);
        if let Some(layout) = one(LAYOUT) {
            let (Some(space), Some(datatype)) = (one(DATASPACE), one(DATATYPE)) else {
                return Err(wrong(at, "a dataset without a shape or a type", "both"));
            };
            let shape = shape(space)?;
            let descr = descr_of(datatype.body);
            let wanted = descr.as_ref().map(|descr| bytes(descr, &shape));
            let mut data =
                if one(EXTERNAL).is_some() { Ok(Err("which is in other files")) } else { place(layout) }?;
            // What was never written has no place.
            if wanted == Some(Some(0)) {
                data = data.map(|data| data.start..data.start);
            }
            if let (Ok(range), Some(wanted)) = (&data, wanted) {
                if wanted != Some(range.end - range.start) {
                    let found = format!("{} bytes for {name:?} of shape {shape:?}", range.end - range.start);
                    return Err(wrong(layout.at, found, "as many as its elements have"));
                }
                if range.end > self.file.size {
                    let (at, found) =
                        (range.start.min(self.file.size), self.file.size.saturating_sub(range.start));
                    let expected = format!("the {} of {name:?}", range.end - range.start);
                    return Err(Stop::Failed(truncated(WHAT, at, format!("{found} bytes"), expected)));
                }
            }
            self.found.push(Dataset { name, shape, descr, at, data });
            return Ok(());
        }
        self.above.push(at);
        let inside = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") };
        if let Some(info) = one(LINK_INFO) {
            let order = if info.body.get(1).is_some_and(|flags| flags & 1 != 0) { 8 } else { 0 };
            if info.body.u64_at(2 + order).is_none_or(|heap| heap != UNDEFINED) {
                return Err(refused(
                    info.at,
                    format!("the group {name:?} with many members, of new style"),
                    "a small one",
                ));
            }
        }
        for message in found.iter().filter(|message| message.kind == LINK) {
            if let Some((part, to)) = link(message)? {
                self.object(to, inside(&part))?;
            }
        }
        if let Some(table) = one(SYMBOLS) {
            let (Some(tree), Some(heap)) = (table.body.u64_at(0), table.body.u64_at(8)) else {
                return Err(wrong(table.at, "a symbol table that is cut off", "one of 16 bytes"));
            };
            let mut symbols = Vec::new();
            nodes(self.file, tree, names(self.file, heap)?, None, &mut symbols)?;
            for (part, to) in symbols {
                self.object(to, inside(&part))?;
            }
        }
        self.above.pop();
        Ok(())
    }
}

fn bytes(descr: &Descr, shape: &[u64]) -> Option<u64> {
    super::super::npy::Header::new(descr.clone(), shape).data_len()
}

fn shape(message: &Message) -> Result<Vec<u64>, Stop> {
    let cut = || wrong(message.at, "a shape that is cut off", "its axes");
    let (from, axes) = match message.body {
        [1, axes, ..] => (8, *axes),
        // The third kind is no elements at all.
        [2, axes, _, 0 | 1, ..] => (4, *axes),
        [2, _, _, 2, ..] => return Ok(vec![0]),
        _ => return Err(wrong(message.at, "another version", "a shape of version 1 or 2")),
    };
    (0..usize::from(axes)).map(|axis| message.body.u64_at(from + axis * 8).ok_or_else(cut)).collect()
}

/// Where the bytes are, or why they are not one run.
fn place(message: &Message) -> Result<Result<Range<u64>, &'static str>, Stop> {
    let body = message.body;
    let cut = || wrong(message.at, "a layout that is cut off", "its fields");
    Ok(match body {
        [3 | 4, 0, ..] => {
            let length = u64::from(body.u16_at(2).ok_or_else(cut)?);
            if length + 4 > body.len() as u64 {
                return Err(cut());
            }
            Ok(message.at + 4..message.at + 4 + length)
        }
        [3 | 4, 1, ..] => {
            let (start, length) = (body.u64_at(2).ok_or_else(cut)?, body.u64_at(10).ok_or_else(cut)?);
            match start.checked_add(length) {
                Some(end) if start != UNDEFINED => Ok(start..end),
                _ if start == UNDEFINED && length == 0 => Ok(0..0),
                _ if start == UNDEFINED => Err("which was never written"),
                _ => {
                    return Err(wrong(
                        message.at,
                        format!("{length} bytes at {start}"),
                        "bytes of this file",
                    ));
                }
            }
        }
        [3 | 4, 2, ..] => Err("which is chunked"),
        [3 | 4, ..] => Err("which is made of other datasets"),
        _ => Err("whose layout is of another version"),
    })
}

/// A hard link of a group of new style; `None` for the others.
fn link(message: &Message) -> Result<Option<(String, u64)>, Stop> {
    let parse = || {
        let flags = *message.body.get(1)?;
        let mut at = 2;
        let kind = if flags & 8 != 0 { *message.body.get(2)? } else { 0 };
        at += usize::from(flags & 8 != 0);
        at += if flags & 4 != 0 { 8 } else { 0 };
        at += usize::from(flags & 16 != 0);
        let width = 1 << (flags & 3);
        let mut number = [0; 8];
        number[..width].copy_from_slice(message.body.get(at..at + width)?);
        let length = usize::try_from(u64::from_le_bytes(number)).ok()?;
        at += width;
        let name = std::str::from_utf8(message.body.get(at..at.checked_add(length)?)?).ok()?;
        let to = if kind == 0 { Some(message.body.u64_at(at + length)?) } else { None };
        Some(to.map(|to| (name.to_owned(), to)))
    };
    match message.body.first() {
        Some(1) => {
            parse().ok_or_else(|| wrong(message.at, "a link that is cut off", "its name and its place"))
        }
        _ => Err(wrong(message.at, "another version", "a link of version 1")),
    }
}

/// The names of a group of old style.
fn names(file: &Known, heap: u64) -> Result<&[u8], Stop> {
    let head = file.get(heap, 32)?;
    let (Some(length), Some(at), true) = (head.u64_at(8), head.u64_at(24), head.starts_with(b"HEAP\0"))
    else {
        return Err(wrong(heap, "something else", "a local heap"));
    };
    file.get(at, length)
}

/// The members below a node of a B-tree, whose level is known but for the first.
fn nodes(
    file: &Known,
    at: u64,
    names: &[u8],
    level: Option<u8>,
    symbols: &mut Vec<(String, u64)>,
) -> Result<(), Stop> {
    let head = file.get(at, 24)?;
    let (true, Some(used)) = (head.starts_with(b"TREE\0"), head.u16_at(6)) else {
        return Err(wrong(at, "something else", "a node of a group's B-tree"));
    };
    let own = head[5];
    if level.is_some_and(|level| level != own) {
        return Err(wrong(at, format!("a node of level {own}"), "one of the level below"));
    }
    let children = file.get(at + 24, (2 * u64::from(used) + 1) * 8)?;
    for number in 0..usize::from(used) {
        let child = children.u64_at(8 + number * 16).unwrap_or(UNDEFINED);
        if symbols.len() > MOST {
            return Err(wrong(at, "a group without end", &format!("at most {MOST} members")));
        }
        match own.checked_sub(1) {
            Some(below) => nodes(file, child, names, Some(below), symbols)?,
            None => leaf(file, child, names, symbols)?,
        }
    }
    Ok(())
}

fn leaf(file: &Known, at: u64, names: &[u8], symbols: &mut Vec<(String, u64)>) -> Result<(), Stop> {
    let head = file.get(at, 8)?;
    let (true, Some(count)) = (head.starts_with(b"SNOD\x01"), head.u16_at(6)) else {
        return Err(wrong(at, "something else", "a symbol table's node"));
    };
    let entries = file.get(at + 8, u64::from(count) * 40)?;
    for number in 0..usize::from(count) {
        let place = at + 8 + number as u64 * 40;
        let entry = &entries[number * 40..];
        let name = entry.u64_at(0).and_then(|name| names.get(usize::try_from(name).ok()?..));
        let name =
            name.and_then(|rest| rest.split(|byte| *byte == 0).next().filter(|name| name.len() < rest.len()));
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
        let (Some(name), Some(to), Some(cached)) = (name, entry.u64_at(8), entry.u32_at(16)) else {
            return Err(wrong(place, "a member without a name", "one of the group's names"));
        };
        // 2 is a soft link.
        if cached != 2 {
            symbols.push((name.to_owned(), to));
        }
    }
    Ok(())
}
