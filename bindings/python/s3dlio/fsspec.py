"""File systems for fsspec: pandas, pyarrow, xarray, zarr, dask and others read and write through this library.

    import s3dlio.fsspec; s3dlio.fsspec.register()      # installed packages are found without it
    pandas.read_parquet("s3dlio+s3://bucket/table.parquet")
    fs = fsspec.filesystem("s3dlio+s3", endpoint="http://127.0.0.1:9000")

The protocols are `s3dlio+s3`, `s3dlio+az`, `s3dlio+file`, `s3dlio+direct` and `s3dlio+memory`; what follows `://` is
what follows it in the library's own URIs. Reads are ranges of one version of the object. What is written appears when
the file is closed, and not at all where an exception left `with fs.open(path, "wb")`. An exception that leaves
`with fsspec.open(url, "wb")` does publish what was written before it: fsspec closes the file there in any case and
does not say why. Listings are not cached.
"""

import contextlib
import errno
import hashlib
import io
import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import fsspec
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression, has_magic
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from . import library
from .errors import AlreadyExistsError, NotEmptyError, NotFoundError, RangeError
from .info import ObjectInfo
from .options import Options
from .store import OptionValues, Store

__all__ = [
    "AzureFileSystem", "DirectFileSystem", "LocalFileSystem", "MemoryFileSystem", "S3FileSystem", "S3dlioFile",
    "S3dlioFileSystem", "register",
]

_PIECE = 8 << 20
_AT_ONCE = 16


class _Told(Options):
    """fsspec keeps file systems by the text of their arguments, where options mask secrets: here different secrets
    make different texts. The salt, this process's, keeps them from being guessed."""

    _salt = os.urandom(16)

    def __repr__(self) -> str:
        values = repr(sorted(self._values.items())).encode()
        return f"{super().__repr__()} {hashlib.blake2b(values, key=self._salt, digest_size=16).hexdigest()}"


class _Kept(type(AbstractFileSystem)):  # type: ignore[misc]
    def __call__(cls, *values: Any, **keywords: Any) -> Any:
        return super().__call__(*map(_told, values), **{name: _told(value) for name, value in keywords.items()})


def _told(value: Any) -> Any:
    return _Told(value) if isinstance(value, Options) else value


