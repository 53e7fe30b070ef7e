"""JAX: batches of training data, and pytrees of arrays as checkpoints.

    for x in s3dlio.jax.batches("s3://bucket/train", 64, dtype="float32", shape=(28, 28), shuffle=True, sharding=sharding):
        state = step(state, x)

    s3dlio.jax.save(state, "s3://bucket/run1/checkpoints", step)        # in every process
    state = s3dlio.jax.restore(like, "s3://bucket/run1/checkpoints")    # as `like`: its tree, types and shardings

Leaves are `jax.Array`s, arrays of NumPy, and numbers; each is an entry named by its path, such as "params/dense/0". Every
process stores the pieces that its devices hold, each piece once; arrays of NumPy and numbers are the same in all processes.
"""

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import jax
import numpy

from ._load import Checkpoint
from ._places import store_of
from ._save import CheckpointWriter
from ._tensors import Array, Request, Shard, array_of, dtype_name
from .batch import Batch, Sample
from .errors import InvalidArgumentError
from .loader import Loader, States, divide
from .options import Options
from .store import OptionValues, Store

__all__ = ["Batches", "batches", "load", "restore", "save"]

_NUMBERS = (bool, int, float, complex)


class Batches(Iterator[Any]):
    """What `batches` gives; `state()`, `stats()` and `close()` are those of `s3dlio.Loader`."""

    def __init__(self, loader: Loader, convert: Callable[[Batch], Any], most: Optional[int]):
        self.loader, self._convert, self._left = loader, convert, most
        self.state, self.stats, self.close = loader.state, loader.stats, loader.close

    def __next__(self) -> Any:
        if self._left is not None:
            if self._left == 0:
                raise StopIteration
            self._left -= 1
        batch = next(self.loader)
        while not batch:  # everything in it failed and was skipped
            batch = next(self.loader)
        return self._convert(batch)

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def batches(
    source: Any,
    batch_size: int,
    *,
    dtype: Any = "uint8",
    shape: Sequence[int] = (-1,),
    transform: Optional[Callable[[Sample], Any]] = None,
    sharding: Any = None,
    shuffle: Union[None, bool, str] = None,
    seed: int = 0,
    epoch: int = 0,
    drop_last: bool = True,
    state: Optional[States] = None,
    options: OptionValues = None,
    **arguments: Any,
) -> Batches:
    """Batches of one epoch as arrays of NumPy, with the batch as first axis; each process draws its share, by
    `jax.process_index()` and `jax.process_count()`.

    A sample is `shape` elements of `dtype`, one after the other as they are stored; or what `transform` makes of the
    `Sample`, arrays and numbers or a pytree of them, which are stacked. With a `sharding` the batches of all
    processes are one `jax.Array` of that sharding: `batch_size` is what one process draws. Unless `drop_last` is False,
    or the epoch is resumed with `state`, every process gets the same number of batches. `source` and further arguments are those of `s3dlio.Dataset`, the others those of
    `s3dlio.Loader`.
    """
    dataset, rest = divide(source, options, arguments)
    most, processes = None, jax.process_count()
    if processes > 1 and drop_last and state is None:
        dataset = dataset.indexed()
        most = len(dataset) // processes // batch_size
    loader = Loader(
        dataset, batch_size, shuffle=shuffle, seed=seed, epoch=epoch, drop_last=drop_last, state=state, options=rest,
        rank=jax.process_index(), world_size=processes,
    )
    element = numpy.dtype(dtype)

    def gathered(batch: Batch) -> numpy.ndarray:
        data, offsets = batch.gather()
        sizes = numpy.diff(offsets)
        if (sizes != sizes[:1]).any():
            odd = int(numpy.argmax(sizes != sizes[0]))
            raise InvalidArgumentError(
                f"{batch[odd]!r} has another size than {batch[0]!r}; a transform can make arrays of one shape of them"
            )
        try:
            return data.view(element).reshape(len(batch), *shape)
        except ValueError:
            raise InvalidArgumentError(f"{batch[0]!r} is no {element} of shape {tuple(shape)}") from None

    def stacked(batch: Batch) -> Any:
        return jax.tree_util.tree_map(lambda *leaves: numpy.stack(leaves), *map(transform, batch))  # type: ignore[arg-type]

    def convert(batch: Batch) -> Any:
        tree = gathered(batch) if transform is None else stacked(batch)
        if sharding is None:
            return tree
        return jax.tree_util.tree_map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), tree)

    return Batches(loader, convert, most)


