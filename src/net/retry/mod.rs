//! Whether and when a failed attempt is made again. No I/O and no clock of its own: the caller makes
//! the attempts, sleeps, and says what time it is.
//!
//! ```text
//! classify   what a failure means: one table      lost   the data plane's failures in its words
//! backoff    how long to wait: decorrelated jitter, Retry-After
//! bucket     how many retries an endpoint bears
//! Attempts   the three together, for one logical operation
//! ```

pub mod backoff;
pub mod bucket;
pub mod classify;
mod lost;

use crate::error::Error;
use crate::metrics::REQUESTS;
use crate::options::{self, Resolved};
use backoff::Backoff;
use bucket::Bucket;
use classify::{Action, Failure, Lost, RequestKind, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A read that got so much further since its last failure has had a good connection: what failed
/// before is forgotten.
pub const GOOD_PROGRESS: u64 = 1 << 20;
/// Without a deadline, the longest that a service may make an operation wait.
pub const LONGEST_WISH: Duration = Duration::from_secs(300);

/// What the options say of attempts and time.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The first one included; at least 1.
    pub max_attempts: u32,
    /// Of one logical operation with all its attempts and pauses.
    pub operation_timeout: Option<Duration>,
}

impl RetryPolicy {
    pub fn from_options(options: &Resolved) -> RetryPolicy {
        let timeout = options.duration(&options::NET_OPERATION_TIMEOUT_MS);
        RetryPolicy {
            max_attempts: u32::try_from(options.number(&options::NET_MAX_ATTEMPTS))
                .unwrap_or(u32::MAX)
                .max(1),
            operation_timeout: (!timeout.is_zero()).then_some(timeout),
        }
    }

    /// The attempts of an operation that begins now, on the budget of its endpoint, with these pauses.
    pub fn start(
        &self,
        service: Service,
        kind: RequestKind,
        bucket: &Arc<Bucket>,
        now: Instant,
        backoff: Backoff,
    ) -> Attempts {
        REQUESTS.first();
        Attempts {
            max_attempts: self.max_attempts.max(1),
            deadline: self.operation_timeout.and_then(|timeout| now.checked_add(timeout)),
            started: now,
            service,
            kind,
            bucket: bucket.clone(),
            backoff,
            made: 1,
            counted: 1,
            price: 0,
            progress: 0,
            open: false,
            did: Once::default(),
        }
    }
}

/// The state of one logical operation: from its first attempt to its success or its last failure.
#[derive(Debug)]
pub struct Attempts {
    max_attempts: u32,
    deadline: Option<Instant>,
    started: Instant,
    service: Service,
    kind: RequestKind,
    bucket: Arc<Bucket>,
    backoff: Backoff,
    /// All attempts, the running one included.
    made: u32,
    /// Those since good progress.
    counted: u32,
    /// What the running attempt took out of the bucket.
    price: u32,
    /// Bytes since the last failure.
    progress: u64,
    /// An attempt's outcome is unknown: the write may have happened.
    open: bool,
    did: Once,
}

/// What is done once only, since it did not help if it is needed again.
#[derive(Clone, Copy, Default, Debug)]
struct Once {
    replayed: bool,
    refreshed: bool,
    corrected: bool,
    redirected: bool,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Wait, do what is to be done first, try again.
    Retry {
        wait: Duration,
        first: First,
    },
    /// Wait, then find out whether the write happened ([`Attempts::inquiry`]). If it did not,
    /// [`Attempts::not_applied`] says how to go on.
    Resolve {
        wait: Duration,
    },
    GiveUp(GiveUp),
}

/// What has to be done before the next attempt. What cannot be done (no newer credentials, no date to
/// set the clock by, no endpoint for the region) ends the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    Nothing,
    /// Take no connection that was used before.
    FreshConnection,
    RefreshCredentials,
    CorrectClock,
    RedirectRegion,
}

/// The end of an operation that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GiveUp {
    pub reason: Reason,
    /// A write of which an attempt may have happened: `unknown_outcome` unless the caller knows better.
    pub outcome_unknown: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Another attempt would fail alike.
    Final,
    /// New credentials, the corrected clock or the other region have not helped.
    DidNotHelp,
    Attempts,
    /// There is not so much time.
    Deadline,
    /// The service asks to wait for longer than [`LONGEST_WISH`].
    LongWait,
    /// The endpoint fails too many requests to be asked again.
    Budget,
}

