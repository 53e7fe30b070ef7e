//! Memory for data: an aligned pool, and windows that let many tasks fill one destination.
//!
//! First-touch page faults are the largest single cost of big transfers, so buffers are kept and
//! reused ([`BufferPool`]), and results go into the caller's memory where there is some: a
//! [`Window`] is an owned, `Send` claim on a piece of memory that somebody keeps alive, either a
//! pooled [`Buffer`] or the caller's slice for the time of [`lend_mut`].

use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use std::alloc::{Layout, alloc, dealloc};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// The alignment of every pooled buffer in bytes: enough for O_DIRECT on every usual device.
pub const ALIGNMENT: usize = 4096;
/// Buffers of this size and more ask for huge pages.
const HUGE_PAGE: usize = 2 << 20;

/// An owned piece of [`ALIGNMENT`]-aligned memory; it goes back to its pool on drop.
///
/// `len()` bytes are meaningful; `capacity()` bytes, a multiple of the alignment, are there.
pub struct Buffer {
    memory: Option<Block>,
    len: usize,
    pool: Option<Arc<PoolInner>>,
}

impl Buffer {
    /// Memory for `capacity` bytes outside any pool, with `len() == 0`.
    pub fn allocate(capacity: usize) -> Result<Buffer> {
        Ok(Buffer { memory: Block::allocate(capacity)?, len: 0, pool: None })
    }

    /// A copy of `data`.
    pub fn copy_of(data: &[u8]) -> Result<Buffer> {
        let mut buffer = Buffer::allocate(data.len())?;
        buffer.extend_from_slice(data);
        Ok(buffer)
    }

    pub fn len(&self) -> usize {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    pub fn capacity(&self) -> usize {
        self.memory.as_ref().map_or(0, |block| block.layout.size())
    }

    /// Sets how many bytes are meaningful; at most [`Buffer::capacity`]. Memory is zeroed when it is
    /// allocated, so bytes that nobody wrote are old or zero, never undefined.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.capacity());
    }

    /// Appends as much of `data` as fits and says how much that was.
    pub fn extend_from_slice(&mut self, data: &[u8]) -> usize {
        let at = self.len;
        let n = data.len().min(self.capacity() - at);
        self.set_len(at + n);
        self[at..].copy_from_slice(&data[..n]);
        n
    }

