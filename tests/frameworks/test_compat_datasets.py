"""The predecessor's datasets for PyTorch, JAX and TensorFlow (issue 5, 6)."""

import multiprocessing
import os

import numpy
import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.data import DataLoader

import s3dlio
from conftest import fresh_store
from s3dlio.compat._stores import forget
from s3dlio.torch import S3dlioIterableDataset, to_tensor

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


def drawn(dataset):
    """In a process of its own, where torch.distributed is not there."""
    assert not torch.distributed.is_initialized() and "RANK" not in os.environ
    return sorted(map(plain, dataset))


def test_a_spawned_process_draws_the_share_of_its_parents_rank(root):
    theirs, found = s3dlio.ObjectStoreIterableDataset.from_prefix(root, enable_sharding=True), []
    ours = S3dlioIterableDataset(root, transform=to_tensor)
    given = s3dlio.ObjectStoreIterableDataset(root, loader_opts={"shard_rank": 1, "shard_world_size": 4}, enable_sharding=True)
    assert len(list(theirs)) == len(list(ours)) == COUNT and len(list(given)) == COUNT // 4
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for rank in range(2):
            # A group of one process that believes to be one of two.
            torch.distributed.init_process_group("fake", rank=rank, world_size=2, store=FakeStore())
            try:
                found += [pool.apply(drawn, (dataset,)) for dataset in (theirs, ours)]
                assert [sorted(map(plain, theirs)), sorted(map(plain, ours))] == found[-2:]
            finally:
                torch.distributed.destroy_process_group()
        pool.close()
        pool.join()
    for one, other in zip(found[:2], found[2:]):
        assert len(one) == len(other) == COUNT // 2 and sorted(one + other) == EXPECTED


def test_arrays(root):
    arrays = list(s3dlio.JaxIterable.from_prefix(root, prefetch=3))
    assert contents(arrays) == EXPECTED and all(array.dtype == numpy.uint8 for array in arrays)
    assert sorted(s3dlio.JaxIterable.from_prefix(root, transform=len)) == sorted(map(len, EXPECTED))


def test_tf_dataset(root):
    dataset = s3dlio.make_tf_dataset(root, prefetch=3, map_fn=lambda data: data + 1)
    assert contents(item.numpy() - 1 for item in dataset) == EXPECTED
