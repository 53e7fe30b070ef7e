"""`Dataset` and `Loader`: batches of training data, drawn in a seeded order that can be resumed exactly.

    dataset = s3dlio.Dataset("s3://bucket/train", glob="*.jpg")
    with s3dlio.Loader(dataset, batch_size=64, shuffle="window", seed=1, epoch=0) as loader:
        for batch in loader:
            for sample in batch:
                decode(sample.data)

`s3dlio.torch`, `s3dlio.jax` and `s3dlio.tensorflow` have what the frameworks take.
"""

import ctypes
import operator
import os
from ctypes import byref, c_char_p, c_uint64, sizeof
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import _arguments as c
from . import _ffi, _owners
from ._library import lib
from .batch import Batch, Sample
from .errors import BadHandleError, ChangedError, InvalidArgumentError, call
from .options import Options, Value

__all__ = ["Batch", "Dataset", "Loader", "LoaderStats", "Sample", "merge_states", "write_manifest"]

OptionValues = Optional[Union[Mapping[str, Value], Options]]
States = Union[str, Sequence[str]]

_FORMATS = {
    "objects": _ffi.S3DLIO_FORMAT_OBJECTS,
    "tar": _ffi.S3DLIO_FORMAT_TAR,
    "tfrecord": _ffi.S3DLIO_FORMAT_TFRECORD,
    "npz": _ffi.S3DLIO_FORMAT_NPZ,
    "fixed": _ffi.S3DLIO_FORMAT_FIXED,
}


class Dataset:
    """What there is to draw: the objects below a prefix, or what they hold.

    `format` says what an item is: "objects" (a whole object), "tar" (a sample of a WebDataset shard, also `.tar.zst`),
    "tfrecord" (a record; `index` is the suffix of the index files beside the files), "npz" (the array `member`, or every
    array), "fixed" (records of `record_size` bytes after `skip_bytes`). `glob` and `regex` choose among the keys.
    Options are those of a store and `loader.*`; keywords as in `Store`.

    Immutable; any thread may use it, and a forked child. Opening does no I/O. A pickle holds what it was opened with,
    explicit options with their secrets among it, and opens it again: the objects are listed anew there.
    """

    def __init__(self, uri: str, options: OptionValues = None, **arguments: Any):
        self._build("uri", uri, options, arguments)

    @classmethod
    def of(cls, uris: Sequence[str], options: OptionValues = None, **arguments: Any) -> "Dataset":
        """Of objects named one by one, in this order; their schemes may be mixed."""
        if isinstance(uris, str):
            raise TypeError("uris must be a sequence of str, not one str; Dataset(uri) takes a prefix")
        dataset = cls.__new__(cls)
        dataset._build("uris", tuple(uris), options, arguments)
        return dataset

    @classmethod
    def manifest(cls, path: "Union[str, os.PathLike[str]]", options: OptionValues = None, **arguments: Any) -> "Dataset":
        """Of the objects that a local file names, one per line, as `write_manifest` makes it. The file is mapped, so
        that lists of any length cost no memory, and must stay as it is."""
        dataset = cls.__new__(cls)
        dataset._build("manifest", os.fsdecode(path), options, arguments)
        return dataset

    def _build(self, kind: str, source: Any, options: OptionValues, arguments: Dict[str, Any]) -> None:
        self._kind, self._source = kind, source
        self._params, names = _split(arguments)
        self._options = Options(options, **names)
        self._indexed = False
        self._expected: Optional[int] = None  # the length of the dataset that this was pickled from
        self._handle = _owners.Dataset()
        params = _params(**self._params)
        given = (byref(params), sizeof(params), self._options._handle, byref(self._handle))
        if kind == "uri":
            call(lib.s3dlio_dataset_open, c.uri(source), *given)
        elif kind == "uris":
            uris = (c_char_p * len(source))(*[c.uri(uri) for uri in source])
            call(lib.s3dlio_dataset_open_uris, uris, len(source), *given)
        else:
            call(lib.s3dlio_dataset_open_manifest, c.text(source, InvalidArgumentError, "path"), *given)

    def __reduce__(self) -> Tuple[Any, ...]:
        expected = self.length if self._indexed else None
        return _reopen, (self._kind, self._source, self._options, self._params, self._indexed, expected)

    @property
    def length(self) -> Optional[int]:
        """How many items there are; None where that is known only when they were listed or read: see `indexed`."""
        self._settle()
        count = c_uint64()
        call(lib.s3dlio_dataset_length, self._handle, byref(count))
        return None if count.value == _ffi.S3DLIO_UNKNOWN_LENGTH else count.value

    def indexed(self) -> "Dataset":
        """The same items with a known length, so that each has a number: itself, or a dataset for which the objects
        are listed, and indexed where they are files of records, now."""
        if self.length is not None:
            return self
        dataset = type(self).__new__(type(self))
        dataset.__dict__.update(self.__dict__)
        dataset._handle = _owners.Dataset()
        dataset._indexed = True
        call(lib.s3dlio_dataset_index, self._handle, byref(dataset._handle))
        return dataset

    def _settle(self) -> None:
        """Lists anew where this came out of a pickle, at first use: unpickling does no I/O."""
        expected = self._expected
        if expected is None:
            return
        handle, count = _owners.Dataset(), c_uint64()
        call(lib.s3dlio_dataset_index, self._handle, byref(handle))
        call(lib.s3dlio_dataset_length, handle, byref(count))
        if count.value != expected:
            raise ChangedError(
                f"{self!r} has {count.value} items now and had {expected} when it was pickled, so their numbers differ; "
                "keep the objects as they are, or name them with a manifest"
            )
        self._handle, self._expected = handle, None

    def __len__(self) -> int:
        """`TypeError` where it is not known, as of every iterable without a length."""
        count = self.length
        if count is None:
            raise TypeError(f"the length of {self!r} is not known before its objects are listed; indexed() lists them")
        return count

    def __getitem__(self, index: int) -> Sample:
        """The item of this number."""
        number, count = operator.index(index), len(self)
        if not -count <= number < count:
            raise IndexError(f"item {number} of {count}")
        return self.get_many([number % count])[0]

    def get_many(self, indices: Sequence[int]) -> Batch:
        """The items of these numbers, at once, in this order. Raises the first failure."""
        self._settle()
        numbers = (c_uint64 * len(indices))(*[c.u64(index, "index") for index in indices])
        owner = _owners.Batch()
        call(lib.s3dlio_dataset_get_many, self._handle, numbers, len(numbers), byref(owner))
        return Batch(owner)

    def __repr__(self) -> str:
        source = f"{len(self._source)} URIs" if self._kind == "uris" else repr(self._source)
        given = "".join(f", {name}={value!r}" for name, value in self._params.items())
        return f"<s3dlio.Dataset {source}{given}>"


