//! One connection and the exchange that is on it: the request goes out, the head of the answer
//! comes in, and the body is received where it belongs.

use super::chunked::Chunked;
use super::failure::{Failure, Phase};
use super::head::{Framing, Head, Malformed, find_end};
use super::request::{Body, Method};
use super::stream::Stream;
use super::turn;
use super::watch::{Expired, Limits, Watch};
use crate::error::Code;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

/// Room for a usual head together with a small body.
const SCRATCH: usize = 16 << 10;
/// Chunked bodies have at least so much room behind the head.
const ROOM: usize = 4 << 10;
/// So much of a body, and the kernel's buffer has grown to the way: before that a sender may wait to be told that its
/// first piece arrived.
const NARROW: u64 = 1 << 20;
/// Pieces of a request that go out in one call.
const MAX_SLICES: usize = 64;
/// Answers such as `100 Continue` before the real one.
const MAX_INTERIM: u32 = 8;

pub(super) struct Connection {
    stream: Stream,
    /// What messages call the other end.
    peer: std::sync::Arc<str>,
    watch: Watch,
    /// The head of the request.
    pub(super) output: Vec<u8>,
    /// The head of the answer, then what came with it.
    input: Vec<u8>,
    head_end: usize,
    /// What is not used yet: `input[at..filled]`.
    at: usize,
    filled: usize,
    head: Head,
    body: Remaining,
    received: u64,
    /// The server has all of the request.
    whole: bool,
    exchanges: u64,
}

/// What is still to come of a body.
#[derive(Debug)]
enum Remaining {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Connection {
    pub(super) fn new(stream: Stream, peer: std::sync::Arc<str>) -> Connection {
        Connection {
            stream,
            peer,
            watch: Watch::new(),
            output: Vec::with_capacity(1024),
            input: vec![0; SCRATCH],
            head_end: 0,
            at: 0,
            filled: 0,
            head: Head::default(),
            body: Remaining::Length(0),
            received: 0,
            whole: true,
            exchanges: 0,
        }
    }

    /// Sends `output` and `body` and receives the head of the answer.
    pub(super) async fn exchange(
        &mut self,
        method: Method,
        body: Body<'_>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        self.watch.start(limits);
        (self.head_end, self.at, self.filled, self.received) = (0, 0, 0, 0);
        self.body = Remaining::Length(0);
        self.whole = false;
        self.exchanges += 1;
        self.send(body).await?;
        let mut waited = false;
        let framing = poll_fn(|cx| {
            let head = self.poll_head(cx, method);
            waited |= head.is_pending();
            head
        });
        let framing = framing.await?;
        turn::answered(waited).await;
        self.at = self.head_end;
        self.body = match framing {
            Framing::Length(length) => Remaining::Length(length),
            Framing::Chunked => {
                let room = self.filled + ROOM;
                if self.input.len() < room {
                    self.input.resize(room, 0);
                }
                Remaining::Chunked(Chunked::default())
            }
            Framing::UntilClose => Remaining::UntilClose,
        };
        Ok(())
    }

