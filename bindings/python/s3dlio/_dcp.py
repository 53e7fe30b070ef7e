"""The storage of `torch.distributed.checkpoint`.

Each rank stores one shard: tensors are entries under their full names, pieces of sharded tensors are boxes of these,
and objects that are no tensors are entries of bytes. torch's own metadata, which its planners need, is one more shard of
the coordinator's. The checkpoint becomes visible with our manifest, which the coordinator publishes when torch calls
`finish`: nothing can be seen of a save that tore.
"""

import contextlib
import ctypes
import io
import pickle
import secrets
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import torch
import torch.distributed as dist
from torch.distributed.checkpoint import metadata as dcp
from torch.distributed.checkpoint.planner import (
    LoadItemType, LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner, WriteItem, WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from . import _torch_tensors as tensors
from ._arguments import Borrowed
from ._load import Checkpoint
from ._places import store_of
from ._save import CheckpointWriter
from ._tensors import Array, Request, Shard, Spec
from .errors import InvalidArgumentError, S3dlioError, UnsupportedError
from .options import Options
from .store import OptionValues, Store

#: The coordinator's shard with torch's metadata.
METADATA = "torch-metadata"
_SCHEMES = ("s3://", "az://", "file://", "direct://", "memory://")
#: Bytes that are read before they are copied into tensors that cannot be read into.
_COPIED_AT_ONCE = 256 << 20


@dataclass(frozen=True)
class _Part:
    """What the coordinator tells a rank with its plan."""

    id: str
    step: int
    rank: int
    world_size: int


class _Storage:
    """A store, what the ranks agreed on, and a step that `checkpoint_id` can set."""

    _place: Union[Store, str]
    _given: Options
    step: Any

    def _at(self, place: Union[Store, str], options: OptionValues, keywords: Mapping[str, Any]) -> None:
        self._given = Options(options, **keywords)
        self._store = place if isinstance(place, Store) else store_of(place, self._given)

    @property
    def checkpoint_id(self) -> Optional[str]:
        return None if self.step is None else str(self.step)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return str(checkpoint_id).startswith(_SCHEMES)


class S3dlioStorageWriter(_Storage, StorageWriter):
    """For `dcp.save` and `dcp.async_save`:

        writer = S3dlioStorageWriter("s3://bucket/run1/checkpoints")
        dcp.save({"model": model}, checkpoint_id=str(step), storage_writer=writer)

    `checkpoint_id` is the step, or give `step=`, or set `writer.step`. Each step is committed once: again is
    `AlreadyExistsError`, in torch's `CheckpointException`. Options go over the store's. One save at a time.
    """

    def __init__(
        self,
        place: Union[Store, str],
        step: Optional[int] = None,
        *,
        epoch: Optional[int] = None,
        metadata: Optional[Mapping[str, str]] = None,
        options: OptionValues = None,
        **keywords: Any,
    ):
        super().__init__()
        self._at(place, options, keywords)
        self.step, self.epoch, self.metadata = step, epoch, dict(metadata or {})
        self._writer: Optional[CheckpointWriter] = None
        self._rank = 0

    def reset(self, checkpoint_id: Any = None) -> None:
        self._give_up()
        if checkpoint_id is not None:
            if not str(checkpoint_id).isdecimal():
                raise InvalidArgumentError(f"checkpoint_id is {str(checkpoint_id)!r}; expected the step, a whole number")
            self.step = int(str(checkpoint_id))

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if not kwargs.get("use_collectives", True):
            raise UnsupportedError("use_collectives=False: a checkpoint is committed once for all ranks")
        if self.step is None:
            raise InvalidArgumentError("the step is missing: give checkpoint_id or step, a whole number")
        self._rank = kwargs.get("rank", 0)

    def storage_meta(self) -> Any:
        return dcp.StorageMeta(checkpoint_id=self.checkpoint_id)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: List[SavePlan]) -> List[SavePlan]:
        if not all(plan.usable for plan in plans):
            raise UnsupportedError(
                "a planner with cached plans drops what the coordinator tells the ranks; use enable_plan_caching=False"
            )
        # The coordinator is our rank 0, whoever it is.
        order = {self._rank: 0, 0: self._rank}
        id = f"{self.step:012}-{secrets.token_hex(8)}"
        parts = [_Part(id, self.step, order.get(rank, rank), len(plans)) for rank in range(len(plans))]
        self._writer = self._open(parts[self._rank])
        return [replace(plan, storage_data=part) for plan, part in zip(plans, parts)]

    def _open(self, part: _Part) -> CheckpointWriter:
        return CheckpointWriter(
            self._store, part.step, rank=part.rank, world_size=part.world_size, id=part.id, epoch=self.epoch,
            framework="pytorch", metadata=self.metadata, options=self._given,
        )

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> "Future[List[WriteResult]]":
        part: _Part = plan.storage_data
        if self._writer is None:
            self._writer = self._open(part)
        try:
            results = _write(self._writer, plan.items, planner, part.rank)
            if part.rank > 0:
                # From here on the coordinator decides.
                self._writer.finish()
                self._writer = None
        except BaseException:
            self._give_up()
            raise
        future: "Future[List[WriteResult]]" = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Any, results: List[List[WriteResult]]) -> None:
        metadata.storage_data = {result.index: result.storage_data for rank in results for result in rank}
        metadata.storage_meta = self.storage_meta()
        assert self._writer is not None, "torch calls finish after prepare_global_plan, on the coordinator"
        try:
            self._writer.put_bytes(pickle.dumps(metadata), METADATA)
            self._writer.commit()
        except BaseException:
            self._give_up()
            raise
        self._writer = None

    def _give_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(S3dlioError):  # then freeing it aborts in the background
                writer.abort()

    def __getstate__(self) -> Dict[str, Any]:
        # For the process that saves in the background.
        return {**self.__dict__, "_writer": None}


