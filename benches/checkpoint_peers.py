"""Checkpoints by others: `count` tensors of `size` bytes saved or loaded, as checkpoint.c does it.

checkpoint_peers.py WHO save|load count=N size=BYTES passes=N folder=PATH | endpoint=URL

What goes to a file is flushed to the device before a save counts as done. One pass warms up and is not measured.
`extra` is what the process held at most over what it held with its tensors. Prints one line of JSON.
"""

import importlib
import json
import os
import resource
import shutil
import sys
import time

BUCKET = "bench"
MIB = 1 << 20


def flush(path):
    for name in (path, os.path.dirname(path)):
        file = os.open(name, os.O_RDONLY)
        os.fsync(file)
        os.close(file)


class Peer:
    """`save` stores `self.tensors`; `load` gives the bytes that it loaded."""

    modules = ["torch"]  # imported before anything is measured

    def __init__(self, arguments, saves):
        for module in self.modules:
            importlib.import_module(module)
        self.folder, self.endpoint = arguments.get("folder", ""), arguments.get("endpoint", "")
        self.count, self.size = int(arguments["count"]), int(arguments["size"])
        self.path = os.path.join(self.folder, "checkpoint")
        self.open()
        self.tensors = self.make() if saves else None

    def open(self):
        pass

    def make(self):
        import numpy
        import torch

        noise = torch.from_numpy(numpy.frombuffer(os.urandom(MIB), dtype=numpy.float32).copy())
        return {f"layers.{i}.weight": noise.repeat(self.size // MIB) + 0 for i in range(self.count)}


def moved(tensors):
    return sum(tensor.nbytes for tensor in tensors.values())


class Torch(Peer):
    def save(self):
        import torch

        torch.save(self.tensors, self.path)
        flush(self.path)

    def load(self):
        import torch

        return moved(torch.load(self.path))


class TorchMapped(Torch):
    """Pages come when they are looked at: each tensor is added up."""

    def load(self):
        import torch

        tensors = torch.load(self.path, mmap=True)
        for tensor in tensors.values():
            tensor.view(torch.int64).sum()
        return moved(tensors)


class SafeTensors(Peer):
    modules = ["torch", "safetensors.torch"]

    def save(self):
        from safetensors.torch import save_file

        save_file(self.tensors, self.path)
        flush(self.path)

    def load(self):
        import torch
        from safetensors.torch import load_file

        tensors = load_file(self.path)
        for tensor in tensors.values():  # they may be mapped, too
            tensor.view(torch.int64).sum()
        return moved(tensors)


class Dcp(Peer):
    modules = ["torch", "torch.distributed.checkpoint"]

    def save(self):
        import torch.distributed.checkpoint as dcp

        shutil.rmtree(self.path, ignore_errors=True)
        threads = len(os.sched_getaffinity(0))
        dcp.save(self.tensors, storage_writer=dcp.FileSystemWriter(self.path, thread_count=threads), no_dist=True)

    def load(self):
        import torch
        import torch.distributed.checkpoint as dcp

        if not hasattr(self, "memory"):  # the caller's, used again
            self.memory = {f"layers.{i}.weight": torch.ones(self.size // 4) for i in range(self.count)}
        dcp.load(self.memory, storage_reader=dcp.FileSystemReader(self.path), no_dist=True)
        return moved(self.memory)


class S3Torch(Peer):
    def open(self):
        from s3torchconnector import S3Checkpoint, S3ClientConfig

        config = S3ClientConfig(force_path_style=True, throughput_target_gbps=100.0)
        self.checkpoint = S3Checkpoint(os.environ["AWS_REGION"], endpoint=self.endpoint, s3client_config=config)
        self.uri = f"s3://{BUCKET}/s3torch.pt"

    def save(self):
        import torch

        with self.checkpoint.writer(self.uri) as writer:
            torch.save(self.tensors, writer)

    def load(self):
        import torch

        with self.checkpoint.reader(self.uri) as reader:
            return moved(torch.load(reader))


class S3Fs(Peer):
    def open(self):
        import s3fs

        self.files = s3fs.S3FileSystem(
            key=os.environ["AWS_ACCESS_KEY_ID"], secret=os.environ["AWS_SECRET_ACCESS_KEY"],
            client_kwargs={"endpoint_url": self.endpoint, "region_name": os.environ["AWS_REGION"]})

    def save(self):
        import torch

        with self.files.open(f"{BUCKET}/s3fs.pt", "wb") as file:
            torch.save(self.tensors, file)

    def load(self):
        import torch

        with self.files.open(f"{BUCKET}/s3fs.pt", "rb") as file:
            return moved(torch.load(file))


class S3dlio010(Peer):
    """Its writer takes bytes: the tensors are one after the other in an object."""

    modules = ["s3dlio"]

    def open(self):
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        import s3dlio

        self.library, self.uri = s3dlio, f"s3://{BUCKET}/s3dlio.bin"

    def make(self):
        return [os.urandom(MIB) * (self.size // MIB) for _ in range(self.count)]

    def save(self):
        writer = self.library.create_s3_writer(self.uri)
        for tensor in self.tensors:
            writer.write_chunk(tensor)
        writer.finalize()

    def load(self):
        return len(self.library.get(self.uri))


PEERS = {"torch": Torch, "torch_mmap": TorchMapped, "safetensors": SafeTensors, "dcp": Dcp,
         "s3torch": S3Torch, "s3fs": S3Fs, "s3dlio_0_10": S3dlio010}


def status(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise SystemExit(f"/proc/self/status has no {name}")


def main():
    arguments = dict(argument.split("=", 1) for argument in sys.argv[3:])
    operation, passes = sys.argv[2], int(arguments["passes"])
    peer = PEERS[sys.argv[1]](arguments, operation == "save")
    one_pass, expected = getattr(peer, operation), peer.count * peer.size
    base, before, began = status("VmRSS"), None, None
    for turn in range(passes + 1):
        if turn == 1:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak begins here
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        got = one_pass()
        if operation == "load" and got != expected:
            raise SystemExit(f"{got} bytes instead of {expected}")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "passes": passes, "objects": peer.count * passes, "bytes": expected * passes, "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "rss": status("VmHWM"),
        "extra": max(0, status("VmHWM") - base)}))


if __name__ == "__main__":
    main()
