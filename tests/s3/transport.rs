//! The way to the server: refused, unresolvable, untrusted, misconfigured.

use crate::fake::{Fake, Reply, http};
use crate::support::s3_options;
use crate::{detail, options, run};
use s3dlio::options::Options;
use s3dlio::store::{Store, store_for_uri};
use s3dlio::{Code, Error};
use std::io::{Read, Write};
use std::net::TcpListener;

fn stat_at(endpoint: &str, pairs: &[(&str, &str)]) -> Error {
    let mut all = s3_options(endpoint);
    all.set("net.max_attempts", "2").unwrap();
    for (key, value) in pairs {
        all.set(key, value).unwrap();
    }
    run(store_for_uri("s3://bucket", &all).unwrap().stat("k")).unwrap_err()
}

fn open(options: &Options) -> Result<Store, Error> {
    store_for_uri("s3://bucket", options)
}

#[test]
fn s3_a_refused_connection_says_where_and_why() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(); // closed again
    let endpoint = format!("http://127.0.0.1:{port}");
    let error = stat_at(&endpoint, &[]);
    assert_eq!((error.code(), error.os_errno()), (Code::Connection, Some(libc::ECONNREFUSED)), "{error}");
    assert_eq!(detail(&error, "attempts"), "2");
    assert!(error.to_string().contains(&endpoint) && error.hint().is_some(), "{error}");
    assert!(!error.to_string().contains("dispatch failure"), "{error}");
}

#[test]
fn s3_an_unresolvable_host_is_a_dns_error() {
    let error = stat_at("http://no-such-host.invalid:9", &[]);
    assert_eq!(error.code(), Code::Dns, "{error}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[test]
fn s3_tls_with_the_own_authority_only() {
    let fake = Fake::start_tls(|_, _| Reply::Keep(b"HTTP/1.1 200 X\r\nContent-Length: 7\r\n\r\n".to_vec()));
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/tls/ca.pem");
    let trusting = s3_options(&fake.endpoint).with("net.ca_bundle", ca).unwrap();
    assert_eq!(run(open(&trusting).unwrap().stat("k")).unwrap().size, 7);

    // The server's own certificate is not its authority.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/tls/server.pem");
    let error = stat_at(&fake.endpoint, &[("net.ca_bundle", other)]);
    assert_eq!(error.code(), Code::Tls, "{error}");
    assert!(error.hint().unwrap().contains("net.ca_bundle"), "{error}");
}

#[test]
fn s3_no_tls_behind_https_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let error = stat_at(&endpoint, &[]);
    assert_eq!(error.code(), Code::Tls, "{error}");
}

#[test]
fn s3_a_bad_ca_bundle_fails_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bad = [
        folder.path().join("missing").to_str().unwrap().to_owned(),
        file("empty", ""),
        file("text", "no certificate"),
        file("cut", "-----BEGIN CERTIFICATE-----\nMIIB"),
        file("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ];
    for path in bad {
        let error = open(&options(&[("net.ca_bundle", &path)])).unwrap_err();
        assert_eq!(error.code(), Code::InvalidOption, "{path}: {error}");
        assert!(error.to_string().contains(&path), "{error}");
    }
}

#[test]
fn s3_a_bad_endpoint_fails_the_open_without_showing_a_password() {
    let bad = [
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "http://:80",
        "https://u:canary@h",
        "http://h/?canary",
        "http://a b",
    ];
    for endpoint in bad {
        let error = open(&options(&[("s3.endpoint", endpoint)])).unwrap_err();
        assert_eq!(error.code(), Code::InvalidOption, "{endpoint}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn s3_options_that_contradict_each_other_fail_the_open() {
    let bad: [&[(&str, &str)]; 4] = [
        &[("s3.access_key_id", "id")],
        &[("s3.secret_access_key", "canary")],
        &[("s3.session_token", "canary")],
        &[("s3.access_key_id", "id"), ("s3.secret_access_key", "canary"), ("s3.anonymous", "true")],
    ];
    for pairs in bad {
        let error = open(&options(pairs)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidOption, "{pairs:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn s3_addressing_puts_the_bucket_in_the_path_or_the_host() {
    let fake = Fake::start(|_, _| Reply::Keep(b"HTTP/1.1 200 X\r\nContent-Length: 7\r\n\r\n".to_vec()));
    let by_name = fake.endpoint.replace("127.0.0.1", "localhost");
    for (addressing, first, host) in [
        ("auto", "HEAD /bucket/k ", "host: localhost"),
        ("path", "HEAD /bucket/k ", "host: localhost"),
        ("virtual", "HEAD /k ", "host: bucket.localhost"),
    ] {
        let all = s3_options(&by_name).with("s3.addressing", addressing).unwrap();
        let _ = run(open(&all).unwrap().stat("k")); // bucket.localhost may not resolve; then no request comes
        let requests = fake.requests();
        match requests.last() {
            Some(request) if addressing != "virtual" || request.contains("bucket.localhost") => {
                assert!(request.starts_with(first) && request.contains(host), "{addressing}: {request}");
            }
            _ => {
                let error = run(open(&all).unwrap().stat("k")).unwrap_err();
                assert_eq!((addressing, error.code()), ("virtual", Code::Dns), "{error}");
            }
        }
    }
}

#[test]
fn s1_opening_does_no_network_io() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &[], "")));
    let _store = open(&s3_options(&fake.endpoint)).unwrap();
    assert!(fake.requests().is_empty());
}
