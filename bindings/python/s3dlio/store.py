"""`Store`: objects below one root URI."""

from ctypes import byref, c_int32, c_size_t, c_uint32, c_uint64, sizeof
from typing import IO, Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from . import _ffi, _many, _owners
from . import _arguments as c
from ._async import AsyncStore
from ._library import lib
from .buffer import Buffer, from_handle
from .errors import BadHandleError, call
from .info import Capabilities, Check, ObjectInfo, WriteStats, object_info, write_stats
from .options import Options, Value
from .reader import Reader
from .wrap import open_file
from .writer import Writer

OptionValues = Optional[Union[Mapping[str, Value], Options]]


class Store(AsyncStore):
    """Objects below a root: `Store("s3://bucket/prefix", {"s3.endpoint": url})`.

    URIs are `s3://bucket/prefix`, `az://account/container/prefix`, `file:///path`, `direct:///path`
    and `memory://name/prefix`. Keys are relative to the root. Options are given as a mapping, as
    `Options`, or as keywords whose first underscore stands for the dot (`transfer_part_size="32MiB"`);
    what is not given comes from the environment. Opening does no I/O: a missing bucket or wrong
    credentials show at the first operation.

    The methods that start with `a` are for asyncio: `await store.aget(key)`.

    Any thread may use a store, many at once; the GIL is released while a call runs. A store keeps
    working in a forked child. Pickling keeps the URI and the options that were given explicitly,
    secrets among them; everything else is taken from the environment where it is unpickled.
    Offsets, lengths and sizes are in bytes. Every method raises a subclass of `S3dlioError`.
    """

    def __init__(self, uri: str, options: OptionValues = None, **keywords: Value):
        self._options = Options(options, **keywords)
        self._open: Optional[Any] = _owners.Store()
        call(lib.s3dlio_store_open, c.uri(uri), self._options._handle, byref(self._open))

    # ---- the store itself

    @property
    def _handle(self) -> Any:
        handle = self._open
        if handle is None:
            raise BadHandleError("the store is closed")
        return handle

    @property
    def uri(self) -> str:
        """The root URI, in the library's normal form."""
        return lib.s3dlio_store_uri(self._handle).decode()

    @property
    def capabilities(self) -> Capabilities:
        """What the backend can do and wants."""
        caps = _ffi.s3dlio_capabilities()
        call(lib.s3dlio_store_capabilities, self._handle, byref(caps), sizeof(caps))
        numbers = (caps.min_part_size, caps.max_part_size, caps.max_parts, caps.alignment)
        flags = (caps.conditional_put, caps.metadata, caps.literal_keys, caps.blocking_io)
        return Capabilities(*numbers, *map(bool, flags))

    def close(self) -> None:
        """Lets the store go; what was opened from it keeps working. Never blocks; again is harmless."""
        self._open = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.uri!r})" if self._open is not None else "<closed s3dlio.Store>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return Store, (self.uri, self._options)

    # ---- reading

    def get(self, key: str) -> Buffer:
        """The whole object, as stored."""
        data = _owners.Buffer()
        call(lib.s3dlio_store_get, self._handle, c.key(key), byref(data))
        return from_handle(data)

    def get_range(self, key: str, offset: int, length: Optional[int] = None) -> Buffer:
        """`length` bytes from `offset`, fewer where the object ends; None: all that follow.

        `RangeError` where `offset` is past the end; at the end the result is empty.
        """
        data = _owners.Buffer()
        start, count = c.u64(offset, "offset"), c.length(length)
        call(lib.s3dlio_store_get_range, self._handle, c.key(key), start, count, byref(data))
        return from_handle(data)

    def get_into(self, key: str, dst: Any) -> int:
        """Reads the whole object into `dst`, any writable buffer; gives its size.

        `BufferTooSmallError`, whose `required` tells the size, where it does not fit.
        """
        memory, count = c.Borrowed(dst, writable=True), c_size_t()
        call(lib.s3dlio_store_get_into, self._handle, c.key(key), memory.address, memory.length, byref(count))
        return count.value

    def get_range_into(self, key: str, offset: int, dst: Any) -> int:
        """Fills `dst`, any writable buffer, from `offset`; fewer bytes where the object ends."""
        memory, count = c.Borrowed(dst, writable=True), c_size_t()
        start = c.u64(offset, "offset")
        call(
            lib.s3dlio_store_get_range_into,
            self._handle, c.key(key), start, memory.address, memory.length, byref(count),
        )
        return count.value

    def get_ranges(self, key: str, ranges: Iterable[Tuple[int, int]]) -> List[Buffer]:
        """Many ranges `(offset, length)` of one object at once, in their order; as `get_range`."""
        pairs = [(offset, Buffer(length)) for offset, length in ranges]
        counts = self.get_ranges_into(key, pairs)
        return [
            data if count == len(data) else from_handle(data._handle, count)
            for (_, data), count in zip(pairs, counts)
        ]

    def get_ranges_into(self, key: str, ranges: Iterable[Tuple[int, Any]]) -> List[int]:
        """Many ranges `(offset, dst)` of one object at once into writable buffers that do not
        overlap; gives how many bytes each received."""
        wanted = c.Ranges(ranges)
        call(lib.s3dlio_store_get_ranges, self._handle, c.key(key), wanted.array, wanted.count)
        return wanted.bytes_read()

    def get_many(self, keys: Sequence[str], *, return_exceptions: bool = False) -> List[Any]:
        """Many whole objects at once, in the order of `keys`.

        Raises the first failure; with `return_exceptions` the failures stand in the result instead.
        """
        return _many.get_many(self._handle, keys, return_exceptions)

    def stat(self, key: str) -> ObjectInfo:
        """The object's facts."""
        info, strings = _ffi.s3dlio_object_info(), _owners.Buffer()
        call(lib.s3dlio_store_stat, self._handle, c.key(key), byref(info), sizeof(info), byref(strings))
        return object_info(info)

    def exists(self, key: str) -> bool:
        """Whether there is such an object. A failure to find out is raised, never False."""
        found = c_int32()
        call(lib.s3dlio_store_exists, self._handle, c.key(key), byref(found))
        return bool(found.value)

    def list(self, prefix: str = "", recursive: bool = True) -> Iterator[ObjectInfo]:
        """Objects whose keys start with `prefix`, in order of their keys' bytes, page by page.

        Not recursive: one level, where keys with a further `/` are folded into entries of kind
        "prefix". One thread at a time per iterator.
        """
        lister = _owners.Lister()
        text = c.prefix(prefix)
        call(lib.s3dlio_store_list, self._handle, text, int(bool(recursive)), byref(lister))
        return _entries(lister)

    def validate(
        self, key: str, crc32c: Optional[int] = None, *, offset: int = 0, length: Optional[int] = None
    ) -> None:
        """Reads the range and compares its CRC32C with `crc32c`, or with the one stored with the
        object (None, whole objects only). `ChecksumMismatchError` says where and what."""
        expected = None if crc32c is None else byref(c_uint32(c.u32(crc32c, "crc32c")))
        start, count = c.u64(offset, "offset"), c.length(length)
        call(lib.s3dlio_store_validate, self._handle, c.key(key), start, count, expected)

    def validate_many(self, checks: Iterable[Union[Check, str]], *, return_exceptions: bool = False) -> List[Any]:
        """Many checks at once; a plain key checks the whole object against its stored checksum.

        Gives None per passed check. Raises the first failure; with `return_exceptions` the
        failures stand in the result instead.
        """
        return _many.validate_many(self._handle, checks, return_exceptions)

    # ---- writing

    def put(
        self,
        key: str,
        data: Any,
        *,
        content_type: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        if_match: Optional[str] = None,
        create_only: bool = False,
    ) -> WriteStats:
        """Stores `data`, any contiguous buffer, as one object; it is sent from where it lies.

        `create_only` fails with `AlreadyExistsError` where there is an object, `if_match` with
        `PreconditionFailedError` where the object has another ETag.
        """
        memory, stats = c.Borrowed(data), _ffi.s3dlio_write_stats()
        options = c.put_options(content_type, metadata, if_match, create_only)
        call(
            lib.s3dlio_store_put,
            self._handle, c.key(key), memory.address, memory.length,
            byref(options), sizeof(options), byref(stats), sizeof(stats),
        )
        return write_stats(stats)

    def put_many(
        self,
        objects: Union[Mapping[str, Any], Iterable[Tuple[str, Any]]],
        *,
        content_type: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        if_match: Optional[str] = None,
        create_only: bool = False,
        return_exceptions: bool = False,
    ) -> List[Any]:
        """Stores many objects at once, `(key, data)` each, all with the same options; gives the CRC32C of each.

        Raises the first failure; with `return_exceptions` the failures stand in the result instead.
        Those that did not fail are stored in either case.
        """
        options = c.put_options(content_type, metadata, if_match, create_only)
        return _many.put_many(self._handle, objects, options, return_exceptions)

    def delete(self, key: str) -> None:
        """Deletes the object; a missing one is no error."""
        call(lib.s3dlio_store_delete, self._handle, c.key(key))

    def delete_prefix(self, prefix: str) -> int:
        """Deletes everything in the folder `prefix` ("run1" takes "run1/..." and never "run10/...";
        "" takes everything below the root); gives how many objects there were."""
        deleted = c_uint64()
        text = c.prefix(prefix)
        call(lib.s3dlio_store_delete_prefix, self._handle, text, byref(deleted))
        return deleted.value

    def copy(self, source: str, target: str) -> None:
        """Copies an object within the store, with content type and metadata."""
        call(lib.s3dlio_store_copy, self._handle, c.key(source), c.key(target))

    def rename(self, source: str, target: str) -> None:
        """Moves an object within the store; cloud stores copy and delete. A source that is replaced
        meanwhile stays: `ChangedError`."""
        call(lib.s3dlio_store_rename, self._handle, c.key(source), c.key(target))

    # ---- containers

    def create_container(self) -> None:
        """Creates the bucket, container or root folder that the URI names."""
        call(lib.s3dlio_store_create_container, self._handle)

    def delete_container(self) -> None:
        """Deletes it; `NotEmptyError` while it holds objects."""
        call(lib.s3dlio_store_delete_container, self._handle)

    def list_containers(self) -> Iterator[ObjectInfo]:
        """The buckets or containers that the credentials see, as entries of kind "container"."""
        lister = _owners.Lister()
        call(lib.s3dlio_store_list_containers, self._handle, byref(lister))
        return _entries(lister)

    # ---- streams

    def reader(self, key: str, options: OptionValues = None, **keywords: Value) -> Reader:
        """An unbuffered binary file over the object (`io.RawIOBase`) with positional reads; keys that
        end in .zst are decompressed. Options go over the store's."""
        return Reader(self._handle, key, Options(options, **keywords))

    def writer(
        self,
        key: str,
        options: OptionValues = None,
        *,
        content_type: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        if_match: Optional[str] = None,
        create_only: bool = False,
        **keywords: Value,
    ) -> Writer:
        """A binary file that streams into the object in constant memory and publishes it when it is
        finished. Options go over the store's; conditions are those of `put`."""
        put_options = c.put_options(content_type, metadata, if_match, create_only)
        return Writer(self._handle, key, Options(options, **keywords), put_options)

    def open(self, key: str, mode: str = "rb", buffering: int = -1, **arguments: Any) -> IO[Any]:
        """A file object as the builtin `open` gives it.

        Modes are "r", "w" and "x" (fails where there is an object), with "b" or for text with
        `encoding`, `errors` and `newline`; `buffering` in bytes. Other keywords go to `reader` or
        `writer`. What is written is published by `close()` or by leaving `with` without an exception.
        """
        return open_file(self, key, mode, buffering, **arguments)


def _entries(lister: Any) -> Iterator[ObjectInfo]:
    info = _ffi.s3dlio_object_info()
    while call(lib.s3dlio_lister_next, lister, byref(info), sizeof(info)) != _ffi.S3DLIO_END:
        yield object_info(info)
