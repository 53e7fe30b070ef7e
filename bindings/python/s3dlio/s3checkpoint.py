"""`S3Checkpoint` as the Amazon S3 connector for PyTorch has it, for every kind of storage.

    checkpoint = S3Checkpoint(region="us-east-1")
    with checkpoint.writer("s3://bucket/run1/epoch-0.pt") as file:
        torch.save(model.state_dict(), file)
    with checkpoint.reader("s3://bucket/run1/epoch-0.pt") as file:
        state = torch.load(file)
"""

from typing import IO, Any, Optional

from ._places import object_of
from .options import Options
from .store import OptionValues
from .writer import Writer

__all__ = ["S3Checkpoint"]


class S3Checkpoint:
    """Readers and writers of whole objects by URI: `s3://`, and `az://`, `file://`, `direct://`, `memory://`.

    `region` and `endpoint` are those of S3; None takes the environment's. Further options as `s3dlio.Store`
    takes them. Differences to the connector's: what is written is published by `close()` or by leaving `with`, and an
    exception that leaves `with` publishes nothing; failures are `s3dlio.S3dlioError`s.
    """

    def __init__(
        self,
        region: Optional[str] = None,
        endpoint: Optional[str] = None,
        options: OptionValues = None,
        **keywords: Any,
    ):
        self.region, self.endpoint = region, endpoint
        self._options = Options(options, **keywords)
        self._options.update({"s3.region": region, "s3.endpoint": endpoint})  # type: ignore[dict-item]

    def reader(self, uri: str) -> IO[bytes]:
        """A seekable binary file over the object."""
        store, key = object_of(uri, None, self._options)
        return store.open(key)

    def writer(self, uri: str) -> Writer:
        """A binary file that streams into the object in constant memory."""
        store, key = object_of(uri, None, self._options)
        return store.writer(key)
