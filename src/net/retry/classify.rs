//! What to do about a failed attempt: one table, read from its top; the first row that fits decides.
//! `docs/retries.md` is generated from it.

/// Whose answers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    S3,
    Azure,
}

/// What a request does, which decides whether sending it twice can do harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// GET, HEAD, a list.
    Read,
    /// A write that has the same result when it is done twice: an unconditional put, a part, a block, a
    /// delete.
    Write,
    /// A write that has another result, or another answer, when it is done twice: with a condition, or
    /// the end of a multipart upload.
    Commit,
}

/// No answer, or not all of one. A connection that is lost after a whole answer is no failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The host's name could not be looked up for now.
    Resolve,
    /// The host's name does not exist.
    NoSuchHost,
    /// Nobody listens there, or there is no way there.
    Refused,
    /// The connection was not there in time.
    ConnectTimeout,
    /// TLS was refused: certificate, name or version. A connection that ends in the handshake is `Unsent`.
    Tls,
    /// The connection was lost before a byte of the request was sent.
    Unsent,
    /// A connection that had been used before was lost before a byte of the answer came.
    Stale,
    /// The connection was lost before the whole request was sent.
    Sending,
    /// The connection was lost when the whole request was sent and no byte of the answer had come.
    Waiting,
    /// The connection was reset in the answer's head or body.
    Answering,
    /// No byte moved for `net.progress_timeout_ms`.
    ProgressTimeout,
    /// The operation's deadline passed in this attempt.
    Deadline,
    /// The answer ended, properly, before its promised length.
    Truncated,
    /// The answer breaks HTTP, or lacks or contradicts what was asked for.
    Malformed,
    /// The bytes do not match the answer's checksum.
    Corrupted,
}

impl Lost {
    /// For the documentation.
    pub fn doc(self) -> &'static str {
        match self {
            Lost::Resolve => "name lookup fails for now",
            Lost::NoSuchHost => "no such host",
            Lost::Refused => "connection refused, no route",
            Lost::ConnectTimeout => "connect timeout",
            Lost::Tls => "TLS refused",
            Lost::Unsent => "connection lost before the request",
            Lost::Stale => "reused connection lost before the answer",
            Lost::Sending => "connection lost in the request",
            Lost::Waiting => "connection lost between request and answer",
            Lost::Answering => "connection lost in the answer",
            Lost::ProgressTimeout => "progress timeout",
            Lost::Deadline => "the operation's deadline",
            Lost::Truncated => "answer shorter than promised",
            Lost::Malformed => "malformed answer",
            Lost::Corrupted => "checksum mismatch",
        }
    }
}

/// An answer that is no success, or a success with an error in its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    pub status: u16,
    /// The service's own name of the error; answers to HEAD have none.
    pub code: Option<&'a str>,
    /// It names a region that the request was not sent to.
    pub other_region: bool,
    /// Its date is far from the time that the request was signed with.
    pub skewed: bool,
}

/// A failed attempt.
#[derive(Clone, Copy, Debug)]
pub enum Failure<'a> {
    Lost(Lost),
    Answer(Answer<'a>),
}

/// What to do next, before attempts, deadline and budget are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// At once, on a fresh connection; the second time after a pause.
    RetryNow,
    RetryAfterBackoff,
    /// Get new credentials, then once more.
    RefreshCredentials,
    /// Follow the service's clock, then once more.
    CorrectClock,
    /// Sign for the region that the answer names, then once more.
    RedirectRegion,
    /// The write may have happened: look, then report success or send it again.
    ResolveOutcome,
    Fail,
}

impl Action {
    /// For the documentation.
    pub fn doc(self) -> &'static str {
        match self {
            Action::RetryNow => "retry now",
            Action::RetryAfterBackoff => "retry",
            Action::RefreshCredentials => "refresh, once",
            Action::CorrectClock => "correct clock, once",
            Action::RedirectRegion => "redirect, once",
            Action::ResolveOutcome => "resolve",
            Action::Fail => "fail",
        }
    }
}

/// Which failures a row is for.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Lost(Lost),
    Answer {
        /// None: both.
        service: Option<Service>,
        /// From and to.
        status: (u16, u16),
        sign: Sign,
    },
}

/// What an answer must show besides its status.
#[derive(Clone, Copy, Debug)]
pub enum Sign {
    Anything,
    /// One of these error codes.
    Code(&'static [&'static str]),
    NoCode,
    OtherRegion,
    Skewed,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub when: When,
    pub read: Action,
    pub write: Action,
    /// Where it is [`Action::ResolveOutcome`] the write may have happened, whatever kind of write it was.
    pub commit: Action,
    /// For writes of which an earlier attempt may have happened: this failure may be its consequence.
    pub reopened: Option<Action>,
    /// For the documentation.
    pub why: &'static str,
}

