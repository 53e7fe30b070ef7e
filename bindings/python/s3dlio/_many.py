"""Calls for many objects: each item has its own outcome."""

from ctypes import byref, cast, sizeof
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Union

from . import _arguments as c
from . import _ffi, _owners
from ._library import lib
from .buffer import from_handle as buffer_from_handle
from .errors import S3dlioError
from .errors import from_handle as error_from_handle
from .info import Check


def get_many(store: Any, keys: Sequence[str], return_exceptions: bool) -> List[Any]:
    names = c.keys(keys)
    items = (_ffi.s3dlio_get_result * len(names))()
    failures = _run(items, lib.s3dlio_store_get_many, store, names, len(names), items)
    owners = [cast(item.data, _owners.Buffer) for item in items]
    _raise_first(failures, return_exceptions)
    return [failure or buffer_from_handle(owner) for failure, owner in zip(failures, owners)]


def put_many(store: Any, objects: Any, options: Any, return_exceptions: bool) -> List[Any]:
    pairs = list(objects.items() if isinstance(objects, Mapping) else objects)
    items = (_ffi.s3dlio_put_item * len(pairs))()
    lent = []
    for item, (key, data) in zip(items, pairs):
        memory = c.Borrowed(data)
        lent.append(memory)
        item.key, item.data, item.length = c.key(key), memory.address, memory.length
    function = lib.s3dlio_store_put_many
    failures = _run(items, function, store, items, len(items), byref(options), sizeof(options))
    _raise_first(failures, return_exceptions)
    return [item.crc32c if failure is None else failure for failure, item in zip(failures, items)]


def validate_many(store: Any, checks: Iterable[Union[Check, str]], return_exceptions: bool) -> List[Any]:
    wanted = [Check(check) if isinstance(check, str) else check for check in checks]
    items = (_ffi.s3dlio_check * len(wanted))()
    for item, check in zip(items, wanted):
        item.key = c.key(check.key)
        item.offset, item.length = c.u64(check.offset, "offset"), c.length(check.length)
        item.has_crc32c = check.crc32c is not None
        item.crc32c = 0 if check.crc32c is None else c.u32(check.crc32c, "crc32c")
    failures = _run(items, lib.s3dlio_store_validate_many, store, items, len(wanted))
    _raise_first(failures, return_exceptions)
    return failures


def _run(items: Any, function: Any, *arguments: Any) -> List[Optional[S3dlioError]]:
    """Makes the call and gives each item's failure; raises where the call itself failed."""
    error = _owners.Error()
    status = function(*arguments, byref(error))
    failures = [
        error_from_handle(item.status, cast(item.error, _owners.Error)) if item.status < 0 else None
        for item in items
    ]
    if status < 0 and not any(failures):
        raise error_from_handle(status, error)
    return failures


def _raise_first(failures: List[Optional[S3dlioError]], return_exceptions: bool) -> None:
    if not return_exceptions:
        for failure in failures:
            if failure is not None:
                raise failure
