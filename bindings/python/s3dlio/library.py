"""The library itself: version, counters, checksums, logs, and calls with full URIs."""

import json
import os
from contextlib import contextmanager, suppress
from ctypes import byref, c_int32, c_uint64, sizeof
from typing import IO, Any, Dict, Iterator, Mapping, NamedTuple, Optional, Union

from . import _arguments as c
from . import _ffi, _owners
from ._library import lib
from .buffer import Buffer, from_handle
from .errors import ContainerNotFoundError, InvalidArgumentError, S3dlioError, call
from .info import ObjectInfo, Stats, object_info
from .options import Options, Value

OptionValues = Optional[Union[Mapping[str, Value], Options]]


def version() -> str:
    """The library's version."""
    return lib.s3dlio_version().decode()


def has_feature(name: str) -> bool:
    """Whether the library was built with "s3", "azure", "file", "direct", "memory", "zstd" or "profiling"."""
    return bool(lib.s3dlio_has_feature(c.text(name, InvalidArgumentError, "feature")))


def stats() -> Stats:
    """Counters of the process."""
    counters = _ffi.s3dlio_stats()
    call(lib.s3dlio_get_stats, byref(counters), sizeof(counters))
    return Stats(*(getattr(counters, name) for name, _ in counters._fields_))


def stats_json() -> Dict[str, Any]:
    """All metrics: numbers of the process, and operations by kind and endpoint (docs/metrics.md)."""
    data = _owners.Buffer()
    call(lib.s3dlio_stats_json, byref(data))
    return json.loads(bytes(from_handle(data)))


def stats_prometheus() -> str:
    """All metrics in Prometheus' text format."""
    data = _owners.Buffer()
    call(lib.s3dlio_stats_prometheus, byref(data))
    return bytes(from_handle(data)).decode()


class OplogSummary(NamedTuple):
    """What became of an op-log."""

    #: In the file.
    rows: int
    #: Operations that are missing in it.
    dropped: int


def oplog_start(path: Union[str, "os.PathLike[str]"], options: OptionValues = None, **keywords: Value) -> None:
    """Writes every operation of the process to a file, as a row in warp's format (docs/oplog.md).

    Compressed where the name ends in .zst. `InvalidStateError` where a log is being written already.
    """
    chosen = _chosen(options, keywords)
    call(lib.s3dlio_oplog_start, c.text(os.fspath(path), InvalidArgumentError, "path"), chosen._handle)


def oplog_stop() -> OplogSummary:
    """Ends the op-log once everything is written."""
    rows, dropped = c_uint64(), c_uint64()
    call(lib.s3dlio_oplog_stop, byref(rows), byref(dropped))
    return OplogSummary(rows.value, dropped.value)


@contextmanager
def profile(path: Union[str, "os.PathLike[str]"], hz: int = 0) -> Iterator[None]:
    """Samples the CPU time of all threads inside the `with`, and writes it as a flamegraph (SVG): docs/tracing.md.

    `hz` samples in a second of CPU time, at most 1000; 0 takes 199. After an exception there is no file.
    `UnsupportedError` where the library was built without "profiling", `InvalidStateError` inside another profile.
    """
    name = c.text(os.fspath(path), InvalidArgumentError, "path")
    call(lib.s3dlio_profile_start, c.u32(hz, "hz"))
    try:
        yield
    except BaseException:
        call(lib.s3dlio_profile_stop, None)
        raise
    try:
        call(lib.s3dlio_profile_stop, name)
    except S3dlioError:
        # Where the file cannot be written the profile would go on.
        with suppress(S3dlioError):
            call(lib.s3dlio_profile_stop, None)
        raise


def crc32c(data: Any, crc: int = 0) -> int:
    """CRC32C (Castagnoli) of any contiguous buffer; `crc` continues the value of the bytes before."""
    memory = c.Borrowed(data)
    return lib.s3dlio_crc32c(c.u32(crc, "crc"), memory.address, memory.length)


def crc32c_combine(first: int, second: int, second_length: int) -> int:
    """CRC32C of two pieces together, from theirs and the length of the second in bytes."""
    return lib.s3dlio_crc32c_combine(
        c.u32(first, "first"), c.u32(second, "second"), c.u64(second_length, "second_length")
    )