    /// Returns early, with `whole` unset, if the server answers before it took everything.
    async fn send(&mut self, body: Body<'_>) -> Result<(), Failure> {
        let head = std::mem::take(&mut self.output);
        let total = head.len() as u64 + body.len();
        let mut sent = 0;
        let result = poll_fn(|cx| self.poll_send(cx, &head, body, total, &mut sent)).await;
        self.output = head;
        result.map_err(|failure| {
            let stale = failure.code() == Code::Connection && self.is_stale();
            failure.with_sent(sent > 0).with_whole(sent == total).with_stale(stale)
        })
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: Body<'_>,
        total: u64,
        sent: &mut u64,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let step = if *sent < total {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let used = match head.get(*sent as usize..).filter(|rest| !rest.is_empty()) {
                    Some(rest) => {
                        slices[0] = IoSlice::new(rest);
                        1 + body.gather(0, &mut slices[1..])
                    }
                    None => body.gather(*sent - head.len() as u64, &mut slices),
                };
                self.stream.poll_send(cx, &slices[..used]).map_ok(|n| n as u64)
            } else {
                self.stream.poll_flush(cx).map_ok(|()| 0)
            };
            match step {
                Poll::Ready(Ok(0)) if *sent < total => {
                    return Poll::Ready(Err(self.failed(Phase::Send, &io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(0)) => {
                    self.whole = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(n)) => {
                    *sent += n;
                    self.watch.moved();
                    continue;
                }
                Poll::Ready(Err(error)) => {
                    // A server that refuses a body may say why before it closes.
                    if self.answer_is_there() {
                        return Poll::Ready(Ok(()));
                    }
                    return Poll::Ready(Err(self.failed(Phase::Send, &error)));
                }
                Poll::Pending => {}
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(self.failed(Phase::Send, &io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Ok(_)) => {
                    if !self.skip_interim().map_err(|e| self.malformed(Phase::Send, e))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(Phase::Send, &error))),
                Poll::Pending => return self.poll_expired(cx, Phase::Send),
            }
        }
    }

    /// Receives what has come already; whether there is the start of an answer.
    fn answer_is_there(&mut self) -> bool {
        while self.filled < self.input.len() {
            match self.stream.receive_now(&mut self.input[self.filled..]) {
                Some(Ok(n)) if n > 0 => self.filled += n,
                _ => break,
            }
        }
        matches!(find_end(&self.input[..self.filled], 0), Ok(Some(_)))
    }

    /// While the request goes out: drops interim answers; false once the real one begins.
    fn skip_interim(&mut self) -> Result<bool, Malformed> {
        while let Some(end) = find_end(&self.input[..self.filled], 0)? {
            self.head.parse(&self.input[..end], Method::Head)?;
            if !self.head.is_interim() || self.head.status() == 101 {
                return Ok(false);
            }
            self.drop_head(end);
        }
        // A part of a head: the rest will say.
        Ok(self.filled < self.input.len())
    }

    fn drop_head(&mut self, end: usize) {
        self.input.copy_within(end..self.filled, 0);
        self.filled -= end;
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, method: Method) -> Poll<Result<Framing, Failure>> {
        const PHASE: Phase = Phase::Head;
        let (mut seen, mut interim) = (0, 0);
        loop {
            let found = find_end(&self.input[..self.filled], seen).map_err(|e| self.malformed(PHASE, e))?;
            if let Some(end) = found {
                let framing =
                    self.head.parse(&self.input[..end], method).map_err(|e| self.malformed(PHASE, e))?;
                if !self.head.is_interim() {
                    self.head_end = end;
                    return Poll::Ready(Ok(framing));
                }
                interim += 1;
                if self.head.status() == 101 || interim > MAX_INTERIM {
                    let what = format!("an answer that nobody asked for: HTTP {}", self.head.status());
                    return Poll::Ready(Err(self.malformed(PHASE, Malformed(what))));
                }
                self.drop_head(end);
                seen = 0;
                continue;
            }
            seen = self.filled;
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => {
                    let failure = self.failed(PHASE, &io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(failure.with_stale(self.is_stale())));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let failure = self.failed(PHASE, &error);
                    return Poll::Ready(Err(failure.with_stale(self.is_stale())));
                }
                Poll::Pending => ready!(self.poll_expired(cx, PHASE))?,
            }
        }
    }

    /// A kept connection that brought nothing of this answer.
    fn is_stale(&self) -> bool {
        self.exchanges > 1 && self.filled == 0
    }

    /// Receives into the free part of `input`, which grows as long as a head may.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.filled == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        let n = ready!(self.stream.poll_receive(cx, &mut self.input[self.filled..]))?;
        self.filled += n;
        self.watch.moved();
        Poll::Ready(Ok(n))
    }

