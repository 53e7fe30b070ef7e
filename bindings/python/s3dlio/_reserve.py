"""Memory of the library's that the caller fills in place, as writers and streamed shards give it."""

import ctypes
import weakref
from ctypes import byref, c_size_t, c_void_p
from typing import Any, Optional

from . import _arguments as c
from .errors import call


class Reserving:
    """`reserve` and `commit`; everything else that uses the handle calls `_reclaim` before."""

    _handle: Any
    #: The functions of the library.
    _reserve_function: Any
    _commit_function: Any

    _reserved: Optional["weakref.ref[Any]"] = None
    _view: Optional[memoryview] = None

    def reserve(self, min_size: int) -> memoryview:
        """Writable memory of the library, at least `min_size` bytes, to fill and to `commit`.

        The next call releases the view. `BufferError` there while something else, such
        as a slice or a NumPy array, still looks at the memory: drop it and call again.
        """
        handle, size = self._handle, c.u64(min_size, "min_size")
        self._reclaim()
        start, capacity = c_void_p(), c_size_t()
        call(self._reserve_function, handle, size, byref(start), byref(capacity))
        memory: Any = (ctypes.c_ubyte * capacity.value).from_address(start.value)
        memory.owner = handle  # views keep the handle's memory alive
        self._reserved = weakref.ref(memory)
        self._view = memoryview(memory).cast("B")
        return self._view

    def commit(self, size: int) -> None:
        """Writes the first `size` bytes of the reserved memory, from where they lie."""
        handle, count = self._handle, c.u64(size, "size")
        self._reclaim()
        call(self._commit_function, handle, count)

    def _reclaim(self) -> None:
        """Takes the reserved memory back from its viewers."""
        if self._view is not None:
            self._view.release()
            self._view = None
        if self._reserved is not None and self._reserved() is not None:
            raise BufferError("the reserved memory is still in use by a view of it")
        self._reserved = None
