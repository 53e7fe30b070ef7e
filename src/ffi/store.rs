//! Stores
//!
//! A store is opened at a root URI: s3://bucket/prefix, az://account/container/prefix,
//! file:///path, direct:///path (O_DIRECT) or memory://name (this process only). URIs are taken
//! literally, nothing is percent-decoded. Keys are relative to the root, at most 1024 bytes of
//! UTF-8. Cloud and memory stores take any key; file and direct take relative paths of plain names
//! and refuse what could leave the root.
//!
//! Stores are for any thread, concurrently. Listers, readers and writers keep what they need of
//! their store: it may be freed before them.
//!
//! Beside the errors that a function names, every function that talks to a store can fail with
//! INVALID_ARGUMENT (NULL, not UTF-8), BAD_HANDLE, INVALID_KEY, CONTAINER_NOT_FOUND,
//! PERMISSION_DENIED, UNAUTHENTICATED, DNS, CONNECTION, TLS, TIMEOUT, UNAVAILABLE, SERVER, PROTOCOL,
//! IO, OUT_OF_MEMORY, SHUTDOWN (during s3dlio_shutdown), WOULD_DEADLOCK and INTERNAL.

use super::convert::*;
use super::handle::{self, Handle, Ref};
use super::info::Info;
use super::types::*;
use super::{guard, lister, options, writer};
use crate::base::buffer::lend;
use crate::error::Result;
use crate::runtime::block_on;
use crate::store::{self, ObjectMeta, PutCondition, PutOptions, Store};
use crate::transfer;
use std::ffi::{CString, c_char, c_void};
use std::ptr;

/// What a store can do and wants.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_capabilities {
    /// The smallest part but the last, in bytes.
    pub min_part_size: u64,
    /// The largest part, in bytes.
    pub max_part_size: u64,
    /// How many parts an object may have.
    pub max_parts: u32,
    /// Offsets, lengths and addresses that are multiples of this avoid a copy; 1 where it does not
    /// matter.
    pub alignment: u32,
    /// 1 if create_only and if_match are honoured atomically.
    pub conditional_put: u32,
    /// 1 if content type and user metadata are kept.
    pub metadata: u32,
    /// 1 if keys may be any text; 0 if some are refused: files and services that keep keys as paths
    /// (option s3.literal_keys) have no empty, . or .. segments, Azure has no segments that end in a dot,
    /// backslashes or control characters.
    pub literal_keys: u32,
    /// 1 if I/O happens on the calling thread.
    pub blocking_io: u32,
}

// SAFETY: integers without padding.
unsafe impl Plain for s3dlio_capabilities {}
const _: () = assert!(size_of::<s3dlio_capabilities>() == 8 * 2 + 4 * 6);

/// What a store handle stands for.
pub struct StoreValue {
    pub store: Store,
    uri: CString,
}

impl Handle for s3dlio_store {
    const KIND: u64 = 4;
    const NAME: &'static str = "store";
    type Value = StoreValue;
}

/// The store of a handle.
pub fn store_of(store: *const s3dlio_store) -> Result<Ref<StoreValue>> {
    handle::get(store)
}

/// Opens the store at a root URI. Does no I/O: a missing bucket or wrong credentials show at the
/// first operation. `options` may be NULL; they are copied. The caller frees the store.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE, INVALID_URI, INVALID_OPTION (from the environment),
/// UNSUPPORTED, UNAUTHENTICATED (malformed credentials).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_open(
    uri: *const c_char,
    options: *const s3dlio_options,
    store: *mut *mut s3dlio_store,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_open", err, || {
            let out = Out::new(store, "store")?;
            let opened = store::store_for_uri(text(uri, "uri")?, &options::given(options)?)?;
            let uri = super::error::c_string(opened.root().to_string());
            out.set_handle(StoreValue { store: opened, uri })
        })
    }
}

/// The root URI, which lives as long as the handle; NULL for NULL and stale handles.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_uri(store: *const s3dlio_store) -> *const c_char {
    guard::value("s3dlio_store_uri", ptr::null(), || {
        handle::peek(store).map_or(ptr::null(), |store| store.uri.as_ptr())
    })
}

/// What the store can do and wants.
/// Errors: INVALID_ARGUMENT, BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_capabilities(
    store: *const s3dlio_store,
    capabilities: *mut s3dlio_capabilities,
    capabilities_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_capabilities", err, || {
            let out = OutStruct::new(capabilities, capabilities_size, "capabilities")?;
            let known = store_of(store)?.store.capabilities();
            out.set(&s3dlio_capabilities {
                min_part_size: known.min_part_size,
                max_part_size: known.max_part_size,
                max_parts: known.max_parts,
                alignment: u32::try_from(known.alignment).unwrap_or(u32::MAX),
                conditional_put: known.conditional_put.into(),
                metadata: known.metadata.into(),
                literal_keys: known.literal_keys().into(),
                blocking_io: known.blocking_io.into(),
            });
            Ok(())
        })
    }
}

