//! What a committed checkpoint consists of. Its JSON is documented in docs/checkpoints.md.

use super::layout::Layout;
use super::names;
use super::safetensors::LONGEST_HEADER;
use super::seal::{hex, seal, unseal};
use super::tensor::{Dtype, Region, bytes_of};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// What the member `format` says.
pub const FORMAT: &str = "s3dlio-checkpoint";
/// The largest world.
pub const MAX_WORLD: u32 = 1 << 20;
/// The only version there is.
pub const VERSION: u32 = 1;

/// A committed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// Step and nonce.
    pub id: String,
    pub step: u64,
    pub epoch: Option<u64>,
    /// Who made it, as the caller said.
    pub framework: String,
    /// When it was committed: RFC 3339, UTC.
    pub created: String,
    /// How many ranks saved it.
    pub world_size: u32,
    pub layout: Layout,
    /// The caller's, exactly as given.
    pub metadata: BTreeMap<String, String>,
    /// By rank, then in the order in which they were written.
    pub shards: Vec<Shard>,
    /// By name.
    pub entries: Vec<Entry>,
}

/// What a shard's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A safetensors file.
    Safetensors,
    /// Whatever the caller wrote.
    Bytes,
}

/// One object of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    pub rank: u32,
    /// Differs between the shards of a rank.
    pub name: String,
    pub kind: Kind,
    /// Stored with zstd.
    pub compressed: bool,
    /// Relative to the base.
    pub key: String,
    /// Bytes before compression.
    pub size: u64,
    pub stored_size: u64,
    /// Of the bytes before compression.
    #[serde(with = "hex")]
    pub crc32c: u32,
    #[serde(with = "hex")]
    pub stored_crc32c: u32,
    /// Where the tensors' bytes start; 0 in a shard of other bytes.
    pub data_start: u64,
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub dtype: Dtype,
    /// The whole tensor's.
    pub shape: Vec<u64>,
    pub parts: Vec<Part>,
}

/// Where a box of a tensor is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Index into [`Manifest::shards`].
    pub shard: u32,
    /// In the shard, before compression.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    #[serde(with = "hex")]
    pub crc32c: u32,
    /// The box's first element along each axis.
    pub start: Vec<u64>,
    /// The box's elements along each axis.
    pub shape: Vec<u64>,
}

impl Part {
    /// Which box of the tensor it holds.
    pub fn region(&self) -> Region {
        Region { start: self.start.clone(), shape: self.shape.clone() }
    }
}

impl Shard {
    /// As errors name it.
    pub fn title(&self) -> String {
        format!("shard {:?} of rank {}", self.name, self.rank)
    }
}

impl Manifest {
    /// A manifest without shards and entries.
    pub fn new(id: &str, step: u64, world_size: u32, layout: Layout) -> Manifest {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            id: id.into(),
            step,
            epoch: None,
            framework: String::new(),
            created: String::new(),
            world_size,
            layout,
            metadata: BTreeMap::new(),
            shards: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Its bytes in the store.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        seal(self)
    }