def log_to_fd(fd: Union[int, IO[Any]], level: Optional[str] = None) -> None:
    """Writes the library's log lines to a file descriptor or a file; -1 turns them off.

    `level` is "error", "warn", "info", "debug" or "trace"; None takes the option log.level. The
    descriptor must stay open until another one is set.
    """
    number = fd if isinstance(fd, int) else fd.fileno()
    call(lib.s3dlio_log_to_fd, number, None if level is None else c.text(level, InvalidArgumentError, "level"))


def shutdown(timeout_ms: int) -> None:
    """Waits for running calls and clean-ups, then stops the library's threads; optional.

    `TimeoutError` leaves all as it was. Later calls start afresh.
    """
    call(lib.s3dlio_shutdown, c.u64(timeout_ms, "timeout_ms"))


# ---- one call, full URI; stores are kept for the next call with the same root and options


#: Options of all calls below, under those that a call is given: `configure_s3` of the predecessor's API.
_configured: Dict[str, Value] = {}


def _chosen(options: Any, keywords: Mapping[str, Value]) -> Options:
    chosen = Options(_configured)
    chosen.update(options, **keywords)
    return chosen


def get(uri: str, options: OptionValues = None, **keywords: Value) -> Buffer:
    """The whole object, as stored."""
    data, chosen = _owners.Buffer(), _chosen(options, keywords)
    call(lib.s3dlio_get, c.uri(uri), chosen._handle, byref(data))
    return from_handle(data)


def put(uri: str, data: Any = None, options: OptionValues = None, *more: Any, **keywords: Any) -> None:
    """Stores `data`, any contiguous buffer, as one object.

    `put(prefix, num, template, max_in_flight, size, ...)` is the predecessor's call, which stores generated objects.
    """
    if data is None and "num" not in keywords:
        raise TypeError(f"put {uri}: the data is missing")
    if isinstance(data, int) or "num" in keywords:
        from .compat._generate import put_generated

        given = tuple(value for value in (data, options, *more) if value is not None or more)
        return put_generated(uri, *given, **keywords)
    if more:
        raise TypeError("put takes a URI, data and options")
    memory, chosen = c.Borrowed(data), _chosen(options, keywords)
    call(lib.s3dlio_put, c.uri(uri), chosen._handle, memory.address, memory.length)


def stat(uri: str, options: OptionValues = None, **keywords: Value) -> ObjectInfo:
    """The object's facts."""
    info, strings, chosen = _ffi.s3dlio_object_info(), _owners.Buffer(), _chosen(options, keywords)
    call(lib.s3dlio_stat, c.uri(uri), chosen._handle, byref(info), sizeof(info), byref(strings))
    return object_info(info)


def exists(uri: str, options: OptionValues = None, **keywords: Value) -> bool:
    """Whether there is such an object. A failure to find out is raised, never False; a folder of files that is
    missing is none."""
    found, chosen = c_int32(), _chosen(options, keywords)
    try:
        call(lib.s3dlio_exists, c.uri(uri), chosen._handle, byref(found))
    except ContainerNotFoundError:
        if not _is_path(uri):
            raise
    return bool(found.value)


def _is_path(uri: str) -> bool:
    """A container of paths is only the folder that the file is in."""
    return uri.startswith(("file://", "direct://"))


def delete(
    uri: str, options: Union[OptionValues, bool] = None, *, recursive: bool = False, **keywords: Value
) -> None:
    """Deletes the object; a missing one is no error. With `recursive` also everything in the folder of that name,
    and never what merely starts with it; `delete(uri, True)` is the predecessor's way to say so."""
    if isinstance(options, bool):
        options, recursive = None, options
    if recursive:
        if options or keywords:
            raise InvalidArgumentError("options go with the deletion of one object; open a Store for delete_prefix")
        from .compat._calls import delete_recursively

        return delete_recursively(uri)
    _delete(uri, options, **keywords)


def _delete(uri: str, options: OptionValues = None, **keywords: Value) -> None:
    chosen = _chosen(options, keywords)
    try:
        call(lib.s3dlio_delete, c.uri(uri), chosen._handle)
    except ContainerNotFoundError:
        if not _is_path(uri):
            raise
