//! The columns of the matrix: operations of the Rust API, and what must hold after them.

use bytes::Bytes;
use faultd::{Faultd, Op, Service};
use s3dlio::api::{self, Lister, PutCondition, PutOptions, Store, Writer};
use s3dlio::{Code, Result};
use std::future::Future;
use std::pin::Pin;

pub const CONTAINER: &str = "box";
/// A part of the writer's cells, the least that S3 takes.
const PART: usize = 5 << 20;
/// More than one request asks for: the rest comes in parallel ranges.
const LARGE: usize = (2 << 20) + 300_000;
const SMALL: usize = 20_000;

/// One column.
pub struct Operation {
    pub name: &'static str,
    /// The requests that a fault may meet, with the occurrence where it comes once.
    pub wire: &'static [(Op, u64)],
    pub run: fn(&Stage) -> Running<'_>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, String>> + 'a>>;

/// How it went, where it went right: an error is right, too, where it is a true one.
pub enum Outcome {
    Done,
    Failed(s3dlio::Error),
}

/// Where a cell plays.
pub struct Stage {
    pub faultd: Faultd,
    pub service: Service,
    pub store: Store,
}

/// Bytes that differ at every offset and from each other.
pub fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + i / 251 + seed * 101) % 256) as u8).collect()
}

impl Stage {
    /// The stored bytes, asked of the server's state.
    fn stored(&self, key: &str) -> Option<Bytes> {
        self.faultd.objects(self.service, |objects| {
            objects.get(CONTAINER, &format!("root/{key}")).map(|object| Bytes::copy_from_slice(&object.bytes))
        })
    }

    /// What every cell begins with.
    pub fn fill(&self) {
        for (key, bytes) in [
            ("small", pattern(1, SMALL)),
            ("large", pattern(2, LARGE)),
            ("list/a", pattern(3, 5)),
            ("list/b", pattern(4, 6)),
            ("list/c", pattern(5, 7)),
        ] {
            // Through the store, so that the objects are what the store writes.
            let put = self.store.put(&key, bytes);
            put.unwrap_or_else(|e| panic!("the stage cannot be set: {e}"));
        }
    }
}

/// Puts of the stage, before the faults.
trait PutNow {
    fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()>;
}

impl PutNow for Store {
    fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let put = async { api::put(self, key, bytes.into(), &PutOptions::default()).await.map(drop) };
        api::advanced::block_on(put)?
    }
}

fn create_only() -> PutOptions {
    PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() }
}

/// Bytes that were read: the object's, or all of those that replaced it.
fn exact(got: &[u8], wanted: &[u8]) -> Result<Outcome, String> {
    let replaced = || got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| *a == !b);
    match got == wanted || !wanted.is_empty() && replaced() {
        true => Ok(Outcome::Done),
        false => {
            let at = got.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(got.len().min(wanted.len()));
            Err(format!("WRONG BYTES: {} of {} came, the first wrong one at {at}", got.len(), wanted.len()))
        }
    }
}

/// After a write: success means that all bytes are there, an error that they are all there or not.
fn written(
    stage: &Stage,
    key: &str,
    wanted: &[u8],
    create: bool,
    result: Result<()>,
) -> Result<Outcome, String> {
    let stored = stage.stored(key);
    match (result, stored.as_deref()) {
        (Ok(()), Some(stored)) if stored == wanted => Ok(Outcome::Done),
        (Ok(()), Some(_)) => Err("FALSE SUCCESS: other bytes are stored".into()),
        (Ok(()), None) => Err("FALSE SUCCESS: nothing is stored".into()),
        (Err(error), None) => Ok(Outcome::Failed(error)),
        (Err(error), Some(stored)) if stored != wanted => {
            Err(format!("torn: other bytes are stored after {error}"))
        }
        (Err(error), Some(_)) if create && error.code() != Code::UnknownOutcome => {
            Err(format!("FALSE FAILURE: it was created, but the error is {error}"))
        }
        (Err(error), Some(_)) => Ok(Outcome::Failed(error)),
    }
}

fn get(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        match api::get(&stage.store, "small").await {
            Ok(got) => exact(&got, &pattern(1, SMALL)),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    })
}

fn get_parallel(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        match api::get(&stage.store, "large").await {
            Ok(got) => exact(&got, &pattern(2, LARGE)),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    })
}

fn get_range(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        match api::get_range(&stage.store, "large", 1000, 5000).await {
            Ok(got) => exact(&got, &pattern(2, LARGE)[1000..6000]),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    })
}

fn get_many(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        let keys = ["list/a", "list/b", "list/c", "small"].map(str::to_owned);
        let wanted = [pattern(3, 5), pattern(4, 6), pattern(5, 7), pattern(1, SMALL)];
        let mut outcome = Outcome::Done;
        for (got, wanted) in api::get_many(&stage.store, keys.to_vec()).await.into_iter().zip(wanted) {
            match got {
                Ok(got) => {
                    exact(&got, &wanted)?;
                }
                Err(error) => outcome = Outcome::Failed(error),
            }
        }
        Ok(outcome)
    })
}