impl Row {
    /// What to do with a request of this kind; `open`: an earlier attempt of it may have happened.
    pub fn action(&self, kind: RequestKind, open: bool) -> Action {
        match (kind, self.reopened) {
            (RequestKind::Read, _) => self.read,
            (_, Some(action)) if open => action,
            (RequestKind::Write, _) => self.write,
            (RequestKind::Commit, _) => self.commit,
        }
    }

    /// Whether a write that failed like this may have happened.
    pub fn leaves_open(&self) -> bool {
        self.commit == Action::ResolveOutcome
    }

    fn fits(&self, service: Service, failure: &Failure<'_>) -> bool {
        match (self.when, failure) {
            (When::Lost(mine), Failure::Lost(lost)) => mine == *lost,
            (When::Answer { service: mine, status: (low, high), sign }, Failure::Answer(answer)) => {
                mine.is_none_or(|mine| mine == service)
                    && (low..=high).contains(&answer.status)
                    && match sign {
                        Sign::Anything => true,
                        Sign::Code(codes) => answer.code.is_some_and(|code| codes.contains(&code)),
                        Sign::NoCode => answer.code.is_none(),
                        Sign::OtherRegion => answer.other_region,
                        Sign::Skewed => answer.skewed,
                    }
            }
            _ => false,
        }
    }
}

/// The row that decides.
pub fn find(service: Service, failure: &Failure<'_>) -> &'static Row {
    TABLE.iter().find(|row| row.fits(service, failure)).unwrap_or(&OTHERWISE)
}

const NOW: Action = Action::RetryNow;
const WAIT: Action = Action::RetryAfterBackoff;
const RENEW: Action = Action::RefreshCredentials;
const CLOCK: Action = Action::CorrectClock;
const MOVE: Action = Action::RedirectRegion;
const LOOK: Action = Action::ResolveOutcome;
const FAIL: Action = Action::Fail;

const S3: Option<Service> = Some(Service::S3);
const AZURE: Option<Service> = Some(Service::Azure);
const BOTH: Option<Service> = None;
const ANY: (u16, u16) = (0, u16::MAX);

/// Of read, write, commit.
type Actions = [Action; 3];

const fn row(when: When, [read, write, commit]: Actions, why: &'static str) -> Row {
    Row { when, read, write, commit, reopened: None, why }
}

const fn lost(lost: Lost, actions: Actions, why: &'static str) -> Row {
    row(When::Lost(lost), actions, why)
}

const fn answer(
    service: Option<Service>,
    status: (u16, u16),
    sign: Sign,
    actions: Actions,
    why: &'static str,
) -> Row {
    row(When::Answer { service, status, sign }, actions, why)
}

const fn codes(
    service: Option<Service>,
    codes: &'static [&'static str],
    actions: Actions,
    why: &'static str,
) -> Row {
    answer(service, ANY, Sign::Code(codes), actions, why)
}

const fn status(from: u16, to: u16, actions: Actions, why: &'static str) -> Row {
    answer(BOTH, (from, to), Sign::Anything, actions, why)
}

const fn or_look(row: Row) -> Row {
    Row { reopened: Some(LOOK), ..row }
}

const NOT_DONE: &str = "refused for its rate, so not carried out";
const MAYBE_DONE: &str = "the server failed, perhaps after it had carried it out";
const CHANGED: &str = "the body changed on the way and was refused";

const OTHERWISE: Row = status(0, u16::MAX, [FAIL, FAIL, FAIL], "every other answer is final");

