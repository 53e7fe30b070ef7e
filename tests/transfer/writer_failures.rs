//! The writer where something goes wrong: nothing is published, nothing stays.

use crate::fake::{Answer, Log, PART, Request, blocking, remote};
use crate::{eventually, noise, run};
use s3dlio::Code;
use s3dlio::options::Options;
use s3dlio::store::{PutOptions, Store};
use s3dlio::transfer::{Writer, put};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn open(store: &Store) -> Writer {
    run(Writer::open(store, "k", store.options(), &PutOptions::default())).unwrap()
}

fn aborts(log: &Log) -> usize {
    log.count(|r| matches!(r, Request::Abort { .. }))
}

fn assert_nothing_is_left(store: &Store, log: &Log) {
    assert_eq!(log.open_uploads(), 0, "{:?}", log.requests());
    assert_eq!(log.count(|r| matches!(r, Request::Complete { .. })), 0);
    // The container is made by the first write that succeeds.
    assert!(matches!(run(store.stat("k")).unwrap_err().code(), Code::NotFound | Code::ContainerNotFound));
}

#[test]
fn w2_the_first_error_is_latched_and_finish_aborts() {
    for kth in 0..4 {
        for (store, log) in [remote(&[]), blocking(&[])] {
            log.script(move |r| match r {
                Request::Part { number, .. } if *number == kth => Answer::Fail(Code::Unavailable),
                _ => Answer::Serve,
            });
            let mut writer = open(&store);
            run(async {
                let mut failed = false;
                for chunk in noise(3 * PART + 7, 1).chunks(1 << 20) {
                    match writer.write(chunk).await {
                        Ok(()) => assert!(!failed, "the error was not latched"),
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable);
                            failed = true;
                        }
                    }
                }
                for _ in 0..2 {
                    let error = writer.finish().await.unwrap_err();
                    assert_eq!(error.code(), Code::Unavailable, "part {kth}: {error}");
                }
                assert_eq!(writer.write(b"x").await.unwrap_err().code(), Code::Unavailable);
                assert!(!writer.stats().finished);
            });
            assert_eq!(aborts(&log), 1, "part {kth}");
            assert_nothing_is_left(&store, &log);
        }
    }
}

#[test]
fn w2_a_failed_create_or_complete_or_put_fails_the_writer() {
    type Which = fn(&Request) -> bool;
    let steps: [(usize, Which); 3] = [
        (2 * PART, |r| *r == Request::Create),
        (2 * PART, |r| matches!(r, Request::Complete { .. })),
        (10, |r| matches!(r, Request::Put { .. })),
    ];
    for (size, which) in steps {
        let (store, log) = remote(&[]);
        log.script(move |r| if which(r) { Answer::Fail(Code::PermissionDenied) } else { Answer::Serve });
        let mut writer = open(&store);
        let first = run(writer.write(&noise(size, 2))).err();
        let last = run(writer.finish()).unwrap_err();
        for error in first.iter().chain([&last]) {
            assert_eq!(error.code(), Code::PermissionDenied, "{error}");
        }
        log.script(|_| Answer::Serve);
        assert!(run(store.stat("k")).is_err());
    }
}

#[test]
fn w2_a_panic_in_a_part_is_an_error_and_publishes_nothing() {
    let (store, log) = remote(&[]);
    log.script(|r| match r {
        Request::Part { number: 1, .. } => Answer::Panic,
        _ => Answer::Serve,
    });
    let mut writer = open(&store);
    let written = run(writer.write(&noise(3 * PART, 3)));
    let error = run(writer.finish()).unwrap_err();
    assert_eq!(error.code(), Code::Internal, "{error}");
    assert!(written.is_ok() || written.unwrap_err().code() == Code::Internal);
    assert_nothing_is_left(&store, &log);
}

/// Starts a large write that has to wait for its upload, and drops the future there.
fn cancel_a_write(writer: &mut Writer, log: &Log) {
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    log.script(move |r| match r {
        Request::Create => Answer::Wait(wait.clone()),
        _ => Answer::Serve,
    });
    let data = noise(2 * PART, 4);
    run(async {
        let mut writing = Box::pin(writer.write(&data));
        assert!(futures_util::poll!(writing.as_mut()).is_pending());
    });
    eventually("the upload is being created", || log.count(|r| *r == Request::Create) == 1);
    gate.add_permits(1);
}

