//! How large the parts of an upload are.

use crate::error::{Code, Error, Result};
use crate::store::Capabilities;

/// Sizes by part number: the configured size for the first half of the parts that the service
/// allows, then doubling often enough that no object the service can hold runs out of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartSizes {
    base: u64,
    alignment: u64,
    pub(super) smallest: u64,
    pub(super) largest: u64,
    max_parts: u32,
}

impl PartSizes {
    pub(super) fn new(configured: u64, capabilities: &Capabilities) -> PartSizes {
        let alignment = capabilities.alignment.max(1) as u64;
        let largest = capabilities.max_part_size - capabilities.max_part_size % alignment;
        let smallest = capabilities.min_part_size.next_multiple_of(alignment);
        let base = configured.max(smallest).next_multiple_of(alignment).min(largest);
        PartSizes { base, alignment, smallest, largest, max_parts: capabilities.max_parts.max(1) }
    }

    /// The size of part `number`; an error where the service takes no more parts.
    pub(super) fn of(&self, number: u32) -> Result<usize> {
        if number >= self.max_parts {
            let message =
                format!("the object needs more than the {} parts that the service allows", self.max_parts);
            return Err(
                Error::new(Code::InvalidArgument, message).with_hint("set a larger transfer.part_size")
            );
        }
        let half = self.max_parts / 2;
        let doublings = match number.checked_sub(half) {
            Some(beyond) => 1 + beyond / (self.max_parts / 22).max(1),
            None => 0,
        };
        let size =
            self.base.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(self.largest);
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Whether a part of this length may be followed by another.
    pub(super) fn may_be_followed(&self, len: usize) -> bool {
        len as u64 >= self.smallest.max(1) && (len as u64).is_multiple_of(self.alignment)
    }

    /// The largest part of at most `len` bytes that may be followed by another; 0 where there is none.
    pub(super) fn round_down(&self, len: usize) -> usize {
        let rounded = len as u64 - len as u64 % self.alignment;
        if rounded < self.smallest { 0 } else { usize::try_from(rounded).unwrap_or(0) }
    }

    /// The smallest part of at least `len` bytes, or the configured size where that is smaller.
    pub(super) fn at_least(&self, len: usize) -> Result<usize> {
        self.round_up(len.min(usize::try_from(self.base).unwrap_or(usize::MAX)).max(self.least()))
    }

    fn least(&self) -> usize {
        usize::try_from(self.smallest).unwrap_or(usize::MAX)
    }

    /// `len` rounded up so that the part may be followed by another.
    pub(super) fn round_up(&self, len: usize) -> Result<usize> {
        let rounded = (len as u64).checked_next_multiple_of(self.alignment);
        match rounded.filter(|size| *size <= self.largest).map(usize::try_from) {
            Some(Ok(size)) => Ok(size),
            _ => Err(Error::new(
                Code::InvalidArgument,
                format!("{len} bytes do not fit a part; at most {} do", self.largest),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::KeyRules;

    const S3: Capabilities = Capabilities {
        blocking_io: false,
        conditional_put: true,
        metadata: true,
        keys: KeyRules::LITERAL,
        min_part_size: 5 << 20,
        max_part_size: 5 << 30,
        max_parts: 10_000,
        alignment: 1,
    };

    #[test]
    fn w3_parts_grow_before_the_last_number() {
        let sizes = PartSizes::new(16 << 20, &S3);
        assert_eq!(sizes.of(0).unwrap(), 16 << 20);
        assert_eq!(sizes.of(4999).unwrap(), 16 << 20);
        assert_eq!(sizes.of(5000).unwrap(), 32 << 20);
        let total: u64 = (0..10_000).map(|n| sizes.of(n).unwrap() as u64).sum();
        assert!(total > 5 << 40, "the largest object of S3 fits: {total}");
        assert!((0..10_000).all(|n| sizes.of(n).unwrap() <= 5 << 30));
        assert_eq!(sizes.of(10_000).unwrap_err().code(), Code::InvalidArgument);
        let smallest = PartSizes::new(5 << 20, &S3);
        let total: u64 = (0..10_000).map(|n| smallest.of(n).unwrap() as u64).sum();
        assert!(total > 5 << 40, "also from the smallest part: {total}");
    }

    #[test]
    fn w3_the_stores_bounds_hold() {
        let direct = Capabilities { alignment: 4096, min_part_size: 1, max_parts: u32::MAX, ..S3 };
        let sizes = PartSizes::new((5 << 20) + 1, &direct);
        assert_eq!(sizes.of(0).unwrap(), (5 << 20) + 4096);
        assert!(sizes.may_be_followed(8192) && !sizes.may_be_followed(8193) && !sizes.may_be_followed(0));
        assert_eq!(sizes.round_up(1).unwrap(), 4096);
        assert_eq!((sizes.round_down(8193), sizes.round_down(4095)), (8192, 0));
        assert!(sizes.round_up(usize::MAX).is_err());
        assert_eq!(PartSizes::new(1, &S3).of(0).unwrap(), 5 << 20);
        assert!(!PartSizes::new(1, &S3).may_be_followed((5 << 20) - 1));
    }
}
