//! What goes to standard output: plain lines, or JSON lines. A reader that went away ends the run quietly.

use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use s3dlio::api::Error;
use s3dlio::api::advanced::redact;
use serde_json::Value;
use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

const BUFFER: usize = 64 << 10;

/// Standard output.
#[derive(Debug)]
pub struct Output {
    pub json: bool,
    terminal: bool,
    /// May be drawn on the same terminal.
    progress: Progress,
    writer: Mutex<BufWriter<Stdout>>,
}

impl Output {
    pub fn new(json: bool, progress: Progress) -> Output {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        Output { json, terminal, progress, writer: Mutex::new(BufWriter::with_capacity(BUFFER, stdout)) }
    }

    /// One line, in the form that was asked for.
    pub fn line(&self, plain: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Outcome {
        let mut line = if self.json { json().to_string() } else { plain() };
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Outcome {
        let mut writer = self.writer();
        let written = match self.terminal {
            true => self.progress.around(|| writer.write_all(bytes).and_then(|()| writer.flush())),
            false => writer.write_all(bytes),
        };
        written.map_err(|e| unwritten(&e))
    }

    pub fn flush(&self) -> Outcome {
        self.writer().flush().map_err(|e| unwritten(&e))
    }

    fn writer(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => {
            Failure::Failed(Error::from_io("cannot write to standard output", error).with_operation("write"))
        }
    }
}

/// A line to standard error; where that cannot be written to, there is nobody left to tell.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// An error for people, masked as [`error_json`] is.
pub fn error_line(error: &Error) -> String {
    format!("s3dlio: {}", crate::text::name(&redact(&error.to_string())))
}

/// An error as a JSON value: every fact that it has, under its name; what signs a URL, which a URI may have
/// been given with, is masked.
pub fn error_json(error: &Error) -> Value {
    let mut facts = serde_json::Map::new();
    for (name, value) in error.details() {
        facts.insert(name.to_owned(), Value::from(redact(&value)));
    }
    facts.insert("code".into(), error.code().name().into());
    facts.insert("message".into(), redact(&error.to_string()).into());
    facts.insert("retryable".into(), error.retryable().into());
    if let Some(status) = error.http_status() {
        facts.insert("http_status".into(), status.into());
    }
    if let Some(errno) = error.os_errno() {
        facts.insert("errno".into(), errno.into());
    }
    serde_json::json!({ "error": facts })
}
