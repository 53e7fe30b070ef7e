"""Objects by their full URIs: lists, gets, puts, files up and down, and the same for asyncio."""

import asyncio
import builtins
import glob
import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import library
from .._places import split
from ..buffer import Buffer
from ..errors import BufferTooSmallError, InvalidArgumentError, InvalidUriError, NotFoundError, UnsupportedError
from ..info import ObjectInfo
from ..store import Store
from ._stores import is_local, local_path, object_place, place

BytesView = Buffer
ObjectNotFoundError = NotFoundError
UnsupportedOperationError = UnsupportedError

_LARGE = 64 << 20  # files from here on are streamed, not mapped


class LengthMismatchError(ValueError):
    """The object's size is not the expected one; `expected` and `actual` (None: unknown) tell both."""

    def __init__(self, message: str, expected: int, actual: Optional[int]):
        super().__init__(message)
        self.expected, self.actual = expected, actual


class ExportStillReferencedError(RuntimeError):
    """Never raised: no call of this library returns while it still reads the caller's memory."""


class ObjectMetadata(NamedTuple):
    """What `head_async` gives."""

    size: int
    etag: Optional[str]
    #: Not known to this library.
    version_id: Optional[str] = None


# ---- lists


def list(uri: str, recursive: bool = False, pattern: Optional[str] = None) -> List[str]:  # noqa: A001
    """Full URIs of the objects that the URI selects; folders of one level end in a slash.

    `.../folder/` selects what is in the folder, `.../name` the object and the folder of exactly that name, and with
    `*` (within a name) or `**` (across slashes) all keys that match. `pattern` is a regular expression that must be
    found in the key after the folder. Nothing found is an empty list; a missing bucket is an error.
    """
    wanted = re.compile(pattern) if pattern is not None else None
    store, key, before = place(uri)
    if is_local(uri) and key and not key.endswith("/") and os.path.isdir(local_path(uri)):
        key += "/"
    folder = key[: key.rfind("/") + 1]
    found = (entry if isinstance(entry, str) else entry.key for entry in _select(store, key, recursive, is_local(uri)))
    return [before + name for name in found if wanted is None or wanted.search(name[len(folder):])]


def _select(store: Store, key: str, recursive: bool, is_path: bool) -> Iterator[Any]:
    if not key or key.endswith("/"):
        yield from store.list(key, recursive)
    elif "*" in key and not is_path:
        fixed = key[: key.index("*")]
        match = re.compile(_glob(key)).fullmatch
        yield from (entry for entry in store.list(fixed[: fixed.rfind("/") + 1]) if match(entry.key))
    else:
        if store.exists(key):
            yield key
        if recursive:
            yield from store.list(f"{key}/")
        elif next(iter(store.list(f"{key}/", False)), None) is not None:
            yield f"{key}/"


def _glob(key: str) -> str:
    """The regular expression of a pattern: `*` stays between two slashes, `**` does not."""
    parts = (re.split(r"(\*+)", key))
    return "".join(".*" if part.startswith("**") else "[^/]*" if part == "*" else re.escape(part) for part in parts)


def list_keys(uri: str) -> List[str]:
    """What `list(uri)` finds, relative to the URI."""
    prefix = uri if uri.endswith("/") else f"{uri}/"
    found = list(uri)
    return [name for name in (one[len(prefix):] if one.startswith(prefix) else one.rsplit("/", 1)[-1] for one in found) if name]


def list_full_uris(uri: str) -> List[str]:
    """`list(uri)`."""
    return list(uri)


def list_containers(uri: str) -> List[Dict[str, Any]]:
    """Buckets, containers or folders as dicts with `name`, `uri` and `creation_date`."""
    scheme, _, rest = uri.partition("://")
    if is_local(uri):
        path = local_path(uri)
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
        return [dict(name=name, uri=f"{scheme}://{os.path.join(path, name)}", creation_date=None) for name in names]
    # Which bucket the store names does not matter, it is not asked for.
    root = f"{scheme}://{rest.rstrip('/')}/any" if scheme == "az" else f"{scheme}://{rest.strip('/') or 'any'}"
    found = Store(root).list_containers()
    return [
        dict(name=one.key, uri=one.uri, creation_date=one.last_modified and one.last_modified.isoformat()) for one in found
    ]


# ---- reading


