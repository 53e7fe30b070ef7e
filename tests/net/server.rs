//! A server that does to each connection what the test wants, byte by byte.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Listens as long as the process lives.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `serve` gets each connection and its number, from 0.
    pub fn start(serve: impl Fn(usize, Connection) + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1:0", serve)
    }

    pub fn start_at(address: &str, serve: impl Fn(usize, Connection) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            requests: Arc::default(),
        };
        let (accepted, requests, serve) = (server.accepted.clone(), server.requests.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let (serve, requests) = (serve.clone(), requests.clone());
                std::thread::spawn(move || serve(number, Connection { stream, requests }));
            }
        });
        server
    }

    /// Answers each request with the same bytes.
    pub fn always(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(
            move |_, mut connection| {
                while connection.request().is_some() && connection.send(&answer) {}
            },
        )
    }

    /// Answers the first request of each connection and closes it.
    pub fn once(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(move |_, mut connection| {
            connection.request();
            connection.send(&answer);
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Heads of all requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The server's end of a connection. What fails here is the client's doing, which the test looks at.
pub struct Connection {
    pub stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// The next request with its body, by Content-Length; `None` once the client has closed.
    pub fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let (head, length) = self.head()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((head, body))
    }

    /// The next request's head, and how long its body is.
    pub fn head(&mut self) -> Option<(String, usize)> {
        let head = read_head(&mut self.stream)?;
        self.requests.lock().unwrap().push(head.clone());
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |n| n.parse().unwrap());
        Some((head, length))
    }

    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Waits until the client closes; gives how many bytes came before.
    pub fn wait_for_close(&mut self) -> usize {
        let mut all = Vec::new();
        let _ = self.stream.read_to_end(&mut all);
        all.len()
    }

    /// Closes with RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

pub fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut one = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut one) {
            Ok(1) => head.push(one[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// An answer with its Content-Length.
pub fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// An address where nobody listens.
pub fn closed_port(ip: impl Into<IpAddr>) -> SocketAddr {
    TcpListener::bind(SocketAddr::new(ip.into(), 0)).unwrap().local_addr().unwrap()
}

/// A port whose connections are never accepted, so that it takes no more of them.
pub struct Full {
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub fn start() -> Full {
        Full::start_at("127.0.0.1".parse().unwrap(), 0)
    }

    pub fn start_at(ip: IpAddr, port: u16) -> Full {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::new(ip, port).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let connect = || TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)).ok();
        let waiting: Vec<_> = std::iter::from_fn(connect).take(8).collect();
        assert!(waiting.len() < 8, "the port takes every connection");
        Full { address, _listener: listener, _waiting: waiting }
    }
}
