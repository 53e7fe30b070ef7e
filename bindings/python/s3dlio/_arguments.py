"""Python values as C arguments: text, numbers, and the memory of buffers without copies."""

import ctypes
import operator
from ctypes import POINTER, c_char_p, c_int, c_ssize_t, c_void_p, py_object
from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple, Type

from . import _ffi
from ._finalizer import finalizer
from .errors import InvalidArgumentError, InvalidKeyError, InvalidUriError, S3dlioError


def text(value: str, error: Type[S3dlioError], what: str) -> bytes:
    """UTF-8 for a `const char *`; `error` where the text cannot be one C string."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError:
        encoded = None  # raised below, so that no context of the exception shows the value
    if encoded is None:
        raise error(f"the {what} cannot be encoded as UTF-8")
    if b"\0" in encoded:
        raise error(f"the {what} contains a NUL byte")
    return encoded


def key(value: str) -> bytes:
    return text(value, InvalidKeyError, "key")


def prefix(value: str) -> bytes:
    return text(value, InvalidKeyError, "prefix")


def uri(value: str) -> bytes:
    return text(value, InvalidUriError, "URI")


def u64(value: Any, what: str) -> int:
    """A whole number that fits 64 bits; ctypes itself would cut the rest off silently."""
    number = operator.index(value)
    if not 0 <= number < 2**64:
        raise InvalidArgumentError(f"{what} is {number}; expected 0 to 2**64 - 1")
    return number


def u32(value: Any, what: str) -> int:
    number = operator.index(value)
    if not 0 <= number < 2**32:
        raise InvalidArgumentError(f"{what} is {number}; expected 0 to 2**32 - 1")
    return number


def length(value: Optional[int]) -> int:
    """A range's length in bytes; None means to the end."""
    return _ffi.S3DLIO_TO_END if value is None else u64(value, "length")


class _PyBuffer(ctypes.Structure):
    """`Py_buffer` of CPython: part of its stable ABI, unchanged since 3.3."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", py_object),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", POINTER(c_ssize_t)),
        ("strides", POINTER(c_ssize_t)),
        ("suboffsets", POINTER(c_ssize_t)),
        ("internal", c_void_p),
    ]


_acquire = ctypes.pythonapi.PyObject_GetBuffer
_acquire.argtypes, _acquire.restype = (py_object, POINTER(_PyBuffer), c_int), c_int
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes, _release.restype = (POINTER(_PyBuffer),), None


class _View(_PyBuffer):
    """Released with its last reference; one that was never acquired, or is released, is nothing to release."""

    __del__ = finalizer(_release)


_SIMPLE, _WRITABLE = 0, 1


class Borrowed:
    """The memory of any object with the buffer protocol (bytes, bytearray, memoryview, mmap, NumPy
    arrays, `s3dlio.Buffer` ...), contiguous and without a copy.

    While this lives the object can neither move nor shrink its memory. Raises what Python itself
    raises: `TypeError` for other objects, `BufferError` for read-only or non-contiguous memory.
    """

    __slots__ = ("_view", "address", "length")

    def __init__(self, data: Any, *, writable: bool = False):
        view = _View()
        _acquire(data, view, _WRITABLE if writable else _SIMPLE)
        self._view: Any = view
        self.address: Optional[int] = view.buf
        self.length: int = view.len

    def release(self) -> None:
        """Gives the memory back now, not when the last reference (such as a traceback's) goes."""
        view = getattr(self, "_view", None)
        self._view = None
        if view is not None:
            _release(view)


class Ranges:
    """An array of `s3dlio_range` over the caller's memory."""

    def __init__(self, ranges: Iterable[Tuple[int, Any]]):
        pairs = [(u64(offset, "offset"), Borrowed(dst, writable=True)) for offset, dst in ranges]
        self._memory = [memory for _, memory in pairs]
        self.count = len(pairs)
        self.array = (_ffi.s3dlio_range * self.count)()
        for item, (offset, memory) in zip(self.array, pairs):
            item.offset, item.length, item.dst = offset, memory.length, memory.address

    def bytes_read(self) -> "list[int]":
        return [item.bytes_read for item in self.array]


def key_values(pairs: Mapping[str, str]) -> "ctypes.Array[_ffi.s3dlio_key_value]":
    array = (_ffi.s3dlio_key_value * len(pairs))()
    for item, (name, value) in zip(array, pairs.items()):
        item.key = text(name, InvalidArgumentError, "metadata name")
        item.value = text(value, InvalidArgumentError, "metadata value")
    return array


def put_options(
    content_type: Optional[str],
    metadata: Optional[Mapping[str, str]],
    if_match: Optional[str],
    create_only: bool,
) -> _ffi.s3dlio_put_options:
    """ctypes keeps the texts and the array alive as long as the struct."""
    options = _ffi.s3dlio_put_options(create_only=bool(create_only))
    if content_type is not None:
        options.content_type = text(content_type, InvalidArgumentError, "content type")
    if if_match is not None:
        options.if_match = text(if_match, InvalidArgumentError, "if_match")
    if metadata:
        options.metadata = key_values(metadata)
        options.metadata_count = len(metadata)
    return options


def keys(values: Sequence[str]) -> "ctypes.Array[c_char_p]":
    return (c_char_p * len(values))(*[key(value) for value in values])
