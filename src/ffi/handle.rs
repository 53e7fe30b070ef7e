//! Handles as checked tokens: the pointer that C holds encodes slot, generation and kind of an
//! entry in one table, and is never followed. A stale, doubly freed or foreign pointer is found out.
//!
//! The table's locks are held for nanoseconds, never during a call into the core, and by the forking
//! thread during a fork, so a child finds them free.

use crate::base::sync::{read, write};
use crate::error::{Code, Error, Result};
use crate::runtime::{Era, ForkRank, hold_during_fork};
use std::any::Any;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, RwLock};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

const _: () = assert!(usize::BITS == 64, "tokens need 64-bit pointers");

/// An incomplete type of the header, and what its handles stand for.
pub trait Handle {
    /// Tells the types apart; not 0.
    const KIND: u64;
    /// For messages.
    const NAME: &'static str;
    type Value: Send + Sync + 'static;

    /// Whether [`Handle::era`] is over only in a forked child.
    const SURVIVES_SHUTDOWN: bool = false;

    /// When the value was made, if it does not survive fork and shutdown.
    fn era(_value: &Self::Value) -> Option<Era> {
        None
    }
}

/// A value that a call uses. Freeing the handle meanwhile is harmless: the value lives on until the
/// call is over. A panic meanwhile poisons the handle.
pub struct Ref<T> {
    entry: Arc<Entry<T>>,
    panicking: bool,
}

struct Entry<T> {
    value: T,
    poisoned: AtomicBool,
}

impl<T> Deref for Ref<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.entry.value
    }
}

impl<T> Drop for Ref<T> {
    fn drop(&mut self) {
        if !self.panicking && std::thread::panicking() {
            self.entry.poisoned.store(true, Ordering::Release);
        }
    }
}

/// A new handle for `value`.
pub fn insert<H: Handle>(value: H::Value) -> Result<*mut H> {
    prepare();
    let entry = Arc::new(Entry { value, poisoned: AtomicBool::new(false) });
    let at = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS;
    let mut shard = write(&TABLE[at]);
    let (index, generation) = match shard.free.pop_front() {
        Some(index) => (index, shard.slots[index].generation),
        None if shard.slots.len() < 1 << INDEX_BITS => {
            shard.slots.push(Slot { generation: 1, kind: 0, object: None });
            (shard.slots.len() - 1, 1)
        }
        None => return Err(Error::new(Code::OutOfMemory, "there are too many live handles")),
    };
    shard.slots[index] = Slot { generation, kind: H::KIND, object: Some(entry) };
    LIVE.fetch_add(1, Ordering::Relaxed);
    Ok(std::ptr::without_provenance_mut(Token { shard: at, index, kind: H::KIND, generation }.encode()))
}

/// The value of a handle that is fit for work.
pub fn get<H: Handle>(handle: *const H) -> Result<Ref<H::Value>> {
    let Some(used) = peek(handle) else {
        return Err(match handle.is_null() {
            true => Error::new(Code::InvalidArgument, format!("the {} handle is NULL", H::NAME)),
            false => Error::new(Code::BadHandle, format!("this is no live {} handle", H::NAME))
                .with_hint("it was freed before, or is a handle of another type"),
        });
    };
    if let Some(era) = H::era(&used) {
        if H::SURVIVES_SHUTDOWN { era.check_fork() } else { era.check() }?;
    }
    if used.entry.poisoned.load(Ordering::Acquire) {
        return Err(Error::new(
            Code::Poisoned,
            format!("an earlier call on this {} handle met a defect of the library", H::NAME),
        ));
    }
    super::guard::test_hook();
    Ok(used)
}

/// The value of a live handle in whatever state.
pub fn peek<H: Handle>(handle: *const H) -> Option<Ref<H::Value>> {
    let token = Token::decode::<H>(handle)?;
    let shard = read(&TABLE[token.shard]);
    let object = shard.slots.get(token.index)?.holds(&token)?.clone();
    drop(shard);
    let entry = object.downcast::<Entry<H::Value>>().ok()?;
    Some(Ref { entry, panicking: std::thread::panicking() })
}