class S3dlioFileSystem(AbstractFileSystem, metaclass=_Kept):  # type: ignore[misc]
    """What the five have in common. `options` and keywords are those of `s3dlio.Store`: `S3FileSystem(s3_region="x")`.

    An instance may be used by many threads, in a forked child, and be pickled.
    """

    #: Of the library's URIs.
    scheme = ""
    #: How many names before the key say where the objects are.
    _names = 1
    _is_path = False

    def __init__(self, options: OptionValues = None, **keywords: Any):
        known = ("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "asynchronous", "loop")
        super().__init__(**{name: keywords[name] for name in known if name in keywords})
        self._options = self._given(options, {name: value for name, value in keywords.items() if name not in known})
        self._stores: Dict[str, Store] = {}

    def _given(self, options: OptionValues, keywords: Dict[str, Any]) -> Options:
        return Options(options, **keywords)

    # ---- names

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, (list, tuple)):
            return [cls._strip_protocol(one) for one in path]
        text = stringify_path(path)
        for protocol in (cls.protocol, cls.scheme):
            if text.startswith(f"{protocol}://"):
                text = text[len(protocol) + 3:]
                break
        if cls._is_path:
            return os.path.normpath(f"/{text}").replace("//", "/", 1) if text else "/"
        return text.strip("/") if text.startswith("/") else text.rstrip("/")

    def _place(self, path: str) -> Tuple[Store, str]:
        """The container's store and the key, "" for the container itself."""
        path = self._strip_protocol(path)
        if self._is_path:
            return self._store(f"{self.scheme}:///"), path.lstrip("/")
        parts = path.split("/", self._names)
        if len(parts) < self._names or not parts[0]:
            raise FileNotFoundError(f"{self.protocol}://{path} names no {'container' if self._names > 1 else 'bucket'}")
        return self._store(f"{self.scheme}://{'/'.join(parts[:self._names])}"), "/".join(parts[self._names:])

    def _store(self, root: str) -> Store:
        store = self._stores.get(root)
        if store is None:
            store = self._stores[root] = Store(root, self._options)
        return store

    def _before(self, path: str) -> str:
        """What stands before the keys in the names of this path's container."""
        if self._is_path:
            return "/"
        return "/".join(self._strip_protocol(path).split("/")[: self._names]) + "/"

    def _is_above(self, path: str) -> bool:
        """Whether containers are below the path, not objects."""
        path = self._strip_protocol(path)
        return not self._is_path and (not path or path.count("/") < self._names - 1)

    def _uri(self, path: str) -> str:
        return f"{self.scheme}://{self._strip_protocol(path)}"

    # ---- facts

    def _facts(self, before: str, info: ObjectInfo) -> Dict[str, Any]:
        return {
            "name": before + info.key, "size": info.size, "type": "file", "ETag": info.etag,
            "LastModified": info.last_modified, "mtime": info.last_modified_ns and info.last_modified_ns / 1e9,
            **({"ContentType": info.content_type} if info.content_type else {}),
        }

    @staticmethod
    def _folder(name: str) -> Dict[str, Any]:
        return {"name": name, "size": 0, "type": "directory"}

    def info(self, path: Any, **keywords: Any) -> Dict[str, Any]:
        path = self._strip_protocol(path)
        if self._is_above(path):
            return self._folder(path)
        if self._is_path and os.path.isdir(path):
            return self._folder(path)
        store, key = self._place(path)
        if key:
            try:
                return self._facts(self._before(path), store.stat(key))
            except FileNotFoundError:
                pass
        if self._is_path or key and not self._holds(store, f"{key}/"):
            raise FileNotFoundError(f"{self.protocol}://{path}: there is no such object or folder")
        if not key:
            next(iter(store.list("", False)), None)  # a missing container is an error
        return self._folder(path)

    def exists(self, path: Any, **keywords: Any) -> bool:
        """Whether there is such an object or folder. A failure to find out is raised."""
        try:
            self.info(path)
            return True
        except FileNotFoundError:
            return False

    def isdir(self, path: Any) -> bool:
        """Whether there is such a folder. A failure to find out is raised."""
        return self._type(path) == "directory"

    def isfile(self, path: Any) -> bool:
        """Whether there is such an object. A failure to find out is raised."""
        return self._type(path) == "file"

    def _type(self, path: Any) -> Optional[str]:
        try:
            return self.info(path)["type"]
        except FileNotFoundError:
            return None

    def walk(
        self, path: Any, maxdepth: Optional[int] = None, topdown: bool = True, on_error: Any = None, **keywords: Any
    ) -> Iterator[Any]:
        """As fsspec's. Unless `on_error` says otherwise a folder that is gone is left out and every other failure
        raised: a listing that was refused is no empty folder."""
        # fsspec does not hand on_error down to the folders below, but keywords it does.
        chosen = on_error or keywords.pop("on_error_below", None) or _unless_missing
        return super().walk(path, maxdepth, topdown, chosen, **{**keywords, "on_error_below": chosen})

    def ls(self, path: Any, detail: bool = True, **keywords: Any) -> List[Any]:
        path = self._strip_protocol(path)
        found = list(self._containers(path) if self._is_above(path) else self._entries(path))
        return found if detail else [entry["name"] for entry in found]

    def _containers(self, path: str) -> Iterator[Dict[str, Any]]:
        if self._names > 1 and not path:
            raise FileNotFoundError(f"{self.protocol}://: name an account, as in {self.protocol}://account/container")
        above = f"{path}/" if path else ""
        # Which container the store names does not matter, it is not asked for.
        for entry in self._store(f"{self.scheme}://{above}any").list_containers():
            yield self._folder(above + entry.key)

    def _entries(self, path: str) -> List[Dict[str, Any]]:
        store, key = self._place(path)
        before, folder = self._before(path), f"{key}/" if key else ""
        if self._is_path and not os.path.isdir(path):
            return [self.info(path)]
        found = [
            self._facts(before, entry) if entry.kind == "object" else self._folder((before + entry.key).rstrip("/"))
            for entry in store.list(folder, False)
            if entry.key != folder
        ]
        if self._is_path:  # the library lists folders that hold something
            known = {entry["name"] for entry in found}
            names = sorted(entry.path for entry in os.scandir(path) if entry.is_dir())
            found += [self._folder(name) for name in names if name not in known]
        elif self._options["s3.literal_keys"] == "false" and self.scheme == "s3":
            found = [one for one in found if one["type"] == "file" or self._holds(store, f"{self._place(one['name'])[1]}/")]
        if not found and key and not self._is_path:
            return [self.info(path)] if not self._holds(store, folder) else []
        return found

    @staticmethod
    def _holds(store: Store, folder: str) -> bool:
        # Not one level: services that keep keys as paths list folders for a while after they were emptied.
        return next(iter(store.list(folder)), None) is not None

    def find(
        self, path: Any, maxdepth: Optional[int] = None, withdirs: bool = False, detail: bool = False, **keywords: Any
    ) -> Any:
        path = self._strip_protocol(path)
        if self._is_above(path) or maxdepth is not None or self._is_path and withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **keywords)
        store, key = self._place(path)
        before, found = self._before(path), {}
        folder = f"{key}/" if key else ""
        for entry in store.list(folder):
            if entry.key.endswith("/"):
                continue
            facts = self._facts(before, entry)
            found[facts["name"]] = facts
            while withdirs and "/" in entry.key[len(folder):]:
                parent = entry.key[: entry.key.rindex("/")]
                found[before + parent] = self._folder(before + parent)
                entry = entry._replace(key=parent)
        if withdirs and found:
            found[path] = self._folder(path)
        if not found:
            if self.isfile(path):
                found[path] = self.info(path)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def created(self, path: Any) -> datetime:
        """When the object was stored: objects are replaced as a whole."""
        return self.modified(path)

    def modified(self, path: Any) -> datetime:
        facts = self.info(path)
        if facts.get("LastModified") is None:
            raise FileNotFoundError(f"{self.protocol}://{facts['name']} is a folder, which has no time")
        return facts["LastModified"]

    def checksum(self, path: Any) -> int:
        """A number that changes with the object's contents."""
        return int(self.ukey(path)[:15], 16)

    def ukey(self, path: Any) -> str:
        facts = self.info(path)
        return hashlib.sha256(f"{facts['name']} {facts['size']} {facts.get('ETag')}".encode()).hexdigest()

    # ---- reading

    def cat_file(self, path: Any, start: Optional[int] = None, end: Optional[int] = None, **keywords: Any) -> bytes:
        store, key = self._object(path)
        if start is None and end is None:
            return bytes(store.get(key))
        size = store.stat(key).size if (start or 0) < 0 or (end or 0) < 0 else None
        return self._cut(store, key, [(start, end)], size)[0]

    def _object(self, path: Any) -> Tuple[Store, str]:
        store, key = self._place(path)
        if not key:
            raise IsADirectoryError(f"{self.protocol}://{self._strip_protocol(path)} is no object")
        return store, key

    @staticmethod
    def _cut(store: Store, key: str, pairs: Iterable[Tuple[Optional[int], Optional[int]]], size: Optional[int]) -> List[bytes]:
        """Slices as those of a sequence; `size` where one of them counts from the end."""
        wanted = []
        for start, end in pairs:
            first = start or 0
            if first < 0:
                first = max(0, first + (size or 0))
            if end is not None and end < 0:
                end = max(0, end + (size or 0))
            wanted.append((first, None if end is None else max(0, end - first)))
        try:
            if len(wanted) > 1 and all(length is not None for _, length in wanted):
                return [bytes(data) for data in store.get_ranges(key, wanted)]  # type: ignore[arg-type]
        except RangeError:
            pass  # one of them is past the end, which is an empty slice
        return [_slice(store, key, first, length) for first, length in wanted]

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **keywords: Any) -> Any:
        paths = self.expand_path(path, recursive=recursive)
        if not (len(paths) > 1 or isinstance(path, list) or paths[0] != self._strip_protocol(path)):
            return self.cat_file(paths[0], **keywords)
        if recursive:
            paths = [one for one in paths if not self.isdir(one)]
        found: Dict[str, Any] = {}
        for store, keys in self._by_store(paths).values():
            results = store.get_many([key for key, _ in keys], return_exceptions=True)
            found.update((name, result) for (_, name), result in zip(keys, results))
        answer = {}
        for name in paths:
            result = found[name]
            if not isinstance(result, Exception):
                answer[name] = bytes(result)
            elif on_error == "raise":
                raise result
            elif on_error == "return":
                answer[name] = result
        return answer

    def _by_store(self, paths: Iterable[str]) -> Dict[int, Tuple[Store, List[Tuple[str, str]]]]:
        groups: Dict[int, Tuple[Store, List[Tuple[str, str]]]] = {}
        for path in paths:
            store, key = self._object(path)
            groups.setdefault(id(store), (store, []))[1].append((key, path))
        return groups

    def cat_ranges(
        self, paths: List[Any], starts: Any, ends: Any, max_gap: Optional[int] = None, on_error: str = "return",
        **keywords: Any,
    ) -> List[Any]:
        if not isinstance(paths, list):
            raise TypeError(f"paths must be a list, not {type(paths).__name__}")
        starts = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(f"{len(paths)} paths, {len(starts)} starts and {len(ends)} ends; expected as many of each")
        of_path: Dict[str, List[int]] = {}
        for index, path in enumerate(paths):
            of_path.setdefault(self._strip_protocol(path), []).append(index)
        answer: List[Any] = [None] * len(paths)

        def read(path: str) -> None:
            at = of_path[path]
            pairs = [(starts[index], ends[index]) for index in at]
            try:
                store, key = self._object(path)
                negative = any((number or 0) < 0 for pair in pairs for number in pair)
                results: List[Any] = self._cut(store, key, pairs, store.stat(key).size if negative else None)
            except Exception as error:
                if on_error == "raise":
                    raise
                results = [error] * len(at)
            for index, result in zip(at, results):
                answer[index] = result

        if len(of_path) == 1:
            read(next(iter(of_path)))
        elif of_path:
            with ThreadPoolExecutor(min(_AT_ONCE, len(of_path))) as pool:
                list(pool.map(read, of_path))
        return answer

    def get_file(
        self, rpath: Any, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **keywords: Any
    ) -> None:
        """The file appears when it is whole."""
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if outfile is not None:
            self._receive(rpath, outfile, callback)
            return
        if self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
            return
        lpath = stringify_path(lpath)
        folder = os.path.dirname(lpath) or "."
        os.makedirs(folder, exist_ok=True)
        # Of the mode that every new file has: the system alone knows the umask without changing it for other threads.
        with open(os.path.join(folder, f".s3dlio-{secrets.token_hex(8)}"), "xb") as file:
            try:
                self._receive(rpath, file, callback)
                file.flush()
                os.replace(file.name, lpath)
            except BaseException:
                os.unlink(file.name)
                raise

    def _receive(self, path: Any, file: Any, callback: Any) -> None:
        store, key = self._object(path)
        with store.reader(key, reader_decompress=False) as source:
            callback.set_size(source.size)
            piece = memoryview(bytearray(min(_PIECE, source.size + 1)))
            while count := source.readinto(piece):
                file.write(piece[:count])
                callback.relative_update(count)

    # ---- writing

    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **keywords: Any) -> None:
        store, key = self._object(path)
        only = mode == "create"
        if only and not store.capabilities.conditional_put:
            self._must_be_new(store, key)
            only = False
        store.put(key, value, create_only=only, **keywords)

    @staticmethod
    def _must_be_new(store: Store, key: str) -> None:
        if store.exists(key):
            raise AlreadyExistsError(f"open {store.uri}/{key}: there is an object of this key [already_exists]")

    def pipe(self, path: Any, value: Any = None, **keywords: Any) -> None:
        if not isinstance(path, Mapping) or keywords:
            return super().pipe(path, value, **keywords)
        given = {self._strip_protocol(name): data for name, data in path.items()}
        for store, keys in self._by_store(given).values():
            store.put_many([(key, given[name]) for key, name in keys])

    def touch(self, path: Any, truncate: bool = True, **keywords: Any) -> None:
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")
        else:
            raise NotImplementedError("the time of an object cannot be set; touch(truncate=True) replaces it by an empty one")

    def put_file(
        self, lpath: Any, rpath: Any, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **keywords: Any
    ) -> None:
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
            return
        with open(lpath, "rb") as file, self.open(rpath, "xb" if mode == "create" else "wb") as target:
            callback.set_size(os.fstat(file.fileno()).st_size)
            piece = memoryview(bytearray(_PIECE))
            while count := file.readinto(piece):
                target.write(piece[:count])
                callback.relative_update(count)

    def cp_file(
        self, path1: Any, path2: Any, planned: Optional[List[Tuple[str, str]]] = None, **keywords: Any
    ) -> None:
        """With `planned` nothing is copied: what would be is noted there."""
        if planned is not None:
            planned.append((path1, path2))
            return
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        store, key = self._object(path1)
        target, name = self._object(path2)
        if store is target:
            if key != name:
                store.copy(key, name)
            return
        with store.reader(key, reader_decompress=False) as source, target.writer(name) as file:
            piece = memoryview(bytearray(_PIECE))
            while count := source.readinto(piece):
                file.write(piece[:count])

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: Optional[int] = None, **keywords: Any) -> None:
        """What is moved onto itself stays as it is; `ValueError` where the target is below the source, or where one of
        several targets is a source: removing the sources would take it away. With `maxdepth` what lies deeper stays."""
        if isinstance(path1, (str, os.PathLike)) and isinstance(path2, (str, os.PathLike)):
            path1, path2 = stringify_path(path1), stringify_path(path2)
        if isinstance(path1, str) and isinstance(path2, str) and not has_magic(path1):
            source, target = self._spot(path1), self._spot(path2)
            if source == target:
                return
            into = path2.endswith("/") or self.isdir(path2)
            if into and not path1.endswith("/"):
                target = self._spot(f"{path2.rstrip('/')}/{source.rsplit('/', 1)[-1]}")
                if source == target:
                    return
            if target.startswith(f"{source}/"):
                raise ValueError(f"mv {self._uri(source)}: the target {self._uri(target)} is below it; expected another place")
            if not recursive and not into and not self._is_path and self.isfile(path1):
                (store, key), (other, name) = self._object(path1), self._object(path2)
                if store is other:
                    store.rename(key, name)
                    return
            if not recursive and self.isdir(path1):
                raise IsADirectoryError(f"mv {self._uri(source)}: that is a folder; expected an object, or recursive=True")
        planned: List[Tuple[str, str]] = []
        self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise", planned=planned)
        if not isinstance(path1, str) or not isinstance(path2, str) or has_magic(path1):
            pairs = [(self._spot(source), self._spot(target)) for source, target in planned]
            if pairs and all(source == target for source, target in pairs):
                return
            moved = {source for source, _ in pairs}
            for source, target in pairs:
                if target in moved or recursive and any(target.startswith(f"{one}/") for one in moved):
                    raise ValueError(
                        f"mv {self._uri(source)}: the target {self._uri(target)} is, or is below, something that is moved as "
                        "well; expected other places; hint: move them one by one"
                    )
        for source, target in planned:
            self.cp_file(source, target)
        # What was copied goes, and nothing else: neither what lies deeper, nor what came meanwhile, nor what links lead to.
        sources = [self._strip_protocol(source) for source, _ in planned]
        links = tuple(f"{one}/" for one in sources if self._is_path and os.path.islink(one))
        for source in reversed(sources):
            if not source.startswith(links):
                self._rm_moved(source)

    def _rm_moved(self, path: str) -> None:
        if not self._is_path:
            store, key = self._object(path)
            store.delete(key)  # of a folder there is no object
        elif os.path.islink(path):
            os.unlink(path)
        elif os.path.isdir(path):
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
        else:
            self.rm_file(path)

    def _spot(self, path: Any) -> str:
        """One name for one place, however it is written: folders of files may be links."""
        path = self._strip_protocol(path)
        if self._is_path and path != "/":
            return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        return path

    def rm_file(self, path: Any) -> None:
        if self._is_path and os.path.isdir(self._strip_protocol(path)):
            raise IsADirectoryError(f"{self.protocol}://{path} is a folder; rm(recursive=True) removes it")
        self._object(path)
        library._delete(self._uri(path), self._options)

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: Optional[int] = None) -> None:
        if maxdepth is not None:
            for one in reversed(self.expand_path(path, recursive=recursive, maxdepth=maxdepth)):
                self._rm_one(one)
            return
        for one in self.expand_path(path):
            if recursive:
                self._rm_tree(one)
            else:
                self._rm_one(one)

    def _rm_one(self, path: str) -> None:
        if self.info(path)["type"] == "directory":
            self.rmdir(path)
        else:
            self.rm_file(path)

    def _rm_tree(self, path: str) -> None:
        if self._is_path:
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                self.rm_file(path)
            return
        store, key = self._place(path)
        if key:
            store.delete(key)
            store.delete_prefix(f"{key}/")
        else:
            store.delete_prefix("")
            store.delete_container()

    def mkdir(self, path: Any, create_parents: bool = True, **keywords: Any) -> None:
        """Containers and folders of files are made; elsewhere a folder is there as soon as it holds an object."""
        path = self._strip_protocol(path)
        if self._is_path:
            if os.path.lexists(path):
                raise FileExistsError(f"{self.protocol}://{path} is there")
            os.makedirs(path) if create_parents else os.mkdir(path)
        elif not self._is_above(path):
            store, key = self._place(path)
            if not key:
                store.create_container()

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if self._is_path:
            os.makedirs(path, exist_ok=exist_ok)
            return
        try:
            self.mkdir(path)
        except FileExistsError:
            if not exist_ok:
                raise

    def rmdir(self, path: Any) -> None:
        path = self._strip_protocol(path)
        if self._is_path:
            os.rmdir(path)
            return
        store, key = self._place(path)
        if not key:
            store.delete_container()
        elif self._holds(store, f"{key}/"):
            raise NotEmptyError(f"rmdir {self._uri(path)}: there are objects in the folder [not_empty]; hint: rm(recursive=True)")

    def invalidate_cache(self, path: Any = None) -> None:
        """Nothing: listings are not cached."""

    # ---- files

    def open(
        self, path: Any, mode: str = "rb", block_size: Any = None, cache_options: Optional[Dict[str, Any]] = None,
        compression: Optional[str] = None, **keywords: Any,
    ) -> Any:
        if mode[:1] == "r":
            return super().open(path, mode, block_size, cache_options, compression, **keywords)
        named = ("encoding", "errors", "newline") if "b" not in mode else ()
        text = {name: keywords.pop(name) for name in named if name in keywords}
        method = get_compression(self._strip_protocol(path), compression)
        binary = super().open(path, mode if "b" in mode else mode.replace("t", "") + "b", block_size, cache_options, **keywords)
        if method is not None:
            try:
                binary = _Compressed(compr[method](binary, mode=mode[0]), binary)
            except BaseException:
                binary.discard()
                raise
        return binary if "b" in mode else _Text(binary, **text)

    def _open(
        self, path: Any, mode: str = "rb", block_size: Any = None, autocommit: bool = True,
        cache_options: Optional[Dict[str, Any]] = None, **keywords: Any,
    ) -> "S3dlioFile":
        return S3dlioFile(
            self, path, mode, block_size or self.blocksize, autocommit=autocommit, cache_options=cache_options, **keywords
        )


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _slice(store: Store, key: str, start: int, length: Optional[int]) -> bytes:
    if length == 0:
        return b""
    try:
        return bytes(store.get_range(key, start, length))
    except RangeError:
        return b""


