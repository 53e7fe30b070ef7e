//! `memory://name`: objects in the memory of this process, shared by all stores of the same name.
//! The reference for the semantics of the trait, and useful for tests and embedding.

mod list;
mod write;

use super::*;
use crate::base::checksum::Crc32c;
use crate::base::key::{self, KeyRules};
use crate::base::sync::{read, write};
use crate::error::{Code, Error, Result};
use crate::runtime::{ForkRank, hold_during_fork};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, RwLock};
use std::time::SystemTime;

/// Objects below one root of a container that lives as long as the process.
#[derive(Debug)]
pub struct MemoryStore {
    root: Uri,
    /// What full keys below the root start with.
    prefix: String,
}

struct Container {
    created: SystemTime,
    objects: BTreeMap<String, Object>,
}

#[derive(Clone)]
struct Object {
    data: Bytes,
    /// `key` is empty here; the map knows it.
    meta: ObjectMeta,
}

/// One lock for all containers, so that a fork can hold it.
static CONTAINERS: RwLock<BTreeMap<String, Container>> = RwLock::new(BTreeMap::new());

impl MemoryStore {
    pub fn open(root: Uri) -> Self {
        static HELD: Once = Once::new();
        HELD.call_once(|| hold_during_fork(ForkRank::Memory, || Box::new(write(&CONTAINERS))));
        let prefix = root.key_prefix();
        MemoryStore { root, prefix }
    }

    fn full_key(&self, key: &str) -> Result<String> {
        key::check(key)?;
        Ok(format!("{}{key}", self.prefix))
    }

    fn uri(&self, key: &str) -> Uri {
        self.root.join(key)
    }

    /// Looks an object up; the data is shared, not copied.
    fn find(&self, key: &str) -> Result<Object> {
        let full = self.full_key(key)?;
        let containers = read(&CONTAINERS);
        let container = containers.get(self.root.container()).ok_or_else(|| self.no_container())?;
        let object = container.objects.get(&full);
        object.cloned().ok_or_else(|| Error::new(Code::NotFound, "there is no object of this key"))
    }

    fn no_container(&self) -> Error {
        Error::new(
            Code::ContainerNotFound,
            format!("there is no memory container {:?}", self.root.container()),
        )
        .with_hint("the first write or create_container makes it")
    }

    fn meta(&self, key: &str, object: &Object) -> ObjectMeta {
        ObjectMeta { key: key.to_owned(), ..object.meta.clone() }
    }

    /// Publishes an object under its condition and drops the old one outside the lock.
    fn publish(&self, key: &str, data: Bytes, crc: Crc32c, options: &PutOptions) -> Result<PutResult> {
        let full = self.full_key(key)?;
        let etag = next_etag();
        let meta = ObjectMeta {
            key: String::new(),
            size: data.len() as u64,
            etag: Some(etag.clone()),
            last_modified: Some(SystemTime::now()),
            content_type: options.content_type.clone(),
            metadata: options.metadata.clone(),
            crc32c: Some(crc.value()),
        };
        let mut containers = write(&CONTAINERS);
        let container = containers.entry(self.root.container().to_owned()).or_insert_with(Container::new);
        let present = container.objects.get(&full).and_then(|object| object.meta.etag.as_deref());
        check_condition(&options.condition, present)?;
        let replaced = container.objects.insert(full, Object { data, meta });
        drop(containers);
        drop(replaced);
        Ok(PutResult { etag: Some(etag), version: None })
    }

    fn remove(&self, key: &str) -> Result<()> {
        let full = self.full_key(key)?;
        let mut containers = write(&CONTAINERS);
        let container = containers.get_mut(self.root.container()).ok_or_else(|| self.no_container())?;
        let removed = container.objects.remove(&full);
        drop(containers);
        drop(removed);
        Ok(())
    }
}

impl Container {
    fn new() -> Self {
        Container { created: SystemTime::now(), objects: BTreeMap::new() }
    }
}