/// The caller's put options.
///
/// # Safety
/// `options` is NULL or valid for `size` bytes, and its pointers as the header says.
pub unsafe fn put_options(options: *const s3dlio_put_options, size: usize) -> Result<PutOptions> {
    // SAFETY: passed on.
    unsafe {
        let Some(given) = read_struct(options, size, "put_options")? else {
            return Ok(PutOptions::default());
        };
        let if_match = optional_text(given.if_match, "if_match")?;
        let condition = match (given.create_only, if_match) {
            (0, None) => PutCondition::Always,
            (0, Some(etag)) => PutCondition::IfMatch(etag.to_owned()),
            (1, None) => PutCondition::CreateOnly,
            (1, Some(_)) => return Err(invalid("create_only and if_match exclude each other")),
            (other, _) => return Err(invalid(format!("create_only is {other}; expected 0 or 1"))),
        };
        if given.reserved != 0 {
            return Err(invalid("the reserved field of put_options is not 0"));
        }
        Ok(PutOptions {
            content_type: optional_text(given.content_type, "content_type")?.map(str::to_owned),
            metadata: text_map(given.metadata, given.metadata_count)?,
            condition,
        })
    }
}

/// Stores `length` bytes as the object `key`, whole or not at all. Large objects go in parallel
/// parts. The data is read in place and not used after the call. `options` (all defaults) and
/// `stats` may be NULL.
/// Errors: ALREADY_EXISTS, PRECONDITION_FAILED, NO_SPACE, UNSUPPORTED (a condition that the service
/// does not honour), CHECKSUM_MISMATCH, UNKNOWN_OUTCOME.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_put(
    store: *const s3dlio_store,
    key: *const c_char,
    data: *const c_void,
    length: usize,
    options: *const s3dlio_put_options,
    options_size: usize,
    stats: *mut s3dlio_write_stats,
    stats_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_put", err, || {
            let (key, data) = (text(key, "key")?, bytes(data, length)?);
            let out = OutStruct::optional(stats, stats_size, "stats")?;
            let options = put_options(options, options_size)?;
            let used = store_of(store)?;
            let stats =
                lend(data, |data| block_on(transfer::put(&used.store, key, data, &options))).flatten()?;
            if let Some(out) = out {
                out.set(&writer::raw_stats(&stats));
            }
            Ok(())
        })
    }
}

/// Where the facts of one object go.
pub struct InfoOut {
    info: OutStruct<s3dlio_object_info>,
    strings: Option<Out<*mut s3dlio_buffer>>,
}

impl InfoOut {
    /// # Safety
    /// The outputs are NULL or valid until the result is dropped.
    pub unsafe fn new(
        info: *mut s3dlio_object_info,
        info_size: usize,
        strings: *mut *mut s3dlio_buffer,
    ) -> Result<Self> {
        // SAFETY: passed on.
        unsafe {
            let info = OutStruct::new(info, info_size, "info")?;
            let strings = if strings.is_null() { None } else { Some(Out::new(strings, "strings")?) };
            Ok(InfoOut { info, strings })
        }
    }

    pub fn set(self, store: &Store, meta: &ObjectMeta) -> Result<()> {
        let info = Info::object(meta, store.root().join(&meta.key))?;
        match self.strings {
            None => self.info.set(&info.raw_without_texts()),
            Some(strings) => {
                let raw = *info.raw();
                strings.set_handle(super::buffer::BufferValue::keeping(info))?;
                self.info.set(&raw);
            }
        }
        Ok(())
    }
}

/// The object's facts. `strings` gets a buffer that owns the texts of `info` (its own contents are
/// not for use): free it when the texts are no longer needed. Where `strings` is NULL, the texts are
/// NULL and metadata_count is 0.
/// Errors: NOT_FOUND.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_stat(
    store: *const s3dlio_store,
    key: *const c_char,
    info: *mut s3dlio_object_info,
    info_size: usize,
    strings: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_stat", err, || {
            let out = InfoOut::new(info, info_size, strings)?;
            let key = text(key, "key")?;
            let store = &store_of(store)?.store;
            out.set(store, &block_on(store.stat(key)).flatten()?)
        })
    }
}

