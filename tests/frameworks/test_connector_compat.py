"""The connector's documented examples with only the import changed, and its names, signatures and files (issue 5, 6)."""

import functools
import importlib.metadata
import inspect
import io
import os
import re
import subprocess
import sys
import types

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.utils.data import DataLoader

import s3dlio
import s3dlio.compat.s3torchconnector as ours
import s3dlio.compat.s3torchconnector.dcp as our_dcp
from conftest import fresh_store, s3_options
from s3dlio.compat._stores import forget
from s3dlio.compat.s3torchconnector import (
    S3Checkpoint, S3ClientConfig, S3Exception, S3IterableDataset, S3MapDataset, S3ReaderConstructor,
)
from s3dlio.compat.s3torchconnector._s3client import S3Client

REGION = "us-east-1"
COUNT = 50


@pytest.fixture(autouse=True)
def stores():
    """The stores that calls with full URIs keep are no leak."""
    yield
    forget()


@pytest.fixture(params=["seaweed", "file"])
def root(request, tmp_path, monkeypatch):
    """The URI of a container with numbered objects; the service comes from the environment."""
    if request.param == "seaweed":
        options = s3_options("S3DLIO_TEST_SEAWEED")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", options["s3.endpoint"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["s3.access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["s3.secret_access_key"])
    store = fresh_store(request.param, tmp_path)
    store.put_many({name(n): contents(n) for n in range(COUNT)})
    yield store.uri
    store.delete_prefix("")
    store.delete_container()


def name(n):
    return f"train/{n:03}.bin"


def contents(n):
    return f"{n} ".encode() * (n * 100)


def load(object):
    """The transform of the documentation: an object becomes its key and its contents."""
    return os.path.basename(object.key), object.read()


EXPECTED = [(os.path.basename(name(n)), contents(n)) for n in range(COUNT)]


def test_names_and_signatures_are_the_connectors():
    import s3torchconnector
    import s3torchconnector.dcp

    assert set(s3torchconnector.__all__) <= set(ours.__all__)
    pairs = [(getattr(s3torchconnector, one), getattr(ours, one)) for one in ("S3MapDataset", "S3IterableDataset")]
    calls = [(getattr(a, call), getattr(b, call)) for a, b in pairs for call in ("__init__", "from_prefix", "from_objects")]
    classes = ("S3Checkpoint", "S3ClientConfig")
    calls += [(getattr(s3torchconnector, one).__init__, getattr(ours, one).__init__) for one in classes]
    calls += [(getattr(s3torchconnector.S3Checkpoint, one), getattr(S3Checkpoint, one)) for one in ("reader", "writer")]
    constructors = ("sequential", "range_based", "dcp_optimized", "default", "get_reader_type_string")
    calls += [(getattr(s3torchconnector.S3ReaderConstructor, one), getattr(S3ReaderConstructor, one)) for one in constructors]
    in_dcp = [one for one in s3torchconnector.dcp.__all__ if one not in ("S3PrefixStrategyBase", "DefaultPrefixStrategy")]
    calls += [(getattr(s3torchconnector.dcp, one).__init__, getattr(our_dcp, one).__init__) for one in in_dcp]
    for theirs, own in calls:
        wanted = [(one.name, one.kind) for one in inspect.signature(theirs).parameters.values()]
        found = [(one.name, one.kind) for one in inspect.signature(own).parameters.values()]
        assert [one for one in found if one in wanted] == wanted, f"{theirs.__qualname__}: {wanted}, not {found}"
    for one in ("part_size", "unsigned", "force_path_style", "max_attempts", "profile", "throughput_target_gbps"):
        assert getattr(S3ClientConfig(), one) == getattr(s3torchconnector.S3ClientConfig(), one)


