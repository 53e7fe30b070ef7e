"""Writers under the predecessor's names: they stream, and nothing is visible before their end."""

import time
from typing import Any, Dict, Optional

from ..buffer import Buffer
from ..errors import InvalidArgumentError, InvalidStateError, S3dlioError
from ..info import WriteStats
from ..writer import Writer
from ._calls import _payload
from ._stores import object_place

_MIN_PART, _MAX_IN_FLIGHT = 5 << 20, 256


class MultipartUploadWriter:
    """A streaming upload: `MultipartUploadWriter(bucket, key)` or `from_uri(uri)`, for every kind of storage.

    `write` takes any buffer, which is the caller's again when it returns; `reserve(size)` and `commit(count)` fill
    memory of the library's in place. `close()` publishes and gives a dict; an exception that leaves `with`,
    `abort()`, or dropping the writer publish nothing and leave nothing, whatever `abort_on_drop` says.
    """

    def __init__(
        self,
        bucket: str,
        key: str,
        part_size: Optional[int] = None,
        max_in_flight: Optional[int] = None,
        content_type: Optional[str] = None,
        abort_on_drop: Optional[bool] = None,
    ):
        self._open(f"s3://{bucket}/{key}", part_size, max_in_flight, content_type)

    @classmethod
    def from_uri(
        cls,
        uri: str,
        part_size: Optional[int] = None,
        max_in_flight: Optional[int] = None,
        content_type: Optional[str] = None,
        abort_on_drop: Optional[bool] = None,
    ) -> "MultipartUploadWriter":
        """A writer for the object of this URI."""
        writer = cls.__new__(cls)
        writer._open(uri, part_size, max_in_flight, content_type)
        return writer

    def _open(
        self, uri: str, part_size: Optional[int], max_in_flight: Optional[int], content_type: Optional[str]
    ) -> None:
        options: Dict[str, Any] = {}
        if part_size is not None:
            options["transfer_part_size"] = max(part_size, _MIN_PART)
        if max_in_flight is not None:
            if max_in_flight < 1:
                raise InvalidArgumentError(f"max_in_flight is {max_in_flight}; expected a whole number from 1")
            options["transfer_parts_in_flight"] = min(max_in_flight, _MAX_IN_FLIGHT)
        store, key = object_place(uri)
        self.uri, self._started = uri, time.time()
        self._writer: Writer = store.writer(key, content_type=content_type, **options)
        self._closed: Optional[Dict[str, Any]] = None
        self._reserved: Optional[Buffer] = None

    def write(self, data: Any, *, copy: bool = False) -> int:
        """Takes all of `data`; gives its size in bytes."""
        return self._writer.write(_payload(data))

    def reserve(self, size: int) -> memoryview:
        """Exactly `size` writable bytes of the library's, to fill and to `commit`."""
        if size < 1:
            raise InvalidArgumentError(f"reserve of {size} bytes; expected at least 1")
        self._writer._handle
        self._reserved = Buffer(size)
        return self._reserved.view

    def commit(self, nbytes: int) -> None:
        """Writes the first `nbytes` of the reserved memory. Views of it may live on, but must not change it any more."""
        if self._reserved is None:
            raise InvalidStateError("commit without reserve; expected one reserve before each commit")
        size = len(self._reserved.view)
        if not 0 <= nbytes <= size:
            raise InvalidArgumentError(f"commit of {nbytes} bytes; expected 0 to {size}, as many as were reserved")
        buffer, self._reserved = self._reserved, None
        if nbytes == size:
            self._writer.write_buffer(buffer)
        else:
            self._writer.write(buffer.view[:nbytes])

    def flush(self) -> None:
        """Nothing: parts go when they are full, the rest when the upload is closed."""
        self._writer._handle

    def close(self) -> Dict[str, Any]:
        """Publishes; gives `etag`, `total_bytes`, `parts`, `started_at` and `completed_at` (seconds since 1970)."""
        if self._closed is None:
            stats = self._writer.finish()
            self._closed = dict(
                etag=stats.etag, total_bytes=stats.bytes, parts=max(stats.parts, 1), started_at=self._started,
                completed_at=time.time(),
            )
        return dict(self._closed)

    def abort(self) -> None:
        """Gives up: nothing is published. Harmless after the end."""
        self._writer.abort()

    def __enter__(self) -> "MultipartUploadWriter":
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            if not self._writer._ended:
                self.close()
            return
        try:
            self.abort()
        except (BufferError, S3dlioError) as error:
            # The block's exception matters more, and dropping the writer aborts as well.
            if hasattr(value, "add_note"):
                value.add_note(f"aborting the upload failed as well: {error}")


