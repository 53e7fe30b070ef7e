//! Why a request has no answer: where it failed, and what a retry may rely on.

use super::head::Malformed;
use crate::error::{Code, Error};
use std::fmt;
use std::io;
use std::time::Duration;

/// How far a request came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// It waited for one of the endpoint's connections.
    Wait,
    Resolve,
    Connect,
    Tls,
    Send,
    /// It was sent; the head of the answer was awaited.
    Head,
    Body,
}

impl Phase {
    fn doing(self) -> &'static str {
        match self {
            Phase::Wait => "waiting for a free connection",
            Phase::Resolve => "resolving the name",
            Phase::Connect => "connecting",
            Phase::Tls => "establishing TLS",
            Phase::Send => "sending the request",
            Phase::Head => "waiting for the answer",
            Phase::Body => "receiving the answer",
        }
    }
}

/// A failed exchange. It names the peer; operation and URI are added by who knows them.
#[derive(Clone)]
pub struct Failure(Box<Inner>);

#[derive(Clone)]
struct Inner {
    phase: Phase,
    code: Code,
    peer: String,
    what: String,
    causes: Vec<String>,
    hint: Option<&'static str>,
    errno: Option<i32>,
    sent: bool,
    /// The server may have the whole request.
    whole: bool,
    stale: bool,
    replayed: bool,
    /// A byte of the answer came.
    answered: bool,
    received: u64,
    /// The time that was up was the caller's.
    deadline: bool,
    no_such_host: bool,
    /// What was wrong before anything was tried: it says it all.
    error: Option<Error>,
}

impl Failure {
    /// `peer` is host and port; `what` follows them and a colon.
    pub(super) fn new(phase: Phase, code: Code, peer: &str, what: impl Into<String>) -> Failure {
        Failure(Box::new(Inner {
            phase,
            code,
            peer: peer.to_owned(),
            what: what.into(),
            causes: Vec::new(),
            hint: None,
            errno: None,
            sent: phase >= Phase::Head,
            whole: phase >= Phase::Head,
            stale: false,
            replayed: false,
            answered: phase >= Phase::Body,
            received: 0,
            deadline: false,
            no_such_host: false,
            error: None,
        }))
    }

    /// As [`Failure::replayed`] says.
    pub(super) fn with_replayed(mut self, replayed: bool) -> Failure {
        self.0.replayed = replayed;
        self.0.sent |= replayed;
        self
    }

    /// Something of ours that keeps the request from being tried.
    pub(super) fn from_error(phase: Phase, peer: &str, error: Error) -> Failure {
        let mut failure = Failure::new(phase, error.code(), peer, error.to_string());
        failure.0.error = Some(error);
        failure
    }

