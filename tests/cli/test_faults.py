"""K1: each exit code of docs/command.md, seen; what goes wrong on the way leaves nothing that looks whole."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
import urllib.request
from pathlib import Path

import pytest
from conftest import COMMAND, content, environment, ok, run
from test_behaviour import client
from test_care import until

FAULTD = os.environ.get("S3DLIO_TEST_FAULTD", Path(COMMAND).parent / "faultd")
SIZE = 20 << 20


class Faultd:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.env = {"S3DLIO_S3_ENDPOINT": endpoint, "S3DLIO_S3_LITERAL_KEYS": "true"}

    def control(self, verb, body=b""):
        request = urllib.request.Request(f"{self.endpoint}/_faultd/{verb}", data=body, method="POST")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()

    def script(self, rule):
        self.control("script", rule.encode())

    def fill(self):
        self.control("put?service=s3&container=box&key=large", bytes(range(256)) * (SIZE // 256))
        self.control("put?service=s3&container=box&key=small", b"small")

    def run(self, *args):
        limits = ["-o", "net.max_attempts=2", "-o", "net.operation_timeout_ms=8000"]
        return run(*args, "--json", *limits, env=self.env)


@pytest.fixture
def faultd():
    process = subprocess.Popen([FAULTD, "--s3", "127.0.0.1:0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server = Faultd(process.stdout.readline().split("FAULTD_S3=")[1].split()[0])
    server.fill()
    yield server
    process.communicate("", timeout=20)


@pytest.mark.parametrize("rule, code, name", [
    ("op=get nth=2- fault=replace", 5, "changed"),
    ("op=get fault=status status=503", 6, "unavailable"),
    ("op=get,head fault=status status=403 code=AccessDenied body=xml", 4, "permission_denied"),
    ("op=get nth=2- fault=remove", 3, "not_found"),
])
@pytest.mark.parametrize("verb", ["download", "cp"])
def test_k1_what_goes_wrong_on_the_way_has_its_exit_code(faultd, tmp_path, verb, rule, code, name):
    target = tmp_path / "to"
    target.mkdir()
    (target / "large").write_bytes(b"before")
    faultd.script(rule)
    ran = faultd.run(verb, "s3://box/large", f"{target}/")
    error = json.loads(ran.err.splitlines()[0])["error"]
    assert (ran.code, error["code"]) == (code, name), ran
    assert "s3://box/large" in error["message"] and content(target) == {"large": b"before"}
    # The others are done.
    ran = faultd.run(verb, "-r", "s3://box/", f"{target}/")
    assert ran.code in (8, code) and content(target)["large"] == b"before", ran
    faultd.script("")
    faultd.fill()
    assert faultd.run(verb, "-r", "s3://box/", f"{target}/").code == 0
    assert {key: len(data) for key, data in content(target).items()} == {"large": SIZE, "small": 5}


def test_k1_damaged_data_is_exit_code_7(store, tmp_path):
    whole = subprocess.run(["zstd", "-q", "-c"], input=os.urandom(100_000), capture_output=True, check=True).stdout
    for name, data in [("cut.zst", whole[:50_000]), ("none.zst", b"this is no zstd")]:
        (tmp_path / name).write_bytes(data)
        uri = f"{store.fresh()}/{name}"
        ok("upload", tmp_path / name, uri)
        done = subprocess.run([COMMAND, "cat", "-d", uri], env=environment(), capture_output=True, timeout=60)
        assert done.returncode == 7 and uri.encode() in done.stderr, (name, done.stderr)
        assert subprocess.run([COMMAND, "cat", uri], env=environment(), capture_output=True).stdout == data


@pytest.mark.parametrize("verb", ["get", "cat"])
def test_k1_reading_what_changes_is_no_success(faultd, verb):
    faultd.script("op=get nth=2- fault=replace")
    done = subprocess.run([COMMAND, verb, "s3://box/large", "-q"], env={**environment(), **faultd.env},
                          capture_output=True, timeout=60)
    assert done.returncode == 5 and b"changed" in done.stderr, done.stderr


def test_k1_nobody_who_answers_is_exit_code_6():
    env = {"S3DLIO_S3_ENDPOINT": "http://127.0.0.1:9"}
    for args in [["ls", "s3://b/"], ["cat", "s3://b/k"], ["put", "s3://b/k", "-s", 1], ["list-buckets"]]:
        ran = run(*args, "-o", "net.max_attempts=1", env=env)
        assert ran.code == 6 and "127.0.0.1:9" in ran.err, ran


def test_k1_a_full_device_is_exit_code_1(tmp_path):
    (tmp_path / "f").write_bytes(bytes(100_000))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([COMMAND, "cat", str(tmp_path / "f")], env=environment(), stdout=full,
                              stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and b"no_space" in done.stderr, done


def test_k1_what_cannot_be_done_here_is_exit_code_9(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_bytes(b"x")
    (tmp_path / "from").mkdir()
    (tmp_path / "from/data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "to/data").mkdir(parents=True)
    (tmp_path / "to/data/x").write_bytes(b"x")
    ran = run("sync", tmp_path / "from", tmp_path / "to", "--delete")
    assert ran.code == 9 and "unsupported" in ran.err and (tmp_path / "to/data/x").exists(), ran


def takes(process, number):
    """Whether it has a handler of the signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1


