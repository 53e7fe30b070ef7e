"""Code of the predecessor's users: its calls, with `import s3dlio`, against S3 and files (issue 5, 6)."""

import array
import asyncio
import os
import subprocess
import sys

import numpy
import pytest

import s3dlio
from conftest import fresh_store, in_child, place, s3_options
from s3dlio.compat._stores import forget

S3 = {"s3.endpoint": "AWS_ENDPOINT_URL", "s3.access_key_id": "AWS_ACCESS_KEY_ID",
      "s3.secret_access_key": "AWS_SECRET_ACCESS_KEY", "s3.region": "AWS_REGION"}


@pytest.fixture(autouse=True)
def stores():
    """The stores that calls with full URIs keep are no leak."""
    yield
    forget()


@pytest.fixture(params=["seaweed", "file", "direct"])
def root(request, tmp_path, monkeypatch):
    """An empty container's URI, its service named by the environment, as the predecessor's users do it."""
    store = fresh_store(request.param, tmp_path)
    for option, variable in S3.items():
        if request.param == "seaweed":
            monkeypatch.setenv(variable, s3_options("S3DLIO_TEST_SEAWEED")[option])
    yield store.uri
    s3dlio.delete(f"{store.uri}/", recursive=True)
    if request.param == "seaweed":
        store.delete_container()


def test_importing_the_package_imports_nothing_large():
    code = """
import sys, s3dlio
s3dlio.list, s3dlio.MultipartUploadWriter, s3dlio.create_multi_endpoint_store, s3dlio.compat, dir(s3dlio)
print(*sorted({"torch", "numpy", "pyarrow", "fsspec", "asyncio", "pandas"} & set(sys.modules)))
from s3dlio import *
assert list is type([])
"""
    bare = "import sys, s3dlio; print(*sorted(name for name in sys.modules if name.startswith('s3dlio.compat')))"
    for program, expected in ((bare, ""), (code.replace(', "asyncio"', ""), "")):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_put_get_stat_exists_delete(root):
    uri = f"{root}/dir/a.bin"
    assert s3dlio.put_bytes(uri, b"hello") is None
    s3dlio.put_bytes(f"{root}/dir/b.bin", memoryview(bytearray(b"world")))
    s3dlio.put_bytes(f"{root}/dir/c.bin", array.array("d", [1.5]))
    s3dlio.put_bytes(f"{root}/dir/d.bin", memoryview(b"0123456789")[::2])
    data = s3dlio.get(uri)
    assert len(data) == 5 and bytes(data) == b"hello" == data and memoryview(data).nbytes == 5
    assert data.memoryview()[1:3] == b"el" and data.to_bytes() == b"hello" and data.decode() == "hello"
    assert bytes(s3dlio.get(f"{root}/dir/d.bin")) == b"02468" and len(s3dlio.get(f"{root}/dir/c.bin")) == 8
    assert s3dlio.get_object(uri) == b"hello"

    assert s3dlio.get_range(uri, 1, 3) == b"ell" and s3dlio.get_range(uri, offset=2) == b"llo"
    assert s3dlio.get_range(uri, 3, 100) == b"lo" and s3dlio.get_range(uri, 1, None) == b"ello"

    facts = s3dlio.stat(uri)
    assert facts["size"] == 5 == facts.size and facts.get("size") == 5 and "size" in facts and facts["etag"] == facts.etag
    assert facts["last_modified"][:10] == f"{facts.last_modified:%Y-%m-%d}" and facts["last_modified"].endswith("Z")
    assert dict(facts)["size"] == dict(facts.items())["size"] == 5 and facts["version_id"] is None
    assert facts.get("nothing", 7) == 7 and facts[0] == "object" and len(facts) == len(facts._fields)
    with pytest.raises(KeyError):
        facts["nothing"]
    assert s3dlio.stat_object(uri)["size"] == 5

    assert s3dlio.exists(uri) is True and s3dlio.exists(f"{root}/dir/none") is False
    assert s3dlio.exists(f"{root}/no/such/dir/none") is False and s3dlio.delete(f"{root}/no/such/dir/none") is None
    assert s3dlio.delete(uri) is None and not s3dlio.exists(uri)
    s3dlio.delete(uri)  # again is no error
    with pytest.raises(TypeError):
        s3dlio.put_bytes(uri, "text")


