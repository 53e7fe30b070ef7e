"""`Reader` and `Store.open` for reading: the protocols of the io module."""

import io
import pickle
import subprocess
import zipfile
import zlib

import numpy
import pytest

import s3dlio

LINES = [f"line {n} äöü\n" for n in range(5000)]
TEXT = "".join(LINES).encode()


@pytest.fixture
def reader(store):
    store.put("text", TEXT)
    with store.reader("text") as reader:
        yield reader


def test_raw_protocol(reader):
    assert reader.readable() and reader.seekable() and not reader.writable()
    assert reader.size == reader.info.size == len(TEXT) and reader.name.endswith("/text")
    assert reader.read(4) == TEXT[:4] and reader.tell() == 4
    into = bytearray(10)
    assert reader.readinto(into) == 10 and into == TEXT[4:14]
    assert reader.seek(-5, io.SEEK_END) == len(TEXT) - 5
    assert reader.readinto(into) == 5 and reader.readinto(into) == 0 and reader.read(3) == b""
    assert reader.seek(2) == 2 and reader.seek(3, io.SEEK_CUR) == 5
    assert reader.read() == TEXT[5:] and reader.read() == b""
    assert reader.seek(10, io.SEEK_END) == len(TEXT) + 10 and reader.read(1) == b""


def test_reads_come_short_only_at_the_end(reader):
    assert [len(reader.read(len(TEXT) // 3 + 1)) for _ in range(3)] == [
        len(TEXT) // 3 + 1, len(TEXT) // 3 + 1, len(TEXT) - 2 * (len(TEXT) // 3 + 1),
    ]


def test_positional_reads_do_not_move(reader):
    into = bytearray(6)
    assert reader.read_at(100, into) == 6 and into == TEXT[100:106]
    assert reader.read_at(len(TEXT) - 2, into) == 2 and reader.read_at(len(TEXT), into) == 0
    parts = [bytearray(9), bytearray(3), bytearray(0)]
    assert reader.readv_at(zip([50, len(TEXT) - 1, 0], parts)) == [9, 1, 0]
    assert parts[0] == TEXT[50:59] and parts[1][:1] == TEXT[-1:]
    assert reader.readv_at([]) == [] and reader.tell() == 0
    with pytest.raises(s3dlio.RangeError):
        reader.read_at(len(TEXT) + 1, into)


def test_seek_refuses_what_is_no_position(reader):
    for offset, whence in ((-1, io.SEEK_SET), (-1, io.SEEK_CUR), (2**63, io.SEEK_SET), (0, 9)):
        with pytest.raises(ValueError):
            reader.seek(offset, whence)
    assert reader.tell() == 0


def test_buffered_and_text_files(store):
    store.put("text", TEXT)
    with store.open("text") as file:
        assert isinstance(file, io.BufferedReader)
        assert file.readline().decode() == LINES[0] and file.peek(4)[:4] == b"line"
    with store.open("text", "r", encoding="utf-8") as file:
        assert list(file) == LINES
    with store.open("text", "rb", 0) as file:
        assert isinstance(file, s3dlio.Reader)
    with io.TextIOWrapper(io.BufferedReader(store.reader("text"), 7), encoding="utf-8") as file:
        assert file.read() == TEXT.decode()


def test_zipfile_and_numpy_and_pickle(store):
    array = numpy.arange(10_000, dtype="f8").reshape(100, 100)
    with store.open("a.npz", "wb") as file:
        numpy.savez(file, array=array, other=array.T)
    with store.open("a.npy", "wb") as file:
        numpy.save(file, array)
    with store.open("a.pickle", "wb") as file:
        pickle.dump({"array": array, "text": TEXT}, file, protocol=5)
    with store.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", TEXT)
    for buffering in (-1, 0):  # buffered, and the reader itself
        with store.open("a.npz", "rb", buffering) as file:
            assert (numpy.load(file)["other"] == array.T).all()
        with store.open("a.npy", "rb", buffering) as file:
            assert (numpy.load(file) == array).all()
        with store.open("a.pickle", "rb", buffering) as file:
            loaded = pickle.load(file)
            assert (loaded["array"] == array).all() and loaded["text"] == TEXT
        with store.open("a.zip", "rb", buffering) as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None and archive.read("inner.txt") == TEXT


def test_closed_reader(reader):
    reader.close()
    reader.close()
    assert reader.closed and repr(reader) == "<closed s3dlio.Reader>"
    for use in (lambda: reader.read(1), lambda: reader.seek(0), lambda: reader.read_at(0, bytearray(1)), reader.readable):
        with pytest.raises(ValueError):
            use()


def test_expected_checksum(store):
    store.put("k", TEXT)
    with store.reader("k") as reader:
        reader.expect_crc32c(s3dlio.crc32c(TEXT))
        assert reader.read() == TEXT
    with store.reader("k") as reader:
        reader.expect_crc32c(s3dlio.crc32c(TEXT) ^ 1)
        with pytest.raises(s3dlio.ChecksumMismatchError) as caught:
            reader.read()
        assert caught.value.uri == f"{store.uri}/k" and {"expected", "actual"} <= set(caught.value.details)


def test_a_replaced_object_is_noticed(store):
    store.put("k", TEXT)
    with store.reader("k", reader_read_ahead=0) as reader:
        store.put("k", TEXT[::-1] + b"other")
        with pytest.raises(s3dlio.ChangedError):
            reader.read()


def test_decompression(store):
    plain = zlib.compress(TEXT) + TEXT  # partly random, partly not
    with store.writer("z", writer_compression="zstd", writer_compression_level=3) as writer:
        writer.write(plain)
    assert writer.key == "z.zst" and writer.stats.bytes == len(plain) > writer.stats.stored_bytes
    with store.reader("z.zst") as reader:
        assert reader.read() == plain
        assert reader.seek(1000) == 1000 and reader.read(50) == plain[1000:1050]
        with pytest.raises(s3dlio.UnsupportedError) as caught:
            reader.read_at(0, bytearray(1))
        assert isinstance(caught.value, io.UnsupportedOperation)
    stored = bytes(store.get("z.zst"))
    with store.reader("z.zst", {"reader.decompress": False}) as reader:
        assert reader.read() == stored
    unzip = subprocess.run(["zstd", "-dc"], input=stored, capture_output=True, check=True)
    assert unzip.stdout == plain
    store.put("torn.zst", stored[: len(stored) // 2])
    with pytest.raises((s3dlio.TruncatedError, s3dlio.CorruptError)):
        with store.reader("torn.zst") as reader:
            reader.read()
    store.put("bad.zst", b"this is no zstd frame at all")
    with pytest.raises(s3dlio.CorruptError):
        with store.reader("bad.zst") as reader:
            reader.read()
