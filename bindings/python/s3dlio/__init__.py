"""Training data and checkpoints between memory and S3, Azure Blob, local and O_DIRECT files.

    store = s3dlio.Store("s3://bucket/run1")
    store.put("weights", array)                       # any buffer, sent from where it lies
    numpy.frombuffer(store.get("weights"), "f4")      # a view of the received bytes, no copy
    with store.writer("checkpoint") as file:          # streams in constant memory
        torch.save(model.state_dict(), file)

One object is opened with `Store`; `get`, `put`, `stat`, `exists` and `delete` take full URIs.
The names `ConnectionError` and `TimeoutError` are the package's own (and derive from the builtins);
`from s3dlio import *` leaves the builtins alone. The guide is docs/python.md.
"""

from . import checkpoint, errors
from .buffer import Buffer
from .checkpoint import Checkpoint, CheckpointWriter, Shard, World
from .errors import *  # noqa: F401,F403  (every class of errors.__all__)
from .errors import ConnectionError, TimeoutError  # noqa: A004,F401
from .info import Capabilities, Check, ObjectInfo, Stats, WriteStats
from .library import (
    crc32c, crc32c_combine, delete, exists, get, has_feature, log_to_fd, put, shutdown, stat, stats, version,
)
from .options import OptionInfo, Options, option_table
from .reader import Reader
from .store import Store
from .writer import Writer

__version__ = "0.1.0"

__all__ = [
    "Buffer", "Capabilities", "Check", "Checkpoint", "CheckpointWriter", "ObjectInfo", "OptionInfo", "Options", "Reader",
    "Shard", "Stats", "Store", "World", "WriteStats", "Writer", "checkpoint", "crc32c", "crc32c_combine", "delete",
    "errors", "exists", "get", "has_feature", "log_to_fd", "option_table", "put", "shutdown", "stat", "stats", "version",
    *errors.__all__,
]
