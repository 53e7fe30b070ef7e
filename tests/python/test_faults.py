"""The cells of tests/faults/cells.tsv: what faultd does wrong ends in exact bytes or in the true error."""

import pathlib
import subprocess

import pytest

import s3dlio
from conftest import ACCESS_KEY, AZURITE_KEY, REGION, SECRET_KEY, server

TABLE = pathlib.Path(__file__).parents[1] / "faults" / "cells.tsv"
PART = 5 << 20
LIMITS = {
    "net.max_attempts": 3, "net.connect_timeout_ms": 2000, "net.progress_timeout_ms": 1000,
    "net.operation_timeout_ms": 8000, "transfer.part_size": PART, "transfer.range_size": 100_000,
    "transfer.range_threshold": 1 << 20,
}


def pattern(seed, length):
    return bytes((i * 31 + i // 251 + seed * 101) % 256 for i in range(length))


OBJECTS = {
    "small": pattern(1, 20_000), "large": pattern(2, 2_400_000),
    "list/a": pattern(3, 5), "list/b": pattern(4, 6), "list/c": pattern(5, 7),
}
NEW = pattern(6, PART + 70_000)


def get_into(store):
    memory = bytearray(30_000)
    return bytes(memory[: store.get_into("small", memory)]) == OBJECTS["small"]


def read(store):
    with store.reader("small") as reader:
        return reader.read() == OBJECTS["small"]


def read_at(store):
    memory = bytearray(5_000)
    with store.reader("large") as reader:
        return reader.read_at(1_000, memory) == 5_000 and memory == OBJECTS["large"][1_000:6_000]


def put(store):
    store.put("new", NEW[:20_000])
    return store.get("new") == NEW[:20_000]


def write(store):
    with store.writer("new") as writer:
        writer.write(NEW)
    return store.get("new") == NEW


def delete(store):
    store.delete("list/a")
    return not store.exists("list/a")


OPERATIONS = {
    "get": lambda store: store.get("small") == OBJECTS["small"],
    "get_into": get_into,
    "get_large": lambda store: store.get("large") == OBJECTS["large"],
    "get_range": lambda store: store.get_range("large", 1_000, 5_000) == OBJECTS["large"][1_000:6_000],
    "read": read,
    "read_at": read_at,
    "put": put,
    "write": write,
    "stat": lambda store: store.stat("small").size == 20_000,
    "list": lambda store: [e.key for e in store.list("list/")] == ["list/a", "list/b", "list/c"],
    "delete": delete,
}

CELLS = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]


def open_store(service, endpoints):
    if service == "s3":
        return s3dlio.Store("s3://box/root", {
            "s3.endpoint": endpoints["FAULTD_S3"], "s3.region": REGION,
            "s3.access_key_id": ACCESS_KEY, "s3.secret_access_key": SECRET_KEY, **LIMITS,
        })
    return s3dlio.Store("az://devstoreaccount1/box/root", {
        "azure.endpoint": endpoints["FAULTD_AZURE"], "azure.account_key": AZURITE_KEY, **LIMITS,
    })


def pairs(line):
    return dict(word.split("=", 1) for word in line.split())


@pytest.mark.parametrize("service, operation, outcome, rule", CELLS, ids=[" ".join(c[:2] + c[3:]) for c in CELLS])
def test_fault(service, operation, outcome, rule, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"service={service} {rule}\n")
    faultd = subprocess.Popen(
        [server("S3DLIO_TEST_FAULTD"), "--verify-signatures", "--script", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        store = open_store(service, pairs(faultd.stdout.readline()))
        store.create_container()
        for key, data in OBJECTS.items():
            store.put(key, data)
        try:
            got = "exact" if OPERATIONS[operation](store) else "wrong bytes"
        except s3dlio.S3dlioError as error:
            got = error.status
            assert error.operation in str(error) and error.uri.startswith(store.uri) and error.uri in str(error)
        assert got == outcome
    finally:
        said, _ = faultd.communicate()  # closes its stdin
    met = pairs(said)
    assert int(met["FAULTS"]) > 0, "the fault was never met"
    assert int(met["UPLOADS"]) == 0, "an upload was left behind"
