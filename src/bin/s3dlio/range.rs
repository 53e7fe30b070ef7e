//! Ranges of bytes as HTTP writes them: `0-99`, `100-`, `-100`.

use clap::{Arg, ArgMatches};
use s3dlio::api::{Code, Error, Result};

/// A range as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the first byte to the last one, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

pub fn arg() -> Arg {
    Arg::new("range")
        .long("range")
        .value_name("FIRST-LAST")
        .allow_hyphen_values(true)
        .help("These bytes only, counted from 0: 0-99, 100- (to the end), -100 (the last 100)")
}

pub fn of(given: &ArgMatches) -> Result<Option<Range>> {
    given.get_one::<String>("range").map(|text| Range::parse(text)).transpose()
}

impl Range {
    fn parse(text: &str) -> Result<Range> {
        let wrong = || {
            let message = format!("{text:?} is no range; expected FIRST-LAST, FIRST- or -COUNT");
            Error::new(Code::InvalidArgument, message)
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        match text.split_once('-').ok_or_else(wrong)? {
            ("", count) => Ok(Range::Last(number(count)?)),
            (first, "") => Ok(Range::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first { Err(wrong()) } else { Ok(Range::From(first, Some(last))) }
            }
        }
    }

    /// Length and start in an object of this size; `Range` where it starts past its end.
    pub fn within(self, size: u64) -> Result<(u64, u64)> {
        match self {
            Range::Last(count) => Ok((count.min(size), size - count.min(size))),
            Range::From(first, _) if first > size => {
                let message = format!("the range starts at {first}, but the object has {size} bytes");
                Err(Error::new(Code::Range, message))
            }
            Range::From(first, last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                Ok((end - first.min(end), first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_ranges_are_those_of_http() {
        let within = |text: &str, size| Range::parse(text).and_then(|range| range.within(size));
        assert_eq!(within("0-99", 1000).unwrap(), (100, 0));
        assert_eq!(within("990-2000", 1000).unwrap(), (10, 990));
        assert_eq!(within("1000-", 1000).unwrap(), (0, 1000));
        assert_eq!(within("-100", 1000).unwrap(), (100, 900));
        assert_eq!(within("-100", 10).unwrap(), (10, 0));
        assert_eq!(within("1001-", 1000).unwrap_err().code(), Code::Range);
        // Whatever is asked for lies within the object.
        let numbers = [0, 1, 7, 999, 1000, 1001, u64::MAX - 1, u64::MAX];
        let pairs = numbers.iter().flat_map(|first| numbers.map(|last| (*first, last)));
        for ((first, last), size) in pairs.flat_map(|pair| numbers.map(|size| (pair, size))) {
            for text in [format!("{first}-{last}"), format!("{first}-"), format!("-{last}")] {
                let Ok((start, length)) = within(&text, size) else { continue };
                assert!(start.checked_add(length).is_some_and(|end| end <= size), "{text} of {size}");
            }
        }
        for text in ["", "-", "5", "9-1", "a-b", "1-2-3", "-0x1"] {
            assert_eq!(Range::parse(text).unwrap_err().code(), Code::InvalidArgument, "{text}");
        }
    }
}
