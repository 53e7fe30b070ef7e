//! A connection's bytes: plain, or through TLS.

use super::tcp::Tcp;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(Tcp),
    Tls(Box<TlsStream<Tcp>>),
    /// To a server through a proxy that is itself reached by TLS.
    TlsInTls(Box<TlsStream<TlsStream<Tcp>>>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::TlsInTls($inner) => $call,
        }
    };
}

impl Stream {
    /// Receives into `buffer`; 0 is the end. The end of TLS without its farewell is `UnexpectedEof`:
    /// somebody else may have cut the connection.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(each!(self, inner => Pin::new(inner).poll_read(cx, &mut buffer)))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [one] => each!(self, inner => Pin::new(inner).poll_write(cx, one)),
            many => each!(self, inner => Pin::new(inner).poll_write_vectored(cx, many)),
        }
    }

    /// Pushes out what TLS holds back.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    /// Receives what is there already.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if let Stream::Plain(tcp) = self {
            return tcp.receive_now(buffer);
        }
        match self.poll_receive(&mut Context::from_waker(Waker::noop()), buffer) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// As [`Tcp::acknowledge`].
    pub(super) fn acknowledge(&self) {
        match self {
            Stream::Plain(tcp) => tcp.acknowledge(),
            Stream::Tls(stream) => stream.get_ref().0.acknowledge(),
            Stream::TlsInTls(stream) => stream.get_ref().0.get_ref().0.acknowledge(),
        }
    }

    /// As [`Tcp::is_quiet`]. Through TLS, what is about TLS itself is no answer and is taken in.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            Stream::Plain(tcp) => tcp.is_quiet(),
            Stream::Tls(_) | Stream::TlsInTls(_) => self.receive_now(&mut [0]).is_none(),
        }
    }
}
