//! Datasets with known contents, and passes over them.

use s3dlio::Result;
use s3dlio::api::advanced::block_on;
use s3dlio::api::loader::{Batch, Dataset, DatasetParams, Format, Loader, LoaderParams, write_manifest};
use s3dlio::api::{self, Options, PutOptions};
use s3dlio::formats::{tar, tfrecord};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A root of its own in memory.
pub fn root() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("memory://loader-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn put(root: &str, key: &str, data: Vec<u8>) {
    let store = api::store_for_uri(root, &Options::new()).unwrap();
    wait(api::put(&store, key, data.into(), &PutOptions::default())).unwrap();
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

/// The numbers that items hold.
pub fn numbers(batch: &Batch) -> Vec<u64> {
    batch
        .samples
        .iter()
        .map(|sample| std::str::from_utf8(sample.data()).unwrap().trim().parse().unwrap())
        .collect()
}

/// What is left of a pass.
pub fn rest(loader: &mut Loader) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(batch) = next(loader).unwrap() {
        all.extend(numbers(&batch));
    }
    all
}

/// How many items each of [`sources`] has.
pub const COUNT: usize = 103;

pub struct Source {
    pub name: &'static str,
    pub dataset: Dataset,
    /// How many shards can share it.
    pub shards: u32,
}

/// The same items from every kind of source. Those that are read in sequence are of seven files.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let any = |name, dataset| Source { name, dataset, shards: u32::MAX };
        let root = root();
        let uris = objects(&root, COUNT);
        let (folder, on_disk) = files();
        let manifest = folder.join("manifest");
        let listed = DatasetParams { glob: Some("o*".into()), ..DatasetParams::default() };
        let written = wait(write_manifest(&root, &listed, &Options::new(), &manifest)).unwrap();
        assert_eq!(written, COUNT as u64);
        let manifest = wait(Dataset::from_manifest(&manifest, &DatasetParams::default(), &Options::new()));
        let below = DatasetParams { glob: Some("*/o*".into()), ..DatasetParams::default() };
        let below = wait(Dataset::open(&format!("file://{}", folder.display()), &below, &Options::new()));
        let mixed = uris.iter().zip(&on_disk).enumerate().map(|(n, (a, b))| if n % 2 == 0 { a } else { b });
        let mixed = of_uris(mixed.cloned().collect());
        let fixed = of_files(Format::Fixed, |numbers| {
            numbers.iter().fold(b"head".to_vec(), |file, n| [file, format!("{n:8}").into_bytes()].concat())
        });
        let records = of_files(Format::TfRecord, |numbers| {
            let mut file = Vec::new();
            numbers.iter().for_each(|n| tfrecord::append(&mut file, n.to_string().as_bytes()));
            file
        });
        let samples = of_files(Format::Tar, |numbers| {
            let mut file = Vec::new();
            for n in numbers {
                tar::append(&mut file, &format!("{n:06}.txt"), n.to_string().as_bytes()).unwrap();
            }
            tar::finish(&mut file);
            file
        });
        vec![
            any("uris", of_uris(uris)),
            any("prefix", of_prefix(&root)),
            any("manifest", manifest.unwrap()),
            any("files", of_uris(on_disk)),
            any("folder", below.unwrap()),
            any("mixed", mixed),
            any("fixed", fixed),
            Source { name: "tfrecord", dataset: records, shards: 7 },
            Source { name: "tar", dataset: samples, shards: 7 },
        ]
    })
}

/// The items as files in three folders.
fn files() -> (PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap().keep();
    let one = |n: usize| {
        let name = folder.join(format!("f{}/o{n:06}", n * 3 / COUNT));
        std::fs::create_dir_all(name.parent().unwrap()).unwrap();
        std::fs::write(&name, n.to_string()).unwrap();
        format!("file://{}", name.display())
    };
    let uris = (0..COUNT).map(one).collect();
    (folder, uris)
}

fn of_files(format: Format, file: impl Fn(&[usize]) -> Vec<u8>) -> Dataset {
    let root = root();
    let all: Vec<usize> = (0..COUNT).collect();
    for (number, part) in all.chunks(COUNT.div_ceil(7)).enumerate() {
        put(&root, &format!("part-{number}"), file(part));
    }
    let params = DatasetParams { format, record_size: 8, skip_bytes: 4, ..DatasetParams::default() };
    wait(Dataset::open(&root, &params, &Options::new())).unwrap()
}

/// Every way to draw from a source by so many shards.
pub fn modes(source: &Source, shards: u32) -> Vec<Options> {
    let mut modes = Vec::new();
    for shuffle in ["none", "window", "full"] {
        for order in ["ordered", "completion"] {
            let split = if shards > source.shards { "record" } else { "file" };
            if shuffle != "full" || source.dataset.length().is_some() {
                modes.push(options(&[
                    ("loader.shuffle", shuffle),
                    ("loader.shuffle_window", "10"),
                    ("loader.order", order),
                    ("loader.split_files", split),
                ]));
            }
        }
    }
    modes
}
