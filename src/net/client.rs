//! The client: who sends a request gets an answer or a failure.

use super::answer::Answer;
use super::attempt;
use super::connect::Route;
use super::connection::Connection;
use super::dns::{self, Resolver};
use super::endpoint::Endpoint;
use super::failure::{Failure, Phase};
use super::pool::{Held, Pool, PoolStats};
use super::proxy::Proxies;
use super::request::{Form, Request};
use super::tls::Tls;
use super::watch::Limits;
use crate::base::sync::{read, write};
use crate::error::{Code, Result};
use crate::options::{self, Resolved};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::time::timeout_at;

/// What all requests of a client have in common.
pub struct Config {
    pub tls: Tls,
    pub proxies: Proxies,
    /// Per endpoint, in use or not.
    pub max_connections: usize,
    /// How long an unused connection is kept; zero keeps none.
    pub idle_timeout: Duration,
    pub resolver: Resolver,
}

impl Config {
    /// From the options `net.*` and the environment.
    pub fn from_options(options: &Resolved) -> Result<Config> {
        Ok(Config {
            tls: Tls::new(options.text(&options::NET_CA_BUNDLE))?,
            proxies: Proxies::from_environment(),
            max_connections: options.size(&options::NET_MAX_CONNECTIONS),
            idle_timeout: options.duration(&options::NET_IDLE_TIMEOUT_MS),
            resolver: dns::system(),
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({} connections per endpoint)", self.max_connections)
    }
}

/// Connections to any number of endpoints. It belongs to one process and one runtime: keep it in a
/// `PerProcess`.
pub struct Client {
    tls: Arc<Tls>,
    proxies: Proxies,
    max_connections: usize,
    idle_timeout: Duration,
    resolver: Resolver,
    peers: RwLock<HashMap<Endpoint, Arc<Peer>>>,
}

impl Client {
    /// Connects to nothing.
    pub fn new(config: Config) -> Client {
        Client {
            tls: Arc::new(config.tls),
            proxies: config.proxies,
            max_connections: config.max_connections,
            idle_timeout: config.idle_timeout,
            resolver: config.resolver,
            peers: RwLock::default(),
        }
    }

    /// As [`Peer::send`].
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        limits: &Limits,
    ) -> Result<Answer, Failure> {
        let peer = self.peer(endpoint);
        let peer = peer.map_err(|error| Failure::from_error(Phase::Connect, &endpoint.host_port(), error))?;
        peer.send(request, limits).await
    }

    /// The endpoint's connections; the same value at each call. Fails where the environment names a
    /// proxy that cannot be used.
    pub fn peer(&self, endpoint: &Endpoint) -> Result<Arc<Peer>> {
        if let Some(peer) = read(&self.peers).get(endpoint) {
            return Ok(peer.clone());
        }
        let proxy = self.proxies.to(endpoint)?;
        let route = Route::new(endpoint, proxy, self.tls.clone(), self.resolver.clone());
        let form = match route.forwarding_proxy() {
            Some(proxy) => Form::Absolute(proxy.authorization.clone()),
            None => Form::Origin,
        };
        let peer = Peer {
            endpoint: endpoint.clone(),
            shown: route.shown().into(),
            route,
            form,
            pool: Pool::new(self.max_connections, self.idle_timeout),
        };
        Ok(write(&self.peers).entry(endpoint.clone()).or_insert_with(|| Arc::new(peer)).clone())
    }

    /// Of all endpoints together.
    pub fn stats(&self) -> PoolStats {
        let mut all = PoolStats::default();
        for peer in read(&self.peers).values() {
            let one = peer.stats();
            all.open += one.open;
            all.idle += one.idle;
            all.created += one.created;
            all.reused += one.reused;
            all.waiting += one.waiting;
        }
        all
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.stats())
    }
}

/// One endpoint with its connections.
pub struct Peer {
    endpoint: Endpoint,
    shown: Arc<str>,
    route: Route,
    form: Form,
    pool: Arc<Pool>,
}

impl Peer {
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Sends the request and waits for the head of the answer, whatever its status. The only thing
    /// that is tried twice is a request on a kept connection that turned out to be dead, if it can
    /// be replayed or nothing of it was sent. Dropping the future closes the connection.
    pub async fn send(&self, request: &Request<'_>, limits: &Limits) -> Result<Answer, Failure> {
        let span = attempt::begin(&self.endpoint, request);
        let outcome = self.exchanged(request, limits).await;
        attempt::end(&span, &outcome);
        outcome.map(|answer| answer.with_span(span))
    }

    async fn exchanged(&self, request: &Request<'_>, limits: &Limits) -> Result<Answer, Failure> {
        let turn = match limits.deadline {
            Some(deadline) => timeout_at(deadline, self.pool.turn()).await.map_err(|_| {
                Failure::deadline(Phase::Wait, &self.shown).with_hint("see net.max_connections")
            })?,
            None => self.pool.turn().await,
        };
        let Some(turn) = turn else {
            return Err(Failure::new(Phase::Wait, Code::Internal, &self.shown, "the pool is closed"));
        };
        let mut replayed = false;
        if let Some(mut held) = self.pool.reuse() {
            match self.exchange(&mut held, request, limits).await {
                Ok(()) => return Ok(Answer::new(held, self.pool.clone(), turn)),
                Err(failure) if failure.stale() && (request.replayable() || !failure.sent()) => {
                    tracing::debug!(peer = %self.shown, %failure, "a kept connection was dead");
                    replayed = failure.sent();
                }
                Err(failure) => return Err(failure),
            }
        }
        let fresh = async {
            let stream = Box::pin(self.route.connect(limits)).await?;
            let mut held = self.pool.created(Connection::new(stream, self.shown.clone()));
            self.exchange(&mut held, request, limits).await?;
            Ok(held)
        };
        match fresh.await {
            Ok(held) => Ok(Answer::new(held, self.pool.clone(), turn).with_replayed(replayed)),
            Err(failure) => Err(Failure::with_replayed(failure, replayed)),
        }
    }

    async fn exchange(&self, held: &mut Held, request: &Request<'_>, limits: &Limits) -> Result<(), Failure> {
        let connection = &mut held.connection;
        request.write_head(&self.endpoint, &self.form, &mut connection.output);
        connection.exchange(request.method(), request.body(), limits).await
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({}, {:?})", self.shown, self.stats())
    }
}
