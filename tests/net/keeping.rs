//! Which connections are kept, and what happens when a kept one is dead.

use crate::server::{Server, http};
use crate::{client, config, endpoint, fetch, get, limits, run, send};
use s3dlio::Code;
use s3dlio::net::retry::classify::Lost;
use s3dlio::net::{Body, Client, Config, Limits, Method, Phase, Request};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;
use tokio::time::Instant;

/// Waits for what another thread does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let server = Server::always(http(200, "", b"x"));
    let client = client();
    run(async {
        for _ in 0..10 {
            fetch(&client, &server.url()).await.unwrap();
        }
    });
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle, stats.created, stats.reused), (1, 1, 1, 9));
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_could_confuse_the_next_answer_closes_the_connection() {
    let cases: [(&str, Vec<u8>); 4] = [
        ("close", http(200, "Connection: close\r\n", b"x")),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()),
        ("bytes after the body", [http(200, "", b"x"), b"y".to_vec()].concat()),
        ("a second answer", http(200, "", b"x").repeat(2)),
    ];
    for (what, answer) in cases {
        let server = Server::always(answer);
        let client = client();
        run(async {
            for _ in 0..3 {
                assert_eq!(fetch(&client, &server.url()).await.unwrap().1, b"x", "{what}");
            }
        });
        assert_eq!((server.connections(), client.stats().open), (3, 0), "{what}");
    }
}

#[test]
fn an_answer_dropped_at_its_end_gives_the_connection_back_and_before_it_closes_it() {
    let server = Server::always(http(200, "", b"0123456789"));
    let client = client();
    run(async {
        let mut answer = send(&client, &server.url(), &get()).await.unwrap();
        answer.read_into(&mut [0; 10]).await.unwrap();
        drop(answer);
        assert_eq!(client.stats().idle, 1);
        let mut answer = send(&client, &server.url(), &get()).await.unwrap();
        answer.read_into(&mut [0; 9]).await.unwrap();
        drop(answer);
        assert_eq!((client.stats().idle, client.stats().open), (0, 0));
    });
}

/// The server closes between two requests. The client either knows before it sends, or learns it
/// instead of an answer; neither may be seen by the caller.
#[test]
fn i1_a_stale_connection_is_replaced_once() {
    let server = Server::start(|_, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"x"));
    });
    let client = client();
    run(async {
        for _ in 0..50 {
            assert_eq!(fetch(&client, &server.url()).await.unwrap().1, b"x");
        }
    });
    assert_eq!(server.connections(), 50);
}

/// The server takes the second request of each connection and dies, so that nobody knows whether it
/// was carried out.
fn dies_at_the_second_request() -> Server {
    Server::start(|_, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"x"));
        connection.request();
    })
}

#[test]
fn i1_a_replayable_request_is_sent_again_where_a_kept_connection_dies() {
    for method in [Method::Get, Method::Head, Method::Put, Method::Delete] {
        let server = dies_at_the_second_request();
        let client = client();
        run(async {
            fetch(&client, &server.url()).await.unwrap();
            let request = Request::new(method, "/second").unwrap().with_body(match method {
                Method::Put => Body::Slice(b"data"),
                _ => Body::Empty,
            });
            let answer = send(&client, &server.url(), &request).await.unwrap();
            assert_eq!(answer.status(), 200);
        });
        let heads = server.requests();
        assert_eq!((server.connections(), heads.len()), (2, 3), "{method:?}");
        assert_eq!(heads[1], heads[2]);
    }
}

#[test]
fn i1_what_cannot_be_replayed_is_not_sent_again() {
    for conditional in [false, true] {
        let server = dies_at_the_second_request();
        let client = client();
        let failure = run(async {
            fetch(&client, &server.url()).await.unwrap();
            let method = if conditional { Method::Put } else { Method::Post };
            let mut request = Request::new(method, "/second").unwrap().with_body(Body::Slice(b"data"));
            if conditional {
                request.set_replayable(false);
            }
            send(&client, &server.url(), &request).await.unwrap_err()
        });
        assert_eq!(
            (failure.code(), failure.stale(), failure.sent()),
            (Code::Connection, true, true),
            "{failure:?}"
        );
        assert_eq!(Lost::of(&failure, false), Some(Lost::Stale));
        assert_eq!((server.connections(), server.requests().len()), (1, 2));
    }
}

#[test]
fn i1_a_fresh_connection_that_dies_is_not_tried_again() {
    let server = Server::start(|number, mut connection| {
        connection.request();
        if number == 0 {
            connection.send(&http(200, "", b"x"));
            connection.request();
        }
    });
    let client = client();
    let failure = run(async {
        fetch(&client, &server.url()).await.unwrap();
        fetch(&client, &server.url()).await.unwrap_err()
    });
    assert_eq!((failure.phase(), failure.stale()), (Phase::Head, false), "{failure:?}");
    assert_eq!((Lost::of(&failure, false), server.connections()), (Some(Lost::Waiting), 2));
}

#[test]
fn i1_a_partial_answer_on_a_kept_connection_is_not_stale() {
    let server = Server::start(|_, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"x"));
        connection.request();
        connection.send(b"HTTP/1.1 200");
    });
    let client = client();
    let failure = run(async {
        fetch(&client, &server.url()).await.unwrap();
        fetch(&client, &server.url()).await.unwrap_err()
    });
    assert_eq!((failure.code(), failure.stale()), (Code::Connection, false), "{failure:?}");
    assert_eq!((Lost::of(&failure, false), server.connections()), (Some(Lost::Answering), 1));
}

