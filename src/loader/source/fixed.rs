//! Files of records of one size: numbers and offsets, nothing to parse.

use super::{Fingerprint, Indexed, Location, RecordFormat, RecordStream, no_such_way};
use crate::error::{Code, Error, Result};
use crate::loader::params::DatasetParams;
use crate::loader::source::list::no_item;
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;

/// Sizes that are asked for at once.
const AT_ONCE: usize = 32;

/// Records of `size` bytes after the first `skip` of each file.
#[derive(Clone, Copy, Debug)]
pub struct FixedRecords {
    size: u64,
    skip: u64,
}

impl FixedRecords {
    pub fn new(params: &DatasetParams) -> Result<FixedRecords> {
        if params.record_size == 0 {
            return Err(Error::new(
                Code::InvalidArgument,
                "record_size is 0; expected the bytes of a record",
            ));
        }
        Ok(FixedRecords { size: params.record_size, skip: params.skip_bytes })
    }

    /// How many records a file of `bytes` has.
    fn records(self, file: &Location, bytes: u64) -> Result<u64> {
        let data = bytes.checked_sub(self.skip).filter(|data| data.is_multiple_of(self.size));
        data.map(|data| data / self.size).ok_or_else(|| {
            let message =
                format!("the file has {bytes} bytes; expected {} and a multiple of {}", self.skip, self.size);
            Error::new(Code::Corrupt, message).with_context("open", &file.uri)
        })
    }
}

#[async_trait]
impl RecordFormat for FixedRecords {
    async fn open(&self, _file: &Location) -> Result<Box<dyn RecordStream>> {
        Err(no_such_way("reading fixed-size records in sequence", "their places are known: take index()"))
    }

    /// Sizes come from the listing or manifest, else each file is asked for its own.
    async fn index(&self, files: Vec<Location>) -> Result<Arc<dyn Indexed>> {
        let sized = stream::iter(files).map(|mut file| async move {
            if file.size.is_none() {
                file.size = Some(file.store.stat(file.key()).await?.size);
            }
            Ok::<_, Error>(file)
        });
        let files: Vec<Location> = sized.buffered(AT_ONCE).try_collect().await?;
        let (mut ends, mut total) = (Vec::with_capacity(files.len()), 0u64);
        let mut fingerprint = Fingerprint::default();
        for file in &files {
            let records = self.records(file, file.size.unwrap_or_default())?;
            total = total
                .checked_add(records)
                .ok_or_else(|| Error::new(Code::InvalidArgument, "the files have more than 2^64 records"))?;
            ends.push(total);
            fingerprint = fingerprint.add(file.uri.as_bytes()).number(records);
        }
        Ok(Arc::new(Fixed { files, ends, of: *self, fingerprint: fingerprint.value() }))
    }

    fn is_indexed(&self) -> bool {
        true
    }
}

/// The records of all files, in their order.
#[derive(Debug)]
struct Fixed {
    files: Vec<Location>,
    /// How many records there are up to the end of each file.
    ends: Vec<u64>,
    of: FixedRecords,
    fingerprint: u64,
}

impl Indexed for Fixed {
    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn locate(&self, index: u64) -> Result<Location> {
        let at = self.ends.partition_point(|end| *end <= index);
        let file = self.files.get(at).ok_or_else(|| no_item(index, self.len()))?;
        let record = index - if at == 0 { 0 } else { self.ends[at - 1] };
        Ok(file.part(self.of.skip + record * self.of.size, self.of.size, record.to_string()))
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}
