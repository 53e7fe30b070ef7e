//! Writing pieces of any size at any offset with O_DIRECT.
//!
//! Whole blocks go out at once. The ends of a piece that fill only a part of a block wait in memory
//! (one block per boundary) until the neighbouring piece brings the rest. What still waits at the end
//! is the last block: it is padded, and the file cut to its size. So the page cache is never mixed
//! with direct writes to the same file.

use super::align::Alignment;
use super::{Direct, is_refusal, no_room};
use crate::base::buffer::{Buffer, BufferPool};
use crate::base::checksum::Crc32c;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::store::posix::ring::{Op, Ring, Source};
use crate::store::posix::{Sink, sys};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub struct DirectSink {
    direct: Direct,
    /// `None` from the start where O_DIRECT is refused.
    alignment: Option<Alignment>,
    /// O_DIRECT was refused by a write and is off.
    refused: AtomicBool,
    switch: Mutex<()>,
    /// By number of the block.
    edges: Mutex<BTreeMap<u64, Edge>>,
    /// The bytes at the file's start that have their room on the device.
    reserved: Mutex<u64>,
}

/// A block of which only some ranges were given.
#[derive(Debug)]
struct Edge {
    /// One block; zero where nothing was given.
    bytes: Buffer,
    /// In order, and neither touching nor overlapping.
    filled: Vec<Range<usize>>,
}

impl DirectSink {
    pub(super) fn new(direct: &Direct, file: &File) -> Result<DirectSink> {
        let alignment = direct.enable(file)?.map(|found| match direct.0.alignment {
            // Devices of small blocks take them, but file systems write whole pages more quickly.
            0 => Alignment { block: found.block.max(sys::page_size()), ..found },
            _ => found,
        });
        Ok(DirectSink {
            direct: direct.clone(),
            alignment,
            refused: AtomicBool::new(false),
            switch: Mutex::default(),
            edges: Mutex::default(),
            reserved: Mutex::default(),
        })
    }

