"""Stores to test against, and the count at the end."""

import gc
import os
import pickle
import signal
import time
import traceback
import uuid

import pytest

import s3dlio

ACCESS_KEY, SECRET_KEY, REGION = "s3dliotest", "s3dliotestsecret", "us-east-1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def pytest_configure():
    """The tests say themselves which services they use; the host's settings must not interfere."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_")) or name.startswith("S3DLIO_") and not (
            name.startswith("S3DLIO_TEST_") or name == "S3DLIO_LIBRARY"
        ):
            del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def server(variable):
    """The endpoint of a test server; a missing one is a failure, never a skip."""
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set; run: python3 tests/support/servers.py run -- tests/python/run.sh")
    return value


def s3_options(variable):
    return {
        "s3.endpoint": server(variable),
        "s3.access_key_id": ACCESS_KEY,
        "s3.secret_access_key": SECRET_KEY,
        "s3.region": REGION,
    }


def in_child(work, seconds=60):
    """Runs `work` in a forked child and gives what it returned, or fails with its traceback."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)  # a child that hangs dies
        try:
            answer = pickle.dumps(work())
        except BaseException:
            answer = pickle.dumps(traceback.format_exc())
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0 and answer, f"the child ended with status {status}"
    return pickle.loads(answer)


def place(backend, tmp_path):
    """Root URI and options of a fresh container or folder."""
    name = f"py-{uuid.uuid4().hex[:16]}"
    if backend == "memory":
        return f"memory://{name}", {}
    if backend in ("file", "direct"):
        return f"{backend}://{tmp_path}/{name}", {}
    if backend == "azurite":
        endpoint = server("S3DLIO_TEST_AZURITE")
        account = endpoint.rsplit("/", 1)[1]
        return f"az://{account}/{name}", {"azure.endpoint": endpoint, "azure.account_key": AZURITE_KEY}
    return f"s3://{name}", s3_options(f"S3DLIO_TEST_{backend.upper()}")


@pytest.fixture(autouse=True, scope="module")
def what_was_imported_stays():
    """Collections before and after every test pass over it: of what is imported nothing becomes garbage, and there is so
    much of it that looking through it would take longer than most tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks(request, what_was_imported_stays):
    """Every handle that a test makes is freed when the test is over."""
    gc.collect()
    before = s3dlio.stats().handles
    yield
    if request.session.testsfailed == 0:  # a failure's traceback keeps objects alive
        request.node.funcargs.clear()  # pytest itself holds the stores otherwise
        deadline = time.monotonic() + 10
        gc.collect()
        while s3dlio.stats().handles > before:
            # Threads of other libraries, such as pyarrow's, may let go of a file a moment after they are done with it.
            gc.collect()
            assert time.monotonic() < deadline, f"the test leaked handles: {before} before, {s3dlio.stats().handles} after it"
            time.sleep(0.005)


LOCAL = ["memory", "file", "direct"]
CLOUD = ["seaweed", "s3b", "azurite"]


def fresh_store(backend, tmp_path):
    uri, options = place(backend, tmp_path)
    store = s3dlio.Store(uri, options)
    store.create_container()
    return store


@pytest.fixture(params=LOCAL + CLOUD)
def store(request, tmp_path):
    """A store with an empty container of its own, on every backend."""
    store = fresh_store(request.param, tmp_path)
    yield store
    store.delete_prefix("")
    store.delete_container()


@pytest.fixture
def memory():
    """An empty store in memory."""
    return fresh_store("memory", None)


@pytest.fixture
def folder(tmp_path):
    """An empty store in a folder."""
    return s3dlio.Store(f"file://{tmp_path}")


_counts = {"passed": 0, "failed": 0}


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    _counts["passed"] = len(stats.get("passed", ()))
    _counts["failed"] = sum(len(stats.get(kind, ())) for kind in ("failed", "error", "skipped"))


def pytest_unconfigure():
    print(f"{_counts['passed']} passed, {_counts['failed']} failed")
