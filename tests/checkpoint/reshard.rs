//! Any shapes, element types and shardings: what W ranks saved, W' ranks load, every element in its place, and
//! hardly a byte more than they need is read.

use crate::counting::counting;
use crate::support::Backend;
use crate::world::*;
use s3dlio::base::random::Random;
use s3dlio::checkpoint::{CheckpointWriter, Dtype, Params, Region, Request, TensorSpec};
use s3dlio::runtime::block_on;
use s3dlio::store::Store;
use std::sync::atomic::Ordering;

/// A tensor cut into a grid: `cuts[axis]` are the inner borders.
struct Cut {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    boxes: Vec<Region>,
}

fn below(random: &mut Random, n: u64) -> u64 {
    random.up_to(n - 1)
}

/// A grid of boxes over a shape; about as many as there are ranks.
fn grid(random: &mut Random, shape: &[u64], ranks: u64) -> Vec<Region> {
    let mut boxes = vec![Region { start: vec![0; shape.len()], shape: shape.to_vec() }];
    let mut left = ranks;
    for axis in 0..shape.len() {
        let pieces = 1 + below(random, left.max(1));
        left /= pieces;
        let mut borders: Vec<u64> = (1..pieces).map(|_| random.up_to(shape[axis])).collect();
        borders.extend([0, shape[axis]]);
        borders.sort_unstable();
        boxes = boxes
            .iter()
            .flat_map(|cut| {
                borders.windows(2).map(move |pair| {
                    let mut cut = cut.clone();
                    (cut.start[axis], cut.shape[axis]) = (pair[0], pair[1] - pair[0]);
                    cut
                })
            })
            .collect();
    }
    boxes
}

fn tensors(random: &mut Random, ranks: u64) -> Vec<Cut> {
    (0..1 + below(random, 6))
        .map(|i| {
            let axes = below(random, 5);
            let longest = [1, 5000, 130, 24, 11][axes as usize];
            let shape: Vec<u64> = (0..axes).map(|_| random.up_to(longest)).collect();
            let dtype = Dtype::ALL[below(random, Dtype::ALL.len() as u64) as usize];
            let boxes = grid(random, &shape, ranks);
            Cut { name: format!("t{i}"), dtype, shape, boxes }
        })
        .collect()
}

fn spec(cut: &Cut, region: &Region) -> TensorSpec {
    let whole = TensorSpec::new(&cut.name, cut.dtype, region.shape.clone());
    whole.slice_of(cut.shape.clone(), region.start.clone())
}

fn once(store: &Store, step: u64, seed: u64, compression: &str) {
    let random = &mut Random::new(seed);
    let (ranks, readers) = (1 + below(random, 7), 1 + below(random, 7));
    let cuts = tensors(random, ranks);
    let options = options(store, &[("writer.compression", compression)]);
    let mut id = None;
    for rank in (0..ranks as u32).rev() {
        let id = id.get_or_insert_with(|| format!("{step:012}-{seed:016x}")).clone();
        let params = Params { id: Some(id), ..params(step, rank, ranks as u32) };
        let mut writer = block_on(CheckpointWriter::open(store, &options, params)).unwrap().unwrap();
        let own =
            |(at, region): (usize, &Region)| (at as u64 % ranks == u64::from(rank)).then(|| region.clone());
        let specs = cuts.iter().flat_map(|cut| {
            cut.boxes.iter().enumerate().filter_map(own).map(|region| spec(cut, &region)).collect::<Vec<_>>()
        });
        put(&mut writer, "data", distinct(specs.collect())).unwrap();
        block_on(writer.finish()).unwrap().unwrap();
        if rank == 0 {
            block_on(writer.commit()).unwrap().unwrap();
        }
    }
    let (counted, counts) = counting(store);
    let checkpoint = open(&counted, Some(step)).unwrap();
    for rank in 0..readers {
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for cut in &cuts {
            let boxes = grid(random, &cut.shape, readers);
            let mine = &boxes[(rank % boxes.len() as u64) as usize];
            requests.push(Request::slice(&cut.name, mine.start.clone(), mine.shape.clone()));
            expected.push(elements(&spec(cut, mine)));
        }
        let before = counts.bytes_read.load(Ordering::Relaxed);
        let got = load(&checkpoint, requests.clone()).unwrap();
        let read = counts.bytes_read.load(Ordering::Relaxed) - before;
        for ((request, got), expected) in requests.iter().zip(&got).zip(&expected) {
            assert!(got == expected, "seed {seed}: {request:?} of {ranks} ranks by rank {rank} of {readers}");
        }
        let needed: usize = got.iter().map(Vec::len).sum();
        if compression == "none" {
            assert!(read * 10 <= needed as u64 * 11, "seed {seed}: {read} bytes read, {needed} needed");
        }
    }
}