fn stat(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        match stage.store.stat("small").await {
            Ok(meta) if meta.size == SMALL as u64 => Ok(Outcome::Done),
            Ok(meta) => Err(format!("WRONG SIZE: {}", meta.size)),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    })
}

fn put_with(stage: &Stage, options: PutOptions) -> Running<'_> {
    Box::pin(async move {
        let data = pattern(6, SMALL);
        let result = api::put(&stage.store, "new", Bytes::from(data.clone()), &options).await;
        written(stage, "new", &data, options.condition != PutCondition::Always, result.map(drop))
    })
}

fn put(stage: &Stage) -> Running<'_> {
    put_with(stage, PutOptions::default())
}

fn put_create(stage: &Stage) -> Running<'_> {
    put_with(stage, create_only())
}

fn write_with(stage: &Stage, options: PutOptions) -> Running<'_> {
    Box::pin(async move {
        let data = pattern(7, PART + 70_000);
        let once = async {
            let mut writer = Writer::open(&stage.store, "new", stage.store.options(), &options).await?;
            let written = async {
                writer.write(&data).await?;
                writer.finish().await.map(drop)
            };
            let result = written.await;
            if result.is_err() {
                let _ = writer.abort().await; // what `finish` has done already, or is done now
            }
            result
        };
        let result = once.await;
        written(stage, "new", &data, options.condition != PutCondition::Always, result)
    })
}

fn write(stage: &Stage) -> Running<'_> {
    write_with(stage, PutOptions::default())
}

fn write_create(stage: &Stage) -> Running<'_> {
    write_with(stage, create_only())
}

fn list(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        let all = async {
            let mut lister = Lister::new(&stage.store, "list/", true);
            let mut keys = Vec::new();
            while let Some(entry) = lister.next().await? {
                keys.push(entry.key().to_owned());
            }
            Ok::<_, s3dlio::Error>(keys)
        };
        match all.await {
            Ok(keys) if keys == ["list/a", "list/b", "list/c"] => Ok(Outcome::Done),
            Ok(keys) => Err(format!("WRONG LIST: {keys:?}")),
            Err(error) => Ok(Outcome::Failed(error)),
        }
    })
}

fn delete(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        match (stage.store.delete("list/a").await, stage.stored("list/a")) {
            (Ok(()), None) => Ok(Outcome::Done),
            (Ok(()), Some(_)) => Err("FALSE SUCCESS: it is still there".into()),
            (Err(error), _) => Ok(Outcome::Failed(error)),
        }
    })
}

fn delete_many(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        let keys = ["list/a", "list/b", "list/c"].map(str::to_owned);
        let outcomes = match stage.store.delete_many(&keys).await {
            Ok(outcomes) => outcomes,
            Err(error) => return Ok(Outcome::Failed(error)),
        };
        let mut outcome = Outcome::Done;
        for (key, result) in keys.iter().zip(outcomes) {
            match result {
                Ok(()) if stage.stored(key).is_some() => {
                    return Err(format!("FALSE SUCCESS: {key} is still there"));
                }
                Ok(()) => {}
                Err(error) => outcome = Outcome::Failed(error),
            }
        }
        Ok(outcome)
    })
}

fn copy(stage: &Stage) -> Running<'_> {
    Box::pin(async {
        let result = stage.store.copy("small", "new").await;
        written(stage, "new", &pattern(1, SMALL), false, result.map(drop))
    })
}

pub const OPERATIONS: &[Operation] = &[
    Operation { name: "get", wire: &[(Op::Get, 1)], run: get },
    Operation { name: "get_parallel", wire: &[(Op::Get, 2)], run: get_parallel },
    Operation { name: "get_range", wire: &[(Op::Get, 1)], run: get_range },
    Operation { name: "get_many", wire: &[(Op::Get, 2)], run: get_many },
    Operation { name: "stat", wire: &[(Op::Head, 1)], run: stat },
    Operation { name: "put", wire: &[(Op::Put, 1)], run: put },
    Operation { name: "put_create", wire: &[(Op::Put, 1)], run: put_create },
    Operation {
        name: "write",
        wire: &[(Op::CreateUpload, 1), (Op::PutPart, 2), (Op::CompleteUpload, 1)],
        run: write,
    },
    Operation { name: "write_create", wire: &[(Op::CompleteUpload, 1)], run: write_create },
    Operation { name: "list", wire: &[(Op::List, 1)], run: list },
    Operation { name: "delete", wire: &[(Op::Delete, 1)], run: delete },
    Operation { name: "delete_many", wire: &[(Op::DeleteMany, 1), (Op::Delete, 2)], run: delete_many },
    Operation { name: "copy", wire: &[(Op::Head, 1), (Op::Copy, 1)], run: copy },
];