@pytest.mark.parametrize("number, code", [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_k1_a_signal_while_it_waits_has_its_exit_code(tmp_path, number, code):
    process = subprocess.Popen([COMMAND, "put", "--stdin", str(tmp_path / "x")], env=environment(),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    until(lambda: takes(process, number), process)
    process.send_signal(number)
    process.wait(timeout=20)  # its input is open all the time
    out, err = process.communicate()
    assert process.returncode == code and out.startswith(b"interrupted: put 0"), (out, err)
    assert not content(tmp_path)


def test_k1_a_terminal_that_is_closed_leaves_no_upload():
    """The kernel tells the command, and then a shell does."""
    bucket, s3 = f"cli-closed-terminal-{os.getpid()}", client()
    ok("create-bucket", f"s3://{bucket}")
    master, slave = pty.openpty()
    process = subprocess.Popen([COMMAND, "put", "--stdin", f"s3://{bucket}/x"], env=environment(), stdin=subprocess.PIPE,
                               stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0))
    os.close(slave)
    process.stdin.write(bytes(40 << 20))
    until(lambda: s3.list_multipart_uploads(Bucket=bucket).get("Uploads"), process)
    os.close(master)
    try:
        process.send_signal(signal.SIGHUP)
    except ProcessLookupError:
        pass  # it was told before
    assert process.wait(timeout=20) == 129
    process.stdin.close()
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    ok("delete-bucket", f"s3://{bucket}")


def test_k1_under_nohup_it_goes_on(tmp_path):
    process = subprocess.Popen([COMMAND, "put", "--stdin", str(tmp_path / "x")], env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    until(lambda: takes(process, signal.SIGTERM), process)
    process.send_signal(signal.SIGHUP)
    process.communicate(b"data", timeout=20)
    assert process.returncode == 0 and content(tmp_path) == {"x": b"data"}


def test_k1_an_op_log_that_cannot_be_written_is_no_success(tmp_path):
    ran = run("put", f"{tmp_path}/d/", "-n", 20, "-s", 1, "--op-log", "/dev/full")
    assert ran.code == 1 and "oplog /dev/full" in ran.err and not content(tmp_path), ran
    # One that breaks later: everything was done, and its row is missing.
    log = tmp_path / "log"
    os.mkfifo(log)
    process = subprocess.Popen([COMMAND, "put", "--stdin", str(tmp_path / "x"), "--op-log", str(log)],
                               env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(log, "rb") as reader:
        assert reader.readline().startswith(b"idx\t")
    out, err = process.communicate(b"data", timeout=20)
    assert process.returncode == 1 and b"oplog" in err and (tmp_path / "x").read_bytes() == b"data", (out, err)


def test_k1_an_object_of_no_bytes_goes_everywhere(store, tmp_path):
    root = store.fresh()
    (tmp_path / "from").mkdir()
    (tmp_path / "from/empty").write_bytes(b"")
    ok("put", root + "/put", "-s", 0)
    ok("put", "--stdin", root + "/piped", stdin=b"")
    ok("upload", tmp_path / "from/empty", root + "/")
    ok("cp", root + "/put", root + "/copy")
    ok("sync", tmp_path / "from", root + "/synced")
    for verb in ["get", "stat"]:
        for name in ["put", "piped", "empty", "copy", "synced/empty"]:
            shown = ok(verb, f"{root}/{name}", "--json").out
            assert '"bytes":0' in shown or '"size":0' in shown, shown
    assert ok("cat", root + "/put", root + "/piped").out == ""
    again = json.loads(ok("sync", tmp_path / "from", root + "/synced", "--json").lines[-1])
    assert (again["objects"], again["skipped"]) == (0, 1)
    ok("download", root + "/", tmp_path / "to")
    assert content(tmp_path / "to") == dict.fromkeys(["put", "piped", "empty", "copy", "synced/empty"], b"")
    ok("get", root + "/put", "--save", tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == b""
