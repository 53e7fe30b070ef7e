"""Checkpoints: what all ranks of a job saved at one step, committed at once or not at all.

    from s3dlio.checkpoint import Checkpoint, CheckpointWriter

    with CheckpointWriter("s3://bucket/run1/checkpoints", step=1000) as writer:    # on every rank
        writer.put_tensors({"weights": array})
    arrays = Checkpoint.open("s3://bucket/run1/checkpoints").load()                # the latest

A store's root holds the checkpoints of one job. The functions here look after all of them; call them from one
process. `s3dlio.torch`, `s3dlio.jax` and `s3dlio.tensorflow` save and load the objects of these frameworks.
"""

from ctypes import byref, c_size_t, c_uint64
from typing import Any, List, Union

from . import _arguments as c
from ._library import lib
from ._load import Checkpoint, CheckpointInfo, Entry, ShardInfo
from ._pending import Pending
from ._places import store_of
from ._save import CheckpointWriter, ShardWriter
from ._tensors import Shard, Spec
from .errors import call
from .store import OptionValues, Store
from .world import World

__all__ = [
    "Checkpoint", "CheckpointInfo", "CheckpointWriter", "Entry", "Pending", "Shard", "ShardInfo", "ShardWriter", "Spec",
    "World", "collect", "delete", "list", "prune", "validate",
]

Place = Union[Store, str]


def list(place: Place, options: OptionValues = None, **keywords: Any) -> List[int]:  # noqa: A001
    """The steps of the committed checkpoints, ascending."""
    store, count = store_of(place, options, **keywords), c_size_t()
    room = 1024
    while True:
        steps = (c_uint64 * room)()
        call(lib.s3dlio_checkpoint_list, store._handle, steps, room, byref(count))
        if count.value <= room:
            return steps[: count.value]
        room = count.value


def delete(place: Place, step: int, options: OptionValues = None, **keywords: Any) -> None:
    """Removes the checkpoint of a step; `NotFoundError` where there is none."""
    call(lib.s3dlio_checkpoint_delete, store_of(place, options, **keywords)._handle, c.u64(step, "step"))


def prune(
    place: Place, keep_last: int, keep_every: int = 0, options: OptionValues = None, **keywords: Any
) -> int:
    """Removes all checkpoints but the last `keep_last` ones and, where `keep_every` is not 0, those whose
    step is a multiple of it; gives how many that were."""
    store, deleted = store_of(place, options, **keywords), c_size_t()
    last, every = c.u64(keep_last, "keep_last"), c.u64(keep_every, "keep_every")
    call(lib.s3dlio_checkpoint_prune, store._handle, last, every, byref(deleted))
    return deleted.value


def collect(place: Place, min_age: float, options: OptionValues = None, **keywords: Any) -> int:
    """Removes what saves left that were never committed and are older than `min_age` seconds: choose more than the
    longest save takes. Gives how many objects that were."""
    store, removed = store_of(place, options, **keywords), c_size_t()
    call(lib.s3dlio_checkpoint_collect, store._handle, c.u64(int(min_age * 1000), "min_age"), byref(removed))
    return removed.value


def validate(
    place: Place, step: Union[None, int, str] = None, deep: bool = False, options: OptionValues = None, **keywords: Any
) -> None:
    """Checks a checkpoint as `Checkpoint.validate`."""
    with Checkpoint.open(store_of(place, options, **keywords), step) as checkpoint:
        checkpoint.validate(deep)