    /// Receives some of the body; 0 at its end, or when `out` is full or empty and only more data
    /// could follow.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<Result<usize, Failure>> {
        const PHASE: Phase = Phase::Body;
        loop {
            let buffered = self.filled - self.at;
            let ahead = match &mut self.body {
                Remaining::Length(left) => *left,
                Remaining::UntilClose => u64::MAX,
                Remaining::Chunked(chunked) => {
                    if buffered > 0 {
                        let step = chunked.decode(&self.input[self.at..self.filled], out);
                        let step = step.map_err(|e| self.malformed(PHASE, e))?;
                        self.at += step.consumed;
                        self.received += step.produced as u64;
                        if step.produced > 0 || step.consumed == 0 {
                            return Poll::Ready(Ok(step.produced));
                        }
                        continue;
                    }
                    if chunked.is_done() {
                        return Poll::Ready(Ok(0));
                    }
                    chunked.data_ahead()
                }
            };
            let between_chunks = ahead == 0 && matches!(self.body, Remaining::Chunked(_));
            let wanted = usize::try_from(ahead).unwrap_or(usize::MAX).min(out.len());
            if wanted == 0 && !between_chunks {
                return Poll::Ready(Ok(0));
            }
            if buffered > 0 {
                let n = wanted.min(buffered);
                out[..n].copy_from_slice(&self.input[self.at..self.at + n]);
                self.at += n;
                self.took(n);
                return Poll::Ready(Ok(n));
            }
            let step = match between_chunks {
                true => {
                    (self.at, self.filled) = (self.head_end, self.head_end);
                    self.poll_fill(cx)
                }
                false => self.stream.poll_receive(cx, &mut out[..wanted]),
            };
            let n = match step {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(PHASE, &error))),
                Poll::Pending => {
                    if self.received < NARROW {
                        self.stream.acknowledge();
                    }
                    match ready!(self.poll_expired_into(cx, &mut out[..wanted])) {
                        Ok(n) => n,
                        Err(failure) => return Poll::Ready(Err(failure)),
                    }
                }
            };
            self.watch.moved();
            match (n, &self.body) {
                (0, Remaining::UntilClose) => {
                    self.body = Remaining::Length(0);
                    return Poll::Ready(Ok(0));
                }
                (0, _) => return Poll::Ready(Err(self.failed(PHASE, &io::ErrorKind::UnexpectedEof.into()))),
                _ if between_chunks => {}
                _ => {
                    self.took(n);
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    fn took(&mut self, n: usize) {
        self.received += n as u64;
        match &mut self.body {
            Remaining::Length(left) => *left -= n as u64,
            Remaining::Chunked(chunked) => chunked.took(n),
            Remaining::UntilClose => {}
        }
    }

    /// Fills `out`, or as much of it as there is body; gives how much that was.
    pub(super) async fn read(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        poll_fn(|cx| {
            while filled < out.len() {
                match ready!(self.poll_body(cx, &mut out[filled..]))? {
                    0 => break,
                    n => filled += n,
                }
            }
            Poll::Ready(Ok(filled))
        })
        .await
    }

    /// Receives what a body may have after its last byte of data; whether the body is over.
    pub(super) async fn end(&mut self) -> Result<bool, Failure> {
        poll_fn(|cx| self.poll_body(cx, &mut [])).await?;
        Ok(self.is_over())
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.body {
            Remaining::Length(left) => *left == 0,
            Remaining::Chunked(chunked) => chunked.is_done(),
            Remaining::UntilClose => false,
        }
    }

    /// Bytes of the body that are to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.body {
            Remaining::Length(left) => Some(*left),
            Remaining::Chunked(chunked) if chunked.is_done() => Some(0),
            _ => None,
        }
    }

    /// Whether the body's end is marked, so that a cut one is noticed.
    pub(super) fn is_delimited(&self) -> bool {
        !matches!(self.body, Remaining::UntilClose)
    }

    pub(super) fn head(&self) -> (&Head, &[u8]) {
        (&self.head, &self.input[..self.head_end])
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether another request may follow: everything was sent, everything was received, and not a
    /// byte more came.
    pub(super) fn is_reusable(&self) -> bool {
        self.whole && self.head.keep_alive() && self.is_over() && self.at == self.filled
    }

    /// Prepares for a time without use.
    pub(super) fn rest(&mut self) {
        if self.input.len() > SCRATCH {
            self.input.truncate(SCRATCH);
            self.input.shrink_to_fit();
        }
    }

    /// Whether nothing came meanwhile; see [`Stream::is_quiet`].
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    pub(super) fn failure(&self, phase: Phase, code: Code, what: impl Into<String>) -> Failure {
        Failure::new(phase, code, &self.peer, what).with_received(self.received)
    }

    fn failed(&self, phase: Phase, error: &io::Error) -> Failure {
        Failure::from_io(phase, &self.peer, error).with_received(self.received).with_answered(self.filled > 0)
    }

    fn malformed(&self, phase: Phase, what: Malformed) -> Failure {
        Failure::malformed(phase, &self.peer, what).with_received(self.received)
    }

    /// Ready when time is up.
    fn poll_expired(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<Result<(), Failure>> {
        let expired = ready!(self.watch.poll_expired(cx));
        Poll::Ready(Err(self.expired(phase, expired)))
    }

    /// As [`Connection::poll_expired`], but has a last look at the socket: a process that was stopped
    /// finds the time up and the bytes there.
    fn poll_expired_into(&mut self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<Result<usize, Failure>> {
        let expired = ready!(self.watch.poll_expired(cx));
        if expired == Expired::Progress
            && !out.is_empty()
            && let Some(Ok(n)) = self.stream.receive_now(out)
            && n > 0
        {
            return Poll::Ready(Ok(n));
        }
        Poll::Ready(Err(self.expired(Phase::Body, expired)))
    }

    fn expired(&self, phase: Phase, expired: Expired) -> Failure {
        let failure = match expired {
            Expired::Deadline => Failure::deadline(phase, &self.peer),
            Expired::Progress => Failure::timeout(phase, &self.peer, self.watch.progress(), "no byte moved")
                .with_hint("raise net.progress_timeout_ms if the service is just slow"),
        };
        failure.with_received(self.received)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, {} exchanges)", self.peer, self.exchanges)
    }
}