fn next_etag() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("\"m{}\"", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn root(&self) -> &Uri {
        &self.root
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking_io: true,
            conditional_put: true,
            metadata: true,
            keys: KeyRules::LITERAL,
            min_part_size: 1,
            max_part_size: u64::MAX,
            max_parts: u32::MAX,
            alignment: 1,
        }
    }

    async fn get_into(&self, key: &str, request: GetRequest, mut dst: Window) -> Result<GetResult> {
        let context = |e: Error| e.with_context("get", self.uri(key));
        let object = self.find(key).map_err(context)?;
        check_if_match(&request, object.meta.etag.as_deref()).map_err(context)?;
        let bytes = range_len(request.offset, dst.len(), object.meta.size).map_err(context)?;
        let start = request.offset as usize; // at most the size, which is in memory
        dst[..bytes].copy_from_slice(&object.data[start..start + bytes]);
        Ok(GetResult { bytes, meta: self.meta(key, &object) })
    }

    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        // A copy: the caller's memory is only lent.
        let stored = Bytes::copy_from_slice(&content.data);
        check_put_options(options)
            .and_then(|()| self.publish(key, stored, content.crc32c, options))
            .map_err(|e| e.with_context("put", self.uri(key)))
    }

    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        let context = |e: Error| e.with_context("put", self.uri(key));
        check_put_options(options).map_err(context)?;
        self.full_key(key).map_err(context)?;
        Ok(Arc::new(write::MemoryUpload::new(&self.root, key, options)))
    }

    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        let object = self.find(key).map_err(|e| e.with_context("stat", self.uri(key)))?;
        Ok(self.meta(key, &object))
    }

    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        list::page(self, request).map_err(|e| e.with_context("list", self.uri(&request.prefix)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.remove(key).map_err(|e| e.with_context("delete", self.uri(key)))
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let remove = |key: &String| self.remove(key).map_err(|e| e.with_context("delete", self.uri(key)));
        Ok(keys.iter().map(remove).collect())
    }

    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        let object = self.find(from).map_err(|e| e.with_context("copy", self.uri(from)))?;
        let options = PutOptions {
            content_type: object.meta.content_type,
            metadata: object.meta.metadata,
            condition: PutCondition::Always,
        };
        let crc = Crc32c::of(&object.data);
        self.publish(to, object.data, crc, &options).map_err(|e| e.with_context("copy", self.uri(to)))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if from == to {
            return self.stat(from).await.map(drop);
        }
        self.copy(from, to).await?;
        self.delete(from).await
    }

    async fn create_container(&self) -> Result<()> {
        let name = self.root.container();
        let mut containers = write(&CONTAINERS);
        if containers.contains_key(name) {
            return Err(Error::new(
                Code::AlreadyExists,
                format!("there is a memory container {name:?} already"),
            )
            .with_context("create_container", &self.root));
        }
        containers.insert(name.to_owned(), Container::new());
        Ok(())
    }

    async fn delete_container(&self) -> Result<()> {
        let context = |e: Error| e.with_context("delete_container", &self.root);
        let name = self.root.container();
        let mut containers = write(&CONTAINERS);
        let container = containers.get(name).ok_or_else(|| context(self.no_container()))?;
        if !container.objects.is_empty() {
            return Err(context(Error::new(
                Code::NotEmpty,
                format!("the container holds {} objects", container.objects.len()),
            )));
        }
        containers.remove(name);
        Ok(())
    }

    async fn list_containers(&self) -> Result<Vec<ContainerInfo>> {
        let containers = read(&CONTAINERS);
        let info = |(name, container): (&String, &Container)| ContainerInfo {
            name: name.clone(),
            created: Some(container.created),
        };
        Ok(containers.iter().map(info).collect())
    }

    /// None: they have no names before they are published.
    async fn list_uploads(&self, _prefix: &str) -> Result<Vec<PendingUpload>> {
        Ok(Vec::new())
    }

    async fn abort_upload(&self, _upload: &PendingUpload) -> Result<()> {
        Ok(())
    }
}
