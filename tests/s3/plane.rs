//! What the data plane does by itself: regions, redirects, clocks, credentials that end, answers that
//! are lost (SPEC G1, H1, S3, W3). Through the SDK, some of it is an error instead.

use crate::credentials::{DONE, in_environment};
use crate::fake::{Fake, Reply, failure, http};
use crate::{on_plane, read, run, store_at};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::store::{PutCondition, PutOptions, Store};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn put(store: &Store, key: &str) -> s3dlio::Result<s3dlio::store::PutResult> {
    run(store.put(key, Bytes::from_static(b"x").into(), &PutOptions::default()))
}

/// The value of a header of a request.
fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let found = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {request}"))
}

#[test]
fn g1_gets_are_one_request_each_on_one_connection() {
    let connections: Arc<Mutex<HashSet<std::thread::ThreadId>>> = Arc::default(); // a thread for each
    let log = connections.clone();
    let fake = Fake::start(move |_, _| {
        log.lock().unwrap().insert(std::thread::current().id());
        Reply::Keep(http(206, &["ETag: \"e\"", "Content-Range: bytes 0-3/4"], "0123"))
    });
    let store = store_at(&fake, &[]);
    for _ in 0..20 {
        let (bytes, result) = read(&store, "k", 0, 4).unwrap();
        assert_eq!((bytes.as_slice(), result.meta.size), (&b"0123"[..], 4));
    }
    assert_eq!((fake.requests().len(), connections.lock().unwrap().len()), (20, 1));
}

#[test]
fn g1_a_chunked_body_of_a_known_range_is_read() {
    let fake = Fake::start(|number, _| {
        let length = if number == 0 { "4\r\n0123\r\n" } else { "4\r\n0123\r\n1\r\n4\r\n" };
        Reply::Close(
            format!(
                "HTTP/1.1 206 X\r\nETag: \"e\"\r\nContent-Range: bytes 0-3/4\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{length}0\r\n\r\n"
            )
            .into_bytes(),
        )
    });
    let store = store_at(&fake, &[]);
    assert_eq!(read(&store, "k", 0, 4).unwrap().0, b"0123");
    assert_eq!(read(&store, "k", 0, 4).unwrap_err().code(), Code::Protocol, "one byte too many");
}

#[test]
fn s3_a_bucket_of_another_region_is_asked_there() {
    let fake = Fake::start(|_, request| {
        let there = header(request, "authorization").contains("/eu-far-1/s3/");
        let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-far-1</Region></Error>";
        match (there, request.starts_with("HEAD")) {
            (true, _) => Reply::Keep(http(200, &["ETag: \"e\""], "")),
            (false, true) => Reply::Keep(
                b"HTTP/1.1 301 X\r\nx-amz-bucket-region: eu-far-1\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            (false, false) => Reply::Keep(http(400, &[], malformed)),
        }
    });
    if !on_plane() {
        let error = put(&store_at(&fake, &[]), "k").unwrap_err();
        assert_eq!(error.code(), Code::Unauthenticated, "{error}");
        return;
    }
    let store = store_at(&fake, &[]);
    put(&store, "k").unwrap();
    put(&store, "k").unwrap();
    assert_eq!(fake.requests().len(), 3, "it is remembered");
    run(store_at(&fake, &[]).stat("k")).unwrap();
    assert_eq!(fake.requests().len(), 5);
}

#[test]
fn s3_a_region_that_is_a_host_of_a_stranger_is_not_followed() {
    let fake = Fake::start(|_, _| {
        Reply::Keep(http(301, &["x-amz-bucket-region: eu.evil.example/?", "Location: http://evil/"], ""))
    });
    let error = put(&store_at(&fake, &[]), "k").unwrap_err();
    assert_eq!(error.http_status(), Some(301), "{error}");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn s3_other_redirects_are_refused() {
    let stranger = Fake::start(|_, _| Reply::Keep(http(200, &["ETag: \"e\""], "")));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/bucket/root/k", stranger.endpoint);
        let fake = Fake::start(move |_, _| Reply::Keep(http(status, &[&location], "")));
        let error = put(&store_at(&fake, &[]), "k").unwrap_err();
        assert_eq!((error.code(), error.http_status()), (Code::Server, Some(status)), "{error}");
        assert!(error.to_string().contains("redirects are not followed"), "{error}");
        assert_eq!(fake.requests().len(), 1);
    }
    assert!(stranger.requests().is_empty());
}

#[test]
fn h1_a_wrong_clock_is_corrected_by_the_answers_date() {
    let fake = Fake::start(|_, request| match header(request, "x-amz-date").starts_with("2035") {
        true => Reply::Keep(http(200, &["ETag: \"e\""], "")),
        false => {
            let body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
            Reply::Keep(http(403, &["Date: Tue, 05 Jun 2035 10:00:00 GMT"], body))
        }
    });
    let store = store_at(&fake, &[]);
    put(&store, "k").unwrap();
    if on_plane() {
        put(&store, "k").unwrap();
        assert_eq!(fake.requests().len(), 3, "it is remembered");
    }
}

#[test]
fn h1_a_clock_without_a_date_to_follow_is_an_error() {
    let fake = Fake::start(|_, _| Reply::Keep(failure(403, "RequestTimeTooSkewed")));
    let error = put(&store_at(&fake, &[]), "k").unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(error.hint().unwrap().contains("clock"), "{error}");
}

/// Credentials of a container that end: the service refuses the first set.
#[test]
fn s3_credentials_that_ended_are_renewed_once() {
    let source = Fake::start(|number, _| {
        let json = format!(
            r#"{{"AccessKeyId":"id{number}","SecretAccessKey":"secret","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
        );
        Reply::Keep(http(200, &["Content-Type: application/json"], &json))
    });
    let fake = Fake::start(|_, request| match header(request, "authorization").contains("Credential=id1/") {
        true => Reply::Keep(http(200, &["ETag: \"e\""], "")),
        false => Reply::Keep(failure(400, "ExpiredToken")),
    });
    let url = format!("{}/credentials", source.endpoint);
    let text = in_environment(
        "s3://bucket/root",
        &[("AWS_ENDPOINT_URL_S3", &fake.endpoint), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)],
    );
    match on_plane() {
        true => {
            assert!(text.contains(DONE), "{text}");
            assert_eq!((source.requests().len(), fake.requests().len()), (2, 3), "put, put, stat");
        }
        false => assert!(text.contains("child: Unauthenticated"), "{text}"),
    }
}

