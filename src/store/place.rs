//! Where the bytes of a read go.

use crate::base::buffer::{Buffer, BufferPool, Window};
use crate::error::{Code, Error, Result};

/// Memory of the caller's, or a pooled buffer that is taken once it is known how much comes.
#[derive(Debug)]
pub(super) enum Place {
    Lent(Window),
    /// Of at most so many bytes.
    Fitting(usize, Option<Buffer>),
}

impl Place {
    /// The most that may come.
    pub(super) fn len(&self) -> usize {
        match self {
            Place::Lent(window) => window.len(),
            Place::Fitting(limit, _) => *limit,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `bytes`, which are at most [`Place::len`]. With the same `bytes` at each call, what is
    /// there stays.
    pub(super) fn first(&mut self, bytes: usize) -> Result<&mut [u8]> {
        let memory = match self {
            Place::Lent(window) => &mut window[..],
            Place::Fitting(_, buffer) => {
                let fitting = match buffer.take() {
                    Some(there) if there.capacity() >= bytes => there,
                    _ => BufferPool::global().take(bytes)?,
                };
                buffer.insert(fitting).spare_mut()
            }
        };
        memory
            .get_mut(..bytes)
            .ok_or_else(|| Error::new(Code::Internal, "more bytes came than there is memory for"))
    }

    /// The buffer with the `bytes` that came.
    pub(super) fn into_buffer(self, bytes: usize) -> Result<Buffer> {
        let mut buffer = match self {
            Place::Fitting(_, Some(buffer)) => buffer,
            _ => BufferPool::global().take(0)?,
        };
        if buffer.capacity() < bytes {
            return Err(Error::new(Code::Internal, "a finished read has no memory"));
        }
        buffer.set_len(bytes);
        Ok(buffer)
    }
}

/// Moves a small result out of a much larger buffer, so that many results do not hold many of them.
pub(super) fn fitted(buffer: Buffer) -> Result<Buffer> {
    if buffer.len() >= buffer.capacity() / 2 {
        return Ok(buffer);
    }
    let mut small = BufferPool::global().take(buffer.len())?;
    small.extend_from_slice(&buffer);
    Ok(small)
}
