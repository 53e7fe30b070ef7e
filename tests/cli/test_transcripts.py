"""K1: every verb on every store, as a user sees it: transcripts with the output that is expected.

A line `$ ...` is a command line of s3dlio; what follows is what it prints, standard error with `! ` before
it, and `[CODE]` where the exit code is not 0. {root} is a folder of the store, {tmp} one on this machine.
What differs from run to run is written as TIME, ETAG, and so on. S3DLIO_BLESS=1 writes them anew.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
from conftest import run

HERE = Path(__file__).parent / "transcripts"
BLESS = os.environ.get("S3DLIO_BLESS")

CHANGING = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"etag":"[^,]*?"(?=[,}])', '"etag":"ETAG"'),
    (r"(  etag +).*", r"\1ETAG"),
    (r" in [^(]* \([^)]*/s\)", " in SECONDS"),
    (r'"(seconds|\w*_ms|per_second|bytes_per_second)":[0-9.e-]+', r'"\1":N'),
    (r'"content_type":"[^"]*",', ""),
    # What is missing every store says in words of its own.
    (r"^(s3dlio: \S+ \S+: ).*\[((?:container_)?not_found)\b.*", r"\1... [\2]"),
    (r'"(message|hint|errno|http_status|service_code)":("[^"]*"|\d+),?', ""),
    (r", request [^\]]*|, \d+ attempts in \d+ ms", ""),
    (r'"(request_id|attempts|elapsed_ms)":"[^"]*",?', ""),
]


def normal(text, names):
    for name, value in sorted(names.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, "{" + name + "}")
    for pattern, to in CHANGING:
        text = re.sub(pattern, to, text, flags=re.M)
    return text


def play(path, names, cwd):
    """What the transcript's commands print now, in its form."""
    printed = []
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            printed.append(line)
        if not line.startswith("$ "):
            continue
        printed.append(line)
        args = [part.format(**names) for part in shlex.split(line[2:])]
        ran = run(*args, cwd=cwd)
        printed += normal(ran.out, names).splitlines()
        printed += ["! " + line for line in normal(ran.err, names).splitlines()]
        if ran.code:
            printed.append(f"[{ran.code}]")
    return "\n".join(printed) + "\n"


def transcripts():
    return sorted(path.name for path in HERE.glob("*.txt"))


@pytest.mark.parametrize("name", transcripts())
def test_transcript(store, tree, tmp_path, name):
    only = re.match(r".*\.(\w+)\.txt$", name)
    groups = {"local": ("file", "direct"), "cloud": ("seaweed", "azurite")}
    if only and store.kind not in groups.get(only[1], (only[1],)):
        pytest.skip("another store's")
    root = store.fresh()
    names = {"root": root, "path": root.split("://", 1)[1], "tmp": str(tmp_path)}
    path = HERE / name
    printed = play(path, names, tmp_path)
    if BLESS and store.kind in ("file", "seaweed"):
        path.write_text(printed)
    assert printed == path.read_text()
