//! What `file://` and `direct://` share: objects are regular files below a root folder.
//!
//! * Publication is atomic and survives SIGKILL ([`publish`]); keys cannot leave the root
//!   ([`confine`]); listings are in order and page by page ([`list`]).
//! * Folders are no objects: writes make them, deletes remove those they leave empty.
//! * A symbolic link to a file inside the root is that object; links to folders are followed where
//!   a key or prefix names them, but listings do not descend into them; links that lead out are
//!   refused, and left out of listings. Devices, pipes and sockets are not seen at all.
//! * File names that are not UTF-8 cannot be keys: listings leave them out with a warning in the log.
//! * All I/O happens on the calling thread; only batches of files take a few more ([`batch`]), and
//!   what makes many requests at once makes them through an io_uring ([`ring`]).
//!
//! The backends differ in how bytes are read and written: [`Io`].

mod batch;
mod confine;
mod facts;
mod list;
mod moves;
mod publish;
mod remove;
pub(super) mod ring;
pub(super) mod sys;
mod temp;
mod tree;
mod upload;

pub use ring::fallbacks as io_uring_fallbacks;

use super::*;
use crate::base::checksum::Crc32c;
use crate::base::key::KeyRules;
use crate::error::{Code, Error, Result};
use crate::options::Resolved;
use ring::Rings;
use std::fs::File;
use std::os::fd::AsFd;
use tree::{Tree, check_key};

/// How a backend moves bytes between memory and open files.
pub trait Io: fmt::Debug + Send + Sync + 'static {
    type Sink: Sink;

    /// See [`Capabilities::alignment`].
    fn alignment(&self) -> usize;

    /// What it was told about io_uring.
    fn rings(&self) -> &Rings;

    /// More flags for opening a file that is read through a ring, in multiples of the alignment.
    fn open_flags(&self) -> i32;

    /// Reads from a file that was opened for it until `dst` is full or the file ends.
    fn read(&self, file: &File, offset: u64, dst: &mut [u8]) -> Result<usize>;

    /// Prepares writing to an empty file.
    fn sink(&self, file: &File) -> Result<Self::Sink>;
}

/// The writing side of one file.
pub trait Sink: Send + Sync + 'static {
    /// Writes `data` at any offset; many threads may write different ranges at the same time.
    fn write_at(&self, file: &File, offset: u64, data: &[u8]) -> Result<()>;

    /// As [`Sink::write_at`]; the checksum of `data` costs no time of its own where that is possible.
    fn write_at_checked(&self, file: &File, offset: u64, data: &[u8]) -> Result<Crc32c>;

    /// Makes the file `size` bytes long, after every byte below that was written.
    fn finish(&self, file: &File, size: u64) -> Result<()>;
}

/// Objects below one folder.
#[derive(Debug)]
pub struct PosixStore<I> {
    tree: Tree,
    io: I,
}

impl<I: Io> PosixStore<I> {
    /// A store at a root URI that names a local path; does no I/O.
    pub(super) fn with_io(root: Uri, options: &Resolved, io: I) -> Self {
        PosixStore { tree: Tree::new(root, options), io }
    }

    fn read(&self, key: &str, request: &GetRequest, mut dst: Window) -> Result<GetResult> {
        let (file, stat) = self.tree.open_object(key)?;
        check_if_match(request, Some(&facts::etag(&stat)))?;
        let bytes = range_len(request.offset, dst.len(), stat.size)?;
        self.read_exactly(&file, &stat, request.offset, &mut dst[..bytes])?;
        if request.if_match.is_some() {
            let after = sys::stat(file.as_fd()).map_err(|e| Error::from_io("cannot stat the file", &e))?;
            check_if_match(request, Some(&facts::etag(&after)))?;
        }
        Ok(GetResult { bytes, meta: facts::full_meta(key, &file, &stat)? })
    }

    /// Fills `dst`, which ends within the file as `stat` saw it.
    fn read_exactly(&self, file: &File, stat: &sys::Stat, offset: u64, dst: &mut [u8]) -> Result<()> {
        let (got, wanted) = (self.io.read(file, offset, dst)?, dst.len());
        // Publications never touch an open file; only programs that edit in place do.
        if got < wanted {
            return Err(Error::new(
                Code::Changed,
                format!(
                    "the file had {} bytes, but became shorter while it was read: {got} of {wanted} bytes came",
                    stat.size
                ),
            ));
        }
        Ok(())
    }

    /// Gives also the checksum, which is computed during the write where it is not `known`.
    fn write(
        &self,
        key: &str,
        data: &[u8],
        known: Option<Crc32c>,
        options: &PutOptions,
    ) -> Result<(PutResult, Crc32c)> {
        check_put_options(options)?;
        check_key(key)?;
        let staged = publish::Staged::create(&self.tree, key)?;
        let sink = self.io.sink(&staged.file)?;
        let crc = match known {
            Some(crc) => sink.write_at(&staged.file, 0, data).map(|()| crc)?,
            None => sink.write_at_checked(&staged.file, 0, data)?,
        };
        sink.finish(&staged.file, data.len() as u64)?;
        let record = facts::Record::new(options, crc.value());
        Ok((staged.publish(&self.tree, key, &options.condition, &record)?, crc))
    }

