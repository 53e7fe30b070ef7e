//! What goes out: heads, bodies of every size and shape, and servers that answer before they took all.

use crate::server::{Server, http};
use crate::{client, fetch, pattern, run, send};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::net::retry::classify::Lost;
use s3dlio::net::{Body, Method, Phase, Request};
use std::sync::{Arc, Mutex};

#[test]
fn w2_bodies_of_all_sizes_and_shapes_arrive_exactly() {
    let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = bodies.clone();
    let server = Server::start(move |_, mut connection| {
        while let Some((_, body)) = connection.request() {
            seen.lock().unwrap().push(body);
            connection.send(&http(200, "", b""));
        }
    });
    let client = client();
    let mut expected = Vec::new();
    run(async {
        for len in [0, 1, 4096, 100_000, 8_000_001] {
            let data = pattern(len);
            let pieces: Vec<Bytes> = data.chunks(len / 150 + 1).map(Bytes::copy_from_slice).collect();
            for body in [Body::Slice(&data), Body::Pieces(&pieces)] {
                let request = Request::new(Method::Put, "/k").unwrap().with_body(body);
                let answer = send(&client, &server.url(), &request).await.unwrap();
                answer.finish().await.unwrap();
                expected.push(data.clone());
            }
        }
    });
    assert!(*bodies.lock().unwrap() == expected, "the bodies differ");
    let heads = server.requests();
    assert!(
        heads[0].starts_with("PUT /k HTTP/1.1\r\nHost: 127.0.0.1:")
            && heads[0].contains("Content-Length: 0\r\n")
    );
    assert_eq!(server.connections(), 1);
}

#[test]
fn headers_go_out_as_given_and_a_get_has_no_length() {
    let server = Server::always(http(200, "", b""));
    let request =
        Request::new(Method::Get, "/a%20b?x=1&y").unwrap().with_header("Range", "bytes=0-9").unwrap();
    run(send(&client(), &server.url(), &request)).unwrap();
    let expected =
        format!("GET /a%20b?x=1&y HTTP/1.1\r\nHost: {}\r\nRange: bytes=0-9\r\n\r\n", server.address);
    assert_eq!(server.requests(), [expected]);
}

/// A service that refuses an upload says so at once and takes no more of it.
#[test]
fn i3_an_answer_before_the_end_of_the_body_is_the_answer() {
    let data = pattern(64 << 20); // more than any socket holds
    for closes in [true, false] {
        let server = Server::start(move |number, mut connection| {
            connection.head();
            if number > 0 {
                connection.send(&http(200, "", b"x"));
                return;
            }
            let mut answer = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
            answer.extend(http(403, "", b"no"));
            connection.send(&answer);
            if closes {
                // Half-close, then read on for a while: what a careful server does.
                connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            connection.wait_for_close();
        });
        let client = client();
        run(async {
            let request = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
            let mut answer = send(&client, &server.url(), &request).await.unwrap();
            assert_eq!((answer.status(), &answer.collect(9).await.unwrap()[..]), (403, &b"no"[..]));
            drop(answer);
            // The server still waits for the rest of the body: that connection is of no use.
            assert_eq!(fetch(&client, &server.url()).await.unwrap().1, b"x");
        });
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn i3_an_answer_then_a_reset_is_still_the_answer_or_a_lost_connection() {
    let data = pattern(64 << 20);
    let server = Server::start(|_, mut connection| {
        connection.head();
        connection.send(&http(503, "", b""));
        // Closing with unread data resets.
    });
    let request = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
    for _ in 0..10 {
        match run(send(&client(), &server.url(), &request)) {
            Ok(answer) => assert_eq!(answer.status(), 503),
            Err(failure) => {
                assert_eq!((failure.code(), failure.sent()), (Code::Connection, true), "{failure:?}");
            }
        }
    }
}

#[test]
fn a_reset_while_sending_says_that_something_was_sent() {
    let data = pattern(64 << 20);
    let server = Server::start(|_, mut connection| {
        connection.head();
        connection.reset();
    });
    let request = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
    let failure = run(send(&client(), &server.url(), &request)).unwrap_err();
    assert_eq!(
        (failure.code(), failure.sent(), failure.stale()),
        (Code::Connection, true, false),
        "{failure:?}"
    );
    assert!(failure.phase() == Phase::Send && failure.errno().is_some(), "{failure:?}");
    assert_eq!(Lost::of(&failure, false), Some(Lost::Sending));
}

/// H1: a closed connection never signals the program, not even on its own thread, which `run` uses.
#[test]
fn a_broken_pipe_raises_no_signal() {
    // SAFETY: the default action would end this process, as it would end a C program.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let server = Server::start(|_, mut connection| {
        connection.head();
    });
    let data = pattern(8 << 20);
    let pieces: Vec<Bytes> = data.chunks(1 << 20).map(Bytes::copy_from_slice).collect();
    for body in [Body::Slice(&data), Body::Pieces(&pieces), Body::Empty] {
        for _ in 0..20 {
            let request = Request::new(Method::Put, "/k").unwrap().with_body(body);
            assert!(run(send(&client(), &server.url(), &request)).is_err());
        }
    }
}