    /// A failed system call, or what TLS reports through one.
    pub(super) fn from_io(phase: Phase, peer: &str, error: &io::Error) -> Failure {
        use io::ErrorKind as K;
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            let mut failure = Failure::new(phase, Code::Tls, peer, format!("TLS failed: {tls}"));
            failure.0.hint = Some(match tls {
                rustls::Error::InvalidCertificate(_) => {
                    "name the service's certificate authority with net.ca_bundle, and check that the host \
                     name is one that its certificate holds"
                }
                rustls::Error::InvalidMessage(_) => "is it an http:// service rather than an https:// one?",
                _ => "check that the service offers TLS 1.2 or 1.3",
            });
            return failure;
        }
        let (code, hint) = match (error.raw_os_error(), error.kind()) {
            (Some(libc::EMFILE | libc::ENFILE), _) => {
                (Code::Io, Some("raise the limit of open files (ulimit -n)"))
            }
            (_, K::TimedOut) => (Code::Timeout, None),
            (_, K::OutOfMemory) => (Code::OutOfMemory, None),
            (_, K::ConnectionRefused) => (Code::Connection, Some("is the service running there?")),
            (_, K::UnexpectedEof) if phase == Phase::Body => (Code::Truncated, None),
            _ => (Code::Connection, None),
        };
        let what = match (error.kind(), phase) {
            (K::UnexpectedEof, Phase::Body) => "the answer is cut short: the connection ended".to_owned(),
            (K::UnexpectedEof, _) => format!("the connection ended while {}", phase.doing()),
            _ => format!("failed while {}: {error}", phase.doing()),
        };
        let mut failure = Failure::new(phase, code, peer, what);
        failure.0.hint = hint;
        failure.0.errno = error.raw_os_error();
        failure
    }

    pub(super) fn malformed(phase: Phase, peer: &str, malformed: Malformed) -> Failure {
        Failure::new(phase, Code::Protocol, peer, malformed.0)
            .with_hint("is this really the storage service, and not a proxy or another program?")
    }

    /// The time for a step was up.
    pub(super) fn timeout(phase: Phase, peer: &str, limit: Duration, what: &str) -> Failure {
        let what = format!("{what} for {} ms while {}", limit.as_millis(), phase.doing());
        Failure::new(phase, Code::Timeout, peer, what)
    }

    pub(super) fn deadline(phase: Phase, peer: &str) -> Failure {
        let what = format!("the deadline passed while {}", phase.doing());
        let mut failure = Failure::new(phase, Code::Timeout, peer, what);
        failure.0.deadline = true;
        failure.with_hint("see net.operation_timeout_ms")
    }

    /// The name has no address, now or at all.
    pub(super) fn unresolved(peer: &str, error: &io::Error) -> Failure {
        let what = format!("the host name cannot be resolved: {error}");
        let mut failure = Failure::new(Phase::Resolve, Code::Dns, peer, what);
        failure.0.no_such_host = error.kind() == io::ErrorKind::NotFound;
        failure.with_hint("check the host name, the endpoint's option and the network's name service")
    }

    pub(super) fn with_hint(mut self, hint: &'static str) -> Failure {
        self.0.hint.get_or_insert(hint);
        self
    }

    pub(super) fn with_cause(mut self, cause: impl Into<String>) -> Failure {
        self.0.causes.push(cause.into());
        self
    }

    pub(super) fn with_sent(mut self, sent: bool) -> Failure {
        self.0.sent = sent;
        self
    }

    pub(super) fn with_whole(mut self, whole: bool) -> Failure {
        self.0.whole = whole;
        self
    }

    pub(super) fn with_answered(mut self, answered: bool) -> Failure {
        self.0.answered |= answered;
        self
    }

    pub(super) fn with_stale(mut self, stale: bool) -> Failure {
        self.0.stale = stale;
        self
    }

    pub(super) fn with_received(mut self, received: u64) -> Failure {
        self.0.received = received;
        self
    }

    pub fn phase(&self) -> Phase {
        self.0.phase
    }
    pub fn code(&self) -> Code {
        self.0.code
    }
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }
    /// Whether a byte of the request may have reached the server. If not, sending it again is safe
    /// whatever it asks for.
    pub fn sent(&self) -> bool {
        self.0.sent
    }
    /// A kept connection turned out to be dead before a byte of the answer came: what happens when
    /// a server closes idle connections. Already tried again on a fresh one if that was safe.
    pub fn stale(&self) -> bool {
        self.0.stale
    }
    /// An earlier sending of the same request, on a kept connection that died, may have arrived.
    pub fn replayed(&self) -> bool {
        self.0.replayed
    }
    /// How many bytes of the body were received before.
    pub fn received(&self) -> u64 {
        self.0.received
    }

    /// Whether the server may have the whole request; if not, it cannot have carried it out.
    pub(super) fn whole(&self) -> bool {
        self.0.whole
    }
    /// Whether a byte of the answer came.
    pub(super) fn answered(&self) -> bool {
        self.0.answered
    }
    /// Whether it was the caller's deadline that passed.
    pub(super) fn is_deadline(&self) -> bool {
        self.0.deadline
    }
    /// Whether the name service says that there is no such name.
    pub(super) fn is_no_such_host(&self) -> bool {
        self.0.no_such_host
    }
    /// Whether nothing was tried, because of what the process was configured with.
    pub(super) fn is_ours(&self) -> bool {
        self.0.error.is_some()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let inner = failure.0;
        if let Some(error) = inner.error {
            return error;
        }
        let mut error = Error::new(inner.code, format!("{}: {}", inner.peer, inner.what));
        if inner.code == Code::Truncated {
            error = error.with_retryable(true).with_detail("received", inner.received);
        }
        if let Some(errno) = inner.errno {
            error = error.with_errno(errno);
        }
        if let Some(hint) = inner.hint {
            error = error.with_hint(hint);
        }
        inner.causes.into_iter().fold(error, Error::with_cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.peer, self.0.what)?;
        self.0.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(f, "{self} [{:?} {}", inner.phase, inner.code.name())?;
        write!(f, ", sent: {}, stale: {}, received: {}]", inner.sent, inner.stale, inner.received)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_become_codes_that_say_where() {
        let cases = [
            (libc::ECONNREFUSED, Phase::Connect, Code::Connection, "connecting"),
            (libc::ECONNRESET, Phase::Body, Code::Connection, "receiving the answer"),
            (libc::EPIPE, Phase::Send, Code::Connection, "sending the request"),
            (libc::ETIMEDOUT, Phase::Connect, Code::Timeout, "connecting"),
            (libc::EMFILE, Phase::Connect, Code::Io, "ulimit"),
            (libc::EHOSTUNREACH, Phase::Connect, Code::Connection, "connecting"),
            (libc::EACCES, Phase::Connect, Code::Connection, "connecting"),
        ];
        for (errno, phase, code, part) in cases {
            let failure = Failure::from_io(phase, "h:80", &io::Error::from_raw_os_error(errno));
            assert_eq!((failure.code(), failure.errno(), failure.phase()), (code, Some(errno), phase));
            assert_eq!(failure.sent(), phase >= Phase::Head);
            let error = Error::from(failure);
            assert_eq!((error.code(), error.os_errno()), (code, Some(errno)));
            assert!(error.to_string().starts_with("h:80: ") && error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_cut_body_is_truncated_and_may_be_fetched_again() {
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        let error = Error::from(Failure::from_io(Phase::Body, "h:80", &eof).with_received(7));
        assert_eq!((error.code(), error.retryable()), (Code::Truncated, true));
        assert!(error.details().contains(&("received", "7".into())), "{error}");
        assert_eq!(Failure::from_io(Phase::Head, "h:80", &eof).code(), Code::Connection);
    }

    #[test]
    fn tls_failures_are_found_inside_io_errors() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let io = io::Error::new(io::ErrorKind::InvalidData, inner);
        let error = Error::from(Failure::from_io(Phase::Tls, "h:443", &io));
        assert_eq!(error.code(), Code::Tls);
        assert!(error.hint().unwrap().contains("net.ca_bundle"), "{error}");
    }
}
