//! The service's clock, as far as this machine knows it: signatures of a wrong time are refused.

use crate::base::date::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};

/// This machine's clock and the seconds that the service is ahead of it. One per endpoint, shared.
#[derive(Debug, Default)]
pub struct Clock {
    ahead: AtomicI64,
}

/// When an answer was asked for and when its head came, both by this machine's own clock, and what
/// its headers say of time.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub sent: Timestamp,
    pub received: Timestamp,
    /// The header `Date`.
    pub date: Option<&'a str>,
    /// The header `Age`: with it, the answer comes from a cache and its date says nothing.
    pub age: Option<&'a str>,
}

/// Services refuse signatures that are 15 minutes off; they may have counted from an earlier moment.
const TOLERANCE: i64 = 300;
/// Longer exchanges do not show where between its ends the date was written.
const SHORT: i64 = 120;

impl Clock {
    pub const fn new() -> Clock {
        Clock { ahead: AtomicI64::new(0) }
    }

    /// The time to sign with.
    pub fn now(&self) -> Timestamp {
        Timestamp::now().plus(self.ahead())
    }

    /// The seconds that the service's clock is ahead of this machine's.
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Follows the date of an answer. False: the answer has no date that can be trusted, so there is
    /// no sense in another try. Every request in flight may ask for the same correction.
    pub fn correct(&self, answer: &Exchange<'_>) -> bool {
        let Some((least, most)) = answer.bounds() else { return false };
        // A server writes the date when it begins to answer, which after a long upload is at its end.
        let ahead = if most - least <= SHORT { least + (most - least) / 2 } else { least };
        self.ahead.store(ahead, Ordering::Relaxed);
        true
    }
}

impl Exchange<'_> {
    /// Whether a request that was signed with a clock so far ahead of this machine's was signed with a
    /// wrong time: what a service calls a wrong signature may be that.
    pub fn shows_skew(&self, ahead: i64) -> bool {
        self.bounds().is_some_and(|(least, most)| ahead < least - TOLERANCE || ahead > most + TOLERANCE)
    }

    /// Between which seconds the service is ahead.
    fn bounds(&self) -> Option<(i64, i64)> {
        let date = self.date.filter(|_| self.age.is_none()).and_then(Timestamp::parse_http)?.unix();
        let (sent, received) = (self.sent.unix(), self.received.unix().max(self.sent.unix()));
        Some((date - received, date - sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 24 May 2013 00:00:00 GMT";
    const UNIX: i64 = 1_369_353_600;

    fn answer(sent: i64, received: i64) -> Exchange<'static> {
        let at = |second| Timestamp::from_unix(UNIX + second);
        Exchange { sent: at(sent), received: at(received), date: Some(DATE), age: None }
    }

    #[test]
    fn the_offset_is_taken_from_the_middle_of_an_exchange() {
        let clock = Clock::new();
        assert!(clock.correct(&answer(-3601, -3599)));
        assert_eq!(clock.ahead(), 3600);
        assert!(clock.correct(&answer(3598, 3602)), "corrections do not add up");
        assert_eq!(clock.ahead(), -3600);
        assert!((clock.now().unix() - Timestamp::now().unix() + 3600).abs() <= 1);
        assert!(clock.correct(&answer(-1000, 0)), "a long upload's answer is dated at its end");
        assert_eq!(clock.ahead(), 0);
    }

    #[test]
    fn dates_of_caches_and_broken_ones_are_not_followed() {
        let clock = Clock::new();
        assert!(!clock.correct(&Exchange { age: Some("5"), ..answer(-3600, -3600) }));
        assert!(!clock.correct(&Exchange { date: None, ..answer(-3600, -3600) }));
        assert!(!clock.correct(&Exchange { date: Some("soon"), ..answer(-3600, -3600) }));
        assert_eq!(clock.ahead(), 0);
    }

    #[test]
    fn skew_is_what_neither_end_of_the_exchange_explains() {
        assert!(!answer(-1, 1).shows_skew(0));
        assert!(!answer(-299, -299).shows_skew(0));
        assert!(answer(-3600, -3599).shows_skew(0));
        assert!(!answer(-3600, -3599).shows_skew(3600), "signed with the corrected time");
        assert!(answer(-1, 1).shows_skew(3600));
        assert!(!answer(-3600, 0).shows_skew(0), "an hour's upload");
        assert!(!Exchange { age: Some("1"), ..answer(-3600, -3600) }.shows_skew(0));
    }
}
