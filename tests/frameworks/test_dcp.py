"""C4: torch.distributed.checkpoint through our storage, in one process."""

import io
import json
import pickle
import threading

import numpy
import pytest
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner

import s3dlio
from s3dlio.checkpoint import Checkpoint, CheckpointWriter
from s3dlio.torch import S3dlioStorageReader, S3dlioStorageWriter

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
]


def state():
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.LayerNorm(100), torch.nn.Linear(100, 3))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 64)).sum().backward()
    optimizer.step()
    typed = {str(dtype): (torch.rand(5, 3) * 10).to(dtype) for dtype in DTYPES}
    odd = {
        "transposed": torch.arange(12.0).reshape(3, 4).t(), "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "strided": torch.arange(20)[::3], "scalar": torch.tensor(7), "empty": torch.empty(0, 4),
        "text": "ünï", "numbers": [1, 2.5, None], "bytes": b"\0\1", "nested": {"deep": {"er": torch.ones(2)}},
    }
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "typed": typed, "odd": odd, "step": 17}


def blank(value):
    """The same tree with nothing in it."""
    if isinstance(value, torch.Tensor):
        return torch.zeros(value.shape, dtype=value.dtype)
    if isinstance(value, dict):
        return {key: blank(inner) for key, inner in value.items()}
    return None if not isinstance(value, list) else [blank(inner) for inner in value]


