"""Every example of docs/python.md and README.md runs."""

import contextlib
import io
import pickle
import re
import types
from pathlib import Path

import numpy

import s3dlio
from conftest import place

ROOT = Path(__file__).resolve().parents[2]


def run(page, expected, replaced, names):
    """Runs a page's blocks as one program, in their order; gives its names and what it printed."""
    text = (ROOT / page).read_text()
    found = [(text.count("\n", 0, block.start()) + 1, block[1]) for block in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)]
    assert len(found) == expected, "the examples of the page changed: does this test still give them what they need?"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for line, block in found:
            for old, new in replaced.items():
                block = block.replace(old, new)
            # Lines of a failure are those of the page.
            exec(compile("\n" * line + block, str(ROOT / page), "exec"), names)
    return names, printed.getvalue()


def test_every_example_of_the_guide_runs(tmp_path):
    train = s3dlio.Store(f"file://{tmp_path}/train")
    train.put_many({f"{index}.bin": bytes([index]) * 100 for index in range(100)})
    weights = numpy.random.default_rng(1).random((4096, 4096), "f4")
    state = {"step": 100, "weights": weights[:10]}
    folder = s3dlio.Store(f"file://{tmp_path}/run1")
    folder.put("weights", weights)
    folder.put("model.pt", pickle.dumps(state))
    with folder.writer("data.npz") as writer:
        numpy.savez(writer, a=weights[:10], b=weights[10:20])
    # torch is too large to install here; it takes the same files as pickle.
    torch = types.SimpleNamespace(load=pickle.load, save=pickle.dump)
    names = {"numpy": numpy, "torch": torch, "io": io}
    names, printed = run("docs/python.md", 9, {"file:///data": f"file://{tmp_path}"}, names)

    assert (names["weights"] == weights + 1).all() and folder.get("weights") == weights.tobytes()
    assert (names["part"] == weights[100:200]).all() and (names["a"] == weights[:10]).all()
    assert names["state"]["step"] == 100 and (names["arrays"]["b"] == weights[10:20]).all()
    with folder.open("step-100.zst") as file:
        assert pickle.load(file)["step"] == 100
    assert (names["rows"] == weights[:10]).all() and names["settings"] == b"of any kind"
    assert (names["loaded"]["weights"] == weights).all() and names["loaded"]["bias"].shape == (4096,)
    assert s3dlio.checkpoint.list(f"file://{tmp_path}/checkpoints") == [1000, 2000]
    assert names["everything"].size == 100 * 36 and len(names["offsets"]) == 37 and "seconds were spent" in printed
    assert "stored_bytes" in printed and folder.get("rows") == b""


def test_the_example_of_the_readme_runs(monkeypatch):
    uri, options = place("azurite", None)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", options["azure.endpoint"])
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", options["azure.account_key"])
    s3dlio.Store(uri).create_container()
    names = {"s3dlio": s3dlio, "tensor_bytes": b"123456789"}
    names, _ = run("README.md", 1, {"az://account/container": uri}, names)
    assert names["store"].get("step-100") == b"123456789"
    s3dlio.Store(uri).delete_prefix("")
    s3dlio.Store(uri).delete_container()
