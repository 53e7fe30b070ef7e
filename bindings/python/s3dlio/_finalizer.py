"""Finalizers that nothing interrupts.

Python runs signal handlers between the bytecodes of any function, and swallows what they raise inside of
`__del__`: a KeyboardInterrupt would be lost there, and what was to be freed with it. So `__del__` of the
objects that own something of C's is C's function itself, bound and called without any bytecode.
"""

import ctypes
from ctypes import py_object
from typing import Any

_bind = ctypes.pythonapi.PyInstanceMethod_New
_bind.argtypes, _bind.restype = (py_object,), py_object


def finalizer(release: Any) -> Any:
    """`release`, which takes the object, as its `__del__`."""
    return _bind(release)