/// Brings a writer into a state.
type Bring = fn(&mut Writer, &Log);

/// Every state that is not finished.
fn states() -> Vec<(&'static str, Bring)> {
    vec![
        ("open", |_, _| {}),
        ("written a little", |w, _| run(w.write(b"abc")).unwrap()),
        ("reserved", |w, _| assert!(!run(w.reserve(10)).unwrap().is_empty())),
        ("one full part", |w, _| run(w.write(&noise(PART, 4))).unwrap()),
        ("parts under way", |w, _| run(w.write(&noise(3 * PART + 7, 4))).unwrap()),
        ("failed", |w, _| {
            run(w.write(&noise(2 * PART + 7, 4))).unwrap();
            run(w.reserve(usize::MAX - 10)).map(|_| ()).unwrap_err();
        }),
        ("cancelled", cancel_a_write),
    ]
}

#[test]
fn w3_abort_in_every_state_leaves_nothing() {
    for compressed in [false, true] {
        for (name, bring) in states() {
            let (store, log) = remote(&[]);
            let mut options = Options::new().with("transfer.part_size", "5MiB").unwrap();
            if compressed {
                options.set("writer.compression", "zstd").unwrap();
            }
            let options = options.resolve().unwrap();
            let mut writer = run(Writer::open(&store, "k", &options, &PutOptions::default())).unwrap();
            bring(&mut writer, &log);
            run(writer.abort()).unwrap();
            run(writer.abort()).unwrap();
            assert_eq!(run(writer.write(b"x")).unwrap_err().code(), Code::InvalidState, "{name}");
            assert_eq!(run(writer.finish()).unwrap_err().code(), Code::InvalidState, "{name}");
            drop(writer);
            assert_nothing_is_left(&store, &log);
        }
    }
}

#[test]
fn w3_drop_in_every_state_leaves_nothing_and_does_no_io_on_this_thread() {
    for (name, bring) in states() {
        for (store, log) in [remote(&[]), blocking(&[])] {
            if name == "cancelled" && store.capabilities().blocking_io {
                continue; // its calls cannot be cancelled: they never wait
            }
            let mut writer = open(&store);
            bring(&mut writer, &log);
            drop(writer);
            eventually(name, || log.open_uploads() == 0);
            let here = std::thread::current().id();
            assert_eq!(log.count(|r| *r == Request::Abort { thread: here }), 0, "{name}");
            assert_nothing_is_left(&store, &log);
        }
    }
}

#[test]
fn w3_abort_waits_for_the_parts_in_flight() {
    let (store, log) = remote(&[]);
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    log.script(move |r| match r {
        Request::Part { .. } => Answer::Wait(wait.clone()),
        _ => Answer::Serve,
    });
    let mut writer = open(&store);
    run(writer.write(&noise(2 * PART + 1, 5))).unwrap();
    eventually("both parts are in flight", || log.most_flying() == 2);
    let aborting = std::thread::spawn(move || run(writer.abort()));
    std::thread::yield_now();
    assert_eq!(aborts(&log), 0, "a part that arrives after the abort would stay for ever");
    gate.add_permits(2);
    aborting.join().unwrap().unwrap();
    assert_nothing_is_left(&store, &log);
}

#[test]
fn w3_an_upload_that_opens_while_the_writer_is_dropped_is_aborted() {
    let (store, log) = remote(&[]);
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    log.script(move |r| match r {
        Request::Create => Answer::Wait(wait.clone()),
        _ => Answer::Serve,
    });
    let mut writer = open(&store);
    let data = noise(2 * PART, 6);
    run(async {
        let mut writing = Box::pin(writer.write(&data));
        assert!(futures_util::poll!(writing.as_mut()).is_pending());
    });
    eventually("the upload is being created", || log.count(|r| *r == Request::Create) == 1);
    drop(writer);
    gate.add_permits(1);
    eventually("it is aborted", || aborts(&log) == 1);
}

#[test]
fn w3_a_cancelled_call_fails_the_writer() {
    let (store, log) = remote(&[]);
    let mut writer = open(&store);
    cancel_a_write(&mut writer, &log);
    assert_eq!(run(writer.write(b"x")).unwrap_err().code(), Code::Cancelled);
    assert_eq!(run(writer.finish()).unwrap_err().code(), Code::Cancelled);
    assert_nothing_is_left(&store, &log);
}

