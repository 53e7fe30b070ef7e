//! Bodies into memory: every framing, every cut, never a byte too few.

use crate::server::{Server, http};
use crate::{client, fetch, get, pattern, run, send};
use s3dlio::base::buffer::lend_mut;
use s3dlio::net::Phase;
use s3dlio::net::retry::classify::Lost;
use s3dlio::{Code, Error};

/// `data` in chunks of these sizes, over and over.
fn chunked(data: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let (mut at, mut turn) = (0, 0);
    while at < data.len() {
        let size = sizes[turn % sizes.len()].min(data.len() - at);
        answer.extend_from_slice(format!("{size:x};x=y\r\n").as_bytes());
        answer.extend_from_slice(&data[at..at + size]);
        answer.extend_from_slice(b"\r\n");
        (at, turn) = (at + size, turn + 1);
    }
    answer.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
    answer
}

#[test]
fn g1_bodies_of_all_sizes_arrive_exactly() {
    let client = client();
    for len in [0, 1, 100, 4096, 16 << 10, (16 << 10) + 1, 300_000, 5_000_001] {
        let data = pattern(len);
        let servers =
            [Server::always(http(200, "", &data)), Server::always(chunked(&data, &[1, 7, 4096, 100_000]))];
        for server in servers {
            run(async {
                for _ in 0..2 {
                    let mut memory = vec![0xEE; len + 10];
                    let mut answer = send(&client, &server.url(), &get()).await.unwrap();
                    assert_eq!(answer.read_into(&mut memory).await.unwrap(), len);
                    assert!(memory[..len] == data && memory[len..] == [0xEE; 10], "{len} bytes differ");
                    assert_eq!((answer.received(), answer.left()), (len as u64, Some(0)));
                    answer.finish().await.unwrap();
                }
            });
            assert_eq!(server.connections(), 1);
        }
    }
}

#[test]
fn g1_a_body_can_be_read_in_pieces_of_any_size() {
    let data = pattern(2_000_000);
    for server in [Server::always(http(200, "", &data)), Server::always(chunked(&data, &[65_536]))] {
        let client = client();
        run(async {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            let mut memory = vec![0; data.len()];
            let mut at = 0;
            for size in [0, 1, 2, 3, 1000, 16_384, 16_385, 300_000, 1, 700_000, 1, 5_000_000] {
                let end = memory.len().min(at + size);
                assert_eq!(answer.read_into(&mut memory[at..end]).await.unwrap(), end - at);
                at = end;
            }
            assert!(memory == data);
            answer.finish().await.unwrap();
        });
    }
}

#[test]
fn i1_a_cut_body_is_truncated_and_says_how_much_came() {
    let data = pattern(200_000);
    for cut in [0, 1, 100_000, 199_999] {
        for reset in [false, true] {
            let answer = http(200, "", &data);
            let end = answer.len() - data.len() + cut;
            let server = Server::start(move |_, mut connection| {
                connection.request();
                connection.send(&answer[..end]);
                if reset {
                    // What was sent is received before the reset is.
                    let _ = connection.stream.set_read_timeout(Some(std::time::Duration::from_millis(50)));
                    connection.wait_for_close();
                    connection.reset();
                }
            });
            let mut memory = vec![0; data.len()];
            let failure = run(async {
                let mut answer = send(&client(), &server.url(), &get()).await.unwrap();
                answer.read_into(&mut memory).await.unwrap_err()
            });
            let code = if reset { Code::Connection } else { Code::Truncated };
            assert_eq!((failure.code(), failure.phase()), (code, Phase::Body), "{failure:?}");
            let lost = if reset { Lost::Answering } else { Lost::Truncated };
            assert_eq!((failure.received(), Lost::of(&failure, false)), (cut as u64, Some(lost)));
            assert!(memory[..cut] == data[..cut]);
            let error = Error::from(failure);
            assert!(error.retryable() && error.to_string().contains(&server.address.to_string()), "{error}");
        }
    }
}

