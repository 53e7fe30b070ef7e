//! zstd as steps over the caller's memory: no I/O, no buffers of our own.

use crate::base::buffer::{Buffer, BufferPool};
use crate::error::{Code, Error, Result};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

/// What a compressed key ends in.
pub(super) const SUFFIX: &str = ".zst";
/// The largest window that is decompressed, as a power of two: 128 MiB, what every level from 1 to
/// 22 keeps to. A stranger's frame cannot make us allocate more.
const MAX_WINDOW_LOG: u32 = 27;

/// How far a step came: bytes taken from the input, bytes given to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) taken: usize,
    pub(super) given: usize,
}

/// Makes one frame, with zstd's own content checksum.
pub(super) struct Compressor(CCtx<'static>);

impl Compressor {
    /// `level` from 1 to 22.
    pub(super) fn new(level: i32) -> Result<Compressor> {
        let mut context = CCtx::try_create().ok_or_else(no_memory)?;
        for parameter in [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)] {
            context.set_parameter(parameter).map_err(broken)?;
        }
        Ok(Compressor(context))
    }

    /// Says before the first step how much input there will be: the frame's header then tells.
    pub(super) fn pledge(&mut self, bytes: u64) -> Result<()> {
        self.0.set_pledged_src_size(Some(bytes)).map(drop).map_err(broken)
    }

    /// Compresses as much of `input` as `out` has room for.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut input = InBuffer::around(input);
        let mut out = OutBuffer::around(out);
        self.0.compress_stream(&mut out, &mut input).map_err(broken)?;
        Ok(Step { taken: input.pos(), given: out.pos() })
    }

    /// Ends the frame as far as `out` has room: bytes given, and whether it is complete.
    pub(super) fn end(&mut self, out: &mut [u8]) -> Result<(usize, bool)> {
        let mut out = OutBuffer::around(out);
        let left = self.0.end_stream(&mut out).map_err(broken)?;
        Ok((out.pos(), left == 0))
    }
}

/// Takes one frame after the other.
pub(super) struct Decompressor {
    context: DCtx<'static>,
    /// At the end of a frame, with at least one complete.
    complete: bool,
}

impl Decompressor {
    pub(super) fn new() -> Result<Decompressor> {
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(broken)?;
        Ok(Decompressor { context, complete: false })
    }

    /// Back to before the first frame.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.complete = false;
        self.context.reset(ResetDirective::SessionOnly).map(drop).map_err(broken)
    }

    /// Decompresses as much of `input` as `out` has room for. `Corrupt` where it is no zstd,
    /// `Unsupported` where its window is too large.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step> {
        let mut input = InBuffer::around(input);
        let mut out = OutBuffer::around(out);
        let left = self.context.decompress_stream(&mut out, &mut input).map_err(|code| {
            match zstd_safe::get_error_name(code) {
                text if text.contains("too much memory") => Error::new(
                    Code::Unsupported,
                    format!("the zstd frame has too large a window: {text}"),
                )
                .with_hint(
                    "windows up to 128 MiB are read; set reader.decompress to false for the stored bytes",
                ),
                text => Error::new(Code::Corrupt, format!("the zstd stream is malformed: {text}")),
            }
        })?;
        // A step that did nothing asks for the next frame; it does not begin one.
        let step = Step { taken: input.pos(), given: out.pos() };
        if step.taken + step.given > 0 {
            self.complete = left == 0;
        }
        Ok(step)
    }

    /// Whether the input may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// The plain bytes of a whole compressed object. Memory grows with what comes out, whatever the header says.
pub fn decompress(stored: &[u8]) -> Result<Buffer> {
    let truncated = || Error::new(Code::Truncated, "the zstd stream ends in the middle of a frame");
    let pool = BufferPool::global();
    let told = plain_size(stored).and_then(|size| usize::try_from(size).ok());
    // Real data rarely shrinks to a thousandth: a header that claims it does not decide how much memory there is.
    let likely = stored.len().saturating_mul(1000).max(1 << 20);
    let mut plain = pool.take(told.unwrap_or(stored.len().saturating_mul(4)).clamp(1, likely))?;
    let mut decompressor = Decompressor::new()?;
    let (mut at, mut filled) = (0, 0);
    loop {
        let step = decompressor.step(&stored[at..], &mut plain.spare_mut()[filled..])?;
        (at, filled) = (at + step.taken, filled + step.given);
        plain.set_len(filled);
        if at == stored.len() && decompressor.is_complete() {
            return Ok(plain);
        }
        if filled == plain.capacity() {
            let mut larger = pool.take(filled.saturating_mul(2))?;
            larger.extend_from_slice(&plain);
            plain = larger;
        } else if step.taken + step.given == 0 {
            return Err(truncated());
        }
    }
}

/// The plain size of a whole object, where it is a single frame whose header tells.
pub(super) fn plain_size(object: &[u8]) -> Option<u64> {
    let frame = zstd_safe::find_frame_compressed_size(object).ok()?;
    if frame != object.len() {
        return None;
    }
    zstd_safe::get_frame_content_size(object).ok().flatten()
}

fn no_memory() -> Error {
    Error::new(Code::OutOfMemory, "there is no memory for a zstd context")
}

fn broken(code: usize) -> Error {
    match zstd_safe::get_error_name(code) {
        text if text.contains("llocation") => no_memory(),
        text => Error::new(Code::Internal, format!("zstd refused a step: {text}")),
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(data: &[u8], level: i32, pledged: bool) -> Vec<u8> {
        let mut compressor = Compressor::new(level).unwrap();
        if pledged {
            compressor.pledge(data.len() as u64).unwrap();
        }
        let (mut stored, mut out, mut at) = (Vec::new(), [0; 100], 0);
        while at < data.len() {
            let step = compressor.step(&data[at..], &mut out).unwrap();
            stored.extend_from_slice(&out[..step.given]);
            at += step.taken;
        }
        loop {
            let (given, done) = compressor.end(&mut out).unwrap();
            stored.extend_from_slice(&out[..given]);
            if done {
                return stored;
            }
        }
    }

    #[test]
    fn w4_frames_round_trip_in_small_steps_and_tell_where_they_end() {
        let data: Vec<u8> = (0..40_000u32).map(|i| (i * i >> 7) as u8).collect();
        let mut stored = compress(&data, 3, true);
        assert_eq!(plain_size(&stored), Some(data.len() as u64));
        assert_eq!(plain_size(&stored[..stored.len() - 1]), None);
        assert_eq!(plain_size(&compress(&data, 22, false)), None);
        stored.extend(compress(&data, 1, false));
        assert_eq!(plain_size(&stored), None, "two frames");

        let mut decompressor = Decompressor::new().unwrap();
        let (mut plain, mut out, mut at) = (Vec::new(), [0; 77], 0);
        assert!(!decompressor.is_complete());
        loop {
            let end = stored.len().min(at + 50);
            let step = decompressor.step(&stored[at..end], &mut out).unwrap();
            plain.extend_from_slice(&out[..step.given]);
            at += step.taken;
            if at == stored.len() && step.given == 0 {
                break;
            }
        }
        assert!(decompressor.is_complete());
        assert_eq!(plain, [data.clone(), data].concat());
    }

    #[test]
    fn w4_garbage_is_corrupt() {
        let error = Decompressor::new().unwrap().step(b"this is not zstd", &mut [0; 64]).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt);
    }
}
