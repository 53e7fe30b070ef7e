//! What a log says, gathered row by row in bounded memory.

use super::histogram::Histogram;
use super::series::{Finished, Series};
use crate::error::Result;
use crate::oplog::{Op, Record};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// How many of the slowest operations are shown.
pub const SLOWEST: usize = 20;
/// So many kinds of errors and endpoints are told apart; the rest is counted together.
const KINDS: usize = 50;
/// Of a key or an error, so many bytes are kept.
const LONGEST: usize = 1024;
/// To 1/64 of the time itself.
const TIME_BITS: u32 = 6;

/// Tracks of the series: operations by [`Op::ALL`], then these.
pub const READ: usize = Op::ALL.len();
pub const WRITTEN: usize = READ + 1;
pub const BUSY: usize = READ + 2;
pub const FAILED: usize = READ + 3;
const TRACKS: usize = READ + 4;

/// Bytes that operations of a class move: more than those of the class before, up to this.
pub const CLASSES: [(&str, u64); 7] = [
    ("no bytes", 0),
    ("to 4 KiB", 4 << 10),
    ("4 to 64 KiB", 64 << 10),
    ("64 KiB to 1 MiB", 1 << 20),
    ("1 to 16 MiB", 16 << 20),
    ("16 to 256 MiB", 256 << 20),
    ("over 256 MiB", u64::MAX),
];

/// Operations of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    pub errors: u64,
    pub objects: u64,
    pub bytes: u64,
    /// Of those that succeeded, to their end and to their first byte.
    pub times: Histogram,
    pub first_bytes: Histogram,
}

impl Group {
    fn new() -> Group {
        let empty = || Histogram::new(TIME_BITS);
        Group { errors: 0, objects: 0, bytes: 0, times: empty(), first_bytes: empty() }
    }

    fn add(&mut self, record: &Record) {
        if !record.error.is_empty() {
            self.errors += 1;
            return;
        }
        self.objects = self.objects.saturating_add(record.n_objects);
        self.bytes = self.bytes.saturating_add(record.bytes);
        self.times.add(record.duration_ns());
        if let Some(first) = record.first_byte {
            self.first_bytes.add(first.saturating_sub(record.start));
        }
    }

    /// With those that failed.
    pub fn count(&self) -> u64 {
        self.times.count() + self.errors
    }
}

/// Operations that failed alike.
#[derive(Clone, Debug)]
pub struct Fault {
    pub op: Op,
    pub error: String,
    pub count: u64,
    /// The first one's URI, and when it ended, in nanoseconds since the beginning.
    pub uri: String,
    pub at: u64,
}

/// A slow operation; times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Slow {
    pub duration: u64,
    pub idx: u64,
    pub thread: u64,
    pub op: Op,
    pub uri: String,
    pub bytes: u64,
    /// Since the log's beginning.
    pub start: u64,
    pub first_byte: Option<u64>,
    pub error: String,
}

/// All that a report shows.
#[derive(Debug)]
pub struct Summary {
    pub rows: u64,
    /// Rows that could not be read, and what was wrong with the first of them.
    pub bad_rows: u64,
    pub bad: Vec<String>,
    /// Unix time of the first start and the last end, in nanoseconds.
    pub start: u64,
    pub end: u64,
    pub ops: Vec<(Op, Group)>,
    pub classes: BTreeMap<(Op, usize), Group>,
    /// URI without a path, then how many operations, errors and bytes.
    pub endpoints: Vec<(String, Endpoint)>,
    /// The most frequent first.
    pub faults: Vec<Fault>,
    pub other_faults: u64,
    pub slowest: Vec<Slow>,
    pub series: Finished,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Endpoint {
    pub count: u64,
    pub errors: u64,
    pub bytes: u64,
}

impl Summary {
    /// Reads all rows. A row that cannot be read is counted and told, not fatal: the others are the report.
    pub fn of(records: impl IntoIterator<Item = Result<Record>>) -> Summary {
        let mut gather = Gather::new();
        for record in records {
            match record {
                Ok(record) => gather.add(&record),
                Err(error) => {
                    gather.bad_rows += 1;
                    if gather.bad.len() < 5 {
                        gather.bad.push(error.to_string());
                    }
                }
            }
        }
        gather.finish()
    }

    /// Seconds from the first start to the last end.
    pub fn seconds(&self) -> f64 {
        self.end.saturating_sub(self.start) as f64 / 1e9
    }

    pub fn group(&self, op: Op) -> Option<&Group> {
        self.ops.iter().find(|(name, _)| *name == op).map(|(_, group)| group)
    }

    pub fn errors(&self) -> u64 {
        self.ops.iter().map(|(_, group)| group.errors).sum()
    }

    pub fn read_bytes(&self) -> u64 {
        self.group(Op::Get).map_or(0, |group| group.bytes)
    }

