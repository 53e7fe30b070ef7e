"""Training data and checkpoints between memory and S3, Azure Blob, local and O_DIRECT files.

    store = s3dlio.Store("s3://bucket/run1")
    store.put("weights", array)                       # any buffer, sent from where it lies
    numpy.frombuffer(store.get("weights"), "f4")      # a view of the received bytes, no copy
    with store.writer("checkpoint") as file:          # streams in constant memory
        torch.save(model.state_dict(), file)
    with s3dlio.Loader(s3dlio.Dataset("s3://bucket/train"), 64, shuffle=True) as loader:
        for batch in loader: ...                      # fetched ahead, in a seeded order

One object is opened with `Store`; `get`, `put`, `stat`, `exists` and `delete` take full URIs.
The predecessor's Python API (s3dlio 0.9 and 0.10) is here as well, and found when it is used: `s3dlio.compat`.
The names `ConnectionError` and `TimeoutError` are the package's own (and derive from the builtins);
`from s3dlio import *` leaves the builtins alone. The guide is docs/python.md.
"""

from importlib import import_module
from typing import Any, List

from . import checkpoint, errors
from .buffer import Buffer
from .checkpoint import Checkpoint, CheckpointWriter, Shard, World
from .datagen import generate, generate_object
from .errors import *  # noqa: F401,F403  (every class of errors.__all__)
from .errors import ConnectionError, TimeoutError  # noqa: A004,F401
from .info import Capabilities, Check, ObjectInfo, Stats, WriteStats
from .library import (
    OplogSummary, crc32c, crc32c_combine, delete, exists, get, has_feature, log_to_fd, oplog_start, oplog_stop,
    profile, put, shutdown, stat, stats, stats_json, stats_prometheus, version,
)
from .loader import Batch, Dataset, Loader, LoaderStats, Sample, merge_states, write_manifest
from .options import OptionInfo, Options, option_table
from .reader import Reader
from .store import Store
from .writer import Writer

__version__ = "0.1.0"

__all__ = [
    "Batch", "Buffer", "Capabilities", "Check", "Checkpoint", "CheckpointWriter", "Dataset", "Loader", "LoaderStats",
    "ObjectInfo", "OplogSummary", "OptionInfo", "Options", "Reader", "Sample", "Shard", "Stats", "Store", "World", "WriteStats", "Writer",
    "checkpoint", "crc32c", "crc32c_combine", "delete", "errors", "exists", "generate", "generate_object", "get", "has_feature", "log_to_fd",
    "merge_states", "oplog_start", "oplog_stop", "option_table", "profile", "put", "shutdown", "stat", "stats", "stats_json",
    "stats_prometheus", "version", "write_manifest",
    *errors.__all__,
]


def __getattr__(name: str) -> Any:
    """What is imported only where it is used: `compat` and the names of the predecessor."""
    if not name.startswith("_"):
        compat = import_module(".compat", __name__)
        if name == "compat":
            return compat
        if name in compat.__all__:
            return getattr(compat, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *import_module(".compat", __name__).__all__})
