//! A TCP connection for our purposes: no delay, no signal on a broken pipe, and a look at what came
//! unasked that costs no system call.
//!
//! Why no SO_RCVLOWAT and no SO_RCVBUF? Waking only for larger pieces saved no CPU time that could be
//! measured and cost throughput; a buffer that is set is one that the kernel no longer fits to the way.

use socket2::SockRef;
use std::io::{self, IoSlice, Read as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

/// Without this flag a write to a closed connection would signal the program that linked us: calls
/// that block poll on its threads. (On other systems the socket itself is set so.)
const FLAGS: i32 = if cfg!(target_os = "linux") { libc::MSG_NOSIGNAL } else { 0 };

#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
}

impl Tcp {
    pub(super) async fn connect(to: SocketAddr) -> io::Result<Tcp> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        Ok(Tcp { stream: socket.connect(to).await? })
    }

    /// Receives what is there, whether or not the socket counts as readable.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        match (&*SockRef::from(&self.stream)).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            result => Some(result),
        }
    }

    /// Tells the other end at once what arrived. A kernel that has just sent a request waits up to 40 ms for more to
    /// say, and a sender whose window is full waits with it: on the loopback one piece of 64 KiB fills that of a
    /// connection that is young.
    pub(super) fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.stream.set_quickack(true); // it is about speed alone
    }

    /// Whether nothing came since the last answer. What came can only be the end, or bytes that
    /// nobody asked for. Costs no system call unless something did.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        match self.stream.poll_read_ready(&mut context) {
            Poll::Pending => true,
            // Also said after a read that filled its buffer to the last byte.
            Poll::Ready(_) => self.receive_now(&mut [0]).is_none(),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.get_mut().stream;
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            let mut some = 0;
            let result = stream.try_io(Interest::WRITABLE, || {
                let sent = SockRef::from(stream).send_vectored_with_flags(slices, FLAGS)?;
                if sent < wanted {
                    some = sent;
                    // The socket is full; saying so spares the call that would find it out.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(sent)
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && some > 0 => {
                    return Poll::Ready(Ok(some));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;
    use std::io::Write as _;
    use std::net::TcpListener;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_arrived_is_acknowledged_at_once_when_asked() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let quick = runtime::block_on(async {
            let mut tcp = Tcp::connect(server.local_addr().unwrap()).await.unwrap();
            let (mut other, _) = server.accept().unwrap();
            // Who answers and asks again is held for somebody who will soon have more to say.
            for _ in 0..32 {
                other.write_all(b"an answer").unwrap();
                tcp.stream.readable().await.unwrap();
                while tcp.receive_now(&mut [0; 64]).is_some() {}
                tcp.stream.writable().await.unwrap();
                assert_eq!(tcp.stream.try_write(b"a request").unwrap(), 9);
            }
            let before = tcp.stream.quickack().unwrap();
            tcp.acknowledge();
            (before, tcp.stream.quickack().unwrap())
        });
        assert_eq!(quick.unwrap(), (false, true));
    }
}
