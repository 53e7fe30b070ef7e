"""NumPy: arrays in `.npy` and `.npz` objects, without a copy and without reading what is not wanted.

    s3dlio.numpy.save("s3://bucket/data/weights.npy", weights)
    weights = s3dlio.numpy.load("s3://bucket/data/weights.npy")
    rows = s3dlio.numpy.load("s3://bucket/data/weights.npy", rows=slice(100, 200))
    s3dlio.numpy.savez("s3://bucket/data/batch.npz", x=x, y=y)
    x = s3dlio.numpy.loadz("s3://bucket/data/batch.npz", names=["x"])["x"]

The files are those of `numpy.save` and `numpy.savez`. Arrays of Python objects are pickles, and refused.
"""

import ast
import io
import struct
import zipfile
import zlib
from typing import Any, Dict, Iterable, Optional, Tuple

import numpy
from numpy.lib import format as npy

from ._places import object_of
from .errors import CorruptError, InvalidArgumentError
from .info import WriteStats
from .store import OptionValues, Store

__all__ = ["load", "loadz", "save", "savez"]

_PIECE = 16 << 20  # elements that are no contiguous array are copied piece by piece
_HEAD = 4096  # read at first; headers are rarely as long
_LONGEST = 64 << 10


def save(
    place: Any, array: Any, key: Optional[str] = None, options: OptionValues = None, **keywords: Any
) -> WriteStats:
    """Stores an array as a `.npy` object, from where it lies. `place` is the object's URI, or a store or its URI
    together with `key`. Options are the store's."""
    store, key = object_of(place, key, options, **keywords)
    data = _plain(array, key)
    with store.writer(key) as file:
        _write(file, data)
    return file.stats


def load(
    place: Any,
    key: Optional[str] = None,
    *,
    rows: Optional[slice] = None,
    out: Any = None,
    options: OptionValues = None,
    **keywords: Any,
) -> numpy.ndarray:
    """An array out of a `.npy` object, received into its memory by parallel ranges; `rows` of its first axis alone,
    where they are contiguous. `out` is an array to receive into, of the same shape, type and order. Compressed objects (.zst) are
    read as a whole."""
    store, key = object_of(place, key, options, **keywords)
    if key.endswith(".zst"):
        with store.open(key) as file:
            array = npy.read_array(io.BytesIO(file.read()), allow_pickle=False)
        array = array if rows is None else array[rows]
        if out is None:
            return array
        _into(out, array.shape, array.dtype, key)[...] = array
        return out
    with store.reader(key) as reader:
        return _read(reader, 0, reader.size, key, rows, out)


def savez(
    place: Any,
    arrays: Optional[Dict[str, Any]] = None,
    key: Optional[str] = None,
    *,
    compressed: bool = False,
    options: OptionValues = None,
    **more: Any,
) -> WriteStats:
    """Stores arrays by name, given as a mapping or as keywords, as a `.npz` object: streamed in constant memory, deflated where
    `compressed`. Options of the store go into `options`."""
    store, key = object_of(place, key, options)
    both = set(arrays or ()) & set(more)
    if both:
        raise InvalidArgumentError(f"{', '.join(sorted(both))}: given twice, in the mapping and as keywords")
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    plain = {name: _plain(array, name) for name, array in {**(arrays or {}), **more}.items()}
    # The archive ends first: only then is the object published.
    with store.writer(key) as file:
        with zipfile.ZipFile(file, "w", method, allowZip64=True) as archive:
            for name, array in plain.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as member:
                    _write(member, array)
    return file.stats


def loadz(
    place: Any,
    key: Optional[str] = None,
    *,
    names: Optional[Iterable[str]] = None,
    options: OptionValues = None,
    **keywords: Any,
) -> Dict[str, numpy.ndarray]:
    """The arrays of a `.npz` object by name: all, or those named. Only these are read; members that are not deflated are
    received into the arrays' memory."""
    store, key = object_of(place, key, options, **keywords)
    with store.reader(key) as reader, zipfile.ZipFile(io.BufferedReader(reader, _HEAD)) as archive:  # type: ignore[arg-type]
        members = {info.filename[:-4]: info for info in archive.infolist() if info.filename.endswith(".npy")}
        wanted = list(members) if names is None else list(names)
        for name in wanted:
            if name not in members:
                raise KeyError(f"{key} has no array {name!r}; it has {', '.join(map(repr, members)) or 'none'}")
        return {name: _member(archive, reader, members[name], f"{key}: {name}") for name in wanted}


def _member(archive: zipfile.ZipFile, reader: Any, info: zipfile.ZipInfo, what: str) -> numpy.ndarray:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        with archive.open(info) as file:
            return npy.read_array(file, allow_pickle=False)
    # The local header has the name and extra fields of its own; the data follow it.
    local = bytearray(30)
    if reader.read_at(info.header_offset, local) != 30 or local[:4] != b"PK\3\4":
        raise CorruptError(f"{what}: the archive has no local header where its directory says")
    start = info.header_offset + 30 + sum(struct.unpack_from("<HH", local, 26))
    return _read(reader, start, start + info.file_size, what, None, None, crc32=info.CRC)


