"""Generated data, and small formats. NumPy is imported where it is used."""

import io
import os
import secrets
import struct
from typing import Any, List, Optional, Sequence, Tuple, Union

from ..buffer import Buffer, copy_of
from ..errors import ChecksumMismatchError, CorruptError, InvalidArgumentError, UnsupportedError
from ..library import crc32c, get
from ._calls import _at_once, _ensure_container, put_bytes

_DEFAULT_SIZE = 20 << 20
_CHUNK = 32 << 20


def generate_data(size: int, dedup: int = 1, compress: int = 1) -> Buffer:
    """Bytes with these ratios of deduplication and compression; others at every call."""
    return generate_data_with_threads(size, dedup, compress)


def generate_data_with_threads(size: int, dedup: int = 1, compress: int = 1, threads: Optional[int] = None) -> Buffer:
    """As `generate_data`, with so many threads."""
    data = Buffer(size)
    generate_into_buffer(data, dedup, compress, threads)
    return data


def generate_into_buffer(buffer: Any, dedup: int = 1, compress: int = 1, threads: Optional[int] = None) -> int:
    """Fills any writable buffer; gives how many bytes."""
    from ..datagen import generate

    return generate(
        buffer, seed=secrets.randbits(63), dedupe=float(max(dedup, 1)), compress=float(max(compress, 1)), threads=threads or 0
    )


class Generator:
    """`size` bytes, a buffer at a time; the same bytes for the same seed."""

    def __init__(
        self, size: int, dedup: int = 1, compress: int = 1, threads: Optional[int] = None,
        chunk_size: Optional[int] = None, seed: Optional[int] = None,
    ):
        self._size, self._at, self._threads = size, 0, threads or 0
        self._dedup, self._compress = float(max(dedup, 1)), float(max(compress, 1))
        self._seed = secrets.randbits(63) if seed is None else seed
        #: A good size for the buffers.
        self.chunk_size = chunk_size or _CHUNK

    def fill_chunk(self, buffer: Any) -> int:
        """Fills the buffer with what comes next; gives how many bytes, 0 at the end."""
        from ..datagen import generate

        view = memoryview(buffer).cast("B")
        count = min(len(view), self._size - self._at)
        if count:
            generate(
                view[:count], 0, self._at, seed=self._seed, dedupe=self._dedup, compress=self._compress, threads=self._threads
            )
            self._at += count
        return count

    def is_complete(self) -> bool:
        return self._at >= self._size

    def reset(self) -> None:
        """From the start again."""
        self._at = 0


def generate_npz_bytes(shape: Sequence[int], dtype: str = "<f4", num_samples: int = 1) -> Buffer:
    """An NPZ file, stored: `x` with random contents, `y` with `num_samples` labels (int64)."""
    import numpy

    kind, random = numpy.dtype(dtype), numpy.random.Generator(numpy.random.SFC64(secrets.randbits(63)))
    count = 1
    for length in shape:
        count *= int(length)
    if kind.kind == "f" and kind.itemsize in (4, 8):
        values = random.random(count, kind.newbyteorder("=")).astype(kind, copy=False)
    elif kind.kind in "iub":
        values = numpy.frombuffer(random.bytes(count * kind.itemsize), kind) if kind.kind != "b" else random.random(count) < 0.5
    else:
        values = random.random(count).astype(kind)
    file = io.BytesIO()
    numpy.savez(file, x=values.reshape([int(length) for length in shape]), y=numpy.zeros(num_samples, numpy.int64))
    return copy_of(file.getbuffer())


def read_npz(uri: str, array_name: Optional[str] = None) -> Any:
    """An array of an NPZ file, the first without a name."""
    import numpy

    with numpy.load(io.BytesIO(memoryview(get(uri)))) as arrays:  # type: ignore[arg-type]
        if array_name is None:
            array_name = arrays.files[0] if arrays.files else ""
        if array_name not in arrays.files:
            raise InvalidArgumentError(f"read {uri}: there is no array {array_name!r}; there are {', '.join(arrays.files) or 'none'}")
        return arrays[array_name]