def get_object(uri: str) -> Buffer:
    """`get(uri)`."""
    return library.get(uri)


def get_by_key(bucket: str, key: str) -> Buffer:
    """`get` of an object of S3."""
    warnings.warn("get_by_key() is deprecated, use get(uri)", DeprecationWarning, stacklevel=2)
    return library.get(f"s3://{bucket}/{key}")


def get_range(uri: str, offset: int, length: Optional[int] = None) -> Buffer:
    """`length` bytes from `offset`, fewer where the object ends; None: all that follow."""
    store, key = object_place(uri)
    return store.get_range(key, offset, length)


def get_many(uris: Sequence[str], max_in_flight: int = 64) -> List[Tuple[str, Buffer]]:
    """Pairs of URI, as it was given, and data; in the order of `uris`. They may be of many stores."""
    uris = builtins.list(uris)
    found: List[Any] = [None] * len(uris)
    for store, at, keys in _by_store(uris, transfer_get_many_concurrency=_in_flight(max_in_flight)):
        for index, data in zip(at, store.get_many(keys)):
            found[index] = (uris[index], data)
    return found


def get_many_stats(uris: Sequence[str], max_in_flight: int = 64) -> Tuple[int, int]:
    """Reads and lets go; how many objects and bytes there were."""
    count = size = 0
    for at in range(0, len(uris), 256):
        for _, data in get_many(uris[at : at + 256], max_in_flight):
            count, size = count + 1, size + len(data)
    return count, size


def stat_object(uri: str) -> ObjectInfo:
    """`stat(uri)`."""
    return library.stat(uri)


def stat_key(bucket: str, key: str) -> ObjectInfo:
    """`stat` of an object of S3."""
    warnings.warn("stat_key() is deprecated, use stat(uri)", DeprecationWarning, stacklevel=2)
    return library.stat(f"s3://{bucket}/{key}")


def _by_store(uris: Sequence[str], **options: Any) -> Iterator[Tuple[Store, List[int], List[str]]]:
    groups: Dict[int, Tuple[Store, List[int], List[str]]] = {}
    for index, uri in enumerate(uris):
        store, key = object_place(uri, **options)
        _, at, keys = groups.setdefault(id(store), (store, [], []))
        at.append(index)
        keys.append(key)
    return iter(builtins.list(groups.values()))


