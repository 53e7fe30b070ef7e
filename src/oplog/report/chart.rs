//! Pictures as inline SVG: plain shapes and text, no script.

use super::page::escaped;
use super::scale::{self, Unit};
use super::series::Interval;
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 48.0;

/// One curve over the intervals of a log.
#[derive(Debug)]
pub struct Curve {
    pub name: String,
    pub colour: &'static str,
    /// By interval; `None` where there is nothing to show.
    pub values: Vec<Option<f64>>,
}

/// What stands at an axis of amounts.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// With `{}` where the unit's name goes: `{}/s read`.
    pub label: &'a str,
    pub unit: Unit,
    /// Powers of ten instead of even steps.
    pub log: bool,
}

/// A picture of curves over time, which is `what` in a few words for those who cannot see it.
pub fn over_time(what: &str, intervals: &[Interval], axis: Axis<'_>, curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|curve| curve.values.iter().flatten().copied());
    let y = Scale::new(all(), axis);
    let end = intervals.last().map_or(1, |last| last.start + last.nanos) as f64 / 1e9;
    let (time, second) = Unit::Seconds.at(end);
    let inner = WIDTH - LEFT - RIGHT;
    let x = |nanos: u64| LEFT + nanos as f64 / 1e9 / end * inner;
    let bottom = HEIGHT - BOTTOM;
    let place = |value: f64| bottom - y.share(value) * (bottom - TOP);

    let mut svg = open(what, HEIGHT);
    for (at, label) in y.ticks() {
        let line = bottom - at * (bottom - TOP);
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {line:.1}H{:.1}\"/>", WIDTH - RIGHT));
        put(
            &mut svg,
            format_args!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 8.0,
                line + 4.0
            ),
        );
    }
    for tick in scale::ticks(end / second, 8).into_iter().filter(|tick| *tick <= end / second * 1.000_001) {
        let at = LEFT + tick * second / end * inner;
        put(&mut svg, format_args!("<path class=\"axis\" d=\"M{at:.1} {bottom:.1}v5\"/>"));
        put(
            &mut svg,
            format_args!(
                "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 19.0,
                scale::digits(tick)
            ),
        );
    }
    put(
        &mut svg,
        format_args!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom:.1}H{:.1}\"/>", WIDTH - RIGHT),
    );
    put(&mut svg, format_args!("<text class=\"label y\" x=\"4\" y=\"14\">{}</text>", escaped(&y.label())));
    put(
        &mut svg,
        format_args!(
            "<text class=\"label x\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">time since the first operation, {time}</text>",
            LEFT + inner / 2.0,
            HEIGHT - 6.0
        ),
    );
    for curve in curves {
        let mut path = String::new();
        let mut drawn = false;
        for (interval, value) in intervals.iter().zip(&curve.values) {
            let Some(value) = value else {
                drawn = false;
                continue;
            };
            let (from, to, at) =
                (x(interval.start), x(interval.start.saturating_add(interval.nanos)), place(*value));
            match drawn {
                false => put(&mut path, format_args!("M{from:.1} {at:.1}H{to:.1}")),
                true => put(&mut path, format_args!("V{at:.1}H{to:.1}")),
            }
            drawn = true;
        }
        put(&mut svg, format_args!("<path class=\"curve\" stroke=\"{}\" d=\"{path}\"/>", curve.colour));
    }
    // Invisible, but the pointer over them shows the numbers.
    for (index, interval) in intervals.iter().enumerate() {
        let (from, to) = (x(interval.start), x(interval.start.saturating_add(interval.nanos)));
        let mut text = format!("at {}", scale::show_nanos(interval.start.saturating_add(interval.nanos / 2)));
        for curve in curves {
            if let Some(Some(value)) = curve.values.get(index) {
                put(&mut text, format_args!("\n{}: {}", curve.name, y.show(*value)));
            }
        }
        put(
            &mut svg,
            format_args!(
                "<rect class=\"hover\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
                to - from,
                bottom - TOP,
                escaped(&text)
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The spread of one kind of operation's times, in seconds.
#[derive(Clone, Debug)]
pub struct Spread {
    pub name: String,
    pub colour: &'static str,
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// A picture of times, one row to a kind: a bar from the median to the 99th percentile with a mark at the 90th, and a
/// thin line to the longest.
pub fn spreads(what: &str, rows: &[Spread]) -> String {
    const ROW: f64 = 26.0;
    const NAMES: f64 = 190.0;
    let axis = Axis { label: "", unit: Unit::Seconds, log: true };
    let scale = Scale::new(rows.iter().flat_map(|row| [row.median, row.max]), axis);
    let inner = WIDTH - NAMES - RIGHT - 20.0;
    let x = |seconds: f64| NAMES + scale.share(seconds) * inner;
    let bottom = 12.0 + ROW * rows.len() as f64;
    let mut svg = open(what, bottom + BOTTOM);
    for (at, label) in scale.ticks() {
        let at = NAMES + at * inner;
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{at:.1} 6V{bottom:.1}\"/>"));
        put(
            &mut svg,
            format_args!(
                "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 19.0
            ),
        );
    }
    put(&mut svg, format_args!("<path class=\"axis\" d=\"M{NAMES} 6V{bottom:.1}H{:.1}\"/>", NAMES + inner));
    put(
        &mut svg,
        format_args!(
            "<text class=\"label x\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">time of one operation (ns, µs, ms, s; each step is ten times)</text>",
            NAMES + inner / 2.0,
            bottom + 42.0
        ),
    );
    for (index, row) in rows.iter().enumerate() {
        let middle = 12.0 + ROW * (index as f64 + 0.5);
        let (median, p90, p99, max) = (x(row.median), x(row.p90), x(row.p99), x(row.max));
        put(
            &mut svg,
            format_args!(
                "<text class=\"label y\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                NAMES - 10.0,
                middle + 4.0,
                escaped(&row.name)
            ),
        );
        let show = |seconds| scale::show(seconds, Unit::Seconds);
        let text = format!(
            "{}: median {}, 90 % {}, 99 % {}, longest {}",
            row.name,
            show(row.median),
            show(row.p90),
            show(row.p99),
            show(row.max)
        );
        put(&mut svg, format_args!("<g><title>{}</title>", escaped(&text)));
        put(
            &mut svg,
            format_args!(
                "<path stroke=\"{}\" stroke-width=\"1.5\" d=\"M{median:.1} {middle:.1}H{max:.1}M{max:.1} {:.1}v8\"/>",
                row.colour,
                middle - 4.0
            ),
        );
        put(
            &mut svg,
            format_args!(
                "<rect fill=\"{}\" x=\"{median:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"/>",
                row.colour,
                middle - 6.0,
                (p99 - median).max(2.0)
            ),
        );
        put(
            &mut svg,
            format_args!(
                "<path stroke=\"#fff\" stroke-width=\"2\" d=\"M{p90:.1} {:.1}v12\"/></g>",
                middle - 6.0
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn open(what: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", escaped(what))
}

/// Writing to a string cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// From amounts to shares of an axis's length.
struct Scale<'a> {
    axis: Axis<'a>,
    name: &'static str,
    unit: f64,
    /// Of even steps in the unit; of powers the exponents in the base unit.
    steps: Vec<f64>,
}

impl Scale<'_> {
    fn new(values: impl Iterator<Item = f64>, axis: Axis<'_>) -> Scale<'_> {
        let finite = values.filter(|value| value.is_finite());
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        finite.for_each(|value| (least, most) = (least.min(value), most.max(value)));
        if !axis.log {
            let (name, unit) = axis.unit.at(most);
            return Scale { axis, name, unit, steps: scale::ticks(most / unit, 5) };
        }
        let low = least.clamp(1e-9, 1e9).log10().floor();
        let high = most.clamp(1e-9, 1e9).log10().ceil().max(low + 1.0);
        let steps = (low as i32..=high as i32).map(f64::from).collect();
        Scale { axis, name: "", unit: 1.0, steps }
    }

    fn share(&self, value: f64) -> f64 {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else { return 0.0 };
        let at = if self.axis.log { value.max(1e-9).log10() } else { value / self.unit };
        ((at - first) / (last - first)).clamp(0.0, 1.0)
    }

    /// Where, and what stands there.
    fn ticks(&self) -> Vec<(f64, String)> {
        let last = (self.steps.len().max(2) - 1) as f64;
        let label = |step: f64| match self.axis.log {
            true if step >= 0.0 => format!("{} s", 10f64.powf(step)),
            true => scale::show(10f64.powf(step) * 1.000_001, self.axis.unit),
            false => scale::digits(step),
        };
        self.steps.iter().enumerate().map(|(index, step)| (index as f64 / last, label(*step))).collect()
    }

    fn label(&self) -> String {
        self.axis.label.replace("{}", self.name).replace("  ", " ").trim().to_owned()
    }

    fn show(&self, value: f64) -> String {
        scale::show(value, self.axis.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o2_a_curve_stays_inside_its_axes() {
        let intervals: Vec<_> =
            (0..3).map(|n| Interval { start: n * 1_000_000_000, nanos: 1_000_000_000 }).collect();
        let curve = |values| Curve { name: "a <b>".into(), colour: "#000", values };
        let axis = Axis { label: "throughput, {}/s", unit: Unit::Bytes, log: false };
        let svg = over_time("x", &intervals, axis, &[curve(vec![Some(0.0), None, Some(2097152.0)])]);
        assert!(
            svg.contains("throughput, MiB/s") && svg.contains("time since the first operation, s"),
            "{svg}"
        );
        assert!(svg.contains("M64.0 212.0H356.0M648.0 30.0H940.0"), "{svg}");
        assert!(svg.contains("a &lt;b&gt;: 2 MiB") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn o2_a_log_axis_has_powers_of_ten() {
        let row =
            Spread { name: "GET".into(), colour: "#000", median: 0.000_31, p90: 0.001, p99: 0.02, max: 4.0 };
        let svg = spreads("x", &[row]);
        for label in [">100 µs<", ">1 ms<", ">10 ms<", ">100 ms<", ">1 s<", ">10 s<"] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
    }
}