def put_generated(
    prefix: str,
    num: int,
    template: Optional[str] = None,
    max_in_flight: int = 64,
    size: Optional[int] = None,
    should_create_bucket: bool = False,
    object_type: str = "zeros",
    dedup_factor: int = 1,
    compress_factor: int = 1,
    data_gen_algorithm: str = "random",
    data_gen_mode: str = "streaming",
    chunk_size: int = 262144,
) -> None:
    """Stores `num` objects below a prefix; `{}` in the template is the object's number, a second one their count."""
    kind, length = object_type.lower(), _DEFAULT_SIZE if size is None else size
    if kind not in ("zeros", "raw", "random", "npz"):
        raise UnsupportedError(f'objects of type {object_type!r} are not generated; expected "raw", "random", "zeros" or "npz"')
    if isinstance(num, bool) or num < 0:
        raise InvalidArgumentError(f"num is {num}; expected 0 or more")
    if should_create_bucket:
        _ensure_container(prefix)
    names = template or "object-{}"

    def store(number: str) -> None:
        if kind == "zeros":
            data: Any = bytes(length)
        elif kind == "npz":
            data = generate_npz_bytes([length], "|u1")
        else:
            data = generate_data(length, dedup_factor, compress_factor)
        name = names.replace("{}", number, 1).replace("{}", str(num), 1)
        put_bytes(f"{prefix if prefix.endswith('/') else prefix + '/'}{name}", data)

    if num:
        _at_once(max_in_flight, store, map(str, range(num)))


async def put_async(prefix: str, num: int, *arguments: Any, **keywords: Any) -> None:
    """As `put(prefix, num, ...)`, awaited."""
    import asyncio
    import functools

    work = functools.partial(put_generated, prefix, num, *arguments, **keywords)
    await asyncio.get_running_loop().run_in_executor(None, work)


# ---- TFRecord: offset and size of whole records, as NVIDIA DALI's index files say them


def get_tfrecord_index_entries(tfrecord_bytes: Any) -> List[Tuple[int, int]]:
    """Offset and size, head and checksums included, of each record; the heads' checksums are verified."""
    data, at, found = memoryview(tfrecord_bytes).cast("B"), 0, []
    while at < len(data):
        if len(data) - at < 12:
            raise CorruptError(f"TFRecord: {len(data) - at} bytes at {at} are too few for a record's head [corrupt]")
        length, masked = struct.unpack_from("<QI", data, at)
        plain = crc32c(bytes(data[at : at + 8]))
        if ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF != masked:
            raise ChecksumMismatchError(f"TFRecord: the head of the record at {at} does not match its checksum [checksum_mismatch]")
        size = 12 + length + 4
        if size > len(data) - at:
            raise CorruptError(f"TFRecord: the record at {at} has {size} bytes and {len(data) - at} are left [corrupt]")
        found.append((at, size))
        at += size
    return found


def index_tfrecord_bytes(tfrecord_bytes: Any) -> str:
    """The text of an index file."""
    return "".join(f"{offset} {size}\n" for offset, size in get_tfrecord_index_entries(tfrecord_bytes))


def create_tfrecord_index(tfrecord_path: Union[str, "os.PathLike[str]"], index_path: Optional[str] = None) -> int:
    """Writes the index file of a local file, beside it with .idx where no path is given; gives the number of records."""
    import mmap

    with open(tfrecord_path, "rb") as file:
        if os.fstat(file.fileno()).st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                view = memoryview(data)
                try:
                    text = index_tfrecord_bytes(view)
                finally:
                    view.release()
        else:
            text = ""
    with open(index_path or f"{os.fspath(tfrecord_path)}.idx", "w") as target:
        target.write(text)
    return text.count("\n")


def read_tfrecord_index(index_path: Union[str, "os.PathLike[str]"]) -> List[Tuple[int, int]]:
    """Offset and size of each record."""
    found = []
    with open(index_path) as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if words:
                if len(words) != 2 or not all(word.isdecimal() for word in words):
                    raise CorruptError(f"read {index_path}: line {number} is {line!r}; expected an offset and a size [corrupt]")
                found.append((int(words[0]), int(words[1])))
    return found
