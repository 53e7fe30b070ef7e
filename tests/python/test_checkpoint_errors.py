"""C1-C3: what goes wrong with checkpoints, with code and message; ranks, forks, pickles and launchers."""

import os
import pickle
import subprocess
import sys

import numpy
import pytest

import s3dlio
from conftest import in_child, place, s3_options
from s3dlio.checkpoint import Checkpoint, CheckpointWriter, Shard, World


def save(store, step, **arguments):
    with CheckpointWriter(store, step, **arguments) as writer:
        writer.put_tensors({"a": numpy.arange(3)})


def test_a_committed_step_is_not_saved_again(store):
    save(store, 7)
    with pytest.raises(s3dlio.AlreadyExistsError) as raised:
        save(store, 7)
    error = raised.value
    assert error.code == -22 and "step-000000000007.json" in error.uri and error.operation == "checkpoint_open"
    assert isinstance(error, FileExistsError)
    s3dlio.checkpoint.delete(store, 7)
    save(store, 7)


def test_no_checkpoint(store):
    for step in (None, 5, f"{5:012}-{1:016x}"):
        with pytest.raises(s3dlio.NotFoundError) as raised:
            Checkpoint.open(store, step)
        assert raised.value.code == -20 and store.uri in str(raised.value)
    save(store, 4)
    with pytest.raises(s3dlio.NotFoundError):
        Checkpoint.open(store, f"{4:012}-{1:016x}")
    with pytest.raises(s3dlio.InvalidArgumentError):
        Checkpoint.open(store, "no-id")


def test_no_container():
    _, options = place("seaweed", None)
    store = s3dlio.Store("s3://there-is-no-such-bucket", options)
    for work in (lambda: Checkpoint.open(store), lambda: save(store, 1), lambda: s3dlio.checkpoint.list(store)):
        with pytest.raises(s3dlio.ContainerNotFoundError) as raised:
            work()
        assert raised.value.code == -21


def test_permission_denied(tmp_path):
    uri, options = place("seaweed", None)
    right = s3dlio.Store(uri, options)
    right.create_container()
    save(right, 1)
    wrong = s3dlio.Store(uri, {**options, "s3.secret_access_key": "wrong"})
    for work in (lambda: Checkpoint.open(wrong), lambda: save(wrong, 2), lambda: s3dlio.checkpoint.delete(wrong, 1)):
        with pytest.raises(PermissionError) as raised:
            work()
        assert raised.value.code in (-30, -31) and uri in str(raised.value)
    right.delete_prefix("")
    right.delete_container()


def test_a_missing_rank_is_named(store):
    writer = CheckpointWriter(store, 1, rank=0, world_size=4, run_id="r", checkpoint_timeout_ms=100)
    other = CheckpointWriter(store, 1, rank=2, world_size=4, run_id="r", checkpoint_timeout_ms=100)
    other.finish()
    with pytest.raises(s3dlio.TimeoutError) as raised:
        writer.commit()
    assert raised.value.code == -43 and raised.value.details["missing_ranks"].replace(" ", "") == "1,3"
    with pytest.raises(s3dlio.TimeoutError):
        other.commit()
    # The commit may be tried again, when they are there.
    for rank in (1, 3):
        CheckpointWriter(store, 1, rank=rank, world_size=4, run_id="r").finish()
    writer.commit()
    other.commit()
    assert Checkpoint.open(store).info.world_size == 4


def test_rank_0_never_came(folder):
    with pytest.raises(s3dlio.TimeoutError) as raised:
        CheckpointWriter(folder, 1, rank=1, world_size=2, run_id="r", checkpoint_timeout_ms=100)
    assert raised.value.code == -43 and "rank 0" in str(raised.value)


def test_a_duplicate_rank(store):
    first = CheckpointWriter(store, 1, rank=0, world_size=2, run_id="r")
    CheckpointWriter(store, 1, rank=1, world_size=2, run_id="r").finish()
    again = CheckpointWriter(store, 1, rank=1, world_size=2, run_id="r")
    with pytest.raises(s3dlio.AlreadyExistsError) as raised:
        again.finish()
    assert raised.value.code == -22 and raised.value.uri.endswith("rank-00001.json")
    again.abort()
    first.commit()


