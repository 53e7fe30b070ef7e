"""Row groups of Parquet files: their byte ranges, their bytes, and decoded as Arrow. pyarrow is imported where it is used."""

import collections
import io
import itertools
import os
import struct
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..buffer import Buffer, copy_of
from ..errors import CorruptError, InvalidArgumentError
from ._stores import object_place

_FOOTER_CAP = 4 << 20
_MAGIC, _TRAILER = b"PAR1", 8
_KEPT = 4096  # footers


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401  (pyarrow.parquet is an attribute from here on)
    except ImportError as error:
        raise ImportError(f"row groups of Parquet need pyarrow: pip install pyarrow ({error})") from error
    return pyarrow


# ---- footers, kept for the life of the process as the predecessor does: parquet_cache_invalidate forgets one


class _File(NamedTuple):
    metadata: Any
    #: The first row of each row group, and the number of rows.
    rows: List[int]


_files: "collections.OrderedDict[str, _File]" = collections.OrderedDict()


def _file(uri: str, footer_cap: int = _FOOTER_CAP) -> _File:
    found = _files.get(uri)
    if found is None:
        found = _files[uri] = _read_footer(uri, footer_cap)
        while len(_files) > _KEPT:
            _files.popitem(last=False)
    return found


def _read_footer(uri: str, footer_cap: int) -> _File:
    pyarrow = _pyarrow()
    store, key = object_place(uri)
    with store.reader(key, reader_read_ahead=0, reader_decompress=False) as reader:
        size = reader.size
        tail = bytearray(min(size, max(footer_cap, 64 << 10)))
        reader.read_at(size - len(tail), tail) if tail else 0
        if len(tail) < len(_MAGIC) + _TRAILER or tail[-4:] != _MAGIC:
            raise CorruptError(f"read {uri}: {size} bytes that do not end in {_MAGIC.decode()}, so it is no Parquet file [corrupt]")
        length = struct.unpack_from("<I", tail, len(tail) - _TRAILER)[0] + _TRAILER
        if length > size:
            raise CorruptError(f"read {uri}: the footer would have {length} bytes, the file has {size} [corrupt]")
        if length > len(tail):
            tail = bytearray(length)
            reader.read_at(size - length, tail)
    try:
        # All that is looked at is at the end.
        metadata = pyarrow.parquet.read_metadata(pyarrow.BufferReader(_MAGIC + memoryview(tail)[-length:].tobytes()))
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptError(f"read {uri}: the footer cannot be understood: {error} [corrupt]") from error
    rows = [0]
    for group in range(metadata.num_row_groups):
        rows.append(rows[-1] + metadata.row_group(group).num_rows)
    return _File(metadata, rows)


def parquet_rg_row_offsets(uri: str) -> List[int]:
    """The first row of each row group, and at the end the number of rows."""
    return list(_file(uri).rows)


def parquet_cache_clear() -> None:
    """Forgets all footers."""
    _files.clear()


def parquet_cache_invalidate(uri: str) -> None:
    """Forgets the footer of a file that was replaced."""
    _files.pop(uri, None)


def parquet_cache_len() -> int:
    """How many footers are kept."""
    return len(_files)


def _group(uri: str, file: _File, index: int) -> Any:
    count = file.metadata.num_row_groups
    if not 0 <= index < count:
        raise InvalidArgumentError(f"{uri}: row group {index} is asked for and there are {count} [invalid_argument]")
    return file.metadata.row_group(index)


def _columns(uri: str, group: Any, wanted: Optional[Sequence[int]]) -> List[Any]:
    for index in wanted or ():
        if not 0 <= index < group.num_columns:
            raise InvalidArgumentError(f"{uri}: column {index} is asked for and there are {group.num_columns} [invalid_argument]")
    return [group.column(index) for index in (range(group.num_columns) if wanted is None else wanted)]


