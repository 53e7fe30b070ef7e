"""The operations of a store, on every backend."""

import array
import mmap
import time

import pytest

import s3dlio

DATA = bytes(range(256)) * 40 + b"tail"


def test_round_trip(store):
    stats = store.put("dir/key", DATA)
    assert (stats.bytes, stats.stored_bytes, stats.finished) == (len(DATA), len(DATA), True)
    assert stats.crc32c == stats.stored_crc32c == s3dlio.crc32c(DATA)
    assert store.get("dir/key") == DATA
    info = store.stat("dir/key")
    assert (info.kind, info.key, info.size) == ("object", "dir/key", len(DATA))
    assert info.uri == f"{store.uri}/dir/key"
    assert abs(info.last_modified.timestamp() - time.time()) < 3600
    assert store.exists("dir/key") and not store.exists("dir/other")
    store.delete("dir/key")
    store.delete("dir/key")
    assert not store.exists("dir/key")


def test_empty_object(store):
    store.put("empty", b"")
    assert store.get("empty") == b"" and store.stat("empty").size == 0
    assert store.get_into("empty", bytearray(4)) == 0
    with store.reader("empty") as reader:
        assert reader.size == 0 and reader.read() == b""


def test_put_takes_every_buffer(store):
    numbers = array.array("d", [1.5, 2.5])
    mapped = mmap.mmap(-1, 4096)
    mapped[:5] = b"mmap!"
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(DATA)[3:99], numbers, mapped):
        store.put("k", data)
        assert store.get("k") == bytes(data)
    with pytest.raises(TypeError):
        store.put("k", "text")
    with pytest.raises(BufferError):
        store.put("k", memoryview(DATA)[::2])


def test_ranges(store):
    store.put("k", DATA)
    size = len(DATA)
    assert store.get_range("k", 3, 10) == DATA[3:13]
    assert store.get_range("k", 3) == DATA[3:]
    assert store.get_range("k", size - 2, 100) == DATA[-2:]
    assert store.get_range("k", size, 5) == b"" == store.get_range("k", size)
    with pytest.raises(s3dlio.RangeError):
        store.get_range("k", size + 1, 5)
    into = bytearray(7)
    assert store.get_range_into("k", 5, into) == 7 and into == DATA[5:12]
    assert store.get_range_into("k", size - 3, into) == 3 and into[:3] == DATA[-3:]
    assert [bytes(b) for b in store.get_ranges("k", [(0, 4), (size - 1, 9), (8, 2)])] == [
        DATA[:4], DATA[-1:], DATA[8:10],
    ]
    parts = bytearray(4), bytearray(6)
    assert store.get_ranges_into("k", [(100, parts[0]), (0, parts[1])]) == [4, 6]
    assert parts == (DATA[100:104], DATA[:6])
    assert store.get_ranges("k", []) == []


def test_get_into_says_how_much_it_needs(store):
    store.put("k", DATA)
    exact, large = bytearray(len(DATA)), bytearray(len(DATA) + 9)
    assert store.get_into("k", exact) == len(DATA) and exact == DATA
    assert store.get_into("k", large) == len(DATA) and large[: len(DATA)] == DATA
    with pytest.raises(s3dlio.BufferTooSmallError) as caught:
        store.get_into("k", bytearray(len(DATA) - 1))
    assert caught.value.required == len(DATA)


def test_get_many_keeps_order_and_every_error(store):
    keys = [f"many/{n:03}" for n in range(40)]
    for key in keys:
        store.put(key, key.encode())
    assert [bytes(data) for data in store.get_many(keys)] == [key.encode() for key in keys]
    assert store.get_many([]) == []
    mixed = store.get_many([keys[1], "missing", keys[0]], return_exceptions=True)
    assert mixed[0] == b"many/001" and mixed[2] == b"many/000"
    assert isinstance(mixed[1], s3dlio.NotFoundError) and mixed[1].uri == f"{store.uri}/missing"
    with pytest.raises(s3dlio.NotFoundError):
        store.get_many([keys[0], "missing"])


