"""SPEC O1: of a get over HTTP, a row tells when the answer began: what came before was waiting for the server, what
came after was the transfer."""

import itertools
import json
import subprocess

import numpy
import pandas
import pytest

import s3dlio
from conftest import ACCESS_KEY, AZURITE_KEY, LOCAL, REGION, SECRET_KEY, fresh_store, place, server
from logs import command, log, nanos, rows  # noqa: F401  # a fixture

# Small enough for a large object to go in many ranges.
RANGES = {"transfer.range_size": 1 << 20, "transfer.range_threshold": 1 << 20, "transfer.range_concurrency": 4}
LARGE = 5 << 20
STEPS = itertools.count(1)


def ended(log):
    s3dlio.oplog_stop()
    return rows(log)


def waited(row):
    """Until the first byte, in nanoseconds."""
    return nanos(row["first_byte"]) - nanos(row["start"])


def transferred(row):
    """From the first byte to the end, in nanoseconds."""
    return nanos(row["end"]) - nanos(row["first_byte"])


def get(store):
    assert len(store.get("small")) == 4096


def get_range(store):
    assert len(store.get_range("small", 10, 20)) == 20


def get_into(store):
    assert store.get_into("small", bytearray(4096)) == 4096


def get_range_into(store):
    assert store.get_range_into("small", 10, bytearray(20)) == 20


def get_ranges(store):
    assert [len(data) for data in store.get_ranges("small", [(0, 10), (100, 20), (4000, 500)])] == [10, 20, 96]


def get_many(store):
    assert [len(data) for data in store.get_many([f"many/{i}" for i in range(8)])] == [i + 1 for i in range(8)]


def get_large(store):
    assert len(store.get("large")) == LARGE


def get_large_into(store):
    assert store.get_into("large", bytearray(LARGE)) == LARGE


def read(store):
    with store.reader("large") as reader:
        assert len(reader.read()) == LARGE


