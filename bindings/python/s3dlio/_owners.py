"""Handles that free themselves.

A handle object exists before the call that fills it: C writes into an owner, so that no signal
(KeyboardInterrupt) can come between the result and its ownership. Freeing NULL does nothing, and
freeing never blocks, fails or does I/O, which is what a finalizer needs.
"""

import ctypes
from ctypes import POINTER
from typing import Any

from . import _ffi
from ._finalizer import finalizer
from ._library import lib


def _owner(struct: Any, release: Any) -> Any:
    class Owner(POINTER(struct)):  # type: ignore[misc]
        _type_ = struct
        __del__ = finalizer(release)

    Owner.__name__ = Owner.__qualname__ = struct.__name__ + "_owner"
    return Owner


Error = _owner(_ffi.s3dlio_error, lib.s3dlio_error_free)
Options = _owner(_ffi.s3dlio_options, lib.s3dlio_options_free)
Store = _owner(_ffi.s3dlio_store, lib.s3dlio_store_free)
Lister = _owner(_ffi.s3dlio_lister, lib.s3dlio_lister_free)
Reader = _owner(_ffi.s3dlio_reader, lib.s3dlio_reader_free)
Writer = _owner(_ffi.s3dlio_writer, lib.s3dlio_writer_free)
Buffer = _owner(_ffi.s3dlio_buffer, lib.s3dlio_buffer_free)
Queue = _owner(_ffi.s3dlio_queue, lib.s3dlio_queue_free)
Op = _owner(_ffi.s3dlio_op, lib.s3dlio_op_free)
CheckpointWriter = _owner(_ffi.s3dlio_checkpoint_writer, lib.s3dlio_checkpoint_writer_free)
CheckpointShard = _owner(_ffi.s3dlio_checkpoint_shard, lib.s3dlio_checkpoint_shard_free)
Checkpoint = _owner(_ffi.s3dlio_checkpoint, lib.s3dlio_checkpoint_free)
Dataset = _owner(_ffi.s3dlio_dataset, lib.s3dlio_dataset_free)
Loader = _owner(_ffi.s3dlio_loader, lib.s3dlio_loader_free)
Batch = _owner(_ffi.s3dlio_batch, lib.s3dlio_batch_free)


def disown(handle: Any) -> None:
    """C took the handle over: it is no longer ours to free."""
    ctypes.memset(ctypes.byref(handle), 0, ctypes.sizeof(handle))