class S3dlioFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object as a file: buffered reads as `cache_type` says ("readahead", "blockcache", "all", "none" ...),
    streaming writes in constant memory. Modes are rb, wb, xb (fails where there is an object) and ab (the object is
    read and stored again)."""

    def __init__(self, fs: S3dlioFileSystem, path: str, mode: str = "rb", block_size: Any = "default", **keywords: Any):
        self._writer: Any = None
        self._reader: Any = None
        self._content_type = keywords.get("content_type")
        self._discarded = False
        super().__init__(fs, path, mode, block_size, **keywords)
        if mode != "rb":
            self._open_writer()

    # ---- reading

    @property
    def details(self) -> Dict[str, Any]:
        if self._details is None:
            # One request says what there is and pins the version that is read.
            self._details = self.fs._facts(self.fs._before(self.path), self._pinned().info)
        return self._details

    @details.setter
    def details(self, value: Dict[str, Any]) -> None:
        self._details = value

    def _pinned(self) -> Any:
        """A reader of ours: one that was inherited through a fork is the parent's."""
        if self._reader is None or self._reader[0] != os.getpid():
            store, key = self.fs._object(self.path)
            reader = store.reader(key, reader_decompress=False, reader_read_ahead=0)
            self._reader = os.getpid(), reader
        return self._reader[1]

    def _fetch_range(self, start: int, end: int) -> bytes:
        piece = bytearray(max(0, min(end, self.size) - start))
        count = self._pinned().read_at(start, piece) if piece else 0
        return bytes(memoryview(piece)[:count])

    # ---- writing

    def _open_writer(self) -> None:
        store, key = self.fs._object(self.path)
        only = self.mode == "xb"
        if only:
            self.fs._must_be_new(store, key)
        only = only and store.capabilities.conditional_put
        self._writer = store.writer(key, create_only=only, content_type=self._content_type)
        if self.mode == "ab" and store.exists(key):
            with store.reader(key, reader_decompress=False) as source:
                piece = memoryview(bytearray(min(_PIECE, source.size + 1)))
                while count := source.readinto(piece):
                    self._writer.write(piece[:count])
                    self.loc += count
        self.buffer = None

    def write(self, data: Any) -> int:
        if not self.writable():
            raise io.UnsupportedOperation("the file is not open for writing")
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        count = self._writer.write(data)
        self.loc += count
        return count

    def flush(self, force: bool = False) -> None:
        if self.closed:
            raise ValueError("flush of closed file")

    def commit(self) -> None:
        """Publishes what a transaction wrote, unless the file was discarded before the transaction's end."""
        if not self._discarded:
            self._writer.finish()

    def discard(self) -> None:
        """Nothing is published."""
        self._discarded = True
        if self._writer is not None:
            self._writer.abort()

    def close(self) -> None:
        """Publishes what was written, outside of a transaction."""
        if self.closed or getattr(self, "_unclosable", False):
            return
        try:
            if self._writer is not None and self.autocommit:
                self._writer.finish()
        finally:
            self.closed = True
            self.cache = None
            if self._reader is not None and self._reader[0] == os.getpid():
                self._reader[1].close()
            self._reader = None

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None and self._writer is not None:
            self.closed = True
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # Not by closing, which would publish half an object; the writer's own finalizer aborts.
        pass


