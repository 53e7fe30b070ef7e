//! NPY: one array, its head a magic, a version, and a Python literal with type, order and shape
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Versions 1, 2 and 3 are read; arrays
//! of Python objects and of structures are not.

use super::dtype::Descr;
use super::{Fields, Step, corrupt, invalid, truncated, unsupported};
use crate::error::Result;
use std::ops::Range;

/// What an array is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub descr: Descr,
    /// The first index runs fastest.
    pub fortran_order: bool,
    pub shape: Vec<u64>,
}

/// The first bytes of a file that are worth reading at once: heads are rarely longer.
pub const USUAL_HEAD: u64 = 256;
/// NumPy's own limit is 10,000.
const LONGEST_HEAD: u64 = 1 << 16;
/// NumPy has at most 64 axes.
const MOST_AXES: usize = 64;
const MAGIC: &[u8; 6] = b"\x93NUMPY";
const WHAT: &str = "the NPY file";

impl Header {
    /// A row-major array.
    pub fn new(descr: Descr, shape: &[u64]) -> Header {
        Header { descr, fortran_order: false, shape: shape.to_vec() }
    }

    /// Bytes of the array; `None` where no memory has so many.
    pub fn data_len(&self) -> Option<u64> {
        // An axis of 0 elements makes it empty, however long the others are, as in NumPy.
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .try_fold(self.descr.item(), |bytes, axis| bytes.checked_mul(*axis))
            .filter(|b| *b <= 1 << 62)
    }

    /// The bytes before the array, of version 1, or 2 where there are many axes. The array starts at a multiple of 64.
    pub fn write(&self) -> Result<Vec<u8>> {
        if self.shape.len() > MOST_AXES || self.data_len().is_none() {
            let message = format!("NPY cannot hold an array of {} {:?}", self.descr.text(), self.shape);
            return Err(invalid(format!("{message}; expected at most {MOST_AXES} axes and 2^62 bytes")));
        }
        let mut shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        if shape.len() == 1 {
            shape.push(String::new());
        }
        let order = if self.fortran_order { "True" } else { "False" };
        let text = format!(
            "{{'descr': '{}', 'fortran_order': {order}, 'shape': ({}), }}",
            self.descr.text(),
            shape.join(", ").trim_end()
        );
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[1, 0]);
        let total = (out.len() + 2 + text.len() + 1).next_multiple_of(64);
        let length = u16::try_from(total - out.len() - 2)
            .map_err(|_| invalid("the head of an NPY file is too long"))?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        out.resize(total - 1, b' ');
        out.push(b'\n');
        Ok(out)
    }
}

/// An array with its head. `data` is row-major.
pub fn write(descr: Descr, shape: &[u64], data: &[u8]) -> Result<Vec<u8>> {
    let header = Header::new(descr, shape);
    let wanted = header.data_len();
    if wanted != Some(data.len() as u64) {
        let expected = wanted.map_or("fewer".to_owned(), |bytes| bytes.to_string());
        let message =
            format!("an array of {} {shape:?} has {expected} bytes, not {}", header.descr.text(), data.len());
        return Err(invalid(message));
    }
    let mut out = header.write()?;
    out.extend_from_slice(data);
    Ok(out)
}

/// The header, and where the array lies in the file, by the file's first bytes and its size. Of a whole file the
/// array is all the rest.
pub fn read(head: &[u8], file_size: u64) -> Result<Step<(Header, Range<u64>)>> {
    let known = |len: u64| (head.len() as u64).min(file_size) >= len;
    let cut = |expected: &str| truncated(WHAT, file_size, "its end", expected);
    if !head.starts_with(&MAGIC[..head.len().min(6)]) {
        let found = format!("{:?}", head.get(..6).unwrap_or(head));
        return Err(corrupt(WHAT, 0, found, "the magic \\x93NUMPY"));
    }
    if !known(10) {
        let need = Step::Need(0..USUAL_HEAD.min(file_size));
        return if file_size < 10 { Err(cut("a head of at least 10 bytes")) } else { Ok(need) };
    }
    let (start, length) = match (head[6], head[7]) {
        (1, 0) => (10, head.u16_at(8).map(u64::from)),
        (2 | 3, 0) => (12, head.u32_at(8).map(u64::from)),
        (major, minor) => {
            return Err(unsupported(WHAT, 6, format!("version {major}.{minor}"), "1.0, 2.0 or 3.0"));
        }
    };
    let Some(length) = length.filter(|_| known(start)) else {
        let need = Step::Need(0..USUAL_HEAD.min(file_size));
        return if file_size < start { Err(cut("the length of its head")) } else { Ok(need) };
    };
    if length > LONGEST_HEAD {
        return Err(corrupt(WHAT, 8, format!("a head of {length} bytes"), format!("at most {LONGEST_HEAD}")));
    }
    let end = start + length;
    if file_size < end {
        return Err(cut(&format!("a head of {end} bytes")));
    }
    if !known(end) {
        return Ok(Step::Need(0..end));
    }
    let header = parse(&head[start as usize..end as usize], start)?;
    let Some(data) = header.data_len() else {
        let found = format!("the shape {:?} of {}", header.shape, header.descr.text());
        return Err(corrupt(WHAT, start, found, "an array of at most 2^62 bytes"));
    };
    let have = file_size - end;
    if have < data {
        return Err(truncated(WHAT, end, format!("{have} bytes"), format!("an array of {data}")));
    }
    if have > data {
        return Err(corrupt(
            WHAT,
            end,
            format!("{have} bytes"),
            format!("an array of {data} and nothing after it"),
        ));
    }
    Ok(Step::Done((header, end..file_size)))
}

