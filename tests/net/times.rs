//! Time limits: what stalls ends, what moves goes on.

use crate::server::{Full, Server, http};
use crate::{client, endpoint, get, limits, pattern, run};
use s3dlio::net::{Body, Client, Failure, Limits, Method, Phase, Request};
use s3dlio::{Code, Error};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(100);

/// The failure of a whole exchange, which must take at least `SHORT` and end soon after.
fn fails(client: &Client, url: &str, request: &Request<'_>, limits: &Limits) -> Failure {
    let start = Instant::now();
    let failure = run(async {
        let mut answer = match client.send(&endpoint(url), request, limits).await {
            Ok(answer) => answer,
            Err(failure) => return failure,
        };
        answer.read_into(&mut vec![0; 1 << 20]).await.unwrap_err()
    });
    let took = start.elapsed();
    assert!(
        took >= SHORT - Duration::from_millis(5) && took < Duration::from_secs(10),
        "{took:?}: {failure:?}"
    );
    assert_eq!(failure.code(), Code::Timeout, "{failure:?}");
    failure
}

fn short_progress() -> Limits {
    Limits { progress: SHORT, ..limits() }
}

/// Sends a part of an answer and then nothing.
fn stalls_after(part: Vec<u8>) -> Server {
    Server::start(move |_, mut connection| {
        connection.head();
        connection.send(&part);
        connection.stream.set_read_timeout(None).unwrap();
        std::thread::sleep(Duration::from_secs(30));
    })
}

#[test]
fn i1_a_stall_ends_in_each_phase() {
    let large = http(200, "", &pattern(1 << 20));
    let cases = [
        (Vec::new(), Phase::Head, 0),
        (b"HTTP/1.1 200 OK\r\nConte".to_vec(), Phase::Head, 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec(), Phase::Body, 4),
        (large[..500_000].to_vec(), Phase::Body, 500_000 - (large.len() - (1 << 20)) as u64),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab".to_vec(), Phase::Body, 2),
    ];
    for (part, phase, received) in cases {
        let server = stalls_after(part.clone());
        let client = client();
        let failure = fails(&client, &server.url(), &get(), &short_progress());
        assert_eq!((failure.phase(), failure.received()), (phase, received), "{failure:?}");
        assert_eq!(client.stats().open, 0);
        let error = Error::from(failure);
        assert!(error.retryable() && error.hint().unwrap().contains("net.progress_timeout_ms"), "{error}");
    }
    let server = stalls_after(Vec::new());
    let data = pattern(64 << 20);
    let put = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
    let failure = fails(&client(), &server.url(), &put, &short_progress());
    assert_eq!((failure.phase(), failure.sent()), (Phase::Send, true), "{failure:?}");
}

#[test]
fn i1_a_stall_while_connecting_ends() {
    let full = Full::start();
    let short = Limits { connect: SHORT, ..limits() };
    let failure = fails(&client(), &format!("http://{}", full.address), &get(), &short);
    assert_eq!((failure.phase(), failure.sent()), (Phase::Connect, false), "{failure:?}");
    assert!(failure.to_string().contains(&full.address.to_string()), "{failure}");
    let server = stalls_after(Vec::new());
    let failure = fails(&client(), &format!("https://{}", server.address), &get(), &short);
    assert_eq!((failure.phase(), failure.sent()), (Phase::Tls, false), "{failure:?}");
}

#[test]
fn i1_a_slow_but_moving_answer_is_never_ended() {
    let server = Server::start(|_, mut connection| {
        connection.head();
        for byte in http(200, "", b"0123456789") {
            connection.send(&[byte]);
            std::thread::sleep(SHORT / 10);
        }
    });
    let limits = Limits { progress: SHORT * 2, ..limits() };
    let start = Instant::now();
    run(async {
        let mut answer = client().send(&endpoint(&server.url()), &get(), &limits).await.unwrap();
        assert_eq!(&answer.collect(10).await.unwrap()[..], b"0123456789");
    });
    assert!(start.elapsed() > SHORT * 4, "it was not slow");
}

