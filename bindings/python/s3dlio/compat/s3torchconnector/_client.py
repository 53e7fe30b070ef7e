"""The connector's client and its settings."""

import functools
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...errors import NotFoundError
from ...options import Options
from ...store import Store
from ._files import S3Reader, S3ReaderConstructor, S3Writer, Source

_SCHEMES = ("s3", "az", "file", "direct", "memory")
_MIN_PART, _MAX_PART = 5 << 20, 4_194_304_000


@dataclass(frozen=True)
class S3ClientConfig:
    """Settings. `throughput_target_gbps` has no effect: the library finds out by itself what goes."""

    throughput_target_gbps: float = 10.0
    part_size: int = 8 * 1024 * 1024
    unsigned: bool = False
    force_path_style: bool = False
    max_attempts: int = 10
    profile: Optional[str] = None

    def options(self) -> Dict[str, Any]:
        """As the library's options."""
        chosen: Dict[str, Any] = {
            "transfer.part_size": min(max(self.part_size, _MIN_PART), _MAX_PART),
            "net.max_attempts": min(max(self.max_attempts, 1), 100),
        }
        if self.unsigned:
            chosen["s3.anonymous"] = True
        if self.force_path_style:
            chosen["s3.addressing"] = "path"
        if self.profile:
            chosen["s3.profile"] = self.profile
        return chosen


class ObjectInfo(NamedTuple):
    key: str
    etag: Optional[str]
    size: int
    last_modified: Optional[datetime]


class ListObjectResult(NamedTuple):
    object_info: List[ObjectInfo]
    common_prefixes: List[str]


class Place(NamedTuple):
    """An object of a dataset; `info` where it came from a listing."""

    bucket: str
    key: str
    object_info: Optional[ObjectInfo] = None


def parse_s3_uri(uri: str) -> Tuple[str, str]:
    """Bucket and key; of other stores what stands for the bucket begins with the scheme: "az://account/container"."""
    scheme, mark, rest = uri.partition("://") if isinstance(uri, str) else ("", "", "")
    if not mark or scheme not in _SCHEMES:
        raise ValueError(f"Only {', '.join(f'{one}://' for one in _SCHEMES)} URIs are supported, not {uri!r}")
    if scheme in ("file", "direct"):
        return f"{scheme}:///", rest.lstrip("/")
    parts = rest.split("/", 2 if scheme == "az" else 1)
    names = 2 if scheme == "az" else 1
    if len(parts) < names or not all(parts[:names]):
        raise ValueError(f"Bucket name must be non-empty: {uri!r}")
    bucket = "/".join(parts[:names])
    return bucket if scheme == "s3" else f"{scheme}://{bucket}", "/".join(parts[names:])


class S3Client:
    """Objects by bucket and key."""

    def __init__(
        self, region: Optional[str] = None, *, endpoint: Optional[str] = None, user_agent: Any = None,
        s3client_config: Optional[S3ClientConfig] = None,
    ):
        self.region, self.endpoint = region, endpoint
        self.s3client_config = s3client_config or S3ClientConfig()
        self._options = Options(self.s3client_config.options())
        self._options.update({"s3.region": region or None, "s3.endpoint": endpoint or None})  # type: ignore[dict-item]
        self._stores: Dict[str, Store] = {}

    def store(self, bucket: str) -> Store:
        found = self._stores.get(bucket)
        if found is None:
            found = self._stores[bucket] = Store(bucket if "://" in bucket else f"s3://{bucket}", self._options)
        return found

    def get_object(
        self,
        bucket: str,
        key: str,
        *,
        object_info: Optional[ObjectInfo] = None,
        reader_constructor: Optional[Callable[..., S3Reader]] = None,
        data: Any = None,
    ) -> S3Reader:
        """A reader; nothing is asked for before it is used. `data`: the object, where it is here already."""
        info = functools.partial(self.head_object, bucket, key) if object_info is None else lambda: object_info
        constructor = reader_constructor or S3ReaderConstructor.default()
        return constructor(
            bucket=bucket, key=key, get_object_info=info, get_stream=Source(self.store(bucket), key, data)
        )

    def put_object(self, bucket: str, key: str, storage_class: Optional[str] = None) -> S3Writer:
        """A writer. Storage classes are the bucket's."""
        return S3Writer(self.store(bucket).writer(key))

    def list_objects(
        self, bucket: str, prefix: str = "", delimiter: str = "", max_keys: int = 1000
    ) -> Iterator[ListObjectResult]:
        """Pages of objects whose keys begin with `prefix`; with the delimiter "/" of one level."""
        page: List[ObjectInfo] = []
        folders: List[str] = []
        for entry in self.store(bucket).list(prefix, not delimiter):
            if entry.kind == "object":
                page.append(ObjectInfo(entry.key, entry.etag, entry.size, entry.last_modified))
            else:
                folders.append(entry.key)
            if len(page) + len(folders) >= max_keys:
                yield ListObjectResult(page, folders)
                page, folders = [], []
        if page or folders:
            yield ListObjectResult(page, folders)

    def head_object(self, bucket: str, key: str) -> ObjectInfo:
        info = self.store(bucket).stat(key)
        return ObjectInfo(key, info.etag, info.size, info.last_modified)

    def delete_object(self, bucket: str, key: str) -> None:
        self.store(bucket).delete(key)

    def copy_object(self, src_bucket: str, src_key: str, dst_bucket: str, dst_key: str) -> None:
        if src_bucket == dst_bucket:
            self.store(src_bucket).copy(src_key, dst_key)
            return
        with self.get_object(src_bucket, src_key) as source, self.put_object(dst_bucket, dst_key) as target:
            while piece := source.read(8 << 20):
                target.write(piece)

    def exists(self, bucket: str, key: str) -> bool:
        try:
            self.head_object(bucket, key)
            return True
        except NotFoundError:
            return False
