"""The methods for asyncio of stores, readers and writers."""

from ctypes import byref, sizeof
from typing import Any, AsyncIterator, List, Mapping, Optional

from . import _arguments as c
from . import _ffi, _owners
from ._library import lib
from .buffer import Buffer, from_handle
from .errors import call
from .info import ObjectInfo, WriteStats, object_info, write_stats
from .options import Options


def _run(*arguments: Any, **more: Any) -> Any:
    from . import aio  # asyncio is not imported where nobody uses it

    return aio.run(*arguments, **more)


def _buffer(event: Any, data: Any, reader: Any, batch: Any) -> Buffer:
    return from_handle(data)


def _count(event: Any, data: Any, reader: Any, batch: Any) -> int:
    return event.bytes


def _written(event: Any, data: Any, reader: Any, batch: Any) -> WriteStats:
    return write_stats(event.written[0])


def _nothing(event: Any, data: Any, reader: Any, batch: Any) -> None:
    return None


def _info(event: Any, data: Any, reader: Any, batch: Any) -> ObjectInfo:
    return object_info(event.infos[0][0])


def _infos(event: Any, data: Any, reader: Any, batch: Any) -> List[ObjectInfo]:
    return [object_info(event.infos[at][0]) for at in range(event.info_count)]


class AsyncStore:
    """What `Store` has for asyncio: the methods without the `a`, awaited instead of waited for."""

    _handle: Any

    async def aget(self, key: str) -> Buffer:
        """The whole object, as stored."""
        return await _run(lib.s3dlio_store_get_submit, self._handle, c.key(key), convert=_buffer)

    async def aget_range(self, key: str, offset: int, length: Optional[int] = None) -> Buffer:
        """`length` bytes from `offset`, fewer where the object ends; None: all that follow."""
        start, count = c.u64(offset, "offset"), c.length(length)
        return await _run(
            lib.s3dlio_store_get_range_submit, self._handle, c.key(key), start, count, convert=_buffer
        )

    async def aget_into(self, key: str, dst: Any) -> int:
        """Reads the whole object into `dst`, any writable buffer; gives its size."""
        memory = c.Borrowed(dst, writable=True)
        return await _run(
            lib.s3dlio_store_get_into_submit,
            self._handle, c.key(key), memory.address, memory.length, memory=memory, convert=_count,
        )

    async def aget_range_into(self, key: str, offset: int, dst: Any) -> int:
        """Fills `dst`, any writable buffer, from `offset`; fewer bytes where the object ends."""
        memory, start = c.Borrowed(dst, writable=True), c.u64(offset, "offset")
        return await _run(
            lib.s3dlio_store_get_range_into_submit,
            self._handle, c.key(key), start, memory.address, memory.length, memory=memory, convert=_count,
        )

    async def aput(
        self,
        key: str,
        data: Any,
        *,
        content_type: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
        if_match: Optional[str] = None,
        create_only: bool = False,
    ) -> WriteStats:
        """Stores `data`, any contiguous buffer, as one object; it is sent from where it lies. Where
        this is cancelled, the object may or may not have been stored."""
        memory = c.Borrowed(data)
        options = c.put_options(content_type, metadata, if_match, create_only)
        return await _run(
            lib.s3dlio_store_put_submit,
            self._handle, c.key(key), memory.address, memory.length, byref(options), sizeof(options),
            memory=memory, convert=_written,
        )

    async def astat(self, key: str) -> ObjectInfo:
        """The object's facts."""
        return await _run(lib.s3dlio_store_stat_submit, self._handle, c.key(key), convert=_info)

    async def adelete(self, key: str) -> None:
        """Deletes the object; a missing one is no error."""
        await _run(lib.s3dlio_store_delete_submit, self._handle, c.key(key), convert=_nothing)

    async def alist(self, prefix: str = "", recursive: bool = True) -> AsyncIterator[ObjectInfo]:
        """`async for` over the objects whose keys start with `prefix`, as `list`."""
        lister = _owners.Lister()
        text = c.prefix(prefix)
        call(lib.s3dlio_store_list, self._handle, text, int(bool(recursive)), byref(lister))
        while True:
            page = await _run(lib.s3dlio_lister_page_submit, lister, convert=_infos)
            if not page:
                return
            for info in page:
                yield info

    async def areader(self, key: str, options: Any = None, **keywords: Any) -> Any:
        """As `reader`; the object is opened without waiting."""
        from .reader import Reader

        given = Options(options, **keywords)
        return await _run(
            lib.s3dlio_reader_open_submit, self._handle, c.key(key), given._handle,
            convert=lambda event, data, reader, batch: Reader._of(reader),
        )


class AsyncReader:
    """What `Reader` has for asyncio."""

    _handle: Any

    async def aread_at(self, offset: int, dst: Any) -> int:
        """As `read_at`; many may be under way at once."""
        memory, start = c.Borrowed(dst, writable=True), c.u64(offset, "offset")
        return await _run(
            lib.s3dlio_reader_read_at_submit, self._handle, start, memory.address, memory.length,
            memory=memory, convert=_count,
        )

    async def areadinto(self, dst: Any) -> int:
        """As `readinto`; one at a time."""
        memory = c.Borrowed(dst, writable=True)
        return await _run(
            lib.s3dlio_reader_read_submit, self._handle, memory.address, memory.length,
            memory=memory, convert=_count,
        )


class AsyncWriter:
    """What `Writer` has for asyncio; one call at a time."""

    _handle: Any
    _reclaim: Any
    _end: Any

    async def awrite(self, data: Any) -> int:
        """As `write`. Where this is cancelled, nothing can be published any more."""
        handle, memory = self._handle, c.Borrowed(data)
        self._reclaim()
        return await _run(
            lib.s3dlio_writer_write_submit, handle, memory.address, memory.length,
            memory=memory, convert=_count,
        )

    async def afinish(self) -> WriteStats:
        """As `finish`. Where this is cancelled, the object may or may not have been published."""
        handle = self._handle
        self._reclaim()
        self._end()
        return await _run(lib.s3dlio_writer_finish_submit, handle, convert=_written)