#[test]
fn i1_a_cut_chunked_body_is_truncated_at_every_byte() {
    let answer = chunked(b"0123456789", &[4]);
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    for end in head..answer.len() {
        let server = Server::once(&answer[..end]);
        let client = client();
        let (read, collected) = run(async {
            let mut first = send(&client, &server.url(), &get()).await.unwrap();
            let mut second = send(&client, &server.url(), &get()).await.unwrap();
            (first.read_into(&mut [0; 99]).await, second.collect(99).await)
        });
        for failure in [read.unwrap_err(), collected.unwrap_err()] {
            assert_eq!(failure.code(), Code::Truncated, "{end}: {failure:?}");
        }
    }
}

#[test]
fn malformed_chunks_are_a_protocol_error() {
    for body in [
        "x\r\n",
        "\r\n",
        "4\r\nabcde\r\n0\r\n\r\n",
        "4\nabcd\n",
        "-1\r\n",
        "1ffffffffffffffff\r\n",
        "3\r\nabc0\r\n\r\n",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let server = Server::start(move |_, mut connection| {
            connection.request();
            connection.send(text.as_bytes());
            connection.wait_for_close();
        });
        let client = client();
        let failure = run(async {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            answer.read_into(&mut [0; 99]).await.unwrap_err()
        });
        assert_eq!((failure.code(), failure.phase()), (Code::Protocol, Phase::Body), "{body:?}: {failure:?}");
        assert_eq!(client.stats().open, 0);
    }
}

#[test]
fn i1_a_body_without_a_marked_end_is_no_data_but_may_be_parsed() {
    let server = Server::once("HTTP/1.1 200 OK\r\n\r\n<xml/>");
    let client = client();
    run(async {
        let mut answer = send(&client, &server.url(), &get()).await.unwrap();
        assert_eq!(answer.left(), None);
        let failure = answer.read_into(&mut [0; 6]).await.unwrap_err();
        assert_eq!(failure.code(), Code::Protocol, "{failure:?}");
        drop(answer);
        assert_eq!(fetch(&client, &server.url()).await.unwrap(), (200, b"<xml/>".to_vec()));
    });
    assert_eq!(client.stats().idle, 0);
}

#[test]
fn a_body_that_goes_on_is_noticed_at_the_end() {
    let cases = [http(200, "", b"0123456789"), chunked(b"0123456789", &[10]), chunked(b"0123456789", &[5])];
    for bytes in cases {
        let server = Server::always(bytes);
        let client = client();
        let failure = run(async {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            let mut five = [0; 5];
            assert_eq!(answer.read_into(&mut five).await.unwrap(), 5);
            assert_eq!(&five, b"01234");
            answer.finish().await.unwrap_err()
        });
        assert_eq!((failure.code(), failure.phase()), (Code::Protocol, Phase::Body), "{failure:?}");
        assert_eq!(client.stats().open, 0);
    }
}

#[test]
fn collect_takes_no_more_than_its_limit() {
    for bytes in [http(200, "", &pattern(1001)), chunked(&pattern(1001), &[100])] {
        let server = Server::always(bytes);
        let client = client();
        run(async {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            assert_eq!(answer.collect(1000).await.unwrap_err().code(), Code::Protocol);
            drop(answer);
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            assert_eq!(answer.collect(1001).await.unwrap(), pattern(1001));
            answer.finish().await.unwrap();
        });
    }
}

/// H1: the caller has its memory back as soon as the future is dropped.
#[test]
fn a_dropped_read_gives_the_memory_back_and_closes_the_connection() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let server = Server::start(move |_, mut connection| {
        connection.request();
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc");
        connection.wait_for_close();
        closed.send(()).unwrap();
    });
    let client = client();
    let mut memory = vec![0; 1_000_000];
    lend_mut(&mut memory, |mut window| {
        run(async {
            let mut answer = send(&client, &server.url(), &get()).await.unwrap();
            tokio::select! {
                result = answer.read_into(&mut window) => panic!("{result:?}"),
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
        });
    });
    is_closed.recv().unwrap();
    assert_eq!(client.stats().open, 0);
}