    /// The whole capacity, meaningful or not.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            // SAFETY: the block owns `layout.size()` initialised bytes at `start`, borrowed with self.
            Some(block) => unsafe {
                std::slice::from_raw_parts_mut(block.start.as_ptr(), block.layout.size())
            },
            None => &mut [],
        }
    }

    /// The first `len()` bytes as shared, reference-counted bytes without a copy.
    pub fn into_bytes(self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }

    /// A window on the whole capacity; the second value gives the buffer back once every window
    /// is dropped.
    pub fn into_window(mut self) -> (Window, WindowOwner) {
        let (start, len) = {
            let all = self.spare_mut();
            (all.as_mut_ptr(), all.len())
        };
        let lease = Arc::new(Lease { buffer: Mutex::new(Some(self)), done: None, _keep: None });
        (Window { start, len, lease: lease.clone() }, WindowOwner(lease))
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.memory {
            // SAFETY: `len <= layout.size()` and the block's bytes are initialised.
            Some(block) => unsafe { std::slice::from_raw_parts(block.start.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.spare_mut()[..len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(block), Some(pool)) = (self.memory.take(), self.pool.take()) {
            pool.give_back(block);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len, self.capacity())
    }
}

/// Zeroed, aligned memory.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block is the unique owner of its memory.
unsafe impl Send for Block {}
// SAFETY: shared access reads only.
unsafe impl Sync for Block {}

impl Block {
    /// `None` for zero bytes.
    fn allocate(capacity: usize) -> Result<Option<Block>> {
        let too_much =
            || Error::new(Code::OutOfMemory, format!("cannot allocate {capacity} bytes of memory"));
        if capacity == 0 {
            return Ok(None);
        }
        let size = capacity.checked_next_multiple_of(ALIGNMENT).ok_or_else(too_much)?;
        let align = if size >= HUGE_PAGE { HUGE_PAGE } else { ALIGNMENT };
        let layout = Layout::from_size_align(size, align).map_err(|_| too_much())?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or_else(too_much)?;
        if size >= HUGE_PAGE {
            advise_huge(start, size);
        }
        // SAFETY: `start` has `size` bytes. Writing them initialises them and faults them in once.
        unsafe { start.as_ptr().write_bytes(0, size) };
        Ok(Some(Block { start, layout }))
    }
}

/// Asks for huge pages; only a performance hint, so its result does not matter.
fn advise_huge(start: NonNull<u8>, size: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range is one allocation of ours; the advice changes no contents.
    unsafe {
        libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, size);
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `allocate`, freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Keeps buffers for reuse, by capacity, up to a byte limit.
#[derive(Clone)]
pub struct BufferPool(Arc<PoolInner>);

struct PoolInner {
    /// By size.
    idle: Mutex<BTreeMap<usize, Vec<Block>>>,
    idle_bytes: AtomicU64,
    max_idle_bytes: AtomicU64,
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({:?})", self.stats())
    }
}

/// What a pool holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolStats {
    /// Bytes in buffers that nobody uses.
    pub idle_bytes: u64,
    /// How many of those buffers there are.
    pub idle_buffers: u64,
}

impl BufferPool {
    /// A pool that keeps at most `max_idle_bytes` of unused buffers.
    pub fn new(max_idle_bytes: u64) -> Self {
        BufferPool(Arc::new(PoolInner {
            idle: Mutex::default(),
            idle_bytes: AtomicU64::new(0),
            max_idle_bytes: AtomicU64::new(max_idle_bytes),
        }))
    }

    /// The pool of the process: part buffers, read-ahead and results come from here.
    pub fn global() -> &'static BufferPool {
        static POOL: std::sync::OnceLock<BufferPool> = std::sync::OnceLock::new();
        POOL.get_or_init(|| BufferPool::new(128 << 20))
    }

    /// An empty buffer with room for `capacity` bytes: an idle one of at most twice the size, else new.
    pub fn take(&self, capacity: usize) -> Result<Buffer> {
        let wanted = capacity.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        let idle = self.0.take(wanted..=wanted.saturating_mul(2)); // none of zero bytes is ever kept
        let memory = match idle {
            Some(block) => Some(block),
            None => Block::allocate(capacity)?,
        };
        Ok(Buffer { memory, len: 0, pool: Some(self.0.clone()) })
    }

    /// Changes the limit of unused bytes; what is over it goes as buffers come back.
    pub fn set_max_idle(&self, max_idle_bytes: u64) {
        self.0.max_idle_bytes.store(max_idle_bytes, Ordering::Relaxed);
    }

    pub fn stats(&self) -> PoolStats {
        let idle = lock(&self.0.idle);
        let idle_buffers = idle.values().map(|blocks| blocks.len() as u64).sum();
        PoolStats { idle_bytes: self.0.idle_bytes.load(Ordering::Relaxed), idle_buffers }
    }

    /// No thread can take or give back a buffer while the result lives (fork needs this).
    pub fn hold(&'static self) -> impl Sized + 'static {
        lock(&self.0.idle)
    }
}

impl PoolInner {
    /// The smallest idle block of these sizes; of equal ones that which came back last.
    fn take(&self, sizes: RangeInclusive<usize>) -> Option<Block> {
        let mut idle = lock(&self.idle);
        let (&size, blocks) = idle.range_mut(sizes).next()?;
        let block = blocks.pop();
        if blocks.is_empty() {
            idle.remove(&size);
        }
        let taken = block.as_ref().map_or(0, |block| block.layout.size() as u64);
        self.idle_bytes.fetch_sub(taken, Ordering::Relaxed);
        block
    }

    fn give_back(&self, block: Block) {
        let size = block.layout.size();
        let mut idle = lock(&self.idle);
        let held = self.idle_bytes.load(Ordering::Relaxed);
        if held + size as u64 <= self.max_idle_bytes.load(Ordering::Relaxed) {
            self.idle_bytes.store(held + size as u64, Ordering::Relaxed);
            idle.entry(size).or_default().push(block);
        }
    }
}

/// An owned, exclusive, `Send` claim on a piece of memory that its lease keeps alive.
///
/// Windows are split, never cloned, so no two cover the same byte.
pub struct Window {
    start: *mut u8,
    len: usize,
    lease: Arc<Lease>,
}

/// Keeps a window's memory alive: a buffer of ours, or a caller who waits in [`lend_mut`].
struct Lease {
    buffer: Mutex<Option<Buffer>>,
    done: Option<Arc<(Mutex<bool>, Condvar)>>,
    /// Who must not learn that the memory is free before this is dropped.
    _keep: Option<Keep>,
}

/// Something whose last clone, when it is dropped, gives lent memory back to its owner.
pub type Keep = Arc<dyn Any + Send + Sync>;

// SAFETY: a window is the only access path to its bytes, which outlive it through the lease.
unsafe impl Send for Window {}
// SAFETY: `&Window` allows reading only.
unsafe impl Sync for Window {}

impl Window {
    pub fn len(&self) -> usize {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A window on memory that somebody else owns.
    ///
    /// # Safety
    /// `memory` has `len` writable bytes, of which nobody else makes any use before the last clone of
    /// `keep` is dropped.
    pub unsafe fn lent(memory: *mut u8, len: usize, keep: Keep) -> Window {
        let lease = Arc::new(Lease { buffer: Mutex::new(None), done: None, _keep: Some(keep) });
        let start = if len == 0 { NonNull::dangling().as_ptr() } else { memory };
        Window { start, len, lease }
    }

    /// A window on the same bytes to give away, and what gives this one back once the other and all its
    /// pieces are dropped.
    pub fn on_loan(self) -> (Window, Loan) {
        let keep: Keep = self.lease.clone();
        let lease = Arc::new(Lease { buffer: Mutex::new(None), done: None, _keep: Some(keep) });
        let given = Window { start: self.start, len: self.len, lease: lease.clone() };
        (given, Loan { window: self, lease })
    }

    /// Splits into the first `at` bytes (at most all) and the rest.
    pub fn split_at(self, at: usize) -> (Window, Window) {
        let at = at.min(self.len);
        // SAFETY: `at <= len`, so the pointer stays within, or one past, the window's memory.
        let rest = unsafe { self.start.add(at) };
        let second = Window { start: rest, len: self.len - at, lease: self.lease.clone() };
        (Window { start: self.start, len: at, lease: self.lease }, second)
    }
}

/// A window whose bytes somebody else fills: see [`Window::on_loan`].
#[derive(Debug)]
pub struct Loan {
    window: Window,
    lease: Arc<Lease>,
}

impl Loan {
    /// The window, or `None` while a piece of the loan is alive.
    pub fn take_back(self) -> Option<Window> {
        Arc::into_inner(self.lease)?;
        Some(self.window)
    }
}

impl Deref for Window {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the lease keeps `len` bytes at `start` alive and only this window refers to them.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl DerefMut for Window {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({} bytes)", self.len)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            *lock(&done.0) = true;
            done.1.notify_all();
        }
    }
}

/// Gives a buffer back after its windows are gone; see [`Buffer::into_window`].
pub struct WindowOwner(Arc<Lease>);

impl fmt::Debug for WindowOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowOwner")
    }
}

