//! The steps that scripts are made of: each does one thing and compares with the model.

use crate::machine::Script;
use crate::model::{Version, same_etag, seen};
use bytes::Bytes;
use faultd::Service;
use s3dlio::api::advanced::{self, Buffer, Crc32c, Part, Upload, UploadTotal, Window, WindowOwner};
use s3dlio::api::{self, Lister, PutCondition, PutOptions, Reader, Writer};
use s3dlio::{Code, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::io::SeekFrom;
use std::sync::{Arc, OnceLock};

type Done = Result<(), String>;

const KEYS: &[&str] =
    &["a", "b", "dir/1", "dir/2 +%25", "dir/sub/x", "dir2/ü&<k>", "e", "f.bin", "g/h/i", "z~'()"];

/// How often something is aborted: some faults are final for one call.
const ABORTS: usize = 8;

/// One step that the seed chooses.
pub async fn any(script: &mut Script) -> Done {
    match script.rng.below(100) {
        0..20 => put(script).await,
        20..34 => get(script).await,
        34..42 => get_into(script).await,
        42..51 => get_range(script).await,
        51..55 => get_ranges(script).await,
        55..60 => get_many(script).await,
        60..70 => stat(script).await,
        70..74 => list(script).await,
        74..79 => delete(script).await,
        79..81 => delete_many(script).await,
        81..84 => copy(script).await,
        84..86 => rename(script).await,
        86..90 => upload(script).await,
        90..95 => write(script).await,
        _ => read(script).await,
    }
}

fn key(script: &mut Script) -> String {
    KEYS[script.rng.below(KEYS.len() as u64) as usize].to_owned()
}

/// Bytes that no other write has (of eight or more).
fn bytes(script: &mut Script, most: u64) -> Vec<u8> {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = faultd::Rng::new(42);
        (0..(1 << 20)).flat_map(|_| rng.next().to_le_bytes()).collect()
    });
    let len = script.rng.below(most + 1) as usize;
    let at = script.rng.below((noise.len() - len) as u64 + 1) as usize;
    let mut bytes = noise[at..at + len].to_vec();
    script.unique += 1;
    let stamp = script.unique.to_be_bytes();
    bytes.iter_mut().zip(stamp).for_each(|(byte, stamp)| *byte = stamp);
    bytes
}

fn small_or_larger(script: &mut Script) -> Vec<u8> {
    let most = match script.rng.below(40) {
        0 => 250_000,
        1..5 => 20_000,
        _ => 1500,
    };
    bytes(script, most)
}

/// Content type, metadata and condition.
fn options(script: &mut Script, key: &str) -> PutOptions {
    let content_type = (script.rng.below(4) == 0).then(|| "text/x-script".to_owned());
    let mut metadata = BTreeMap::new();
    if script.rng.below(4) == 0 {
        metadata.insert("step".to_owned(), script.unique.to_string());
    }
    let condition = match script.rng.below(6) {
        0 => PutCondition::CreateOnly,
        1 => PutCondition::IfMatch(script.etag(key).unwrap_or_else(|| "\"0123456789abcdef\"".into())),
        2 if script.rng.below(3) == 0 => PutCondition::IfMatch("\"0123456789abcdef\"".into()),
        _ => PutCondition::Always,
    };
    PutOptions { content_type, metadata, condition }
}

fn window(len: usize) -> (Window, WindowOwner) {
    let (window, owner) = Buffer::allocate(len).unwrap().into_window();
    let (window, _rest) = window.split_at(len);
    (window, owner)
}

fn same(got: &[u8], wanted: &[u8], what: &str) -> Done {
    if got == wanted {
        return Ok(());
    }
    let at = got.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(got.len().min(wanted.len()));
    let (came, due) = (got.len(), wanted.len());
    Err(format!("WRONG BYTES of {what}: {came} came, {due} were due, the first wrong one at {at}"))
}

/// A read: right bytes or a true error.
fn check_read(
    script: &mut Script,
    what: &str,
    got: Result<&[u8], Error>,
    expected: Result<Vec<u8>, Code>,
) -> Done {
    match (got, expected) {
        (Ok(got), Ok(wanted)) => same(got, &wanted, what),
        (Ok(_), Err(code)) => Err(format!("FALSE SUCCESS: {what} was read, where {code:?} was due")),
        (Err(error), expected) => script.failed(&error, expected.map(drop)),
    }
}

