//! Which item stands at which position of an epoch, and which positions a shard draws: all of it computed from
//! numbers, in constant memory.

mod permutation;
mod runs;
mod shard;

pub use permutation::Permutation;
pub use runs::{Run, Runs};
pub use shard::{Origin, Shard};

use crate::error::{Code, Error, Result};

/// How an epoch is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// The dataset's own order.
    None,
    /// Windows of so many positions, each permuted.
    Window(u64),
    /// All of it, permuted.
    Full,
}

/// What a permutation is for: so that no two of them share a key.
const OF_ITEMS: u64 = 1;
const OF_WINDOW: u64 = 2;
const OF_FILES: u64 = 3;

impl Shuffle {
    /// The item at a position of an epoch of `length` items.
    pub fn item(self, seed: u64, epoch: u64, length: u64, position: u64) -> u64 {
        match self {
            Shuffle::None => position,
            Shuffle::Full => Permutation::new(length, [seed, epoch, OF_ITEMS, 0]).at(position),
            Shuffle::Window(size) => {
                let start = position - position % size;
                let window = self.window(seed, epoch, 0, start / size, size.min(length - start));
                start + window.at(position - start)
            }
        }
    }

    /// The order within a window of `length` positions, the `number`-th of `file`.
    pub fn window(self, seed: u64, epoch: u64, file: u64, number: u64, length: u64) -> Permutation {
        let key = Permutation::key([seed, epoch, OF_WINDOW, file]);
        Permutation::new(length, [key, number, OF_WINDOW, 0])
    }

    /// The file at a place of the epoch's order of `files` files.
    pub fn file(self, seed: u64, epoch: u64, files: u64, ordinal: u64) -> u64 {
        match self {
            Shuffle::None => ordinal,
            _ => Permutation::new(files, [seed, epoch, OF_FILES, 0]).at(ordinal),
        }
    }

    /// As options and states name it.
    pub fn name(self) -> &'static str {
        match self {
            Shuffle::None => "none",
            Shuffle::Window(_) => "window",
            Shuffle::Full => "full",
        }
    }

    /// The window's size; 0 where there is none.
    pub fn size(self) -> u64 {
        match self {
            Shuffle::Window(size) => size,
            _ => 0,
        }
    }

    /// What [`Shuffle::name`] and [`Shuffle::size`] stand for.
    pub fn of(name: &str, size: u64) -> Result<Shuffle> {
        match (name, size) {
            ("none", _) => Ok(Shuffle::None),
            ("full", _) => Ok(Shuffle::Full),
            ("window", 1..) => Ok(Shuffle::Window(size)),
            _ => Err(Error::new(
                Code::InvalidArgument,
                format!("there is no order {name:?} with windows of {size}; expected none, window or full"),
            )),
        }
    }
}