impl WindowOwner {
    /// The buffer with `len` meaningful bytes, or `None` while a window is alive.
    pub fn reclaim(self, len: usize) -> Option<Buffer> {
        let lease = Arc::into_inner(self.0)?;
        let mut buffer = lock(&lease.buffer).take()?;
        buffer.set_len(len);
        Some(buffer)
    }
}

/// Lends `memory` to `f` as a window that may travel to other threads and outlive `f`, then waits
/// until the last piece of it is dropped. So no task can write to the memory after this returned.
pub fn lend_mut<R>(memory: &mut [u8], f: impl FnOnce(Window) -> R) -> R {
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let lease = Arc::new(Lease { buffer: Mutex::new(None), done: Some(done.clone()), _keep: None });
    let _wait = WaitForLease(done); // waits also when `f` panics
    f(Window { start: memory.as_mut_ptr(), len: memory.len(), lease })
}

/// As [`lend_mut`] for several pieces of memory at once, one window each, in order.
pub fn lend_many_mut<'a, R>(
    memory: impl IntoIterator<Item = &'a mut [u8]>,
    f: impl FnOnce(Vec<Window>) -> R,
) -> R {
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let lease = Arc::new(Lease { buffer: Mutex::new(None), done: Some(done.clone()), _keep: None });
    let lend =
        |piece: &'a mut [u8]| Window { start: piece.as_mut_ptr(), len: piece.len(), lease: lease.clone() };
    let windows = memory.into_iter().map(lend).collect();
    let _wait = WaitForLease(done); // waits also when `f` panics
    drop(lease); // only the windows keep it
    f(windows)
}

/// Lends `data` to `f` as [`Bytes`] without a copy, then waits until the last clone is dropped.
pub fn lend<R>(data: &[u8], f: impl FnOnce(Bytes) -> R) -> R {
    if data.is_empty() {
        return f(Bytes::new());
    }
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let lease = Lease { buffer: Mutex::new(None), done: Some(done.clone()), _keep: None };
    let _wait = WaitForLease(done);
    // SAFETY: the caller's borrow lasts until `WaitForLease` has seen the lease dropped.
    f(unsafe { bytes_of(data.as_ptr(), data.len(), lease) })
}

