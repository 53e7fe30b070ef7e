//! The counters as JSON and as Prometheus' text format (version 0.0.4). docs/metrics.md names them all.

use super::{Counted, Durations, ENDPOINTS, Endpoint, REQUESTS};
use crate::base::budget::Budget;
use crate::base::buffer::BufferPool;
use crate::base::op::Op;
use crate::base::sync::lock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

/// What the rooms above know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    pub handles: u64,
    pub direct_fallbacks: u64,
    pub io_uring_fallbacks: u64,
    pub oplog_rows: u64,
    pub oplog_dropped: u64,
}

/// Upper bounds of the buckets that Prometheus is told of, in nanoseconds: powers of two, so that they are
/// exact, from 131 us to 137 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 17..=37;

const PERCENTILES: [(&str, u64); 4] = [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)];

fn endpoints() -> Vec<&'static Endpoint> {
    lock(&ENDPOINTS).clone()
}

/// Name, help, whether it only grows, value.
fn numbers(gauges: &Gauges) -> [(&'static str, &'static str, bool, u64); 11] {
    let pool = BufferPool::global().stats();
    let budget = Budget::global();
    [
        ("http_requests", "HTTP requests, each attempt by itself.", true, REQUESTS.attempts.load(Relaxed)),
        (
            "http_retries",
            "HTTP requests that were made because one before failed.",
            true,
            REQUESTS.retries.load(Relaxed),
        ),
        ("pool_idle_bytes", "Bytes in buffers that are kept for reuse.", false, pool.idle_bytes),
        ("pool_idle_buffers", "Buffers that are kept for reuse.", false, pool.idle_buffers),
        (
            "budget_used_bytes",
            "Bytes of memory.budget in use by writers, readers and loaders.",
            false,
            budget.used(),
        ),
        ("budget_limit_bytes", "The option memory.budget.", false, budget.limit()),
        ("handles", "Live handles of all types.", false, gauges.handles),
        (
            "direct_fallbacks",
            "Refusals of O_DIRECT after which buffered I/O was used.",
            true,
            gauges.direct_fallbacks,
        ),
        (
            "io_uring_fallbacks",
            "Operations on files without io_uring because it was refused.",
            true,
            gauges.io_uring_fallbacks,
        ),
        ("oplog_rows", "Rows that the running op-log has taken in.", false, gauges.oplog_rows),
        ("oplog_dropped_rows", "Rows that the running op-log has lost.", false, gauges.oplog_dropped),
    ]
}

/// One object: numbers of the process, then `operations` by name, of all endpoints together and of each.
/// Times are seconds.
pub fn json(gauges: &Gauges) -> String {
    let mut whole = serde_json::Map::new();
    for (name, _, _, value) in numbers(gauges) {
        whole.insert(name.to_owned(), value.into());
    }
    let mut all = Op::ALL.map(|_| Counted { durations: Durations::none(), errors: 0, bytes: 0 });
    let mut each = serde_json::Map::new();
    for endpoint in endpoints() {
        let counted = endpoint.read();
        for (sum, part) in all.iter_mut().zip(&counted) {
            sum.durations.join(&part.durations);
            sum.errors += part.errors;
            sum.bytes += part.bytes;
        }
        each.insert(endpoint.name.clone(), by_name(&counted));
    }
    whole.insert("operations".to_owned(), by_name(&all));
    whole.insert("endpoints".to_owned(), Value::Object(each));
    Value::Object(whole).to_string()
}

fn by_name(counted: &[Counted]) -> Value {
    let mut named = serde_json::Map::new();
    for (op, of) in Op::ALL.into_iter().zip(counted).filter(|(_, of)| of.durations.count > 0) {
        let durations = &of.durations;
        let mut seconds = serde_json::Map::new();
        seconds.insert("sum".to_owned(), (durations.sum as f64 / 1e9).into());
        seconds.insert("max".to_owned(), (durations.max as f64 / 1e9).into());
        for (name, part) in PERCENTILES {
            seconds.insert(name.to_owned(), (durations.permille(part) as f64 / 1e9).into());
        }
        let facts = json!({
            "count": durations.count,
            "errors": of.errors,
            "bytes": of.bytes,
            "seconds": seconds,
        });
        named.insert(op.as_str().to_owned(), facts);
    }
    Value::Object(named)
}

/// Metrics whose names begin with `s3dlio_`.
pub fn prometheus(gauges: &Gauges) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (name, help, grows, value) in numbers(gauges) {
        let (suffix, kind) = if grows { ("_total", "counter") } else { ("", "gauge") };
        let _ = write!(
            text,
            "# HELP s3dlio_{name}{suffix} {help}\n# TYPE s3dlio_{name}{suffix} {kind}\ns3dlio_{name}{suffix} {value}\n"
        );
    }
    let counted: Vec<_> = endpoints().into_iter().map(|endpoint| (endpoint, endpoint.read())).collect();
    let series = || {
        counted.iter().flat_map(|(endpoint, counted)| {
            let named = Op::ALL.into_iter().zip(counted).filter(|(_, of)| of.durations.count > 0);
            named.map(|(op, of)| {
                (format!("op=\"{}\",endpoint=\"{}\"", op.as_str(), label(&endpoint.name)), of)
            })
        })
    };
    let totals: [(&str, &str, fn(&Counted) -> u64); 2] = [
        ("operation_errors", "Operations that failed.", |of| of.errors),
        ("operation_bytes", "Bytes of objects that operations moved.", |of| of.bytes),
    ];
    for (name, help, value) in totals {
        let _ = write!(text, "# HELP s3dlio_{name}_total {help}\n# TYPE s3dlio_{name}_total counter\n");
        for (labels, of) in series() {
            let _ = writeln!(text, "s3dlio_{name}_total{{{labels}}} {}", value(of));
        }
    }
    let name = "s3dlio_operation_duration_seconds";
    let _ = write!(
        text,
        "# HELP {name} How long operations took, with all their requests.\n# TYPE {name} histogram\n"
    );
    for (labels, of) in series() {
        for power in BOUNDS {
            let (bound, below) = ((1_u64 << power) as f64 / 1e9, of.durations.up_to(1 << power));
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let count = of.durations.count;
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", of.durations.sum as f64 / 1e9);
        let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
    }
    text
}

/// As the value of a label.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