/// Puts `value` in the place of the one that `used` refers to; `InvalidState` where another thread
/// was first. So a value can be changed without a lock that a fork could leave taken.
pub fn replace<H: Handle>(handle: *const H, used: &Ref<H::Value>, value: H::Value) -> Result<()> {
    let fresh: Object = Arc::new(Entry { value, poisoned: AtomicBool::new(false) });
    let busy =
        || Error::new(Code::InvalidState, format!("another thread changed or freed this {} handle", H::NAME));
    let token = Token::decode::<H>(handle).ok_or_else(busy)?;
    let mut shard = write(&TABLE[token.shard]);
    let slot = shard.slots.get_mut(token.index).ok_or_else(busy)?;
    let present = slot.holds(&token).ok_or_else(busy)?;
    if !std::ptr::addr_eq(Arc::as_ptr(present), Arc::as_ptr(&used.entry)) {
        return Err(busy());
    }
    let old = slot.object.replace(fresh);
    drop(shard);
    drop(old);
    Ok(())
}

/// The state of a handle that one call at a time may use. A panic while it is held poisons the handle
/// by the [`Ref`] that the call has.
pub fn exclusive<T>(state: &Arc<AsyncMutex<T>>) -> Result<OwnedMutexGuard<T>> {
    state.clone().try_lock_owned().map_err(|_| {
        Error::new(Code::InvalidState, "another call on this handle is under way")
            .with_hint("make one call at a time, and wait for the event of what was submitted")
    })
}

/// Ends a handle; says whether it was live. What a forked child inherited is leaked: its clean-up
/// is the parent's business.
pub fn free<H: Handle>(handle: *const H) -> bool {
    let Some(token) = Token::decode::<H>(handle) else { return false };
    let mut shard = write(&TABLE[token.shard]);
    let Some(slot) = shard.slots.get_mut(token.index) else { return false };
    if slot.holds(&token).is_none() {
        return false;
    }
    let object = slot.object.take();
    slot.generation += 1;
    if slot.generation < 1 << GENERATION_BITS {
        shard.free.push_back(token.index);
    }
    drop(shard);
    LIVE.fetch_sub(1, Ordering::Relaxed);
    let entry = object.and_then(|object| object.downcast::<Entry<H::Value>>().ok());
    if let Some(entry) = entry
        && H::era(&entry.value).is_some_and(Era::forked)
    {
        std::mem::forget(entry);
    }
    true
}

/// How many handles are live.
pub fn live() -> u64 {
    LIVE.load(Ordering::Relaxed)
}

type Object = Arc<dyn Any + Send + Sync>;

const SHARD_BITS: u32 = 4;
const INDEX_BITS: u32 = 20;
const KIND_BITS: u32 = 5;
/// What is left of 64 bits beside the tag bit.
const GENERATION_BITS: u32 = 64 - 1 - SHARD_BITS - INDEX_BITS - KIND_BITS;
const SHARDS: usize = 1 << SHARD_BITS;

static TABLE: [RwLock<Shard>; SHARDS] =
    [const { RwLock::new(Shard { slots: Vec::new(), free: VecDeque::new() }) }; SHARDS];
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicU64 = AtomicU64::new(0);

struct Shard {
    slots: Vec<Slot>,
    /// First in, first out: a freed token stays recognisable as long as possible.
    free: VecDeque<usize>,
}

struct Slot {
    /// Of the present or next handle; a slot whose generations are used up is not used again.
    generation: u64,
    kind: u64,
    object: Option<Object>,
}

impl Slot {
    fn holds(&self, token: &Token) -> Option<&Object> {
        let same = self.generation == token.generation && self.kind == token.kind;
        self.object.as_ref().filter(|_| same)
    }
}

/// Bits from the lowest: tag (always 1, so no aligned address is a token), shard, index, kind,
/// generation.
#[derive(PartialEq, Eq, Debug)]
struct Token {
    shard: usize,
    index: usize,
    kind: u64,
    generation: u64,
}

