//! Files of records of one size, after a header that is skipped.

use super::truncated;
use crate::error::{Code, Error, Result};
use std::ops::Range;

/// How a file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    skip: u64,
    record: u64,
}

impl Fixed {
    /// Records of `record` bytes after `skip` bytes.
    pub fn new(skip: u64, record: u64) -> Result<Fixed> {
        if record == 0 {
            let message = "the size of the records is 0; expected the bytes of one record";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        Ok(Fixed { skip, record })
    }

    /// Records of a file of `size` bytes. A part of a record at its end is an error.
    pub fn count(&self, size: u64) -> Result<u64> {
        let what = "the file of records";
        let Some(data) = size.checked_sub(self.skip) else {
            return Err(truncated(what, size, "its end", format!("a header of {} bytes", self.skip)));
        };
        let (count, rest) = (data / self.record, data % self.record);
        if rest > 0 {
            let at = size - rest;
            return Err(truncated(what, at, format!("{rest} bytes"), format!("a record of {}", self.record)));
        }
        Ok(count)
    }

    /// The bytes of record `number`; `None` where no file can have so many.
    pub fn range(&self, number: u64) -> Option<Range<u64>> {
        let start = number.checked_mul(self.record)?.checked_add(self.skip)?;
        Some(start..start.checked_add(self.record)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_records_cover_the_file_once() {
        let cut = Fixed::new(16, 10).unwrap();
        assert_eq!((cut.count(16).unwrap(), cut.count(46).unwrap()), (0, 3));
        let ranges: Vec<_> = (0..3).map(|n| cut.range(n).unwrap()).collect();
        assert_eq!(ranges, [16..26, 26..36, 36..46]);
        for size in [0, 15, 17, 45] {
            assert_eq!(cut.count(size).unwrap_err().code(), Code::Truncated, "{size}");
        }
        assert_eq!(cut.range(u64::MAX), None);
        assert_eq!(Fixed::new(0, 0).unwrap_err().code(), Code::InvalidArgument);
    }
}
