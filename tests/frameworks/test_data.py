"""L3, F1: training data in JAX and TensorFlow."""

import collections
import time

import jax
import numpy
import pytest
import tensorflow as tf

import s3dlio
import s3dlio.jax
import s3dlio.tensorflow

N = 50


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    store = s3dlio.Store(f"file://{tmp_path_factory.mktemp('samples')}")
    store.put_many({f"{index:04}": numpy.full((3, 4), index, "<f4") for index in range(N)})
    return store.uri


# ---- JAX


def test_batches_of_arrays(samples):
    with s3dlio.jax.batches(samples, 8, dtype="float32", shape=(3, 4), shuffle=True, drop_last=False) as batches:
        found = list(batches)
        assert batches.stats().items == N
    assert [batch.shape for batch in found] == [(8, 3, 4)] * 6 + [(2, 3, 4)] and found[0].dtype == numpy.float32
    numbers = numpy.concatenate(found)
    assert (numbers == numbers[:, :1, :1]).all() and sorted(numbers[:, 0, 0]) == list(range(N))
    assert len(list(s3dlio.jax.batches(samples, 8))) == 6, "short batches are dropped unless they are asked for"


def test_batches_become_one_array_over_all_devices(samples):
    mesh = jax.sharding.Mesh(jax.devices(), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    batch = next(s3dlio.jax.batches(samples, 8, dtype="float32", shape=(3, 4), sharding=sharding))
    assert isinstance(batch, jax.Array) and batch.sharding == sharding and len(batch.addressable_shards) == 4
    assert numpy.asarray(batch)[:, 0, 0].tolist() == list(range(8))


def test_batches_of_trees(samples):
    def decode(sample):
        return {"x": numpy.frombuffer(sample.data, "<f4")[:2], "y": sample.index}

    batch = next(s3dlio.jax.batches(samples, 4, transform=decode))
    assert batch["x"].shape == (4, 2) and batch["y"].tolist() == batch["x"][:, 0].tolist()


def test_batches_go_on_where_they_were(samples):
    batches = s3dlio.jax.batches(samples, 8, shuffle=True, seed=1)
    first = [next(batches) for _ in range(2)]
    rest = list(s3dlio.jax.batches(samples, 8, shuffle=True, seed=1, state=batches.state()))
    whole = list(s3dlio.jax.batches(samples, 8, shuffle=True, seed=1))
    assert all((a == b).all() for a, b in zip(first + rest, whole)) and len(first + rest) == len(whole)


def test_processes_draw_as_many_batches_each(samples, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    found = []
    for rank, count in enumerate((17, 17, 16)):  # of 50
        monkeypatch.setattr(jax, "process_index", lambda: rank)
        whole = list(s3dlio.jax.batches(samples, 1, dtype="float32", shape=(3, 4), drop_last=False))
        assert len(whole) == count and len(list(s3dlio.jax.batches(samples, 1))) == 16
        found += [int(batch[0, 0, 0]) for batch in whole]
    assert sorted(found) == list(range(N))


def test_samples_of_other_sizes_are_named(memory):
    memory.put_many({"a": bytes(8), "b": bytes(12)})
    with pytest.raises(s3dlio.InvalidArgumentError, match="/b' of 12 bytes.* has another size"):
        next(s3dlio.jax.batches(memory.uri, 2))
    with pytest.raises(s3dlio.InvalidArgumentError, match="is no float64 of shape"):
        next(s3dlio.jax.batches([f"{memory.uri}/b"], 1, dtype="float64"))


# ---- TensorFlow


@pytest.fixture(scope="module")
def source(samples):
    return s3dlio.Dataset(samples)


@pytest.fixture(scope="module")
def broken(samples):
    """TensorFlow keeps a dataset with a length as long as the process lives."""
    return s3dlio.Dataset.of([f"{samples}/0001", f"{samples}/missing"])


def numbers(data):
    """The samples' numbers, by their keys and by their bytes."""
    found = []
    for uri, name, values in data:
        (number,) = set(tf.io.decode_raw(values, tf.float32).numpy().tolist())
        assert int(uri.numpy()[-4:]) == number and name.numpy() == b""
        found.append(int(number))
    return found


def test_a_source_of_tf_data(samples, source):
    data = s3dlio.tensorflow.dataset(samples, batch_size=8, shuffle=True, seed=2)
    assert data.element_spec == (tf.TensorSpec((), tf.string),) * 3
    first, second = numbers(data), numbers(data)
    assert sorted(first) == sorted(second) == list(range(N)) and first != second, "the second pass is the next epoch"
    assert numbers(s3dlio.tensorflow.dataset(source, batch_size=5, shuffle=True, seed=2)) == first
    batches = list(s3dlio.tensorflow.dataset(source, batch_size=8, unbatch=False, drop_last=True))
    assert [len(batch[2]) for batch in batches] == [8] * 6


def test_a_pipeline_maps_batches_and_breaks_off(source):
    before = s3dlio.stats().handles
    data = s3dlio.tensorflow.dataset(source, batch_size=8).map(lambda uri, name, data: tf.io.decode_raw(data, tf.float32))
    for batch in data.batch(10).prefetch(2).take(2):
        assert batch.shape == (10, 12)
    # TensorFlow ends what is under way in threads of its own.
    deadline = time.monotonic() + 60
    while s3dlio.stats().handles > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert s3dlio.stats().handles == before, "what was under way ends with the pipeline"


def test_a_source_is_interleaved(source):
    data = tf.data.Dataset.range(3).interleave(
        lambda worker: s3dlio.tensorflow.dataset(source, batch_size=4, worker=worker, workers=3, rank=0, world_size=1),
        cycle_length=3, num_parallel_calls=3,
    )
    assert collections.Counter(numbers(data)) == collections.Counter(range(N))


def test_passes_are_epochs(source):
    def dataset(**more):
        return s3dlio.tensorflow.dataset(source, batch_size=4, shuffle=True, seed=2, **more)

    epochs = [numbers(dataset(epoch=epoch)) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs) and len(set(map(tuple, epochs))) == 4
    assert numbers(dataset().repeat(2)) == epochs[0] + epochs[1]
    data = dataset(epoch=1)
    assert numbers(data.take(3)) == epochs[1][:3], "a pass that is broken off"
    assert numbers(data) == epochs[2] and numbers(data) == epochs[3], "counts"
    told = tf.data.Dataset.range(1, 3).flat_map(lambda epoch: dataset(epoch=epoch))
    assert numbers(told) == numbers(told) == epochs[1] + epochs[2], "a tensor says which one it is"


@pytest.mark.parametrize("told", [False, True])
def test_workers_of_an_interleave_draw_the_same_epoch(source, told):
    def epoch_of(epoch):
        return tf.data.Dataset.range(3).interleave(
            lambda worker: s3dlio.tensorflow.dataset(
                source, batch_size=4, shuffle=True, worker=worker, workers=3, epoch=epoch if told else 0
            ),
            cycle_length=1,  # one worker after the other
        )

    data = tf.data.Dataset.range(2).flat_map(epoch_of) if told else epoch_of(0).repeat(2)
    if told:
        list(data.take(3))  # the other workers did not begin
    found = numbers(data)
    assert sorted(found[:N]) == sorted(found[N:]) == list(range(N)) and found[:N] != found[N:]


def test_an_error_says_what_failed(broken):
    data = s3dlio.tensorflow.dataset(broken, batch_size=1)
    with pytest.raises(tf.errors.OpError, match="missing"):
        numbers(data)
