"""Row groups of Parquet, NPZ and TFRecord as the predecessor's users call them (issue 5, 6)."""

import io
import struct

import numpy
import pyarrow
import pyarrow.parquet
import pytest

import s3dlio
from s3dlio.compat._stores import forget
from test_compat_calls import root  # noqa: F401


@pytest.fixture(autouse=True)
def stores():
    """Stores and footers that calls with full URIs keep are no leak."""
    yield
    forget()
    s3dlio.parquet_cache_clear()


def table(data):
    """As the readers of dlio_benchmark decode it."""
    return pyarrow.ipc.open_stream(pyarrow.py_buffer(data)).read_next_batch()


def write(uri, compression="snappy", rows=1000, per_group=300):
    """A file of pyarrow's own, with nulls, texts and lists; the last row group is shorter."""
    columns = {
        "id": pyarrow.array(range(rows), pyarrow.int64()), "text": [f"t{n}" if n % 7 else None for n in range(rows)],
        "vector": pyarrow.array([[n, n + 1] for n in range(rows)], pyarrow.list_(pyarrow.float32(), 2)),
        "value": pyarrow.array([n * 1.5 for n in range(rows)], pyarrow.float64()),
    }
    file = io.BytesIO()
    whole = pyarrow.table(columns)
    pyarrow.parquet.write_table(whole, file, row_group_size=per_group, compression=compression)
    s3dlio.put_bytes(uri, file.getvalue())
    return whole


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_row_groups(root, compression):  # noqa: F811
    uri = f"{root}/a.parquet"
    whole = write(uri, compression)
    for group in range(4):
        batch = table(s3dlio.parquet_get_rg(uri, group))
        assert batch.to_pylist() == whole.slice(group * 300, 300).to_pylist()
        batch = table(s3dlio.parquet_get_rg(uri, group, [0, 3], 4 * 1024 * 1024, "arrow"))
        assert batch.to_pylist() == whole.select(["id", "value"]).slice(group * 300, 300).to_pylist()
    assert s3dlio.parquet_rg_row_offsets(uri) == [0, 300, 600, 900, 1000]
    raw = s3dlio.parquet_get_rg(uri, 1, None, 4 << 20, "raw")
    index = s3dlio.PyParquetIndex()
    index.ensure_indexed([uri])
    assert raw == s3dlio.get_range(uri, *index.rg_range(uri, 1)) and memoryview(raw).nbytes == len(raw)
    for wrong in ((4, None, 4 << 20, "arrow"), (-1, None, 4 << 20, "arrow"), (0, [4], 4 << 20, "arrow"), (0, None, 4 << 20, "quux")):
        with pytest.raises(RuntimeError):
            s3dlio.parquet_get_rg(uri, *wrong)


def test_a_footer_larger_than_what_is_fetched_first(root):  # noqa: F811
    uri = f"{root}/wide.parquet"
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({f"column{n:05}": [n] for n in range(3000)}), file)
    s3dlio.put_bytes(uri, file.getvalue())
    assert len(file.getvalue()) > 100_000
    assert table(s3dlio.parquet_get_rg(uri, 0, [2999], 1024)).to_pylist() == [{"column02999": 2999}]


def test_index(root):  # noqa: F811
    uris = [f"{root}/part-{n}.parquet" for n in range(3)]
    for uri in uris:
        write(uri)
    index = s3dlio.PyParquetIndex(col_indices=None, footer_cap=4 << 20)
    assert index.file_rg_count(uris[0]) is None and not index.is_indexed(uris[0])
    with pytest.raises(RuntimeError):
        index.rg_lookup(uris[0], 0)
    index.ensure_indexed(uris, epoch=1, batch_size=2)
    index.ensure_indexed(uris, 2)
    assert (len(index), index.file_count(), index.file_rg_count(uris[1])) == (12, 3, 4)
    for row, group in ((0, 0), (299, 0), (300, 1), (899, 2), (900, 3), (999, 3), (5000, 3)):
        assert index.rg_lookup(uris[0], row) == (group, *index.rg_range(uris[0], group)) and index.rg_for_sample(uris[0], row) == group
    ranges = [index.rg_range(uris[0], group) for group in range(4)]
    assert ranges[0][0] == 4 and all(a + n == b for (a, n), (b, _) in zip(ranges, ranges[1:])), "they lie one behind the other"
    some = s3dlio.PyParquetIndex([3])
    some.ensure_indexed(uris[:1])
    assert sum(some.rg_range(uris[0], 0)) == sum(ranges[0]) and some.rg_range(uris[0], 0)[0] > ranges[0][0]
    assert [index.check_and_mark(uris[0], 1, epoch=epoch) for epoch in (1, 1, 2)] == [False, True, False]
    index.mark_fetched(uris[1], 0, 1)
    assert index.was_fetched(uris[1], 0, 1) and not index.was_fetched(uris[1], 0, 2)
    with pytest.raises(RuntimeError):
        index.rg_range(uris[0], 4)
    index.invalidate_uri(uris[0])
    assert index.file_count() == 2 and not index.was_fetched(uris[0], 1, 1)
    index.clear()
    assert len(index) == 0


