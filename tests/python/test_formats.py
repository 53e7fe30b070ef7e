"""Formats (F1): what we write is read by the libraries of the field, and the other way round; damage raises."""

import io
import struct
import tarfile
import zipfile

import h5py
import numpy
import pytest
import webdataset

import s3dlio
from s3dlio import formats

ARRAYS = {
    "x": numpy.arange(24, dtype="<f4").reshape(2, 3, 4),
    "big": numpy.arange(3, dtype=">i8"),
    "none": numpy.zeros((0, 7), "|u1"),
    "one": numpy.float64(2.5),
    "yes": numpy.array([True, False]),
    "text": numpy.array(["ab", "c"]),
    "time": numpy.array(["2026-11-23"], "<M8[ns]"),
    "turned": numpy.asfortranarray(numpy.arange(6, dtype="<i4").reshape(2, 3)),
    "part": numpy.arange(10, dtype="<u2")[::3],
}
RECORDS = [b"", b"a", b"hello world", bytes(100_000)]


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def damaged(file, read, step=1):
    """Every shorter file, and every file with one wrong bit, is an error or gives the same items; counts the errors."""
    whole, errors = read(file), 0
    variants = [file[:end] for end in range(0, len(file), step)]
    for at in range(0, len(file), step):
        variants.append(file[:at] + bytes([file[at] ^ 1 << at % 8]) + file[at + 1:])
    for variant in variants:
        try:
            assert read(variant) == whole, "other items from a damaged file"
        except s3dlio.S3dlioError as error:
            assert error.status in ("truncated", "corrupt", "checksum_mismatch", "unsupported"), error
            errors += 1
    return errors, len(variants)


# ---- NPY and NPZ


def test_npz_is_read_by_numpy():
    file = formats.npz(ARRAYS)
    with numpy.load(io.BytesIO(file)) as arrays:
        assert list(arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert same(arrays[name], numpy.asarray(array)), name
    assert zipfile.ZipFile(io.BytesIO(file)).testzip() is None
    assert formats.npz(ARRAYS) == file  # the same arrays, the same bytes
    with numpy.load(io.BytesIO(formats.npz({"raw": b"abc"}))) as arrays:
        assert arrays["raw"].tobytes() == b"abc"


def npz_items(file):
    items = {}
    for member in formats.npz_members(file):
        array = formats.npz_unpack(member, file[member.offset:member.offset + member.length])
        info = formats.npy_info(array)
        assert info.offset + info.length == len(array) == member.size
        items[member.name] = info, bytes(array[info.offset:])
    return items


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_npz_of_numpy_is_read(save):
    file = io.BytesIO()
    save(file, **ARRAYS)
    items = npz_items(file.getvalue())
    assert set(items) == {f"{name}.npy" for name in ARRAYS}
    for name, array in ARRAYS.items():
        info, data = items[f"{name}.npy"]
        order = "F" if info.fortran_order else "C"
        back = numpy.frombuffer(data, info.descr).reshape(info.shape, order=order)
        assert numpy.array_equal(back, array) and back.dtype == numpy.asarray(array).dtype, name


def test_npz_is_read_by_ranges(memory):
    data = {"x": numpy.random.default_rng(1).random(200_000), "y": numpy.arange(5)}
    memory.put("a.npz", formats.npz(data))
    with memory.reader("a.npz") as file:
        members = formats.npz_list(file)
        assert [member.name for member in members] == ["x.npy", "y.npy"]
        array = numpy.load(io.BytesIO(bytes(formats.npz_read(file, members[1]))))
        assert same(array, data["y"])
    with pytest.raises(s3dlio.BufferTooSmallError) as caught:
        formats.npz_members(b"PK"[:0], 1000)
    assert caught.value.required == 1000


def test_npz_of_more_than_four_gib(tmp_path):
    """zip64: sizes and places beyond 32 bits, of a file with holes."""
    path = tmp_path / "large.zip"
    with open(path, "wb") as raw, zipfile.ZipFile(raw, "w") as file:
        with file.open("hole", "w", force_zip64=True) as member:
            member.write(b"x")
        with file.open("next", "w", force_zip64=True) as member:
            member.write(b"after")
    small = path.read_bytes()
    assert [m.size for m in formats.npz_members(small)] == [1, 5]
    # The same directory, 5 GiB further on, as zip64 has it.
    directory = small.rindex(b"PK\x01\x02", 0, small.rindex(b"PK\x01\x02"))
    entry = bytearray(small[small.rindex(b"PK\x01\x02"):small.rindex(b"PK\x05\x06")])
    far = 5 << 30
    struct.pack_into("<HH", entry, 28, 4, 12)
    struct.pack_into("<I", entry, 42, 0xFFFFFFFF)
    entry = entry[:46] + b"next" + struct.pack("<HHQ", 1, 8, far)
    head = small[small.rindex(b"PK\x03\x04"):directory]
    start = far + len(head)
    tail = bytes(entry) + struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(entry), start)
    tail += struct.pack("<IIQI", 0x07064B50, 0, start + len(entry), 1)
    tail += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    with open(path, "wb") as raw:
        raw.seek(far)
        raw.write(head + tail)
    assert zipfile.ZipFile(path).read("next") == b"after"
    with s3dlio.Store(f"file://{tmp_path}").reader("large.zip") as file:
        (member,) = formats.npz_list(file)
        assert member.offset == far and bytes(formats.npz_read(file, member)) == b"after"


