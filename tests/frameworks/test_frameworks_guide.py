"""Every example of docs/frameworks.md runs, as does the training of examples/python."""

from pathlib import Path

import numpy
import pytest
import torch

import s3dlio
from conftest import place
from test_guide import ROOT, run
from torchrun import Job

TRAINING = Path(ROOT) / "examples/python/train_torchrun.py"


def test_every_example_of_the_guide_runs(monkeypatch):
    uri, options = place("seaweed", None)
    monkeypatch.setenv("S3DLIO_S3_ENDPOINT", options["s3.endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["s3.access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["s3.secret_access_key"])
    monkeypatch.setenv("AWS_REGION", options["s3.region"])
    s3dlio.Store(uri).create_container()
    model = torch.nn.Linear(3, 2)
    names, _ = run("docs/frameworks.md", 5, {"s3://bucket": uri}, {"model": model})
    assert torch.equal(names["state"]["weight"], model.weight)
    assert names["restored"]["step"] == 7 and (numpy.asarray(names["restored"]["dense"]["w"]) == 1).all()
    assert sorted(names["arrays"]) == ["dense/b", "dense/w", "step"] and list(names["tensors"]) == ["bias"]
    assert s3dlio.checkpoint.list(f"{uri}/run1/checkpoints") == [100]
    s3dlio.Store(uri).delete_prefix("")
    s3dlio.Store(uri).delete_container()


@pytest.mark.parametrize("backend", ["file", "seaweed"])
def test_the_training_of_the_examples_resumes(backend, tmp_path):
    uri, options = place(backend, tmp_path)
    store = s3dlio.Store(uri, options)
    store.create_container()
    for world, steps, kept in ((2, 20, "[10, 20]"), (3, 40, "[20, 30, 40]")):
        job = Job(world, backend, TRAINING, uri, steps)
        job.finish()
        printed = "".join(job.other)
        assert f"done at step {steps}; checkpoints {kept}" in printed
        assert ("resumed at step 20" in printed) == (world == 3)
    s3dlio.checkpoint.validate(store, deep=True)
    store.delete_prefix("")
    store.delete_container()