async fn put(script: &mut Script) -> Done {
    let key = key(script);
    let data = small_or_larger(script);
    let options = options(script, &key);
    script.say(|| format!("put {key}: {} bytes, {options:?}", data.len()));
    let expected = script.model.expect_put(&key, &options, script.etag(&key).as_deref());
    let outcome = api::put(&script.store, &key, Bytes::from(data.clone()), &options).await;
    script.wrote(&key, Some(Version::new(data, &options)), outcome.map(|done| done.etag), expected)
}

async fn get(script: &mut Script) -> Done {
    let key = key(script);
    script.say(|| format!("get {key}"));
    let got = api::get(&script.store, &key).await;
    let expected = script.model.expect_there(&key).map(|version| version.bytes.clone());
    check_read(script, &key, got.as_deref().map_err(Clone::clone), expected)
}

async fn get_into(script: &mut Script) -> Done {
    let key = key(script);
    let size = script.model.objects.get(&key).map_or(100, |version| version.bytes.len());
    let room = match script.rng.below(5) {
        0 => script.rng.below(size as u64 + 1) as usize,
        1 => size + script.rng.below(200_000) as usize,
        _ => size,
    };
    script.say(|| format!("get {key} into {room} bytes of {size}"));
    let (into, owner) = window(room);
    let got = advanced::get_into(&script.store, &key, into).await;
    let expected = match script.model.expect_there(&key) {
        Ok(version) if version.bytes.len() > room => Err(Code::BufferTooSmall),
        there => there.map(|version| version.bytes.clone()),
    };
    let got = got.map(|got| owner.reclaim(got.bytes).expect("the read is over"));
    check_read(script, &key, got.as_deref().map_err(Clone::clone), expected)
}

/// Where a range may lie, and what it gives.
fn range(script: &mut Script, key: &str, past: bool) -> (u64, u64, Result<Vec<u8>, Code>) {
    let there = script.model.expect_there(key).map(|version| version.bytes.clone());
    let size = there.as_ref().map_or(100, Vec::len) as u64;
    let offset = match script.rng.below(10) {
        0 if past => size + 1 + script.rng.below(50),
        1 => size,
        _ => script.rng.below(size + 1),
    };
    let length = 1 + script.rng.below(size - offset.min(size) + 20);
    let expected = there.and_then(|bytes| match offset > size {
        true => Err(Code::Range),
        false => Ok(bytes[offset as usize..(offset + length).min(size) as usize].to_vec()),
    });
    (offset, length, expected)
}

async fn get_range(script: &mut Script) -> Done {
    let key = key(script);
    let (offset, length, expected) = range(script, &key, true);
    script.say(|| format!("get {key} {offset}+{length}"));
    let got = api::get_range(&script.store, &key, offset, length).await;
    check_read(script, &key, got.as_deref().map_err(Clone::clone), expected)
}

async fn get_ranges(script: &mut Script) -> Done {
    let key = key(script);
    let ranges: Vec<_> = (0..1 + script.rng.below(5)).map(|_| range(script, &key, false)).collect();
    script.say(|| format!("get {} ranges of {key}", ranges.len()));
    let (windows, owners): (Vec<_>, Vec<_>) = ranges
        .iter()
        .map(|(offset, length, _)| {
            let (window, owner) = window(*length as usize);
            ((*offset, window), owner)
        })
        .unzip();
    match advanced::get_ranges(&script.store, &key, windows).await {
        Err(error) => script.failed(&error, script.model.expect_there(&key).map(drop)),
        Ok(counts) => {
            for ((owner, count), (.., expected)) in owners.into_iter().zip(counts).zip(ranges) {
                let got = owner.reclaim(count).expect("the reads are over");
                check_read(script, &key, Ok(&got), expected)?;
            }
            Ok(())
        }
    }
}

async fn get_many(script: &mut Script) -> Done {
    let keys: Vec<_> = (0..2 + script.rng.below(6)).map(|_| key(script)).collect();
    script.say(|| format!("get many {keys:?}"));
    let got = api::get_many(&script.store, keys.clone()).await;
    if got.len() != keys.len() {
        return Err(format!("{} results for {} keys", got.len(), keys.len()));
    }
    for (key, got) in keys.iter().zip(got) {
        let expected = script.model.expect_there(key).map(|version| version.bytes.clone());
        check_read(script, key, got.as_deref().map_err(Clone::clone), expected)?;
    }
    Ok(())
}

