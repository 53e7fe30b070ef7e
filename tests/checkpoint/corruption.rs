//! Damage is seen, whatever byte it hits, and the error names the object (SPEC C3).
//!
//! `golden/` was written by the first version of the format; every later one must read it.

use crate::world::*;
use s3dlio::checkpoint::{self, CheckpointWriter, Params, Request};
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{Store, store_for_uri};
use s3dlio::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/checkpoint/golden");

fn store_at(folder: &Path) -> Store {
    store_for_uri(&format!("file://{}", folder.display()), &Options::new()).unwrap()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

/// Opens, compares everything, loads everything.
fn use_all(store: &Store) -> Result<()> {
    let checkpoint = open(store, None)?;
    block_on(checkpoint.validate(true))??;
    let requests = wholes().iter().map(|spec| Request::whole(&spec.name)).collect();
    load(&checkpoint, requests).map(drop)
}

/// Writes the golden checkpoint: only when the format changes, on purpose.
#[test]
#[ignore = "writes into the repository; run by hand when the format gets a new version"]
fn write_golden() {
    let store = store_at(Path::new(GOLDEN));
    for rank in [1, 0] {
        let metadata = BTreeMap::from([("lr".to_owned(), "0.1".to_owned())]);
        let id = Some("000000001200-00000000c0ffee00".to_owned());
        let params = Params { id, epoch: Some(3), metadata, ..params(1200, rank, 2) };
        let mut writer = block_on(CheckpointWriter::open(&store, store.options(), params)).unwrap().unwrap();
        put(&mut writer, "data", small(rank, 2)).unwrap();
        block_on(writer.put_bytes("notes", format!("notes of rank {rank}").into_bytes().into()))
            .unwrap()
            .unwrap();
        block_on(writer.finish()).unwrap().unwrap();
        if rank == 0 {
            block_on(writer.commit()).unwrap().unwrap();
        }
    }
}

fn small(rank: u32, world_size: u32) -> Vec<s3dlio::checkpoint::TensorSpec> {
    use s3dlio::checkpoint::{Dtype, TensorSpec};
    let (row, rows) = share(5, rank, world_size);
    let mut specs = vec![
        TensorSpec::new("rows", Dtype::F32, [rows, 3]).slice_of([5, 3], [row, 0]),
        TensorSpec::new("common", Dtype::U8, [11]).replicated(),
    ];
    if rank == 0 {
        specs.push(TensorSpec::new("scalar", Dtype::I64, []));
    }
    specs
}

fn use_golden(store: &Store) -> Result<()> {
    let checkpoint = open(store, None)?;
    let specs = small(0, 1);
    let requests = specs.iter().map(|spec| Request::whole(&spec.name)).collect();
    for (spec, bytes) in specs.iter().zip(load(&checkpoint, requests)?) {
        assert_eq!(bytes, elements(spec), "wrong bytes instead of an error: {}", spec.name);
    }
    for rank in 0..2 {
        let notes = block_on(checkpoint.read_shard(rank, "notes"))??;
        assert_eq!(notes[..], *format!("notes of rank {rank}").as_bytes(), "wrong bytes instead of an error");
    }
    block_on(checkpoint.validate(true))?
}

#[test]
fn c3_the_golden_checkpoint_is_read() {
    let store = store_at(Path::new(GOLDEN));
    use_golden(&store).unwrap();
    let checkpoint = open(&store, Some(1200)).unwrap();
    let manifest = checkpoint.manifest();
    assert_eq!((manifest.epoch, manifest.framework.as_str(), manifest.world_size), (Some(3), "rust", 2));
    assert_eq!(manifest.metadata.get("lr").map(String::as_str), Some("0.1"));
}

fn mentions(error: &Error, file: &Path) -> bool {
    error.to_string().contains(file.file_name().unwrap().to_str().unwrap())
}

#[test]
fn c3_every_flipped_bit_of_the_golden_checkpoint_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(GOLDEN), folder.path());
    let store = store_at(folder.path());
    let mut bits = 0;
    for file in files(folder.path()) {
        let right = fs::read(&file).unwrap();
        for bit in 0..right.len() * 8 {
            let mut broken = right.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &broken).unwrap();
            let error = use_golden(&store).expect_err(&format!("bit {bit} of {}", file.display()));
            let known = [Code::ChecksumMismatch, Code::Corrupt, Code::Truncated].contains(&error.code());
            assert!(known && mentions(&error, &file), "bit {bit} of {}: {error}", file.display());
            bits += 1;
        }
        fs::write(&file, &right).unwrap();
    }
    use_golden(&store).unwrap();
    assert!(bits > 20_000, "{bits} bits");
}

