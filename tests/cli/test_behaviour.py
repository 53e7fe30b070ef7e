"""K1: what transcripts cannot show: many objects, odd keys, signals, kills, pipes, permissions, terminals."""

import hashlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from conftest import (ACCESS_KEY, COMMAND, SEAWEED, SECRET_KEY, KINDS, content, environment, ok, run)

JSON = "--json"


def summary(ran):
    return json.loads(ran.lines[-1])


def client():
    return boto3.client("s3", endpoint_url=SEAWEED, aws_access_key_id=ACCESS_KEY,
                        aws_secret_access_key=SECRET_KEY, region_name="us-east-1")


def listed_by_boto3(uri):
    """Keys below the URI with their bytes' size, by an independent client."""
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/")
    return {o["Key"].removeprefix(prefix + "/"): o["Size"] for page in pages for o in page.get("Contents", [])}


def digests_by_boto3(uri, read):
    """Keys below the URI with the MD5 of their bytes: by ETag, and of those in parts by reading them."""
    s3 = client()
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/")
    found = {o["Key"].removeprefix(prefix + "/"): o["ETag"].strip('"') for page in pages for o in page.get("Contents", [])}
    for key in read:
        body = s3.get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"]
        found[key] = hashlib.md5(body.read()).hexdigest()
    return found


def make_files(folder, count, size=1000, seed=1):
    rng = random.Random(seed)
    for number in range(count):
        path = folder / f"{number % 37:02}" / f"{number:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size + number % 7))
    return folder


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """10,001 files, more than ten pages of a list."""
    return make_files(tmp_path_factory.mktemp("many"), 10_001)


def test_k1_10001_objects_go_up_and_down_and_a_second_sync_moves_nothing(store, many, tmp_path):
    if store.kind not in ("file", "seaweed"):
        pytest.skip("once on files and once on S3")
    root = store.fresh()
    first = summary(ok("sync", many, root, JSON))
    assert (first["objects"], first["skipped"], first["failed"]) == (10_001, 0, 0)
    assert ok("ls", "-r", "--count", root + "/", JSON).out.startswith('{"bytes":')
    assert summary(ok("ls", "-r", "--count", root, JSON))["objects"] == 10_001
    assert len(ok("ls", "-r", root).lines) == 10_001
    second = summary(ok("sync", many, root, JSON))
    assert (second["objects"], second["bytes"], second["skipped"]) == (0, 0, 10_001)
    if store.kind == "seaweed":
        expected = {name: len(data) for name, data in content(many).items()}
        assert listed_by_boto3(root) == expected
    down = summary(ok("download", root + "/", tmp_path / "down", JSON))
    assert down["objects"] == 10_001 and content(tmp_path / "down") == content(many)
    again = summary(ok("download", root + "/", tmp_path / "down", JSON))
    assert (again["objects"], again["skipped"]) == (0, 10_001)
    gone = summary(ok("rm", "-r", root + "/", "--yes", JSON))
    assert gone["objects"] == 10_001
    left = run("ls", "-r", root + "/", "--count")
    assert left.code == 3 or left.out == "0 objects, 0 bytes\n"


def test_k1_sync_copies_what_differs_and_deletes_only_when_asked(store, tree, tmp_path):
    root = store.fresh()
    ok("sync", tree, root)
    (tree / "a/b").write_bytes(b"longer than before\n")
    (tree / "zeros").unlink()
    (tree / "new").write_bytes(b"new\n")
    future = time.time() + 1000
    (tree / "a.txt").write_bytes(b"TEXT\n")
    os.utime(tree / "a.txt", (future, future))
    kept = summary(ok("sync", tree, root, JSON))
    assert (kept["objects"], kept["deleted"]) == (3, 0)
    ok("download", root + "/zeros", tmp_path / "zeros")
    done = summary(ok("sync", tree, root, "--delete", JSON))
    assert done["deleted"] == 1
    ok("download", root + "/", tmp_path / "back")
    assert content(tmp_path / "back") == content(tree)
    # Same size, not younger: only the bytes tell.
    (tree / "new").write_bytes(b"NEW\n")
    os.utime(tree / "new", (1, 1))
    assert summary(ok("sync", tree, root, JSON))["objects"] <= 1  # a.txt is still from the future
    assert summary(ok("sync", tree, root, "--checksum", JSON))["objects"] == 1
    assert ok("cat", root + "/new").out == "NEW\n"