async fn stat(script: &mut Script) -> Done {
    let key = key(script);
    script.say(|| format!("stat {key}"));
    let expected = script.model.expect_there(&key).cloned();
    match (script.store.stat(&key).await, expected) {
        (Err(error), expected) => script.failed(&error, expected.map(drop)),
        (Ok(_), Err(code)) => Err(format!("FALSE SUCCESS: {key} has facts, where {code:?} was due")),
        (Ok(meta), Ok(version)) => {
            let etag = script.etag(&key).unwrap_or_default();
            let typed = version.content_type.is_none() || meta.content_type == version.content_type;
            let summed = meta.crc32c.is_none_or(|crc| crc == Crc32c::of(&version.bytes).value());
            // Its ETag may be the fault's: other_etag.
            let tagged =
                script.faults() > 0 || meta.etag.as_ref().is_some_and(|there| same_etag(there, &etag));
            let good = meta.size == version.bytes.len() as u64 && meta.metadata == version.metadata;
            match good && typed && summed && tagged {
                true => Ok(()),
                false => Err(format!("WRONG FACTS: {meta:?}, ETag {etag}, {:?}", version.metadata)),
            }
        }
    }
}

async fn list(script: &mut Script) -> Done {
    let prefix = ["", "", "dir", "dir/", "g/h/", "none/"][script.rng.below(6) as usize];
    let recursive = script.rng.below(2) == 0;
    script.say(|| format!("list {prefix:?}, recursive: {recursive}"));
    let all = async {
        let mut lister = Lister::new(&script.store, prefix, recursive);
        let mut found = Vec::new();
        while let Some(entry) = lister.next().await? {
            // What a dropped writer leaves for a moment belongs to no step.
            if !entry.key().starts_with("drop/") {
                found.push(seen(&entry));
            }
        }
        Ok::<_, Error>(found)
    };
    match all.await {
        Err(error) => script.failed(&error, Ok(())),
        Ok(found) => {
            let wanted: Vec<_> = script.model.list(prefix, recursive).into_iter().collect();
            match found == wanted {
                true => Ok(()),
                false => Err(format!("WRONG LIST of {prefix:?}: {found:?}, not {wanted:?}")),
            }
        }
    }
}

async fn delete(script: &mut Script) -> Done {
    let key = key(script);
    script.say(|| format!("delete {key}"));
    let outcome = script.store.delete(&key).await;
    script.wrote(&key, None, outcome.map(|()| None), Ok(()))
}

async fn delete_many(script: &mut Script) -> Done {
    let keys: BTreeSet<_> = (0..1 + script.rng.below(4)).map(|_| key(script)).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    script.say(|| format!("delete many {keys:?}"));
    match script.store.delete_many(&keys).await {
        Err(error) => {
            for key in &keys {
                script.wrote(key, None, Err(error.clone()), Ok(()))?;
            }
        }
        Ok(outcomes) => {
            for (key, outcome) in keys.iter().zip(outcomes) {
                script.wrote(key, None, outcome.map(|()| None), Ok(()))?;
            }
        }
    }
    Ok(())
}

fn two_keys(script: &mut Script) -> (String, String) {
    let from = key(script);
    loop {
        let to = key(script);
        if to != from {
            return (from, to);
        }
    }
}

async fn copy(script: &mut Script) -> Done {
    let (from, to) = two_keys(script);
    script.say(|| format!("copy {from} to {to}"));
    let outcome = script.store.copy(&from, &to).await.map(|done| done.etag);
    match script.model.expect_there(&from).cloned() {
        Ok(version) => script.wrote(&to, Some(version), outcome, Ok(())),
        Err(code) => {
            let unchanged = script.model.objects.get(&to).cloned();
            script.wrote(&to, unchanged, outcome, Err(code))
        }
    }
}

