"""Reading logs as others do, and running programs that write them."""

import csv
import io
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

import s3dlio

COLUMNS = "idx thread op client_id n_objects bytes endpoint file error start first_byte end duration_ns".split()
HEADER = "\t".join(COLUMNS) + "\n"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
RELEASE = Path(os.environ["S3DLIO_LIBRARY"]).parent
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(tmp_path):
    """A running log; the test stops it."""
    path = tmp_path / "log.tsv.zst"
    s3dlio.oplog_start(path)
    yield path
    try:
        s3dlio.oplog_stop()
    except s3dlio.InvalidStateError:
        pass


def text(path):
    """What a log holds, as the zstd program gives it."""
    path = Path(path)
    if path.suffix != ".zst":
        return path.read_bytes().decode("utf-8")
    done = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def rows(path):
    """The rows, read by the rules of Go's encoding/csv, which warp's reader is made of: a tab between fields, a
    quote inside a bare field is an error, every row as long as the first one; and what warp parses of each."""
    whole = text(path)
    assert whole.startswith(HEADER), whole[:200]
    assert whole.endswith("\n")
    found = []
    for number, line in enumerate(whole.splitlines()[1:]):
        fields = line.split("\t")
        assert len(fields) == len(COLUMNS) and '"' not in line and not line.startswith("#"), line
        row = dict(zip(COLUMNS, fields))
        assert int(row["idx"]) == number and 0 <= int(row["thread"]) < 1 << 16, line
        assert row["op"] in ("GET", "PUT", "DELETE", "LIST", "STAT"), line
        assert TIME.fullmatch(row["start"]) and TIME.fullmatch(row["end"]) and row["start"] <= row["end"], line
        first = row["first_byte"]
        assert not first or row["op"] == "GET" and TIME.fullmatch(first) and row["start"] <= first <= row["end"], line
        assert int(row["bytes"]) >= 0 and int(row["n_objects"]) >= 0 and int(row["duration_ns"]) >= 0, line
        found.append(row)
    with io.StringIO(whole, newline="") as lines:
        assert len(list(csv.reader(lines, delimiter="\t", strict=True))) == len(found) + 1
    return found


def nanos(time):
    """A time of a row in nanoseconds since 1970."""
    seconds, fraction = time[:-1].split(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction)


def unescape(field):
    """The reverse of the escapes that docs/oplog.md has."""
    letters = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}

    def plain(match):
        short, code = match.groups()
        return letters[short] if short else chr(int(code[1:], 16))

    return re.sub(r"\\(?:([tnr\\])|(x[0-9a-f]{2}|u[0-9a-f]{4}))", plain, field)


def run(program, *arguments, **environment):
    """A Python program in a process of its own; gives its exit status."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def command(*arguments, status=0):
    """The command s3dlio; gives its standard output."""
    done = subprocess.run([RELEASE / "s3dlio", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == status, f"{done.returncode}: {done.stderr}"
    return done.stdout
