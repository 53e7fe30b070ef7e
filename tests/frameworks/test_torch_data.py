"""L3, F1: datasets inside of torch.utils.data.DataLoader and torchdata's StatefulDataLoader: each item once per epoch, in
whatever processes, and resumed exactly."""

import collections
import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import s3dlio
from conftest import fresh_store
from s3dlio.torch import S3dlioIterableDataset, S3dlioMapDataset, loader_states, to_tensor

N, SIZE = 50, 1000
# Of the machine: there is no device to pin for, and there may be fewer cores than workers.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # of torchdata
]
# Every process that is spawned loads torch: of the two kinds of dataset one each has these.
CELLS = [
    *((kind, workers, method) for kind in (S3dlioMapDataset, S3dlioIterableDataset) for workers, method in ((0, None), (2, "fork"), (4, "fork"))),
    (S3dlioIterableDataset, 2, "spawn"), (S3dlioMapDataset, 4, "spawn"),
]


def content(index):
    return bytes([index]) * SIZE


def decode(sample):
    """What a worker makes of a sample: its number, from its key, and its bytes."""
    return int(sample.uri.rpartition("/")[2]), to_tensor(sample)


def number(sample):
    return int(sample.uri.rpartition("/")[2])


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    store = s3dlio.Store(f"file://{tmp_path_factory.mktemp('samples')}")
    store.put_many({f"{index:04}": content(index) for index in range(N)})
    return store.uri


def loader_of(dataset, workers, method, kind=DataLoader, **more):
    persistent = workers > 0
    return kind(dataset, num_workers=workers, multiprocessing_context=method, persistent_workers=persistent, **more)


def epoch_of(loader):
    """The numbers in their order; the bytes are compared."""
    found = []
    for numbers, tensors in loader:
        assert tensors.dtype == torch.uint8 and tensors.shape == (len(numbers), SIZE)
        assert (tensors == numbers.to(torch.uint8)[:, None]).all()
        found += numbers.tolist()
    return found


def ended(loader):
    """The loader's processes are gone with it."""
    iterator = loader._iterator
    processes = list(getattr(iterator, "_workers", ()))
    loader._iterator = None
    del loader, iterator
    for process in processes:
        process.join(30)
        assert not process.is_alive()
    assert not [child for child in multiprocessing.active_children() if child in processes]


# ---- each item once


@pytest.mark.parametrize("kind, workers, method", CELLS)
def test_epochs_a_break_and_a_killed_worker(samples, kind, workers, method, capfd):
    """In one set of worker processes, which live on between the epochs: no item is lost or comes twice, nothing hangs,
    nobody warns."""
    shuffled = {"shuffle": True, "seed": 3} if kind is S3dlioIterableDataset else {}
    dataset = kind(samples, transform=decode, **shuffled)
    torch.manual_seed(1)
    more = {"shuffle": True} if kind is S3dlioMapDataset else {}
    loader = loader_of(dataset, workers, method, batch_size=3, pin_memory=workers == 2, timeout=60 if workers else 0, **more)
    first = epoch_of(loader)
    if shuffled:
        dataset.set_epoch(1)
    second = epoch_of(loader)
    assert sorted(first) == sorted(second) == list(range(N)) and first != second
    if shuffled:
        dataset.set_epoch(0)
        assert epoch_of(loader) == first, "the same seed and epoch, the same order"

    for turn, _ in enumerate(loader):
        if turn == 2:
            break
    assert sorted(epoch_of(loader)) == list(range(N)), "the epoch after a break is whole"

    iterator = iter(loader)
    next(iterator)
    if workers:
        # torch's handler raises wherever the program is when a process ends, also in finalizers.
        torchs = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            os.kill(iterator._workers[workers - 1].pid, signal.SIGKILL)
            with pytest.raises((RuntimeError, OSError)):  # torch's own, or of the tensor that it was sending
                for _ in iterator:
                    pass
            del iterator
            ended(loader)
        finally:
            signal.signal(signal.SIGCHLD, torchs)
    else:
        del iterator
        ended(loader)
    if method == "fork":
        anew = loader_of(dataset, workers, method, batch_size=4, **more)
        assert sorted(epoch_of(anew)) == list(range(N)), "as is the first one of new workers"
        ended(anew)
    said = capfd.readouterr().err
    assert "Warning" not in said and "Exception ignored" not in said, said


def test_whole_batches_come_without_a_collation_of_single_items(samples):
    dataset = S3dlioIterableDataset(samples, batch_size=8, transform=number, shuffle="window")
    for workers in (0, 2):
        batches = list(DataLoader(dataset, batch_size=None, num_workers=workers, collate_fn=torch.tensor))
        assert sorted(torch.cat(batches).tolist()) == list(range(N))
        assert max(map(len, batches)) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_and_workers_share_an_epoch(samples, workers):
    found = collections.Counter()
    for rank in range(3):
        dataset = S3dlioIterableDataset(samples, transform=number, shuffle=True, rank=rank, world_size=3)
        mine = torch.cat(list(DataLoader(dataset, batch_size=5, num_workers=workers))).tolist()
        assert N // 3 - workers <= len(mine) <= N // 3 + 1 + workers
        found.update(mine)
    assert found == collections.Counter(range(N))


def test_the_place_is_torchruns(samples, monkeypatch):
    dataset = S3dlioIterableDataset(samples)
    early = pickle.loads(pickle.dumps(dataset))
    assert dataset.place == early.place == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert early.place == (2, 3), "a process that is spawned before anyone gave ranks finds its own"
    assert dataset.place == (2, 3) and S3dlioIterableDataset(samples, rank=0, world_size=2).place == (0, 2)
    again = pickle.loads(pickle.dumps(dataset))
    monkeypatch.delenv("RANK")
    assert again.place == (2, 3) and dataset.place == (0, 1), "a process that is spawned has the place of its parent"


