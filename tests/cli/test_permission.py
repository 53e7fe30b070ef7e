"""K1: every verb where it may not do what it should: exit code 4, or 8 where some of many failed, and each failure
with its operation, its URI and a hint."""

import datetime
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from azure.storage import blob
from conftest import (ACCESS_KEY, ACCOUNT, ACCOUNT_KEY, AZURITE, COMMAND, SECRET_KEY, Ran, content, environment, ok,
                      run)
from test_care import NOBODY, as_somebody

WHO = {who: {"S3DLIO_S3_ACCESS_KEY_ID": ACCESS_KEY + who} for who in ["reader", "writer"]}


@pytest.fixture(scope="module")
def bucket():
    name = f"s3://cli-closed-{os.getpid()}"
    ok("create-bucket", name)
    ok("put", f"{name}/d/", "-n", 3, "-s", 10)
    yield name
    ok("delete-bucket", name, "--force", "--yes")


@pytest.fixture(scope="module")
def files():
    folder = Path(tempfile.mkdtemp(prefix="cli-files-", dir="/var/tmp"))
    for name in ["a", "b"]:
        (folder / name).write_text(name)
    yield folder
    shutil.rmtree(folder)


def refused(ran, code, operation, uri, code_name="permission_denied"):
    """Each failure is told on a line of its own, one of them of this operation, if any; gives how many there were."""
    assert ran.code == code, ran
    lines = [json.loads(line)["error"] for line in ran.err.splitlines()]
    assert lines and SECRET_KEY not in ran.out + ran.err
    for error in lines:
        assert error["code"] == code_name and error["uri"].startswith(uri), error
        assert "hint: " in error["message"], error
    assert operation in [None, *(error["operation"] for error in lines)], lines
    return len(lines)


FIRST = "/d/object-000000.bin"
GOLDEN = Path(__file__).parents[1] / "checkpoint/golden"


# {0} is the bucket, {1} a folder of two files.
WRITES = [
    ("put {0}/x -s 1", 4, "put", 1),
    ("put {0}/x -s 20MiB", 4, "write", 1),
    ("put {0}/x/ -n 2 -s 1", 8, "put", 2),
    ("put {0}/x --stdin", 4, "write", 1),
    ("upload {1}/a {0}/u/", 4, "put", 1),
    ("upload {1} {0}/u/", 8, "put", 2),
    ("cp {0}" + FIRST + " {0}/e", 4, "copy", 1),
    ("cp -r {0}/d {0}/e", 8, "copy", 3),
    ("cp {0}" + FIRST + " {0}/e --content-type text/plain", 4, "put", 1),
    ("sync {1} {0}/s --delete", 8, "put", 2),
    ("rm {0}" + FIRST, 4, "delete", 1),
    ("rm {0}/d/ --yes", 8, "delete", 3),
    ("create-bucket {0}-x", 4, "create_container", 1),
    ("delete-bucket {0} --force --yes", 4, "delete_prefix", 1),
    ("bench {0}/b -n 1 -s 1 -d 0.1 -j 1", 4, "put", 1),
]
# {1} is a folder to write to.
READS = [
    ("ls {0}/", "list"), ("ls -r {0}/d", "stat"), ("ls -r --count {0}/", "list"),
    ("stat {0}" + FIRST, "stat"), ("stat {0}/d/", "list"),
    ("cat {0}" + FIRST, "open"), ("get {0}" + FIRST, "stat"), ("get {0}/d/", "list"),
    ("download {0}" + FIRST + " {1}/out", "stat"), ("download {0}/d/ {1}/out", "list"),
    ("get {0}/d/ --save {1}/out", "list"), ("cp -r {0}/d/ {1}/out", "list"), ("sync {0}/d {1}/out --delete", "list"),
    ("checkpoint ls {0}/ck", "checkpoint_list"), ("checkpoint verify {0}/ck", "checkpoint_list"),
]
# They look before they change.
CHANGES = [
    ("rm {0}" + FIRST, "stat"), ("rm {0}/d/ --yes", "list"), ("delete-bucket {0} --force --yes", "delete_prefix"),
    ("checkpoint prune {0}/ck --keep-last 1 --yes", "checkpoint_list"),
    ("checkpoint gc {0}/ck --yes", "checkpoint_collect"),
]