def test_a_wrong_world_size(store):
    first = CheckpointWriter(store, 1, rank=0, world_size=2, run_id="r")
    with pytest.raises(s3dlio.InvalidArgumentError, match="3") as raised:
        other = CheckpointWriter(store, 1, rank=1, world_size=3, id=first.id)
        other.finish()
        first.commit()
    assert raised.value.code == -1 and "2" in str(raised.value)
    first.abort()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (dict(rank=1, world_size=2), "run_id"),
        (dict(rank=2, world_size=2, run_id="r"), "rank"),
        (dict(rank=0, world_size=0), "world"),
        (dict(rank=0), "rank and world_size go together"),
        (dict(step=10**12), "step"),
        (dict(step=-1), "step is -1"),
        (dict(epoch=2**64), "epoch"),
        (dict(id="x"), "id"),
        (dict(metadata={"a\0": "b"}), "NUL"),
        (dict(run_id="a\0"), "NUL"),
    ],
)
def test_arguments_out_of_their_domain(memory, arguments, text):
    step = arguments.pop("step", 1)
    with pytest.raises(s3dlio.InvalidArgumentError, match=text):
        CheckpointWriter(memory, step, **arguments)


def test_names_of_shards(memory):
    with CheckpointWriter(memory, 1) as writer:
        for bad in ("", "a/b", "ä", "x" * 65):
            with pytest.raises(s3dlio.InvalidArgumentError):
                writer.put_bytes(b"", bad)
        writer.put_bytes(b"1", "once")
        with pytest.raises(s3dlio.AlreadyExistsError, match="once"):
            writer.put_bytes(b"2", "once")


def test_a_hole_is_refused_by_the_commit(memory):
    writer = CheckpointWriter(memory, 1)
    writer.put_tensors({"a": Shard(numpy.ones(2), (4,), (1,))})
    with pytest.raises(s3dlio.InvalidArgumentError, match=r'box of shape \[1\] from \[3\] of tensor "a"'):
        writer.commit()
    writer.abort()
    assert s3dlio.checkpoint.list(memory) == []


def test_forks_and_pickles(folder):
    save(folder, 1)
    checkpoint, writer = Checkpoint.open(folder), CheckpointWriter(folder, 2)

    def child():
        try:
            writer.commit()
        except s3dlio.ForkedError as error:
            return checkpoint.load()["a"].tolist(), str(error)

    loaded, error = in_child(child)
    assert loaded == [0, 1, 2] and "fork" in error
    writer.commit()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(writer)


def test_the_world_is_the_launchers(tmp_path):
    """What torchrun sets; two ranks of it agree through the storage."""
    code = """
import s3dlio, sys, numpy
print(*s3dlio.World.detect()[:5])
writer = s3dlio.CheckpointWriter(sys.argv[1], 3)
print(writer.rank, writer.world_size)
writer.put_tensors({f"{writer.rank}": numpy.ones(1)})
writer.commit()
"""

    def run(uri, **env):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMI_", "SLURM_"))}
        return subprocess.Popen(
            [sys.executable, "-c", code, uri], env={**clean, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    common = dict(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", TORCHELASTIC_RUN_ID="job", TORCHELASTIC_RESTART_COUNT="0",
                  MASTER_ADDR="host", MASTER_PORT="1234", S3DLIO_CHECKPOINT_TIMEOUT_MS="30000")
    ranks = [run(f"file://{tmp_path}/c", RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in range(2)]
    answers = [process.communicate(timeout=60) for process in ranks]
    for rank, (out, err) in enumerate(answers):
        assert out.split("\n")[:2] == [f"{rank} 2 {rank} 2 torchrun", f"{rank} 2"], err
    assert s3dlio.checkpoint.list(f"file://{tmp_path}/c") == [3]
    with pytest.raises(s3dlio.NotFoundError):
        World.detect()
