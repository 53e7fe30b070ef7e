//! One operation on the data plane: signs a request, sends it, and again where the table says so.

use super::answer::{MAX_BODY, Report};
use super::{Key, Plane, Target};
use crate::base::date::Timestamp;
use crate::error::{Code, Error, Result};
use crate::net::auth::clock::Exchange;
use crate::net::auth::escape;
use crate::net::auth::sigv4::{self, Payload, Scratch};
use crate::net::retry::backoff::{self, Backoff};
use crate::net::retry::classify::{self, Lost, RequestKind, Service};
use crate::net::retry::{Attempts, Decision, First, RetryPolicy};
use crate::net::{self, Answer, Body, Failure, Limits, Method, Request};
use crate::store::s3::client::Settings;
use crate::store::s3::{error, watch};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request for one object, but for what signing adds.
pub(in crate::store::s3) struct Ask<'a> {
    pub(in crate::store::s3) method: Method,
    /// The object's full key.
    pub(in crate::store::s3) key: &'a str,
    /// Escaped, without `?`.
    pub(in crate::store::s3) query: &'a str,
    pub(in crate::store::s3) headers: &'a [(&'a str, &'a str)],
    /// Of the object; names without their prefix.
    pub(in crate::store::s3) metadata: &'a [(&'a str, &'a str)],
    pub(in crate::store::s3) body: &'a [u8],
    /// The signature covers the body; else it says that it does not.
    pub(in crate::store::s3) sign_body: bool,
}

/// The attempts of one operation.
pub(in crate::store::s3) struct Courier {
    plane: Arc<Plane>,
    attempts: Attempts,
}

/// A request that has no usable answer, and what to do about it.
pub(in crate::store::s3) struct Failed {
    pub(in crate::store::s3) error: Error,
    pub(in crate::store::s3) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store::s3) enum Then {
    /// Wait, send it again.
    Again(Duration),
    /// Wait, find out whether it happened, else send it again.
    Resolve(Duration),
    GiveUp,
}

impl Failed {
    pub(in crate::store::s3) fn finally(error: Error) -> Failed {
        Failed { error, then: Then::GiveUp }
    }
}

/// What went wrong with one attempt.
struct Problem {
    error: Error,
    what: What,
}

enum What {
    /// Nothing that another attempt could change.
    Ours,
    Lost(Lost),
    Answer(Box<Refusal>),
}

struct Refusal {
    status: u16,
    id: Option<String>,
    code: Option<String>,
    /// Another one than the request was signed for.
    region: Option<String>,
    skewed: bool,
    retry_after: Option<Duration>,
    sent: Timestamp,
    received: Timestamp,
    date: Option<String>,
    age: Option<String>,
}

impl Refusal {
    /// What the headers say.
    fn new(answer: &Answer, sent: Timestamp, received: Timestamp) -> Refusal {
        let text = |name: &str| answer.header(name).map(str::to_owned);
        Refusal {
            status: answer.status(),
            id: text("x-amz-request-id").or_else(|| text("x-amzn-requestid")),
            code: None,
            region: text("x-amz-bucket-region"),
            skewed: false,
            retry_after: backoff::retry_after(|name| answer.header(name), received),
            sent,
            received,
            date: text("date"),
            age: text("age"),
        }
    }

    fn exchange(&self) -> Exchange<'_> {
        Exchange {
            sent: self.sent,
            received: self.received,
            date: self.date.as_deref(),
            age: self.age.as_deref(),
        }
    }
}

impl Courier {
    /// Of the operation that surrounds this call; its deadline is the operation's.
    pub(in crate::store::s3) fn new(plane: Arc<Plane>, settings: &Settings, kind: RequestKind) -> Courier {
        let policy = RetryPolicy {
            max_attempts: settings.max_attempts,
            operation_timeout: settings.operation_timeout,
        };
        let budget = plane.target().budget.clone();
        let attempts = policy.start(Service::S3, kind, &budget, watch::started(), Backoff::random());
        Courier { plane, attempts }
    }