def test_files_that_are_not_parquet(root):  # noqa: F811
    write(f"{root}/good.parquet")
    data = bytes(s3dlio.get(f"{root}/good.parquet"))
    broken = {
        "empty": b"", "short": b"PAR1", "other": b"x" * 100, "cut": data[:-100], "long": data[:-8] + struct.pack("<I", 1 << 30) + b"PAR1",
        "noise": data[:-60] + bytes(52) + data[-8:],
    }
    for name, contents in broken.items():
        s3dlio.put_bytes(f"{root}/{name}", contents)
        with pytest.raises(RuntimeError) as caught:
            s3dlio.parquet_get_rg(f"{root}/{name}", 0)
        assert name in str(caught.value), name
    with pytest.raises(RuntimeError):
        s3dlio.parquet_get_rg(f"{root}/none", 0)


def test_a_replaced_file_is_an_error_once(root):  # noqa: F811
    uri = f"{root}/k.parquet"
    write(uri)
    s3dlio.parquet_get_rg(uri, 3)
    whole = write(uri, "none", rows=3000)
    with pytest.raises(RuntimeError):  # the footer of before
        for group in range(4):
            assert table(s3dlio.parquet_get_rg(uri, group)).num_rows
    assert table(s3dlio.parquet_get_rg(uri, 9)).to_pylist() == whole.slice(2700, 300).to_pylist()
    write(uri)
    s3dlio.parquet_cache_invalidate(uri)
    assert s3dlio.parquet_rg_row_offsets(uri)[-1] == 1000 and s3dlio.parquet_cache_len() == 1


def test_streams_of_row_groups(root):  # noqa: F811
    wholes = {f"{root}/set/{n}.parquet": write(f"{root}/set/{n}.parquet") for n in range(3)}
    s3dlio.put_bytes(f"{root}/set/readme.txt", b"not a table")
    loader = s3dlio.create_async_loader(f"{root}/set/", {"format": "parquet", "decode": "arrow", "prefetch": 2, "columns": [0]})
    found = {}
    for item in loader:
        assert item["uri"] == item.file_uri and item["rg_idx"] == item.rg_idx and len(item) == item.byte_count == len(bytes(item))
        found[item.file_uri, item.rg_idx] = table(item.data).column("id").to_pylist()
    assert len(found) == 12 == len(loader)
    for (uri, group), ids in found.items():
        assert ids == wholes[uri].column("id").slice(group * 300, 300).to_pylist()
    raw = s3dlio.create_async_loader(f"{root}/set/", {"format": "parquet"})
    assert next(iter(raw)).byte_count > 0 and len(list(raw)) == 12
    assert list(s3dlio.create_async_loader(f"{root}/none/", {"format": "parquet"})) == []