def _write(writer: CheckpointWriter, items: List[WriteItem], planner: SavePlanner, rank: int) -> List[WriteResult]:
    pieces: List[Tuple[str, Any, Any]] = []  # name, box, tensor or bytes
    results = []
    for item in items:
        data = planner.resolve_data(item)
        name = item.index.fqn
        if item.type == WriteItemType.BYTE_IO:
            view = data.getbuffer()
            memory, size = Borrowed(view), len(view)
            pieces.append((name, Shard(None), Array("U8", (size,), memory.address, size, memory)))
        else:
            tensor, chunk = data.detach(), item.tensor_data
            size = tensor.numel() * tensor.element_size()
            _, whole = tensors.type_and_shape(tensor.dtype, tuple(chunk.size))
            start = tensors.start_of(tensor.dtype, chunk.chunk.offsets)
            if size or 0 in whole:  # an empty piece of a tensor that is not empty holds nothing
                pieces.append((name, Shard(None, whole, start), tensor))
        results.append(WriteResult(index=item.index, size_in_bytes=size, storage_data=rank))
    if all(isinstance(data, Array) or tensors.in_place(data) for _, _, data in pieces):
        writer.put_tensors([(name, box._replace(data=_array(data, name))) for name, box, data in pieces])
    else:
        _stream(writer, pieces)
    return results


def _stream(writer: CheckpointWriter, pieces: List[Tuple[str, Any, Any]]) -> None:
    """One tensor after the other is copied to this host's memory and out."""
    # Larger elements first, so that all are aligned.
    pieces.sort(key=lambda piece: 1 if isinstance(piece[2], Array) else -piece[2].element_size())
    specs = []
    for name, box, data in pieces:
        shape = (data.dtype, data.shape) if isinstance(data, Array) else tensors.type_and_shape(data.dtype, tuple(data.shape))
        specs.append((name, Spec(*shape, box.global_shape, box.start)))
    with writer.open_shard(None, specs) as shard:
        for name, _, data in pieces:
            array = _array(data, name)
            if array.length:
                shard.write((ctypes.c_ubyte * array.length).from_address(array.address))


def _array(data: Any, name: str) -> Array:
    return data if isinstance(data, Array) else tensors.array(tensors.plain(data, f"tensor {name!r}"))


