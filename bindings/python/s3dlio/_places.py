"""Where things are: stores given as such or by their URI, and objects by their full URI."""

from typing import Any, Optional, Tuple

from .errors import InvalidArgumentError, InvalidUriError
from .store import OptionValues, Store

_LOCAL = ("file", "direct")


def store_of(place: Any, options: OptionValues = None, **keywords: Any) -> Store:
    """`place` itself where it is a store, else the store that this URI and the options name."""
    if not isinstance(place, Store):
        return Store(place, options, **keywords)
    if options or keywords:
        raise InvalidArgumentError("options were given together with an open store; open the store with them")
    return place


def object_of(place: Any, key: Optional[str], options: OptionValues = None, **keywords: Any) -> Tuple[Store, str]:
    """A store and a key, from a store or its root's URI and a key, or from an object's URI alone."""
    if key is None:
        if isinstance(place, Store):
            raise InvalidArgumentError(f"a key is missing: which object of {place!r}?")
        place, key = split(place)
    return store_of(place, options, **keywords), key


def split(uri: str) -> Tuple[str, str]:
    """The URI of an object as the root of a store, its container or for paths its folder, and the key."""
    if not isinstance(uri, str):
        raise TypeError(f"URI must be str, not {type(uri).__name__}")
    scheme, mark, path = uri.partition("://")
    if scheme in _LOCAL:
        folder, _, key = path.rpartition("/")
        root = f"{scheme}://{folder or '/'}"
    else:
        parts = path.split("/", 2 if scheme == "az" else 1)
        root, key = f"{scheme}://{'/'.join(parts[:-1])}", parts[-1] if len(parts) > (2 if scheme == "az" else 1) else ""
    if not mark or not key:
        raise InvalidUriError(f"{uri!r} names no object; expected a URI such as s3://bucket/folder/name")
    return root, key
