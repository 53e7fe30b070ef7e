"""The predecessor's datasets for PyTorch: tensors, bytes or files of the objects below a prefix."""

import io
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
import torch.utils.data

from .._torch_data import told_place
from ..library import get
from ._loader import PyBytesAsyncDataLoader, PyDataset

_TYPES = ("tensor", "bytes", "reader")


def _type_of(return_type: str) -> str:
    chosen = str(return_type).lower()
    if chosen not in _TYPES:
        raise ValueError(f"return_type is {return_type!r}; expected one of {', '.join(_TYPES)}")
    return chosen


def _shape(data: Any, chosen: str, writable: bool) -> Any:
    """Tensors share the library's memory unless they were asked for as writable, and then have their own."""
    if chosen == "bytes":
        return bytes(data)
    if chosen == "reader":
        return io.BytesIO(bytes(data))
    if not len(data):
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data) if writable else data, dtype=torch.uint8)


class ObjectStoreMapDataset(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Map-style; the prefix is listed when it is made. `reader_mode` and sizes of parts have no effect."""

    def __init__(
        self,
        uri: str,
        *,
        reader_mode: str = "sequential",
        part_size: int = 8 << 20,
        max_inflight_parts: int = 4,
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
        return_type: str = "tensor",
    ):
        self._type, self._writable = _type_of(return_type), writable
        self._uris = PyDataset(uri).uris()

    @classmethod
    def from_prefix(cls, uri: str, **keywords: Any) -> "ObjectStoreMapDataset":
        return cls(uri, **keywords)

    def __len__(self) -> int:
        return len(self._uris)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self._uris):
            raise IndexError(index)
        return _shape(get(self._uris[index]), self._type, self._writable)


class ObjectStoreIterableDataset(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """Iterable; objects come as they arrive. With `enable_sharding` each rank and worker draws its share."""

    def __init__(
        self,
        uri: str,
        *,
        loader_opts: Dict[str, Any],
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
        enable_sharding: bool = False,
        return_type: str = "tensor",
    ):
        self._uri, self._opts, self._sharding = uri, loader_opts, enable_sharding
        self._type, self._writable = _type_of(return_type), writable
        self._place: Optional[Tuple[int, int]] = None

    def __getstate__(self) -> Dict[str, Any]:
        # A worker that is spawned does not know torch.distributed's.
        return {**self.__dict__, "_place": self._place or told_place()}

    @classmethod
    def from_prefix(
        cls,
        uri: str,
        *,
        batch_size: int = 1,
        drop_last: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        num_workers: int = 0,
        prefetch: int = 8,
        auto_tune: bool = False,
        reader_mode: str = "sequential",
        part_size: int = 8 << 20,
        max_inflight_parts: int = 4,
        enable_sharding: bool = False,
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
        return_type: str = "tensor",
    ) -> "ObjectStoreIterableDataset":
        opts = dict(drop_last=drop_last, shuffle=shuffle, seed=seed, prefetch=prefetch)
        return cls(uri, loader_opts=opts, writable=writable, enable_sharding=enable_sharding, return_type=return_type)

    def __iter__(self) -> Iterator[Any]:
        opts = dict(self._opts)
        if self._sharding:
            place = self._place or told_place()
            if place is not None:
                opts.update(shard_rank=place[0], shard_world_size=place[1])
            worker = torch.utils.data.get_worker_info()
            if worker is not None:
                opts.update(worker_id=worker.id, num_workers_pytorch=worker.num_workers)
        for data in PyBytesAsyncDataLoader(PyDataset(self._uri), opts):
            yield _shape(data, self._type, self._writable)


S3MapDataset = ObjectStoreMapDataset
S3IterableDataset = ObjectStoreIterableDataset

__all__: List[str] = ["ObjectStoreIterableDataset", "ObjectStoreMapDataset", "S3IterableDataset", "S3MapDataset"]
