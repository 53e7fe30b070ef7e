//! The writer matrix (SPEC W1-W4, I1): every size, in chunks of every size, plain and compressed,
//! on every backend; the stored objects are looked at by clients that are not ours. And on every
//! backend: what is not finished leaves nothing.

mod support;

use s3dlio::base::buffer::lend_mut;
use s3dlio::base::checksum::Crc32c;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{PutCondition, PutOptions, Store};
use s3dlio::transfer::{Reader, Writer, get};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::Backend;

const MIB: usize = 1 << 20;
const PART: usize = 5 * MIB;

/// Incompressible bytes.
fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..100 * MIB / 8).flat_map(next).collect()
    })
}

struct Case {
    size: usize,
    chunk: usize,
    /// 0 is plain.
    level: u32,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7] {
        for chunk in [4095, MIB, 20 * MIB] {
            for level in [0, 1, 3] {
                cases.push(Case { size, chunk, level });
            }
        }
    }
    // One call per byte, and the slow level, where they tell most.
    for (size, level) in [(0, 0), (1, 0), (PART + 1, 0), (0, 1), (1, 1), (PART + 1, 1)] {
        cases.push(Case { size, chunk: 1, level });
    }
    for (size, chunk) in [(0, 4095), (1, 4095), (PART - 1, MIB), (3 * PART + 7, 20 * MIB)] {
        cases.push(Case { size, chunk, level: 19 });
    }
    for (chunk, level) in [(20 * MIB, 0), (MIB, 1), (4095, 3)] {
        cases.push(Case { size: 100 * MIB, chunk, level });
    }
    cases
}

fn options(level: u32) -> Options {
    let mut options = Options::new();
    options.set("transfer.part_size", "5MiB").unwrap();
    if level > 0 {
        options.set("writer.compression", "zstd").unwrap();
        options.set_u64("writer.compression_level", level.into()).unwrap();
    }
    options
}

