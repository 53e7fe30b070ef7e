"""Runs the suites and adds up their counts. The table below is the list of suites.

Each suite is a command; it fails if it exits with another status than 0, if it prints no count, if
it counts a failure, or if it takes too long. Its own output goes to the terminal as it comes.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("S3DLIO_TEST_TOOLS", ""))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"

# cargo prints one such line per test binary: they add up.
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed")
# Every other suite ends with a line that counts; pytest's reads `2 failed, 10 passed in 3.21s`.
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed$")
PYTEST = re.compile(r"^(?:=+ )?(?:(\d+) failed)?(?:, )?(?:(\d+) passed)?.*?(?:, (\d+) errors?)? in [\d.]+s")


@dataclass
class Suite:
    name: str
    language: str
    command: list
    quick: bool = True  # also part of `tests/run quick`
    quick_arguments: tuple = ()  # what the quick run adds
    quick_command: list = ()  # what the quick run does instead
    environment: tuple = ()  # NAME=VALUE
    limit: int = 900  # seconds, after which it counts as hung
    tools: tuple = ()  # of tests/support/tools.sh, over the usual ones


class Count:
    """The sum of cargo's lines, or the last line of any other runner."""

    def __init__(self):
        self.passed = self.failed = 0

    def read(self, line):
        if found := CARGO.match(line):
            self.passed += int(found[1])
            self.failed += int(found[2])
        elif found := PLAIN.match(line):
            self.passed, self.failed = int(found[1]), int(found[2])
        elif (found := PYTEST.match(line)) and any(found.groups()):
            failed, passed, errors = (int(number or 0) for number in found.groups())
            self.passed, self.failed = passed, failed + errors


def cargo(*args):
    return ["cargo", "test", "--release", "--no-fail-fast", *args]


# Objects go through the service's SDK, too: net.optimized.
PLAIN_SDK = ("S3DLIO_USE_OPTIMIZED_HTTP=0",)

# Files are read and written without io_uring, too: local.io_uring.
NO_RING = ("S3DLIO_LOCAL_IO_URING=off",)

SUITES = [
    Suite("rust-unit", "Rust", cargo("--lib", "--bins")),
    Suite("rules", "Rust", cargo("--test", "tidy", "--test", "reference", "--test", "header")),
    Suite("runtime", "Rust", cargo("--test", "shutdown", "--test", "queue")),
    Suite("faultd", "Rust", cargo("-p", "faultd")),
    Suite("net", "Rust", cargo("--test", "net")),
    Suite("transfer", "Rust", cargo("--test", "transfer")),
    Suite("loader", "Rust", cargo("--test", "loader", "--", "--nocapture"), limit=300),
    Suite("power-cut", "Rust", cargo("--test", "power_cut", "--", "--nocapture"), limit=300),
    Suite("checkpoint-crash", "Rust", cargo("--test", "checkpoint_crash", "--", "--nocapture"), quick=False),
    Suite("checkpoint-scale", "Rust", cargo("--test", "checkpoint_scale"), limit=300),
    Suite("local-store", "Rust", cargo("--test", "local_store"), quick=False),
    Suite("local-store-plain", "Rust", cargo("--test", "local_store"), quick=False, environment=NO_RING),
    Suite("s3-store", "Rust", cargo("--test", "s3_store"), quick=False),
    Suite("s3-store-sdk", "Rust", cargo("--test", "s3_store"), quick=False, environment=PLAIN_SDK),
    Suite("azure-store", "Rust", cargo("--test", "azure_store"), quick=False),
    Suite("azure-store-sdk", "Rust", cargo("--test", "azure_store"), quick=False,
          environment=("S3DLIO_USE_OPTIMIZED_HTTP=0",)),
    Suite("faults", "Rust", cargo("--test", "faults", "--", "--nocapture"), quick=False),
    Suite("scripts", "Rust", cargo("--test", "scripts", "ten_thousand", "--", "--nocapture"),
          quick_command=cargo("--test", "scripts", "a_few", "--", "--nocapture")),
    Suite("checkpoint", "Rust", cargo("--test", "checkpoint"), quick=False),
    Suite("storms", "Rust", cargo("--test", "storms", "--", "--nocapture"), quick=False),
    Suite("rust-doc", "Rust", cargo("--doc"), quick=False),
    Suite("c", "C", ["tests/c/run.sh", "plain"]),
    Suite("c-valgrind", "C", ["tests/c/run.sh", "valgrind"], quick=False, limit=2400),
    Suite("c-asan", "C", ["tests/c/run.sh", "asan"], quick=False, limit=1800),
    Suite("fuzz", "Fuzz", ["tests/fuzz/run.sh"], quick_arguments=("quick",), limit=1800),
    Suite("c-guide", "C", ["tests/docs/c_manual.py"]),
    Suite("cpp", "C++", ["tests/cpp/run.sh"]),
    Suite("cmake", "C++", ["tests/cmake/run.sh"], quick=False),
    Suite("report", "Command", ["tests/report/run.sh"], quick=False, tools=("browser",), limit=300),
    Suite("packages", "Packages", ["tests/packages/run.sh"], quick=False, tools=("packages",)),
    Suite("python", "Python", ["tests/python/run.sh"]),
    Suite("frameworks", "Python", ["tests/frameworks/run.sh"], quick=False, tools=("ml",), limit=1800),
    Suite("julia", "Julia", ["tests/julia/run.sh"], quick=False, limit=1800),
    Suite("cli", "Command", ["tests/cli/run.sh"], quick=False, limit=600),
    Suite("oplog", "Python", ["tests/oplog/run.sh"], quick=False, tools=("oplog",), limit=300),
    Suite("benches", "Python", [sys.executable, "tests/benches/run.py"], quick=False),
    Suite("examples", "Examples", ["tests/examples/run.sh"], quick=False),
    # Last, because they leave the servers with a lot to clean up.
    # Azurite takes minutes to delete 10,001 blobs.
    Suite("store-suite", "Rust", cargo("--test", "store_suite"),
          quick_arguments=("--", "--skip", "ten_thousand"), limit=2400),
    Suite("store-suite-sdk", "Rust", cargo("--test", "store_suite", "seaweed::", "--", "--skip", "ten_thousand"),
          environment=PLAIN_SDK),
    Suite("store-suite-plain", "Rust", cargo("--test", "store_suite", "--", "file::", "direct::"), environment=NO_RING),
    Suite("writer-matrix", "Rust", cargo("--test", "writer_matrix"), quick=False, limit=1800),
    Suite("memory-use", "Rust", cargo("--test", "memory_use", "--", "--nocapture"), quick=False),
]


