"""TensorFlow: tensors and variables as checkpoints.

    s3dlio.tensorflow.save({v.path: v for v in model.variables}, "s3://bucket/run1/checkpoints", step)
    s3dlio.tensorflow.restore({v.path: v for v in model.variables}, "s3://bucket/run1/checkpoints")
    tensors = s3dlio.tensorflow.load("s3://bucket/run1/checkpoints", names=["dense/kernel"])
"""

from typing import Any, Dict, Iterable, Mapping, Optional, Union

import tensorflow

from ._load import Checkpoint
from ._places import store_of
from ._save import CheckpointWriter
from .errors import InvalidArgumentError
from .options import Options
from .store import OptionValues, Store

__all__ = ["load", "restore", "save"]

Step = Union[None, int, str]


def save(
    tensors: Mapping[str, Any],
    place: Union[Store, str],
    step: int,
    *,
    replicated: bool = True,
    options: OptionValues = None,
    **writer: Any,
) -> None:
    """Saves tensors and variables by name and commits them. In a job of several processes all of them call it with the
    same tensors, and each tensor is stored by one of them; with `replicated=False` with different ones.
    Further arguments go to `CheckpointWriter`."""
    with CheckpointWriter(place, step, framework="tensorflow", options=options, **writer) as save_of_rank:
        arrays = {name: _numpy(tensor) for name, tensor in tensors.items()}
        save_of_rank.put_tensors(arrays, replicated=replicated)


def load(
    place: Union[Store, str],
    step: Step = None,
    *,
    names: Optional[Iterable[str]] = None,
    options: OptionValues = None,
    **keywords: Any,
) -> Dict[str, Any]:
    """Entries as tensors: all, or those named."""
    arrays = _open(place, step, options, keywords).load(names)
    return {name: tensorflow.constant(array) for name, array in arrays.items()}


def restore(
    variables: Mapping[str, Any],
    place: Union[Store, str],
    step: Step = None,
    *,
    options: OptionValues = None,
    **keywords: Any,
) -> None:
    """Assigns entries to variables by name; all are checked before the first one is assigned."""
    checkpoint = _open(place, step, options, keywords)
    arrays = checkpoint.load(list(variables))
    for name, variable in variables.items():
        array, dtype = arrays[name], tensorflow.as_dtype(variable.dtype)
        if tuple(variable.shape) != array.shape or dtype != tensorflow.as_dtype(array.dtype):
            raise InvalidArgumentError(
                f"variable {name!r} is {dtype.name} of shape {tuple(variable.shape)}; "
                f"the entry is {array.dtype} of shape {array.shape}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _numpy(tensor: Any) -> Any:
    import numpy

    array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
    return numpy.ascontiguousarray(array).reshape(numpy.shape(array))


def _open(place: Any, step: Step, options: OptionValues, keywords: Mapping[str, Any]) -> Checkpoint:
    given = Options(options, **keywords)
    return Checkpoint.open(place if isinstance(place, Store) else store_of(place, given), step, given)
