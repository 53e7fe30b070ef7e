"""Finds and loads libs3dlio.so, and checks that it speaks this package's ABI."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Iterator

from . import _ffi

NAME = "libs3dlio.so"
SONAME = "libs3dlio.so.0"


def candidates() -> Iterator[str]:
    """Where the library may be, in the order of the search.

    `S3DLIO_LIBRARY` is the only candidate where it is set: a wrong path must not go unnoticed.
    """
    override = os.environ.get("S3DLIO_LIBRARY")
    if override:
        yield override
        return
    files = [
        Path(__file__).with_name(NAME),
        Path(sys.prefix) / "lib" / SONAME,
        Path(sys.prefix) / "lib" / NAME,
    ]
    yield from (str(file) for file in files if file.exists())
    yield SONAME  # the loader's own search: LD_LIBRARY_PATH, ld.so.cache, /usr/lib


def load() -> ctypes.CDLL:
    """The library with every function declared; `ImportError` says what was tried and why not."""
    failures = []
    for path in candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            failures.append(f"  {path}: {error}")
            continue
        check_abi(library, path)
        declare(library, path)
        return library
    raise ImportError(
        "the library of s3dlio could not be loaded:\n" + "\n".join(failures)
        + "\nInstall the package with its library (pip install), or set S3DLIO_LIBRARY to the path of libs3dlio.so."
    )


def check_abi(library: ctypes.CDLL, path: str) -> None:
    """The major number must be ours and the minor number at least ours."""
    try:
        library.s3dlio_abi_version.restype = ctypes.c_uint32
        found = library.s3dlio_abi_version()
    except AttributeError:
        raise ImportError(f"{path} is not libs3dlio: it has no s3dlio_abi_version") from None
    wanted = _ffi.S3DLIO_ABI_VERSION
    if found >> 16 != wanted >> 16 or found & 0xFFFF < wanted & 0xFFFF:
        raise ImportError(
            f"{path} has ABI version {found >> 16}.{found & 0xFFFF}, but this package needs "
            f"{wanted >> 16}.{wanted & 0xFFFF}; install a library and a package of the same release"
        )


def declare(library: ctypes.CDLL, path: str) -> None:
    for name, (result, arguments) in _ffi.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"{path} lacks {name}; it is older than this package") from None
        function.restype = result
        function.argtypes = arguments


lib = load()
