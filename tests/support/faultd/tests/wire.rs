//! That each fault does on the wire what its line in the table says, seen by a client that is only a
//! socket; and what script, ledger and control endpoint promise.

use faultd::{Config, End, Fault, Faultd, Kind, Ledger, Op, Rule, Script, Service, Shaping};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BODY: &[u8] = b"0123456789abcdefghij";
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn start() -> Faultd {
    start_with(Config::default())
}

/// With the object `/box/k` in S3 and `/devstoreaccount1/box/k` in Azure.
fn start_with(config: Config) -> Faultd {
    let faultd = Faultd::start(config).unwrap();
    let client = Client::to(&faultd, Service::S3);
    client.ok("POST /_faultd/put?service=s3&container=box&key=k", BODY);
    client.ok("POST /_faultd/put?service=azure&container=box&key=k", BODY);
    drop(client);
    assert!(faultd.wait_until(LIMIT, |ledger| ledger.open_connections == 0));
    faultd
}

struct Client {
    stream: TcpStream,
}

/// What came, and how it ended.
#[derive(Debug)]
struct Seen {
    bytes: Vec<u8>,
    end: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// FIN.
    Closed,
    /// RST.
    Reset,
    /// Nothing more for a while, and the connection is there.
    Open,
}

impl Client {
    fn to(faultd: &Faultd, service: Service) -> Client {
        Client::at(faultd.addresses(service)[0])
    }

    fn at(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    fn send(&self, request: &str, body: &[u8]) {
        let mut bytes =
            format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        (&self.stream).write_all(&bytes).unwrap();
    }

    fn get(&self) {
        self.send("GET /box/k", b"");
    }

    /// All that comes until the connection ends, or nothing comes for `quiet`.
    fn read(&self, quiet: Duration) -> Seen {
        self.stream.set_read_timeout(Some(quiet)).unwrap();
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        let end = loop {
            match (&self.stream).read(&mut piece) {
                Ok(0) => break Ending::Closed,
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break Ending::Open;
                }
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    break Ending::Reset;
                }
                Err(e) => panic!("{e}"),
            }
        };
        Seen { bytes, end }
    }

    /// One whole answer with Content-Length; the connection is free again.
    fn answer(&self) -> io::Result<(String, Vec<u8>)> {
        self.stream.set_read_timeout(Some(LIMIT))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0; 1];
            (&self.stream).read_exact(&mut one)?;
            head.push(one[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
        (&self.stream).read_exact(&mut body)?;
        Ok((head, body))
    }

    fn ok(&self, request: &str, body: &[u8]) -> Vec<u8> {
        self.send(request, body);
        let (head, body) = self.answer().unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{request}: {head}{}", String::from_utf8_lossy(&body));
        body
    }

    fn status(&self, request: &str, body: &[u8]) -> u16 {
        self.send(request, body);
        let head = self.answer().unwrap().0;
        head[9..12].parse().unwrap()
    }
}

impl Seen {
    fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned()).unwrap_or_default()
    }

    /// What follows the head.
    fn body(&self) -> &[u8] {
        let end = self.bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        &self.bytes[end + 4..]
    }

    fn header(&self, name: &str) -> Option<String> {
        let head = self.head();
        let line =
            head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.to_owned())
    }
}

/// What a GET of the object meets.
fn meet(fault: Fault) -> (Faultd, Client, Seen) {
    meet_on(fault, "GET /box/k", b"")
}

fn meet_on(fault: Fault, request: &str, body: &[u8]) -> (Faultd, Client, Seen) {
    let faultd = start();
    faultd.script(Rule::everywhere(fault));
    let client = Client::to(&faultd, Service::S3);
    client.send(request, body);
    let seen = client.read(Duration::from_millis(300));
    (faultd, client, seen)
}

fn fault(kind: Kind) -> Fault {
    Fault::new(kind)
}

fn last(faultd: &Faultd) -> faultd::Entry {
    assert!(faultd.wait_until(LIMIT, |ledger| ledger.entries.last().is_some_and(|e| e.end != End::Open)));
    faultd.ledger().entries.pop().unwrap()
}

