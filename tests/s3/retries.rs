//! What is tried again, what that resolves to, and what is given up (SPEC H1).

use crate::fake::{Fake, Reply, failure, http};
use crate::{detail, read, run, store_at};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::store::{ListRequest, PutCondition, PutOptions};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn create_only() -> PutOptions {
    PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() }
}

#[test]
fn h1_an_overloaded_server_is_asked_again() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Keep(failure(503, "SlowDown")),
        _ => Reply::Keep(http(200, &["ETag: \"e\""], "")),
    });
    run(store_at(&fake, &[]).put("k", Bytes::from_static(b"x").into(), &PutOptions::default())).unwrap();
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn h1_attempts_end_and_the_error_says_all() {
    let fake = Fake::start(|_, _| Reply::Keep(failure(503, "SlowDown")));
    let store = store_at(&fake, &[("net.max_attempts", "3")]);
    let error = run(store.list_page(&ListRequest::default())).unwrap_err();
    assert_eq!((error.code(), error.http_status(), error.retryable()), (Code::Unavailable, Some(503), true));
    assert_eq!((detail(&error, "attempts").as_str(), detail(&error, "request_id").as_str()), ("3", "r1"));
    assert_eq!((error.operation(), error.uri()), (Some("list"), Some("s3://bucket/root/")));
    assert!(error.to_string().contains("SlowDown"), "{error}");
    assert_eq!(fake.requests().len(), 3);
}

/// What the SDK would not try again by itself.
#[test]
fn h1_lists_are_asked_for_again_after_what_asks_for_it() {
    const LIST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let firsts: [fn() -> Reply; 5] = [
        || Reply::Keep(http(408, &[], "")),
        || Reply::Keep(http(425, &[], "")),
        || Reply::Keep(http(429, &["Retry-After: 1"], "")),
        || Reply::Close(b"this is no HTTP at all\r\n\r\n".to_vec()),
        || Reply::Keep(http(200, &[], "<ListBucketResult><IsTruncated>false</IsTruncated>")),
    ];
    for (case, first) in firsts.into_iter().enumerate() {
        let fake = Fake::start(move |number, _| match number {
            0 => first(),
            _ => Reply::Keep(http(200, &[], LIST)),
        });
        let started = std::time::Instant::now();
        let page = run(store_at(&fake, &[]).list_page(&ListRequest::default()));
        assert!(page.is_ok_and(|page| page.entries.is_empty()), "case {case}");
        assert_eq!(fake.requests().len(), 2, "case {case}");
        assert!(case != 2 || started.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
    }
}

#[test]
fn w3_a_conditional_conflict_is_tried_again() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Keep(failure(409, "ConditionalRequestConflict")),
        _ => Reply::Keep(http(200, &["ETag: \"e\""], "")),
    });
    run(store_at(&fake, &[]).put("k", Bytes::from_static(b"x").into(), &create_only())).unwrap();
    assert_eq!(fake.requests().len(), 2);
}

/// The first answer to a create-only put is lost, the second says that the object exists; then the
/// mark on the object decides who made it, for the bytes are the same.
fn create_with_lost_answer(ours: bool) -> s3dlio::Result<s3dlio::store::PutResult> {
    let sent = Mutex::new(String::new());
    let fake = Fake::start(move |number, request| {
        let mark = request.lines().find(|line| line.starts_with("x-amz-meta-s3dlio-write: "));
        match number {
            0 => {
                *sent.lock().unwrap() = mark.unwrap().to_owned();
                Reply::Close(Vec::new())
            }
            _ if request.starts_with("HEAD") => {
                let mark = if ours { sent.lock().unwrap().clone() } else { "x-other: 1".into() };
                let head = "HTTP/1.1 200 X\r\nContent-Length: 9\r\nETag: \"e\"\r\n\
                            x-amz-checksum-crc32c: 4waSgw==\r\n";
                Reply::Keep(format!("{head}{mark}\r\n\r\n").into_bytes())
            }
            _ => Reply::Keep(failure(412, "PreconditionFailed")),
        }
    });
    run(store_at(&fake, &[]).put("k", Bytes::from_static(b"123456789").into(), &create_only()))
}

#[test]
fn s2_a_lost_answer_to_a_create_is_resolved_by_the_object() {
    assert_eq!(create_with_lost_answer(true).unwrap().etag.as_deref(), Some("\"e\""));
    assert_eq!(create_with_lost_answer(false).unwrap_err().code(), Code::AlreadyExists);
}

