"""Options: dotted keys with typed, bounded values. Explicit value, else environment, else default."""

import os
from ctypes import byref, sizeof, string_at
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from . import _ffi, _owners
from ._arguments import text
from ._library import lib
from .errors import InvalidOptionError, UnknownOptionError, call

Value = Union[str, int, bool, "os.PathLike[str]"]


class OptionInfo(NamedTuple):
    """One row of the table of options."""

    key: str
    #: "bool", "count", "size" (bytes), "ms", "text", "secret" or "choice".
    type: str
    default_value: str
    bounds: str
    #: The environment variables that set it, first wins.
    env: Tuple[str, ...]
    doc: str


def option_table() -> List[OptionInfo]:
    """Every option, in the order of its key."""
    rows = []
    info = _ffi.s3dlio_option_info()
    for index in range(lib.s3dlio_option_count()):
        call(lib.s3dlio_option_at, index, byref(info), sizeof(info))
        key, kind, default, bounds, env, doc = (
            (getattr(info, name) or b"").decode() for name, _ in info._fields_
        )
        rows.append(OptionInfo(key, kind, default, bounds, tuple(env.split()), doc))
    return rows


class Options:
    """A set of explicit options: `Options({"s3.endpoint": url}, transfer_part_size="32MiB")`.

    In keywords the first underscore stands for the dot. Values are str, int, bool or path; None
    leaves an option alone. Raises `UnknownOptionError` and `InvalidOptionError` at once.
    `repr()` and `options[key]` mask secrets; a pickle holds every explicit value, secrets
    included: leave them out and set them in the environment where pickles travel. One thread at a time.
    """

    def __init__(self, values: "Optional[Union[Mapping[str, Value], Options]]" = None, **keywords: Value):
        self._handle = _owners.Options()
        self._values: Dict[str, str] = {}
        call(lib.s3dlio_options_new, byref(self._handle))
        self.update(values, **keywords)

    def update(self, values: "Optional[Union[Mapping[str, Value], Options]]" = None, **keywords: Value) -> None:
        """Sets many options; those before a bad one stay set."""
        given = values._values if isinstance(values, Options) else values
        for key, value in (given or {}).items():
            self[key] = value
        for name, value in keywords.items():
            self[name.replace("_", ".", 1)] = value

    def __setitem__(self, key: str, value: Optional[Value]) -> None:
        encoded = text(key, UnknownOptionError, "option")
        if value is None:
            return
        shown = _as_text(key, value)
        call(lib.s3dlio_options_set, self._handle, encoded, text(shown, InvalidOptionError, f"option {key}"))
        self._values[key] = shown

    def __getitem__(self, key: str) -> str:
        """The value in force as text: explicit, else environment, else default; secrets as `***`."""
        found = _owners.Buffer()
        call(lib.s3dlio_options_get, self._handle, text(key, UnknownOptionError, "option"), byref(found))
        return string_at(lib.s3dlio_buffer_data(found)).decode()

    def __iter__(self) -> Iterator[str]:
        """The keys that were set explicitly."""
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Options({ {key: self[key] for key in self} })"

    def __reduce__(self) -> Tuple[Any, ...]:
        return Options, (dict(self._values),)


def _as_text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise TypeError(f"option {key} must be str, int, bool or a path, not {type(value).__name__}")
