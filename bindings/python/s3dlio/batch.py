"""`Batch` and `Sample`: what a loader gives, seen where the library received it."""

import ctypes
import struct
from ctypes import byref, c_uint64
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union, overload

from . import _arguments as c
from . import _ffi
from ._library import lib
from .errors import BufferTooSmallError, call

# `s3dlio_sample` and `s3dlio_field`, read many at once: a ctypes struct per sample would cost more than its bytes.
_SAMPLE = struct.Struct("@PPQPNPN")
_FIELD = struct.Struct("@PPN")
_URI, _NAME, _INDEX, _FIELDS, _FIELD_COUNT, _DATA, _LENGTH = range(7)


class _Space(ctypes.c_ubyte * (2**63 - 1)):  # type: ignore[misc]
    """All memory of the process; a slice of its `memoryview` keeps what `owner` refers to.

    ctypes arrays are the only objects of pure Python on 3.9 that export foreign memory, and their size is part
    of their type: one type of the largest size spares a type for every size of a sample.
    """

    owner: Any


class Sample:
    """One item with its bytes. It keeps its batch alive, and so does every view of its data.

    A pickle has a copy of the bytes, so that samples can be sent to other processes.
    """

    __slots__ = ("_batch", "_row")

    def __init__(self, batch: "Batch", row: Tuple[int, ...]):
        self._batch = batch
        self._row = row

    @property
    def uri(self) -> str:
        """The object that it comes from."""
        return _text(self._row[_URI])

    @property
    def name(self) -> str:
        """The key of a tar sample, the member of an NPZ file, the number of a record; "" for whole objects."""
        return _text(self._row[_NAME])

    @property
    def index(self) -> int:
        """The number of the item in the dataset's own order."""
        return self._row[_INDEX]

    @property
    def data(self) -> memoryview:
        """The bytes, of the first field where there are several: a view, without a copy. Do not change them; it is writable
        only because `torch.frombuffer` complains about memory that is not."""
        return self._batch._view(self._row[_DATA], self._row[_LENGTH])

    @property
    def fields(self) -> Dict[str, memoryview]:
        """The bytes by name: one per extension of a tar sample, in the archive's order, else one named ""."""
        size = self._row[_FIELD_COUNT] * _FIELD.size
        rows = _FIELD.iter_unpack(ctypes.string_at(self._row[_FIELDS], size)) if size else ()
        return {_text(name): self._batch._view(data, length) for name, data, length in rows}

    def __len__(self) -> int:
        return self._row[_LENGTH]

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<s3dlio.Sample {self.index} {self.uri!r}{name} of {len(self)} bytes>"

    def __reduce__(self) -> Tuple[Any, ...]:
        fields = {name: bytearray(data) for name, data in self.fields.items()}
        return SampleCopy, (self.uri, self.name, self.index, fields)


class SampleCopy(Sample):
    """A sample that was sent to another process, in memory of Python's own."""

    __slots__ = ("uri", "name", "index", "_memory")

    def __init__(self, uri: str, name: str, index: int, memory: Dict[str, bytearray]):
        self.uri, self.name, self.index, self._memory = uri, name, index, memory  # type: ignore[misc]

    @property
    def data(self) -> memoryview:
        return memoryview(next(iter(self._memory.values()), bytearray()))

    @property
    def fields(self) -> Dict[str, memoryview]:
        return {name: memoryview(data) for name, data in self._memory.items()}

    def __len__(self) -> int:
        return len(self.data)


class Batch(Sequence[Sample]):
    """The samples of one step, in memory of the library that lives as long as the batch, a sample or a view of it."""

    __slots__ = ("_space", "_rows")

    def __init__(self, owner: Any):
        space = _Space.from_address(0)
        space.owner = owner
        self._space = memoryview(space).cast("B")
        size = lib.s3dlio_batch_count(owner) * _SAMPLE.size
        self._rows: List[Any] = list(_SAMPLE.iter_unpack(ctypes.string_at(lib.s3dlio_batch_samples(owner), size))) if size else []

    def _view(self, address: Optional[int], length: int) -> memoryview:
        return self._space[address : address + length] if address and length else memoryview(bytearray())

    @property
    def _owner(self) -> Any:
        return self._space.obj.owner

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> List[Sample]: ...

    def __getitem__(self, index: Union[int, slice]) -> Any:
        if isinstance(index, slice):
            return [Sample(self, row) for row in self._rows[index]]
        return Sample(self, self._rows[index])

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(self, row) for row in self._rows)

    @property
    def data(self) -> List[memoryview]:
        """The bytes of each sample, as `Sample.data`."""
        return [self._view(row[_DATA], row[_LENGTH]) for row in self._rows]

    def gather(self, out: Any = None, *, field: int = 0) -> Tuple[Any, Any]:
        """All samples' bytes, one after the other: an array of NumPy (uint8), and the offsets (uint64) at which
        they start, and end: sample `i` is `data[offsets[i]:offsets[i + 1]]`.

        They are copied into `out`, any writable buffer, where one is given: the array is a view of it, and
        `BufferTooSmallError`, whose `required` tells the size, says that it does not suffice. `field` is the number of the field.
        """
        import numpy

        offsets = numpy.empty(len(self) + 1, numpy.uint64)
        if out is None:
            out = numpy.empty(self._size(field, offsets), numpy.uint8)
        memory = c.Borrowed(out, writable=True)
        self._gather(field, memory.address, memory.length, offsets)
        memory.release()
        size = int(offsets[-1])
        return numpy.frombuffer(out, numpy.uint8, size) if size else numpy.empty(0, numpy.uint8), offsets

    def _size(self, field: int, offsets: Any) -> int:
        if field == 0:
            return sum(row[_LENGTH] for row in self._rows)
        try:
            self._gather(field, None, 0, offsets)
        except BufferTooSmallError as error:
            return error.required or 0
        return 0

    def _gather(self, field: int, address: Optional[int], length: int, offsets: Any) -> None:
        place = ctypes.cast(offsets.ctypes.data, ctypes.POINTER(c_uint64))
        call(lib.s3dlio_batch_gather, self._owner, c.u64(field, "field"), address, length, place)

    def __repr__(self) -> str:
        return f"<s3dlio.Batch of {len(self)} samples>"


def _text(address: Optional[int]) -> str:
    return ctypes.string_at(address).decode("utf-8", "surrogateescape") if address else ""
