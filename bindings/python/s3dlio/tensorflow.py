"""TensorFlow: a source for `tf.data`, and tensors and variables as checkpoints.

    data = s3dlio.tensorflow.dataset("s3://bucket/train", shuffle=True).map(decode).batch(64).prefetch(2)

    s3dlio.tensorflow.save({v.path: v for v in model.variables}, "s3://bucket/run1/checkpoints", step)
    s3dlio.tensorflow.restore({v.path: v for v in model.variables}, "s3://bucket/run1/checkpoints")
    tensors = s3dlio.tensorflow.load("s3://bucket/run1/checkpoints", names=["dense/kernel"])
"""

import pickle
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Union

import tensorflow

from ._load import Checkpoint
from ._places import store_of
from ._save import CheckpointWriter
from .errors import InvalidArgumentError
from .loader import Loader, divide
from .options import Options
from .store import OptionValues, Store

__all__ = ["dataset", "load", "restore", "save"]

Step = Union[None, int, str]


def dataset(
    source: Any,
    *,
    batch_size: int = 64,
    unbatch: bool = True,
    shuffle: Union[None, bool, str] = None,
    seed: int = 0,
    epoch: Any = 0,
    rank: int = 0,
    world_size: int = 1,
    worker: Any = 0,
    workers: Any = 1,
    drop_last: Optional[bool] = None,
    options: OptionValues = None,
    **arguments: Any,
) -> "tensorflow.data.Dataset":
    """A `tf.data.Dataset` of (URI, name, bytes), three strings per sample, that are fetched ahead in a seeded order.

    The first pass over it is of `epoch`, every further one (another iterator, another round of `repeat`) of the next epoch.
    A pass counts from when it begins, also where it is broken off. A tensor as `epoch` says which one it is, and nothing
    is counted: `tf.data.Dataset.range(90).flat_map(lambda e: s3dlio.tensorflow.dataset(data, epoch=e))`.

    They cross into TensorFlow `batch_size` at a time; with `unbatch=False` they stay together. `worker` and `workers`,
    numbers or tensors, divide it for `interleave`: `tf.data.Dataset.range(4).interleave(lambda w:
    s3dlio.tensorflow.dataset(data, worker=w, workers=4), cycle_length=4, num_parallel_calls=4)`. Each worker counts its own
    passes: where a loop may break off before all of them began, say the epoch as a tensor, or their shares no longer fit
    together.

    `source` and further arguments are those of `s3dlio.Dataset`, the others those of `s3dlio.Loader`. It works in the
    process that made it.
    """
    items, rest = divide(source, options, arguments)
    # TensorFlow never lets go of a generator: it shall hold no more than it takes to open the dataset again.
    recipe = None if items.length is not None else pickle.dumps(items)
    kept = None if recipe else items
    passes: Optional[Dict[int, int]] = None if tensorflow.is_tensor(epoch) else {}

    def batches(worker: Any, workers: Any, epoch: Any) -> Iterator[Any]:
        turn = 0
        if passes is not None:
            turn = passes.get(int(worker), 0)
            passes[int(worker)] = turn + 1
        with Loader(
            pickle.loads(recipe) if recipe else kept, batch_size, shuffle=shuffle, seed=seed, epoch=int(epoch) + turn,
            drop_last=drop_last, rank=rank, world_size=world_size, worker=int(worker), workers=int(workers), options=rest,
        ) as loader:
            for batch in loader:
                yield [sample.uri for sample in batch], [sample.name for sample in batch], [bytes(data) for data in batch.data]

    text = tensorflow.TensorSpec((None,), tensorflow.string)
    del items
    places = [tensorflow.cast(number, tensorflow.int64) for number in (worker, workers, epoch)]
    found = tensorflow.data.Dataset.from_generator(batches, args=places, output_signature=(text, text, text))
    return found.unbatch() if unbatch else found


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
