//! SIGKILL of a random rank at a random moment, many times: what was committed last is what is loaded next.

use crate::retries::check_latest;
use crate::support::{self, Backend};
use crate::work::{self, params, torn, wait};
use faultd::{Config, Faultd, Rng, Service};
use s3dlio::Code;
use s3dlio::checkpoint::{self, Checkpoint};
use s3dlio::options::Options;
use s3dlio::store::{Store, store_for_uri};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What the child is: endpoint (or -), URI, run, rank, first step, and `checkpoint.timeout_ms`, with spaces between.
const RANK: &str = "S3DLIO_CRASH_RANK";
const WORLD: u32 = 3;
/// Of each backend.
const KILLS: u64 = 110;
/// For anything that a rank does; a busy machine is slow.
const LONGEST: Duration = Duration::from_secs(60);

fn open(endpoint: &str, uri: &str, timeout_ms: u64) -> Store {
    let mut options = if endpoint == "-" { Options::new() } else { support::s3_options(endpoint) };
    options.set_u64("checkpoint.timeout_ms", timeout_ms).unwrap();
    store_for_uri(uri, &options).unwrap()
}

/// A rank that saves step after step until it is killed or fails. Without the variable it is no test at all.
#[test]
fn child_that_saves_until_it_is_killed() {
    let Ok(task) = std::env::var(RANK) else { return };
    let words: Vec<&str> = task.split(' ').collect();
    let (rank, first): (u32, u64) = (words[3].parse().unwrap(), words[4].parse().unwrap());
    let store = open(words[0], words[1], words[5].parse().unwrap());
    let say = |line: String| std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    for step in first.. {
        let saved = wait(async {
            let begun = work::begin(&store, params(words[2], step, rank, WORLD));
            say(format!("begin {step}"));
            begun.await?.commit().await
        });
        match saved {
            Ok(()) => say(format!("commit {step}")),
            Err(error) => return say(format!("failed {step} {}", error.code().name())),
        }
    }
}

/// The ranks of a launch; what they say comes with their number.
struct Launch {
    ranks: Vec<Child>,
    said: Receiver<(u32, String)>,
}

impl Launch {
    fn new(endpoint: &str, uri: &str, run: &str, first: u64, timeout_ms: u64) -> Launch {
        let (to, said) = channel();
        let ranks = (0..WORLD).map(|rank| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "kills::child_that_saves_until_it_is_killed", "--nocapture"]);
            command.env(RANK, format!("{endpoint} {uri} {run} {rank} {first} {timeout_ms}"));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            listen(rank, child.stderr.take().unwrap(), to.clone());
            child
        });
        let ranks = ranks.collect();
        drop(to); // so that the last one that listens ends what is said
        Launch { ranks, said }
    }

    fn kill(&mut self, rank: usize) {
        self.ranks[rank].kill().unwrap();
        self.ranks[rank].wait().unwrap();
    }
}

fn listen(rank: u32, from: impl std::io::Read + Send + 'static, to: Sender<(u32, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send((rank, line)); // nobody may listen any more
        }
    });
}

/// What was heard of a launch.
#[derive(Default)]
struct Heard {
    /// The greatest step that a rank began, and that a rank said to be committed.
    begun: u64,
    committed: u64,
    failures: Vec<String>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let step = rest.split(' ').next().unwrap_or("").parse().unwrap_or(0);
        match what {
            "begin" => self.begun = self.begun.max(step),
            "commit" => self.committed = self.committed.max(step),
            "failed" => self.failures.push(rest.to_owned()),
            _ => {} // the test runner's own
        }
    }
}

#[derive(Default, Debug)]
struct Totals {
    saves: u64,
    committed: u64,
    torn_keys: usize,
    collected: usize,
    told: usize,
}

