"""PyTorch: datasets for `DataLoader`, objects in one file, and the storage of `torch.distributed.checkpoint`.

    dataset = s3dlio.torch.S3dlioIterableDataset("s3://bucket/train", shuffle=True, transform=decode)
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, num_workers=4)

    s3dlio.torch.save(model.state_dict(), "s3://bucket/run1/model.pt")
    state = s3dlio.torch.load("s3://bucket/run1/model.pt", map_location="cpu")

    dcp.save(state, checkpoint_id=str(step), storage_writer=s3dlio.torch.S3dlioStorageWriter("s3://bucket/run1/checkpoints"))
    dcp.load(state, storage_reader=s3dlio.torch.S3dlioStorageReader("s3://bucket/run1/checkpoints"))
"""

import io
from typing import Any, Optional

import torch

from ._dcp import S3dlioStorageReader, S3dlioStorageWriter
from ._places import object_of
from ._torch_data import S3dlioIterableDataset, S3dlioMapDataset, loader_states, to_tensor
from .info import WriteStats
from .store import OptionValues

__all__ = [
    "S3dlioIterableDataset", "S3dlioMapDataset", "S3dlioStorageReader", "S3dlioStorageWriter", "load", "loader_states", "save",
    "to_tensor",
]


def save(
    obj: Any, place: Any, key: Optional[str] = None, options: OptionValues = None, **keywords: Any
) -> WriteStats:
    """`torch.save` into an object: streamed in constant memory, visible when it is whole.

    `place` is the object's URI, or a store or its URI together with `key`. Options are the store's.
    """
    store, key = object_of(place, key, options, **keywords)
    with store.writer(key) as file:
        torch.save(obj, file)
    return file.stats


def load(
    place: Any,
    key: Optional[str] = None,
    options: OptionValues = None,
    *,
    map_location: Any = None,
    weights_only: Optional[bool] = None,
    **keywords: Any,
) -> Any:
    """`torch.load` from an object; tensors are read straight into their memory, compressed objects (.zst) as a
    whole first. `weights_only` is torch's: False runs whatever code the object holds."""
    store, key = object_of(place, key, options, **keywords)
    with store.open(key) as file:
        # torch jumps back and forth.
        seekable = io.BytesIO(file.read()) if key.endswith(".zst") else file
        return torch.load(seekable, map_location=map_location, weights_only=weights_only)
