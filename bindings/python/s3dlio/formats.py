"""File formats as bytes: TFRecord and its indexes, tar, NPY, NPZ and HDF5, without I/O and without NumPy.

    store.put("train.tfrecord", formats.tfrecord(examples))
    store.put("train.tfrecord.idx", formats.tfrecord_index(store.get("train.tfrecord")))
    for record in formats.tfrecord_records(store.get("train.tfrecord")):
        ...                                          # checked; a view of the file's bytes
    store.put("batch.npz", formats.npz({"x": x, "y": y}))
    store.put("batch.h5", formats.hdf5({"x": x, "y": y}))

Damaged files raise `ChecksumMismatchError`, `TruncatedError` or `CorruptError`, what is not read here
`UnsupportedError`; `details["offset"]` says where. Arrays of NumPy are best stored and loaded with `s3dlio.numpy`.
"""

import ctypes
from ctypes import byref, c_size_t
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from . import _ffi, _owners
from ._arguments import Borrowed, u64
from ._arguments import text as c_text
from ._library import lib
from .buffer import Buffer, from_handle
from .errors import BufferTooSmallError, InvalidArgumentError, call

__all__ = [
    "NpyInfo", "NpzMember", "hdf5", "npy_head", "npy_info", "npz", "npz_list",
    "npz_members", "npz_read", "npz_unpack", "tar", "tfrecord", "tfrecord_frames", "tfrecord_index", "tfrecord_records",
]

_KINDS = {"pairs": _ffi.S3DLIO_INDEX_PAIRS, "text": _ffi.S3DLIO_INDEX_TEXT}


def tfrecord(records: Iterable[Any]) -> bytearray:
    """A TFRecord file of these records, each of them bytes or any other buffer."""
    file = bytearray()
    written = c_size_t()
    for record in records:
        data = Borrowed(record)
        at = len(file)
        file.extend(bytes(data.length + 16))
        frame = (ctypes.c_ubyte * (data.length + 16)).from_buffer(file, at)
        try:
            call(lib.s3dlio_tfrecord_append, data.address, data.length, ctypes.addressof(frame), len(frame), byref(written))
        finally:
            del frame  # it holds the bytearray
            data.release()
    return file


def tar(files: Iterable[Tuple[str, Any]]) -> bytearray:
    """A tar archive of (name, data) pairs. Of WebDataset's samples the files follow each other and differ in what stands after
    the first dot of the name."""
    archive = bytearray()
    for name, data in (*files, (None, b"")):
        encoded = None if name is None else c_text(name, InvalidArgumentError, "name of a file")
        source, written, at = Borrowed(data), c_size_t(), len(archive)
        # What is too much is cut off again.
        archive.extend(bytes(source.length + 8192))
        place = (ctypes.c_ubyte * (source.length + 8192)).from_buffer(archive, at)
        try:
            call(lib.s3dlio_tar_append, encoded, source.address, source.length, ctypes.addressof(place), len(place), byref(written))
        finally:
            del place
            source.release()
        del archive[at + written.value:]
    return archive