@pytest.mark.parametrize("args, code, operation, failures", WRITES + [("delete-bucket {0}", 4, "delete_container", 1)])
def test_k1_who_may_only_read_changes_nothing(bucket, files, args, code, operation, failures):
    args = [part.format(bucket, files) for part in args.split()]
    ran = run(*args, "--json", env=WHO["reader"], stdin=b"x")
    assert refused(dropped(ran) if "--delete" in args else ran, code, operation, bucket) == failures
    if code == 8:
        assert json.loads(ran.lines[-1])["failed"] == failures
    assert len(ok("ls", "-r", bucket, env=WHO["reader"]).lines) == 3


@pytest.mark.parametrize("args, operation", READS + CHANGES)
def test_k1_who_may_not_read_is_told(bucket, files, args, operation):
    args = [part.format(bucket, files) for part in args.split()]
    refused(run(*args, "--json", env=WHO["writer"]), 4, operation, bucket)
    assert sorted(content(files)) == ["a", "b"]


# Azure checks each permission of a shared access signature by itself. An expired one is refused whatever it would
# permit; that is of the credentials, so it ends a run of many at once.

def shared_access(permission, hours=1):
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    kinds = blob.ResourceTypes(service=True, container=True, object=True)
    return blob.generate_account_sas(ACCOUNT, ACCOUNT_KEY, kinds,
                                     blob.AccountSasPermissions.from_string(permission), expiry=until)


@pytest.fixture(scope="module")
def signed():
    """Environments with signatures that permit this."""
    tokens = {"reader": shared_access("rl"), "lister": shared_access("l"), "writer": shared_access("wcd"),
              "expired": shared_access("rwdlc", -1)}
    return {who: {"S3DLIO_AZURE_ACCOUNT_KEY": "", "S3DLIO_AZURE_SAS_TOKEN": token} for who, token in tokens.items()}


HELD = {}


@pytest.fixture(scope="module")
def container():
    """Three objects, a checkpoint, a torn one, and the blocks of three objects that nobody published."""
    name = f"cli-closed-{os.getpid()}"
    uri = f"az://{ACCOUNT}/{name}"
    ok("create-bucket", uri)
    ok("create-bucket", uri + "-empty")
    ok("put", f"{uri}/d/", "-n", 3, "-s", 10)
    ok("upload", GOLDEN, uri + "/ck")
    ok("upload", GOLDEN / "shards", uri + "/torn/shards")
    service = blob.BlobServiceClient(AZURITE, credential=ACCOUNT_KEY)
    for key in ["left/a", "left/b", "lone/c"]:
        service.get_blob_client(name, key).stage_block("AAAA", b"x")
    HELD[uri] = held(uri)
    yield uri
    ok("delete-bucket", uri, "--force", "--yes")
    ok("delete-bucket", uri + "-empty")


def held(uri):
    """What is in the container, and beside it."""
    lists = [["ls", "-r", uri], ["uploads", "ls", uri], ["list-buckets", f"az://{ACCOUNT}/"]]
    return [[line for line in ok(*args).lines if uri in line] for args in lists]


def is_unchanged(container, ran):
    """And nothing is shown of a signature, encoded or not."""
    assert not re.search(r"sig(=|%3D)(?!\*\*\*)", ran.out + ran.err, re.IGNORECASE), ran
    return held(container) == HELD[container]


AZURE_WRITES = WRITES + [
    ("delete-bucket {0}-empty", 4, "delete_container", 1),
    ("uploads abort {0}/lone --older-than 0 --yes", 4, "abort", 1),
    ("uploads abort {0}/left --older-than 0 --yes", 8, "abort", 2),
    ("checkpoint gc {0}/torn --older-than 0 --yes", 4, "checkpoint_collect", 1),
]
AZURE_READS = READS + [
    ("ls {2}", "list_containers"), ("list-buckets {2}", "list_containers"), ("uploads ls {0}", "list"),
    ("uploads abort {0} --dry-run", "list"),
]
AZURE_CHANGES = CHANGES + [("delete-bucket {0}", "delete_container"), ("uploads abort {0} --yes", "list")]


