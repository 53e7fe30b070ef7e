//! tar files in WebDataset's convention, also compressed: members that follow each other and have the same key are
//! one sample. The key is the name up to the first dot of its last part, the extension what follows, in lower case.

use super::chunks::Chunks;
use super::{Indexed, Location, Record, RecordFormat, RecordStream, no_such_way};
use crate::error::{Code, Error, Result};
use crate::formats::tar;
use crate::loader::batch::Field;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// The format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tar;

#[async_trait]
impl RecordFormat for Tar {
    async fn open(&self, file: &Location) -> Result<Box<dyn RecordStream>> {
        Ok(Box::new(Samples::open(file).await?))
    }

    async fn index(&self, _files: Vec<Location>) -> Result<Arc<dyn Indexed>> {
        let hint = "draw from it in sequence; shuffle=window mixes its samples";
        Err(no_such_way("to number the samples of tar files without reading them all", hint))
    }
}

struct Samples {
    uri: String,
    chunks: Chunks,
    parser: tar::Parser,
    /// The sample that is being gathered.
    present: Record,
    over: bool,
}

impl Samples {
    async fn open(file: &Location) -> Result<Samples> {
        let (chunks, parser) = (Chunks::open(file).await?, tar::Parser::default());
        Ok(Samples { uri: file.uri.clone(), chunks, parser, present: Record::default(), over: false })
    }

    /// The next regular file.
    async fn entry(&mut self) -> Result<Option<tar::Entry>> {
        loop {
            let mut rest = self.chunks.rest();
            let entry = self.parser.next(&mut rest)?;
            let left = rest.len();
            self.chunks.keep(left);
            if entry.is_some() {
                return Ok(entry);
            }
            if !self.chunks.fill().await? {
                self.parser.finish()?;
                return Ok(None);
            }
        }
    }

    async fn sample(&mut self) -> Result<Option<Record>> {
        while let Some(entry) = self.entry().await? {
            let Some((key, extension)) = split(&entry.name) else { continue };
            let field = Field { name: extension.to_lowercase(), data: Bytes::from(entry.data) };
            if self.present.name == key {
                if self.present.fields.iter().any(|known| known.name == field.name) {
                    let message = format!(
                        "the sample {key:?} has {:?} twice, the second time at byte {}; expected each extension once",
                        field.name, entry.offset
                    );
                    return Err(Error::new(Code::Corrupt, message).with_detail("offset", entry.offset));
                }
                self.present.fields.push(field);
                continue;
            }
            let next = Record { name: key.to_owned(), fields: vec![field] };
            let done = std::mem::replace(&mut self.present, next);
            if !done.fields.is_empty() {
                return Ok(Some(done));
            }
        }
        self.over = true;
        let last = std::mem::take(&mut self.present);
        Ok(Some(last).filter(|last| !last.fields.is_empty()))
    }
}

#[async_trait]
impl RecordStream for Samples {
    async fn next(&mut self) -> Result<Option<Record>> {
        if self.over {
            return Ok(None);
        }
        let outcome = self.sample().await;
        self.over |= outcome.is_err();
        outcome.map_err(|e| e.with_context("read", &self.uri))
    }
}

/// Key and extension. `None` for what WebDataset leaves out: names without a dot, or that begin with one, and
/// those of its own (`__meta__`).
fn split(name: &str) -> Option<(&str, &str)> {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[base..].find('.').filter(|dot| *dot > 0)? + base;
    let first = name.split('/').next().unwrap_or_default();
    let own = first.len() >= 4 && first.starts_with("__") && first.ends_with("__");
    (!own).then(|| (&name[..dot], &name[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::super::chunks::testing::{files, put};
    use super::*;
    use crate::runtime::block_on;

    type Sample = (String, Vec<(String, Bytes)>);

    async fn streamed(file: &Location) -> Result<Vec<Sample>> {
        let mut stream = Tar.open(file).await?;
        let mut found = Vec::new();
        while let Some(record) = stream.next().await? {
            found.push((record.name, record.fields.into_iter().map(|f| (f.name, f.data)).collect()));
        }
        assert!(stream.next().await?.is_none());
        Ok(found)
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        members.iter().for_each(|(name, data)| tar::append(&mut out, name, data).unwrap());
        tar::finish(&mut out);
        out
    }

    #[test]
    fn l1_samples_are_runs_of_equal_keys() {
        let all = files("tar", &["a.tar", "b.tar.zst", "c.tar"]);
        let big = vec![9; 600_000];
        let members: &[(&str, &[u8])] = &[
            ("__meta__/x.json", b"no"),
            ("d.1/a.seg.PNG", b"1"),
            ("d.1/a.cls", b"2"),
            ("README", b"no"),
            ("b.jpg", &big),
            (".hidden", b"no"),
            ("b.txt", b"4"),
        ];
        block_on(async {
            put(&all[0], "", &archive(members)).await;
            put(&all[1], "", &zstd::encode_all(&archive(members)[..], 1).unwrap()).await;
            put(&all[2], "", &archive(&[])).await;
            let got = streamed(&all[0]).await.unwrap();
            let named: Vec<_> =
                got.iter().map(|(k, f)| (&k[..], f.iter().map(|f| &f.0[..]).collect())).collect();
            let expected: [(&str, Vec<&str>); 2] =
                [("d.1/a", vec!["seg.png", "cls"]), ("b", vec!["jpg", "txt"])];
            assert_eq!(named, expected);
            assert!(got[1].1[0].1 == big && got[1].1[1].1 == b"4"[..]);
            assert_eq!(streamed(&all[1]).await.unwrap(), got);
            assert!(streamed(&all[2]).await.unwrap().is_empty());
            assert_eq!(Tar.index(all.clone()).await.unwrap_err().code(), Code::Unsupported);
        })
        .unwrap();
    }

    #[test]
    fn l1_damage_ends_the_file_with_an_error() {
        let all = files("tar-damage", &["a.tar"]);
        block_on(async {
            let whole = archive(&[("a.x", b"1"), ("b.x", b"2"), ("c.x", b"3")]);
            put(&all[0], "", &whole[..2100]).await;
            let mut stream = Tar.open(&all[0]).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap().name, "a");
            let error = stream.next().await.unwrap_err();
            assert_eq!((error.code(), error.uri()), (Code::Truncated, Some(&all[0].uri[..])));
            assert!(stream.next().await.unwrap().is_none());
            put(&all[0], "", &archive(&[("a.x", b"1"), ("a.X", b"2")])).await;
            assert_eq!(streamed(&all[0]).await.unwrap_err().code(), Code::Corrupt);
            let wrong = Location { size: Some(7), ..all[0].clone() };
            assert_eq!(streamed(&wrong).await.unwrap_err().code(), Code::Changed);
        })
        .unwrap();
    }
}
