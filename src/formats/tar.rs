//! TAR: ustar, with pax headers and GNU's long names and sizes in base 256 (POSIX.1-2024 `pax`, and the manual of
//! GNU tar). Regular files are given; folders, symbolic links, devices and pipes are passed over; what has its
//! contents elsewhere or in a form of its own (hard links, sparse files, parts of volumes) is refused.

use super::{LONGEST, corrupt, invalid, truncated, unsupported};
use crate::error::Result;
use std::collections::BTreeMap;

const BLOCK: usize = 512;
const WHAT: &str = "the tar file";
/// The longest name or pax header that is taken.
const LONGEST_META: u64 = 1 << 20;
/// Room is made as bytes come: a size is a claim.
const FIRST_ROOM: u64 = 1 << 20;

/// A regular file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first byte of its headers in the archive.
    pub offset: u64,
    pub name: String,
    pub data: Vec<u8>,
}

/// Appends one file. Names that ustar cannot hold, and sizes of 8 GiB and more, go into a pax header.
pub fn append(out: &mut Vec<u8>, name: &str, data: &[u8]) -> Result<()> {
    head(out, name, data.len() as u64)?;
    out.extend_from_slice(data);
    pad(out, data.len() as u64);
    Ok(())
}

/// Appends the headers of a file of `size` bytes; its bytes follow, then zeros up to a multiple of 512.
pub fn head(out: &mut Vec<u8>, name: &str, size: u64) -> Result<()> {
    if name.is_empty() || name.len() > 4096 || name.contains('\0') || name.ends_with('/') {
        let message = format!("{name:?} cannot be the name of a file in a tar file");
        return Err(invalid(format!("{message}; expected 1 to 4096 bytes, no NUL, no slash at the end")));
    }
    let place = split(name).filter(|_| name.is_ascii());
    let mut records = String::new();
    if place.is_none() {
        records.push_str(&pax("path", name));
    }
    if size >= 1 << 33 {
        records.push_str(&pax("size", &size.to_string()));
    }
    if !records.is_empty() {
        out.extend_from_slice(&header("", "PaxHeader", records.len() as u64, b'x'));
        out.extend_from_slice(records.as_bytes());
        pad(out, records.len() as u64);
    }
    let short: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).take(100).collect();
    let (prefix, rest) = place.unwrap_or(("", &short));
    out.extend_from_slice(&header(prefix, rest, if size < 1 << 33 { size } else { 0 }, b'0'));
    Ok(())
}

/// Appends the end: two blocks of zeros.
pub fn finish(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK, 0);
}

