//! SIGKILL at random points of writes: the final name has a complete object, old or new, always.

use super::sys::{KILL, Refusal, refuse};
use super::*;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::tempdir;

/// Where the child writes: scheme, a space, the root; for a single write that dies also a space and
/// the number of the system call that kills it.
const TARGET: &str = "LOCAL_STORE_KILL_TARGET";
const KILLS: u32 = 100; // of each scheme

/// Content that is known from its first 8 bytes.
fn content(generation: u64) -> Vec<u8> {
    let length = 1000 + (generation * 7919 % 300_000) as usize;
    let mut data = generation.to_le_bytes().to_vec();
    data.resize_with(length, || 0);
    for (at, byte) in data.iter_mut().enumerate().skip(8) {
        *byte = (generation as usize).wrapping_mul(31).wrapping_add(at * 7 + at / 251) as u8;
    }
    data
}

fn generation_of(data: &[u8]) -> u64 {
    let first = data.get(..8).expect("the object is torn: it has no beginning");
    u64::from_le_bytes(first.try_into().unwrap())
}

/// The process that is killed: overwrites objects for ever. Without a target it is no test at all.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let words: Vec<&str> = target.split(' ').collect();
    let (scheme, root) = (words[0], words[1]);
    if let Some(call) = words.get(2) {
        let store = open(scheme, Path::new(root));
        if words[3] == "next" {
            put(&store, "folder/other", b"next").unwrap();
            return;
        }
        let refusal = Refusal { call: call.parse().unwrap(), errno: KILL, bit: None };
        refuse(&[refusal]).unwrap();
        let _ = match words[3] {
            "put" => put(&store, "folder/k", &content(2)),
            _ => upload(&store, "folder/k", &[&content(2)[..777], &content(2)[777..]]),
        };
        return;
    }
    for generation in std::process::id() as u64.. {
        // Windows with and without flushes: the latter are shorter, so more of them are hit.
        let options = Options::new().with("file.sync", generation % 4 == 0).unwrap();
        let store = open_with(scheme, Path::new(root), options);
        let data = content(generation);
        put(&store, "folder/put", &data).unwrap();
        let parts: Vec<&[u8]> = data.chunks(70_001).collect();
        upload(&store, "folder/upload", &parts).unwrap();
        let fresh = format!("folder/fresh{}/k", generation % 3);
        put(&store, &fresh, &data).unwrap();
        wait(store.delete(&fresh)).unwrap();
        use std::io::Write;
        std::io::stderr().write_all(b".").unwrap(); // a round is complete
    }
}

/// This test binary as the child above.
fn child(target: String) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "local::kill::child_that_writes_until_it_is_killed", "--nocapture"]);
    command.env(TARGET, target).stdout(Stdio::null());
    command
}

#[test]
fn s5_a_kill_at_every_step_of_a_replacement_leaves_the_old_object() {
    let steps = [
        ("pwrite64", libc::SYS_pwrite64),
        ("utimensat", libc::SYS_utimensat),
        ("fsetxattr", libc::SYS_fsetxattr),
        ("fsync", libc::SYS_fsync),
        ("flock", libc::SYS_flock),
        ("linkat", libc::SYS_linkat),
        ("renameat", libc::SYS_renameat),
    ];
    let mut left_behind = 0;
    for scheme in SCHEMES {
        for way in ["put", "upload"] {
            for (name, call) in steps {
                let dir = tempdir().unwrap();
                let store = open(scheme, dir.path());
                put(&store, "folder/k", &content(1)).unwrap();
                let target = format!("{scheme} {} {call} {way}", dir.path().display());
                let died = child(target).stderr(Stdio::null()).status().unwrap();
                // A system without unnamed files never links, so it lives through that step.
                let old = if died.signal().is_some() { content(1) } else { content(2) };
                assert!(died.signal().is_some() || name == "linkat", "no {name} in {scheme} {way}: {died}");
                assert!(get(&store, "folder/k").unwrap() == old, "{scheme} {way} {name}");
                assert_eq!(list(&store, "", false).unwrap(), ["folder/k"]);
                left_behind += names_below(dir.path()).len() - 2;
                write_from_another_process(scheme, dir.path());
                assert_eq!(names_below(dir.path()), ["folder", "folder/k", "folder/other"], "{way} {name}");
            }
        }
    }
    assert!(
        left_behind >= 4,
        "a kill before the rename leaves a temporary file; only {left_behind} were seen"
    );
}

/// The next writer: this process has looked into the folder before.
fn write_from_another_process(scheme: &str, root: &Path) {
    let target = format!("{scheme} {} -1 next", root.display());
    assert!(child(target).stderr(Stdio::null()).status().unwrap().success());
}

#[test]
fn s5_two_hundred_kills_leave_complete_objects_and_no_temporary_files() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for scheme in SCHEMES {
        let dir = tempdir().unwrap();
        let (mut seen, mut hidden) = (std::collections::BTreeSet::new(), 0);
        for kill in 0..KILLS {
            let target = format!("{scheme} {}", dir.path().display());
            let mut child = child(target).stderr(Stdio::piped()).spawn().unwrap();
            let mut round = [0];
            child.stderr.as_mut().unwrap().read_exact(&mut round).unwrap();
            assert_eq!(&round, b".", "the child failed");
            std::thread::sleep(Duration::from_micros(random(8000))); // the random point
            child.kill().unwrap();
            child.wait().unwrap();
            for name in ["put", "upload"] {
                let data = std::fs::read(dir.path().join("folder").join(name)).unwrap();
                let generation = generation_of(&data);
                assert!(data == content(generation), "kill {kill}: {name} is torn");
                seen.insert(generation);
            }
            let store = open(scheme, dir.path());
            for key in list(&store, "", false).unwrap() {
                let data = get(&store, &key).unwrap();
                assert!(data == content(generation_of(&data)), "kill {kill}: {key} is torn");
                let crc = wait(store.stat(&key)).unwrap().crc32c;
                assert_eq!(crc, Some(Crc32c::of(&data).value()), "kill {kill}: {key}");
            }
            hidden += names_below(dir.path()).iter().filter(|name| name.contains(".s3dlio-tmp-")).count();
        }
        println!("{scheme}: {} generations seen, {hidden} times a temporary file was there", seen.len());
        assert!(seen.len() > KILLS as usize, "the kills came too early to mean anything");
        let store = open(scheme, dir.path());
        for key in
            ["folder/put", "folder/upload", "folder/fresh0/k", "folder/fresh1/k", "folder/fresh2/k", "k"]
        {
            put(&store, key, b"last").unwrap();
            assert_eq!(get(&store, key).unwrap(), b"last");
        }
        let left = names_below(dir.path());
        assert!(!left.iter().any(|name| name.contains(".s3dlio-tmp-")), "left behind: {left:?}");
    }
}
