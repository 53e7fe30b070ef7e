"""asyncio: every event loop that is used gets a completion queue of the library's, whose descriptor it
watches. No threads are involved; the methods that start with `a` (`Store.aget` ...) come through here.

A task that is cancelled cancels its operation and goes on only when the library has let go of the
memory: afterwards the caller may do with its buffers what it likes.
"""

import asyncio
import ctypes
import itertools
import os
import weakref
from ctypes import byref, sizeof
from typing import Any, Callable, Dict, Tuple

from . import _ffi, _owners
from ._library import lib
from .errors import S3dlioError, call, from_handle

#: Events that are taken before the loop looks after others again.
_AT_ONCE = 256


class _Operation(asyncio.Future):  # type: ignore[type-arg]
    """Done when its event came, and not before: cancelling it asks the library to hurry up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, memory: Any, convert: Callable[..., Any]):
        super().__init__(loop=loop)
        self.memory = memory
        self.convert = convert
        self.op = _owners.Op()

    def cancel(self, msg: Any = None) -> bool:
        """False: it goes on for now. The task that waits for it is cancelled when it ends."""
        if not self.done():
            lib.s3dlio_op_cancel(self.op, None)
        return False


class _Queue:
    """The completion queue of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = weakref.ref(loop)
        self.process = os.getpid()
        self._handle = _owners.Queue()
        call(lib.s3dlio_queue_new, byref(self._handle))
        fd = ctypes.c_int32()
        call(lib.s3dlio_queue_fd, self._handle, byref(fd))
        self._fd = fd.value
        self._tokens = itertools.count()
        self._pending: Dict[int, _Operation] = {}

    def submit(self, function: Any, arguments: Tuple[Any, ...], memory: Any, convert: Any) -> _Operation:
        loop = asyncio.get_running_loop()
        operation, token = _Operation(loop, memory, convert), next(self._tokens)
        if not self._pending:
            loop.add_reader(self._fd, self._take)
        self._pending[token] = operation
        try:
            call(function, *arguments, self._handle, token, byref(operation.op))
        except S3dlioError:
            self._forget(token)
            raise
        return operation

    def _forget(self, token: int) -> Any:
        operation = self._pending.pop(token)
        loop = self._loop()
        if not self._pending and loop is not None:
            loop.remove_reader(self._fd)
        return operation

    def _take(self) -> None:
        event = _ffi.s3dlio_event()
        for _ in range(_AT_ONCE):
            if call(lib.s3dlio_queue_next, self._handle, 0, byref(event), sizeof(event)) != _ffi.S3DLIO_OK:
                break
            error = ctypes.cast(event.error, _owners.Error)
            data = ctypes.cast(event.data, _owners.Buffer)
            reader = ctypes.cast(event.reader, _owners.Reader)
            batch = ctypes.cast(event.batch, _owners.Batch)
            operation = self._forget(event.token)
            if operation.memory is not None:
                operation.memory.release()  # the caller's again
            try:
                if event.status < 0:
                    raise from_handle(event.status, error)
                operation.set_result(operation.convert(event, data, reader, batch))
            except Exception as failure:
                operation.set_exception(failure)


_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue]" = weakref.WeakKeyDictionary()


async def run(function: Any, *arguments: Any, memory: Any = None, convert: Callable[..., Any]) -> Any:
    """Submits an operation and waits for its event; `convert(event, data, reader, batch)` makes the result.

    `memory` is kept until the event came.
    """
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None or queue.process != os.getpid():  # a forked child has a queue of its own
        queue = _queues[loop] = _Queue(loop)
    return await queue.submit(function, arguments, memory, convert)
