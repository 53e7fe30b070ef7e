//! What a rank saves, and what must be loaded.

use bytes::Bytes;
use s3dlio::base::buffer::Buffer;
use s3dlio::checkpoint::{Checkpoint, CheckpointWriter, Dtype, Params, Request, TensorSpec};
use s3dlio::runtime::block_on;
use s3dlio::store::{ListEntry, ListRequest, Store};
use s3dlio::{Error, Result};

const ROWS: u64 = 40;
const COLUMNS: u64 = 64;

pub fn wait<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// Bytes that no other tensor, rank, step or job has.
fn noise(job: &str, step: u64, rank: u32, length: usize) -> Vec<u8> {
    let mut rng = faultd::Rng::of(step * 1000 + u64::from(rank), &[job]);
    (0..length.div_ceil(8)).flat_map(|_| rng.next().to_le_bytes()).take(length).collect()
}

/// A rank's rows of a tensor of all ranks.
fn rows(job: &str, step: u64, rank: u32) -> Vec<u8> {
    noise(job, step, rank, (ROWS * COLUMNS * 4) as usize)
}

/// What a rank has for itself; its size depends on the step.
fn own(job: &str, step: u64, rank: u32) -> Vec<u8> {
    noise(job, step, rank + 500, 1 + (step * 331 % 5000) as usize)
}

pub fn params(run_id: &str, step: u64, rank: u32, world_size: u32) -> Params {
    Params {
        step,
        rank,
        world_size,
        run_id: Some(run_id.into()),
        framework: run_id.into(),
        ..Params::default()
    }
}

/// One rank's part up to the commit. The run's id decides the bytes.
pub async fn begin(store: &Store, params: Params) -> Result<CheckpointWriter> {
    let (job, step, rank, world) =
        (params.framework.clone(), params.step, params.rank, u64::from(params.world_size));
    let mut writer = CheckpointWriter::open(store, store.options(), params).await?;
    let rows_of = TensorSpec {
        name: "rows".into(),
        dtype: Dtype::parse("F32")?,
        shape: vec![ROWS, COLUMNS],
        global_shape: Some(vec![ROWS * world, COLUMNS]),
        start: Some(vec![ROWS * u64::from(rank), 0]),
        replicated: false,
    };
    writer.put_tensors("data", vec![(rows_of, rows(&job, step, rank).into())]).await?;
    writer.put_bytes("own", Bytes::from(own(&job, step, rank))).await?;
    Ok(writer)
}

/// Every byte of a checkpoint is there, and is what its job saved.
pub fn verify(store: &Store, checkpoint: &Checkpoint) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    wait(checkpoint.validate(true)).map_err(text)?;
    let manifest = checkpoint.manifest();
    let (job, step, world) = (&manifest.framework, manifest.step, manifest.world_size);
    let expected: Vec<u8> = (0..world).flat_map(|rank| rows(job, step, rank)).collect();
    let (window, owner) = Buffer::allocate(expected.len()).map_err(text)?.into_window();
    let request = Request { name: "rows".into(), start: None, shape: None, rank: None };
    wait(checkpoint.load(vec![(request, window.split_at(expected.len()).0)])).map_err(text)?;
    if owner.reclaim(expected.len()).expect("the load is over")[..] != expected[..] {
        return Err(format!("step {step} has wrong bytes"));
    }
    for rank in 0..world {
        let bytes = wait(checkpoint.read_shard(rank, "own")).map_err(text)?;
        if bytes[..] != own(job, step, rank)[..] {
            return Err(format!("step {step} has wrong bytes of rank {rank} on {}", store.root()));
        }
    }
    Ok(())
}

pub fn keys(store: &Store, prefix: &str) -> Vec<String> {
    let (mut keys, mut request) =
        (Vec::new(), ListRequest { prefix: prefix.into(), ..ListRequest::default() });
    loop {
        let Ok(page) = wait(store.list_page(&request)) else { return keys }; // no folder yet
        keys.extend(
            page.entries.iter().filter(|e| matches!(e, ListEntry::Object(_))).map(|e| e.key().to_owned()),
        );
        request.continuation = page.next;
        if request.continuation.is_none() {
            return keys;
        }
    }
}

/// Keys below `shards/` that no committed checkpoint of these steps has.
pub fn torn(store: &Store, steps: &[u64]) -> Vec<String> {
    let open = |step: &u64| wait(Checkpoint::open(store, store.options(), Some(*step))).unwrap();
    let ids: Vec<String> = steps.iter().map(|step| open(step).manifest().id.clone()).collect();
    let mut keys = keys(store, "shards/");
    keys.retain(|key| !ids.iter().any(|id| key.contains(&format!("/{id}/"))));
    keys
}