def test_failures_are_runtime_errors(root):
    """The predecessor raised RuntimeError only, and its users retry on that; the classes tell more."""
    missing = f"{root}/missing"
    calls = [
        lambda: s3dlio.get(missing), lambda: s3dlio.get_range(missing, 0, 1), lambda: s3dlio.stat(missing),
        lambda: s3dlio.get_many([missing]), lambda: asyncio.run(s3dlio.get_async(missing)),
    ]
    for call in calls:
        with pytest.raises(RuntimeError) as caught:
            call()
        assert isinstance(caught.value, FileNotFoundError) and missing in str(caught.value)
    for uri in ("nothing", "s3:/bucket/key", "quux://bucket/key"):
        with pytest.raises(RuntimeError):
            s3dlio.get(uri)
        with pytest.raises(RuntimeError):
            s3dlio.list(uri)
    with pytest.raises(TypeError):
        s3dlio.list(None)


def test_list(root):
    for name in ("x/1", "x/2", "x/sub/3", "x2/4", "top"):
        s3dlio.put_bytes(f"{root}/{name}", name.encode())
    full = lambda *names: [f"{root}/{name}" for name in names]
    assert s3dlio.list(f"{root}/", recursive=True) == full("top", "x/1", "x/2", "x/sub/3", "x2/4")
    assert s3dlio.list(f"{root}/", True) == s3dlio.list(root, True)
    assert s3dlio.list(f"{root}/") == full("top", "x/", "x2/")
    assert s3dlio.list(f"{root}/x/") == full("x/1", "x/2", "x/sub/")
    assert s3dlio.list(f"{root}/x", True) == full("x/1", "x/2", "x/sub/3"), "x2 is another folder"
    assert s3dlio.list(f"{root}/x/", True, r"^sub/\d$") == full("x/sub/3")
    assert s3dlio.list(f"{root}/x/", pattern="[12]$") == full("x/1", "x/2")
    assert s3dlio.list(f"{root}/top") == full("top")
    assert s3dlio.list(f"{root}/nothing/", recursive=True) == [] == s3dlio.list(f"{root}/nothing")
    assert s3dlio.list_keys(f"{root}/x/") == ["1", "2", "sub/"] and s3dlio.list_full_uris(f"{root}/x/") == full("x/1", "x/2", "x/sub/")
    if root.startswith("s3:"):
        assert s3dlio.list(f"{root}/x/*") == full("x/1", "x/2")
        assert s3dlio.list(f"{root}/x**", True) == full("x/1", "x/2", "x/sub/3", "x2/4")
        assert s3dlio.list(f"{root}/x") == full("x/")
        with pytest.raises(RuntimeError):
            s3dlio.list("s3://no-such-bucket-anywhere/", recursive=True)
        assert root.split("//")[1] in [one["name"] for one in s3dlio.list_containers("s3://")]


def test_get_many_and_put_many(root):
    uris = [f"{root}/many/{n:03}" for n in range(70)]
    assert s3dlio.put_many([(uri, uri.encode()) for uri in uris], max_in_flight=8) is None
    pairs = s3dlio.get_many(uris, max_in_flight=5)
    assert sorted(uri for uri, _ in pairs) == uris, "URIs come back as they were given"
    assert all(bytes(data) == uri.encode() for uri, data in pairs)
    assert len(s3dlio.get_many([uris[0]] * 3)) == 3 and s3dlio.get_many([]) == []
    assert s3dlio.get_many_stats(uris) == (70, sum(map(len, uris))) and s3dlio.get_many_stats([]) == (0, 0)
    for bad in (0, -1, "x", True):
        with pytest.raises(ValueError):
            s3dlio.get_many(uris, max_in_flight=bad)
    with pytest.raises(RuntimeError):
        s3dlio.get_many([uris[0], f"{root}/many/none"])


