"""Bad input gives the documented exception; and exceptions are what Python expects of them."""

import builtins
import copy
import errno
import os
import pickle
import socket
import tempfile

import pytest

import s3dlio
from conftest import in_child, s3_options, server
from s3dlio import _ffi, errors

CANARY = "canary-secret-7f3a"


def nobody_listens():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


QUICK = {"net.max_attempts": 1, "s3.region": "us-east-1", "s3.access_key_id": "key", "s3.secret_access_key": CANARY}


# ---- the exceptions themselves


def test_every_status_has_a_class():
    assert set(errors.CLASSES) == set(_ffi.ERRORS)
    for code, cls in errors.CLASSES.items():
        name = "".join(word.capitalize() for word in _ffi.ERRORS[code].split("_")) + "Error"
        assert (cls.__name__, cls("x").status) == (name, _ffi.ERRORS[code])
        assert getattr(s3dlio, name) is cls


def test_star_import_leaves_the_builtins_alone():
    names = {}
    exec("from s3dlio import *", names)
    assert "NotFoundError" in names and "Store" in names
    assert not {"ConnectionError", "TimeoutError"} & set(names)
    assert issubclass(s3dlio.ConnectionError, builtins.ConnectionError)
    assert issubclass(s3dlio.TimeoutError, builtins.TimeoutError)


def test_an_error_says_everything(store):
    with pytest.raises(s3dlio.NotFoundError) as caught:
        store.get("missing")
    error = caught.value
    assert isinstance(error, FileNotFoundError) and isinstance(error, s3dlio.S3dlioError)
    assert (error.code, error.status, error.operation) == (-20, "not_found", "get")
    assert error.uri == error.filename == f"{store.uri}/missing" and error.uri in str(error)
    assert error.errno == 2 and error.retryable is False
    if store.uri.startswith(("s3", "az")):
        assert error.http_status == 404


def test_errors_can_be_pickled_and_copied(memory):
    memory.put("k", b"123")
    calls = [
        lambda: memory.get("missing"),
        lambda: memory.get_into("k", bytearray(1)),
        lambda: memory.get_range("k", 9),
        lambda: s3dlio.Store("nonsense"),
    ]
    for call in calls:
        with pytest.raises(s3dlio.S3dlioError) as caught:
            call()
        for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
            assert type(again) is type(caught.value) and str(again) == str(caught.value)
            assert vars(again) == vars(caught.value) and again.errno == caught.value.errno
            assert (again.code, again.uri) == (caught.value.code, caught.value.uri)


# ---- bad input


def write(store, key):
    with store.writer(key) as writer:
        writer.write(b"x")


@pytest.mark.parametrize("uri", ["", "nonsense", "/data", "file:/x", "s3:/b", "gopher://x/y", "s3:///key", "memory://", "az:///c", "file://relative", "s3://b\0x"])
def test_malformed_uris(uri):
    with pytest.raises(s3dlio.InvalidUriError) as caught:
        s3dlio.Store(uri)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(s3dlio.InvalidUriError):
        s3dlio.get(uri)


def test_values_of_the_wrong_type(memory):
    for call in (
        lambda: s3dlio.Store(5),
        lambda: s3dlio.Store("memory://x", {"transfer.part_size": 1.5}),
        lambda: s3dlio.Store("memory://x", {5: "x"}),
        lambda: memory.get(b"k"),
        lambda: memory.get(None),
        lambda: memory.put("k", 5),
        lambda: memory.get_range("k", 1.5),
        lambda: memory.get_into("k", 5),
    ):
        with pytest.raises(TypeError):
            call()