def tfrecord_records(data: Any) -> List[memoryview]:
    """The records of a TFRecord file, or of any run of whole frames: views of `data`, both checksums of each checked."""
    view = memoryview(data).cast("B")
    source = Borrowed(view)
    found = _extents(lib.s3dlio_tfrecord_parse, len(view) // 16, source.address, source.length)
    return [view[offset:offset + length] for offset, length in found]


def tfrecord_index(data: Any, kind: str = "pairs") -> Buffer:
    """The index of a TFRecord file: "pairs" of little-endian 64-bit numbers, or the "text" of DALI's tfrecord2idx."""
    if kind not in _KINDS:
        raise InvalidArgumentError(f"kind is {kind!r}; expected one of {', '.join(map(repr, _KINDS))}")
    source, index = Borrowed(data), _owners.Buffer()
    call(lib.s3dlio_tfrecord_index, source.address, source.length, _KINDS[kind], byref(index))
    return from_handle(index)


def tfrecord_frames(index: Any, file_size: Optional[int] = None) -> List[Tuple[int, int]]:
    """Offset and length of the frame of every record, out of an index of either kind. With the size of the TFRecord file
    the index is held against it."""
    source = Borrowed(index)
    size = _ffi.S3DLIO_TO_END if file_size is None else u64(file_size, "file_size")
    # No line of text is shorter than "0 16\n".
    return _extents(lib.s3dlio_tfrecord_index_parse, source.length // 5, source.address, source.length, size)


def _extents(function: Any, most: int, *arguments: Any) -> List[Tuple[int, int]]:
    found, count = (_ffi.s3dlio_extent * most)(), c_size_t()
    call(function, *arguments, found, most, byref(count))
    return [(extent.offset, extent.length) for extent in found[:count.value]]


class NpyInfo(NamedTuple):
    """What an NPY file holds: the type as NumPy spells it, and where the elements lie in the file."""

    descr: str
    shape: Tuple[int, ...]
    fortran_order: bool
    offset: int
    length: int


def npy_head(descr: str, shape: Iterable[int], fortran_order: bool = False) -> Buffer:
    """What stands before the elements in an NPY file. `descr` is a type such as "<f4"."""
    axes = [u64(axis, "an axis of shape") for axis in shape]
    head = _owners.Buffer()
    text = c_text(descr, InvalidArgumentError, "descr")
    call(lib.s3dlio_npy_head, text, int(fortran_order), (ctypes.c_uint64 * len(axes))(*axes), len(axes), byref(head))
    return from_handle(head)


def npy_info(head: Any, file_size: Optional[int] = None) -> NpyInfo:
    """What an NPY file of `file_size` bytes holds, by its first bytes (256 are mostly enough, else it is
    `BufferTooSmallError` and `required` says how many); without `file_size`, `head` is the whole file."""
    source, info = Borrowed(head), _ffi.s3dlio_npy_info()
    size = source.length if file_size is None else u64(file_size, "file_size")
    call(lib.s3dlio_npy_parse, source.address, source.length, size, byref(info), ctypes.sizeof(info))
    shape = tuple(info.shape[:info.ndim])
    return NpyInfo(info.descr.decode(), shape, bool(info.fortran_order), info.data_offset, info.data_length)


def npz(arrays: Mapping[str, Any]) -> Buffer:
    """An NPZ file of arrays, not compressed: what has NumPy's array interface, or is a buffer of bytes. The same arrays make
    the same bytes."""
    return _file(lib.s3dlio_npz_write, arrays)


def hdf5(arrays: Mapping[str, Any]) -> Buffer:
    """An HDF5 file of arrays of integers and floats, each a contiguous dataset of the root group."""
    return _file(lib.s3dlio_hdf5_write, arrays)


def _file(function: Any, arrays: Mapping[str, Any]) -> Buffer:
    keep: List[Any] = []
    given = (_ffi.s3dlio_array * len(arrays))()
    for to, (name, array) in zip(given, arrays.items()):
        descr, shape = _type(name, array)
        source = _bytes(array)
        axes = (ctypes.c_uint64 * len(shape))(*shape)
        texts = c_text(name, InvalidArgumentError, "name of an array"), descr.encode()
        keep += [source, axes, texts]
        to.name, to.descr = texts
        to.shape, to.ndim = ctypes.cast(axes, ctypes.POINTER(ctypes.c_uint64)), len(shape)
        to.data, to.length = source.address, source.length
    file = _owners.Buffer()
    call(function, given, len(given), byref(file))
    return from_handle(file)


def _type(name: str, array: Any) -> Tuple[str, Tuple[int, ...]]:
    interface = getattr(array, "__array_interface__", None)
    if interface is not None:
        return interface["typestr"], tuple(interface["shape"])
    view = memoryview(array)
    types = {"B": "|u1", "b": "|i1", "c": "|u1", "<B": "|u1"}
    if view.format not in types:
        raise InvalidArgumentError(f"array {name!r} is a buffer of {view.format!r}; expected bytes or an array of NumPy")
    return types[view.format], view.shape or ()


def _bytes(array: Any) -> Borrowed:
    """The elements, row-major; a copy where they do not lie so, or their type knows no buffers (times)."""
    try:
        return Borrowed(array)
    except (BufferError, ValueError):
        return Borrowed(array.tobytes())


class NpzMember(NamedTuple):
    """A member of an NPZ file: `name` with ".npy", `size` once unpacked; `length` bytes of the file from `offset` on are what
    `npz_unpack` takes."""

    name: str
    offset: int
    length: int
    size: int
    packed: int
    crc32: int
    method: int
    flags: int


def npz_members(tail: Any, file_size: Optional[int] = None) -> List[NpzMember]:
    """The members of an NPZ file of `file_size` bytes, by its last bytes (65,536 are mostly enough, else it is
    `BufferTooSmallError` and `required` says how many); without `file_size`, `tail` is the whole file."""
    source = Borrowed(tail)
    size = source.length if file_size is None else u64(file_size, "file_size")
    members, count, owner = ctypes.POINTER(_ffi.s3dlio_npz_member)(), c_size_t(), _owners.Buffer()
    call(lib.s3dlio_npz_list, source.address, source.length, size, byref(members), byref(count), byref(owner))
    names = [field for field, _ in _ffi.s3dlio_npz_member._fields_[1:]]
    return [
        NpzMember(members[at].name.decode(), *(getattr(members[at], name) for name in names)) for at in range(count.value)
    ]


def npz_unpack(member: NpzMember, data: Any) -> Buffer:
    """The NPY file that a member is, unpacked and checked, out of the file's bytes that `member` names."""
    source, file = Borrowed(data), _owners.Buffer()
    given = _ffi.s3dlio_npz_member(c_text(member.name, InvalidArgumentError, "name of a member"), *member[1:])
    call(lib.s3dlio_npz_unpack, byref(given), source.address, source.length, byref(file))
    return from_handle(file)


def npz_list(file: Any) -> List[NpzMember]:
    """The members of an NPZ object that is open as a `Reader`: only the end of it is read."""
    tail, size = 65536, file.size
    while True:
        tail = min(tail, size)
        data = Buffer(tail)
        file.read_at(size - tail, data)
        try:
            return npz_members(data, size)
        except BufferTooSmallError as error:
            if error.required is None or error.required <= tail:
                raise
            tail = error.required


def npz_read(file: Any, member: NpzMember) -> Buffer:
    """The NPY file that a member of an open `Reader` is: only its bytes are read."""
    data = Buffer(member.length)
    read = file.read_at(member.offset, data)
    return npz_unpack(member, data[:read])
