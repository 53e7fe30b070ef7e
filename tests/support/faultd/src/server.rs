//! Listeners, connections, and what every request goes through.

use crate::call::{Call, Op, Service};
use crate::control;
use crate::fault::{Fault, Kind};
use crate::http::{Incoming, Request, Response};
use crate::ledger::{End, Entry, Ledger};
use crate::objects::Objects;
use crate::rng::Rng;
use crate::script::Script;
use crate::sign::{Signature, check_azure, check_s3};
use crate::text::http_date;
use crate::wire::{self, Step};
use crate::{Config, Shaping, azure, s3};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often a stall looks whether the client is still there.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes that are written at once where the bandwidth is limited.
const SHAPED_PIECE: usize = 16 << 10;
/// Answers up to this size go out in one write.
const ONE_WRITE: usize = 64 << 10;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all connections share.
#[derive(Debug)]
pub struct Site {
    config: Config,
    objects: [Mutex<Objects>; 2],
    script: Mutex<Script>,
    pub seed: AtomicU64,
    pub verify: AtomicBool,
    /// Seconds that the server's clock is ahead.
    pub clock_offset: AtomicI64,
    pub shaping: Mutex<Shaping>,
    /// When the way up and the way down are free again.
    pipes: [Mutex<Instant>; 2],
    log: Mutex<Ledger>,
    changed: Condvar,
    started: Instant,
    stop: AtomicBool,
    streams: Mutex<HashMap<u64, Arc<TcpStream>>>,
    gates: Mutex<Vec<Arc<Gate>>>,
}

/// A listener, which may be closed for a while.
#[derive(Debug)]
pub struct Gate {
    pub service: Service,
    pub address: SocketAddr,
    state: Mutex<GateState>,
    moved: Condvar,
}

#[derive(Debug)]
struct GateState {
    closed_until: Option<Instant>,
    listening: bool,
    /// How often it was closed: who waits for that may wake up when it is open again.
    closings: u64,
}

impl Site {
    pub fn new(config: Config) -> Site {
        Site {
            objects: Default::default(),
            script: Mutex::default(),
            seed: AtomicU64::new(config.seed),
            verify: AtomicBool::new(config.verify_signatures),
            clock_offset: AtomicI64::new(0),
            shaping: Mutex::new(config.shaping.clone()),
            pipes: [Mutex::new(Instant::now()), Mutex::new(Instant::now())],
            log: Mutex::default(),
            changed: Condvar::new(),
            started: Instant::now(),
            stop: AtomicBool::new(false),
            streams: Mutex::default(),
            gates: Mutex::default(),
            config,
        }
    }

    pub fn objects(&self, service: Service) -> &Mutex<Objects> {
        match service {
            Service::S3 => &self.objects[0],
            Service::Azure => &self.objects[1],
        }
    }

    pub fn region(&self) -> String {
        self.config.region.clone()
    }

    pub fn azure_account(&self) -> &str {
        &self.config.azure_account
    }

    pub fn min_part_size(&self) -> usize {
        self.config.min_part_size
    }

    pub fn now(&self) -> SystemTime {
        let offset = self.clock_offset.load(Ordering::Relaxed);
        let apart = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { SystemTime::now() - apart } else { SystemTime::now() + apart }
    }

    pub fn set_script(&self, script: Script) {
        *lock(&self.script) = script;
    }

    /// Empties everything but the configuration; what is under way goes on.
    pub fn reset(&self, keep_objects: bool) {
        self.set_script(Script::default());
        if !keep_objects {
            Service::ALL.iter().for_each(|service| *lock(self.objects(*service)) = Objects::default());
        }
        let mut log = lock(&self.log);
        log.entries.clear();
        (log.connections, log.most_open_connections) = (log.open_connections, log.open_connections);
        (log.bytes_in, log.bytes_out) = (0, 0);
    }

    pub fn ledger(&self) -> Ledger {
        self.with_stores(lock(&self.log).clone())
    }

