//! ZIP, as far as NPZ needs it (PKWARE's APPNOTE 6.3.10): stored and deflated members, zip64, data descriptors.
//! The directory at the end of the file is what counts; a member's own head must agree with it.

use super::{Fields, Step, corrupt, deflate, invalid, mismatch, truncated, unsupported};
use crate::error::Result;
use std::ops::Range;

/// The bytes at the end of the file that are worth reading at once: the directory of a few hundred members.
pub const USUAL_TAIL: u64 = 64 << 10;

const WHAT: &str = "the ZIP file";
/// A directory of more would be an attack on memory.
const LONGEST_DIRECTORY: u64 = 1 << 30;
const MEMBER: u32 = 0x0403_4b50;
const ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const END_LENGTH: usize = 22;
const END64_LENGTH: u64 = 56;
const LOCATOR_LENGTH: u64 = 20;
const MEMBER_LENGTH: u64 = 30;
const ENTRY_LENGTH: usize = 46;
const LONGEST_COMMENT: u64 = u16::MAX as u64;
/// In place of a number that stands among the zip64 fields.
const ELSEWHERE: u32 = u32::MAX;
const ZIP64: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Bits of the flags: encrypted, sizes follow the data, patched, strongly encrypted, masked.
const ENCRYPTED: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;

/// A member, by the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Bytes once unpacked.
    pub size: u64,
    /// Bytes in the file.
    pub packed: u64,
    pub crc32: u32,
    method: u16,
    flags: u16,
    /// Of its head.
    offset: u64,
    /// Where the next head or the directory begins.
    limit: u64,
}

impl Member {
    /// One past the last byte, were its head as short as it can be.
    fn end(&self) -> Option<u64> {
        self.packed.checked_add(MEMBER_LENGTH + self.name.len() as u64)?.checked_add(self.offset)
    }

    /// A member of which somebody else kept the parts: where [`Member::range`] is, size, packed size and CRC32, and
    /// what [`Member::stored_as`] gave.
    pub fn from_parts(
        name: &str,
        range: Range<u64>,
        (size, packed, crc32): (u64, u64, u32),
        (method, flags): (u16, u16),
    ) -> Result<Member> {
        let (offset, limit) = (range.start, range.end);
        let member = Member { name: name.to_owned(), size, packed, crc32, method, flags, offset, limit };
        if member.end().is_none_or(|end| end > limit) || member.lies() {
            let message = format!("{packed} bytes from {offset} are no member of {size} bytes");
            return Err(invalid(format!("{message}; expected one as it was listed")));
        }
        Ok(member)
    }

    /// Compression method and flags, as the ZIP file has them.
    pub fn stored_as(&self) -> (u16, u16) {
        (self.method, self.flags)
    }

    /// Whether it would have more bytes than can be packed into those it has.
    fn lies(&self) -> bool {
        self.size > self.packed.saturating_mul(deflate::BEST_RATIO)
            || self.method == STORED && self.packed != self.size
    }

    /// What to read of the file for [`Member::unpack`]: head and data, and the few bytes that may be between.
    pub fn range(&self) -> Range<u64> {
        // The head's extra field may be longer than the directory's, so its end is known only to lie before `limit`.
        let most = MEMBER_LENGTH + self.name.len() as u64 + u64::from(u16::MAX) + self.packed;
        self.offset..self.limit.min(self.offset.saturating_add(most))
    }

