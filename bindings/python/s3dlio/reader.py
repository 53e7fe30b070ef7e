"""`Reader`: an object as a binary file, with positional reads."""

import io
from ctypes import byref, c_size_t, c_uint64, sizeof
from typing import Any, Iterable, List, Optional, Tuple

from . import _arguments as c
from . import _ffi, _owners
from ._async import AsyncReader
from ._library import lib
from .errors import InvalidArgumentError, UnsupportedError, call
from .info import ObjectInfo, object_info
from .options import Options

_PIECE = 1 << 20  # read at once where nobody knows the size


class Reader(AsyncReader, io.RawIOBase):
    """An unbuffered, read-only file over one object; made by `Store.reader`.

    Pinned to the object's version at open: where it is replaced, reads raise `ChangedError`.
    `read_at`, `readv_at`, `size` and `info` may be used by many threads at once; sequential reads
    and seeks belong to one thread at a time. `read(n)` and `readinto` come short only at the end of the object. For many
    small reads wrap it in `io.BufferedReader`, as `Store.open` does. After a fork it works only in
    the parent (`ForkedError`). Offsets and sizes are in bytes, after decompression.
    """

    mode = "rb"

    def __init__(self, store: Any, key: str, options: Options):
        super().__init__()
        self._open: Optional[Any] = _owners.Reader()
        call(lib.s3dlio_reader_open, store, c.key(key), options._handle, byref(self._open))

    @classmethod
    def _of(cls, handle: Any) -> "Reader":
        reader = cls.__new__(cls)
        io.RawIOBase.__init__(reader)
        reader._open = handle
        return reader

    @property
    def _handle(self) -> Any:
        handle = self._open
        if handle is None:
            raise ValueError("I/O operation on closed file.")  # as every file of Python says it
        return handle

    # ---- facts

    @property
    def info(self) -> ObjectInfo:
        """The object's facts as of opening; its size is the stored one."""
        info = _ffi.s3dlio_object_info()
        call(lib.s3dlio_reader_info, self._handle, byref(info), sizeof(info))
        return object_info(info)

    @property
    def name(self) -> str:
        """The object's URI."""
        return self.info.uri

    @property
    def size(self) -> int:
        """Bytes after decompression; `UnsupportedError` where a .zst object does not tell."""
        size = c_uint64()
        call(lib.s3dlio_reader_size, self._handle, byref(size))
        return size.value

    # ---- positional

    def read_at(self, offset: int, dst: Any) -> int:
        """Fills `dst`, any writable buffer, from `offset`; fewer bytes where the object ends.

        Does not move the position. `RangeError` past the end, `UnsupportedError` while decompressing.
        """
        memory, count = c.Borrowed(dst, writable=True), c_size_t()
        start = c.u64(offset, "offset")
        call(lib.s3dlio_reader_read_at, self._handle, start, memory.address, memory.length, byref(count))
        return count.value

    def readv_at(self, ranges: Iterable[Tuple[int, Any]]) -> List[int]:
        """Many positional reads `(offset, dst)` at once into buffers that do not overlap; gives how
        many bytes each received."""
        wanted = c.Ranges(ranges)
        call(lib.s3dlio_reader_readv_at, self._handle, wanted.array, wanted.count)
        return wanted.bytes_read()

    # ---- sequential: io.RawIOBase

    def readable(self) -> bool:
        self._handle
        return True

    def seekable(self) -> bool:
        """True, also while decompressing: there backward means starting again."""
        self._handle
        return True

    def readinto(self, dst: Any) -> int:  # type: ignore[override]
        """Fills `dst`; fewer bytes only at the end of the object, 0 there."""
        memory, count = c.Borrowed(dst, writable=True), c_size_t()
        call(lib.s3dlio_reader_read, self._handle, memory.address, memory.length, byref(count))
        return count.value

    def readall(self) -> bytes:
        """Everything from the position to the end."""
        try:
            expected = max(0, self.size - self.tell())
        except UnsupportedError:
            expected = _PIECE
        pieces = []
        while True:
            piece = bytearray(expected + 1)  # one more, so that the end shows in the same call
            count = self.readinto(piece)
            pieces.append(memoryview(piece)[:count])
            if count < len(piece):
                return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the position; gives it in bytes from the start."""
        if not -(2**63) <= offset < 2**63:
            raise InvalidArgumentError(f"offset {offset} does not fit 64 bits")
        position = c_uint64()
        call(lib.s3dlio_reader_seek, self._handle, offset, whence, byref(position))
        return position.value

    def tell(self) -> int:
        return self.seek(0, io.SEEK_CUR)

    def expect_crc32c(self, crc32c: int) -> None:
        """Compares the plain bytes of a sequential read from 0 with `crc32c` when it reaches the end;
        the read there raises `ChecksumMismatchError`."""
        call(lib.s3dlio_reader_expect_crc32c, self._handle, c.u32(crc32c, "crc32c"))

    def close(self) -> None:
        """Lets the object go. Never blocks; again is harmless."""
        self._open = None
        super().close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a reader cannot be pickled; pickle the store and open it there")

    def __repr__(self) -> str:
        return f"<s3dlio.Reader {self.name!r}>" if not self.closed else "<closed s3dlio.Reader>"
