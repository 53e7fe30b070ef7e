//! The report's numbers for programs.

use super::histogram::Histogram;
use super::stats::{BUSY, CLASSES, FAILED, Group, READ, Summary, WRITTEN};
use crate::oplog::Op;
use serde_json::{Value, json};

/// Times in nanoseconds, rates per second.
pub fn value(summary: &Summary) -> Value {
    let series = &summary.series;
    let rates = |track: usize| series.rates(track);
    let operations: serde_json::Map<_, _> =
        Op::ALL.iter().enumerate().map(|(track, op)| (op.as_str().to_owned(), json!(rates(track)))).collect();
    let share = |share: f64| {
        let at = |times: &Option<Histogram>| times.as_ref().map(|times| times.percentile(share));
        series.times.iter().map(at).collect::<Vec<_>>()
    };
    json!({
        "rows": summary.rows,
        "bad_rows": summary.bad_rows,
        "bad_row_errors": summary.bad,
        "errors": summary.errors(),
        "start_unix_ns": summary.start,
        "end_unix_ns": summary.end,
        "seconds": summary.seconds(),
        "operations": summary.ops.iter().map(|(op, of)| group(*op, None, of)).collect::<Vec<_>>(),
        "size_classes": summary.classes.iter().map(|((op, class), of)| group(*op, Some(*class), of)).collect::<Vec<_>>(),
        "endpoints": summary.endpoints.iter().map(|(name, of)| json!({
            "endpoint": name, "operations": of.count, "errors": of.errors, "bytes": of.bytes,
        })).collect::<Vec<_>>(),
        "error_kinds": summary.faults.iter().map(|fault| json!({
            "op": fault.op.as_str(), "error": fault.error, "count": fault.count,
            "first_uri": fault.uri, "first_at_ns": fault.at,
        })).collect::<Vec<_>>(),
        "other_errors": summary.other_faults,
        "slowest": summary.slowest.iter().map(|slow| json!({
            "duration_ns": slow.duration, "op": slow.op.as_str(), "uri": slow.uri, "bytes": slow.bytes,
            "start_ns": slow.start, "first_byte_ns": slow.first_byte, "thread": slow.thread, "idx": slow.idx,
            "error": slow.error,
        })).collect::<Vec<_>>(),
        "over_time": {
            "start_ns": series.intervals.iter().map(|interval| interval.start).collect::<Vec<_>>(),
            "length_ns": series.intervals.iter().map(|interval| interval.nanos).collect::<Vec<_>>(),
            "read_bytes_per_second": rates(READ),
            "written_bytes_per_second": rates(WRITTEN),
            "operations_per_second": operations,
            "operations_in_flight": rates(BUSY),
            "errors_per_second": rates(FAILED),
            "p50_ns": share(0.5),
            "p99_ns": share(0.99),
            "max_ns": share(1.0),
        },
    })
}

fn group(op: Op, class: Option<usize>, group: &Group) -> Value {
    let mut value = json!({
        "op": op.as_str(),
        "count": group.count(),
        "errors": group.errors,
        "objects": group.objects,
        "bytes": group.bytes,
        "latency": times(&group.times),
        "first_byte": times(&group.first_bytes),
    });
    if let Some(class) = class {
        value["size_class"] = json!(CLASSES[class].0);
        value["max_bytes"] = json!(CLASSES[class].1);
    }
    value
}

/// Null where there are none.
fn times(times: &Histogram) -> Value {
    if times.count() == 0 {
        return Value::Null;
    }
    json!({
        "count": times.count(),
        "mean_ns": times.mean(),
        "p50_ns": times.percentile(0.5),
        "p90_ns": times.percentile(0.9),
        "p99_ns": times.percentile(0.99),
        "p999_ns": times.percentile(0.999),
        "max_ns": times.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::stats::tests::record;
    use super::*;

    #[test]
    fn o2_the_numbers_are_there_for_programs() {
        let rows =
            (0..100).map(|n| Ok(record(n, Op::Get, 1 << 20, 1000, if n == 5 { "Timeout" } else { "" })));
        let value = value(&Summary::of(rows));
        assert_eq!((&value["rows"], &value["errors"]), (&json!(100), &json!(1)));
        assert_eq!(value["size_classes"][0]["size_class"], "64 KiB to 1 MiB");
        assert_eq!(value["operations"][0]["latency"]["max_ns"], 1_000_000);
        assert_eq!(value["error_kinds"][0]["error"], "Timeout");
        let count = value["over_time"]["start_ns"].as_array().unwrap().len();
        for name in ["read_bytes_per_second", "operations_in_flight", "p99_ns"] {
            assert_eq!(value["over_time"][name].as_array().unwrap().len(), count, "{name}");
        }
    }
}