#[test]
fn a_closed_idle_connection_is_known_before_a_request_is_sent_on_it() {
    let (close, may_close) = mpsc::channel::<()>();
    let may_close = std::sync::Mutex::new(may_close);
    let (closed, is_closed) = mpsc::channel();
    let server = Server::start(move |number, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"x"));
        if number == 0 {
            may_close.lock().unwrap().recv().unwrap();
            drop(connection);
            closed.send(()).unwrap();
        }
    });
    let client = client();
    run(fetch(&client, &server.url())).unwrap();
    close.send(()).unwrap();
    is_closed.recv().unwrap();
    // The end travels through the kernel and the reactor to the pool; then a POST, which would not
    // be replayed, finds a fresh connection.
    std::thread::sleep(Duration::from_millis(50));
    let mut post = Request::new(Method::Post, "/k").unwrap().with_body(Body::Slice(b"data"));
    post.set_replayable(false);
    assert_eq!(run(send(&client, &server.url(), &post)).unwrap().status(), 200);
    assert_eq!((server.connections(), server.requests().len()), (2, 2));
}

#[test]
fn bytes_that_nobody_asked_for_close_the_connection() {
    let (sent, is_sent) = mpsc::channel();
    let server = Server::start(move |number, mut connection| {
        connection.request();
        connection.send(&http(200, "", b"x"));
        if number == 0 {
            std::thread::sleep(Duration::from_millis(20)); // after the answer was read
            connection.send(&http(200, "", b"stolen"));
            sent.send(()).unwrap();
            connection.wait_for_close();
        }
    });
    let client = client();
    run(fetch(&client, &server.url())).unwrap();
    is_sent.recv().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(run(fetch(&client, &server.url())).unwrap().1, b"x");
    assert_eq!(server.connections(), 2);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let (closed, is_closed) = mpsc::channel();
    let server = Server::start(move |_, mut connection| {
        while connection.request().is_some() {
            connection.send(&http(200, "", b"x"));
        }
        closed.send(()).unwrap();
    });
    let client = Client::new(Config { idle_timeout: Duration::from_millis(50), ..config() });
    run(async {
        fetch(&client, &server.url()).await.unwrap();
        assert_eq!(client.stats().idle, 1);
    });
    is_closed.recv_timeout(Duration::from_secs(20)).expect("nobody closes the idle connection");
    eventually("the pool still counts it", || client.stats().open == 0);

    let none = Client::new(Config { idle_timeout: Duration::ZERO, ..config() });
    run(fetch(&none, &server.url())).unwrap();
    assert_eq!((none.stats().open, none.stats().idle), (0, 0));
}

#[test]
fn so_many_at_once_and_the_rest_in_order() {
    for connections in [1, 2] {
        let gate = Arc::new(Barrier::new(connections + 1));
        let at_gate = gate.clone();
        let server = Server::start(move |_, mut connection| {
            let mut first = true;
            while let Some((head, _)) = connection.request() {
                if std::mem::take(&mut first) {
                    at_gate.wait(); // all connections are in use
                    at_gate.wait(); // everybody else waits
                }
                let body = head.split(' ').nth(1).unwrap().to_owned();
                connection.send(&http(200, "", body.as_bytes()));
            }
        });
        let client = Arc::new(Client::new(Config { max_connections: connections, ..config() }));
        run(async {
            let one = |number: usize| {
                let (client, url) = (client.clone(), server.url());
                tokio::spawn(async move {
                    let request = Request::new(Method::Get, format!("/{number}")).unwrap();
                    let mut answer = send(&client, &url, &request).await.unwrap();
                    assert_eq!(answer.collect(99).await.unwrap(), format!("/{number}"));
                })
            };
            let mut tasks: Vec<_> = (0..connections).map(one).collect();
            let gate_one = gate.clone();
            tokio::task::spawn_blocking(move || gate_one.wait()).await.unwrap();
            for waiting in 1..=6 {
                tasks.push(one(tasks.len()));
                while client.stats().waiting < waiting {
                    tokio::task::yield_now().await; // so that they ask in this order
                }
            }
            assert_eq!(client.stats().open, connections as u64);
            let deadline = Limits { deadline: Some(Instant::now() + Duration::from_millis(20)), ..limits() };
            let failure = client.send(&endpoint(&server.url()), &get(), &deadline).await.unwrap_err();
            assert_eq!(
                (failure.phase(), failure.code(), failure.sent()),
                (Phase::Wait, Code::Timeout, false)
            );
            tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!((server.connections(), client.stats().waiting), (connections, 0));
        let order: Vec<usize> = server.requests().iter().map(|head| head[5..6].parse().unwrap()).collect();
        assert_eq!(order.len(), connections + 6);
        // One connection shows the order; two run beside each other.
        assert!(connections > 1 || order.is_sorted(), "{order:?}");
    }
}

#[test]
fn a_dropped_request_frees_its_turn() {
    let (reached, has_reached) = mpsc::channel();
    let server = Server::start(move |number, mut connection| {
        connection.request();
        if number == 0 {
            reached.send(()).unwrap();
            connection.wait_for_close();
        } else {
            connection.send(&http(200, "", b"x"));
        }
    });
    let client = Arc::new(Client::new(Config { max_connections: 1, ..config() }));
    run(async {
        let (first, url) = (client.clone(), server.url());
        let task = tokio::spawn(async move { send(&first, &url, &get()).await.map(|_| ()) });
        tokio::task::spawn_blocking(move || has_reached.recv().unwrap()).await.unwrap();
        task.abort();
        assert_eq!(fetch(&client, &server.url()).await.unwrap().1, b"x");
    });
    assert_eq!(client.stats().created, 2);
}
