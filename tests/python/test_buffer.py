"""`Buffer`: the buffer protocol without copies, and memory that lives as long as its views."""

import ctypes
import gc
import pickle

import numpy
import pytest

import s3dlio

DATA = bytes(range(256)) * 100


def address_of(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def test_views_share_the_memory(memory):
    memory.put("k", DATA)
    buffer = memory.get("k")
    assert isinstance(buffer, s3dlio.Buffer) and len(buffer) == len(DATA)
    numbers = numpy.frombuffer(buffer, dtype="<u4")
    addresses = {buffer.address, address_of(memoryview(buffer)), address_of(buffer.view), numbers.ctypes.data}
    assert addresses == {buffer.address} and buffer.address % 4096 == 0
    numbers[0] = 0x01020304
    assert bytes(buffer[:4]) == b"\4\3\2\1"
    assert bytes(buffer) == b"\4\3\2\1" + DATA[4:]


def test_memory_lives_as_long_as_any_view(memory):
    memory.put("k", DATA)
    before = s3dlio.stats().handles
    buffer = memory.get("k")
    piece = numpy.frombuffer(buffer, dtype="u1")[1000:2000]
    part = buffer.view[10:20]
    del buffer
    gc.collect()
    assert s3dlio.stats().handles == before + 1
    for _ in range(20):  # others take and give back memory of the same size
        memory.get("k").view[:] = bytes(len(DATA))
    assert piece.tobytes() == DATA[1000:2000] and part == DATA[10:20]
    del piece
    assert s3dlio.stats().handles == before + 1
    del part
    gc.collect()
    assert s3dlio.stats().handles == before


def test_buffer_behaves_like_bytes(memory):
    memory.put("k", b"hello")
    buffer = memory.get("k")
    assert buffer == b"hello" == buffer and buffer != b"world" and buffer != 5
    assert buffer[0] == ord("h") and buffer[-1] == ord("o") and buffer[1:3] == b"el"
    buffer[0] = ord("j")
    buffer[1:3] = b"EL"
    assert bytes(buffer) == b"jELlo" and b"".join([buffer, b"!"]) == b"jELlo!"
    assert repr(buffer) == "<s3dlio.Buffer of 5 bytes>"
    with pytest.raises(IndexError):
        buffer[5]
    with pytest.raises(TypeError):
        hash(buffer)


def test_own_buffers_are_read_into(folder):
    folder.put("k", DATA)
    buffer = s3dlio.Buffer(len(DATA))
    assert isinstance(buffer, s3dlio.Buffer) and buffer.address % 4096 == 0
    assert folder.get_into("k", buffer) == len(DATA) and buffer == DATA
    assert len(s3dlio.Buffer(0)) == 0 and bytes(s3dlio.Buffer(0)) == b""
    with pytest.raises(ValueError):
        s3dlio.Buffer(-1)
    with pytest.raises(MemoryError):
        s3dlio.Buffer(2**62)


def test_results_land_in_the_callers_memory(store):
    """NumPy's own memory, and a slice of it."""
    target = numpy.zeros(len(DATA) + 8, dtype="u1")
    store.put("k", DATA)
    assert store.get_into("k", target[4:]) == len(DATA)
    assert target[4:-4].tobytes() == DATA and not target[:4].any() and not target[-4:].any()
    target.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        store.get_into("k", target)
    with pytest.raises(BufferError):
        store.get_into("k", DATA)
    with pytest.raises((BufferError, ValueError)):
        store.get_into("k", numpy.zeros((len(DATA), 2), dtype="u1")[:, 0])


def test_memory_in_use_cannot_shrink():
    """While a call has the address, Python itself refuses to move the memory."""
    from s3dlio._arguments import Borrowed

    data = bytearray(100)
    borrowed = Borrowed(data, writable=True)
    assert borrowed.address == address_of(data)
    with pytest.raises(BufferError):
        data.extend(bytes(10_000))
    del borrowed
    data.extend(bytes(10_000))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_copies_the_bytes(memory, protocol):
    memory.put("k", DATA)
    buffer = memory.get("k")
    again = pickle.loads(pickle.dumps(buffer, protocol))
    assert isinstance(again, s3dlio.Buffer) and again == buffer and again.address != buffer.address


def test_pickle_out_of_band_copies_nothing_when_dumping(memory):
    memory.put("k", DATA)
    buffer, outside = memory.get("k"), []
    pickled = pickle.dumps(buffer, 5, buffer_callback=outside.append)
    assert len(pickled) < 200 and address_of(outside[0].raw()) == buffer.address
    assert pickle.loads(pickled, buffers=outside) == DATA


def test_every_size_has_its_own_length(memory):
    for size in (0, 1, 4095, 4096, 4097, 100_000):
        memory.put("k", DATA[:1] * size)
        buffer = memory.get("k")
        assert len(buffer) == size == memoryview(buffer).nbytes