@pytest.mark.parametrize("args, code, operation, failures", AZURE_WRITES)
def test_k1_a_signature_for_reading_changes_nothing(container, signed, files, args, code, operation, failures):
    args = [part.format(container, files) for part in args.split()]
    ran = run(*args, "--json", env=signed["reader"], stdin=b"x")
    assert refused(dropped(ran) if "--delete" in args else ran, code, operation, container) == failures
    if code == 8:
        assert json.loads(ran.lines[-1])["failed"] == failures
    assert is_unchanged(container, ran)


@pytest.mark.parametrize("args, operation", AZURE_READS)
def test_k1_a_signature_for_reading_reads(container, signed, tmp_path, args, operation):
    args = [part.format(container, tmp_path, f"az://{ACCOUNT}/") for part in args.split()]
    ran = subprocess.run([COMMAND, *args], env={**environment(), **signed["reader"]}, capture_output=True, timeout=60)
    assert ran.returncode == 0 and ran.stdout and not ran.stderr, ran
    if f"{tmp_path}/out" in args:
        assert [len(data) for data in content(tmp_path).values()] == [10] * (1 if args[1].endswith(FIRST) else 3)


@pytest.mark.parametrize("args, operation", AZURE_READS + AZURE_CHANGES)
def test_k1_a_signature_not_for_reading_is_told(container, signed, tmp_path, args, operation):
    args = [part.format(container, tmp_path, f"az://{ACCOUNT}/") for part in args.split()]
    ran = run(*args, "--json", env=signed["writer"])
    refused(ran, 4, operation, f"az://{ACCOUNT}/")
    assert is_unchanged(container, ran) and not content(tmp_path)


@pytest.mark.parametrize("args, code, operation, failures", [
    ("get {0}/d/", 8, "get", 3), ("stat {0}/d/", 8, "stat", 3), ("download {0}/d/ {1}/out", 8, "get", 3),
    ("sync {0}/d {1}/out --delete", 8, "get", 3), ("sync {0}/d {0}/e", 8, "copy", 3),
    ("cat {0}" + FIRST, 4, "open", 1), ("checkpoint verify {0}/ck", 4, "checkpoint_open", 1),
    ("checkpoint ls {0}/ck", 4, "checkpoint_open", 2),
])
def test_k1_a_signature_for_lists_gives_no_content(container, signed, tmp_path, args, code, operation, failures):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    args = [part.format(container, tmp_path) for part in args.split()]
    ran = run(*args, "--json", env=signed["lister"])
    assert refused(dropped(ran) if "--delete" in args else ran, code, operation, container) == failures
    assert is_unchanged(container, ran) and content(tmp_path) == {"out/mine": b"mine"}


@pytest.mark.parametrize("args, operation", AZURE_READS + AZURE_CHANGES + [(args, None) for args, *_ in AZURE_WRITES])
def test_k1_an_expired_signature_is_told_once(container, signed, files, tmp_path, args, operation):
    args = [part.format(container, tmp_path if operation else files, f"az://{ACCOUNT}/") for part in args.split()]
    # Also with warnings: nothing was stored that would have to be removed.
    ran = run(*args, "--json", env={**signed["expired"], "S3DLIO_LOG_LEVEL": "warn"}, stdin=b"x")
    told = refused(ran, 4, operation, f"az://{ACCOUNT}/", "unauthenticated")
    # These ask for two things.
    assert told == (2 if args[0] == "bench" or args[:2] == ["checkpoint", "ls"] else 1)
    assert is_unchanged(container, ran) and not content(tmp_path)


def test_k1_a_signature_is_shown_nowhere(container, signed, tmp_path):
    log, forms = tmp_path / "log.tsv", [[], ["--json"]]
    for who, code in [("reader", 0), ("expired", 4)]:
        for args in [["get", container + "/d/"], ["config"], ["list-buckets", f"az://{ACCOUNT}/"]]:
            ran = run(*args, "-vvv", "--stats", "--op-log", log, env=signed[who])
            assert ran.code == (0 if args == ["config"] else code), ran
            ran.err += log.read_text()
            assert is_unchanged(container, ran)
    # Given as in a URL, where it is a part of the key.
    token = signed["reader"]["S3DLIO_AZURE_SAS_TOKEN"]
    for uri in [f"{container}?{token}", f"{container}/d/x?{token}", f"https://a.blob.core.windows.net/c/x?{token}"]:
        for form in forms:
            ran = run("get", uri, "-vvv", "--op-log", log, *form)
            ran.err += log.read_text()
            assert ran.code in (2, 3) and "sig=***" in ran.err and is_unchanged(container, ran), ran