def test_keys_that_cannot_be(store, folder):
    store.put("k", b"1")
    for key in ("", "a\0b", "\ud800", "k" * 1025):
        with pytest.raises(s3dlio.InvalidKeyError):
            store.get(key)
        with pytest.raises(s3dlio.InvalidKeyError):
            store.put(key, b"x")
        with pytest.raises(s3dlio.InvalidKeyError):
            write(store, key)


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/"])
def test_keys_that_leave_the_root(folder, key):
    for call in (folder.get, folder.exists, folder.stat, folder.delete, folder.reader):
        with pytest.raises(s3dlio.InvalidKeyError):
            call(key)
    with pytest.raises(s3dlio.InvalidKeyError):
        folder.put(key, b"x")
    with pytest.raises(s3dlio.InvalidKeyError):
        write(folder, key)


def test_ranges_that_cannot_be(memory):
    memory.put("k", b"0123456789")
    for offset, length in ((-1, 1), (2**64, 1), (0, -1), (0, 2**65)):
        with pytest.raises(s3dlio.InvalidArgumentError):
            memory.get_range("k", offset, length)
        with pytest.raises(s3dlio.InvalidArgumentError):
            memory.validate("k", 0, offset=offset, length=length)
    for offset in (11, 2**63, 2**64 - 1):
        with pytest.raises(s3dlio.RangeError):
            memory.get_range("k", offset, 2**64 - 2)
    assert memory.get_range("k", 5, 2**63) == b"56789"
    with memory.reader("k") as reader, pytest.raises(s3dlio.InvalidArgumentError):
        reader.read_at(-1, bytearray(1))


def test_missing_objects_and_containers(store):
    for call in (store.get, store.stat, store.reader, store.validate):
        with pytest.raises(s3dlio.NotFoundError):
            call("missing")
    parent, name = store.uri.rsplit("/", 1)
    elsewhere = s3dlio.Store(f"{parent}/{name}x", store._options)
    with pytest.raises(s3dlio.ContainerNotFoundError) as caught:
        list(elsewhere.list())
    assert isinstance(caught.value, FileNotFoundError)


def test_options_that_cannot_be():
    with pytest.raises(s3dlio.UnknownOptionError) as caught:
        s3dlio.Store("memory://x", {"transfer.partsize": 1})
    assert "transfer.part_size" in caught.value.hint
    with pytest.raises(s3dlio.UnknownOptionError):
        s3dlio.Store("memory://x", bucket="b")
    bad = {
        "transfer.part_size": [1, -1, "many", 2**70, True], "s3.anonymous": ["perhaps"],
        "writer.compression_level": [0, 23], "net.connect_timeout_ms": [0],
    }
    for key, values in bad.items():
        for value in values:
            with pytest.raises(s3dlio.InvalidOptionError) as caught:
                s3dlio.Store("memory://x", {key: value})
            assert key in str(caught.value)


def test_a_bad_environment_is_named(monkeypatch):
    monkeypatch.setenv("S3DLIO_PART_SIZE", "many")
    with pytest.raises(s3dlio.InvalidOptionError, match="S3DLIO_PART_SIZE"):
        s3dlio.Store("memory://x")


def test_wrong_credentials():
    """The second S3 server accepts any signature."""
    store = s3dlio.Store("s3://some-bucket", s3_options("S3DLIO_TEST_SEAWEED"), s3_secret_access_key=CANARY)
    with pytest.raises((s3dlio.UnauthenticatedError, s3dlio.PermissionDeniedError)) as caught:
        store.get("k")
    assert isinstance(caught.value, PermissionError) and CANARY not in repr(caught.value) + str(caught.value.details)


def test_wrong_credentials_azure():
    key = "d3Jvbmcga2V5IGNhbmFyeQ=="
    store = s3dlio.Store("az://devstoreaccount1/some-container", {"azure.endpoint": server("S3DLIO_TEST_AZURITE"), "azure.account_key": key})
    with pytest.raises((s3dlio.UnauthenticatedError, s3dlio.PermissionDeniedError)) as caught:
        store.get("k")
    assert key not in repr(caught.value) + str(caught.value.details)


