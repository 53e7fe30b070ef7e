"""SPEC O2: logs of every language are done again, at their times."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import s3dlio
from logs import HEADER, RELEASE, ROOT, command, rows, text

CPP = """
#include <s3dlio.hpp>
#include <cstddef>
#include <vector>
int main(int, char** argv) {
    s3dlio::oplog_start(argv[1]);
    s3dlio::store store(argv[2]);
    const std::vector<std::byte> data(5000);
    for (int i = 0; i < 20; i++) store.put("k" + std::to_string(i), data);
    for (int i = 0; i < 20; i++) if (store.get("k" + std::to_string(i)).size() != 5000) return 1;
    return s3dlio::oplog_stop().rows == 40 && s3dlio::stats_json()[0] == '{' && s3dlio::stats_prometheus()[0] == '#' ? 0 : 1;
}
"""
JULIA = """
using S3dlio
S3dlio.oplog_start(ARGS[1])
store = Store(ARGS[2])
for i in 0:19 S3dlio.put(store, "k$i", zeros(UInt8, 5000)) end
for i in 0:19 @assert length(S3dlio.get(store, "k$i")) == 5000 end
@assert S3dlio.oplog_stop() == (rows = 40, dropped = 0)
@assert S3dlio.stats_json()[1] == '{' && startswith(S3dlio.stats_prometheus(), "#")
"""


def by_python(log, uri):
    s3dlio.oplog_start(log)
    with s3dlio.Store(uri) as store:
        for i in range(20):
            store.put(f"k{i}", bytes(5000))
        for i in range(20):
            assert len(store.get(f"k{i}")) == 5000
    assert s3dlio.oplog_stop() == (40, 0)


def by_cpp(log, uri):
    source, program = log.with_name("log.cpp"), log.with_name("program")
    source.write_text(CPP)
    subprocess.run(["g++", "-std=c++17", f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp", source, "-o", program,
                    RELEASE / "libs3dlio.so", f"-Wl,-rpath,{log.parent}"], check=True, timeout=120)
    os.symlink(RELEASE / "libs3dlio.so", log.with_name("libs3dlio.so.0"))
    subprocess.run([program, log, uri], check=True, timeout=60)


def by_julia(log, uri):
    julia = os.environ.get("JULIA") or str(Path.home() / ".cache/s3dlio/tools/julia/julia")
    environment = {**os.environ, "JULIA_DEPOT_PATH": str(log.with_name("depot"))}
    script = log.with_name("log.jl")
    script.write_text(JULIA)
    subprocess.run([julia, "--startup-file=no", f"--project={ROOT}/bindings/julia", script, log, uri],
                   check=True, timeout=240, env=environment)


@pytest.mark.parametrize("write", [by_python, by_cpp, by_julia])
def test_a_log_of_every_language_replays(tmp_path, write):
    log = tmp_path / "log.tsv.zst"
    write(log, f"file://{tmp_path}/one")
    found = rows(log)
    assert [row["op"] for row in found] == ["PUT"] * 20 + ["GET"] * 20
    assert {row["bytes"] for row in found} == {"5000"}
    told = json.loads(command("oplog", "replay", log, "--to", f"file://{tmp_path}/two", "--speed", 100, "--json"))
    assert told["errors"] == 0 and told["operations"] == 40
    for side in ("original", "replayed"):
        assert {op: of["count"] for op, of in told[side]["operations"].items()} == {"GET": 20, "PUT": 20}
        assert told[side]["operations"]["GET"]["bytes"] == 100_000
    prefix = f"{tmp_path}/two{tmp_path}/one"
    assert sorted(os.listdir(prefix)) == sorted(f"k{i}" for i in range(20))
    assert len({Path(prefix, f"k{i}").read_bytes() for i in range(20)}) == 20, "generated data differs"


def scripted(path, count, gap_ns, op="STAT", extra=""):
    """A log of `count` operations that begin so far from each other."""
    lines = [HEADER]
    for i in range(count):
        at = [f"2024-01-01T00:00:{t // 10**9:02}.{t % 10**9:09}Z" for t in (i * gap_ns, i * gap_ns + 1000)]
        lines.append(f"{i}\t0\t{op}\tc\t1\t10\tmemory://m\tk{i}\t\t{at[0]}\t\t{at[1]}\t1000\n")
    path.write_text("".join(lines) + extra)


@pytest.mark.parametrize("speed, seconds", [(1, 4), (4, 1)])
def test_times_are_kept(tmp_path, speed, seconds):
    scripted(tmp_path / "log.tsv", 401, 10_000_000, op="PUT")
    began = time.monotonic()
    told = json.loads(command("oplog", "replay", tmp_path / "log.tsv", "--to", "memory://t", "--speed", speed, "--json"))
    assert told["timing_error"] < 0.02, told
    assert seconds <= told["replayed"]["seconds"] < seconds * 1.02 + 0.1, told
    assert time.monotonic() - began >= seconds
    assert told["replayed"]["operations"]["PUT"]["bytes"] == 4010


def test_filters_dry_runs_and_limits(tmp_path):
    log = tmp_path / "log.tsv"
    scripted(log, 50, 1000, op="PUT")
    ask = lambda *more, status=0: command("oplog", "replay", log, "--json", *more, status=status)
    told = json.loads(ask("--to", f"file://{tmp_path}/t", "--dry-run"))
    assert told["dry_run"] and told["operations"] == 50 and not (tmp_path / "t").exists()
    told = json.loads(ask("--to", f"file://{tmp_path}/t", "--regex", "^k1", "--op", "put,get", "--concurrency", 1))
    assert told["operations"] == 11 and told["left_out"] == 39 and len(os.listdir(tmp_path / "t")) == 11
    assert json.loads(ask("--to", "memory://t", "--op", "GET"))["operations"] == 0
    for wrong in (["--speed", 0.01], ["--speed", 101], ["--op", "POST"], ["--concurrency", 0], []):
        ask(*wrong, *(["--to", "memory://t"] if wrong else []), status=2)


def test_failures_are_told_unless_they_were_there_before(tmp_path):
    scripted(tmp_path / "log.tsv", 5, 1000, op="GET")
    told = json.loads(command("oplog", "replay", tmp_path / "log.tsv", "--to", "memory://none", "--json", status=8))
    assert told["errors"] == 5 and told["original"]["operations"]["GET"]["errors"] == 0
    failed = text(tmp_path / "log.tsv")
    (tmp_path / "failed.tsv").write_text("".join(line.replace("\t\t2024", "\tgone\t2024", 1) + "\n" for line in failed.splitlines()))
    command("oplog", "replay", tmp_path / "failed.tsv", "--to", "memory://none")


def test_forms_are_converted_without_loss(tmp_path):
    log = tmp_path / "log.tsv"
    scripted(log, 100, 1000)
    for name in ("a.jsonl", "b.tsv.zst", "c.jsonl.zst", "d.csv"):
        command("oplog", "convert", log, "-f", tmp_path / name)
        command("oplog", "convert", tmp_path / name, "-f", tmp_path / "back.tsv")
        assert text(tmp_path / "back.tsv").replace(".000000000Z", "Z") == text(log).replace(".000000000Z", "Z"), name
    assert [json.loads(line)["file"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [f"k{i}" for i in range(100)]
    command("oplog", "convert", log, log, "-f", tmp_path / "twice.tsv")
    assert [int(row["idx"]) for row in rows(tmp_path / "twice.tsv")] == list(range(200))
    scripted(log, 3, 1000, extra="nonsense\n")
    command("oplog", "convert", log, "-f", tmp_path / "bad.tsv", status=8)
    command("oplog", "convert", log, "-f", tmp_path / "bad.txt", status=2)
    assert not list(tmp_path.glob("*.tmp"))


def test_several_logs_become_one_in_the_order_of_their_ends(tmp_path):
    """warp's analyze leaves out of its throughput what began before the second in which the first row began."""
    scripted(tmp_path / "all.tsv", 90, 400_000_000)
    lines = text(tmp_path / "all.tsv").splitlines(keepends=True)
    parts = {"late": lines[60:], "odd": lines[1:61:2], "even": lines[2:60:2]}
    for name, part in parts.items():
        (tmp_path / f"{name}.tsv").write_text("".join([HEADER, *part]))
    (tmp_path / "none.tsv").write_text(HEADER)
    logs = [tmp_path / f"{name}.tsv" for name in ("late", "odd", "none", "even")]
    command("oplog", "convert", *logs, "-f", tmp_path / "one.tsv.zst")
    assert [row["file"] for row in rows(tmp_path / "one.tsv.zst")] == [f"k{i}" for i in range(90)]
    # One log stays as it is, and a bad row takes no other with it.
    (tmp_path / "back.tsv").write_text("".join([HEADER, *lines[:0:-1]]))
    command("oplog", "convert", tmp_path / "back.tsv", "-f", tmp_path / "same.tsv")
    assert [row["file"] for row in rows(tmp_path / "same.tsv")] == [f"k{i}" for i in range(89, -1, -1)]
    (tmp_path / "odd.tsv").write_text("".join([HEADER, "nonsense\n", *parts["odd"], "more\n"]))
    told = json.loads(command("oplog", "convert", *logs, "-f", tmp_path / "two.tsv", "--json", status=8))
    assert (told["rows"], told["bad_rows"]) == (90, 2)
    assert [row["file"] for row in rows(tmp_path / "two.tsv")] == [f"k{i}" for i in range(90)]