    /// Sends it until there is an answer of success. The body of a GET is the caller's to receive, all
    /// others are received.
    pub(in crate::store::s3) async fn send(
        &mut self,
        settings: &Settings,
        ask: &Ask<'_>,
    ) -> Result<Answer, Failed> {
        loop {
            let target = self.plane.target();
            let key = self.in_time(settings, self.plane.key(settings)).await.map_err(Failed::finally)?;
            let problem = match self.attempt(settings, ask, &target, key.as_deref()).await {
                Ok(answer) => {
                    self.attempts.succeeded();
                    return Ok(answer);
                }
                Err(problem) => problem,
            };
            Box::pin(self.after(settings, problem, &target, key.as_deref())).await?;
        }
    }

    /// After the body of a read failed: waits for the next attempt, or gives the error back. `got` are
    /// the bytes that came since the last failure.
    pub(in crate::store::s3) async fn resume(&mut self, error: Error, lost: Lost, got: u64) -> Result<()> {
        self.attempts.progressed(got);
        match self.attempts.next(&classify::Failure::Lost(lost), None, Instant::now()) {
            Decision::Retry { wait, .. } => {
                pause(wait).await;
                Ok(())
            }
            Decision::Resolve { .. } => Err(error),
            Decision::GiveUp(end) => Err(hinted(error, end.reason.hint())),
        }
    }

    /// After [`Then::Resolve`]: it has not happened. Whether to send it again.
    pub(in crate::store::s3) fn not_applied(&mut self) -> bool {
        matches!(self.attempts.not_applied(Instant::now()), Decision::Retry { .. })
    }

    /// What a failure on the way means; `Lost` where another attempt may help.
    pub(in crate::store::s3) fn explain(
        &self,
        settings: &Settings,
        failure: Failure,
    ) -> (Error, Option<Lost>) {
        self.explain_at(settings, failure, &self.plane.target())
    }

    fn explain_at(&self, settings: &Settings, failure: Failure, target: &Target) -> (Error, Option<Lost>) {
        let late = self.attempts.deadline().is_some_and(|deadline| Instant::now() >= deadline);
        let lost = Lost::of(&failure, late);
        let error = match lost {
            Some(Lost::Deadline) => out_of_time(settings).with_cause(failure.to_string()),
            _ => Error::from(failure),
        };
        let endpoint = target.peer.endpoint();
        let hint = match lost {
            Some(Lost::Resolve) => {
                "check s3.endpoint and s3.region; a custom endpoint may need s3.addressing=path"
            }
            Some(Lost::Refused) => "is the service running there? check s3.endpoint",
            _ => return (error.with_cause(format!("the endpoint is {endpoint}")), lost),
        };
        (error.with_cause(format!("the endpoint is {endpoint}")).with_hint(hint), lost)
    }