fn run<F: std::future::Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// Writes one object and reads it back; returns what another client must find. The stored bytes
/// are copied to a file in `copies`, for a backend that no other client can look into.
fn write_one(store: &Store, case: &Case, copies: Option<&Path>) -> Value {
    let data = &noise()[..case.size];
    let what = format!("{} bytes by {} at level {} on {}", case.size, case.chunk, case.level, store.root());
    let resolved = options(case.level).resolve().unwrap();
    let key = format!("{}-{}-{}", case.size, case.chunk, case.level);
    let (stats, key) = run(async {
        let mut writer = Writer::open(store, &key, &resolved, &PutOptions::default()).await.unwrap();
        for chunk in data.chunks(case.chunk) {
            writer.write(chunk).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        let stats = writer.finish().await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(stats, writer.stats(), "{what}");
        (stats, writer.key().to_owned())
    });
    assert_eq!((stats.bytes, stats.crc32c), (case.size as u64, Crc32c::of(data).value()), "{what}");
    assert_eq!(key.ends_with(".zst"), case.level > 0, "{what}");

    let stored = run(get(store, &key)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let expected = (stored.len() as u64, Crc32c::of(&stored).value());
    assert_eq!((stats.stored_bytes, stats.stored_crc32c), expected, "{what}");
    let reader = run(Reader::open(store, &key, &resolved)).unwrap();
    reader.expect_crc32c(stats.crc32c).unwrap();
    let mut memory = vec![0; MIB];
    let mut at = 0;
    loop {
        let n = lend_mut(&mut memory, |window| run(reader.read(window)))
            .unwrap_or_else(|e| panic!("{what} at {at}: {e}"));
        if n == 0 {
            break;
        }
        assert!(memory[..n] == data[at..at + n], "{what} at {at}");
        at += n;
    }
    assert_eq!(at, case.size, "{what}");
    if let Some(folder) = copies {
        std::fs::write(folder.join(&key), &stored).unwrap();
    }
    described(&key, &stored, data)
}

fn described(key: &str, stored: &[u8], plain: &[u8]) -> Value {
    let hex = |data: &[u8]| Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect::<String>();
    json!({
        "key": key,
        "stored_bytes": stored.len(), "stored_sha256": hex(stored),
        "plain_bytes": plain.len(), "plain_sha256": hex(plain),
    })
}

/// What another client finds wrong with the objects of this backend; empty if nothing.
fn look(backend: &Backend, objects: &[Value]) -> String {
    let store = backend.store();
    let root = store.root();
    let option = |key: &str| backend.options.get(key).unwrap();
    let prefix = format!("{}/", root.path());
    let job = match backend.name {
        "seaweed" | "s3b" => json!({"kind": "s3", "endpoint": option("s3.endpoint"),
            "container": root.container(), "prefix": prefix, "objects": objects}),
        "azurite" => json!({"kind": "azure", "endpoint": option("azure.endpoint"),
            "container": root.container(), "prefix": prefix, "objects": objects}),
        _ => json!({"kind": "files", "prefix": prefix, "objects": objects}),
    };
    look_at(&job)
}

fn look_at(job: &Value) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/check_objects.py");
    let mut command = Command::new(support::python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python with boto3 and azure-storage-blob runs (tests/run installs it)");
    command.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = command.wait_with_output().unwrap();
    match output.status.success() {
        true => String::new(),
        false => {
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        }
    }
}

fn matrix(backend: Backend) {
    let store = backend.store();
    let started = Instant::now();
    let copies = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let inside = (backend.name == "memory").then(|| copies.path());
    let objects: Vec<Value> = cases().iter().map(|case| write_one(&store, case, inside)).collect();
    println!("{}: {} objects written and read in {:.1?}", backend.name, objects.len(), started.elapsed());
    let wrong = match inside {
        Some(folder) => {
            look_at(&json!({"kind": "files", "prefix": format!("{}/", folder.display()), "objects": objects}))
        }
        None => look(&backend, &objects),
    };
    assert!(wrong.is_empty(), "{}: {wrong}", backend.name);
}

#[test]
fn w1_matrix_memory() {
    matrix(Backend::memory());
}

#[test]
fn w1_matrix_file() {
    matrix(Backend::file());
}

#[test]
fn w1_matrix_direct() {
    matrix(Backend::direct());
}

#[test]
fn w1_matrix_seaweed() {
    matrix(Backend::seaweed());
}

#[test]
fn w1_matrix_s3b() {
    matrix(Backend::s3b());
}

#[test]
fn w1_matrix_azurite() {
    matrix(Backend::azurite());
}

/// Brings a writer to a point where it is not finished.
type Bring = fn(&mut Writer);

const STATES: &[(&str, Bring)] = &[
    ("open", |_| {}),
    ("a-little", |w| run(w.write(b"abc")).unwrap()),
    ("reserved", |w| assert!(!run(w.reserve(100)).unwrap().is_empty())),
    ("committed", |w| {
        run(w.reserve(100)).unwrap();
        run(w.commit(100)).unwrap();
    }),
    ("full-part", |w| run(w.write(&noise()[..PART])).unwrap()),
    ("parts-under-way", |w| run(w.write(&noise()[..3 * PART + 7])).unwrap()),
    ("failed", |w| {
        run(w.write(&noise()[..2 * PART])).unwrap();
        run(w.reserve(usize::MAX - 10)).map(|_| ()).unwrap_err();
        run(w.finish()).unwrap_err();
    }),
];

/// Free and abort at every state leave what was there before, and nothing else.
fn unfinished(backend: Backend) {
    let store = backend.store();
    let before = &noise()[..1000];
    let mut objects = Vec::new();
    for (number, (state, bring)) in STATES.iter().enumerate() {
        for level in [0, 1] {
            for abort in [true, false] {
                let key = format!("{state}-{level}-{abort}");
                let resolved = options(level).resolve().unwrap();
                let mut writer = run(Writer::open(&store, &key, &resolved, &PutOptions::default())).unwrap();
                if number % 2 == 0 {
                    let old = bytes::Bytes::copy_from_slice(before);
                    // Not .zst on the outside: the checker would decompress it.
                    if level == 0 {
                        run(store.put(writer.key(), old, &PutOptions::default())).unwrap();
                        objects.push(described(writer.key(), before, before));
                    }
                }
                bring(&mut writer);
                if abort {
                    run(writer.abort()).unwrap();
                }
            }
        }
    }
    if store.capabilities().conditional_put {
        // Lost races leave nothing, either.
        let only = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
        for size in [10, 2 * PART] {
            let key = format!("taken-{size}");
            let old = bytes::Bytes::copy_from_slice(before);
            run(store.put(&key, old, &PutOptions::default())).unwrap();
            objects.push(described(&key, before, before));
            let resolved = options(0).resolve().unwrap();
            let mut writer = run(Writer::open(&store, &key, &resolved, &only)).unwrap();
            run(writer.write(&noise()[..size])).unwrap();
            assert_eq!(run(writer.finish()).unwrap_err().code(), s3dlio::Code::AlreadyExists, "{size}");
        }
    }
    // Freed writers clean up in the background.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let wrong = look(&backend, &objects);
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{}: {wrong}", backend.name);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn w3_unfinished_file() {
    unfinished(Backend::file());
}

#[test]
fn w3_unfinished_direct() {
    unfinished(Backend::direct());
}

#[test]
fn w3_unfinished_seaweed() {
    unfinished(Backend::seaweed());
}

#[test]
fn w3_unfinished_s3b() {
    unfinished(Backend::s3b());
}

#[test]
fn w3_unfinished_azurite() {
    unfinished(Backend::azurite());
}
