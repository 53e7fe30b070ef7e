//! Reading a log: rows of warp's columns or JSON lines, plain or compressed with zstd.

use super::held::Held;
use super::json;
use super::record::{Columns, Record, is_open};
use crate::error::{Code, Error, Result};
use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// Longer rows are refused: no key or message is.
pub const MAX_ROW: usize = 256 << 10;
/// log2 of the largest window that a zstd frame may ask for: 128 MiB, the default of the zstd program.
const WINDOW_LOG: u32 = 27;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Opens a log of any form that [`Reader`] knows, by its content. As long as the reader lives, no log replaces it.
pub fn read(path: impl AsRef<Path>) -> Result<Reader> {
    let path = path.as_ref();
    let open = || {
        let file = Held::to_read(path).map_err(|e| Error::from_io("cannot open the op-log", &e))?;
        Reader::new(file)
    };
    let mut reader = open().map_err(|e| e.with_context("oplog", path.display()))?;
    reader.name = Some(path.display().to_string());
    Ok(reader)
}

/// The rows of a log, in its order. A row that is malformed is an error, and the next one goes on behind it;
/// after an error of the file itself there are no more. A log that ends in the middle of a zstd frame gives
/// what came before, then `Truncated`.
pub struct Reader {
    lines: Box<dyn BufRead + Send>,
    form: Form,
    /// Of the line that was read last, from 1.
    line: u64,
    name: Option<String>,
    done: bool,
    buffer: Vec<u8>,
}

enum Form {
    Table(Columns),
    Json,
}

impl Reader {
    /// Reads the first line.
    pub fn new(source: impl Read + Send + 'static) -> Result<Reader> {
        let mut source = source;
        let mut start = Vec::with_capacity(MAGIC.len());
        source.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
        let compressed = start == MAGIC;
        let whole = Cursor::new(start).chain(source);
        let lines: Box<dyn BufRead + Send> = match compressed {
            true => {
                let mut decoder = zstd::stream::read::Decoder::new(whole).map_err(failed)?;
                decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
                Box::new(BufReader::with_capacity(64 << 10, decoder))
            }
            false => Box::new(BufReader::with_capacity(64 << 10, whole)),
        };
        let buffer = Vec::new();
        let mut reader = Reader { lines, form: Form::Json, line: 0, name: None, done: false, buffer };
        let starts_json = reader.lines.fill_buf().map_err(failed)?.first() == Some(&b'{');
        if !starts_json {
            let Some(header) = reader.next_line()? else {
                return Err(Error::new(
                    Code::Corrupt,
                    "the op-log is empty: not even its first line is there",
                ));
            };
            let columns = Columns::of_header(&header)?;
            reader.form = Form::Table(columns);
        }
        Ok(reader)
    }

    fn next_row(&mut self) -> Result<Option<Record>> {
        loop {
            let Some(mut row) = self.next_line()? else { return Ok(None) };
            match &self.form {
                Form::Json if row.trim_ascii().is_empty() => {}
                Form::Json => return json::parse(&row).map(Some),
                Form::Table(_) if row.starts_with('#') || matches!(row.as_str(), "\n" | "\r\n") => {}
                Form::Table(columns) => {
                    let columns = columns.clone();
                    // A quoted field may hold line ends.
                    while row.ends_with('\n') && is_open(&row) {
                        let Some(more) = self.next_line()? else { break };
                        if row.len() + more.len() > MAX_ROW {
                            return Err(too_long());
                        }
                        row.push_str(&more);
                    }
                    return columns.parse(&row).map(Some);
                }
            }
        }
    }

