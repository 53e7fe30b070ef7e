"""Runs a script as the ranks of a job, with the variables of torchrun, by forks of one process that has loaded torch:
that takes longer than what most jobs here do. torchrun itself starts those of test_torch_ranks.py and of the guide.

usage: ranks.py WORLD SCRIPT [ARGUMENT...]
"""

import os
import runpy
import sys
import traceback
import uuid

import torch.distributed as dist
import torch.distributed.checkpoint
import torch.distributed.fsdp  # noqa: F401  (all of it is loaded before the forks)
import torch.nn.parallel

import s3dlio.torch  # noqa: F401


def rank(number, world, store, script, arguments):
    """In the child: ends with the script's status."""
    os.environ.update(
        RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world), GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=os.read(store, 16).decode(), TORCHELASTIC_USE_AGENT_STORE="True",
    )
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def main():
    world, script, *arguments = sys.argv[1:]
    os.environ.update(TORCHELASTIC_RUN_ID=str(uuid.uuid4()), TORCHELASTIC_RESTART_COUNT="0")
    processes, pipes = [], []
    for number in range(int(world)):
        read, write = os.pipe()
        process = os.fork()
        if process == 0:
            rank(number, int(world), read, script, arguments)
        processes.append(process)
        pipes.append(write)
        os.close(read)
    # Made behind the forks, as it has a thread; on a port of the system's choice.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for pipe in pipes:
        os.write(pipe, str(store.port).encode())
        os.close(pipe)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0 for process in processes))


main()
