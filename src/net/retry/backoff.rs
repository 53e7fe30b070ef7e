//! How long to wait before the next attempt.

use crate::base::date::Timestamp;
use crate::base::random::{Random, seed};
use std::time::Duration;

/// The shortest pause.
pub const SHORTEST: Duration = Duration::from_millis(50);
/// The longest pause that is not the service's wish.
pub const LONGEST: Duration = Duration::from_secs(20);

/// Pauses with decorrelated jitter: each is somewhere between the shortest and three times the one
/// before. Callers that failed together come back apart ("Exponential Backoff And Jitter", AWS
/// Architecture Blog).
#[derive(Clone, Debug)]
pub struct Backoff {
    /// None until the first pause: most operations need none.
    random: Option<Random>,
    previous: Duration,
}

impl Backoff {
    /// The same seed gives the same pauses.
    pub fn new(seed: u64) -> Backoff {
        Backoff { random: Some(Random::new(seed)), previous: SHORTEST }
    }

    /// Pauses that no other operation, process or machine has, also after a fork.
    pub fn random() -> Backoff {
        Backoff { random: None, previous: SHORTEST }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let most = self.previous.saturating_mul(3).min(LONGEST);
        self.previous = SHORTEST + self.below(most.saturating_sub(SHORTEST));
        self.previous
    }

    /// Starts with short pauses again.
    pub fn reset(&mut self) {
        self.previous = SHORTEST;
    }

    /// What the service asked for and up to a tenth more, so that not all come back in one moment.
    pub fn after(&mut self, asked: Duration) -> Duration {
        asked.saturating_add(self.below((asked / 10).min(LONGEST)))
    }

    /// Pauses that differ from these.
    pub fn fork(&mut self) -> Backoff {
        Backoff::new(self.numbers().next())
    }

    /// Anything from nothing to `most`, to the microsecond.
    fn below(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.numbers().up_to(most))
    }

    fn numbers(&mut self) -> &mut Random {
        self.random.get_or_insert_with(|| Random::new(seed()))
    }
}

/// How long an answer asks to wait, by the first of its headers that can be read:
/// `x-ms-retry-after-ms`, `retry-after-ms`, `retry-after` in seconds or as a date. A date counts from
/// the answer's own `date`, else from `now`. `header` finds a header by its lower-case name.
pub fn retry_after<'a>(header: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Option<Duration> {
    let number = |name: &str| header(name).and_then(|text| text.trim().parse::<u64>().ok());
    let millis = number("x-ms-retry-after-ms").or_else(|| number("retry-after-ms"));
    let seconds = || number("retry-after").map(Duration::from_secs);
    let until = || {
        let until = Timestamp::parse_http(header("retry-after")?.trim())?;
        let from = header("date").and_then(Timestamp::parse_http).unwrap_or(now);
        Some(Duration::from_secs(u64::try_from(until.unix() - from.unix()).unwrap_or(0)))
    };
    millis.map(Duration::from_millis).or_else(seconds).or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_decorrelated_bounded_and_repeatable() {
        let (mut pauses, mut again) = (Backoff::new(7), Backoff::new(7));
        let mut before = SHORTEST;
        let mut longest = before;
        for _ in 0..10_000 {
            let pause = pauses.pause();
            assert_eq!(pause, again.pause());
            assert!(pause >= SHORTEST && pause <= (before * 3).min(LONGEST), "{before:?} {pause:?}");
            longest = longest.max(pause);
            before = pause;
        }
        assert!(longest > LONGEST.mul_f64(0.95), "{longest:?}");
        pauses.reset();
        assert!(pauses.pause() <= SHORTEST * 3);
        let firsts: std::collections::BTreeSet<_> =
            (0..1000).map(|seed| Backoff::new(seed).pause()).collect();
        assert!(firsts.len() > 900, "callers come back apart: {}", firsts.len());
        let mean = firsts.iter().sum::<Duration>() / firsts.len() as u32;
        assert!((95..105).contains(&mean.as_millis()), "{mean:?}");
        assert_ne!(seed(), seed());
    }

    #[test]
    fn what_the_service_asks_for_is_the_least() {
        let mut pauses = Backoff::new(1);
        for asked in [0, 1, 30_000, 100_000].map(Duration::from_millis) {
            let pause = pauses.after(asked);
            assert!(pause >= asked && pause <= asked + asked / 10, "{asked:?} {pause:?}");
        }
        assert_eq!(pauses.after(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now = Timestamp::from_unix(784_111_777);
        let ask = |headers: &[(&str, &'static str)]| {
            retry_after(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value), now)
        };
        let date = "Sun, 06 Nov 1994 08:49:47 GMT"; // ten seconds after `now`
        assert_eq!(ask(&[]), None);
        assert_eq!(ask(&[("retry-after", " 3 ")]), Some(Duration::from_secs(3)));
        assert_eq!(ask(&[("retry-after", date)]), Some(Duration::from_secs(10)));
        assert_eq!(
            ask(&[("retry-after", date), ("date", "Sun, 06 Nov 1994 08:49:45 GMT")]),
            Some(Duration::from_secs(2)),
            "this machine's clock does not matter"
        );
        assert_eq!(
            ask(&[("retry-after", date), ("date", "Sun, 06 Nov 1994 08:50:45 GMT")]),
            Some(Duration::ZERO),
            "a date in the past"
        );
        assert_eq!(ask(&[("retry-after", "3"), ("retry-after-ms", "70")]), Some(Duration::from_millis(70)));
        assert_eq!(
            ask(&[("retry-after-ms", "70"), ("x-ms-retry-after-ms", "80")]),
            Some(Duration::from_millis(80))
        );
        assert_eq!(ask(&[("retry-after", "3"), ("retry-after-ms", "x")]), Some(Duration::from_secs(3)));
        for bad in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994"] {
            assert_eq!(ask(&[("retry-after", bad)]), None, "{bad:?}");
        }
    }
}
