//! From a peer's name to a connection that requests can go over: addresses tried in parallel, a
//! proxy's tunnel, TLS.

use super::dns::Names;
use super::endpoint::{Endpoint, Scheme};
use super::failure::{Failure, Phase};
use super::head::{Head, find_end};
use super::proxy::Proxy;
use super::request::Method;
use super::stream::Stream;
use super::tcp::Tcp;
use super::tls::Tls;
use super::watch::Limits;
use crate::error::{Code, Error, Result};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

/// An address that has not answered for so long gets company (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// The longest answer of a proxy to `CONNECT`.
const MAX_TUNNEL_HEAD: usize = 16 << 10;

/// The way to one server.
pub(super) struct Route {
    server: Endpoint,
    proxy: Option<Proxy>,
    /// Of the first hop.
    names: Names,
    tls: Arc<Tls>,
    /// What messages call the peer.
    shown: String,
}

impl Route {
    pub(super) fn new(
        server: &Endpoint,
        proxy: Option<&Proxy>,
        tls: Arc<Tls>,
        resolver: super::dns::Resolver,
    ) -> Route {
        let hop = proxy.map_or(server, |proxy| &proxy.endpoint);
        let shown = match proxy {
            Some(proxy) => format!("{} (by proxy {})", server.host_port(), proxy.endpoint.host_port()),
            None => server.host_port(),
        };
        let names = Names::new(hop.host(), hop.port(), resolver);
        Route { server: server.clone(), proxy: proxy.cloned(), names, tls, shown }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The proxy, where it is asked for each request rather than for a tunnel.
    pub(super) fn forwarding_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| self.server.scheme() == Scheme::Http)
    }

    pub(super) async fn connect(&self, limits: &Limits) -> Result<Stream, Failure> {
        let own = Instant::now().checked_add(limits.connect);
        let mut phase = Phase::Resolve;
        let due = match (own, limits.deadline) {
            (Some(own), Some(deadline)) => own.min(deadline),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return self.establish(&mut phase).await,
        };
        match timeout_at(due, self.establish(&mut phase)).await {
            Ok(result) => result,
            Err(_) if Some(due) == limits.deadline => Err(Failure::deadline(phase, &self.shown)),
            Err(_) => {
                if phase == Phase::Connect {
                    self.names.forget();
                }
                Err(Failure::timeout(phase, &self.shown, limits.connect, "no connection")
                    .with_hint("see net.connect_timeout_ms; is a firewall on the way?"))
            }
        }
    }

    async fn establish(&self, phase: &mut Phase) -> Result<Stream, Failure> {
        let addresses = self.names.addresses().await;
        let addresses = addresses.map_err(|error| Failure::unresolved(&self.shown, &error))?;
        *phase = Phase::Connect;
        let mut stream = Stream::Plain(self.race(&addresses).await?);
        if let Some(proxy) = &self.proxy {
            if proxy.endpoint.is_tls() {
                *phase = Phase::Tls;
                stream = self.secure(stream, &proxy.endpoint).await?;
            }
            if self.server.is_tls() {
                *phase = Phase::Connect;
                self.tunnel(&mut stream, proxy).await?;
            }
        }
        if self.server.is_tls() {
            *phase = Phase::Tls;
            stream = self.secure(stream, &self.server).await?;
        }
        Ok(stream)
    }

    /// Tries the addresses in order, the next one when the last has failed or keeps silent; the
    /// first that answers wins.
    async fn race(&self, addresses: &[SocketAddr]) -> Result<Tcp, Failure> {
        let mut waiting = addresses.iter().copied();
        let mut trying = FuturesUnordered::new();
        let mut tried = Vec::new();
        let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
        loop {
            let more = waiting.next();
            if let Some(address) = more {
                tried.push(address);
                trying.push(async move { (address, Tcp::connect(address).await) });
            }
            let silence = async {
                match waiting.len() {
                    0 => std::future::pending().await,
                    _ => sleep(HEAD_START).await,
                }
            };
            tokio::select! {
                biased;
                done = trying.next() => match done {
                    Some((address, Ok(tcp))) => {
                        let slower = tried.iter().filter(|other| **other != address);
                        slower.for_each(|other| self.names.failed(other.ip()));
                        self.names.worked(address.ip());
                        return Ok(tcp);
                    }
                    Some((address, Err(error))) => {
                        self.names.failed(address.ip());
                        failures.push((address, error));
                    }
                    None => return Err(self.all_failed(failures)),
                },
                () = silence => {}
            }
        }
    }

    fn all_failed(&self, failures: Vec<(SocketAddr, io::Error)>) -> Failure {
        self.names.forget();
        let Some((_, first)) = failures.first() else {
            return Failure::new(Phase::Connect, Code::Dns, &self.shown, "the name has no address");
        };
        let failure = Failure::from_io(Phase::Connect, &self.shown, first);
        let with_address = |failure: Failure, (address, error): &(SocketAddr, io::Error)| {
            failure.with_cause(format!("{address}: {error}"))
        };
        match failures.len() {
            1 => failure,
            _ => failures.iter().fold(failure, with_address),
        }
    }

    async fn secure(&self, stream: Stream, server: &Endpoint) -> Result<Stream, Failure> {
        let ours = |error: Error| Failure::from_error(Phase::Tls, &self.shown, error);
        let config = self.tls.config().await.map_err(ours)?;
        let name = ServerName::try_from(server.host().trim_end_matches('.').to_owned()).map_err(|_| {
            Failure::new(
                Phase::Tls,
                Code::Tls,
                &self.shown,
                "the host is no name that a certificate can hold",
            )
        })?;
        let connector = TlsConnector::from(config);
        let failed = |e: io::Error| Failure::from_io(Phase::Tls, &self.shown, &e);
        match stream {
            Stream::Plain(tcp) => {
                Ok(Stream::Tls(Box::new(connector.connect(name, tcp).await.map_err(failed)?)))
            }
            Stream::Tls(outer) => {
                Ok(Stream::TlsInTls(Box::new(connector.connect(name, *outer).await.map_err(failed)?)))
            }
            Stream::TlsInTls(_) => {
                Err(Failure::new(Phase::Tls, Code::Internal, &self.shown, "TLS three times"))
            }
        }
    }

    /// Asks the proxy for a connection to the server.
    async fn tunnel(&self, stream: &mut Stream, proxy: &Proxy) -> Result<(), Failure> {
        let server = self.server.host_port();
        let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
        if let Some(authorization) = &proxy.authorization {
            request
                .extend_from_slice(format!("Proxy-Authorization: {}\r\n", authorization.reveal()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        let failed = |e: io::Error| Failure::from_io(Phase::Connect, &self.shown, &e);
        let malformed = |e| Failure::malformed(Phase::Connect, &self.shown, e);
        let mut sent = 0;
        while sent < request.len() {
            let rest = [IoSlice::new(&request[sent..])];
            sent += poll_fn(|cx| stream.poll_send(cx, &rest)).await.map_err(failed)?;
        }
        poll_fn(|cx| stream.poll_flush(cx)).await.map_err(failed)?;
        let mut answer = vec![0; MAX_TUNNEL_HEAD];
        let (mut filled, mut seen) = (0, 0);
        let end = loop {
            if let Some(end) = find_end(&answer[..filled], seen).map_err(malformed)? {
                break end;
            }
            seen = filled;
            let n = poll_fn(|cx| stream.poll_receive(cx, &mut answer[filled..])).await.map_err(failed)?;
            if n == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            filled += n;
        };
        let mut head = Head::default();
        head.parse(&answer[..end], Method::Head).map_err(malformed)?;
        let refused = |code, what: &str| {
            let what = format!("the proxy {what} (HTTP {})", head.status());
            Failure::new(Phase::Connect, code, &self.shown, what)
        };
        match head.status() {
            200..=299 if filled == end => Ok(()),
            200..=299 => Err(refused(Code::Protocol, "sends data before the server can")),
            407 => Err(refused(Code::Unauthenticated, "wants credentials")
                .with_hint("put user:password@ before the proxy's host in https_proxy")),
            403 => Err(refused(Code::PermissionDenied, "does not permit this server")
                .with_hint("name the server in no_proxy if it can be reached directly")),
            502..=504 => Err(refused(Code::Unavailable, "cannot reach the server")),
            _ => Err(refused(Code::Connection, "opens no tunnel")),
        }
    }
}
