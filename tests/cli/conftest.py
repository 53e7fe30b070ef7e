"""The stores that the command is tested against, and how it is called."""

import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COMMAND = os.environ["S3DLIO_TEST_COMMAND"]
SEAWEED = os.environ.get("S3DLIO_TEST_SEAWEED")
AZURITE = os.environ.get("S3DLIO_TEST_AZURITE")
ACCESS_KEY, SECRET_KEY = "s3dliotest", "s3dliotestsecret"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def environment():
    """Nothing of the caller's that the command would read."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("S3DLIO_", "AWS_", "AZURE_"))}
    env.update(
        S3DLIO_S3_ENDPOINT=SEAWEED or "http://127.0.0.1:9",
        S3DLIO_S3_ACCESS_KEY_ID=ACCESS_KEY,
        S3DLIO_S3_SECRET_ACCESS_KEY=SECRET_KEY,
        S3DLIO_S3_REGION="us-east-1",
        S3DLIO_S3_LITERAL_KEYS="false",
        S3DLIO_AZURE_ENDPOINT=AZURITE or "http://127.0.0.1:9",
        S3DLIO_AZURE_ACCOUNT_KEY=ACCOUNT_KEY,
        S3DLIO_LOG_LEVEL="error",
        LC_ALL="C.UTF-8",
        TERM="xterm",
    )
    return env


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()


def run(*args, env=None, stdin=None, cwd=None, timeout=120):
    done = subprocess.run([COMMAND, *map(str, args)], env={**environment(), **(env or {})}, cwd=cwd,
                          input=stdin, capture_output=True, timeout=timeout)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def ok(*args, **kwargs):
    ran = run(*args, **kwargs)
    assert ran.code == 0, f"{args}: exit code {ran.code}\n{ran.out}\n{ran.err}"
    return ran


@dataclass
class Store:
    """A bucket, a container or a folder of its own."""

    kind: str
    root: str
    container: str
    made: list = field(default_factory=list)

    def fresh(self):
        """The URI of a folder that nobody else uses."""
        return f"{self.root}/{uuid.uuid4().hex[:8]}"


KINDS = ["file", "direct", "seaweed", "azurite"]


@pytest.fixture(scope="session", params=KINDS)
def store(request):
    kind = request.param
    name = f"cli-{uuid.uuid4().hex[:12]}"
    if kind in ("file", "direct"):
        # O_DIRECT needs a real file system.
        folder = tempfile.mkdtemp(prefix=name, dir="/var/tmp")
        yield Store(kind, f"{kind}://{folder}", name)
        shutil.rmtree(folder)
        return
    if kind == "seaweed" and not SEAWEED or kind == "azurite" and not AZURITE:
        pytest.fail(f"{kind} does not run: start the tests with tests/run cli")
    root = f"s3://{name}" if kind == "seaweed" else f"az://{ACCOUNT}/{name}"
    ok("create-bucket", root)
    yield Store(kind, root, name)
    ran = run("delete-bucket", root, "--force", "--yes")
    assert ran.code == 0, ran.err


@pytest.fixture
def tree(tmp_path):
    """A small local tree with the traps: names that are prefixes of others, an empty file, odd names."""
    root = tmp_path / "tree"
    files = {
        "a/b": b"of a folder\n", "a.txt": b"text\n", "a/bc/d": b"deeper\n", "ab/x": b"not of a\n",
        "empty": b"", "odd/ü #?%&+=.txt": b"odd\n", "zeros": bytes(100_000),
    }
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def content(folder):
    """What is below a folder."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