def test_k1_objects_of_many_pieces_arrive_whole(store, tmp_path):
    root = store.fresh()
    data = random.Random(5).randbytes((40 << 20) + 12_345)
    (tmp_path / "big").write_bytes(data)
    ok("upload", tmp_path / "big", root + "/")
    ok("cp", root + "/big", root + "/copy")
    ok("download", root + "/copy", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    ranged = subprocess.run([COMMAND, "cat", root + "/big", "--range", "20000000-30000000"], env=environment(),
                            capture_output=True, check=True)
    assert ranged.stdout == data[20_000_000:30_000_001]
    assert "got 1 object, 40.0 MiB" in ok("get", root + "/big").out


def test_k1_any_store_to_any_other(store, tree, tmp_path):
    root = store.fresh()
    ok("upload", tree, root)
    other = f"direct://{tmp_path}/other" if store.kind == "file" else f"file://{tmp_path}/other"
    ok("sync", root, other)
    assert content(tmp_path / "other") == content(tree)
    ok("sync", other, root + "2")
    assert summary(ok("sync", other, root + "2", JSON))["skipped"] == len(content(tree))


def test_k1_standard_input_and_output(store):
    uri = store.fresh() + "/piped"
    data = random.Random(6).randbytes(9_000_000)
    ok("put", "--stdin", uri, stdin=data)
    got = subprocess.run([COMMAND, "cat", uri], env=environment(), capture_output=True, check=True)
    assert got.stdout == data


def test_k1_odd_keys_are_kept_and_shown_on_one_line(store, tmp_path):
    root = store.fresh()
    names = ["with space", "per%cent%2F", "plus+", "hash#?&=", "ünï", "'quote\"", "*[glob]?", "-dash", "{brace}"]
    if store.kind in ("file", "direct"):
        names += ["new\nline", "esc\x1b[2J", "tab\t"]
    source = tmp_path / "odd"
    source.mkdir()
    for name in names:
        (source / name).write_bytes(name.encode())
    ok("upload", source, root)
    lines = ok("ls", "-r", root).lines
    assert len(lines) == len(names) and not any("\x1b" in line for line in lines)
    shown = [json.loads(line)["uri"] for line in ok("ls", "-r", root, JSON).lines]
    assert sorted(uri.removeprefix(root + "/") for uri in shown) == sorted(names)
    for name in names:
        assert ok("cat", "--", f"{root}/{name}").out == name
    ok("download", root + "/", tmp_path / "back")
    assert content(tmp_path / "back") == {name: name.encode() for name in names}
    # URIs are literal: this is no glob.
    assert run("rm", f"{root}/*").code == 3
    ok("rm", f"{root}/*[glob]?")
    assert len(ok("ls", "-r", root).lines) == len(names) - 1


def test_k1_downloads_never_leave_their_folder(tmp_path):
    """moto keeps every key: also those that name other places on a file system."""
    endpoint = os.environ.get("S3DLIO_TEST_S3B")
    assert endpoint, "start the tests with tests/run cli"
    s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=ACCESS_KEY,
                      aws_secret_access_key=SECRET_KEY, region_name="us-east-1")
    bucket = f"cli-escape-{os.getpid()}"
    s3.create_bucket(Bucket=bucket)
    for key in ["../out", "/etc/out", "a/../../out", "link/out", "good", "a//b", "folder/"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"" if key == "folder/" else b"x")
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir(), target.mkdir()
    (target / "link").symlink_to(outside)
    env = {"S3DLIO_S3_ENDPOINT": endpoint, "S3DLIO_S3_LITERAL_KEYS": "true"}
    ran = run("download", f"s3://{bucket}/", target, env=env)
    assert ran.code == 8 and ran.err.count("invalid_key") >= 4, ran.err
    assert content(target) == {"good": b"x"}
    assert not list(outside.iterdir()) and sorted(p.name for p in tmp_path.iterdir()) == ["outside", "target"]
    # Some of many failed: each is named, and the others are done.
    assert "5 failed" in ran.out and all(f"s3://{bucket}/{key}" in ran.err for key in ["../out", "link/out"])