/// An unconditional put without any answer; then the object is `there`.
fn put_with_lost_answers(there: &'static [&'static str]) -> s3dlio::Result<s3dlio::store::PutResult> {
    let fake = Fake::start(move |_, request| match request.starts_with("HEAD") {
        true if there.is_empty() => Reply::Keep(b"HTTP/1.1 404 X\r\n\r\n".to_vec()),
        true => Reply::Keep(
            format!("HTTP/1.1 200 X\r\nContent-Length: 9\r\nETag: \"e\"\r\n{}\r\n\r\n", there.join("\r\n"))
                .into_bytes(),
        ),
        false => Reply::Close(Vec::new()),
    });
    let options = PutOptions {
        content_type: Some("text/x".into()),
        metadata: [("a".into(), "1".into())].into(),
        ..PutOptions::default()
    };
    let store = store_at(&fake, &[("net.max_attempts", "2")]);
    let result = run(store.put("k", Bytes::from_static(b"123456789").into(), &options));
    assert_eq!(fake.requests().iter().filter(|r| r.starts_with("PUT")).count(), 2, "tried again first");
    result
}

#[test]
fn s2_a_lost_answer_to_a_put_is_resolved_by_the_object_or_unknown() {
    const CRC: &str = "x-amz-checksum-crc32c: 4waSgw==";
    let made = put_with_lost_answers(&[CRC, "content-type: text/x", "x-amz-meta-a: 1"]).unwrap();
    assert_eq!(made.etag.as_deref(), Some("\"e\""));
    let others: [&[&str]; 5] = [
        &[],
        &["content-type: text/x", "x-amz-meta-a: 1"], // no checksum says which bytes
        &["x-amz-checksum-crc32c: AAAAAA==", "content-type: text/x", "x-amz-meta-a: 1"],
        &[CRC, "content-type: text/y", "x-amz-meta-a: 1"],
        &[CRC, "content-type: text/x", "x-amz-meta-a: 2"],
    ];
    for there in others {
        let error = put_with_lost_answers(there).unwrap_err();
        assert_eq!(error.code(), Code::UnknownOutcome, "{there:?}: {error}");
        assert!(error.retryable(), "the same put again does no harm: {error}");
    }
}

#[test]
fn s2_a_refusal_after_a_lost_answer_leaves_the_outcome_open() {
    let fake = Fake::start(|number, request| match number {
        0 => Reply::Close(Vec::new()),
        _ if request.starts_with("HEAD") => Reply::Keep(b"HTTP/1.1 403 X\r\n\r\n".to_vec()),
        _ => Reply::Keep(failure(403, "AccessDenied")),
    });
    let error = run(store_at(&fake, &[]).put("k", Bytes::from_static(b"x").into(), &PutOptions::default()));
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::UnknownOutcome, Some(403)), "{error}");
}

/// What was refused by the service, or never had a connection, is no write whose outcome is open.
#[test]
fn s2_a_write_that_cannot_have_arrived_fails_plainly() {
    let busy = Fake::start(|_, _| Reply::Keep(failure(503, "SlowDown")));
    let gateway = Fake::start(|_, _| Reply::Keep(http(503, &[], "")));
    let broken = Fake::start(|_, _| Reply::Keep(failure(500, "InternalError")));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, nowhere) = (format!("http://{free}"), "http://no-such-host.invalid:9".to_owned());
    let untrusted = Fake::start_tls(|_, _| Reply::Keep(http(200, &["ETag: \"e\""], "")));
    for (endpoint, code) in [
        (&busy.endpoint, Code::Unavailable),
        (&gateway.endpoint, Code::UnknownOutcome),
        (&broken.endpoint, Code::UnknownOutcome),
        (&refusing, Code::Connection),
        (&nowhere, Code::Dns),
        (&untrusted.endpoint, Code::Tls),
    ] {
        let mut all = crate::support::s3_options(endpoint);
        all.set("net.max_attempts", "2").unwrap();
        let store = s3dlio::store::store_for_uri("s3://bucket", &all).unwrap();
        for options in [PutOptions::default(), create_only()] {
            for data in [&b"x"[..], b""] {
                let error = run(store.put("k", Bytes::from_static(data).into(), &options)).unwrap_err();
                assert_eq!(error.code(), code, "{endpoint} {options:?} {data:?}: {error}");
            }
        }
    }
}

/// The TLS handshake never ends: the deadline passes before anything of the request was sent.
#[test]
fn s2_a_deadline_before_anything_was_sent_is_a_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut all = crate::support::s3_options(&format!("https://{}", silent.local_addr().unwrap()));
    all.set("net.operation_timeout_ms", "300").unwrap();
    let store = s3dlio::store::store_for_uri("s3://bucket", &all).unwrap();
    for options in [PutOptions::default(), create_only()] {
        let error = run(store.put("k", Bytes::from_static(b"x").into(), &options)).unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
    }
}

