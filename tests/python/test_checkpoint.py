"""C1-C4: checkpoints of NumPy arrays and of everything with the buffer protocol or DLPack."""

import array
import asyncio
import concurrent.futures
import gc
import warnings

import numpy
import pytest

import s3dlio
from conftest import fresh_store
from s3dlio.checkpoint import Checkpoint, CheckpointWriter, Shard, Spec, World

DTYPES = "bool u1 i1 u2 i2 f2 u4 i4 f4 c8 f8 i8 u8".split()


def arrays(seed=1):
    random = numpy.random.default_rng(seed)
    found = {f"layer.{code}": (random.random((17, 5)) * 100).astype(code) for code in DTYPES}
    found["scalar"] = numpy.array(3.5)
    found["empty"] = numpy.empty((3, 0), "f4")
    found["deep"] = random.random((2, 3, 4, 5))
    found["ünï/☃"] = numpy.arange(7, dtype="i8")
    return found


def same(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


def save(store, step, tensors, **arguments):
    with CheckpointWriter(store, step, **arguments) as writer:
        writer.put_tensors(tensors)
    return writer


def in_threads(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [future.result(120) for future in [pool.submit(work, rank) for rank in range(count)]]


def files(store):
    return sorted(info.key for info in store.list())


# ---- one rank


def test_arrays_come_back_on_every_backend(store):
    saved = arrays()
    writer = save(store, 100, saved, epoch=3, framework="numpy", metadata={"lr": "1e-3", "ключ": "  kept \n"})
    checkpoint = Checkpoint.open(store)
    assert same(checkpoint.load(), saved)
    info = checkpoint.info
    assert (info.step, info.epoch, info.world_size, info.id) == (100, 3, 1, writer.id) and checkpoint.step == 100
    assert info.framework == "numpy" and info.strategy == "flat" and info.created.endswith("Z")
    assert checkpoint.metadata == {"lr": "1e-3", "ключ": "  kept \n"}
    assert checkpoint.entries["deep"] == ("deep", "F64", (2, 3, 4, 5), 960, 1)
    assert [(shard.rank, shard.name, shard.kind) for shard in checkpoint.shards] == [(0, "data", "safetensors")]
    assert checkpoint.shards[0].size == store.stat(checkpoint.shards[0].key).size
    checkpoint.validate()
    checkpoint.validate(deep=True)
    # By step, by id, by URI, some entries.
    for place in (100, writer.id, "latest", None):
        assert same(Checkpoint.open(store, place).load(["scalar", "deep"]), {k: saved[k] for k in ("scalar", "deep")})


def test_a_uri_and_options_are_enough(tmp_path):
    uri = f"file://{tmp_path}/checkpoints"
    save(uri, 1, {"a": numpy.zeros(1 << 20)}, writer_compression="zstd")
    checkpoint = Checkpoint.open(uri)
    assert checkpoint.info.stored_bytes < checkpoint.info.bytes // 10
    assert checkpoint.load()["a"].shape == (1 << 20,)
    assert s3dlio.checkpoint.list(uri) == [1]
    with pytest.raises(s3dlio.InvalidArgumentError, match="open the store with them"):
        s3dlio.checkpoint.list(s3dlio.Store(uri), writer_compression="zstd")


def test_whatever_has_memory_is_saved_from_where_it_lies(memory):
    buffer = s3dlio.Buffer(3)
    buffer[:] = b"xyz"
    frozen = numpy.arange(4)
    frozen.flags.writeable = False

    class Dlpack:
        def __init__(self, inner, device=None):
            self.inner, self.device = inner, device

        def __dlpack__(self):
            return self.inner.__dlpack__()

        def __dlpack_device__(self):
            return self.device or self.inner.__dlpack_device__()

    save(memory, 1, {
        "bytes": b"123", "bytearray": bytearray(b"456"), "view": memoryview(b"abcdef")[2:4], "buffer": buffer,
        "array": array.array("d", [1, 2]), "frozen": frozen, "number": numpy.float32(2.5),
        "dlpack": Dlpack(numpy.arange(6, dtype="f4").reshape(2, 3)), "flags": Dlpack(numpy.array([True, False])),
        "part": Dlpack(numpy.arange(9, dtype="c8")[3:]), "nothing": b"",
    })
    loaded = Checkpoint.open(memory).load()
    for name, expected in {"bytes": b"123", "bytearray": b"456", "view": b"cd", "buffer": b"xyz", "nothing": b""}.items():
        assert loaded[name].dtype == "u1" and loaded[name].tobytes() == expected
    assert loaded["array"].tolist() == [1, 2] and loaded["number"] == numpy.float32(2.5) and loaded["number"].shape == ()
    assert loaded["frozen"].tolist() == [0, 1, 2, 3] and loaded["flags"].tolist() == [True, False]
    assert loaded["dlpack"].tolist() == [[0, 1, 2], [3, 4, 5]] and loaded["dlpack"].dtype == "f4"
    assert loaded["part"].tolist() == [3, 4, 5, 6, 7, 8]
    with CheckpointWriter(memory, 2) as writer:
        with pytest.raises(BufferError, match="'gpu' is not in this host's memory"):
            writer.put_tensors({"gpu": Dlpack(numpy.arange(2), (2, 0))})
        with pytest.raises(BufferError, match="'t' is not contiguous"):
            writer.put_tensors({"t": Dlpack(numpy.ones((2, 3)).T)})


def test_what_cannot_be_saved_is_named_and_harms_nothing(memory):
    with CheckpointWriter(memory, 1) as writer:
        for bad, error, text in (
            (numpy.ones((2, 3)).T, BufferError, "tensor 'x' is not contiguous"),
            (memoryview(b"abcdef")[::2], BufferError, "tensor 'x' is not contiguous"),
            (numpy.ones(2, ">f8"), s3dlio.InvalidArgumentError, "tensor 'x' is big-endian"),
            (numpy.ones(2, "c16"), s3dlio.InvalidArgumentError, "no type 'complex128'"),
            (numpy.array(["a"]), s3dlio.InvalidArgumentError, "no type"),
            (numpy.array([None]), s3dlio.InvalidArgumentError, "no type"),
            ([1, 2], TypeError, "tensor 'x' must be an array or a buffer, not list"),
            ("text", TypeError, "not str"),
            (Shard(numpy.ones(2), (4, 4), (0, 0)), s3dlio.InvalidArgumentError, "has 2 numbers; expected 1"),
            (Shard(numpy.ones(2), (4,), (-1,)), s3dlio.InvalidArgumentError, "-1; expected 0 to"),
            (Shard(numpy.ones(2), (4,), (3,)), s3dlio.InvalidArgumentError, "x"),
        ):
            with pytest.raises(error, match=text):
                writer.put_tensors({"x": bad})
        writer.put_tensors({"x": numpy.ones(2)})
    assert Checkpoint.open(memory).load()["x"].tolist() == [1, 1]


def test_ten_thousand_small_arrays(folder):
    saved = {f"block.{n}.weight": numpy.full(n % 7, n, "i4") for n in range(10_000)}
    save(folder, 1, saved)
    checkpoint = Checkpoint.open(folder)
    assert len(checkpoint.entries) == 10_000 and len(checkpoint.shards) == 1
    assert same(checkpoint.load(), saved)


# ---- into memory that is there, and boxes


def test_load_into_arrays(store):
    saved = {"a": numpy.arange(120, dtype="i4").reshape(10, 12), "b": numpy.random.default_rng(2).random(50)}
    save(store, 1, saved)
    checkpoint = Checkpoint.open(store)
    a, b, plain = numpy.zeros((10, 12), "i4"), numpy.zeros(50), bytearray(400)
    checkpoint.load_into({"a": a, "b": b})
    checkpoint.load_into({"b": plain})
    assert (a == saved["a"]).all() and (b == saved["b"]).all() and plain == saved["b"].tobytes()
    box, rows = numpy.zeros((3, 4), "i4"), numpy.zeros((2, 12), "i4")
    checkpoint.load_into([("a", Shard(box, start=(5, 7))), ("a", Shard(rows, (10, 12)))])
    assert (box == saved["a"][5:8, 7:11]).all() and (rows == saved["a"][:2]).all()
    found = checkpoint.load({"a": numpy.s_[2:4, 3:], "b": numpy.s_[:5]})
    assert (found["a"] == saved["a"][2:4, 3:]).all() and (found["b"] == saved["b"][:5]).all()
    assert (checkpoint.load({"a": slice(9, 99), "b": None})["a"] == saved["a"][9:]).all()


def test_what_cannot_be_loaded_is_named(memory):
    save(memory, 1, {"a": numpy.zeros((4, 3), "f4")})
    checkpoint = Checkpoint.open(memory)
    frozen = numpy.zeros((4, 3), "f4")
    frozen.flags.writeable = False
    for target, error, text in (
        (numpy.zeros((4, 3), "i4"), s3dlio.InvalidArgumentError, "target of entry 'a' has type I32; the entry has F32"),
        (numpy.zeros((3, 4), "f4"), s3dlio.InvalidArgumentError, r"has shape \(3, 4\); the entry has \(4, 3\)"),
        (Shard(numpy.zeros(2, "f4"), (9, 9)), s3dlio.InvalidArgumentError, r"is a box of \(9, 9\)"),
        (Shard(numpy.zeros((2, 3), "f4"), start=(3, 0)), s3dlio.RangeError, r"\[2, 3\] from \[3, 0\] is not within"),
        (frozen, BufferError, "read-only"),
        (bytearray(7), s3dlio.InvalidArgumentError, "a"),
        (b"frozen", BufferError, "writable"),
    ):
        with pytest.raises(error, match=text):
            checkpoint.load_into({"a": target})
    for box in (numpy.s_[::2], numpy.s_[0], numpy.s_[:, :, :]):
        with pytest.raises(s3dlio.InvalidArgumentError, match="no box of entry 'a'"):
            checkpoint.load({"a": box})
    with pytest.raises(s3dlio.NotFoundError, match="no entry 'b'"):
        checkpoint.load(["b"])
    with pytest.raises(TypeError, match="list of names"):
        checkpoint.load("a")
    with pytest.raises(s3dlio.NotFoundError):
        checkpoint.read_shard(0, "other")
    checkpoint.close()
    with pytest.raises(s3dlio.BadHandleError):
        checkpoint.load()


# ---- many ranks


@pytest.mark.parametrize("world", [1, 2, 4, 7])
def test_ranks_save_their_pieces_and_another_number_loads(store, world):
    whole = numpy.arange(28 * 6, dtype="f4").reshape(28, 6)
    rows = 28 // world

    def rank(rank):
        own = whole[rank * rows : (rank + 1) * rows]
        with CheckpointWriter(store, 5, rank=rank, world_size=world, run_id="launch-1") as writer:
            writer.put_tensors({"w": Shard(own, whole.shape, (rank * rows, 0)), f"own.{rank}": own[:, 0].copy()})
            writer.put_tensors({"same": whole[0], "same2": whole[1]}, "same", replicated=True)
        return writer.id

    assert len(set(in_threads(world, rank))) == 1
    checkpoint = Checkpoint.open(store)
    assert checkpoint.info.world_size == world and checkpoint.entries["w"].parts == world
    assert checkpoint.entries["same"].parts == 1, "a replicated tensor is stored once"
    assert (checkpoint.load()["w"] == whole).all()
    # Five ranks load, none of which has a piece as it was saved.
    for start in range(0, 28, 6):
        mine = checkpoint.load({"w": numpy.s_[start : start + 6, 1:5]})["w"]
        assert (mine == whole[start : start + 6, 1:5]).all()
    assert (checkpoint.load(["same2"])["same2"] == whole[1]).all()
    assert not any(key.startswith("begin/") for key in files(store))


def test_a_host_that_broadcasts_needs_no_run_id(folder):
    with CheckpointWriter(folder, 1, rank=0, world_size=2, id=f"{1:012}-{7:016x}") as first:
        second = CheckpointWriter(folder, 1, rank=1, world_size=2, id=first.id)
        second.put_tensors({"b": numpy.ones(2)})
        second.finish()  # the barrier would be here
        first.put_tensors({"a": numpy.zeros(2)})
    second.commit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del second
        gc.collect()
    assert sorted(Checkpoint.open(folder, first.id).entries) == ["a", "b"]


def test_copies_of_ranks_that_differ(memory):
    def rank(rank):
        with CheckpointWriter(memory, 1, rank=rank, world_size=2, run_id="r") as writer:
            writer.put_tensors({"rng": numpy.full(4, rank)})

    in_threads(2, rank)
    checkpoint = Checkpoint.open(memory)
    assert checkpoint.load(["rng"], rank=1)["rng"].tolist() == [1] * 4
    assert checkpoint.load(["rng"], rank=0)["rng"].tolist() == [0] * 4


@pytest.mark.parametrize("strategy", ["flat", "round_robin", "binary"])
def test_strategies_spread_the_keys(memory, strategy):
    def rank(rank):
        arguments = dict(rank=rank, world_size=4, run_id="r", checkpoint_strategy=strategy, checkpoint_prefixes=2)
        save(memory, 1, {f"{rank}": numpy.ones(3)}, **arguments)

    in_threads(4, rank)
    checkpoint = Checkpoint.open(memory)
    folders = [shard.key.split("/")[1] for shard in checkpoint.shards]
    expected = {
        "flat": [checkpoint.id] * 4,
        "round_robin": ["0000", "0001", "0000", "0001"],
        "binary": ["00000000", "80000000", "40000000", "c0000000"],
    }
    assert checkpoint.info.strategy == strategy and folders == expected[strategy]


# ---- shards


def test_streamed_shards_and_bytes(store):
    big = numpy.arange(300_000, dtype="f8")
    with CheckpointWriter(store, 1) as writer:
        with writer.open_shard("stream", {"big": Spec("F64", big.shape), "small": Spec(numpy.dtype("u1"), (3,))}) as shard:
            shard.write(big[:1000])
            view = shard.reserve(big.nbytes - 8000)
            view[: big.nbytes - 8000] = memoryview(big[1000:]).cast("B")
            shard.commit(big.nbytes - 8000)
            shard.write(b"xyz")
            assert shard.tell() == big.nbytes + 3
        writer.put_bytes(b"any bytes", "blob")
        with writer.open_shard("pickle") as shard:
            shard.write(b"123456789")
    assert shard.closed
    checkpoint = Checkpoint.open(store)
    loaded = checkpoint.load()
    assert (loaded["big"] == big).all() and loaded["small"].tobytes() == b"xyz"
    assert checkpoint.read_shard(0, "blob") == b"any bytes" and checkpoint.read_shard(0, "pickle") == b"123456789"
    kinds = {shard.name: (shard.kind, shard.crc32c) for shard in checkpoint.shards}
    assert kinds["pickle"] == ("bytes", 0xE3069283) and kinds["stream"][0] == "safetensors"


def test_a_shard_that_is_given_up_gives_up_the_save(folder):
    writer = CheckpointWriter(folder, 1)
    with pytest.raises(ZeroDivisionError):
        with writer.open_shard("pickle") as shard:
            shard.write(b"half")
            1 / 0
    for end in (writer.commit, writer.finish, writer.commit_async):
        with pytest.raises(s3dlio.InvalidStateError, match="lacks shard 'pickle', which was given up"):
            end()
    writer.abort()
    with CheckpointWriter(folder, 1) as writer:
        with pytest.raises(s3dlio.TruncatedError, match="tensors that were announced"):
            with writer.open_shard("short", {"a": Spec("F32", (2,))}) as shard:
                shard.write(b"1234")
        writer.abort()
    writer = CheckpointWriter(folder, 1)
    writer.open_shard("dropped")
    gc.collect()
    with pytest.raises(s3dlio.InvalidStateError, match="lacks shard 'dropped'"):
        writer.put_tensors({"a": numpy.ones(1)})
    writer.abort()
    assert s3dlio.checkpoint.list(folder) == []


# ---- the end of a save


def test_snapshot_then_commit_in_the_background(store):
    weights = numpy.arange(1 << 18, dtype="f4")
    saved = weights.copy()
    writer = CheckpointWriter(store, 1)
    writer.snapshot({"w": weights})
    assert not any(".safetensors" in key for key in files(store)), "a snapshot does no I/O"
    weights[:] = -1  # the caller's again
    pending = writer.commit_async()
    assert pending.wait(60) and pending.done() and pending.exception() is None
    pending.result()
    assert pending.progress[0] > 0
    assert (Checkpoint.open(store).load()["w"] == saved).all()
    with pytest.raises(s3dlio.InvalidStateError):
        writer.put_tensors({})


def test_a_snapshot_of_buffers_copies_nothing(store):
    memory = s3dlio.Buffer(4096)
    array = numpy.frombuffer(memory, "f4")
    array[:] = numpy.arange(1024)
    writer = CheckpointWriter(store, 1)
    with pytest.raises(s3dlio.InvalidArgumentError, match="not all within its buffer"):
        writer.snapshot_buffers({"w": numpy.ones(3)}, [memory])
    with pytest.raises(s3dlio.InvalidArgumentError, match="1 arrays lie in 2 buffers"):
        writer.snapshot_buffers({"w": array}, [memory, memory])
    writer.snapshot_buffers({"w": array, "half": array[512:]}, [memory, memory])
    array[0] = 7  # before anything is stored: there is no copy that would not show it
    del memory, array
    writer.commit_async().result(60)
    loaded = Checkpoint.open(store).load()
    assert loaded["w"].tolist() == [7, *range(1, 1024)] and loaded["half"].tolist() == list(range(512, 1024))


def test_a_commit_in_the_background_waits_for_the_others_and_can_be_cancelled(folder):
    first = CheckpointWriter(folder, 1, rank=0, world_size=2, run_id="r")
    first.snapshot({"a": numpy.ones(3)})
    pending = first.commit_async()
    assert not pending.wait(0.05) and not pending.done()
    with pytest.raises(s3dlio.TimeoutError, match="it goes on"):
        pending.result(timeout=0)
    pending.cancel()
    with pytest.raises(s3dlio.CancelledError):
        pending.result(30)
    assert s3dlio.checkpoint.list(folder) == []


def test_asyncio(store):
    async def main():
        writers = [CheckpointWriter(store, 1, rank=0, world_size=1)]
        writers[0].snapshot({"a": numpy.arange(5)})
        await writers[0].afinish()
        await writers[0].acommit()
        checkpoint = Checkpoint.open(store)
        into = numpy.zeros(5, int)
        loaded, _ = await asyncio.gather(checkpoint.aload(), checkpoint.aload_into({"a": into}))
        return loaded["a"], into

    loaded, into = asyncio.run(main())
    assert loaded.tolist() == into.tolist() == [0, 1, 2, 3, 4]


def test_an_exception_aborts(store):
    with pytest.raises(ZeroDivisionError):
        with CheckpointWriter(store, 1) as writer:
            writer.put_tensors({"a": numpy.ones(1000)})
            1 / 0
    assert s3dlio.checkpoint.list(store) == [] and not any(".safetensors" in key for key in files(store))
    with pytest.raises(s3dlio.InvalidStateError, match="committed or aborted"):
        writer.commit()
    writer.abort()
    save(store, 1, {"a": numpy.ones(1)})


def test_a_dropped_save_warns_and_leaves_nothing(folder):
    writer = CheckpointWriter(folder, 1)
    writer.put_tensors({"a": numpy.ones(1000)})
    with pytest.warns(RuntimeWarning, match="save of step 1 dropped uncommitted"):
        del writer
        gc.collect()
    s3dlio.shutdown(30_000)  # waits for the clean-up
    assert not any(".safetensors" in key for key in files(folder))
    # Also when its part is finished: nobody else commits for rank 0.
    writer = CheckpointWriter(folder, 2)
    writer.finish()
    with pytest.warns(RuntimeWarning, match="save of step 2 dropped uncommitted"):
        del writer
        gc.collect()


# ---- looking after them


def test_list_prune_delete_and_collect(store):
    assert s3dlio.checkpoint.list(store) == []
    for step in (300, 20, 1, 100, 1000):
        save(store, step, {"a": numpy.full(2, step)})
    assert s3dlio.checkpoint.list(store) == [1, 20, 100, 300, 1000]
    assert Checkpoint.open(store).step == 1000, "the latest is the largest step"
    assert s3dlio.checkpoint.prune(store, keep_last=2, keep_every=100) == 2
    assert s3dlio.checkpoint.list(store) == [100, 300, 1000]
    s3dlio.checkpoint.delete(store, 300)
    assert s3dlio.checkpoint.list(store) == [100, 1000]
    with pytest.raises(s3dlio.NotFoundError):
        s3dlio.checkpoint.delete(store, 300)
    s3dlio.checkpoint.validate(store, deep=True)
    # A torn save: everything but the commit.
    torn = CheckpointWriter(store, 2000)
    torn.put_tensors({"a": numpy.ones(3)})
    torn.finish()
    left = len(files(store))
    assert s3dlio.checkpoint.collect(store, 3600) == 0 and len(files(store)) == left
    assert s3dlio.checkpoint.list(store) == [100, 1000]
    torn.abort()
    assert s3dlio.checkpoint.prune(store, 1) == 1 and s3dlio.checkpoint.list(store) == [1000]


def test_keep_last_prunes_with_the_commit(memory):
    for step in range(5):
        save(memory, step, {"a": numpy.ones(1)}, checkpoint_keep_last=2)
    assert s3dlio.checkpoint.list(memory) == [3, 4]


def test_more_checkpoints_than_one_answer_holds(memory):
    for step in range(1030):
        CheckpointWriter(memory, step).commit()
    assert s3dlio.checkpoint.list(memory) == list(range(1030))


def test_a_flipped_byte_is_detected(folder, tmp_path):
    save(folder, 1, {"a": numpy.arange(1000)})
    checkpoint = Checkpoint.open(folder)
    path = tmp_path / checkpoint.shards[0].key
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    checkpoint.validate()
    for work in (lambda: checkpoint.validate(deep=True), checkpoint.load, lambda: checkpoint.read_shard(0)):
        with pytest.raises(s3dlio.ChecksumMismatchError) as raised:
            work()
        assert path.name in str(raised.value)
    path.write_bytes(data[:-1])
    with pytest.raises((s3dlio.TruncatedError, s3dlio.CorruptError)) as raised:
        checkpoint.validate()
    assert path.name in str(raised.value)
