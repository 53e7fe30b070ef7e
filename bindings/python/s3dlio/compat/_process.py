"""Settings of the process."""

import os
from typing import Optional

from .. import library
from ..errors import UnsupportedError
from ._stores import forget

_LEVELS = {"error": "error", "warn": "warn", "warning": "warn", "info": "info", "debug": "debug", "trace": "trace", "off": "off"}
# As the predecessor asked them; the first that is set tells how many processes share this machine's job.
_WORLD = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE")


def init_logging(level: str) -> None:
    """Log lines of the library on standard error: "error", "warn", "info", "debug" or "trace"; others as "info"."""
    chosen = _LEVELS.get(str(level).lower(), "info")
    if chosen == "off":
        library.log_to_fd(-1)
    else:
        library.log_to_fd(2, chosen)


def configure_s3(
    endpoint_url: Optional[str] = None, region: Optional[str] = None, ca_bundle: Optional[str] = None
) -> None:
    """For every call from now on, and in the environment, for what is opened; what is None stays."""
    said = (
        ("AWS_ENDPOINT_URL", "s3.endpoint", endpoint_url), ("AWS_REGION", "s3.region", region),
        ("AWS_CA_BUNDLE", "net.ca_bundle", ca_bundle),
    )
    for name, option, value in said:
        if value is not None:
            os.environ[name] = library._configured[option] = value
    if endpoint_url is not None:
        os.environ.pop("AWS_ENDPOINT_URL_S3", None)  # it would go first
    if region is not None:
        os.environ["AWS_DEFAULT_REGION"] = region
    forget()


def configure_tokio_threads(n: int = 0) -> None:
    """Threads of the library, where it has none yet; 0 divides the processors by the size of the MPI or torchrun job.

    As with the predecessor it takes effect only before the first call that does I/O.
    """
    if n < 0:
        raise OverflowError("the number of threads cannot be negative")
    if n == 0:
        world = next((int(os.environ[name]) for name in _WORLD if os.environ.get(name, "").isdigit()), 1)
        if world <= 1:
            return
        os.environ.setdefault("S3DLIO_RT_THREADS", str(max(1, py_total_cpus() // world)))
    else:
        os.environ["S3DLIO_RT_THREADS"] = str(n)


def py_total_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def py_default_data_gen_threads() -> int:
    """Half of the processors."""
    return max(1, py_total_cpus() // 2)


def init_op_log(path: str) -> None:
    """Not there: the operation log is not part of this version."""
    raise UnsupportedError(
        f"init_op_log {path}: this version writes no operation log [unsupported]; hint: init_logging(\"debug\") logs operations"
    )


def finalize_op_log() -> None:
    """Nothing: no operation log can be open."""


def is_op_log_active() -> bool:
    """False."""
    return False


def op_log_stats() -> None:
    """None: no operation log was opened."""
