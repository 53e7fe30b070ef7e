"""`Writer` and `Store.open` for writing: what is published, and above all what is not."""

import gc
import io
import random

import numpy
import pytest

import s3dlio

PART = 5 << 20
DATA = random.Random(1).randbytes(PART + 12_345)


class Boom(Exception):
    pass


def test_streams_in_pieces(store):
    with store.writer("k", transfer_part_size=PART) as writer:
        assert writer.writable() and not writer.readable() and not writer.seekable()
        for start in range(0, len(DATA), 1 << 20):
            piece = memoryview(DATA)[start : start + (1 << 20)]
            assert writer.write(piece) == len(piece)
        assert writer.tell() == len(DATA) and not writer.stats.finished
        assert not store.exists("k")
    stats = writer.stats
    assert (stats.bytes, stats.stored_bytes, stats.finished) == (len(DATA), len(DATA), True)
    assert stats.crc32c == stats.stored_crc32c == s3dlio.crc32c(DATA)
    assert store.get("k") == DATA and repr(writer) == "<s3dlio.Writer 'k' finished>"


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_finish_publishes_and_ends(memory, size):
    writer = memory.writer("k")
    writer.write(DATA[:size])
    stats = writer.finish()
    assert stats == writer.stats and stats.bytes == size and writer.closed
    assert memory.get("k") == DATA[:size]
    writer.close()
    writer.abort()
    for use in (lambda: writer.write(b"x"), writer.finish, lambda: writer.reserve(1), lambda: writer.commit(1), writer.writable):
        with pytest.raises(s3dlio.InvalidStateError):
            use()
    assert memory.get("k") == DATA[:size]


def test_an_exception_in_the_block_aborts(store):
    with pytest.raises(Boom):
        with store.writer("k", transfer_part_size=PART) as writer:
            writer.write(DATA)
            raise Boom
    assert not store.exists("k") and list(store.list()) == [] and writer.closed
    assert not writer.stats.finished and repr(writer) == "<s3dlio.Writer 'k' aborted>"


def test_abort_and_close(memory):
    writer = memory.writer("k")
    writer.write(b"x")
    writer.abort()
    writer.abort()
    writer.close()
    assert not memory.exists("k")
    writer = memory.writer("k")
    writer.write(b"x")
    writer.close()
    writer.close()
    assert memory.get("k") == b"x"


def test_garbage_collection_aborts_and_tells(store):
    writer = store.writer("k", transfer_part_size=PART)
    writer.write(DATA)
    with pytest.warns(RuntimeWarning, match="'k' dropped unfinished"):
        del writer
        gc.collect()
    s3dlio.shutdown(30_000)  # waits for the clean-up in the background
    assert not store.exists("k") and list(store.list()) == []


@pytest.mark.parametrize("wrap", [
    lambda store: store.open("k", "w"),
    lambda store: store.open("k", "wb"),
    lambda store: store.open("k", "wb", 1 << 16),
    lambda store: store.open("k", "x"),
])
def test_open_files_publish_only_whole_objects(memory, wrap):
    def text(file):
        return "text" if isinstance(file, io.TextIOBase) else b"text"

    with pytest.raises(Boom):
        with wrap(memory) as file:
            file.write(text(file))
            raise Boom
    assert not memory.exists("k")
    file = wrap(memory)
    file.write(text(file))
    with pytest.warns(RuntimeWarning, match="dropped unfinished"):
        del file
        gc.collect()
    assert not memory.exists("k")
    with wrap(memory) as file:
        file.write(text(file))
    assert memory.get("k") == b"text"


def test_a_wrapper_in_the_same_block_does_not_publish_half(memory):
    """The wrapper closes the writer before the writer's own block sees the exception."""
    with pytest.raises(Boom):
        with memory.writer("k") as raw, io.BufferedWriter(raw) as file:
            file.write(b"half")
            raise Boom
    assert not memory.exists("k")
    with memory.writer("k") as raw, io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8") as file:
        file.write("whole")
    assert memory.get("k") == b"whole"


def test_exclusive_open(folder):
    with folder.open("k", "x") as file:
        file.write("first")
    with pytest.raises(FileExistsError):
        with folder.open("k", "x") as file:
            file.write("second")
    assert folder.get("k") == b"first"


def test_open_refuses_other_modes(memory):
    for mode in ("", "a", "rw", "r+", "rbx", "w+b"):
        with pytest.raises(ValueError):
            memory.open("k", mode)
    with pytest.raises(ValueError):
        memory.open("k", "wb", encoding="utf-8")


def test_reserve_and_commit(store):
    with store.writer("k", transfer_part_size=PART) as writer:
        done = 0
        while done < len(DATA):
            view = writer.reserve(4096)
            assert len(view) >= 4096 and not view.readonly
            count = min(len(view), len(DATA) - done)
            numpy.frombuffer(view, dtype="u1")[:count] = numpy.frombuffer(DATA, "u1")[done : done + count]
            writer.commit(count)
            done += count
            with pytest.raises(ValueError):
                view[0]  # released
    assert store.get("k") == DATA


def test_reserved_memory_is_not_taken_from_under_a_view(memory):
    with memory.writer("k") as writer:
        view = writer.reserve(100)
        view[:5] = b"hello"
        array, piece = numpy.frombuffer(view, dtype="u1"), view[2:4]
        with pytest.raises(BufferError):
            writer.commit(5)
        del array
        for use in (lambda: writer.commit(5), lambda: writer.write(b"x"), lambda: writer.reserve(1), writer.finish, writer.abort):
            with pytest.raises(BufferError):
                use()
        del piece
        writer.commit(5)
    assert memory.get("k") == b"hello"


def test_a_view_outlives_an_aborted_writer(memory):
    with pytest.raises(Boom):
        with memory.writer("k") as writer:
            array = numpy.frombuffer(writer.reserve(100), dtype="u1")
            held = s3dlio.stats().handles
            raise Boom
    del writer
    gc.collect()
    assert s3dlio.stats().handles == held, "the memory went while an array looked at it"
    array[:] = 7
    assert not memory.exists("k")
    del array
    gc.collect()
    assert s3dlio.stats().handles < held


def test_write_buffer_takes_memory_without_a_copy(store):
    store.put("from", DATA)
    with store.writer("k", transfer_part_size=PART) as writer:
        buffer = store.get("from")
        assert writer.write_buffer(buffer) == len(DATA)
    assert store.get("k") == DATA == buffer


def test_commit_of_more_than_reserved(memory):
    with memory.writer("k") as writer:
        count = len(writer.reserve(10))
        with pytest.raises(s3dlio.InvalidArgumentError):
            writer.commit(count + 1)
        with pytest.raises(ValueError):
            writer.commit(-1)


def test_conditions_and_facts(store):
    caps = store.capabilities
    facts = dict(content_type="text/plain", metadata={"step": "7"}) if caps.metadata else {}
    with store.writer("k", **facts) as writer:
        writer.write(b"1")
    if caps.metadata:
        info = store.stat("k")
        assert (info.content_type, info.metadata) == ("text/plain", {"step": "7"})
    if caps.conditional_put:
        with pytest.raises(s3dlio.AlreadyExistsError):
            with store.writer("k", create_only=True) as writer:
                writer.write(b"2")
        assert store.get("k") == b"1"
