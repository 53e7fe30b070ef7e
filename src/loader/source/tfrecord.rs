//! TFRecord files. With an index beside each file their records are items, of which every one is a range of its
//! file; without, they are read in sequence. Every checksum is held either way.

use super::chunks::Chunks;
use super::{Fingerprint, Indexed, Location, Record, RecordFormat, RecordStream};
use crate::error::{Code, Error, Result};
use crate::formats::{index, tfrecord};
use crate::loader::batch::Field;
use crate::transfer;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;

/// How many index files are read at once.
const AT_ONCE: usize = 32;

/// The format, with what index files are called.
#[derive(Clone, Debug, Default)]
pub struct TfRecord {
    /// What an index file's key has after that of its file; empty: there are none.
    suffix: String,
}

impl TfRecord {
    /// `suffix` such as `.idx`; `None` or empty: no index files.
    pub fn new(suffix: Option<&str>) -> TfRecord {
        TfRecord { suffix: suffix.unwrap_or_default().to_owned() }
    }

    /// Where the records of one file end.
    async fn ends(&self, file: Location) -> Result<(Location, Vec<u64>)> {
        let ends = match self.suffix.is_empty() {
            true => scan(&file).await?,
            false => self.read(&file).await?,
        };
        Ok((file, ends))
    }

    async fn read(&self, file: &Location) -> Result<Vec<u64>> {
        let size = match file.size {
            Some(size) => size,
            None => file.store.stat(file.key()).await.map_err(|e| e.with_context("index", &file.uri))?.size,
        };
        let key = format!("{}{}", file.key(), self.suffix);
        let bytes = transfer::get(&file.store, &key).await.map_err(|error| match error.code() {
            Code::NotFound => {
                error.with_hint("write an index beside every file, or leave the index option away")
            }
            _ => error,
        })?;
        let entries = index::read(&bytes, index::kind_of(&bytes), Some(size));
        let entries = entries.map_err(|e| e.with_context("index", format!("{}{}", file.uri, self.suffix)))?;
        Ok(entries.iter().map(index::Entry::end).collect())
    }
}

/// Reads the whole file: there is no other way to know.
async fn scan(file: &Location) -> Result<Vec<u64>> {
    let mut records = Records::open(file).await?;
    let mut ends = Vec::new();
    while let Some(record) = records.record().await? {
        ends.push(record.offset + record.frame());
    }
    Ok(ends)
}

#[async_trait]
impl RecordFormat for TfRecord {
    async fn open(&self, file: &Location) -> Result<Box<dyn RecordStream>> {
        Ok(Box::new(Records::open(file).await?))
    }

    async fn index(&self, files: Vec<Location>) -> Result<Arc<dyn Indexed>> {
        let mut frames = Frames::default();
        let mut found = stream::iter(files).map(|file| self.ends(file)).buffered(AT_ONCE);
        while let Some((file, ends)) = found.try_next().await? {
            if !ends.is_empty() {
                frames.firsts.push(frames.ends.len() as u64);
                frames.ends.extend(ends);
                frames.files.push(file);
            }
        }
        Ok(Arc::new(frames))
    }

    fn is_indexed(&self) -> bool {
        !self.suffix.is_empty()
    }
}

/// A file that is read in sequence.
struct Records {
    uri: String,
    chunks: Chunks,
    parser: tfrecord::Parser,
    number: u64,
    over: bool,
}

impl Records {
    async fn open(file: &Location) -> Result<Records> {
        let chunks = Chunks::open(file).await?;
        let parser = tfrecord::Parser::default();
        Ok(Records { uri: file.uri.clone(), chunks, parser, number: 0, over: false })
    }

    async fn record(&mut self) -> Result<Option<tfrecord::Record>> {
        if self.over {
            return Ok(None);
        }
        let outcome = self.step().await;
        self.over = !matches!(outcome, Ok(Some(_)));
        self.number += 1;
        outcome.map_err(|e| e.with_context("read", &self.uri).with_detail("record", self.number - 1))
    }

    async fn step(&mut self) -> Result<Option<tfrecord::Record>> {
        loop {
            let mut rest = self.chunks.rest();
            let record = self.parser.next(&mut rest)?;
            let left = rest.len();
            self.chunks.keep(left);
            if record.is_some() {
                return Ok(record);
            }
            if !self.chunks.fill().await? {
                self.parser.finish()?;
                return Ok(None);
            }
        }
    }
}

#[async_trait]
impl RecordStream for Records {
    async fn next(&mut self) -> Result<Option<Record>> {
        let Some(record) = self.record().await? else { return Ok(None) };
        let field = Field { name: String::new(), data: Bytes::from(record.data) };
        Ok(Some(Record { name: (self.number - 1).to_string(), fields: vec![field] }))
    }
}

/// The records of many files. They follow each other without gaps, so their ends say all.
#[derive(Debug, Default)]
struct Frames {
    files: Vec<Location>,
    /// The number of each file's first record.
    firsts: Vec<u64>,
    ends: Vec<u64>,
}

