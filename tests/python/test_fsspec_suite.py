"""fsspec's own abstract suite over our file systems: copy, get, put, open and pipe (issue 5, 3)."""

import gc

import pytest
from fsspec.tests.abstract import AbstractCopyTests, AbstractFixtures, AbstractGetTests, AbstractOpenTests
from fsspec.tests.abstract import AbstractPipeTests, AbstractPutTests

import s3dlio
from conftest import place
from s3dlio import fsspec as ours

CLASSES = {
    "file": ours.LocalFileSystem, "direct": ours.DirectFileSystem, "memory": ours.MemoryFileSystem,
    "seaweed": ours.S3FileSystem, "s3b": ours.S3FileSystem, "azurite": ours.AzureFileSystem,
}
BACKENDS = ["file", "seaweed", "azurite"]


@pytest.fixture(autouse=True)
def no_leaks(request):
    """Counted once, below: the suite has hundreds of small tests."""
    yield
    request.node.funcargs.clear()  # pytest itself holds the file systems otherwise


@pytest.fixture(autouse=True, scope="module")
def no_leaks_of_all():
    gc.collect()
    before = s3dlio.stats().handles
    yield
    gc.collect()
    assert s3dlio.stats().handles == before, "the suite leaked handles"


@pytest.fixture(scope="class", params=BACKENDS)
def place_of_class(request, tmp_path_factory):
    uri, options = place(request.param, tmp_path_factory.mktemp("fs"))
    # SeaweedFS lists folders that were emptied; a flush to the device per file is not what is tested.
    options = {**options, **({"s3.literal_keys": "false"} if request.param == "seaweed" else {}), "file.sync": "false"}
    s3dlio.Store(uri, options).create_container()
    fs = CLASSES[request.param](options, skip_instance_cache=True)
    yield fs, uri.split("://")[1]
    fs._rm_tree(fs._strip_protocol(uri))


class Ours(AbstractFixtures):
    @pytest.fixture
    def fs(self, place_of_class):
        return place_of_class[0]

    @pytest.fixture
    def fs_path(self, place_of_class):
        return place_of_class[1]

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(map(str, parts))

    @pytest.fixture
    def supports_empty_directories(self, fs):
        return fs._is_path


class TestCopy(Ours, AbstractCopyTests):
    pass


class TestGet(Ours, AbstractGetTests):
    pass


class TestPut(Ours, AbstractPutTests):
    pass


class TestOpen(Ours, AbstractOpenTests):
    pass


class TestPipe(Ours, AbstractPipeTests):
    pass
