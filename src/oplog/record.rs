//! One operation, and how it is written as a row.
//!
//! Thirteen columns, separated by tabs, one operation to a line. What would break a row is escaped with a
//! backslash, so that a row is whole for readers of lines and for readers of CSV alike: `\t`, `\n`, `\r`, `\\`,
//! and `\xNN` for other control characters and for the double quote, which readers of CSV take for more than
//! a character; `\u2028` and `\u2029`, which some take for the end of a line. Fields that begin with a double
//! quote are read as CSV has them: warp writes those.

use crate::base::date::Timestamp;
pub use crate::base::op::Op;
use crate::error::{Code, Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// The first line of every log.
pub const HEADER: &str = "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\tstart\tfirst_byte\tend\tduration_ns";

const NANOS: u64 = 1_000_000_000;

/// One operation. Times are nanoseconds since 1970 in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the rows of a log from 0.
    pub idx: u64,
    /// The thread that the operation ended on, by a small number.
    pub thread: u64,
    pub op: Op,
    /// The process: of logs of this library its host and its id.
    pub client_id: String,
    /// How many objects it was about: of lists, how many entries came.
    pub n_objects: u64,
    /// Bytes of objects that came or went.
    pub bytes: u64,
    /// Where: of logs of this library the URI without a path, such as `s3://bucket`.
    pub endpoint: String,
    /// The object's key below the endpoint; of lists the prefix.
    pub file: String,
    /// Empty where it succeeded.
    pub error: String,
    pub start: u64,
    pub first_byte: Option<u64>,
    pub end: u64,
}

impl Record {
    pub fn duration_ns(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// One of its times, as it stands in a log.
    pub(super) fn time(&self, nanos: u64) -> String {
        let mut text = Vec::with_capacity(30);
        Second::default().time(&mut text, nanos);
        String::from_utf8(text).unwrap_or_default()
    }

    /// The object's URI, as logs of this library have it.
    pub fn uri(&self) -> String {
        let slash = if self.endpoint.ends_with("://") { "" } else { "/" };
        format!("{}{slash}{}", self.endpoint, self.file)
    }

    /// Appends the row with its end of line.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        Row {
            idx: self.idx,
            thread: self.thread,
            op: self.op,
            client_id: &self.client_id,
            n_objects: self.n_objects,
            bytes: self.bytes,
            endpoint: &self.endpoint,
            file: &[&self.file],
            error: &self.error,
            start: self.start,
            first_byte: self.first_byte,
            end: self.end,
        }
        .write(out, &mut Second::default());
    }

    /// Reads a row with the columns of [`HEADER`]; with or without its end of line.
    pub fn parse_line(line: &str) -> Result<Record> {
        Columns::ours().parse(line)
    }
}

/// A [`Record`] whose texts are somebody else's.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub idx: u64,
    pub thread: u64,
    pub op: Op,
    pub client_id: &'a str,
    pub n_objects: u64,
    pub bytes: u64,
    pub endpoint: &'a str,
    /// In pieces.
    pub file: &'a [&'a str],
    pub error: &'a str,
    pub start: u64,
    pub first_byte: Option<u64>,
    pub end: u64,
}

impl Row<'_> {
    /// Appends the row with its end of line. `second` serves the next row, too.
    pub fn write(&self, out: &mut Vec<u8>, second: &mut Second) {
        number(out, self.idx);
        tab(out, |out| number(out, self.thread));
        tab(out, |out| out.extend_from_slice(self.op.as_str().as_bytes()));
        tab(out, |out| escape(out, self.client_id));
        tab(out, |out| number(out, self.n_objects));
        tab(out, |out| number(out, self.bytes));
        tab(out, |out| escape(out, self.endpoint));
        tab(out, |out| self.file.iter().for_each(|piece| escape(out, piece)));
        tab(out, |out| escape(out, self.error));
        tab(out, |out| second.time(out, self.start));
        tab(out, |out| self.first_byte.into_iter().for_each(|at| second.time(out, at)));
        tab(out, |out| second.time(out, self.end));
        tab(out, |out| number(out, self.end.saturating_sub(self.start)));
        out.push(b'\n');
    }
}

fn tab(out: &mut Vec<u8>, field: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'\t');
    field(out);
}

fn number(out: &mut Vec<u8>, mut rest: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The second of the time that was written last, as text: most rows have the one of the row before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    number: u64,
    text: [u8; 19],
}

