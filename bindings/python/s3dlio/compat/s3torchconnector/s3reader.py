"""Readers and their constructors, where the connector has them."""

from ._files import RangedS3Reader, S3Reader, S3ReaderConstructor, SequentialS3Reader

__all__ = ["RangedS3Reader", "S3Reader", "S3ReaderConstructor", "SequentialS3Reader"]
