//! NPZ files: every member is an item, whose bytes are an NPY file, unpacked and checked. The directory of each file is
//! read once, from its end.

use super::tfrecord::out_of_bounds;
use super::{Fingerprint, Indexed, Location, RecordFormat, RecordStream, no_such_way};
use crate::error::{Code, Error, Result};
use crate::formats::{Step, npz, zip};
use crate::loader::batch::Field;
use crate::transfer;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::Arc;

/// How many directories are read at once.
const AT_ONCE: usize = 32;

/// The format, with which members are items.
#[derive(Clone, Debug, Default)]
pub struct Npz {
    member: Option<String>,
}

impl Npz {
    /// Only members of this name, with `.npy` or without; `None`: all of them.
    pub fn new(member: Option<&str>) -> Npz {
        let member = member.filter(|member| !member.is_empty());
        Npz { member: member.map(|member| npz::array_of(member).to_owned()) }
    }

    async fn members(&self, file: Location) -> Result<(Location, Vec<zip::Member>)> {
        let context = |e: Error| e.with_context("index", &file.uri);
        let size = match file.size {
            Some(size) => size,
            None => file.store.stat(file.key()).await.map_err(context)?.size,
        };
        let mut from = size.saturating_sub(zip::USUAL_TAIL);
        let mut members = loop {
            let tail = match size {
                0 => None,
                _ => Some(
                    transfer::get_range(&file.store, file.key(), from, size - from).await.map_err(context)?,
                ),
            };
            let tail = tail.as_deref().unwrap_or_default();
            if tail.len() as u64 != size - from {
                let message = format!("the file has no longer {size} bytes");
                return Err(context(Error::new(Code::Changed, message).with_hint("list it again")));
            }
            match zip::members(tail, size).map_err(context)? {
                Step::Done(members) => break members,
                Step::Need(range) => from = range.start,
            }
        };
        if let Some(name) = &self.member {
            members.retain(|member| npz::array_of(&member.name) == name);
            if members.is_empty() {
                let error = Error::new(Code::NotFound, format!("the NPZ file has no member {name:?}"));
                return Err(context(error.with_hint("leave the member option away to draw all members")));
            }
        }
        Ok((file, members))
    }
}

#[async_trait]
impl RecordFormat for Npz {
    async fn open(&self, _file: &Location) -> Result<Box<dyn RecordStream>> {
        Err(no_such_way("to read NPZ files in sequence", "their members are items; the dataset is indexed"))
    }

    async fn index(&self, files: Vec<Location>) -> Result<Arc<dyn Indexed>> {
        let mut items = Members::default();
        let mut found = stream::iter(files).map(|file| self.members(file)).buffered(AT_ONCE);
        while let Some((file, members)) = found.try_next().await? {
            if !members.is_empty() {
                // One that is listed twice has its members twice.
                items.by_uri.entry(file.uri.clone()).or_insert(items.files.len());
                items.firsts.push(items.count);
                items.count += members.len() as u64;
                items.files.push((file, members));
            }
        }
        Ok(Arc::new(items))
    }

    fn is_indexed(&self) -> bool {
        true
    }
}

#[derive(Debug, Default)]
struct Members {
    files: Vec<(Location, Vec<zip::Member>)>,
    /// The number of each file's first member.
    firsts: Vec<u64>,
    count: u64,
    by_uri: HashMap<String, usize>,
}

impl Indexed for Members {
    fn len(&self) -> u64 {
        self.count
    }

    fn locate(&self, index: u64) -> Result<Location> {
        let at = self.firsts.partition_point(|first| *first <= index).checked_sub(1);
        let found = at.and_then(|at| {
            let (file, members) = self.files.get(at)?;
            Some((file, members.get(usize::try_from(index - self.firsts[at]).ok()?)?))
        });
        let Some((file, member)) = found else { return Err(out_of_bounds(index, self.count)) };
        let range = member.range();
        Ok(file.part(range.start, range.end - range.start, npz::array_of(&member.name).to_owned()))
    }