fn pad(out: &mut Vec<u8>, size: u64) {
    out.resize(out.len() + padding(size) as usize, 0);
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// One record of a pax header: its length counts itself.
fn pax(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

/// A name as ustar's prefix and name, if it fits there.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let mut slashes = name.match_indices('/').map(|(at, _)| at);
    let at = slashes.rfind(|at| (1..=155).contains(at) && (1..=100).contains(&(name.len() - at - 1)))?;
    Some((&name[..at], &name[at + 1..]))
}

fn header(prefix: &str, name: &str, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(257, "ustar\x0000");
    put(345, prefix);
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// What the next bytes are.
#[derive(Debug)]
enum State {
    Header,
    /// So many bytes of a member and then of padding.
    Body(Kind, u64, u64),
    /// The second block of the end.
    End,
    /// After the end: only zeros.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Skipped,
    Pax,
    Global,
    LongName,
    LongLink,
}

/// Takes an archive in chunks of any size.
#[derive(Debug)]
pub struct Parser {
    /// Bytes taken.
    at: u64,
    longest: u64,
    state: State,
    block: Vec<u8>,
    body: Vec<u8>,
    /// Where the headers of the present member begin, and what they said.
    begin: Option<u64>,
    name: String,
    long_name: Option<String>,
    local: BTreeMap<String, String>,
    global: BTreeMap<String, String>,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new(LONGEST)
    }
}

impl Parser {
    /// Refuses files of more than `longest` bytes.
    pub fn new(longest: u64) -> Parser {
        Parser {
            at: 0,
            longest,
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            body: Vec::new(),
            begin: None,
            name: String::new(),
            long_name: None,
            local: BTreeMap::new(),
            global: BTreeMap::new(),
        }
    }

    /// The next regular file; takes from `input` what it used. `None`: `input` is used up, go on with the next chunk.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Entry>> {
        loop {
            match self.state {
                State::Header | State::End => {
                    let (taken, rest) = input.split_at(input.len().min(BLOCK - self.block.len()));
                    self.block.extend_from_slice(taken);
                    *input = rest;
                    self.at += taken.len() as u64;
                    if self.block.len() < BLOCK {
                        return Ok(None);
                    }
                    self.header()?;
                    self.block.clear();
                }
                State::Body(kind, left, padding) => {
                    let (taken, rest) = input.split_at(left.min(input.len() as u64) as usize);
                    if kind != Kind::Skipped {
                        self.body.extend_from_slice(taken);
                    }
                    let left = left - taken.len() as u64;
                    // The padding is not looked at.
                    let past = if left == 0 { padding.min(rest.len() as u64) } else { 0 };
                    *input = &rest[past as usize..];
                    self.at += taken.len() as u64 + past;
                    self.state = State::Body(kind, left, padding - past);
                    if left > 0 || padding > past {
                        return Ok(None);
                    }
                    self.state = State::Header;
                    if let Some(entry) = self.body_done(kind)? {
                        return Ok(Some(entry));
                    }
                }
                State::Rest => {
                    if let Some(found) = input.iter().position(|byte| *byte != 0) {
                        let at = self.at + found as u64;
                        let hint = "archives that were joined are read up to the first end only; join their files instead";
                        return Err(
                            corrupt(WHAT, at, "data after the end", "nothing but zeros").with_hint(hint)
                        );
                    }
                    self.at += input.len() as u64;
                    *input = &[];
                    return Ok(None);
                }
            }
        }
    }

    /// Says that there are no more bytes: an error before the two blocks of zeros that end an archive.
    pub fn finish(&self) -> Result<()> {
        let expected = match self.state {
            State::Rest => return Ok(()),
            State::Header | State::End if !self.block.is_empty() => "a block of 512 bytes".to_owned(),
            State::Header => "another file or the two blocks of zeros that end an archive".to_owned(),
            State::End => "the second of the blocks of zeros that end an archive".to_owned(),
            State::Body(_, 0, padding) => format!("{padding} more zeros after it"),
            State::Body(_, left, _) => format!("{left} more bytes of {:?}", self.name),
        };
        Err(truncated(WHAT, self.at, "its end", expected))
    }

    fn header(&mut self) -> Result<()> {
        let at = self.at - BLOCK as u64;
        if self.block.iter().all(|byte| *byte == 0) {
            if self.begin.is_some() {
                return Err(corrupt(
                    WHAT,
                    at,
                    "the end of the archive",
                    "the file that the header before belongs to",
                ));
            }
            self.state = if matches!(self.state, State::End) { State::Rest } else { State::End };
            return Ok(());
        }
        if matches!(self.state, State::End) {
            return Err(corrupt(
                WHAT,
                at,
                "something else",
                "the second of the blocks of zeros that end an archive",
            ));
        }
        let block = &self.block[..];
        let stored = octal(&block[148..156]);
        let sum = |of: fn(u8) -> i64| -> i64 {
            let spaces = 8 * i64::from(b' ');
            let bytes = block[..148].iter().chain(&block[156..]);
            bytes.map(|byte| of(*byte)).sum::<i64>() + spaces
        };
        // Old programs summed signed characters.
        let sums = [sum(i64::from), sum(|byte| i64::from(byte as i8))];
        if !stored.is_some_and(|stored| sums.contains(&(stored as i64))) {
            let found = stored.map_or("none".to_owned(), |stored| stored.to_string());
            return Err(corrupt(
                WHAT,
                at,
                format!("a header with the checksum {found}"),
                format!("{}", sums[0]),
            )
            .with_hint("this is no tar file (is it compressed?), or it is damaged here"));
        }
        let magic = &block[257..265];
        let (posix, gnu) = (magic.starts_with(b"ustar\0"), magic == b"ustar  \0");
        let flag = block[156];
        let kind = match flag {
            b'0' | b'\0' | b'7' => Kind::File,
            b'2'..=b'6' | b'V' => Kind::Skipped,
            b'x' if posix => Kind::Pax,
            b'g' if posix => Kind::Global,
            b'L' => Kind::LongName,
            b'K' => Kind::LongLink,
            _ => {
                let name = match flag {
                    b'1' => "a hard link".to_owned(),
                    b'S' => "a sparse file".to_owned(),
                    b'M' => "the rest of a file of another volume".to_owned(),
                    _ => format!("a member of type {:?}", char::from(flag)),
                };
                let found = format!("{name} ({:?})", text(&block[..100]));
                return Err(unsupported(WHAT, at, found, "regular files, folders and symbolic links")
                    .with_hint("pack it anew: tar --hard-dereference, without --sparse"));
            }
        };
        let size = number(&block[124..136]);
        let Some(mut size) = size else {
            return Err(corrupt(WHAT, at + 124, format!("the size {:?}", &block[124..136]), "a number"));
        };
        let meta = !matches!(kind, Kind::File | Kind::Skipped);
        if !meta {
            let plain = text(&block[..100]);
            let prefix = if posix && !gnu { text(&block[345..500]) } else { Some(String::new()) };
            let own = match (plain, prefix) {
                (Some(plain), Some(prefix)) if prefix.is_empty() => Some(plain),
                (Some(plain), Some(prefix)) => Some(format!("{prefix}/{plain}")),
                _ => None,
            };
            let said = |key: &str| {
                self.local.get(key).or_else(|| self.global.get(key)).filter(|text| !text.is_empty())
            };
            if let Some(sparse) =
                self.local.keys().chain(self.global.keys()).find(|key| key.starts_with("GNU.sparse"))
            {
                return Err(unsupported(WHAT, at, format!("a sparse file ({sparse})"), "a plain one")
                    .with_hint("pack it anew without --sparse"));
            }
            if let Some(text) = said("size") {
                let parsed = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
                size =
                    parsed.ok_or_else(|| corrupt(WHAT, at, format!("the pax size {text:?}"), "a number"))?;
            }
            let name = said("path").cloned().or(self.long_name.take()).or(own);
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                return Err(corrupt(WHAT, at, "a name that is empty or no UTF-8", "the name of a file"));
            };
            self.name = name;
        }
        // Old archives mark folders by a slash; links and devices have no bytes, whatever their size says.
        let kind = if kind == Kind::File && self.name.ends_with('/') && !meta { Kind::Skipped } else { kind };
        if matches!(flag, b'2' | b'3' | b'4' | b'5' | b'6') {
            size = 0;
        }
        let limit = if meta { LONGEST_META } else { self.longest };
        if size > limit {
            return Err(corrupt(
                WHAT,
                at + 124,
                format!("a size of {size} bytes"),
                format!("at most {limit}"),
            ));
        }
        self.begin.get_or_insert(at);
        self.body = Vec::with_capacity(if kind == Kind::Skipped { 0 } else { size.min(FIRST_ROOM) as usize });
        self.state = State::Body(kind, size, padding(size));
        Ok(())
    }

    fn body_done(&mut self, kind: Kind) -> Result<Option<Entry>> {
        let body = std::mem::take(&mut self.body);
        let at = self.begin.unwrap_or_default();
        match kind {
            Kind::File | Kind::Skipped => {
                self.local.clear();
                self.begin = None;
                let name = std::mem::take(&mut self.name);
                return Ok((kind == Kind::File).then_some(Entry { offset: at, name, data: body }));
            }
            Kind::LongName => {
                let name = text(&body);
                self.long_name = Some(name.ok_or_else(|| corrupt(WHAT, at, "a long name", "UTF-8"))?);
            }
            Kind::LongLink => {}
            Kind::Pax => {
                let read = records(&body)
                    .ok_or_else(|| corrupt(WHAT, at, "other bytes", "the records of a pax header"))?;
                self.local.extend(read);
            }
            Kind::Global => {
                let read = records(&body)
                    .ok_or_else(|| corrupt(WHAT, at, "other bytes", "the records of a pax header"))?;
                self.global.extend(read);
                // It belongs to no file.
                if self.local.is_empty() && self.long_name.is_none() {
                    self.begin = None;
                }
            }
        }
        Ok(None)
    }
}