    /// The data's place within [`Member::range`], which `bytes` is at least the head of.
    pub fn place(&self, bytes: &[u8]) -> Result<Range<usize>> {
        let at = self.offset;
        if self.flags & ENCRYPTED != 0 {
            return Err(unsupported(
                WHAT,
                at,
                format!("{:?}, which is encrypted", self.name),
                "a plain member",
            ));
        }
        if !matches!(self.method, STORED | DEFLATED) {
            let found = format!("{:?} of compression method {}", self.name, self.method);
            return Err(unsupported(WHAT, at, found, "a member stored (0) or deflated (8)"));
        }
        let head = (bytes.u32_at(0), bytes.u16_at(6), bytes.u16_at(8), bytes.u16_at(26), bytes.u16_at(28));
        let (Some(signature), Some(flags), Some(method), Some(name_length), Some(extra_length)) = head else {
            return Err(truncated(WHAT, at, format!("{} bytes", bytes.len()), "the head of a member"));
        };
        let expected = || format!("the head of {:?}, as in the directory", self.name);
        if signature != MEMBER {
            return Err(corrupt(WHAT, at, format!("{signature:08x}"), expected()));
        }
        let name = bytes.get(MEMBER_LENGTH as usize..MEMBER_LENGTH as usize + usize::from(name_length));
        if (flags ^ self.flags) & (ENCRYPTED | DESCRIPTOR) != 0
            || method != self.method
            || name != Some(self.name.as_bytes())
        {
            return Err(corrupt(WHAT, at, "another head", expected()));
        }
        let start = MEMBER_LENGTH as usize + usize::from(name_length) + usize::from(extra_length);
        if flags & DESCRIPTOR == 0 {
            self.agrees(bytes, start)
                .ok_or_else(|| corrupt(WHAT, at, "other sizes or another CRC32", expected()))?;
        }
        let end = usize::try_from(self.packed).ok().and_then(|packed| start.checked_add(packed));
        match end.filter(|end| at.checked_add(*end as u64).is_some_and(|end| end <= self.limit)) {
            Some(end) => Ok(start..end),
            None => Err(corrupt(
                WHAT,
                at,
                format!("{:?} of {} bytes", self.name, self.packed),
                "fewer before the next",
            )),
        }
    }

    /// Whether the head's sizes and checksum are the directory's.
    fn agrees(&self, bytes: &[u8], start: usize) -> Option<()> {
        let extra = bytes.get(start - usize::from(bytes.u16_at(28)?)..start)?;
        let (packed, size) = (bytes.u32_at(18)?, bytes.u32_at(22)?);
        let mut wide = Wide::of(extra);
        let (size, packed) = (wide.or(size)?, wide.or(packed)?);
        (size == self.size && packed == self.packed && bytes.u32_at(14)? == self.crc32).then_some(())
    }

    /// Where the member's bytes are within `bytes`, which are [`Member::range`] of the file, and which are checked;
    /// `None` where they have to be unpacked.
    pub fn stored(&self, bytes: &[u8]) -> Result<Option<Range<usize>>> {
        let data = self.place(bytes)?;
        if self.method != STORED {
            return Ok(None);
        }
        self.check(self.packed(bytes, &data)?, self.offset + data.start as u64)?;
        Ok(Some(data))
    }

    /// The member's bytes, which are checked; `bytes` is [`Member::range`] of the file.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let data = self.place(bytes)?;
        let at = self.offset + data.start as u64;
        let packed = self.packed(bytes, &data)?;
        if self.method == STORED {
            self.check(packed, at)?;
            return Ok(packed.to_vec());
        }
        let mut out = Vec::new();
        let room = usize::try_from(self.size).ok().filter(|size| out.try_reserve_exact(*size).is_ok());
        let too_much =
            || invalid(format!("the {} bytes of {:?} do not fit into memory", self.size, self.name));
        out.resize(room.ok_or_else(too_much)?, 0);
        deflate::inflate(packed, &mut out)
            .map_err(|found| corrupt(WHAT, at, found, format!("the {} of {:?}", self.size, self.name)))?;
        self.check(&out, at)?;
        Ok(out)
    }

    fn packed<'a>(&self, bytes: &'a [u8], data: &Range<usize>) -> Result<&'a [u8]> {
        bytes.get(data.clone()).ok_or_else(|| {
            let found = format!("{} bytes", bytes.len().saturating_sub(data.start));
            let at = self.offset + data.start as u64;
            truncated(WHAT, at, found, format!("the {} of {:?}", self.packed, self.name))
        })
    }

    fn check(&self, unpacked: &[u8], at: u64) -> Result<()> {
        let found = crc32fast::hash(unpacked);
        if found == self.crc32 { Ok(()) } else { Err(mismatch(WHAT, at, found, self.crc32)) }
    }
}