impl Reason {
    /// For an error's hint; None where the failure itself says all.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Reason::Final => None,
            Reason::DidNotHelp => Some("it was corrected and tried once more, without success"),
            Reason::Attempts => Some("raise net.max_attempts to try more often"),
            Reason::Deadline => Some("raise net.operation_timeout_ms"),
            Reason::LongWait => Some("the service asks to wait for more than five minutes; try later"),
            Reason::Budget => {
                Some("not tried again, since most requests to this endpoint fail at the moment; try later")
            }
        }
    }
}

impl Attempts {
    /// What to do about the running attempt's failure; `retry_after` is the answer's wish
    /// ([`backoff::retry_after`]). Where it says retry, the next attempt is the running one.
    pub fn next(&mut self, failure: &Failure<'_>, retry_after: Option<Duration>, now: Instant) -> Decision {
        let row = classify::find(self.service, failure);
        let action = row.action(self.kind, self.open);
        self.open |= self.kind != RequestKind::Read && row.leaves_open();
        self.progress = 0;
        let timeout = matches!(failure, Failure::Lost(Lost::ConnectTimeout | Lost::ProgressTimeout));
        let price = if timeout { bucket::RETRY_AFTER_TIMEOUT } else { bucket::RETRY };
        match action {
            Action::Fail => self.give_up(match failure {
                Failure::Lost(Lost::Deadline) => Reason::Deadline,
                _ => Reason::Final,
            }),
            Action::RetryNow if !self.did.replayed => {
                self.did.replayed = true;
                self.replay(now)
            }
            Action::RetryNow | Action::RetryAfterBackoff => self.retry(price, retry_after, now),
            Action::RefreshCredentials => self.once(|did| &mut did.refreshed, First::RefreshCredentials, now),
            Action::CorrectClock => self.once(|did| &mut did.corrected, First::CorrectClock, now),
            Action::RedirectRegion => self.once(|did| &mut did.redirected, First::RedirectRegion, now),
            Action::ResolveOutcome => match self.pause(retry_after, now) {
                Ok(wait) => Decision::Resolve { wait },
                Err(reason) => self.give_up(reason),
            },
        }
    }

    /// After [`Decision::Resolve`]: the write has not happened. A later answer may still be the
    /// consequence of the lost attempt, so it stays possible.
    pub fn not_applied(&mut self, now: Instant) -> Decision {
        match self.charge(bucket::RETRY, Duration::ZERO, now) {
            Ok(()) => Decision::Retry { wait: Duration::ZERO, first: First::Nothing },
            Err(reason) => self.give_up(reason),
        }
    }

    /// The attempts of a question that belongs to this operation: they count from one again, the
    /// deadline and the budget are the same.
    pub fn inquiry(&mut self, kind: RequestKind) -> Attempts {
        REQUESTS.first();
        Attempts {
            backoff: self.backoff.fork(),
            bucket: self.bucket.clone(),
            kind,
            made: 1,
            counted: 1,
            price: 0,
            progress: 0,
            open: false,
            did: Once::default(),
            ..*self
        }
    }

    /// The operation succeeded.
    pub fn succeeded(&mut self) {
        let price = std::mem::take(&mut self.price);
        self.bucket.give(price.max(bucket::SUCCESS));
    }

    /// A read got further by so many bytes. After [`GOOD_PROGRESS`] without a failure, its earlier
    /// failures do not count any more.
    pub fn progressed(&mut self, bytes: u64) {
        self.progress = self.progress.saturating_add(bytes);
        if self.kind == RequestKind::Read && self.progress >= GOOD_PROGRESS && self.failed_before() {
            self.counted = 1;
            self.did = Once::default();
            self.backoff.reset();
            self.bucket.give(std::mem::take(&mut self.price));
        }
    }

