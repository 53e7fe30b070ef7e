#!/usr/bin/env python3
"""Trains a model on several processes, saves checkpoints in the background, and resumes from the latest one, also with
another number of processes. Kill it at any moment and start it again.

usage: torchrun --standalone --nproc-per-node=2 examples/python/train_torchrun.py s3://bucket/run1/checkpoints [STEPS]

The place may be s3://, az://, file:// or direct://; credentials come from the environment, see docs/options.md.
"""

import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.nn.parallel import DistributedDataParallel

import s3dlio
from s3dlio.torch import S3dlioStorageReader, S3dlioStorageWriter

SAVE_EVERY = 10


class Training:
    """What a checkpoint holds: torch asks for it and gives it back."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.step = model, optimizer, 0

    def state_dict(self):
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer, "step": self.step}

    def load_state_dict(self, state):
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        self.step = state["step"]


def latest_exists(place):
    """Rank 0 looks, so that all ranks decide alike."""
    answer = [dist.get_rank() == 0 and bool(s3dlio.checkpoint.list(place))]
    dist.broadcast_object_list(answer, 0)
    return answer[0]


def main():
    place, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(64, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 8)))
    training = Training(model, torch.optim.AdamW(model.parameters()))
    if latest_exists(place):
        dcp.load({"training": training}, storage_reader=S3dlioStorageReader(place))
        if rank == 0:
            print(f"resumed at step {training.step}", flush=True)

    # The last three checkpoints are kept, and every hundredth step.
    writer = S3dlioStorageWriter(place, checkpoint_keep_last=3, checkpoint_keep_every=100)
    # Saves in the background talk over a group of their own.
    background, saving = dist.new_group(backend="gloo"), None
    for step in range(training.step + 1, steps + 1):
        x = torch.randn(32, 64)
        loss = ((model(x) - x[:, :8]) ** 2).mean()
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        training.step = step
        if step % SAVE_EVERY == 0:
            if saving is not None:
                saving.result()  # one save at a time; raises what failed
            # Returns when the state is copied; the training goes on while it is stored.
            saving = dcp.async_save(
                {"training": training}, checkpoint_id=str(step), storage_writer=writer, process_group=background
            )
            if rank == 0:
                print(f"step {step}: loss {loss.item():.4f}, saving", flush=True)
    if saving is not None:
        saving.result()
    if rank == 0:
        print(f"done at step {training.step}; checkpoints {s3dlio.checkpoint.list(place)}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
