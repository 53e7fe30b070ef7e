"""F1: arrays of NumPy in .npy and .npz objects, as NumPy itself writes and reads them, by ranges."""

import io
import zipfile

import numpy
import pytest

import s3dlio
import s3dlio.numpy
from conftest import place

RNG = numpy.random.default_rng(1)
ARRAYS = {
    "f4": RNG.random((40, 30), "f4"),
    "big-endian": numpy.arange(100, dtype=">u2"),
    "fortran": numpy.asfortranarray(RNG.random((12, 5, 3))),
    "strided": RNG.random((40, 30))[::3, ::2],
    "scalar": numpy.float64(2.5),
    "empty": numpy.zeros((0, 3), "i8"),
    "bool": RNG.random(9) > 0.5,
    "complex": RNG.random(6).astype("c16"),
    "text": numpy.array(["a", "bcd"]),
    "nothing": numpy.zeros(3, "V0"),
    "time": numpy.array(["2026-11-23"], "M8[s]"),
    "record": numpy.array([(1, 2.5)], [("a", "i4"), ("b", "f8", (2,))]),
    "latin": numpy.zeros(2, [("naïve", "i4")]),
    "greek": numpy.zeros(2, [("αβγ", "i4")]),
    "long header": numpy.zeros(2, [(f"field{n:04}", "i4") for n in range(500)]),
}


def same(found, expected):
    assert isinstance(found, numpy.ndarray) and found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")  # NumPy says so of Greek names
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_those_of_numpy_both_ways(memory, name):
    array = numpy.asarray(ARRAYS[name])
    stats = s3dlio.numpy.save(memory, array, "a.npy")
    ours, theirs = bytes(memory.get("a.npy")), io.BytesIO()
    numpy.save(theirs, array)
    assert ours == theirs.getvalue() and stats.bytes == len(ours)
    found = s3dlio.numpy.load(memory, "a.npy")
    same(found, array)
    assert found.flags.f_contiguous == array.flags.f_contiguous or name == "strided"


def test_every_backend(store):
    big = RNG.random((3000, 1000), "f4")
    s3dlio.numpy.save(store, big, "big.npy")
    same(s3dlio.numpy.load(store, "big.npy"), big)
    s3dlio.numpy.savez(store, {"big": big, "small": ARRAYS["f4"]}, "both.npz", extra=ARRAYS["fortran"])
    found = s3dlio.numpy.loadz(store, "both.npz")
    assert list(found) == ["big", "small", "extra"]
    same(found["big"], big)
    same(found["extra"], ARRAYS["fortran"])
    with store.open("both.npz") as file, numpy.load(file) as theirs:
        same(theirs["big"], big)


def test_one_uri_is_enough(tmp_path):
    uri, options = place("file", tmp_path)
    s3dlio.numpy.save(f"{uri}/a.npy", [1, 2, 3], options=options)
    assert s3dlio.numpy.load(f"{uri}/a.npy").tolist() == [1, 2, 3]
    s3dlio.numpy.savez(f"{uri}/a.npz", x=[1])
    assert s3dlio.numpy.loadz(f"{uri}/a.npz")["x"].tolist() == [1]


def test_rows_are_read_alone(memory):
    array = ARRAYS["f4"]
    s3dlio.numpy.save(memory, array, "a.npy")
    # What is not asked for is not read: it is not there.
    head = bytes(memory.get("a.npy"))
    memory.put("holes.npy", head[: 128 + 120 * 10] + bytes(len(head) - 128 - 120 * 10))
    same(s3dlio.numpy.load(memory, "holes.npy", rows=slice(3, 10)), array[3:10])
    for rows in (slice(None), slice(5, None), slice(-3, None), slice(7, 7), slice(9, 2), slice(30, 1000)):
        same(s3dlio.numpy.load(memory, "a.npy", rows=rows), array[rows])
    with pytest.raises(s3dlio.InvalidArgumentError, match="step of 2"):
        s3dlio.numpy.load(memory, "a.npy", rows=slice(0, 10, 2))
    s3dlio.numpy.save(memory, ARRAYS["fortran"], "f.npy")
    with pytest.raises(s3dlio.InvalidArgumentError, match="do not lie together"):
        s3dlio.numpy.load(memory, "f.npy", rows=slice(0, 2))