def test_k1_bench_shows_some_of_its_failures_and_counts_all(bucket):
    ran = run("bench", bucket + "/b", "-n", 1, "-s", 1, "-d", "0.5", "-j", 4, "--json", env=WHO["writer"])
    row = json.loads(ran.lines[-1])
    assert ran.code == 8 and row["failed"] > 25 and row["operations"] == 0
    assert ran.err.count('"operation":"get"') == 20 and "counted, not shown" in ran.err
    ok("rm", "-r", bucket + "/b", "--yes", "--force")


@pytest.fixture
def closed():
    """Folders of root's, with a command that everybody may run, and `open`, where everybody may write."""
    if not NOBODY:
        pytest.skip("needs two users")
    top = Path(tempfile.mkdtemp(prefix="cli-closed-", dir="/var/tmp"))
    top.chmod(0o755)
    shutil.copy(COMMAND, top / "s3dlio")
    (top / "s3dlio").chmod(0o755)
    for name in ["closed/d/a", "kept/d/a", "kept/d/b", "mixed/a", "mixed/sub/y", "mixed/sub/deep/z", "mixed/z/c"]:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "open").mkdir()
    (top / "open").chmod(0o777)
    (top / "closed").chmod(0o700)
    (top / "mixed/sub").chmod(0o700)
    yield top
    shutil.rmtree(top)


def somebody(top, args):
    process = as_somebody(top, *[part.format(top) for part in args.split()], "--json")
    out, err = process.communicate("", timeout=60)
    return Ran(process.returncode, out, err)


@pytest.mark.parametrize("args, code, operation, failures", [
    ("ls {0}/closed/", 4, "list", 1), ("ls -r {0}/closed", 4, "stat", 1), ("stat {0}/closed/d/a", 4, "stat", 1),
    ("cat {0}/closed/d/a", 4, "open", 1), ("get {0}/closed/d/a", 4, "stat", 1), ("get {0}/closed/", 4, "list", 1),
    ("download {0}/closed/d/ {0}/open/x", 4, "list", 1), ("cp {0}/closed/d/a {0}/open/x", 4, "stat", 1),
    ("sync {0}/closed {0}/open/x --delete", 4, "list", 1), ("rm {0}/closed/d/a", 4, "stat", 1),
    ("put {0}/kept/x -s 1", 4, "put", 1), ("put {0}/kept/x/y -s 1", 4, "put", 1),
    ("put {0}/kept/ -n 2 -s 1", 8, "put", 2), ("put {0}/kept/x --stdin", 4, "write", 1),
    ("cp {0}/kept/d/a {0}/kept/d/b", 4, "put", 1), ("upload {0}/kept/d {0}/kept/e", 8, "put", 2),
    ("rm {0}/kept/d/a", 4, "delete", 1), ("rm -r {0}/kept --yes", 8, "delete", 2),
    ("create-bucket {0}/kept/x", 4, "create_container", 1),
    ("delete-bucket {0}/kept --force --yes", 4, "delete_prefix", 1),
    ("list-buckets {0}/closed/d/", 4, "list_containers", 1),
    ("checkpoint verify {0}/closed", 4, "checkpoint_list", 1),
    ("checkpoint gc {0}/closed --yes", 4, "checkpoint_collect", 1),
    ("bench {0}/kept -n 1 -s 1 -d 0.1", 4, "put", 1),
])
def test_k1_a_folder_of_somebody_else(closed, args, code, operation, failures):
    ran = somebody(closed, args)
    assert refused(ran, code, operation, f"file://{closed}/") == failures
    assert sorted(content(closed / "kept")) == ["d/a", "d/b"] and not content(closed / "open")


@pytest.mark.parametrize("args", ["upload {0}/mixed {0}/open/to", "cp -r {0}/mixed {0}/open/to",
                                  "sync {0}/mixed {0}/open/to --delete", "get {0}/mixed/ --save {0}/open/to"])