#[test]
fn ends_of_a_connection_in_every_place() {
    let cases = [
        (fault(Kind::ResetBeforeHead), None, Ending::Reset),
        (fault(Kind::ResetAfterHead), Some(0), Ending::Reset),
        (fault(Kind::ResetInBody).with("at", 0), Some(0), Ending::Reset),
        (fault(Kind::ResetInBody).with("at", 1), Some(1), Ending::Reset),
        (fault(Kind::ResetInBody).with("at", "mid"), Some(10), Ending::Reset),
        (fault(Kind::ResetInBody).with("at", "last"), Some(19), Ending::Reset),
        (fault(Kind::ResetAfterBody), Some(20), Ending::Reset),
        (fault(Kind::CloseBeforeHead), None, Ending::Closed),
        (fault(Kind::CloseInBody).with("at", 0), Some(0), Ending::Closed),
        (fault(Kind::CloseInBody).with("at", "last"), Some(19), Ending::Closed),
        (fault(Kind::CloseAfterBody), Some(20), Ending::Closed),
        (fault(Kind::HalfClose), Some(10), Ending::Closed),
        (fault(Kind::ActThenDrop), None, Ending::Closed),
    ];
    for (fault, body, end) in cases {
        let (faultd, _client, seen) = meet(fault.clone());
        assert_eq!(seen.end, end, "{fault}");
        match body {
            None => assert!(seen.bytes.is_empty(), "{fault}: {seen:?}"),
            Some(count) => {
                assert_eq!(seen.body(), &BODY[..count], "{fault}");
                assert_eq!(
                    seen.header("Content-Length").as_deref(),
                    Some("20"),
                    "{fault}: the length is honest"
                );
            }
        }
        let entry = last(&faultd);
        let wanted = if end == Ending::Reset { End::Reset } else { End::Closed };
        assert_eq!((entry.end, entry.fault), (wanted, Some(fault.to_string())));
        assert_eq!(entry.bytes_out, seen.bytes.len() as u64);
        assert_eq!(entry.status, body.map(|_| 200));
    }
}

#[test]
fn ends_within_the_head() {
    for (kind, end) in [(Kind::ResetInHead, Ending::Reset), (Kind::CloseInHead, Ending::Closed)] {
        let (_faultd, _client, seen) = meet(fault(kind));
        assert_eq!(seen.end, end);
        assert!(seen.bytes.starts_with(b"HTTP/1.1 200 OK\r\n") && seen.head().is_empty(), "{seen:?}");
    }
}