def test_an_array_is_received_where_the_caller_says(memory):
    array = ARRAYS["f4"]
    s3dlio.numpy.save(memory, array, "a.npy")
    room = numpy.zeros((2, 40, 30), "f4")
    assert numpy.shares_memory(s3dlio.numpy.load(memory, "a.npy", out=room[1]), room)
    assert (room[1] == array).all() and not room[0].any()
    part = s3dlio.numpy.load(memory, "a.npy", rows=slice(2, 4), out=room[0, :2])
    assert (part == array[2:4]).all()
    for wrong in (numpy.zeros((40, 31), "f4"), numpy.zeros((40, 30), "f8"), numpy.zeros((30, 40), "f4").T, bytearray(4800)):
        with pytest.raises(s3dlio.InvalidArgumentError, match="out is"):
            s3dlio.numpy.load(memory, "a.npy", out=wrong)


def test_compressed_objects_and_members(memory):
    array = ARRAYS["f4"]
    with memory.writer("a.npy", writer_compression="zstd") as file:
        numpy.save(file, array)
    same(s3dlio.numpy.load(memory, "a.npy.zst"), array)
    same(s3dlio.numpy.load(memory, "a.npy.zst", rows=slice(1, 3)), array[1:3])
    s3dlio.numpy.savez(memory, {"a": array * 0}, "a.npz", compressed=True)
    assert memory.stat("a.npz").size < array.nbytes
    same(s3dlio.numpy.loadz(memory, "a.npz")["a"], array * 0)
    with memory.writer("theirs.npz") as file:
        numpy.savez_compressed(file, a=array)
    same(s3dlio.numpy.loadz(memory, "theirs.npz", names=["a"])["a"], array)


def test_only_the_members_that_are_named_are_read(memory):
    s3dlio.numpy.savez(memory, {"a": ARRAYS["f4"], "b": ARRAYS["f4"]}, "a.npz")
    data = bytearray(memory.get("a.npz"))
    data[200:300] = bytes(100)
    memory.put("a.npz", data)
    same(s3dlio.numpy.loadz(memory, "a.npz", names=["b"])["b"], ARRAYS["f4"])
    with pytest.raises(s3dlio.CorruptError, match="CRC-32"):
        s3dlio.numpy.loadz(memory, "a.npz")
    with pytest.raises(KeyError, match="'c'; it has 'a', 'b'"):
        s3dlio.numpy.loadz(memory, "a.npz", names=["c"])


def test_what_is_broken_is_an_error_and_never_an_array(memory):
    array = ARRAYS["f4"]
    s3dlio.numpy.save(memory, array, "a.npy")
    whole = bytes(memory.get("a.npy"))
    for length in (0, 5, 11, 60, 127, 128, 1000, len(whole) - 1):
        memory.put("cut.npy", whole[:length])
        with pytest.raises(s3dlio.CorruptError, match="cut.npy"):
            s3dlio.numpy.load(memory, "cut.npy")
    memory.put("huge.npy", whole.replace(b"(40, 30), }      ", b"(40, 1000000000)}"))
    with pytest.raises(s3dlio.CorruptError, match="160000000000 bytes of data, and 4800 are there"):
        s3dlio.numpy.load(memory, "huge.npy")
    for at, byte in ((0, 0), (6, 9), (9, 255), (10, 0), (30, 0)):
        broken = bytearray(whole)
        broken[at] = byte
        memory.put("broken.npy", broken)
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.numpy.load(memory, "broken.npy")
    s3dlio.numpy.savez(memory, {"a": array}, "a.npz")
    memory.put("cut.npz", bytes(memory.get("a.npz"))[:-30])
    with pytest.raises((s3dlio.CorruptError, zipfile.BadZipFile)):
        s3dlio.numpy.loadz(memory, "cut.npz")
    with memory.writer("pickle.npy") as file:
        numpy.save(file, numpy.array([{}]), allow_pickle=True)
    for use in (lambda: s3dlio.numpy.load(memory, "pickle.npy"), lambda: s3dlio.numpy.save(memory, [{}], "o.npy")):
        with pytest.raises(s3dlio.InvalidArgumentError, match="pickle"):
            use()
    assert not memory.exists("o.npy")


def test_a_failed_archive_is_not_published(memory):
    class Unreadable:
        def __array__(self, dtype=None, copy=None):
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        s3dlio.numpy.savez(memory, {"a": ARRAYS["f4"], "b": Unreadable()}, "a.npz")
    assert not memory.exists("a.npz")
    with pytest.raises(s3dlio.InvalidArgumentError, match="a: given twice"):
        s3dlio.numpy.savez(memory, {"a": 1}, "a.npz", a=2)