def test_damaged_npz_never_gives_wrong_arrays():
    file = io.BytesIO()
    numpy.savez_compressed(file, x=numpy.arange(50), y=numpy.zeros(9))
    for file in (file.getvalue(), bytes(formats.npz({"x": numpy.arange(50), "y": numpy.zeros(9)}))):
        errors, tries = damaged(file, npz_items)
        assert errors > tries * 3 // 4


def test_other_zip_files_are_refused_with_the_reason():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("x.npy", b"x" * 100)
    file = file.getvalue()
    (member,) = formats.npz_members(file)
    with pytest.raises(s3dlio.UnsupportedError, match="method 12"):
        formats.npz_unpack(member, file)


def test_npy_heads():
    for array in ARRAYS.values():
        array = numpy.asarray(array)
        file = io.BytesIO()
        numpy.save(file, array)
        file = file.getvalue()
        info = formats.npy_info(file[:256], len(file))
        assert info.descr == array.dtype.str and info.shape == array.shape
        order = array.flags.f_contiguous and not array.flags.c_contiguous
        assert info.fortran_order == order and file[info.offset:] == array.tobytes("A")
        ours = bytes(formats.npy_head(array.dtype.str, array.shape, order)) + file[info.offset:]
        assert same(numpy.load(io.BytesIO(ours)), array)
        with pytest.raises(s3dlio.TruncatedError if array.size else s3dlio.S3dlioError):
            formats.npy_info(file[:-1])
    with pytest.raises(s3dlio.BufferTooSmallError) as caught:
        formats.npy_info(file[:20], len(file))
    assert caught.value.required == info.offset
    for odd in (numpy.array([{}]), numpy.zeros(1, [("a", "i4")])):
        file = io.BytesIO()
        numpy.save(file, odd, allow_pickle=True)
        with pytest.raises(s3dlio.UnsupportedError):
            formats.npy_info(file.getvalue())


# ---- HDF5


def test_hdf5_is_read_by_h5py(tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if name not in ("yes", "text", "time", "big")}
    arrays |= {f"n{number:03}": numpy.full(3, number, "<f2") for number in range(300)}
    file = formats.hdf5(arrays)
    with h5py.File(io.BytesIO(file)) as found:
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            assert same(found[name][()] if name == "one" else found[name][:], numpy.asarray(array)), name
            assert found[name].chunks is None
    with h5py.File(io.BytesIO(formats.hdf5({}))) as found:
        assert not list(found)
    (tmp_path / "a.h5").write_bytes(file)
    with h5py.File(tmp_path / "a.h5", "r+") as found:  # and goes on to be written by the library
        found["more"] = numpy.arange(3)
        del found["n007"]
    with h5py.File(tmp_path / "a.h5") as found:
        assert set(found) == set(arrays) - {"n007"} | {"more"}
    for bad in ({"a/b": ARRAYS["x"]}, {"x": ARRAYS["yes"]}, {"x": ARRAYS["big"]}):
        with pytest.raises(s3dlio.InvalidArgumentError):
            formats.hdf5(bad)