class PyWriterOptions:
    """Compression and buffer size of the `create_*_writer` functions; every call gives the options back."""

    def __init__(self) -> None:
        self._options: Dict[str, Any] = {}

    def with_compression(self, compression_type: str, level: Optional[int] = None) -> "PyWriterOptions":
        """"zstd" or "none"."""
        if compression_type not in ("zstd", "none"):
            raise InvalidArgumentError(f'compression {compression_type!r} is unknown; expected "zstd" or "none"')
        self._options["writer_compression"] = compression_type
        if level is not None:
            self._options["writer_compression_level"] = min(max(level, 1), 22)
        return self

    def with_buffer_size(self, size: int) -> "PyWriterOptions":
        """A part's size; at least 5 MiB are taken."""
        if size < 1:
            raise InvalidArgumentError(f"the buffer size is {size}; expected at least 1")
        self._options["transfer_part_size"] = max(size, _MIN_PART)
        return self


class PyObjectWriter:
    """`write_chunk` as often as you like, then `finalize`; made by the `create_*_writer` functions."""

    def __init__(self, uri: str, options: Optional[PyWriterOptions]):
        store, key = object_place(uri)
        self._writer: Writer = store.writer(key, **(options._options if options is not None else {}))
        self._stats: Optional[WriteStats] = None

    def write_chunk(self, data: Any) -> None:
        """Takes all of `data`, any buffer."""
        self._writer.write(_payload(data))

    def write_owned_bytes(self, data: Any, *, copy: bool = False) -> None:
        """`write_chunk`."""
        self.write_chunk(data)

    def finalize(self) -> "tuple[int, int]":
        """Publishes; gives the plain and the compressed bytes (0 without compression)."""
        if self._stats is not None:
            raise InvalidStateError("the writer is finalized")
        self._stats = self._writer.finish()
        return self.bytes_written(), self.compressed_bytes()

    def cancel(self) -> None:
        """Gives up: nothing is published."""
        self._writer.abort()

    def bytes_written(self) -> int:
        """Plain bytes."""
        return self._writer.stats.bytes

    def compressed_bytes(self) -> int:
        """Stored bytes, 0 without compression."""
        stats = self._writer.stats
        return stats.stored_bytes if self._writer.key.endswith(".zst") else 0

    def checksum(self) -> str:
        """CRC32C of the plain bytes, as crc32c:xxxxxxxx."""
        return f"crc32c:{self._writer.stats.crc32c:08x}"


def create_s3_writer(uri: str, options: Optional[PyWriterOptions] = None) -> PyObjectWriter:
    """A writer for an object of S3."""
    return PyObjectWriter(uri, options)


def create_azure_writer(uri: str, options: Optional[PyWriterOptions] = None) -> PyObjectWriter:
    """A writer for a blob."""
    return PyObjectWriter(uri, options)


def create_filesystem_writer(uri: str, options: Optional[PyWriterOptions] = None) -> PyObjectWriter:
    """A writer for a file."""
    return PyObjectWriter(uri, options)


def create_direct_filesystem_writer(uri: str, options: Optional[PyWriterOptions] = None) -> PyObjectWriter:
    """A writer for a file, past the page cache."""
    return PyObjectWriter(uri, options)
