//! The data plane against raw sockets (SPEC G1, H1, I1-I3): what it sends, what it makes of every
//! kind of answer, which connections it keeps, and that each failure says where it happened.

mod answers;
mod bodies;
mod connects;
mod keeping;
mod proxies;
mod requests;
mod server;
mod speed;
mod times;
mod tls;

use s3dlio::net::proxy::Proxies;
use s3dlio::net::tls::Tls;
use s3dlio::net::{Answer, Client, Config, Endpoint, Failure, Limits, Method, Request, dns};
use s3dlio::runtime::block_on;
use std::future::Future;
use std::time::Duration;

fn run<T>(future: impl Future<Output = T>) -> T {
    block_on(future).expect("the runtime runs")
}

fn config() -> Config {
    Config {
        tls: Tls::new(None).unwrap(),
        proxies: Proxies::none(),
        max_connections: 8,
        idle_timeout: Duration::from_secs(60),
        resolver: dns::system(),
    }
}

fn client() -> Client {
    Client::new(config())
}

/// Far longer than any test takes, so that only what is meant to expire does.
fn limits() -> Limits {
    Limits { connect: Duration::from_secs(60), progress: Duration::from_secs(60), deadline: None }
}

fn get() -> Request<'static> {
    Request::new(Method::Get, "/k").unwrap()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url).unwrap().0
}

async fn send(client: &Client, url: &str, request: &Request<'_>) -> Result<Answer, Failure> {
    client.send(&endpoint(url), request, &limits()).await
}

/// Status and body of a GET, with the connection given back.
async fn fetch(client: &Client, url: &str) -> Result<(u16, Vec<u8>), Failure> {
    let mut answer = send(client, url, &get()).await?;
    let body = answer.collect(1 << 20).await?;
    let status = answer.status();
    answer.finish().await?;
    Ok((status, body.to_vec()))
}

/// `len` bytes in which every place is told from its neighbours.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}
