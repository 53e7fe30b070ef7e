//! SPEC W2: 4 GiB through the writer and back through the sequential reader, in less than 256 MiB
//! of this process's memory, and 64 writers at once within the budget (I1). The measured process is a
//! child of its own, so that the peak is its own.

mod support;

use s3dlio::base::budget::Budget;
use s3dlio::base::buffer::lend_mut;
use s3dlio::base::checksum::Crc32c;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{PutOptions, Store, store_for_uri};
use s3dlio::transfer::{Reader, Writer, delete_prefix};
use std::process::Command;
use std::time::Instant;
use support::Backend;

const MIB: usize = 1 << 20;
const TOTAL: usize = 4096 * MIB;
const CHUNK: usize = MIB;
const LIMIT: u64 = 256 << 20;
const WRITERS: usize = 64;
const EACH: usize = 24 * MIB;
/// The default of `memory.budget` and of `memory.pool_idle`, and the rest of the process.
const WRITERS_LIMIT: u64 = (512 + 128 + 64) << 20;
/// The child's way in: set to the root URI.
const ROOT: &str = "S3DLIO_TEST_MEMORY_ROOT";

/// The most memory that this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells VmHWM");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn run<F: std::future::Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// The child's store.
fn child_store() -> Store {
    let root = std::env::var(ROOT).expect("the tests below run this one");
    let mut options = match root.split("://").next() {
        Some("s3") => support::s3_options(&std::env::var("S3DLIO_TEST_SEAWEED").unwrap()),
        _ => Options::new(),
    };
    if root.starts_with("az://") {
        options.set("azure.endpoint", &std::env::var("S3DLIO_TEST_AZURITE").unwrap()).unwrap();
        options.set("azure.account_key", support::AZURITE_KEY).unwrap();
    }
    store_for_uri(&root, &options).unwrap()
}

/// What the child of 64 writers does: one thread feeds all of them in turn.
#[test]
#[ignore = "the measured process; the tests below run it"]
fn writers_child() {
    let store = child_store();
    let chunk = vec![7; CHUNK];
    let open =
        |n| run(Writer::open(&store, &format!("many/{n}"), store.options(), &PutOptions::default())).unwrap();
    let mut writers: Vec<Writer> = (0..WRITERS).map(open).collect();
    for _ in 0..EACH / CHUNK {
        for writer in &mut writers {
            run(writer.write(&chunk)).unwrap();
        }
    }
    for mut writer in writers {
        assert_eq!(run(writer.finish()).unwrap().bytes, EACH as u64);
    }
    assert_eq!(Budget::global().used(), 0, "all of the budget is given back");
    println!("PEAK {} writing", peak());
}

/// What the child does.
#[test]
#[ignore = "the measured process; the tests below run it"]
fn child() {
    let store = child_store();
    let mut chunk: Vec<u8> = (0..CHUNK).map(|n| (n * 7 + n / 251) as u8).collect();
    let stamp = |chunk: &mut [u8], number: usize| chunk[..8].copy_from_slice(&(number as u64).to_le_bytes());

    let started = Instant::now();
    let mut writer = run(Writer::open(&store, "big", store.options(), &PutOptions::default())).unwrap();
    for number in 0..TOTAL / CHUNK {
        stamp(&mut chunk, number);
        run(writer.write(&chunk)).unwrap();
    }
    let stats = run(writer.finish()).unwrap();
    assert_eq!(stats.bytes, TOTAL as u64);
    let (write_peak, write_time) = (peak(), started.elapsed());

    let started = Instant::now();
    let reader = run(Reader::open(&store, "big", store.options())).unwrap();
    reader.expect_crc32c(stats.crc32c).unwrap();
    let mut read = vec![0; CHUNK];
    let mut crc = Crc32c::new();
    for number in 0..TOTAL / CHUNK {
        let n = lend_mut(&mut read, |window| run(reader.read(window))).unwrap();
        stamp(&mut chunk, number);
        assert!(n == CHUNK && read == chunk, "chunk {number}");
        crc.update(&read);
    }
    assert_eq!(lend_mut(&mut read, |window| run(reader.read(window))).unwrap(), 0);
    assert_eq!(crc.value(), stats.crc32c);
    println!(
        "PEAK {} writing {:.1} s, PEAK {} reading {:.1} s",
        write_peak,
        write_time.as_secs_f64(),
        peak(),
        started.elapsed().as_secs_f64()
    );
}

fn measure(backend: Backend, child: &str, what: &str, limit: u64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", child, "--nocapture", "--test-threads=1"])
        .env(ROOT, &backend.root_uri);
    match backend.name {
        "seaweed" => command.env("S3DLIO_TEST_SEAWEED", backend.options.get("s3.endpoint").unwrap()),
        _ => command.env("S3DLIO_TEST_AZURITE", backend.options.get("azure.endpoint").unwrap_or_default()),
    };
    let output = command.output().unwrap();
    // The server's disk is not ours to fill, whatever happened.
    let store = backend.store();
    let cleaned = run(store.delete("big")).and(run(delete_prefix(&store, "many")));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", backend.name);
    let line =
        text.lines().find(|line| line.contains("PEAK")).unwrap_or_else(|| panic!("no figure in {text}"));
    let peaks = line.split("PEAK ").skip(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
    let most: u64 = peaks.max().unwrap();
    println!("{}: {what}; {line}; most {:.1} MiB", backend.name, most as f64 / MIB as f64);
    assert!(most < limit, "{}: {most} bytes resident, at most {limit} are allowed", backend.name);
    cleaned.unwrap();
}

#[test]
fn w2_4_gib_to_and_from_s3() {
    measure(Backend::seaweed(), "child", "4 GiB streamed", LIMIT);
}

#[test]
fn w2_4_gib_to_and_from_azure() {
    measure(Backend::azurite(), "child", "4 GiB streamed", LIMIT);
}

#[test]
fn i1_64_writers_stay_within_the_budget() {
    measure(Backend::seaweed(), "writers_child", "64 writers at once", WRITERS_LIMIT);
}