def test_generated_files(root):  # noqa: F811
    uri = f"{root}/flux.parquet"
    columns = [("t5", 100), ("mean", 3), ("timestamp", 1)]
    assert s3dlio.generate_and_write_parquet_schema_streaming(uri, columns, 48, 6) is None
    file = pyarrow.parquet.ParquetFile(io.BytesIO(bytes(s3dlio.get(uri))))
    assert (file.metadata.num_row_groups, file.metadata.row_group(0).num_rows) == (6, 48)
    assert file.schema_arrow.names == ["t5", "mean", "timestamp"]
    assert file.schema_arrow.field("t5").type.list_size == 100 and file.schema_arrow.field("timestamp").type == pyarrow.float32()
    values = file.read().column("t5").combine_chunks().flatten().to_numpy()
    assert len(values) == 100 * 48 * 6 and 0 <= values.min() < 0.01 and 0.99 < values.max() <= 1 and len(set(values)) > 20_000
    s3dlio.generate_and_write_parquet(f"{root}/b.parquet", 4, 16, 2)
    for data in (s3dlio.get(f"{root}/b.parquet"), s3dlio.generate_parquet_bytes(4, 16, 2)):
        found = pyarrow.parquet.read_table(io.BytesIO(bytes(data)))
        assert (found.column_names, found.num_rows) == ([f"col{n}" for n in range(4)], 32)
    with pytest.raises(TypeError):
        s3dlio.generate_parquet_bytes_schema([("a", "float32")], 1, 1)
    with pytest.raises(RuntimeError):
        s3dlio.generate_parquet_bytes_schema([("a", 0)], 1, 1)


@pytest.mark.parametrize("dtype", ["<f4", "float32", "<f8", "<f2", "int8", "uint16", "bool", "<i8"])
def test_npz(root, dtype):  # noqa: F811
    data = s3dlio.generate_npz_bytes(shape=[60, 3, 1], dtype=dtype, num_samples=4)
    s3dlio.put_bytes(f"{root}/x.npz", data)
    with numpy.load(io.BytesIO(bytes(data))) as arrays:
        assert sorted(arrays.files) == ["x", "y"] and arrays["y"].tolist() == [0] * 4
        assert (arrays["x"].shape, arrays["x"].dtype) == ((60, 3, 1), numpy.dtype(dtype))
        assert len(numpy.unique(arrays["x"])) >= (2 if dtype == "bool" else 50)
        assert (s3dlio.read_npz(f"{root}/x.npz") == arrays["x"]).all() and s3dlio.read_npz(f"{root}/x.npz", "y").shape == (4,)
    with pytest.raises(RuntimeError):
        s3dlio.read_npz(f"{root}/x.npz", "z")
    assert s3dlio.generate_npz_bytes((2,)) != s3dlio.generate_npz_bytes((2,))


def record(data):
    def masked(part):
        crc = s3dlio.crc32c(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    head = struct.pack("<Q", len(data))
    return head + masked(head) + data + masked(data)


def test_tfrecord_indexes(tmp_path):
    records = [record(b"x" * n) for n in (0, 1, 1000, 17)]
    expected = [(sum(map(len, records[:n])), len(records[n])) for n in range(4)]
    path = tmp_path / "train.tfrecord"
    path.write_bytes(b"".join(records))
    assert s3dlio.get_tfrecord_index_entries(path.read_bytes()) == expected
    assert s3dlio.create_tfrecord_index(str(path)) == 4 and s3dlio.read_tfrecord_index(f"{path}.idx") == expected
    assert s3dlio.index_tfrecord_bytes(path.read_bytes()) == (tmp_path / "train.tfrecord.idx").read_text()
    broken = [b"".join(records)[:-1], b"".join(records)[:5], b"".join(records[:2]) + records[2][:8] + bytes(4) + records[2][12:]]
    for data in broken:
        with pytest.raises(RuntimeError):
            s3dlio.get_tfrecord_index_entries(data)
    (tmp_path / "bad.idx").write_text("1 2\n3\n")
    with pytest.raises(RuntimeError):
        s3dlio.read_tfrecord_index(str(tmp_path / "bad.idx"))
    path.write_bytes(b"")
    assert s3dlio.create_tfrecord_index(str(path), str(tmp_path / "e.idx")) == 0


def test_checkpoints_of_the_predecessor_say_what_takes_their_place():
    for call in (lambda: s3dlio.PyCheckpointStore("s3://b/c"), lambda: s3dlio.load_checkpoint("s3://b/c"),
                 lambda: s3dlio.save_checkpoint("s3://b/c", 1, 1, "pytorch", b"x")):
        with pytest.raises(RuntimeError, match="CheckpointWriter"):
            call()