class S3dlioStorageReader(_Storage, StorageReader):
    """For `dcp.load`:

        dcp.load({"model": model}, storage_reader=S3dlioStorageReader("s3://bucket/run1/checkpoints"))

    Loads the latest checkpoint, or the one of `step` or `checkpoint_id`: a step, or an id of ours. The job
    may have another size than the one that saved. With the latest one, rank 0 of `process_group` chooses for all ranks,
    unless `no_dist`. Checkpoints of other programs are read by the names and shapes of their entries. torch's
    metadata is a pickle: load only checkpoints that you trust.
    """

    def __init__(
        self,
        place: Union[Store, str],
        step: Union[None, int, str] = None,
        *,
        process_group: Any = None,
        no_dist: bool = False,
        options: OptionValues = None,
        **keywords: Any,
    ):
        super().__init__()
        self._at(place, options, keywords)
        self.step, self._group, self._no_dist = step, process_group, no_dist
        #: The one that is read, once torch asked for its metadata.
        self.checkpoint: Optional[Checkpoint] = None
        self._ranks: Dict[Any, int] = {}
        self._types: Dict[str, torch.dtype] = {}

    def reset(self, checkpoint_id: Any = None) -> None:
        self.checkpoint = None
        if checkpoint_id is not None:
            text = str(checkpoint_id)
            self.step = int(text) if text.isdecimal() else text

    # Without **kwargs, so that torch does not ask for metadata of single ranks where there are none.
    def read_metadata(self) -> Any:  # type: ignore[override]
        self.checkpoint = checkpoint = self._agreed()
        if any(shard.name == METADATA and shard.rank == 0 for shard in checkpoint.shards):
            return pickle.loads(checkpoint.read_shard(0, METADATA))
        return _described(checkpoint)

    def _agreed(self) -> Checkpoint:
        if self.step not in (None, "latest") or self._no_dist or not dist.is_available() or not dist.is_initialized():
            return Checkpoint.open(self._store, self.step, self._given)
        answer: List[Any] = [None]
        if dist.get_rank(self._group) == 0:
            try:
                found = Checkpoint.open(self._store, None, self._given)
                answer = [found.id]
            except Exception as error:
                answer = [error]
        first = 0 if self._group is None else dist.get_global_rank(self._group, 0)
        dist.broadcast_object_list(answer, first, group=self._group)
        if isinstance(answer[0], Exception):
            raise answer[0]
        return found if dist.get_rank(self._group) == 0 else Checkpoint.open(self._store, answer[0], self._given)

    def set_up_storage_reader(self, metadata: Any, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._ranks = metadata.storage_data or {}
        described = metadata.state_dict_metadata.items()
        self._types = {name: facts.properties.dtype for name, facts in described if hasattr(facts, "properties")}

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: List[LoadPlan]) -> List[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> "Future[None]":
        assert self.checkpoint is not None, "torch calls read_data after read_metadata"
        objects = [item for item in plan.items if item.type == LoadItemType.BYTE_IO]
        self._read_objects(objects, planner)
        self._read_tensors([item for item in plan.items if item.type != LoadItemType.BYTE_IO], planner)
        future: "Future[None]" = Future()
        future.set_result(None)
        return future

    def _read_objects(self, items: List[ReadItem], planner: LoadPlanner) -> None:
        by_rank: Dict[int, List[Tuple[ReadItem, Any]]] = {}
        for item in items:
            size = self.checkpoint._find(item.storage_index.fqn).bytes
            by_rank.setdefault(self._ranks.get(item.storage_index, -1), []).append((item, bytearray(size)))
        for rank, found in by_rank.items():
            pairs = [(item.storage_index.fqn, memory) for item, memory in found]
            self.checkpoint.load_into(pairs, rank=None if rank < 0 else rank)
        for item, memory in (pair for found in by_rank.values() for pair in found):
            planner.load_bytes(item, io.BytesIO(memory))

    def _read_tensors(self, items: List[ReadItem], planner: LoadPlanner) -> None:
        requests: List[Request] = []
        waiting: List[Tuple[ReadItem, torch.Tensor, torch.Tensor]] = []
        copied = 0
        for item in items:
            target = planner.resolve_tensor(item).detach()
            # The type is that of what was saved; torch converts when it copies.
            dtype = self._dtype(item.storage_index.fqn)
            direct = tensors.in_place(target) and target.dtype == dtype
            memory = target if direct else torch.empty(target.shape, dtype=dtype)
            copied += 0 if direct else memory.nbytes
            waiting.append((item, target, memory))
            if memory.numel():
                requests.append(_request(item, memory))
            if copied > _COPIED_AT_ONCE:
                self._take(requests, waiting, planner)
                requests, waiting, copied = [], [], 0
        self._take(requests, waiting, planner)

    def _take(self, requests: List[Request], waiting: List[Any], planner: LoadPlanner) -> None:
        self.checkpoint._load(requests, None)
        for item, target, memory in waiting:
            if memory is not target:
                target.copy_(memory)
            planner.commit_tensor(item, target)

    def _dtype(self, name: str) -> torch.dtype:
        described = self._types[name]
        return tensors.TORCH_DTYPES[self.checkpoint._find(name).dtype] if described in tensors.DTYPES else described


def _request(item: ReadItem, memory: torch.Tensor) -> Request:
    array = tensors.array(memory)
    offset = item.storage_index.offset or (0,) * memory.dim()
    start = [a + b for a, b in zip(offset, item.storage_offsets)]
    return Request(item.storage_index.fqn, array, tensors.start_of(memory.dtype, start), array.shape)


def _described(checkpoint: Checkpoint) -> Any:
    """torch's metadata for a checkpoint that another program wrote."""
    found: Dict[str, Any] = {}
    for name, entry in checkpoint.entries.items():
        chunk = dcp.ChunkStorageMetadata(torch.Size([0] * len(entry.shape)), torch.Size(entry.shape))
        properties = dcp.TensorProperties(dtype=tensors.TORCH_DTYPES[entry.dtype])
        found[name] = dcp.TensorStorageMetadata(properties, torch.Size(entry.shape), [chunk])
    return dcp.Metadata(found)
