//! The completion queue's promises: one event per submit, after the last use of lent memory, and a
//! descriptor that is readable exactly while there are events.

use s3dlio::base::buffer::{Keep, lent_bytes};
use s3dlio::queue::{Next, Op, Queue, Work};
use s3dlio::{Code, Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn work(blocking: bool) -> Work {
    Work { operation: "test", uri: "test://uri".into(), blocking, total: Some(5) }
}

fn submit<F>(queue: &Queue<u32>, token: u64, blocking: bool, make: impl FnOnce(Keep) -> F) -> Op
where
    F: Future<Output = Result<u32>> + Send + 'static,
{
    let mut made = None;
    let keep = |keep, op: &Op| {
        made = Some(op.clone());
        Ok(make(keep))
    };
    queue.submit(token, work(blocking), keep).unwrap();
    made.unwrap()
}

fn next(queue: &Queue<u32>) -> (u64, Result<u32>) {
    match queue.next(LONG).unwrap() {
        Next::Event(event) => (event.token, event.outcome),
        other => panic!("{other:?} instead of an event"),
    }
}

fn code(outcome: Result<u32>) -> Code {
    outcome.unwrap_err().code()
}

fn readable(queue: &Queue<u32>) -> bool {
    let mut waited = libc::pollfd { fd: queue.fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one initialised pollfd.
    unsafe { libc::poll(&raw mut waited, 1, 0) == 1 }
}

#[test]
fn every_way_to_end_gives_one_event() {
    let queue = Queue::new().unwrap();
    for blocking in [false, true] {
        submit(&queue, 1, blocking, |_| async { Ok(7) });
        assert!(matches!(next(&queue), (1, Ok(7))));
        submit(&queue, 2, blocking, |_| async { Err(Error::new(Code::Io, "broken")) });
        let (_, outcome) = next(&queue);
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.code(), error.uri(), error.operation()),
            (Code::Io, Some("test://uri"), Some("test"))
        );
        submit(&queue, 3, blocking, |_| async { panic!("on purpose") });
        let (_, outcome) = next(&queue);
        let error = outcome.unwrap_err();
        assert!(error.code() == Code::Internal && error.to_string().contains("on purpose"), "{error}");
        let op = submit(&queue, 4, blocking, |_| std::future::pending());
        op.cancel();
        assert_eq!(code(next(&queue).1), Code::Cancelled);
        assert!(matches!(queue.next(Some(Duration::ZERO)).unwrap(), Next::Timeout) && !readable(&queue));
    }
}

#[test]
fn a_submit_that_fails_gives_no_event_and_the_queue_can_end() {
    let queue: Queue<u32> = Queue::new().unwrap();
    let refuse =
        |_, _: &Op| Err::<std::future::Ready<Result<u32>>, _>(Error::new(Code::InvalidArgument, "no"));
    assert_eq!(queue.submit(1, work(false), refuse).unwrap_err().code(), Code::InvalidArgument);
    queue.close(false);
    assert!(matches!(queue.next(LONG).unwrap(), Next::End));
    let refused = queue.submit(2, work(false), |_, _| Ok(std::future::ready(Ok(1))));
    assert_eq!(refused.unwrap_err().code(), Code::InvalidState);
}

#[test]
fn the_event_waits_for_the_last_use_of_lent_memory() {
    let (queue, memory) = (Queue::new().unwrap(), vec![7u8; 100]);
    let (start, length) = (memory.as_ptr().expose_provenance(), memory.len());
    let (go, gate) = mpsc::channel::<()>();
    let let_go = Arc::new(AtomicUsize::new(0));
    let mark = let_go.clone();
    submit(&queue, 1, false, move |keep| {
        // SAFETY: `memory` lives until the end of the test, which takes the event before.
        let bytes = unsafe { lent_bytes(std::ptr::with_exposed_provenance(start), length, keep) };
        async move {
            std::thread::spawn(move || {
                gate.recv().unwrap();
                assert!(bytes.iter().all(|b| *b == 7));
                mark.store(1, Ordering::SeqCst);
                drop(bytes);
            });
            Ok(1)
        }
    });
    assert!(matches!(queue.next(Some(Duration::from_millis(50))).unwrap(), Next::Timeout));
    go.send(()).unwrap();
    assert!(matches!(next(&queue), (1, Ok(1))));
    assert_eq!(let_go.load(Ordering::SeqCst), 1, "the event came before the memory was let go");
}

#[test]
fn the_descriptor_is_readable_exactly_while_there_are_events() {
    let queue = Queue::new().unwrap();
    for round in 0..200 {
        assert!(!readable(&queue));
        let n = 1 + round % 5;
        (0..n).for_each(|token| drop(submit(&queue, token, false, |_| async { Ok(0) })));
        let mut waited = libc::pollfd { fd: queue.fd(), events: libc::POLLIN, revents: 0 };
        let mut seen = 0;
        while seen < n {
            // SAFETY: one initialised pollfd.
            assert_eq!(unsafe { libc::poll(&raw mut waited, 1, 60_000) }, 1, "a wake-up was lost");
            let events = queue.drain(2);
            assert!(!events.is_empty(), "readable without an event");
            seen += events.len() as u64;
        }
    }
    assert!(!readable(&queue));
}

#[test]
fn events_of_many_threads_are_neither_lost_nor_doubled() {
    let (queue, seen) = (Arc::new(Queue::new().unwrap()), Arc::new(AtomicUsize::new(0)));
    let sum = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, seen) = (queue.clone(), seen.clone());
                scope.spawn(move || {
                    let mut sum = 0;
                    while let Next::Event(event) = queue.next(LONG).unwrap() {
                        sum += event.token;
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    sum
                })
            })
            .collect();
        let submitters: Vec<_> = (0..3u64)
            .map(|at| {
                let queue = queue.clone();
                scope.spawn(move || {
                    (0..1000)
                        .for_each(|i| drop(submit(&queue, at * 1000 + i, i % 2 == 0, |_| async { Ok(0) })));
                })
            })
            .collect();
        submitters.into_iter().for_each(|thread| thread.join().unwrap());
        queue.close(false);
        takers.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    assert_eq!((seen.load(Ordering::Relaxed), sum), (3000, 2999 * 3000 / 2));
}

#[test]
fn blocking_work_is_bounded_and_leaves_the_workers_free() {
    let queue = Queue::new().unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    for token in 0..200 {
        let (running, most, gate) = (running.clone(), most.clone(), gate.clone());
        submit(&queue, token, true, move |_| async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.lock().unwrap().recv().unwrap();
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(0)
        });
    }
    let (tell, told) = oneshot::channel();
    submit(&queue, 1000, false, |_| async move { Ok(told.await.unwrap()) });
    tell.send(5).unwrap();
    assert!(matches!(next(&queue), (1000, Ok(5))), "network work waits for blocking work");
    (0..200).for_each(|_| open.send(()).unwrap());
    (0..200).for_each(|_| drop(next(&queue)));
    let most = most.load(Ordering::SeqCst);
    assert!((1..=32).contains(&most), "{most} ran at once");
}
