"""Datasets for `torch.utils.data.DataLoader`; public as `s3dlio.torch`."""

import json
import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.utils.data

from .batch import Sample
from .errors import InvalidArgumentError
from .loader import Loader, States, divide
from .options import Options
from .store import OptionValues

_TOGETHER = 64
Transform = Optional[Callable[[Sample], Any]]


def to_tensor(sample: Sample) -> torch.Tensor:
    """A sample's bytes as a tensor of uint8 that looks at the memory where they were received: a transform."""
    return torch.frombuffer(sample.data, dtype=torch.uint8) if len(sample) else torch.empty(0, dtype=torch.uint8)


class S3dlioMapDataset(torch.utils.data.Dataset):
    """Items by their number, for a DataLoader with a sampler: the items of a batch are fetched at once.

    `source` is a `s3dlio.Dataset`, or a prefix or a sequence of URIs with the arguments of one; `transform` makes of
    each `Sample` what the DataLoader collates. A prefix is listed at the first use, once; workers that are spawned list
    it anew, so for many objects take `Dataset.manifest`.
    """

    def __init__(self, source: Any, *, transform: Transform = None, options: OptionValues = None, **arguments: Any):
        self.dataset, rest = divide(source, options, arguments)
        if rest:
            raise InvalidArgumentError(f"{', '.join(rest)}: options of a loader, which datasets with numbers do not use")
        self.transform = transform

    def __len__(self) -> int:
        self.dataset = self.dataset.indexed()
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.dataset = self.dataset.indexed()
        sample = self.dataset[index]
        return sample if self.transform is None else self.transform(sample)

    def __getitems__(self, indices: Sequence[int]) -> List[Any]:
        self.dataset = self.dataset.indexed()
        batch = self.dataset.get_many(indices)
        return list(batch if self.transform is None else map(self.transform, batch))


class S3dlioIterableDataset(torch.utils.data.IterableDataset):
    """Items in a seeded order, fetched ahead: every rank and every worker of a DataLoader draws its share, and all together
    each item once per epoch. `set_epoch` before an epoch gives it another order.

    `source`, `transform` and further arguments are those of `S3dlioMapDataset`, `shuffle`, `seed` and `drop_last` those of
    `s3dlio.Loader`, as are options `loader_...`. With `batch_size` it gives lists of so many items, for
    `DataLoader(batch_size=None)`: the fastest way; without, `loader.prefetch_batches` counts 64 items each. Rank and world size are those of `torch.distributed`, else of torchrun.

    The iterators have `state_dict` and `load_state_dict`, so that torchdata's `StatefulDataLoader` resumes exactly. For
    a job of another size `states` takes what `loader_states` gives of all ranks: the rest of that epoch is dealt anew.
    """

    def __init__(
        self,
        source: Any,
        *,
        batch_size: Optional[int] = None,
        transform: Transform = None,
        shuffle: Any = None,
        seed: int = 0,
        epoch: int = 0,
        drop_last: Optional[bool] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        states: Optional[States] = None,
        options: OptionValues = None,
        **arguments: Any,
    ):
        if (rank is None) != (world_size is None):
            raise InvalidArgumentError("rank and world_size belong together: give both or neither")
        self.dataset, self._loader_options = divide(source, options, arguments)
        self.transform, self.batch_size = transform, batch_size
        if batch_size is None:
            # The library's batches are single items then, so that a position is exact to the item.
            ahead = int(Options(self._loader_options)["loader.prefetch_batches"])
            self._loader_options["loader.prefetch_batches"] = min(_TOGETHER * ahead, 1_000_000)
        self._order = {"shuffle": shuffle, "seed": seed, "drop_last": drop_last}
        self._place = None if rank is None or world_size is None else (rank, world_size)
        self._states = [states] if isinstance(states, str) else list(states or ())
        self._resumed = json.loads(self._states[0])["epoch"] if self._states else None
        # Shared, so that workers that live on hear of it.
        self._epoch = torch.tensor(epoch if self._resumed is None else self._resumed, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """The next iterator, in whichever worker, is of this epoch."""
        self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    @property
    def place(self) -> Tuple[int, int]:
        """Rank and world size."""
        return self._place or told_place() or (0, 1)

    def __iter__(self) -> "_Pass":
        return _Pass(self)

    def __getstate__(self) -> Dict[str, Any]:
        # A process that is spawned does not know torch.distributed's. Where nobody said one yet, as before mp.spawn, it
        # finds its own.
        return {**self.__dict__, "_place": self._place or told_place()}

    def _open(self, state: Optional[str], epoch: int) -> Loader:
        worker = torch.utils.data.get_worker_info()
        rank, world_size = self.place
        first = self._states if epoch == self._resumed else None
        return Loader(
            self.dataset, self.batch_size or 1, **self._order, epoch=epoch, rank=rank, world_size=world_size,
            worker=worker.id if worker else 0, workers=worker.num_workers if worker else 1,
            state=state or first, options=self._loader_options,
        )


class _Pass(Iterator[Any]):
    """An iterator over one worker's share of one epoch, whose position can be kept and restored."""

    def __init__(self, dataset: S3dlioIterableDataset):
        self._dataset, self._epoch = dataset, dataset.epoch
        self._state: Optional[str] = None
        self._loader: Optional[Loader] = None

    def __next__(self) -> Any:
        # Opened late: load_state_dict may come before.
        if self._loader is None:
            self._loader = self._dataset._open(self._state, self._epoch)
        batch, transform = next(self._loader), self._dataset.transform
        while not batch:  # everything in it failed and was skipped
            batch = next(self._loader)
        if self._dataset.batch_size is None:
            return batch[0] if transform is None else transform(batch[0])
        return list(batch if transform is None else map(transform, batch))

    def state_dict(self) -> Dict[str, Any]:
        return {"s3dlio": self._state if self._loader is None else self._loader.state(), "epoch": self._epoch}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        self._state, self._epoch, self._loader = state["s3dlio"], state["epoch"], None


def loader_states(state_dict: Any) -> List[str]:
    """The positions of this rank's workers out of a StatefulDataLoader's `state_dict()`: gather them of all ranks, and
    a job of any size goes on with `S3dlioIterableDataset(states=...)`."""
    found: List[str] = []

    def search(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("s3dlio"), str):
                found.append(value["s3dlio"])
            else:
                for inner in value.values():
                    search(inner)

    search(state_dict)
    return found


def told_place() -> Optional[Tuple[int, int]]:
    """Rank and world size, of torch.distributed or else of torchrun; None where nobody said them."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return None
