//! What the process did so far: counters that are always on, one addition each, and their two forms.
//!
//! Operations are what callers asked for, whatever requests that took; they are counted by the store's
//! endpoint, such as `s3://bucket`. Requests are those of HTTP.

mod histogram;
mod render;

pub use histogram::{Durations, Histogram};
pub use render::{Gauges, json, prometheus};

use crate::base::op::Op;
use crate::base::sync::lock;
use crate::runtime::{ForkRank, hold_during_fork};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, Once};
use std::time::Duration;

/// Further endpoints are counted together.
pub const MAX_ENDPOINTS: usize = 256;
/// What those are called.
pub const OTHERS: &str = "others";

/// One kind of operation at one endpoint.
#[derive(Debug, Default)]
pub struct Operations {
    durations: Histogram,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// What was done at one endpoint.
#[derive(Debug)]
pub struct Endpoint {
    name: String,
    operations: [Operations; Op::ALL.len()],
}

impl Endpoint {
    /// So many operations of one kind that took the same time, of which some failed.
    pub fn count(&self, op: Op, each: Duration, times: u64, errors: u64, bytes: u64) {
        let of = &self.operations[op as usize];
        of.durations.add(u64::try_from(each.as_nanos()).unwrap_or(u64::MAX), times);
        if bytes > 0 {
            of.bytes.fetch_add(bytes, Relaxed);
        }
        if errors > 0 {
            of.errors.fetch_add(errors, Relaxed);
        }
    }

    fn read(&self) -> [Counted; Op::ALL.len()] {
        std::array::from_fn(|at| {
            let of = &self.operations[at];
            Counted {
                durations: of.durations.read(),
                errors: of.errors.load(Relaxed),
                bytes: of.bytes.load(Relaxed),
            }
        })
    }
}

/// What [`Operations`] said at one moment.
struct Counted {
    durations: Durations,
    errors: u64,
    bytes: u64,
}

/// Never shrinks; held for a look-up only.
static ENDPOINTS: Mutex<Vec<&'static Endpoint>> = Mutex::new(Vec::new());

/// The counters of the endpoint of this name.
pub fn endpoint(name: &str) -> &'static Endpoint {
    static HELD: Once = Once::new();
    HELD.call_once(|| hold_during_fork(ForkRank::Metrics, || Box::new(lock(&ENDPOINTS))));
    let mut endpoints = lock(&ENDPOINTS);
    let find =
        |name: &str, among: &[&'static Endpoint]| among.iter().find(|known| known.name == name).copied();
    if let Some(known) = find(name, &endpoints) {
        return known;
    }
    let name = if endpoints.len() + 1 < MAX_ENDPOINTS { name } else { OTHERS };
    find(name, &endpoints).unwrap_or_else(|| {
        let operations = Default::default();
        let fresh: &'static Endpoint = Box::leak(Box::new(Endpoint { name: name.to_owned(), operations }));
        endpoints.push(fresh);
        fresh
    })
}

/// Requests of HTTP.
#[derive(Debug)]
pub struct Requests {
    /// That were sent, each attempt by itself.
    pub attempts: AtomicU64,
    /// Those of them that were made because an earlier one failed.
    pub retries: AtomicU64,
}

/// Of the process.
pub static REQUESTS: Requests = Requests { attempts: AtomicU64::new(0), retries: AtomicU64::new(0) };

impl Requests {
    /// A first attempt.
    pub fn first(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// Another attempt.
    pub fn again(&self) {
        self.attempts.fetch_add(1, Relaxed);
        self.retries.fetch_add(1, Relaxed);
    }
}