impl Token {
    fn encode(&self) -> usize {
        let mut bits = self.generation;
        bits = bits << KIND_BITS | self.kind;
        bits = bits << INDEX_BITS | self.index as u64;
        bits = bits << SHARD_BITS | self.shard as u64;
        (bits << 1 | 1) as usize
    }

    /// `None` for NULL, addresses, and handles of another type.
    fn decode<H: Handle>(handle: *const H) -> Option<Token> {
        let bits = handle.addr() as u64;
        let mut rest = bits >> 1;
        let mut take = |width: u32| {
            let field = rest & ((1 << width) - 1);
            rest >>= width;
            field
        };
        let (shard, index) = (take(SHARD_BITS) as usize, take(INDEX_BITS) as usize);
        let (kind, generation) = (take(KIND_BITS), take(GENERATION_BITS));
        (bits & 1 == 1 && kind == H::KIND).then_some(Token { shard, index, kind, generation })
    }
}

/// Keeps the table's locks consistent over forks.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        hold_during_fork(ForkRank::Handles, || Box::new(TABLE.each_ref().map(|shard| write(shard))));
        hold_during_fork(ForkRank::Pool, || Box::new(crate::base::buffer::BufferPool::global().hold()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;
    impl Handle for Number {
        const KIND: u64 = 30;
        const NAME: &'static str = "number";
        type Value = u32;
    }
    struct Text;
    impl Handle for Text {
        const KIND: u64 = 31;
        const NAME: &'static str = "text";
        type Value = String;
    }

    fn code<T>(result: Result<T>) -> Code {
        result.err().map(|e| e.code()).unwrap()
    }

    #[test]
    fn a_freed_handle_is_found_out_even_when_its_slot_is_used_again() {
        let first = insert::<Number>(1).unwrap();
        assert_eq!(*get(first.cast_const()).unwrap(), 1);
        assert!(free(first.cast_const()) && !free(first.cast_const()));
        let others: Vec<_> = (0..100).map(|n| insert::<Number>(n).unwrap()).collect();
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(code(get(first.cast_const())), Code::BadHandle);
        assert!(others.iter().all(|other| free(other.cast_const())));
    }

    #[test]
    fn null_foreign_types_and_addresses_are_refused() {
        let number = insert::<Number>(1).unwrap();
        assert_eq!(code(get::<Number>(std::ptr::null())), Code::InvalidArgument);
        assert_eq!(code(get::<Text>(number.cast_const().cast())), Code::BadHandle);
        assert!(!free::<Text>(number.cast_const().cast()));
        for address in [8usize, 9, 0x7fff_1234_5678, usize::MAX] {
            assert_eq!(code(get::<Number>(std::ptr::without_provenance(address))), Code::BadHandle);
        }
        assert!(free(number.cast_const()));
    }

    #[test]
    fn a_panic_poisons_and_a_replaced_value_shows() {
        let handle = insert::<Number>(1).unwrap();
        let used = get(handle.cast_const()).unwrap();
        replace::<Number>(handle, &used, 2).unwrap();
        assert_eq!(code(replace::<Number>(handle, &used, 3)), Code::InvalidState);
        assert_eq!(*get(handle.cast_const()).unwrap(), 2);
        let caught = std::panic::catch_unwind(|| {
            let _used = get(handle.cast_const()).unwrap();
            panic!("on purpose");
        });
        assert!(caught.is_err());
        assert_eq!(code(get(handle.cast_const())), Code::Poisoned);
        assert!(peek(handle.cast_const()).is_some() && free(handle.cast_const()));
    }

    #[test]
    fn tokens_survive_encoding() {
        for generation in [1, 77, (1 << GENERATION_BITS) - 1] {
            let token = Token { shard: 15, index: (1 << INDEX_BITS) - 1, kind: Number::KIND, generation };
            let pointer: *const Number = std::ptr::without_provenance(token.encode());
            assert_eq!(Token::decode(pointer), Some(token));
        }
    }
}
