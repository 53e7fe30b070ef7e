"""`Checkpoint`: a committed one, to load from."""

from ctypes import byref, c_char_p, sizeof
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import _arguments as c
from . import _ffi, _owners
from ._async import _nothing, _run
from ._library import lib
from ._places import store_of
from ._tensors import NUMPY_NAMES, Request, Requests, Shape, Shard, array_of
from .buffer import Buffer, from_handle
from .errors import BadHandleError, InvalidArgumentError, NotFoundError, call
from .options import Options
from .store import OptionValues, Store

#: Which entries: all, some, or boxes of some as slices.
Wanted = Union[None, Iterable[str], Mapping[str, Union[slice, Sequence[slice], None]]]
#: Where entries go: writable arrays or buffers, or `Shard`s of them.
Targets = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]


class Entry(NamedTuple):
    """A named array of a checkpoint."""

    name: str
    #: A name of safetensors': "F32", "BF16" ...
    dtype: str
    shape: Shape
    #: Its size.
    bytes: int
    #: In how many pieces it is stored.
    parts: int


class ShardInfo(NamedTuple):
    """A file of a checkpoint."""

    rank: int
    name: str
    #: "safetensors" or "bytes".
    kind: str
    key: str
    size: int
    stored_size: int
    crc32c: int
    stored_crc32c: int


class CheckpointInfo(NamedTuple):
    """Facts of a checkpoint; sizes in bytes."""

    step: int
    epoch: Optional[int]
    world_size: int
    id: str
    framework: str
    #: When rank 0 began, RFC 3339.
    created: str
    #: "flat", "round_robin" or "binary".
    strategy: str
    uri: str
    bytes: int
    stored_bytes: int