#[test]
fn w2_a_finish_of_unknown_outcome_says_so_every_time() {
    for len in [10, 2 * PART] {
        let (store, log) = remote(&[]);
        log.script(|r| match r {
            Request::Put { .. } | Request::Complete { .. } => Answer::Fail(Code::UnknownOutcome),
            _ => Answer::Serve,
        });
        let mut writer = open(&store);
        run(writer.write(&noise(len, 11))).unwrap();
        for _ in 0..2 {
            let error = run(writer.finish()).unwrap_err();
            assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, false), "{len}: {error}");
        }
        assert!(!writer.stats().finished);
    }
}

#[test]
fn w2_a_finish_that_was_cancelled_has_an_unknown_outcome() {
    for len in [10, 2 * PART] {
        let (store, log) = remote(&[]);
        let mut writer = open(&store);
        run(writer.write(&noise(len, 12))).unwrap();
        let gate = Arc::new(Semaphore::new(0));
        log.script(move |r| match r {
            Request::Put { .. } | Request::Complete { .. } => Answer::Wait(gate.clone()),
            _ => Answer::Serve,
        });
        run(async {
            let mut finishing = Box::pin(writer.finish());
            while log.count(|r| matches!(r, Request::Put { .. } | Request::Complete { .. })) == 0 {
                assert!(futures_util::poll!(finishing.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..2 {
            let error = run(writer.finish()).unwrap_err();
            assert_eq!(error.code(), Code::UnknownOutcome, "{len}: {error}");
        }
        assert_eq!(aborts(&log), usize::from(len > PART));
    }
}

#[test]
fn w3_a_failed_abort_can_be_repeated_and_drop_tries_again() {
    let (store, log) = remote(&[]);
    let mut left = 2;
    log.script(move |r| match r {
        Request::Abort { .. } if left > 0 => {
            left -= 1;
            Answer::Fail(Code::Unavailable)
        }
        _ => Answer::Serve,
    });
    let mut writer = open(&store);
    run(writer.write(&noise(2 * PART, 8))).unwrap();
    assert_eq!(run(writer.abort()).unwrap_err().code(), Code::Unavailable);
    assert_eq!(run(writer.abort()).unwrap_err().code(), Code::Unavailable);
    drop(writer);
    eventually("drop tried again", || aborts(&log) == 3);
}

#[test]
fn w1_a_failed_put_of_many_parts_leaves_nothing_and_lets_go_of_the_data() {
    let (store, log) = remote(&[]);
    log.script(|r| match r {
        Request::Part { number: 2, .. } => Answer::Fail(Code::Timeout),
        _ => Answer::Serve,
    });
    let data = bytes::Bytes::from(noise(5 * PART, 9));
    let error = run(put(&store, "k", data.clone(), &PutOptions::default())).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(data.is_unique());
    assert_eq!(aborts(&log), 1);
    assert_nothing_is_left(&store, &log);
}

#[test]
fn w1_a_failed_write_of_owned_data_lets_go_of_it_once_the_parts_in_flight_have_ended() {
    let (store, log) = remote(&[("transfer.parts_in_flight", "2")]);
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    let (failed, has_failed) = std::sync::mpsc::channel();
    log.script(move |r| match r {
        Request::Part { number: 0, .. } => Answer::Wait(wait.clone()),
        Request::Part { number: 1, .. } => {
            failed.send(()).unwrap();
            Answer::Fail(Code::Unavailable)
        }
        _ => Answer::Serve,
    });
    let mut writer = open(&store);
    let data = bytes::Bytes::from(noise(5 * PART, 10));
    let given = data.clone();
    let writing = std::thread::spawn(move || (run(writer.write_owned(given)), writer));
    has_failed.recv().unwrap();
    std::thread::yield_now();
    gate.add_permits(1);
    let (outcome, mut writer) = writing.join().unwrap();
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert!(data.is_unique(), "a part still refers to the data");
    assert_eq!(run(writer.finish()).unwrap_err().code(), Code::Unavailable);
    assert_nothing_is_left(&store, &log);
}