#[test]
fn s3_fixed_credentials_that_ended_are_an_error_at_once() {
    let fake = Fake::start(|_, _| Reply::Keep(failure(400, "ExpiredToken")));
    let error = put(&store_at(&fake, &[]), "k").unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    if on_plane() {
        assert_eq!(fake.requests().len(), 1);
    }
}

#[test]
fn h1_the_service_says_how_long_to_wait() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Keep(http(503, &["Retry-After: 1", "x-amz-request-id: r"], "")),
        _ => Reply::Keep(http(200, &["ETag: \"e\""], "")),
    });
    let began = Instant::now();
    put(&store_at(&fake, &[]), "k").unwrap();
    assert!(!on_plane() || began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn w3_a_put_that_answers_200_with_an_error_has_not_happened() {
    if !on_plane() {
        return; // the SDK does not look at the body
    }
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Keep(failure(200, "InternalError")),
        _ => Reply::Keep(http(200, &["ETag: \"e\""], "")),
    });
    assert_eq!(put(&store_at(&fake, &[]), "k").unwrap().etag.as_deref(), Some("\"e\""));
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn w3_a_conditional_put_without_an_answer_is_looked_for_before_it_is_sent_again() {
    let fake = Fake::start(|number, request| match (number, request.starts_with("HEAD")) {
        (0, _) => Reply::Close(Vec::new()),
        (_, true) => Reply::Keep(b"HTTP/1.1 404 X\r\n\r\n".to_vec()),
        (_, false) => Reply::Keep(http(200, &["ETag: \"e\""], "")),
    });
    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    run(store_at(&fake, &[]).put("k", Bytes::from_static(b"x").into(), &options)).unwrap();
    let methods: Vec<_> = fake.requests().iter().map(|r| r.split(' ').next().unwrap().to_owned()).collect();
    let expected: &[&str] = if on_plane() { &["PUT", "HEAD", "PUT"] } else { &["PUT", "PUT"] };
    assert_eq!(methods, expected);
}

#[test]
fn s1_dots_and_odd_keys_go_out_as_they_are() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &["ETag: \"e\""], "")));
    let store = store_at(&fake, &[]);
    put(&store, "a/../b//c d+é%2F?#").unwrap();
    let request = &fake.requests()[0];
    let line = request.lines().next().unwrap();
    let target = line.split(' ').nth(1).unwrap().split('?').next().unwrap();
    assert_eq!(target, "/bucket/root/a/../b//c%20d%2B%C3%A9%252F%3F%23");
}
