"""The predecessor's datasets and loaders, and the calls of dlio_benchmark and MLPerf Storage end to end (issue 5, 6)."""

import asyncio
import io
import os
import queue
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest

import s3dlio
from conftest import ACCESS_KEY, REGION, SECRET_KEY, in_child, server
from s3dlio.compat._stores import forget
from test_compat_calls import root  # noqa: F401
from test_compat_formats import table


@pytest.fixture(autouse=True)
def stores():
    """Stores and footers that calls with full URIs keep are no leak."""
    yield
    forget()
    s3dlio.parquet_cache_clear()


def fill(root, count=100):
    uris = [f"{root}/train/{n:03}" for n in range(count)]
    s3dlio.put_many([(uri, uri.encode() * (n + 1)) for n, uri in enumerate(uris)])
    return uris


def contents(uri):
    return uri.encode() * (int(uri[-3:]) + 1)


def test_dataset(root):  # noqa: F811
    uris = fill(root, 5)
    for dataset in (s3dlio.PyDataset(f"{root}/train/"), s3dlio.create_dataset(f"{root}/train/"), s3dlio.PyDataset.from_uris(uris, None)):
        assert len(dataset) == 5 and dataset.uris() == uris
        assert dataset.get_item(3) == contents(uris[3])

    assert dataset.keys() == uris, "of URIs that were given"
    listed = [f"{n:03}" for n in range(5)] if not root.startswith("s3:") else [f"train/{n:03}" for n in range(5)]
    assert s3dlio.PyDataset(f"{root}/train").keys() == s3dlio.PyDataset(f"{root}/train/").keys() == listed
    assert s3dlio.PyDataset(uris[1]).keys() == (["001"] if not root.startswith("s3:") else ["train/001"])

    async def awaited():
        return bytes(await dataset.get_item(2))

    assert asyncio.run(awaited()) == contents(uris[2])
    with pytest.raises(RuntimeError):
        s3dlio.PyDataset.from_uris([])
    with pytest.raises(TypeError):
        s3dlio.PyDataset.from_uris("s3://b/k")
    assert len(s3dlio.PyDataset(f"{root}/none/")) == 0


@pytest.mark.parametrize("opts", [{"prefetch": 7, "skip_head": True}, {}, None])
def test_items_arrive_once_each_with_their_uris(root, opts):  # noqa: F811
    uris = fill(root)
    loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), opts)
    items, found = loader.items(), []
    while batch := items.collect_batch(16):
        assert isinstance(batch, list) and 1 <= len(batch) <= 16
        for item in batch:
            assert len(item) == item.byte_count == len(contents(item.uri)) and bytes(item) == contents(item.uri) == item.data
            found.append(item.uri)
    assert sorted(found) == uris and items.collect_batch(16) == []
    assert sorted(item.uri for item in loader.items()) == uris, "a second epoch"
    assert sorted(bytes(view) for view in loader) == sorted(map(contents, uris))
    first = next(iter(loader.items()))
    assert first.uri in uris and "PyObjectItem" in repr(first)
    mixed = loader.items()
    assert len([next(mixed) for _ in range(3)]) == 3 and len(mixed.collect_batch(1000)) == 97


def test_uris_are_those_that_were_given(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    odd = [f"file://{tmp_path}//a", f"direct://{tmp_path}/./b"]
    loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(odd), {"prefetch": 2})
    assert {item.uri: bytes(item) for item in loader.items()} == {odd[0]: b"a", odd[1]: b"b"}


