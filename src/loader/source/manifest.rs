//! A list of objects in a local text file, which may have more lines than there is memory for.
//!
//! One object per line: the URI, and after tabs its size and its ETag, where they are known. Lines that are
//! empty or start with `#` do not count. The file stays where it is: its pages are the system's page cache, and
//! lines are read from it by position, so that a file that is truncated meanwhile gives an error, not the
//! signal that a memory map would give. Of each [`EVERY`]-th line the offset is kept.

use super::stores::Stores;
use super::{Fingerprint, Indexed, Location, list::no_item};
use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use crate::options::Options;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Lines between two whose offsets are kept.
const EVERY: u64 = 16;
/// The longest line: a key of 1,024 bytes, its root, a size and an ETag fit many times.
const MAX_LINE: usize = 16 << 10;
/// Sizes beyond this are none that any object has.
const LARGEST: u64 = 1 << 62;

#[derive(Debug)]
pub struct Manifest {
    file: File,
    path: PathBuf,
    offsets: Vec<u64>,
    length: u64,
    bytes: u64,
    stores: Stores,
    fingerprint: u64,
}

impl Manifest {
    /// Reads the file once, to find its lines.
    pub fn open(path: &Path, options: &Options) -> Result<Manifest> {
        let context = |e: Error| e.with_context("open", path.display());
        let io = |what: &str, e: &std::io::Error| context(Error::from_io(what, e));
        let file = File::open(path).map_err(|e| io("cannot open the manifest", &e))?;
        let mut manifest = Manifest {
            file,
            path: path.to_owned(),
            offsets: Vec::new(),
            length: 0,
            bytes: 0,
            stores: Stores::new(options),
            fingerprint: 0,
        };
        let copy = manifest.file.try_clone().map_err(|e| io("cannot open the manifest", &e))?;
        let mut reader = BufReader::with_capacity(1 << 20, copy);
        let (mut crc, mut line, mut number) = (Crc32c::new(), Vec::new(), 0u64);
        loop {
            line.clear();
            let read = read_line(&mut reader, &mut line).map_err(|e| io("cannot read the manifest", &e))?;
            if read == 0 {
                break;
            }
            number += 1;
            crc.update(&line);
            let wrong = |e: Error| context(e).with_detail("line", number);
            if let Some(entry) = parse_line(&line).map_err(wrong)? {
                manifest.stores.add(entry.uri).map_err(wrong)?;
                if manifest.length % EVERY == 0 {
                    manifest.offsets.push(manifest.bytes);
                }
                manifest.length += 1;
            }
            manifest.bytes += read as u64;
        }
        manifest.offsets.shrink_to_fit();
        manifest.fingerprint =
            Fingerprint::default().number(u64::from(crc.value())).number(manifest.bytes).value();
        Ok(manifest)
    }

    fn find(&self, index: u64) -> Result<Location> {
        let group = usize::try_from(index / EVERY).unwrap_or(usize::MAX);
        let Some(&start) = self.offsets.get(group).filter(|_| index < self.length) else {
            return Err(no_item(index, self.length));
        };
        let end = self.offsets.get(group + 1).copied().unwrap_or(self.bytes);
        let mut lines = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut lines, start).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => changed("it was truncated"),
            _ => Error::from_io("cannot read the manifest", &e),
        })?;
        let mut wanted = index % EVERY;
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let Some(entry) = parse_line(line)? else { continue };
            if wanted == 0 {
                let mut location = self.stores.locate(entry.uri.to_owned())?;
                location.size = entry.size;
                location.etag = entry.etag.map(str::to_owned);
                return Ok(location);
            }
            wanted -= 1;
        }
        Err(changed("it has fewer lines than it had"))
    }
}

impl Indexed for Manifest {
    fn len(&self) -> u64 {
        self.length
    }

    fn locate(&self, index: u64) -> Result<Location> {
        self.find(index).map_err(|e| e.with_context("open", self.path.display()).with_detail("index", index))
    }