def _reopen(kind: str, source: Any, options: Options, params: Dict[str, Any], indexed: bool, expected: Any) -> Dataset:
    dataset = Dataset.__new__(Dataset)
    dataset._build(kind, source, options, params)
    dataset._indexed, dataset._expected = indexed, expected
    return dataset


def divide(source: Any, options: OptionValues, arguments: Mapping[str, Any]) -> Tuple[Dataset, Dict[str, Any]]:
    """A dataset, which is `source` or is opened of a prefix or URIs with these arguments and options, and what is left
    of them: the options of a loader."""
    given = dict(options._values if isinstance(options, Options) else options or {})
    params = {name: value for name, value in arguments.items() if name in _PARAMS}
    given.update({name.replace("_", ".", 1): value for name, value in arguments.items() if name not in _PARAMS})
    rest = {name: given.pop(name) for name in list(given) if name.startswith("loader.")}
    if not isinstance(source, Dataset):
        return (Dataset if isinstance(source, str) else Dataset.of)(source, given, **params), rest
    if given or params:
        names = ", ".join([*given, *params])
        raise InvalidArgumentError(f"a dataset was given together with {names}; open the dataset with them")
    return source, rest


def write_manifest(
    uri: str, path: "Union[str, os.PathLike[str]]", options: OptionValues = None, **arguments: Any
) -> int:
    """Lists a prefix once into a local file, with sizes and ETags, for `Dataset.manifest`; gives how many objects it
    names. Arguments are those of `Dataset`."""
    params, names = _split(arguments)
    chosen, given, count = Options(options, **names), _params(**params), c_uint64()
    file = c.text(os.fsdecode(path), InvalidArgumentError, "path")
    call(
        lib.s3dlio_dataset_write_manifest,
        c.uri(uri), byref(given), sizeof(given), chosen._handle, file, byref(count),
    )
    return count.value


_PARAMS = ("format", "glob", "regex", "record_size", "skip_bytes", "index", "member")