def read_ahead(store):
    with store.reader("large") as reader:
        assert sum(len(reader.read(100_000)) for _ in range(LARGE // 100_000 + 1)) == LARGE


def read_at(store):
    with store.reader("large") as reader:
        assert reader.read_at(1000, bytearray(2 << 20)) == 2 << 20


def load(store):
    with s3dlio.Loader(s3dlio.Dataset(f"{store.uri}/many/", store._options), 4) as loader:
        assert sum(len(batch) for batch in loader) == 8


def validate(store):
    with pytest.raises(s3dlio.ChecksumMismatchError):
        store.validate("large", 0)


def checkpoint(store):
    with s3dlio.checkpoint.CheckpointWriter(store, next(STEPS)) as writer:
        writer.put_tensors({"a": numpy.arange(1000)})
    assert s3dlio.checkpoint.Checkpoint.open(store).load()["a"][7] == 7


WAYS = [get, get_range, get_into, get_range_into, get_ranges, get_many, get_large, get_large_into, read, read_ahead, read_at,
        load, validate, checkpoint]
# How many rows each has, where the library's own choices do not decide that.
COUNTS = {get: 1, get_range: 1, get_into: 1, get_range_into: 1, get_ranges: 3, get_many: 8, get_large: 1, get_large_into: 1,
          read_at: 1, load: 8, validate: 1}


@pytest.fixture(scope="module", params=["seaweed", "azurite"])
def filled(request):
    """URI and options of a container with objects."""
    uri, options = place(request.param, None)
    options = {**options, **RANGES}
    store = s3dlio.Store(uri, options)
    store.create_container()
    store.put_many([("small", b"s" * 4096), ("large", bytes(LARGE)), ("empty", b"")])
    store.put_many([(f"many/{i}", b"x" * (i + 1)) for i in range(8)])
    yield uri, options
    store.delete_prefix("")
    store.delete_container()


@pytest.mark.parametrize("optimized", [True, False], ids=["own", "sdk"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_get_over_http_has_its_first_byte(filled, way, optimized, log):
    uri, options = filled
    store = s3dlio.Store(uri, {**options, "net.optimized": optimized})
    way(store)
    found = [row for row in ended(log) if row["op"] == "GET" and not row["error"]]
    assert len(found) == COUNTS[way] if way in COUNTS else found
    assert not [row for row in found if not row["first_byte"]]


def test_a_get_of_no_bytes_has_no_first_one(filled, log):
    store = s3dlio.Store(*filled)
    assert len(store.get("empty")) == 0 and len(store.get_range("small", 4096, 10)) == 0
    assert [(row["bytes"], row["first_byte"], row["error"]) for row in ended(log) if row["op"] == "GET"] == [("0", "", "")] * 2


@pytest.mark.parametrize("backend", LOCAL)
def test_no_get_without_http_has_one(backend, tmp_path, log):
    store = fresh_store(backend, tmp_path)
    store.put("small", b"s" * 4096)
    store.put("large", bytes(LARGE))
    store.put_many([(f"many/{i}", b"x" * (i + 1)) for i in range(8)])
    for way in (get, get_range, get_into, get_ranges, get_many, get_large, read, read_at):
        way(store)
    found = ended(log)
    assert sum(row["op"] == "GET" for row in found) >= 17 and not [row for row in found if row["first_byte"]]


@pytest.fixture(params=["s3", "azure"])
def faulty(request, tmp_path):
    """Opens a store on a server that answers gets as the rules say; both options of `net.optimized`."""
    servers = []

    def start(*rules, **options):
        script = tmp_path / f"script{len(servers)}"
        script.write_text("".join(f"op=get {rule}\n" for rule in rules))
        process = subprocess.Popen([server("S3DLIO_TEST_FAULTD"), "--script", script],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        servers.append(process)
        at = dict(word.split("=", 1) for word in process.stdout.readline().split())
        where = {
            "s3": ("s3://box", {"s3.endpoint": at["FAULTD_S3"], "s3.region": REGION,
                                "s3.access_key_id": ACCESS_KEY, "s3.secret_access_key": SECRET_KEY}),
            "azure": ("az://devstoreaccount1/box", {"azure.endpoint": at["FAULTD_AZURE"], "azure.account_key": AZURITE_KEY}),
        }
        uri, known = where[request.param]
        store = s3dlio.Store(uri, {**known, **RANGES, "net.operation_timeout_ms": 60_000, **options})
        store.create_container()
        store.put_many([("small", b"s" * 4096), ("large", bytes(LARGE))])
        return store

    yield start
    for process in servers:
        process.communicate()  # closes its stdin


both = pytest.mark.parametrize("optimized", [True, False], ids=["own", "sdk"])


def only_get(log):
    (row,) = [row for row in ended(log) if row["op"] == "GET"]
    return row


@both
def test_a_late_head_is_waiting(faulty, optimized, log):
    get(faulty("fault=stall_before_head ms=1000", **{"net.optimized": optimized}))
    assert waited(only_get(log)) >= 10**9


@both
def test_a_late_body_is_transfer(faulty, optimized, log):
    get(faulty("fault=stall_in_body at=0 ms=2000", **{"net.optimized": optimized}))
    row = only_get(log)
    # The head came two seconds before: half of that is for a machine that has other things to do.
    assert transferred(row) >= 10**9, row


@both
def test_the_earliest_range_counts(faulty, optimized, log):
    store = faulty("nth=2- fault=stall_before_head ms=500", **{"net.optimized": optimized})
    get_large_into(store)
    assert transferred(only_get(log)) >= 5 * 10**8  # others are asked for once the first one is there


@both
def test_a_refusal_is_no_first_byte(faulty, optimized, log):
    store = faulty("nth=1 fault=status status=503", "fault=stall_before_head ms=500", **{"net.optimized": optimized})
    get(store)
    row = only_get(log)
    assert not row["error"] and waited(row) >= 5 * 10**8


@both
def test_a_body_that_goes_on_elsewhere_began_where_it_began(faulty, optimized, log):
    store = faulty("nth=1 fault=reset_in_body at=mid", "fault=stall_before_head ms=500", **{"net.optimized": optimized})
    get(store)
    assert transferred(only_get(log)) >= 5 * 10**8


@both
def test_a_failed_get_has_one_if_it_was_answered(faulty, optimized, log):
    impatient = {"net.optimized": optimized, "net.max_attempts": 1, "net.progress_timeout_ms": 500}
    for rule in ("fault=stall_before_head", "fault=status status=403", "fault=stall_in_body at=0"):
        with pytest.raises(s3dlio.S3dlioError):
            get(faulty(rule, **impatient))
    with pytest.raises(s3dlio.NotFoundError):
        faulty(**impatient).get("missing")
    silent, refused, stuck, missing = [row for row in ended(log) if row["op"] == "GET"]
    assert silent["error"].startswith("timeout") and not silent["first_byte"], silent
    assert "403" in refused["error"] and not refused["first_byte"], refused
    assert stuck["error"].startswith("timeout") and stuck["first_byte"], stuck
    assert missing["error"].startswith("not_found") and not missing["first_byte"], missing


def test_reports_tables_and_other_forms_have_it(filled, log, tmp_path):
    store = s3dlio.Store(*filled)
    for _ in range(10):
        get(store)
    store.stat("small")
    found = [waited(row) for row in ended(log) if row["op"] == "GET"]
    told = json.loads(command("oplog", "report", "--json", log))
    by_op = {group["op"]: group["first_byte"] for group in told["operations"]}
    assert by_op["STAT"] is None and by_op["GET"]["count"] == 10 and by_op["GET"]["max_ns"] == max(found)
    assert {slow["first_byte_ns"] for slow in told["slowest"]} == {None, *found}
    command("oplog", "report", log, "-f", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "first byte, median" in page and "first byte after" in page
    frame = pandas.read_csv(log, sep="\t", keep_default_na=False)  # as docs/oplog.md has it
    took = pandas.to_datetime(frame.first_byte) - pandas.to_datetime(frame.start)
    assert sorted(took[frame.op == "GET"].astype("int64")) == sorted(found) and took[frame.op == "STAT"].isna().all()
    command("oplog", "convert", log, "-f", tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["first_byte"] or "" for line in lines] == [row["first_byte"] for row in rows(log)]