    /// Reads what [`Manifest::to_bytes`] wrote, and nothing else: `ChecksumMismatch` for damaged bytes,
    /// `Unsupported` for later versions, `Corrupt` for all else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest> {
        let manifest: Manifest = unseal(bytes, FORMAT, VERSION)?;
        manifest
            .check()
            .map_err(|what| Error::new(Code::Corrupt, format!("this manifest contradicts itself: {what}")))?;
        Ok(manifest)
    }

    /// The id in a manifest's first bytes, without reading all of it; `None` where there is none.
    pub fn peek_id(first: &[u8]) -> Option<&str> {
        let text = first.utf8_chunks().next()?.valid();
        let (_, rest) = text.split_once("\"id\":\"")?;
        rest.split_once('"').map(|(id, _)| id)
    }

    /// Stored bytes of all shards.
    pub fn stored_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.stored_size).sum()
    }

    /// Bytes of all shards before compression.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.size).sum()
    }

    /// The shard of a rank.
    pub fn shard(&self, rank: u32, name: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.rank == rank && shard.name == name)
    }

    /// What is impossible, so that nothing that reads it has to ask again.
    pub(super) fn check(&self) -> Result<(), String> {
        if names::step_of_id(&self.id).ok() != Some(self.step) {
            return Err(format!("its id {:?} is not of its step {}", self.id, self.step));
        }
        if self.world_size == 0 || self.world_size > MAX_WORLD {
            return Err(format!("its world size is {}", self.world_size));
        }
        let sum = |size: fn(&Shard) -> u64| {
            self.shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(size(shard)))
        };
        if sum(|shard| shard.size).is_none() || sum(|shard| shard.stored_size).is_none() {
            return Err("its shards have more bytes than there can be".into());
        }
        let mut seen = HashSet::new();
        for shard in &self.shards {
            let title = shard.title();
            if shard.rank >= self.world_size {
                return Err(format!("{title} is not of a world of {}", self.world_size));
            }
            let folder = self.layout.folder(&self.id, shard.rank);
            if !shard.key.strip_prefix(&folder).is_some_and(|name| !name.is_empty() && !name.contains('/')) {
                return Err(format!("{title} lies at {:?}, outside of {folder:?}", shard.key));
            }
            if shard.data_start > shard.size.min(LONGEST_HEADER + 8)
                || !shard.compressed && shard.size != shard.stored_size
            {
                return Err(format!("the sizes of {title} do not fit together"));
            }
            if !seen.insert((shard.rank, shard.name.as_str())) {
                return Err(format!("{title} is there twice"));
            }
        }
        let mut names = HashSet::new();
        for entry in &self.entries {
            if !names.insert(entry.name.as_str()) {
                return Err(format!("the entry {:?} is there twice", entry.name));
            }
            if bytes_of(entry.dtype, &entry.shape).is_none() {
                return Err(format!("the entry {:?} of shape {:?} is too large", entry.name, entry.shape));
            }
            entry.parts.iter().try_for_each(|part| self.check_part(entry, part))?;
        }
        Ok(())
    }

    fn check_part(&self, entry: &Entry, part: &Part) -> Result<(), String> {
        let title = || format!("a part of {:?}", entry.name);
        let shard =
            self.shards.get(part.shard as usize).ok_or_else(|| format!("{} has no shard", title()))?;
        if !part.region().is_within(&entry.shape) || bytes_of(entry.dtype, &part.shape) != Some(part.length) {
            return Err(format!("{} does not fit the shape {:?}", title(), entry.shape));
        }
        let end = part.offset.checked_add(part.length);
        if shard.kind != Kind::Safetensors
            || part.offset < shard.data_start
            || end.is_none_or(|end| end > shard.size)
        {
            return Err(format!("{} lies outside of {}", title(), shard.title()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let id = "000000000007-0123456789abcdef";
        let mut manifest = Manifest::new(id, 7, 2, Layout::RoundRobin { prefixes: 2 });
        manifest.epoch = Some(3);
        manifest.metadata.insert("a\nb".into(), " \"exactly\" ".into());
        let shard = |rank: u32| Shard {
            rank,
            name: "data".into(),
            kind: Kind::Safetensors,
            compressed: false,
            key: format!("shards/000{rank}/{id}/rank-0000{rank}.x.data.safetensors"),
            size: 116,
            stored_size: 116,
            crc32c: 1,
            stored_crc32c: 1,
            data_start: 100,
        };
        manifest.shards = vec![shard(0), shard(1)];
        let part = |shard: u32| Part {
            shard,
            offset: 100,
            length: 16,
            crc32c: 0xdead_beef,
            start: vec![u64::from(shard) * 2, 0],
            shape: vec![2, 2],
        };
        let entry =
            Entry { name: "w".into(), dtype: Dtype::F32, shape: vec![4, 2], parts: vec![part(0), part(1)] };
        manifest.entries.push(entry);
        manifest
    }

    #[test]
    fn c2_a_manifest_comes_back_as_it_was() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), sample());
        assert_eq!(Manifest::peek_id(&bytes[..100]), Some("000000000007-0123456789abcdef"));
    }

    #[test]
    fn c3_manifests_that_contradict_themselves_are_corrupt() {
        let broken: &[(&str, fn(&mut Manifest))] = &[
            ("step", |m| m.step = 8),
            ("world", |m| m.world_size = 0),
            ("rank", |m| m.world_size = 1),
            ("key", |m| m.shards[0].key = "shards/0000/../../x".into()),
            ("other folder", |m| m.shards[0].key = m.shards[1].key.clone()),
            ("twice", |m| m.shards[1] = m.shards[0].clone()),
            ("size", |m| m.shards[0].stored_size += 1),
            ("no shard", |m| m.entries[0].parts[0].shard = 2),
            ("header", |m| m.entries[0].parts[0].offset = 99),
            ("beyond", |m| m.entries[0].parts[1].offset = 101),
            ("overflow", |m| m.entries[0].parts[1].offset = u64::MAX),
            ("length", |m| m.entries[0].parts[1].length = 8),
            ("box", |m| m.entries[0].parts[1].start = vec![3, 0]),
            ("axes", |m| m.entries[0].parts[1].start = vec![0]),
            ("large", |m| m.entries[0].shape = vec![u64::MAX, u64::MAX]),
            ("same entry", |m| m.entries.push(m.entries[0].clone())),
        ];
        for (what, breaks) in broken {
            let mut manifest = sample();
            breaks(&mut manifest);
            let error = Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        }
    }

    #[test]
    fn c3_unknown_missing_and_double_members_are_corrupt() {
        let text = String::from_utf8(sample().to_bytes().unwrap()).unwrap();
        let text = text.rsplit_once(",\"crc32c\"").unwrap().0;
        for (from, to) in [
            ("\"step\":7", "\"step\":7,\"stop\":7"),
            ("\"step\":7,", ""),
            ("\"step\":7", "\"step\":7,\"step\":7"),
            ("\"step\":7", "\"step\":7.0"),
        ] {
            assert!(text.contains(from));
            let mut broken = text.replacen(from, to, 1).into_bytes();
            let crc = crate::base::checksum::Crc32c::of(&broken).value();
            broken.extend_from_slice(format!(",\"crc32c\":\"{crc:08x}\"}}\n").as_bytes());
            assert_eq!(Manifest::from_bytes(&broken).unwrap_err().code(), Code::Corrupt, "{to}");
        }
    }
}
