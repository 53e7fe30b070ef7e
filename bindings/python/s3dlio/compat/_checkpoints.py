"""Checkpoints of the predecessor, whose layout this library neither reads nor writes."""

from typing import Any, NoReturn

from ..errors import UnsupportedError

_HINT = "hint: s3dlio.CheckpointWriter and s3dlio.Checkpoint take their place; see docs/migration.md"


def _unsupported(name: str) -> Any:
    def refuse(*arguments: Any, **keywords: Any) -> NoReturn:
        """Always `UnsupportedError`."""
        raise UnsupportedError(f"{name}: the predecessor's checkpoints are not supported [unsupported]; {_HINT}")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


PyCheckpointStore = _unsupported("PyCheckpointStore")
finalize_distributed_checkpoint = _unsupported("finalize_distributed_checkpoint")
load_checkpoint = _unsupported("load_checkpoint")
load_checkpoint_with_validation = _unsupported("load_checkpoint_with_validation")
save_checkpoint = _unsupported("save_checkpoint")
save_distributed_shard = _unsupported("save_distributed_shard")
