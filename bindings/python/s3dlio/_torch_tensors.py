"""Tensors of PyTorch as entries of a checkpoint."""

from typing import Any, Optional, Tuple

import torch

from ._tensors import NUMPY_NAMES, Array, Shape
from .errors import UnsupportedError

_SPECIAL = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
DTYPES = {
    getattr(torch, _SPECIAL.get(name, theirs)): name
    for name, theirs in NUMPY_NAMES.items()
    if hasattr(torch, _SPECIAL.get(name, theirs))
}
TORCH_DTYPES = {name: dtype for dtype, name in DTYPES.items()}


def in_place(tensor: torch.Tensor) -> bool:
    """Whether its memory is what is stored: this host's, in row-major order."""
    lazy = tensor.is_conj() or tensor.is_neg()
    return tensor.device.type == "cpu" and tensor.is_contiguous() and not lazy


def plain(tensor: torch.Tensor, what: str) -> torch.Tensor:
    """The tensor in memory that can be stored; a copy only where it is not `in_place`."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UnsupportedError(f"{what} is {tensor.layout}, quantized {tensor.is_quantized}; only dense tensors can be stored")
    return tensor if in_place(tensor) else tensor.cpu().resolve_conj().resolve_neg().contiguous()


def array(tensor: torch.Tensor) -> Array:
    """The memory of a tensor that is `in_place`. Types that checkpoints lack are bytes, in one more dimension."""
    name, shape = type_and_shape(tensor.dtype, tuple(tensor.shape))
    return Array(name, shape, tensor.data_ptr(), tensor.numel() * tensor.element_size(), tensor)


def type_and_shape(dtype: torch.dtype, shape: Shape) -> Tuple[str, Shape]:
    name = DTYPES.get(dtype)
    return ("U8", (*shape, dtype.itemsize)) if name is None else (name, shape)


def start_of(dtype: torch.dtype, start: Optional[Any]) -> Optional[Shape]:
    """A box's start, with the dimension of the bytes where there is one."""
    if start is None:
        return None
    return tuple(start) if dtype in DTYPES else (*start, 0)