/// Without boxes that are there twice: empty ones may be.
fn distinct(specs: Vec<TensorSpec>) -> Vec<TensorSpec> {
    let mut seen = std::collections::HashSet::new();
    specs.into_iter().filter(|spec| seen.insert((spec.name.clone(), spec.region().start))).collect()
}

#[test]
fn c4_every_sharding_loads_in_every_other() {
    let backend = Backend::memory();
    let store = backend.store();
    for seed in 0..600 {
        once(&store, seed, seed, if seed % 5 == 0 { "zstd" } else { "none" });
    }
}

#[test]
fn c4_the_same_on_files_and_servers() {
    for (backend, seeds) in
        [(Backend::file(), 60), (Backend::direct(), 30), (Backend::seaweed(), 10), (Backend::azurite(), 10)]
    {
        let store = backend.store();
        for seed in 1000..1000 + seeds {
            once(&store, seed, seed, if seed % 5 == 0 { "zstd" } else { "none" });
        }
    }
}

/// A column of a matrix is many small pieces: not one request each, not the whole matrix.
#[test]
fn c4_a_slice_of_columns_is_read_in_few_requests_if_that_is_allowed() {
    let backend = Backend::memory();
    let store = backend.store();
    let whole = TensorSpec::new("w", Dtype::F32, [1000, 64]);
    let mut writer =
        block_on(CheckpointWriter::open(&store, store.options(), params(1, 0, 1))).unwrap().unwrap();
    put(&mut writer, "data", vec![whole.clone()]).unwrap();
    block_on(writer.commit()).unwrap().unwrap();
    let (counted, counts) = counting(&store);
    let columns = Request::slice("w", [0, 8], [1000, 32]);
    let expected = elements(&TensorSpec::new("w", Dtype::F32, [1000, 32]).slice_of([1000, 64], [0, 8]));
    for (waste, most_reads) in [("10", 1000), ("120", 2)] {
        let options = options(&counted, &[("checkpoint.read_waste", waste)]);
        let checkpoint =
            block_on(s3dlio::checkpoint::Checkpoint::open(&counted, &options, None)).unwrap().unwrap();
        let before = counts.reads.load(Ordering::Relaxed);
        assert!(load(&checkpoint, vec![columns.clone()]).unwrap()[0] == expected);
        let reads = counts.reads.load(Ordering::Relaxed) - before;
        assert!(reads <= most_reads, "{reads} reads with a waste of {waste} %");
    }
}

/// Copies that differ from rank to rank: the rank must be named.
#[test]
fn c4_values_that_differ_between_ranks_need_a_rank() {
    let backend = Backend::memory();
    let store = backend.store();
    for rank in [1_u32, 0] {
        let params = Params { id: Some(format!("{:012}-{:016x}", 1, 1)), ..params(1, rank, 2) };
        let mut writer = block_on(CheckpointWriter::open(&store, store.options(), params)).unwrap().unwrap();
        let data: Vec<_> = [("rng", rank as u8), ("same", 9)]
            .map(|(name, byte)| (TensorSpec::new(name, Dtype::U8, [4]), vec![byte; 4].into()))
            .into();
        block_on(writer.put_tensors("data", data)).unwrap().unwrap();
        block_on(writer.finish()).unwrap().unwrap();
        if rank == 0 {
            block_on(writer.commit()).unwrap().unwrap();
        }
    }
    let checkpoint = open(&store, None).unwrap();
    let error = load(&checkpoint, vec![Request::whole("rng")]).unwrap_err();
    assert_eq!(error.code(), s3dlio::Code::InvalidArgument, "{error}");
    let of = |rank| Request { rank: Some(rank), ..Request::whole("rng") };
    assert_eq!(
        load(&checkpoint, vec![of(0), of(1), Request::whole("same")]).unwrap(),
        [[0; 4], [1; 4], [9; 4]]
    );
}