#[test]
fn s2_a_create_without_any_answer_has_an_unknown_outcome() {
    let closing = Fake::start(|_, _| Reply::Close(Vec::new()));
    let silent = Fake::start(|_, _| Reply::Hang(Vec::new()));
    for (fake, options) in
        [(closing, ("net.max_attempts", "2")), (silent, ("net.operation_timeout_ms", "200"))]
    {
        let store = store_at(&fake, &[options]);
        let error = run(store.put("k", Bytes::from_static(b"x").into(), &create_only())).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, false), "{error}");
    }
}

#[test]
fn h1_a_server_that_never_answers_times_out() {
    let fake = Fake::start(|_, _| Reply::Hang(Vec::new()));
    let store = store_at(&fake, &[("net.progress_timeout_ms", "150"), ("net.max_attempts", "2")]);
    let error = run(store.stat("k")).unwrap_err();
    assert_eq!((error.code(), detail(&error, "attempts").as_str()), (Code::Timeout, "2"), "{error}");
    assert!(error.to_string().contains("no byte moved for 150 ms"), "{error}");
}

#[test]
fn h1_a_body_that_stops_times_out() {
    let head = "HTTP/1.1 206 X\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/10\r\nETag: \"e\"\r\n\r\n0";
    let fake = Fake::start(move |_, _| Reply::Hang(head.into()));
    let store = store_at(&fake, &[("net.progress_timeout_ms", "150"), ("net.max_attempts", "1")]);
    assert_eq!(read(&store, "k", 0, 10).unwrap_err().code(), Code::Timeout);
}

#[test]
fn h1_a_slow_but_moving_body_is_never_given_up() {
    let fake = Fake::start(|_, _| {
        let mut pieces = vec![
            b"HTTP/1.1 206 X\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/10\r\nETag: \"e\"\r\n\r\n"
                .to_vec(),
        ];
        pieces.extend((b'0'..=b'9').map(|byte| vec![byte]));
        Reply::Slow(pieces, Duration::from_millis(120))
    });
    // Eleven pieces take longer than the limit, each single one does not.
    let store = store_at(&fake, &[("net.progress_timeout_ms", "1000"), ("net.max_attempts", "1")]);
    assert_eq!(read(&store, "k", 0, 10).unwrap().0, b"0123456789");
}

#[test]
fn h1_the_operation_deadline_covers_all_attempts() {
    let fake = Fake::start(|_, _| Reply::Hang(Vec::new()));
    let error = run(store_at(&fake, &[("net.operation_timeout_ms", "200")]).stat("k")).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.to_string().contains("200 ms"), "{error}");
}

#[test]
fn s2_exists_never_takes_an_error_for_no() {
    let fake = Fake::start(|_, _| Reply::Keep(http(503, &[], "")));
    let store = store_at(&fake, &[("net.max_attempts", "1")]);
    assert_eq!(run(store.exists("k")).unwrap_err().code(), Code::Unavailable);
}

#[test]
fn s3_a_refused_head_is_explained_by_a_get() {
    let fake = Fake::start(|_, request| match request.starts_with("HEAD") {
        true => Reply::Keep(b"HTTP/1.1 403 X\r\n\r\n".to_vec()),
        false => Reply::Keep(failure(403, "ExpiredToken")),
    });
    let error = run(store_at(&fake, &[]).stat("k")).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(error.to_string().contains("ExpiredToken"), "{error}");
}

#[test]
fn h1_requests_in_flight_are_bounded_and_connections_used_again() {
    #[derive(Default)]
    struct Seen {
        connections: HashSet<std::thread::ThreadId>, // a thread for each
        now: usize,
        most: usize,
    }
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let log = seen.clone();
    let fake = Fake::start(move |_, _| {
        let update = |change: fn(&mut Seen)| change(&mut log.lock().unwrap());
        update(|seen| {
            seen.connections.insert(std::thread::current().id());
            seen.now += 1;
            seen.most = seen.most.max(seen.now);
        });
        std::thread::yield_now();
        update(|seen| seen.now -= 1);
        Reply::Keep(http(200, &["ETag: \"e\""], ""))
    });
    let store = store_at(&fake, &[("net.max_connections", "2")]);
    let puts =
        (0..40).map(|i| {
            let store = store.clone();
            async move {
                store.put(&format!("k{i}"), Bytes::from_static(b"x").into(), &PutOptions::default()).await
            }
        });
    let done = s3dlio::runtime::block_on(futures_util::future::join_all(puts)).unwrap();
    assert!(done.iter().all(Result::is_ok));
    let seen = seen.lock().unwrap();
    assert!(seen.most <= 2, "{} requests in flight", seen.most);
    assert!(seen.connections.len() <= 10, "{} connections for 40 requests", seen.connections.len());
}
