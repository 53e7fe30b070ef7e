"""SPEC O1: what the log of a process has, whatever happens to the process."""

import os
import signal
import subprocess
import sys
import threading
import time

import pandas
import pytest

import s3dlio
from conftest import in_child
from logs import HEADER, log, rows, run, text, unescape  # noqa: F401  # a fixture

SECRETS = ["canary1", "can/ary2", "canary3", "canary4"]


def counted(found, op, **having):
    return sum(row["op"] == op and all(row[k] == v for k, v in having.items()) for row in found)


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.zst"])
def test_an_empty_log_has_the_first_line(tmp_path, name):
    s3dlio.oplog_start(tmp_path / name)
    assert s3dlio.oplog_stop() == (0, 0)
    assert text(tmp_path / name) == HEADER


def test_every_operation_on_every_backend(store, log):
    store.put("a/one", b"x" * 1000)
    assert len(store.get("a/one")) == 1000
    assert len(store.get_range("a/one", 10, 20)) == 20
    into = bytearray(1000)
    store.get_into("a/one", into)
    store.put_many([(f"many/{i}", b"y" * i) for i in range(1, 9)])
    assert all(len(data) == i for i, data in enumerate(store.get_many([f"many/{i}" for i in range(1, 9)]), 1))
    with store.writer("streamed") as writer:
        for _ in range(10):
            writer.write(b"z" * 10_000)
    with store.reader("streamed") as reader:
        assert reader.read_at(50, bytearray(100)) == 100
    assert [o.key for o in store.list(prefix="many/", recursive=True)] == [f"many/{i}" for i in range(1, 9)]
    store.stat("a/one")
    assert store.exists("a/one") and not store.exists("missing")
    with pytest.raises(s3dlio.NotFoundError):
        store.get("missing")
    store.delete("a/one")
    summary = s3dlio.oplog_stop()
    found = rows(log)
    assert summary == (len(found), 0)
    prefix = found[0]["file"].removesuffix("a/one")
    base = found[0]["endpoint"] + ("" if found[0]["endpoint"].endswith("://") else "/") + prefix
    assert base.rstrip("/") == store.uri.rstrip("/")
    assert counted(found, "PUT", error="") == 10 and counted(found, "DELETE", error="") == 1
    sizes = sorted(int(row["bytes"]) for row in found if row["op"] == "GET" and not row["error"])
    assert sizes == sorted([1000, 20, 1000, *range(1, 9), 100])
    assert counted(found, "PUT", file=prefix + "streamed", bytes="100000") == 1
    assert counted(found, "LIST", file=prefix + "many/", n_objects="8") == 1
    assert counted(found, "STAT", file=prefix + "missing", n_objects="0", error="") == 1
    assert counted(found, "STAT", file=prefix + "a/one") == 2 and counted(found, "STAT", file=prefix + "streamed") == 1
    (failed,) = [row for row in found if row["error"]]
    assert failed["op"] == "GET" and failed["error"].startswith("not_found") and failed["bytes"] == "0"


def test_a_failed_writer_and_an_aborted_one_are_rows(memory, log):
    with pytest.raises(RuntimeError), memory.writer("left") as writer:
        writer.write(b"x")
        raise RuntimeError
    memory.put("there", b"1")
    with pytest.raises(s3dlio.AlreadyExistsError):
        memory.put("there", b"2", create_only=True)
    s3dlio.oplog_stop()
    left, there, again = rows(log)
    assert left["op"] == "PUT" and left["error"].startswith("cancelled"), left
    assert there["error"] == "" and again["error"].startswith("already_exists"), again


def test_odd_keys_leave_rows_whole_and_come_back(memory, log):
    keys = ["a\tb", "a\nb", 'a"b', "a\\tb", "\r", "é\u2028\x7f\x85", '"quoted"', "#", "  x ", "a\\", "\\x41"]
    for key in keys:
        memory.put(key, b"")
    s3dlio.oplog_stop()
    found = rows(log)
    assert [unescape(row["file"]) for row in found] == keys
    frame = pandas.read_csv(log, sep="\t", keep_default_na=False)
    assert [unescape(file) for file in frame["file"]] == keys


def test_no_secret_in_any_column(tmp_path, log):
    store = s3dlio.Store("memory://x")
    store.put(f"box/k?sv=1&sig={SECRETS[0]}&se=2", b"")
    store.put(f"k?X-Amz-Credential={SECRETS[1]}&X-Amz-Signature={SECRETS[2]}", b"")
    with pytest.raises(s3dlio.S3dlioError):
        store.get(f"https://user:{SECRETS[3]}@host/k")
    cloud = s3dlio.Store("s3://bucket", {
        "s3.endpoint": "http://127.0.0.1:9", "s3.access_key_id": SECRETS[0], "s3.secret_access_key": SECRETS[2],
        "s3.session_token": SECRETS[3], "s3.region": "us-east-1", "net.max_attempts": 1,
    })
    with pytest.raises(s3dlio.S3dlioError):
        cloud.get("k")
    s3dlio.oplog_stop()
    assert len(rows(log)) == 4
    whole = text(log)
    assert not [secret for secret in [*SECRETS, "ary2"] if secret in whole], whole
    assert "sv=1&sig=***&se=2" in whole and "https://***@host/k" in whole


