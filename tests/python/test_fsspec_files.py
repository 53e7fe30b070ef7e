"""What fsspec's suite leaves out: ranges, streams, transactions, names, processes, other people's libraries (issue 5, 3)."""

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

import s3dlio
from conftest import in_child, place
from s3dlio import fsspec as ours
from test_fsspec_suite import CLASSES

DATA = bytes(range(256)) * 4096 + b"tail"


@pytest.fixture(autouse=True, scope="module")
def registered():
    ours.register()


@pytest.fixture(params=["file", "memory", "seaweed", "azurite"])
def there(request, tmp_path):
    """A file system and a path in it, a container of its own."""
    uri, options = place(request.param, tmp_path)
    s3dlio.Store(uri, options).create_container()
    fs = CLASSES[request.param](options, skip_instance_cache=True)
    yield fs, uri.split("://")[1]
    fs.rm(uri.split("://")[1], recursive=True)
    type(fs).clear_instance_cache()  # fsspec keeps those that were unpickled


def test_files(there):
    fs, root = there
    path = f"{root}/dir/file.bin"
    with fs.open(path, "wb") as file:
        for at in range(0, len(DATA), 100_000):
            assert file.write(DATA[at : at + 100_000]) == len(DATA[at : at + 100_000])
        assert file.tell() == len(DATA) and not fs.exists(path), "it appears when it is closed"
    assert fs.cat(path) == DATA and fs.size(path) == len(DATA) and fs.isfile(path) and fs.isdir(f"{root}/dir")
    with fs.open(path, "rb", block_size=4096) as file:
        assert file.read(10) == DATA[:10] and file.seek(-4, 2) == len(DATA) - 4 and file.read() == b"tail"
        assert file.seek(1000) == 1000 and file.read(5000) == DATA[1000:6000] and file.size == len(DATA)
    with fs.open(path, "ab") as file:
        assert file.tell() == len(DATA)
        file.write(b" and more")
    assert fs.tail(path, 9) == b" and more" and fs.size(path) == len(DATA) + 9
    with fs.open(f"{root}/text", "w", encoding="utf-8") as file:
        file.write("ünï\n")
    with fs.open(f"{root}/text", "r", encoding="utf-8") as file:
        assert file.read() == "ünï\n"
    for cache in ("none", "readahead", "bytes", "blockcache", "all", "first"):
        with fs.open(path, cache_type=cache, block_size=1000) as file:
            file.seek(5000)
            assert file.read(777) == DATA[5000:5777], cache
    with pytest.raises(FileNotFoundError):
        fs.open(f"{root}/missing").read()


def test_what_fails_is_discarded(there):
    fs, root = there
    with pytest.raises(ZeroDivisionError), fs.open(f"{root}/failed", "wb") as file:
        file.write(b"x" * 1000)
        1 / 0
    with pytest.raises(ZeroDivisionError), fs.open(f"{root}/failed", "w") as file:
        file.write("x" * 1000)
        1 / 0
    assert not fs.exists(f"{root}/failed")
    with fs.transaction:
        with fs.open(f"{root}/in-transaction", "wb") as file:
            file.write(b"1")
        assert not fs.exists(f"{root}/in-transaction")
    assert fs.cat(f"{root}/in-transaction") == b"1"
    with pytest.raises(ZeroDivisionError), fs.transaction:
        with fs.open(f"{root}/rolled-back", "wb") as file:
            file.write(b"1")
        1 / 0
    assert not fs.exists(f"{root}/rolled-back")
    with fs.transaction:
        with pytest.raises(ZeroDivisionError), fs.open(f"{root}/given-up", "wb") as file:
            file.write(b"1")
            1 / 0
        fs.pipe(f"{root}/kept", b"1")
        with fs.open(f"{root}/kept-too", "wb") as file:
            file.write(b"1")
    assert not fs.exists(f"{root}/given-up") and fs.cat(f"{root}/kept-too") == b"1"


def test_a_file_is_one_version_of_the_object(there):
    fs, root = there
    fs.pipe(f"{root}/k", DATA)
    with fs.open(f"{root}/k", cache_type="none") as file:
        assert file.read(4) == DATA[:4]
        fs.pipe(f"{root}/k", b"replaced by something else, of another length")
        if not fs._is_path:  # an open file goes on with the old one
            with pytest.raises(s3dlio.ChangedError):
                file.read(4)