#[test]
fn reset_in_the_request_leaves_the_operation_undone() {
    let data = vec![7; 3 << 20];
    for at in ["0", "1", "mid", "last"] {
        let faultd = start();
        faultd.script(Rule::on(Op::Put, fault(Kind::ResetInRequest).with("at", at)));
        let client = Client::to(&faultd, Service::S3);
        let head = format!("PUT /box/new HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", data.len());
        (&client.stream).write_all(head.as_bytes()).unwrap();
        // The reset shows at the write, or behind it.
        match (&client.stream).write_all(&data) {
            Ok(()) => assert_eq!(client.read(LIMIT).end, Ending::Reset, "{at}"),
            Err(e) => {
                assert!(matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{at}: {e}")
            }
        }
        let entry = last(&faultd);
        assert_eq!((entry.acted, entry.status, entry.end), (false, None, End::Reset), "{at}");
        assert!(faultd.objects(Service::S3, |o| o.get("box", "new").is_none()));
    }
}

#[test]
fn lengths_that_lie() {
    let (_f, _c, seen) = meet(fault(Kind::ShortBody).with("at", 4));
    assert_eq!((seen.body(), seen.header("content-length").as_deref()), (&BODY[..4], Some("4")));
    assert_eq!(seen.end, Ending::Open);
    let (_f, _c, seen) = meet(fault(Kind::NoLength).with("at", 4));
    assert_eq!((seen.body(), seen.header("content-length"), &seen.end), (&BODY[..4], None, &Ending::Closed));
    let (_f, _c, seen) = meet(fault(Kind::NoLength));
    assert_eq!((seen.body(), seen.header("content-length"), &seen.end), (BODY, None, &Ending::Closed));
    for (count, wanted) in [(3, "23"), (-3, "17")] {
        let (_f, _c, seen) = meet(fault(Kind::WrongLength).with("count", count));
        assert_eq!((seen.body(), seen.header("content-length").as_deref()), (BODY, Some(wanted)));
        assert_eq!(seen.end, Ending::Open);
    }
}

fn ranged(fault: Fault) -> Seen {
    let faultd = start();
    faultd.script(Rule::everywhere(fault));
    let client = Client::to(&faultd, Service::S3);
    (&client.stream).write_all(b"GET /box/k HTTP/1.1\r\nHost: h\r\nRange: bytes=5-14\r\n\r\n").unwrap();
    client.read(Duration::from_millis(200))
}

#[test]
fn ranges_that_lie() {
    let good = ranged(fault(Kind::Continue).with("count", 0));
    assert_eq!((good.body(), good.header("content-range").as_deref()), (&BODY[5..15], Some("bytes 5-14/20")));
    let short = ranged(fault(Kind::ShortRange).with("at", 3));
    assert_eq!((short.body(), short.header("content-range").as_deref()), (&BODY[5..8], Some("bytes 5-7/20")));
    assert_eq!(short.header("content-length").as_deref(), Some("3"));
    let ways = [
        ("shift", Some("bytes 6-15/20")),
        ("longer", Some("bytes 5-15/20")),
        ("total", Some("bytes 5-14/21")),
        ("unit", Some("octets 5-14/20")),
        ("reversed", Some("bytes 15-5/20")),
        ("missing", None),
    ];
    for (way, wanted) in ways {
        let seen = ranged(fault(Kind::WrongContentRange).with("body", way));
        assert_eq!((seen.body(), seen.header("content-range").as_deref()), (&BODY[5..15], wanted), "{way}");
    }
    assert_eq!(ranged(fault(Kind::OtherEtag)).header("etag").as_deref(), Some("\"another-object\""));
}

#[test]
fn bytes_that_lie() {
    let mut wanted = BODY.to_vec();
    wanted[3] ^= 0x20;
    let get = |fault: Fault| {
        let faultd = start();
        faultd.script(Rule::everywhere(fault));
        let client = Client::to(&faultd, Service::S3);
        let request = b"GET /box/k HTTP/1.1\r\nHost: h\r\nx-amz-checksum-mode: ENABLED\r\n\r\n";
        (&client.stream).write_all(request).unwrap();
        client.read(Duration::from_millis(200))
    };
    let seen = get(fault(Kind::Corrupt).with("at", 3));
    assert_eq!(seen.body(), wanted);
    assert!(seen.header("x-amz-checksum-crc32c").is_some());
    let seen = get(fault(Kind::Corrupt).with("at", 3).with("checksum", "no"));
    assert_eq!((seen.body(), seen.header("x-amz-checksum-crc32c")), (wanted.as_slice(), None));
    let (faultd, _c, seen) = meet_on(fault(Kind::CorruptRequest).with("at", 3), "PUT /box/new", BODY);
    assert!(seen.bytes.starts_with(b"HTTP/1.1 200"));
    faultd.objects(Service::S3, |o| assert_eq!(*o.get("box", "new").unwrap().bytes, wanted));
}

#[test]
fn stalls_pause_where_they_say_and_go_on() {
    let cases = [
        (fault(Kind::StallBeforeHead), 0),
        (fault(Kind::StallInHead), 20),
        (fault(Kind::StallInBody).with("at", 5), 21),
    ];
    for (fault, least) in cases {
        let fault = fault.with("ms", 600);
        let (_faultd, client, first) = meet(fault.clone());
        assert_eq!(first.end, Ending::Open);
        assert!(first.bytes.len() >= least, "{fault}: {first:?}");
        if fault.kind == Kind::StallInBody {
            assert_eq!(first.body(), &BODY[..5]);
        }
        let rest = client.read(Duration::from_millis(1500));
        let all = Seen { bytes: [first.bytes, rest.bytes].concat(), end: rest.end };
        assert_eq!(all.body(), BODY, "{fault}");
    }
}

#[test]
fn a_stall_without_end_ends_with_the_client() {
    for kind in [Kind::StallBeforeHead, Kind::StallInHead, Kind::StallInBody] {
        let (faultd, client, seen) = meet(fault(kind));
        assert_eq!((seen.end, faultd.ledger().open_connections), (Ending::Open, 1));
        drop(client);
        assert_eq!(last(&faultd).end, End::ClientLeft, "{kind:?}");
        assert!(faultd.wait_until(LIMIT, |ledger| ledger.open_connections == 0), "{kind:?}");
    }
}

#[test]
fn a_stall_in_the_request_stops_reading_it() {
    let data = vec![7; 64 << 20]; // more than the sockets hold
    let faultd = start();
    faultd.script(Rule::on(Op::Put, fault(Kind::StallInRequest).with("at", 1)));
    let client = Client::to(&faultd, Service::S3);
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let head = format!("PUT /box/new HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", data.len());
    (&client.stream).write_all(head.as_bytes()).unwrap();
    assert_eq!((&client.stream).write_all(&data).unwrap_err().kind(), ErrorKind::WouldBlock);
    let start = Instant::now();
    drop(faultd);
    assert!(start.elapsed() < LIMIT, "a stalled connection does not keep the server");
}

#[test]
fn a_trickle_comes_in_pieces() {
    let faultd = start();
    faultd.script(Rule::everywhere(fault(Kind::Trickle).with("count", 4).with("ms", 60)));
    let client = Client::to(&faultd, Service::S3);
    let start = Instant::now();
    client.get();
    let (_, body) = client.answer().unwrap();
    assert_eq!(body, BODY);
    assert!(start.elapsed() >= Duration::from_millis(240), "{:?}", start.elapsed());
}

#[test]
fn statuses_with_and_without_body_and_retry_after() {
    for status in [400, 403, 404, 408, 409, 412, 416, 429, 500, 502, 503, 504] {
        let (faultd, _c, seen) = meet(fault(Kind::Status).with("status", status).with("retry_after", 7));
        assert!(seen.bytes.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{seen:?}");
        assert_eq!(seen.header("retry-after").as_deref(), Some("7"));
        assert!(String::from_utf8_lossy(seen.body()).contains("<Error><Code>"), "{seen:?}");
        assert_eq!((last(&faultd).acted, seen.end), (false, Ending::Open));
    }
    let bodies = [("none", 0..1), ("html", 1..100), ("truncated", 10..80), ("spaces", 100..300)];
    for (body, len) in bodies {
        let (_f, _c, seen) = meet(fault(Kind::Status).with("body", body).with("code", "Own"));
        assert!(len.contains(&seen.body().len()), "{body}: {seen:?}");
        assert_eq!(seen.header("retry-after"), None);
    }
    let faultd = start();
    faultd.script(Rule::everywhere(fault(Kind::Status).with("code", "Own")));
    let client = Client::to(&faultd, Service::Azure);
    client.send("GET /devstoreaccount1/box/k", b"");
    let seen = client.read(Duration::from_millis(200));
    assert_eq!(seen.header("x-ms-error-code").as_deref(), Some("Own"));
}

#[test]
fn an_operation_is_done_or_not_as_the_phase_says() {
    let cases = [
        (fault(Kind::ActThenDrop), true),
        (fault(Kind::ActThen500), true),
        (fault(Kind::CloseBeforeHead), false),
        (fault(Kind::CloseBeforeHead).with("phase", "after"), true),
        (fault(Kind::ResetBeforeHead).with("phase", "after"), true),
        (fault(Kind::Status), false),
        (fault(Kind::Status).with("phase", "after"), true),
        (fault(Kind::ErrorIn200), false),
        (fault(Kind::ErrorIn200).with("phase", "after"), true),
        (fault(Kind::ResetInHead), true),
        (fault(Kind::GarbageHead), true),
        (fault(Kind::ExpiredCredentials), false),
    ];
    for (fault, done) in cases {
        let (faultd, _c, _) = meet_on(fault.clone(), "PUT /box/new", b"new");
        let there = faultd.objects(Service::S3, |o| o.get("box", "new").is_some());
        assert_eq!((there, last(&faultd).acted), (done, done), "{fault}");
    }
    let (_f, _c, seen) = meet_on(fault(Kind::ErrorIn200), "PUT /box/new", b"new");
    assert!(seen.bytes.starts_with(b"HTTP/1.1 200") && seen.body().ends_with(b"</Error>"), "{seen:?}");
}

#[test]
fn a_stalled_operation_is_done_before_or_after_the_pause() {
    for (phase, done) in [("after", true), ("before", false)] {
        let stall = fault(Kind::StallBeforeHead).with("ms", 900).with("phase", phase);
        let (faultd, client, _) = meet_on(stall, "PUT /box/new", b"new");
        let there = || faultd.objects(Service::S3, |o| o.get("box", "new").is_some());
        assert_eq!(there(), done, "{phase}");
        assert!(client.answer().unwrap().0.starts_with("HTTP/1.1 200"));
        assert!(there());
    }
}

#[test]
fn heads_that_are_none() {
    let (_f, _c, seen) = meet(fault(Kind::GarbageHead));
    assert!(!seen.bytes.starts_with(b"HTTP") && seen.end == Ending::Closed, "{seen:?}");
    let (_f, _c, seen) = meet(fault(Kind::OversizedHead).with("count", 200_000));
    assert!(seen.head().len() >= 200_000 && seen.body() == BODY);
    let (_f, _c, seen) = meet(fault(Kind::SetHeader).with("name", "ETag").with("value", "x"));
    assert_eq!(seen.header("etag").as_deref(), Some("x"));
    for name in ["ETag", "Content-Length"] {
        let (_f, _c, seen) = meet(fault(Kind::DropHeader).with("name", name));
        assert_eq!((seen.header(name), seen.body()), (None, BODY));
    }
}

#[test]
fn chunks_good_and_bad() {
    let text = |kind: Fault| {
        let (_f, _c, seen) = meet(kind);
        assert_eq!(
            (seen.header("transfer-encoding").as_deref(), seen.header("content-length")),
            (Some("chunked"), None)
        );
        (String::from_utf8_lossy(seen.body()).into_owned(), seen.end)
    };
    let good = text(fault(Kind::Chunked).with("at", 4));
    assert_eq!(
        good.0,
        "4;ext=\"a;b\"\r\n0123\r\n10;ext=\"a;b\"\r\n456789abcdefghij\r\n0\r\nx-trailer: 1\r\n\r\n"
    );
    assert_eq!(good.1, Ending::Open);
    for (way, start) in
        [("size", "zz\r\n0"), ("overflow", "FFFFFFFFFFFFFFFFF\r\n"), ("data", "14\r\n0"), ("end", "14\r\n0")]
    {
        let (body, end) = text(fault(Kind::ChunkedMalformed).with("body", way));
        assert!(body.starts_with(start) && end == Ending::Closed, "{way}: {body}");
        assert_eq!(body.contains("hijXX0"), way == "data");
        assert_eq!(body.ends_with("hij\r\n"), way == "end");
    }
}

#[test]
fn more_than_one_answer() {
    let (_f, _c, seen) = meet(fault(Kind::Duplicate));
    let text = String::from_utf8_lossy(&seen.bytes).into_owned();
    assert_eq!((text.matches("HTTP/1.1 200").count(), seen.end), (2, Ending::Open));
    let (_f, _c, seen) = meet(fault(Kind::Continue).with("count", 2));
    let text = String::from_utf8_lossy(&seen.bytes).into_owned();
    assert!(text.starts_with(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(2)) && text.ends_with("hij"), "{text}");
    let (_f, _c, seen) = meet(fault(Kind::ExtraBytes).with("count", 3));
    assert_eq!((seen.body(), &seen.end), ([BODY, b"###"].concat().as_slice(), &Ending::Open));
}

#[test]
fn a_stale_connection_ends_at_the_next_request() {
    let (faultd, client, seen) = meet(fault(Kind::Stale));
    assert_eq!((seen.body(), seen.end), (BODY, Ending::Open), "until then it is open");
    client.get();
    assert_eq!(client.read(LIMIT).end, Ending::Reset);
    assert_eq!(faultd.ledger().entries.len(), 1, "the second request was never read");
}

#[test]
fn a_half_closed_connection_still_reads() {
    let (faultd, client, seen) = meet(fault(Kind::HalfClose));
    assert_eq!(seen.end, Ending::Closed);
    client.get(); // is taken, and leads to nothing
    assert_eq!(faultd.ledger().open_connections, 1);
    drop(client);
    assert!(faultd.wait_until(LIMIT, |ledger| ledger.open_connections == 0));
}

#[test]
fn redirects_and_credentials() {
    let redirect =
        fault(Kind::Redirect).with("status", 301).with("location", "http://x/").with("region", "eu-1");
    let (_f, _c, seen) = meet(redirect);
    assert!(seen.bytes.starts_with(b"HTTP/1.1 301"));
    assert_eq!(seen.header("location").as_deref(), Some("http://x/"));
    assert_eq!(seen.header("x-amz-bucket-region").as_deref(), Some("eu-1"));
    let (_f, _c, seen) = meet(fault(Kind::ExpiredCredentials));
    assert!(String::from_utf8_lossy(seen.body()).contains("<Code>ExpiredToken<"), "{seen:?}");
    let (_f, _c, seen) = meet(fault(Kind::SkewedClock));
    assert!(String::from_utf8_lossy(seen.body()).contains("<Code>RequestTimeTooSkewed<"), "{seen:?}");
    let (_f, _c, now) = meet(fault(Kind::Continue).with("count", 0));
    assert_ne!(seen.header("date"), now.header("date"));
}

#[test]
fn a_refused_connection_and_an_open_one_again() {
    let faultd = start();
    let address = faultd.addresses(Service::S3)[0];
    faultd.refuse(Service::S3, Duration::from_millis(400));
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    Client::to(&faultd, Service::Azure).ok("GET /devstoreaccount1/box/k", b""); // the other one is there
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    Client::at(address).ok("GET /box/k", b"");

    faultd.script(Rule::on(Op::Get, fault(Kind::Refuse).with("ms", 300)).nth(1));
    let client = Client::at(address);
    client.get();
    assert_eq!(client.read(LIMIT).end, Ending::Reset);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn connections_meet_faults_before_any_request() {
    for (fault, end) in
        [(fault(Kind::ResetBeforeHead), Ending::Reset), (fault(Kind::CloseBeforeHead), Ending::Closed)]
    {
        let faultd = start();
        faultd.script(Rule::on(Op::Connect, fault).nth(1));
        assert_eq!(Client::to(&faultd, Service::S3).read(LIMIT).end, end);
        Client::to(&faultd, Service::S3).ok("GET /box/k", b"");
    }
    let faultd = start();
    faultd.script(Rule::on(Op::Connect, fault(Kind::StallAccept).with("ms", 500)).nth(1));
    let (first, second) = (Client::to(&faultd, Service::S3), Client::to(&faultd, Service::S3));
    second.get();
    assert_eq!(second.read(Duration::from_millis(100)).bytes, b"");
    first.get();
    assert_eq!(first.answer().unwrap().1, BODY);
    assert_eq!(second.answer().unwrap().1, BODY);
}

#[test]
fn objects_change_under_the_reader() {
    let (_f, _c, seen) = meet(fault(Kind::Replace));
    assert_eq!(seen.body(), BODY.iter().map(|byte| !byte).collect::<Vec<_>>());
    let (_f, _c, seen) = meet(fault(Kind::Remove));
    assert!(seen.bytes.starts_with(b"HTTP/1.1 404"));
}

#[test]
fn every_kind_leaves_a_server_that_serves() {
    for kind in Kind::ALL {
        let faultd = start();
        let refused = *kind == Kind::Refuse;
        faultd.script(Rule::everywhere(fault(*kind).with("ms", 20)).nth(1));
        let client = Client::to(&faultd, Service::S3);
        client.get();
        client.read(Duration::from_millis(60));
        if refused || matches!(kind, Kind::Remove) {
            continue;
        }
        let body = Client::to(&faultd, Service::S3).ok("GET /box/k", b"");
        assert_eq!(body.len(), BODY.len(), "{kind:?}");
    }
}

#[test]
fn scripts_and_objects_through_the_control_endpoint() {
    let faultd = start();
    let client = Client::to(&faultd, Service::Azure);
    client.ok("POST /_faultd/script", b"op=get nth=1 fault=status status=429");
    let s3 = Client::to(&faultd, Service::S3);
    assert_eq!((s3.status("GET /box/k", b""), s3.status("GET /box/k", b"")), (429, 200));
    assert_eq!(client.status("POST /_faultd/script", b"op=get fault=bogus"), 400);
    client.ok("POST /_faultd/put?service=s3&container=more&key=a%2Fb%20c", b"hello");
    assert_eq!(s3.ok("GET /more/a/b%20c", b""), b"hello");
    assert_eq!(client.ok("GET /_faultd/get?service=s3&container=more&key=a/b%20c", b""), b"hello");
    let ledger = client.ok("GET /_faultd/ledger", b"");
    let ledger: serde_json::Value = serde_json::from_slice(&ledger).unwrap();
    assert_eq!(ledger["count"], 3);
    assert_eq!(ledger["requests"][0]["fault"], "status status=429");
    assert_eq!(ledger["requests"][1]["path"], "box/k");
    assert_eq!(ledger["by_operation"]["get"], 3);
    client.ok("POST /_faultd/reset?keep=objects", b"");
    assert!(faultd.ledger().entries.is_empty());
    assert_eq!(s3.status("GET /box/k", b""), 200);
    client.ok("POST /_faultd/reset", b"");
    assert_eq!(s3.status("GET /box/k", b""), 404);
    assert_eq!(client.status("GET /_faultd/nothing", b""), 400);
}

#[test]
fn the_ledger_counts_uploads_blocks_and_connections() {
    let faultd = start();
    let s3 = Client::to(&faultd, Service::S3);
    let created = s3.ok("POST /box/big?uploads", b"");
    let created = String::from_utf8(created).unwrap();
    let id = created.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
    s3.ok(&format!("PUT /box/big?partNumber=1&uploadId={id}"), b"part");
    let azure = Client::to(&faultd, Service::Azure);
    azure.ok("PUT /devstoreaccount1/box/big?comp=block&blockid=YWFh", b"block");
    let ledger = faultd.ledger();
    assert_eq!((ledger.open_uploads, ledger.staged_blocks, ledger.objects), (1, 1, 2));
    assert_eq!((ledger.open_connections, ledger.most_open_connections), (2, 2));
    s3.ok(&format!("DELETE /box/big?uploadId={id}"), b"");
    let list = b"<BlockList><Latest>YWFh</Latest></BlockList>";
    azure.ok("PUT /devstoreaccount1/box/big?comp=blocklist", list);
    let ledger = faultd.ledger();
    assert_eq!((ledger.open_uploads, ledger.staged_blocks, ledger.objects), (0, 0, 3));
    assert_eq!((ledger.useful(), ledger.faults(), ledger.of(Op::PutPart).count()), (5, 0, 2));
    drop((s3, azure));
    assert!(faultd.wait_until(LIMIT, |ledger: &Ledger| ledger.open_connections == 0));
}

#[test]
fn signatures_are_demanded_where_they_are_to_be() {
    let faultd = start_with(Config { verify_signatures: true, ..Config::default() });
    let s3 = Client::to(&faultd, Service::S3);
    assert_eq!(s3.status("GET /box/k", b""), 403);
    let old = "GET /box/k HTTP/1.1\r\nHost: h\r\nx-amz-date: 20130524T000000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
               Authorization: AWS4-HMAC-SHA256 Credential=s3dliotest/20130524/r/s3/aws4_request,SignedHeaders=host,Signature=00\r\n\r\n";
    (&s3.stream).write_all(old.as_bytes()).unwrap();
    let (_, refusal) = s3.answer().unwrap();
    assert!(String::from_utf8_lossy(&refusal).contains("RequestTimeTooSkewed"));
    let azure = Client::to(&faultd, Service::Azure);
    assert_eq!(azure.status("GET /devstoreaccount1/box/k", b""), 401);
    let noted: Vec<_> = faultd.ledger().entries.into_iter().map(|entry| entry.signature).collect();
    assert_eq!(noted, ["none", "skewed", "none"]);
    faultd.verify_signatures(false);
    assert_eq!(azure.status("GET /devstoreaccount1/box/k", b""), 200);
}

#[test]
fn latency_and_bandwidth() {
    let latency = Duration::from_millis(40);
    let faultd =
        start_with(Config { shaping: Shaping { latency, ..Shaping::default() }, ..Config::default() });
    let client = Client::to(&faultd, Service::S3);
    let start = Instant::now();
    for _ in 0..5 {
        client.ok("GET /box/k", b"");
    }
    assert!(start.elapsed() >= 5 * latency, "{:?}", start.elapsed());

    faultd.set_shaping(Shaping { bandwidth: Some(1 << 20), ..Shaping::default() });
    let start = Instant::now();
    client.ok("PUT /box/large", &vec![1; 256 << 10]);
    assert!(start.elapsed() >= Duration::from_millis(200), "up: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(client.ok("GET /box/large", b"").len(), 256 << 10);
    assert!(start.elapsed() >= Duration::from_millis(200), "down: {:?}", start.elapsed());
}

#[test]
fn ipv6_and_several_addresses() {
    let all = ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse().unwrap()).to_vec();
    let faultd = start_with(Config { s3: all, ..Config::default() });
    for address in faultd.addresses(Service::S3) {
        assert_eq!(Client::at(address).ok("GET /box/k", b""), BODY, "{address}");
    }
}

#[test]
fn a_dropped_server_ends_its_stalls_and_leaves_its_port() {
    let faultd = start();
    faultd.script(Rule::everywhere(fault(Kind::StallInBody)));
    let clients: Vec<_> = (0..20).map(|_| Client::to(&faultd, Service::S3)).collect();
    clients.iter().for_each(Client::get);
    assert!(faultd.wait_until(LIMIT, |ledger| ledger.entries.len() == 20));
    let address = faultd.addresses(Service::S3)[0];
    drop(faultd);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn seeds_choose_legal_faults_again_and_again() {
    let run = |seed: u64| {
        let faultd = start_with(Config { seed, ..Config::default() });
        faultd.script(
            Script::parse("op=get fault=any among=status,close_after_body,stale probability=0.5").unwrap(),
        );
        for number in 0..30 {
            let client = Client::to(&faultd, Service::S3);
            client.send(&format!("GET /box/k?n={number}"), b"");
            client.answer().unwrap();
        }
        faultd.ledger().entries.into_iter().map(|entry| entry.fault).collect::<Vec<_>>()
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
    let met = first.iter().flatten().count();
    assert!((5..26).contains(&met), "{first:?}");
}

#[test]
fn the_program_tells_its_ports_and_ends_with_its_stdin() {
    let script = std::env::temp_dir().join(format!("faultd-script-{}", std::process::id()));
    std::fs::write(&script, "op=get nth=1 fault=status status=503\n").unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_faultd"))
        .args(["--s3", "127.0.0.1:0", "--azure", "[::1]:0", "--seed", "3", "--script"])
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = io::BufReader::new(process.stdout.take().unwrap());
    io::BufRead::read_line(&mut said, &mut line).unwrap();
    let s3 = line.split_whitespace().find_map(|word| word.strip_prefix("FAULTD_S3=http://")).unwrap();
    assert!(line.contains("FAULTD_AZURE=http://[::1]:") && line.contains("/devstoreaccount1"), "{line}");
    let client = Client::at(s3.parse().unwrap());
    client.ok("POST /_faultd/put?service=s3&container=box&key=k", BODY);
    assert_eq!((client.status("GET /box/k", b""), client.status("GET /box/k", b"")), (503, 200));
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    line.clear();
    io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "FAULTS=1 UPLOADS=0\n");
    std::fs::remove_file(script).unwrap();
    let wrong = Command::new(env!("CARGO_BIN_EXE_faultd")).arg("--bogus").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--bogus"));
}
