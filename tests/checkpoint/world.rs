//! Worlds of ranks, each a thread, and tensors whose every element is known.

use bytes::Bytes;
use s3dlio::Result;
use s3dlio::base::buffer::{lend_many, lend_many_mut};
use s3dlio::checkpoint::{Checkpoint, CheckpointWriter, Dtype, Params, Request, TensorSpec};
use s3dlio::options::{Options, Resolved};
use s3dlio::runtime::block_on;
use s3dlio::store::Store;

/// The store's options with these over them.
pub fn options(store: &Store, over: &[(&str, &str)]) -> Resolved {
    let set = |options: Options, (key, value): &(&str, &str)| options.with(key, value).unwrap();
    over.iter().fold(Options::new(), set).resolve_over(store.options())
}

pub fn params(step: u64, rank: u32, world_size: u32) -> Params {
    Params {
        step,
        rank,
        world_size,
        run_id: Some("test".into()),
        framework: "rust".into(),
        ..Params::default()
    }
}

/// Runs one thread per rank; the outcomes by rank.
pub fn on_all_ranks<T: Send>(world_size: u32, rank: impl Fn(u32) -> Result<T> + Sync) -> Vec<Result<T>> {
    let run = &rank;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..world_size).map(|rank| scope.spawn(move || run(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The bytes of a tensor's box: every element tells its place in the whole tensor.
pub fn elements(spec: &TensorSpec) -> Vec<u8> {
    let (whole, region) = (spec.whole(), spec.region());
    let size = spec.dtype.size() as usize;
    let count: u64 = region.shape.iter().product();
    let mut bytes = Vec::with_capacity(count as usize * size);
    for index in 0..count {
        let (mut rest, mut place, mut stride) = (index, 0_u64, 1_u64);
        for axis in (0..whole.len()).rev() {
            place += (region.start[axis] + rest % region.shape[axis]) * stride;
            rest /= region.shape[axis];
            stride *= whole[axis];
        }
        let mut hash = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ spec.name.len() as u64;
        for _ in 0..size {
            bytes.push((hash >> 32) as u8);
            hash = hash.rotate_left(8).wrapping_add(1);
        }
    }
    bytes
}

/// The part of `n` things that a rank has.
pub fn share(n: u64, rank: u32, world_size: u32) -> (u64, u64) {
    let at = |rank: u32| n * u64::from(rank) / u64::from(world_size);
    (at(rank), at(rank + 1) - at(rank))
}

/// A model: a matrix cut by rows, one cut by columns, a vector that all have, a scalar of rank 0, and an empty one.
pub fn model(rank: u32, world_size: u32) -> Vec<TensorSpec> {
    let (row, rows) = share(130, rank, world_size);
    let (column, columns) = share(70, rank, world_size);
    let mut specs = vec![
        TensorSpec::new("rows", Dtype::F32, [rows, 33]).slice_of([130, 33], [row, 0]),
        TensorSpec::new("columns", Dtype::BF16, [9, columns]).slice_of([9, 70], [0, column]),
        TensorSpec::new("common", Dtype::U8, [1001]).replicated(),
        TensorSpec::new("also common", Dtype::F64, [7, 3]).replicated(),
    ];
    if rank == 0 {
        specs.push(TensorSpec::new("scalar", Dtype::I64, []));
        specs.push(TensorSpec::new("nothing", Dtype::F16, [0, 5]));
    }
    specs
}

/// Every whole tensor of [`model`].
pub fn wholes() -> Vec<TensorSpec> {
    model(0, 1)
}

/// Puts tensors whose memory lives until the call has returned.
pub fn put(writer: &mut CheckpointWriter, shard: &str, specs: Vec<TensorSpec>) -> Result<()> {
    let data: Vec<Vec<u8>> = specs.iter().map(elements).collect();
    let pieces: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    lend_many(&pieces, |lent| {
        let tensors: Vec<(TensorSpec, Bytes)> = specs.into_iter().zip(lent).collect();
        block_on(writer.put_tensors(shard, tensors)).and_then(|outcome| outcome)
    })
}

/// One rank's save of [`model`].
pub fn save(store: &Store, options: &Resolved, params: Params) -> Result<String> {
    let (rank, world_size) = (params.rank, params.world_size);
    let mut writer = block_on(CheckpointWriter::open(store, options, params))??;
    put(&mut writer, "data", model(rank, world_size))?;
    block_on(writer.commit())??;
    Ok(writer.id().to_owned())
}

/// A whole world's save of [`model`].
pub fn save_all(store: &Store, options: &Resolved, step: u64, world_size: u32) -> Result<String> {
    let ids = on_all_ranks(world_size, |rank| save(store, options, params(step, rank, world_size)));
    let ids: Vec<String> = ids.into_iter().collect::<Result<_>>()?;
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "one id for all: {ids:?}");
    Ok(ids[0].clone())
}

/// What a request gives.
pub fn load(checkpoint: &Checkpoint, requests: Vec<Request>) -> Result<Vec<Vec<u8>>> {
    let mut memory = Vec::new();
    for request in &requests {
        memory.push(vec![0xEE; checkpoint.bytes_needed(request)? as usize]);
    }
    lend_many_mut(memory.iter_mut().map(Vec::as_mut_slice), |windows| {
        block_on(checkpoint.load(requests.into_iter().zip(windows).collect())).and_then(|outcome| outcome)
    })?;
    Ok(memory)
}

/// That a checkpoint holds [`model`], whole.
pub fn check_model(checkpoint: &Checkpoint) {
    let requests = wholes().iter().map(|spec| Request::whole(&spec.name)).collect();
    for (spec, bytes) in wholes().iter().zip(load(checkpoint, requests).unwrap()) {
        assert!(elements(spec) == bytes, "{} differs", spec.name);
    }
}

pub fn open(store: &Store, step: Option<u64>) -> Result<Checkpoint> {
    block_on(Checkpoint::open(store, store.options(), step)).and_then(|outcome| outcome)
}
