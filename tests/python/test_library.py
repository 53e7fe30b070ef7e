"""Version, checksums, counters, logs, and how the library is found."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import s3dlio

LIBRARY = os.environ["S3DLIO_LIBRARY"]


def python(code, **env):
    environment = {**os.environ, **{name: str(value) for name, value in env.items()}}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


def test_crc32c_known_answers():
    assert s3dlio.crc32c(b"123456789") == 0xE3069283
    assert s3dlio.crc32c(b"") == 0 and s3dlio.crc32c(bytes(32)) == 0x8A9136AA
    assert s3dlio.crc32c(memoryview(b"6789"), s3dlio.crc32c(bytearray(b"12345"))) == 0xE3069283
    first, second = s3dlio.crc32c(b"12345"), s3dlio.crc32c(b"6789")
    assert s3dlio.crc32c_combine(first, second, 4) == 0xE3069283


def test_features_and_stats():
    for feature in ("s3", "azure", "file", "direct", "memory", "zstd"):
        assert s3dlio.has_feature(feature), feature
    assert not s3dlio.has_feature("teleport")
    before = s3dlio.stats().handles
    store = s3dlio.Store("memory://stats")
    assert s3dlio.stats().handles > before
    store.close()


def test_option_table():
    rows = {row.key: row for row in s3dlio.option_table()}
    part = rows["transfer.part_size"]
    assert (part.type, part.default_value, part.env) == ("size", "16MiB", ("S3DLIO_PART_SIZE",)) and part.doc
    assert rows["s3.secret_access_key"].type == "secret"


def test_options_in_force(monkeypatch):
    monkeypatch.setenv("S3DLIO_PART_SIZE", "8MiB")
    options = s3dlio.Options(net_max_attempts=3, s3_anonymous=True, net_ca_bundle=Path("/x"), s3_region=None)
    values = [options[key] for key in ("net.max_attempts", "s3.anonymous", "net.ca_bundle", "transfer.part_size")]
    assert values == ["3", "true", "/x", str(8 << 20)]
    assert list(options) == ["net.max_attempts", "s3.anonymous", "net.ca_bundle"] and len(options) == 3


def test_log_to_fd(tmp_path):
    with open(tmp_path / "log", "w+b") as file:
        s3dlio.log_to_fd(file, "debug")
        try:
            writer = s3dlio.Store("memory://log").writer("k")
            writer.abort()
        finally:
            s3dlio.log_to_fd(-1)
    with pytest.raises(s3dlio.S3dlioError):
        s3dlio.log_to_fd(2, "loud")


def test_p1_a_profile_needs_a_build_that_can(tmp_path):
    picture = tmp_path / "busy.svg"
    if not s3dlio.has_feature("profiling"):
        with pytest.raises(s3dlio.UnsupportedError, match="--features profiling"):
            with s3dlio.profile(picture):
                pytest.fail("it began")
        return
    with s3dlio.profile(picture, hz=500):
        with pytest.raises(s3dlio.InvalidStateError), s3dlio.profile(tmp_path / "second.svg"):
            pass
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    assert "<svg" in picture.read_text()
    with pytest.raises(s3dlio.NotFoundError), s3dlio.profile(tmp_path / "no/where.svg"):
        pass
    with pytest.raises(ZeroDivisionError), s3dlio.profile(tmp_path / "failed.svg"):
        1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["busy.svg"]


def test_wrong_library_is_an_import_error(tmp_path):
    text = tmp_path / "libs3dlio.so"
    text.write_text("no library")
    for path, reason in ((text, "libs3dlio.so"), ("libm.so.6", "s3dlio_abi_version"), (tmp_path / "none.so", "none.so")):
        run = python("import s3dlio", S3DLIO_LIBRARY=path)
        assert run.returncode == 1 and "ImportError" in run.stderr and reason in run.stderr


def test_another_abi_is_an_import_error(tmp_path):
    source, library = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text("unsigned s3dlio_abi_version(void) { return 0x00070003u; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    run = python("import s3dlio", S3DLIO_LIBRARY=library)
    assert run.returncode == 1 and "ABI version 7.3" in run.stderr


def test_the_system_loader_finds_the_library(tmp_path):
    (tmp_path / "libs3dlio.so.0").symlink_to(LIBRARY)
    code = "import s3dlio; print(s3dlio.version())"
    run = python(code, S3DLIO_LIBRARY="", LD_LIBRARY_PATH=tmp_path)
    assert run.stdout.strip() == s3dlio.version(), run.stderr


def test_leaving_with_live_handles_is_quiet():
    """Interpreter shutdown with open stores, readers, writers and views."""
    code = """
import s3dlio
store = s3dlio.Store("memory://exit")
store.put("k", bytes(1 << 20))
reader, view, many = store.reader("k"), memoryview(store.get("k")), store.get_many(["k"] * 5)
writer = store.writer("w"); writer.write(b"x"); listing = store.list(); next(listing)
file = store.open("t", "w"); file.write("x")
"""
    run = python(code)
    assert (run.returncode, run.stderr) == (0, "")