def test_uris_of_files_are_echoed_as_they_were_given(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    odd = [f"file://{tmp_path}//a", f"file://{tmp_path}/./a", f"direct://{tmp_path}/a"]
    assert [(uri, bytes(data)) for uri, data in s3dlio.get_many(odd)] == [(uri, b"1") for uri in odd]


def test_delete_recursively(root):
    for name in ("d/1", "d/e/2", "d2", "e"):
        s3dlio.put_bytes(f"{root}/{name}", b"x")
    s3dlio.delete(f"{root}/d", True)
    assert s3dlio.list(f"{root}/", True) == [f"{root}/d2", f"{root}/e"], "only the folder of that name"
    s3dlio.delete(f"{root}/e", recursive=True)
    s3dlio.delete(f"{root}/nothing/", recursive=True)
    assert s3dlio.list(f"{root}/", True) == [f"{root}/d2"]


def test_delete_never_takes_the_file_system(tmp_path):
    for uri in ("file:///", "file://", "direct:///"):
        with pytest.raises(RuntimeError):
            s3dlio.delete(uri, recursive=True)


def test_mkdir(root):
    s3dlio.mkdir(f"{root}/new/deep/")
    s3dlio.mkdir(f"{root}/new/deep")
    assert s3dlio.list(f"{root}/new/deep/") == []
    if not root.startswith("s3:"):
        assert os.path.isdir(f"{root.split('://')[1]}/new/deep")


def test_multipart_upload_writer(root):
    uri = f"{root}/parts/object"
    data = os.urandom(11 << 20)
    with s3dlio.MultipartUploadWriter.from_uri(uri, part_size=5 << 20, max_in_flight=3, abort_on_drop=True) as writer:
        assert writer.write(memoryview(data)[:6_000_000]) is not None
        view = writer.reserve(1_000_000)
        assert len(view) == 1_000_000
        view[:] = data[6_000_000:7_000_000]
        writer.commit(1_000_000)
        array = numpy.frombuffer(writer.reserve(1_500_000), numpy.uint8)
        array[:1_000_000] = numpy.frombuffer(data, numpy.uint8)[7_000_000:8_000_000]
        with pytest.raises(ValueError, match="1500001"):
            writer.commit(1_500_001)
        writer.commit(1_000_000)
        with pytest.raises(RuntimeError, match="reserve"):
            writer.commit(1)
        writer.write(bytearray(data[8_000_000:]))
        assert len(view) == 1_000_000 and len(array) == 1_500_000, "views live on"
        writer.flush()
        assert not s3dlio.exists(uri), "nothing is visible before the end"
    done = writer.close()
    assert done["total_bytes"] == len(data) and done["parts"] >= 1 and done["completed_at"] >= done["started_at"]
    assert done["parts"] == 3 or not root.startswith("s3:")
    assert done["etag"] or not root.startswith("s3:")
    assert s3dlio.get(uri) == data
    with pytest.raises(RuntimeError):
        writer.write(b"more")

    writer = s3dlio.MultipartUploadWriter.from_uri(f"{root}/parts/aborted")
    writer.write(b"x" * 100)
    writer.abort()
    with pytest.raises(ZeroDivisionError), s3dlio.MultipartUploadWriter.from_uri(f"{root}/parts/aborted") as writer:
        writer.write(b"x" * 100)
        1 / 0
    assert not s3dlio.exists(f"{root}/parts/aborted")
    if root.startswith("s3:"):
        with s3dlio.MultipartUploadWriter(root.split("//")[1], "parts/b", content_type="text/x") as writer:
            writer.write(b"1")
        assert s3dlio.stat(f"{root}/parts/b")["content_type"] == "text/x"
        with pytest.raises(RuntimeError):  # what is retried
            with s3dlio.MultipartUploadWriter.from_uri("s3://no-such-bucket-anywhere/x") as writer:
                writer.write(b"1")


@pytest.mark.parametrize("compressed", [False, True])
def test_object_writers(root, compressed):
    create = {"s3": s3dlio.create_s3_writer, "file": s3dlio.create_filesystem_writer,
              "direct": s3dlio.create_direct_filesystem_writer}[root.split(":")[0]]
    options = s3dlio.PyWriterOptions().with_buffer_size(32 << 20)
    if compressed:
        options.with_compression("zstd", 5)
    writer = create(f"{root}/w", options)
    writer.write_chunk(b"123456789" * 1000)
    writer.write_owned_bytes(memoryview(b"abc"))
    assert writer.bytes_written() == 9003
    plain, stored = writer.finalize()
    assert plain == 9003 and (0 < stored < 9003 if compressed else stored == 0)
    assert writer.checksum() == f"crc32c:{s3dlio.crc32c(b'123456789' * 1000 + b'abc'):08x}"
    assert s3dlio.stat(f"{root}/w.zst" if compressed else f"{root}/w")["size"] == (stored if compressed else 9003)
    for call in (lambda: writer.write_chunk(b"x"), writer.finalize):
        with pytest.raises(RuntimeError):
            call()


def test_azure_writer_and_calls(tmp_path, monkeypatch):
    uri, options = place("azurite", tmp_path)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", options["azure.endpoint"])
    monkeypatch.setenv("AZURE_STORAGE_KEY", options["azure.account_key"])
    s3dlio.create_bucket(uri)
    writer = s3dlio.create_azure_writer(f"{uri}/dir/x")
    writer.write_chunk(b"azure")
    writer.finalize()
    assert s3dlio.list(f"{uri}/", True) == [f"{uri}/dir/x"] and s3dlio.get(f"{uri}/dir/x") == b"azure"
    assert s3dlio.list(f"{uri}/none/") == []
    s3dlio.delete(f"{uri}/", recursive=True)
    s3dlio.delete_bucket(uri)
    with pytest.raises(RuntimeError):
        s3dlio.list(f"{uri}/")


def test_upload_and_download(root, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    for name in ("a.bin", "b.bin", "deep/a.bin"):
        (source / name).write_bytes(name.encode() * 1000)
    s3dlio.upload([f"{source}/*.bin"], f"{root}/flat/")
    assert s3dlio.list(f"{root}/flat/", True) == [f"{root}/flat/a.bin", f"{root}/flat/b.bin"]
    s3dlio.upload([str(source)], f"{root}/tree", max_in_flight=2)
    s3dlio.download(f"{root}/tree/source/", str(target))
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == ["a.bin", "b.bin", "deep/a.bin"]
    assert (target / "deep/a.bin").read_bytes() == b"deep/a.bin" * 1000
    s3dlio.download(f"{root}/flat/b.bin", str(tmp_path / "one"))
    assert (tmp_path / "one" / "b.bin").read_bytes() == b"b.bin" * 1000
    with pytest.raises(RuntimeError):
        s3dlio.upload([f"{source}/*.none"], f"{root}/flat/")
    with pytest.raises(RuntimeError):
        s3dlio.download(f"{root}/flat/none", str(target))
    with pytest.raises(ValueError):  # two files of one name: the predecessor stored one of them
        s3dlio.upload([f"{source}/a.bin", f"{source}/deep/a.bin"], f"{root}/flat/")


def test_asyncio(root):
    async def work():
        uris = [f"{root}/async/{n}" for n in range(10)]
        await s3dlio.put_many_async([(uri, uri.encode()) for uri in uris], max_in_flight=3)
        await s3dlio.put_bytes_async(f"{root}/async/x", bytearray(b"12345"), borrow=False)
        pairs = await s3dlio.get_many_async(uris)
        assert all(bytes(data) == uri.encode() for uri, data in pairs) and len(pairs) == 10
        assert await s3dlio.get_async(uris[3]) == uris[3].encode()
        assert await s3dlio.get_range_async(f"{root}/async/x", 1, 2) == b"23"
        into = bytearray(7)
        assert await s3dlio.get_into_async(f"{root}/async/x", into, expected_len=5) == 5 and into[:5] == b"12345"
        for wrong in (4, 6):
            with pytest.raises(s3dlio.LengthMismatchError) as caught:
                await s3dlio.get_into_async(f"{root}/async/x", into, expected_len=wrong)
            assert (caught.value.expected, caught.value.actual) == (wrong, 5)
        with pytest.raises(s3dlio.ObjectNotFoundError):
            await s3dlio.get_into_async(f"{root}/async/none", into, expected_len=5)
        assert (await s3dlio.head_async(f"{root}/async/x")).size == 5 and await s3dlio.head_async(f"{root}/async/none") is None
        assert await s3dlio.exists_async(uris[0]) and not await s3dlio.exists_async(f"{root}/async/none")
        assert [facts["size"] for facts in await s3dlio.stat_many_async(uris)] == [len(uri) for uri in uris]
        assert await s3dlio.get_many_stats_async(uris) == (10, sum(map(len, uris)))
        with pytest.raises(RuntimeError):
            await s3dlio.get_many_async([uris[0], f"{root}/async/none", *uris])

    asyncio.run(work())


def test_a_forked_child_goes_on(root):
    s3dlio.put_bytes(f"{root}/a", b"1")
    assert s3dlio.list(f"{root}/") == [f"{root}/a"]

    def child():
        s3dlio.put_bytes(f"{root}/b", b"2")
        return s3dlio.list(f"{root}/"), [bytes(data) for _, data in s3dlio.get_many([f"{root}/a", f"{root}/b"])]

    assert in_child(child) == ([f"{root}/a", f"{root}/b"], [b"1", b"2"])


def test_configure_s3_takes_the_place_of_the_environment(monkeypatch):
    options = s3_options("S3DLIO_TEST_SEAWEED")
    for option, variable in S3.items():
        monkeypatch.setenv(variable, "http://127.0.0.1:1" if option == "s3.endpoint" else options[option])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "none")
    monkeypatch.setattr(s3dlio.library, "_configured", {})
    uri = place("seaweed", None)[0]
    for call in (s3dlio.list, s3dlio.exists):
        with pytest.raises(s3dlio.ConnectionError):
            call(f"{uri}/k")
    s3dlio.configure_s3(endpoint_url=options["s3.endpoint"], region="us-east-1")
    s3dlio.create_bucket(uri)
    assert s3dlio.list(f"{uri}/") == [] and not s3dlio.exists(f"{uri}/k")
    s3dlio.put(f"{uri}/k", b"1")
    assert s3dlio.get(f"{uri}/k") == b"1" == s3dlio.get_range(f"{uri}/k", 0)
    s3dlio.delete(f"{uri}/k")
    s3dlio.delete_bucket(uri)


def test_settings_of_the_process():
    """In a process of their own: they are for good."""
    code = """
import os, s3dlio
os.environ["OMPI_COMM_WORLD_SIZE"] = "1000"
s3dlio.configure_tokio_threads()
assert os.environ["S3DLIO_RT_THREADS"] == "1"
s3dlio.configure_tokio_threads(3)
assert os.environ["S3DLIO_RT_THREADS"] == "3" and s3dlio.Options()["runtime.threads"] == "3"
s3dlio.init_logging("debug"); s3dlio.init_logging("quux"); s3dlio.init_logging("off")
assert s3dlio.py_total_cpus() >= s3dlio.py_default_data_gen_threads() >= 1
assert s3dlio.is_op_log_active() is False and s3dlio.finalize_op_log() is None
try:
    s3dlio.init_op_log("/tmp/x")
except RuntimeError as error:
    assert "operation log" in str(error)
else:
    raise SystemExit("it did not fail")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_uris_and_what_can_be_done_with_them():
    assert s3dlio.parse_s3_uri_full("s3://b/a/b") == dict(endpoint=None, bucket="b", key="a/b")
    assert s3dlio.parse_s3_uri_full("s3://h:1/b/a/b") == dict(endpoint="h:1", bucket="b", key="a/b")
    assert s3dlio.object_capabilities("file:///x") == dict(provider="file", get_into=True, head=True)
    assert s3dlio.object_capabilities("gopher://x")["provider"] == "unknown"


def test_several_endpoints(tmp_path, monkeypatch):
    for name in "ab":
        s3dlio.put_bytes(f"file://{tmp_path}/{name}/k", name.encode())
    store = s3dlio.create_multi_endpoint_store(uris=[f"file://{tmp_path}/a", f"file://{tmp_path}/b"], strategy="round_robin")
    assert (store.endpoint_count(), store.strategy()) == (2, "round_robin")

    async def work():
        assert [bytes(await store.get(f"file://{tmp_path}/a/k")) for _ in range(4)] == [b"a", b"b", b"a", b"b"]
        assert bytes(await store.get_range("k", 0, 1)) == b"a" and bytes(await store.get_from_endpoint(1, "k")) == b"b"
        await store.put_all_endpoints("new", bytearray(b"123"))
        await store.put_to_endpoint(1, "only", b"1")
        found = await store.list_all_endpoints("", True)
        assert found == [f"file://{tmp_path}/{name}" for name in ("a/k", "a/new", "b/only")]
        await store.delete_from_endpoint(1, "only")
        with pytest.raises(RuntimeError):
            await store.get("none")
        with pytest.raises(RuntimeError):
            await store.get("s3://elsewhere/k")

    asyncio.run(work())
    facts = store.get_endpoint_stats()
    assert [one["bytes_read"] for one in facts] == [3, 3] and [one["bytes_written"] for one in facts] == [3, 4]
    assert store.get_total_stats()["error_count"] == 1 == store.get_stats()["error_count"]
    least = s3dlio.create_multi_endpoint_store([f"file://{tmp_path}/a"], "least_connections")
    assert asyncio.run(least.get("k")) == b"a"
    wrong = (([], None), ([f"file://{tmp_path}/a"], "quux"), (["nothing"], None), (["http://h"] * 33, None))
    for uris, strategy in wrong:
        with pytest.raises(RuntimeError):
            s3dlio.create_multi_endpoint_store(uris, strategy)
    (tmp_path / "list").write_text(f"# both\nfile://{tmp_path}/a\n\nfile://{tmp_path}/b\n")
    assert s3dlio.create_multi_endpoint_store_from_file(str(tmp_path / "list")).endpoint_count() == 2
    template = s3dlio.create_multi_endpoint_store_from_template("http://10.0.0.{1...4}:9000")
    assert [one["uri"] for one in template.get_endpoint_stats()][::3] == ["http://10.0.0.1:9000", "http://10.0.0.4:9000"]
    with pytest.raises(RuntimeError):
        s3dlio.create_multi_endpoint_store_from_env()
    monkeypatch.setenv("S3_ENDPOINT_URIS", "http://a:1, http://b:2")
    monkeypatch.setenv("S3_LOAD_BALANCE_STRATEGY", "least_connections")
    assert s3dlio.create_multi_endpoint_store_from_env().strategy() == "least_connections"


def test_endpoints_of_one_bucket(monkeypatch):
    options = s3_options("S3DLIO_TEST_SEAWEED")
    for option, variable in S3.items():
        monkeypatch.setenv(variable, "http://127.0.0.1:1" if option == "s3.endpoint" else options[option])
    host = options["s3.endpoint"].split("//")[1]
    inner = fresh_store("seaweed", None)
    bucket = inner.uri.split("//")[1]
    for uris in ([options["s3.endpoint"]] * 2, [f"s3://{host}/{bucket}/"] * 2):
        store = s3dlio.create_multi_endpoint_store(uris)

        async def work():
            await store.put(f"s3://{bucket}/dir/k", b"both")
            assert await store.get(f"s3://{bucket}/dir/k") == b"both"
            assert await store.list(f"s3://{bucket}/dir/", True) == [f"s3://{bucket}/dir/k"]
            await store.delete(f"s3://{bucket}/dir/k")

        asyncio.run(work())
        assert [one["total_requests"] for one in store.get_endpoint_stats()] == [2, 2]
    inner.delete_container()