/// The members of a file, in the order of the directory. `tail` are the last bytes of the file; where more are
/// needed, `Need` says from where on.
pub fn members(tail: &[u8], file_size: u64) -> Result<Step<Vec<Member>>> {
    let tail = &tail[tail.len().saturating_sub(usize::try_from(file_size).unwrap_or(usize::MAX))..];
    let begin = file_size - tail.len() as u64;
    let need = |from: u64| Ok(Step::Need(from..file_size));
    if file_size < END_LENGTH as u64 {
        return Err(truncated(WHAT, file_size, "its end", "a directory, whose end alone has 22 bytes"));
    }
    if tail.len() < END_LENGTH {
        return need(file_size.saturating_sub(USUAL_TAIL));
    }
    let Some(at) = end_of(tail) else {
        let searched = LONGEST_COMMENT + END_LENGTH as u64;
        if begin > 0 && (tail.len() as u64) < searched {
            return need(file_size.saturating_sub(searched));
        }
        return Err(truncated(WHAT, file_size, "its end", "the end of a directory before it")
            .with_hint("this is no ZIP file, or its end is missing"));
    };
    let place = begin + at as u64;
    // A locator before the end says where the zip64 end is. Some write it where it is not needed, too.
    let locator = place.checked_sub(LOCATOR_LENGTH);
    if let Some(from) = locator.filter(|from| *from < begin) {
        return need(from.saturating_sub(END64_LENGTH));
    }
    let locator = locator.map(|from| (from, &tail[(from - begin) as usize..at]));
    let end = match locator.filter(|(_, locator)| locator.u32_at(0) == Some(LOCATOR64)) {
        Some((from, locator)) => {
            let (Some(0), Some(end64), Some(1)) = (locator.u32_at(4), locator.u64_at(8), locator.u32_at(16))
            else {
                return Err(corrupt(WHAT, from, "something else", "a zip64 locator of one disk"));
            };
            if end64.checked_add(END64_LENGTH).is_none_or(|end| end > from) {
                return Err(corrupt(WHAT, from, format!("a zip64 end at {end64}"), "one before its locator"));
            }
            if end64 < begin {
                return need(end64);
            }
            Directory::of_zip64(&tail[(end64 - begin) as usize..], end64, from)?
        }
        None => Directory::of(&tail[at..], place)?.ok_or_else(|| {
            corrupt(WHAT, place, "numbers that stand elsewhere", "a zip64 locator before them")
        })?,
    };
    if end.start < begin {
        return need(end.start);
    }
    let bytes = &tail[(end.start - begin) as usize..(end.end - begin) as usize];
    Ok(Step::Done(entries(bytes, &end)?))
}

/// The end of the directory: its comment reaches exactly to the end of the file.
fn end_of(tail: &[u8]) -> Option<usize> {
    let first = tail.len().saturating_sub(LONGEST_COMMENT as usize + END_LENGTH);
    (first..=tail.len() - END_LENGTH).rev().find(|at| {
        let comment = tail.u16_at(at + 20).map(usize::from);
        tail.u32_at(*at) == Some(END) && comment == Some(tail.len() - at - END_LENGTH)
    })
}

struct Directory {
    start: u64,
    end: u64,
    count: u64,
}

impl Directory {
    /// `None`: it needs zip64.
    fn of(end: &[u8], at: u64) -> Result<Option<Directory>> {
        let numbers =
            (end.u16_at(4), end.u16_at(6), end.u16_at(8), end.u16_at(10), end.u32_at(12), end.u32_at(16));
        let (Some(disk), Some(first), Some(here), Some(count), Some(length), Some(start)) = numbers else {
            return Err(truncated(WHAT, at, "its end", "the end of the directory"));
        };
        if [disk, first, here, count].contains(&u16::MAX) || length == ELSEWHERE || start == ELSEWHERE {
            return Ok(None);
        }
        let disks = (disk.into(), first.into(), here.into());
        Directory::checked(disks, count.into(), length.into(), start.into(), at).map(Some)
    }