def save(
    tree: Any,
    place: Union[Store, str],
    step: int,
    *,
    separator: str = "/",
    options: OptionValues = None,
    writer: Optional[Mapping[str, Any]] = None,
    **keywords: Any,
) -> None:
    """Saves a pytree and commits it; returns when it is committed.

    Where several processes save, rank and world size are those of `jax.process_index()` and `jax.process_count()`, and
    a `run_id` is needed that all of them share: `writer={"run_id": ...}` goes to `CheckpointWriter`, as do `epoch` and
    `metadata`.
    """
    given = {
        "rank": jax.process_index(), "world_size": jax.process_count(), "framework": "jax",
        "options": options, **keywords, **(writer or {}),
    }
    with CheckpointWriter(place, step, **given) as save_of_rank:
        pieces: List[Tuple[str, Any]] = []
        same: List[Tuple[str, Any]] = []
        for name, leaf in _named(tree, separator).items():
            if isinstance(leaf, jax.Array):
                pieces += _pieces(name, leaf)
            else:
                same.append((name, _numpy(leaf, name)))
        save_of_rank.put_tensors(pieces)
        if same:
            save_of_rank.put_tensors(same, "same", replicated=True)


def restore(
    like: Any,
    place: Union[Store, str],
    step: Union[None, int, str] = None,
    *,
    separator: str = "/",
    options: OptionValues = None,
    **keywords: Any,
) -> Any:
    """Loads a pytree of the structure of `like`, from the latest checkpoint or that of `step` or an id.

    Where a leaf of `like` is a `jax.Array`, or a `jax.ShapeDtypeStruct`, the result has its sharding, and each
    process reads what its devices hold; an array of NumPy or a number becomes one.
    """
    checkpoint = _open(place, step, options, keywords)
    named = _named(like, separator)
    requests: List[Request] = []
    makers = [_maker(checkpoint, name, leaf, requests) for name, leaf in named.items()]
    checkpoint._load(requests, None)
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), [make() for make in makers])


def load(
    place: Union[Store, str], step: Union[None, int, str] = None, *, options: OptionValues = None, **keywords: Any
) -> Dict[str, numpy.ndarray]:
    """All entries as arrays of NumPy, by name: for checkpoints whose tree is not known."""
    return _open(place, step, options, keywords).load()


def _open(place: Any, step: Any, options: OptionValues, keywords: Mapping[str, Any]) -> Checkpoint:
    given = Options(options, **keywords)
    return Checkpoint.open(place if isinstance(place, Store) else store_of(place, given), step, given)


def _named(tree: Any, separator: str) -> Dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named: Dict[str, Any] = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=separator) or "value"
        if name in named:
            raise InvalidArgumentError(f"two leaves have the path {name!r}; another separator than {separator!r} may tell them apart")
        named[name] = leaf
    return named


def _pieces(name: str, array: jax.Array) -> List[Tuple[str, Shard]]:
    """What this process stores: of each piece, the copy that counts as the first one of all devices."""
    found = [piece for piece in array.addressable_shards if piece.replica_id == 0]
    return [(name, Shard(_numpy(piece.data, name), array.shape, _start(piece.index, array.ndim))) for piece in found]


def _start(index: Any, ndim: int) -> Tuple[int, ...]:
    return tuple((part.start or 0) for part in index) if ndim else ()


def _numpy(leaf: Any, name: str) -> numpy.ndarray:
    if not isinstance(leaf, (jax.Array, numpy.ndarray, numpy.generic, *_NUMBERS)):
        raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}; only arrays and numbers can be saved")
    return numpy.asarray(leaf, order="C")


def _maker(checkpoint: Checkpoint, name: str, leaf: Any, requests: List[Request]) -> Any:
    """Adds what is to be read for a leaf, and gives what makes the leaf when it was."""
    entry = checkpoint._find(name)
    dtype = numpy.asarray(leaf).dtype if isinstance(leaf, _NUMBERS) else numpy.dtype(leaf.dtype)
    shape = tuple(getattr(leaf, "shape", ()))
    if (dtype_name(dtype), shape) != (entry.dtype, entry.shape):
        raise InvalidArgumentError(
            f"leaf {name!r} is {dtype_name(dtype)} of shape {shape}; the entry is {entry.dtype} of shape {entry.shape}"
        )
    sharding = getattr(leaf, "sharding", None)
    if sharding is None and not isinstance(leaf, jax.ShapeDtypeStruct):
        whole = numpy.empty(shape, dtype)
        requests.append(Request(name, array_of(whole, name)))
        return lambda: type(leaf)(whole[()]) if isinstance(leaf, _NUMBERS) else whole
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    # Several devices may hold the same box: it is read once.
    boxes: Dict[Tuple[Any, ...], numpy.ndarray] = {}
    for index in sharding.addressable_devices_indices_map(shape).values():
        ranges = tuple(range(*part.indices(extent)) for part, extent in zip(index, shape))
        key = tuple((r.start, r.stop) for r in ranges)
        if key not in boxes:
            boxes[key] = memory = numpy.empty(tuple(map(len, ranges)), dtype)
            data: Array = array_of(memory, name)
            requests.append(Request(name, data, tuple(r.start for r in ranges), memory.shape))

    def box(index: Any) -> numpy.ndarray:
        return boxes[tuple(part.indices(extent)[:2] for part, extent in zip(index, shape))]

    return lambda: jax.make_array_from_callback(shape, sharding, box)
