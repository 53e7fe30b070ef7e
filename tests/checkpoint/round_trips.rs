//! Save and load, byte for byte, on every backend, by worlds of every size.

use crate::support::Backend;
use crate::world::*;
use s3dlio::base::checksum::Crc32c;
use s3dlio::checkpoint::{self, CheckpointWriter, Dtype, Kind, Params, Request, TensorSpec};
use s3dlio::runtime::block_on;
use s3dlio::store::Store;
use s3dlio::{Code, Result};
use std::collections::BTreeMap;

const WORLDS: [u32; 5] = [1, 2, 4, 7, 64];

/// Saves by worlds of all sizes with a strategy, plain and compressed; one step each.
fn worlds(backend: &Backend, strategy: &str) {
    let store = backend.store();
    let mut step = 0;
    for compression in ["none", "zstd"] {
        let over = [
            ("checkpoint.strategy", strategy),
            ("checkpoint.prefixes", "3"),
            ("writer.compression", compression),
        ];
        let options = options(&store, &over);
        for world_size in WORLDS {
            step += 10;
            let id = save_all(&store, &options, step, world_size).unwrap();
            let checkpoint = open(&store, None).unwrap();
            let manifest = checkpoint.manifest();
            assert_eq!((manifest.step, &manifest.id, manifest.world_size), (step, &id, world_size));
            assert_eq!(manifest.shards.len() as u32, world_size, "one shard per rank");
            for shard in &manifest.shards {
                let folder = match strategy {
                    "flat" => format!("shards/{id}/"),
                    "round_robin" => format!("shards/{:04x}/{id}/", shard.rank % 3),
                    _ => format!("shards/{:08x}/{id}/", shard.rank.reverse_bits()),
                };
                let suffix =
                    if compression == "zstd" { ".data.safetensors.zst" } else { ".data.safetensors" };
                let name = format!("{folder}rank-{:05}.", shard.rank);
                assert!(shard.key.starts_with(&name) && shard.key.ends_with(suffix), "{}", shard.key);
            }
            check_model(&checkpoint);
            block_on(checkpoint.validate(true)).unwrap().unwrap();
        }
    }
    assert_eq!(block_on(checkpoint::list(&store)).unwrap().unwrap().len(), 10);
    assert_eq!(open(&store, Some(20)).unwrap().manifest().world_size, 2);
}

macro_rules! on_backends {
    ($($name:ident: $backend:expr;)+) => {
        $(mod $name {
            use super::*;
            #[test]
            fn c1_c3_flat() { worlds(&$backend, "flat"); }
            #[test]
            fn c1_c3_round_robin() { worlds(&$backend, "round_robin"); }
            #[test]
            fn c1_c3_binary() { worlds(&$backend, "binary"); }
            #[test]
            fn c2_everything_that_is_said_comes_back() { says_everything(&$backend); }
            #[test]
            fn c3_shards_of_all_kinds() { kinds(&$backend); }
        })+
    };
}

on_backends! {
    memory: Backend::memory();
    file: Backend::file();
    direct: Backend::direct();
    seaweed: Backend::seaweed();
    azurite: Backend::azurite();
}