class _Compressed(io.BufferedIOBase):
    """What is written goes through `packer` into `file`, which is closed, and so published, behind it: those of gzip,
    bz2 and lzma leave that to their caller."""

    def __init__(self, packer: Any, file: S3dlioFile):
        super().__init__()
        self._packer, self._file = packer, file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            count = view.nbytes
        self._packer.write(data)
        return count

    def tell(self) -> int:
        return self._packer.tell()

    def flush(self) -> None:
        if self.closed:
            raise ValueError("flush of closed file")

    @property
    def closed(self) -> bool:
        return self._file.closed

    def discard(self) -> None:
        """Nothing is published."""
        self._file.autocommit = False  # some packers do close the file
        try:
            with contextlib.suppress(Exception):  # what becomes of its last bytes does not matter
                self._packer.close()
        finally:
            self._file.closed = True
            self._file.discard()

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._packer.close()
        except BaseException:
            self.discard()
            raise
        self._file.close()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # Not by closing, which would publish half an object.
        pass


class _Text(io.TextIOWrapper):
    """The `io` module closes what it wraps, which would publish it, also where an exception left `with`."""

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.buffer.__exit__(kind, value, trace)
        super().__exit__(kind, value, trace)

    def __del__(self) -> None:
        pass


class S3FileSystem(S3dlioFileSystem):
    """`s3dlio+s3://bucket/key`. Besides the library's options it takes `endpoint`, `region`, `key`, `secret`, `token` and
    `anon`, as s3fs and pandas say it, and `client_kwargs` with `endpoint_url` and `region_name`.

    With `s3.literal_keys=false`, for services that keep keys as paths and go on listing folders that were emptied, `ls`
    asks whether each folder holds something.
    """

    protocol, scheme = "s3dlio+s3", "s3"

    def _given(self, options: OptionValues, keywords: Dict[str, Any]) -> Options:
        client = keywords.pop("client_kwargs", None) or {}
        names = {
            "endpoint": "s3.endpoint", "endpoint_url": "s3.endpoint", "region": "s3.region", "key": "s3.access_key_id",
            "secret": "s3.secret_access_key", "token": "s3.session_token", "anon": "s3.anonymous", "profile": "s3.profile",
        }
        said = {"s3.endpoint": client.get("endpoint_url"), "s3.region": client.get("region_name")}
        said.update((names[name], keywords.pop(name)) for name in list(keywords) if name in names)
        chosen = Options(options, **keywords)
        chosen.update({name: value for name, value in said.items() if value is not None})
        return chosen


