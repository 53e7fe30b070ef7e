//! Reading any range of a file with O_DIRECT.

use super::{Direct, is_refusal};
use crate::base::buffer::{Buffer, BufferPool};
use crate::error::{Error, Result};
use crate::store::posix::sys;
use std::fs::File;
use std::io;

pub(super) fn read(direct: &Direct, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
    if dst.is_empty() {
        return Ok(0);
    }
    let failed = |e: io::Error| Error::from_io("cannot read the file", &e);
    let Some(alignment) = direct.enable(file)? else {
        return sys::read_at(file, offset, dst).map_err(failed);
    };
    let block = alignment.block;
    let mut bounce = None;
    let mut done = 0;
    while done < dst.len() {
        let at = offset + done as u64;
        let rest = &mut dst[done..];
        let skip = (at % block as u64) as usize;
        let outcome = if skip == 0 && rest.len() >= block && alignment.suits(rest.as_ptr()) {
            let whole = rest.len() / block * block;
            sys::read_some_at(file, at, &mut rest[..whole]).map(|n| (n, n < whole && n % block != 0))
        } else {
            let head = block - skip;
            let aligned_after_head = rest.len() >= head + block && alignment.suits(&raw const rest[head]);
            let span = match aligned_after_head {
                true => block,
                false => (skip + rest.len()).next_multiple_of(block).min(direct.bounce_size(block)),
            };
            let memory = buffer_of(&mut bounce, span)?;
            sys::read_some_at(file, at - skip as u64, memory).map(|n| {
                let n_wanted = n.saturating_sub(skip).min(rest.len());
                rest[..n_wanted].copy_from_slice(&memory[skip..skip + n_wanted]);
                (n_wanted, n < memory.len() && n % block != 0)
            })
        };
        match outcome {
            // A last block that is not full ends the file.
            Ok((n, ended)) => {
                done += n;
                if n == 0 || ended {
                    break;
                }
            }
            Err(e) if is_refusal(&e) => {
                direct.fall_back(file, &e)?;
                return Ok(done + sys::read_at(file, at, &mut dst[done..]).map_err(failed)?);
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(done)
}

/// `span` bytes of pooled memory, taken once and kept for the next round.
fn buffer_of(bounce: &mut Option<Buffer>, span: usize) -> Result<&mut [u8]> {
    if bounce.as_ref().is_none_or(|buffer| buffer.capacity() < span) {
        *bounce = None;
    }
    let buffer = match bounce {
        Some(buffer) => buffer,
        None => bounce.insert(BufferPool::global().take(span)?),
    };
    Ok(&mut buffer.spare_mut()[..span])
}