def test_put_many_keeps_order_and_every_error(store):
    objects = {f"put-many/{n:03}": b"%d" % n * n for n in range(40)}
    sums = store.put_many(objects)
    assert sums == [s3dlio.crc32c(data) for data in objects.values()]
    assert [bytes(data) for data in store.get_many(list(objects))] == list(objects.values())
    assert store.put_many([]) == []
    mixed = store.put_many([("put-many/a", bytearray(b"a")), ("", b"b"), ("put-many/c", b"")], return_exceptions=True)
    assert mixed[0] == s3dlio.crc32c(b"a") and mixed[2] == 0 and isinstance(mixed[1], s3dlio.InvalidKeyError)
    assert store.get("put-many/a") == b"a" and store.get("put-many/c") == b""
    with pytest.raises(s3dlio.InvalidKeyError):
        store.put_many([("put-many/d", b"d"), ("", b"e")])
    assert store.get("put-many/d") == b"d"
    with pytest.raises(TypeError):
        store.put_many({"put-many/f": "text"})


def test_list(store):
    keys = ["a/1", "a/b/2", "a/b/3", "ab", "b"]
    for key in keys:
        store.put(key, key.encode())
    assert [entry.key for entry in store.list()] == keys
    assert [entry.key for entry in store.list("a/")] == ["a/1", "a/b/2", "a/b/3"]
    assert [(entry.kind, entry.key) for entry in store.list("a/", recursive=False)] == [
        ("object", "a/1"), ("prefix", "a/b/"),
    ]
    entry = next(store.list("b"))
    assert (entry.size, entry.uri, entry.metadata) == (1, f"{store.uri}/b", {})
    assert list(store.list("nothing")) == []
    assert store.delete_prefix("a") == 3
    assert [entry.key for entry in store.list()] == ["ab", "b"]


def test_copy_and_rename(store):
    store.put("from", DATA)
    store.copy("from", "copy")
    store.rename("from", "moved")
    assert store.get("copy") == store.get("moved") == DATA and not store.exists("from")
    for move in (store.copy, store.rename):
        with pytest.raises(s3dlio.NotFoundError):
            move("missing", "x")


def test_metadata_and_conditions_as_far_as_the_backend_promises(store):
    store.put("k", b"1", content_type="text/plain" if store.capabilities.metadata else None)
    caps = store.capabilities
    if caps.metadata:
        store.put("m", b"1", content_type="text/plain", metadata={"step": "7", "run_id": "x y"})
        info = store.stat("m")
        assert (info.content_type, info.metadata) == ("text/plain", {"step": "7", "run_id": "x y"})
    else:
        with pytest.raises(s3dlio.UnsupportedError):
            store.put("m", b"1", metadata={"step": "7"})
    if caps.conditional_put:
        with pytest.raises(s3dlio.AlreadyExistsError):
            store.put("k", b"2", create_only=True)
        with pytest.raises(s3dlio.PreconditionFailedError):
            store.put("k", b"2", if_match='"0000000000000000"')
        store.put("k", b"2", if_match=store.stat("k").etag)
        assert store.get("k") == b"2"


def test_odd_keys(store):
    for key in ("a b", "ключ", "100%", "a+b", "h#h", "q?q=1&x", "x" * 200):
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
        assert [entry.key for entry in store.list(key)] == [key]


def test_containers(store):
    name = store.uri.rstrip("/").rsplit("/", 1)[1]
    assert name in [entry.key for entry in store.list_containers() if entry.kind == "container"]
    with pytest.raises(s3dlio.AlreadyExistsError):
        store.create_container()
    store.put("k", b"1")
    with pytest.raises(s3dlio.NotEmptyError):
        store.delete_container()


def test_a_closed_store_refuses_and_its_children_live_on(store):
    store.put("k", DATA)
    with s3dlio.Store(store.uri, store._options) as other:
        reader = other.reader("k")
    other.close()
    with pytest.raises(s3dlio.BadHandleError):
        other.get("k")
    assert reader.read() == DATA and repr(other) == "<closed s3dlio.Store>"
    reader.close()


def test_one_call_functions(store):
    uri, options = f"{store.uri}/one/call", store._options
    store.put("other", b"1")  # deleting a file also removes the folders that it leaves empty
    s3dlio.put(uri, DATA, options)
    assert s3dlio.get(uri, options) == DATA
    assert s3dlio.stat(uri, options).size == len(DATA)
    assert s3dlio.exists(uri, options)
    s3dlio.delete(uri, options)
    assert not s3dlio.exists(uri, options)