    fn of_zip64(end: &[u8], at: u64, locator: u64) -> Result<Directory> {
        let numbers = (end.u64_at(4), end.u32_at(16), end.u32_at(20), end.u64_at(24), end.u64_at(32));
        let places = (end.u64_at(40), end.u64_at(48));
        let (Some(own), Some(disk), Some(first), Some(here), Some(count)) = numbers else {
            return Err(truncated(WHAT, at, "its end", "the zip64 end of the directory"));
        };
        let right = end.u32_at(0) == Some(END64)
            && own.checked_add(12).and_then(|own| own.checked_add(at)) == Some(locator);
        let ((Some(length), Some(start)), true) = (places, right) else {
            return Err(corrupt(WHAT, at, "something else", "the zip64 end of the directory"));
        };
        Directory::checked((disk, first, here), count, length, start, at)
    }

    fn checked(
        (disk, first, here): (u32, u32, u64),
        count: u64,
        length: u64,
        start: u64,
        at: u64,
    ) -> Result<Directory> {
        if disk != 0 || first != 0 || here != count {
            let found = format!("disk {disk} of a file that is cut into several");
            return Err(unsupported(WHAT, at, found, "a file on one disk"));
        }
        let found = format!("a directory of {count} members in {length} bytes at {start}");
        let fits = length <= LONGEST_DIRECTORY && count <= length / ENTRY_LENGTH as u64;
        if !fits || start.checked_add(length) != Some(at) {
            return Err(corrupt(WHAT, at, found, "one that ends here"));
        }
        Ok(Directory { start, end: at, count })
    }
}

fn entries(bytes: &[u8], directory: &Directory) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut at = 0;
    let mut names = std::collections::HashSet::new();
    while (members.len() as u64) < directory.count {
        let place = directory.start + at as u64;
        let Some((member, length)) = entry(bytes.get(at..).unwrap_or_default(), directory.start) else {
            let expected = format!("entry {} of the {} of the directory", members.len() + 1, directory.count);
            return Err(corrupt(WHAT, place, "something else", expected));
        };
        if member.end().is_none_or(|end| end > directory.start) || member.lies() {
            let found = format!("{:?} of {} bytes, {} unpacked", member.name, member.packed, member.size);
            return Err(corrupt(WHAT, place, found, "what can lie before the directory"));
        }
        if !names.insert(member.name.clone()) {
            return Err(corrupt(WHAT, place, format!("{:?} a second time", member.name), "each name once"));
        }
        members.push(member);
        at += length;
    }
    if at != bytes.len() {
        let expected = format!("the end of the directory after {} members", members.len());
        return Err(corrupt(WHAT, directory.start + at as u64, "more bytes", expected));
    }
    // No two members share bytes.
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_unstable_by_key(|number| members[*number].offset);
    for pair in order.windows(2) {
        let next = members[pair[1]].offset;
        let Member { name, offset, packed, .. } = &members[pair[0]];
        if members[pair[0]].end().is_none_or(|end| end > next) {
            let found = format!("{name:?} of {packed} bytes at {offset}");
            return Err(corrupt(
                WHAT,
                directory.start,
                found,
                format!("one that ends before the next at {next}"),
            ));
        }
        members[pair[0]].limit = next;
    }
    Ok(members)
}

/// The entry that `bytes` begins with, and its length.
fn entry(bytes: &[u8], limit: u64) -> Option<(Member, usize)> {
    let (name_length, extra_length, comment) = (bytes.u16_at(28)?, bytes.u16_at(30)?, bytes.u16_at(32)?);
    let name_end = ENTRY_LENGTH + usize::from(name_length);
    let extra_end = name_end + usize::from(extra_length);
    let length = extra_end + usize::from(comment);
    if bytes.u32_at(0)? != ENTRY || bytes.len() < length || !matches!(bytes.u16_at(34)?, 0 | u16::MAX) {
        return None;
    }
    // Names that are not marked as UTF-8 are of an old code page: the same for ASCII, and NumPy writes no others.
    let name = std::str::from_utf8(&bytes[ENTRY_LENGTH..name_end]).ok()?;
    let mut wide = Wide::of(&bytes[name_end..extra_end]);
    let size = wide.or(bytes.u32_at(24)?)?;
    let packed = wide.or(bytes.u32_at(20)?)?;
    let offset = wide.or(bytes.u32_at(42)?)?;
    let (flags, method, crc32) = (bytes.u16_at(8)?, bytes.u16_at(10)?, bytes.u32_at(16)?);
    let member = Member { name: name.to_owned(), size, packed, crc32, method, flags, offset, limit };
    Some((member, length))
}