def test_nobody_listens():
    endpoint = nobody_listens()
    azure = {"azure.endpoint": f"{endpoint}/account", "azure.account_key": "a2V5", "net.max_attempts": 1}
    for store in (s3dlio.Store("s3://bucket", QUICK, s3_endpoint=endpoint), s3dlio.Store("az://account/c", azure)):
        with pytest.raises(s3dlio.ConnectionError) as caught:
            store.get("k")
        assert isinstance(caught.value, builtins.ConnectionError) and caught.value.retryable


def test_no_such_host():
    store = s3dlio.Store("s3://bucket", QUICK, s3_endpoint="http://no-such-host.invalid:1")
    with pytest.raises(s3dlio.DnsError) as caught:
        store.get("k")
    assert isinstance(caught.value, OSError) and caught.value.retryable


def test_an_unreadable_folder():
    """For a user who may not read it: root may read everything, so a child gives its rights up."""
    with tempfile.TemporaryDirectory() as parent:  # not pytest's own folder: nobody else may enter that
        os.chmod(parent, 0o755)
        closed, readable = s3dlio.Store(f"file://{parent}/closed"), s3dlio.Store(f"file://{parent}/readable")
        for store in (closed, readable):
            store.put("k", b"1")
        os.chmod(f"{parent}/closed", 0o700)

        def child():
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            else:
                os.chmod(f"{parent}/closed", 0)
            assert readable.get("k") == b"1"
            for call in (
                lambda: closed.get("k"), lambda: closed.stat("k"), lambda: closed.exists("k"), lambda: closed.reader("k"),
                lambda: list(closed.list()), lambda: closed.put("new", b"1"), lambda: write(closed, "new"),
            ):
                with pytest.raises(s3dlio.PermissionDeniedError) as caught:
                    call()
                assert isinstance(caught.value, PermissionError) and caught.value.errno == errno.EACCES
            return "denied"

        try:
            assert in_child(child) == "denied"
        finally:
            os.chmod(f"{parent}/closed", 0o700)
        assert os.listdir(f"{parent}/closed") == ["k"]


def test_a_full_device():
    store = s3dlio.Store("file:///dev/full-is-no-folder")
    with pytest.raises(s3dlio.S3dlioError):
        store.get("k")


# ---- secrets


def test_secrets_appear_nowhere():
    options = s3dlio.Options({"s3.secret_access_key": CANARY, "azure.account_key": CANARY, "s3.region": "eu"})
    assert "eu" in repr(options) and options["s3.secret_access_key"] == "***"
    store = s3dlio.Store("s3://bucket", options, s3_access_key_id="key", s3_endpoint=nobody_listens(), net_max_attempts=1)
    shown = [repr(options), str(options), repr(store), str(store)]
    attempts = (
        lambda: store.get("k"),
        lambda: s3dlio.Options({"s3.secret_access_key": CANARY + "\0"}),
        lambda: s3dlio.Options({"s3.secret_access_key": CANARY + "\ud800"}),
        lambda: s3dlio.Options({"s3.secret": CANARY}),
        lambda: s3dlio.Store(f"s3://user:{CANARY}@bucket/x"),
    )
    for attempt in attempts:
        with pytest.raises(s3dlio.S3dlioError) as caught:
            attempt()
        error = caught.value
        while error is not None:
            shown += [repr(error), str(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    assert not [text for text in shown if CANARY in text]


def test_only_explicit_secrets_are_pickled(monkeypatch):
    monkeypatch.setenv("S3DLIO_S3_SECRET_ACCESS_KEY", CANARY)
    implicit = s3dlio.Store("s3://bucket", s3_access_key_id="key")
    assert CANARY.encode() not in pickle.dumps(implicit)
    explicit = s3dlio.Store("s3://bucket", s3_access_key_id="key", s3_secret_access_key=CANARY)
    assert CANARY.encode() in pickle.dumps(explicit), "an explicit option must survive"