    fn facts_of(&self, key: &str) -> Result<ObjectMeta> {
        let (file, stat) = self.tree.open_object(key)?;
        facts::full_meta(key, &file, &stat)
    }

    fn remove_root(&self) -> Result<()> {
        let tree = &self.tree;
        drop(tree.root()?); // ContainerNotFound
        let first = ListRequest { max_entries: 1, ..ListRequest::default() };
        if let Some(entry) = list::page(tree, &first)?.entries.first() {
            return Err(Error::new(
                Code::NotEmpty,
                format!("the folder holds objects, such as {:?}", entry.key()),
            ));
        }
        let failed = |e| Error::from_io(format_args!("cannot remove the folder {}", tree.path.display()), &e);
        let folder = File::open(&tree.path).map_err(failed)?;
        remove::leftovers(folder.as_fd()).map_err(failed)?;
        std::fs::remove_dir(&tree.path).map_err(failed)
    }

    fn beside_root(&self) -> Result<Vec<ContainerInfo>> {
        let above = self.tree.path.parent().unwrap_or(&self.tree.path);
        let failed = |e| Error::from_io(format_args!("cannot list the folder {}", above.display()), &e);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(above).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            match entry.file_name().into_string() {
                Ok(name) => {
                    let created = entry.metadata().and_then(|meta| meta.created()).ok();
                    folders.push(ContainerInfo { name, created });
                }
                Err(name) => tracing::warn!(?name, "a folder is left out: its name is not UTF-8"),
            }
        }
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(folders)
    }
}

#[async_trait]
impl<I: Io> ObjectStore for PosixStore<I> {
    fn root(&self) -> &Uri {
        &self.tree.uri
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking_io: true,
            conditional_put: true,
            metadata: true,
            keys: KeyRules::PATHS,
            min_part_size: 1,
            max_part_size: u64::MAX,
            max_parts: u32::MAX,
            alignment: self.io.alignment(),
        }
    }

    async fn get_into(&self, key: &str, request: GetRequest, dst: Window) -> Result<GetResult> {
        self.read(key, &request, dst).map_err(|e| e.with_context("get", self.tree.uri_of(key)))
    }

    async fn get_batch(&self, keys: &[&str], at_once: usize, admit: Admit<'_>) -> Option<GotBatch> {
        Some(batch::get(self, keys, at_once, admit))
    }

    async fn put(&self, key: &str, content: Content, options: &PutOptions) -> Result<PutResult> {
        let stored = self.write(key, &content.data, Some(content.crc32c), options);
        stored.map(|(result, _)| result).map_err(|e| e.with_context("put", self.tree.uri_of(key)))
    }

    async fn put_checked(&self, key: &str, data: Bytes, options: &PutOptions) -> Result<(PutResult, Crc32c)> {
        self.write(key, &data, None, options).map_err(|e| e.with_context("put", self.tree.uri_of(key)))
    }

    async fn create_upload(&self, key: &str, options: &PutOptions) -> Result<Arc<dyn Upload>> {
        let upload = check_put_options(options)
            .and_then(|()| upload::PosixUpload::create(&self.tree, &self.io, key, options))
            .map_err(|e| e.with_context("put", self.tree.uri_of(key)))?;
        Ok(Arc::new(upload))
    }

    async fn stat(&self, key: &str) -> Result<ObjectMeta> {
        self.facts_of(key).map_err(|e| e.with_context("stat", self.tree.uri_of(key)))
    }

    async fn list_page(&self, request: &ListRequest) -> Result<ListPage> {
        list::page(&self.tree, request).map_err(|e| e.with_context("list", self.tree.uri_of(&request.prefix)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        remove::object(&self.tree, key).map_err(|e| e.with_context("delete", self.tree.uri_of(key)))
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let outcomes = remove::objects(&self.tree, keys).into_iter().zip(keys);
        Ok(outcomes
            .map(|(outcome, key)| outcome.map_err(|e| e.with_context("delete", self.tree.uri_of(key))))
            .collect())
    }

    async fn copy(&self, from: &str, to: &str) -> Result<PutResult> {
        moves::copy(&self.tree, from, to).map_err(|e| e.with_context("copy", self.tree.uri_of(to)))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        moves::rename(&self.tree, from, to).map_err(|e| e.with_context("rename", self.tree.uri_of(from)))
    }

    async fn create_container(&self) -> Result<()> {
        let made = self.tree.make_root_path().and_then(|made| {
            drop(self.tree.root()?);
            match made {
                true => Ok(()),
                false => Err(Error::new(
                    Code::AlreadyExists,
                    format!("there is a folder {} already", self.tree.path.display()),
                )),
            }
        });
        made.map_err(|e| e.with_context("create_container", &self.tree.uri))
    }

    async fn delete_container(&self) -> Result<()> {
        self.remove_root().map_err(|e| e.with_context("delete_container", &self.tree.uri))
    }

    async fn list_containers(&self) -> Result<Vec<ContainerInfo>> {
        self.beside_root().map_err(|e| e.with_context("list_containers", &self.tree.uri))
    }

    /// None: they have no names before they are published, and what a kill left the next writer removes.
    async fn list_uploads(&self, _prefix: &str) -> Result<Vec<PendingUpload>> {
        Ok(Vec::new())
    }

    async fn abort_upload(&self, _upload: &PendingUpload) -> Result<()> {
        Ok(())
    }
}
