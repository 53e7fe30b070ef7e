//! An S3 server that tells lies: it reads real requests and answers with whatever bytes a test wants.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What to do after the request with this number (from 0) was read.
pub enum Reply {
    /// Sends the bytes and serves on.
    Keep(Vec<u8>),
    /// Sends the bytes and closes the connection.
    Close(Vec<u8>),
    /// Sends the bytes, then nothing, until the client closes.
    Hang(Vec<u8>),
    /// Sends each piece after a pause: slow, but moving.
    Slow(Vec<Vec<u8>>, std::time::Duration),
}

/// Listens on a loopback port as long as the process lives.
pub struct Fake {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}
type Wrap = Arc<dyn Fn(TcpStream) -> Box<dyn Stream> + Send + Sync>;

impl Fake {
    /// `answer` gets the request's number and its text: head and body.
    pub fn start(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Fake {
        Fake::listen("http", Arc::new(|stream| Box::new(stream)), answer)
    }

    /// As [`Fake::start`] behind TLS, with the certificate of tests/s3/tls.
    pub fn start_tls(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Fake {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
        let chain = vec![CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let wrap = move |stream| -> Box<dyn Stream> {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        };
        Fake::listen("https", Arc::new(wrap), answer)
    }

    fn listen(
        scheme: &str,
        wrap: Wrap,
        answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (wrap, log, answer) = (wrap.clone(), log.clone(), answer.clone());
                std::thread::spawn(move || serve(wrap(stream.unwrap()), &log, &*answer));
            }
        });
        Fake { endpoint, requests }
    }

    /// Head and body of every request so far; header names in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A client that goes away ends the connection; that is no failure of the test.
fn serve(mut stream: Box<dyn Stream>, log: &Mutex<Vec<String>>, answer: &dyn Fn(usize, &str) -> Reply) {
    while let Some(request) = read_request(&mut *stream) {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        match answer(number, &request) {
            Reply::Keep(bytes) => {
                if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                return;
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                let _ = stream.read(&mut [0; 1]);
                return;
            }
            Reply::Slow(pieces, pause) => {
                for piece in pieces {
                    std::thread::sleep(pause);
                    if stream.write_all(&piece).and_then(|()| stream.flush()).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn read_request(stream: &mut dyn Stream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut one) {
            Ok(1) => bytes.push(one[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let (first, headers) = head.split_once("\r\n").unwrap();
    let headers: Vec<String> = headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
        .collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(format!("{first}\n{}\n\n{}", headers.join("\n"), String::from_utf8_lossy(&body)))
}

/// An answer with its Content-Length; extra headers as `name: value` lines.
pub fn http(status: u16, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// S3's answer to a failed request.
pub fn failure(status: u16, code: &str) -> Vec<u8> {
    let body =
        format!("<Error><Code>{code}</Code><Message>because</Message><RequestId>r1</RequestId></Error>");
    http(status, &["Content-Type: application/xml", "x-amz-request-id: r1"], &body)
}