def run(suite):
    """Runs one suite; gives (passed, failed, seconds)."""
    print(f"\n==== {suite.name} ({suite.language}): {' '.join(map(str, suite.command))}", flush=True)
    env = dict(os.environ, S3DLIO_LIB_DIR=str(RELEASE), S3DLIO_LIBRARY=str(RELEASE / "libs3dlio.so"))
    env.update(pair.split("=", 1) for pair in suite.environment)
    env["S3DLIO_TEST_FAULTD"] = str(RELEASE / "faultd")
    env["JULIA"] = str(TOOLS / "julia/julia")
    env["PYTHON"] = str(TOOLS / "py/bin/python")
    env["PYTHON_ML"] = str(TOOLS / "ml/bin/python")
    started = time.monotonic()
    process = subprocess.Popen(
        suite.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )
    # A suite that hangs is a failure, not the end of the run: its process group is ended.
    watchdog = threading.Timer(suite.limit, lambda: os.killpg(process.pid, signal.SIGKILL))
    watchdog.start()
    count = Count()
    for line in process.stdout:
        print(line, end="", flush=True)
        count.read(line.rstrip())
    status = process.wait()
    watchdog.cancel()
    passed, failed = count.passed, count.failed
    if status != 0 and failed == 0 or passed + failed == 0:
        print(f"{suite.name}: exit status {status} with {passed} passed and {failed} failed tests")
        failed += 1
    return passed, failed, time.monotonic() - started


def choose(names):
    if "quick" in names:
        quick = [suite for suite in SUITES if suite.quick]
        command = lambda suite: [*(suite.quick_command or suite.command), *suite.quick_arguments]
        return [replace(suite, command=command(suite)) for suite in quick]
    unknown = set(names) - {suite.name for suite in SUITES}
    if unknown:
        sys.exit(f"unknown suite {', '.join(sorted(unknown))}; tests/run --list shows them")
    return [suite for suite in SUITES if not names or suite.name in names]


def main():
    if sys.argv[1:] == ["--list"]:
        for suite in SUITES:
            print(f"{suite.name:14} {suite.language:8} {'' if suite.quick else 'not in quick'}")
        return
    if sys.argv[1:2] == ["--tools"]:
        print(*sorted({tool for suite in choose(sys.argv[2:]) for tool in suite.tools}))
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
