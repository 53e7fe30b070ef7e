//! What only an S3 store can get wrong (SPEC S1-S4, W3, I1, H1): credentials, checksums on the wire, leftovers
//! of uploads, connections that fail, and servers that lie. What all stores share is in `store_suite`.

mod support;

#[path = "s3/copies.rs"]
mod copies;
#[path = "s3/credentials.rs"]
mod credentials;
#[path = "s3/fake.rs"]
mod fake;
#[path = "s3/lies.rs"]
mod lies;
#[path = "s3/lost.rs"]
mod lost;
#[path = "s3/plane.rs"]
mod plane;
#[path = "s3/retries.rs"]
mod retries;
#[path = "s3/transport.rs"]
mod transport;
#[path = "s3/uploads.rs"]
mod uploads;

use fake::Fake;
use s3dlio::base::buffer::lend_mut;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{GetRequest, GetResult, Store, store_for_uri};
use s3dlio::{Error, Result};
use std::future::Future;

/// The result of an operation, run to its end.
fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    block_on(future).expect("the runtime runs")
}

/// `s3://bucket/root` at a fake server, with more options.
fn store_at(fake: &Fake, options: &[(&str, &str)]) -> Store {
    let mut all = support::s3_options(&fake.endpoint);
    for (key, value) in options {
        all.set(key, value).unwrap();
    }
    store_for_uri("s3://bucket/root", &all).unwrap()
}

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for (key, value) in pairs {
        options.set(key, value).unwrap();
    }
    options
}

/// Reads `len` bytes from `offset`.
fn read(store: &Store, key: &str, offset: u64, len: usize) -> Result<(Vec<u8>, GetResult)> {
    let mut memory = vec![0xEE; len];
    let request = GetRequest { offset, ..GetRequest::default() };
    let result = lend_mut(&mut memory, |window| run(store.get_into(key, request, window)))?;
    memory.truncate(result.bytes);
    Ok((memory, result))
}

/// Whether objects go over the data plane: this suite runs with it and without.
fn on_plane() -> bool {
    Options::new().get("net.optimized").unwrap() == "true"
}

/// One fact of an error: `attempts`, `hint`, `request_id` ...
fn detail(error: &Error, name: &str) -> String {
    let found = error.details().into_iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value).unwrap_or_default()
}
