"""`CheckpointWriter`: one rank's part of one save."""

import io
import os
import sys
import warnings
from ctypes import POINTER, byref, sizeof
from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple, Union

from . import _arguments as c
from . import _ffi, _owners
from ._async import _nothing, _run
from ._library import lib
from ._pending import Pending
from ._places import store_of
from ._reserve import Reserving
from ._tensors import Tensors
from .buffer import Buffer
from .errors import BadHandleError, InvalidArgumentError, InvalidStateError, NotFoundError, S3dlioError, call
from .info import WriteStats, write_stats
from .options import Options
from .store import OptionValues, Store
from .world import World

#: Names with arrays: of NumPy, with DLPack or the buffer protocol; or `Shard`s.
Arrays = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]


class CheckpointWriter:
    """Saves what this rank holds of the state at `step` into a checkpoint below a store's root.

        with CheckpointWriter("s3://bucket/run1/checkpoints", 1000) as writer:
            writer.put_tensors({"weights": array})

    Leaving the block commits: rank 0 publishes the checkpoint when all ranks have stored their part,
    the others wait for that. An exception that leaves it aborts, and so does garbage collection, with
    a `RuntimeWarning`. Nothing is visible before the commit; a committed step is never overwritten
    (`AlreadyExistsError`).

    `rank`, `world_size` and `run_id` are the launcher's (`World.detect`), and without one 0 of 1. All ranks
    of one save need one id: they find it through the storage by `run_id`, which no other launch may have, or
    the program tells them rank 0's `id` and gives it as `id=`. `epoch`, `framework` and `metadata` (texts)
    are kept as rank 0 gives them. Options go over the store's. One thread at a time; after a fork only in the parent.
    """

    def __init__(
        self,
        place: Union[Store, str],
        step: int,
        *,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        run_id: Optional[str] = None,
        id: Optional[str] = None,
        epoch: Optional[int] = None,
        framework: str = "python",
        metadata: Optional[Mapping[str, str]] = None,
        options: OptionValues = None,
        **keywords: Any,
    ):
        self._ended = True  # until it is open
        self._process = os.getpid()
        self.step = c.u64(step, "step")
        self.rank, self.world_size, launch = _place_in_job(rank, world_size)
        given = Options(options, **keywords)
        store = place if isinstance(place, Store) else store_of(place, given)
        params = _params(self, run_id or launch, id, epoch, framework, metadata)
        self._open: Any = _owners.CheckpointWriter()
        call(
            lib.s3dlio_checkpoint_writer_open,
            store._handle, given._handle, byref(params), sizeof(params), byref(self._open),
        )
        self._ended = self._finished = False
        self._torn: Optional[str] = None  # a shard that was given up
        #: The save's, for the other ranks.
        self.id: str = lib.s3dlio_checkpoint_writer_id(self._open).decode()

    @property
    def _handle(self) -> Any:
        if self._ended:
            raise InvalidStateError(f"the save of step {self.step} is committed or aborted")
        if self._torn is not None:
            raise InvalidStateError(f"the save of step {self.step} lacks {self._torn}, which was given up: abort it")
        return self._open

    # ---- what is saved

    def put_tensors(self, tensors: Arrays, shard: Optional[str] = None, *, replicated: bool = False) -> None:
        """Stores arrays as one shard, from where they lie; they are the caller's again when this returns.

        A rank's shards have different names ("data" where None). With `replicated` every rank gives
        the same arrays, and each is stored by one of them.
        """
        given = Tensors(tensors, replicated)
        call(lib.s3dlio_checkpoint_writer_put_tensors, self._handle, _shard(shard), given.array, given.count)

    def snapshot(self, tensors: Arrays, shard: Optional[str] = None, *, replicated: bool = False) -> None:
        """As `put_tensors`, but only copies the arrays, without I/O: once this returned they may be changed.
        The copies are stored by `commit`, in the background by `commit_async`."""
        given = Tensors(tensors, replicated)
        call(lib.s3dlio_checkpoint_writer_snapshot_tensors, self._handle, _shard(shard), given.array, given.count)

    def snapshot_buffers(
        self, tensors: Arrays, buffers: Sequence[Buffer], shard: Optional[str] = None, *, replicated: bool = False
    ) -> None:
        """As `snapshot` without the copy: array i lies within the memory of the `Buffer` at i of `buffers`, such as
        `numpy.frombuffer(buffer, "f4")`. Nothing in it may change until the save is over."""
        given = Tensors(tensors, replicated)
        if len(buffers) != given.count:
            raise InvalidArgumentError(f"{given.count} arrays lie in {len(buffers)} buffers; expected one for each")
        handles = (POINTER(_ffi.s3dlio_buffer) * given.count)(*(buffer._handle for buffer in buffers))  # type: ignore[attr-defined]
        call(
            lib.s3dlio_checkpoint_writer_snapshot_buffers, self._handle, _shard(shard), given.array, handles, given.count
        )

    def put_bytes(self, data: Any, shard: str) -> None:
        """Stores any contiguous buffer as a shard that `Checkpoint.read_shard` gives back."""
        memory = c.Borrowed(data)
        call(lib.s3dlio_checkpoint_writer_put_bytes, self._handle, _shard(shard), memory.address, memory.length)

    def open_shard(self, shard: Optional[str] = None, tensors: Optional[Arrays] = None) -> "ShardWriter":
        """A binary file that streams into a shard in constant memory: any bytes, or those of `tensors`, which are
        `Spec`s, one after the other."""
        return ShardWriter(self, shard, tensors)

    # ---- the end

    def finish(self) -> None:
        """Stores what is left of this rank's part, and that it is whole. Nothing can be added any more.

        For programs with a barrier of their own: finish on all ranks, barrier, commit on rank 0.
        """
        call(lib.s3dlio_checkpoint_writer_finish, self._handle)
        self._finished = True

    def commit(self) -> None:
        """`finish`, and then the end of the save: rank 0 waits for all ranks and publishes the checkpoint, the others
        wait until it did. `TimeoutError` names the ranks that are missing; it may be tried again."""
        call(lib.s3dlio_checkpoint_writer_commit, self._handle)
        self._ended = True

    def commit_async(self) -> Pending:
        """`commit` in the background; nothing else can be done with the writer any more."""
        pending = Pending(lib.s3dlio_checkpoint_writer_commit_submit, self._handle)
        self._ended = True
        return pending

    async def acommit(self) -> None:
        """`commit` for asyncio. Where this is cancelled the step may or may not have been committed."""
        handle, self._ended = self._handle, True
        await _run(lib.s3dlio_checkpoint_writer_commit_submit, handle, convert=_nothing)

    async def afinish(self) -> None:
        """`finish` for asyncio."""
        await _run(lib.s3dlio_checkpoint_writer_finish_submit, self._handle, convert=_nothing)
        self._finished = True

    def abort(self) -> None:
        """Gives up and removes what this rank stored. Harmless after the end."""
        if not self._ended:
            self._ended = True
            call(lib.s3dlio_checkpoint_writer_abort, self._open)

    def __enter__(self) -> "CheckpointWriter":
        self._handle
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if self._ended:
            return
        if kind is None:
            self.commit()
            return
        try:
            self.abort()
        except S3dlioError as error:
            # The block's exception matters more. Freeing the handle aborts in the background.
            if hasattr(value, "add_note"):
                value.add_note(f"aborting the save failed as well: {error}")

    def __del__(self) -> None:
        # The handle's own finalizer aborts. What a rank has finished is rank 0's to commit.
        ended = getattr(self, "_ended", True) or self._finished and self.rank > 0
        if not ended and os.getpid() == self._process and not sys.is_finalizing():
            warnings.warn(f"save of step {self.step} dropped uncommitted: nothing is visible", RuntimeWarning)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a checkpoint writer cannot be pickled; pickle the store and open it there")

    def __repr__(self) -> str:
        return f"<s3dlio.CheckpointWriter {self.id} rank {self.rank} of {self.world_size}>"


