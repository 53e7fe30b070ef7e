//! Numbers as people read them: ticks of axes, and units.

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    Plain,
}

impl Unit {
    /// The unit in which a number of this size has few digits: its name and how many of the base it is.
    pub fn at(self, size: f64) -> (&'static str, f64) {
        let table: &[(&str, f64)] = match self {
            Unit::Seconds => {
                &[("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)]
            }
            Unit::Bytes => &[
                ("B", 1.0),
                ("KiB", 1024.0),
                ("MiB", 1048576.0),
                ("GiB", 1073741824.0),
                ("TiB", 1099511627776.0),
                ("PiB", 1125899906842624.0),
            ],
            Unit::Plain => &[("", 1.0), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9)],
        };
        // Minutes and hours from the second of them on: 90 s, but 3 min; thousands from ten on.
        let from = |(name, scale): &(&'static str, f64)| match *name {
            "min" | "h" => scale * 2.0,
            "thousand" | "million" | "billion" => scale * 10.0,
            _ => *scale,
        };
        let found = table.iter().rev().find(|unit| size >= from(unit));
        *found.unwrap_or(&table[0])
    }
}

/// A number with its unit: `1.25 MiB`, `310 µs`, `12`.
pub fn show(value: f64, unit: Unit) -> String {
    let (name, scale) = unit.at(value);
    let number = digits(value / scale);
    if name.is_empty() { number } else { format!("{number} {name}") }
}

/// Of a time in nanoseconds.
pub fn show_nanos(nanos: u64) -> String {
    show(nanos as f64 / 1e9, Unit::Seconds)
}

/// At least three digits, and no zeros at the end of a fraction.
pub fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// With a space at every thousand: `1 234 567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// From 0 to the first one at or above `most`, in steps of 1, 2 or 5 times a power of ten; at most `count` steps.
pub fn ticks(most: f64, count: usize) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let least = most / count.max(1) as f64;
    let power = 10f64.powf(least.log10().floor());
    // A little over, as powers are not exact.
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999_999);
    let step = factor.unwrap_or(10.0) * power;
    let last = (most / step - 1e-6).ceil().max(1.0) as usize;
    (0..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o2_numbers_have_units_and_few_digits() {
        for (value, unit, text) in [
            (0.0, Unit::Seconds, "0 ns"),
            (0.00031, Unit::Seconds, "310 µs"),
            (0.0012345, Unit::Seconds, "1.23 ms"),
            (90.0, Unit::Seconds, "90 s"),
            (180.0, Unit::Seconds, "3 min"),
            (1310720.0, Unit::Bytes, "1.25 MiB"),
            (512.0, Unit::Bytes, "512 B"),
            (1500.0, Unit::Plain, "1500"),
            (15000.0, Unit::Plain, "15 thousand"),
        ] {
            assert_eq!(show(value, unit), text);
        }
        assert_eq!((count(1_234_567), count(12)), ("1\u{202f}234\u{202f}567".into(), "12".into()));
    }

    #[test]
    fn o2_ticks_are_round_and_few_and_cover() {
        assert_eq!(ticks(97.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(3.0, 4), [0.0, 1.0, 2.0, 3.0]);
        for exponent in -90..90 {
            let most = 1.37f64.powi(exponent);
            let ticks = ticks(most, 5);
            let last = *ticks.last().unwrap();
            assert!(last >= most * 0.99999 && last < most * 2.6, "{most}: {ticks:?}");
            assert!((2..=6).contains(&ticks.len()), "{most}: {ticks:?}");
        }
        assert_eq!(ticks(0.0, 5).len(), 6);
        assert!(ticks(f64::NAN, 5).len() > 1);
    }
}