fn kills(endpoint: &str, uri: &str, seed: u64) {
    let mut rng = Rng::new(seed);
    let store = open(endpoint, uri, 10_000);
    let (mut last, mut kept, mut totals) = (0, Vec::new(), Totals::default());
    for kill in 0..KILLS {
        // Sometimes the survivors are left alone: they must find out by themselves.
        let alone = rng.below(10) == 0;
        let timeout_ms = if alone { 700 } else { 60_000 };
        let mut launch = Launch::new(endpoint, uri, &format!("run-{kill}"), last + 1, timeout_ms);
        let (mut heard, wanted) = (Heard::default(), last + rng.below(3));
        while heard.begun == 0 || heard.committed.max(last) < wanted {
            let (_, line) = launch.said.recv_timeout(LONGEST).expect("the ranks save");
            heard.hear(&line);
            // On a busy machine ranks may give up before anyone is killed, if they have little patience.
            if alone && heard.failures.iter().any(|failure| failure.ends_with("timeout")) {
                break;
            }
            assert!(heard.failures.is_empty(), "kill {kill}: {:?}", heard.failures);
        }
        std::thread::sleep(Duration::from_micros(rng.below(12_000))); // the random moment
        let victim = rng.below(u64::from(WORLD)) as usize;
        launch.kill(victim);
        for rank in (0..WORLD as usize).filter(|rank| *rank != victim) {
            if alone {
                launch.ranks[rank].wait().unwrap();
            } else {
                launch.kill(rank);
            }
        }
        while let Ok((_, line)) = launch.said.recv_timeout(LONGEST) {
            heard.hear(&line); // until the last of them has closed
        }
        let steps = judge(&store, &heard, last, &kept, kill);
        let now = steps.last().copied().unwrap_or(0);
        if alone {
            assert!(heard.failures.len() >= WORLD as usize - 1, "the survivors say that it failed");
            let codes = ["timeout", "cancelled", "unknown_outcome"];
            let known = |failure: &String| codes.iter().any(|code| failure.ends_with(code));
            assert!(heard.failures.iter().all(known), "kill {kill}: {:?}", heard.failures);
            totals.told += heard.failures.len();
        }
        totals.saves += heard.begun - last;
        totals.committed += now - last;
        (last, kept) = (now, steps);
        if kill % 10 == 9 || kill + 1 == KILLS {
            totals.torn_keys += torn(&store, &kept).len();
            totals.collected += wait(checkpoint::collect(&store, Duration::ZERO)).unwrap();
            assert_eq!(torn(&store, &kept), [""; 0], "torn saves stay");
            for step in &kept {
                let opened = wait(Checkpoint::open(&store, store.options(), Some(*step))).unwrap();
                work::verify(&store, &opened).unwrap();
            }
            wait(checkpoint::prune(&store, 3, 0)).unwrap();
            kept = wait(checkpoint::list(&store)).unwrap();
        }
    }
    println!("{uri}: {KILLS} kills in {totals:?}");
    assert!(totals.saves >= KILLS && totals.committed > 0 && totals.torn_keys > 0, "{totals:?}");
}

/// Looks at the storage when all are dead; gives the committed steps.
fn judge(store: &Store, heard: &Heard, last: u64, kept: &[u64], kill: u64) -> Vec<u64> {
    let steps = wait(checkpoint::list(store)).unwrap();
    let newest = match wait(Checkpoint::open(store, store.options(), None)) {
        Ok(latest) => {
            work::verify(store, &latest).unwrap_or_else(|why| panic!("kill {kill}: {why}"));
            latest.manifest().step
        }
        Err(error) => {
            assert_eq!(error.code(), Code::NotFound, "kill {kill}: {error}");
            0
        }
    };
    let said = heard.committed.max(last);
    assert!(newest >= said, "kill {kill}: {said} was committed, {newest} is there");
    // One more may have been committed by a rank that could not say so.
    assert!(newest <= said + 1 && newest <= heard.begun, "kill {kill}: {newest} is there, {said} was said");
    let expected: Vec<u64> = kept.iter().copied().chain(last + 1..=newest).collect();
    assert_eq!(steps, expected, "kill {kill}");
    check_latest(store, newest);
    steps
}

#[test]
fn c2_kills_leave_the_last_committed_checkpoint_on_files() {
    let backend = Backend::file();
    kills("-", &backend.root_uri, 1);
}

#[test]
fn c2_kills_leave_the_last_committed_checkpoint_on_seaweed() {
    let backend = Backend::seaweed();
    kills(&support::server("seaweed", "S3DLIO_TEST_SEAWEED"), &backend.root_uri, 2);
}

#[test]
fn c2_kills_leave_the_last_committed_checkpoint_on_faultd() {
    let faultd = Faultd::start(Config::default()).unwrap();
    faultd.objects(Service::S3, |objects| objects.container("box").objects.clear());
    kills(&faultd.s3_endpoint(), "s3://box/root", 3);
}
