"""Datasets and loaders under the predecessor's names, on `s3dlio.Dataset` and `s3dlio.Loader`."""

import asyncio
import builtins
import warnings
from typing import Any, AsyncIterator, Dict, Iterator, List, Sequence

from .. import library
from ..errors import InvalidArgumentError
from ._calls import get_async
from ._calls import list as list_uris
from ._stores import is_local, local_path, place

_PREFETCH = 32
_PER_BATCH = 8  # where items are drawn one by one
_KNOWN = {
    "batch_size", "drop_last", "shuffle", "seed", "num_workers", "prefetch", "auto_tune", "reader_mode", "part_size",
    "max_inflight_parts", "shard_rank", "shard_world_size", "worker_id", "num_workers_pytorch", "format", "columns",
    "footer_cap", "decode", "max_threads", "skip_head",
}


class PyDataset:
    """The objects below a prefix, listed now, or with `from_uris` objects named one by one."""

    _before = 0

    def __init__(self, uri: str, opts: Any = None):
        self._uris = [one for one in list_uris(uri, recursive=True) if not one.endswith("/")]
        # What stands before the keys: the folder for files, else the container.
        _, key, before = place(uri)
        self._before = len(f"{before}{key.rstrip('/')}/" if is_local(uri) and key else before)

    @classmethod
    def from_uris(cls, uris: Sequence[str], opts: Any = None) -> "PyDataset":
        """Without a listing; the URIs may be of several stores."""
        if isinstance(uris, str) or not all(isinstance(uri, str) for uri in uris):
            raise TypeError("uris must be a list of str")
        if not uris:
            raise InvalidArgumentError("uris is empty; expected at least one URI")
        dataset = cls.__new__(cls)
        dataset._uris = builtins.list(uris)
        return dataset

    def __len__(self) -> int:
        return len(self._uris)

    def uris(self) -> List[str]:
        return builtins.list(self._uris)

    def keys(self) -> List[str]:
        """As the predecessor had them: below the folder that was listed for files, else in the container; with `from_uris`
        the URIs."""
        return [uri[self._before:] or uri.rpartition("/")[2] for uri in self._uris]

    def get_item(self, index: int) -> Any:
        """The object of this number: something to await where an event loop runs, else its data."""
        uri = self._uris[index]
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return library.get(uri)
        return get_async(uri)


def _normal(uri: str) -> str:
    """Paths may have two slashes in a row, or dots; items are known by their numbers."""
    return f"{uri.partition('://')[0]}://{local_path(uri)}" if is_local(uri) else uri


def _options(opts: Any) -> Dict[str, Any]:
    given = opts.to_dict() if isinstance(opts, PyLoaderOptions) else dict(opts or {})
    unknown = sorted(set(given) - _KNOWN)
    if unknown:
        warnings.warn(f"unknown loader options {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}", stacklevel=4)
    return given


class PyObjectItem:
    """An object that arrived: `uri` as it was given, and `data`, a view of its bytes."""

    __slots__ = ("uri", "_sample")

    def __init__(self, uri: str, sample: Any):
        self.uri, self._sample = uri, sample

    @property
    def data(self) -> memoryview:
        return self._sample.data

    @property
    def byte_count(self) -> int:
        return len(self._sample)

    def __len__(self) -> int:
        return len(self._sample)

    def __bytes__(self) -> bytes:
        return bytes(self._sample)

    def __repr__(self) -> str:
        return f"PyObjectItem(uri={self.uri!r}, byte_count={len(self)})"


class PyBytesAsyncDataLoader:
    """Objects as they arrive, `prefetch` of them under way. `for` gives their data, `items()` with their URIs,
    `async for` lists of `batch_size`."""

    def __init__(self, dataset: Any, opts: Any = None):
        if not isinstance(dataset, PyDataset):
            raise TypeError(f"dataset must be a PyDataset, not {type(dataset).__name__}")
        self._dataset, self._opts = dataset, _options(opts)

    def _open(self, batch_size: int, drop_last: bool = False) -> Any:
        from ..loader import Dataset, Loader

        opts = self._opts
        return Loader(
            Dataset.of([_normal(uri) for uri in self._dataset.uris()]), batch_size,
            shuffle="full" if opts.get("shuffle") else "none", seed=int(opts.get("seed") or 0),
            rank=int(opts.get("shard_rank") or 0), world_size=int(opts.get("shard_world_size") or 1),
            worker=int(opts.get("worker_id") or 0), workers=int(opts.get("num_workers_pytorch") or 1),
            drop_last=drop_last, loader_order="completion",
            loader_in_flight=max(1, int(opts.get("prefetch") or _PREFETCH)), loader_decompress="none",
        )

    def items(self) -> "PyObjectDataLoaderSyncIter":
        """The objects with their URIs, one by one or some at once."""
        return PyObjectDataLoaderSyncIter(self)

    def __iter__(self) -> "Iterator[memoryview]":
        return (item.data for item in self.items())

    def __aiter__(self) -> "AsyncIterator[List[memoryview]]":
        return self._batches()

    async def _batches(self) -> "AsyncIterator[List[memoryview]]":
        size = max(1, int(self._opts.get("batch_size") or _PREFETCH))
        if not len(self._dataset):
            return
        with self._open(size, bool(self._opts.get("drop_last"))) as loader:
            async for batch in loader:
                yield [sample.data for sample in batch]