/// First what identifies a cause, then the services' codes whatever the status, then the status.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    lost(Lost::Resolve, [WAIT, WAIT, WAIT], "the name servers may answer again; nothing was sent"),
    lost(Lost::NoSuchHost, [FAIL, FAIL, FAIL], "a name that does not exist is a wrong name"),
    lost(Lost::Refused, [WAIT, WAIT, WAIT], "a server that restarts; nothing was sent"),
    lost(Lost::ConnectTimeout, [WAIT, WAIT, WAIT], "nothing was sent"),
    lost(Lost::Tls, [FAIL, FAIL, FAIL], "trust does not come with time"),
    lost(Lost::Unsent, [WAIT, WAIT, WAIT], "nothing was sent"),
    lost(Lost::Stale, [NOW, NOW, LOOK], "servers close idle connections"),
    lost(Lost::Sending, [WAIT, WAIT, WAIT], "a request that is not whole is not carried out"),
    lost(Lost::Waiting, [WAIT, WAIT, LOOK], "the server may have carried it out before it went"),
    lost(Lost::Answering, [WAIT, WAIT, LOOK], "a read goes on at the byte that is missing"),
    lost(Lost::ProgressTimeout, [WAIT, WAIT, LOOK], "the server may have carried it out"),
    lost(Lost::Deadline, [FAIL, FAIL, LOOK], "no time is left to look, so a commit's outcome stays unknown"),
    lost(Lost::Truncated, [WAIT, WAIT, LOOK], "a short body is never the end of an object"),
    lost(Lost::Malformed, [WAIT, WAIT, LOOK], "a gateway's page, a confused connection"),
    lost(Lost::Corrupted, [WAIT, WAIT, LOOK], "bytes changed on the way"),
    answer(BOTH, (400, 403), Sign::Skewed, [CLOCK, CLOCK, CLOCK],
        "refused, and the answer's date is minutes away from the one signed"),
    codes(S3, &["RequestTimeTooSkewed"], [CLOCK, CLOCK, CLOCK], "this machine's clock is wrong"),
    answer(S3, (301, 400), Sign::OtherRegion, [MOVE, MOVE, MOVE],
        "the answer names the bucket's region; signed anew, for an endpoint of the same service"),
    codes(S3, &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId"],
        [RENEW, RENEW, RENEW], "temporary credentials end, or were replaced"),
    codes(AZURE, &["InvalidAuthenticationInfo", "AuthenticationFailed"],
        [RENEW, RENEW, RENEW], "access tokens and signatures end"),
    status(401, 401, [RENEW, RENEW, RENEW], "the credentials are not, or no longer, accepted"),
    answer(S3, (400, 400), Sign::NoCode, [RENEW, FAIL, FAIL], "so a HEAD is answered where a token has ended"),
    codes(S3, &["SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "TooManyRequestsException",
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "RequestLimitExceeded", "BandwidthLimitExceeded", "PriorRequestNotComplete"],
        [WAIT, WAIT, WAIT], NOT_DONE),
    codes(AZURE, &["ServerBusy"], [WAIT, WAIT, WAIT], NOT_DONE),
    codes(S3, &["RequestTimeout", "IncompleteBody"], [WAIT, WAIT, WAIT], "the server did not get the whole request"),
    codes(S3, &["BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"], [WAIT, WAIT, WAIT], CHANGED),
    codes(AZURE, &["Md5Mismatch", "Crc64Mismatch"], [WAIT, WAIT, WAIT], CHANGED),
    or_look(codes(S3, &["OperationAborted", "ConditionalRequestConflict"], [WAIT, WAIT, WAIT],
        "another write of the key is going on, perhaps our own earlier one")),
    codes(AZURE, &["ContainerBeingDeleted"], [WAIT, WAIT, WAIT], "it can be made again when it is gone"),
    codes(S3, &["InternalError", "InternalFailure", "ServiceUnavailable", "Busy"], [WAIT, WAIT, LOOK], MAYBE_DONE),
    codes(AZURE, &["OperationTimedOut", "InternalError"], [WAIT, WAIT, LOOK], MAYBE_DONE),
    or_look(codes(S3, &["NoSuchUpload"], [FAIL, FAIL, FAIL],
        "a multipart upload is also gone when an earlier attempt completed it")),
    or_look(codes(AZURE, &["BlobAlreadyExists", "InvalidBlockList", "BlobNotFound"], [FAIL, FAIL, FAIL],
        "an earlier attempt may have made the blob, used up its blocks, or deleted it")),
    or_look(status(412, 412, [FAIL, FAIL, FAIL], "an earlier attempt may have changed the ETag")),
    status(200, 299, [WAIT, WAIT, LOOK], "an error of unknown name in an answer that says success"),
    status(300, 399, [FAIL, FAIL, FAIL], "no other redirect is followed: a stranger would see the signature"),
    status(408, 408, [WAIT, WAIT, LOOK], "a gateway may say so of the server behind it"),
    status(425, 425, [WAIT, WAIT, WAIT], "too early, so not carried out"),
    status(429, 429, [WAIT, WAIT, WAIT], NOT_DONE),
    status(500, 500, [WAIT, WAIT, LOOK], MAYBE_DONE),
    status(502, 504, [WAIT, WAIT, LOOK], "a gateway lost the server, perhaps after it had carried it out"),
    status(520, 599, [WAIT, WAIT, LOOK], "gateways' own numbers for the same"),
    OTHERWISE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use RequestKind::{Commit, Read, Write};
    use Service::{Azure, S3};
    use std::fmt::Write as _;

    fn gone(lost: Lost) -> Failure<'static> {
        Failure::Lost(lost)
    }

    fn status(status: u16) -> Failure<'static> {
        Failure::Answer(Answer { status, ..Answer::default() })
    }

    fn code(status: u16, code: &'static str) -> Failure<'static> {
        Failure::Answer(Answer { status, code: Some(code), ..Answer::default() })
    }

    /// What to do with a read, a write, a commit, and with the last two where an earlier attempt may
    /// have happened. Written by hand, so that a change of the table shows.
    #[rustfmt::skip]
    fn cases() -> Vec<(Service, Failure<'static>, [Action; 5])> {
        let retry = [WAIT; 5];
        let ask = [WAIT, WAIT, LOOK, WAIT, LOOK];
        let fail = [FAIL; 5];
        let reopened = [FAIL, FAIL, FAIL, LOOK, LOOK];
        let skewed = |status, code| Failure::Answer(Answer { status, code, skewed: true, ..Answer::default() });
        let region = |status, code| Failure::Answer(Answer { status, code, other_region: true, ..Answer::default() });
        vec![
            (S3, gone(Lost::Resolve), retry),
            (S3, gone(Lost::NoSuchHost), fail),
            (S3, gone(Lost::Refused), retry),
            (S3, gone(Lost::ConnectTimeout), retry),
            (S3, gone(Lost::Tls), fail),
            (S3, gone(Lost::Unsent), retry),
            (S3, gone(Lost::Stale), [NOW, NOW, LOOK, NOW, LOOK]),
            (Azure, gone(Lost::Sending), retry),
            (Azure, gone(Lost::Waiting), ask),
            (Azure, gone(Lost::Answering), ask),
            (Azure, gone(Lost::ProgressTimeout), ask),
            (Azure, gone(Lost::Deadline), [FAIL, FAIL, LOOK, FAIL, LOOK]),
            (Azure, gone(Lost::Truncated), ask),
            (Azure, gone(Lost::Malformed), ask),
            (Azure, gone(Lost::Corrupted), ask),
            (S3, skewed(403, Some("SignatureDoesNotMatch")), [CLOCK; 5]),
            (S3, skewed(403, None), [CLOCK; 5]),
            (Azure, skewed(403, Some("AuthenticationFailed")), [CLOCK; 5]),
            (S3, skewed(404, Some("NoSuchKey")), fail),
            (S3, skewed(503, Some("SlowDown")), retry),
            (S3, code(403, "RequestTimeTooSkewed"), [CLOCK; 5]),
            (S3, region(301, Some("PermanentRedirect")), [MOVE; 5]),
            (S3, region(301, None), [MOVE; 5]),
            (S3, region(307, Some("TemporaryRedirect")), [MOVE; 5]),
            (S3, region(400, Some("AuthorizationHeaderMalformed")), [MOVE; 5]),
            (S3, region(400, None), [MOVE; 5]),
            (S3, code(301, "PermanentRedirect"), fail),
            (S3, region(403, Some("AccessDenied")), fail),
            (Azure, region(301, None), fail),
            (S3, code(400, "ExpiredToken"), [RENEW; 5]),
            (S3, code(400, "ExpiredTokenException"), [RENEW; 5]),
            (S3, code(400, "TokenRefreshRequired"), [RENEW; 5]),
            (S3, code(400, "InvalidToken"), [RENEW; 5]),
            (S3, code(403, "InvalidAccessKeyId"), [RENEW; 5]),
            (S3, code(403, "SignatureDoesNotMatch"), fail),
            (S3, code(403, "AccessDenied"), fail),
            (S3, status(403), fail),
            (Azure, code(401, "InvalidAuthenticationInfo"), [RENEW; 5]),
            (Azure, code(403, "AuthenticationFailed"), [RENEW; 5]),
            (Azure, code(403, "AuthorizationPermissionMismatch"), fail),
            (Azure, code(401, "NoAuthenticationInformation"), [RENEW; 5]),
            (S3, status(401), [RENEW; 5]),
            (S3, status(400), [RENEW, FAIL, FAIL, FAIL, FAIL]),
            (Azure, status(400), fail),
            (S3, code(400, "InvalidArgument"), fail),
            (S3, code(503, "SlowDown"), retry),
            (S3, code(200, "SlowDown"), retry),
            (S3, code(503, "SlowDownRead"), retry),
            (S3, code(503, "SlowDownWrite"), retry),
            (S3, code(429, "TooManyRequests"), retry),
            (S3, code(400, "TooManyRequestsException"), retry),
            (S3, code(400, "Throttling"), retry),
            (S3, code(400, "ThrottlingException"), retry),
            (S3, code(400, "ThrottledException"), retry),
            (S3, code(503, "RequestThrottled"), retry),
            (S3, code(503, "RequestThrottledException"), retry),
            (S3, code(503, "RequestLimitExceeded"), retry),
            (S3, code(509, "BandwidthLimitExceeded"), retry),
            (S3, code(400, "PriorRequestNotComplete"), retry),
            (Azure, code(503, "ServerBusy"), retry),
            (S3, code(503, "ServerBusy"), ask),
            (S3, code(400, "RequestTimeout"), retry),
            (S3, code(400, "IncompleteBody"), retry),
            (S3, code(400, "BadDigest"), retry),
            (S3, code(400, "XAmzContentSHA256Mismatch"), retry),
            (S3, code(400, "XAmzContentChecksumMismatch"), retry),
            (S3, code(400, "InvalidDigest"), fail),
            (Azure, code(400, "Md5Mismatch"), retry),
            (Azure, code(400, "Crc64Mismatch"), retry),
            (S3, code(409, "OperationAborted"), [WAIT, WAIT, WAIT, LOOK, LOOK]),
            (S3, code(409, "ConditionalRequestConflict"), [WAIT, WAIT, WAIT, LOOK, LOOK]),
            (S3, code(409, "BucketAlreadyExists"), fail),
            (Azure, code(409, "ContainerBeingDeleted"), retry),
            (S3, code(500, "InternalError"), ask),
            (S3, code(200, "InternalError"), ask),
            (S3, code(500, "InternalFailure"), ask),
            (S3, code(503, "ServiceUnavailable"), ask),
            (S3, code(503, "Busy"), ask),
            (Azure, code(500, "OperationTimedOut"), ask),
            (Azure, code(500, "InternalError"), ask),
            (S3, code(404, "NoSuchUpload"), reopened),
            (S3, code(404, "NoSuchKey"), fail),
            (Azure, code(409, "BlobAlreadyExists"), reopened),
            (Azure, code(400, "InvalidBlockList"), reopened),
            (Azure, code(404, "BlobNotFound"), reopened),
            (Azure, code(404, "ContainerNotFound"), fail),
            (S3, code(412, "PreconditionFailed"), reopened),
            (Azure, code(412, "ConditionNotMet"), reopened),
            (S3, code(200, "AccessDenied"), ask),
            (S3, status(200), ask),
            (S3, status(302), fail),
            (S3, status(304), fail),
            (S3, status(416), fail),
            (S3, status(408), ask),
            (S3, status(425), retry),
            (Azure, status(429), retry),
            (S3, status(500), ask),
            (S3, status(501), fail),
            (S3, status(502), ask),
            (S3, status(503), ask),
            (Azure, status(504), ask),
            (S3, status(505), fail),
            (S3, status(507), fail),
            (S3, status(520), ask),
            (S3, status(599), ask),
            (S3, status(600), fail),
            (S3, status(0), fail),
        ]
    }

    #[test]
    fn every_row_does_what_it_says() {
        for (service, failure, expected) in cases() {
            let row = find(service, &failure);
            let found = [
                row.action(Read, false),
                row.action(Write, false),
                row.action(Commit, false),
                row.action(Write, true),
                row.action(Commit, true),
            ];
            assert_eq!(found, expected, "{service:?} {failure:?}");
            assert_eq!(row.action(Read, true), row.read);
        }
    }

    #[test]
    fn every_row_and_every_code_has_a_case() {
        let cases = cases();
        for (index, row) in TABLE.iter().enumerate() {
            let mut decides = cases.iter().filter(|(service, failure, _)| {
                TABLE.iter().position(|row| row.fits(*service, failure)) == Some(index)
            });
            if let When::Answer { sign: Sign::Code(codes), .. } = row.when {
                for name in codes {
                    let named = cases.iter().any(|(service, failure, _)| {
                        let is_it = matches!(failure, Failure::Answer(answer) if answer.code == Some(name));
                        is_it && row.fits(*service, failure)
                    });
                    assert!(named, "{name} has no case");
                }
            }
            assert!(decides.next().is_some(), "row {index} decides no case: {row:?}");
        }
    }

    #[test]
    fn a_status_decides_where_no_code_is_known() {
        for unknown in ["", "Whatever"] {
            for number in [404, 412, 429, 500, 503] {
                let (named, bare) = (code(number, unknown), status(number));
                for service in [S3, Azure] {
                    assert!(
                        std::ptr::eq(find(service, &named), find(service, &bare)),
                        "{number} {unknown:?}"
                    );
                }
            }
        }
    }

    fn page() -> String {
        use crate::net::retry::{GOOD_PROGRESS, LONGEST_WISH, backoff, bucket};
        let (shortest, longest) = (backoff::SHORTEST.as_millis(), backoff::LONGEST.as_secs());
        let (wish, progress) = (LONGEST_WISH.as_secs() / 60, GOOD_PROGRESS >> 20);
        let (full, price, timeout) = (bucket::CAPACITY, bucket::RETRY, bucket::RETRY_AFTER_TIMEOUT);
        let mut page = format!(
            "# Retries\n\n\
             Generated from the table in `src/net/retry/classify.rs`; do not edit. It holds for the library's own data plane; the\n\
             first row that fits decides.\n\n\
             - **read**: GET, HEAD, lists. **write**: a write that does no harm when it is done twice (an unconditional put, a\n  \
               part, a block, a delete). **commit**: a write with a condition, or the end of a multipart upload.\n\
             - **retry**: after a pause between {shortest} ms and three times the pause before, at most {longest} s (decorrelated\n  \
               jitter). What the service asks for (`Retry-After`, `retry-after-ms`, `x-ms-retry-after-ms`) is the least, up to\n  \
               the deadline; where none is set, a wish of more than {wish} minutes is an error.\n\
             - **retry now**: on a fresh connection and free of charge; the second time as **retry**.\n\
             - **refresh**, **correct clock**, **redirect**: new credentials, the service's time, the region that the answer\n  \
               names; each once per operation, then one more attempt.\n\
             - **resolve**: the write may have happened, so look. What cannot be known is the error `unknown_outcome`.\n\
             - **after an open outcome**: what a write does with this failure where an earlier attempt may have happened.\n\n\
             All attempts together: at most `net.max_attempts`, before `net.operation_timeout_ms`. A read that got {progress} MiB\n\
             further since its last failure starts counting anew. Each endpoint has a budget: {full} tokens, {price} for a retry\n\
             ({timeout} after a timeout), given back when the retry succeeds; a request that succeeds at once adds 1, a second\n\
             adds 1. Without tokens the failure is reported at once, so that in a storm the requests stay below 1.5 per\n\
             operation, after {} retries out of a full budget.\n\n\
             | service | failure | read | write | commit | after an open outcome | why |\n|---|---|---|---|---|---|---|\n",
            full / price
        );
        for row in TABLE {
            let (service, failure) = match row.when {
                When::Lost(lost) => (None, lost.doc().to_owned()),
                When::Answer { service, status, sign } => {
                    let status = match status {
                        ANY | (0, _) => String::new(),
                        (from, to) if from == to => format!("{from}"),
                        (from, to) => format!("{from} to {to}"),
                    };
                    let sign = match sign {
                        Sign::Anything if status.is_empty() => "any other answer".to_owned(),
                        Sign::Anything => String::new(),
                        Sign::Code(codes) => format!("`{}`", codes.join("` `")),
                        Sign::NoCode => "without a code".to_owned(),
                        Sign::OtherRegion => "that names another region".to_owned(),
                        Sign::Skewed => "with a date far from ours".to_owned(),
                    };
                    (service, format!("{status} {sign}").trim().to_owned())
                }
            };
            let service = service.map_or("both", |service| if service == S3 { "S3" } else { "Azure" });
            let (read, write, commit) = (row.read.doc(), row.write.doc(), row.commit.doc());
            let reopened = row.reopened.map_or("the same", Action::doc);
            writeln!(
                page,
                "| {service} | {failure} | {read} | {write} | {commit} | {reopened} | {} |",
                row.why
            )
            .unwrap();
        }
        page
    }

    #[test]
    fn retries_page_is_the_table() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/retries.md");
        if std::env::var_os("S3DLIO_BLESS").is_some() {
            std::fs::write(&file, page()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page(),
            "docs/retries.md differs; S3DLIO_BLESS=1 cargo test --release --lib retries_page writes it"
        );
    }
}