async fn rename(script: &mut Script) -> Done {
    let (from, to) = two_keys(script);
    script.say(|| format!("rename {from} to {to}"));
    let outcome = script.store.rename(&from, &to).await;
    let Ok(version) = script.model.expect_there(&from).cloned() else {
        let unchanged = script.model.objects.get(&to).cloned();
        return script.wrote(&to, unchanged, outcome.map(|()| None), Err(Code::NotFound));
    };
    let copied = script.stored(&to, |stored| stored.is_some_and(|stored| version.is(stored)));
    let kept = script.stored(&from, |stored| stored.is_some_and(|stored| version.is(stored)));
    if !kept && !copied {
        return Err(format!("LOST: {from} is neither at its old nor its new key after {outcome:?}"));
    }
    if outcome.is_ok() && kept {
        return Err(format!("FALSE SUCCESS: {from} is still there"));
    }
    // It is two writes: an error may come after the first one.
    let expected = Ok(());
    match &outcome {
        Err(_) if copied => {
            script.model.objects.insert(to.clone(), version);
            let outcome = outcome.map(|()| None);
            script.wrote(&from, None, outcome, expected)
        }
        Err(_) => {
            let old = script.model.objects.get(&to).cloned();
            script.wrote(&to, old, outcome.map(|()| None), expected)
        }
        Ok(()) => {
            script.wrote(&to, Some(version), Ok(None), expected)?;
            script.wrote(&from, None, Ok(None), expected)
        }
    }
}

/// The name of an object that is never to be, or a usual one.
fn unfinished_key(script: &mut Script) -> String {
    script.unique += 1;
    format!("drop/{}", script.unique)
}

/// An upload in small parts, over the trait of the backends.
async fn upload(script: &mut Script) -> Done {
    let finish = script.rng.below(4) > 0;
    let key = if finish { key(script) } else { unfinished_key(script) };
    let options = if finish { options(script, &key) } else { PutOptions::default() };
    let count = script.rng.below(5) as u32 + u32::from(script.rng.below(8) > 0);
    let parts: Vec<_> = (0..count).map(|_| [bytes(script, 2000), vec![7]].concat()).collect();
    script.say(|| format!("upload {key} in {count} parts, finish: {finish}, {options:?}"));
    let expected = script.model.expect_put(&key, &options, script.etag(&key).as_deref());
    let upload = match script.store.create_upload(&key, &options).await {
        Ok(upload) => upload,
        Err(error) => return script.failed(&error, Ok(())),
    };
    let twice = script.rng.below(6) == 0;
    let outcome = fill(&upload, &parts, twice, finish).await;
    let version = Version::new(parts.concat(), &options);
    if !matches!(outcome, Ok(Some(_))) {
        for _ in 0..ABORTS {
            match upload.abort().await {
                Ok(()) => break,
                Err(error) => script.failed(&error, Ok(()))?,
            }
        }
        script.uploads.push(upload); // once more when the faults are over
        if script.model.objects.contains_key(&key) && script.service == Service::Azure {
            script.may_keep_blocks.insert(key.clone());
        }
    }
    match outcome {
        Ok(None) => match script.stored(&key, |stored| stored.is_some()) {
            true => Err(format!("FALSE SUCCESS: {key} was aborted and is there")),
            false => Ok(()),
        },
        Ok(Some(etag)) => script.wrote(&key, Some(version), Ok(etag), expected),
        Err(error) if finish => script.wrote(&key, Some(version), Err(error), expected),
        Err(error) => script.failed(&error, Ok(())),
    }
}

/// All parts and the end; `None` where there shall be none.
async fn fill(
    upload: &Arc<dyn Upload>,
    parts: &[Vec<u8>],
    twice: bool,
    finish: bool,
) -> Result<Option<Option<String>>, Error> {
    let (mut offset, mut whole) = (0, Crc32c::new());
    for (number, data) in (0..).zip(parts) {
        let crc32c = Crc32c::of(data);
        let part = Part { number, offset, data: Bytes::from(data.clone()), crc32c };
        if twice {
            upload.put_part(part.clone()).await?;
        }
        upload.put_part(part).await?;
        offset += data.len() as u64;
        whole = whole.combine(crc32c);
    }
    if !finish {
        return Ok(None);
    }
    let done = upload.complete(parts.len() as u32, UploadTotal { crc32c: whole }).await?;
    Ok(Some(done.etag))
}