def test_asyncio_gives_lists(root):  # noqa: F811
    uris = fill(root, 10)

    async def drawn(loader):
        return [batch async for batch in loader]

    loader = s3dlio.create_async_loader(f"{root}/train/", {"prefetch": 4, "batch_size": 4})
    batches = asyncio.run(drawn(loader))
    assert [len(batch) for batch in batches] == [4, 4, 2] and all(isinstance(batch, list) for batch in batches)
    assert sorted(bytes(view) for batch in batches for view in batch) == sorted(map(contents, uris))
    assert len(asyncio.run(drawn(s3dlio.PyS3AsyncDataLoader(f"{root}/train/", {"batch_size": 10})))) == 1
    values = s3dlio.PyAsyncDataLoader(s3dlio.PyVecDataset(range(5)), {"batch_size": 2})
    assert asyncio.run(drawn(values)) == [[0, 1], [2, 3], [4]]
    assert asyncio.run(drawn(s3dlio.create_async_loader(f"{root}/none/", {}))) == []
    # Without batch_size as the predecessor has it: single items from a prefix, else 32.
    assert [len(batch) for batch in asyncio.run(drawn(s3dlio.create_async_loader(f"{root}/train/", {"prefetch": 4})))] == [1] * 10
    assert [len(batch) for batch in asyncio.run(drawn(s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris))))] == [10]
    assert asyncio.run(drawn(s3dlio.PyAsyncDataLoader(s3dlio.PyVecDataset(range(40))))) == [[*range(32)], [*range(32, 40)]]


def test_an_error_does_not_end_the_epoch(root):  # noqa: F811
    """The predecessor's pool was never refilled: as many errors as its size ended the epoch early."""
    uris = fill(root, 40)
    missing = [f"{root}/train/none-{n}" for n in range(10)]
    given = [uri for pair in zip(uris, missing + uris[:30]) for uri in pair][:20] + uris[10:]
    items = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(given), {"prefetch": 4}).items()
    found, failed = [], 0
    while True:
        try:
            batch = items.collect_batch(1)
        except RuntimeError as error:
            assert isinstance(error, FileNotFoundError) and "none-" in str(error)
            failed += 1
            continue
        if not batch:
            break
        found += [item.uri for item in batch]
    assert failed == 10 and sorted(found) == sorted(uri for uri in given if "none-" not in uri)


def test_a_slow_object_holds_up_no_other(tmp_path, monkeypatch):
    """Objects come in the order of their arrival: the first answer is withheld until the library asks again."""
    script = tmp_path / "script"
    script.write_text("service=s3 op=get key=box/train/000 nth=1 fault=stall_before_head\n")
    faultd = subprocess.Popen(
        [server("S3DLIO_TEST_FAULTD"), "--script", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        endpoints = dict(word.split("=", 1) for word in faultd.stdout.readline().split())
        settings = {
            "AWS_ENDPOINT_URL": endpoints["FAULTD_S3"], "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION, "S3DLIO_PROGRESS_TIMEOUT_MS": "1500",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        s3dlio.create_bucket("box")
        uris = fill("s3://box", 12)
        items = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), {"prefetch": 4}).items()
        found = []
        while batch := items.collect_batch(1):
            found += [item.uri for item in batch]
        assert sorted(found) == uris and found[-1] == uris[0]
    finally:
        said, _ = faultd.communicate()
    assert "FAULTS=1" in said.split()


def test_options(root):  # noqa: F811
    uris = fill(root, 30)
    dataset = s3dlio.PyDataset.from_uris(uris)
    shares = [
        [item.uri for item in s3dlio.PyBytesAsyncDataLoader(dataset, {"shard_rank": rank, "shard_world_size": 3}).items()]
        for rank in range(3)
    ]
    assert [len(share) for share in shares] == [10] * 3 and sorted(sum(shares, [])) == uris
    options = s3dlio.PyLoaderOptions().with_batch_size(7).prefetch(3).shuffle(True, 5).drop_last(True).pin_memory(True).num_workers(2)
    assert options.batch_size == 7 and options.shuffle_value is True and options.seed == 5 and options.prefetch_value == 3
    loader = s3dlio.PyBytesAsyncDataLoader(dataset, options)
    assert sorted(item.uri for item in loader.items()) == uris and len(list(loader)) == 30, "drop_last is of batches"

    async def sizes():
        return [len(batch) async for batch in loader]

    assert asyncio.run(sizes()) == [7] * 4
    with pytest.warns(UserWarning, match="nonsense"):
        s3dlio.PyBytesAsyncDataLoader(dataset, {"nonsense": 1})
    with pytest.raises(TypeError):
        s3dlio.PyBytesAsyncDataLoader(uris, {})
    with pytest.raises(AttributeError):
        options.nonsense()


def test_a_loader_that_is_left_leaves_nothing(root):  # noqa: F811
    uris = fill(root)
    items = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), {"prefetch": 64}).items()
    next(items)
    del items  # the leaks are counted at the end of the test
    loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), {"prefetch": 64})
    kept = [item.data for item in loader.items().collect_batch(3)]
    assert all(len(view) > 0 for view in kept), "data outlives its loader"