/// The zip64 fields of an extra field: those of the numbers that are not where they usually are, in order.
struct Wide<'a>(&'a [u8]);

impl Wide<'_> {
    fn of(mut extra: &[u8]) -> Wide<'_> {
        while let (Some(id), Some(length)) = (extra.u16_at(0), extra.u16_at(2)) {
            let end = 4 + usize::from(length);
            match extra.get(4..end) {
                Some(fields) if id == ZIP64 => return Wide(fields),
                Some(_) => extra = &extra[end..],
                None => break,
            }
        }
        Wide(&[])
    }

    fn or(&mut self, usual: u32) -> Option<u64> {
        if usual != ELSEWHERE {
            return Some(usual.into());
        }
        let number = self.0.u64_at(0)?;
        self.0 = &self.0[8..];
        Some(number)
    }
}

/// Writes stored members one after the other. What it gives is to be written in that order; it keeps the directory.
#[derive(Debug, Default)]
pub struct Writer {
    members: Vec<(String, u64, u32, u64)>,
    at: u64,
}

impl Writer {
    /// The head of a member of `size` bytes with this CRC32; its bytes follow it.
    pub fn head(&mut self, name: &str, size: u64, crc32: u32) -> Result<Vec<u8>> {
        if name.is_empty() || name.len() > 4096 || self.members.iter().any(|known| known.0 == name) {
            return Err(invalid(format!(
                "{name:?} cannot be the name of a member; expected one of its own, not longer than 4096 bytes"
            )));
        }
        let mut out = MEMBER.to_le_bytes().to_vec();
        common(&mut out, size, crc32, size, name, if size >= ELSEWHERE.into() { 20 } else { 0 });
        out.extend_from_slice(name.as_bytes());
        if size >= ELSEWHERE.into() {
            wide(&mut out, &[size, size]);
        }
        self.members.push((name.to_owned(), size, crc32, self.at));
        self.at += out.len() as u64 + size;
        Ok(out)
    }

    /// The directory and its end.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, size, crc32, offset) in &self.members {
            let numbers: Vec<u64> =
                [*size, *size, *offset].into_iter().filter(|number| *number >= ELSEWHERE.into()).collect();
            let extra = if numbers.is_empty() { 0 } else { 4 + 8 * numbers.len() as u16 };
            out.extend_from_slice(&ENTRY.to_le_bytes());
            // Made by version 4.5 of the specification on Unix.
            out.extend_from_slice(&[45, 3]);
            common(&mut out, *size, *crc32, *size, name, extra);
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&(0o100_644u32 << 16).to_le_bytes());
            out.extend_from_slice(&narrow(*offset).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            if extra > 0 {
                wide(&mut out, &numbers);
            }
        }
        let (count, length, start) = (self.members.len() as u64, out.len() as u64, self.at);
        if count >= u16::MAX.into() || length >= ELSEWHERE.into() || start >= ELSEWHERE.into() {
            let end64 = start + length;
            out.extend_from_slice(&END64.to_le_bytes());
            out.extend_from_slice(&(END64_LENGTH - 12).to_le_bytes());
            out.extend_from_slice(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            [count, count, length, start]
                .iter()
                .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            out.extend_from_slice(&LOCATOR64.to_le_bytes());
            out.extend_from_slice(&0u32.to_le_bytes());
            out.extend_from_slice(&end64.to_le_bytes());
            out.extend_from_slice(&1u32.to_le_bytes());
        }
        let short = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        out.extend_from_slice(&END.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&short);
        out.extend_from_slice(&short);
        out.extend_from_slice(&narrow(length).to_le_bytes());
        out.extend_from_slice(&narrow(start).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out
    }
}

