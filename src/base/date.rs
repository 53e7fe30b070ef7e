//! Points in time as services write them: the compact form of AWS signatures and HTTP's dates.

use std::fmt;
use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

/// A second in UTC, from 1970 to the end of 9999: what is outside is moved to the nearer end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Timestamp(i64);

/// The last second of the year 9999.
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // from 1970-01-01 on
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Timestamp {
    /// From seconds since 1970.
    pub const fn from_unix(seconds: i64) -> Timestamp {
        match seconds {
            ..0 => Timestamp(0),
            0..=LAST => Timestamp(seconds),
            _ => Timestamp(LAST),
        }
    }

    /// What this machine's clock says.
    pub fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(LAST))
    }

    /// Seconds since 1970.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// So many seconds later, or earlier.
    pub const fn plus(self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.0.saturating_add(seconds))
    }

    /// `20130524T000000Z`, as `x-amz-date` has it; its first eight bytes are the day.
    pub fn compact(self) -> Text<16> {
        let (date, time) = (self.date(), self.time());
        let mut text = *b"00000000T000000Z";
        digits(&mut text[0..4], date.year);
        digits(&mut text[4..6], date.month);
        digits(&mut text[6..8], date.day);
        digits(&mut text[9..11], time[0]);
        digits(&mut text[11..13], time[1]);
        digits(&mut text[13..15], time[2]);
        Text(text)
    }

    /// `2013-05-24T00:00:00Z`, as RFC 3339 has it.
    pub fn rfc3339(self) -> Text<20> {
        let (date, time) = (self.date(), self.time());
        let mut text = *b"0000-00-00T00:00:00Z";
        digits(&mut text[0..4], date.year);
        digits(&mut text[5..7], date.month);
        digits(&mut text[8..10], date.day);
        digits(&mut text[11..13], time[0]);
        digits(&mut text[14..16], time[1]);
        digits(&mut text[17..19], time[2]);
        Text(text)
    }

    /// `Fri, 24 May 2013 00:00:00 GMT`, as HTTP and `x-ms-date` have it (IMF-fixdate of RFC 9110, RFC 1123).
    pub fn http(self) -> Text<29> {
        let (date, time) = (self.date(), self.time());
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[0..3].copy_from_slice(name(&WEEKDAYS, self.0 / DAY % 7));
        digits(&mut text[5..7], date.day);
        text[8..11].copy_from_slice(name(&MONTHS, date.month - 1));
        digits(&mut text[12..16], date.year);
        digits(&mut text[17..19], time[0]);
        digits(&mut text[20..22], time[1]);
        digits(&mut text[23..25], time[2]);
        Text(text)
    }

    /// One of the three forms that RFC 9110 demands of a recipient: `Sun, 06 Nov 1994 08:49:37 GMT`,
    /// `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. The weekday is not checked.
    pub fn parse_http(text: &str) -> Option<Timestamp> {
        let mut parts = [""; 6];
        let mut count = 0;
        for part in text.split([' ', ',', '-']).filter(|part| !part.is_empty()) {
            *parts.get_mut(count)? = part;
            count += 1;
        }
        let (day, month, year, time) = match parts {
            [_, day, month, year, time, "GMT" | "UTC"] => (day, month, year, time),
            [_, month, day, time, year, ""] => (day, month, year, time),
            _ => return None,
        };
        let year = match (year.len(), number(year)?) {
            (4, year) => year,
            (2, year) => year + if year < 70 { 2000 } else { 1900 },
            _ => return None,
        };
        let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
        let month = i64::try_from(month).ok()? + 1;
        let mut clock = time.split(':').map(|part| if part.len() == 2 { number(part) } else { None });
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let day = number(day)?;
        let days = days_of(year, month, day)?;
        let sane = hour < 24 && minute < 60 && second <= 60 && clock.next().is_none() && year >= 1970;
        sane.then(|| Timestamp::from_unix(days * DAY + hour * 3600 + minute * 60 + second))
    }

    /// `2013-05-24T00:00:00` at the start of a text, in UTC, and what follows it: a fraction, an offset.
    pub fn parse_rfc3339_second(text: &str) -> Option<(i64, &str)> {
        let shape = b"0000-00-00T00:00:00";
        let (second, rest) = text.split_at_checked(shape.len())?;
        let fits = |(byte, shape): (u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            shape => byte.to_ascii_uppercase() == *shape,
        };
        if !second.bytes().zip(shape).all(fits) {
            return None;
        }
        let part = |from, to| number(&second[from..to]);
        let days = days_of(part(0, 4)?, part(5, 7)?, part(8, 10)?)?;
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        let sane = hour < 24 && minute < 60 && second <= 60;
        sane.then_some((days * DAY + hour * 3600 + minute * 60 + second, rest))
    }

    fn time(self) -> [i64; 3] {
        let second = self.0 % DAY;
        [second / 3600, second / 60 % 60, second % 60]
    }

    /// The Gregorian date. Counts from 0000-03-01, so that a leap day ends its year.
    fn date(self) -> Date {
        let days = self.0 / DAY + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let (month, carry) = if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
        Date { year: era * 400 + year_of_era + carry, month, day }
    }
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

/// Days since 1970 of a date that exists.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468)
}

fn number(text: &str) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn name(names: &[&'static str], index: i64) -> &'static [u8] {
    usize::try_from(index).ok().and_then(|index| names.get(index)).map_or(b"???", |name| name.as_bytes())
}

fn digits(place: &mut [u8], number: i64) {
    let mut rest = number;
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// A text of `N` ASCII characters, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::time::{OffsetDateTime, to_rfc7231};

    #[test]
    fn known_dates() {
        let example = Timestamp::from_unix(1_369_353_600);
        assert_eq!(&*example.compact(), "20130524T000000Z");
        assert_eq!(&*example.http(), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(&*Timestamp::from_unix(-5).compact(), "19700101T000000Z");
        assert_eq!(&*Timestamp::from_unix(i64::MAX).compact(), "99991231T235959Z");
        assert_eq!(Timestamp::from_unix(7).plus(i64::MIN), Timestamp::from_unix(0));
    }

    /// Every day from 1970 to 2110 and a stride over the rest, against the `time` crate.
    #[test]
    fn dates_are_those_of_the_time_crate() {
        let dense = (0..51_500).map(|day| day * DAY + day % DAY);
        let sparse = (0..30_000).map(|step| LAST - step * 8_111_111);
        for second in dense.chain(sparse) {
            let ours = Timestamp::from_unix(second);
            let theirs = OffsetDateTime::from_unix_timestamp(second).unwrap();
            assert_eq!(&*ours.http(), to_rfc7231(&theirs), "{second}");
            let (date, time) = (theirs.date(), theirs.time());
            let compact = format!(
                "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            );
            assert_eq!(&*ours.compact(), compact, "{second}");
            assert_eq!(Timestamp::parse_http(&ours.http()), Some(ours), "{second}");
        }
    }

    #[test]
    fn the_three_forms_of_http_dates() {
        let when = Some(Timestamp::from_unix(784_111_777));
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(Timestamp::parse_http(text), when, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "120",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 2020 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Sun, 00 Feb 2020 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:11 GMT",
            "Sun, 06 Nov 19944 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        ] {
            assert_eq!(Timestamp::parse_http(text), None, "{text}");
        }
    }
}