def _in_flight(count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidArgumentError(f"max_in_flight is {count!r}; expected a whole number from 1")
    return min(count, 4096)


# ---- writing


def put_bytes(uri: str, data: Any) -> None:
    """Stores any buffer, or what has `__bytes__`, as one object."""
    store, key = object_place(uri)
    store.put(key, _payload(data))


def put_many(items: Iterable[Tuple[str, Any]], max_in_flight: int = 64) -> None:
    """Stores pairs of URI and data; the first failure is raised, what did not fail is stored."""
    pairs = [(uri, _payload(data)) for uri, data in items]
    uris = [uri for uri, _ in pairs]
    for store, at, keys in _by_store(uris, transfer_put_many_concurrency=_in_flight(max_in_flight)):
        store.put_many([(key, pairs[index][1]) for index, key in zip(at, keys)])


def _payload(data: Any) -> Any:
    try:
        view = memoryview(data)
    except TypeError:
        if not hasattr(data, "__bytes__"):
            raise TypeError(f"data must be a buffer such as bytes or an array, not {type(data).__name__}") from None
        return bytes(data)
    return data if view.c_contiguous else view.tobytes()


def mkdir(uri: str) -> None:
    """Makes a folder of files, with those above it; elsewhere folders exist as soon as they hold an object."""
    if is_local(uri):
        os.makedirs(local_path(uri), exist_ok=True)
    else:
        place(uri)


def delete_recursively(uri: str) -> None:
    """The object and everything below; `name` never takes `name2`, `name*` does."""
    store, key, _ = place(uri)
    if is_local(uri) and not key.rstrip("/"):
        raise InvalidArgumentError(f"delete {uri} recursively: that is the whole file system")
    if "*" in key and not is_local(uri):
        for name in [one.key for one in _select(store, key, True, False)]:
            store.delete(name)
        return
    if is_local(uri):
        _delete_tree(uri)
        return
    if key and not key.endswith("/"):
        store.delete(key)
    store.delete_prefix(key)


def _delete_tree(uri: str) -> None:
    """A store whose root is the folder above: no other folder can be touched."""
    path = local_path(uri)
    root, key = split(f"{uri.partition('://')[0]}://{path.rstrip('/')}")
    store = Store(root)
    if os.path.isdir(path):
        store.delete_prefix(key)
    else:
        store.delete(key)


def create_bucket(bucket_name: str) -> None:
    """Creates a bucket, or the container of a URI."""
    _container(bucket_name).create_container()


def delete_bucket(bucket_name: str) -> None:
    """Deletes an empty bucket, or the container of a URI."""
    _container(bucket_name).delete_container()


def _container(name: str) -> Store:
    return Store(name.rstrip("/") if "://" in name else f"s3://{name}")


# ---- files


def upload(src_patterns: Any, dest_prefix: str, max_in_flight: int = 32, create_bucket: bool = False) -> None:
    """Stores files below a prefix: paths or patterns; folders with all they hold, under their names."""
    patterns = [src_patterns] if isinstance(src_patterns, (str, os.PathLike)) else builtins.list(src_patterns)
    files: Dict[str, str] = {}
    for pattern in map(os.fspath, patterns):
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not paths:
            raise NotFoundError(f"upload {pattern}: no file matches [not_found]", details={"operation": "upload"})
        for path in paths:
            for name, file in _files(path.rstrip("/")):
                if files.setdefault(name, file) != file:
                    raise InvalidArgumentError(f"upload: {files[name]} and {file} would both be {name} below {dest_prefix}")
    if create_bucket:
        _ensure_container(dest_prefix)
    store, folder, _ = place(dest_prefix if dest_prefix.endswith("/") else f"{dest_prefix}/")
    _at_once(max_in_flight, lambda name: _store_file(store, folder + name, files[name]), files)


def _ensure_container(uri: str) -> None:
    store = place(uri)[0] if not is_local(uri) else Store(uri)
    try:
        store.create_container()
    except FileExistsError:
        pass


def _files(path: str) -> Iterator[Tuple[str, str]]:
    if not os.path.isdir(path):
        yield os.path.basename(path), path
        return
    above = os.path.dirname(path)
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            yield os.path.relpath(file, above or "."), file


def _store_file(store: Store, key: str, path: str) -> None:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= _LARGE:
            store.put(key, file.read())
            return
        with store.writer(key) as writer:
            piece = bytearray(8 << 20)
            while count := file.readinto(piece):
                writer.write(memoryview(piece)[:count])


def download(src_uri: str, dest_dir: str, max_in_flight: int = 64, recursive: bool = True) -> None:
    """Objects into files below `dest_dir`, under their keys after the folder of the URI; each file appears whole."""
    store, key, before = place(src_uri)
    folder = key[: key.rfind("/") + 1]
    keys = [uri[len(before):] for uri in list(src_uri, recursive) if not uri.endswith("/")]
    if is_local(src_uri) and os.path.isdir(local_path(src_uri)):
        folder = f"{key.rstrip('/')}/"
    if not keys and key and not key.endswith("/"):
        raise NotFoundError(f"download {src_uri}: there is no such object [not_found]", details={"uri": src_uri})
    os.makedirs(dest_dir, exist_ok=True)
    target = Store(f"file://{os.path.abspath(dest_dir)}")
    _at_once(max_in_flight, lambda one: _fetch_file(store, one, target, one[len(folder):]), keys)


def _fetch_file(store: Store, key: str, target: Store, name: str) -> None:
    with store.reader(key, reader_decompress=False) as source, target.writer(name) as file:
        piece = bytearray(min(8 << 20, source.size) + 1)
        while count := source.readinto(piece):
            file.write(memoryview(piece)[:count])


def _at_once(max_in_flight: int, work: Callable[[str], None], names: Iterable[str]) -> None:
    names = builtins.list(names)
    with ThreadPoolExecutor(max(1, min(_in_flight(max_in_flight), len(names), 32))) as pool:
        for _ in pool.map(work, names):
            pass


# ---- asyncio


async def get_async(uri: str) -> Buffer:
    """As `get`, awaited."""
    store, key = object_place(uri)
    return await store.aget(key)


async def get_range_async(uri: str, offset: int, length: Optional[int] = None) -> Buffer:
    """As `get_range`, awaited."""
    store, key = object_place(uri)
    return await store.aget_range(key, offset, length)


async def get_into_async(uri: str, dst: Any, *, expected_len: int) -> int:
    """Reads the object, whose size must be `expected_len`, into `dst[:expected_len]`; `LengthMismatchError` otherwise."""
    store, key = object_place(uri)
    view = memoryview(dst).cast("B")
    if expected_len > len(view):
        raise LengthMismatchError(f"get {uri}: expected {expected_len} bytes in memory of {len(view)}", expected_len, None)
    try:
        count = await store.aget_into(key, view[:expected_len])
    except BufferTooSmallError as error:
        raise LengthMismatchError(f"{error}", expected_len, error.required) from error
    if count != expected_len:
        raise LengthMismatchError(f"get {uri}: it has {count} bytes, expected {expected_len}", expected_len, count)
    return count


async def get_many_async(uris: Sequence[str], max_in_flight: int = 64) -> List[Tuple[str, Buffer]]:
    """As `get_many`, awaited."""
    return await _limited(max_in_flight, [(uri, get_async(uri)) for uri in uris])


async def get_many_stats_async(uris: Sequence[str], max_in_flight: int = 64) -> Tuple[int, int]:
    """As `get_many_stats`, awaited."""
    return await asyncio.get_running_loop().run_in_executor(None, get_many_stats, uris, max_in_flight)


async def _limited(max_in_flight: int, work: List[Tuple[str, Any]]) -> List[Tuple[str, Any]]:
    free = asyncio.Semaphore(_in_flight(max_in_flight))

    async def one(uri: str, awaited: Any) -> Tuple[str, Any]:
        async with free:
            return uri, await awaited

    tasks = [asyncio.ensure_future(one(*pair)) for pair in work]
    try:
        return builtins.list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, awaited in work:
            awaited.close()  # those that never began
        raise


async def put_bytes_async(uri: str, data: Any, *, borrow: bool = True) -> None:
    """As `put_bytes`, awaited. With `borrow` the memory must not be changed until then; without, it is copied first."""
    store, key = object_place(uri)
    await store.aput(key, _payload(data) if borrow else bytes(_payload(data)))


async def put_many_async(items: Iterable[Tuple[str, Any]], max_in_flight: int = 64, *, borrow: bool = True) -> None:
    """As `put_many`, awaited."""
    pairs = [(uri, _payload(data) if borrow else bytes(_payload(data))) for uri, data in items]
    await _limited(max_in_flight, [(uri, put_bytes_async(uri, data)) for uri, data in pairs])


async def stat_async(uri: str) -> ObjectInfo:
    """As `stat`, awaited."""
    store, key = object_place(uri)
    return await store.astat(key)


async def stat_many_async(uris: Sequence[str]) -> List[ObjectInfo]:
    """`stat` of many at once, in their order."""
    return [info for _, info in await _limited(64, [(uri, stat_async(uri)) for uri in uris])]


async def head_async(uri: str) -> Optional[ObjectMetadata]:
    """Size and ETag, or None where there is no such object."""
    try:
        info = await stat_async(uri)
    except NotFoundError:
        return None
    return ObjectMetadata(info.size, info.etag)


async def exists_async(uri: str) -> bool:
    """As `exists`, awaited."""
    return await head_async(uri) is not None


async def mkdir_async(uri: str) -> None:
    """As `mkdir`, awaited."""
    mkdir(uri)


# ---- facts about URIs


def object_capabilities(uri: str) -> Dict[str, Any]:
    """What there is for a URI of this scheme, without any request."""
    provider = uri.partition("://")[0]
    known = provider in ("s3", "az", "file", "direct", "memory")
    if known:
        place(uri)
    return dict(provider=provider if known else "unknown", get_into=known, head=known)


def parse_s3_uri_full(uri: str) -> Dict[str, Optional[str]]:
    """`s3://[host:port/]bucket/key` taken apart: a dict with `endpoint`, `bucket` and `key`."""
    scheme, mark, rest = uri.partition("://")
    if scheme != "s3" or not rest:
        raise InvalidUriError(f"{uri!r} is no URI of S3; expected s3://bucket/key or s3://host:port/bucket/key")
    first, _, key = rest.partition("/")
    endpoint = None
    if ":" in first:
        endpoint = first
        first, _, key = key.partition("/")
    return dict(endpoint=endpoint, bucket=first, key=key)