    fn decode(&self, location: &Location, data: Bytes) -> Result<Vec<Field>> {
        let members =
            self.by_uri.get(&location.uri).and_then(|at| self.files.get(*at)).map(|(_, members)| members);
        let start = location.range.map(|(offset, _)| offset);
        let member = members.and_then(|all| all.iter().find(|member| Some(member.range().start) == start));
        let Some(member) = member else {
            let error =
                Error::new(Code::Internal, format!("no member of the dataset is {:?}", location.name));
            return Err(error.with_context("read", &location.uri));
        };
        let context = |e: Error| e.with_context("read", &location.uri);
        let data = match member.stored(&data).map_err(context)? {
            Some(range) => data.slice(range),
            None => Bytes::from(member.unpack(&data).map_err(context)?),
        };
        Ok(vec![Field { name: String::new(), data }])
    }

    fn fingerprint(&self) -> u64 {
        let mut print = Fingerprint::default().add(b"npz");
        for (file, members) in &self.files {
            print = print.add(file.key().as_bytes());
            for member in members {
                print = print.add(member.name.as_bytes()).number(member.size).number(member.crc32.into());
            }
        }
        print.value()
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunks::testing::{fetch, files, put};
    use super::*;
    use crate::formats::dtype::Descr;
    use crate::runtime::block_on;

    fn file(seed: u8) -> Vec<u8> {
        let array = |name, shape, data| npz::Array { name, descr: Descr::parse("|u1").unwrap(), shape, data };
        npz::write(&[array("x", &[3], &[seed; 3]), array("y", &[1], &[seed])]).unwrap()
    }

    #[test]
    fn l1_members_are_items() {
        let all = files("npz", &["a.npz", "b.npz"]);
        block_on(async {
            put(&all[0], "", &file(1)).await;
            put(&all[1], "", &file(2)).await;
            let items = Npz::new(None).index(all.clone()).await.unwrap();
            let got = fetch(&*items).await.unwrap();
            let ends: Vec<_> =
                got.iter().map(|(name, data)| (&name[..], data[data.len() - 1], data.len())).collect();
            assert_eq!(ends, [("x", 1, 131), ("y", 1, 129), ("x", 2, 131), ("y", 2, 129)]);
            for name in ["y", "y.npy"] {
                let items = Npz::new(Some(name)).index(all.clone()).await.unwrap();
                assert_eq!(fetch(&*items).await.unwrap(), [got[1].clone(), got[3].clone()]);
            }
            let error = Npz::new(Some("z")).index(all.clone()).await.unwrap_err();
            assert_eq!((error.code(), error.uri()), (Code::NotFound, Some(&all[0].uri[..])));
            assert!(Npz::new(None).is_indexed() && Npz::new(None).open(&all[0]).await.is_err());
            assert!(items.locate(4).is_err());
        })
        .unwrap();
    }

    #[test]
    fn l1_damage_is_an_error() {
        let all = files("npz-damage", &["a.npz"]);
        block_on(async {
            let mut bytes = file(1);
            put(&all[0], "", &bytes).await;
            let items = Npz::new(None).index(all.clone()).await.unwrap();
            bytes[100] ^= 1;
            put(&all[0], "", &bytes).await;
            assert_eq!(fetch(&*items).await.unwrap_err().code(), Code::ChecksumMismatch);
            put(&all[0], "", &bytes[..200]).await;
            assert_eq!(Npz::new(None).index(all.clone()).await.unwrap_err().code(), Code::Truncated);
            put(&all[0], "", b"").await;
            assert_eq!(Npz::new(None).index(all.clone()).await.unwrap_err().code(), Code::Truncated);
            let wrong = Location { size: Some(9), ..all[0].clone() };
            assert!(Npz::new(None).index(vec![wrong]).await.is_err());
        })
        .unwrap();
    }
}