#[test]
fn i1_a_trickling_large_body_is_never_ended() {
    let body = pattern(600_000);
    let expected = body.clone();
    let server = Server::start(move |_, mut connection| {
        connection.head();
        connection.send(&http(200, "", &body)[..100_000]);
        let rest = &http(200, "", &body)[100_000..];
        let (slow, fast) = rest.split_at(12);
        for byte in slow {
            std::thread::sleep(SHORT / 2);
            connection.send(&[*byte]);
        }
        connection.send(fast);
    });
    run(async {
        let limits = Limits { progress: SHORT * 2, ..limits() };
        let mut answer = client().send(&endpoint(&server.url()), &get(), &limits).await.unwrap();
        let mut memory = vec![0; expected.len()];
        assert_eq!(answer.read_into(&mut memory).await.unwrap(), expected.len());
        assert!(memory == expected);
    });
}

#[test]
fn i1_a_slow_reader_on_the_other_side_is_never_ended() {
    let server = Server::start(|_, mut connection| {
        use std::io::Read;
        let (_, length) = connection.head().unwrap();
        let (mut left, mut piece) = (length, vec![0; 2 << 20]);
        while left > 0 {
            std::thread::sleep(SHORT / 4);
            left -= connection.stream.read(&mut piece).unwrap();
        }
        connection.send(&http(200, "", b""));
    });
    let data = pattern(32 << 20);
    let put = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
    let limits = Limits { progress: SHORT * 3, ..limits() };
    assert_eq!(run(client().send(&endpoint(&server.url()), &put, &limits)).unwrap().status(), 200);
}

#[test]
fn i1_the_deadline_ends_even_what_moves() {
    let server = Server::start(|_, mut connection| {
        connection.head();
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
        let data = pattern(1 << 20);
        while connection.send(&data) {}
    });
    let start = Instant::now();
    let failure = run(async {
        let limits = Limits { deadline: Some(tokio::time::Instant::now() + SHORT), ..limits() };
        let mut answer = client().send(&endpoint(&server.url()), &get(), &limits).await.unwrap();
        let mut memory = vec![0; 1 << 20];
        loop {
            if let Err(failure) = answer.read_into(&mut memory).await {
                return failure;
            }
        }
    });
    assert_eq!((failure.code(), failure.phase()), (Code::Timeout, Phase::Body), "{failure:?}");
    assert!(failure.to_string().contains("deadline"), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(10));
    for request in [get(), Request::new(Method::Head, "/k").unwrap()] {
        let server = stalls_after(Vec::new());
        let deadline = Some(tokio::time::Instant::now() + SHORT);
        let failure = fails(&client(), &server.url(), &request, &Limits { deadline, ..limits() });
        assert_eq!(failure.phase(), Phase::Head);
    }
    let full = Full::start();
    let deadline = Some(tokio::time::Instant::now() + SHORT);
    let url = format!("http://{}", full.address);
    assert_eq!(fails(&client(), &url, &get(), &Limits { deadline, ..limits() }).phase(), Phase::Connect);
}

/// Limits belong to the request, not to the connection that an earlier one left.
#[test]
fn a_kept_connection_takes_the_next_requests_limits() {
    let server = Server::start(|_, mut connection| {
        connection.head();
        connection.send(&http(200, "", b""));
        connection.head();
        std::thread::sleep(Duration::from_secs(30));
    });
    let client = client();
    run(async {
        let answer = client.send(&endpoint(&server.url()), &get(), &limits()).await.unwrap();
        answer.finish().await.unwrap();
    });
    let failure = fails(&client, &server.url(), &get(), &short_progress());
    assert_eq!(
        (failure.phase(), failure.stale()),
        (Phase::Head, false),
        "a slow server is no dead connection"
    );
    assert_eq!(server.connections(), 1);
}
