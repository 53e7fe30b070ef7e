//! What is stored: containers, objects, uploads in parts, staged blocks.

use crate::http::Bytes;
use crate::text::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A stored object.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Bytes,
    /// With its quotes.
    pub etag: String,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub modified: SystemTime,
    /// Of all bytes, where the writer sent one (S3).
    pub crc32c: Option<u32>,
    /// Azure: the blocks that it was made of.
    pub blocks: Vec<Block>,
}

/// A block of Azure, staged or committed.
#[derive(Clone, Debug)]
pub struct Block {
    /// In base64.
    pub id: String,
    pub bytes: Bytes,
}

/// An upload in parts of S3.
#[derive(Clone, Debug)]
pub struct Upload {
    pub key: String,
    pub started: SystemTime,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Whether the writer announced CRC32C.
    pub checksum: bool,
    pub parts: BTreeMap<u32, Part>,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub bytes: Bytes,
    pub etag: String,
    pub crc32c: u32,
    pub modified: SystemTime,
}

/// A bucket or container.
#[derive(Clone, Debug)]
pub struct Container {
    pub created: SystemTime,
    pub objects: BTreeMap<String, Object>,
    pub uploads: BTreeMap<String, Upload>,
    pub staged: BTreeMap<String, Vec<Block>>,
}

/// Everything of one service.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub containers: BTreeMap<String, Container>,
    counter: u64,
}

impl Objects {
    /// A number that nothing else has.
    pub fn unique(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The container, made where it is missing.
    pub fn container(&mut self, name: &str) -> &mut Container {
        self.containers.entry(name.to_owned()).or_insert_with(Container::new)
    }

    pub fn get(&self, container: &str, key: &str) -> Option<&Object> {
        self.containers.get(container)?.objects.get(key)
    }

    /// Uploads that are neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.containers.values().map(|container| container.uploads.len()).sum()
    }

    /// Blocks that no object was made of.
    pub fn staged_blocks(&self) -> usize {
        self.containers.values().flat_map(|container| container.staged.values()).map(Vec::len).sum()
    }

    pub fn count(&self) -> usize {
        self.containers.values().map(|container| container.objects.len()).sum()
    }

    /// The same size, other bytes, another ETag.
    pub fn replace(&mut self, container: &str, key: &str) {
        let number = self.unique();
        if let Some(object) = self.containers.get_mut(container).and_then(|c| c.objects.get_mut(key)) {
            let bytes: Vec<u8> = object.bytes.iter().map(|byte| !byte).collect();
            object.etag = format!("\"{:016x}-replaced\"", number);
            object.crc32c = object.crc32c.map(|_| crc32c::crc32c(&bytes));
            object.bytes = Arc::new(bytes);
            object.blocks.clear();
            object.modified = SystemTime::now();
        }
    }

    pub fn remove(&mut self, container: &str, key: &str) {
        if let Some(container) = self.containers.get_mut(container) {
            container.objects.remove(key);
        }
    }
}

impl Container {
    pub fn new() -> Container {
        Container {
            created: SystemTime::now(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            staged: BTreeMap::new(),
        }
    }

    /// A page of what starts with `prefix` and comes after `after`, deeper names folded at the
    /// delimiter; and where the next page starts.
    pub fn page<'a>(
        &'a self,
        prefix: &str,
        delimiter: &str,
        after: &str,
        most: usize,
    ) -> (Vec<Listed<'a>>, Option<String>) {
        let start = if after > prefix { after } else { prefix };
        let mut found: Vec<Listed<'a>> = Vec::new();
        let mut last = String::new();
        for (key, object) in self.objects.range(start.to_owned()..) {
            if !key.starts_with(prefix) {
                break;
            }
            let folded = match delimiter {
                "" => None,
                mark => key[prefix.len()..].find(mark).map(|at| &key[..prefix.len() + at + mark.len()]),
            };
            let name = folded.unwrap_or(key);
            // A folded prefix stands for all that is in it.
            if !after.is_empty() && name <= after {
                continue;
            }
            if folded.is_some() && found.last().is_some_and(|entry| entry.name() == name) {
                continue;
            }
            if found.len() == most {
                return (found, Some(last));
            }
            name.clone_into(&mut last);
            found.push(match folded {
                None => Listed::Object(key, object),
                Some(name) => Listed::Prefix(name),
            });
        }
        (found, None)
    }
}

impl Default for Container {
    fn default() -> Self {
        Container::new()
    }
}

/// An entry of a listing.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    Object(&'a str, &'a Object),
    Prefix(&'a str),
}

impl Listed<'_> {
    pub fn name(&self) -> &str {
        match self {
            Listed::Object(name, _) | Listed::Prefix(name) => name,
        }
    }
}

/// An ETag that equal bytes share, as S3 gives them. (There it is an MD5; nothing may rely on that.)
pub fn etag_of(bytes: &[u8]) -> String {
    // Large ones are digested through their checksum: this server must not be the slow end.
    let digest = match bytes.len() {
        0..=65_536 => Sha256::digest(bytes),
        len => Sha256::digest(format!("{} {len}", crc32c::crc32c(bytes))),
    };
    format!("\"{}\"", hex(&digest[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fold_and_follow_each_other() {
        let mut objects = Objects::default();
        let container = objects.container("box");
        for key in ["a", "b/1", "b/2", "b0", "c/x/y", "d"] {
            let object = Object {
                bytes: Bytes::default(),
                etag: String::new(),
                content_type: None,
                metadata: BTreeMap::new(),
                modified: SystemTime::now(),
                crc32c: None,
                blocks: Vec::new(),
            };
            container.objects.insert(key.into(), object);
        }
        let all = |prefix: &str, delimiter: &str, most: usize| {
            let (mut names, mut after) = (Vec::new(), String::new());
            loop {
                let (page, next) = container.page(prefix, delimiter, &after, most);
                assert!(page.len() <= most);
                names.extend(page.iter().map(|entry| entry.name().to_owned()));
                match next {
                    Some(next) => after = next,
                    None => return names,
                }
            }
        };
        for most in 1..8 {
            assert_eq!(all("", "", most), ["a", "b/1", "b/2", "b0", "c/x/y", "d"], "{most}");
            assert_eq!(all("", "/", most), ["a", "b/", "b0", "c/", "d"], "{most}");
            assert_eq!(all("b/", "/", most), ["b/1", "b/2"], "{most}");
            assert_eq!(all("c/", "/", most), ["c/x/"], "{most}");
            assert!(all("z", "/", most).is_empty());
        }
    }
}
