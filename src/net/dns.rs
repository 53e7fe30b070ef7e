//! Names to addresses: looked up off the reactor, kept for a short while, spread over all addresses
//! and turned away from those that failed.

use crate::base::sync::lock;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Services with many addresses give a few at a time, so answers are not kept for long.
const KEPT: Duration = Duration::from_secs(10);
/// An address that failed is tried last for so long.
const SHUNNED: Duration = Duration::from_secs(30);

/// Looks a name up; may block. Tests put their own in place.
pub type Resolver = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's resolver.
pub fn system() -> Resolver {
    Arc::new(super::sys::look_up)
}

/// The addresses of one host.
pub(super) struct Names {
    host: String,
    port: u16,
    resolver: Resolver,
    state: Mutex<State>,
    /// One lookup at a time; who waits for it uses its answer.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    known: Vec<IpAddr>,
    until: Option<Instant>,
    turns: usize,
    failed: Vec<(IpAddr, Instant)>,
}

impl Names {
    pub(super) fn new(host: &str, port: u16, resolver: Resolver) -> Names {
        Names { host: host.to_owned(), port, resolver, state: Mutex::default(), looking: Default::default() }
    }

    /// In the order in which to try them; never empty.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _looking = self.looking.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let (resolver, host) = (self.resolver.clone(), self.host.clone());
        let found = tokio::task::spawn_blocking(move || resolver(&host)).await.map_err(io::Error::other)?;
        let mut found = found?;
        let mut seen = Vec::new();
        found.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let mut state = lock(&self.state);
        state.known = found;
        state.until = Some(Instant::now() + KEPT);
        Ok(self.ordered(&mut state))
    }

    pub(super) fn failed(&self, address: IpAddr) {
        let mut state = lock(&self.state);
        state.failed.retain(|(known, _)| *known != address);
        state.failed.push((address, Instant::now() + SHUNNED));
    }

    pub(super) fn worked(&self, address: IpAddr) {
        lock(&self.state).failed.retain(|(known, _)| *known != address);
    }

    /// The next time the name is looked up anew: none of its addresses works.
    pub(super) fn forget(&self) {
        lock(&self.state).until = None;
    }

    fn known(&self) -> Option<Vec<SocketAddr>> {
        let mut state = lock(&self.state);
        let fresh = state.until.is_some_and(|until| Instant::now() < until);
        fresh.then(|| self.ordered(&mut state))
    }

    fn ordered(&self, state: &mut State) -> Vec<SocketAddr> {
        let now = Instant::now();
        state.failed.retain(|(_, until)| now < *until);
        state.turns = state.turns.wrapping_add(1);
        let shunned = |address: &IpAddr| state.failed.iter().any(|(known, _)| known == address);
        let (dead, live): (Vec<_>, Vec<_>) = state.known.iter().copied().partition(shunned);
        let all = alternate(&live, state.turns - 1).into_iter().chain(alternate(&dead, 0));
        all.map(|address| SocketAddr::new(address, self.port)).collect()
    }
}

/// Starts at another address each turn and changes between IPv6 and IPv4, so that a family without
/// a route costs one try. The family that the system named first goes first.
fn alternate(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (mut one, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    for family in [&mut one, &mut other] {
        let by = turn % family.len().max(1);
        family.rotate_left(by);
    }
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::with_capacity(addresses.len());
    while all.len() < addresses.len() {
        all.extend(one.next());
        all.extend(other.next());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split(' ').map(|ip| ip.parse().unwrap()).collect()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        crate::runtime::block_on(future).unwrap()
    }

    #[test]
    fn families_alternate_and_turns_rotate() {
        let all = ips("::1 ::2 10.0.0.1 10.0.0.2 10.0.0.3");
        assert_eq!(alternate(&all, 0), ips("::1 10.0.0.1 ::2 10.0.0.2 10.0.0.3"));
        assert_eq!(alternate(&all, 1), ips("::2 10.0.0.2 ::1 10.0.0.3 10.0.0.1"));
        assert!(alternate(&[], 3).is_empty());
    }

    #[test]
    fn answers_are_kept_and_dead_addresses_go_last() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let resolver: Resolver = Arc::new(move |host| {
            assert_eq!(host, "name");
            count.fetch_add(1, Ordering::Relaxed);
            Ok(ips("10.0.0.1 10.0.0.2 10.0.0.1"))
        });
        let names = Names::new("name", 80, resolver);
        let first = |names: &Names| run(names.addresses()).unwrap()[0].to_string();
        assert_eq!((first(&names), first(&names)), ("10.0.0.1:80".into(), "10.0.0.2:80".into()));
        names.failed(ips("10.0.0.1")[0]);
        assert_eq!([first(&names), first(&names), first(&names)], ["10.0.0.2:80"; 3]);
        assert_eq!(run(names.addresses()).unwrap().len(), 2);
        names.worked(ips("10.0.0.1")[0]);
        assert_ne!(first(&names), first(&names));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        names.forget();
        first(&names);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn addresses_are_not_looked_up() {
        let resolver: Resolver = Arc::new(|_| panic!("not a name"));
        for (host, shown) in [("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")] {
            let found = run(Names::new(host, 1, resolver.clone()).addresses()).unwrap();
            assert_eq!(found, [shown.parse().unwrap()]);
        }
    }

    #[test]
    fn a_name_without_addresses_is_an_error() {
        let names = Names::new("name", 80, Arc::new(|_| Ok(Vec::new())));
        assert_eq!(run(names.addresses()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