    pub fn written_bytes(&self) -> u64 {
        self.group(Op::Put).map_or(0, |group| group.bytes)
    }
}

struct Gather {
    rows: u64,
    bad_rows: u64,
    bad: Vec<String>,
    ops: BTreeMap<Op, Group>,
    classes: BTreeMap<(Op, usize), Group>,
    endpoints: HashMap<String, Endpoint>,
    faults: HashMap<(Op, String), Fault>,
    other_faults: u64,
    /// The least slow one on top; the index makes equals tell apart.
    slowest: BinaryHeap<Reverse<(u64, Reverse<u64>)>>,
    slow: HashMap<(u64, u64), Slow>,
    series: Series,
}

impl Gather {
    fn new() -> Gather {
        Gather {
            rows: 0,
            bad_rows: 0,
            bad: Vec::new(),
            ops: BTreeMap::new(),
            classes: BTreeMap::new(),
            endpoints: HashMap::new(),
            faults: HashMap::new(),
            other_faults: 0,
            slowest: BinaryHeap::new(),
            slow: HashMap::new(),
            series: Series::new(TRACKS),
        }
    }

    fn add(&mut self, record: &Record) {
        let (start, end) = (record.start, record.end.max(record.start));
        self.rows += 1;
        self.ops.entry(record.op).or_insert_with(Group::new).add(record);
        let class = CLASSES.iter().position(|(_, most)| record.bytes <= *most).unwrap_or(0);
        self.classes.entry((record.op, class)).or_insert_with(Group::new).add(record);

        let failed = !record.error.is_empty();
        let name = match self.endpoints.contains_key(&record.endpoint) || self.endpoints.len() < KINDS {
            true => cut(&record.endpoint),
            false => "others".to_owned(),
        };
        let endpoint = self.endpoints.entry(name).or_default();
        endpoint.count += 1;
        endpoint.errors += u64::from(failed);
        endpoint.bytes = endpoint.bytes.saturating_add(record.bytes);
        if failed {
            self.fault(record);
        }
        self.slow(record);

        self.series.cover(start, end);
        let kind = Op::ALL.iter().position(|op| *op == record.op).unwrap_or(0);
        self.series.add(kind, end, 1.0);
        self.series.spread(BUSY, start, end, (end - start) as f64 / 1e9);
        match failed {
            true => self.series.add(FAILED, end, 1.0),
            false => self.series.time(end, end - start),
        }
        match record.op {
            Op::Get => self.series.spread(READ, start, end, record.bytes as f64),
            Op::Put => self.series.spread(WRITTEN, start, end, record.bytes as f64),
            _ => {}
        }
    }

    fn fault(&mut self, record: &Record) {
        let key = (record.op, cut(&record.error));
        if let Some(fault) = self.faults.get_mut(&key) {
            fault.count += 1;
            return;
        }
        if self.faults.len() == KINDS {
            self.other_faults += 1;
            return;
        }
        let fault =
            Fault { op: record.op, error: key.1.clone(), count: 1, uri: cut(&record.uri()), at: record.end };
        self.faults.insert(key, fault);
    }

    fn slow(&mut self, record: &Record) {
        // Of equals the first one stays; rows are told apart by their count, as a log's own may repeat.
        let key = (record.duration_ns(), Reverse(self.rows));
        if self.slowest.len() == SLOWEST {
            match self.slowest.peek() {
                Some(Reverse(least)) if *least < key => {}
                _ => return,
            }
            if let Some(Reverse((duration, Reverse(row)))) = self.slowest.pop() {
                self.slow.remove(&(duration, row));
            }
        }
        self.slowest.push(Reverse(key));
        self.slow.insert(
            (key.0, self.rows),
            Slow {
                duration: key.0,
                idx: record.idx,
                thread: record.thread,
                op: record.op,
                uri: cut(&record.uri()),
                bytes: record.bytes,
                start: record.start,
                first_byte: record.first_byte.map(|first| first.saturating_sub(record.start)),
                error: cut(&record.error),
            },
        );
    }