/// The fields that a member's head and its entry share, from the version on.
fn common(out: &mut Vec<u8>, packed: u64, crc32: u32, size: u64, name: &str, extra: u16) {
    let version: u16 = if extra > 0 { 45 } else { 20 };
    let flags = if name.is_ascii() { 0 } else { UTF8 };
    for field in [version, flags, STORED, 0, 0x21] {
        // The time is the first that ZIP knows, 1980-01-01, so that the same arrays make the same file.
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [crc32, narrow(packed), narrow(size)] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(&extra.to_le_bytes());
}

fn wide(out: &mut Vec<u8>, numbers: &[u64]) {
    out.extend_from_slice(&ZIP64.to_le_bytes());
    out.extend_from_slice(&(8 * numbers.len() as u16).to_le_bytes());
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(ELSEWHERE)
}

#[cfg(test)]
mod tests {
    use super::super::damage;
    use super::*;
    use crate::error::Code;

    fn file(members: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut writer, mut out) = (Writer::default(), Vec::new());
        for (name, data) in members {
            out.extend(writer.head(name, data.len() as u64, crc32fast::hash(data)).unwrap());
            out.extend_from_slice(data);
        }
        out.extend(writer.finish());
        out
    }

    /// As a reader of ranges would, which begins with a tail of `first` bytes.
    fn listed(file: &[u8], first: usize) -> Result<Vec<Member>> {
        let mut from = file.len() - first.min(file.len());
        loop {
            match members(&file[from..], file.len() as u64)? {
                Step::Done(members) => return Ok(members),
                Step::Need(range) => {
                    assert!(
                        range.start < from as u64 && range.end == file.len() as u64,
                        "{range:?} at {from}"
                    );
                    from = range.start as usize;
                }
            }
        }
    }

    fn unpacked(file: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |member: Member| {
            let range = member.range();
            Ok((member.name.clone(), member.unpack(&file[range.start as usize..range.end as usize])?))
        };
        listed(file, 30)?.into_iter().map(read).collect()
    }

    const MEMBERS: &[(&str, &[u8])] = &[("a.npy", b"first"), ("empty", b""), ("\u{fc}.npy", &[9; 70])];

    #[test]
    fn f1_what_was_written_is_read() {
        let file = file(MEMBERS);
        let got = unpacked(&file).unwrap();
        assert!(got.iter().zip(MEMBERS).all(|(a, b)| a.0 == b.0 && a.1 == b.1) && got.len() == 3);
        for first in 0..=file.len() {
            assert_eq!(listed(&file, first).unwrap(), listed(&file, file.len()).unwrap());
        }
        assert!(unpacked(&self::file(&[])).unwrap().is_empty());
        let mut writer = Writer::default();
        writer.head("a", 1, 0).unwrap();
        assert!(writer.head("a", 1, 0).is_err() && writer.head("", 1, 0).is_err());
    }

    #[test]
    fn f1_damage_is_never_a_member() {
        let file = file(MEMBERS);
        assert_eq!(damage::truncations(&file, unpacked), file.len());
        damage::flips(&file, 0..file.len(), unpacked);
        let mut longer = file.clone();
        longer.push(0);
        assert!(unpacked(&longer).is_err());
        // In the data every flipped bit is found, and in the head of a member every one that says something.
        assert_eq!(damage::flips(&file, 35..40, unpacked), 40);
    }

    #[test]
    fn f1_sizes_and_counts_beyond_32_and_16_bits() {
        // Heads only: what lies between is not read for the directory.
        let mut writer = Writer::default();
        let head = writer.head("big", 5 << 30, 7).unwrap();
        writer.head("next", 3, 8).unwrap();
        let size = head.len() as u64 + (5 << 30) + 34 + 3;
        let tail = writer.finish();
        let Step::Done(members) = members(&tail, size + tail.len() as u64).unwrap() else {
            panic!("needs more")
        };
        assert_eq!((members[0].size, members[0].offset, members[0].range().start), (5 << 30, 0, 0));
        assert_eq!((members[1].size, members[1].offset), (3, size - 37));
        let mut writer = Writer::default();
        (0..70_000).for_each(|n| drop(writer.head(&n.to_string(), 0, 0)));
        let size = writer.at;
        let tail = writer.finish();
        let needed = |from: usize| super::members(&tail[from..], size + tail.len() as u64);
        assert!(matches!(needed(0).unwrap(), Step::Done(members) if members.len() == 70_000));
        let Step::Need(range) = needed(tail.len() - 22).unwrap() else { panic!("the locator was not there") };
        assert_eq!(range.start, size + tail.len() as u64 - 22 - 20 - 56);
        assert_eq!(needed(tail.len() - 98).unwrap(), Step::Need(size..size + tail.len() as u64));
    }

    #[test]
    fn f1_a_zip64_end_that_was_not_needed() {
        // As torch.save writes it: all numbers are in the usual end, too.
        let plain = file(MEMBERS);
        let (at, start) = (plain.len() - 22, plain.u32_at(plain.len() - 6).unwrap());
        let mut wide = plain[..at].to_vec();
        wide.extend_from_slice(&END64.to_le_bytes());
        wide.extend_from_slice(&44u64.to_le_bytes());
        wide.extend_from_slice(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [3, 3, at as u64 - u64::from(start), start.into()] {
            wide.extend_from_slice(&number.to_le_bytes());
        }
        wide.extend_from_slice(&LOCATOR64.to_le_bytes());
        wide.extend_from_slice(&0u32.to_le_bytes());
        wide.extend_from_slice(&(at as u64).to_le_bytes());
        wide.extend_from_slice(&1u32.to_le_bytes());
        wide.extend_from_slice(&plain[at..]);
        assert_eq!(unpacked(&wide).unwrap(), unpacked(&plain).unwrap());
        assert_eq!(damage::truncations(&wide, unpacked), wide.len());
        damage::flips(&wide, at..wide.len(), unpacked);
    }

    /// One member "m" as Python's zipfile writes it to a stream: deflated, with a data descriptor.
    fn streamed() -> Vec<u8> {
        let packed = [0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40, 0x27, 0x01];
        let crc = crc32fast::hash(b"hello hello hello hello").to_le_bytes();
        let mut out = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0m".to_vec();
        out.extend_from_slice(&packed);
        out.extend_from_slice(b"PK\x07\x08");
        out.extend_from_slice(&crc);
        out.extend_from_slice(b"\x0a\0\0\0\x17\0\0\0");
        let start = out.len() as u32;
        out.extend_from_slice(b"PK\x01\x02\x14\x03\x14\0\x08\0\x08\0\0\0\x21\0");
        out.extend_from_slice(&crc);
        out.extend_from_slice(b"\x0a\0\0\0\x17\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0m");
        let length = out.len() as u32 - start;
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(b"\x07\0comment");
        out
    }

    #[test]
    fn f1_deflated_members_with_descriptors() {
        let file = streamed();
        assert_eq!(unpacked(&file).unwrap(), [("m".to_owned(), b"hello hello hello hello".to_vec())]);
        damage::truncations(&file, unpacked);
        damage::flips(&file, 0..file.len(), unpacked);
    }

    #[test]
    fn f1_encrypted_and_other_methods_are_named() {
        let directory = streamed().windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        for (at, value, says) in [(8, 9, "encrypted"), (10, 93, "method 93")] {
            let mut file = streamed();
            file[directory + at] = value;
            let error = unpacked(&file).unwrap_err();
            assert!(error.code() == Code::Unsupported && error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn f1_members_that_overlap_or_lie_are_refused() {
        let good = file(&[("a", b"11111"), ("b", b"22222")]);
        let directory = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        let second = directory + 47;
        for (at, value) in [(second + 42, 0), (directory + 24, 200), (directory + 23, 1), (second + 46, b'a')]
        {
            let mut file = good.clone();
            file[at] = value;
            assert_eq!(unpacked(&file).unwrap_err().code(), Code::Corrupt, "byte {at}");
        }
        // A member's own head of another size, and a directory of more members than its end says.
        let end = good.len() - 22;
        for changes in [&[(18, 99)][..], &[(end + 8, 1), (end + 10, 1)]] {
            let mut file = good.clone();
            changes.iter().for_each(|(at, value)| file[*at] = *value);
            assert_eq!(unpacked(&file).unwrap_err().code(), Code::Corrupt, "{changes:?}");
        }
    }
}
