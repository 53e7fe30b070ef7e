//! What O_DIRECT asks of memory, offsets and lengths.

use crate::base::buffer::ALIGNMENT;
use crate::store::posix::sys;
use std::fs::File;

/// Powers of two, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Of memory; pooled buffers always have it.
    pub(super) memory: usize,
    /// Of offsets and lengths.
    pub(super) block: usize,
}

impl Alignment {
    /// Whether `memory` can be handed to the device.
    pub(super) fn suits(&self, memory: *const u8) -> bool {
        memory.addr().is_multiple_of(self.memory)
    }
}

/// What an open file asks for; `wanted` overrides what the system says unless it is 0. `None` where
/// O_DIRECT is not possible, or not with memory of ours.
pub(super) fn of(file: &File, wanted: usize) -> Option<Alignment> {
    if wanted > 0 {
        return Some(Alignment { memory: wanted.min(ALIGNMENT), block: wanted });
    }
    let (memory, block) = match sys::direct_alignment(file) {
        Some((memory, block)) => (memory, block),
        // The kernel does not say: a page suits every usual device.
        None => (sys::page_size().min(ALIGNMENT), sys::page_size()),
    };
    let usable = memory.is_power_of_two() && block.is_power_of_two() && memory <= ALIGNMENT;
    usable.then_some(Alignment { memory, block })
}