def test_a_hundred_thousand_operations_at_once_are_all_there(memory, log):
    each, threads = 12_500, 8

    def work(number):
        memory.put(f"t{number}", b"x" * number)
        for _ in range(each - 1):
            memory.get(f"t{number}")

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert s3dlio.oplog_stop() == (each * threads, 0)
    frame = pandas.read_csv(log, sep="\t", keep_default_na=False)
    assert list(frame.columns) == HEADER.split() and len(frame) == each * threads
    assert (frame["idx"] == range(len(frame))).all() and (frame["error"] == "").all()
    counts = frame.groupby(["file", "op"]).size()
    assert all(counts[f"t{n}", "GET"] == each - 1 and counts[f"t{n}", "PUT"] == 1 for n in range(threads))
    start, end = pandas.to_datetime(frame["start"]), pandas.to_datetime(frame["end"])
    assert ((end - start).astype("int64") == frame["duration_ns"]).all()


def test_it_starts_once_and_stops_once(memory, log):
    with pytest.raises(s3dlio.InvalidStateError, match="already"):
        s3dlio.oplog_start(log)
    memory.put("k", b"")
    assert s3dlio.oplog_stop().rows == 1
    with pytest.raises(s3dlio.InvalidStateError):
        s3dlio.oplog_stop()
    memory.put("k", b"")
    s3dlio.oplog_start(log)
    assert s3dlio.oplog_stop().rows == 0 and text(log) == HEADER


def test_a_file_that_cannot_be_written_is_told(memory, tmp_path):
    with pytest.raises(s3dlio.NotFoundError):
        s3dlio.oplog_start(tmp_path / "missing" / "log.tsv")
    with pytest.raises(s3dlio.NoSpaceError):
        s3dlio.oplog_start("/dev/full")
    memory.put("k", b"")  # goes on
    with pytest.raises(s3dlio.InvalidStateError):
        s3dlio.oplog_stop()


START = """
import os, sys, s3dlio
if sys.argv[1] != "-": s3dlio.oplog_start(sys.argv[1])
store = s3dlio.Store("memory://child")
for i in range(100): store.put(f"k{i}", b"x")
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise SystemExit(3)", "s3dlio.shutdown(5000); os._exit(3)"])
def test_a_process_that_ends_leaves_a_whole_log(tmp_path, end):
    path = tmp_path / "log.tsv.zst"
    assert run(START + end, path) == (3 if end else 0)
    assert len(rows(path)) == 100


def test_the_environment_starts_a_log(tmp_path):
    path = tmp_path / "log-{pid}.tsv"
    assert run(START, "-", S3DLIO_OPLOG=str(path)) == 0
    (written,) = tmp_path.iterdir()
    assert len(rows(written)) == 100 and written.name != path.name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_what_was_a_second_old(tmp_path, number):
    path = tmp_path / "log.tsv.zst"
    program = START + "print(flush=True)\nimport time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    process.stdout.readline()
    deadline = time.monotonic() + 30
    while len(text(path).splitlines()) < 101 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait()
    process.stdout.close()
    assert len(rows(path)) == 100


def test_a_forked_child_goes_on_in_a_file_of_its_own(memory, log):
    memory.put("parent", b"")

    def child():
        store = s3dlio.Store("memory://child")
        for i in range(50):
            store.put(f"k{i}", b"")
        return os.getpid(), s3dlio.oplog_stop()

    pid, summary = in_child(child)
    memory.put("parent", b"")
    assert summary == (50, 0) and s3dlio.oplog_stop() == (2, 0)
    own = log.with_name(f"log.{pid}.tsv.zst")
    assert {row["file"] for row in rows(log)} == {"parent"}
    assert [row["file"] for row in rows(own)] == [f"k{i}" for i in range(50)]
    assert rows(own)[0]["client_id"].endswith(f"-{pid}") and rows(log)[0]["client_id"].endswith(f"-{os.getpid()}")


def test_forks_while_threads_log_do_not_hang(memory, log):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            memory.put("k", b"")

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    try:
        for _ in range(20):
            assert in_child(lambda: (s3dlio.Store("memory://c").put("k", b""), s3dlio.oplog_stop().rows)[1]) == 1
    finally:
        stop.set()
        [thread.join() for thread in threads]
    summary = s3dlio.oplog_stop()
    assert len(rows(log)) == summary.rows and summary.dropped == 0


def test_two_processes_do_not_share_a_file(memory, log):
    assert run(START, log) == 0
    s3dlio.oplog_stop()
    assert rows(log) == []
    (other,) = [path for path in log.parent.iterdir() if path != log]
    assert len(rows(other)) == 100
