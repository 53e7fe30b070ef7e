//! Power cuts on the file backend (SPEC S5, C2). A child process works under strace; from its record come all states
//! that a disk may be in after a power cut at any moment, and in each of them what was said to be stored is there, whole.
//! That the search finds what it looks for is shown by records without their flushes.

#[path = "power_cut/checkpoints.rs"]
mod checkpoints;
#[path = "power_cut/cuts.rs"]
mod cuts;
#[path = "power_cut/disk.rs"]
mod disk;
#[path = "power_cut/objects.rs"]
mod objects;
#[path = "power_cut/trace.rs"]
mod trace;
#[path = "checkpoint_crash/work.rs"]
mod work;

use disk::{Disk, Event};
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{Store, store_for_uri};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the child does, a space, and the folder that it works in.
const CHILD: &str = "S3DLIO_POWER_CUT_CHILD";

/// What a process does below a folder, and what must hold of the folder whenever the power is cut.
struct Scenario {
    name: &'static str,
    act: fn(&Path),
    /// Of a folder, and what the process had said until then.
    check: fn(&Path, &[&str]) -> Result<(), String>,
}

const SCENARIOS: &[Scenario] = &[objects::SCENARIO, checkpoints::SCENARIO];

/// The process that is watched. Without the variable it is no test at all.
#[test]
fn child_that_is_watched() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (name, root) = task.split_once(' ').unwrap();
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
    (scenario.act)(Path::new(root));
}

/// Tells the record, in one call.
fn say(line: String) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn wait<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// The store in `root`, which need not be there. States are looked at without flushes, which take long.
fn open(root: &Path, sync: bool) -> Store {
    let options = Options::new().with("file.sync", sync).unwrap();
    let options = options.with("local.io_uring", "off").unwrap();
    store_for_uri(&format!("file://{}", root.join("base").display()), &options).unwrap()
}

/// Runs a child of this test binary below `root` and adds what it did.
fn watch(disk: &mut Disk, scenario: &str, root: &Path) {
    let out = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-xx", "-s", "100000000", "-e", &format!("trace={}", trace::CALLS), "-o"])
        .arg(out.path());
    strace.arg(std::env::current_exe().unwrap()).args(["--exact", "child_that_is_watched", "--nocapture"]);
    strace.env(CHILD, format!("{scenario} {}", root.display())).stdout(Stdio::null());
    let done = strace.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
    let done = done.expect("strace runs: tests/support/tools.sh installs it");
    assert!(done.status.success(), "the child failed: {}", String::from_utf8_lossy(&done.stderr));
    let record = std::fs::read_to_string(out.path()).unwrap();
    disk.record(root.to_str().unwrap(), &trace::calls(&record));
}

fn recorded(scenario: &Scenario) -> Disk {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut disk = Disk::new();
    watch(&mut disk, scenario.name, folder.path());
    disk
}

/// Looks at every state that is not known to be right; gives how many there were, and the first that is wrong.
fn search(
    disk: &Disk,
    scenario: &Scenario,
    right: &mut HashSet<u64>,
    counted: &dyn Fn(usize, bool) -> bool,
) -> (usize, Option<String>) {
    let memory = Path::new("/dev/shm");
    let outer =
        tempfile::tempdir_in(if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) });
    let outer = outer.unwrap();
    let (mut states, mut wrong) = (0, None);
    cuts::visit(disk, counted, 7, right, &mut |tree, cut, said| {
        let root = outer.path().join(states.to_string());
        std::fs::create_dir(&root).unwrap();
        tree.write(&root);
        states += 1;
        if let Err(why) = (scenario.check)(&root, said) {
            let before = disk.events[..cut].iter().rev().take(4).collect::<Vec<_>>();
            let before = format!("{before:?}").chars().take(2000).collect::<String>();
            wrong = Some(format!(
                "{why}\nsaid: {said:?}\ncut at event {cut}, after {before}\n{}",
                tree.describe()
            ));
        }
        std::fs::remove_dir_all(&root).unwrap();
        wrong.is_none()
    });
    (states, wrong)
}

/// No state is wrong; and where flushes are missing, the search says so.
fn holds(scenario: &Scenario) {
    let disk = recorded(scenario);
    let mut right = HashSet::new();
    let (states, wrong) = search(&disk, scenario, &mut right, &|_, _| true);
    assert!(wrong.is_none(), "{}", wrong.unwrap());
    let seen = |counted: &dyn Fn(usize, bool) -> bool| {
        search(&disk, scenario, &mut right.clone(), counted).1.is_some()
    };
    assert!(seen(&|_, is_folder| is_folder), "it would not see that files are not flushed");
    assert!(seen(&|_, is_folder| !is_folder), "it would not see that folders are not flushed");
    let flushes: Vec<usize> =
        (0..disk.events.len()).filter(|at| matches!(disk.events[*at], Event::Flush { .. })).collect();
    let needed = flushes.iter().filter(|one| seen(&|at, _| at != **one)).count();
    println!(
        "{}: {states} states right; {needed} of {} flushes are seen to be needed",
        scenario.name,
        flushes.len()
    );
    assert!(needed * 3 > flushes.len(), "only {needed} of {} flushes are seen to be needed", flushes.len());
}

#[test]
fn s5_a_power_cut_loses_no_object_and_tears_none() {
    holds(&objects::SCENARIO);
}

#[test]
fn c2_a_power_cut_loses_no_checkpoint_and_tears_none() {
    holds(&checkpoints::SCENARIO);
}
