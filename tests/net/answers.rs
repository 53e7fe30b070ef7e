//! Heads of answers, whole, cut and broken.

use crate::server::{Server, http};
use crate::{client, fetch, get, run, send};
use s3dlio::Code;
use s3dlio::net::{Method, Phase, Request};
use std::time::Duration;

#[test]
fn a_head_may_come_in_two_pieces_cut_anywhere() {
    let answer = http(206, "ETag: \"e\"\r\n", b"hello");
    let whole = answer.len();
    let server = Server::start(move |number, mut connection| {
        connection.request();
        connection.send(&answer[..number.min(whole)]);
        // The client has seen the first piece once it has had time to; if not, the cut is missed, never wrong.
        std::thread::sleep(Duration::from_millis(1));
        connection.send(&answer[number.min(whole)..]);
    });
    let client = client();
    run(async {
        for _ in 0..=whole {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            assert_eq!(
                (answer.status(), answer.header("etag"), answer.left()),
                (206, Some("\"e\""), Some(5))
            );
            assert_eq!(&answer.collect(5).await.unwrap()[..], b"hello");
        }
    });
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let server = Server::start(|_, mut connection| {
        connection.request();
        http(200, "A: b\r\n", b"xyz").iter().all(|byte| connection.send(&[*byte]));
    });
    assert_eq!(run(fetch(&client(), &server.url())).unwrap(), (200, b"xyz".to_vec()));
}

#[test]
fn every_status_is_an_answer() {
    for status in [200, 206, 301, 307, 400, 403, 404, 412, 416, 429, 500, 503, 599] {
        let server = Server::always(http(status, "Retry-After: 3\r\n", b"why"));
        assert_eq!(run(fetch(&client(), &server.url())).unwrap(), (status, b"why".to_vec()));
        assert_eq!(server.requests().len(), 1, "redirects are not followed, errors not tried again");
    }
}

#[test]
fn answers_without_a_body_have_none_whatever_their_headers_say() {
    let server = Server::start(|_, mut connection| {
        while let Some((head, _)) = connection.request() {
            let answer: &[u8] = match head.split(' ').next() {
                Some("HEAD") => b"HTTP/1.1 200 X\r\nContent-Length: 77\r\n\r\n",
                Some("DELETE") => b"HTTP/1.1 204 X\r\n\r\n",
                _ => b"HTTP/1.1 304 X\r\nContent-Length: 77\r\n\r\n",
            };
            connection.send(answer);
        }
    });
    let client = client();
    run(async {
        for (method, status) in [(Method::Head, 200), (Method::Delete, 204), (Method::Get, 304)] {
            let request = Request::new(method, "/k").unwrap();
            let mut answer = send(&client, &server.url(), &request).await.unwrap();
            assert_eq!((answer.status(), answer.left()), (status, Some(0)));
            let length = (method != Method::Delete).then_some("77");
            assert_eq!(answer.header("Content-Length"), length);
            assert_eq!(answer.read_into(&mut [0; 8]).await.unwrap(), 0);
            answer.finish().await.unwrap();
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn interim_answers_are_skipped_but_not_for_ever() {
    let interim = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n";
    let mut some = interim.repeat(3);
    some.extend(http(200, "", b"real"));
    let server = Server::always(some);
    let kept = client();
    run(async {
        for _ in 0..2 {
            assert_eq!(fetch(&kept, &server.url()).await.unwrap(), (200, b"real".to_vec()));
        }
    });
    assert_eq!(server.connections(), 1);

    let server = Server::always(interim.repeat(9));
    let failure = run(send(&client(), &server.url(), &get())).unwrap_err();
    assert_eq!((failure.code(), failure.phase()), (Code::Protocol, Phase::Head), "{failure:?}");
    let server = Server::always("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let failure = run(send(&client(), &server.url(), &get())).unwrap_err();
    assert_eq!(failure.code(), Code::Protocol, "{failure:?}");
}

#[test]
fn garbage_for_a_head_is_a_protocol_error() {
    let large = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200));
    let cases: [&[u8]; 10] = [
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"hello",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        large.as_bytes(),
        many.as_bytes(),
    ];
    for bytes in cases {
        let bytes = bytes.to_vec();
        let server = Server::start(move |_, mut connection| {
            connection.request();
            connection.send(&bytes);
            connection.wait_for_close(); // no end of file helps the client to notice
        });
        let failure = run(send(&client(), &server.url(), &get())).unwrap_err();
        assert_eq!(
            (failure.code(), failure.phase(), failure.sent()),
            (Code::Protocol, Phase::Head, true),
            "{failure:?}"
        );
        assert!(failure.to_string().contains(&server.address.to_string()), "{failure}");
    }
}

#[test]
fn a_large_head_within_the_limit_is_read() {
    let value = "v".repeat(60_000);
    let server = Server::always(http(200, &format!("Long: {value}\r\n"), b"body"));
    let client = client();
    run(async {
        for _ in 0..2 {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            assert_eq!(answer.header("long"), Some(value.as_str()));
            assert_eq!(&answer.collect(9).await.unwrap()[..], b"body");
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_end_before_or_inside_the_head_is_a_lost_connection() {
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let server = Server::once(part);
        let failure = run(send(&client(), &server.url(), &get())).unwrap_err();
        assert_eq!((failure.code(), failure.phase()), (Code::Connection, Phase::Head), "{failure:?}");
        assert!(failure.sent() && !failure.stale(), "{failure:?}");
        assert_eq!(server.connections(), 1, "nothing says that it was not carried out");
    }
    let server = Server::start(|_, mut connection| {
        connection.request();
        connection.reset();
    });
    let failure = run(send(&client(), &server.url(), &get())).unwrap_err();
    assert_eq!((failure.code(), failure.errno()), (Code::Connection, Some(libc::ECONNRESET)), "{failure:?}");
}
