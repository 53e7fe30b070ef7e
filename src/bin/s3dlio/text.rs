//! How numbers, times and names are shown to people.

use s3dlio::api::advanced::Timestamp;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `1.5 MiB`; bytes below 1024 exactly.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    // 1023.96 KiB would be shown as 1024.0 KiB.
    while value >= if unit == 0 { 1024.0 } else { 1023.95 } && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// Bytes per second.
pub fn rate(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-9);
    format!("{}/s", size((bytes as f64 / seconds) as u64))
}

/// How many per second.
pub fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// `1 object`, `2 objects`.
pub fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// `850 ms`, `12.3 s`, `3 min 20 s`.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=99 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// RFC 3339 in UTC, to the second.
pub fn time(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Timestamp::from_unix(seconds).rfc3339().to_string()
}

/// A name on one line: control characters are escaped, so that they can neither break the line nor
/// command the terminal. JSON has the name as it is.
pub fn name(name: &str) -> String {
    if !name.chars().any(char::is_control) {
        return name.to_owned();
    }
    let mut shown = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c.is_control() {
            true => {
                let _ = write!(shown, "{}", c.escape_default()); // a String takes everything
            }
            false => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_sizes_are_short_and_never_show_1024_of_a_unit() {
        let shown = [0, 1023, 1024, 1536, 1 << 20, (1 << 20) - 1, 5 << 30, u64::MAX].map(size);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 GiB", "16.0 EiB"]
        );
        assert_eq!(rate(3 << 20, Duration::from_secs(2)), "1.5 MiB/s");
        let times = [Duration::from_millis(7), Duration::from_millis(12_340), Duration::from_secs(200)];
        assert_eq!(times.map(duration), ["7 ms", "12.3 s", "3 min 20 s"]);
    }

    #[test]
    fn k1_names_never_break_the_line() {
        assert_eq!(name("a b\\ключ"), "a b\\ключ");
        assert_eq!(name("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(time(UNIX_EPOCH + Duration::from_secs(86_400)), "1970-01-02T00:00:00Z");
    }
}