    /// With its end.
    fn next_line(&mut self) -> Result<Option<String>> {
        self.buffer.clear();
        let limited = (&mut self.lines).take(MAX_ROW as u64 + 1).read_until(b'\n', &mut self.buffer);
        if let Err(error) = limited {
            self.done = true;
            return Err(failed(error));
        }
        if self.buffer.is_empty() {
            self.done = true;
            return Ok(None);
        }
        self.line += 1;
        if self.buffer.len() > MAX_ROW {
            self.done = true;
            return Err(too_long());
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Error::new(Code::Corrupt, "the row is not UTF-8")),
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        if self.done {
            return None;
        }
        match self.next_row() {
            Ok(row) => row.map(Ok),
            Err(error) => {
                let at = format!("line {}", self.line);
                let error = error.with_detail("line", self.line).with_cause(at);
                Some(Err(match &self.name {
                    Some(name) => error.with_context("oplog", name),
                    None => error.with_operation("oplog"),
                }))
            }
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

fn too_long() -> Error {
    Error::new(Code::Corrupt, format!("the row is longer than {MAX_ROW} bytes"))
}

fn failed(error: std::io::Error) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Code::Truncated,
        _ if error.raw_os_error().is_some() => return Error::from_io("cannot read the op-log", &error),
        _ => Code::Corrupt,
    };
    Error::new(code, format!("cannot read the op-log: {error}"))
        .with_hint("of a log that a killed process left, the rows before this point are good")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oplog::HEADER;

    fn rows(log: &[u8]) -> Vec<Result<Record>> {
        Reader::new(Cursor::new(log.to_vec())).unwrap().collect()
    }

    fn log(count: u64) -> Vec<u8> {
        let mut log = format!("{HEADER}\n").into_bytes();
        for idx in 0..count {
            let record = Record {
                idx,
                thread: 0,
                op: super::super::Op::Put,
                client_id: "c".into(),
                n_objects: 1,
                bytes: idx,
                endpoint: "memory://m".into(),
                file: format!("k{idx}"),
                error: String::new(),
                start: 1_000 + idx,
                first_byte: None,
                end: 2_000 + idx,
            };
            record.write_line(&mut log);
        }
        log
    }

    #[test]
    fn o1_plain_compressed_and_json_logs_read_the_same() {
        let plain = log(1000);
        let wanted: Vec<Record> = rows(&plain).into_iter().map(Result::unwrap).collect();
        assert_eq!((wanted.len(), wanted[999].bytes), (1000, 999));
        let (one, two) = plain.split_at(plain.len() / 2);
        let mut frames = zstd::bulk::compress(one, 1).unwrap();
        frames.extend(zstd::bulk::compress(two, 1).unwrap());
        assert_eq!(rows(&frames).into_iter().map(Result::unwrap).collect::<Vec<_>>(), wanted);
        let mut text = String::new();
        wanted.iter().for_each(|record| json::write(record, &mut text));
        assert_eq!(rows(text.as_bytes()).into_iter().map(Result::unwrap).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn o1_a_cut_log_gives_what_came_before() {
        let plain = log(1000);
        let (one, two) = plain.split_at(plain.len() / 2);
        let mut frames = zstd::bulk::compress(one, 1).unwrap();
        let first = frames.len();
        frames.extend(zstd::bulk::compress(two, 1).unwrap());
        let complete = one.iter().filter(|b| **b == b'\n').count() - 1;
        let at_end = rows(&frames[..first]);
        assert!(at_end.len() >= complete && at_end[..complete].iter().all(Result::is_ok));
        let inside = rows(&frames[..first + 20]);
        assert!(inside.len() >= complete && inside[..complete].iter().all(Result::is_ok));
        assert_eq!(inside.last().unwrap().as_ref().unwrap_err().code(), Code::Truncated);
    }

    #[test]
    fn o1_a_bad_row_is_told_by_its_line_and_the_next_goes_on() {
        let mut text = log(1);
        text.extend(b"# a comment\n\nnonsense\n");
        text.extend(&log(2)[log(1).len()..]);
        text.extend(b"\xff\xfe\n");
        text.extend(&log(1)[HEADER.len() + 1..]);
        let read = rows(&text);
        let good: Vec<_> = read.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, true, false, true]);
        let shown = read[1].as_ref().unwrap_err().to_string();
        assert!(shown.contains("line 5") && shown.contains("columns"), "{shown}");
        let mut long = log(1);
        long.resize(long.len() + MAX_ROW + 1, b'x');
        let read = rows(&long);
        assert!(read.len() == 2 && read[1].is_err());
    }

    #[test]
    fn o1_what_is_no_log_is_refused() {
        for bytes in [&b""[..], b"\n", b"a,b\n", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfdjunk junk junk"] {
            assert!(Reader::new(Cursor::new(bytes.to_vec())).is_err(), "{bytes:?}");
        }
        let error = read("/nowhere/x.tsv").unwrap_err();
        assert_eq!((error.code(), error.uri()), (Code::NotFound, Some("/nowhere/x.tsv")));
    }
}