def same(a, b):
    if isinstance(a, torch.Tensor):
        bits = [t.contiguous().resolve_conj().reshape(-1).view(torch.uint8) for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_state_comes_back_on_every_backend(store):
    saved = state()
    writer = S3dlioStorageWriter(store, metadata={"run": "1"}, epoch=2)
    dcp.save(saved, checkpoint_id="17", storage_writer=writer)
    dcp.save({"a": torch.ones(1)}, checkpoint_id="3", storage_writer=writer)
    loaded = blank(saved)
    reader = S3dlioStorageReader(store)
    dcp.load(loaded, storage_reader=reader)
    assert same(loaded, saved)
    info = reader.checkpoint.info
    assert (info.step, info.epoch, info.framework, info.world_size) == (17, 2, "pytorch", 1)
    assert reader.checkpoint.metadata == {"run": "1"} and reader.checkpoint.entries["odd.empty"].shape == (0, 4)
    reader.checkpoint.validate(deep=True)
    for choice in (17, info.id, "latest"):
        part = {"model": blank(saved["model"])}
        dcp.load(part, storage_reader=S3dlioStorageReader(store, choice))
        assert same(part["model"], saved["model"])
    small = {"a": torch.zeros(1)}
    dcp.load(small, checkpoint_id="3", storage_reader=reader)
    assert small["a"] == 1


def test_other_programs_open_it(folder):
    saved = {"w": torch.randn(20, 30), "half": torch.randn(9).bfloat16(), "flag": torch.tensor([True, False])}
    dcp.save(saved, checkpoint_id="1", storage_writer=S3dlioStorageWriter(folder))
    checkpoint = Checkpoint.open(folder)
    (shard,) = [shard for shard in checkpoint.shards if shard.kind == "safetensors"]
    opened = safetensors.torch.load(bytes(folder.get(shard.key)))
    assert same(opened, saved)
    assert (checkpoint.load({"w": numpy.s_[3:5]})["w"] == saved["w"][3:5].numpy()).all()
    half = checkpoint.load(["half"])["half"]
    assert half.dtype.name == "bfloat16" and half.tobytes() == saved["half"].view(torch.uint8).numpy().tobytes()


def test_checkpoints_of_other_programs_are_loaded(folder):
    with CheckpointWriter(folder, 1) as writer:
        writer.put_tensors({"w": numpy.arange(12, dtype="f4").reshape(3, 4), "b": torch.ones(3).bfloat16()})
    loaded = {"w": torch.zeros(3, 4), "b": torch.zeros(3, dtype=torch.bfloat16)}
    dcp.load(loaded, storage_reader=S3dlioStorageReader(folder))
    assert loaded["w"].tolist() == numpy.arange(12).reshape(3, 4).tolist() and loaded["b"].tolist() == [1, 1, 1]


def test_torch_converts_types_and_layouts(memory):
    dcp.save({"w": torch.arange(12.0).reshape(3, 4)}, checkpoint_id="1", storage_writer=S3dlioStorageWriter(memory))
    loaded = {"w": torch.zeros(4, 3, dtype=torch.float64).t()}
    dcp.load(loaded, storage_reader=S3dlioStorageReader(memory))
    assert loaded["w"].dtype == torch.float64 and (loaded["w"] == torch.arange(12.0).reshape(3, 4)).all()


def test_tensors_in_place_and_copied_ones_make_the_same_file(folder):
    """Tensors that have to be copied are streamed; larger elements first keeps them aligned."""
    plain = {"a": torch.randn(3, 4), "b": torch.arange(5, dtype=torch.uint8), "c": torch.randn(2, dtype=torch.float64)}
    turned = {**plain, "a": plain["a"].t().contiguous().t()}
    places = []
    for step, saved in (("1", plain), ("2", turned)):
        dcp.save(saved, checkpoint_id=step, storage_writer=S3dlioStorageWriter(folder))
        checkpoint = Checkpoint.open(folder, int(step))
        (shard,) = [shard for shard in checkpoint.shards if shard.kind == "safetensors"]
        data = bytes(folder.get(shard.key))
        assert same(safetensors.torch.load(data), plain)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        places.append({name: header[name]["data_offsets"] for name in plain})
        loaded = blank(plain)
        dcp.load(loaded, storage_reader=S3dlioStorageReader(folder, int(step)))
        assert same(loaded, plain)
    assert places[0] == places[1] == {"c": [0, 16], "a": [16, 64], "b": [64, 69]}


def test_a_committed_step_and_a_missing_one(store):
    writer = S3dlioStorageWriter(store, 5)
    dcp.save({"a": torch.ones(2)}, storage_writer=writer)
    with pytest.raises(CheckpointException) as raised:
        dcp.save({"a": torch.zeros(2)}, storage_writer=writer)
    (failure,) = raised.value.failures.values()
    assert isinstance(failure[0], s3dlio.AlreadyExistsError) and failure[0].code == -22
    loaded = {"a": torch.zeros(2)}
    dcp.load(loaded, storage_reader=S3dlioStorageReader(store))
    assert loaded["a"].tolist() == [1, 1]
    with pytest.raises(CheckpointException, match="no checkpoint|not_found"):
        dcp.load(loaded, storage_reader=S3dlioStorageReader(store, 6))


def test_nothing_is_seen_of_a_save_that_fails(store):
    class Broken(DefaultSavePlanner):
        def resolve_data(self, item):
            if item.index.fqn == "b":
                raise OSError("broken tensor")
            return super().resolve_data(item)

    tensors = {"a": torch.ones(1000), "b": torch.ones(3)}
    with pytest.raises(CheckpointException, match="broken tensor"):
        dcp.save(tensors, checkpoint_id="1", storage_writer=S3dlioStorageWriter(store), planner=Broken())
    assert s3dlio.checkpoint.list(store) == []

    class Late(S3dlioStorageWriter):
        def finish(self, metadata, results):
            assert s3dlio.checkpoint.list(store) == [], "torch's metadata comes with the commit"
            metadata.planner_data = lambda: 1  # cannot be pickled
            super().finish(metadata, results)

    with pytest.raises(CheckpointException, match="pickle"):
        dcp.save(tensors, checkpoint_id="2", storage_writer=Late(store))
    assert s3dlio.checkpoint.list(store) == []
    assert not [info.key for info in store.list() if info.key.endswith((".safetensors", ".bin"))]
    dcp.save(tensors, checkpoint_id="2", storage_writer=S3dlioStorageWriter(store))
    assert s3dlio.checkpoint.list(store) == [2]


@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")
def test_async_save_blocks_for_the_copy_only(memory):
    may_upload = threading.Event()

    class Slow(S3dlioStorageWriter):
        def write_data(self, plan, planner):
            assert may_upload.wait(60)
            return super().write_data(plan, planner)

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        weights = torch.ones(1 << 20)
        future = dcp.async_save({"w": weights}, checkpoint_id="1", storage_writer=Slow(memory))
        weights.zero_()  # the training goes on
        assert not future.done() and s3dlio.checkpoint.list(memory) == []
        may_upload.set()
        future.result(60)
    finally:
        may_upload.set()
        torch.distributed.destroy_process_group()
    loaded = {"w": torch.zeros(1 << 20)}
    dcp.load(loaded, storage_reader=S3dlioStorageReader(memory))
    assert (loaded["w"] == 1).all()


def test_what_is_not_supported_is_said(memory):
    with pytest.raises(s3dlio.InvalidArgumentError, match="expected the step"):
        dcp.save({}, checkpoint_id="s3://bucket", storage_writer=S3dlioStorageWriter(memory))
    with pytest.raises(CheckpointException, match="step is missing"):
        dcp.save({}, storage_writer=S3dlioStorageWriter(memory))
    saved, planner = {"a": torch.ones(1)}, DefaultSavePlanner(enable_plan_caching=True)
    dcp.save(saved, checkpoint_id="1", storage_writer=S3dlioStorageWriter(memory), planner=planner)
    planner = DefaultSavePlanner(enable_plan_caching=True)
    with pytest.raises(CheckpointException, match="enable_plan_caching=False"):
        dcp.save(saved, checkpoint_id="2", storage_writer=S3dlioStorageWriter(memory), planner=planner)
    with pytest.raises(s3dlio.UnsupportedError, match="use_collectives"):
        dcp.save(saved, checkpoint_id="3", storage_writer=S3dlioStorageWriter(memory), use_collectives=False)
    sparse = {"s": torch.eye(3).to_sparse()}
    with pytest.raises((CheckpointException, NotImplementedError)):
        dcp.save(sparse, checkpoint_id="4", storage_writer=S3dlioStorageWriter(memory))
    assert S3dlioStorageWriter.validate_checkpoint_id("s3://b/c") and not S3dlioStorageReader.validate_checkpoint_id("/c")


def test_writers_and_readers_travel_to_other_processes(folder):
    writer = pickle.loads(pickle.dumps(S3dlioStorageWriter(folder, 1)))
    dcp.save({"a": torch.ones(2)}, storage_writer=writer)
    reader = pickle.loads(pickle.dumps(S3dlioStorageReader(folder)))
    loaded = {"a": torch.zeros(2)}
    dcp.load(loaded, storage_reader=reader)
    assert loaded["a"].tolist() == [1, 1]


def test_checkpoints_become_one_file_of_torch(folder):
    """torch's own tools work on them."""
    from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    saved = {"model": {"w": torch.randn(3)}, "step": 5}
    dcp.save(saved, checkpoint_id="5", storage_writer=S3dlioStorageWriter(folder))
    found = {}
    _load_state_dict(found, storage_reader=S3dlioStorageReader(folder), planner=_EmptyStateDictLoadPlanner(), no_dist=True)
    assert same(found, saved)
    torch.save(found, io.BytesIO())