def test_cat_and_ranges(there):
    fs, root = there
    names = [f"{root}/c/{n}" for n in range(20)]
    fs.pipe({name: name.encode() * 3 for name in names})
    assert fs.cat(names) == {name: name.encode() * 3 for name in names} == fs.cat(f"{root}/c/", recursive=True)
    assert fs.cat(names[:1]) == {names[0]: names[0].encode() * 3} and fs.cat(f"{root}/c/*7") .keys() == {names[7], names[17]}
    assert fs.cat_file(names[0], 1, 4) == names[0].encode()[1:4] and fs.cat_file(names[0], -3) == b"c/0"
    assert fs.cat_file(names[0], start=-3, end=-1) == b"c/" and fs.cat_file(names[0], end=2) == names[0].encode()[:2]
    assert fs.cat_file(names[0], 10_000, 10_010) == b"" == fs.cat_file(names[0], 3, 3)
    missing = f"{root}/c/none"
    with pytest.raises(FileNotFoundError):
        fs.cat([names[0], missing])
    assert fs.cat([names[0], missing], on_error="omit").keys() == {names[0]}
    assert isinstance(fs.cat([names[0], missing], on_error="return")[missing], FileNotFoundError)
    answer = fs.cat_ranges([names[0], names[1], names[0], missing], [0, 1, -3, 0], [4, None, None, 1])
    assert answer[:3] == [names[0].encode()[:4], (names[1].encode() * 3)[1:], b"c/0"]
    assert isinstance(answer[3], FileNotFoundError)
    assert fs.cat_ranges([names[0]] * 3, [0, 2, 9_999], [2, 4, 10_000]) == [names[0].encode()[:2], names[0].encode()[2:4], b""]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([missing, names[0]], 0, 1, on_error="raise")


def test_facts_and_listings(there):
    fs, root = there
    for name in ("a", "d/1", "d/e/2"):
        fs.pipe(f"{root}/{name}", name.encode())
    assert fs.ls(root, detail=False) == [f"{root}/a", f"{root}/d"]
    assert [(one["name"], one["type"], one["size"]) for one in fs.ls(f"{root}/d", detail=True)] == [
        (f"{root}/d/1", "file", 3), (f"{root}/d/e", "directory", 0)]
    assert fs.find(root) == [f"{root}/{name}" for name in ("a", "d/1", "d/e/2")]
    assert fs.find(f"{root}/d", withdirs=True) == [f"{root}/d", f"{root}/d/1", f"{root}/d/e", f"{root}/d/e/2"] or fs._is_path
    assert fs.find(root, maxdepth=1) == [f"{root}/a"] and fs.find(f"{root}/a") == [f"{root}/a"] and fs.find(f"{root}/none") == []
    assert fs.glob(f"{root}/**/2") == [f"{root}/d/e/2"] and fs.glob(f"{root}/*") == [f"{root}/a", f"{root}/d"]
    assert [(path, sorted(dirs), sorted(files)) for path, dirs, files in fs.walk(root)] == [
        (root, ["d"], ["a"]), (f"{root}/d", ["e"], ["1"]), (f"{root}/d/e", [], ["2"])]
    assert fs.du(root) == 9 and fs.ls(f"{root}/a", detail=False) == [f"{root}/a"]
    before = fs.checksum(f"{root}/a"), fs.ukey(f"{root}/a")
    assert before == (fs.checksum(f"{root}/a"), fs.ukey(f"{root}/a")) and fs.created(f"{root}/a") == fs.modified(f"{root}/a")
    fs.pipe(f"{root}/a", b"changed")
    fs.invalidate_cache()
    assert fs.checksum(f"{root}/a") != before[0] and fs.ukey(f"{root}/a") != before[1]
    assert fs.info(f"{root}/d")["type"] == "directory" and abs(fs.info(f"{root}/a")["mtime"] - fs.modified(f"{root}/a").timestamp()) < 1
    for call in (fs.info, fs.ls, fs.modified, fs.checksum):
        with pytest.raises(FileNotFoundError):
            call(f"{root}/none")
    assert not fs.exists(f"{root}/none") and not fs.isdir(f"{root}/none") and fs.unstrip_protocol(f"{root}/a").endswith(f"://{root}/a")