def _extent(columns: Sequence[Any]) -> Tuple[int, int]:
    """Offset and length of what holds the columns."""
    if not columns:
        return 0, 0
    starts = [
        min(one.data_page_offset, one.dictionary_page_offset or one.data_page_offset) for one in columns
    ]
    ends = [start + one.total_compressed_size for start, one in zip(starts, columns)]
    return min(starts), max(ends) - min(starts)


# ---- one row group


def parquet_get_rg(
    uri: str,
    rg_idx: int,
    col_indices: Optional[Sequence[int]] = None,
    footer_cap: int = _FOOTER_CAP,
    decode: str = "arrow",
) -> Buffer:
    """A row group: "arrow", decoded as a stream of Arrow IPC with one batch, or "raw", its bytes in the file."""
    if decode not in ("arrow", "raw"):
        raise InvalidArgumentError(f'decode is {decode!r}; expected "arrow" or "raw"')
    file = _file(uri, footer_cap)
    columns = _columns(uri, _group(uri, file, rg_idx), col_indices)
    store, key = object_place(uri)
    if decode == "raw":
        return store.get_range(key, *_extent(columns))
    extents = [_extent([one]) for one in columns]
    pieces = dict(zip((start for start, _ in extents), store.get_ranges(key, extents)))
    return _decode(uri, file, rg_idx, col_indices, pieces)


