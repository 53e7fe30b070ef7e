//! Which bytes of which shard go where: boxes are cut out of the parts that hold them, and pieces that lie close
//! together become one read.

use super::super::manifest::{Entry, Manifest, Part};
use super::super::tensor::Region;
use crate::base::buffer::Window;
use crate::error::{Code, Error, Result};
use std::collections::HashMap;

/// Pieces of at least so many bytes are read by themselves, straight into the caller's memory.
const DIRECT: usize = 256 << 10;
/// The most that one read brings into memory of ours.
const GATHERED: u64 = 4 << 20;
/// Longer pieces are cut: several requests at once from a service; from a file, what stays in the cache while
/// it is checksummed.
const PIECE_REMOTE: usize = 8 << 20;
const PIECE_LOCAL: usize = 1 << 20;

/// A box of an entry and where it goes.
#[derive(Debug)]
pub struct Wanted {
    pub entry: usize,
    pub region: Region,
    pub rank: Option<u32>,
    pub window: Window,
}

/// A contiguous piece of a shard that goes to a contiguous piece of memory.
#[derive(Debug)]
pub struct Piece {
    /// In the shard, before compression.
    pub offset: u64,
    pub window: Window,
    /// Index into [`Plan::checks`], where the whole part is read.
    pub check: Option<usize>,
}

/// One read: its pieces ascend.
#[derive(Debug)]
pub struct Read {
    pub shard: usize,
    pub pieces: Vec<Piece>,
}

impl Read {
    pub fn begin(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.offset)
    }

    pub fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.offset + piece.window.len() as u64)
    }
}

/// A part whose checksum will be known.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub entry: usize,
    pub shard: usize,
    pub offset: u64,
    pub expected: u32,
}

/// Everything that a load does.
#[derive(Debug)]
pub struct Plan {
    /// By shard, then by offset.
    pub reads: Vec<Read>,
    pub checks: Vec<Check>,
}

impl Plan {
    /// `waste`: how much more than needed may be read, in percent, to save requests.
    pub fn make(manifest: &Manifest, wanted: Vec<Wanted>, waste: u64, local: bool) -> Result<Plan> {
        let mut by_shard: Vec<Vec<Piece>> = (0..manifest.shards.len()).map(|_| Vec::new()).collect();
        let mut checks = Vec::new();
        let longest = if local { PIECE_LOCAL } else { PIECE_REMOTE };
        for Wanted { entry: at, region, rank, window } in wanted {
            let entry = &manifest.entries[at];
            let mut runs = Vec::new();
            for (part, covered) in cover(manifest, entry, &region, rank)? {
                let shard = part.shard as usize;
                let check = (covered == part.region()).then(|| {
                    checks.push(Check { entry: at, shard, offset: part.offset, expected: part.crc32c });
                    checks.len() - 1
                });
                runs_of(entry.dtype.size(), part, &region, &covered, check, &mut runs);
            }
            runs.sort_unstable_by_key(|run| run.to);
            let mut rest = window;
            for run in runs {
                let length = usize::try_from(run.length).unwrap_or(usize::MAX);
                let (mut piece, more) = rest.split_at(length);
                rest = more;
                let (mut offset, shard) = (run.from, run.shard);
                loop {
                    let (now, later) = piece.split_at(longest);
                    let length = now.len() as u64;
                    by_shard[shard].push(Piece { offset, window: now, check: run.check });
                    if later.is_empty() {
                        break;
                    }
                    (piece, offset) = (later, offset + length);
                }
            }
        }
        let mut reads = Vec::new();
        for (shard, mut pieces) in by_shard.into_iter().enumerate() {
            pieces.retain(|piece| !piece.window.is_empty());
            pieces.sort_unstable_by_key(|piece| piece.offset);
            gather(shard, pieces, waste, &mut reads);
        }
        Ok(Plan { reads, checks })
    }
}

/// Bytes from a shard to a place in the request's memory.
struct Run {
    shard: usize,
    from: u64,
    to: u64,
    length: u64,
    check: Option<usize>,
}