fn says_everything(backend: &Backend) {
    let store = backend.store();
    let metadata: BTreeMap<String, String> =
        [("", "empty"), ("lr", "1e-3"), ("json", "{\"a\": 1.0}\n"), ("ü\u{1F600}\"\\", "\u{0} exactly ")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
    let all = Params { epoch: Some(u64::MAX), metadata: metadata.clone(), ..params(999_999_999_999, 0, 1) };
    let id = save(&store, store.options(), all).unwrap();
    let checkpoint =
        block_on(s3dlio::checkpoint::Checkpoint::open_id(&store, store.options(), &id)).unwrap().unwrap();
    let manifest = checkpoint.manifest();
    assert_eq!(manifest.metadata, metadata);
    assert_eq!(
        (manifest.epoch, manifest.step, manifest.framework.as_str()),
        (Some(u64::MAX), 999_999_999_999, "rust")
    );
    assert_eq!((manifest.created.len(), &manifest.created[19..]), (20, "Z"));
    let latest = block_on(checkpoint::read_latest(&store)).unwrap().unwrap().unwrap();
    assert_eq!((latest.id, latest.step), (id, manifest.step));
}

/// Streams, snapshots, several shards per rank, an empty one and one of a byte.
fn kinds(backend: &Backend) {
    let store = backend.store();
    for (step, compression) in [(1, "none"), (2, "zstd")] {
        let options = options(&store, &[("writer.compression", compression)]);
        let mut writer =
            block_on(CheckpointWriter::open(&store, &options, params(step, 0, 1))).unwrap().unwrap();
        let specs = vec![
            TensorSpec::new("a", Dtype::F32, [1000, 7]),
            TensorSpec::new("empty", Dtype::F32, [0]),
            TensorSpec::new("b", Dtype::U8, [3]),
        ];
        let all: Vec<u8> = specs.iter().flat_map(elements).collect();
        let mut shard = block_on(writer.open_shard("stream", Some(specs.clone()))).unwrap().unwrap();
        let (first, rest) = all.split_at(12_345);
        block_on(async {
            shard.write(first).await?;
            let mut rest = rest;
            while !rest.is_empty() {
                let room = shard.reserve(1).await?;
                let n = room.len().min(rest.len()).min(5000);
                room[..n].copy_from_slice(&rest[..n]);
                shard.commit(n).await?;
                rest = &rest[n..];
            }
            shard.finish().await
        })
        .unwrap()
        .unwrap();
        let copied = TensorSpec::new("copied", Dtype::I16, [50, 50]);
        let mut memory = elements(&copied);
        writer.snapshot_tensors("later", vec![(copied.clone(), &memory)]).unwrap();
        memory.fill(0); // the snapshot is taken
        let noise: Vec<u8> =
            (0..6_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (name, bytes) in [("none", &noise[..0]), ("one", &noise[..1]), ("many", &noise[..])] {
            block_on(writer.put_bytes(name, bytes.to_vec().into())).unwrap().unwrap();
        }
        block_on(writer.put_tensors("no_tensors", Vec::new())).unwrap().unwrap();
        block_on(writer.commit()).unwrap().unwrap();

        let checkpoint = open(&store, Some(step)).unwrap();
        block_on(checkpoint.validate(true)).unwrap().unwrap();
        for spec in specs.iter().chain([&copied]) {
            assert!(
                load(&checkpoint, vec![Request::whole(&spec.name)]).unwrap()[0] == elements(spec),
                "{}",
                spec.name
            );
        }
        for (name, bytes) in [("none", &noise[..0]), ("one", &noise[..1]), ("many", &noise[..])] {
            assert!(block_on(checkpoint.read_shard(0, name)).unwrap().unwrap()[..] == *bytes, "{name}");
            let shard = checkpoint.shard(0, name).unwrap();
            assert_eq!((shard.kind, shard.crc32c), (Kind::Bytes, Crc32c::of(bytes).value()));
        }
        assert_eq!(checkpoint.manifest().shards.len(), 6);
    }
}

/// 10,000 tiny tensors of two ranks, and 10,000 requests in one load.
#[test]
fn c4_ten_thousand_tiny_tensors() {
    for backend in [Backend::file(), Backend::seaweed()] {
        let store = backend.store();
        let spec = |i: u32| TensorSpec::new(format!("t{i}"), Dtype::F32, [u64::from(i % 5), 2]);
        on_all_ranks(2, |rank| {
            let mut writer = block_on(CheckpointWriter::open(&store, store.options(), params(1, rank, 2)))??;
            put(&mut writer, "data", (0..10_000).filter(|i| i % 2 == rank).map(spec).collect())?;
            block_on(writer.commit())?
        })
        .into_iter()
        .collect::<Result<Vec<()>>>()
        .unwrap();
        let checkpoint = open(&store, None).unwrap();
        let requests = (0..10_000).rev().map(|i| Request::whole(format!("t{i}"))).collect();
        for (i, bytes) in (0..10_000).rev().zip(load(&checkpoint, requests).unwrap()) {
            assert_eq!(bytes, elements(&spec(i)), "t{i} on {}", backend.name);
        }
    }
}

/// Two GiB in shards of two ranks, checked box by box so that the test itself stays small.
#[test]
fn c3_two_gib_of_tensors() {
    let backend = Backend::file();
    let store = backend.store();
    let rows = 1_u64 << 18;
    let spec = |rank: u32| {
        TensorSpec::new("w", Dtype::F32, [rows / 2, 2048])
            .slice_of([rows, 2048], [u64::from(rank) * rows / 2, 0])
    };
    on_all_ranks(2, |rank| {
        let mut writer = block_on(CheckpointWriter::open(&store, store.options(), params(1, rank, 2)))??;
        let mut shard = block_on(writer.open_shard("data", Some(vec![spec(rank)])))??;
        let mut row = vec![0; 8192 * 64];
        for at in 0..rows / 2 / 64 {
            row.fill((at + u64::from(rank) * 7) as u8);
            block_on(shard.write(&row))??;
        }
        block_on(shard.finish())??;
        block_on(writer.commit())?
    })
    .into_iter()
    .collect::<Result<Vec<()>>>()
    .unwrap();
    let checkpoint = open(&store, None).unwrap();
    assert!(checkpoint.manifest().bytes() > 2 << 30);
    for at in [0, 77, rows / 128 - 1, rows / 128, rows / 64 - 1] {
        let request = Request::slice("w", [at * 64, 5], [64, 2000]);
        let rank = at / (rows / 128);
        let expected = ((at % (rows / 128)) + rank * 7) as u8;
        assert!(
            load(&checkpoint, vec![request]).unwrap()[0].iter().all(|byte| *byte == expected),
            "row {at}"
        );
    }
    block_on(checkpoint.validate(true)).unwrap().unwrap();
}

/// The id that the host tells to all ranks: nothing is asked of the storage for it.
#[test]
fn c1_an_id_from_the_host() {
    let backend = Backend::memory();
    let store: Store = backend.store();
    let first = Params { run_id: None, ..params(5, 0, 3) };
    let mut rank0 = block_on(CheckpointWriter::open(&store, store.options(), first)).unwrap().unwrap();
    let id = rank0.id().to_owned();
    for rank in 1..3 {
        let with = Params { run_id: None, id: Some(id.clone()), ..params(5, rank, 3) };
        let mut writer = block_on(CheckpointWriter::open(&store, store.options(), with)).unwrap().unwrap();
        put(&mut writer, "data", model(rank, 3)).unwrap();
        block_on(writer.finish()).unwrap().unwrap();
    }
    assert_eq!(
        open(&store, None).unwrap_err().code(),
        Code::NotFound,
        "nothing is visible before the commit"
    );
    put(&mut rank0, "data", model(0, 3)).unwrap();
    block_on(rank0.commit()).unwrap().unwrap();
    check_model(&open(&store, None).unwrap());
}