/// As [`lend`], of many pieces at once.
pub fn lend_many<R>(pieces: &[&[u8]], f: impl FnOnce(Vec<Bytes>) -> R) -> R {
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let lease: Keep = Arc::new(Lease { buffer: Mutex::new(None), done: Some(done.clone()), _keep: None });
    let lend = |piece: &&[u8]| {
        // SAFETY: the caller's borrows last until `WaitForLease` has seen the lease dropped.
        unsafe { lent_bytes(piece.as_ptr(), piece.len(), lease.clone()) }
    };
    let lent = pieces.iter().map(lend).collect();
    let _wait = WaitForLease(done); // waits also when `f` panics
    drop(lease); // only the pieces keep it
    f(lent)
}

/// Memory that somebody else owns as [`Bytes`], without a copy.
///
/// # Safety
/// `data` has `len` readable bytes, which nobody changes before the last clone of `keep` is dropped.
pub unsafe fn lent_bytes(data: *const u8, len: usize, keep: Keep) -> Bytes {
    if len == 0 {
        return Bytes::new();
    }
    // SAFETY: passed on.
    unsafe { bytes_of(data, len, Lease { buffer: Mutex::new(None), done: None, _keep: Some(keep) }) }
}

/// # Safety
/// `data` is not NULL and has `len` readable bytes, which nobody changes before `lease` is dropped.
unsafe fn bytes_of(data: *const u8, len: usize, lease: Lease) -> Bytes {
    struct Lent {
        start: *const u8,
        len: usize,
        _lease: Lease,
    }
    // SAFETY: the bytes are there until this is dropped, and are only read.
    unsafe impl Send for Lent {}
    // SAFETY: as above.
    unsafe impl Sync for Lent {}
    impl AsRef<[u8]> for Lent {
        fn as_ref(&self) -> &[u8] {
            // SAFETY: the promise of `bytes_of`.
            unsafe { std::slice::from_raw_parts(self.start, self.len) }
        }
    }
    Bytes::from_owner(Lent { start: data, len, _lease: lease })
}

struct WaitForLease(Arc<(Mutex<bool>, Condvar)>);

impl Drop for WaitForLease {
    fn drop(&mut self) {
        let (flag, changed) = &*self.0;
        let mut done = lock(flag);
        while !*done {
            done = changed.wait(done).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_reuses_memory_and_aligns_it() {
        let pool = BufferPool::new(64 << 10);
        let mut buffer = pool.take(5000).unwrap();
        assert_eq!((buffer.capacity(), buffer.len()), (8192, 0));
        assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
        assert_eq!(buffer.extend_from_slice(&[7; 10_000]), 8192);
        let address = buffer.as_ptr();
        drop(buffer);
        assert_eq!((pool.stats().idle_bytes, pool.stats().idle_buffers), (8192, 1));
        assert_eq!(pool.take(8000).unwrap().spare_mut().as_ptr(), address);
        assert_eq!(pool.stats().idle_bytes, 8192, "the buffer came back");
        drop(pool.take(1 << 20).unwrap());
        assert_eq!(pool.stats().idle_bytes, 8192, "a buffer over the limit is freed");
    }

    #[test]
    fn windows_of_a_buffer_fill_it_from_threads() {
        let (window, owner) = Buffer::allocate(8192).unwrap().into_window();
        let (mut a, mut b) = window.split_at(4096);
        let threads = [std::thread::spawn(move || a.fill(1)), std::thread::spawn(move || b.fill(2))];
        threads.into_iter().for_each(|t| t.join().unwrap());
        let buffer = owner.reclaim(8192).unwrap();
        assert!(buffer[..4096].iter().all(|b| *b == 1) && buffer[4096..].iter().all(|b| *b == 2));
    }

    #[test]
    fn a_window_keeps_its_buffer() {
        let (window, owner) = Buffer::allocate(10).unwrap().into_window();
        assert!(owner.reclaim(10).is_none());
        drop(window);
    }

    #[test]
    fn lend_mut_waits_for_a_window_that_went_elsewhere() {
        let mut memory = vec![0u8; 100];
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let thread = lend_mut(&mut memory, |mut window| {
            let thread = std::thread::spawn(move || {
                gate.recv().unwrap();
                window.fill(9);
            });
            go.send(()).unwrap();
            thread
        });
        assert!(memory.iter().all(|b| *b == 9));
        thread.join().unwrap();
    }

    #[test]
    fn lend_waits_for_the_last_clone() {
        let data = vec![5u8; 64];
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let thread = lend(&data, |bytes| {
            let thread = std::thread::spawn(move || {
                gate.recv().unwrap();
                bytes.iter().map(|b| *b as u32).sum::<u32>()
            });
            go.send(()).unwrap();
            thread
        });
        assert_eq!(thread.join().unwrap(), 320);
    }
}