def test_copies_moves_and_removals(there):
    fs, root = there
    fs.pipe({f"{root}/a": b"1", f"{root}/d/b": b"2", f"{root}/d/e/c": b"3", f"{root}/d2": b"4"})
    fs.cp(f"{root}/a", f"{root}/copy")
    fs.mv(f"{root}/copy", f"{root}/moved")
    fs.mv(f"{root}/d", f"{root}/f", recursive=True)
    assert fs.cat(f"{root}/moved") == b"1" and fs.cat(f"{root}/f/e/c") == b"3" and not fs.exists(f"{root}/copy")
    assert not fs.find(f"{root}/d") and fs.cat(f"{root}/d2") == b"4", "only the folder of that name"
    fs.rm(f"{root}/f", recursive=True)
    fs.rm([f"{root}/moved", f"{root}/a"])
    assert fs.find(root) == [f"{root}/d2"]
    fs.touch(f"{root}/d2")
    assert fs.size(f"{root}/d2") == 0
    with pytest.raises(NotImplementedError):
        fs.touch(f"{root}/d2", truncate=False)
    with pytest.raises(FileNotFoundError):
        fs.rm(f"{root}/none")


def test_only_what_was_copied_is_moved_away(there, monkeypatch):
    fs, root = there
    d = f"{root}/d"
    fs.pipe({f"{d}/{name}": name.encode() for name in ("a", "a2", "e/b", "e/b2", "e/f/c")})
    fs.mv(d, f"{root}/one", recursive=True, maxdepth=1)
    assert fs.find(f"{root}/one") == [f"{root}/one/a", f"{root}/one/a2"] and fs.cat(f"{root}/one/a2") == b"a2"
    assert fs.find(d) == [f"{d}/e/b", f"{d}/e/b2", f"{d}/e/f/c"], "what lies deeper stays"
    fs.mv(d, f"{root}/two", recursive=True, maxdepth=2)
    assert fs.find(f"{root}/two") == [f"{root}/two/b", f"{root}/two/b2"] and fs.find(d) == [f"{d}/e/f/c"]
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        fs.mv(d, f"{root}/three")
    assert fs.find(d) == [f"{d}/e/f/c"]
    fs.pipe({f"{d}/g": b"4", f"{d}/h": b"4"})
    fs.mv(f"{d}/*", f"{root}/four/")
    assert fs.find(f"{root}/four") == [f"{root}/four/g", f"{root}/four/h"] and fs.find(d) == [f"{d}/e/f/c"], "a pattern without recursive means no folders"

    plain, came = fs.cp_file, []

    def copies(source, target, planned=None, **keywords):
        plain(source, target, planned=planned, **keywords)
        if planned is None and not came:
            came.append(f"{d}/meanwhile")
            fs.pipe(came[0], b"5")

    monkeypatch.setattr(fs, "cp_file", copies)
    fs.mv(d, f"{root}/five", recursive=True)
    assert fs.cat(f"{root}/five/e/f/c") == b"e/f/c" and fs.find(d) == came, "what came meanwhile stays"
    monkeypatch.undo()
    if fs._is_path:
        fs.pipe(f"{root}/elsewhere/x", b"6")
        os.symlink("../elsewhere", f"{d}/link")
        fs.mv(d, f"{root}/six", recursive=True)
        assert not os.path.lexists(d) and fs.cat(f"{root}/elsewhere/x") == b"6", "nor what links lead to"


