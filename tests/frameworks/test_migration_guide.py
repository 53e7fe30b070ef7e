"""Every example of docs/migration.md runs."""

import torch

import s3dlio
from conftest import place
from s3dlio.compat._stores import forget
from s3dlio.fsspec import S3FileSystem
from test_guide import run


def test_every_example_of_the_page_runs(monkeypatch):
    uri, options = place("seaweed", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", options["s3.endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["s3.access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["s3.secret_access_key"])
    monkeypatch.setenv("AWS_REGION", options["s3.region"])
    store = s3dlio.Store(uri)
    store.create_container()
    names = {"torch": torch, "model": torch.nn.Linear(3, 2)}
    names, _ = run("docs/migration.md", 3, {"s3://bucket": uri, "bucket/table": f"{uri[5:]}/table"}, names)
    assert [names["dataset"][n] for n in range(2)] == [("data/a.bin", b"hello"), ("data/large.bin", b"any buffer")] == list(names["stream"])
    assert names["column"].column_names == ["a"] and names["first"] == names["last"] == b"PAR1"
    store.delete_prefix("")
    store.delete_container()
    forget()
    S3FileSystem.clear_instance_cache()