    pub fn requests<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&lock(&self.log).entries)
    }

    fn with_stores(&self, mut ledger: Ledger) -> Ledger {
        let [s3, azure] = Service::ALL.map(|service| self.objects(service));
        let (s3, azure) = (lock(s3), lock(azure));
        ledger.open_uploads = s3.open_uploads();
        ledger.staged_blocks = azure.staged_blocks();
        ledger.objects = s3.count() + azure.count();
        ledger
    }

    /// Waits until the ledger is as wanted; false where that takes longer than `limit`.
    pub fn wait_until(&self, limit: Duration, wanted: impl Fn(&Ledger) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut log = lock(&self.log);
        loop {
            if wanted(&self.with_stores(log.clone())) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            log = self.changed.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Closes the listeners of a service for a while: returns when they are closed.
    pub fn refuse(&self, service: Service, how_long: Duration) {
        let gates: Vec<_> =
            lock(&self.gates).iter().filter(|gate| gate.service == service).cloned().collect();
        let until = Instant::now() + how_long;
        let before = |gate: &Arc<Gate>| {
            let mut state = lock(&gate.state);
            state.closed_until = Some(until);
            state.closings
        };
        let before: Vec<u64> = gates.iter().map(before).collect();
        for (gate, before) in gates.iter().zip(before) {
            let mut state = lock(&gate.state);
            let open = |state: &GateState| state.listening && state.closings == before;
            while open(&state) && !self.stopped() {
                drop(state);
                let _ = TcpStream::connect_timeout(&gate.address, LOOK); // ends its accept
                state = lock(&gate.state);
                if open(&state) {
                    state = gate.moved.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Ends all connections and listeners.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for gate in lock(&self.gates).iter() {
            gate.moved.notify_all();
            let _ = TcpStream::connect_timeout(&gate.address, Duration::from_millis(200));
        }
        for stream in lock(&self.streams).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn take(&self, call: &Call) -> Option<Fault> {
        lock(&self.script).take(self.seed.load(Ordering::Relaxed), call)
    }

    /// Waits for the answer's latency.
    fn delay(&self, call: &Call, number: usize) {
        let (latency, jitter) = {
            let shaping = lock(&self.shaping);
            (shaping.latency, shaping.jitter)
        };
        let words = [call.identity.as_str(), &number.to_string()];
        let jitter = jitter.mul_f64(Rng::of(self.seed.load(Ordering::Relaxed), &words).unit());
        if !(latency + jitter).is_zero() {
            std::thread::sleep(latency + jitter);
        }
    }

    /// Takes a place in the way up (0) or down (1) and waits until these bytes are through.
    fn pace(&self, pipe: usize, bytes: usize) {
        let Some(bandwidth) = lock(&self.shaping).bandwidth.filter(|bandwidth| *bandwidth > 0) else {
            return;
        };
        let until = {
            let mut free = lock(&self.pipes[pipe]);
            *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
            *free
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    fn change_log<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let done = change(&mut lock(&self.log));
        self.changed.notify_all();
        done
    }

    fn check_signature(&self, service: Service, request: &Request) -> Signature {
        let config = &self.config;
        match service {
            Service::S3 => check_s3(request, &config.s3_access_key, &config.s3_secret_key, self.now()),
            Service::Azure => check_azure(request, &config.azure_account, &config.azure_key, self.now()),
        }
    }
}

/// Binds and serves; the thread ends with [`Site::stop`].
pub fn listen(
    site: &Arc<Site>,
    service: Service,
    address: SocketAddr,
) -> io::Result<(Arc<Gate>, JoinHandle<()>)> {
    let listener = TcpListener::bind(address)?;
    let gate = Arc::new(Gate {
        service,
        address: listener.local_addr()?,
        state: Mutex::new(GateState { closed_until: None, listening: true, closings: 0 }),
        moved: Condvar::new(),
    });
    lock(&site.gates).push(gate.clone());
    let (site, own) = (site.clone(), gate.clone());
    let thread = std::thread::Builder::new().name("faultd-listen".into()).spawn(move || {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        let mut listener = Some(listener);
        while let Some(stream) = own.accept(&site, &mut listener) {
            threads.retain(|thread| !thread.is_finished());
            threads.extend(admit(&site, &own, stream));
        }
        drop(listener);
        for thread in threads {
            let _ = thread.join();
        }
    })?;
    Ok((gate, thread))
}

impl Gate {
    /// The next connection; `None` at the end.
    fn accept(&self, site: &Site, listener: &mut Option<TcpListener>) -> Option<TcpStream> {
        loop {
            let mut state = lock(&self.state);
            while let Some(until) = state.closed_until.filter(|until| *until > Instant::now()) {
                if site.stopped() {
                    return None;
                }
                if listener.take().is_some() {
                    state.closings += 1;
                }
                state.listening = false;
                self.moved.notify_all();
                let left = until.saturating_duration_since(Instant::now());
                state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            if site.stopped() {
                return None;
            }
            if listener.is_none() {
                *listener = TcpListener::bind(self.address).ok();
            }
            (state.closed_until, state.listening) = (None, listener.is_some());
            self.moved.notify_all();
            drop(state);
            let Some(open) = listener.as_ref() else {
                std::thread::sleep(LOOK); // somebody else has the port for a moment
                continue;
            };
            match open.accept() {
                Ok((stream, _)) if lock(&self.state).closed_until.is_none() && !site.stopped() => {
                    return Some(stream);
                }
                // It woke this thread, or the listener is to be closed.
                Ok((stream, _)) => reset(&stream),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn call(&self, number: u64) -> Call {
        let identity = format!("connect {number}");
        Call {
            service: self.service,
            op: Op::Connect,
            container: String::new(),
            key: String::new(),
            identity,
        }
    }
}

/// Counts the connection and gives it a thread.
fn admit(site: &Arc<Site>, gate: &Arc<Gate>, stream: TcpStream) -> Option<JoinHandle<()>> {
    let number = site.change_log(|log| {
        log.connections += 1;
        log.open_connections += 1;
        log.most_open_connections = log.most_open_connections.max(log.open_connections);
        log.connections
    });
    let fault = site.take(&gate.call(number));
    let stream = Arc::new(stream);
    lock(&site.streams).insert(number, stream.clone());
    if let Some(fault) = fault.as_ref().filter(|fault| fault.kind == Kind::StallAccept) {
        let until = fault.pause().map(|pause| Instant::now() + pause);
        while !site.stopped() && until.is_none_or(|until| Instant::now() < until) {
            std::thread::sleep(LOOK);
        }
    }
    if site.stopped() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    let (site_of_thread, gate) = (site.clone(), gate.clone());
    let thread = std::thread::Builder::new().name("faultd".into()).spawn(move || {
        let _ = stream.set_nodelay(true);
        let mut connection = Connection {
            site: &site_of_thread,
            gate: &gate,
            incoming: Incoming::new(stream.clone()),
            stream,
            number,
            written: 0,
        };
        // A client that goes away, or breaks the protocol, ends its connection only.
        let _ = connection.serve(fault);
        lock(&site_of_thread.streams).remove(&number);
        site_of_thread.change_log(|log| log.open_connections -= 1);
        drop(connection);
    });
    thread.ok()
}

fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

struct Connection<'a> {
    site: &'a Site,
    gate: &'a Gate,
    incoming: Incoming,
    stream: Arc<TcpStream>,
    number: u64,
    written: u64,
}

/// What was learned of one exchange.
struct Exchange {
    /// In the ledger's entries.
    at: usize,
    started: Instant,
}

impl Connection<'_> {
    /// Requests one after the other until somebody closes.
    fn serve(&mut self, fault: Option<Fault>) -> io::Result<()> {
        match fault.map(|fault| fault.kind) {
            Some(Kind::Refuse) => {
                self.site.refuse(self.gate.service, Duration::from_millis(200));
                reset(&self.stream);
                return Ok(());
            }
            Some(Kind::ResetBeforeHead) => {
                reset(&self.stream);
                return Ok(());
            }
            Some(Kind::CloseBeforeHead) => return Ok(()),
            _ => {}
        }
        loop {
            let request = match self.incoming.head() {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return self.malformed(&error),
                Err(error) => return Err(error),
            };
            let goes_on = match request.path.starts_with(control::PREFIX) {
                true => self.control(request)?,
                false => self.exchange(request)?,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn malformed(&mut self, error: &io::Error) -> io::Result<()> {
        let response =
            Response::new(400).text("text/plain", format!("{error}\n")).header("Connection", "close");
        self.write(&response.head())?;
        self.write(response.payload())
    }

    fn control(&mut self, mut request: Request) -> io::Result<bool> {
        if request.expects_continue() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.incoming.body(&mut request, None, &mut |_| Ok(()))?;
        self.incoming.count = 0;
        let response = control::handle(self.site, &request);
        self.send(&wire::plan(None, &response), &response)?;
        Ok(!request.closes())
    }

    /// One request; whether the connection goes on.
    fn exchange(&mut self, mut request: Request) -> io::Result<bool> {
        let call = match self.gate.service {
            Service::S3 => s3::route(&request),
            Service::Azure => azure::route(&request),
        };
        let fault = self.site.take(&call);
        let exchange = self.begin(&call, &request, fault.as_ref());
        let outcome = self.carry_out(&exchange, &call, &mut request, fault.as_ref());
        if outcome.is_err() {
            self.finish(&exchange, End::ClientLeft);
        }
        outcome
    }

    fn begin(&mut self, call: &Call, request: &Request, fault: Option<&Fault>) -> Exchange {
        let started = Instant::now();
        let entry = Entry {
            service: call.service,
            connection: self.number,
            op: call.op,
            path: call.path(),
            method: request.method.clone(),
            target: request.target.clone(),
            range: request.header("x-ms-range").or(request.header("range")).map(str::to_owned),
            status: None,
            fault: fault.map(Fault::to_string),
            signature: String::new(),
            acted: false,
            bytes_in: 0,
            bytes_out: 0,
            at: self.site.started.elapsed(),
            took: Duration::ZERO,
            end: End::Open,
        };
        let at = self.site.change_log(|log| {
            log.entries.push(entry);
            log.entries.len() - 1
        });
        Exchange { at, started }
    }

    fn note(&self, exchange: &Exchange, change: impl FnOnce(&mut Entry)) {
        // After a reset of the ledger the entry is gone.
        self.site.change_log(|log| log.entries.get_mut(exchange.at).map(change));
    }

    fn finish(&mut self, exchange: &Exchange, end: End) {
        let (read, written) = (std::mem::take(&mut self.incoming.count), std::mem::take(&mut self.written));
        self.site.change_log(|log| {
            log.bytes_in += read;
            log.bytes_out += written;
        });
        self.note(exchange, |entry| {
            entry.bytes_in += read;
            entry.bytes_out += written;
            entry.took = exchange.started.elapsed();
            entry.end = end;
        });
    }

    fn carry_out(
        &mut self,
        exchange: &Exchange,
        call: &Call,
        request: &mut Request,
        fault: Option<&Fault>,
    ) -> io::Result<bool> {
        if !self.receive(request, fault)? {
            self.finish(exchange, End::Reset);
            reset(&self.stream);
            return Ok(false);
        }
        let (response, acted) = self.answer(exchange, call, request, fault)?;
        self.site.delay(call, exchange.at);
        let steps = match fault {
            Some(fault) if fault.kind == Kind::Refuse => {
                self.site.refuse(call.service, Duration::from_millis(fault.ms.unwrap_or(200)));
                vec![Step::Reset]
            }
            // The pause is over.
            Some(fault) if fault.kind == Kind::StallBeforeHead && !fault.acts() => {
                wire::plan(None, &response)
            }
            fault => wire::plan(fault, &response),
        };
        let sends = steps.iter().any(|step| matches!(step, Step::Send(_)));
        self.note(exchange, |entry| {
            entry.acted = acted;
            entry.status = sends.then_some(response.status);
        });
        let last = self.send(&steps, &response)?;
        let end = match last {
            Some(Step::Reset) => End::Reset,
            Some(Step::Close | Step::HalfClose) => End::Closed,
            _ if request.closes() => End::Closed,
            _ => End::Answered,
        };
        self.finish(exchange, end);
        let goes_on = last.is_none() && end == End::Answered;
        self.end(last)?;
        Ok(goes_on)
    }

    /// The request's body; false where the fault is to reset the connection within it.
    fn receive(&mut self, request: &mut Request, fault: Option<&Fault>) -> io::Result<bool> {
        let len = request.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let kind = fault.map(|fault| fault.kind);
        let place = fault.map(|fault| fault.place(len));
        if request.expects_continue() && (kind, place) != (Some(Kind::ResetInRequest), Some(0)) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if kind == Some(Kind::ResetInRequest) {
            self.incoming.discard(place.unwrap_or(0))?;
            return Ok(false);
        }
        let stall = fault.filter(|fault| fault.kind == Kind::StallInRequest);
        let stop = stall.map(|fault| fault.place(len));
        let (site, stream) = (self.site, self.stream.clone());
        let mut before = 0;
        self.incoming.body(request, stop, &mut |there| {
            site.pace(0, there - before);
            before = there;
            match stall {
                Some(fault) if Some(there) == stop => stall_for(site, &stream, fault.pause()),
                _ => Ok(()),
            }
        })?;
        if kind == Some(Kind::CorruptRequest) && !request.body.is_empty() {
            let at = place.unwrap_or(0).min(request.body.len() - 1);
            Arc::make_mut(&mut request.body)[at] ^= 0x20;
        }
        Ok(true)
    }

    /// Does the operation where the fault lets it, and forms the answer.
    fn answer(
        &mut self,
        exchange: &Exchange,
        call: &Call,
        request: &Request,
        fault: Option<&Fault>,
    ) -> io::Result<(Response, bool)> {
        let signature = self.site.check_signature(call.service, request);
        self.note(exchange, |entry| entry.signature = signature.name());
        if let Some(fault) = fault.filter(|fault| fault.kind == Kind::StallBeforeHead && !fault.acts()) {
            stall_for(self.site, &self.stream, fault.pause())?;
        }
        let trusted = matches!(signature, Signature::Valid | Signature::Unchecked(_));
        let refused = self.site.verify.load(Ordering::Relaxed) && !trusted;
        let acts = !refused && fault.is_none_or(|fault| fault.acts() || fault.kind == Kind::StallBeforeHead);
        match fault.map(|fault| fault.kind) {
            Some(Kind::Replace) => lock(self.site.objects(call.service)).replace(&call.container, &call.key),
            Some(Kind::Remove) => lock(self.site.objects(call.service)).remove(&call.container, &call.key),
            _ => {}
        }
        let mut response = match (call.service, refused) {
            (Service::S3, true) => s3::refuse(&signature),
            (Service::Azure, true) => azure::refuse(&signature),
            (Service::S3, false) if acts => s3::handle(self.site, call, request),
            (Service::Azure, false) if acts => azure::handle(self.site, call, request),
            _ => Response::new(200),
        };
        let now = self.site.now();
        if let Some(fault) = fault {
            response = wire::instead(fault, call, now).unwrap_or(response);
            wire::spoil(fault, &mut response);
        }
        response.head_only = request.method == "HEAD";
        if response.get("Date").is_none() {
            response.set("Date", http_date(now));
        }
        if call.service == Service::S3 {
            response.set("x-amz-request-id", "faultd");
        }
        if request.closes() {
            response.set("Connection", "close");
        }
        Ok((response, acts))
    }

    /// Goes through the steps; gives the one that ends the connection, if there is one.
    fn send(&mut self, steps: &[Step], response: &Response) -> io::Result<Option<Step>> {
        let mut ready: Vec<u8> = Vec::new();
        for step in steps {
            let bytes = match step {
                Step::Send(bytes) => bytes.as_slice(),
                Step::Body(range) => &response.payload()[range.clone()],
                Step::Stall(pause) => {
                    self.write(&std::mem::take(&mut ready))?;
                    stall_for(self.site, &self.stream, *pause)?;
                    continue;
                }
                end => {
                    self.write(&ready)?;
                    return Ok(Some(end.clone()));
                }
            };
            if ready.len() + bytes.len() <= ONE_WRITE {
                ready.extend_from_slice(bytes);
            } else {
                self.write(&std::mem::take(&mut ready))?;
                self.write(bytes)?;
            }
        }
        self.write(&ready)?;
        Ok(None)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let limited = lock(&self.site.shaping).bandwidth.is_some();
        let piece = if limited { SHAPED_PIECE } else { usize::MAX };
        for piece in bytes.chunks(piece) {
            self.site.pace(1, piece.len());
            (&*self.stream).write_all(piece)?;
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    fn end(&mut self, last: Option<Step>) -> io::Result<()> {
        match last {
            Some(Step::Reset) => reset(&self.stream),
            // Orderly, also where the client has sent more: else that would make it a reset.
            Some(Step::Close) => {
                self.stream.shutdown(Shutdown::Write)?;
                self.stream.set_read_timeout(Some(LOOK))?;
                let _ = self.incoming.discard(1 << 20);
            }
            Some(Step::HalfClose) => {
                self.stream.shutdown(Shutdown::Write)?;
                let _ = self.incoming.discard(usize::MAX);
            }
            Some(Step::CloseAtNextRequest) => {
                if !self.incoming.has_more() {
                    self.stream.peek(&mut [0])?;
                }
                reset(&self.stream);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Does nothing for this long (`None`: on and on); an error where the client leaves or the server
/// stops. While bytes wait to be read, a client that leaves is noticed only when it resets.
fn stall_for(site: &Site, stream: &TcpStream, pause: Option<Duration>) -> io::Result<()> {
    let until = pause.map(|pause| Instant::now() + pause);
    let mut outcome = Ok(());
    loop {
        let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            break;
        }
        if site.stopped() {
            outcome = Err(io::ErrorKind::ConnectionAborted.into());
            break;
        }
        stream.set_read_timeout(Some(left.min(LOOK)))?;
        match stream.peek(&mut [0]) {
            Ok(0) => {
                outcome = Err(io::ErrorKind::UnexpectedEof.into());
                break;
            }
            Ok(_) => std::thread::sleep(left.min(LOOK)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    stream.set_read_timeout(None)?;
    outcome
}