impl Indexed for Frames {
    fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    fn locate(&self, index: u64) -> Result<Location> {
        let at = self.firsts.partition_point(|first| *first <= index).checked_sub(1);
        let found =
            at.and_then(|at| Some((self.files.get(at)?, self.firsts[at], *self.ends.get(index as usize)?)));
        let Some((file, first, end)) = found else { return Err(out_of_bounds(index, self.len())) };
        let begin = if index == first { 0 } else { self.ends[index as usize - 1] };
        Ok(file.part(begin, end - begin, (index - first).to_string()))
    }

    fn decode(&self, location: &Location, data: Bytes) -> Result<Vec<Field>> {
        let at = location.range.map_or(0, |(offset, _)| offset);
        let range = tfrecord::record_of(&data, at).map_err(|e| e.with_context("read", &location.uri))?;
        Ok(vec![Field { name: String::new(), data: data.slice(range) }])
    }

    fn fingerprint(&self) -> u64 {
        let mut print = Fingerprint::default().add(b"tfrecord");
        for (at, file) in self.files.iter().enumerate() {
            print = print.add(file.key().as_bytes()).number(self.firsts[at]);
        }
        self.ends.iter().fold(print, |print, end| print.number(*end)).value()
    }
}

pub(super) fn out_of_bounds(index: u64, len: u64) -> Error {
    let message = format!("there is no item {index}; the dataset has {len}");
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::super::chunks::testing::{fetch, files, put};
    use super::*;
    use crate::runtime::block_on;

    const RECORDS: [&[u8]; 4] = [b"", b"a", b"hello", &[7; 700_000]];

    fn file() -> Vec<u8> {
        let mut out = Vec::new();
        RECORDS.iter().for_each(|record| tfrecord::append(&mut out, record));
        out
    }

    async fn streamed(file: &Location) -> Result<Vec<(String, Bytes)>> {
        let mut stream = TfRecord::default().open(file).await?;
        let mut found = Vec::new();
        while let Some(mut record) = stream.next().await? {
            found.push((record.name, record.fields.remove(0).data));
        }
        assert!(stream.next().await?.is_none());
        Ok(found)
    }

    #[test]
    fn l1_records_in_sequence_and_by_index_are_the_same() {
        let all = files("tfrecord", &["a.tfr", "b.tfr", "empty.tfr"]);
        block_on(async {
            let file = file();
            for (at, location) in all.iter().enumerate() {
                let bytes = if at == 2 { &[][..] } else { &file };
                put(location, "", bytes).await;
                let kind = if at == 0 { index::Kind::Pairs } else { index::Kind::Text };
                put(location, ".idx", &index::write(&index::build(bytes).unwrap(), kind)).await;
            }
            let mut expected = Vec::new();
            for location in &all {
                expected.extend(streamed(location).await.unwrap());
            }
            assert_eq!((expected.len(), &expected[6].0[..], &expected[6].1[..]), (8, "2", &b"hello"[..]));
            for suffix in [Some(".idx"), None] {
                let format = TfRecord::new(suffix);
                assert_eq!(format.is_indexed(), suffix.is_some());
                let items = format.index(all.clone()).await.unwrap();
                assert_eq!(fetch(&*items).await.unwrap(), expected);
                assert!(items.locate(8).is_err());
            }
        })
        .unwrap();
    }

    #[test]
    fn l1_damage_is_an_error_with_its_place() {
        let all = files("tfrecord-damage", &["a.tfr"]);
        block_on(async {
            let mut bytes = file();
            put(&all[0], ".idx", &index::write(&index::build(&bytes).unwrap(), index::Kind::Pairs)).await;
            bytes[30] ^= 1;
            put(&all[0], "", &bytes).await;
            let mut stream = TfRecord::default().open(&all[0]).await.unwrap();
            assert!(stream.next().await.unwrap().is_some());
            let error = stream.next().await.unwrap_err();
            assert_eq!((error.code(), error.uri()), (Code::ChecksumMismatch, Some(&all[0].uri[..])));
            assert!(stream.next().await.unwrap().is_none());
            let items = TfRecord::new(Some(".idx")).index(all.clone()).await.unwrap();
            assert_eq!(fetch(&*items).await.unwrap_err().code(), Code::ChecksumMismatch);
            // Cut off: the sequence says so at its end, the index before its first item.
            put(&all[0], "", &file()[..1000]).await;
            assert_eq!(streamed(&all[0]).await.unwrap_err().code(), Code::Truncated);
            assert_eq!(
                TfRecord::new(Some(".idx")).index(all.clone()).await.unwrap_err().code(),
                Code::Corrupt
            );
            let error = TfRecord::new(Some(".none")).index(all.clone()).await.unwrap_err();
            assert!(error.code() == Code::NotFound && error.hint().is_some());
        })
        .unwrap();
    }
}
