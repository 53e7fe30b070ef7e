//! The attempts of one operation: [`crate::net::retry`] decides, here it is carried out.

use super::client::Client;
use super::failure::Failure;
use crate::net::retry::classify::RequestKind;
use crate::net::retry::{Attempts, Decision, First, GiveUp, Reason};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::time::sleep;

#[derive(Debug)]
pub(super) struct Retry {
    attempts: Attempts,
    started: Instant,
    /// Attempts that failed.
    failed: u32,
    /// As [`Retry::leave_open`] says.
    left_open: AtomicBool,
}

/// What follows a failure.
#[derive(Debug)]
pub(super) enum Step {
    /// Everything is ready for the next attempt.
    Again,
    /// The write may have happened: look, then success or [`Retry::not_applied`].
    Look,
    Over(GiveUp),
}

impl Retry {
    pub(super) fn new(attempts: Attempts, started: Instant) -> Retry {
        Retry { attempts, started, failed: 0, left_open: AtomicBool::new(false) }
    }

    /// The attempts of a further request of the same operation: the deadline stays.
    pub(super) fn inquiry(&mut self, kind: RequestKind) -> Retry {
        Retry::new(self.attempts.inquiry(kind), self.started)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.attempts.deadline()
    }

    /// The connections sent this attempt's request twice: the first time may have happened.
    pub(super) fn leave_open(&self) {
        self.left_open.store(true, Ordering::Relaxed);
    }

    pub(super) fn succeeded(&mut self) {
        self.attempts.succeeded();
    }

    /// See [`Attempts::progressed`].
    pub(super) fn progressed(&mut self, bytes: usize) {
        self.attempts.progressed(bytes as u64);
    }

    /// Says what follows a failure, after the pause and the preparations that it needs.
    pub(super) async fn step(&mut self, client: &Client, failure: &Failure) -> Step {
        self.failed += 1;
        if self.left_open.swap(false, Ordering::Relaxed) {
            self.attempts.leave_open();
        }
        let decision = match failure.cause() {
            Some(cause) => self.attempts.next(&cause, failure.retry_after, Instant::now()),
            None => self.end(Reason::Final),
        };
        tracing::debug!(error = %failure.error, attempt = self.failed, ?decision, "an attempt failed");
        let (wait, step) = match decision {
            Decision::GiveUp(end) => return Step::Over(end),
            Decision::Resolve { wait } => (wait, Step::Look),
            Decision::Retry { wait, first } => {
                let ready = match first {
                    // The connections drop a dead one themselves.
                    First::Nothing | First::FreshConnection => true,
                    First::RefreshCredentials => client.renew_credentials(failure),
                    First::CorrectClock => client.correct_clock(failure),
                    First::RedirectRegion => false,
                };
                if !ready {
                    return Step::Over(self.give_up(Reason::Final));
                }
                (wait, Step::Again)
            }
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        step
    }

    /// Gets ready for the next attempt, or gives the failure back where there should be none.
    pub(super) async fn again(&mut self, client: &Client, failure: Failure) -> Result<(), Failure> {
        match self.step(client, &failure).await {
            Step::Again => Ok(()),
            Step::Look => Err(self.finish(failure, self.give_up(Reason::Final))),
            Step::Over(end) => Err(self.finish(failure, end)),
        }
    }

    /// After [`Step::Look`]: the write is not there. Gives why it should not be sent again.
    pub(super) fn not_applied(&mut self) -> Option<GiveUp> {
        match self.attempts.not_applied(Instant::now()) {
            Decision::GiveUp(end) => Some(end),
            _ => None,
        }
    }

    /// The end, for a reason that the attempts themselves do not know.
    pub(super) fn give_up(&self, reason: Reason) -> GiveUp {
        GiveUp { reason, outcome_unknown: self.attempts.outcome_open() }
    }

    /// Notes tries and time on a failure that is final, and why it is.
    pub(super) fn finish(&self, failure: Failure, end: GiveUp) -> Failure {
        let (attempts, elapsed) = (self.failed, self.started.elapsed());
        failure.map(|error| {
            let error = error.with_attempts(attempts, elapsed);
            match end.reason.hint() {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }

    fn end(&self, reason: Reason) -> Decision {
        Decision::GiveUp(self.give_up(reason))
    }
}
