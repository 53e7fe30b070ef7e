//! The answer to a request: its head is there, its body is received by whoever holds it.

use super::failure::{Failure, Phase};
use super::pool::{Held, Pool};
use crate::error::Code;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

/// An answer with its connection. Dropped after the last byte of the body it gives the connection
/// back, dropped before it closes it.
pub struct Answer {
    held: Option<Held>,
    pool: Arc<Pool>,
    replayed: bool,
    /// Open as long as the body comes.
    span: Span,
    /// Given up after the connection is back, so that the next in line finds it.
    _turn: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn new(held: Held, pool: Arc<Pool>, turn: OwnedSemaphorePermit) -> Answer {
        Answer { held: Some(held), pool, replayed: false, span: Span::none(), _turn: turn }
    }

    pub(super) fn with_span(mut self, span: Span) -> Answer {
        self.span = span;
        self
    }

    pub(super) fn with_replayed(mut self, replayed: bool) -> Answer {
        self.replayed = replayed;
        self
    }

    /// The request was sent twice, and what this answers may not be the first time that it was carried out.
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    pub fn status(&self) -> u16 {
        self.held.as_ref().map_or(0, |held| held.connection.head().0.status())
    }

    /// The first header of this name in any case, if its value is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (head, bytes) = self.held.as_ref()?.connection.head();
        head.header(bytes, name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Name and value of each header, as they came; those that are no text are left out.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.held.iter().flat_map(|held| {
            let (head, bytes) = held.connection.head();
            head.headers(bytes)
        });
        all.filter_map(|(name, value)| {
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    /// How many bytes of the body are to come, if the server said so. To HEAD none come: ask for the
    /// header `content-length`.
    pub fn left(&self) -> Option<u64> {
        self.held.as_ref().and_then(|held| held.connection.left())
    }

    /// How many bytes of the body were received.
    pub fn received(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.connection.received())
    }

    /// Receives the next bytes of the body into `out`: all of it is filled unless the body ends
    /// before, and the result is how much that is. A body that is cut short is a failure, never an
    /// end; so is one whose end the server does not mark, as it could not be told from a cut one.
    pub async fn read_into(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let Some(held) = &mut self.held else {
            return Ok(0);
        };
        if !held.connection.is_delimited() {
            let what = "the answer says neither how long its body is nor where it ends";
            return Err(held.connection.failure(Phase::Body, Code::Protocol, what));
        }
        let result = held.connection.read(out).await;
        self.close_if(result.is_err());
        result
    }

    /// Receives the whole body, which may have at most `limit` bytes. Meant for what is parsed: a
    /// body without a marked end is taken as it comes.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let Some(held) = &mut self.held else {
            return Ok(Bytes::new());
        };
        let connection = &mut held.connection;
        let too_large = |connection: &super::connection::Connection| {
            let what = format!("the answer is larger than the {limit} bytes that are expected");
            connection.failure(Phase::Body, Code::Protocol, what)
        };
        let known = connection.left();
        if known.is_some_and(|left| left > limit as u64) {
            return Err(too_large(connection));
        }
        let mut body = vec![0; known.map_or(4 << 10, |left| left as usize).min(limit)];
        let mut filled = 0;
        let result = loop {
            match connection.read(&mut body[filled..]).await {
                Ok(n) => filled += n,
                Err(failure) => break Err(failure),
            }
            match connection.end().await {
                Ok(true) => break Ok(()),
                Ok(false) if filled == limit => break Err(too_large(connection)),
                Ok(false) => body.resize((body.len() * 2).clamp(1, limit), 0),
                Err(failure) => break Err(failure),
            }
        };
        self.close_if(result.is_err());
        body.truncate(filled);
        result.map(|()| body.into())
    }

    /// Gives the connection back. A body that goes on is a failure: something is longer than the
    /// caller was told.
    pub async fn finish(mut self) -> Result<(), Failure> {
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        match held.connection.end().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let what = "the answer's body goes on where it should end";
                Err(held.connection.failure(Phase::Body, Code::Protocol, what))
            }
            Err(failure) => {
                self.close_if(true);
                Err(failure)
            }
        }
    }

    /// What failed once cannot be read on.
    fn close_if(&mut self, failed: bool) {
        if failed {
            self.held = None;
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.pool.give_back(held);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer(HTTP {}, {:?} bytes to come)", self.status(), self.left())
    }
}