def test_map_dataset(root):
    dataset = S3MapDataset.from_prefix(f"{root}/train/", region=REGION)
    assert len(dataset) == COUNT and dataset.region == REGION
    item = dataset[0]
    assert item.key.endswith(name(0)) and root.endswith(item.bucket.rstrip("/")) or root.startswith("file:")
    assert [load(dataset[n]) for n in range(COUNT)] == EXPECTED
    assert load(dataset[-1]) == EXPECTED[-1]
    some = S3MapDataset.from_objects([f"{root}/{name(n)}" for n in (5, 3)], region=REGION, transform=load)
    assert [some[0], some[1]] == [EXPECTED[5], EXPECTED[3]] and some.__getitems__([1, 0]) == [EXPECTED[3], EXPECTED[5]]
    assert len(S3MapDataset.from_objects(f"{root}/{name(1)}", region=REGION)) == 1
    with pytest.raises(ValueError):
        S3MapDataset.from_prefix("gopher://x", region=REGION)[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_over_both_datasets(root, workers):
    more = dict(num_workers=workers, multiprocessing_context="fork" if workers else None)
    dataset = S3MapDataset.from_prefix(f"{root}/train/", region=REGION, transform=load)
    found = [item for batch in DataLoader(dataset, batch_size=8, collate_fn=list, **more) for item in batch]
    assert found == EXPECTED
    stream = S3IterableDataset.from_prefix(f"{root}/train/", region=REGION, transform=load, enable_sharding=True)
    for epoch in range(2):
        found = [item for batch in DataLoader(stream, batch_size=8, collate_fn=list, **more) for item in batch]
        assert sorted(found) == EXPECTED


@pytest.mark.parametrize("root", ["seaweed"], indirect=True)
def test_a_spawned_worker_draws(root):
    dataset = S3MapDataset.from_prefix(f"{root}/train/", region=REGION, transform=load)
    assert len(dataset) == COUNT  # it is pickled with a client that was used
    loader = DataLoader(dataset, batch_size=8, collate_fn=list, num_workers=1, multiprocessing_context="spawn")
    assert [item for batch in loader for item in batch] == EXPECTED


def test_iterable_dataset(root):
    dataset = S3IterableDataset.from_prefix(f"{root}/train/", region=REGION)
    assert [load(item) for item in dataset] == EXPECTED == [load(item) for item in dataset]
    ranged = S3ReaderConstructor.range_based(buffer_size=1000)
    dataset = S3IterableDataset.from_objects(
        [f"{root}/{name(n)}" for n in range(3)], region=REGION, transform=load, reader_constructor=ranged
    )
    assert list(dataset) == EXPECTED[:3]
    # Every worker without sharding, each its share with it.
    whole = S3IterableDataset.from_prefix(f"{root}/train/", region=REGION, transform=load)
    assert len(list(DataLoader(whole, batch_size=None, num_workers=2))) == 2 * COUNT


def test_sharding_over_ranks_and_workers(root, monkeypatch):
    seen = []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
        dataset = S3IterableDataset.from_prefix(f"{root}/train/", region=REGION, transform=load, enable_sharding=True)
        for worker in range(2):
            info = type("Info", (), {"id": worker, "num_workers": 2})
            monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: info)
            part = list(dataset)
            assert part == EXPECTED[rank::3][worker::2], "as the connector deals them"
            seen += part
    assert sorted(seen) == EXPECTED


