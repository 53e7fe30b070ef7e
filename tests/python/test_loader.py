"""L1-L3 from Python: datasets, loaders, batches and samples."""

import asyncio
import collections
import gc
import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy
import pytest

import s3dlio
from conftest import fresh_store, in_child

N = 60


def content(index):
    return f"{index:04}".encode() * (1 + index % 7)


@pytest.fixture
def items(store):
    """A store of N objects on every backend, and its dataset."""
    store.put_many({f"{index:04}": content(index) for index in range(N)})
    return s3dlio.Dataset(store.uri, store._options)


@pytest.fixture
def local(tmp_path):
    store = s3dlio.Store(f"file://{tmp_path}/items", file_sync=False)
    store.put_many({f"{index:04}": content(index) for index in range(N)})
    return s3dlio.Dataset(store.uri)


def number(sample):
    return int(sample.uri.rpartition("/")[2])


def drawn(loader):
    """The numbers of the items in their order; the bytes are compared."""
    found = []
    for batch in loader:
        for sample in batch:
            assert bytes(sample.data) == content(number(sample))
            found.append(number(sample))
    return found


# ---- datasets


def test_every_backend_gives_each_item_once(items):
    assert items.length is None
    with s3dlio.Loader(items, 8, shuffle=True, seed=1, loader_shuffle_window=20) as loader:
        first = drawn(loader)
        stats = loader.stats()
    assert sorted(first) == list(range(N)) and first != sorted(first)
    assert (stats.items, stats.batches, stats.skipped) == (N, 8, 0) and stats.bytes == sum(len(content(n)) for n in range(N))
    assert stats.wait == stats.wait_ns / 1e9 > 0
    assert drawn(s3dlio.Loader(items, 5)) == list(range(N)), "not shuffled, the order of the keys"


def test_a_dataset_with_a_length_has_numbers(items):
    with pytest.raises(TypeError, match="not known"):
        len(items)
    indexed = items.indexed()
    assert len(indexed) == indexed.length == N and indexed.indexed() is indexed and items.length is None
    assert number(indexed[3]) == 3 and indexed[3].index == 3 and number(indexed[-1]) == N - 1
    batch = indexed.get_many([5, 0, 5])
    assert [number(sample) for sample in batch] == [5, 0, 5] and [bytes(data) for data in batch.data] == list(map(content, (5, 0, 5)))
    for wrong in (N, -N - 1):
        with pytest.raises(IndexError):
            indexed[wrong]
    with pytest.raises(s3dlio.S3dlioError):
        indexed.get_many([N])
    assert len(indexed.get_many([])) == 0


def test_uris_of_mixed_schemes(tmp_path):
    memory = fresh_store("memory", None)
    memory.put("0000", content(0))
    folder = s3dlio.Store(f"file://{tmp_path}")
    folder.put("0001", content(1))
    dataset = s3dlio.Dataset.of([f"{folder.uri}/0001", f"{memory.uri}/0000"])
    assert len(dataset) == 2 and drawn(s3dlio.Loader(dataset, 2)) == [1, 0]
    with pytest.raises(TypeError, match="one str"):
        s3dlio.Dataset.of(folder.uri)


def test_a_manifest_names_what_is_there(local, tmp_path):
    path = tmp_path / "manifest"
    assert s3dlio.write_manifest(local._source, path, glob="000*") == 10
    dataset = s3dlio.Dataset.manifest(path)
    assert len(dataset) == 10 and drawn(s3dlio.Loader(dataset, 4)) == list(range(10))
    again = pickle.loads(pickle.dumps(dataset))
    assert len(again) == 10 and number(again[3]) == 3


def test_keys_are_chosen(local):
    for arguments, expected in (({"glob": "*3"}, range(3, N, 10)), ({"regex": "00[12]."}, range(10, 30))):
        assert drawn(s3dlio.Loader(s3dlio.Dataset(local._source, **arguments), 4)) == list(expected)


def test_fixed_records_of_a_file(memory):
    memory.put("file", b"head" + b"".join(b"%03d" % n for n in range(10)))
    dataset = s3dlio.Dataset(memory.uri, format="fixed", record_size=3, skip_bytes=4).indexed()
    assert len(dataset) == 10 and bytes(dataset[7].data) == b"007" and dataset[7].name == "7"


