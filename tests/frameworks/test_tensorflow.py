"""C4: tensors and variables of TensorFlow."""

import numpy
import pytest
import tensorflow as tf

import s3dlio
import s3dlio.tensorflow
from s3dlio.checkpoint import Checkpoint

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]


def test_tensors_come_back_on_every_backend(store):
    saved = {dtype: tf.cast(tf.reshape(tf.range(12), (3, 4)), dtype) for dtype in DTYPES}
    saved.update(scalar=tf.constant(2.5), empty=tf.zeros((0, 3)), transposed=tf.transpose(saved["int32"]))
    s3dlio.tensorflow.save(saved, store, 1, metadata={"run": "1"})
    loaded = s3dlio.tensorflow.load(store)
    assert loaded.keys() == saved.keys()
    for name, tensor in saved.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape
        assert loaded[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert list(s3dlio.tensorflow.load(store, 1, names=["scalar"])) == ["scalar"]
    info = Checkpoint.open(store)
    assert info.info.framework == "tensorflow" and info.metadata == {"run": "1"}


def test_a_model_and_its_optimizer_go_on_where_they_were(folder):
    def build():
        tf.keras.backend.clear_session()  # names count from the start, as in a new process
        tf.keras.utils.set_random_seed(1)
        model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(16, "gelu"), tf.keras.layers.Dense(2)])
        optimizer = tf.keras.optimizers.Adam()
        optimizer.build(model.trainable_variables)
        return model, optimizer, {v.path: v for v in [*model.variables, *optimizer.variables]}

    def train(model, optimizer, steps):
        losses = []
        for step in steps:
            x, y = (tf.random.stateless_normal((16, n), (step, n)) for n in (8, 2))
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x) - y) ** 2)
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
            losses.append(float(loss))
        return losses

    model, optimizer, variables = build()
    train(model, optimizer, range(3))
    s3dlio.tensorflow.save(variables, folder, 3)
    expected = train(model, optimizer, range(3, 6))
    model, optimizer, variables = build()
    s3dlio.tensorflow.restore(variables, folder)
    assert int(optimizer.iterations) == 3
    assert train(model, optimizer, range(3, 6)) == expected


def test_what_does_not_fit_is_named_and_assigns_nothing(memory):
    s3dlio.tensorflow.save({"a": tf.ones(3), "b": tf.ones((2, 2))}, memory, 1)
    a, b = tf.Variable(tf.zeros(3)), tf.Variable(tf.zeros((2, 3)))
    with pytest.raises(s3dlio.InvalidArgumentError, match=r"variable 'b' is float32 of shape \(2, 3\)"):
        s3dlio.tensorflow.restore({"a": a, "b": b}, memory)
    assert a.numpy().tolist() == [0, 0, 0]
    with pytest.raises(s3dlio.NotFoundError, match="no entry 'c'"):
        s3dlio.tensorflow.restore({"a": a, "c": b}, memory)
    s3dlio.tensorflow.restore({"a": a}, memory)
    assert a.numpy().tolist() == [1, 1, 1]
    with pytest.raises(s3dlio.AlreadyExistsError):
        s3dlio.tensorflow.save({"a": numpy.ones(1)}, memory, 1)
