"""The predecessor's sources of NumPy arrays, for JAX and for tf.data."""

from typing import Any, Callable, Dict, Iterator, Optional

import numpy

from ._loader import PyBytesAsyncDataLoader, PyDataset


class JaxIterable:
    """Arrays (uint8) of the objects below a prefix, as they arrive; each after `transform`, where one is given."""

    def __init__(
        self,
        uri: str,
        *,
        loader_opts: Dict[str, Any],
        transform: Optional[Callable[[Any], Any]] = None,
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
    ):
        self._uri, self._opts, self._transform, self._writable = uri, loader_opts, transform, writable

    @classmethod
    def from_prefix(
        cls,
        uri: str,
        *,
        prefetch: int = 8,
        num_workers: int = 0,
        batch_size: int = 1,
        drop_last: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        auto_tune: bool = False,
        transform: Optional[Callable[[Any], Any]] = None,
        writable: bool = False,
        suppress_nonwritable_warning: bool = True,
    ) -> "JaxIterable":
        opts = dict(prefetch=prefetch, drop_last=drop_last, shuffle=shuffle, seed=seed)
        return cls(uri, loader_opts=opts, transform=transform, writable=writable)

    def __iter__(self) -> Iterator[Any]:
        for data in PyBytesAsyncDataLoader(PyDataset(self._uri), self._opts):
            array = numpy.frombuffer(bytearray(data) if self._writable else data, numpy.uint8)
            yield array if self._transform is None else self._transform(array)


S3JaxIterable = JaxIterable


def make_tf_dataset(
    uri: str,
    *,
    prefetch: int = 8,
    num_workers: int = 0,
    batch_size: int = 1,
    drop_last: bool = False,
    shuffle: bool = False,
    seed: int = 0,
    auto_tune: bool = False,
    map_fn: Optional[Callable[..., Any]] = None,
    writable: bool = False,
    suppress_nonwritable_warning: bool = True,
) -> Any:
    """A tf.data.Dataset of uint8 tensors, one per object."""
    import tensorflow

    arrays = JaxIterable.from_prefix(uri, prefetch=prefetch, drop_last=drop_last, shuffle=shuffle, seed=seed, writable=writable)
    signature = tensorflow.TensorSpec(shape=(None,), dtype=tensorflow.uint8)
    dataset = tensorflow.data.Dataset.from_generator(lambda: iter(arrays), output_signature=signature)
    return dataset if map_fn is None else dataset.map(map_fn, num_parallel_calls=tensorflow.data.AUTOTUNE)