def test_arguments_that_are_wrong(local):
    cases = [
        (s3dlio.InvalidArgumentError, lambda: s3dlio.Dataset("memory://x", format="zip")),
        (s3dlio.UnknownOptionError, lambda: s3dlio.Dataset("memory://x", no_such=1)),
        (s3dlio.InvalidUriError, lambda: s3dlio.Dataset("nowhere")),
        (s3dlio.InvalidArgumentError, lambda: s3dlio.Loader(local, 0)),
        (s3dlio.InvalidArgumentError, lambda: s3dlio.Loader(local, 1, rank=2, world_size=2)),
        (s3dlio.InvalidArgumentError, lambda: s3dlio.Loader(local, 1, shuffle="full")),
        (s3dlio.InvalidOptionError, lambda: s3dlio.Loader(local, 1, shuffle="well")),
        (s3dlio.InvalidArgumentError, lambda: s3dlio.Loader(local, 1, glob="*")),
        (s3dlio.S3dlioError, lambda: s3dlio.Loader(local, 1, state="{}")),
    ]
    for error, use in cases:
        with pytest.raises(error):
            use()


# ---- batches and samples


def test_views_keep_the_bytes_alive(local):
    with s3dlio.Loader(local, 16) as loader:
        view = next(loader)[9].data
        sample = next(loader)[2]
    del loader
    gc.collect()
    assert bytes(view) == content(9) and not view.readonly and view.format == "B"
    assert bytes(sample) == content(18) and len(sample) == len(content(18)) and "0018" in repr(sample)
    array = numpy.frombuffer(sample.data, "u1")
    handles = s3dlio.stats().handles
    del sample, view
    assert array.tobytes() == content(18)
    del array
    assert s3dlio.stats().handles < handles


def test_a_batch_is_a_sequence(local):
    batch = next(iter(s3dlio.Loader(local, 10)))
    assert len(batch) == 10 and [number(sample) for sample in batch[2:4]] == [2, 3] and number(batch[-1]) == 9
    assert number(list(reversed(batch))[0]) == 9
    with pytest.raises(IndexError):
        batch[10]
    (field,) = batch[4].fields.items()
    assert field[0] == "" and bytes(field[1]) == content(4)


def test_a_batch_is_gathered_into_one_array(local):
    batch = next(iter(s3dlio.Loader(local, 10)))
    data, offsets = batch.gather()
    assert offsets.dtype == numpy.uint64 and len(offsets) == 11 and data.dtype == numpy.uint8
    for index in range(10):
        assert data[offsets[index] : offsets[index + 1]].tobytes() == content(index)
    room = numpy.zeros(1000, "u1")
    into, again = batch.gather(room)
    assert numpy.shares_memory(into, room) and (into == data).all() and (again == offsets).all()
    with pytest.raises(s3dlio.BufferTooSmallError) as caught:
        batch.gather(bytearray(len(data) - 1))
    assert caught.value.required == len(data)
    with pytest.raises(s3dlio.InvalidArgumentError):
        batch.gather(field=1)


def test_empty_items(memory):
    memory.put_many({"a": b"", "b": b"x", "c": b""})
    batch = next(iter(s3dlio.Loader(memory.uri, 3)))
    assert [bytes(sample.data) for sample in batch] == [b"", b"x", b""] and bytes(batch.gather()[0]) == b"x"
    assert len(next(iter(s3dlio.Loader([f"{memory.uri}/a"]))).gather()[0]) == 0


def test_a_sample_is_pickled_with_its_bytes(local):
    sample = pickle.loads(pickle.dumps(next(iter(s3dlio.Loader(local, 8)))[5]))
    assert isinstance(sample, s3dlio.Sample) and (number(sample), sample.index, sample.name) == (5, 5, "")
    assert bytes(sample.data) == bytes(sample) == content(5) and len(sample) == len(content(5)) and list(sample.fields) == [""]
    assert bytes(pickle.loads(pickle.dumps(sample))) == content(5)


# ---- order, shards and position


