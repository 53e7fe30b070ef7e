//! Text forms: percent escapes, XML, dates, patterns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Undoes percent escapes; a broken one stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Escapes everything but the unreserved characters of RFC 3986 and those in `keep`.
pub fn percent_encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ if keep.as_bytes().contains(&byte) => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The pairs of a query or form, decoded.
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name), percent_decode(value))
        })
        .collect()
}

/// Text of an XML element. Control characters become references, as S3 sends them.
pub fn xml_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push_str(&format!("&#x{:X};", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Whether XML 1.0 can hold the text unchanged.
pub fn fits_xml(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

fn xml_unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((name, after)) = rest.split_once(';') else {
            out.push('&');
            continue;
        };
        let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        });
        let known = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => number.and_then(char::from_u32),
        };
        match known {
            Some(c) => {
                out.push(c);
                rest = after;
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

/// The elements of this name in a request's body, in order, as the text inside them.
/// Enough for request bodies of S3 and Azure, in which no element contains one of its own name.
pub fn xml_elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    xml_children(xml).into_iter().fold(Vec::new(), |mut found, (tag, inside)| {
        match tag == name {
            true => found.push(inside),
            false => found.extend(xml_elements(inside, name)),
        }
        found
    })
}

/// The text of the first element of this name.
pub fn xml_text(xml: &str, name: &str) -> Option<String> {
    xml_elements(xml, name).first().map(|inside| xml_unescape(inside))
}

/// The elements at the top of a piece of XML: name and inside.
pub fn xml_children(xml: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some((tag, after)) = rest.split_once('>') else { break };
        rest = after;
        if tag.starts_with(['?', '!', '/']) {
            continue;
        }
        let name = tag.split([' ', '/', '\t', '\r', '\n']).next().unwrap_or(tag);
        if tag.ends_with('/') {
            found.push((name, ""));
            continue;
        }
        let close = format!("</{name}>");
        let Some(end) = rest.find(&close) else { break };
        found.push((name, &rest[..end]));
        rest = &rest[end + close.len()..];
    }
    found
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month (1 to 12), day, seconds of the day, weekday (0 is Sunday).
fn civil(time: SystemTime) -> (i64, usize, i64, u64, usize) {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let days = (seconds / 86_400) as i64;
    // Days since 0000-03-01, in eras of 400 years.
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as usize;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, seconds % 86_400, ((days + 4) % 7) as usize)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(time: SystemTime) -> String {
    let (year, month, day, s, weekday) = civil(time);
    let (weekday, month) = (DAYS[weekday], MONTHS[month - 1]);
    format!("{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT", s / 3600, s / 60 % 60, s % 60)
}

/// `1994-11-06T08:49:37.000Z`.
pub fn iso_date(time: SystemTime) -> String {
    let (year, month, day, s, _) = civil(time);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z", s / 3600, s / 60 % 60, s % 60)
}

fn from_civil(year: i64, month: i64, day: i64, seconds: u64) -> Option<SystemTime> {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    let total = u64::try_from(days).ok()? * 86_400 + seconds;
    Some(UNIX_EPOCH + Duration::from_secs(total))
}

fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
    Some(parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??)
}

/// Reads what [`http_date`] writes.
pub fn parse_http_date(text: &str) -> Option<SystemTime> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year = words.next()?.parse().ok()?;
    from_civil(year, month, day, clock(words.next()?)?)
}

/// Reads `19941106T084937Z`, the date of AWS signatures.
pub fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let seconds = number(9..11)? * 3600 + number(11..13)? * 60 + number(13..15)?;
    from_civil(number(0..4)?, number(4..6)?, number(6..8)?, u64::try_from(seconds).ok()?)
}

/// Whether `text` matches `pattern`, in which `*` stands for any text and `?` for one character.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_known_answers() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(iso_date(time), "1994-11-06T08:49:37.000Z");
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(time));
        assert_eq!(parse_amz_date("19941106T084937Z"), Some(time));
        assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(951_782_400)), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(parse_amz_date("2000"), None);
    }

    #[test]
    fn patterns() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*/k?", "box/k1", true),
            ("*/k?", "box/k12", false),
            ("a*b*c", "aXbXbXc", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn escapes_go_both_ways() {
        let text = "a b/%+\u{44f}";
        assert_eq!(percent_encode(text, "/"), "a%20b/%25%2B%D1%8F");
        assert_eq!(percent_decode(&percent_encode(text, "")), text);
        assert_eq!(percent_decode("%zz%"), "%zz%");
        let xml =
            "<D a='1'><Object><Key>a&amp;b&#x9;&lt;</Key></Object><Object><Key>c</Key></Object><Q/></D>";
        let keys: Vec<_> = xml_elements(xml, "Object").iter().filter_map(|o| xml_text(o, "Key")).collect();
        assert_eq!(keys, ["a&b\t<", "c"]);
        assert_eq!(xml_text(xml, "Q").as_deref(), Some(""));
        assert_eq!(xml_text(&format!("<K>{}</K>", xml_escape("<\u{1}&>")), "K").as_deref(), Some("<\u{1}&>"));
    }
}
