//! What `transfer` promises, over memory, local files and a scripted remote store (SPEC W1-W4, I1,
//! I2, G1). The same over real servers: `writer_matrix.rs`.

mod fake;
mod gets;
mod lists;
mod readers;
mod writer_failures;
mod writers;

use s3dlio::Result;
use s3dlio::base::buffer::{BufferPool, Window, lend_mut};
use s3dlio::base::checksum::Crc32c;
use s3dlio::runtime::block_on;
use s3dlio::store::{PutOptions, Store};
use s3dlio::transfer::Reader;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Runs a test's future on the library's runtime.
pub fn run<F: Future>(future: F) -> F::Output {
    block_on(future).unwrap()
}

/// Bytes that no codec can shorten and no shift leaves equal; the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(len);
    data
}

pub fn crc(data: &[u8]) -> u32 {
    Crc32c::of(data).value()
}

/// A window of its own memory, and what gives the bytes back.
pub fn window(len: usize) -> (Window, impl FnOnce(usize) -> Vec<u8>) {
    let (window, owner) = BufferPool::global().take(len).unwrap().into_window();
    let (window, _rest) = window.split_at(len);
    (window, move |bytes| owner.reclaim(bytes).expect("the call kept its window").to_vec())
}

/// One sequential read of up to `len` bytes.
pub fn read_some(reader: &Reader, len: usize) -> Result<Vec<u8>> {
    let mut memory = vec![0; len];
    let n = lend_mut(&mut memory, |window| run(reader.read(window)))?;
    memory.truncate(n);
    Ok(memory)
}

/// Everything from the position on, in reads of `step` bytes.
pub fn read_all(reader: &Reader, step: usize) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some = read_some(reader, step)?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&some);
    }
}

/// Stores an object past every script of the fake's writer side.
pub fn store(store: &Store, key: &str, data: &[u8]) {
    run(store.put(key, bytes::Bytes::copy_from_slice(data).into(), &PutOptions::default())).unwrap();
}

/// Runs `call` with the gets that `which` names held back until `flying` requests are in flight.
pub fn held_until<T: Send>(
    log: &fake::Log,
    flying: usize,
    which: fn(&fake::Request) -> bool,
    call: impl FnOnce() -> T + Send,
) -> T {
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    log.script(move |r| if which(r) { fake::Answer::Wait(wait.clone()) } else { fake::Answer::Serve });
    std::thread::scope(|scope| {
        let calling = scope.spawn(call);
        eventually("enough requests are in flight", || log.most_flying() >= flying);
        gate.add_permits(1 << 20);
        calling.join().unwrap()
    })
}

/// Waits for something that happens in the background.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