    async fn attempt(
        &self,
        settings: &Settings,
        ask: &Ask<'_>,
        target: &Target,
        key: Option<&Key>,
    ) -> Result<Answer, Problem> {
        let ours = |error| Problem { error, what: What::Ours };
        let ahead = self.plane.clock.ahead();
        let sent = Timestamp::now();
        let request = build(ask, target, key, sent.plus(ahead)).map_err(ours)?;
        let limits = Limits {
            connect: settings.connect_timeout,
            progress: settings.progress_timeout,
            deadline: self.attempts.deadline().map(tokio::time::Instant::from_std),
        };
        watch::add_attempts(1);
        let changes = ask.method == Method::Put;
        let lost = |failure: Failure| {
            if changes && failure.sent() {
                watch::leave_open();
            }
            let (error, lost) = self.explain_at(settings, failure, target);
            Problem { error, what: lost.map_or(What::Ours, What::Lost) }
        };
        let mut answer = target.peer.send(&request, &limits).await.map_err(lost)?;
        if changes && answer.replayed() {
            watch::leave_open(); // a refusal is of the second sending
        }
        let received = Timestamp::now();
        let good = (200..300).contains(&answer.status());
        if good && ask.method == Method::Get {
            return Ok(answer);
        }
        // The headers of a refusal first: if its body fails, nothing is left of it.
        let mut refusal = (!good).then(|| Refusal::new(&answer, sent, received));
        let report = match answer.collect(MAX_BODY).await {
            Ok(body) => Report::parse(&body),
            Err(failure) if good => {
                let problem = lost(failure);
                return Err(Problem { error: problem.error.with_http_status(200), ..problem });
            }
            Err(failure) => {
                tracing::debug!(%failure, "the reason of a refusal was not received");
                None
            }
        };
        if good && report.is_none() {
            return Ok(answer);
        }
        let report = report.unwrap_or_default();
        let mut refusal = refusal.take().unwrap_or_else(|| Refusal::new(&answer, sent, received));
        let status = refusal.status;
        if changes && !good && !watch::is_definite(status, refusal.id.as_deref()) {
            watch::leave_open();
        }
        let region = refusal.region.as_deref().or(report.region.as_deref());
        let id = refusal.id.as_deref().or(report.request_id.as_deref());
        let error = error::from_service(settings, status, report.code.as_deref(), report.message.as_deref());
        let error = error::with_answer(error, status, region, id);
        let region = region.filter(|region| *region != target.signer.region()).map(str::to_owned);
        refusal.skewed = matches!(status, 400 | 403) && refusal.exchange().shows_skew(ahead);
        refusal.region = region;
        refusal.code = report.code;
        Err(Problem { error, what: What::Answer(Box::new(refusal)) })
    }

    /// Makes ready for another attempt, or says why there is none.
    async fn after(
        &mut self,
        settings: &Settings,
        problem: Problem,
        target: &Target,
        key: Option<&Key>,
    ) -> Result<(), Failed> {
        let Problem { error, what } = problem;
        let now = Instant::now();
        let decision = match &what {
            What::Ours => return Err(Failed::finally(error)),
            What::Lost(lost) => self.attempts.next(&classify::Failure::Lost(*lost), None, now),
            What::Answer(refusal) => {
                let answer = classify::Answer {
                    status: refusal.status,
                    code: refusal.code.as_deref(),
                    other_region: refusal.region.is_some(),
                    skewed: refusal.skewed,
                };
                self.attempts.next(&classify::Failure::Answer(answer), refusal.retry_after, now)
            }
        };
        let (wait, first) = match decision {
            Decision::Retry { wait, first } => (wait, first),
            Decision::Resolve { wait } => return Err(Failed { error, then: Then::Resolve(wait) }),
            Decision::GiveUp(end) => return Err(Failed::finally(hinted(error, end.reason.hint()))),
        };
        tracing::debug!(%error, ?wait, ?first, "an attempt failed");
        let ready = match (first, &what) {
            // A request that may be sent twice is, by `net` itself, on a connection of its own.
            (First::Nothing | First::FreshConnection, _) => Ok(true),
            (First::CorrectClock, What::Answer(refusal)) => Ok(self.plane.clock.correct(&refusal.exchange())),
            (First::RefreshCredentials, _) => match (&self.plane.keys, key) {
                (Some(keys), Some(key)) => {
                    let renewed = async {
                        keys.renew(key).await.map_err(|failure| error::from_transport(settings, &failure))
                    };
                    self.in_time(settings, renewed).await
                }
                _ => Ok(false),
            },
            (First::RedirectRegion, What::Answer(refusal)) => match &refusal.region {
                Some(region) => {
                    self.in_time(settings, self.plane.redirect(settings, region, target)).await.map(|()| true)
                }
                None => Ok(false),
            },
            _ => Ok(false),
        };
        match ready {
            Ok(true) => {
                pause(wait).await;
                Ok(())
            }
            Ok(false) => Err(Failed::finally(error)),
            Err(cause) => Err(Failed::finally(error.with_cause(cause.to_string()))),
        }
    }