/// The parts that together hold the box, each with what is taken from it; nothing is taken twice.
fn cover<'a>(
    manifest: &Manifest,
    entry: &'a Entry,
    region: &Region,
    rank: Option<u32>,
) -> Result<Vec<(&'a Part, Region)>> {
    let rank_of = |part: &Part| manifest.shards.get(part.shard as usize).map_or(0, |shard| shard.rank);
    let mut missing = vec![region.clone()];
    if region.is_empty() {
        missing.clear();
    }
    let mut taken: Vec<(&Part, Region)> = Vec::new();
    let mut boxes: HashMap<Region, &Part> = HashMap::new();
    for part in entry.parts.iter().filter(|part| rank.is_none_or(|rank| rank_of(part) == rank)) {
        let whole = part.region();
        if whole.intersect(region).is_none() {
            continue;
        }
        let other = *boxes.entry(whole.clone()).or_insert(part);
        if other.crc32c != part.crc32c {
            let message = format!(
                "the entry {:?} has different values on ranks {} and {}",
                entry.name,
                rank_of(other),
                rank_of(part)
            );
            return Err(
                Error::new(Code::InvalidArgument, message).with_hint("name the rank whose value is wanted")
            );
        }
        let mut left = Vec::new();
        for piece in missing {
            match piece.intersect(&whole) {
                Some(both) => {
                    left.extend(piece.without(&both));
                    taken.push((part, both));
                }
                None => left.push(piece),
            }
        }
        missing = left;
    }
    match missing.first() {
        None => Ok(taken),
        Some(hole) => {
            let of = rank.map_or(String::new(), |rank| format!(" on rank {rank}"));
            let message = format!(
                "the checkpoint has no elements of {:?} from {:?} of shape {:?}{of}",
                entry.name, hole.start, hole.shape
            );
            Err(Error::new(Code::NotFound, message))
        }
    }
}

/// The runs of bytes that are contiguous both in the part and in the memory of the box `region`.
fn runs_of(
    size: u64,
    part: &Part,
    region: &Region,
    covered: &Region,
    check: Option<usize>,
    runs: &mut Vec<Run>,
) {
    let axes = covered.shape.len();
    // Axes from here on are whole in both: they make up one run together with the axis before.
    let mut inner = axes;
    while inner > 0 {
        let axis = inner - 1;
        let whole = covered.shape[axis] == part.shape[axis] && covered.shape[axis] == region.shape[axis];
        inner -= 1;
        if !whole {
            break;
        }
    }
    let length: u64 = covered.shape[inner..].iter().product::<u64>() * size;
    let strides = |shape: &[u64]| {
        let mut strides = vec![size; axes];
        for axis in (1..axes).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        strides
    };
    let (from_strides, to_strides) = (strides(&part.shape), strides(&region.shape));
    let first = |origin: &[u64], strides: &[u64]| -> u64 {
        (0..axes).map(|axis| (covered.start[axis] - origin[axis]) * strides[axis]).sum()
    };
    let (from, to) = (part.offset + first(&part.start, &from_strides), first(&region.start, &to_strides));
    let mut index = vec![0_u64; inner];
    loop {
        let at = |strides: &[u64]| -> u64 { index.iter().zip(strides).map(|(i, stride)| i * stride).sum() };
        let (from, to) = (from + at(&from_strides), to + at(&to_strides));
        runs.push(Run { shard: part.shard as usize, from, to, length, check });
        let mut axis = inner;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < covered.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Makes reads of pieces that ascend: small ones that lie close together share one.
fn gather(shard: usize, pieces: Vec<Piece>, waste: u64, reads: &mut Vec<Read>) {
    let mut open: Option<(Read, u64)> = None; // with the bytes that are needed of it
    for piece in pieces {
        let length = piece.window.len() as u64;
        let end = piece.offset + length;
        if piece.window.len() >= DIRECT {
            reads.extend(open.take().map(|(read, _)| read));
            reads.push(Read { shard, pieces: vec![piece] });
            continue;
        }
        if let Some((read, needed)) = &mut open {
            // Pieces of one read must not overlap: the same bytes may be wanted twice.
            let total = end.saturating_sub(read.begin());
            let allowed = (*needed + length).saturating_mul(100 + waste) / 100;
            if piece.offset >= read.end() && total <= GATHERED && total <= allowed {
                read.pieces.push(piece);
                *needed += length;
                continue;
            }
        }
        reads.extend(open.take().map(|(read, _)| read));
        open = Some((Read { shard, pieces: vec![piece] }, length));
    }
    reads.extend(open.map(|(read, _)| read));
}
