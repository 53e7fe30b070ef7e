"""The counters of the process, as JSON and as Prometheus reads them."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import s3dlio
from conftest import s3_options
from logs import ROOT


def series():
    """Every sample by name and labels."""
    found = {}
    for family in text_string_to_metric_families(s3dlio.stats_prometheus()):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(name, op=None, endpoint=None, **more):
    labels = {"op": op, "endpoint": endpoint, **more} if op else {}
    return series().get((f"s3dlio_{name}", tuple(sorted(labels.items()))), 0)


def test_operations_are_counted_by_kind_and_endpoint(tmp_path):
    store = s3dlio.Store("memory://counted-here/run1")
    for i in range(10):
        store.put(f"k{i}", b"x" * 100)
    store.get_many([f"k{i}" for i in range(10)])
    with pytest.raises(s3dlio.NotFoundError):
        store.get("missing")
    at = "memory://counted-here"
    told = s3dlio.stats_json()["endpoints"][at]
    assert (told["PUT"]["count"], told["PUT"]["errors"], told["PUT"]["bytes"]) == (10, 0, 1000)
    assert (told["GET"]["count"], told["GET"]["errors"], told["GET"]["bytes"]) == (11, 1, 1000)
    seconds = told["GET"]["seconds"]
    assert 0 < seconds["p50"] <= seconds["p90"] <= seconds["p99"] <= seconds["p999"] <= seconds["max"] <= seconds["sum"]
    assert of("operation_bytes_total", "PUT", at) == 1000 and of("operation_errors_total", "GET", at) == 1
    assert of("operation_duration_seconds_count", "GET", at) == 11
    assert of("operation_duration_seconds_bucket", "GET", at, le="+Inf") == 11
    assert of("operation_duration_seconds_sum", "GET", at) == pytest.approx(seconds["sum"])


def test_a_histogram_never_falls():
    s3dlio.put("memory://histogram/k", b"")
    buckets = [(float(dict(labels)["le"]), value) for (name, labels), value in series().items()
               if name.endswith("_bucket") and ("endpoint", "memory://histogram") in labels]
    assert len(buckets) == 22 and buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets)


def test_requests_and_retries_are_counted():
    before = s3dlio.stats_json()
    options = {**s3_options("S3DLIO_TEST_SEAWEED"), "s3.endpoint": "http://127.0.0.1:9", "net.max_attempts": 3}
    with pytest.raises(s3dlio.S3dlioError):
        s3dlio.get("s3://nowhere/k", options)
    after = s3dlio.stats_json()
    assert after["http_requests"] - before["http_requests"] == 3
    assert after["http_retries"] - before["http_retries"] == 2


def test_the_documentation_names_every_metric():
    page = Path(ROOT, "docs/metrics.md").read_text()
    s3dlio.put("memory://named/k", b"")
    named = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in series()}
    assert not [name for name in named if f"`{name}`" not in page]
    assert not [key for key in s3dlio.stats_json() if f"`{key}`" not in page]


def test_the_process_has_more_endpoints_than_are_kept():
    for i in range(300):
        s3dlio.Store(f"memory://many-{i}").put("k", b"")
    endpoints = s3dlio.stats_json()["endpoints"]
    assert len(endpoints) <= 256 and endpoints["others"]["PUT"]["count"] >= 44
    assert len(series()) > 1000
