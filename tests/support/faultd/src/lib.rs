//! An S3 and an Azure Blob server over raw sockets, with real objects, that fails as its script says.
//! For tests: in process through [`Faultd`], or as a program (`faultd --help`).
//!
//! ```text
//! lib, main    start and stop: in process, as a program
//!   server     listeners, connections, latency and bandwidth; what every request goes through
//!   control    /_faultd/...: script, ledger and objects from outside
//!     wire     what a fault makes of an answer, byte by byte
//!     script   which request meets which fault;  fault  the kinds;  rng  the seed
//!     s3, azure  the two protocols;  sign  their signatures
//!       objects  what is stored;  ledger  what happened;  http, text  forms
//! ```
//!
//! # Script
//! One rule a line; the first one that matches a request decides, `#` starts a comment:
//! ```text
//! op=get key=box/data/* nth=2 fault=reset_in_body at=mid
//! op=put,put_part times=3 per=request fault=status status=503 retry_after=1
//! service=azure op=complete_upload fault=act_then_drop
//! probability=0.05 fault=any among=stale,reset_before_head,status
//! seed=7
//! ```
//! or the same as JSON: `{"seed": 7, "rules": [{"op": "get", "nth": 2, "fault": "reset_in_body"}]}`.
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `service` | `*` | `s3` or `azure` |
//! | `op` | `*` | operations with commas between them, named as [`Op`] has them; `*` is all but `connect` |
//! | `key` | `*` | pattern of `container/key` with `*` and `?` |
//! | `nth` | all | which matching requests, from 1: `2`, `1,3`, `2-5`, `2-`; `times=N` is `nth=1-N` |
//! | `per` | `rule` | what `nth` counts: `rule`, `key`, or `request` (a request and its repetitions) |
//! | `probability` | `1` | which part of them; the seed decides for each request apart, in whatever order they come |
//! | `fault` | | a name of the table, `any` (the seed chooses; `among` limits it) or `none` |
//!
//! and the fault's own parameters: `at` (a number, `mid`, `last`, `end`), `ms`, `count`, `status`, `retry_after`,
//! `code`, `body`, `phase` (`before`, `after`), `checksum` (`yes`, `no`), `name`, `value`, `location`, `region`.
//!
//! # Faults
#![doc = include_str!("../faults.md")]
//!
//! # Control
//! On every port, for any method: `/_faultd/ledger` (JSON), `/_faultd/script` (the body replaces the script),
//! `/_faultd/reset[?keep=objects]`, `/_faultd/put?service=&container=[&key=]` (the body is the object),
//! `/_faultd/get?service=&container=&key=`, `/_faultd/refuse?service=&ms=`, `/_faultd/kinds`, and
//! `/_faultd/config?latency_ms=&jitter_ms=&bandwidth=&seed=&clock_offset=&verify_signatures=`.
//!
//! # What is not there
//! TLS; versions, tags, ACLs; S3's Content-MD5 and checksums other than CRC32C (taken, not verified); Azure's page
//! and append blobs, leases, snapshots and CRC64. Presigned URLs, shared access signatures and bearer tokens are
//! noted, not verified; so are the signatures of single chunks.

#![deny(unsafe_code, unused_must_use)]
#![warn(missing_debug_implementations)]

mod azure;
mod call;
mod control;
mod fault;
mod http;
mod ledger;
mod objects;
mod rng;
mod s3;
mod script;
mod server;
mod sign;
mod text;
mod wire;

pub use call::{Call, Op, Service};
pub use fault::{At, Fault, Kind, Phase};
pub use ledger::{End, Entry, Ledger};
pub use objects::{Block, Container, Object, Objects, Part, Upload};
pub use rng::Rng;
pub use script::{Rule, Script};

use server::{Gate, Site, lock};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// How fast the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Added before every answer.
    pub latency: Duration,
    /// A part of this, as the seed has it, is added, too.
    pub jitter: Duration,
    /// Bytes per second of all connections together, up and down apart; `None`: no limit.
    pub bandwidth: Option<u64>,
}

/// How to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses that speak S3; port 0 takes a free one.
    pub s3: Vec<SocketAddr>,
    /// Addresses that speak Azure Blob.
    pub azure: Vec<SocketAddr>,
    pub seed: u64,
    /// Refuse requests whose signature is missing or wrong; else it is only noted.
    pub verify_signatures: bool,
    pub shaping: Shaping,
    /// Smallest part but the last of an S3 upload.
    pub min_part_size: usize,
    pub region: String,
    pub s3_access_key: String,
    pub s3_secret_key: String,
    pub azure_account: String,
    /// In base64.
    pub azure_key: String,
}