def test_readers(root):
    uri, data = f"{root}/{name(40)}", contents(40)
    for constructor in (
        None, S3ReaderConstructor.sequential(), S3ReaderConstructor.range_based(), S3ReaderConstructor.range_based(0),
    ):
        dataset = S3MapDataset.from_objects([uri], region=REGION, reader_constructor=constructor)
        with dataset[0] as reader:
            assert reader.tell() == 0 and reader.readable() and reader.seekable() and not reader.writable()
            assert reader.read(10) == data[:10] and reader.tell() == 10 and reader.seek(-5, io.SEEK_END) == len(data) - 5
            assert reader.read() == data[-5:] and reader.read() == b"" and reader.seek(3) == 3
            into = bytearray(7)
            assert reader.readinto(into) == 7 and into == data[3:10] and reader.seek(5, io.SEEK_CUR) == 15
        with pytest.raises(ValueError):
            reader.read()
        reader = dataset[0]
        assert reader.read() == data and reader.tell() == len(data) and reader.seek(0) == 0 and reader.read(3) == data[:3]
        with pytest.raises(ValueError):
            reader.seek(-1)
        for wrong in (lambda: reader.seek(1.5), lambda: reader.read("x")):
            with pytest.raises(TypeError):
                wrong()
    missing = S3MapDataset.from_objects([f"{root}/none"], region=REGION)[0]  # nothing is asked for yet
    with pytest.raises(S3Exception):
        missing.read()
    kinds = [S3ReaderConstructor.get_reader_type_string(one) for one in (
        None, S3ReaderConstructor.range_based(), S3ReaderConstructor.dcp_optimized(), lambda **facts: None)]
    assert kinds == ["sequential", "range_based", "dcp_optimized", "unknown"]


def test_a_constructor_of_ones_own(root):
    """The protocol: bucket, key, get_object_info, get_stream."""
    def constructor(bucket, key, get_object_info, get_stream):
        return get_object_info().size, b"".join(get_stream(start=2)), b"".join(get_stream(start=1, end=4))

    dataset = S3MapDataset.from_objects([f"{root}/{name(7)}"], region=REGION, reader_constructor=constructor)
    assert dataset[0] == (len(contents(7)), contents(7)[2:], contents(7)[1:4])


def test_checkpoint(root):
    model = torch.nn.Linear(100, 100)
    checkpoint = S3Checkpoint(region=REGION, s3client_config=S3ClientConfig(part_size=16 << 20, force_path_style=True))
    with checkpoint.writer(f"{root}/epoch0.ckpt") as writer:
        torch.save(model.state_dict(), writer)
        assert writer.tell() > 40_000 and writer.writable()
    with checkpoint.reader(f"{root}/epoch0.ckpt") as reader:
        state = torch.load(reader, weights_only=True)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    with pytest.raises(ZeroDivisionError), checkpoint.writer(f"{root}/failed") as writer:
        writer.write(b"x" * 1000)
        1 / 0
    assert not s3dlio.exists(f"{root}/failed")
    writer = checkpoint.writer(f"{root}/plain")
    writer.write(memoryview(b"123"))
    writer.close()
    writer.close()
    assert writer.closed and s3dlio.get(f"{root}/plain") == b"123"
    with pytest.raises(ValueError):
        writer.write(b"4")
    with pytest.raises(S3Exception):
        checkpoint.reader(f"{root}/none").read()


