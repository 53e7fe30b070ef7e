"""Arrays of any library as the memory they lie in, without copies."""

import ctypes
import sys
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint64, c_void_p, py_object
from typing import Any, Dict, Iterable, NamedTuple, Optional, Sequence, Tuple, Union

from . import _arguments as c
from . import _ffi
from .errors import InvalidArgumentError

#: The types of a checkpoint's entries, and NumPy's names of them; those of ml_dtypes where NumPy has none.
NUMPY_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn",
    "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U32": "uint32",
    "F32": "float32", "C64": "complex64", "F64": "float64", "I64": "int64", "U64": "uint64",
}
NAMES = {theirs: ours for ours, theirs in NUMPY_NAMES.items()}
# By NumPy's kind and by DLPack's code, with the size in bytes.
_KINDS = {"b": "bool", "u": "uint", "i": "int", "f": "float", "c": "complex"}
_DLPACK = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool", 10: "float8_e4m3fn", 12: "float8_e5m2"}
_FORMATS = {
    "?": "BOOL", "B": "U8", "c": "U8", "b": "I8", "h": "I16", "H": "U16", "e": "F16", "i": "I32", "I": "U32",
    "f": "F32", "d": "F64", "Zf": "C64",
    "l": f"I{8 * ctypes.sizeof(ctypes.c_long)}", "L": f"U{8 * ctypes.sizeof(ctypes.c_long)}", "q": "I64", "Q": "U64",
}

Shape = Tuple[int, ...]


class Shard(NamedTuple):
    """The box of a larger tensor that a rank holds or wants: `Shard(array, (1024, 512), (256, 0))`.

    It begins at `start` and has the shape of `data`. Where `global_shape` is None it is that of `data`, or where
    something is loaded that of the entry; where `start` is None the box begins at the beginning.
    """

    data: Any
    global_shape: Optional[Sequence[int]] = None
    start: Optional[Sequence[int]] = None


class Spec(NamedTuple):
    """A tensor whose bytes come later: `Spec("F32", (256, 512))`; `dtype` is a type's name or NumPy's."""

    dtype: Any
    shape: Sequence[int]
    global_shape: Optional[Sequence[int]] = None
    start: Optional[Sequence[int]] = None


class Array(NamedTuple):
    """Contiguous memory in row-major order, valid as long as `keep`."""

    #: None: plain bytes of any meaning.
    dtype: Optional[str]
    shape: Shape
    address: Optional[int]
    length: int
    keep: Any


def dtype_name(dtype: Any) -> str:
    """The name of a type that is given by it, by NumPy's name, or as NumPy's dtype."""
    text = dtype if isinstance(dtype, str) else str(getattr(dtype, "name", dtype))
    name = text if text in NUMPY_NAMES else NAMES.get(text)
    if name is None:
        raise InvalidArgumentError(f"a checkpoint has no type {text!r}; it has {', '.join(NUMPY_NAMES)}")
    return name


def array_of(value: Any, what: str, *, writable: bool = False) -> Array:
    """The memory of anything with NumPy's array interface, DLPack or the buffer protocol.

    `TypeError` for other objects, `BufferError` for memory that is not contiguous, not this host's or read-only.
    """
    if isinstance(value, Array):
        return value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = numpy.asarray(value)
    if hasattr(value, "__array_interface__"):
        return _from_interface(value, what, writable)
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _from_dlpack(value, what)
    return _from_buffer(value, what, writable)


def _from_interface(value: Any, what: str, writable: bool) -> Array:
    facts = value.__array_interface__
    order, kind, digits = facts["typestr"][0], facts["typestr"][1], facts["typestr"][2:]
    if order == ">":
        raise InvalidArgumentError(f"{what} is big-endian; checkpoints are little-endian")
    # Types of ml_dtypes have only a name.
    named = str(getattr(getattr(value, "dtype", None), "name", facts["typestr"]))
    size = int(digits or 0)
    dtype = dtype_name("bool" if kind == "b" else f"{_KINDS[kind]}{8 * size}" if kind in _KINDS else named)
    shape = tuple(facts["shape"])
    _check_strides(shape, facts.get("strides"), size, what)
    address, read_only = facts["data"]
    if writable and read_only:
        raise BufferError(f"{what} is read-only")
    return Array(dtype, shape, address, _count(shape) * size, (value, facts))


def _from_buffer(value: Any, what: str, writable: bool) -> Array:
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{what} must be an array or a buffer, not {type(value).__name__}") from None
    if not view.c_contiguous:
        raise BufferError(f"{what} is not contiguous in row-major order; copy it first")
    form = view.format.lstrip("@=<")
    if form not in _FORMATS:
        raise InvalidArgumentError(f"{what} has elements of format {view.format!r}, which a checkpoint has no type for")
    memory = c.Borrowed(value, writable=writable)
    return Array(_FORMATS[form], tuple(view.shape or ()), memory.address, memory.length, memory)