    /// Keeps a piece of one block, and writes the block when it is whole.
    fn keep(&self, file: &File, alignment: Alignment, offset: u64, piece: &[u8]) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let block = alignment.block as u64;
        let (number, start) = (offset / block, (offset % block) as usize);
        let mut edges = lock(&self.edges);
        let edge = match edges.entry(number) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Edge::new(alignment.block)?),
        };
        edge.fill(start, piece);
        if edge.has_first(alignment.block) {
            // Under the lock: were it let go before the write succeeded, a failure would lose the
            // neighbour's bytes.
            self.write_plain(file, alignment, number * block, &edge.bytes)?;
            edges.remove(&number);
        }
        Ok(())
    }

    /// Writes whole blocks, from memory of any alignment. `meanwhile` sees all of `data`, in order.
    fn write_blocks(
        &self,
        file: &File,
        alignment: Alignment,
        offset: u64,
        data: &[u8],
        meanwhile: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        if !self.refused.load(Ordering::Acquire)
            && let Some(mut lease) = self.direct.ring_for(data.len(), alignment.block)?
            && let Some(ring) = lease.usable()
        {
            self.reserve(file, offset + data.len() as u64)?;
            return self.write_by_ring(ring, file, alignment, offset, data, meanwhile);
        }
        meanwhile(data);
        self.write_plain(file, alignment, offset, data)
    }

    /// Gives the file its room: writes past the end of a file wait for each other.
    fn reserve(&self, file: &File, end: u64) -> Result<()> {
        let mut reserved = lock(&self.reserved);
        if *reserved >= end {
            return Ok(());
        }
        match sys::allocate(file, *reserved, end - *reserved) {
            Ok(()) => *reserved = end,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                *reserved = u64::MAX; // only slower
            }
            Err(e) => return Err(Error::from_io("cannot make room for the file", &e)),
        }
        Ok(())
    }

    /// Requests of `local.block_size`, `local.queue_depth` of them at once. What one of them does not
    /// write is written again the plain way.
    fn write_by_ring(
        &self,
        ring: &mut Ring,
        file: &File,
        alignment: Alignment,
        offset: u64,
        data: &[u8],
        meanwhile: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let rings = &self.direct.0.rings;
        let (size, depth) = (rings.request_size(alignment.block), rings.depth());
        let mut pieces = data.chunks(size).enumerate();
        ring.fly(|flight| {
            let mut under_way = 0;
            loop {
                while under_way < depth
                    && let Some((number, piece)) = pieces.next()
                {
                    let memory = if alignment.suits(piece.as_ptr()) {
                        Source::Lent(piece)
                    } else {
                        let mut bounce = BufferPool::global().take(piece.len())?;
                        bounce.extend_from_slice(piece);
                        Source::Own(bounce)
                    };
                    let offset = offset + (number * size) as u64;
                    flight.push(number, Op::Write { file: file.as_fd(), offset, memory }).map_err(no_room)?;
                    under_way += 1;
                    flight.submit();
                    meanwhile(piece);
                }
                let Some(done) = flight.next(true) else { return Ok(()) };
                under_way -= 1;
                let Op::Write { offset, memory, .. } = done.op else {
                    return Err(Error::new(Code::Internal, "a request lost its memory"));
                };
                if !done.result.is_ok_and(|written| written == memory.len()) {
                    self.write_aligned(file, alignment, offset, &memory)?;
                }
            }
        })
    }

    /// As [`DirectSink::write_blocks`], one request after the other.
    fn write_plain(&self, file: &File, alignment: Alignment, offset: u64, data: &[u8]) -> Result<()> {
        if alignment.suits(data.as_ptr()) || self.refused.load(Ordering::Acquire) {
            return self.write_aligned(file, alignment, offset, data);
        }
        let size = self.direct.bounce_size(alignment.block).min(data.len()).max(1);
        let mut bounce = BufferPool::global().take(size)?;
        let mut at = offset;
        for chunk in data.chunks(size) {
            let memory = &mut bounce.spare_mut()[..chunk.len()];
            memory.copy_from_slice(chunk);
            self.write_aligned(file, alignment, at, memory)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    fn write_aligned(&self, file: &File, alignment: Alignment, offset: u64, data: &[u8]) -> Result<()> {
        let failed = |e: io::Error| Error::from_io("cannot write the file", &e);
        let mut done = 0;
        while done < data.len() {
            if self.refused.load(Ordering::Acquire) {
                return sys::write_all_at(file, offset + done as u64, &data[done..]).map_err(failed);
            }
            match sys::write_some_at(file, offset + done as u64, &data[done..]) {
                // A short write may end within a block, which is then written again.
                Ok(n) if n >= data.len() - done => return Ok(()),
                Ok(n) if n >= alignment.block => done += n / alignment.block * alignment.block,
                Ok(_) => return Err(failed(io::Error::from_raw_os_error(libc::EIO))),
                Err(e) if is_refusal(&e) => self.refuse(file, &e)?,
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(())
    }

    /// Goes on through the page cache; one thread switches, and counts once.
    fn refuse(&self, file: &File, reason: &io::Error) -> Result<()> {
        let _one = lock(&self.switch);
        if !self.refused.load(Ordering::Acquire) {
            self.direct.fall_back(file, reason)?;
            self.refused.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Writes a block that is not whole. What was not given is what the file has there, if anything:
    /// a block that was written before and then in part again.
    fn write_edge(
        &self,
        file: &File,
        alignment: Alignment,
        number: u64,
        edge: &Edge,
        size: u64,
    ) -> Result<()> {
        let offset = number * alignment.block as u64;
        let needed = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX).min(alignment.block);
        if edge.has_first(needed) {
            return self.write_plain(file, alignment, offset, &edge.bytes);
        }
        let mut whole = BufferPool::global().take(alignment.block)?;
        let memory = &mut whole.spare_mut()[..alignment.block];
        memory.fill(0);
        sys::read_some_at(file, offset, memory).map_err(|e| Error::from_io("cannot read the file", &e))?;
        for range in &edge.filled {
            memory[range.clone()].copy_from_slice(&edge.bytes[range.clone()]);
        }
        self.write_plain(file, alignment, offset, memory)
    }
}

impl Edge {
    fn new(block: usize) -> Result<Edge> {
        let mut bytes = BufferPool::global().take(block)?;
        bytes.set_len(block);
        bytes.fill(0);
        Ok(Edge { bytes, filled: Vec::new() })
    }

    /// Whether exactly the first `length` bytes were given.
    fn has_first(&self, length: usize) -> bool {
        matches!(self.filled.as_slice(), [only] if *only == (0..length))
    }

    fn fill(&mut self, start: usize, piece: &[u8]) {
        let mut new = start..start + piece.len();
        self.bytes[new.clone()].copy_from_slice(piece);
        self.filled.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = new.start.min(old.start)..new.end.max(old.end);
            }
            apart
        });
        let at = self.filled.partition_point(|old| old.start < new.start);
        self.filled.insert(at, new);
    }
}

impl DirectSink {
    /// `meanwhile` sees all of `data`, in order.
    fn write(&self, file: &File, offset: u64, data: &[u8], meanwhile: &mut dyn FnMut(&[u8])) -> Result<()> {
        let Some(alignment) = self.alignment else {
            meanwhile(data);
            return sys::write_all_at(file, offset, data)
                .map_err(|e| Error::from_io("cannot write the file", &e));
        };
        let block = alignment.block;
        let start = (offset % block as u64) as usize;
        let head = if start == 0 { 0 } else { (block - start).min(data.len()) };
        let (head, rest) = data.split_at(head);
        let (body, tail) = rest.split_at(rest.len() / block * block);
        meanwhile(head);
        self.keep(file, alignment, offset, head)?;
        self.write_blocks(file, alignment, offset + head.len() as u64, body, meanwhile)?;
        meanwhile(tail);
        self.keep(file, alignment, offset + (head.len() + body.len()) as u64, tail)
    }
}

impl Sink for DirectSink {
    fn write_at(&self, file: &File, offset: u64, data: &[u8]) -> Result<()> {
        self.write(file, offset, data, &mut |_| {})
    }

    fn write_at_checked(&self, file: &File, offset: u64, data: &[u8]) -> Result<Crc32c> {
        let mut crc = Crc32c::new();
        self.write(file, offset, data, &mut |piece| crc.update(piece))?;
        Ok(crc)
    }

    fn finish(&self, file: &File, size: u64) -> Result<()> {
        if let Some(alignment) = self.alignment {
            let mut edges = lock(&self.edges);
            for (number, edge) in edges.iter() {
                self.write_edge(file, alignment, *number, edge, size)?;
            }
            edges.clear();
        }
        let failed = |e| Error::from_io("cannot set the size of the file", &e);
        let written = sys::stat(file.as_fd()).map_err(failed)?.size;
        if written < size {
            return Err(Error::new(
                Code::Internal,
                format!("only {written} of {size} bytes are in the file"),
            ));
        }
        if written > size { file.set_len(size).map_err(failed) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_an_edge_knows_what_it_has() {
        let mut edge = Edge::new(4096).unwrap();
        edge.fill(10, &[1; 10]);
        edge.fill(30, &[2; 10]);
        assert_eq!(edge.filled, [10..20, 30..40]);
        edge.fill(0, &[3; 5]);
        assert_eq!(edge.filled, [0..5, 10..20, 30..40]);
        edge.fill(15, &[4; 20]);
        assert_eq!(edge.filled, [0..5, 10..40]);
        edge.fill(5, &[5; 5]);
        edge.fill(40, &[6; 4056]);
        assert!(edge.has_first(4096) && !edge.has_first(4095));
        assert_eq!((edge.bytes[4], edge.bytes[9], edge.bytes[14], edge.bytes[15]), (3, 5, 1, 4));
    }
}