def test_what_is_moved_onto_itself_stays(there):
    fs, root = there
    files = {f"{root}/d/x": b"1", f"{root}/d/e/y": b"2"}
    fs.pipe(files)
    d = f"{root}/d"
    for source, target in (
        (f"{d}/x", f"{d}/"), (f"{d}/x", d), (f"{d}/x", f"{d}/x/"), (f"{fs.protocol}://{d}/x", f"{d}/x"), (f"{d}/x", f"{d}/x"),
        (Path("/", d, "x") if fs._is_path else f"{d}/x", f"{fs.scheme}://{d}/x"),
        ([f"{d}/x"], d), ([f"{d}/x"], [f"{d}/x"]), (f"{d}/[x]", f"{d}/"),
    ):
        fs.mv(source, target)
        assert fs.cat(d, recursive=True) == files, (source, target)
    for source, target in ((d, d), (d, f"{d}/"), (f"{d}/", d), (f"{fs.protocol}://{d}", d), (d, f"{root}/"), (f"{d}/e", d)):
        fs.mv(source, target, recursive=True)
        assert fs.cat(d, recursive=True) == files, (source, target)
    for source, target, recursive in (
        (d, f"{d}/e", True), (d, f"{d}/new", True), ([f"{d}/x", f"{d}/e/y"], [f"{d}/e/y", f"{d}/z"], False),
        ([f"{d}/x", f"{d}/e/y"], d, False),
    ):
        with pytest.raises(ValueError, match="below"):
            fs.mv(source, target, recursive=recursive)
        assert fs.cat(d, recursive=True) == files, (source, target)
    fs.mv(f"{d}/x", f"{d}/e/")
    fs.mv([f"{d}/e/x", f"{d}/e/y"], f"{root}/g/")
    assert fs.cat(f"{root}/g", recursive=True) == {f"{root}/g/x": b"1", f"{root}/g/y": b"2"} and not fs.find(d)


def test_a_folder_that_is_a_link_is_the_same_place(tmp_path):
    fs = ours.LocalFileSystem(skip_instance_cache=True)
    fs.pipe(f"{tmp_path}/d/x", b"1")
    os.symlink("d", tmp_path / "link")
    fs.mv(f"{tmp_path}/d/x", f"{tmp_path}/link/x")
    fs.mv(f"{tmp_path}/d/x", f"{tmp_path}/link/")
    assert fs.cat(f"{tmp_path}/d/x") == b"1"


@pytest.mark.parametrize("method, suffix", [("gzip", "gz"), ("bz2", "bz2"), ("xz", "xz"), ("zip", "zip"), ("infer", "gz")])
def test_compression_of_fsspec(there, method, suffix):
    fs, root = there
    path = f"{root}/x.{suffix}"
    with fs.open(path, "wb", compression=method) as file:
        assert file.write(DATA) == len(DATA)
        assert not fs.exists(path), "it appears when it is closed"
    assert file.closed and fs.cat(path) != DATA
    with fs.open(path, "rb", compression=method) as file:
        assert file.read() == DATA
    with fs.open(path, "w", compression=method) as file:
        file.write("text")
    with fs.open(path, "r", compression=method) as file:
        assert file.read() == "text"
    for mode, data in (("wb", b"x"), ("w", "x")):
        with pytest.raises(ZeroDivisionError), fs.open(f"{root}/failed.{suffix}", mode, compression=method) as file:
            file.write(data * 1000)
            1 / 0
        assert file.closed and not fs.exists(f"{root}/failed.{suffix}")
    with fs.transaction:
        with fs.open(f"{root}/later.{suffix}", "wb", compression=method) as file:
            file.write(b"1")
        assert not fs.exists(f"{root}/later.{suffix}")
    with fs.open(f"{root}/later.{suffix}", compression=method) as file:
        assert file.read() == b"1"
    with pytest.raises(ValueError):
        fs.open(f"{root}/none", "wb", compression="nonsense")


def test_put_and_get(there, tmp_path, monkeypatch):
    fs, root = there
    before = os.umask(0o027)
    monkeypatch.setattr(os, "umask", None)  # it is the whole process's: no other thread's files may get another mode
    try:
        put_and_get(fs, root, tmp_path)
    finally:
        monkeypatch.undo()
        os.umask(before)