    fn finish(self) -> Summary {
        let (start, end) = (self.series.start(), self.series.end());
        let mut endpoints: Vec<_> = self.endpoints.into_iter().collect();
        endpoints.sort_by(|a, b| (Reverse(a.1.count), &a.0).cmp(&(Reverse(b.1.count), &b.0)));
        let mut faults: Vec<_> = self.faults.into_values().collect();
        faults.iter_mut().for_each(|fault| fault.at = fault.at.saturating_sub(start));
        faults.sort_by(|a, b| (Reverse(a.count), a.at, &a.error).cmp(&(Reverse(b.count), b.at, &b.error)));
        let mut slowest: Vec<_> = self.slow.into_iter().collect();
        slowest.sort_by_key(|((duration, row), _)| (Reverse(*duration), *row));
        let slowest = slowest.into_iter().map(|(_, slow)| Slow { start: slow.start - start, ..slow });
        Summary {
            rows: self.rows,
            bad_rows: self.bad_rows,
            bad: self.bad,
            start,
            end,
            ops: self.ops.into_iter().collect(),
            classes: self.classes,
            endpoints,
            faults,
            other_faults: self.other_faults,
            slowest: slowest.collect(),
            series: self.series.finish(intervals(self.rows)),
        }
    }
}

/// Eight operations to an interval, as fewer look like noise; of very few, one to each.
fn intervals(rows: u64) -> usize {
    usize::try_from((rows / 8).max(rows.min(12))).unwrap_or(usize::MAX)
}

fn cut(text: &str) -> String {
    match text.char_indices().take_while(|(at, letter)| at + letter.len_utf8() <= LONGEST).last() {
        Some((at, letter)) if at + letter.len_utf8() < text.len() => {
            format!("{}…", &text[..at + letter.len_utf8()])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::{Code, Error};

    const BASE: u64 = 1_700_000_000_000_000_000;

    /// Row `n` starts after `n` ms and takes `micros`.
    pub(crate) fn record(n: u64, op: Op, bytes: u64, micros: u64, error: &str) -> Record {
        let start = BASE + n * 1_000_000;
        Record {
            idx: n,
            thread: n % 8,
            op,
            client_id: "host-1".into(),
            n_objects: 1,
            bytes,
            endpoint: "s3://bucket".into(),
            file: format!("run/{n}"),
            error: error.into(),
            start,
            first_byte: (op == Op::Get).then_some(start + micros * 500),
            end: start + micros * 1000,
        }
    }

    #[test]
    fn o2_statistics_are_those_of_the_rows() {
        let mut rows: Vec<_> = (0..1000).map(|n| Ok(record(n, Op::Get, 1 << 20, 1000 + n, ""))).collect();
        rows.extend((0..100).map(|n| Ok(record(n, Op::Put, 5000, 10_000, ""))));
        rows.extend((0..3).map(|n| Ok(record(n, Op::Get, 0, 1, "NotFound"))));
        rows.push(Ok(record(7, Op::Delete, 0, 5_000_000, "Timeout")));
        rows.push(Err(Error::new(Code::Corrupt, "column op: expected GET")));
        let summary = Summary::of(rows);
        assert_eq!((summary.rows, summary.bad_rows, summary.errors()), (1104, 1, 4));
        assert!(summary.bad[0].contains("column op"));
        let get = summary.group(Op::Get).unwrap();
        assert_eq!((get.count(), get.errors, get.bytes), (1003, 3, 1000 << 20));
        let near = |found: u64, wanted: f64| (found as f64 - wanted).abs() <= wanted / 60.0;
        assert!(near(get.times.percentile(0.5), 1_499_000.0), "{}", get.times.percentile(0.5));
        assert!(near(get.first_bytes.percentile(0.99), 995_000.0));
        let classes: Vec<_> =
            summary.classes.iter().map(|((op, class), g)| (*op, *class, g.count())).collect();
        assert_eq!(classes, [(Op::Get, 0, 3), (Op::Get, 3, 1000), (Op::Put, 2, 100), (Op::Delete, 0, 1)]);
        assert_eq!(summary.slowest.len(), SLOWEST);
        assert_eq!((summary.slowest[0].duration, summary.slowest[0].op), (5_000_000_000, Op::Delete));
        assert_eq!((summary.slowest[1].op, summary.slowest[1].start), (Op::Put, 0));
        assert_eq!(summary.faults[0].error, "NotFound");
        assert_eq!((summary.faults[0].count, summary.faults[1].op), (3, Op::Delete));
        assert_eq!((summary.start, summary.end), (BASE, BASE + 5_007_000_000));
        assert!((summary.series.amounts[READ].iter().sum::<f64>() / (1000 << 20) as f64 - 1.0).abs() < 1e-6);
        assert_eq!(summary.series.amounts[FAILED].iter().sum::<f64>(), 4.0);
    }

    /// A log may tell of anything: what is too large to be true is shown, not fatal.
    #[test]
    fn o2_rows_of_any_numbers_make_a_report() {
        let row = |start, end| {
            let first_byte = Some(u64::MAX);
            Ok(Record { n_objects: u64::MAX, start, end, first_byte, ..record(0, Op::Get, u64::MAX, 1, "") })
        };
        let most = u64::MAX;
        for times in
            [&[(most - 1, most), (most, most)][..], &[(0, most), (1, 2)], &[(most - 5000, most - 1), (0, 0)]]
        {
            let summary = Summary::of(times.iter().map(|(start, end)| row(*start, *end)));
            assert_eq!((summary.rows, summary.group(Op::Get).unwrap().objects), (2, most));
            assert!(summary.html("odd").contains("odd") && summary.json().is_object());
        }
    }

    #[test]
    fn o2_many_kinds_of_errors_and_endpoints_stay_bounded() {
        let rows = (0..10_000).map(|n| {
            let endpoint = format!("s3://bucket-{n}");
            Ok(Record { endpoint, ..record(n, Op::Get, 0, 1, &format!("{n}{}", "x".repeat(5000))) })
        });
        let summary = Summary::of(rows);
        assert_eq!((summary.faults.len(), summary.other_faults), (KINDS, 10_000 - KINDS as u64));
        assert_eq!(summary.endpoints[0].0, "others");
        assert_eq!(summary.endpoints.iter().map(|(_, e)| e.errors).sum::<u64>(), 10_000);
        assert!(summary.endpoints.len() <= KINDS + 1 && summary.faults[0].error.len() < LONGEST + 10);
    }
}
