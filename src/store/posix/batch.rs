//! Many whole files in one call: on a few threads, and on each of them many files at once through
//! an io_uring. Per batch of files the ring is entered twice: to open them (and to close those of
//! the batch before), and to read them.

use super::ring::{Lease, Op, Ring, Target};
use super::sys::{self, Kind, OpenHow};
use super::tree::{self, check_key};
use super::{Io, PosixStore};
use crate::base::buffer::{Buffer, BufferPool};
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::runtime;
use crate::store::{Admit, GotBatch};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Fewer files per thread do not pay for starting it.
const PER_THREAD: usize = 256;
const MAX_THREADS: usize = 8;
/// Files that are opened at once: few enough for the usual limit of descriptors.
const MAX_BATCH: usize = 32;
/// Fewer files are read one after the other.
const WORTH_A_RING: usize = 4;

/// One result per key, in order; `None` of one that was not admitted.
pub(super) fn get<I: Io>(store: &PosixStore<I>, keys: &[&str], at_once: usize, admit: Admit<'_>) -> GotBatch {
    let refused: Vec<AtomicBool> = keys.iter().map(|_| AtomicBool::new(false)).collect();
    let admit = |number: usize, size: u64| {
        let admitted = admit(number, size);
        if let Some(flag) = refused.get(number).filter(|_| !admitted) {
            flag.store(true, Ordering::Relaxed);
        }
        admitted
    };
    let context = |key: &str, error: Error| error.with_context("get", store.tree.uri_of(key));
    let mut results: Vec<Option<Result<Buffer>>> = (0..keys.len()).map(|_| None).collect();
    let (mut size, mut times) = (keys.len(), Vec::new());
    if keys.len() < WORTH_A_RING {
        let started = Instant::now();
        for (number, (key, result)) in keys.iter().zip(&mut results).enumerate() {
            *result = whole(store, key, |size| admit(number, size)).transpose();
        }
        times.push((started, started.elapsed()));
    } else {
        let prepared = store.tree.root().and_then(|root| Ok((root, store.io.rings().take()?)));
        let (root, lease) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let results = keys.iter().map(|key| Some(Err(context(key, error.clone())))).collect();
                return GotBatch { results, size, times: vec![(Instant::now(), Duration::ZERO)] };
            }
        };
        size = store.io.rings().depth().min(MAX_BATCH);
        times = vec![(Instant::now(), Duration::ZERO); keys.len().div_ceil(size)];
        let batches = keys.chunks(size).zip(results.chunks_mut(size)).zip(&mut times).enumerate();
        let batches = Mutex::new(batches);
        let work = |lease: Option<Lease>| {
            let mut reading = Reading::new(store, root.as_fd(), lease, &admit);
            loop {
                let batch = lock(&batches).next();
                match batch {
                    Some((number, ((keys, results), times))) => {
                        let started = Instant::now();
                        reading.batch(number * size, keys, results);
                        *times = (started, started.elapsed());
                    }
                    None => return,
                }
            }
        };
        let threads = (keys.len() / PER_THREAD).min(processors()).min(at_once);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let helper = || work(store.io.rings().take().unwrap_or_default());
                // Where the system gives no more threads, this one does it all.
                let _ = runtime::with_signals_blocked(|| {
                    std::thread::Builder::new().name("s3dlio-files".into()).spawn_scoped(scope, helper)
                });
            }
            work(lease);
        });
    }
    let missing = || Err(Error::new(Code::Internal, "a file of a batch was not read"));
    let results = results.into_iter().zip(keys).zip(&refused).map(|((result, key), refused)| {
        if result.is_none() && refused.load(Ordering::Relaxed) {
            return None;
        }
        Some(result.unwrap_or_else(missing).map_err(|error| context(key, error)))
    });
    GotBatch { results: results.collect(), size, times }
}

/// One file, by the calls that know every odd case; `None` where its size was not admitted.
fn whole<I: Io>(store: &PosixStore<I>, key: &str, admit: impl Fn(u64) -> bool) -> Result<Option<Buffer>> {
    let (file, stat) = store.tree.open_object(key)?;
    if !admit(stat.size) {
        return Ok(None);
    }
    let size = usize::try_from(stat.size).unwrap_or(usize::MAX);
    let mut buffer = BufferPool::global().take(size)?;
    buffer.set_len(size);
    store.read_exactly(&file, &stat, 0, &mut buffer)?;
    Ok(Some(buffer))
}

/// One thread's part of the work.
struct Reading<'s, I> {
    store: &'s PosixStore<I>,
    root: BorrowedFd<'s>,
    lease: Option<Lease>,
    how: OpenHow,
    admit: Admit<'s>,
    /// Files of the batch before, which are still to be closed.
    read: Vec<OwnedFd>,
}