/// A writer: one request or, rarely, parts; finished, aborted or dropped.
async fn write(script: &mut Script) -> Done {
    let end = script.rng.below(8);
    let key = if end < 6 { key(script) } else { unfinished_key(script) };
    let options = if end < 6 { options(script, &key) } else { PutOptions::default() };
    let mut data = small_or_larger(script);
    if script.rng.below(60) == 0 {
        let more = bytes(script, 5 << 20);
        data.extend(more.iter().cycle().take((5 << 20) + 1000)); // more than a part
    }
    script.say(|| format!("write {key}: {} bytes, end {end}, {options:?}", data.len()));
    let expected = script.model.expect_put(&key, &options, script.etag(&key).as_deref());
    let opened = Writer::open(&script.store, &key, script.store.options(), &options).await;
    let mut writer = opened.map_err(|e| format!("a writer does not open: {e}"))?;
    let written = pour(script, &mut writer, &data).await;
    if end == 7 {
        drop(writer); // removed in the background
        return Ok(());
    }
    if end == 6 {
        return abort(script, writer).await;
    }
    let outcome = match written {
        Ok(()) => writer.finish().await.map(|stats| stats.etag),
        Err(error) => {
            let second = writer.finish().await;
            if second.is_ok() {
                return Err(format!("FALSE SUCCESS: it was finished after {error}"));
            }
            Err(error)
        }
    };
    if outcome.is_err() {
        if script.model.objects.contains_key(&key) && script.service == Service::Azure {
            script.may_keep_blocks.insert(key.clone());
        }
        abort(script, writer).await?; // where `finish` could not remove all
    }
    script.wrote(&key, Some(Version::new(data, &options)), outcome, expected)
}

/// Until nothing is left, as the contract has it: it may be called again after it failed.
async fn abort(script: &mut Script, mut writer: Writer) -> Done {
    for _ in 0..ABORTS {
        match writer.abort().await {
            Ok(()) => return Ok(()),
            Err(error) => script.failed(&error, Ok(()))?,
        }
    }
    script.writers.push(writer); // dropped when the faults are over
    Ok(())
}

/// In pieces, by all three ways.
async fn pour(script: &mut Script, writer: &mut Writer, data: &[u8]) -> Result<(), Error> {
    let mut rest = data;
    while !rest.is_empty() {
        let n = rest.len().min(1 + script.rng.below(data.len() as u64) as usize);
        let (piece, after) = rest.split_at(n);
        match script.rng.below(3) {
            0 => writer.write(piece).await?,
            1 => writer.write_owned(Bytes::copy_from_slice(piece)).await?,
            _ => {
                let memory = writer.reserve(n).await?;
                memory[..n].copy_from_slice(piece);
                writer.commit(n).await?;
            }
        }
        rest = after;
    }
    Ok(())
}

/// A reader that reads, seeks and reads at offsets.
async fn read(script: &mut Script) -> Done {
    let key = key(script);
    let expected = script.model.expect_there(&key).map(|version| version.bytes.clone());
    script.say(|| format!("read {key}"));
    let reader = match (Reader::open(&script.store, &key, script.store.options()).await, &expected) {
        (Ok(reader), Ok(_)) => reader,
        (Ok(_), Err(code)) => return Err(format!("FALSE SUCCESS: {key} was opened, where {code:?} was due")),
        (Err(error), expected) => {
            return script.failed(&error, expected.as_ref().map(drop).map_err(|code| *code));
        }
    };
    let bytes = expected.unwrap_or_default();
    let mut position = 0usize;
    for _ in 0..1 + script.rng.below(5) {
        let at = script.rng.below(bytes.len() as u64 + 1) as usize;
        let room = script.rng.below(bytes.len() as u64 + 10) as usize;
        let (into, owner) = window(room);
        let way = script.rng.below(3);
        if way == 0 {
            reader.seek(SeekFrom::Start(at as u64)).await.map_err(|e| format!("a seek fails: {e}"))?;
            position = at;
        }
        let (from, outcome) = match way {
            2 => (at, reader.read_at(at as u64, into).await),
            _ => (position, reader.read(into).await),
        };
        match outcome {
            Ok(count) => {
                let got = owner.reclaim(count).expect("the read is over");
                same(&got, &bytes[from..(from + room).min(bytes.len())], &key)?;
                position = if way < 2 { from + count } else { position };
            }
            Err(error) => return script.failed(&error, Ok(())),
        }
    }
    Ok(())
}