    /// All attempts, the running one included.
    pub fn made(&self) -> u32 {
        self.made
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Says that an earlier sending of this write, which nobody asked about, may have happened.
    pub fn leave_open(&mut self) {
        self.open |= self.kind != RequestKind::Read;
    }

    /// An earlier attempt of this write may have happened.
    pub fn outcome_open(&self) -> bool {
        self.open
    }

    /// Notes attempts and time on the error that is reported, and why there are no more of them.
    pub fn annotate(&self, error: Error, end: GiveUp, now: Instant) -> Error {
        let error = error.with_attempts(self.made, now.saturating_duration_since(self.started));
        match end.reason.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn failed_before(&self) -> bool {
        self.counted > 1 || self.did.replayed
    }

    fn give_up(&self, reason: Reason) -> Decision {
        Decision::GiveUp(GiveUp { reason, outcome_unknown: self.open })
    }

    /// A connection that was closed while idle says nothing of the service: free of charge.
    fn replay(&mut self, now: Instant) -> Decision {
        if self.is_late(Duration::ZERO, now) {
            return self.give_up(Reason::Deadline);
        }
        self.made += 1;
        REQUESTS.again();
        Decision::Retry { wait: Duration::ZERO, first: First::FreshConnection }
    }

    fn once(&mut self, done: impl Fn(&mut Once) -> &mut bool, first: First, now: Instant) -> Decision {
        if std::mem::replace(done(&mut self.did), true) {
            return self.give_up(Reason::DidNotHelp);
        }
        match self.charge(0, Duration::ZERO, now) {
            Ok(()) => Decision::Retry { wait: Duration::ZERO, first },
            Err(reason) => self.give_up(reason),
        }
    }

    fn retry(&mut self, price: u32, asked: Option<Duration>, now: Instant) -> Decision {
        let ready = self.pause(asked, now).and_then(|wait| self.charge(price, wait, now).map(|()| wait));
        match ready {
            Ok(wait) => Decision::Retry { wait, first: First::Nothing },
            Err(reason) => self.give_up(reason),
        }
    }

    /// The pause before the next request, if there is time for it.
    fn pause(&mut self, asked: Option<Duration>, now: Instant) -> Result<Duration, Reason> {
        let jittered = self.backoff.pause();
        let wait = asked.map_or(jittered, |asked| self.backoff.after(asked).max(jittered));
        if self.deadline.is_none() && asked.is_some_and(|asked| asked > LONGEST_WISH) {
            return Err(Reason::LongWait);
        }
        if self.is_late(wait, now) { Err(Reason::Deadline) } else { Ok(wait) }
    }

    /// Counts the next attempt and pays for it.
    fn charge(&mut self, price: u32, wait: Duration, now: Instant) -> Result<(), Reason> {
        if self.counted >= self.max_attempts {
            return Err(Reason::Attempts);
        }
        if self.is_late(wait, now) {
            return Err(Reason::Deadline);
        }
        if price > 0 && !self.bucket.take(price, now) {
            return Err(Reason::Budget);
        }
        self.price = price;
        self.counted += 1;
        self.made = self.made.saturating_add(1);
        REQUESTS.again();
        Ok(())
    }

    fn is_late(&self, wait: Duration, now: Instant) -> bool {
        let then = now.checked_add(wait);
        self.deadline.is_some_and(|deadline| then.is_none_or(|then| then >= deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::classify::Answer;
    use super::*;
    use crate::error::Code;
    use RequestKind::{Commit, Read, Write};

    const MIB: u64 = 1 << 20;

    struct Fixture {
        start: Instant,
        bucket: Arc<Bucket>,
        policy: RetryPolicy,
    }

    impl Fixture {
        fn new(max_attempts: u32, timeout: Option<u64>) -> Fixture {
            let start = Instant::now();
            let operation_timeout = timeout.map(Duration::from_secs);
            let policy = RetryPolicy { max_attempts, operation_timeout };
            Fixture { start, bucket: Arc::new(Bucket::new(start)), policy }
        }

        fn begin(&self, kind: RequestKind) -> Attempts {
            self.policy.start(Service::S3, kind, &self.bucket, self.start, Backoff::new(42))
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn spent(&self) -> u32 {
            bucket::CAPACITY - self.bucket.tokens(self.start)
        }
    }

    fn status(status: u16) -> Failure<'static> {
        Failure::Answer(Answer { status, ..Answer::default() })
    }

    fn code(status: u16, code: &'static str) -> Failure<'static> {
        Failure::Answer(Answer { status, code: Some(code), ..Answer::default() })
    }

    fn end(reason: Reason, outcome_unknown: bool) -> Decision {
        Decision::GiveUp(GiveUp { reason, outcome_unknown })
    }

    fn at_once(first: First) -> Decision {
        Decision::Retry { wait: Duration::ZERO, first }
    }

    fn waits(decision: Decision) -> bool {
        matches!(decision, Decision::Retry { wait, first: First::Nothing } if wait >= backoff::SHORTEST)
    }

    #[test]
    fn attempts_are_counted() {
        let fixture = Fixture::new(3, None);
        let mut attempts = fixture.begin(Read);
        for made in 2..=3 {
            assert!(waits(attempts.next(&status(503), None, fixture.start)));
            assert_eq!(attempts.made(), made);
        }
        let last = attempts.next(&status(503), None, fixture.start);
        assert_eq!(last, end(Reason::Attempts, false));
        assert_eq!(fixture.spent(), 10);
        let Decision::GiveUp(last) = last else { unreachable!() };
        let error = Error::new(Code::Unavailable, "busy");
        let text = attempts.annotate(error, last, fixture.at(2.0)).to_string();
        assert!(text.contains("3 attempts in 2000 ms") && text.contains("net.max_attempts"), "{text}");
        let mut one = Fixture::new(1, None).begin(Read);
        assert_eq!(one.next(&status(503), None, fixture.start), end(Reason::Attempts, false));
        assert_eq!(one.made(), 1);
    }

    #[test]
    fn final_failures_end_at_once() {
        let fixture = Fixture::new(5, None);
        let mut attempts = fixture.begin(Read);
        assert_eq!(attempts.next(&code(404, "NoSuchKey"), None, fixture.start), end(Reason::Final, false));
        assert_eq!(attempts.next(&Failure::Lost(Lost::Tls), None, fixture.start), end(Reason::Final, false));
        assert_eq!(fixture.spent(), 0);
    }

    #[test]
    fn never_sleeps_past_the_deadline() {
        for seed in 0..200 {
            let fixture = Fixture::new(100, Some(10));
            let mut attempts =
                fixture.policy.start(Service::S3, Read, &fixture.bucket, fixture.start, Backoff::new(seed));
            let mut now = fixture.start;
            let last = loop {
                match attempts.next(&status(503), None, now) {
                    Decision::Retry { wait, .. } => now += wait,
                    other => break other,
                }
                assert!(now < fixture.at(10.0));
            };
            assert_eq!(last, end(Reason::Deadline, false));
        }
        let fixture = Fixture::new(5, Some(10));
        let mut late = fixture.begin(Read);
        let skewed = code(403, "RequestTimeTooSkewed");
        assert_eq!(late.next(&skewed, None, fixture.at(10.0)), end(Reason::Deadline, false));
        let stale = Failure::Lost(Lost::Stale);
        assert_eq!(fixture.begin(Read).next(&stale, None, fixture.at(10.0)), end(Reason::Deadline, false));
        let own = Failure::Lost(Lost::Deadline);
        assert_eq!(fixture.begin(Write).next(&own, None, fixture.at(10.0)), end(Reason::Deadline, true));
        assert_eq!(fixture.begin(Commit).next(&own, None, fixture.at(10.0)), end(Reason::Deadline, true));
    }

    #[test]
    fn the_services_wish_is_kept_up_to_the_deadline() {
        let fixture = Fixture::new(5, Some(60));
        let wish = |seconds| Some(Duration::from_secs(seconds));
        let Decision::Retry { wait, .. } = fixture.begin(Read).next(&status(503), wish(30), fixture.start)
        else {
            unreachable!()
        };
        assert!((30.0..=33.0).contains(&wait.as_secs_f64()), "{wait:?}");
        let late = fixture.begin(Read).next(&status(503), wish(60), fixture.start);
        assert_eq!(late, end(Reason::Deadline, false));
        assert_eq!(fixture.spent(), 5, "what is not sent is not paid for");
        let patient = Fixture::new(5, Some(1000));
        assert!(
            waits(patient.begin(Read).next(&status(503), wish(400), patient.start)),
            "the deadline decides"
        );
        let free = Fixture::new(5, None);
        assert!(waits(free.begin(Read).next(&status(503), wish(300), free.start)));
        assert_eq!(free.begin(Read).next(&status(503), wish(301), free.start), end(Reason::LongWait, false));
        assert!(waits(free.begin(Read).next(&status(503), wish(0), free.start)), "no less than the jitter");
    }

    #[test]
    fn corrections_are_made_once_each() {
        let cases = [
            (code(400, "ExpiredToken"), First::RefreshCredentials),
            (code(403, "RequestTimeTooSkewed"), First::CorrectClock),
            (
                Failure::Answer(Answer { status: 301, other_region: true, ..Answer::default() }),
                First::RedirectRegion,
            ),
        ];
        let fixture = Fixture::new(9, None);
        let mut all = fixture.begin(Commit);
        for (failure, first) in &cases {
            let mut attempts = fixture.begin(Write);
            assert_eq!(attempts.next(failure, None, fixture.start), at_once(*first));
            assert_eq!(attempts.next(failure, None, fixture.start), end(Reason::DidNotHelp, false));
            assert_eq!(
                all.next(failure, None, fixture.start),
                at_once(*first),
                "one does not use up another"
            );
        }
        assert_eq!((all.made(), fixture.spent()), (4, 0));
        let mut only = Fixture::new(1, None).begin(Read);
        assert_eq!(only.next(&cases[0].0, None, fixture.start), end(Reason::Attempts, false));
    }

    #[test]
    fn a_stale_connection_costs_nothing_once() {
        let fixture = Fixture::new(2, None);
        let stale = Failure::Lost(Lost::Stale);
        let mut attempts = fixture.begin(Write);
        assert_eq!(attempts.next(&stale, None, fixture.start), at_once(First::FreshConnection));
        assert_eq!(fixture.spent(), 0);
        assert!(
            waits(attempts.next(&stale, None, fixture.start)),
            "the second time it is a failure like others"
        );
        assert_eq!(attempts.next(&stale, None, fixture.start), end(Reason::Attempts, true));
        assert_eq!(attempts.made(), 3);
    }

    #[test]
    fn good_progress_of_a_read_forgets_failures() {
        let fixture = Fixture::new(2, None);
        let reset = Failure::Lost(Lost::Answering);
        let mut read = fixture.begin(Read);
        for made in 2..100 {
            assert!(waits(read.next(&reset, None, fixture.start)), "attempt {made}");
            read.progressed(MIB - 1);
            read.progressed(1);
            assert_eq!((read.made(), fixture.spent()), (made, 0));
        }
        assert!(waits(read.next(&reset, None, fixture.start)));
        read.progressed(MIB - 1);
        assert_eq!(read.next(&reset, None, fixture.start), end(Reason::Attempts, false), "too little");
        let mut write = fixture.begin(Write);
        assert!(waits(write.next(&reset, None, fixture.start)));
        write.progressed(MIB);
        assert_eq!(
            write.next(&reset, None, fixture.start),
            end(Reason::Attempts, true),
            "a write starts over"
        );
        let mut apart = fixture.begin(Read);
        apart.progressed(MIB - 1);
        assert!(waits(apart.next(&reset, None, fixture.start)));
        apart.progressed(1);
        assert_eq!(apart.next(&reset, None, fixture.start), end(Reason::Attempts, false), "in one piece");
    }

    #[test]
    fn a_lost_commit_is_looked_up_and_then_sent_again() {
        let fixture = Fixture::new(3, None);
        let mut commit = fixture.begin(Commit);
        let looks = |decision| matches!(decision, Decision::Resolve { wait } if wait >= backoff::SHORTEST);
        assert_eq!(commit.next(&status(412), None, fixture.start), end(Reason::Final, false));
        assert!(looks(commit.next(&Failure::Lost(Lost::Waiting), None, fixture.start)));
        assert!(commit.outcome_open());
        let mut inquiry = commit.inquiry(Read);
        assert!(waits(inquiry.next(&status(503), None, fixture.start)));
        assert!(waits(inquiry.next(&status(503), None, fixture.start)));
        assert_eq!(inquiry.next(&status(503), None, fixture.start), end(Reason::Attempts, false));
        assert_eq!(commit.not_applied(fixture.start), at_once(First::Nothing));
        assert!(looks(commit.next(&status(412), None, fixture.start)), "our own write may have come late");
        assert_eq!(commit.not_applied(fixture.start), at_once(First::Nothing));
        assert!(looks(commit.next(&status(500), None, fixture.start)));
        assert_eq!(commit.not_applied(fixture.start), end(Reason::Attempts, true));
        assert_eq!((commit.made(), fixture.spent()), (3, 20));
    }

    #[test]
    fn a_writes_unknown_outcome_is_remembered() {
        let fixture = Fixture::new(3, Some(10));
        let mut write = fixture.begin(Write);
        assert!(waits(write.next(&Failure::Lost(Lost::ProgressTimeout), None, fixture.start)));
        assert_eq!(fixture.spent(), 10, "timeouts cost more");
        assert_eq!(write.next(&code(403, "AccessDenied"), None, fixture.start), end(Reason::Final, true));
        assert!(matches!(write.next(&status(412), None, fixture.start), Decision::Resolve { .. }));
        let mut sent = fixture.begin(Write);
        assert!(waits(sent.next(&code(503, "SlowDown"), None, fixture.start)));
        assert_eq!(sent.next(&code(403, "AccessDenied"), None, fixture.start), end(Reason::Final, false));
        let mut read = fixture.begin(Read);
        assert!(waits(read.next(&status(500), None, fixture.start)));
        assert_eq!(read.next(&status(412), None, fixture.start), end(Reason::Final, false));
        let mut late = fixture.begin(Commit);
        assert_eq!(late.next(&status(500), None, fixture.at(9.99)), end(Reason::Deadline, true));
    }

    #[test]
    fn policy_comes_from_the_options() {
        let mut set = options::Options::new();
        set.set("net.max_attempts", "7").unwrap();
        set.set("net.operation_timeout_ms", "1500").unwrap();
        let policy = RetryPolicy::from_options(&set.resolve().unwrap());
        assert_eq!((policy.max_attempts, policy.operation_timeout), (7, Some(Duration::from_millis(1500))));
        set.set("net.operation_timeout_ms", "0").unwrap();
        assert_eq!(RetryPolicy::from_options(&set.resolve().unwrap()).operation_timeout, None);
    }

    /// Requests and successes of so many operations, 200 us apart, of whose requests this share fails.
    fn load(fixture: &Fixture, clock: &mut f64, operations: u32, failing: f64, dice: &mut u64) -> (u32, u32) {
        let (mut requests, mut successes) = (0, 0);
        for operation in 0..operations {
            let now = fixture.at(*clock);
            let mut attempts = fixture.policy.start(
                Service::S3,
                Read,
                &fixture.bucket,
                now,
                Backoff::new(u64::from(operation)),
            );
            loop {
                requests += 1;
                *clock += 0.0002;
                *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if (*dice >> 11) as f64 / (1_u64 << 53) as f64 >= failing {
                    attempts.succeeded();
                    successes += 1;
                    break;
                }
                match attempts.next(&status(503), None, fixture.at(*clock)) {
                    Decision::Retry { .. } => {}
                    _ => break,
                }
            }
        }
        (requests, successes)
    }

    /// The most that the bucket allows is 1.447 requests per operation, at 31 % failing, and 100 retries
    /// of a full bucket on top: below it there is less to retry, above it less to pay with.
    #[test]
    fn a_storm_is_amplified_by_less_than_half() {
        for percent in 0..=100 {
            let fixture = Fixture::new(10, None);
            let (mut clock, mut dice) = (0.0, 7 + percent);
            let (requests, successes) = load(&fixture, &mut clock, 10_000, percent as f64 / 100.0, &mut dice);
            assert!(requests <= 15_000, "{percent} % failing: {requests} requests of 10000 operations");
            let lost = 10_000 - successes;
            assert!(percent > 15 || lost <= 2, "{percent} % failing: {lost} operations lost");
        }
    }

    #[test]
    fn retries_are_there_again_after_a_storm() {
        let fixture = Fixture::new(5, None);
        let (mut clock, mut dice) = (0.0, 1);
        let mut sum = 0;
        for _ in 0..20 {
            let (requests, successes) = load(&fixture, &mut clock, 1000, 1.0, &mut dice);
            assert_eq!(successes, 0);
            let (after, successes) = load(&fixture, &mut clock, 1000, 0.02, &mut dice);
            assert!(successes >= 990, "{successes}");
            let (calm, successes) = load(&fixture, &mut clock, 1000, 0.02, &mut dice);
            assert!(successes == 1000, "{successes}");
            sum += requests + after + calm;
        }
        assert!(sum <= 66_000, "storms that come and go: {sum} requests of 60000 operations");
        let idle = Fixture::new(5, None);
        while idle.bucket.take(bucket::RETRY, idle.start) {}
        let mut rare = idle.begin(Read);
        assert_eq!(rare.next(&status(503), None, idle.start), end(Reason::Budget, false));
        assert!(waits(idle.begin(Read).next(&status(503), None, idle.at(60.0))), "time gives retries back");
    }
}
