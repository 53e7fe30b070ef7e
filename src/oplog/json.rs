//! A row as one line of JSON, with the columns' names.

use super::record::{Columns, Record};
use crate::error::{Code, Error, Result};
use serde_json::Value;

const TEXTS: [&str; 5] = ["client_id", "endpoint", "file", "error", "op"];

/// Appends the row with its end of line.
pub fn write(record: &Record, out: &mut String) {
    let (start, end) = (record.time(record.start), record.time(record.end));
    let line = serde_json::json!({
        "idx": record.idx,
        "thread": record.thread,
        "op": record.op.as_str(),
        "client_id": record.client_id,
        "n_objects": record.n_objects,
        "bytes": record.bytes,
        "endpoint": record.endpoint,
        "file": record.file,
        "error": record.error,
        "start": start,
        "first_byte": record.first_byte.map(|at| record.time(at)),
        "end": end,
        "duration_ns": record.duration_ns(),
    });
    out.push_str(&line.to_string());
    out.push('\n');
}

/// The same fields as a row of the table has; unknown ones are refused, those that warp may leave out are
/// not needed.
pub fn parse(line: &str) -> Result<Record> {
    let bad = |what: String| Error::new(Code::Corrupt, what);
    let value: Value = serde_json::from_str(line).map_err(|e| bad(format!("the row is no JSON: {e}")))?;
    let Value::Object(fields) = value else { return Err(bad("the row is no JSON object".into())) };
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) if !TEXTS.contains(&name) => Ok(number.to_string()),
        Some(_) => Err(bad(format!("column {name}: the value is of the wrong type"))),
    };
    let number = |name: &str| match fields.get(name) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| bad(format!("column {name}: a whole number of at most 64 bits is expected"))),
    };
    if let Some(name) = fields.keys().find(|name| !Columns::is_known(name)) {
        return Err(bad(format!("unknown field {name:?}")));
    }
    Columns::typed(
        &text("op")?,
        [&text("start")?, &text("first_byte")?, &text("end")?],
        Record {
            idx: number("idx")?,
            thread: number("thread")?,
            op: super::Op::Get,
            client_id: text("client_id")?,
            n_objects: number("n_objects")?,
            bytes: number("bytes")?,
            endpoint: text("endpoint")?,
            file: text("file")?,
            error: text("error")?,
            start: 0,
            first_byte: None,
            end: 0,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_json_lines_come_back_and_are_strict() {
        let line = concat!(
            r#"{"op":"GET","bytes":5,"n_objects":1,"endpoint":"s3://b","file":"a\tb\"","#,
            r#""start":"2013-05-24T00:00:00Z","end":"2013-05-24T00:00:01Z"}"#
        );
        let record = parse(line).unwrap();
        assert_eq!((record.file.as_str(), record.duration_ns()), ("a\tb\"", 1_000_000_000));
        let mut text = String::new();
        write(&record, &mut text);
        assert_eq!(parse(&text).unwrap(), record);
        for (from, to) in [
            ("\"GET\"", "\"get\""),
            ("\"GET\"", "5"),
            (":5", ":-5"),
            (":5", ":\"5\""),
            ("\"bytes\"", "\"byte\""),
            ("01Z", "01"),
            ("{", "[{"),
        ] {
            assert_eq!(parse(&line.replacen(from, to, 1)).unwrap_err().code(), Code::Corrupt, "{to}");
        }
    }
}
