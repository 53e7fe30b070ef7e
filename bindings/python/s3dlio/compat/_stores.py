"""Stores for calls with full URIs, kept for the next call."""

import functools
import os
from typing import Any, Tuple

from ..errors import InvalidUriError
from ..options import Options
from ..store import Store

LOCAL = ("file", "direct")
_SETTINGS = ("AWS_", "AZURE_", "S3DLIO_")


def place(uri: str, **options: Any) -> Tuple[Store, str, str]:
    """The store of the URI's container, the key, and what stands before the key in the URIs of its objects.

    For paths the container is the root of the file system. Options are keywords as `Store` takes them.
    """
    if not isinstance(uri, str):
        raise TypeError(f"URI must be str, not {type(uri).__name__}")
    scheme, mark, rest = uri.partition("://")
    if not mark:
        raise InvalidUriError(
            f"{uri!r} has no scheme; expected a URI such as s3://bucket/key, az://account/container/key, file:///path "
            "or direct:///path"
        )
    if scheme in LOCAL:
        return _open(f"{scheme}:///", tuple(options.items()), _settings()), _path(rest), f"{scheme}:///"
    parts = rest.split("/", 2 if scheme == "az" else 1)
    names = 2 if scheme == "az" else 1
    root, key = f"{scheme}://{'/'.join(parts[:names])}", parts[names] if len(parts) > names else ""
    return _open(root, tuple(options.items()), _settings()), key, f"{root}/"


def object_place(uri: str, **options: Any) -> Tuple[Store, str]:
    """As `place`, for an object: its key is not empty."""
    store, key, _ = place(uri, **options)
    if not key:
        raise InvalidUriError(f"{uri!r} names no object; expected a URI such as s3://bucket/folder/name")
    return store, key


def forget() -> None:
    """Lets all kept stores go."""
    _open.cache_clear()


def is_local(uri: str) -> bool:
    return uri.partition("://")[0] in LOCAL


def local_path(uri: str) -> str:
    return "/" + _path(uri.partition("://")[2])


# A cache without a lock of ours: a forked child can always use it.
@functools.lru_cache(maxsize=64)
def _open(root: str, options: Tuple[Tuple[str, Any], ...], settings: Tuple[str, ...]) -> Store:
    return Store(root, Options(None, **dict(options)))


def _settings() -> Tuple[str, ...]:
    """The environment as far as it sets options: code sets endpoints and credentials there before it goes on."""
    return tuple(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_SETTINGS))


def _path(rest: str) -> str:
    """The path below the root of the file system; a slash at the end stays."""
    path = os.path.normpath(f"/{rest}").lstrip("/")
    return f"{path}/" if path and rest.endswith("/") else path