def put_and_get(fs, root, tmp_path):
    (tmp_path / "in").write_bytes(DATA)
    seen = fsspec.callbacks.Callback()
    fs.put(str(tmp_path / "in"), f"{root}/up/in")
    fs.get_file(f"{root}/up/in", str(tmp_path / "sub" / "out"), callback=seen)
    assert (tmp_path / "sub" / "out").read_bytes() == DATA and (seen.size, seen.value) == (len(DATA), len(DATA))
    assert os.listdir(tmp_path / "sub") == ["out"]
    assert (tmp_path / "sub" / "out").stat().st_mode & 0o777 == 0o640 == (tmp_path / "in").stat().st_mode & 0o777
    into = io.BytesIO()
    fs.get_file(f"{root}/up/in", into)
    assert into.getvalue() == DATA
    with pytest.raises(FileNotFoundError):
        fs.get(f"{root}/none", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_compressed_names_are_only_names(there):
    """fsspec has compression of its own: the library's must not come on top."""
    fs, root = there
    fs.pipe(f"{root}/x.zst", b"not a frame")
    with fs.open(f"{root}/x.zst") as file:
        assert file.read() == b"not a frame" == fs.cat(f"{root}/x.zst")


def read(fs, path, answer):
    with fs.open(path) as file:
        answer.put(bytes(file.read()) + fs.cat(path))


def test_other_processes(there):
    fs, root = there
    fs.pipe(f"{root}/k", b"123")
    with fs.open(f"{root}/k", cache_type="none") as file:
        file.read(1)
        assert in_child(lambda: (fs.cat(f"{root}/k"), fs.ls(root, detail=False), file.read(2))) == (b"123", [f"{root}/k"], b"23")
        assert file.read(2) == b"23"
    copy = pickle.loads(pickle.dumps(fs))
    assert copy.cat(f"{root}/k") == b"123" or fs.scheme == "memory"
    assert copy.storage_args == fs.storage_args and type(copy) is type(fs)
    if fs.scheme == "memory":
        return
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    process = spawn.Process(target=read, args=(fs, f"{root}/k", answer))
    process.start()
    assert answer.get(timeout=60) == b"123123"
    process.join(60)
    assert process.exitcode == 0
    answer.close()
    answer.join_thread()


def test_urls_and_options(tmp_path):
    """Through fsspec's own entrance, with the keywords that s3fs and pandas use."""
    uri, options = place("seaweed", tmp_path)
    s3dlio.Store(uri, options).create_container()
    said = dict(
        key=options["s3.access_key_id"], secret=options["s3.secret_access_key"], skip_instance_cache=True,
        client_kwargs={"endpoint_url": options["s3.endpoint"], "region_name": "us-east-1"},
    )
    with fsspec.open(f"s3dlio+{uri}/a.txt", "w", **said) as file:
        file.write("hello")
    fs, path = fsspec.core.url_to_fs(f"s3dlio+{uri}/a.txt", **said)
    assert path == f"{uri[5:]}/a.txt" and fs.cat(path) == b"hello" and uri[5:] in fs.ls("", detail=False)
    assert fs.isdir("") and fs.isdir(uri[5:])
    with fsspec.open(f"simplecache::s3dlio+{uri}/a.txt", **{"s3dlio+s3": said, "simplecache": {"cache_storage": str(tmp_path)}}) as file:
        assert file.read() == b"hello"
    for missing in ("no-such-bucket-anywhere", "no-such-bucket-anywhere/x"):
        assert not fs.exists(missing)
        with pytest.raises(FileNotFoundError):
            fs.ls(missing)
    fs.rm(uri[5:], recursive=True)
    assert not fs.exists(uri[5:])
    with pytest.raises(s3dlio.UnknownOptionError):
        fsspec.filesystem("s3dlio+s3", s3_quux=1)
    fsspec.core.get_fs_token_paths(f"s3dlio+file://{tmp_path}/x")
    for one in (*CLASSES.values(), fsspec.get_filesystem_class("simplecache")):
        one.clear_instance_cache()


def test_what_cannot_be_found_out_is_no_empty_folder(tmp_path):
    uri, options = place("seaweed", tmp_path)
    root = uri[5:]
    s3dlio.Store(uri, options).create_container()
    fs = ours.S3FileSystem(options, skip_instance_cache=True)
    refused = ours.S3FileSystem(options, secret="wrong", skip_instance_cache=True)
    fs.pipe(f"{root}/d/e/x", b"1")
    for call in (
        refused.isdir, refused.isfile, refused.exists, refused.du, refused.find, lambda path: refused.find(path, maxdepth=1),
        lambda path: refused.glob(f"{path}/*"), lambda path: list(refused.walk(path)),
        lambda path: list(refused.walk(path, on_error="raise")),
    ):
        with pytest.raises(PermissionError):
            call(f"{root}/d")
    assert list(refused.walk(f"{root}/d", on_error="omit")) == []
    assert list(fs.walk(f"{root}/none")) == [] == fs.find(f"{root}/none", maxdepth=2) == fs.glob(f"{root}/none/*")
    assert not fs.isdir(f"{root}/none") and not fs.isfile(f"{root}/none") and not fs.isfile(f"{root}/d") and fs.isdir(f"{root}/d")
    fs.rm(root, recursive=True)


@pytest.mark.parametrize("on_error", [None, "raise", "omit"])
def test_a_walk_treats_all_folders_alike(tmp_path, monkeypatch, on_error):
    fs = ours.LocalFileSystem(skip_instance_cache=True)
    fs.pipe({f"{tmp_path}/a/x": b"1", f"{tmp_path}/b/x": b"1"})
    entries = fs._entries

    def refuse(path):
        if path.endswith("/a"):
            raise PermissionError(path)
        return entries(path)

    monkeypatch.setattr(fs, "_entries", refuse)
    if on_error == "omit":
        assert [path for path, _, _ in fs.walk(tmp_path, on_error=on_error)] == [str(tmp_path), f"{tmp_path}/b"]
    else:
        with pytest.raises(PermissionError):
            list(fs.walk(tmp_path, on_error=on_error))
    assert not fs.isfile(f"{tmp_path}/b/x/y") and not fs.isdir(f"{tmp_path}/b/x/y"), "below a file there is nothing"


def test_instances_are_those_of_their_secrets():
    def of(secret, **more):
        return ours.S3FileSystem(options=s3dlio.Options({"s3.access_key_id": "a", "s3.secret_access_key": secret}), **more)

    one, same, other = of("secret-1"), of("secret-1"), of("secret-2")
    assert one is same and one is not other and other._options._values["s3.secret_access_key"] == "secret-2"
    assert pickle.loads(pickle.dumps(other)) is other
    assert "secret-" not in repr(other.storage_options) + repr(other)
    changed = s3dlio.Options({"s3.secret_access_key": "x"})
    first = ours.S3FileSystem(changed)
    changed["s3.secret_access_key"] = "y"
    assert ours.S3FileSystem(changed) is not first
    ours.S3FileSystem.clear_instance_cache()


def test_with_of_an_url_publishes_in_any_case(tmp_path):
    """As the documentation says: fsspec closes the file and does not say that something failed."""
    url = f"s3dlio+file://{tmp_path}/half"
    with pytest.raises(ZeroDivisionError), fsspec.open(url, "wb") as file:
        file.write(b"half")
        1 / 0
    assert (tmp_path / "half").read_bytes() == b"half"
    fs, path = fsspec.core.url_to_fs(url.replace("half", "none"))
    with pytest.raises(ZeroDivisionError), fs.open(path, "wb") as file:
        file.write(b"half")
        1 / 0
    assert not (tmp_path / "none").exists()
    ours.LocalFileSystem.clear_instance_cache()


def test_parquet_of_pyarrow(there):
    """pyarrow reads and writes through the file system, and only the columns that it wants."""
    import pyarrow
    import pyarrow.parquet

    fs, root = there
    alone = dict(use_threads=False, pre_buffer=False)  # pyarrow's threads let go of files later, when they like
    table = pyarrow.table({"a": list(range(10_000)), "b": [f"{n}" for n in range(10_000)]})
    pyarrow.parquet.write_table(table, f"{root}/t.parquet", filesystem=fs, row_group_size=1000)
    found = pyarrow.parquet.read_table(f"{root}/t.parquet", filesystem=fs, columns=["a"], **alone)
    assert found.column("a").to_pylist() == list(range(10_000))
    pyarrow.parquet.write_to_dataset(table.slice(0, 10), f"{root}/set", filesystem=fs, partition_cols=["a"])
    assert pyarrow.parquet.read_table(f"{root}/set", filesystem=fs, **alone).num_rows == 10


def test_registration_is_in_the_metadata():
    """An installed package is found by fsspec alone, and importing the package does not import fsspec."""
    project = (Path(__file__).resolve().parents[2] / "bindings/python/pyproject.toml").read_text()
    for one in set(CLASSES.values()):
        assert f'"{one.protocol}" = "s3dlio.fsspec:{one.__name__}"' in project
    code = "import sys, s3dlio; assert 'fsspec' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