impl Default for Config {
    /// One listener of each on 127.0.0.1, the tests' identities, no checks, no delays.
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Config {
            s3: vec![free],
            azure: vec![free],
            seed: 0,
            verify_signatures: false,
            shaping: Shaping::default(),
            min_part_size: 5 << 20,
            region: "us-east-1".into(),
            s3_access_key: "s3dliotest".into(),
            s3_secret_key: "s3dliotestsecret".into(),
            azure_account: "devstoreaccount1".into(),
            azure_key:
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
                    .into(),
        }
    }
}

/// A running server. Dropping it closes every connection and joins every thread.
#[derive(Debug)]
pub struct Faultd {
    site: Arc<Site>,
    gates: Vec<Arc<Gate>>,
    threads: Vec<JoinHandle<()>>,
}

impl Faultd {
    /// Listens when it returns.
    pub fn start(config: Config) -> io::Result<Faultd> {
        let addresses = [(Service::S3, config.s3.clone()), (Service::Azure, config.azure.clone())];
        let mut faultd = Faultd { site: Arc::new(Site::new(config)), gates: Vec::new(), threads: Vec::new() };
        for (service, addresses) in addresses {
            for address in addresses {
                let (gate, thread) = server::listen(&faultd.site, service, address)?;
                faultd.gates.push(gate);
                faultd.threads.push(thread);
            }
        }
        Ok(faultd)
    }

    /// Where a service listens, first address first.
    pub fn addresses(&self, service: Service) -> Vec<SocketAddr> {
        self.gates.iter().filter(|gate| gate.service == service).map(|gate| gate.address).collect()
    }

    /// The URL for `s3.endpoint`; empty without a listener.
    pub fn s3_endpoint(&self) -> String {
        self.addresses(Service::S3).first().map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// The URL for `azure.endpoint`, with the account; empty without a listener.
    pub fn azure_endpoint(&self) -> String {
        let account = self.site.azure_account();
        let first = self.addresses(Service::Azure).first().copied();
        first.map(|address| format!("http://{address}/{account}")).unwrap_or_default()
    }

    /// Replaces the script; its counts start anew.
    pub fn script(&self, script: impl Into<Script>) {
        self.site.set_script(script.into());
    }

    /// Replaces the script by one in text or JSON.
    pub fn script_text(&self, text: &str) -> Result<(), String> {
        self.site.set_script(Script::parse(text)?);
        Ok(())
    }

    pub fn set_seed(&self, seed: u64) {
        self.site.seed.store(seed, Ordering::Relaxed);
    }

    pub fn set_shaping(&self, shaping: Shaping) {
        *lock(&self.site.shaping) = shaping;
    }

    pub fn verify_signatures(&self, yes: bool) {
        self.site.verify.store(yes, Ordering::Relaxed);
    }

    /// Sets the server's clock ahead (or back) by these seconds.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.site.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// Closes the listeners of a service: connects are refused from the moment this returns.
    pub fn refuse(&self, service: Service, how_long: Duration) {
        self.site.refuse(service, how_long);
    }

    /// What happened so far.
    pub fn ledger(&self) -> Ledger {
        self.site.ledger()
    }

    /// Looks at the requests so far without a copy of them.
    pub fn requests<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        self.site.requests(look)
    }

    /// Waits until the ledger is as wanted; false where that takes longer than `limit`.
    pub fn wait_until(&self, limit: Duration, wanted: impl Fn(&Ledger) -> bool) -> bool {
        self.site.wait_until(limit, wanted)
    }

    /// Empties script and ledger, and the objects unless they are to be kept.
    pub fn reset(&self, keep_objects: bool) {
        self.site.reset(keep_objects);
    }

    /// Looks at, or changes, what is stored.
    pub fn objects<T>(&self, service: Service, look: impl FnOnce(&mut Objects) -> T) -> T {
        look(&mut lock(self.site.objects(service)))
    }
}

impl Drop for Faultd {
    fn drop(&mut self) {
        self.site.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The table of faults, as the documentation has it.
pub fn fault_table() -> String {
    let mut table = String::from("| fault | what happens |\n|---|---|\n");
    for kind in Kind::ALL {
        table.push_str(&format!("| `{}` | {} |\n", kind.name(), kind.doc()));
    }
    table
}

#[cfg(test)]
mod tests {
    /// `S3DLIO_BLESS=1` writes the table anew.
    #[test]
    fn the_documented_table_is_the_one_of_the_kinds() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/faults.md");
        if std::env::var_os("S3DLIO_BLESS").is_some() {
            std::fs::write(path, super::fault_table()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), super::fault_table(), "run with S3DLIO_BLESS=1");
    }
}