def test_client(root):
    bucket, prefix = ("file:///", f"{root[8:]}/") if root.startswith("file:") else (root[5:], "")
    client = S3Client(REGION)
    pages = list(client.list_objects(bucket, f"{prefix}train/", max_keys=20))
    assert [len(page.object_info) for page in pages] == [20, 20, 10]
    assert pages[0].object_info[1].key == prefix + name(1) and pages[0].object_info[1].size == len(contents(1))
    assert next(client.list_objects(bucket, prefix, "/")).common_prefixes == [f"{prefix}train/"]
    client.copy_object(bucket, prefix + name(1), bucket, f"{prefix}copy")
    assert client.get_object(bucket, f"{prefix}copy").read() == contents(1)
    client.delete_object(bucket, f"{prefix}copy")
    with pytest.raises(S3Exception):
        client.head_object(bucket, f"{prefix}copy")


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of Lightning's with this torch
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*number of training batches")
def test_lightning(root):
    """The documented example: a Trainer saves and goes on, through the plugin."""
    from lightning.pytorch import LightningModule, Trainer
    from s3torchconnector.lightning import S3LightningCheckpoint as Theirs
    from s3dlio.compat.s3torchconnector.lightning import S3LightningCheckpoint

    for call in ("__init__", "save_checkpoint", "load_checkpoint", "remove_checkpoint", "teardown"):
        wanted, found = (list(inspect.signature(getattr(one, call)).parameters) for one in (Theirs, S3LightningCheckpoint))
        assert found[:len(wanted)] == wanted, call

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    def trained(epochs, path=None):
        trainer = Trainer(
            default_root_dir=str(root), max_epochs=epochs, plugins=[S3LightningCheckpoint(REGION)], accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )
        torch.manual_seed(1)
        module = Module()
        trainer.fit(module, DataLoader(torch.ones(8, 3), batch_size=4), ckpt_path=path)
        return trainer, module

    path = f"{root}/light/epoch0.ckpt"
    trainer, module = trained(1)
    trainer.save_checkpoint(path)
    assert s3dlio.list(f"{root}/light/") == [path]
    again, resumed = trained(2, path)
    assert (trainer.global_step, again.global_step, again.current_epoch) == (2, 4, 2)
    straight = trained(2)[1]
    assert torch.equal(resumed.layer.weight, straight.layer.weight) and not torch.equal(resumed.layer.weight, module.layer.weight)
    plugin = S3LightningCheckpoint(REGION)
    kept = plugin.load_checkpoint(path, map_location="cpu", weights_only=False)
    assert kept["global_step"] == 2 and torch.equal(kept["state_dict"]["layer.bias"], module.layer.bias)
    with pytest.raises(ValueError, match="not 7"):
        plugin.save_checkpoint({}, 7)
    plugin.remove_checkpoint(path)
    assert s3dlio.list(f"{root}/light/", recursive=True) == []
    with pytest.raises(S3Exception):
        plugin.load_checkpoint(path)
    plugin.teardown()


class Documented(torch.nn.Linear):
    """In the place of torchvision's model."""

    def __init__(self):
        super().__init__(100, 10)


@pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes")
@pytest.mark.parametrize("root", ["seaweed"], indirect=True)
def test_every_example_of_the_connectors_documentation_runs(root, monkeypatch):
    """Those of the page that is installed with it, one after the other in one program, with the import changed."""
    facts = importlib.metadata.metadata("s3torchconnector")
    blocks = re.findall(r"^```py\n(.*?)^```", facts["Description"] or facts.get_payload(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 14
    changes = {
        "from s3torchconnector": "from s3dlio.compat.s3torchconnector",
        "s3://<BUCKET>/<PREFIX>": f"{root}/train/", "s3://<BUCKET>/<KEY>/": f"{root}/checkpoints/", '"CHECKPOINT_URI"': f'"{root}/spread"',
        "my-bucket": root[5:],
        "min_prefix_len=": "min_prefix_length=",  # it takes the latter only
        "key=OBJECT_NAME": "key=OBJECT_KEY", "100 * 1024 * 1024": "6 * 1024 * 1024",  # as large as what the example before wrote
    }
    vision = types.ModuleType("torchvision")
    vision.models = types.SimpleNamespace(resnet18=Documented)
    monkeypatch.setitem(sys.modules, "torchvision", vision)
    sampler = functools.partial(torch.utils.data.distributed.DistributedSampler, num_replicas=2, rank=1)
    names = {"DataLoader": DataLoader, "DistributedSampler": sampler}
    seen = []
    for number, block in enumerate(blocks):
        for old, new in changes.items():
            block = block.replace(old, new)
        if "lightning" in block:
            continue  # test_lightning
        exec(compile(block, f"example {number}", "exec"), names)
        seen.append({name: names.get(name) for name in ("item", "content", "model", "data", "bytes_read", "dataset", "dataloader")})
    datasets, checkpoint, distributed = seen[:3]
    assert datasets["item"].key == name(0) and datasets["item"].bucket == root[5:] and datasets["content"] == contents(0)
    assert [item.key for item in names["iterable_dataset"]] == [name(n) for n in range(COUNT)]
    for one in (checkpoint, distributed):
        assert isinstance(one["model"], Documented)
    assert all(torch.equal(value, distributed["model"].state_dict()[key]) for key, value in names["model_state_dict"].items())
    assert all(torch.equal(value, checkpoint["model"].state_dict()[key]) for key, value in names["state_dict"].items())
    assert s3dlio.list(f"{root}/spread/", recursive=True) == [f"{root}/spread/.metadata", f"{root}/spread/shard1/epoch_5/__0_0.distcp"]
    assert names["CustomPrefixStrategy"]("x").generate_prefix(3) == "custom_x/3/"
    assert seen[7]["dataloader"].num_workers == 4 and len(list(names["sampler"])) == COUNT // 2
    assert seen[9]["data"] == b"content" * 1048576 and seen[10]["bytes_read"] == 1 << 20
    assert bytes(names["buffer"][:1 << 20]) == (b"content" * 1048576)[6 << 20:]
    assert names["content"] == contents(COUNT - 1)


def state():
    torch.manual_seed(1)
    return {"model": {"w": torch.randn(300, 200), "b": torch.arange(10)}, "step": 7}


def blank():
    return {"model": {"w": torch.zeros(300, 200), "b": torch.zeros(10, dtype=torch.int64)}, "step": 0}


def same(a, b):
    return all(torch.equal(a["model"][key], b["model"][key]) for key in ("w", "b")) and a["step"] == b["step"]


def test_dcp(root):
    path = f"{root}/checkpoints/7"
    strategy = our_dcp.RoundRobinPrefixStrategy(["shard1", "shard2"], epoch_num=3)
    dcp.save(state(), storage_writer=our_dcp.S3StorageWriter(REGION, path, thread_count=2, prefix_strategy=strategy))
    assert sorted(s3dlio.list_keys(f"{path}/")) == [".metadata", "shard1/"]
    for constructor in (None, S3ReaderConstructor.default()):
        found = blank()
        dcp.load(found, storage_reader=our_dcp.S3StorageReader(REGION, path, reader_constructor=constructor))
        assert same(found, state())
    assert our_dcp.S3StorageWriter.validate_checkpoint_id(path) and not our_dcp.S3StorageReader.validate_checkpoint_id("/x")
    hexes = our_dcp.HexPrefixStrategy(min_prefix_length=2, prefix_count=20)
    assert [hexes(rank) for rank in (0, 1, 17, 20)] == ["00/__0_", "10/__1_", "11/__17_", "00/__20_"]
    assert our_dcp.BinaryPrefixStrategy(4, 3, 4).generate_prefix(2) == "010/epoch_4/__2_"


THEIRS = """
import sys, torch, torch.distributed.checkpoint as dcp
from s3torchconnector.dcp import S3StorageReader, S3StorageWriter
sys.path.insert(0, {here!r})
from test_connector_compat import blank, same, state
region, root = {region!r}, {root!r}
found = blank()
dcp.load(found, storage_reader=S3StorageReader(region, root + "/ours"))
assert same(found, state())
dcp.save(state(), storage_writer=S3StorageWriter(region, root + "/theirs"))
print("both read")
"""


@pytest.mark.parametrize("root", ["seaweed"], indirect=True)
def test_checkpoints_of_the_connector_are_read_and_it_reads_ours(root):
    dcp.save(state(), storage_writer=our_dcp.S3StorageWriter(REGION, f"{root}/ours"))
    program = THEIRS.format(here=os.path.dirname(__file__), region=REGION, root=root)
    env = {**os.environ, "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL_S3"]}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=env)
    assert done.stdout.endswith("both read\n"), done.stdout + done.stderr
    found = blank()
    dcp.load(found, storage_reader=our_dcp.S3StorageReader(REGION, f"{root}/theirs"))
    assert same(found, state())