def test_samples_travel_between_processes(samples):
    loader = DataLoader(S3dlioIterableDataset(samples), batch_size=9, num_workers=2, collate_fn=list)
    found = {number(sample): bytes(sample) for batch in loader for sample in batch}
    assert found == {index: content(index) for index in range(N)}


@pytest.mark.parametrize("backend", ["seaweed", "memory"])
def test_other_backends(backend):
    store = fresh_store(backend, None)
    store.put_many({f"{index:04}": content(index) for index in range(N)})
    options = store._options
    for dataset in (
        S3dlioMapDataset(store.uri, transform=decode, options=options),
        S3dlioIterableDataset(store.uri, transform=decode, options=options, shuffle=True),
    ):
        assert sorted(epoch_of(DataLoader(dataset, batch_size=8))) == list(range(N))
    store.delete_prefix("")
    store.delete_container()


# ---- what breaks off


def test_an_interrupt_ends_all_processes(samples):
    """In one process, which is interrupted in one loop after the other: the last one ends it."""
    script = Path(__file__).with_name("interrupted.py")
    cells = [f"{'map' if kind is S3dlioMapDataset else 'iterable'}:{workers}:{method or 'none'}" for kind, workers, method in reversed(CELLS)]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-W", "ignore:This DataLoader will create", str(script), samples, *cells],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        for cell in cells:
            while f'"running": "{cell}"' not in (line := process.stdout.readline()):
                assert line, process.communicate()[1]
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        _, err = process.communicate(timeout=60)  # until the last of its processes let go of the pipes
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt"), err
    assert "Warning" not in err and "Exception ignored" not in err, err


@pytest.mark.parametrize("kind, workers", [(S3dlioMapDataset, 0), (S3dlioMapDataset, 1), (S3dlioIterableDataset, 0), (S3dlioIterableDataset, 1)])
def test_a_failed_item_is_named(samples, tmp_path, kind, workers):
    dataset = kind([f"{samples}/0001", f"file://{tmp_path}/missing", f"{samples}/0002"], transform=decode)
    with pytest.raises(s3dlio.NotFoundError, match="missing"):
        epoch_of(DataLoader(dataset, batch_size=1, num_workers=workers))


@pytest.mark.parametrize("batch_size", [None, 1])
def test_failed_items_are_left_out_where_that_is_wanted(samples, tmp_path, batch_size):
    uris = [f"{samples}/0001", f"file://{tmp_path}/missing", f"{samples}/0002"]
    dataset = S3dlioIterableDataset(uris, transform=number, batch_size=batch_size, loader_on_error="skip")
    assert list(dataset) == ([1, 2] if batch_size is None else [[1], [2]])


# ---- StatefulDataLoader


def resumed(make, at):
    """What a loader gives that was broken off after `at` batches and resumed by another one, in all."""
    broken, found = make(), []
    iterator = iter(broken)
    for _ in range(at):
        found += next(iterator)[0].tolist()
    state = pickle.loads(pickle.dumps(broken.state_dict()))
    del iterator
    ended(broken)
    again = make()
    again.load_state_dict(state)
    found += epoch_of(again)
    following = epoch_of(again)
    ended(again)
    return found, following


@pytest.mark.parametrize("workers, places", [(0, (0, 1, 4, 7)), (2, (3, 8))])
@pytest.mark.parametrize("kind", ["map", "iterable", "iterable-completion"])
def test_a_resumed_loader_gives_what_an_unbroken_one_does(samples, kind, workers, places):
    def make():
        torch.manual_seed(5)
        if kind == "map":
            dataset, more = S3dlioMapDataset(samples, transform=decode), {"shuffle": True}
        else:
            order = "completion" if kind.endswith("completion") else "ordered"
            dataset = S3dlioIterableDataset(samples, transform=decode, shuffle=True, seed=7, epoch=2, loader_order=order)
            more = {}
        return loader_of(dataset, workers, "fork" if workers else None, StatefulDataLoader, batch_size=6, **more)

    unbroken = make()
    expected = epoch_of(unbroken)
    ended(unbroken)
    for at in places:
        found, following = resumed(make, at)
        if kind.endswith("completion"):
            assert sorted(found) == sorted(expected), "each item once, in whatever order"
        else:
            assert found == expected
        assert sorted(following) == list(range(N)), "the next epoch is whole"


@pytest.mark.parametrize("ranks, workers", [(1, 0), (3, 0), (2, 3)])
def test_a_job_of_another_size_goes_on_with_the_rest(samples, ranks, workers):
    given = dict(transform=decode, shuffle=True, seed=1)
    found, states = collections.Counter(), []
    for rank in range(2):
        dataset = S3dlioIterableDataset(samples, epoch=4, rank=rank, world_size=2, **given)
        loader = StatefulDataLoader(dataset, batch_size=3, num_workers=2)
        iterator = iter(loader)
        for _ in range(3 + rank):
            found.update(next(iterator)[0].tolist())
        states += loader_states(loader.state_dict())
        del iterator, loader
    assert len(states) == 4 and sum(found.values()) == 21
    for rank in range(ranks):
        dataset = S3dlioIterableDataset(samples, rank=rank, world_size=ranks, states=states, **given)
        assert dataset.epoch == 4
        loader = loader_of(dataset, workers, "fork" if workers else None, batch_size=4)
        found.update(epoch_of(loader))
        dataset.set_epoch(5)
        assert set(epoch_of(loader)) <= set(range(N))
        ended(loader)
    assert found == collections.Counter(range(N))