def test_the_order_is_that_of_seed_and_epoch(local):
    indexed = local.indexed()

    def order(**arguments):
        return drawn(s3dlio.Loader(indexed, 7, shuffle=True, **arguments))

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2) and sorted(order(seed=1)) == list(range(N))
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_shards_share_an_epoch(local):
    found = collections.Counter()
    for rank in range(3):
        for worker in range(2):
            place = dict(rank=rank, world_size=3, worker=worker, workers=2)
            found.update(drawn(s3dlio.Loader(local, 4, shuffle="window", seed=9, **place)))
    assert found == collections.Counter(range(N))


def test_a_position_resumes_exactly(local):
    indexed = local.indexed()
    given = dict(shuffle=True, seed=3, epoch=1)
    whole = drawn(s3dlio.Loader(indexed, 7, **given))
    for taken in range(0, N // 7 + 2):
        with s3dlio.Loader(indexed, 7, **given) as loader:
            first = [number(sample) for _, batch in zip(range(taken), loader) for sample in batch]
            state = loader.state()
        assert json.loads(state)["version"] == 1
        assert first + drawn(s3dlio.Loader(indexed, 7, state=state, **given)) == whole


def test_another_number_of_shards_goes_on_with_the_rest(local):
    found, states = [], []
    for rank in range(3):
        loader = s3dlio.Loader(local, 4, shuffle="window", seed=3, rank=rank, world_size=3)
        found += [number(sample) for _, batch in zip(range(rank + 1), loader) for sample in batch]
        states.append(loader.state())
    for state in (states, s3dlio.merge_states(states)):
        rest = []
        for rank in range(2):
            rest += drawn(s3dlio.Loader(local, 5, shuffle="window", seed=3, rank=rank, world_size=2, state=state))
        assert sorted(found + rest) == list(range(N))
    with pytest.raises(s3dlio.InvalidArgumentError):
        s3dlio.Loader(local, 4, shuffle="window", seed=3, state=states[:2])


def test_short_batches_are_dropped(local):
    assert [len(batch) for batch in s3dlio.Loader(local, 25, drop_last=True)] == [25, 25]
    assert [len(batch) for batch in s3dlio.Loader(local, 25)] == [25, 25, 10]


def test_a_failed_item_is_raised_skipped_or_substituted(local, tmp_path):
    uris = [f"{local._source}/{index:04}" for index in range(10)]
    uris.insert(3, f"file://{tmp_path}/missing")
    loader, found, failed = s3dlio.Loader(uris, 1), [], 0
    while True:
        try:
            found.append(number(next(loader)[0]))
        except StopIteration:
            break
        except s3dlio.NotFoundError as error:
            failed += 1
            assert "missing" in str(error)
    assert failed == 1 and found == list(range(10)), "the epoch goes on behind a failed item"
    for policy in ("skip", "substitute"):
        loader = s3dlio.Loader(uris, 4, loader_on_error=policy)
        assert drawn(loader) == list(range(10))
        assert getattr(loader.stats(), {"skip": "skipped", "substitute": "substituted"}[policy]) == 1


# ---- asyncio, processes, the end


@pytest.mark.parametrize("backend", ["file", "seaweed"])
def test_batches_are_awaited(backend, tmp_path):
    store = fresh_store(backend, tmp_path)
    store.put_many({f"{index:04}": content(index) for index in range(N)})

    async def draw():
        found = []
        with s3dlio.Loader(store.uri, 7, options=store._options) as loader:
            async for batch in loader:
                for sample in batch:
                    assert bytes(sample) == content(number(sample))
                    found.append(number(sample))
        return found

    assert asyncio.run(draw()) == list(range(N))
    store.delete_prefix("")
    store.delete_container()


def test_a_task_that_waits_for_a_batch_can_be_cancelled(local):
    async def draw():
        loader = s3dlio.Loader(local, 7)
        task = asyncio.ensure_future(loader.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, s3dlio.CancelledError)):
            await task
            raise asyncio.CancelledError  # it was faster
        loader.close()

    asyncio.run(draw())


