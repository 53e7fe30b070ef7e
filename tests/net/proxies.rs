//! Proxies: what they are asked, and what their refusals become.

use crate::server::{Connection, Server, http, read_head};
use crate::tls::{CA, accept};
use crate::{config, fetch, get, pattern, run, send};
use s3dlio::net::proxy::Proxies;
use s3dlio::net::tls::Tls;
use s3dlio::net::{Client, Config, Phase};
use s3dlio::{Code, Error};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn client(variables: &[(&str, &str)]) -> Client {
    let lookup =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
    Client::new(Config { proxies: Proxies::from(lookup), tls: Tls::new(Some(CA)).unwrap(), ..config() })
}

/// Moves bytes both ways until both sides have ended.
fn relay(mut from: impl Read + Send + 'static, mut to: TcpStream) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    })
}

/// Opens every tunnel.
fn tunnels() -> Server {
    Server::start(|_, mut connection| {
        let (head, _) = connection.head().unwrap();
        let target = TcpStream::connect(head.split(' ').nth(1).unwrap()).unwrap();
        connection.send(b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\n");
        let client = connection.stream;
        let up = relay(client.try_clone().unwrap(), target.try_clone().unwrap());
        relay(target, client).join().unwrap();
        up.join().unwrap();
    })
}

fn secure_server(body: Vec<u8>) -> Server {
    let answer = http(200, "", &body);
    Server::start(move |_, connection: Connection| {
        let mut stream = accept(connection.stream);
        while read_head(&mut stream).is_some() {
            stream.write_all(&answer).unwrap();
        }
    })
}

#[test]
fn http_goes_through_a_proxy_in_absolute_form() {
    let proxy = Server::always(http(200, "", b"from the proxy"));
    let url = format!("http://us%20er:pass@{}", proxy.address);
    let client = client(&[("http_proxy", &url)]);
    run(async {
        for _ in 0..2 {
            assert_eq!(fetch(&client, "http://far.invalid:81").await.unwrap().1, b"from the proxy");
        }
    });
    let expected = "GET http://far.invalid:81/k HTTP/1.1\r\nHost: far.invalid:81\r\n\
                    Proxy-Authorization: Basic dXMgZXI6cGFzcw==\r\n\r\n";
    assert_eq!(proxy.requests(), [expected, expected]);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn https_goes_through_a_tunnel() {
    let data = pattern(1 << 20);
    let server = secure_server(data.clone());
    let proxy = tunnels();
    let client = client(&[("HTTPS_PROXY", &format!("u:p@{}", proxy.address))]);
    let url = format!("https://{}", server.address);
    run(async {
        for _ in 0..2 {
            assert!(fetch(&client, &url).await.unwrap().1 == data);
        }
    });
    let expected = format!(
        "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nProxy-Authorization: Basic dTpw\r\n\r\n",
        server.address
    );
    assert_eq!(proxy.requests(), [expected]);
}

#[test]
fn a_proxy_may_itself_be_reached_by_tls() {
    let server = secure_server(b"inside".to_vec());
    let proxy = Server::start(|_, connection| {
        let socket = connection.stream.try_clone().unwrap();
        let mut outer = accept(connection.stream);
        let head = read_head(&mut outer).unwrap();
        let mut target = TcpStream::connect(head.split(' ').nth(1).unwrap()).unwrap();
        outer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // One thread for both directions: TLS cannot be split. Short waits take turns.
        let short = Some(std::time::Duration::from_millis(2));
        socket.set_read_timeout(short).unwrap();
        target.set_read_timeout(short).unwrap();
        let mut piece = [0; 16_384];
        loop {
            match outer.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => target.write_all(&piece[..n]).unwrap(),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            if let Ok(n) = target.read(&mut piece) {
                outer.write_all(&piece[..n]).unwrap();
            }
        }
    });
    let client = client(&[("https_proxy", &format!("https://{}", proxy.address))]);
    assert_eq!(run(fetch(&client, &format!("https://{}", server.address))).unwrap().1, b"inside");
}

#[test]
fn no_proxy_goes_direct() {
    let proxy = Server::always(http(200, "", b"proxy"));
    let server = Server::always(http(200, "", b"server"));
    let through = proxy.url();
    let except = ["127.0.0.0/8", "127.0.0.1", "*", &server.address.to_string()].map(str::to_owned);
    for except in except {
        let client = client(&[("http_proxy", &through), ("no_proxy", &except)]);
        assert_eq!(run(fetch(&client, &server.url())).unwrap().1, b"server", "{except}");
    }
    let client = client(&[("http_proxy", &through), ("no_proxy", "127.0.0.2,example.com,127.0.0.1:1")]);
    assert_eq!(run(fetch(&client, &server.url())).unwrap().1, b"proxy");
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_named() {
    let cases: [(&str, Code, &str); 7] = [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Code::Unauthenticated, "credentials"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", Code::PermissionDenied, "no_proxy"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Code::Unavailable, "502"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Code::Connection, "404"),
        ("HTTP/1.1 200 OK\r\n\r\nextra", Code::Protocol, "before the server"),
        ("SSH-2.0\r\n", Code::Protocol, "SSH"),
        ("", Code::Connection, "ended"),
    ];
    for (answer, code, part) in cases {
        let proxy = Server::once(answer);
        let client = client(&[("https_proxy", &format!("u:canary@{}", proxy.address))]);
        let failure = run(send(&client, "https://far.invalid", &get())).unwrap_err();
        assert_eq!(
            (failure.code(), failure.phase(), failure.sent()),
            (code, Phase::Connect, false),
            "{failure:?}"
        );
        let text = Error::from(failure).to_string();
        for part in [part, "far.invalid:443", &proxy.address.to_string()] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
        assert!(!format!("{client:?}").contains("canary"));
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_no_reason_to_go_direct() {
    let server = Server::always(http(200, "", b"x"));
    let client = client(&[("http_proxy", "socks5://127.0.0.1:1")]);
    let failure = run(send(&client, &server.url(), &get())).unwrap_err();
    let error = Error::from(failure);
    assert_eq!(error.code(), Code::InvalidOption);
    assert!(error.to_string().contains("http_proxy") && error.hint().is_some(), "{error}");
    assert_eq!(server.connections(), 0);
}