/// The records of a pax header that matter here.
fn records(mut body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let space = body.iter().take(20).position(|byte| *byte == b' ')?;
        let digits = std::str::from_utf8(&body[..space]).ok()?;
        let length: usize =
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let key = std::str::from_utf8(&record[..equals]).ok()?;
        if matches!(key, "path" | "size") || key.starts_with("GNU.sparse") {
            let value =
                std::str::from_utf8(&record[equals + 1..]).ok().filter(|value| !value.contains('\0'))?;
            found.push((key.to_owned(), value.to_owned()));
        }
        body = &body[length..];
    }
    Some(found)
}

/// Up to the first NUL.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok().map(str::to_owned)
}

/// Octal digits, or GNU's base 256 with the highest bit set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // 0xff would be negative.
    let start = u64::from(first & 0x7f);
    let value =
        rest.iter().try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)))?;
    (*first != 0xff).then_some(value)
}

/// Digits between spaces, up to a NUL; nothing is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    let fold = |value: u64, byte: &u8| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, fold)
}

#[cfg(test)]
mod tests {
    use super::super::damage;
    use super::*;
    use crate::error::Code;

    fn read(archive: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>> {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for mut chunk in archive.chunks(step) {
            while let Some(entry) = parser.next(&mut chunk)? {
                found.push((entry.name, entry.data));
            }
            assert!(chunk.is_empty());
        }
        parser.finish()?;
        Ok(found)
    }

    fn file(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        members.iter().for_each(|(name, data)| append(&mut out, name, data).unwrap());
        finish(&mut out);
        out
    }

    fn names(archive: &[u8]) -> Vec<String> {
        read(archive, 100).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn f1_what_was_written_is_read_however_it_comes() {
        let long = format!("{}/{}.jpg", "d".repeat(120), "n".repeat(90));
        let longer = "x".repeat(300);
        let members: &[(&str, &[u8])] = &[
            ("a.txt", b"hello"),
            ("empty", b""),
            (&long, &[7; 512]),
            (&longer, &[8; 513]),
            ("\u{fc}/b", b"u"),
        ];
        let archive = file(members);
        for step in [1, 7, 511, 512, 513, archive.len()] {
            let got = read(&archive, step).unwrap();
            assert!(
                got.iter().zip(members).all(|(a, b)| a.0 == b.0 && a.1 == b.1) && got.len() == members.len()
            );
        }
        assert!(read(&file(&[]), 512).unwrap().is_empty());
        for bad in ["", "a/", "a\0b"] {
            assert_eq!(append(&mut Vec::new(), bad, b"").unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn f1_damage_is_never_an_item() {
        let archive = file(&[("a.txt", b"hello"), ("b.txt", b"world")]);
        assert_eq!(damage::truncations(&archive, |a| read(a, 64)), archive.len());
        // Headers have checksums; the data of a tar file has none.
        damage::flips(&archive, (0..512).chain(1024..1536).chain(2048..3072), |a| read(a, 512));
    }

    #[test]
    fn f1_errors_say_where() {
        let archive = file(&[("a.txt", b"hello"), ("b.txt", b"world")]);
        let error = read(&archive[..1200], 512).unwrap_err();
        assert_eq!(error.code(), Code::Truncated);
        assert!(error.details().contains(&("offset", "1200".into())), "{error}");
        let mut bad = archive.clone();
        bad[1024] ^= 1;
        let error = read(&bad, 512).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt);
        assert!(error.details().contains(&("offset", "1024".into())), "{error}");
        let joined = [&archive[..], &archive].concat();
        assert!(read(&joined, 512).unwrap_err().hint().unwrap().contains("joined"));
    }

    fn with(flag: u8, name: &str, size_field: &[u8], body: &[u8]) -> Vec<u8> {
        let mut block = header("", name, 0, flag);
        block[124..124 + size_field.len()].copy_from_slice(size_field);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut out = block.to_vec();
        out.extend_from_slice(body);
        pad(&mut out, body.len() as u64);
        out
    }

    #[test]
    fn f1_gnu_names_and_sizes() {
        let name = "n".repeat(200);
        let mut archive = with(b'L', "././@LongLink", b"00000000311\0", format!("{name}\0").as_bytes());
        let mut size = [0; 12];
        (size[0], size[11]) = (0x80, 3);
        archive.extend(with(b'0', "short", &size, b"abc"));
        finish(&mut archive);
        assert_eq!(read(&archive, 99).unwrap(), [(name, b"abc".to_vec())]);
        size[0] = 0xff;
        assert_eq!(read(&with(b'0', "a", &size, b""), 512).unwrap_err().code(), Code::Corrupt);
        assert_eq!(number(&[0x81; 12]), None);
    }

    #[test]
    fn f1_pax_headers_hold_for_one_file_or_all() {
        let mut archive = with(b'g', "global", b"00000000016\0", b"14 path=other\n");
        let body = b"16 path=renamed\n9 size=3\n";
        archive.extend(with(b'x', "pax", format!("{:011o}\0", body.len()).as_bytes(), body));
        archive.extend(with(b'0', "a", b"00000000000\0", b"abc"));
        archive.extend(with(b'0', "b", b"00000000000\0", b""));
        finish(&mut archive);
        assert_eq!(
            read(&archive, 512).unwrap(),
            [("renamed".into(), b"abc".to_vec()), ("other".into(), vec![])]
        );
        for body in ["x path=a\n", "9 path=a", "99 path=a\n", "9 pathaa\n"] {
            let archive = with(b'x', "p", format!("{:011o}\0", body.len()).as_bytes(), body.as_bytes());
            assert_eq!(read(&archive, 512).unwrap_err().code(), Code::Corrupt, "{body:?}");
        }
    }

    #[test]
    fn f1_odd_members_are_passed_over_or_refused() {
        for flag in [b'2', b'3', b'4', b'5', b'6'] {
            let mut archive = with(flag, "odd", b"00000001000\0", b"");
            append(&mut archive, "a", b"1").unwrap();
            finish(&mut archive);
            assert_eq!(names(&archive), ["a"], "{}", char::from(flag));
        }
        let mut folder = with(b'\0', "old/", b"", b"");
        finish(&mut folder);
        assert!(names(&folder).is_empty());
        for flag in [b'1', b'S', b'M', b'D', b'Z'] {
            let error = read(&with(flag, "odd", b"", b""), 512).unwrap_err();
            assert!(error.code() == Code::Unsupported && error.to_string().contains("odd"), "{error}");
        }
        let body = b"22 GNU.sparse.major=1\n";
        let mut sparse = with(b'x', "pax", b"00000000026\0", body);
        sparse.extend(with(b'0', "a", b"", b""));
        assert_eq!(read(&sparse, 512).unwrap_err().code(), Code::Unsupported);
    }

    #[test]
    fn f1_sizes_that_lie_take_no_memory() {
        let archive = with(b'0', "a", b"77777777777\0", b"");
        let mut parser = Parser::default();
        assert_eq!(parser.next(&mut &archive[..]).unwrap(), None);
        assert!(parser.body.capacity() <= 2 << 20);
        assert_eq!(Parser::new(100).next(&mut &archive[..]).unwrap_err().code(), Code::Corrupt);
        let mut large = Vec::new();
        head(&mut large, "big", 1 << 33).unwrap();
        assert_eq!(large.len(), 3 * 512);
        let mut parser = Parser::default();
        assert_eq!(parser.next(&mut &large[..]).unwrap(), None);
        assert!(parser.finish().unwrap_err().to_string().contains("8589934592"));
    }

    #[test]
    fn f1_archives_of_pythons_tarfile() {
        // In each of its formats; what is left out here is the byte that steers the fuzzer.
        let made: [(&[u8], String); 3] = [
            (include_bytes!("../../tests/fuzz/corpus/tar/ustar"), "b/c".into()),
            (include_bytes!("../../tests/fuzz/corpus/tar/gnu"), format!("b/{}", "n".repeat(120))),
            (include_bytes!("../../tests/fuzz/corpus/tar/pax"), format!("b/{}", "n".repeat(120))),
        ];
        for (archive, second) in made {
            let expected = [("a.txt".to_owned(), b"abc".to_vec()), (second, b"abc".to_vec())];
            assert_eq!(read(&archive[1..], 100).unwrap(), expected);
        }
    }
}