def test_a_dataset_is_pickled_by_its_arguments(local):
    plain = pickle.loads(pickle.dumps(s3dlio.Dataset(local._source, glob="*1")))
    assert plain.length is None and len(drawn(s3dlio.Loader(plain, 3))) == 6
    indexed = pickle.dumps(local.indexed())
    assert number(pickle.loads(indexed)[7]) == 7
    again = pickle.loads(indexed)
    s3dlio.Store(local._source).delete("0007")
    with pytest.raises(s3dlio.ChangedError, match="59 items now and had 60"):
        again[7]


def shard(dataset, worker):
    return drawn(s3dlio.Loader(dataset, 4, worker=worker, workers=2))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_take_the_dataset_along(local, method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(shard, (local, worker)) for worker in range(2)]
        assert sorted(results[0].get(120) + results[1].get(120)) == list(range(N))


def test_a_child_inherits_datasets_and_no_loaders(local):
    indexed, loader = local.indexed(), s3dlio.Loader(local, 4)
    next(loader)

    def child():
        with pytest.raises(s3dlio.ForkedError):
            next(loader)
        loader.close()
        assert number(indexed[3]) == 3
        return drawn(s3dlio.Loader(indexed, 4)), drawn(s3dlio.Loader(local, 4))

    assert in_child(child) == (list(range(N)), list(range(N)))
    assert drawn(loader) == list(range(4, N))


def test_a_loader_ends_at_any_time(items):
    for taken in range(4):
        loader = s3dlio.Loader(items, 3)
        for _ in range(taken):
            next(loader)
        if taken % 2:
            loader.close()
            loader.close()
            for use in (loader.state, loader.stats, loader.__next__):
                with pytest.raises(s3dlio.BadHandleError):
                    use()
        del loader
    loader = s3dlio.Loader(items, 3)
    drawn(loader)
    with pytest.raises(StopIteration):
        next(loader)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(loader)


def test_nothing_heavy_is_imported():
    code = "import s3dlio, sys; s3dlio.Dataset, s3dlio.Loader; print([m for m in ('numpy', 'torch', 'jax', 'asyncio') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


# ---- synthetic data


def test_generated_bytes_depend_on_their_place_alone():
    whole = bytearray(3_000_001)
    assert s3dlio.generate(whole, object=7, seed=5, threads=2) == len(whole)
    for offset, length in ((0, 10), (999_999, 1_000_001), (2_999_990, 11), (1, 0)):
        part = numpy.zeros(length, "u1")
        s3dlio.generate(part, 7, offset, seed=5, threads=1)
        assert part.tobytes() == whole[offset : offset + length]
    for other in (dict(object=8, seed=5), dict(object=7, seed=6)):
        again = bytearray(4096)
        s3dlio.generate(again, **other)
        assert again != whole[:4096]
    with pytest.raises(s3dlio.InvalidArgumentError):
        s3dlio.generate(bytearray(10), dedupe=0.5)
    with pytest.raises(BufferError):
        s3dlio.generate(b"read-only")


def test_generated_objects_are_of_their_formats():
    import io
    import tarfile

    payload = bytearray(12 * 50)
    s3dlio.generate(payload, 3, seed=1)
    assert bytes(s3dlio.generate_object("raw", 3, count=50, record_size=12, seed=1)) == payload
    with numpy.load(io.BytesIO(s3dlio.generate_object("npz", 3, shape=(25, 6), dtype="float32", name="y", seed=1))) as arrays:
        assert list(arrays) == ["y"] and arrays["y"].shape == (25, 6) and arrays["y"].tobytes() == payload
    with tarfile.open(fileobj=io.BytesIO(s3dlio.generate_object("tar", 3, count=50, record_size=12, seed=1, name="jpg"))) as tar:
        members = [member for member in tar if member.isfile()]
        assert members[1].name == "000000001.jpg" and b"".join(tar.extractfile(m).read() for m in members) == payload
    assert bytes(s3dlio.generate_object("hdf5", shape=(3,)))[:8] == b"\x89HDF\r\n\x1a\n"
    for wrong in (dict(format="zip"), dict(format="npz", dtype="float8"), dict(format="raw"), dict(format="npz", shape=(-1,))):
        with pytest.raises(s3dlio.InvalidArgumentError):
            s3dlio.generate_object(**wrong)