/// Whether there is an object of this key: 1 or 0. A failure is an error, never 0.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_exists(
    store: *const s3dlio_store,
    key: *const c_char,
    exists: *mut i32,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_exists", err, || {
            let (out, key) = (Out::new(exists, "exists")?, text(key, "key")?);
            out.set(block_on(store_of(store)?.store.exists(key)).flatten()?.into());
            Ok(())
        })
    }
}

/// Deletes one object. A missing one is success: the state asked for is there.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_delete(
    store: *const s3dlio_store,
    key: *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_delete", err, || {
            let key = text(key, "key")?;
            block_on(store_of(store)?.store.delete(key)).flatten()
        })
    }
}

/// Deletes every object below a folder: "run1" means "run1/" and never takes "run10"; "" means
/// everything below the root. `deleted`, which may be NULL, gets how many were deleted. Where some
/// could not be, the call fails after having tried all.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_delete_prefix(
    store: *const s3dlio_store,
    prefix: *const c_char,
    deleted: *mut u64,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_delete_prefix", err, || {
            let out = if deleted.is_null() { None } else { Some(Out::new(deleted, "deleted")?) };
            let prefix = text(prefix, "prefix")?;
            let count = block_on(transfer::delete_prefix(&store_of(store)?.store, prefix)).flatten()?;
            if let Some(out) = out {
                out.set(count);
            }
            Ok(())
        })
    }
}

/// Copies an object with content type and metadata inside the store; its bytes do not pass through
/// this process where the service can copy. The destination is replaced.
/// Errors: NOT_FOUND (the source), NO_SPACE, CHANGED (the source), UNKNOWN_OUTCOME.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_copy(
    store: *const s3dlio_store,
    from: *const c_char,
    to: *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_copy", err, || {
            let (from, to) = (text(from, "from")?, text(to, "to")?);
            block_on(store_of(store)?.store.copy(from, to)).flatten().map(drop)
        })
    }
}

/// Moves an object. Atomic on file and direct; elsewhere a copy and then a delete. The destination
/// is replaced. A source that is replaced meanwhile stays, beside the copy of what it was: CHANGED.
/// (On S3 services without If-Match for deletes, a write to the source in the moment before its delete
/// is lost.)
/// Errors: NOT_FOUND (the source), NO_SPACE, CHANGED, UNKNOWN_OUTCOME.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_rename(
    store: *const s3dlio_store,
    from: *const c_char,
    to: *const c_char,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_rename", err, || {
            let (from, to) = (text(from, "from")?, text(to, "to")?);
            block_on(store_of(store)?.store.rename(from, to)).flatten()
        })
    }
}

/// Creates the root's bucket, container or folder. (file, direct and memory do so by themselves at
/// the first write.)
/// Errors: ALREADY_EXISTS.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_create_container(
    store: *const s3dlio_store,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_create_container", err, || {
            block_on(store_of(store)?.store.create_container()).flatten()
        })
    }
}

/// Deletes the root's bucket, container or folder, which must be empty.
/// Errors: NOT_EMPTY.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_delete_container(
    store: *const s3dlio_store,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_delete_container", err, || {
            block_on(store_of(store)?.store.delete_container()).flatten()
        })
    }
}

/// Lists the objects whose key starts with the text `prefix` ("" lists all), in the order of the
/// keys' UTF-8 bytes. With `recursive` 0 one level only: keys with a further slash after the prefix
/// are folded into common prefixes. Does no I/O. The caller frees the lister.
/// Errors: INVALID_ARGUMENT (also where recursive is not 0 or 1), BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_list(
    store: *const s3dlio_store,
    prefix: *const c_char,
    recursive: i32,
    lister: *mut *mut s3dlio_lister,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_list", err, || {
            let (out, prefix) = (Out::new(lister, "lister")?, text(prefix, "prefix")?);
            if !matches!(recursive, 0 | 1) {
                return Err(invalid(format!("recursive is {recursive}; expected 0 or 1")));
            }
            out.set_handle(lister::ListerValue::objects(&store_of(store)?.store, prefix, recursive == 1))
        })
    }
}

/// Lists the buckets or containers of the store's account; for file and direct the folders beside
/// the root, for memory all names. The caller frees the lister.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_list_containers(
    store: *const s3dlio_store,
    lister: *mut *mut s3dlio_lister,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_store_list_containers", err, || {
            let out = Out::new(lister, "lister")?;
            let store = &store_of(store)?.store;
            let containers = block_on(store.list_containers()).flatten()?;
            out.set_handle(lister::ListerValue::containers(store, containers))
        })
    }
}

/// Frees the store. Listers, readers and writers of it live on. NULL and stale handles are ignored.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_store_free(store: *mut s3dlio_store) {
    guard::free("s3dlio_store_free", store);
}