def test_k1_no_permission_is_told(tmp_path):
    if os.geteuid() == 0:
        # root may read everything: somebody else runs the command.
        as_nobody = dict(user=65534, group=65534)
    else:
        as_nobody = {}
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "x").write_bytes(b"x")
    folder.chmod(0)
    for path in [tmp_path, *tmp_path.parents]:
        if path != path.parent and not os.access(path, os.X_OK):
            pytest.skip("the temporary folder is closed to others")
    tool = tmp_path / "s3dlio"
    os.link(COMMAND, tool) if os.stat(COMMAND).st_dev == os.stat(tmp_path).st_dev else tool.write_bytes(
        open(COMMAND, "rb").read())
    tool.chmod(0o755)
    for path in [tmp_path, *list(tmp_path.parents)[:2]]:
        path.chmod(path.stat().st_mode | 0o055)
    try:
        ran = subprocess.run([str(tool), "ls", str(folder) + "/"], env=environment(), capture_output=True,
                             cwd="/", **as_nobody)
    finally:
        folder.chmod(0o755)
    assert ran.returncode == 4, ran.stderr
    assert b"permission_denied" in ran.stderr and SECRET_KEY.encode() not in ran.stderr


@pytest.mark.parametrize("verb", ["ls", "cat", "stat"])
def test_k1_a_pipe_that_closes_ends_it_quietly(many, tmp_path, verb):
    big = tmp_path / "big"
    big.write_bytes(bytes(50 << 20))
    args = {"ls": ["ls", "-r", many], "cat": ["cat", big], "stat": ["stat", str(many) + "/"]}[verb]
    process = subprocess.Popen([COMMAND, *map(str, args)], env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=30) == 0 and error == b"", error