#[test]
fn c3_files_that_are_cut_longer_or_gone_are_detected() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(GOLDEN), folder.path());
    let store = store_at(folder.path());
    for file in files(folder.path()) {
        let right = fs::read(&file).unwrap();
        for len in [0, 1, right.len() / 2, right.len() - 1] {
            fs::write(&file, &right[..len]).unwrap();
            let error = use_golden(&store).expect_err(&format!("{} cut to {len}", file.display()));
            assert!(mentions(&error, &file), "{} cut to {len}: {error}", file.display());
        }
        fs::write(&file, [&right[..], b"\n"].concat()).unwrap();
        let error = use_golden(&store).expect_err(&format!("{} made longer", file.display()));
        assert!(mentions(&error, &file), "{} made longer: {error}", file.display());
        fs::remove_file(&file).unwrap();
        if !file.ends_with("latest.json") {
            let error = use_golden(&store).expect_err(&format!("{} removed", file.display()));
            let manifest = file.to_string_lossy().contains("manifests");
            assert!(error.code() == Code::NotFound && (manifest || mentions(&error, &file)), "{error}");
        }
        fs::write(&file, &right).unwrap();
    }
}

/// A bigger one, plain and compressed, on a server's store as well: one flipped byte of each shard.
#[test]
fn c3_a_flipped_byte_in_any_shard_is_detected_on_load() {
    for compression in ["none", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_at(folder.path());
        let options = options(&store, &[("writer.compression", compression)]);
        save_all(&store, &options, 1, 4).unwrap();
        use_all(&store).unwrap();
        let shards = files(&folder.path().join("shards"));
        for file in shards.iter().filter(|file| file.to_string_lossy().contains("safetensors")) {
            let right = fs::read(file).unwrap();
            for at in [right.len() / 3, right.len() * 2 / 3, right.len() - 1] {
                let mut broken = right.clone();
                broken[at] ^= 0x10;
                fs::write(file, &broken).unwrap();
                let checkpoint = open(&store, None).unwrap();
                let error = block_on(checkpoint.validate(true)).unwrap().unwrap_err();
                assert!(mentions(&error, file), "{error}");
                if let Ok(()) =
                    load(&checkpoint, wholes().iter().map(|s| Request::whole(&s.name)).collect()).map(drop)
                {
                    let header = at < right.len() / 2 && compression == "none";
                    assert!(header, "byte {at} of {} is wrong and was loaded", file.display());
                }
            }
            fs::write(file, &right).unwrap();
        }
    }
}

#[test]
fn c3_a_later_version_and_a_foreign_object_say_so() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(GOLDEN), folder.path());
    let store = store_at(folder.path());
    let manifests = folder.path().join("manifests");
    fs::write(manifests.join("notes.txt"), "not ours").unwrap();
    fs::write(manifests.join("step-1.json"), "not ours").unwrap();
    use_golden(&store).unwrap(); // other names are passed over
    assert_eq!(block_on(checkpoint::list(&store)).unwrap().unwrap(), [1200]);

    let file = manifests.join("step-000000001300.json");
    fs::write(&file, "not ours").unwrap();
    let error = open(&store, None).unwrap_err();
    assert!(error.code() == Code::Corrupt && mentions(&error, &file), "{error}");
    assert!(open(&store, Some(1200)).is_ok(), "the others can be opened");

    let text = fs::read_to_string(manifests.join("step-000000001200.json")).unwrap();
    let body = text.rsplit_once(",\"crc32c\"").unwrap().0.replacen("\"version\":1", "\"version\":2", 1);
    let crc = s3dlio::base::checksum::Crc32c::of(body.as_bytes()).value();
    fs::write(&file, format!("{body},\"crc32c\":\"{crc:08x}\"}}\n")).unwrap();
    let error = open(&store, None).unwrap_err();
    assert!(error.code() == Code::Unsupported && error.to_string().contains("version 2"), "{error}");

    fs::copy(manifests.join("step-000000001200.json"), &file).unwrap();
    let error = open(&store, None).unwrap_err();
    assert!(
        error.code() == Code::Corrupt && error.to_string().contains("1200"),
        "a renamed manifest: {error}"
    );
}