class _DLTensor(ctypes.Structure):
    """`DLTensor` of DLPack, the same in all its versions."""

    _fields_ = [
        ("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
        ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16),
        ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("byte_offset", c_uint64),
    ]


_capsule = ctypes.pythonapi.PyCapsule_GetPointer
_capsule.argtypes, _capsule.restype = (py_object, c_char_p), c_void_p
_HOST = (1, 3, 11)  # plain, and pinned for CUDA and ROCm


def _from_dlpack(value: Any, what: str) -> Array:
    device = value.__dlpack_device__()
    if device[0] not in _HOST:
        raise BufferError(f"{what} is not in this host's memory (DLPack device {tuple(device)}); copy it there first")
    capsule = value.__dlpack__()
    tensor = _DLTensor.from_address(_capsule(capsule, b"dltensor"))
    text = _DLPACK.get(tensor.code, f"DLPack code {tensor.code}, ")
    dtype = dtype_name(text if text == "bool" or text.startswith("float8") else f"{text}{tensor.bits}")
    if tensor.lanes != 1:
        raise InvalidArgumentError(f"{what} has vectors of {tensor.lanes} as elements")
    shape, size = tuple(tensor.shape[: tensor.ndim]), tensor.bits // 8
    strides = tuple(step * size for step in tensor.strides[: tensor.ndim]) if tensor.strides else None
    _check_strides(shape, strides, size, what)
    address = None if tensor.data is None else tensor.data + tensor.byte_offset
    return Array(dtype, shape, address, _count(shape) * size, (value, capsule))


def _count(shape: Shape) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _check_strides(shape: Shape, strides: Optional[Shape], size: int, what: str) -> None:
    if strides is None or _count(shape) == 0:
        return
    expected = size
    for extent, step in zip(reversed(shape), reversed(strides)):
        if extent > 1 and step != expected:
            raise BufferError(f"{what} is not contiguous in row-major order; copy it first")
        expected *= extent


# ---- as C sees them


def numbers(values: Optional[Sequence[int]], what: str, ndim: Optional[int] = None) -> Any:
    """An array of u64, or None; `ndim` is how many there must be."""
    if values is None:
        return None
    array = [c.u64(value, what) for value in values]
    if ndim is not None and len(array) != ndim:
        raise InvalidArgumentError(f"{what} has {len(array)} numbers; expected {ndim}, one per dimension")
    return (c_uint64 * len(array))(*array)


class Tensors:
    """`s3dlio_tensor`s over the caller's memory."""

    def __init__(self, tensors: Union[Dict[str, Any], Iterable[Tuple[str, Any]]], replicated: bool = False):
        pairs = list(tensors.items() if hasattr(tensors, "items") else tensors)  # type: ignore[union-attr]
        self.count = len(pairs)
        self.array = (_ffi.s3dlio_tensor * self.count)()
        self._keep = []
        for item, (name, value) in zip(self.array, pairs):
            what = f"tensor {name!r}"
            box = value if isinstance(value, Shard) else Shard(value)
            if isinstance(value, Spec):
                array = Array(dtype_name(value.dtype), tuple(value.shape), None, 0, None)
                box = Shard(None, value.global_shape, value.start)
            else:
                array = array_of(box.data, what)
            item.name = c.text(name, InvalidArgumentError, "tensor's name")
            item.dtype = (array.dtype or "U8").encode()
            item.ndim, item.shape = len(array.shape), numbers(array.shape, f"shape of {what}")
            item.global_shape = numbers(box.global_shape, f"global_shape of {what}", item.ndim)
            item.start = numbers(box.start, f"start of {what}", item.ndim)
            item.flags = _ffi.S3DLIO_TENSOR_REPLICATED if replicated else 0
            item.data, item.length = array.address, array.length
            self._keep.append(array.keep)


class Request(NamedTuple):
    """A box of an entry, and writable memory for it. None: from the beginning, to the end."""

    name: str
    data: Array
    start: Optional[Sequence[int]] = None
    shape: Optional[Sequence[int]] = None


class Requests:
    """`s3dlio_tensor_request`s over the caller's memory."""

    def __init__(self, requests: Sequence[Request], rank: Optional[int]):
        self.count = len(requests)
        self.array = (_ffi.s3dlio_tensor_request * self.count)()
        self._keep = requests
        for item, wanted in zip(self.array, requests):
            what = f"entry {wanted.name!r}"
            item.name = c.text(wanted.name, InvalidArgumentError, "entry's name")
            item.start, item.shape = numbers(wanted.start, f"start of {what}"), numbers(wanted.shape, f"shape of {what}")
            item.ndim = len(wanted.start if wanted.start is not None else wanted.shape or ())
            item.rank = -1 if rank is None else c.u32(rank, "rank")
            item.data, item.length = wanted.data.address, wanted.data.length

    def release(self) -> None:
        """The memory is the caller's again."""
        self._keep = []