impl Second {
    /// `2013-05-24T00:00:00.123456789Z`, always of nine digits.
    fn time(&mut self, out: &mut Vec<u8>, nanos: u64) {
        let number = nanos / NANOS;
        if number != self.number || self.text[0] == 0 {
            let text = Timestamp::from_unix(i64::try_from(number).unwrap_or(i64::MAX)).rfc3339();
            self.text.copy_from_slice(&text.as_bytes()[..19]);
            self.number = number;
        }
        out.extend_from_slice(&self.text);
        let mut fraction = *b".000000000Z";
        let mut rest = nanos % NANOS;
        for digit in fraction[1..10].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&fraction);
    }
}

fn escape(out: &mut Vec<u8>, text: &str) {
    // Only ASCII controls, U+0080 to U+009F (C2 80 to C2 9F) and the two separators (E2 80 A8, E2 80 A9)
    // are escaped besides `"` and `\`.
    let plain = |byte: &u8| !matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
    if text.as_bytes().iter().all(plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for letter in text.chars() {
        match letter {
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{2028}' => out.extend_from_slice(b"\\u2028"),
            '\u{2029}' => out.extend_from_slice(b"\\u2029"),
            letter if letter == '"' || letter.is_control() => {
                let code = letter as usize; // controls are at most U+009F
                out.extend_from_slice(&[b'\\', b'x', HEX[code >> 4 & 15], HEX[code & 15]]);
            }
            letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The reverse of [`escape`]; what is no escape stays as it is, as others do not escape.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = |from: &str, length: usize| {
            let digits =
                from.get(1..=length).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        };
        let (letter, length) = match rest.as_bytes().first() {
            Some(b't') => ('\t', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'x') => code(rest, 2).map_or(('\\', 0), |letter| (letter, 3)),
            Some(b'u') => code(rest, 4).map_or(('\\', 0), |letter| (letter, 5)),
            _ => ('\\', 0),
        };
        plain.push(letter);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The columns that a log has, by its first line: this library's thirteen, or those of some version of warp.
#[derive(Clone, Debug)]
pub struct Columns {
    count: usize,
    place: [Option<usize>; NAMES.len()],
}

const NAMES: [&str; 12] = [
    "idx",
    "thread",
    "op",
    "client_id",
    "n_objects",
    "bytes",
    "endpoint",
    "file",
    "error",
    "start",
    "first_byte",
    "end",
];
/// Columns that some version of warp does not write.
const OPTIONAL: [&str; 4] = ["idx", "client_id", "endpoint", "first_byte"];
/// More than any version of warp has.
const MOST: usize = 64;

impl Columns {
    fn ours() -> Columns {
        Columns { count: NAMES.len() + 1, place: std::array::from_fn(Some) }
    }

    /// Of a log's first line.
    pub fn of_header(line: &str) -> Result<Columns> {
        let line = end_of_line(line);
        let bad = |what: String| {
            Err(Error::new(Code::Corrupt, what)
                .with_hint("the first line has to be warp's, beginning with idx"))
        };
        let mut columns = Columns { count: 0, place: [None; NAMES.len()] };
        for name in line.split('\t') {
            if let Some(known) = NAMES.iter().position(|known| *known == name) {
                if columns.place[known].is_some() {
                    return bad(format!("the op-log's first line names the column {name} twice"));
                }
                columns.place[known] = Some(columns.count);
            }
            columns.count += 1;
        }
        if columns.count > MOST {
            return bad(format!(
                "the op-log's first line has {} columns; at most {MOST} are expected",
                columns.count
            ));
        }
        for (name, place) in NAMES.iter().zip(columns.place) {
            if place.is_none() && !OPTIONAL.contains(name) {
                return bad(format!("the op-log's first line has no column {name}"));
            }
        }
        Ok(columns)
    }

    /// One row; `Corrupt` where anything in it is not what its column has to be.
    pub fn parse(&self, line: &str) -> Result<Record> {
        let line = end_of_line(line);
        let mut fields: [Range<usize>; MOST] = std::array::from_fn(|_| 0..0);
        let (mut count, mut at) = (0, 0);
        loop {
            let length = field_length(&line[at..]).ok_or_else(|| self.bad(count, "a quote is not closed"))?;
            if let Some(field) = fields.get_mut(count) {
                *field = at..at + length;
            }
            count += 1;
            at += length;
            if at == line.len() {
                break;
            }
            at += 1; // the tab
        }
        if count != self.count {
            let message = format!("the row has {count} columns; {} are expected", self.count);
            return Err(Error::new(Code::Corrupt, message));
        }
        let place = |name: usize| self.place[name].map(|column| (column, &line[fields[column].clone()]));
        let text = |name: usize| {
            place(name).map_or(Ok(Cow::Borrowed("")), |(column, field)| self.text(column, field))
        };
        let number = |name: usize| match place(name) {
            None => Ok(0),
            Some((column, field)) => {
                let digits = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
                let parsed = if digits { field.parse().ok() } else { None };
                parsed.ok_or_else(|| self.bad(column, "a whole number of at most 64 bits is expected"))
            }
        };
        let raw = |name: usize| place(name).map_or("", |(_, field)| field);
        let record = Record {
            idx: number(0)?,
            thread: number(1)?,
            op: Op::Get,
            client_id: text(3)?.into_owned(),
            n_objects: number(4)?,
            bytes: number(5)?,
            endpoint: text(6)?.into_owned(),
            file: text(7)?.into_owned(),
            error: text(8)?.into_owned(),
            start: 0,
            first_byte: None,
            end: 0,
        };
        Columns::typed(&text(2)?, [raw(9), raw(10), raw(11)], record)
    }

    /// `record` with its operation, and start, first byte and end by their texts.
    pub(super) fn typed(op: &str, [start, first_byte, end]: [&str; 3], record: Record) -> Result<Record> {
        let bad = |name: &str, what: &str| Error::new(Code::Corrupt, format!("column {name}: {what}"));
        let expected = "GET, PUT, DELETE, LIST, STAT or HEAD is expected";
        let op = Op::parse(op).ok_or_else(|| bad("op", expected))?;
        let expected = "a time such as 2024-05-24T12:00:00.123456789Z, from 1970 to 2550, is expected";
        let time = |name, text| parse_time(text).ok_or_else(|| bad(name, expected));
        let (start, end) = (time("start", start)?, time("end", end)?);
        if end < start {
            return Err(bad("end", "the end lies before the start"));
        }
        let first_byte = if first_byte.is_empty() { None } else { Some(time("first_byte", first_byte)?) };
        Ok(Record { op, start, first_byte, end, ..record })
    }

    /// Whether a column has this name.
    pub(super) fn is_known(name: &str) -> bool {
        name == "duration_ns" || NAMES.contains(&name)
    }

    fn text<'a>(&self, column: usize, field: &'a str) -> Result<Cow<'a, str>> {
        match field.strip_prefix('"') {
            None if field.contains('"') => {
                Err(self.bad(column, "a quote stands inside a field without quotes"))
            }
            None => Ok(unescape(field)),
            Some(rest) => match rest.strip_suffix('"') {
                Some(quoted) => Ok(Cow::Owned(quoted.replace("\"\"", "\""))),
                None => Err(self.bad(column, "text follows the closing quote")),
            },
        }
    }

    fn bad(&self, column: usize, what: &str) -> Error {
        let name = self.place.iter().position(|place| *place == Some(column));
        let name = name.map_or_else(|| (column + 1).to_string(), |known| NAMES[known].to_owned());
        Error::new(Code::Corrupt, format!("column {name}: {what}"))
    }
}

fn end_of_line(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// How long the field at the start of `rest` is, up to the next tab that is not quoted; `None` where its
/// quote is not closed.
fn field_length(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    if bytes.first() == Some(&b'"') {
        at = 1;
        loop {
            at += bytes[at..].iter().position(|b| *b == b'"')? + 1;
            if bytes.get(at) != Some(&b'"') {
                break;
            }
            at += 1; // a doubled one
        }
    }
    Some(bytes[at..].iter().position(|b| *b == b'\t').map_or(bytes.len(), |tab| at + tab))
}

/// Whether a quote that a field of `line` begins with is still open at its end: the row goes on.
pub(super) fn is_open(line: &str) -> bool {
    let mut rest = line;
    while let Some(length) = field_length(rest) {
        match rest.get(length + 1..) {
            Some(more) => rest = more,
            None => return false,
        }
    }
    true
}

/// RFC 3339, to the nanosecond.
fn parse_time(text: &str) -> Option<u64> {
    let (second, rest) = Timestamp::parse_rfc3339_second(text)?;
    let mut nanos = 0;
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            nanos = fraction[..digits].parse::<u64>().ok()? * 10_u64.pow(9 - digits as u32);
            &fraction[digits..]
        }
    };
    let offset = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
            let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    u64::try_from(second - offset).ok()?.checked_mul(NANOS)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            idx: 7,
            thread: 3,
            op: Op::Get,
            client_id: "host-1".into(),
            n_objects: 1,
            bytes: 4096,
            endpoint: "s3://bucket".into(),
            file: "run1/a b".into(),
            error: String::new(),
            start: 1_369_353_600_000_000_001,
            first_byte: Some(1_369_353_600_000_500_000),
            end: 1_369_353_601_123_456_789,
        }
    }

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        record.write_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn o1_a_row_is_byte_exact() {
        assert_eq!(
            line(&record()),
            "7\t3\tGET\thost-1\t1\t4096\ts3://bucket\trun1/a b\t\t2013-05-24T00:00:00.000000001Z\t\
             2013-05-24T00:00:00.000500000Z\t2013-05-24T00:00:01.123456789Z\t1123456788\n"
        );
        assert_eq!(HEADER.split('\t').count(), 13);
        assert_eq!(record().uri(), "s3://bucket/run1/a b");
    }

    #[test]
    fn o1_what_would_break_a_row_is_escaped_and_comes_back() {
        let every: String = (0..=0x2100).filter_map(char::from_u32).collect();
        for text in
            [every.as_str(), "a\tb\nc\rd\\e\"f", "\"", "\\", "\\x41", "\\\\t", "\u{85}\u{2028}", "", "é"]
        {
            let written = Record { file: text.into(), error: text.into(), ..record() };
            let line = line(&written);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert_eq!(line.split('\t').count(), 13, "{line:?}");
            assert!(
                !line.contains('"') && !line.trim_end().chars().any(|c| c.is_control() && c != '\t'),
                "{line:?}"
            );
            assert_eq!(Record::parse_line(&line).unwrap(), written);
        }
    }

    #[test]
    fn o1_rows_of_warp_are_read() {
        let columns = "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\tstart\tfirst_byte\tlast_byte\tend\tduration_ns\tcat\n";
        let columns = Columns::of_header(columns).unwrap();
        let row = "0\t12\tSTAT\tabc\t1\t0\thttp://127.0.0.1:9000\tx/(y\\q.rnd\t\"no \"\"such\"\" key\tor\n so\"\t2019-11-13T17:07:06.3173431+01:00\t\t\t2019-11-13T17:07:06.39+01:00\t76998700\t3\n";
        let read = columns.parse(row).unwrap();
        assert_eq!((read.op, read.thread, read.file.as_str()), (Op::Head, 12, "x/(y\\q.rnd"));
        assert_eq!(read.error, "no \"such\" key\tor\n so");
        assert_eq!((read.start, read.end), (1_573_661_226_317_343_100, 1_573_661_226_390_000_000));
        assert!(is_open("0\t1\t\"a\"\"\tb") && !is_open("0\t1\t\"a\"\"\tb\"") && !is_open("0\t1\t"));
        let old = Columns::of_header(
            "idx\tthread\top\tn_objects\tbytes\tfile\terror\tstart\tfirst_byte\tend\tduration_ns",
        );
        let row = "1\t0\tPUT\t1\t5\tf\t\t2019-11-13T17:07:06Z\t2019-11-13T17:07:06Z\t2019-11-13T17:07:07Z\t1";
        let read = old.unwrap().parse(row).unwrap();
        assert_eq!((read.bytes, read.endpoint.as_str(), read.duration_ns()), (5, "", 1_000_000_000));
    }

    #[test]
    fn o1_what_is_no_row_is_refused_by_its_column() {
        let good = line(&record());
        let with = |column: usize, text: &str| {
            let mut fields: Vec<_> = good.trim_end().split('\t').collect();
            fields[column] = text;
            Record::parse_line(&fields.join("\t")).unwrap_err()
        };
        for (column, text, name) in [
            (0, "-1", "idx"),
            (0, "", "idx"),
            (1, "+3", "thread"),
            (2, "get", "op"),
            (2, "POST", "op"),
            (4, "1e3", "n_objects"),
            (5, "18446744073709551616", "bytes"),
            (7, "a\"b", "file"),
            (8, "\"open", "9"),
            (8, "\"closed\"x", "error"),
            (9, "", "start"),
            (9, "2013-05-24 00:00:00Z", "start"),
            (9, "2013-02-30T00:00:00Z", "start"),
            (9, "1969-12-31T23:59:59Z", "start"),
            (9, "9999-12-31T23:59:59Z", "start"),
            (10, "2013-05-24T00:00:00.Z", "first_byte"),
            (10, "2013-05-24T00:00:00.0123456789Z", "first_byte"),
            (10, "2013-05-24T00:00:00+1:00", "first_byte"),
            (11, "2013-05-23T00:00:00Z", "end"),
        ] {
            let error = with(column, text);
            assert_eq!(error.code(), Code::Corrupt, "{text}");
            let named = error.to_string().starts_with(&format!("column {name}:"));
            assert!(
                named || name == "9" && error.to_string().contains("quote is not closed"),
                "{text}: {error}"
            );
        }
        for line in ["", "1\t2\t3", &format!("{}\t", good.trim_end())] {
            assert_eq!(Record::parse_line(line).unwrap_err().code(), Code::Corrupt, "{line:?}");
        }
        for header in ["", "idx\tthread", &HEADER.replace("file", "bytes"), &HEADER.replace("op\t", "")] {
            assert_eq!(Columns::of_header(header).unwrap_err().code(), Code::Corrupt, "{header:?}");
        }
    }
}
