"""C4: torch.save and torch.load through the library's files, and S3Checkpoint."""

import io
import random

import pytest
import torch

import s3dlio
import s3dlio.torch
from conftest import s3_options
from s3dlio.s3checkpoint import S3Checkpoint


def state():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.LayerNorm(512), torch.nn.Linear(512, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 256)).sum().backward()
    optimizer.step()
    odd = {"bf16": torch.randn(7, 3).bfloat16(), "view": torch.arange(12).reshape(3, 4).t(), "scalar": torch.tensor(3)}
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "odd": odd, "step": 17, "name": "ünï"}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_torch_saves_torch_loads(store):
    saved = state()
    stats = s3dlio.torch.save(saved, store, "model.pt")
    assert stats.finished and stats.bytes == store.stat("model.pt").size
    assert same(s3dlio.torch.load(store, "model.pt"), saved)
    # The object is what torch itself writes and reads.
    assert same(torch.load(io.BytesIO(bytes(store.get("model.pt")))), saved)
    memory = io.BytesIO()
    torch.save(saved, memory)
    store.put("theirs.pt", memory.getbuffer())
    assert same(s3dlio.torch.load(store, "theirs.pt", map_location="cpu", weights_only=True), saved)


def test_compressed(folder):
    zeros = torch.zeros(1 << 20)
    stats = s3dlio.torch.save(zeros, folder.uri, "zeros.pt", writer_compression="zstd")
    assert stats.stored_bytes < stats.bytes // 10
    assert same(s3dlio.torch.load(folder, "zeros.pt.zst"), zeros)


def test_one_uri_names_the_object(tmp_path, memory):
    s3dlio.torch.save({"a": torch.ones(3)}, f"file://{tmp_path}/deep/model.pt")
    assert same(torch.load(tmp_path / "deep/model.pt"), {"a": torch.ones(3)})
    memory.put("folder/x", b"")
    s3dlio.torch.save(torch.ones(2), f"{memory.uri}/folder/x")
    assert same(s3dlio.torch.load(f"{memory.uri}/folder/x"), torch.ones(2))
    for bad in ("s3://bucket", "s3://bucket/", "az://account/container", "file:///", "model.pt"):
        with pytest.raises(s3dlio.InvalidUriError, match="names no object"):
            s3dlio.torch.load(bad)
    with pytest.raises(s3dlio.InvalidArgumentError, match="key is missing"):
        s3dlio.torch.load(memory)


def test_a_failed_save_leaves_nothing(folder):
    with pytest.raises(Exception, match="pickle"):
        s3dlio.torch.save({"a": torch.ones(1 << 20), "bad": lambda: 1}, folder, "model.pt")
    assert not list(folder.list())


def test_a_missing_object_is_not_found(store):
    with pytest.raises(s3dlio.NotFoundError) as raised:
        s3dlio.torch.load(store, "none.pt")
    assert raised.value.uri.endswith("none.pt")


def test_s3checkpoint_reads_and_writes_every_scheme(store, monkeypatch):
    saved = state()
    checkpoint = S3Checkpoint(options=store._options)
    uri = f"{store.uri}/epoch-0.pt"
    with checkpoint.writer(uri) as file:
        torch.save(saved, file)
    with checkpoint.reader(uri) as file:
        assert same(torch.load(file), saved)
    with pytest.raises(ZeroDivisionError):
        with checkpoint.writer(f"{store.uri}/bad.pt") as file:
            file.write(b"half")
            1 / 0
    assert [info.key for info in store.list()] == ["epoch-0.pt"]


def test_s3checkpoint_and_the_connector_open_each_others_objects(monkeypatch):
    from s3torchconnector import S3Checkpoint as Theirs
    from s3torchconnector import S3ClientConfig

    options = s3_options("S3DLIO_TEST_S3B")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["s3.access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["s3.secret_access_key"])
    region, endpoint = options["s3.region"], options["s3.endpoint"]
    store = s3dlio.Store(f"s3://connector-{random.getrandbits(64):x}", options)
    store.create_container()
    config = S3ClientConfig(force_path_style=True)
    theirs, ours = Theirs(region, endpoint, s3client_config=config), S3Checkpoint(region, endpoint)
    saved = state()
    with theirs.writer(f"{store.uri}/theirs.pt") as file:
        torch.save(saved, file)
    with ours.writer(f"{store.uri}/ours.pt") as file:
        torch.save(saved, file)
    with ours.reader(f"{store.uri}/theirs.pt") as file:
        assert same(torch.load(file), saved)
    with theirs.reader(f"{store.uri}/ours.pt") as file:
        assert same(torch.load(file), saved)
    store.delete_prefix("")
    store.delete_container()
