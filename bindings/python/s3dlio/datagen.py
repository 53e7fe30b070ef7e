"""Synthetic data: bytes that are the same for the same seed, object and offset, on every machine."""

from ctypes import byref, c_uint64, sizeof
from typing import Any, Optional, Sequence

from . import _arguments as c
from . import _ffi, _owners
from ._library import lib
from ._tensors import dtype_name
from .buffer import Buffer, from_handle
from .errors import InvalidArgumentError, call

__all__ = ["generate", "generate_object"]

_FORMATS = {
    "raw": _ffi.S3DLIO_FORMAT_RAW,
    "fixed": _ffi.S3DLIO_FORMAT_FIXED,
    "tar": _ffi.S3DLIO_FORMAT_TAR,
    "tfrecord": _ffi.S3DLIO_FORMAT_TFRECORD,
    "npz": _ffi.S3DLIO_FORMAT_NPZ,
    "hdf5": _ffi.S3DLIO_FORMAT_HDF5,
}


def generate(
    dst: Any,
    object: int = 0,  # noqa: A002
    offset: int = 0,
    *,
    seed: int = 0,
    dedupe: float = 1.0,
    compress: float = 1.0,
    block_size: int = 0,
    threads: int = 0,
) -> int:
    """Fills `dst`, any writable buffer, with the bytes from `offset` of the object of this number; gives how many.

    `dedupe` is how many blocks of `block_size` bytes (0: 4096) there are for each one of different content, `compress`
    how many bytes for each one that compression leaves; 1.0 is unique and incompressible. 0 `threads` are all cores.
    Different objects and seeds share no block.
    """
    memory, params = c.Borrowed(dst, writable=True), _params(seed, dedupe, compress, block_size, threads)
    number, start = c.u64(object, "object"), c.u64(offset, "offset")
    call(lib.s3dlio_generate, byref(params), sizeof(params), number, start, memory.address, memory.length)
    return memory.length


def generate_object(
    format: str,  # noqa: A002
    object: int = 0,  # noqa: A002
    *,
    count: int = 0,
    record_size: int = 0,
    shape: Sequence[int] = (),
    dtype: Any = "uint8",
    name: Optional[str] = None,
    seed: int = 0,
    dedupe: float = 1.0,
    compress: float = 1.0,
    block_size: int = 0,
    threads: int = 0,
) -> Buffer:
    """A whole object in a format: "raw", "fixed", "tar" and "tfrecord" have `count` records of `record_size` bytes, "npz"
    and "hdf5" one array `name` of `dtype` and `shape`, with `count` stacked `count` of them along a first axis. `name` is
    the extension of a tar file's members. The payload is that of `generate`."""
    if format not in _FORMATS:
        raise InvalidArgumentError(f"format is {format!r}; expected one of {', '.join(_FORMATS)}")
    extents = (c_uint64 * len(shape))(*[c.u64(extent, "shape") for extent in shape])
    what = _ffi.s3dlio_generate_object_params(
        format=_FORMATS[format], ndim=len(shape), dtype=dtype_name(dtype).encode(), shape=extents,
        count=c.u64(count, "count"), record_size=c.u64(record_size, "record_size"),
    )
    if name is not None:
        what.name = c.text(name, InvalidArgumentError, "name")
    params, data = _params(seed, dedupe, compress, block_size, threads), _owners.Buffer()
    number = c.u64(object, "object")
    call(lib.s3dlio_generate_object, byref(params), sizeof(params), byref(what), sizeof(what), number, byref(data))
    return from_handle(data)


def _params(seed: int, dedupe: float, compress: float, block_size: int, threads: int) -> Any:
    return _ffi.s3dlio_generate_params(
        seed=c.u64(seed, "seed"), dedupe=dedupe, compress=compress,
        block_size=c.u64(block_size, "block_size"), threads=c.u32(threads, "threads"),
    )
