"""The predecessor's datasets for PyTorch, JAX and TensorFlow (issue 5, 6)."""

import numpy
import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from conftest import fresh_store
from s3dlio.compat._stores import forget

COUNT = 20


@pytest.fixture
def root(tmp_path):
    store = fresh_store("file", tmp_path)
    store.put_many({f"train/{n:02}": bytes([n]) * (n % 5) for n in range(COUNT)})
    yield f"{store.uri}/train/"
    forget()


def plain(item):
    return bytes(item.tolist())


def contents(items):
    return sorted(map(plain, items))


EXPECTED = sorted(bytes([n]) * (n % 5) for n in range(COUNT))


def test_map_dataset(root):
    dataset = s3dlio.ObjectStoreMapDataset.from_prefix(root)
    assert len(dataset) == COUNT and dataset[7].dtype == torch.uint8 and dataset[7].tolist() == [7, 7] and dataset[0].shape == (0,)
    assert s3dlio.S3MapDataset(root, return_type="bytes")[8] == b"\x08" * 3
    assert s3dlio.S3MapDataset(root, return_type="reader")[9].read(2) == b"\t\t"
    found = [item for batch in DataLoader(dataset, batch_size=3, collate_fn=list) for item in batch]
    assert [plain(item) for item in found] == [bytes([n]) * (n % 5) for n in range(COUNT)]
    with pytest.raises(IndexError):
        dataset[COUNT]
    with pytest.raises(ValueError):
        s3dlio.S3MapDataset(root, return_type="quux")


def test_iterable_dataset(root):
    dataset = s3dlio.ObjectStoreIterableDataset.from_prefix(root, prefetch=4, shuffle=True, seed=3)
    assert contents(dataset) == EXPECTED == contents(dataset)
    shared = s3dlio.ObjectStoreIterableDataset.from_prefix(root, enable_sharding=True, return_type="bytes", writable=True)
    assert sorted(DataLoader(shared, batch_size=None, num_workers=2)) == EXPECTED


def test_arrays(root):
    arrays = list(s3dlio.JaxIterable.from_prefix(root, prefetch=3))
    assert contents(arrays) == EXPECTED and all(array.dtype == numpy.uint8 for array in arrays)
    assert sorted(s3dlio.JaxIterable.from_prefix(root, transform=len)) == sorted(map(len, EXPECTED))


def test_tf_dataset(root):
    dataset = s3dlio.make_tf_dataset(root, prefetch=3, map_fn=lambda data: data + 1)
    assert contents(item.numpy() - 1 for item in dataset) == EXPECTED
