//! Datasets with known contents, and passes over them.

use s3dlio::Result;
use s3dlio::api::advanced::block_on;
use s3dlio::api::loader::{Batch, Dataset, DatasetParams, Loader, LoaderParams};
use s3dlio::api::{self, Options, PutOptions};
use std::sync::atomic::{AtomicU64, Ordering};

/// A root of its own in memory.
pub fn root() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("memory://loader-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn put(root: &str, key: &str, data: Vec<u8>) {
    let store = api::store_for_uri(root, &Options::new()).unwrap();
    block_on(api::put(&store, key, data.into(), &PutOptions::default())).unwrap().unwrap();
}

/// `count` objects whose bytes say which they are; their URIs in order.
pub fn objects(root: &str, count: usize) -> Vec<String> {
    let one = |n: usize| {
        let key = format!("o{n:06}");
        put(root, &key, n.to_string().into_bytes());
        format!("{root}/{key}")
    };
    (0..count).map(one).collect()
}

/// Options of pairs.
pub fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().fold(Options::new(), |options, (key, value)| options.with(key, value).unwrap())
}

pub fn of_uris(uris: Vec<String>) -> Dataset {
    wait(Dataset::of_uris(uris, &DatasetParams::default(), &Options::new())).unwrap()
}

pub fn of_prefix(uri: &str) -> Dataset {
    wait(Dataset::open(uri, &DatasetParams::default(), &Options::new())).unwrap()
}

pub fn wait<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

pub fn open(dataset: &Dataset, params: &LoaderParams, options: &Options) -> Loader {
    wait(Loader::open(dataset, params, options)).unwrap()
}

pub fn next(loader: &mut Loader) -> Result<Option<Batch>> {
    wait(loader.next())
}

/// The number that an object of [`objects`] holds.
pub fn numbers(batch: &Batch) -> Vec<u64> {
    batch.samples.iter().map(|sample| std::str::from_utf8(sample.data()).unwrap().parse().unwrap()).collect()
}

/// What is left of a pass.
pub fn rest(loader: &mut Loader) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(batch) = next(loader).unwrap() {
        all.extend(numbers(&batch));
    }
    all
}
