"""`Pending`: the end of a save that goes on in the background."""

import threading
import time
from ctypes import byref, c_uint64, cast, sizeof
from typing import Any, Optional, Tuple

from . import _ffi, _owners
from ._library import lib
from .errors import S3dlioError, TimeoutError, call, from_handle  # noqa: A004

_TICK = 0.2  # seconds between two looks at Python's signals


class Pending:
    """What `CheckpointWriter.commit_async` gives. Any thread may ask it.

    Keep it: where it is dropped before the end, the save is cancelled, as by `cancel()`.
    """

    def __init__(self, function: Any, *arguments: Any):
        self._lock = threading.Lock()
        self._done = False
        self._error: Optional[S3dlioError] = None
        self._queue, self._op = _owners.Queue(), _owners.Op()
        call(lib.s3dlio_queue_new, byref(self._queue))
        call(function, *arguments, self._queue, 0, byref(self._op))

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._take(0)

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits for the end, no longer than `timeout` seconds; gives whether it was reached."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _TICK if end is None else min(_TICK, end - time.monotonic())
            if self._take(max(0, int(left * 1000))):
                return True
            if end is not None and time.monotonic() >= end:
                return False

    def exception(self, timeout: Optional[float] = None) -> Optional[S3dlioError]:
        """Waits as `wait`; gives the failure, or None. `TimeoutError` where it has not ended by then."""
        if not self.wait(timeout):
            raise TimeoutError(f"the save has not ended within {timeout} s; it goes on")
        return self._error

    def result(self, timeout: Optional[float] = None) -> None:
        """Waits as `wait`; raises what failed."""
        error = self.exception(timeout)
        if error is not None:
            raise error

    def cancel(self) -> None:
        """Asks it to end soon; the result is a `CancelledError`, or what it was where that was faster."""
        lib.s3dlio_op_cancel(self._op, None)

    @property
    def progress(self) -> Tuple[int, Optional[int]]:
        """Bytes moved so far, and how many there will be where that is known."""
        done, total = c_uint64(), c_uint64()
        call(lib.s3dlio_op_progress, self._op, byref(done), byref(total))
        return done.value, None if total.value == 2**64 - 1 else total.value

    def _take(self, timeout_ms: int) -> bool:
        with self._lock:
            if self._done:
                return True
            event = _ffi.s3dlio_event()
            if call(lib.s3dlio_queue_next, self._queue, timeout_ms, byref(event), sizeof(event)) != _ffi.S3DLIO_OK:
                return False
            error = cast(event.error, _owners.Error)
            if event.status < 0:
                self._error = from_handle(event.status, error)
            self._done = True
            return True

    def __repr__(self) -> str:
        state = "under way" if not self.done() else "failed" if self._error else "done"
        return f"<s3dlio.Pending {state}>"
