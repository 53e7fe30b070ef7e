//! Objects as a checkpoint stores them: data through writers, then a manifest that is created, then a pointer that is
//! replaced; what is old is deleted in the opposite order.

use super::{Scenario, open, say, wait};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::api::{self, PutCondition, PutOptions, Writer};
use s3dlio::store::Store;
use std::path::Path;

pub const SCENARIO: Scenario = Scenario { name: "objects", act, check };
const GENERATIONS: usize = 3;
const KEPT: usize = 2;

fn data(generation: usize, part: usize) -> Vec<u8> {
    (0..9000 + part * 5000).map(|at| (at * 31 + at / 251 + generation * 7 + part * 3) as u8).collect()
}

fn act(root: &Path) {
    let store = open(root, true);
    for generation in 1..=GENERATIONS {
        say(format!("saving {generation}"));
        save(&store, generation).unwrap();
        say(format!("saved {generation}"));
        if let Some(old) = generation.checked_sub(KEPT).filter(|old| *old > 0) {
            say(format!("deleting {old}"));
            wait(store.delete(&format!("manifests/{old}"))).unwrap();
            let keys = [0, 1].map(|part| format!("data/{old}/{part}"));
            wait(store.delete_many(&keys)).unwrap().into_iter().for_each(|deleted| deleted.unwrap());
        }
    }
}

fn save(store: &Store, generation: usize) -> s3dlio::Result<()> {
    let options = PutOptions::default();
    for part in [0, 1] {
        wait(async {
            let key = format!("data/{generation}/{part}");
            let mut writer = Writer::open(store, &key, store.options(), &options).await?;
            for piece in data(generation, part).chunks(6000) {
                writer.write(piece).await?;
            }
            writer.finish().await
        })?;
    }
    let text = Bytes::from(format!("generation {generation}"));
    let new = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    wait(api::put(store, &format!("manifests/{generation}"), text.clone(), &new))?;
    wait(api::put(store, "latest", text, &options)).map(drop)
}

fn check(root: &Path, said: &[&str]) -> Result<(), String> {
    let number = |what: &str| {
        said.iter().rev().find_map(|line| line.strip_prefix(what)?.parse::<usize>().ok()).unwrap_or(0)
    };
    let (saving, saved, deleting) = (number("saving "), number("saved "), number("deleting "));
    let store = open(root, false);
    let get = |key: &str| match wait(api::get(&store, key)) {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(error) if matches!(error.code(), Code::NotFound | Code::ContainerNotFound) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let text = |generation: usize| format!("generation {generation}").into_bytes();
    for generation in 1..=GENERATIONS + 1 {
        match get(&format!("manifests/{generation}"))? {
            None if generation > deleting && generation <= saved => {
                return Err(format!("{generation} is lost"));
            }
            None => {}
            Some(manifest) if manifest != text(generation) || generation > saving => {
                return Err(format!("the manifest of {generation} is wrong"));
            }
            Some(_) => {
                for part in [0, 1] {
                    if get(&format!("data/{generation}/{part}"))? != Some(data(generation, part)) {
                        return Err(format!("part {part} of {generation} is torn"));
                    }
                }
            }
        }
    }
    let latest = get("latest")?;
    if !(saved..=saving).any(|generation| latest == (generation > 0).then(|| text(generation))) {
        return Err(format!(
            "latest is {:?}",
            latest.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        ));
    }
    save(&store, 99).map_err(|error| format!("it cannot be saved again: {error}"))?;
    let keys = wait(store.list_page(&Default::default())).map_err(|error| error.to_string())?;
    let stray = keys.entries.iter().find(|entry| entry.key().contains("tmp"));
    stray.map_or(Ok(()), |entry| Err(format!("{} is listed", entry.key())))
}
