"""An object as a file to read or to write, as the connector has them."""

import functools
import io
import os
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Union

from ...buffer import Buffer
from ...store import Store

_BUFFER = 256 << 10
_RANGED_BUFFER = 8 << 20


class Source:
    """The `get_stream` of our client: the object's bytes from `start` to `end`, in pieces. Readers of ours go to the
    store itself."""

    def __init__(self, store: Store, name: str, data: Optional[Buffer] = None):
        self.store, self.name = store, name
        #: The whole object, where it was fetched together with others.
        self.data = data

    def __call__(self, start: Optional[int] = None, end: Optional[int] = None) -> Iterator[bytes]:
        with self.store.reader(self.name, reader_decompress=False) as reader:
            reader.seek(start or 0)
            left = (reader.size if end is None else min(end, reader.size)) - (start or 0)
            while left > 0:
                piece = reader.read(min(left, _RANGED_BUFFER))
                if not piece:
                    return
                left -= len(piece)
                yield piece


class S3Reader(io.BufferedIOBase):
    """A seekable binary file over one object. Nothing is read, nor asked for, before it is used."""

    def __init__(
        self, bucket: str, key: str, get_object_info: Optional[Callable[[], Any]] = None, get_stream: Any = None
    ):
        if not bucket:
            raise ValueError("Bucket should be specified")
        self._bucket, self._key, self._get_object_info, self._source = bucket, key, get_object_info, get_stream
        self._open: Any = None

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def key(self) -> str:
        return self._key

    def _file(self) -> Any:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if self._open is None or self._open[0] != os.getpid():  # a parent's reader stays the parent's
            position = self._open[1].tell() if self._open is not None and self._source.data is not None else 0
            self._open = os.getpid(), self._start()
            if position:
                self._open[1].seek(position)
        return self._open[1]

    def _start(self) -> Any:
        if self._source.data is not None:
            return io.BytesIO(bytes(self._source.data))  # which `read()` of all then gives without a copy
        return io.BufferedReader(self._source.store.reader(self._source.name, reader_decompress=False), _BUFFER)

    def prefetch(self) -> None:
        """Opens the object."""
        self._file()

    def read(self, size: Optional[int] = None) -> bytes:  # type: ignore[override]
        if size is not None and not isinstance(size, int):
            raise TypeError(f"argument should be integer or None, not {type(size)!r}")
        whole = size is None or size < 0
        if whole and self._open is None and not self.closed and self._source.data is None and self._is_sequential:
            # One request, without asking for the size before.
            self._source.data = self._source.store.get(self._source.name)
        return self._file().read(-1 if whole else size)

    _is_sequential = True

    def readinto(self, buf: Any) -> int:  # type: ignore[override]
        return self._file().readinto(buf)

    def readline(self, size: Optional[int] = -1) -> bytes:  # type: ignore[override]
        return self._file().readline(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if not isinstance(offset, int) or not isinstance(whence, int):
            raise TypeError("seek takes integers")
        if whence == io.SEEK_SET and offset < 0:
            raise ValueError(f"negative seek value {offset}")
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError("Seek must be passed SEEK_CUR, SEEK_SET, or SEEK_END")
        return self._file().seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._open is None and not self.closed else self._file().tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        opened, self._open = getattr(self, "_open", None), None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()
        super().close()


class SequentialS3Reader(S3Reader):
    """Reads ahead; a `read()` of everything is one request."""


class RangedS3Reader(S3Reader):
    """Reads only what is asked for, in ranges of `buffer_size` (8 MiB; 0: of the very size that is read)."""

    _is_sequential = False

    def __init__(
        self, bucket: str, key: str, get_object_info: Optional[Callable[[], Any]] = None, get_stream: Any = None,
        buffer_size: Optional[int] = None,
    ):
        super().__init__(bucket, key, get_object_info, get_stream)
        self._buffer_size = _RANGED_BUFFER if buffer_size is None else buffer_size
        if self._buffer_size < 0:
            raise ValueError(f"buffer_size is {buffer_size}; expected 0 or more")

    def _start(self) -> Any:
        source = self._source
        reader = source.store.reader(source.name, reader_decompress=False, reader_read_ahead=0)
        return io.BufferedReader(reader, self._buffer_size) if self._buffer_size else reader


class ItemRange(NamedTuple):
    """Bytes of a shard that a load wants."""

    start: int
    end: int


class DCPOptimizedConstructor:
    """Readers for shards of `torch.distributed.checkpoint`: ranges in the order of the plan."""

    def __init__(self, max_gap_size: Union[int, float] = 32 << 20):
        if max_gap_size < 0:
            raise ValueError("max_gap_size must be non-negative")
        self._max_gap_size = max_gap_size
        self._item_ranges_by_file: "dict[str, List[ItemRange]]" = {}

    def set_item_ranges_by_file(self, plan_items: Any, storage_data: Any, base_path: Any) -> None:
        """What of which file will be read."""
        found: "dict[str, List[ItemRange]]" = {}
        for item in plan_items:
            where = storage_data[item.storage_index]
            path = os.path.join(os.fspath(base_path), where.relative_path)
            found.setdefault(path, []).append(ItemRange(where.offset, where.offset + where.length))
        self._item_ranges_by_file = found

    def __call__(self, bucket: str, key: str, get_object_info: Any = None, get_stream: Any = None) -> S3Reader:
        if key.endswith(".metadata"):
            return SequentialS3Reader(bucket, key, get_object_info, get_stream)
        return RangedS3Reader(bucket, key, get_object_info, get_stream)


class S3ReaderConstructor:
    """How objects are read: `sequential()` (the default), `range_based(buffer_size)` or `dcp_optimized(max_gap_size)`."""

    @staticmethod
    def sequential() -> Callable[..., S3Reader]:
        return functools.partial(SequentialS3Reader)

    @staticmethod
    def range_based(buffer_size: Optional[int] = None) -> Callable[..., S3Reader]:
        return functools.partial(RangedS3Reader, buffer_size=buffer_size)

    @staticmethod
    def dcp_optimized(max_gap_size: Union[int, float] = 32 << 20) -> DCPOptimizedConstructor:
        return DCPOptimizedConstructor(max_gap_size)

    @staticmethod
    def default() -> Callable[..., S3Reader]:
        return S3ReaderConstructor.sequential()

    @staticmethod
    def get_reader_type_string(constructor: Optional[Callable[..., S3Reader]]) -> str:
        if isinstance(constructor, DCPOptimizedConstructor):
            return "dcp_optimized"
        made = getattr(constructor, "func", None) if constructor is not None else SequentialS3Reader
        return {SequentialS3Reader: "sequential", RangedS3Reader: "range_based"}.get(made, "unknown")  # type: ignore[arg-type]


class S3Writer(io.BufferedIOBase):
    """A binary file that streams into an object. Published by `close()`, or by leaving `with` without an exception."""

    def __init__(self, stream: Any):
        self.stream = stream
        self._position = 0

    def __enter__(self) -> "S3Writer":
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self.close()
            return
        self.stream.__exit__(kind, value, trace)
        super().close()

    def write(self, data: Any) -> int:
        """Takes all of `data`, any contiguous buffer."""
        if self.closed:
            raise ValueError("write to closed file")
        count = self.stream.write(data)
        self._position += count
        return count

    def flush(self) -> None:
        """Nothing: parts go when they are full."""

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return not self.closed

    def close(self) -> None:
        if not self.closed:
            try:
                self.stream.finish()
            finally:
                super().close()

    def __del__(self) -> None:
        pass  # not IOBase's, which would publish; the stream's own finalizer aborts
