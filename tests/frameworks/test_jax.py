"""C4: pytrees of JAX, sharded over four devices of this host."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy
import pytest
import safetensors.numpy
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import s3dlio
import s3dlio.jax
from s3dlio.checkpoint import Checkpoint


class Moments(NamedTuple):
    mean: jax.Array
    square: jax.Array


def mesh(shape=(2, 2)):
    return Mesh(numpy.array(jax.devices()[: shape[0] * shape[1]]).reshape(shape), ("x", "y"))


def placed(array, *spec, shape=(2, 2)):
    return jax.device_put(array, NamedSharding(mesh(shape), PartitionSpec(*spec)))


def tree(shape=(2, 2)):
    keys = jax.random.split(jax.random.key(1), 3)
    w = jax.random.normal(keys[0], (8, 12))
    return {
        "params": {"w": placed(w, "x", "y", shape=shape), "rows": placed(w * 2, "y", shape=shape),
                   "half": placed(w.astype(jnp.bfloat16), None, "x", shape=shape), "same": placed(w[0], shape=shape)},
        "optimizer": [Moments(placed(w**2, "x", shape=shape), jnp.arange(5)), jnp.float32(0.5)],
        "host": numpy.arange(6).reshape(2, 3), "step": 17, "rate": 1e-3, "done": False,
    }


def same(a, b):
    a, b = jax.tree_util.tree_flatten(a), jax.tree_util.tree_flatten(b)
    return a[1] == b[1] and all(
        type(x) is type(y) and numpy.asarray(x).dtype == numpy.asarray(y).dtype
        and numpy.asarray(x).tobytes() == numpy.asarray(y).tobytes()
        and getattr(x, "sharding", None) == getattr(y, "sharding", None)
        for x, y in zip(a[0], b[0])
    )


def blank(value):
    zero = jax.tree_util.tree_map(lambda leaf: type(leaf)(0) if isinstance(leaf, (bool, int, float)) else leaf * 0, value)
    # Computing may choose another sharding.
    return jax.tree_util.tree_map(
        lambda old, new: jax.device_put(new, old.sharding) if isinstance(old, jax.Array) else new, value, zero
    )


def test_there_is_something_to_shard():
    assert len(jax.devices()) == 4


def test_a_tree_comes_back_on_every_backend(store):
    saved = tree()
    s3dlio.jax.save(saved, store, 17, writer={"metadata": {"run": "1"}})
    assert same(s3dlio.jax.restore(blank(saved), store), saved)
    checkpoint = Checkpoint.open(store)
    assert checkpoint.info.framework == "jax" and checkpoint.metadata == {"run": "1"}
    names = {name: entry.parts for name, entry in checkpoint.entries.items()}
    # Each piece once, however many devices have it.
    assert names["params/w"] == 4 and names["params/rows"] == names["params/half"] == 2 and names["params/same"] == 1
    assert names["optimizer/0/mean"] == 2 and names["optimizer/0/square"] == 1
    found = s3dlio.jax.load(store, 17)
    assert found["host"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["step"] == 17
    assert found["params/half"].dtype == jnp.bfloat16


def test_another_sharding(folder):
    saved = tree()
    s3dlio.jax.save(saved, folder, 1)
    for shape in ((4, 1), (1, 2), (1, 1)):
        like = blank(tree(shape))
        found = s3dlio.jax.restore(like, folder)
        assert same(found, tree(shape))
        assert found["params"]["w"].sharding == like["params"]["w"].sharding
    # A description of an array is enough.
    sharding = NamedSharding(mesh(), PartitionSpec("y", "x"))
    like = {"params": {"w": jax.ShapeDtypeStruct((8, 12), jnp.float32, sharding=sharding)}}
    found = s3dlio.jax.restore(like, folder)["params"]["w"]
    assert found.sharding == sharding and (found == saved["params"]["w"]).all()
    plain = s3dlio.jax.restore({"params": {"same": jax.ShapeDtypeStruct((12,), jnp.float32)}}, folder)
    assert (numpy.asarray(plain["params"]["same"]) == numpy.asarray(saved["params"]["same"])).all()


def test_safetensors_opens_it(folder):
    s3dlio.jax.save({"w": jnp.arange(6.0), "n": {"b": jnp.ones(2)}}, folder, 1)
    (shard,) = Checkpoint.open(folder).shards
    opened = safetensors.numpy.load(bytes(folder.get(shard.key)))
    assert opened["w"].tolist() == [0, 1, 2, 3, 4, 5] and opened["n/b"].tolist() == [1, 1]


def test_what_does_not_fit_is_named(memory):
    s3dlio.jax.save({"w": jnp.ones((2, 3))}, memory, 1)
    with pytest.raises(s3dlio.InvalidArgumentError, match=r"leaf 'w' is F32 of shape \(3, 2\); the entry is F32 of shape \(2, 3\)"):
        s3dlio.jax.restore({"w": jnp.ones((3, 2))}, memory)
    with pytest.raises(s3dlio.InvalidArgumentError, match="leaf 'w' is I32"):
        s3dlio.jax.restore({"w": jnp.ones((2, 3), int)}, memory)
    with pytest.raises(s3dlio.NotFoundError, match="no entry 'x'"):
        s3dlio.jax.restore({"x": jnp.ones(1)}, memory)
    with pytest.raises(TypeError, match="leaf 'a' is a str"):
        s3dlio.jax.save({"a": "text"}, memory, 2)
    with pytest.raises(s3dlio.InvalidArgumentError, match="two leaves have the path 'a/b'"):
        s3dlio.jax.save({"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, memory, 2)
    with pytest.raises(s3dlio.AlreadyExistsError):
        s3dlio.jax.save({"w": jnp.ones(1)}, memory, 1)
    assert s3dlio.checkpoint.list(memory) == [1]