/// The Python literal of a head that starts at byte `at`.
fn parse(text: &[u8], at: u64) -> Result<Header> {
    let Some((b'\n', body)) = text.split_last() else {
        return Err(corrupt(WHAT, at + text.len() as u64, "no line end", "one at the end of the head"));
    };
    let mut literal = Literal { text: body, at: 0 };
    let header = literal.header();
    header.map_err(|wrong| {
        let place = at + literal.at as u64;
        match wrong {
            Wrong::Expected(what) => corrupt(WHAT, place, literal.shown(), what),
            Wrong::Descr(text) => unsupported(WHAT, place, text, "the type of plain values, such as '<f4'")
                .with_hint("arrays of Python objects and of structures are read with numpy only"),
        }
    })
}

enum Wrong {
    Expected(&'static str),
    Descr(String),
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }`, each key once, and nothing else.
struct Literal<'a> {
    text: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    fn header(&mut self) -> Result<Header, Wrong> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.take(b'{', "a dictionary")?;
        while !self.has(b'}') {
            let key = self.string()?;
            self.take(b':', "a colon")?;
            match key.as_str() {
                "descr" if descr.is_none() => descr = Some(self.descr()?),
                "fortran_order" if order.is_none() => order = Some(self.boolean()?),
                "shape" if shape.is_none() => shape = Some(self.shape()?),
                _ => return Err(Wrong::Expected("descr, fortran_order and shape, each once")),
            }
            if !self.has(b',') {
                self.take(b'}', "a comma or a closing brace")?;
                break;
            }
        }
        self.space();
        if self.at != self.text.len() {
            return Err(Wrong::Expected("spaces up to the end of the head"));
        }
        match (descr, order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
            _ => Err(Wrong::Expected("descr, fortran_order and shape, each once")),
        }
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes `byte`, after spaces, if it is there.
    fn has(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Wrong> {
        if self.has(byte) { Ok(()) } else { Err(Wrong::Expected(expected)) }
    }

    fn string(&mut self) -> Result<String, Wrong> {
        self.space();
        let expected = Wrong::Expected("a text in quotes");
        let Some(quote @ (b'\'' | b'"')) = self.text.get(self.at).copied() else { return Err(expected) };
        let rest = &self.text[self.at + 1..];
        let Some(length) = rest.iter().position(|byte| *byte == quote) else { return Err(expected) };
        match std::str::from_utf8(&rest[..length]) {
            Ok(text) if !text.contains('\\') => {
                self.at += length + 2;
                Ok(text.to_owned())
            }
            _ => Err(expected),
        }
    }

    fn descr(&mut self) -> Result<Descr, Wrong> {
        self.space();
        if self.text.get(self.at) == Some(&b'[') {
            return Err(Wrong::Descr("a list of fields".to_owned()));
        }
        let text = self.string()?;
        Descr::parse(&text).ok_or(Wrong::Descr(format!("the type {text:?}")))
    }

    fn boolean(&mut self) -> Result<bool, Wrong> {
        self.space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(Wrong::Expected("True or False"))
    }

    fn shape(&mut self) -> Result<Vec<u64>, Wrong> {
        let mut shape = Vec::new();
        self.take(b'(', "a tuple")?;
        while !self.has(b')') {
            let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).unwrap_or_default();
            let zeros = digits > 1 && text.starts_with('0');
            let axis = text.parse().ok().filter(|_| !zeros && shape.len() < MOST_AXES);
            shape.push(axis.ok_or(Wrong::Expected("a number of elements"))?);
            self.at += digits;
            if !self.has(b',') {
                self.take(b')', "a comma or a closing parenthesis")?;
                // (3) is a number to Python.
                return if shape.len() == 1 { Err(Wrong::Expected("a tuple")) } else { Ok(shape) };
            }
        }
        Ok(shape)
    }

    fn shown(&self) -> String {
        let rest = &self.text[self.at.min(self.text.len())..];
        format!("{:?}", String::from_utf8_lossy(&rest[..rest.len().min(40)]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::damage;
    use super::*;
    use crate::error::Code;

    fn whole(file: &[u8]) -> Result<(Header, Vec<u8>)> {
        // As a reader of ranges would: it asks, and gets no more than it asked for.
        let mut head = 0;
        loop {
            match read(&file[..head], file.len() as u64)? {
                Step::Need(range) => {
                    assert!(range.start == 0 && range.end > head as u64 && range.end <= file.len() as u64);
                    head = range.end as usize;
                }
                Step::Done((header, data)) => {
                    return Ok((header, file[data.start as usize..data.end as usize].to_vec()));
                }
            }
        }
    }

    fn f4() -> Descr {
        Descr::parse("<f4").unwrap()
    }

    #[test]
    fn f1_heads_are_numpys_own() {
        let head = Header::new(f4(), &[3, 4]).write().unwrap();
        assert_eq!(head.len(), 128);
        assert!(head.starts_with(
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } "
        ));
        assert!(head.ends_with(b" \n"));
        let one = Header { descr: f4(), fortran_order: true, shape: vec![5] }.write().unwrap();
        assert!(one[10..].starts_with(b"{'descr': '<f4', 'fortran_order': True, 'shape': (5,), }"));
        assert!(
            Header::new(f4(), &[]).write().unwrap()[10..]
                .starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (), }")
        );
    }

    #[test]
    fn f1_arrays_come_back() {
        for shape in [&[][..], &[0], &[1], &[2, 3], &[2, 0, 9], &[1; 64]] {
            let data: Vec<u8> = (0..shape.iter().product::<u64>() * 4).map(|i| i as u8).collect();
            let file = write(f4(), shape, &data).unwrap();
            assert_eq!(whole(&file).unwrap(), (Header::new(f4(), shape), data), "{shape:?}");
            assert_eq!(damage::truncations(&file, whole), file.len());
        }
        assert!(write(f4(), &[2], &[0; 7]).is_err() && Header::new(f4(), &[1; 65]).write().is_err());
    }

    #[test]
    fn f1_other_versions_and_spellings() {
        let body = b"{\"shape\": (2,), 'fortran_order': True,'descr':\t'<f4'}\n";
        for version in [2u8, 3] {
            let mut file = b"\x93NUMPY".to_vec();
            file.extend_from_slice(&[version, 0]);
            file.extend_from_slice(&(body.len() as u32).to_le_bytes());
            file.extend_from_slice(body);
            file.extend_from_slice(&[7; 8]);
            let (header, data) = whole(&file).unwrap();
            assert!(header.fortran_order && header.shape == [2] && data == [7; 8]);
        }
    }

    fn with_head(text: &str, data: usize) -> Result<(Header, Vec<u8>)> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend_from_slice(&(text.len() as u16).to_le_bytes());
        file.extend_from_slice(text.as_bytes());
        file.resize(file.len() + data, 0);
        whole(&file)
    }

    #[test]
    fn f1_strict_about_heads() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
        assert!(with_head(good, 8).is_ok());
        for (from, to) in [
            ("(2,)", "(2)"),
            ("(2,)", "2"),
            ("(2,)", "(-2,)"),
            ("(2,)", "(02,)"),
            ("(2,)", "(2,,)"),
            ("\n", " "),
            ("'shape': (2,), ", ""),
            ("'shape'", "'shapes'"),
            ("}", ""),
            ("}", "} x"),
            ("False", "0"),
            ("{", "{'descr': '<f4', "),
            ("(2,)", "(18446744073709551615, 2)"),
            ("(2,)", "(18446744073709551616,)"),
        ] {
            let error = with_head(&good.replacen(from, to, 1), 8).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "{to}: {error}");
        }
        for to in ["'|O'", "'<f3'", "[('a', '<f4')]"] {
            let error = with_head(&good.replace("'<f4'", to), 8).unwrap_err();
            assert_eq!(error.code(), Code::Unsupported, "{to}: {error}");
        }
        assert_eq!(with_head(good, 7).unwrap_err().code(), Code::Truncated);
        assert_eq!(with_head(good, 9).unwrap_err().code(), Code::Corrupt);
    }
}
