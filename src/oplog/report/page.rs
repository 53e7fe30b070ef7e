//! The report as one page: no script, nothing from elsewhere, and nothing of a log is taken for markup.

use super::chart::{self, Axis, Curve, Spread};
use super::histogram::Histogram;
use super::scale::{self, Unit, show_nanos};
use super::stats::{BUSY, CLASSES, FAILED, Group, READ, Slow, Summary, WRITTEN};
use crate::base::date::Timestamp;
use crate::oplog::Op;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// Told apart by everyone, on white.
fn colour(op: Op) -> &'static str {
    match op {
        Op::Get => "#0072b2",
        Op::Put => "#d55e00",
        Op::Delete => "#7b3294",
        Op::List => "#00785a",
        Op::Head => "#a87400",
    }
}

/// The whole page.
pub fn html(summary: &Summary, title: &str) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{0}</h1>\n",
        text(title)
    );
    facts(&mut page, summary);
    if summary.rows > 0 {
        throughput(&mut page, summary);
        rates(&mut page, summary);
        concurrency(&mut page, summary);
        latency(&mut page, summary);
        classes(&mut page, summary);
        errors(&mut page, summary);
        slowest(&mut page, summary);
        endpoints(&mut page, summary);
    }
    page.push_str(
        "<footer>Written by s3dlio from an op-log. Percentiles are of the operations that succeeded, exact to 1/64; \
         bytes of an operation are spread evenly over its time.</footer>\n</main>\n</body>\n</html>\n",
    );
    page
}

