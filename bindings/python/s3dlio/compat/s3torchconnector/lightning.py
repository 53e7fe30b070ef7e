"""Checkpoints of Lightning."""

from typing import Any, Dict, Optional

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from ._client import S3Client, S3ClientConfig, parse_s3_uri

__all__ = ["S3LightningCheckpoint"]


class S3LightningCheckpoint(CheckpointIO):  # type: ignore[misc]
    """A `CheckpointIO` over objects: `Trainer(plugins=[S3LightningCheckpoint(region)])`."""

    def __init__(
        self, region: Optional[str] = None, s3client_config: Optional[S3ClientConfig] = None,
        endpoint: Optional[str] = None,
    ):
        self.region = region
        self._client = S3Client(region, endpoint=endpoint, s3client_config=s3client_config)

    def save_checkpoint(self, checkpoint: Dict[str, Any], path: Any, storage_options: Optional[Any] = None) -> None:
        with self._client.put_object(*parse_s3_uri(path)) as writer:
            torch.save(checkpoint, writer)

    def load_checkpoint(
        self, path: Any, map_location: Optional[Any] = None, weights_only: Optional[bool] = None
    ) -> Dict[str, Any]:
        with self._client.get_object(*parse_s3_uri(path)) as reader:
            return torch.load(reader, map_location=map_location, weights_only=weights_only)

    def remove_checkpoint(self, path: Any) -> None:
        self._client.delete_object(*parse_s3_uri(path))

    def teardown(self) -> None:
        """Nothing is held."""
