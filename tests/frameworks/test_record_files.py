"""Formats (F1) that TensorFlow and PyTorch read and write."""

import io

import numpy
import pytest
import tensorflow as tf
import torch

import s3dlio
from s3dlio import formats

RECORDS = [b"", b"a", b"hello world", bytes(range(256)) * 400]


def test_tensorflow_reads_our_records(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(formats.tfrecord(RECORDS))
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == RECORDS


def test_we_read_tensorflows_records(tmp_path):
    path = tmp_path / "a.tfrecord"
    examples = [
        tf.train.Example(features=tf.train.Features(feature={
            "x": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        })).SerializeToString()
        for number in range(50)
    ]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS + examples:
            writer.write(record)
    with s3dlio.Loader(s3dlio.Dataset(f"file://{tmp_path}", format="tfrecord"), batch_size=7) as loader:
        assert [bytes(sample.data) for batch in loader for sample in batch] == RECORDS + examples
    file = path.read_bytes()
    assert file == formats.tfrecord(RECORDS + examples)
    assert [bytes(record) for record in formats.tfrecord_records(file)] == RECORDS + examples
    frames = formats.tfrecord_frames(formats.tfrecord_index(file), len(file))
    assert len(frames) == 54 and frames[-1][0] + frames[-1][1] == len(file)


def test_both_refuse_the_same_damage(tmp_path):
    path = tmp_path / "a.tfrecord"
    file = bytes(formats.tfrecord(RECORDS))
    for at in (0, 9, 20, 40, 60, len(file) - 1):
        path.write_bytes(file[:at] + bytes([file[at] ^ 4]) + file[at + 1:])
        with pytest.raises(tf.errors.DataLossError):
            list(tf.data.TFRecordDataset(str(path)))
        with pytest.raises(s3dlio.ChecksumMismatchError):
            formats.tfrecord_records(path.read_bytes())


def test_compressed_records_are_no_records(tmp_path):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(b"hello")
    with pytest.raises(s3dlio.ChecksumMismatchError, match="compressed"):
        formats.tfrecord_records(path.read_bytes())


def test_torch_and_our_arrays():
    tensors = {"x": torch.arange(12, dtype=torch.float32).reshape(3, 4), "y": torch.tensor([1, 2], dtype=torch.int64)}
    file = formats.npz({name: tensor.numpy() for name, tensor in tensors.items()})
    with numpy.load(io.BytesIO(file)) as arrays:
        assert all(torch.equal(torch.from_numpy(arrays[name]), tensor) for name, tensor in tensors.items())
    for member in formats.npz_members(file):
        array = formats.npz_unpack(member, file[member.offset:member.offset + member.length])
        info = formats.npy_info(array)
        back = torch.frombuffer(array, dtype=tensors[member.name[:-4]].dtype, offset=info.offset).reshape(info.shape)
        assert torch.equal(back, tensors[member.name[:-4]])


def test_our_zip_reader_and_torch_save():
    file = io.BytesIO()
    torch.save({"x": torch.arange(3)}, file)
    file = file.getvalue()
    members = {member.name.split("/", 1)[1]: member for member in formats.npz_members(file)}
    data = members["data/0"]
    assert bytes(formats.npz_unpack(data, file[data.offset:data.offset + data.length])) == torch.arange(3).numpy().tobytes()
