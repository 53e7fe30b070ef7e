//! Writing a log from rows that there are: for tools. The log of a process is `writer.rs`'s.

use super::json;
use super::record::{HEADER, Record};
use crate::error::{Error, Result};
use std::fmt;
use std::io::{BufWriter, Write};

const LEVEL: i32 = 3;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// JSON lines rather than columns.
    pub json: bool,
    pub compressed: bool,
}

impl Form {
    /// By the end of a file's name: `.tsv`, `.csv` (warp's name for the same), `.jsonl`, each also with `.zst`.
    pub fn of_name(name: &str) -> Option<Form> {
        let (stem, compressed) = match name.strip_suffix(".zst") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let json = stem.ends_with(".jsonl");
        (json || stem.ends_with(".tsv") || stem.ends_with(".csv")).then_some(Form { json, compressed })
    }
}

/// A log that is being written.
pub struct Sheet<W: Write> {
    form: Form,
    output: Output<W>,
    text: String,
    line: Vec<u8>,
}

enum Output<W: Write> {
    Plain(BufWriter<W>),
    Compressed(Box<zstd::stream::write::Encoder<'static, BufWriter<W>>>),
}

impl<W: Write> Sheet<W> {
    /// Begins with the first line, where the form has one.
    pub fn new(file: W, form: Form) -> Result<Sheet<W>> {
        let file = BufWriter::with_capacity(256 << 10, file);
        let output = match form.compressed {
            true => {
                Output::Compressed(Box::new(zstd::stream::write::Encoder::new(file, LEVEL).map_err(failed)?))
            }
            false => Output::Plain(file),
        };
        let mut sheet = Sheet { form, output, text: String::new(), line: Vec::new() };
        if !form.json {
            sheet.write(format!("{HEADER}\n").as_bytes())?;
        }
        Ok(sheet)
    }

    pub fn add(&mut self, row: &Record) -> Result<()> {
        self.text.clear();
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        match self.form.json {
            true => {
                json::write(row, &mut self.text);
                line.extend_from_slice(self.text.as_bytes());
            }
            false => row.write_line(&mut line),
        }
        let written = self.write(&line);
        self.line = line;
        written
    }

    /// What is not finished may lack its end.
    pub fn finish(self) -> Result<()> {
        match self.output {
            Output::Plain(mut file) => file.flush(),
            Output::Compressed(encoder) => encoder.finish().and_then(|mut file| file.flush()),
        }
        .map_err(failed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.output {
            Output::Plain(file) => file.write_all(bytes),
            Output::Compressed(encoder) => encoder.write_all(bytes),
        }
        .map_err(failed)
    }
}

impl<W: Write> fmt::Debug for Sheet<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sheet({:?})", self.form)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::from_io("cannot write the op-log", &error).with_operation("oplog")
}
