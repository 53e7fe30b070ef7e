//! Names, addresses, families: the way to a server.

use crate::server::{Full, Server, closed_port, http};
use crate::{client, config, endpoint, fetch, get, limits, run, send};
use s3dlio::net::retry::classify::Lost;
use s3dlio::net::{Client, Config, Limits, Phase};
use s3dlio::{Code, Error};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A client that finds these addresses behind every name; the counter says how often it looked.
fn resolving(addresses: &[&str]) -> (Client, Arc<AtomicUsize>) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    let looked = Arc::new(AtomicUsize::new(0));
    let count = looked.clone();
    let resolver: s3dlio::net::dns::Resolver = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(addresses.clone())
    });
    (Client::new(Config { resolver, ..config() }), looked)
}

#[test]
fn s3_a_refused_connection_says_where_and_why() {
    let address = closed_port([127, 0, 0, 1]);
    let failure = run(send(&client(), &format!("http://{address}"), &get())).unwrap_err();
    assert_eq!(
        (failure.code(), failure.errno()),
        (Code::Connection, Some(libc::ECONNREFUSED)),
        "{failure:?}"
    );
    assert_eq!((failure.phase(), failure.sent()), (Phase::Connect, false));
    assert_eq!(Lost::of(&failure, false), Some(Lost::Refused));
    let error = Error::from(failure);
    assert!(error.to_string().contains(&address.to_string()) && error.hint().is_some(), "{error}");
}

#[test]
fn s3_a_name_that_does_not_resolve_is_a_dns_error() {
    let failure = run(send(&client(), "http://no-such-host.invalid:9", &get())).unwrap_err();
    assert_eq!(
        (failure.code(), failure.phase(), failure.sent()),
        (Code::Dns, Phase::Resolve, false),
        "{failure:?}"
    );
    let error = Error::from(failure);
    assert!(error.to_string().contains("no-such-host.invalid:9") && error.retryable(), "{error}");
}

#[test]
fn i1_a_name_that_does_not_exist_is_told_from_a_silent_name_service() {
    for (kind, lost) in [(io::ErrorKind::NotFound, Lost::NoSuchHost), (io::ErrorKind::Other, Lost::Resolve)] {
        let resolver: s3dlio::net::dns::Resolver = Arc::new(move |_| Err(io::Error::new(kind, "why")));
        let client = Client::new(Config { resolver, ..config() });
        let failure = run(send(&client, "http://name:1", &get())).unwrap_err();
        assert_eq!((failure.code(), Lost::of(&failure, false)), (Code::Dns, Some(lost)), "{failure:?}");
    }
}

#[test]
fn i1_a_slow_name_service_is_a_timeout() {
    let resolver: s3dlio::net::dns::Resolver = Arc::new(|_| {
        std::thread::sleep(Duration::from_millis(400));
        Err(io::Error::other("too late"))
    });
    let client = Client::new(Config { resolver, ..config() });
    let limits = Limits { connect: Duration::from_millis(30), ..limits() };
    let failure = run(client.send(&endpoint("http://name:1"), &get(), &limits)).unwrap_err();
    assert_eq!((failure.code(), failure.phase()), (Code::Timeout, Phase::Resolve), "{failure:?}");
}

#[test]
fn ipv6_literals_are_reached_and_named_in_brackets() {
    let server = Server::start_at("[::1]:0", |_, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"six"));
    });
    assert_eq!(run(fetch(&client(), &server.url())).unwrap().1, b"six");
    let host = format!("Host: [::1]:{}\r\n", server.address.port());
    assert!(server.requests()[0].contains(&host), "{}", server.requests()[0]);
}

#[test]
fn localhost_resolves_by_the_system() {
    let server = Server::always(http(200, "", b"x"));
    let url = format!("http://localhost:{}", server.address.port());
    assert_eq!(run(fetch(&client(), &url)).unwrap().1, b"x");
}

/// The dead address refuses: the live one is used at once, and from then on tried first.
#[test]
fn i1_a_dead_address_beside_a_live_one_costs_nothing() {
    let server = Server::once(http(200, "Connection: close\r\n", b"x"));
    let (client, looked) = resolving(&["127.0.0.9", "::1", "127.0.0.1"]);
    let url = format!("http://name:{}", server.address.port());
    let start = Instant::now();
    run(async {
        for _ in 0..20 {
            assert_eq!(fetch(&client, &url).await.unwrap().1, b"x");
        }
    });
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((server.connections(), looked.load(Ordering::SeqCst)), (20, 1));
}

/// The dead address keeps silent: the live one is tried beside it.
#[test]
fn i1_a_silent_address_beside_a_live_one_costs_its_head_start_once() {
    let server = Server::once(http(200, "Connection: close\r\n", b"x"));
    let _silent = Full::start_at("127.0.0.9".parse().unwrap(), server.address.port());
    let (client, _) = resolving(&["127.0.0.9", "127.0.0.1"]);
    let url = format!("http://name:{}", server.address.port());
    let start = Instant::now();
    run(async {
        for _ in 0..20 {
            assert_eq!(fetch(&client, &url).await.unwrap().1, b"x");
        }
    });
    assert!(start.elapsed() >= Duration::from_millis(240) && start.elapsed() < Duration::from_secs(2));
}

#[test]
fn all_addresses_dead_are_all_named_and_looked_up_again() {
    let port = closed_port([127, 0, 0, 1]).port();
    let (client, looked) = resolving(&["127.0.0.1", "127.0.0.9"]);
    for times in 1..=2 {
        let failure = run(send(&client, &format!("http://name:{port}"), &get())).unwrap_err();
        let text = Error::from(failure).to_string();
        for part in ["name", "127.0.0.1", "127.0.0.9", "refused"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(looked.load(Ordering::SeqCst), times);
    }
}

#[test]
fn connections_spread_over_all_addresses() {
    let answer = http(200, "Connection: close\r\n", b"one");
    let one = Server::once(answer.clone());
    let other = Server::start_at(&format!("127.0.0.2:{}", one.address.port()), move |_, mut connection| {
        connection.request();
        connection.send(&answer);
    });
    let (client, _) = resolving(&["127.0.0.1", "127.0.0.2"]);
    run(async {
        for _ in 0..10 {
            fetch(&client, &format!("http://name:{}", one.address.port())).await.unwrap();
        }
    });
    assert_eq!((one.connections(), other.connections()), (5, 5));
}

#[test]
fn endpoints_have_connections_of_their_own() {
    let (one, other) = (Server::always(http(200, "", b"1")), Server::always(http(200, "", b"2")));
    let client = client();
    run(async {
        for _ in 0..3 {
            assert_eq!(fetch(&client, &one.url()).await.unwrap().1, b"1");
            assert_eq!(fetch(&client, &other.url()).await.unwrap().1, b"2");
        }
    });
    assert_eq!((one.connections(), other.connections(), client.stats().created), (1, 1, 2));
}
