"""A small training that saves and resumes: what torchrun starts in test_torch_training.py.

usage: torchrun ... train.py PLACE {ddp|fsdp} {sync|async} STEPS SAVE_EVERY [HOLD]
Rank 0 prints one JSON object per line; every rank first prints its process. After step HOLD it waits to be killed.
"""

import hashlib
import os
import signal
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from s3dlio import checkpoint
from s3dlio.torch import S3dlioStorageReader, S3dlioStorageWriter
from say import say

BATCH = 24  # of all ranks together, so that it is the same for every world size


def build(mode, world):
    torch.manual_seed(0)
    # 3.2 million parameters; no world size but 1 divides all of these.
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 1530), torch.nn.GELU(), torch.nn.Linear(1530, 1530), torch.nn.LayerNorm(1530),
        torch.nn.Linear(1530, 509), torch.nn.GELU(), torch.nn.Linear(509, 7),
    )
    if mode == "ddp":
        return DistributedDataParallel(model)
    mesh = init_device_mesh("cpu", (world,))
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


class State(Stateful):
    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.step = model, optimizer, 0

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer, "step": self.step, "rng": torch.get_rng_state()}

    def load_state_dict(self, found):
        set_state_dict(
            self.model, self.optimizer, model_state_dict=found["model"], optim_state_dict=found["optimizer"]
        )
        self.step = found["step"]
        torch.set_rng_state(found["rng"])

    def digest(self):
        """Of every bit of the whole state, however it is sharded."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        model, optimizer = get_state_dict(self.model, self.optimizer, options=options)
        tensors = dict(model)
        for name, values in optimizer.get("state", {}).items():
            tensors.update({f"{name}.{key}": value for key, value in values.items()})
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(name.encode() + tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def main():
    place, mode, how, steps, every = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    hold = int(sys.argv[6]) if len(sys.argv) > 6 else None
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    say(rank=rank, process=os.getpid(), parent=os.getppid())
    model = build(mode, world)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    state = State(model, optimizer)
    if rank == 0:
        found = [bool(checkpoint.list(place))]
    else:
        found = [None]
    dist.broadcast_object_list(found, 0)
    if found[0]:
        dcp.load({"app": state}, storage_reader=S3dlioStorageReader(place))
    digest = state.digest()
    if rank == 0:
        say(resumed=state.step, digest=digest, parameters=sum(p.numel() for p in model.parameters()))
    writer, saving = S3dlioStorageWriter(place, metadata={"mode": mode}), None
    background = dist.new_group(backend="gloo")  # saves in the background have a group of their own
    for step in range(state.step + 1, steps + 1):
        data = torch.Generator().manual_seed(step)
        x, y = torch.randn(BATCH, 64, generator=data), torch.randn(BATCH, 7, generator=data)
        mine = slice(rank, None, world)
        # The gradients are averaged over the ranks: the sum of squares of all of them together.
        loss = ((model(x[mine]) - y[mine]) ** 2).sum() / BATCH * world
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state.step = step
        total = loss.detach().clone()
        dist.all_reduce(total)
        if rank == 0:
            say(step=step, loss=total.item() / world)
        if every and step % every == 0:
            digest = state.digest()
            if saving is not None:
                saving.result()
            if how == "async":
                saving = dcp.async_save(
                    {"app": state}, checkpoint_id=str(step), storage_writer=writer, process_group=background
                )
            else:
                dcp.save({"app": state}, checkpoint_id=str(step), storage_writer=writer)
            if rank == 0:
                say(saved=step, digest=digest)
        if step == hold:
            say(held=step, rank=rank)
            signal.pause()
    if saving is not None:
        saving.result()
    dist.barrier()
    dist.destroy_process_group()


main()