def test_k1_a_closed_folder_is_told_and_the_others_are_copied(closed, args):
    (closed / "open/to").mkdir()
    (closed / "open/to/kept").write_text("kept")
    for path in [closed / "open/to", closed / "open/to/kept"]:
        path.chmod(0o777)
    ran = somebody(closed, args)
    assert refused(dropped(ran) if "--delete" in args else ran, 8, "list", f"file://{closed}/mixed") == 1
    done = json.loads(ran.lines[-1])
    assert (done["objects"], done["failed"], done["deleted"]) == (2, 1, 0)
    assert sorted(content(closed / "open/to")) == ["a", "kept", "z/c"]


def dropped(ran):
    """Without the remark that nothing is deleted."""
    *errors, remark = ran.err.splitlines()
    assert "nothing is deleted" in remark
    return type(ran)(ran.code, ran.out, "\n".join(errors))


@pytest.mark.parametrize("verb", ["ls -r", "stat", "get"])
def test_k1_a_closed_folder_hides_no_others(closed, verb):
    ran = somebody(closed, f"{verb} {{0}}/mixed/")
    assert refused(ran, 8, "list", f"file://{closed}/mixed") == 1
    if verb != "get":
        shown = [json.loads(line)["uri"].split("/mixed/")[1] for line in ran.lines]
        assert sorted(shown) == ["a", "z/c"]


def test_k1_of_several_one_that_is_missing_stops_no_others(store, tmp_path):
    root = store.fresh()
    for name in ["a", "c"]:
        ok("put", f"{root}/{name}", "-s", 5)
    three = [f"{root}/{name}" for name in ["a", "none", "c"]]
    for verb, count in [("ls", 2), ("stat", 2)]:
        ran = run(verb, *three, "--json")
        assert (ran.code, len(ran.lines), ran.err.count('not_found"')) == (8, count, 1), ran
    for args in [["get", *three], ["cp", *three, f"{tmp_path}/to/"], ["rm", *three]]:
        ran = run(*args, "--json")
        done = json.loads(ran.lines[-1])
        assert (ran.code, done["objects"], done["failed"], ran.err.count('not_found"')) == (8, 2, 1, 1), ran
    assert sorted(content(tmp_path / "to")) == ["a", "c"] and run("stat", root + "/a").code == 3


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_k1_what_is_no_file_is_not_replaced(tmp_path, kind):
    (tmp_path / "f").write_bytes(b"f")
    there = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(there)
    else:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(there))
    before = there.lstat()
    for args in [["cp", "f", "there"], ["put", "there", "-s", 1], ["put", "there", "--stdin"],
                 ["get", "f", "--save", "there"]]:
        ran = run(*args, cwd=tmp_path, stdin=b"x")
        assert ran.code == 2 and "device, pipe or socket" in ran.err, ran
    after = there.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "there"]


@pytest.mark.parametrize("args, code, says", [
    ("cp f s3:/bucket/f", 2, "two slashes"), ("cp f -", 2, "--stdin"), ("cat -", 2, "--stdin"),
    ("upload f/ to", 3, "file, not a folder"), ("rm folder", 3, "it is a folder"),
    ("put to/ -n 2 --first 18446744073709551615 -s 1", 2, "numbers"), ("put to/ -s 1 -j 0", 2, "jobs"),
    ("put s3:// -s 1", 2, "names no bucket"), ("upload f s3://", 2, "names no bucket"),
    ("sync folder s3://", 2, "names no bucket"), ("uploads ls s3://", 2, "names no bucket"),
    ("checkpoint ls s3://", 2, "names no bucket"), ("ls s3:// --count", 2, "names no bucket"),
    ("ls -r s3://", 2, "names no bucket"), ("bench to -m get=1,get=2", 2, "--mix"), ("config no.such", 2, "config"),
    ("cat f --range 7-9", 1, "cat file://"), ("put f/x -s 1", 3, "not a folder"), ("cp f f/", 3, "not a folder"),
    ("download folder/ f", 3, "not a folder"),
])
def test_k1_odd_arguments_are_told_before_anything_is_done(tmp_path, args, code, says):
    (tmp_path / "f").write_bytes(b"f")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").write_bytes(b"x")
    ran = run(*args.split(), cwd=tmp_path)
    assert ran.code == code and says in ran.err and "panic" not in ran.err, ran
    assert content(tmp_path) == {"f": b"f", "folder/x": b"x"}
