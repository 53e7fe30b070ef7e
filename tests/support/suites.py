"""Runs the suites and adds up their counts. The table below is the list of suites.

Each suite is a command; it fails if it exits with another status than 0, if it prints no count, or
if it counts a failure. Its own output goes to the terminal as it comes.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("S3DLIO_TEST_TOOLS", ""))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"

# `12 passed, 0 failed`, and cargo's `test result: ok. 12 passed; 0 failed; ...`.
COUNT = re.compile(r"(?:^|\s)(\d+) passed[,;] (\d+) failed")


@dataclass
class Suite:
    name: str
    language: str
    command: list
    quick: bool = True  # also part of `tests/run quick`


def cargo(*args):
    return ["cargo", "test", "--release", *args]


SUITES = [
    Suite("rust-unit", "Rust", cargo("--lib")),
    Suite("rust-doc", "Rust", cargo("--doc"), quick=False),
    Suite("store-suite", "Rust", cargo("--test", "store_suite", "--", "--test-threads=4")),
    Suite("julia", "Julia", ["tests/julia/run.sh"], quick=False),
]


def run(suite):
    """Runs one suite; gives (passed, failed, seconds)."""
    print(f"\n==== {suite.name} ({suite.language}): {' '.join(map(str, suite.command))}", flush=True)
    env = dict(os.environ, S3DLIO_LIB_DIR=str(RELEASE), S3DLIO_LIBRARY=str(RELEASE / "libs3dlio.so"))
    env["JULIA"] = str(TOOLS / "julia/julia")
    env["PYTHON"] = str(TOOLS / "py/bin/python")
    started = time.monotonic()
    process = subprocess.Popen(
        suite.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    passed = failed = 0
    for line in process.stdout:
        print(line, end="", flush=True)
        if count := COUNT.search(line):
            passed += int(count[1])
            failed += int(count[2])
    status = process.wait()
    if status != 0 and failed == 0 or passed + failed == 0:
        print(f"{suite.name}: exit status {status} with {passed} passed and {failed} failed tests")
        failed += 1
    return passed, failed, time.monotonic() - started


def choose(names):
    if "quick" in names:
        return [suite for suite in SUITES if suite.quick]
    unknown = set(names) - {suite.name for suite in SUITES}
    if unknown:
        sys.exit(f"unknown suite {', '.join(sorted(unknown))}; tests/run --list shows them")
    return [suite for suite in SUITES if not names or suite.name in names]


def main():
    if sys.argv[1:] == ["--list"]:
        for suite in SUITES:
            print(f"{suite.name:14} {suite.language:8} {'' if suite.quick else 'not in quick'}")
        return
    results = [(suite, *run(suite)) for suite in choose(sys.argv[1:])]
    print("\n==== per suite")
    for suite, passed, failed, seconds in results:
        print(f"{suite.name:14} {passed:5} ok {failed:3} bad {seconds:7.1f} s")
    print("==== per language")
    for language in dict.fromkeys(suite.language for suite in SUITES):
        rows = [row for row in results if row[0].language == language]
        print(f"{language}: {sum(row[1] for row in rows)} ok, {sum(row[2] for row in rows)} bad")
    failed = sum(row[2] for row in results)
    print(f"{sum(row[1] for row in results)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