class PyObjectDataLoaderSyncIter:
    """What `items()` gives. An item that fails is raised; the next call goes on behind it."""

    def __init__(self, loader: PyBytesAsyncDataLoader):
        self._source, self._uris = loader, loader._dataset.uris()
        self._loader: Any = None
        self._ready: List[PyObjectItem] = []
        self._ended = not self._uris

    def __iter__(self) -> "PyObjectDataLoaderSyncIter":
        return self

    def __next__(self) -> PyObjectItem:
        found = self._take(1, _PER_BATCH)
        if not found:
            raise StopIteration
        return found[0]

    def collect_batch(self, n: int) -> List[PyObjectItem]:
        """The next `n` items, fewer at the end, none behind it."""
        return self._take(max(1, n), max(1, n))

    def _take(self, count: int, per_batch: int) -> List[PyObjectItem]:
        if self._loader is None and not self._ended:
            self._loader = self._source._open(per_batch)
        while len(self._ready) < count and not self._ended:
            batch = next(self._loader, None)
            if batch is None:
                self._ended = True
                self._loader.close()
            else:
                self._ready += [PyObjectItem(self._uris[sample.index], sample) for sample in batch]
        found, self._ready = self._ready[:count], self._ready[count:]
        return found


class PyVecDataset:
    """The predecessor's dataset of Python values: a list."""

    def __init__(self, obj: Any):
        self._values = builtins.list(obj)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> Any:
        return self._values[index]


class PyAsyncDataLoader:
    """`async for` over lists of `batch_size` values of a `PyVecDataset`, or of the objects of a `PyDataset`."""

    def __init__(self, dataset: Any, opts: Any = None):
        self._dataset, self._opts = dataset, _options(opts)

    async def _values(self) -> AsyncIterator[Any]:
        size = max(1, int(self._opts.get("batch_size") or _PREFETCH))
        for start in range(0, len(self._dataset), size):
            some = [self._dataset[index] for index in range(start, min(start + size, len(self._dataset)))]
            if len(some) == size or not self._opts.get("drop_last"):
                yield some

    def __aiter__(self) -> AsyncIterator[Any]:
        if isinstance(self._dataset, PyVecDataset):
            return self._values()
        return PyBytesAsyncDataLoader(self._dataset, self._opts).__aiter__()


class PyS3AsyncDataLoader(PyBytesAsyncDataLoader):
    """`PyBytesAsyncDataLoader` of a prefix."""

    def __init__(self, uri: str, opts: Any = None):
        super().__init__(PyDataset(uri), opts)


def create_dataset(uri: str, opts: Any = None) -> PyDataset:
    """`PyDataset(uri)`."""
    return PyDataset(uri, opts)


def create_async_loader(uri: str, opts: Any = None) -> Any:
    """A loader of the objects below a prefix, or with `format="parquet"` of the row groups of the files there."""
    given = _options(opts)
    if given.get("format") == "parquet":
        from ._parquet import PyParquetStreamLoader

        return PyParquetStreamLoader(uri, given)
    return PyBytesAsyncDataLoader(PyDataset(uri), {"batch_size": 1, **given})


class PyLoaderOptions:
    """Options of a loader, said one after the other; every call gives the options back. Those of torch's workers and
    memory are kept and have no effect here."""

    _names = {
        "prefetch": "prefetch", "num_workers": "num_workers", "drop_last": "drop_last", "auto_tune": "auto_tune",
        "with_batch_size": "batch_size", "with_generator_seed": "seed",
    }

    def __init__(self) -> None:
        self._values: Dict[str, Any] = {"batch_size": 32, "prefetch": 0, "shuffle": False, "seed": 0, "drop_last": False}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kept = name[:-6] if name.endswith("_value") else name
        if kept in ("batch_size", "seed", "shard_rank", "shard_world_size", "timeout_seconds") or name.endswith("_value"):
            return self._values.get(kept)
        if name not in _CALLS:
            raise AttributeError(f"PyLoaderOptions has no {name!r}")

        def said(*values: Any) -> "PyLoaderOptions":
            self._values[self._names.get(name, name)] = values[0] if values else True
            return self

        return said

    def shuffle(self, on: bool, seed: int) -> "PyLoaderOptions":
        self._values.update(shuffle=on, seed=seed)
        return self

    def distributed_sampling(self, rank: int, world_size: int) -> "PyLoaderOptions":
        self._values.update(shard_rank=rank, shard_world_size=world_size)
        return self

    distributed_optimized = distributed_sampling

    def to_dict(self) -> Dict[str, Any]:
        """Those that a loader knows."""
        return {name: value for name, value in self._values.items() if name in _KNOWN}


_CALLS = {
    "auto_tune", "channels_first", "channels_last", "collate_buffer_size", "debug_mode", "drop_last", "enable_transforms",
    "gpu_optimized", "non_blocking", "num_workers", "persistent_workers", "pin_memory", "prefetch", "random_sampling",
    "use_fork", "use_forkserver", "use_spawn", "with_batch_size", "with_generator_seed", "with_timeout",
}
