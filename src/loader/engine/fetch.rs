//! One item's bytes.

use super::super::batch::{Field, Sample};
use super::super::source::{Indexed, Location};
use super::Bounds;
use crate::base::buffer::Buffer;
use crate::base::checksum::{Crc32c, format_crc32c};
use crate::error::{Code, Error, Result};
use crate::store::ObjectMeta;
use crate::transfer;
use bytes::Bytes;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

/// How large objects are whose size nobody knows before they come: so much of the next one is asked for at once, so that
/// most come in one request and none holds room for long that it does not take.
#[derive(Debug, Default)]
pub struct Sizes {
    /// The largest of the last few hundred; 0 before the first.
    largest: AtomicU64,
}

impl Sizes {
    /// Objects that are smaller by far take its place after so many of them.
    const MEMORY: u64 = 256;
    /// Less is never asked for.
    const LEAST: u64 = 64 << 10;

    fn expected(&self, bounds: &Bounds) -> u64 {
        match self.largest.load(Ordering::Relaxed) {
            0 => bounds.first(),
            largest => largest.next_power_of_two().clamp(Sizes::LEAST, bounds.first()),
        }
    }

    /// Lanes may overwrite what another one saw at the same moment: it is an estimate.
    fn saw(&self, size: u64) {
        let (size, largest) = (size.max(1), self.largest.load(Ordering::Relaxed));
        let next = if size >= largest { size } else { largest - (largest - size) / Sizes::MEMORY };
        if next != largest {
            self.largest.store(next, Ordering::Relaxed);
        }
    }
}

/// Fetches what `location` names; `admit` is awaited with the number of its bytes before there is memory for
/// more than [`Bounds::first`] of them.
pub async fn fetch_one<F: Future<Output = ()>>(
    location: &Location,
    bounds: &Bounds,
    sizes: &Sizes,
    mut admit: impl FnMut(u64) -> F,
) -> Result<Bytes> {
    let range = location.range.unwrap_or((0, u64::MAX));
    let if_match = location.etag.as_deref().filter(|_| bounds.validate);
    let known = location.expected();
    let first = known.unwrap_or_else(|| sizes.expected(bounds));
    admit(first).await;
    let got = transfer::get_admitted(&location.store, location.key(), range, if_match, first, &mut admit);
    let (data, meta) = got.await?;
    if known.is_none() {
        sizes.saw(data.len() as u64);
    }
    check(location, &data, Some(&meta), bounds)?;
    plain(location, data, bounds, admit).await
}

/// The sample's bytes out of the object's.
pub async fn plain<F: Future<Output = ()>>(
    location: &Location,
    data: Buffer,
    bounds: &Bounds,
    mut admit: impl FnMut(u64) -> F,
) -> Result<Bytes> {
    if !bounds.decompress || location.range.is_some() || !location.uri.ends_with(".zst") {
        return Ok(data.into_bytes());
    }
    let plain = transfer::decompress(&data).map_err(|e| e.with_context("get", &location.uri))?;
    drop(data);
    admit(plain.len() as u64).await;
    Ok(plain.into_bytes())
}

/// Compares what came with what was known of it: always the length of a range, the rest as `loader.validate` asks.
pub fn check(location: &Location, data: &[u8], meta: Option<&ObjectMeta>, bounds: &Bounds) -> Result<()> {
    let context = |e: Error| e.with_context("get", &location.uri);
    if let Some((offset, length)) = location.range
        && data.len() as u64 != length
    {
        let message = format!("{} bytes came from offset {offset}, but {length} were expected", data.len());
        return Err(context(Error::new(Code::Truncated, message)));
    }
    if !bounds.validate {
        return Ok(());
    }
    let size = meta.map_or(data.len() as u64, |meta| meta.size);
    if let Some(expected) = location.size.filter(|expected| *expected != size) {
        let message = format!("the object has {size} bytes, but {expected} were listed");
        return Err(context(Error::new(Code::Changed, message).with_hint("list the dataset again")));
    }
    if let Some(expected) = meta.and_then(|meta| meta.crc32c).filter(|_| location.range.is_none()) {
        let found = Crc32c::of(data).value();
        if found != expected {
            let (found, expected) = (format_crc32c(found), format_crc32c(expected));
            let message = format!("the object's CRC32C is {found}, but its store recorded {expected}");
            return Err(context(Error::new(Code::ChecksumMismatch, message)));
        }
    }
    Ok(())
}

/// The sample of an item.
pub fn sample(source: Option<&dyn Indexed>, index: u64, location: Location, data: Bytes) -> Result<Sample> {
    let fields = match source {
        Some(source) => source.decode(&location, data).map_err(|e| e.with_context("get", &location.uri))?,
        None => vec![Field { name: String::new(), data }],
    };
    Ok(Sample { uri: location.uri, name: location.name, index, fields })
}

/// An item's error: with its number, which nothing below knows.
pub fn failure(index: u64, error: Error) -> Error {
    error.with_operation("get").with_detail("index", index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::policy::Policy;
    use crate::options::Options;

    #[test]
    fn what_is_asked_for_follows_what_came() {
        let policy = Policy::new(&Options::new().resolve().unwrap()).unwrap();
        let (bounds, sizes) = (Bounds::new(&policy, 64), Sizes::default());
        let first = bounds.first();
        assert_eq!(sizes.expected(&bounds), first, "nothing came yet");
        sizes.saw(0);
        assert_eq!(sizes.expected(&bounds), Sizes::LEAST);
        sizes.saw(115 << 10);
        assert_eq!(sizes.expected(&bounds), 128 << 10);
        sizes.saw(1 << 30);
        assert_eq!(sizes.expected(&bounds), first, "never more than that");
        (0..20 * Sizes::MEMORY).for_each(|_| sizes.saw(1000));
        assert_eq!(sizes.expected(&bounds), Sizes::LEAST, "one large one is forgotten");
    }
}
