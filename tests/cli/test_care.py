"""K1: what the command must not do: lose what is there, hide a failure, drop what was asked for, show secrets."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
import pytest
from conftest import ACCESS_KEY, COMMAND, SEAWEED, SECRET_KEY, content, environment, ok, run

NOBODY = dict(user=65534, group=65534) if os.geteuid() == 0 else {}


@pytest.fixture
def others():
    """A folder that everybody may use, with a command that everybody may run."""
    folder = Path(tempfile.mkdtemp(prefix="cli-others-", dir="/var/tmp"))
    folder.chmod(0o777)
    shutil.copy(COMMAND, folder / "s3dlio")
    (folder / "s3dlio").chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_somebody(folder, *args):
    return subprocess.Popen([str(folder / "s3dlio"), *map(str, args)], env=environment(), cwd="/", text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **NOBODY)


def until(holds, process):
    """Waits for it, as long as the process runs."""
    while not holds() and process.poll() is None:
        time.sleep(0.005)  # polls a condition
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("source, target", [
    ("v1/sub", "v1/sub/../../v1"), ("v1/sub/../../v1", "v1/sub"), ("link", "v1"), ("v1", "link"), ("link/sub", "v1"),
    ("file://{tmp}//v1", "v1"), ("direct://{tmp}/v1/.", "v1"), ("v1", "no/../v1/new"), ("v1/", "v1/"),
])
def test_k1_sync_never_deletes_its_own_source(tmp_path, source, target):
    (tmp_path / "v1/sub").mkdir(parents=True)
    (tmp_path / "v1/a").write_bytes(b"a")
    (tmp_path / "v1/sub/b").write_bytes(b"b")
    (tmp_path / "link").symlink_to("v1")
    ran = run("sync", source.format(tmp=tmp_path), target, "--delete", cwd=tmp_path)
    assert ran.code == 2 and "one lies within the other" in ran.err, ran
    assert content(tmp_path / "v1") == {"a": b"a", "sub/b": b"b"}


def test_k1_places_of_like_names_are_apart(tmp_path):
    for name in ["v1", "v10", "w"]:
        (tmp_path / name).mkdir()
    (tmp_path / "v1/a").write_bytes(b"a")
    ok("sync", "v1", "v10", cwd=tmp_path)
    ok("sync", "v1", "w/../v2", cwd=tmp_path)
    assert content(tmp_path / "v10") == content(tmp_path / "v2") == {"a": b"a"}


def test_k1_an_object_is_not_copied_onto_itself(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a/f"
    file.write_bytes(b"f")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    before = file.stat()
    for target in ["a/", "a", "a/f", "link/", "link/f", f"file://{tmp_path}//a/"]:
        ran = run("cp", "a/f", target, cwd=tmp_path)
        assert ran.code == 2, (target, ran)
    after = file.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_k1_sync_keeps_what_the_source_has_behind_a_link(store, tmp_path):
    source, elsewhere, root = tmp_path / "source", tmp_path / "elsewhere", store.fresh()
    for folder in (source, elsewhere):
        folder.mkdir()
    (source / "a").write_bytes(b"a")
    (source / "data").mkdir()
    for name in ["data/x", "gone"]:
        (source / name).write_bytes(b"x")
    ok("sync", source, root)
    # The same files, by way of a link that leads out: no list of the source shows them.
    shutil.move(source / "data/x", elsewhere / "x")
    (source / "data").rmdir()
    (source / "data").symlink_to(elsewhere)
    (source / "gone").unlink()
    ran = run("sync", source, root, "--delete", "--json")
    done = json.loads(ran.lines[-1])
    assert (ran.code, done["deleted"], done["failed"]) == (8, 1, 1), ran
    assert "data/x" in ran.err and "is kept" in ran.err
    assert ok("cat", root + "/data/x").out == "x" and run("stat", root + "/gone").code == 3


@pytest.mark.parametrize("args", [("a/log", "b/log"), ("-r", "c/x", "d/x"), ("-r", "c/x", "b/x"), ("-r", "/", "c/x")])
def test_k1_two_sources_of_one_name_are_refused(tmp_path, args):
    for name in ["a/log", "b/log", "b/x", "c/x/f", "d/x/f"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    ran = run("cp", *args, "to/", cwd=tmp_path)
    assert ran.code == 2 and re.search("would both be|no name", ran.err) and not (tmp_path / "to").exists(), ran


def test_k1_two_buckets_go_below_their_names(tmp_path):
    names = [f"cli-two-{which}-{os.getpid()}" for which in "ab"]
    for name in names:
        ok("create-bucket", f"s3://{name}")
        ok("put", f"s3://{name}/k", "-s", "10")
    ok("cp", "-r", *[f"s3://{name}/" for name in names], tmp_path / "to")
    assert sorted(content(tmp_path / "to")) == [f"{name}/k" for name in names]
    for name in names:
        ok("delete-bucket", f"s3://{name}", "--force", "--yes")


def test_k1_a_failure_counts_where_nobody_reads(tmp_path):
    target = tmp_path / "t"
    (target / "7/full").mkdir(parents=True)
    reader, writer = os.pipe()
    os.close(reader)
    args = ["put", f"{target}/", "-n", "1500", "-s", "1", "--name", "{}", "-v", "--json", "-o", "file.sync=false"]
    done = subprocess.run([COMMAND, *args], env=environment(), stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert done.returncode == 8, done
    assert len(content(target)) == 1499


def test_k1_rm_counts_keys_not_requests(others):
    folder = others / "data"
    (folder / "closed").mkdir(parents=True)
    for number in range(19):
        (folder / f"{number:02}").write_bytes(b"x")
    (folder / "closed/x").write_bytes(b"x")
    if NOBODY:
        shutil.chown(folder, 65534)
    (folder / "closed").chmod(0o555)
    process = as_somebody(others, "rm", "-r", folder, "--yes", "--json")
    out, err = process.communicate(timeout=60)
    (folder / "closed").chmod(0o755)
    done = json.loads(out.splitlines()[-1])
    assert (process.returncode, done["objects"], done["failed"]) == (8, 19, 1), (out, err)


def test_k1_options_before_the_verb_hold(tmp_path):
    ran = ok("-o", "transfer.part_size=32MiB", "config", "-o", "s3.endpoint=http://h", "transfer.part_size", "--json")
    shown = json.loads(ran.out)
    assert (shown["value"], shown["source"]) == (str(32 << 20), "argument")


def test_k1_verify_without_checkpoints_is_no_success(store):
    for uri in [store.fresh(), store.root + "/"]:
        ran = run("checkpoint", "verify", uri)
        assert ran.code == 3 and "no committed checkpoint" in ran.err, ran


def test_k1_bench_tells_what_it_could_not_remove(others):
    if not NOBODY:
        pytest.skip("needs two users")
    folder = others / "data"
    folder.mkdir()
    folder.chmod(0o777)
    process = as_somebody(others, "bench", folder, "-n", 2, "-s", 10, "-d", 1, "-j", 1)
    until(lambda: list(folder.glob("s3dlio-bench-*")), process)
    made, = folder.glob("s3dlio-bench-*")
    assert re.fullmatch(r"s3dlio-bench-\d+-[0-9a-f]{16}", made.name)
    (made / "foreign").mkdir()
    (made / "foreign/x").write_bytes(b"x")
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "foreign" in err, (out, err)


def test_k1_bench_without_threads_fails_and_does_not_panic(tmp_path):
    """Large stacks, so that it is for a thread that memory does not suffice, and not for what a thread does then."""
    limited = ["bash", "-c", 'ulimit -v 1500000 && exec "$@"', "bash", COMMAND]
    done = subprocess.run([*limited, "bench", tmp_path / "x", "-n", "1", "-s", "1", "-d", "1", "-j", "4096"],
                          env={**environment(), "RUST_MIN_STACK": str(256 << 20)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "cannot start a thread" in done.stderr and "panic" not in done.stderr, done


def test_k1_a_content_type_holds_within_a_bucket():
    s3, bucket = boto3.client("s3", endpoint_url=SEAWEED, aws_access_key_id=ACCESS_KEY,
                              aws_secret_access_key=SECRET_KEY, region_name="us-east-1"), f"cli-type-{os.getpid()}"
    ok("create-bucket", f"s3://{bucket}")
    s3.put_object(Bucket=bucket, Key="a", Body=b"a", ContentType="text/plain", Metadata={"run": "7"})
    for key, args, kind in [("b", [], "text/plain"), ("c", ["--content-type", "image/png"], "image/png")]:
        ok("cp", f"s3://{bucket}/a", f"s3://{bucket}/{key}", *args)
        head = s3.head_object(Bucket=bucket, Key=key)
        assert (head["ContentType"], head["Metadata"]) == (kind, {"run": "7"})
    ok("delete-bucket", f"s3://{bucket}", "--force", "--yes")


def test_k1_a_question_can_be_interrupted(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    master, slave = pty.openpty()
    process = subprocess.Popen([COMMAND, "rm", "-r", str(tmp_path)], env=environment(), stdin=slave,
                               stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130 and (tmp_path / "a").exists()
    os.close(master)


def test_k1_an_interrupted_replay_says_what_it_did(tmp_path):
    log = tmp_path / "log.tsv"
    ok("put", f"{tmp_path}/from/", "-n", 2, "-s", 100, "-j", 1, "--op-log", log)
    header, *rows = log.read_text().splitlines()
    first, second = [row for row in rows if row.split("\t")[2] == "PUT"]
    # A year later: nobody waits for it.
    second = re.sub(r"\b(20\d\d)(-\d\d-\d\dT)", lambda m: f"{int(m[1]) + 1}{m[2]}", second)
    log.write_text("\n".join([header, first, second]) + "\n")
    target = tmp_path / "to"
    process = subprocess.Popen([COMMAND, "oplog", "replay", str(log), "--to", str(target)], env=environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: target.is_dir() and content(target), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and re.match(r"interrupted: replayed [01] of 2 operations, ", out), (out, err)


def test_k1_config_shows_no_secrets_of_urls():
    env = {"S3DLIO_S3_ENDPOINT": "http://user:canary1@h:1/", "S3DLIO_AZURE_ENDPOINT": "https://h/x?sv=1&sig=canary2"}
    for form in [[], ["--json"]]:
        ran = ok("config", *form, env=env)
        assert "canary" not in ran.out + ran.err and "user" not in re.findall(r".*s3\.endpoint.*", ran.out)[0]
        assert "http://***@h:1/" in ran.out and "https://h/x?***" in ran.out


def test_k1_the_folder_above_is_a_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "f").write_bytes(b"f")
    for place in ["..", "../in/.."]:
        assert [line.rsplit("/", 1)[1] for line in ok("ls", place, "-g", "f", cwd=tmp_path / "in").lines] == ["f"]
        assert "1 object" in ok("get", place, cwd=tmp_path / "in").out
