"""`Buffer`: memory of the library, seen through Python's buffer protocol without a copy."""

import ctypes
import functools
import pickle
from ctypes import byref
from typing import Any, Type

from . import _owners
from ._arguments import Borrowed, u64
from .errors import call
from ._library import lib


class Buffer:
    """Bytes in memory that the library owns, aligned to 4096 bytes; what `get` returns.

    `memoryview(buffer)`, `numpy.frombuffer(buffer, ...)`, `torch.frombuffer(buffer, ...)` and
    everything else that takes the buffer protocol see the very bytes, writable and without a copy;
    `bytes(buffer)` copies. The memory lives until the buffer and every view of it are gone, then it
    returns to the library's pool. `Buffer(size)` makes one of `size` bytes with arbitrary contents,
    to read into. Any thread may use it.
    """

    __slots__ = ()

    # ctypes arrays are the only objects of pure Python on 3.9 that export foreign memory, and their
    # size is part of their type. So every instance is of a subclass made for its size.

    def __new__(cls, size: int) -> "Buffer":
        handle = _owners.Buffer()
        call(lib.s3dlio_buffer_new, u64(size, "size"), byref(handle))
        return from_handle(handle)

    def __init__(self, size: int):
        pass  # all done; the array's own constructor would set items

    @property
    def address(self) -> int:
        """Where the memory starts; 0 for an empty buffer."""
        return lib.s3dlio_buffer_data(self._handle) or 0  # type: ignore[attr-defined]

    @property
    def view(self) -> memoryview:
        """A writable `memoryview` of plain bytes (format "B")."""
        return memoryview(self).cast("B")  # type: ignore[arg-type]

    def memoryview(self) -> memoryview:
        """`view`, under the predecessor's name."""
        return self.view

    def to_bytes(self) -> bytes:
        """A copy."""
        return bytes(self.view)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The bytes as text."""
        return str(self.view, encoding, errors)

    def __bytes__(self) -> bytes:
        return bytes(self.view)

    def __getitem__(self, index: Any) -> Any:
        """A byte as int, or a slice as a `memoryview` without a copy."""
        return self.view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.view[index] = value

    def __eq__(self, other: Any) -> bool:
        """Compares the bytes with those of any object with the buffer protocol."""
        try:
            return self.view == memoryview(other).cast("B")
        except TypeError:
            return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<s3dlio.Buffer of {len(self)} bytes>"  # type: ignore[arg-type]

    def __reduce_ex__(self, protocol: int) -> Any:
        data = pickle.PickleBuffer(self) if protocol >= 5 else bytes(self)  # type: ignore[arg-type]
        return copy_of, (data,)


@functools.lru_cache(maxsize=1024)
def _type_of(size: int) -> Type[Buffer]:
    array: Any = type(ctypes.c_ubyte * 1)
    return array("Buffer", (Buffer, ctypes.Array), {
        "_type_": ctypes.c_ubyte, "_length_": size, "__module__": __name__,
    })


def from_handle(handle: Any, size: "int | None" = None) -> Buffer:
    """The buffer that owns `handle`, or its first `size` bytes."""
    if size is None:
        size = lib.s3dlio_buffer_size(handle)
    cls: Any = _type_of(size)
    buffer = cls.from_address(lib.s3dlio_buffer_data(handle)) if size else ctypes.Array.__new__(cls)
    buffer._handle = handle
    return buffer


def copy_of(data: Any) -> Buffer:
    """A new buffer with a copy of `data`'s bytes."""
    source = Borrowed(data)
    buffer = Buffer(source.length)
    ctypes.memmove(buffer.address, source.address, source.length)
    return buffer
