"""Exceptions: one class per status of the C interface.

Every class derives from `S3dlioError` and from the builtin that means the same, so both
`except s3dlio.NotFoundError` and `except FileNotFoundError` work. Failures of the world (network,
disk, server, missing objects) are `OSError`s, misuse is a `ValueError`; all are `RuntimeError`s, which is
what the predecessor's users catch.
"""

import errno
import io
from ctypes import byref, c_char_p
from typing import Any, Dict, Mapping, Optional, Tuple, Type

from . import _ffi, _owners
from ._library import lib


class S3dlioError(RuntimeError):
    """A failure with everything that is known about it. Immutable in practice; can be pickled.

    `str()` gives one line with operation, URI, cause chain and hint. Credentials never appear.
    """

    #: Number of the status, negative: `S3DLIO_ERR_*` of the C header.
    code: int = -3
    #: The errno that the builtin base stands for, where the operating system gave none.
    _default_errno: Optional[int] = None

    def __init__(
        self,
        message: str,
        *,
        code: Optional[int] = None,
        retryable: bool = False,
        http_status: Optional[int] = None,
        errno: Optional[int] = None,
        details: Optional[Mapping[str, str]] = None,
    ):
        super().__init__(message)
        if code is not None:
            self.code = code
        #: Whether the same call may succeed later without any change.
        self.retryable = retryable
        #: HTTP status of the server's answer, or None.
        self.http_status = http_status
        #: Further facts as text: operation, uri, request_id, attempts, elapsed_ms, hint, required ...
        self.details: Dict[str, str] = dict(details or {})
        #: errno of the failed system call, else that of the builtin base class, or None.
        self.errno = self._default_errno if errno is None else errno
        if isinstance(self, OSError):
            self.strerror, self.filename = message, self.uri

    @property
    def status(self) -> str:
        """Name of the status, such as `not_found`."""
        return _ffi.ERRORS.get(self.code, "unknown")

    @property
    def operation(self) -> Optional[str]:
        """What was done: `get`, `put`, `list` ..."""
        return self.details.get("operation")

    @property
    def uri(self) -> Optional[str]:
        """What it was done to."""
        return self.details.get("uri")

    @property
    def hint(self) -> Optional[str]:
        """What can be done about it."""
        return self.details.get("hint")

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> Tuple[Any, ...]:
        facts = {name: getattr(self, name) for name in ("code", "retryable", "http_status", "errno", "details")}
        return _rebuild, (type(self), str(self), facts)


def _rebuild(cls: Type[S3dlioError], message: str, facts: Dict[str, Any]) -> S3dlioError:
    return cls(message, **facts)


class InvalidArgumentError(S3dlioError, ValueError):
    """An argument is out of its domain or contradicts another one."""

    code = -1


class BadHandleError(S3dlioError, ValueError):
    """The store, reader or other handle is closed."""

    code = -2


class InternalError(S3dlioError):
    """A defect of the library; please report it."""

    code = -3


class PoisonedError(S3dlioError):
    """The handle was used by a call that hit a defect, and refuses further work."""

    code = -4


class InvalidStateError(S3dlioError, ValueError):
    """The call does not fit the state, such as a write after finish."""

    code = -5


class ForkedError(S3dlioError):
    """The reader or writer was inherited through fork() and works only in the parent."""

    code = -6


class ShutdownError(S3dlioError):
    """The library was shut down."""

    code = -7


class WouldDeadlockError(S3dlioError):
    """A blocking call was made on one of the library's own threads."""

    code = -8


class UnsupportedError(S3dlioError, io.UnsupportedOperation):
    """The backend or this build cannot do this."""

    code = -9


class CancelledError(S3dlioError):
    """The operation was cancelled."""

    code = -10


class InvalidUriError(S3dlioError, ValueError):
    """The URI cannot be parsed or its scheme is unknown."""

    code = -11


class InvalidKeyError(S3dlioError, ValueError):
    """The key is not legal for this store, or would leave its root."""

    code = -12


class UnknownOptionError(S3dlioError, ValueError):
    """There is no option of this name; the hint names the nearest one."""

    code = -13


class InvalidOptionError(S3dlioError, ValueError):
    """The option's value has the wrong type or is out of bounds."""

    code = -14


class NotFoundError(S3dlioError, FileNotFoundError):
    """There is no object of this key."""

    code, _default_errno = -20, errno.ENOENT


class ContainerNotFoundError(S3dlioError, FileNotFoundError):
    """There is no such bucket, container or root folder."""

    code, _default_errno = -21, errno.ENOENT


class AlreadyExistsError(S3dlioError, FileExistsError):
    """Something of this name exists already."""

    code, _default_errno = -22, errno.EEXIST