def interrupted(args, number, until):
    """Starts the command, sends it the signal once `until` holds, and gives code, output and errors."""
    process = subprocess.Popen([COMMAND, *map(str, args)], env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    while not until() and process.poll() is None:
        time.sleep(0.005)  # polls a condition
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def test_k1_sigint_stops_cleanly_and_says_what_was_done(tmp_path):
    source = make_files(tmp_path / "source", 3000, size=200_000)
    target = tmp_path / "target"
    code, out, err = interrupted(["cp", "-r", source, target, "-j1"], signal.SIGINT,
                                 lambda: target.is_dir() and len(content(target)) > 5)
    assert code == 130, (code, out, err)
    assert out.startswith("interrupted: copied ") and err == "", (out, err)
    # What is there is whole.
    whole = content(source)
    assert all(whole[name] == data for name, data in content(target).items())
    assert len(content(target)) < len(whole)
    code, out, _ = interrupted(["sync", source, target, "-j1", JSON], signal.SIGTERM, lambda: True)
    assert code in (143, -signal.SIGTERM), (code, out)


def test_k1_killed_at_random_and_run_again_ends_equal(store, tmp_path):
    if store.kind == "azurite":
        pytest.skip("as on S3")
    cloud = store.kind == "seaweed"
    source, root = make_files(tmp_path / "source", 5000 if cloud else 2000), store.fresh()
    for number in range(3):
        (source / f"large{number}").write_bytes(random.Random(3 + number).randbytes((20 << 20) + number))
    rng = random.Random(4)
    killed = 0
    for _ in range(8 if cloud else 4):
        process = subprocess.Popen([COMMAND, "sync", str(source), root], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=rng.uniform(0.05, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
    assert killed > (4 if cloud else 0)
    done = summary(ok("sync", source, root, JSON))
    assert done["failed"] == 0
    expected = content(source)
    if cloud:
        assert done["skipped"] > 0, "what was there before is not sent again"
        assert digests_by_boto3(root, [f"large{number}" for number in range(3)]) == {
            name: hashlib.md5(data).hexdigest() for name, data in expected.items()}
    else:
        found = content(root.split("://", 1)[1])
        assert {name for name in found if ".s3dlio-tmp" not in name} == set(expected)
    ok("download", root + "/", tmp_path / "back")
    assert content(tmp_path / "back") == expected
    assert summary(ok("sync", source, root, JSON))["objects"] == 0


def test_k1_unfinished_uploads_are_listed_and_aborted():
    s3, bucket = client(), f"cli-uploads-{os.getpid()}"
    ok("create-bucket", f"s3://{bucket}")
    left = s3.create_multipart_upload(Bucket=bucket, Key="run/left")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="run/left", UploadId=left, PartNumber=1, Body=b"x" * 100)
    listed = [json.loads(line) for line in ok("uploads", "ls", f"s3://{bucket}", JSON).lines]
    assert [(row["uri"], row["id"]) for row in listed] == [(f"s3://{bucket}/run/left", left)]
    assert "0 uploads, 1 younger kept" in ok("uploads", "abort", f"s3://{bucket}", "--yes").out
    asked = run("uploads", "abort", f"s3://{bucket}", "--older-than", 0)
    assert asked.code == 2 and "--yes" in asked.err
    ok("uploads", "abort", f"s3://{bucket}", "--older-than", 0, "--yes")
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    ok("delete-bucket", f"s3://{bucket}")


def test_k1_azure_blocks_that_nobody_published_are_listed_and_aborted():
    from azure.storage.blob import BlobServiceClient
    from conftest import ACCOUNT, ACCOUNT_KEY, AZURITE
    service = BlobServiceClient(AZURITE, credential=ACCOUNT_KEY)
    name = f"cli-blocks-{os.getpid()}"
    service.create_container(name)
    uri = f"az://{ACCOUNT}/{name}"
    blob = service.get_blob_client(name, "left")
    blob.stage_block("AAAA", b"x" * 100)
    assert [json.loads(line)["uri"] for line in ok("uploads", "ls", uri, JSON).lines] == [uri + "/left"]
    ok("uploads", "abort", uri, "--yes", "--older-than", 0)
    assert ok("uploads", "ls", uri).out == "" and ok("ls", "-r", uri).out == ""
    ok("delete-bucket", uri)


def test_k1_memory_is_a_store_of_one_run():
    assert run("ls", "-r", "--count", "memory://cli/").code == 3
    assert "put 5 objects, 5.0 MiB" in ok("put", "memory://cli/x/", "-n", 5).out
    rows = [json.loads(line) for line in ok("bench", "memory://cli/b", "-m", "get=2,put=1,list=1,stat=1", "-n", 10,
                                            "-s", "4KiB", "-d", "0.3", "-j", 4, JSON).lines]
    assert [row["operation"] for row in rows] == ["bench-get", "bench-put", "bench-list", "bench-stat"]
    for row in rows:
        assert row["failed"] == 0 and row["operations"] > 0
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
    get, put = rows[0]["operations"], rows[1]["operations"]
    assert 1.5 < get / put < 2.7, "the weights"


def test_k1_bench_cleans_up(store):
    root = store.fresh()
    ok("bench", root, "-n", 5, "-s", "1KiB", "-d", "0.2", "-j", 2)
    assert run("ls", "-r", root).out == ""


def test_k1_config_masks_secrets_and_says_where_values_come_from():
    rows = {row["key"]: row for row in map(json.loads, ok("config", JSON, "--s3-region", "eu-1").lines)}
    assert rows["s3.secret_access_key"]["value"] == "***"
    assert rows["s3.region"]["source"] == "argument" and rows["s3.region"]["value"] == "eu-1"
    assert rows["s3.endpoint"]["source"] == "environment S3DLIO_S3_ENDPOINT"
    assert rows["transfer.part_size"]["source"] == "default"
    everything = ok("config").out + ok("config", "--doc").out + ok("ls", "/", "-vvv", JSON).err
    assert SECRET_KEY not in everything
    assert "belongs to no option" in ok("config", env={"S3DLIO_NO_SUCH": "1"}).err


def test_k1_an_op_log_and_counters_of_a_run(store, tree, tmp_path):
    root, log = store.fresh(), tmp_path / "run.tsv"
    ran = ok("upload", tree, root, "--op-log", log, "--stats")
    rows = log.read_text().splitlines()
    assert rows[0].startswith("idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile")
    puts = [row.split("\t") for row in rows[1:] if row.split("\t")[2] == "PUT"]
    assert len(puts) == len(content(tree)) and SECRET_KEY not in log.read_text()
    assert sum(int(row[5]) for row in puts) == sum(map(len, content(tree).values()))
    counters = json.loads(ran.err.splitlines()[-1])
    assert counters["operations"]["PUT"]["count"] == len(puts)
    assert "# TYPE" in ok("ls", root, "--stats=prometheus").err
    assert run("ls", root, "--op-log", tmp_path / "no" / "folder.tsv").code != 0


def test_p1_a_profile_needs_a_build_that_can(tmp_path):
    picture = tmp_path / "run.svg"
    ran = run("bench", "memory://profile/x", "-n", "4", "-s", "1MiB", "-d", "0.5", "--profile", picture)
    if ran.code == 9:
        assert "--features profiling" in ran.err and not picture.exists()
    else:
        assert ran.code == 0 and "<svg" in picture.read_text()


def test_k1_the_examples_of_the_guide_run():
    guide = (Path(__file__).parents[2] / "docs/command.md").read_text()
    commands = [line[2:] for line in guide.splitlines() if line.startswith("$ s3dlio ")]
    assert len(commands) > 5
    for command in commands:
        ok(*shlex.split(command)[1:])


def test_k1_the_commands_of_the_other_guides_run(tmp_path):
    """Lines of shell, as they stand there, in the order of the files; what they are about is there before."""
    root = Path(__file__).parents[2]
    blocks = [block for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]
              for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)]
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("s3dlio ")]
    assert len(commands) > 5
    for log in ["run.tsv.zst", "rank-0.tsv.zst", "rank-1.tsv.zst"]:
        ok("put", f"{tmp_path}/data/", "-n", 5, "-s", 10, "--op-log", tmp_path / log)
    for bucket in ["bucket", "other"]:
        ok("create-bucket", f"s3://{bucket}", "--exist-ok")
    ok("put", "s3://bucket/train/", "-n", 2, "-s", 10)
    env = {**environment(), "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    try:
        for command in commands:
            done = subprocess.run(["bash", "-c", command], env=env, cwd=tmp_path, capture_output=True, timeout=60)
            no_profiles = done.returncode == 9 and b"--features profiling" in done.stderr
            assert done.returncode == 0 or no_profiles, (command, done)
    finally:
        for bucket in ["bucket", "other"]:
            ok("delete-bucket", f"s3://{bucket}", "--force", "--yes")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_k1_completions_and_manual(shell):
    assert "upload" in ok("completions", shell).out
    assert ".TH s3dlio 1" in ok("man").out and ".TH s3dlio-sync 1" in ok("man", "sync").out
