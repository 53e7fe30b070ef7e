"""`Writer`: a binary file that streams into an object and publishes it when it is finished."""

import io
import os
import sys
import warnings
from ctypes import byref, sizeof
from typing import Any

from . import _arguments as c
from . import _ffi, _owners
from ._async import AsyncWriter
from ._library import lib
from ._reserve import Reserving
from .buffer import Buffer
from .errors import InvalidStateError, S3dlioError, call
from .info import WriteStats, write_stats
from .options import Options


class Writer(AsyncWriter, Reserving, io.RawIOBase):
    """A write-only file over one object; made by `Store.writer`. One thread at a time.

    Nothing is visible before `finish()` or `close()` returned without an error. Inside `with` the
    object is published by leaving the block; an exception that leaves it aborts, also where
    something that wraps the writer (`io.BufferedWriter`, `io.TextIOWrapper`) closed it before. A
    writer that is garbage collected unfinished aborts, with a `RuntimeWarning`. Abort leaves
    nothing behind. The first error is final: everything after it fails in the same way.
    After a fork a writer works only in the parent (`ForkedError`).
    """

    mode = "wb"
    _reserve_function, _commit_function = lib.s3dlio_writer_reserve, lib.s3dlio_writer_commit

    def __init__(self, store: Any, key: str, options: Options, put_options: Any):
        super().__init__()
        self._ended = True  # until it is open
        self._in_with = False
        self._open = _owners.Writer()
        self._process = os.getpid()
        call(
            lib.s3dlio_writer_open,
            store, c.key(key), options._handle, byref(put_options), sizeof(put_options), byref(self._open),
        )
        self._ended = False
        self._key = lib.s3dlio_writer_key(self._open).decode()

    @property
    def _handle(self) -> Any:
        if self._ended or self.closed:
            raise InvalidStateError("the writer is finished, aborted or closed")
        return self._open

    # ---- facts

    @property
    def key(self) -> str:
        """The object's key: with .zst if it is compressed."""
        return self._key

    @property
    def name(self) -> str:
        return self._key

    @property
    def stats(self) -> WriteStats:
        """What was written so far; readable also after the end."""
        stats = _ffi.s3dlio_write_stats()
        call(lib.s3dlio_writer_get_stats, self._open, byref(stats), sizeof(stats))
        return write_stats(stats)

    # ---- writing: io.RawIOBase

    def writable(self) -> bool:
        self._handle
        return True

    def write(self, data: Any) -> int:
        """Takes all of `data`, any contiguous buffer, and gives its length in bytes. The memory is
        the caller's again when this returns."""
        handle, memory = self._handle, c.Borrowed(data)
        self._reclaim()
        call(lib.s3dlio_writer_write, handle, memory.address, memory.length)
        return memory.length

    def write_buffer(self, data: Buffer) -> int:
        """As `write` without a copy: `data` and its views must not be changed any more."""
        handle, copy = self._handle, _owners.Buffer()
        self._reclaim()
        call(lib.s3dlio_buffer_clone, data._handle, byref(copy))  # type: ignore[attr-defined]
        call(lib.s3dlio_writer_write_buffer, handle, copy)
        _owners.disown(copy)
        return len(data)  # type: ignore[arg-type]

    def tell(self) -> int:
        """Bytes taken in so far."""
        return self.stats.bytes

    # ---- the end

    def finish(self) -> WriteStats:
        """Uploads the rest and publishes the object. When this fails nothing is published, unless
        the error is an `UnknownOutcomeError`."""
        self._handle
        return self._publish()

    def _publish(self) -> WriteStats:
        self._reclaim()
        stats = _ffi.s3dlio_write_stats()
        self._end()
        call(lib.s3dlio_writer_finish, self._open, byref(stats), sizeof(stats))
        return write_stats(stats)

    def abort(self) -> None:
        """Gives up: nothing is published, what was uploaded is deleted. Harmless after the end."""
        if not self._ended:
            self._reclaim()
            self._end()
            call(lib.s3dlio_writer_abort, self._open)

    def _end(self) -> None:
        self._ended = True
        super().close()

    def close(self) -> None:
        """Finishes, unless that happened before. Inside `with` publishing waits for the block's end."""
        if self._in_with:
            super().close()
        elif not self._ended:
            self._publish()

    def __enter__(self) -> "Writer":
        self._handle
        self._in_with = True
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._in_with = False
        if self._ended:
            return
        if kind is None:
            self._publish()
            return
        try:
            self.abort()
        except (BufferError, S3dlioError) as error:
            # The block's exception matters more. Freeing the handle aborts in the background.
            self._end()
            if hasattr(value, "add_note"):
                value.add_note(f"aborting the upload failed as well: {error}")

    def __del__(self) -> None:
        # Not IOBase's, which would close and so publish. The handle's own finalizer aborts.
        if not getattr(self, "_ended", True) and os.getpid() == self._process and not sys.is_finalizing():
            warnings.warn(f"writer of {self._key!r} dropped unfinished: nothing is published", RuntimeWarning)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a writer cannot be pickled; pickle the store and open it there")

    def __repr__(self) -> str:
        state = "open" if not self._ended else "finished" if self.stats.finished else "aborted"
        return f"<s3dlio.Writer {self._key!r} {state}>"
