"""The client, where the connector has it."""

from ._client import S3Client, S3ClientConfig

__all__ = ["S3Client", "S3ClientConfig"]