def test_hdf5_through_a_reader(memory):
    memory.put("a.h5", formats.hdf5({"x": ARRAYS["x"]}))
    with memory.open("a.h5") as file, h5py.File(file) as found:
        assert same(found["x"][:], ARRAYS["x"])


# ---- tar


SAMPLES = [
    ("a/0001.jpg", b"image"), ("a/0001.cls", b"7"),
    ("a/" + "n" * 200 + ".jpg", bytes(1000)), ("a/" + "n" * 200 + ".cls", b"8"),
    ("\u00fcber.jpg", b"u"), ("\u00fcber.cls", b"9"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves files open
def test_tar_is_read_by_tarfile_and_webdataset(tmp_path):
    archive = formats.tar(SAMPLES)
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        assert [(info.name, found.extractfile(info).read()) for info in found] == SAMPLES
    (tmp_path / "a.tar").write_bytes(archive)
    samples = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [(s["__key__"], s["jpg"], s["cls"]) for s in samples] == [
        (SAMPLES[at][0][:-4], SAMPLES[at][1], SAMPLES[at + 1][1]) for at in (0, 2, 4)
    ]
    for bad in ("", "a/", "n" * 5000):
        with pytest.raises(s3dlio.InvalidArgumentError):
            formats.tar([(bad, b"")])


# ---- TFRecord


def test_tfrecord_there_and_back():
    file = formats.tfrecord(RECORDS)
    assert [bytes(record) for record in formats.tfrecord_records(file)] == RECORDS
    assert formats.tfrecord_records(b"") == [] and formats.tfrecord([]) == b""
    frames = [(offset, length) for offset, length in formats.tfrecord_frames(formats.tfrecord_index(file))]
    assert frames == formats.tfrecord_frames(formats.tfrecord_index(file, "text"), len(file))
    assert [bytes(formats.tfrecord_records(file[at:at + n])[0]) for at, n in frames] == RECORDS
    with pytest.raises(s3dlio.CorruptError, match="build it again"):
        formats.tfrecord_frames(formats.tfrecord_index(file), len(file) + 1)
    with pytest.raises(s3dlio.InvalidArgumentError):
        formats.tfrecord_index(file, "other")


def test_index_is_that_of_tfrecord2idx():
    """DALI's script, in short: it seeks over length, checksum, data and checksum of each record."""
    file = formats.tfrecord(RECORDS)
    lines, reader = [], io.BytesIO(file)
    while True:
        at = reader.tell()
        head = reader.read(8)
        if not head:
            break
        reader.seek(4 + struct.unpack("<q", head)[0] + 4, io.SEEK_CUR)
        lines.append(f"{at} {reader.tell() - at}\n")
    assert bytes(formats.tfrecord_index(file, "text")).decode() == "".join(lines)


def test_damaged_tfrecord_never_gives_wrong_records():
    file = bytes(formats.tfrecord(RECORDS[:3]))

    def read(file):
        # Where it is cut between two records, only the index tells.
        formats.tfrecord_frames(index, len(file))
        return [bytes(record) for record in formats.tfrecord_records(file)]

    for kind in ("pairs", "text"):
        index = formats.tfrecord_index(file, kind)
        errors, tries = damaged(file, read)
        assert errors == tries


# ---- through the loader: every file that another library wrote, and every damage


def drawn(root, **arguments):
    """Name and fields of every sample."""
    with s3dlio.Loader(s3dlio.Dataset(root, **arguments), batch_size=3) as loader:
        return [
            (sample.name, {name: bytes(data) for name, data in sample.fields.items()}) for batch in loader for sample in batch
        ]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_loader_reads_archives_of_tarfile(tmp_path, kind):
    long = f"{'d' * 90}/{'n' * 90}"
    files = [("a.jpg", b"1"), ("a.cls", b"2"), (f"{long}.jpg", bytes(2000)), (f"{long}.cls", b"4"), ("readme", b"")]
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid = len(data), 1e9 + 0.5, 3_000_000 if kind != tarfile.USTAR_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))
    got = drawn(f"file://{tmp_path}", format="tar")
    assert got == [("a", {"jpg": b"1", "cls": b"2"}), (long, {"jpg": bytes(2000), "cls": b"4"})]
    whole = (tmp_path / "a.tar").read_bytes()
    # Cut anywhere before the second block of zeros that ends it: an error, not fewer samples.
    for end in (511, 700, 1536, len(whole.rstrip(b"\0")), len(whole.rstrip(b"\0")) // 512 * 512 + 1024):
        (tmp_path / "a.tar").write_bytes(whole[:end])
        with pytest.raises(s3dlio.TruncatedError):
            drawn(f"file://{tmp_path}", format="tar")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_loader_reads_shards_of_webdataset(tmp_path):
    samples = [{"__key__": f"s/{number:05}", "txt": f"text {number}", "cls": number} for number in range(20)]
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for sample in samples:
            writer.write(sample)
    got = drawn(f"file://{tmp_path}", format="tar")
    assert [(name, fields["txt"].decode(), int(fields["cls"])) for name, fields in got] == [
        (sample["__key__"], sample["txt"], sample["cls"]) for sample in samples
    ]
    theirs = webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)
    assert [(s["__key__"], {"txt": s["txt"], "cls": s["cls"]}) for s in theirs] == got


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_loader_reads_members_of_numpys_files(tmp_path, save):
    for number in range(3):
        save(tmp_path / f"{number}.npz", x=numpy.full(4, number), y=numpy.arange(number))
    got = drawn(f"file://{tmp_path}", format="npz")
    assert [name for name, _ in got] == ["x", "y"] * 3
    assert [numpy.load(io.BytesIO(fields[""])).tolist() for _, fields in got[::2]] == [[number] * 4 for number in range(3)]
    assert [fields[""] for _, fields in drawn(f"file://{tmp_path}", format="npz", member="y")] == [f[""] for _, f in got[1::2]]
    file = bytearray((tmp_path / "1.npz").read_bytes())
    file[60] ^= 1
    (tmp_path / "1.npz").write_bytes(file)
    with pytest.raises((s3dlio.ChecksumMismatchError, s3dlio.CorruptError)) as caught:
        drawn(f"file://{tmp_path}", format="npz")
    assert caught.value.uri.endswith("/1.npz")


def test_loader_reads_records_with_an_index_and_without(tmp_path):
    for number in range(2):
        file = formats.tfrecord(RECORDS)
        (tmp_path / f"{number}.tfr").write_bytes(file)
        (tmp_path / f"{number}.tfr.idx").write_bytes(formats.tfrecord_index(file, ["pairs", "text"][number]))
    expected = [(str(number), {"": record}) for number, record in enumerate(RECORDS)] * 2
    for index in (None, ".idx"):
        assert drawn(f"file://{tmp_path}", format="tfrecord", glob="*.tfr", index=index) == expected
    dataset = s3dlio.Dataset(f"file://{tmp_path}", format="tfrecord", glob="*.tfr", index=".idx")
    assert len(dataset) == 8 and bytes(dataset[6].data) == RECORDS[2]
    file[30] ^= 1
    (tmp_path / "1.tfr").write_bytes(file)
    for index in (None, ".idx"):
        with pytest.raises(s3dlio.ChecksumMismatchError) as caught:
            drawn(f"file://{tmp_path}", format="tfrecord", glob="*.tfr", index=index)
        assert caught.value.uri.endswith("/1.tfr")