def test_a_forked_worker_draws(root):  # noqa: F811
    uris = fill(root, 20)
    loader = s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), {"prefetch": 4})
    assert len(list(loader)) == 20
    assert sorted(in_child(lambda: [item.uri for item in loader.items()])) == uris


def test_put_generates(root):  # noqa: F811
    s3dlio.put(f"{root}/gen/", 3, size=1000)
    s3dlio.put(f"{root}/gen", 2, "part_{}_of_{}.bin", 8, 5000, object_type="random", dedup_factor=1, compress_factor=1)
    assert s3dlio.list_keys(f"{root}/gen/") == [*(f"object-{n}" for n in range(3)), "part_0_of_2.bin", "part_1_of_2.bin"]
    assert s3dlio.get(f"{root}/gen/object-1") == bytes(1000)
    parts = [bytes(s3dlio.get(f"{root}/gen/part_{n}_of_2.bin")) for n in range(2)]
    assert len(parts[0]) == 5000 and parts[0] != parts[1]
    asyncio.run(s3dlio.put_async(f"{root}/npz/", 2, template="{}.npz", size=100, object_type="NPZ"))
    assert s3dlio.read_npz(f"{root}/npz/1.npz").shape == (100,)
    with pytest.raises(RuntimeError):
        s3dlio.put(f"{root}/gen/", 1, object_type="quux")
    s3dlio.put(f"{root}/gen/own", b"data")
    assert s3dlio.get(f"{root}/gen/own") == b"data"


def test_generated_data():
    data = s3dlio.generate_data(1 << 20)
    assert len(data) == 1 << 20 and len(set(bytes(data[:4096]))) == 256 and data != s3dlio.generate_data(1 << 20)
    buffer = bytearray(300_000)
    assert s3dlio.generate_into_buffer(buffer, 1, 1, threads=2) == 300_000 and len(set(buffer)) == 256
    pieces = []
    for _ in range(2):
        generator, chunk, whole = s3dlio.Generator(size=2_500_000, seed=7), bytearray(1_000_000), b""
        while not generator.is_complete():
            whole += chunk[: generator.fill_chunk(chunk)]
        assert generator.fill_chunk(chunk) == 0 and generator.chunk_size > 0
        generator.reset()
        assert generator.fill_chunk(chunk) == 1_000_000 and bytes(chunk) == whole[:1_000_000]
        pieces.append(whole)
    assert pieces[0] == pieces[1] and len(pieces[0]) == 2_500_000
    assert len({pieces[0][at : at + 64] for at in range(0, 2_500_000, 64)}) == 39063, "no piece twice"
    assert len(s3dlio.generate_data_with_threads(1000, 2, 2, 1)) == 1000


# ---- the patterns of mlcommons/storage and its dlio_benchmark