    fn is_blocking(&self) -> Option<bool> {
        self.stores.is_blocking()
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn changed(how: &str) -> Error {
    Error::new(Code::Changed, format!("the manifest changed while it was in use: {how}"))
        .with_hint("write a manifest under another name, or rename it into place; open the dataset anew then")
}

/// One object of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub uri: &'a str,
    pub size: Option<u64>,
    pub etag: Option<&'a str>,
}

/// A line, with or without its end; `None` where it names no object.
pub fn parse_line(line: &[u8]) -> Result<Option<Line<'_>>> {
    let bad = |why: &str| {
        Error::new(Code::Corrupt, format!("a line of the manifest is malformed: {why}"))
            .with_hint("expected a URI, and optionally size and ETag, parted by tabs")
    };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE {
        return Err(bad("it is longer than 16 KiB"));
    }
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| bad("it is not UTF-8"))?;
    let mut fields = line.split('\t');
    let uri = fields.next().unwrap_or_default();
    let size = match fields.next().unwrap_or_default() {
        "" => None,
        size if size.bytes().all(|b| b.is_ascii_digit()) => {
            let size = size.parse().ok().filter(|size| *size <= LARGEST);
            Some(size.ok_or_else(|| bad("the size is no number of bytes that an object can have"))?)
        }
        _ => return Err(bad("the size is no number")),
    };
    let etag = fields.next().filter(|etag| !etag.is_empty());
    if fields.next().is_some() {
        return Err(bad("it has more than three fields"));
    }
    Ok(Some(Line { uri, size, etag }))
}

/// Reads up to and with the next end of a line, but no more than a line may have; how much it was.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    std::io::Read::take(reader, MAX_LINE as u64 + 2).read_until(b'\n', line)
}

/// Writes a manifest; it is there whole or not at all.
#[derive(Debug)]
pub struct ManifestWriter {
    path: PathBuf,
    temporary: PathBuf,
    out: Option<BufWriter<File>>,
    pub count: u64,
}

impl ManifestWriter {
    pub fn create(path: &Path) -> Result<ManifestWriter> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.tmp", crate::base::random::seed()));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary).map_err(|e| {
            Error::from_io("cannot create the manifest", &e).with_context("put", path.display())
        })?;
        let out = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(ManifestWriter { path: path.to_owned(), temporary, out, count: 0 })
    }

    /// One object. `InvalidKey` where its URI does not fit a line.
    pub fn write(&mut self, location: &Location) -> Result<()> {
        let unfit = |c: char| matches!(c, '\t' | '\n' | '\r');
        if location.uri.contains(unfit) || location.uri.len() > MAX_LINE / 2 {
            return Err(Error::new(
                Code::InvalidKey,
                "the key has a tab or an end of line, which no manifest can hold",
            )
            .with_context("list", &location.uri)
            .with_hint("leave the object out with a glob or a regular expression"));
        }
        let size = location.size.map_or(String::new(), |size| size.to_string());
        let etag = location.etag.as_deref().filter(|etag| !etag.contains(unfit)).unwrap_or_default();
        let line = match (size.is_empty(), etag.is_empty()) {
            (true, true) => format!("{}\n", location.uri),
            (false, true) => format!("{}\t{size}\n", location.uri),
            _ => format!("{}\t{size}\t{etag}\n", location.uri),
        };
        self.step("cannot write the manifest", |out| out.write_all(line.as_bytes()))?;
        self.count += 1;
        Ok(())
    }

    /// Puts it in place.
    pub fn finish(mut self) -> Result<u64> {
        self.step("cannot write the manifest", |out| out.flush())?;
        self.step("cannot flush the manifest", |out| out.get_ref().sync_all())?;
        let (from, to) = (self.temporary.clone(), self.path.clone());
        self.step("cannot put the manifest in place", |_| std::fs::rename(&from, &to))?;
        self.out = None;
        Ok(self.count)
    }

    fn step(
        &mut self,
        what: &str,
        step: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<()> {
        let path = &self.path;
        let out = self.out.as_mut();
        let out = out.ok_or_else(|| Error::new(Code::InvalidState, "the manifest is finished"))?;
        step(out).map_err(|e| Error::from_io(what, &e).with_context("put", path.display()))
    }
}

impl Drop for ManifestWriter {
    fn drop(&mut self) {
        if self.out.take().is_some()
            && let Err(error) = std::fs::remove_file(&self.temporary)
        {
            tracing::warn!(%error, path = %self.temporary.display(), "a part of a manifest was left");
        }
    }
}
