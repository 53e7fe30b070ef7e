//! Reading any range of a file with O_DIRECT.

use super::align::Alignment;
use super::{Direct, is_refusal, no_room};
use crate::base::buffer::{Buffer, BufferPool};
use crate::error::{Code, Error, Result};
use crate::store::posix::ring::{Op, Ring, Target};
use crate::store::posix::sys;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

pub(super) fn read(direct: &Direct, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize> {
    if dst.is_empty() {
        return Ok(0);
    }
    let alignment = direct.enable(file)?;
    let mut reading = Reading { direct, file, alignment };
    if let Some(alignment) = alignment
        && let Some(mut lease) = direct.ring_for(dst.len(), alignment.block)?
        && let Some(ring) = lease.usable()
    {
        return reading.by_ring(ring, alignment, offset, dst);
    }
    reading.plain(offset, dst)
}

struct Reading<'a> {
    direct: &'a Direct,
    file: &'a File,
    /// `None` once O_DIRECT is off.
    alignment: Option<Alignment>,
}

impl Reading<'_> {
    /// Requests of `local.block_size`, `local.queue_depth` of them at once. What one of them does not
    /// bring is read again the plain way, which knows the end of the file and refusals.
    fn by_ring(
        &mut self,
        ring: &mut Ring,
        alignment: Alignment,
        offset: u64,
        dst: &mut [u8],
    ) -> Result<usize> {
        let (file, rings) = (self.file, &self.direct.0.rings);
        let (block, size, depth) = (alignment.block, rings.request_size(alignment.block), rings.depth());
        let head = (offset.next_multiple_of(block as u64) - offset) as usize; // less than a block
        let head = head.min(dst.len());
        let mut end = dst.len();
        let (first, body) = dst.split_at_mut(head);
        let got = self.plain(offset, first)?;
        if got < head {
            return Ok(got);
        }
        let start = offset + head as u64;
        let mut pieces = body.chunks_mut(size).enumerate();
        // Where the bytes of bounce buffers go.
        let mut places = BTreeMap::new();
        ring.fly(|flight| {
            let mut under_way = 0;
            loop {
                while under_way < depth
                    && let Some((number, piece)) = pieces.next()
                {
                    let whole = piece.len().is_multiple_of(block) && alignment.suits(piece.as_ptr());
                    let memory = if whole {
                        Target::Lent(piece)
                    } else {
                        let mut bounce = BufferPool::global().take(piece.len().next_multiple_of(block))?;
                        bounce.set_len(piece.len().next_multiple_of(block));
                        places.insert(number, piece);
                        Target::Own(bounce)
                    };
                    let offset = start + (number * size) as u64;
                    flight.push(number, Op::Read { file: file.as_fd(), offset, memory }).map_err(no_room)?;
                    under_way += 1;
                }
                let Some(done) = flight.next(true) else { return Ok(end) };
                under_way -= 1;
                let got = done.result.unwrap_or(0);
                let piece = match (done.op, places.remove(&done.tag)) {
                    (Op::Read { memory: Target::Lent(piece), .. }, _) if got == piece.len() => continue,
                    (Op::Read { memory: Target::Lent(piece), .. }, _) => piece,
                    (Op::Read { memory: Target::Own(bounce), .. }, Some(piece)) => {
                        if got >= piece.len() {
                            piece.copy_from_slice(&bounce[..piece.len()]);
                            continue;
                        }
                        piece
                    }
                    _ => return Err(Error::new(Code::Internal, "a request lost its memory")),
                };
                let before = done.tag * size;
                let got = self.plain(start + before as u64, piece)?;
                if got < piece.len() {
                    end = end.min(head + before + got);
                }
            }
        })
    }

    /// One request after the other, until `dst` is full or the file ends.
    fn plain(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        let (direct, file) = (self.direct, self.file);
        let failed = |e: io::Error| Error::from_io("cannot read the file", &e);
        let Some(alignment) = self.alignment else {
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
                    self.alignment = None;
                    return Ok(done + sys::read_at(file, at, &mut dst[done..]).map_err(failed)?);
                }
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(done)
    }
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