class AzureFileSystem(S3dlioFileSystem):
    """`s3dlio+az://account/container/key`. Besides the library's options it takes `account_key`, `sas_token`,
    `connection_string`, `endpoint` and `anon`."""

    protocol, scheme, _names = "s3dlio+az", "az", 2

    def _given(self, options: OptionValues, keywords: Dict[str, Any]) -> Options:
        names = {name: f"azure.{name}" for name in ("account_key", "sas_token", "connection_string", "endpoint")}
        names["anon"] = "azure.anonymous"
        said = {names[name]: keywords.pop(name) for name in list(keywords) if name in names}
        chosen = Options(options, **keywords)
        chosen.update({name: value for name, value in said.items() if value is not None})
        return chosen


class LocalFileSystem(S3dlioFileSystem):
    """`s3dlio+file:///path`: files that appear whole; folders above them are made."""

    protocol, scheme, _is_path, root_marker = "s3dlio+file", "file", True, "/"


class DirectFileSystem(S3dlioFileSystem):
    """`s3dlio+direct:///path`: files past the page cache."""

    protocol, scheme, _is_path, root_marker = "s3dlio+direct", "direct", True, "/"


class MemoryFileSystem(S3dlioFileSystem):
    """`s3dlio+memory://name/key`: objects of this process."""

    protocol, scheme = "s3dlio+memory", "memory"


def register() -> None:
    """Makes the protocols known to fsspec; not needed where the package was installed with pip."""
    for one in (S3FileSystem, AzureFileSystem, LocalFileSystem, DirectFileSystem, MemoryFileSystem):
        fsspec.register_implementation(one.protocol, one, clobber=True)
