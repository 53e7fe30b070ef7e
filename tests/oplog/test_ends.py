"""SPEC O1: logs whose file takes nothing, fails, is read, is shared with a child, or outlives a shutdown."""

import fcntl
import json
import os
import resource
import select
import subprocess
import sys

import pytest

import s3dlio
from logs import HEADER, RELEASE, command, rows, text


@pytest.fixture
def fifo(tmp_path):
    """A FIFO that can be opened for writing and that nobody empties, with its reader's descriptor."""
    path = tmp_path / "log.tsv"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def program(source, *arguments, limit=60, **environment):
    """A Python program that ends with a line of JSON; killed where it hangs."""
    done = subprocess.run([sys.executable, "-c", source, *map(str, arguments)], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


STUCK = """
import json, os, sys, threading, time, s3dlio
store = s3dlio.Store("memory://stuck")
s3dlio.oplog_start(sys.argv[1])
store.put_many([(f"k{i}", b"") for i in range(5000)])
ends = []
def stop():
    began = time.monotonic()
    try: s3dlio.oplog_stop()
    except s3dlio.S3dlioError as error: ends.append([type(error).__name__, str(error), time.monotonic() - began, error.details])
threads = [threading.Thread(target=stop) for _ in range(2)]
for thread in threads: thread.start()
while not ends: time.sleep(0.001)  # one of them waits for the file now, the other one is refused
child = os.fork()
if child == 0:
    s3dlio.put("memory://child/k", b"")
    os._exit(7)
told = {"child": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "waits": len(ends)}
for thread in threads: thread.join()
s3dlio.oplog_start(sys.argv[2])
store.put("k", b"")
told["next"] = list(s3dlio.oplog_stop())
print(json.dumps({"ends": ends, **told}))
"""


def test_a_file_that_takes_nothing_holds_nobody_for_ever(fifo, tmp_path):
    told = program(STUCK, fifo[0], tmp_path / "next.tsv")
    (refused, message, *_), (kind, what, seconds, details) = told["ends"]
    assert refused == "InvalidStateError" and "being ended" in message, message
    assert kind == "TimeoutError" and "took nothing" in what and str(fifo[0]) in what, what
    assert int(details["rows"]) + int(details["dropped"]) == 5000 and "FIFO" in details["hint"]
    assert 9 < seconds < 30
    assert told["child"] == 7 and told["waits"] == 1
    assert told["next"] == [1, 0] and len(rows(tmp_path / "next.tsv")) == 1


def test_a_fifo_that_nobody_reads_is_told_at_once(tmp_path):
    os.mkfifo(tmp_path / "log.tsv")
    source = "import sys, s3dlio\ntry: s3dlio.oplog_start(sys.argv[1])\nexcept s3dlio.S3dlioError as e: print('\"start its reader\"' if 'reader' in str(e) else e)"
    assert program(source, tmp_path / "log.tsv", limit=20) == "start its reader"


LIMITED = """
import json, resource, sys, s3dlio
store = s3dlio.Store("memory://limited")
s3dlio.oplog_start(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))
for at in range(0, 40_000, 2000): store.put_many([(f"k{i}", b"") for i in range(at, at + 2000)])
try: s3dlio.oplog_stop()
except s3dlio.S3dlioError as error: print(json.dumps([str(error), error.details]))
"""


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.zst"])
def test_a_file_that_fails_half_way_has_the_rows_that_are_told(tmp_path, name):
    _, details = program(LIMITED.replace("700_000", "100_000" if name.endswith("zst") else "700_000"), tmp_path / name)
    written, dropped = int(details["rows"]), int(details["dropped"])
    assert written + dropped == 40_000 and written > 0
    assert len(rows(tmp_path / name)) == written


def test_a_child_that_lives_on_does_not_keep_the_log(tmp_path):
    log, (read, write) = tmp_path / "log.tsv", os.pipe()
    s3dlio.oplog_start(log)
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        s3dlio.oplog_stop()
        s3dlio.oplog_start(log)
        s3dlio.put("memory://again/k", b"")
        assert s3dlio.oplog_stop() == (1, 0)
    finally:
        os.close(write)
        os.waitpid(child, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["log.tsv"] and len(rows(log)) == 1


def test_a_replay_does_not_overwrite_the_log_it_reads(tmp_path, monkeypatch):
    log = tmp_path / "log.tsv.zst"
    s3dlio.oplog_start(log)
    for i in range(20):
        s3dlio.put(f"memory://replayed/k{i}", b"x")
    s3dlio.oplog_stop()
    before = log.read_bytes()
    monkeypatch.setenv("S3DLIO_OPLOG", str(log))
    told = json.loads(command("oplog", "replay", log, "--to", "memory://t", "--speed", 100, "--json"))
    assert told["operations"] == 20 and log.read_bytes() == before
    (own,) = [path for path in tmp_path.iterdir() if path != log]
    assert len(rows(own)) == 20
    monkeypatch.delenv("S3DLIO_OPLOG")
    done = subprocess.run([RELEASE / "s3dlio", "oplog", "replay", tmp_path / "." / log.name, "--to", "memory://t", "--op-log", log],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "another name" in done.stderr and log.read_bytes() == before, done


CALLBACK = """
import json, os, sys, s3dlio
from s3dlio import _ffi
from s3dlio._library import lib
from s3dlio.errors import call
seen = []
@_ffi.s3dlio_log_callback
def sink(level, target, message, user):
    try: s3dlio.oplog_stop()
    except s3dlio.S3dlioError as error: seen.append(type(error).__name__)
call(lib.s3dlio_log_set_callback, sink, None, b"warn")
reader = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
s3dlio.oplog_start(sys.argv[1])
s3dlio.put("memory://callback/k", b"")
os.close(reader)
try: s3dlio.oplog_stop()
except s3dlio.S3dlioError as error: seen += [error.details["rows"], error.details["dropped"]]
call(lib.s3dlio_log_set_callback, _ffi.s3dlio_log_callback(0), None, None)
print(json.dumps(seen))
"""


def test_a_log_callback_cannot_stop_the_log_that_called_it(tmp_path):
    os.mkfifo(tmp_path / "log.tsv")
    assert program(CALLBACK, tmp_path / "log.tsv", limit=30) == ["InvalidStateError", "0", "1"]


def test_a_log_by_option_goes_on_after_a_shutdown(tmp_path):
    source = """
import json, sys, s3dlio
store = s3dlio.Store("memory://shut")
for i in range(3):
    store.put(f"k{i}", b"")
    s3dlio.shutdown(5000)
store.put("last", b"")
print(json.dumps(list(s3dlio.oplog_stop())))
"""
    for name in ("log.tsv", "log.tsv.zst"):
        assert program(source, S3DLIO_OPLOG=str(tmp_path / name)) == [4, 0]
        assert [row["file"] for row in rows(tmp_path / name)] == ["k0", "k1", "k2", "last"]
        command("oplog", "convert", tmp_path / name, "-f", tmp_path / f"{name}.jsonl")
        assert len((tmp_path / f"{name}.jsonl").read_text().splitlines()) == 4
    assert len(list(tmp_path.iterdir())) == 4


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path):
    source = """
import json, os, sys, s3dlio
store = s3dlio.Store("memory://shut")
store.put("a", b"")
s3dlio.shutdown(5000)
os.rename(sys.argv[1], sys.argv[1] + ".old.tsv")
store.put("b", b"")
s3dlio.shutdown(5000)
open(sys.argv[1], "a").write("of others\\n")
store.put("c", b"")
print(json.dumps(list(s3dlio.oplog_stop())))
"""
    log = tmp_path / "log.tsv"
    assert program(source, log, S3DLIO_OPLOG=str(log)) == [1, 0]
    assert [row["file"] for row in rows(f"{log}.old.tsv")] == ["a"]
    assert text(log).startswith(HEADER) and text(log).endswith("of others\n") and len(text(log).splitlines()) == 3
    (third,) = [path for path in tmp_path.iterdir() if path.name not in ("log.tsv", "log.tsv.old.tsv")]
    assert [row["file"] for row in rows(third)] == ["c"]


def test_secrets_are_masked_across_joins_and_cuts_and_in_spans(tmp_path):
    log, messages = tmp_path / "log.tsv", tmp_path / "messages"
    with open(messages, "wb") as file:
        s3dlio.log_to_fd(file, "debug")
        s3dlio.oplog_start(log)
        try:
            s3dlio.put("memory://x/box?sig=canary1/canary2&se=1", b"")
            s3dlio.Store("memory://x/box?sig=canary1").put("canary2&se=1", b"")
            with pytest.raises(s3dlio.S3dlioError):
                s3dlio.get("s3://bucket/k?sig=canary3", {"s3.endpoint": "http://127.0.0.1:9", "s3.region": "us-east-1",
                           "s3.access_key_id": "a", "s3.secret_access_key": "b", "net.max_attempts": 1})
        finally:
            s3dlio.oplog_stop()
            s3dlio.log_to_fd(-1)
    told = messages.read_text()
    assert "s3dlio.key" in told and "url.path" in told and "sig" in told
    assert "canary" not in text(log), text(log)
    assert "canary" not in told, told


def test_dropped_rows_are_reported_by_the_command(tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    done = subprocess.run([RELEASE / "s3dlio", "put", "memory://dropped/", "--count", "500", "--size", "1",
                           "--op-log", tmp_path / "log.tsv"], capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode != 0 and "op-log" in done.stderr, done.stderr


def shrink(descriptor):
    """Has a pipe hold as little as the system lets it."""
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)


@pytest.mark.parametrize("reader", ["goes away", "stays, and does not read"])
def test_a_pipe_that_takes_no_more_fails_the_command_and_no_operation(tmp_path, reader):
    log, many = tmp_path / "log.tsv", 200
    os.mkfifo(log)
    read = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    shrink(read)
    program = subprocess.Popen([RELEASE / "s3dlio", "put", f"{tmp_path}/to/", "--name", "{}", "-n", str(many), "-s", "1",
                                "-o", "file.sync=false", "--op-log", log, "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if reader == "goes away":
        select.select([read], [], [])
        assert os.read(read, 4096) == HEADER.encode()
        os.close(read)
    out, err = program.communicate(timeout=60)
    error = json.loads(err.splitlines()[-1])["error"]
    assert json.loads(out)["objects"] == many and len(os.listdir(tmp_path / "to")) == many
    assert program.returncode == 1, err
    code, what = ("io", "errno 32") if reader == "goes away" else ("timeout", "took nothing")
    assert (error["code"], error["operation"], error["uri"]) == (code, "oplog", str(log)) and what in error["message"]
    assert int(error["rows"]) + int(error["dropped"]) == many and "read" in error["hint"]


def test_a_command_whose_log_took_nothing_for_a_while_says_what_it_lacks(tmp_path):
    log, many = tmp_path / "log.tsv", 80_000  # more than wait in the log's queue
    os.mkfifo(log)
    read = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(read, True)
    shrink(read)
    program = subprocess.Popen([RELEASE / "s3dlio", "put", "memory://lacking/", "-n", str(many), "-s", "1", "--op-log", log],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout.readline().startswith(f"put {many} objects, ")
    # All are done, and there was no room for all: now it takes the others.
    with open(read, "rb") as file:
        (tmp_path / "copy.tsv").write_bytes(file.read())
    out, err = program.communicate(timeout=60)
    lacking = many - len(rows(tmp_path / "copy.tsv"))
    assert (program.returncode, out) == (1, "") and 0 < lacking < many
    assert err == f"s3dlio: oplog: the op-log lacks {lacking} operations [io]\n"


def test_loaders_and_checkpoints_are_made_of_rows(tmp_path):
    numpy = pytest.importorskip("numpy")
    log = tmp_path / "log.tsv"
    store = s3dlio.Store("memory://composed")
    store.put_many([(f"train/{i}", b"x" * i) for i in range(1, 9)])
    s3dlio.oplog_start(log)
    with s3dlio.Loader(s3dlio.Dataset("memory://composed/train/"), 4) as loader:
        assert sum(len(batch) for batch in loader) == 8
    with s3dlio.checkpoint.CheckpointWriter(store, 3) as writer:
        writer.put_tensors({"a": numpy.arange(1000)})
    s3dlio.checkpoint.Checkpoint.open(store).load()
    s3dlio.oplog_stop()
    found = [row for row in rows(log) if not row["error"]]
    loaded = {row["file"]: int(row["bytes"]) for row in found if row["op"] == "GET" and row["file"].startswith("train/")}
    assert loaded == {f"train/{i}": i for i in range(1, 9)}
    assert any(row["op"] == "LIST" and row["file"] == "train/" for row in found)
    (shard,) = {row["file"] for row in found if row["op"] == "PUT" and row["file"].endswith(".safetensors")}
    assert any(row["op"] == "PUT" and "manifest" in row["file"] for row in found)
    assert sum(int(row["bytes"]) for row in found if row["op"] == "GET" and row["file"] == shard) >= 8000