class ShardWriter(Reserving, io.RawIOBase):
    """A write-only file over one shard; made by `CheckpointWriter.open_shard`. One thread at a time.

    `close()` or leaving `with` stores what is left of it; only then the save can be committed. An exception that
    leaves `with`, or garbage collection, gives it up, and the save with it.
    """

    mode = "wb"
    _reserve_function, _commit_function = lib.s3dlio_checkpoint_shard_reserve, lib.s3dlio_checkpoint_shard_commit

    def __init__(self, writer: CheckpointWriter, shard: Optional[str], tensors: Optional[Arrays]):
        super().__init__()
        self._open: Any = None
        opened, given = _owners.CheckpointShard(), None if tensors is None else Tensors(tensors)
        array, count = (None, 0) if given is None else (given.array, given.count)
        call(lib.s3dlio_checkpoint_writer_open_shard, writer._handle, _shard(shard), array, count, byref(opened))
        self._open, self._in_with, self._position = opened, False, 0
        self._writer, self._shard = writer, shard or "data"

    @property
    def _handle(self) -> Any:
        if self._open is None:
            raise BadHandleError("the shard is finished or given up")
        return self._open

    def writable(self) -> bool:
        self._handle
        return True

    def write(self, data: Any) -> int:
        """Takes all of `data`, any contiguous buffer, and gives its length in bytes."""
        handle, memory = self._handle, c.Borrowed(data)
        self._reclaim()
        call(lib.s3dlio_checkpoint_shard_write, handle, memory.address, memory.length)
        self._position += memory.length
        return memory.length

    def commit(self, size: int) -> None:
        super().commit(size)
        self._position += size

    commit.__doc__ = Reserving.commit.__doc__

    def tell(self) -> int:
        """Bytes taken in so far."""
        return self._position

    def finish(self) -> WriteStats:
        """Stores what is left and adds the shard to this rank's part of the save."""
        handle = self._handle
        self._reclaim()
        stats = _ffi.s3dlio_write_stats()
        try:
            call(lib.s3dlio_checkpoint_shard_finish, handle, byref(stats), sizeof(stats))
        except BaseException:
            self._give_up()
            raise
        self._open = None
        super().close()
        return write_stats(stats)

    def close(self) -> None:
        """`finish`, unless that happened before. Inside `with` it waits for the block's end."""
        if self._open is not None and not self._in_with:
            self.finish()

    def __enter__(self) -> "ShardWriter":
        self._handle
        self._in_with = True
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._in_with = False
        if kind is None:
            self.close()
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Freeing the handle removes what was stored."""
        if getattr(self, "_open", None) is not None:
            self._open = None
            self._writer._torn = f"shard {self._shard!r}"

    def __del__(self) -> None:
        self._give_up()  # not IOBase's, which would finish


def _shard(name: Optional[str]) -> Optional[bytes]:
    return None if name is None else c.text(name, InvalidArgumentError, "shard's name")


def _place_in_job(rank: Optional[int], world_size: Optional[int]) -> Tuple[int, int, Optional[str]]:
    """Rank, world size and the launch's id."""
    if rank is not None and world_size is not None:
        return c.u32(rank, "rank"), c.u32(world_size, "world_size"), None
    if rank is not None or world_size is not None:
        raise InvalidArgumentError("rank and world_size go together; give both, or neither for the launcher's")
    try:
        world = World.detect()
    except NotFoundError:
        return 0, 1, None
    return world.rank, world.world_size, world.run_id


def _params(
    writer: CheckpointWriter, run_id: Optional[str], id: Optional[str], epoch: Optional[int], framework: str,
    metadata: Optional[Mapping[str, str]],
) -> _ffi.s3dlio_checkpoint_params:
    """ctypes keeps the texts and the array alive as long as the struct."""
    params = _ffi.s3dlio_checkpoint_params(step=writer.step, rank=writer.rank, world_size=writer.world_size)
    if epoch is not None:
        params.epoch, params.has_epoch = c.u64(epoch, "epoch"), 1
    for name, value in (("id", id), ("run_id", run_id), ("framework", framework)):
        if value is not None:
            setattr(params, name, c.text(value, InvalidArgumentError, name))
    if metadata:
        params.metadata, params.metadata_count = c.key_values(metadata), len(metadata)
    return params
