//! Requests over the data plane: signed here, sent on connections of our own, bodies borrowed on the
//! way out and received where they belong.

use super::account::{Account, Credential};
use super::client::{Answer, Body, Call};
use super::failure::{self, Dated, Failure};
use super::headers::Headers;
use super::pipeline;
use super::retry::Retry;
use super::sign;
use super::token;
use super::tokens::Tokens;
use crate::base::date::Timestamp;
use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use crate::net::auth::clock::{Clock, Exchange};
use crate::net::auth::shared_key::{self, SharedKey};
use crate::net::{self, Config, Endpoint, Limits, Peer, Request, Scheme};
use crate::options::{self, Resolved};
use azure_core::Uuid;
use azure_core::http::Url;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

const USER_AGENT: &str = concat!("s3dlio/", env!("CARGO_PKG_VERSION"));

/// The connections to one account's blob service.
pub(super) struct Plane {
    peer: Arc<Peer>,
    authority: Authority,
    clock: Clock,
    connect: Duration,
    progress: Duration,
}

/// What proves who asks.
enum Authority {
    Nobody,
    Key(Arc<SharedKey>),
    /// Escaped, to be appended to a query.
    Sas(Secret),
    Tokens(Tokens),
}

impl Plane {
    /// Connects to nothing yet.
    pub(super) fn new(account: &Account, options: &Resolved) -> Result<Plane> {
        let authority = match &account.credential {
            Credential::Anonymous => Authority::Nobody,
            Credential::Key(key) => Authority::Key(key.clone()),
            Credential::Sas(sas) => Authority::Sas(escaped(&account.endpoint, sas)),
            Credential::Token => {
                let source = token::from_environment(&pipeline::client_options(options)?)?;
                Authority::Tokens(Tokens::new(source))
            }
        };
        let client = net::Client::new(Config::from_options(options)?);
        Ok(Plane {
            peer: client.peer(&endpoint(&account.endpoint)?)?,
            authority,
            clock: Clock::new(),
            connect: options.duration(&options::NET_CONNECT_TIMEOUT_MS),
            progress: options.duration(&options::NET_PROGRESS_TIMEOUT_MS),
        })
    }

    pub(super) async fn send(&self, call: &Call, retry: &Retry) -> Result<Answer, Failure> {
        let deadline = retry.deadline();
        let token = match &self.authority {
            Authority::Tokens(tokens) => Some(tokens.get(deadline).await?),
            _ => None,
        };
        let (sent, ahead) = (Timestamp::now(), self.clock.ahead());
        let request = self.request(call, sent.plus(ahead), token.as_ref().map(|token| token.secret()))?;
        let limits =
            Limits { connect: self.connect, progress: self.progress, deadline: deadline.map(Into::into) };
        let answer = self.peer.send(&request, &limits).await;
        let replayed = answer.as_ref().map_or_else(net::Failure::replayed, net::Answer::replayed);
        if replayed {
            retry.leave_open();
        }
        let answer = answer.map_err(|failure| failure::from_net(failure, deadline))?;
        drop(request);
        let headers: Headers = answer.headers().collect();
        let received = Timestamp::now();
        let date = headers.get("date").filter(|_| headers.get("age").is_none()).map(str::to_owned);
        Answer::new(answer.status(), headers, Body::Net(answer, deadline)).await.map_err(|failure| {
            let dated = Dated { sent, received, date };
            let signed = matches!(self.authority, Authority::Key(_));
            let skewed = signed && dated.exchange().shows_skew(ahead);
            failure.with_date(dated, skewed).with_token(token.map(|token| token.number()))
        })
    }

    pub(super) fn correct_clock(&self, failure: &Failure) -> bool {
        failure.dated().is_some_and(|dated| self.clock.correct(&dated.exchange()))
    }

    pub(super) fn renew_credentials(&self, failure: &Failure) -> bool {
        match (&self.authority, failure.token()) {
            (Authority::Tokens(tokens), Some(number)) => {
                tokens.refuse(number);
                true
            }
            _ => false,
        }
    }

    /// The request of a call, signed for this moment of the service's time.
    fn request<'a>(&self, call: &'a Call, now: Timestamp, token: Option<&Secret>) -> Result<Request<'a>> {
        let target = match &self.authority {
            Authority::Sas(sas) => {
                let joint = if call.target.contains('?') { "&" } else { "?" };
                [call.target.as_str(), joint, sas.reveal()].concat()
            }
            _ => call.target.clone(),
        };
        let mut request = Request::new(call.method, target)?;
        request.set_replayable(!call.conditional);
        let headers = request.headers_mut();
        for (name, value) in call.headers.iter() {
            headers.push(name, value)?;
        }
        headers.push("user-agent", USER_AGENT)?;
        headers.push("x-ms-client-request-id", &Uuid::new_v4().to_string())?;
        match (&self.authority, token) {
            (Authority::Key(key), _) => {
                headers.push("x-ms-date", &now.http())?;
                let authorization = self.signature(key, call, headers);
                headers.push("authorization", &authorization)?;
            }
            (_, Some(token)) => {
                headers.push("x-ms-date", &now.http())?;
                let authorization = Zeroizing::new(["Bearer ", token.reveal()].concat());
                headers.push("authorization", &authorization)?;
            }
            _ => {}
        }
        if !call.body.is_empty() {
            request = request.with_body(net::Body::Slice(&call.body));
        }
        Ok(request)
    }

    fn signature(&self, key: &SharedKey, call: &Call, headers: &net::Headers) -> String {
        let length = call.body.len().to_string();
        let mut headers: Vec<_> = headers.iter().collect();
        if call.has_length() {
            headers.push(("content-length", &length));
        }
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        key.authorization(&shared_key::Request { method: call.method.name(), path, query, headers: &headers })
    }
}

impl Dated {
    fn exchange(&self) -> Exchange<'_> {
        Exchange { sent: self.sent, received: self.received, date: self.date.as_deref(), age: None }
    }
}

fn endpoint(url: &Url) -> Result<Endpoint> {
    let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
    let host = url.host_str().ok_or_else(|| Error::new(Code::InvalidOption, "azure.endpoint has no host"))?;
    Endpoint::new(scheme, host, url.port())
}

/// The signature as a URL's query has it, whose own escapes stay.
fn escaped(endpoint: &Url, sas: &Secret) -> Secret {
    let mut url = endpoint.clone();
    sign::append_sas(&mut url, sas);
    Secret::new(url.query().unwrap_or_default())
}