impl<'s, I: Io> Reading<'s, I> {
    fn new(store: &'s PosixStore<I>, root: BorrowedFd<'s>, lease: Option<Lease>, admit: Admit<'s>) -> Self {
        let how = OpenHow::new(tree::READ_FLAGS | store.io.open_flags());
        Reading { store, root, lease, how, admit, read: Vec::new() }
    }

    /// Reads a batch through the ring, and then by other means what that left out. Its first key has the number
    /// `first`.
    fn batch(&mut self, first: usize, keys: &[&str], results: &mut [Option<Result<Buffer>>]) {
        let mut lease = self.lease.take();
        let mut refused = vec![false; keys.len()];
        if let Some(ring) = lease.as_mut().and_then(Lease::usable) {
            self.by_ring(ring, first, keys, results, &mut refused);
        }
        self.lease = lease;
        if results.iter().any(Option::is_none) {
            self.read.clear(); // their descriptors may be wanted
        }
        for (number, (key, result)) in keys.iter().zip(results).enumerate() {
            if result.is_none() && !refused[number] {
                *result = whole(self.store, key, |size| (self.admit)(first + number, size)).transpose();
            }
        }
    }

    fn by_ring(
        &mut self,
        ring: &mut Ring,
        first: usize,
        keys: &[&str],
        results: &mut [Option<Result<Buffer>>],
        refused: &mut [bool],
    ) {
        let mut names = Vec::with_capacity(keys.len() * 32);
        let ends: Vec<usize> = keys
            .iter()
            .map(|key| {
                names.extend_from_slice(key.as_bytes());
                names.push(0);
                names.len()
            })
            .collect();
        let files = self.open(ring, keys, &names, &ends);
        let sizes: Vec<Option<usize>> = files.iter().map(|file| self.size_of(file.as_ref()?)).collect();
        let block = self.store.io.alignment();
        ring.fly(|flight| {
            for (number, (file, size)) in files.iter().zip(&sizes).enumerate() {
                let (Some(file), Some(size)) = (file, *size) else { continue };
                if !(self.admit)(first + number, size as u64) {
                    refused[number] = true;
                    continue;
                }
                let Ok(mut buffer) = BufferPool::global().take(size.next_multiple_of(block)) else {
                    continue;
                };
                buffer.set_len(size.next_multiple_of(block));
                if size == 0 {
                    results[number] = Some(Ok(buffer));
                    continue;
                }
                let op = Op::Read { file: file.as_fd(), offset: 0, memory: Target::Own(buffer) };
                drop(flight.push(number, op)); // what has no room is read by other means
            }
            while let Some(done) = flight.next(true) {
                let Op::Read { memory: Target::Own(mut buffer), .. } = done.op else { continue };
                if done.result.ok() == sizes[done.tag] {
                    buffer.set_len(sizes[done.tag].unwrap_or(0));
                    results[done.tag] = Some(Ok(buffer));
                }
            }
        });
        self.read.extend(files.into_iter().flatten());
    }

    /// Opens the files of a batch; `None` where that failed.
    fn open(&mut self, ring: &mut Ring, keys: &[&str], names: &[u8], ends: &[usize]) -> Vec<Option<OwnedFd>> {
        let mut files: Vec<Option<OwnedFd>> = keys.iter().map(|_| None).collect();
        let (folder, how) = (self.root, self.how);
        ring.fly(|flight| {
            for file in self.read.drain(..) {
                drop(flight.push(usize::MAX, Op::Close { file })); // what has no room is closed here
            }
            let mut start = 0;
            for (number, (key, end)) in keys.iter().zip(ends).enumerate() {
                let name = CStr::from_bytes_with_nul(&names[start..*end]);
                start = *end;
                if let (Ok(name), Ok(())) = (name, check_key(key)) {
                    drop(flight.push(number, Op::Open { folder, name, how: &how }));
                }
            }
            while let Some(done) = flight.next(true) {
                if let Some(file) = files.get_mut(done.tag) {
                    *file = done.opened;
                }
            }
        });
        files
    }

    /// Of a file that one request reads.
    fn size_of(&self, file: &OwnedFd) -> Option<usize> {
        let stat = sys::stat(file.as_fd()).ok().filter(|stat| stat.kind == Kind::File)?;
        let most = self.store.io.rings().request_size(self.store.io.alignment());
        usize::try_from(stat.size).ok().filter(|size| *size <= most)
    }
}

/// How many threads may be busy at once.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS))
}
