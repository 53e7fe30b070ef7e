"""Batches of training data from Python: our loader, our bare call for many objects, and what others take for it.

loader_client.py WHO draw endpoint=URL prefix=TEXT count=N size=BYTES batch=N passes=N
loader_client.py WHO first endpoint=URL prefix=TEXT count=N size=BYTES batch=N passes=1 [manifest=FILE]

One pass, an epoch, warms up connections and workers and is not measured. CPU is of the process and its workers.
`first` is cold: from the opening of the dataset to the first batch; extra is the memory that is more than before.
Prints one line of JSON.
"""

import asyncio
import json
import os
import resource
import sys
import time

from python_client import BUCKET, peak


class Peer:
    """One client; `epoch` draws every object once, in batches, and gives how many objects and bytes these were."""

    def __init__(self, arguments):
        self.endpoint, self.prefix = arguments["endpoint"], f"{arguments['prefix']}/"
        self.count, self.size, self.batch = (int(arguments[name]) for name in ("count", "size", "batch"))
        self.keys = [f"{self.prefix}{index}" for index in range(self.count)]
        self.uris = [f"s3://{BUCKET}/{key}" for key in self.keys]
        self.open()

    def open(self):
        raise NotImplementedError

    def epoch(self):
        raise NotImplementedError


class Ours(Peer):
    """`s3dlio.Loader` over the prefix, which it lists."""

    order = {}

    def open(self):
        import s3dlio

        self.library = s3dlio
        self.dataset = s3dlio.Dataset(f"s3://{BUCKET}/{self.prefix}", {"s3.endpoint": self.endpoint})

    def epoch(self):
        objects = moved = 0
        with self.library.Loader(self.dataset, self.batch, **self.order) as loader:
            for batch in loader:
                for sample in batch:
                    objects, moved = objects + 1, moved + len(sample.data)
        return objects, moved


class OursCompletion(Ours):
    order = {"loader_order": "completion", "shuffle": "window"}


class OursGiven(Ours):
    """The same keys as the bare call, and no listing."""

    def open(self):
        import s3dlio

        self.library = s3dlio
        self.dataset = s3dlio.Dataset.of(self.uris, {"s3.endpoint": self.endpoint})


class OursGivenCompletion(OursGiven):
    order = {"loader_order": "completion"}


class OursGetMany(Peer):
    """The bare call: it is given all keys, and holds every object."""

    def open(self):
        import s3dlio

        self.store = s3dlio.Store(f"s3://{BUCKET}", {"s3.endpoint": self.endpoint})

    def epoch(self):
        found = self.store.get_many(self.keys)
        return len(found), sum(map(len, found))


class OursTorch(Peer):
    """Our iterable dataset in torch's DataLoader, whole batches, no workers but the library's threads."""

    def open(self):
        from s3dlio.torch import S3dlioIterableDataset
        from torch.utils.data import DataLoader

        dataset = S3dlioIterableDataset(
            f"s3://{BUCKET}/{self.prefix}", batch_size=self.batch, options={"s3.endpoint": self.endpoint})
        self.loader = DataLoader(dataset, batch_size=None, collate_fn=lambda batch: batch)

    def epoch(self):
        objects = moved = 0
        for batch in self.loader:
            for sample in batch:
                objects, moved = objects + 1, moved + len(sample)
        return objects, moved


class S3Torch(Peer):
    """The map-style dataset of the Amazon S3 connector in torch's DataLoader with two workers."""

    def open(self):
        from s3torchconnector import S3ClientConfig, S3MapDataset
        from torch.utils.data import DataLoader

        dataset = S3MapDataset.from_objects(
            self.uris, region=os.environ["AWS_REGION"], endpoint=self.endpoint, transform=lambda reader: reader.read(),
            s3client_config=S3ClientConfig(force_path_style=True, throughput_target_gbps=100.0))
        self.loader = DataLoader(
            dataset, batch_size=self.batch, num_workers=2, persistent_workers=True, collate_fn=lambda batch: batch)

    def epoch(self):
        objects = moved = 0
        for batch in self.loader:
            objects, moved = objects + len(batch), moved + sum(map(len, batch))
        return objects, moved


class S3dlio010(Peer):
    """The predecessor's loader, which lists the prefix."""

    def open(self):
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        import s3dlio

        self.library = s3dlio

    def epoch(self):
        async def draw():
            objects = moved = 0
            options = {"batch_size": self.batch, "prefetch": 8, "num_workers": 16}
            async for batch in self.library.create_async_loader(f"s3://{BUCKET}/{self.prefix}", options):
                items = batch if isinstance(batch, (list, tuple)) else [batch]
                objects += len(items)
                moved += sum(item.nbytes if hasattr(item, "nbytes") else len(item) for item in items)
            return objects, moved

        return asyncio.run(draw())


PEERS = {"ours": Ours, "completion": OursCompletion, "given": OursGiven, "given_completion": OursGivenCompletion,
         "get_many": OursGetMany, "ours_torch": OursTorch, "s3torch": S3Torch, "s3dlio_0_10": S3dlio010}


def cpu():
    """Seconds of this process, of its children that live, and of those that ended."""
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/stat") as stat:
                    used += sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return used


def resident():
    """Bytes of memory in use, without files that are mapped."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0]) << 10


def first(who, arguments):
    import s3dlio

    options = {"s3.endpoint": arguments["endpoint"], "loader.order": "completion"}
    shuffle = {"loader_shuffle": "full"} if who == "manifest" else {}
    before, used, began = resident(), cpu(), time.perf_counter()
    if who == "manifest":
        dataset = s3dlio.Dataset.manifest(arguments["manifest"], options)
    else:
        dataset = s3dlio.Dataset(f"s3://{BUCKET}/{arguments['prefix']}/", options)
    with s3dlio.Loader(dataset, int(arguments["batch"]), **shuffle) as loader:
        batch = next(loader)
        wall, extra = time.perf_counter() - began, resident() - before
        if [len(sample.data) for sample in batch] != [int(arguments["size"])] * int(arguments["batch"]):
            raise SystemExit("the first batch is another one")
    print(json.dumps({"passes": 1, "objects": len(batch), "bytes": len(batch) * int(arguments["size"]), "wall": wall,
                      "cpu": cpu() - used, "rss": peak(), "extra": extra, "switches": 0}), flush=True)


def main():
    arguments = dict(argument.split("=", 1) for argument in sys.argv[3:])
    if sys.argv[2] == "first":
        return first(sys.argv[1], arguments)
    peer, passes = PEERS[sys.argv[1]](arguments), int(arguments["passes"])
    expected = peer.count, peer.count * peer.size
    before = began = None
    for turn in range(passes + 1):
        if turn == 1:
            before, began = cpu(), time.perf_counter()
        drawn = peer.epoch()
        if drawn != expected:
            raise SystemExit(f"{drawn} objects and bytes instead of {expected}")
    wall, used = time.perf_counter() - began, cpu() - before
    print(json.dumps({
        "passes": passes, "objects": peer.count * passes, "bytes": peer.count * peer.size * passes, "wall": wall,
        "cpu": used, "rss": peak(), "switches": 0}), flush=True)


if __name__ == "__main__":
    main()