class Checkpoint:
    """A committed checkpoint: `Checkpoint.open("s3://bucket/run1/checkpoints").load()`.

    Any thread may use it, many at once. What is read whole is compared with its CRC32C; `validate` checks everything.
    """

    def __init__(self, handle: Any):
        self._open: Optional[Any] = handle
        info = _ffi.s3dlio_checkpoint_info()
        call(lib.s3dlio_checkpoint_get_info, handle, byref(info), sizeof(info))
        texts = (info.id, info.framework, info.created, info.strategy, info.uri)
        self.info = CheckpointInfo(
            info.step, info.epoch if info.has_epoch else None, info.world_size,
            *(text.decode() for text in texts), info.bytes, info.stored_bytes,
        )
        #: The caller's own texts, as they were saved.
        self.metadata: Dict[str, str] = dict(_metadata(handle, at) for at in range(info.metadata_count))
        #: By name.
        self.entries: Dict[str, Entry] = {}
        for at in range(info.entry_count):
            entry = _entry(handle, at)
            self.entries[entry.name] = entry
        self.shards: List[ShardInfo] = [_shard_info(handle, at) for at in range(info.shard_count)]

    @classmethod
    def open(
        cls, place: Union[Store, str], step: Union[None, int, str] = None, options: OptionValues = None, **keywords: Any
    ) -> "Checkpoint":
        """The checkpoint of a step, of an id, or the latest one (None, "latest"). Options go over the store's.

        `NotFoundError` where there is none.
        """
        given = Options(options, **keywords)
        store = place if isinstance(place, Store) else store_of(place, given)
        handle = _owners.Checkpoint()
        if isinstance(step, str) and step != "latest":
            text = c.text(step, InvalidArgumentError, "checkpoint's id")
            call(lib.s3dlio_checkpoint_open_id, store._handle, given._handle, text, byref(handle))
        else:
            number = _ffi.S3DLIO_LATEST if step is None or step == "latest" else c.u64(step, "step")
            call(lib.s3dlio_checkpoint_open, store._handle, given._handle, number, byref(handle))
        return cls(handle)

    @property
    def _handle(self) -> Any:
        if self._open is None:
            raise BadHandleError("the checkpoint is closed")
        return self._open

    # ---- facts

    @property
    def step(self) -> int:
        return self.info.step

    @property
    def id(self) -> str:
        return self.info.id

    # ---- loading

    def load(self, wanted: Wanted = None, *, rank: Optional[int] = None) -> Dict[str, Any]:
        """Entries as new NumPy arrays: all of them, those named, or boxes: `load({"weights": numpy.s_[0:10, :]})`.

        `rank` tells whose copy is meant where ranks saved different ones under the same name. Types
        that NumPy lacks, such as BF16, are those of the package ml_dtypes.
        """
        arrays, requests = self._arrays(wanted)
        self._load(requests, rank)
        return arrays

    async def aload(self, wanted: Wanted = None, *, rank: Optional[int] = None) -> Dict[str, Any]:
        """`load` for asyncio."""
        arrays, requests = self._arrays(wanted)
        await self._aload(requests, rank)
        return arrays

    def load_into(self, targets: Targets, *, rank: Optional[int] = None) -> None:
        """Entries into arrays that are there: `load_into({"weights": array})`; where an entry's box is wanted,
        `Shard(array, start=(256, 0))`, whose shape is the array's.

        Memory without a type (bytearray, `Buffer`) takes the entry's bytes as they are.
        """
        self._load(self._requests(targets), rank)

    async def aload_into(self, targets: Targets, *, rank: Optional[int] = None) -> None:
        """`load_into` for asyncio. The arrays are the caller's again when this ends, also where it is cancelled."""
        await self._aload(self._requests(targets), rank)

    def read_shard(self, rank: int, shard: Optional[str] = None) -> Buffer:
        """A whole shard, decompressed and checked."""
        data = _owners.Buffer()
        name = None if shard is None else c.text(shard, InvalidArgumentError, "shard's name")
        call(lib.s3dlio_checkpoint_read_shard, self._handle, c.u32(rank, "rank"), name, byref(data))
        return from_handle(data)

    def validate(self, deep: bool = False) -> None:
        """Checks that all shards are there in their size; `deep` reads them all and compares their checksums."""
        call(lib.s3dlio_checkpoint_validate, self._handle, int(bool(deep)))

    def close(self) -> None:
        """Lets the checkpoint go; nothing is deleted. Again is harmless."""
        self._open = None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<s3dlio.Checkpoint {self.info.uri} of {len(self.entries)} entries>"

    # ---- requests

    def _load(self, requests: List[Request], rank: Optional[int]) -> None:
        wanted = Requests(requests, rank)
        call(lib.s3dlio_checkpoint_load, self._handle, wanted.array, wanted.count)

    async def _aload(self, requests: List[Request], rank: Optional[int]) -> None:
        wanted = Requests(requests, rank)
        await _run(
            lib.s3dlio_checkpoint_load_submit, self._handle, wanted.array, wanted.count, memory=wanted, convert=_nothing
        )

    def _find(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is None:
            raise NotFoundError(
                f"load {self.info.uri}: there is no entry {name!r} among {len(self.entries)}",
                details={"operation": "load", "uri": self.info.uri, "entry": name},
            )
        return entry

    def _arrays(self, wanted: Wanted) -> Tuple[Dict[str, Any], List[Request]]:
        if isinstance(wanted, str):
            raise TypeError(f"wanted must be a list of names, not the text {wanted!r}")
        boxes = wanted if isinstance(wanted, Mapping) else dict.fromkeys(self.entries if wanted is None else wanted)
        arrays, requests = {}, []
        for name, slices in boxes.items():
            entry = self._find(name)
            start, shape = _box(entry, slices)
            arrays[name] = array = _empty(entry, shape)
            requests.append(Request(name, array_of(array, name), start, shape))
        return arrays, requests

    def _requests(self, targets: Targets) -> List[Request]:
        pairs = targets.items() if isinstance(targets, Mapping) else targets
        return [self._request(name, target) for name, target in pairs]

    def _request(self, name: str, target: Any) -> Request:
        entry = self._find(name)
        box = target if isinstance(target, Shard) else None
        data = array_of(target if box is None else box.data, f"target of entry {name!r}", writable=True)
        untyped = data.dtype == "U8" and len(data.shape) == 1 and entry.dtype != "U8"
        if untyped and box is None:
            return Request(name, data)
        if data.dtype != entry.dtype:
            raise InvalidArgumentError(f"target of entry {name!r} has type {data.dtype}; the entry has {entry.dtype}")
        if box is None and data.shape != entry.shape:
            raise InvalidArgumentError(
                f"target of entry {name!r} has shape {data.shape}; the entry has {entry.shape}: use Shard for a box of it"
            )
        if box is not None and box.global_shape is not None and tuple(box.global_shape) != entry.shape:
            raise InvalidArgumentError(
                f"target of entry {name!r} is a box of {tuple(box.global_shape)}; the entry has shape {entry.shape}"
            )
        start = None if box is None else box.start if box.start is not None else (0,) * len(data.shape)
        return Request(name, data, start, None if box is None else data.shape)


def _box(entry: Entry, slices: Any) -> Tuple[Optional[Shape], Shape]:
    if slices is None:
        return None, entry.shape
    parts = slices if isinstance(slices, tuple) else (slices,)
    if len(parts) > len(entry.shape) or not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        raise InvalidArgumentError(
            f"{slices!r} is no box of entry {entry.name!r} of shape {entry.shape}; expected slices without steps"
        )
    parts += (slice(None),) * (len(entry.shape) - len(parts))
    ranges = [range(*part.indices(extent)) for part, extent in zip(parts, entry.shape)]
    return tuple(r.start for r in ranges), tuple(len(r) for r in ranges)


def _empty(entry: Entry, shape: Shape) -> Any:
    import numpy

    try:
        dtype = numpy.dtype(NUMPY_NAMES[entry.dtype])
    except TypeError:
        import ml_dtypes

        dtype = numpy.dtype(getattr(ml_dtypes, NUMPY_NAMES[entry.dtype]))
    return numpy.empty(shape, dtype)


def _metadata(handle: Any, at: int) -> Tuple[str, str]:
    name, value = c_char_p(), c_char_p()
    call(lib.s3dlio_checkpoint_metadata, handle, at, byref(name), byref(value))
    return (name.value or b"").decode(), (value.value or b"").decode()


def _entry(handle: Any, at: int) -> Entry:
    info = _ffi.s3dlio_entry_info()
    call(lib.s3dlio_checkpoint_entry, handle, at, byref(info), sizeof(info))
    shape = tuple(info.shape[: info.ndim]) if info.ndim else ()
    return Entry(info.name.decode(), info.dtype.decode(), shape, info.bytes, info.parts)


def _shard_info(handle: Any, at: int) -> ShardInfo:
    info = _ffi.s3dlio_shard_info()
    call(lib.s3dlio_checkpoint_shard_info, handle, at, byref(info), sizeof(info))
    kind = "bytes" if info.kind == _ffi.S3DLIO_SHARD_BYTES else "safetensors"
    sums = (info.size, info.stored_size, info.crc32c, info.stored_crc32c)
    return ShardInfo(info.rank, info.name.decode(), kind, info.key.decode(), *sums)