    /// Ends what is not a request with the operation.
    async fn in_time<T>(&self, settings: &Settings, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.attempts.deadline() {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
                .await
                .unwrap_or_else(|_| Err(out_of_time(settings).with_cause("no credentials came"))),
        }
    }
}

fn out_of_time(settings: &Settings) -> Error {
    let limit = settings.operation_timeout.unwrap_or_default();
    Error::new(Code::Timeout, format!("not done within {} ms", limit.as_millis()))
        .with_hint("see net.operation_timeout_ms")
}

fn hinted(error: Error, hint: Option<&'static str>) -> Error {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

thread_local! {
    /// Where signatures are computed.
    static SIGNING: RefCell<Scratch> = RefCell::default();
}

/// Room for the headers of a usual request.
const USUAL: (usize, usize) = (8, 256);
/// Room for the lines of a signature without a token.
const SIGNATURE: usize = 384;

fn build<'a>(ask: &Ask<'a>, target: &Target, key: Option<&Key>, now: Timestamp) -> Result<Request<'a>> {
    let room = target.base.len() + ask.key.len() + ask.key.len() / 4 + ask.query.len() + 8;
    let mut path = Vec::with_capacity(room);
    path.extend_from_slice(target.base.as_bytes());
    path.push(b'/');
    escape::path(ask.key, &mut path);
    let end = path.len();
    if !ask.query.is_empty() {
        path.push(b'?');
        path.extend_from_slice(ask.query.as_bytes());
    }
    let line = String::from_utf8(path)
        .map_err(|e| Error::new(Code::Internal, "the path of a request is not escaped").with_source(&e))?;
    let mut request = Request::new(ask.method, line)?;
    let headers = request.headers_mut();
    headers.reserve(USUAL.0, USUAL.1);
    headers.push("user-agent", concat!("s3dlio/", env!("CARGO_PKG_VERSION")))?;
    for (name, value) in ask.headers {
        headers.push(name, value)?;
    }
    let mut name = String::new();
    for (user, value) in ask.metadata {
        name.clear();
        name.push_str("x-amz-meta-");
        name.push_str(user);
        headers.push(&name, value)?;
    }
    if let Some(key) = key {
        request.sign(|request, lines| {
            lines.reserve(SIGNATURE);
            with_listed(request.headers(), |headers| {
                let to_sign = sigv4::Request {
                    method: ask.method.name(),
                    host: target.peer.endpoint().authority(),
                    path: &request.target()[..end],
                    query: ask.query,
                    headers,
                    payload: match (ask.sign_body, ask.body) {
                        (false, body) if !body.is_empty() => Payload::Unsigned,
                        (_, body) => Payload::Bytes(body),
                    },
                };
                let token = key.token.as_ref();
                let credentials = sigv4::Credentials { id: &key.id, secret: &key.secret, token };
                SIGNING.with_borrow_mut(|scratch| {
                    target.signer.sign(&to_sign, &credentials, now, scratch, lines)
                })
            })
        })?;
    }
    let conditional = |(name, _): &(&str, &str)| matches!(*name, "if-match" | "if-none-match");
    let commits = ask.method == Method::Put && ask.headers.iter().any(conditional);
    request.set_replayable(!commits);
    Ok(if ask.body.is_empty() { request } else { request.with_body(Body::Slice(ask.body)) })
}

/// Gives `f` the headers as a list, which for a usual request allocates nothing.
fn with_listed<R>(headers: &net::Headers, f: impl FnOnce(&[(&str, &str)]) -> R) -> R {
    let mut few = [("", ""); 2 * USUAL.0];
    match few.get_mut(..headers.len()) {
        Some(list) => {
            list.iter_mut().zip(headers.iter()).for_each(|(place, header)| *place = header);
            f(list)
        }
        None => f(&headers.iter().collect::<Vec<_>>()),
    }
}
