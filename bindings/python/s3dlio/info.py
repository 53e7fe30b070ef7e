"""Plain values that calls return."""

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import _ffi

_KINDS = {
    _ffi.S3DLIO_KIND_OBJECT: "object",
    _ffi.S3DLIO_KIND_PREFIX: "prefix",
    _ffi.S3DLIO_KIND_CONTAINER: "container",
}
_UNKNOWN_TIME = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FACTS = (
    "size", "last_modified", "etag", "content_type", "metadata", "key", "uri", "kind", "crc32c",
    # What the predecessor listed and this library does not ask for: None.
    "content_language", "content_encoding", "cache_control", "content_disposition", "expires", "storage_class",
    "server_side_encryption", "ssekms_key_id", "sse_customer_algorithm", "version_id", "replication_status",
)


class ObjectInfo(NamedTuple):
    """An object, a common prefix (listings of one level) or a container."""

    #: "object", "prefix" or "container".
    kind: str
    #: Relative to the store's root; the name of a container.
    key: str
    uri: str
    #: In bytes, as stored; 0 for prefixes and containers.
    size: int
    #: Nanoseconds since 1970 UTC, or None.
    last_modified_ns: Optional[int]
    etag: Optional[str]
    content_type: Optional[str]
    #: User metadata; names in lower case. Listings leave it empty.
    metadata: Dict[str, str]
    #: CRC32C of the stored bytes, where the backend recorded it.
    crc32c: Optional[int]

    # As a mapping, which is what the predecessor's `stat` gave: `info["size"]`, `info.get("etag")`, `dict(info)`.

    def __getitem__(self, name: Any) -> Any:
        """A field by its name, or as in any tuple by its number. Times are texts here: 2026-01-31T12:00:00.000000000Z."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        if name not in _FACTS:
            raise KeyError(name)
        if name == "last_modified":
            return None if self.last_modified_ns is None else _iso(self.last_modified_ns)
        return getattr(self, name, None)

    def __contains__(self, value: object) -> bool:
        return value in _FACTS or tuple.__contains__(self, value)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in _FACTS else default

    def keys(self) -> Tuple[str, ...]:
        return _FACTS

    def values(self) -> List[Any]:
        return [self[name] for name in _FACTS]

    def items(self) -> List[Tuple[str, Any]]:
        return [(name, self[name]) for name in _FACTS]

    @property
    def last_modified(self) -> Optional[datetime]:
        """In UTC, to the microsecond."""
        if self.last_modified_ns is None:
            return None
        return _EPOCH + timedelta(microseconds=self.last_modified_ns // 1000)


class WriteStats(NamedTuple):
    """What was written."""

    #: Plain bytes taken in.
    bytes: int
    #: After compression.
    stored_bytes: int
    #: Of the plain bytes.
    crc32c: int
    #: Of the stored bytes.
    stored_crc32c: int
    #: Requests that carried the data.
    parts: int
    #: Whether the object is published.
    finished: bool
    etag: Optional[str]


class Capabilities(NamedTuple):
    """What a backend can do and wants; sizes in bytes."""

    min_part_size: int
    max_part_size: int
    max_parts: int
    alignment: int
    #: Create-only and if-match puts are atomic.
    conditional_put: bool
    #: Content type and user metadata are kept.
    metadata: bool
    #: Keys may be any text; else some are refused: files and services that keep keys as paths have no
    #: empty, . or .. segments, Azure has no segments that end in a dot, backslashes or control characters.
    literal_keys: bool
    #: I/O happens on the calling thread.
    blocking_io: bool


class Check(NamedTuple):
    """What `Store.validate_many` checks: a range of an object against a CRC32C."""

    key: str
    #: None: compare with the checksum that is stored with the object.
    crc32c: Optional[int] = None
    offset: int = 0
    #: In bytes; None: to the end.
    length: Optional[int] = None


class Stats(NamedTuple):
    """Counters of the process."""

    pool_idle_bytes: int
    pool_idle_buffers: int
    #: How often O_DIRECT was refused and buffered I/O was used.
    direct_fallbacks: int
    #: Live handles.
    handles: int
    #: How many operations on files went without io_uring because the system refused it.
    io_uring_fallbacks: int


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def object_info(info: Any) -> ObjectInfo:
    """Copies what a `s3dlio_object_info` and its texts say."""
    time = info.last_modified_ns
    return ObjectInfo(
        _KINDS.get(info.kind, "unknown"),
        _text(info.key) or "",
        _text(info.uri) or "",
        info.size,
        None if time == _UNKNOWN_TIME else time,
        _text(info.etag),
        _text(info.content_type),
        {_text(p.key) or "": _text(p.value) or "" for p in info.metadata[: info.metadata_count]}
        if info.metadata_count
        else {},
        info.crc32c if info.has_crc32c else None,
    )


def write_stats(stats: Any) -> WriteStats:
    return WriteStats(
        stats.bytes,
        stats.stored_bytes,
        stats.crc32c,
        stats.stored_crc32c,
        stats.parts,
        bool(stats.finished),
        _text(stats.etag) or None,
    )


def _text(value: Optional[bytes]) -> Optional[str]:
    return None if value is None else value.decode("utf-8")