def test_dlio_storage_and_training(root):  # noqa: F811
    """Data generation, the listing of a run, and an epoch of the iterable readers: whole objects in a sliding window."""
    threshold, part = 16 << 20, 8 << 20
    small, large = s3dlio.generate_npz_bytes(shape=[50, 50, 1], dtype="<f4", num_samples=1), os.urandom(threshold + 5)
    folder = f"{root}/unet3d/train/"
    s3dlio.mkdir(folder)
    for number in range(12):
        s3dlio.put_bytes(f"{folder}img_{number:02}.npz", memoryview(small))
    writer = s3dlio.MultipartUploadWriter.from_uri(f"{folder}large.npz", part_size=part, max_in_flight=8, abort_on_drop=True)
    try:
        writer.write(large)
        assert writer.close()["total_bytes"] == len(large)
    except RuntimeError:
        writer.abort()
        raise
    listed = s3dlio.list(folder, recursive=True)
    assert len(listed) == 13 and all(uri.startswith(folder) for uri in listed)
    assert s3dlio.exists(listed[0]) and int(s3dlio.stat(listed[-1])["size"]) == len(large)

    keys = [uri[len(folder):] for uri in listed]
    uris = [f"{folder}{key}" for key in keys]
    to_key = dict(zip(uris, keys))
    cache = {to_key[uri]: len(data) for uri, data in s3dlio.get_many(uris, max_in_flight=min(64, len(uris)))}
    assert cache["large.npz"] == len(large) and len(cache) == 13
    seen, items = {}, s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris), {"prefetch": 4, "skip_head": True}).items()
    while batch := items.collect_batch(4):
        for item in batch:
            seen[to_key[item.uri]] = len(item)
    assert seen == cache
    with numpy.load(io.BytesIO(s3dlio.get(uris[0]).to_bytes())) as arrays:
        assert arrays["x"].shape == (50, 50, 1)
    for uri in uris:
        s3dlio.delete(uri)
    assert s3dlio.list(folder, recursive=True) == []


def test_dlio_parquet_reader(root):  # noqa: F811
    """The index-based reader: footers, a plan of row groups, a pool of threads, in the order of the samples."""
    s3dlio.configure_tokio_threads()
    uris = [f"{root}/flux/train_{n}.parquet" for n in range(2)]
    for uri in uris:
        s3dlio.generate_and_write_parquet_schema_streaming(uri, [("t5", 64), ("mean", 8), ("timestamp", 1)], 24, 4)
    index = s3dlio.PyParquetIndex(col_indices=None, footer_cap=4 * 1024 * 1024)
    index.ensure_indexed(uris, epoch=1, batch_size=16)
    plan = [(uri, group) for uri in uris for group in range(index.file_rg_count(uri) or 0)]
    with ThreadPoolExecutor(4) as pool:
        futures = {one: pool.submit(s3dlio.parquet_get_rg, *one, None, 4 * 1024 * 1024, "arrow") for one in plan}
        for uri in uris:
            for sample in range(0, 96, 5):
                group, offset, length = index.rg_lookup(uri, sample)
                assert group == sample // 24 and len(s3dlio.get_range(uri, offset, length)) == length
                batch = table(bytes(futures[uri, group].result()))
                assert batch.num_rows == 24 and batch.schema.names == ["t5", "mean", "timestamp"]


def test_dlio_checkpoint(root):  # noqa: F811
    """The streaming writer (chunks of shared memory through a queue to a thread of its own) and the reader of ranges."""
    uri, chunk, count = f"{root}/checkpoints/step-1.pt", 1 << 20, 12
    data, waiting = os.urandom(chunk), queue.Queue(4)

    def write():
        if root.startswith("s3:"):
            writer = s3dlio.MultipartUploadWriter.from_uri(uri, part_size=5 << 20, max_in_flight=16, abort_on_drop=True)
            add, end = writer.write, writer.close
        else:
            create = s3dlio.create_filesystem_writer if root.startswith("file:") else s3dlio.create_direct_filesystem_writer
            writer = create(uri, s3dlio.PyWriterOptions().with_buffer_size(chunk))
            add, end = writer.write_chunk, writer.finalize
        while (view := waiting.get()) is not None:
            add(view)
        end()

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(count):
        waiting.put(memoryview(data))
    waiting.put(None)
    thread.join()
    size = s3dlio.stat(uri)["size"]
    assert size == chunk * count

    def read(at):
        return len(s3dlio.get_range(uri, at, min(chunk, size - at)))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, range(0, size, chunk))) == size
    assert s3dlio.get_range(uri, chunk * 3, chunk) == data