class PreconditionFailedError(S3dlioError, OSError):
    """The object's ETag is not the one that if_match demanded."""

    code = -23


class ChangedError(S3dlioError, OSError):
    """The object was replaced while it was being read, copied or moved."""

    code = -24


class NotEmptyError(S3dlioError, OSError):
    """The container still holds objects."""

    code, _default_errno = -25, errno.ENOTEMPTY


class RangeError(S3dlioError, ValueError):
    """The range starts past the end of the object."""

    code = -26


class BufferTooSmallError(S3dlioError, ValueError):
    """The given memory is smaller than the object; `required` says the object's size in bytes."""

    code = -27

    @property
    def required(self) -> Optional[int]:
        value = self.details.get("required")
        return None if value is None else int(value)


class PermissionDeniedError(S3dlioError, PermissionError):
    """The credentials do not permit this."""

    code, _default_errno = -30, errno.EACCES


class UnauthenticatedError(S3dlioError, PermissionError):
    """Credentials are missing, malformed, expired or refused."""

    code, _default_errno = -31, errno.EACCES


# From here on the names ConnectionError and TimeoutError mean ours; the builtins keep an alias.
_BuiltinConnectionError, _BuiltinTimeoutError = ConnectionError, TimeoutError


class DnsError(S3dlioError, _BuiltinConnectionError):
    """The host name could not be resolved."""

    code = -40


class ConnectionError(S3dlioError, _BuiltinConnectionError):  # noqa: A001
    """The connection was refused, reset or closed."""

    code = -41


class TlsError(S3dlioError, _BuiltinConnectionError):
    """TLS could not be established, or the certificate is not trusted."""

    code = -42


class TimeoutError(S3dlioError, _BuiltinTimeoutError):  # noqa: A001
    """A deadline passed."""

    code, _default_errno = -43, errno.ETIMEDOUT


class UnavailableError(S3dlioError, OSError):
    """The server is overloaded or temporarily failing (429, 500, 502, 503, 504)."""

    code = -44


class ServerError(S3dlioError, OSError):
    """The server answered with an error that has no class of its own."""

    code = -45


class ProtocolError(S3dlioError, OSError):
    """The server's answer breaks its protocol."""

    code = -46


class UnknownOutcomeError(S3dlioError, OSError):
    """It is unknown whether the write took effect: it may have arrived, and no usable answer came."""

    code = -47


class IoError(S3dlioError, OSError):
    """An operating system call failed; see `errno`."""

    code = -50


class NoSpaceError(S3dlioError, OSError):
    """The device or quota is full."""

    code, _default_errno = -51, errno.ENOSPC


class OutOfMemoryError(S3dlioError, MemoryError):
    """Memory could not be had."""

    code = -52


class ChecksumMismatchError(S3dlioError, OSError):
    """A checksum does not match the bytes; `details` has `expected` and `actual`."""

    code = -60


class TruncatedError(S3dlioError, OSError):
    """Fewer bytes came than were promised. Not an EOFError: it never means a regular end."""

    code = -61


class CorruptError(S3dlioError, OSError):
    """Stored data is malformed, such as a broken zstd frame."""

    code = -62


CLASSES: Dict[int, Type[S3dlioError]] = {cls.code: cls for cls in S3dlioError.__subclasses__()}


def from_handle(status: int, handle: Any) -> S3dlioError:
    """The exception for a failed call; `handle` stays the caller's."""
    if not handle:
        name = (lib.s3dlio_status_name(status) or b"unknown").decode()
        return CLASSES.get(status, S3dlioError)(f"the call failed [{name}]", code=status)
    details: Dict[str, str] = {}
    key, value = c_char_p(), c_char_p()
    for index in range(lib.s3dlio_error_detail_count(handle)):
        if lib.s3dlio_error_detail_at(handle, index, byref(key), byref(value)) == 0:
            details.setdefault(_text(key.value), _text(value.value))
    return CLASSES.get(status, S3dlioError)(
        _text(lib.s3dlio_error_message(handle)),
        code=status,
        retryable=bool(lib.s3dlio_error_retryable(handle)),
        http_status=lib.s3dlio_error_http_status(handle) or None,
        errno=lib.s3dlio_error_os_errno(handle) or None,
        details=details,
    )


def call(function: Any, *arguments: Any) -> int:
    """Calls `function(*arguments, &error)`; raises on a negative status, else returns it."""
    error = _owners.Error()
    status = function(*arguments, byref(error))
    if status < 0:
        raise from_handle(status, error)
    return status


def _text(value: Optional[bytes]) -> str:
    return (value or b"").decode("utf-8", "replace")


__all__ = ["S3dlioError"] + [
    cls.__name__ for cls in CLASSES.values() if cls not in (ConnectionError, TimeoutError)
]
