"""Every example of docs/frameworks.md runs, as do the trainings of examples/python."""

import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

import s3dlio
from conftest import place
from test_guide import ROOT, run
from torchrun import Job, environment

TRAINING = Path(ROOT) / "examples/python/train_torchrun.py"
IMAGES = Path(ROOT) / "examples/python/train_images.py"


def test_every_example_of_the_guide_runs(monkeypatch):
    uri, options = place("seaweed", None)
    monkeypatch.setenv("S3DLIO_S3_ENDPOINT", options["s3.endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["s3.access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["s3.secret_access_key"])
    monkeypatch.setenv("AWS_REGION", options["s3.region"])
    s3dlio.Store(uri).create_container()
    s3dlio.Store(f"{uri}/train").put_many({f"{index:03}": numpy.full((3, 4), index, "f4") for index in range(50)})
    model = torch.nn.Linear(3, 2)
    names, _ = run("docs/frameworks.md", 8, {"s3://bucket": uri}, {"model": model})
    assert torch.equal(names["state"]["weight"], model.weight)
    assert names["restored"]["step"] == 7 and (numpy.asarray(names["restored"]["dense"]["w"]) == 1).all()
    assert sorted(names["arrays"]) == ["dense/b", "dense/w", "step"] and list(names["tensors"]) == ["bias"]
    assert names["batch"].shape == (8, 3, 4) and names["rows"] == 50 and len(list(names["several"])) == 50
    assert s3dlio.checkpoint.list(f"{uri}/run1/checkpoints") == [100]
    s3dlio.Store(uri).delete_prefix("")
    s3dlio.Store(uri).delete_container()


@pytest.mark.parametrize("backend", ["file", "seaweed"])
def test_the_training_of_the_examples_resumes(backend, tmp_path):
    uri, options = place(backend, tmp_path)
    store = s3dlio.Store(uri, options)
    store.create_container()
    for world, steps, kept in ((2, 20, "[10, 20]"), (3, 40, "[20, 30, 40]")):
        job = Job(world, backend, TRAINING, uri, steps, forked=backend == "file")  # on the other one with torchrun
        job.finish()
        printed = "".join(job.other)
        assert f"done at step {steps}; checkpoints {kept}" in printed
        assert ("resumed at step 20" in printed) == (world == 3)
    s3dlio.checkpoint.validate(store, deep=True)
    store.delete_prefix("")
    store.delete_container()


@pytest.mark.parametrize("backend, workers", [("file", 2), ("seaweed", 0)])
def test_the_training_on_images_learns_and_says_how_long_it_waited(backend, workers, tmp_path):
    uri, options = place(backend, tmp_path)
    store = s3dlio.Store(uri, options)
    store.create_container()
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(IMAGES), f"{uri}/set", "1500", str(workers)]
    done = subprocess.run(command, env=environment(backend), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.count(": 1500 images") == 3
    assert float(re.search(r"epoch 2: .*accuracy ([\d.]+)", done.stdout)[1]) > 0.9
    waited, whole = map(float, re.search(r"waited ([\d.]+) s of ([\d.]+) s for data", done.stdout).groups())
    assert 0 < waited < whole
    print(done.stdout)
    store.delete_prefix("")
    store.delete_container()
