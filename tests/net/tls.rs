//! TLS with an authority of one's own: trusted, not trusted, another name, cut.

use crate::server::{Server, http};
use crate::{client, config, fetch, get, pattern, run, send};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use s3dlio::net::tls::Tls;
use s3dlio::net::{Body, Client, Config, Method, Phase, Request};
use s3dlio::{Code, Error};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

pub const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/tls/ca.pem");
const NOT_A_CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/tls/server.pem");

pub type Secured = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

/// The server's side of a handshake, with the certificate of tests/s3/tls for 127.0.0.1.
pub fn accept(stream: TcpStream) -> Secured {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("../s3/tls/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../s3/tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

/// A server whose connections are `serve`d inside TLS.
fn secured(serve: impl Fn(&mut Secured) + Send + Sync + 'static) -> (Server, String) {
    let server = Server::start(move |_, connection| serve(&mut accept(connection.stream)));
    let url = format!("https://{}", server.address);
    (server, url)
}

pub fn trusting(ca: &str) -> Client {
    Client::new(Config { tls: Tls::new(Some(ca)).unwrap(), ..config() })
}

/// The next request's body; `None` at the end or when the handshake failed.
fn request(stream: &mut Secured) -> Option<Vec<u8>> {
    let head = crate::server::read_head(stream)?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

#[test]
fn g1_w2_bodies_pass_through_tls_exactly_and_connections_are_kept() {
    let (server, url) = secured(|stream| {
        while let Some(body) = request(stream) {
            stream.write_all(&http(200, "", &body)).unwrap();
        }
    });
    let client = trusting(CA);
    run(async {
        for len in [0, 1, 5000, 16_384, 3_000_001] {
            let data = pattern(len);
            let put = Request::new(Method::Put, "/k").unwrap().with_body(Body::Slice(&data));
            let mut answer = send(&client, &url, &put).await.unwrap();
            let mut memory = vec![0; len + 1];
            assert_eq!(answer.read_into(&mut memory).await.unwrap(), len);
            assert!(memory[..len] == data);
            answer.finish().await.unwrap();
        }
    });
    assert_eq!((server.connections(), client.stats().reused), (1, 4));
}

#[test]
fn s3_only_the_own_authority_and_the_right_name_are_trusted() {
    let (server, url) = secured(|stream| {
        let _ = request(stream);
        let _ = stream.write_all(&http(200, "", b"x"));
    });
    assert_eq!(run(fetch(&trusting(CA), &url)).unwrap().1, b"x");
    let by_name = format!("https://localhost:{}", server.address.port());
    for (client, url, hint) in [
        (trusting(NOT_A_CA), url.as_str(), "net.ca_bundle"),
        (client(), url.as_str(), "net.ca_bundle"),
        (trusting(CA), by_name.as_str(), "host name"),
    ] {
        let failure = run(send(&client, url, &get())).unwrap_err();
        assert_eq!(
            (failure.code(), failure.phase(), failure.sent()),
            (Code::Tls, Phase::Tls, false),
            "{failure:?}"
        );
        let error = Error::from(failure);
        assert!(error.hint().unwrap().contains(hint) && error.to_string().contains("certificate"), "{error}");
        assert!(!error.retryable());
    }
}

#[test]
fn s3_no_tls_behind_https_is_a_tls_error() {
    let server = Server::start(|_, mut connection| {
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.wait_for_close();
    });
    let failure = run(send(&trusting(CA), &format!("https://{}", server.address), &get())).unwrap_err();
    assert_eq!((failure.code(), failure.phase()), (Code::Tls, Phase::Tls), "{failure:?}");
    let closing = Server::start(|_, _| {});
    let failure = run(send(&trusting(CA), &format!("https://{}", closing.address), &get())).unwrap_err();
    assert_eq!((failure.code(), failure.phase()), (Code::Connection, Phase::Tls), "{failure:?}");
}

/// Anybody on the way can end a TCP connection; only the server can end TLS.
#[test]
fn i1_tls_without_its_farewell_is_a_cut() {
    for (head, farewell) in [("Content-Length: 10\r\n", true), ("Content-Length: 10\r\n", false), ("", false)]
    {
        let (_server, url) = secured(move |stream| {
            request(stream);
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\nabc").as_bytes()).unwrap();
            if farewell {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
        });
        let failure = run(fetch(&trusting(CA), &url)).unwrap_err();
        assert_eq!((failure.code(), failure.received()), (Code::Truncated, 3), "{failure:?}");
    }
    let (_server, url) = secured(|stream| {
        request(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    assert_eq!(run(fetch(&trusting(CA), &url)).unwrap().1, b"abc");
}

#[test]
fn i1_a_stale_tls_connection_is_replaced() {
    let (server, url) = secured(|stream| {
        request(stream);
        stream.write_all(&http(200, "", b"x")).unwrap();
    });
    let client = trusting(CA);
    run(async {
        for _ in 0..20 {
            assert_eq!(fetch(&client, &url).await.unwrap().1, b"x");
        }
    });
    assert_eq!(server.connections(), 20);
}

#[test]
fn s3_a_bad_ca_bundle_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("missing", None), ("empty", Some("")), ("cut", Some("-----BEGIN CERTIFICATE-----\nMIIB"))]
    {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = Tls::new(path.to_str()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidOption, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