def _read(
    reader: Any, start: int, end: int, what: str, rows: Optional[slice], out: Any, crc32: Optional[int] = None
) -> numpy.ndarray:
    """The array whose file begins at `start` of the object and ends before `end`."""
    shape, fortran, dtype, at, head = _header(reader, start, end, what)
    count = int(numpy.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
    if at + count > end:
        raise CorruptError(f"{what}: the header says {count} bytes of data, and {max(0, end - at)} are there")
    first, wanted = 0, tuple(shape)
    if rows is not None:
        if not shape or fortran and len(shape) > 1:
            raise InvalidArgumentError(f"{what}: rows of an array of shape {tuple(shape)} in {'Fortran' if fortran else 'C'} order do not lie together")
        first, stop, step = rows.indices(shape[0])
        if step != 1:
            raise InvalidArgumentError(f"{what}: rows with a step of {step} do not lie together; slice what was loaded")
        wanted = (max(0, stop - first), *shape[1:])
    order: Any = "F" if fortran else "C"
    array = numpy.empty(wanted, dtype, order) if out is None else _into(out, wanted, dtype, what)
    if not array.flags[f"{order}_CONTIGUOUS"]:
        raise InvalidArgumentError(f"{what}: out is not contiguous in {order} order, in which the array is stored")
    memory = array.reshape(-1, order=order).view(numpy.uint8) if array.nbytes else numpy.empty(0, numpy.uint8)
    offset = at + first * (count // shape[0] if shape and shape[0] else 0)
    if len(memory) and reader.read_at(offset, memory) != len(memory):
        raise CorruptError(f"{what}: the object ends within the array")
    if crc32 is not None and rows is None:
        if zlib.crc32(memory, zlib.crc32(head)) != crc32:
            raise CorruptError(f"{what}: the CRC-32 of the archive's directory is not that of the data")
    return array


def _header(reader: Any, start: int, end: int, what: str) -> Tuple[Tuple[int, ...], bool, numpy.dtype, int, bytes]:
    """Shape, order and type, where the data begin, and the bytes before them."""
    head = bytearray(min(_HEAD, end - start))
    reader.read_at(start, head)
    if head[:6] != npy.MAGIC_PREFIX or len(head) < 12 or head[6] not in (1, 2, 3):
        raise CorruptError(f"{what}: this is no .npy file")
    width, form = (2, "<H") if head[6] == 1 else (4, "<I")
    length = 8 + width + struct.unpack_from(form, head, 8)[0]
    if length > min(end - start, _LONGEST):
        raise CorruptError(f"{what}: the header says that it has {length} bytes, more than there are, or than {_LONGEST}")
    if length > len(head):
        head = bytearray(length)
        reader.read_at(start, head)
    try:
        text = bytes(head[8 + width : length]).decode("utf-8" if head[6] == 3 else "latin1")
        facts = ast.literal_eval(text.strip())
        shape, fortran, dtype = facts["shape"], facts["fortran_order"], npy.descr_to_dtype(facts["descr"])
        if not all(isinstance(n, int) and n >= 0 for n in shape) or not isinstance(fortran, bool):
            raise ValueError(f"shape {shape!r}, fortran_order {fortran!r}")
    except (ValueError, SyntaxError, KeyError, TypeError, UnicodeDecodeError, MemoryError, RecursionError) as error:
        raise CorruptError(f"{what}: the header of the .npy file cannot be read: {error}") from None
    if dtype.hasobject:
        raise InvalidArgumentError(f"{what}: an array of Python objects is a pickle, which is not loaded")
    return tuple(shape), fortran, dtype, start + length, bytes(head[:length])


def _plain(array: Any, what: str) -> numpy.ndarray:
    data = numpy.asarray(array)
    if data.dtype.hasobject:
        raise InvalidArgumentError(f"{what}: an array of Python objects would be a pickle; give it a type of its own")
    return data


def _write(file: Any, array: numpy.ndarray) -> None:
    facts, head = npy.header_data_from_array_1_0(array), io.BytesIO()
    try:
        npy.write_array_header_1_0(head, facts)
    except ValueError:  # too long for the first version, or names that are not Latin
        npy.write_array(file, array, allow_pickle=False)
        return
    file.write(head.getvalue())
    if not array.nbytes:
        return
    if array.flags.c_contiguous or array.flags.f_contiguous:
        file.write(array.reshape(-1, order="F" if facts["fortran_order"] else "C").view(numpy.uint8))
        return
    step = max(1, _PIECE // array[:1].nbytes)
    for at in range(0, len(array), step):
        file.write(numpy.ascontiguousarray(array[at : at + step]).reshape(-1).view(numpy.uint8))


def _into(out: Any, shape: Tuple[int, ...], dtype: numpy.dtype, what: str) -> numpy.ndarray:
    if not isinstance(out, numpy.ndarray) or out.shape != tuple(shape) or out.dtype != dtype:
        given = f"{out.dtype} of shape {out.shape}" if isinstance(out, numpy.ndarray) else f"a {type(out).__name__}"
        raise InvalidArgumentError(f"{what}: out is {given}; the array is {dtype} of shape {tuple(shape)}")
    return out