def _decode(uri: str, file: _File, index: int, wanted: Optional[Sequence[int]], pieces: Dict[int, Buffer]) -> Buffer:
    pyarrow = _pyarrow()
    names = None if wanted is None else [file.metadata.schema.column(one).path for one in wanted]
    try:
        parquet = pyarrow.parquet.ParquetFile(pyarrow.PythonFile(_Pieces(pieces), "r"), metadata=file.metadata)
        table = parquet.read_row_group(index, columns=names, use_threads=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        _files.pop(uri, None)  # it may be that of a file that was replaced
        raise CorruptError(
            f"read {uri}: row group {index} cannot be decoded: {error} [corrupt]; hint: was the file replaced? its footer "
            "was read before and is forgotten now"
        ) from error
    batches = table.combine_chunks().to_batches() or [pyarrow.RecordBatch.from_pylist([], schema=table.schema)]
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return copy_of(sink.getvalue())


class _Pieces(io.RawIOBase):
    """A file of which only these pieces, by their offsets, are here."""

    def __init__(self, pieces: Dict[int, Buffer]):
        self._pieces, self._at = pieces, 0
        self._size = max((start + len(data) for start, data in pieces.items()), default=0)  # type: ignore[arg-type]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Between the pieces are zeros: pyarrow reads across small gaps, and does not look at them."""
        end = self._size if size < 0 else min(self._size, self._at + size)
        found = bytearray(max(0, end - self._at))
        for start, data in self._pieces.items():
            first, last = max(start, self._at), min(start + len(data), end)  # type: ignore[arg-type]
            if first < last:
                found[first - self._at : last - self._at] = data.view[first - start : last - start]
        self._at = max(self._at, end)
        return bytes(found)


# ---- an index over many files


class PyParquetIndex:
    """Byte ranges of the row groups of many files, and which of them were fetched in an epoch."""

    def __init__(self, col_indices: Optional[Sequence[int]] = None, footer_cap: int = _FOOTER_CAP):
        self._wanted = None if col_indices is None else list(col_indices)
        self._footer_cap = footer_cap
        self._rows: Dict[str, List[int]] = {}
        self._extents: Dict[str, List[Tuple[int, int]]] = {}
        self._fetched: Set[Tuple[str, int, int]] = set()

    def ensure_indexed(self, uris: Sequence[str], epoch: int = 1, batch_size: int = 16) -> None:
        """Reads the footers that are not known yet, so many at once."""
        new = [uri for uri in dict.fromkeys(uris) if uri not in self._extents]
        if not new:
            return
        with ThreadPoolExecutor(max(1, min(batch_size, len(new)))) as pool:
            for uri, file in zip(new, pool.map(lambda uri: _file(uri, self._footer_cap), new)):
                groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
                self._extents[uri] = [_extent(_columns(uri, group, self._wanted)) for group in groups]
                self._rows[uri] = file.rows

    def _known(self, uri: str) -> List[int]:
        if uri not in self._rows:
            raise InvalidArgumentError(f"{uri} is not indexed; call ensure_indexed with it first [invalid_argument]")
        return self._rows[uri]

    def is_indexed(self, uri: str) -> bool:
        return uri in self._rows

    def file_rg_count(self, uri: str) -> Optional[int]:
        """How many row groups the file has, None where it is not indexed."""
        return len(self._extents[uri]) if uri in self._extents else None

    def file_count(self) -> int:
        return len(self._rows)

    def __len__(self) -> int:
        """Row groups of all files."""
        return sum(map(len, self._extents.values()))

    def rg_for_sample(self, uri: str, sample_idx: int) -> int:
        """The row group that holds the row of this number; the last one for rows past the end."""
        rows = self._known(uri)
        low, high = 0, max(0, len(rows) - 2)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if rows[middle] <= sample_idx else (low, middle - 1)
        return low

    def rg_range(self, uri: str, rg_idx: int) -> Tuple[int, int]:
        """Offset and length in the file."""
        self._known(uri)
        extents = self._extents[uri]
        if not 0 <= rg_idx < len(extents):
            raise InvalidArgumentError(f"{uri}: row group {rg_idx} is asked for and there are {len(extents)} [invalid_argument]")
        return extents[rg_idx]

    def rg_lookup(self, uri: str, sample_idx: int) -> Tuple[int, int, int]:
        """Row group, offset and length for the row of this number."""
        index = self.rg_for_sample(uri, sample_idx)
        return (index, *self.rg_range(uri, index))

    def mark_fetched(self, uri: str, rg_idx: int, epoch: int) -> None:
        self._fetched.add((uri, rg_idx, epoch))

    def was_fetched(self, uri: str, rg_idx: int, epoch: int) -> bool:
        return (uri, rg_idx, epoch) in self._fetched

    def check_and_mark(self, uri: str, rg_idx: int, epoch: int) -> bool:
        """Whether it was fetched in this epoch before; from now on it was."""
        before = self.was_fetched(uri, rg_idx, epoch)
        self.mark_fetched(uri, rg_idx, epoch)
        return before

    def invalidate_uri(self, uri: str) -> None:
        """Forgets a file, its footer too."""
        self._rows.pop(uri, None)
        self._extents.pop(uri, None)
        self._fetched = {one for one in self._fetched if one[0] != uri}
        parquet_cache_invalidate(uri)

    def clear(self) -> None:
        """Forgets all."""
        self._rows.clear()
        self._extents.clear()
        self._fetched.clear()


# ---- streams of row groups


class PyParquetItem:
    """A row group: `file_uri`, `rg_idx`, `data`."""

    def __init__(self, file_uri: str, rg_idx: int, data: Buffer):
        self.file_uri, self.rg_idx, self.data = file_uri, rg_idx, data

    @property
    def byte_count(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.byte_count

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __getitem__(self, name: str) -> Any:
        return {"uri": self.file_uri, "rg_idx": self.rg_idx, "data": self.data}[name]


class PyParquetStreamLoader:
    """All row groups of the Parquet files below a prefix, as they arrive, `prefetch` of them under way."""

    def __init__(self, uri: str, opts: Dict[str, Any]):
        from ._calls import list as list_uris

        self._columns, self._decode = opts.get("columns"), opts.get("decode") or "raw"
        self._footer_cap, self._prefetch = int(opts.get("footer_cap") or _FOOTER_CAP), max(1, int(opts.get("prefetch") or 32))
        if self._decode not in ("raw", "arrow"):
            raise InvalidArgumentError(f'decode is {self._decode!r}; expected "arrow" or "raw"')
        uris = [one for one in list_uris(uri, recursive=True) if one.endswith((".parquet", ".pq"))]
        index = PyParquetIndex(self._columns, self._footer_cap)
        index.ensure_indexed(uris)
        self._groups = [(one, group) for one in uris for group in range(index.file_rg_count(one) or 0)]

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> "Iterator[PyParquetItem]":
        return _stream(list(self._groups), self._prefetch, self._fetch)

    def _fetch(self, group: Tuple[str, int]) -> PyParquetItem:
        return PyParquetItem(*group, parquet_get_rg(*group, self._columns, self._footer_cap, self._decode))


def _stream(groups: List[Tuple[str, int]], at_once: int, fetch: Any) -> "Iterator[PyParquetItem]":
    left = iter(groups)
    with ThreadPoolExecutor(min(at_once, 64)) as pool:
        pending: "Set[Future[PyParquetItem]]" = {pool.submit(fetch, group) for group in itertools.islice(left, at_once)}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for one in done:
                    group = next(left, None)
                    if group is not None:
                        pending.add(pool.submit(fetch, group))
                    yield one.result()
        finally:
            for one in pending:
                one.cancel()


# ---- generated files

Columns = Sequence[Tuple[str, int]]


def generate_parquet_bytes(num_cols: int, rows_per_rg: int, num_row_groups: int) -> Buffer:
    """A file with float32 columns col0, col1 ..."""
    return generate_parquet_bytes_schema(_numbered(num_cols), rows_per_rg, num_row_groups)


def generate_parquet_bytes_schema(columns: Columns, rows_per_rg: int, num_row_groups: int) -> Buffer:
    """A file with these columns: name, and how many float32 a row has there."""
    file = io.BytesIO()
    _write(file, columns, rows_per_rg, num_row_groups)
    return copy_of(file.getbuffer())


def generate_and_write_parquet(uri: str, num_cols: int, rows_per_rg: int, num_row_groups: int) -> None:
    """As `generate_parquet_bytes`, into an object."""
    generate_and_write_parquet_schema_streaming(uri, _numbered(num_cols), rows_per_rg, num_row_groups)


def generate_and_write_parquet_schema(uri: str, columns: Columns, rows_per_rg: int, num_row_groups: int) -> None:
    """As `generate_parquet_bytes_schema`, into an object."""
    generate_and_write_parquet_schema_streaming(uri, columns, rows_per_rg, num_row_groups)


def generate_and_write_parquet_schema_streaming(
    uri: str, columns: Columns, rows_per_rg: int, num_row_groups: int
) -> None:
    """As `generate_parquet_bytes_schema`, into an object; one row group at a time, the parts of the others upload."""
    store, key = object_place(uri)
    with store.writer(key) as file:
        _write(file, columns, rows_per_rg, num_row_groups)
    parquet_cache_invalidate(uri)


def _numbered(count: int) -> Columns:
    return [(f"col{index}", 1) for index in range(count)]


def _write(file: Any, columns: Columns, rows: int, groups: int) -> None:
    pyarrow = _pyarrow()
    import numpy

    for name, width in columns:
        if not isinstance(name, str) or not isinstance(width, int):
            raise TypeError(f"columns are pairs of a name and a number of floats, not ({name!r}, {width!r})")
        if width < 1:
            raise InvalidArgumentError(f"column {name!r} has {width} floats per row; expected 1 or more")
    item = pyarrow.field("item", pyarrow.float32(), nullable=False)
    kinds = [pyarrow.float32() if width == 1 else pyarrow.list_(item, width) for _, width in columns]
    schema = pyarrow.schema([pyarrow.field(name, kind, nullable=False) for (name, _), kind in zip(columns, kinds)])
    random = numpy.random.Generator(numpy.random.SFC64(int.from_bytes(os.urandom(8), "little")))
    sink = pyarrow.PythonFile(file, "w")
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(groups):
            arrays = []
            for (_, width), kind in zip(columns, kinds):
                values = pyarrow.array(random.random(rows * width, numpy.float32))
                arrays.append(values if width == 1 else pyarrow.FixedSizeListArray.from_arrays(values, type=kind))
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), row_group_size=max(rows, 1))
