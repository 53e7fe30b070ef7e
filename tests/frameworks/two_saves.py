"""What test_torch_ranks.py starts with torchrun: a save by background processes, and one that fails on one rank.

usage: torchrun ... two_saves.py PLACE
"""

import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from s3dlio import checkpoint
from s3dlio.torch import S3dlioStorageReader, S3dlioStorageWriter
from say import say


class Broken(DefaultSavePlanner):
    def resolve_data(self, item):
        if dist.get_rank() == 1:
            raise OSError("rank 1 has no such tensor")
        return super().resolve_data(item)


def main():
    place = sys.argv[1]
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    say(rank=rank, process=os.getpid())
    state = {f"own.{rank}": torch.full((1000,), float(rank)), "same": torch.arange(5), "text": "x"}
    saving = dcp.async_save(
        state, checkpoint_id="1", storage_writer=S3dlioStorageWriter(place),
        async_checkpointer_type=AsyncCheckpointerType.PROCESS,
    )
    saving.result(60)
    loaded = {f"own.{1 - rank}": torch.zeros(1000), "same": torch.zeros(5, dtype=torch.int64), "text": ""}
    dcp.load(loaded, storage_reader=S3dlioStorageReader(place))
    right = loaded["same"].tolist() == [0, 1, 2, 3, 4] and bool((loaded[f"own.{1 - rank}"] == 1 - rank).all())
    writer = S3dlioStorageWriter(place)
    try:
        dcp.save(state, checkpoint_id="2", storage_writer=writer, planner=Broken())
        failure = None
    except CheckpointException as error:
        failure = {failed: str(what[0]) for failed, what in error.failures.items()}
    # torch does not tell the other ranks' storage of the failure; the next save does that, or freeing the writer.
    writer.reset()
    dist.barrier()
    say(right=right, failure=failure, steps=checkpoint.list(place), of=rank)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