def _split(arguments: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """What says what the items are, and options."""
    params = {name: value for name, value in arguments.items() if name in _PARAMS and value is not None}
    return params, {name: value for name, value in arguments.items() if name not in _PARAMS}


def _params(
    format: str = "objects",  # noqa: A002
    glob: Optional[str] = None,
    regex: Optional[str] = None,
    record_size: int = 0,
    skip_bytes: int = 0,
    index: Optional[str] = None,
    member: Optional[str] = None,
) -> _ffi.s3dlio_dataset_params:
    if format not in _FORMATS:
        raise InvalidArgumentError(f"format is {format!r}; expected one of {', '.join(_FORMATS)}")
    params = _ffi.s3dlio_dataset_params(format=_FORMATS[format])
    params.record_size, params.skip_bytes = c.u64(record_size, "record_size"), c.u64(skip_bytes, "skip_bytes")
    for name, value in (("glob", glob), ("regex", regex), ("index", index), ("member", member)):
        if value is not None:
            setattr(params, name, c.text(value, InvalidArgumentError, name))
    return params


class LoaderStats(NamedTuple):
    """Counters of a loader."""

    items: int
    bytes: int
    batches: int
    #: Items that failed and were left out, or replaced by others.
    skipped: int
    substituted: int
    #: How long `next` waited for data, in nanoseconds.
    wait_ns: int
    in_flight: int
    buffered_items: int
    buffered_bytes: int
    #: Keys that were listed so far.
    listed: int

    @property
    def wait(self) -> float:
        """How long `next` waited for data, in seconds."""
        return self.wait_ns / 1e9


class Loader:
    """One worker's pass over one epoch: an iterator of batches, which are fetched ahead while you compute.

    `shuffle` is "none", "window" (any dataset), "full" (known length), or True for the best of these that the dataset
    has. The order is that of `seed` and `epoch`, on every machine. Of `world_size` ranks with `workers` workers each,
    this is worker `worker` of rank `rank`; together they draw every item once.

    `state` resumes: what `state()` gave, of this shard; or of all shards of a job, which may have had another size.
    Other options as keywords: `loader_order="completion"`, `loader_on_error="skip"` ... (docs/options.md, `loader.*`).
    `dataset` may also be a prefix, or URIs, with the arguments and options of a `Dataset`.

    A failed item is raised by `next`; the next call goes on behind it. One thread at a time. It belongs to the
    process that made it: make it in the worker. `close()` or `with` stop what is in flight; garbage collection does, too.
    """

    def __init__(
        self,
        dataset: Union[Dataset, str, Sequence[str]],
        batch_size: int = 1,
        *,
        shuffle: Union[None, bool, str] = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        workers: int = 1,
        drop_last: Optional[bool] = None,
        state: Optional[States] = None,
        options: OptionValues = None,
        **arguments: Any,
    ):
        self.dataset, rest = divide(dataset, options, arguments)
        self.dataset._settle()
        if isinstance(shuffle, bool):
            shuffle = "none" if not shuffle else "window" if self.dataset.length is None else "full"
        chosen = Options({**rest, "loader.shuffle": shuffle, "loader.drop_last": drop_last})
        size = c.u64(batch_size, "batch_size")
        if size == 0:
            raise InvalidArgumentError("batch_size is 0; expected at least 1")
        states = _texts([state] if isinstance(state, str) else list(state or ()))
        params = _ffi.s3dlio_loader_params(
            batch_size=size, seed=c.u64(seed, "seed"), epoch=c.u64(epoch, "epoch"),
            rank=c.u32(rank, "rank"), world_size=c.u32(world_size, "world_size"),
            worker=c.u32(worker, "worker"), workers=c.u32(workers, "workers"),
            states=states, state_count=len(states),
        )
        self._open: Optional[Any] = _owners.Loader()
        call(
            lib.s3dlio_loader_open,
            self.dataset._handle, byref(params), sizeof(params), chosen._handle, byref(self._open),
        )

    @property
    def _handle(self) -> Any:
        handle = self._open
        if handle is None:
            raise BadHandleError("the loader is closed")
        return handle

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        owner = _owners.Batch()
        if call(lib.s3dlio_loader_next, self._handle, byref(owner)) == _ffi.S3DLIO_END:
            raise StopIteration
        return Batch(owner)

    def __aiter__(self) -> "Loader":
        return self

    async def __anext__(self) -> Batch:
        """`async for`: the event loop goes on while a batch is awaited."""
        from . import aio  # asyncio is not imported where nobody uses it

        batch = await aio.run(lib.s3dlio_loader_next_submit, self._handle, convert=_batch)
        if batch is None:
            raise StopAsyncIteration
        return batch

    def state(self) -> str:
        """The position behind the batches that were handed out, as JSON: a loader opened with it goes on from here."""
        found = _owners.Buffer()
        call(lib.s3dlio_loader_state, self._handle, byref(found))
        return _string(found)

    def stats(self) -> LoaderStats:
        counters = _ffi.s3dlio_loader_stats()
        call(lib.s3dlio_loader_get_stats, self._handle, byref(counters), sizeof(counters))
        return LoaderStats(*(getattr(counters, name) for name in LoaderStats._fields))

    def close(self) -> None:
        """Stops what is in flight and lets the loader go; batches stay. Again is harmless."""
        self._open = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<s3dlio.Loader of {self.dataset!r}>" if self._open is not None else "<closed s3dlio.Loader>"

    def __reduce__(self) -> Any:
        raise TypeError("a loader cannot be pickled: make it where it is used, with the dataset and its state()")


def merge_states(states: Sequence[str]) -> str:
    """One state out of those of all shards of a job, for a job of any size."""
    texts, found = _texts(list(states)), _owners.Buffer()
    call(lib.s3dlio_loader_merge_states, texts, len(texts), byref(found))
    return _string(found)


def _batch(event: Any, data: Any, reader: Any, owner: Any) -> Optional[Batch]:
    return Batch(owner) if owner else None


def _texts(states: List[str]) -> Any:
    return (c_char_p * len(states))(*[c.text(state, InvalidArgumentError, "state") for state in states])


def _string(buffer: Any) -> str:
    return ctypes.string_at(lib.s3dlio_buffer_data(buffer), lib.s3dlio_buffer_size(buffer)).decode()
