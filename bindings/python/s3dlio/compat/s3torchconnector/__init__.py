"""The classes of the Amazon S3 connector for PyTorch (1.5) over this library: only the import changes.

    from s3dlio.compat.s3torchconnector import S3Checkpoint, S3IterableDataset, S3MapDataset

URIs may be of every kind of storage, `az://`, `file://` ... as well as `s3://`; what is different is in
docs/migration.md. `.dcp` has the storage of `torch.distributed.checkpoint`, `.lightning` that of Lightning.
"""

from ...errors import S3dlioError as S3Exception
from ._client import S3ClientConfig
from ._datasets import S3Checkpoint, S3IterableDataset, S3MapDataset
from ._files import S3Reader, S3ReaderConstructor, S3Writer

__version__ = "1.5.0"

__all__ = [
    "S3IterableDataset", "S3MapDataset", "S3Checkpoint", "S3Reader", "S3ReaderConstructor", "S3Writer", "S3Exception",
    "S3ClientConfig", "__version__",
]