fn facts(page: &mut String, summary: &Summary) {
    let seconds = summary.seconds().max(1e-9);
    let mut rows = vec![("operations", scale::count(summary.rows))];
    if summary.rows > 0 {
        let began = Timestamp::from_unix((summary.start / 1_000_000_000) as i64).rfc3339().to_string();
        rows.push(("errors", scale::count(summary.errors())));
        rows.push(("began", began));
        rows.push(("took", scale::show(summary.seconds(), Unit::Seconds)));
        rows.push(("operations per second", scale::digits(summary.rows as f64 / seconds)));
        for (name, per_second, bytes) in [
            ("read", "read per second", summary.read_bytes()),
            ("written", "written per second", summary.written_bytes()),
        ] {
            if bytes > 0 {
                rows.push((name, scale::show(bytes as f64, Unit::Bytes)));
                rows.push((per_second, format!("{}/s", scale::show(bytes as f64 / seconds, Unit::Bytes))));
            }
        }
    }
    page.push_str("<dl class=\"facts\">\n");
    for (name, value) in rows {
        put(page, format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", text(&value)));
    }
    page.push_str("</dl>\n");
    if summary.bad_rows > 0 {
        put(
            page,
            format_args!(
                "<p class=\"warning\">{} rows could not be read and are not in this report:</p>\n<ul class=\"warning\">\n",
                scale::count(summary.bad_rows)
            ),
        );
        for error in &summary.bad {
            put(page, format_args!("<li>{}</li>\n", text(error)));
        }
        page.push_str("</ul>\n");
    }
}

fn section(page: &mut String, id: &str, title: &str) {
    put(page, format_args!("<h2 id=\"{id}\">{title}</h2>\n"));
}

fn figure(page: &mut String, curves: &[Curve], svg: &str) {
    page.push_str("<figure>\n<ul class=\"legend\">");
    for curve in curves {
        put(
            page,
            format_args!("<li><span style=\"background:{}\"></span>{}</li>", curve.colour, text(&curve.name)),
        );
    }
    put(page, format_args!("</ul>\n{svg}</figure>\n"));
}

fn over_time(page: &mut String, summary: &Summary, what: &str, axis: Axis<'_>, curves: Vec<Curve>) {
    let svg = chart::over_time(what, &summary.series.intervals, axis, &curves);
    figure(page, &curves, &svg);
}

fn rate(summary: &Summary, track: usize, name: &str, colour: &'static str) -> Curve {
    let values = summary.series.rates(track).into_iter().map(Some).collect();
    Curve { name: name.to_owned(), colour, values }
}

fn throughput(page: &mut String, summary: &Summary) {
    let mut curves = Vec::new();
    if summary.read_bytes() > 0 {
        curves.push(rate(summary, READ, "read", colour(Op::Get)));
    }
    if summary.written_bytes() > 0 {
        curves.push(rate(summary, WRITTEN, "written", colour(Op::Put)));
    }
    if curves.is_empty() {
        return;
    }
    section(page, "throughput", "Throughput over time");
    let axis = Axis { label: "throughput, {}/s", unit: Unit::Bytes, log: false };
    over_time(page, summary, "bytes per second over time", axis, curves);
}

fn rates(page: &mut String, summary: &Summary) {
    section(page, "operations", "Operations over time");
    let track = |op: Op| Op::ALL.iter().position(|other| *other == op).unwrap_or(0);
    let curves =
        summary.ops.iter().map(|(op, _)| rate(summary, track(*op), op.as_str(), colour(*op))).collect();
    let axis = Axis { label: "{} operations per second", unit: Unit::Plain, log: false };
    over_time(page, summary, "operations per second over time", axis, curves);
}

fn concurrency(page: &mut String, summary: &Summary) {
    section(page, "concurrency", "Concurrency over time");
    let curves = vec![rate(summary, BUSY, "operations in flight, mean of each interval", "#333333")];
    let axis = Axis { label: "{} operations in flight", unit: Unit::Plain, log: false };
    over_time(page, summary, "operations in flight over time", axis, curves);
}

fn latency(page: &mut String, summary: &Summary) {
    section(page, "latency", "Latency over time");
    let curve = |name: &str, colour, share: f64| Curve {
        name: name.to_owned(),
        colour,
        values: summary
            .series
            .times
            .iter()
            .map(|times| times.as_ref().map(|times| times.percentile(share) as f64 / 1e9))
            .collect(),
    };
    let curves = vec![
        curve("longest", "#b0b0b0", 1.0),
        curve("99th percentile", "#d55e00", 0.99),
        curve("median", "#0072b2", 0.5),
    ];
    let axis =
        Axis { label: "time of one operation (each step is ten times)", unit: Unit::Seconds, log: true };
    over_time(
        page,
        summary,
        "median, 99th percentile and longest time of an operation, over time",
        axis,
        curves,
    );
}

fn classes(page: &mut String, summary: &Summary) {
    section(page, "sizes", "Latency by operation and size");
    let name = |op: Op, class: usize| match (op, class) {
        (Op::Delete | Op::List | Op::Head, 0) => op.as_str().to_owned(),
        _ => format!("{} {}", op.as_str(), CLASSES[class].0),
    };
    let timed = summary.classes.iter().filter(|(_, group)| group.times.count() > 0);
    let spread = |((op, class), group): (&(Op, usize), &Group)| {
        let at = |share| group.times.percentile(share) as f64 / 1e9;
        Spread {
            name: name(*op, *class),
            colour: colour(*op),
            median: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: group.times.max() as f64 / 1e9,
        }
    };
    let spreads: Vec<_> = timed.map(spread).collect();
    if !spreads.is_empty() {
        let svg = chart::spreads("times by operation and size", &spreads);
        put(
            page,
            format_args!(
                "<figure>\n<p class=\"key\">Bars go from the median to the 99th percentile, with a white mark at the 90th; lines go on to the longest.</p>\n{svg}</figure>\n"
            ),
        );
    }
    let first = summary.classes.values().any(|group| group.first_bytes.count() > 0);
    let columns = [
        "operation",
        "count",
        "errors",
        "bytes",
        "mean",
        "median",
        "90 %",
        "99 %",
        "99.9 %",
        "longest",
        "first byte, median",
        "first byte, 99 %",
    ];
    let shown = if first { columns.len() } else { columns.len() - 2 };
    let rows = summary.classes.iter().map(|((op, class), group)| {
        let time =
            |times: &Histogram, nanos| if times.count() == 0 { "–".to_owned() } else { show_nanos(nanos) };
        let at = |times: &Histogram, share| time(times, times.percentile(share));
        let mut row = vec![
            name(*op, *class),
            scale::count(group.count()),
            scale::count(group.errors),
            scale::show(group.bytes as f64, Unit::Bytes),
            time(&group.times, group.times.mean()),
            at(&group.times, 0.5),
            at(&group.times, 0.9),
            at(&group.times, 0.99),
            at(&group.times, 0.999),
            time(&group.times, group.times.max()),
            at(&group.first_bytes, 0.5),
            at(&group.first_bytes, 0.99),
        ];
        row.truncate(shown);
        row
    });
    table(page, &columns[..shown], rows);
}

fn errors(page: &mut String, summary: &Summary) {
    section(page, "errors", "Errors");
    if summary.faults.is_empty() {
        page.push_str("<p>No operation failed.</p>\n");
        return;
    }
    let axis = Axis { label: "{} errors per second", unit: Unit::Plain, log: false };
    over_time(
        page,
        summary,
        "errors per second over time",
        axis,
        vec![rate(summary, FAILED, "operations that failed", "#b00020")],
    );
    table(
        page,
        &["count", "operation", "error", "first one after", "first one's object"],
        summary.faults.iter().map(|fault| {
            vec![
                scale::count(fault.count),
                fault.op.as_str().to_owned(),
                fault.error.clone(),
                show_nanos(fault.at),
                fault.uri.clone(),
            ]
        }),
    );
    if summary.other_faults > 0 {
        put(page, format_args!("<p>And {} with other messages.</p>\n", scale::count(summary.other_faults)));
    }
}

fn slowest(page: &mut String, summary: &Summary) {
    section(page, "slowest", "Slowest operations");
    let slow = &summary.slowest;
    let failed = slow.iter().any(|slow| !slow.error.is_empty());
    let first = slow.iter().any(|slow| slow.first_byte.is_some());
    // What no row has is no column.
    let columns = |slow: Option<&Slow>| {
        let cell = |name: &'static str, value: fn(&Slow) -> String| slow.map_or(name.to_owned(), value);
        let mut cells = vec![
            cell("time", |slow| show_nanos(slow.duration)),
            cell("operation", |slow| slow.op.as_str().to_owned()),
            cell("object", |slow| slow.uri.clone()),
            cell("bytes", |slow| scale::show(slow.bytes as f64, Unit::Bytes)),
            cell("began after", |slow| show_nanos(slow.start)),
        ];
        if first {
            cells.push(cell("first byte after", |slow| slow.first_byte.map_or("–".to_owned(), show_nanos)));
        }
        cells.push(cell("thread", |slow| slow.thread.to_string()));
        cells.push(cell("row", |slow| slow.idx.to_string()));
        if failed {
            cells.push(cell("error", |slow| slow.error.clone()));
        }
        cells
    };
    let names = columns(None);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    table(page, &names, slow.iter().map(|slow| columns(Some(slow))));
}

fn endpoints(page: &mut String, summary: &Summary) {
    section(page, "endpoints", "Endpoints");
    table(
        page,
        &["endpoint", "operations", "errors", "bytes"],
        summary.endpoints.iter().map(|(name, endpoint)| {
            vec![
                name.clone(),
                scale::count(endpoint.count),
                scale::count(endpoint.errors),
                scale::show(endpoint.bytes as f64, Unit::Bytes),
            ]
        }),
    );
}

/// Columns of texts are wide and break anywhere, those of numbers are narrow and do not break.
fn table(page: &mut String, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let wide = |column: &str| matches!(column, "error" | "object" | "endpoint" | "first one's object");
    let named = |column: &str| column == "operation";
    let class = |column: &str| {
        if wide(column) {
            " class=\"wide\""
        } else if named(column) {
            " class=\"name\""
        } else {
            ""
        }
    };
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in columns {
        put(page, format_args!("<th scope=\"col\"{}>{column}</th>", class(column)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (column, cell) in columns.iter().zip(row) {
            match wide(column) {
                true => put(page, format_args!("<td class=\"wide\"><bdi>{}</bdi></td>", text(&cell))),
                false => put(page, format_args!("<td{}>{}</td>", class(column), text(&cell))),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

/// Text for a page: [`escaped`], and characters that cannot be seen, or turn the direction of others, by their code.
fn text(raw: &str) -> String {
    let seen = |letter: char| {
        !letter.is_control()
            && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if raw.chars().all(seen) {
        return escaped(raw);
    }
    let mut shown = String::with_capacity(raw.len() + 16);
    for letter in raw.chars() {
        match seen(letter) {
            true => shown.push(letter),
            false => put(&mut shown, format_args!("\\u{{{:x}}}", letter as u32)),
        }
    }
    escaped(&shown)
}

/// Text as text, in an element or an attribute.
pub fn escaped(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Writing to a string cannot fail.
fn put(page: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::super::stats::tests::record;
    use super::*;
    use crate::oplog::Record;

    #[test]
    fn o2_nothing_of_a_log_becomes_markup() {
        let evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\n";
        let rows = (0..50).map(|n| {
            let row = record(n, Op::Get, 5, 100, if n % 2 == 0 { evil } else { "" });
            Ok(Record { file: evil.into(), endpoint: evil.into(), client_id: evil.into(), ..row })
        });
        let page = html(&Summary::of(rows), evil);
        for part in ["<script", "<img", "onerror=alert(1)>\"", "\u{202e}"] {
            assert!(!page.contains(part), "{part}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("\\u{202e}\\u{a}"));
    }

    #[test]
    fn o2_pages_stay_small_for_logs_of_any_length() {
        for rows in [0, 1, 2, 200_000] {
            let ops = [Op::Get, Op::Put, Op::List, Op::Delete, Op::Head];
            let row = |n: u64| {
                record(
                    n,
                    ops[n as usize % 5],
                    1 << (n % 30),
                    100 + n % 977,
                    if n % 50 == 0 { "Timeout" } else { "" },
                )
            };
            let page = html(&Summary::of((0..rows).map(|n| Ok(row(n)))), "x");
            assert!(page.len() < 400_000, "{rows}: {}", page.len());
            assert!(!page.contains("NaN") && !page.contains("inf"), "{rows}");
        }
    }
}
