"""`Store.open`: buffered and text files of the `io` module over readers and writers."""

import io
from typing import IO, Any, Optional

READ_BUFFER = 256 << 10


class _Unpublished:
    """What wraps a writer and must not publish by accident.

    The `io` module closes what it wraps when it is left by an exception or garbage collected, which
    would publish half an object; these abort instead.
    """

    _writer: Any

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self._writer.__exit__(kind, value, trace)
        super().__exit__(kind, value, trace)  # type: ignore[misc]

    def __del__(self) -> None:
        pass  # the writer's own finalizer aborts


class BufferedWriter(_Unpublished, io.BufferedWriter):
    """Collects small writes; published by `close()` or by leaving `with` without an exception."""

    def __init__(self, writer: Any, buffer_size: int):
        super().__init__(writer, buffer_size)
        self._writer = writer


class TextWriter(_Unpublished, io.TextIOWrapper):
    """Encodes text; published by `close()` or by leaving `with` without an exception."""

    def __init__(self, writer: Any, **text: Any):
        super().__init__(writer, **text)
        self._writer = writer


def open_file(
    store: Any,
    key: str,
    mode: str,
    buffering: int,
    *,
    encoding: Optional[str] = None,
    errors: Optional[str] = None,
    newline: Optional[str] = None,
    **arguments: Any,
) -> IO[Any]:
    action, kind = mode[:1], mode[1:]
    if action not in tuple("rwx") or kind not in ("", "b", "t"):
        raise ValueError(f"invalid mode {mode!r}: expected r, w or x, optionally with b or t")
    is_text = kind != "b"
    if not is_text and (encoding, errors, newline) != (None, None, None):
        raise ValueError("binary mode takes no encoding, errors or newline")
    if is_text and buffering == 0:
        raise ValueError("text needs a buffer")
    text = dict(encoding=encoding or "utf-8", errors=errors, newline=newline)
    if action == "r":
        reader = store.reader(key, **arguments)
        if buffering == 0:
            return reader
        buffered = io.BufferedReader(reader, buffering if buffering > 0 else READ_BUFFER)
        return io.TextIOWrapper(buffered, **text) if is_text else buffered
    writer = store.writer(key, create_only=action == "x", **arguments)
    if is_text:
        return TextWriter(writer, **text)
    return BufferedWriter(writer, buffering) if buffering > 0 else writer
