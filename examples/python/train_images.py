#!/usr/bin/env python3
"""Trains a small network on images that are drawn from any storage, and says how long it waited for them.

    python examples/python/train_images.py URI [IMAGES [WORKERS]]

URI: s3://bucket/prefix, az://account/container/prefix, file:///folder ... The images, grey with a grating whose
direction is the class under a lot of noise, are made there first where there are none. Credentials and endpoints
come from the environment (docs/options.md). Needs PyTorch.
"""

import sys
import time

import numpy
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio.torch import S3dlioIterableDataset

SIDE, CLASSES, EPOCHS, BATCH = 32, 4, 3, 64
NOISE = 0.6


def image(index):
    """One object: the class in a byte, then the pixels."""
    label = index % CLASSES
    noise = numpy.empty((SIDE, SIDE), "u1")
    s3dlio.generate(noise, object=index, seed=1)
    y, x = numpy.mgrid[:SIDE, :SIDE]
    angle, phase = numpy.pi * label / CLASSES, noise[0, 0] / 40
    grating = 127.5 * (1 + numpy.sin(phase + (x * numpy.cos(angle) + y * numpy.sin(angle)) * 0.9))
    pixels = (1 - NOISE) * grating + NOISE * noise
    return bytes([label]) + pixels.astype("u1").tobytes()


def make(store, count):
    try:
        found = sum(1 for _ in store.list("images/"))
    except s3dlio.ContainerNotFoundError:
        found = 0  # a folder is made with its first file
    if found >= count:
        return
    for first in range(0, count, 500):
        store.put_many((f"images/{index:06}", image(index)) for index in range(first, min(first + 500, count)))
    print(f"made {count} images at {store.uri}")


def decode(sample):
    """Runs in the DataLoader's workers."""
    pixels = torch.frombuffer(sample.data, dtype=torch.uint8, offset=1).reshape(1, SIDE, SIDE)
    return pixels.float() / 127.5 - 1, sample.data[0]


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, CLASSES),
    )


def main():
    uri = sys.argv[1].rstrip("/")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4_000
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    make(s3dlio.Store(uri, file_sync=False), count)

    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    dataset = S3dlioIterableDataset(f"{uri}/images/", shuffle=True, seed=1, transform=decode)
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0)
    waited, began = 0.0, time.perf_counter()
    for epoch in range(EPOCHS):
        dataset.set_epoch(epoch)
        right = seen = 0
        batches, asked = iter(loader), time.perf_counter()
        while (batch := next(batches, None)) is not None:
            waited += time.perf_counter() - asked
            pixels, labels = batch
            scores = model(pixels)
            loss = torch.nn.functional.cross_entropy(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right, seen = right + int((scores.argmax(1) == labels).sum()), seen + len(labels)
            asked = time.perf_counter()
        waited += time.perf_counter() - asked
        print(f"epoch {epoch}: {seen} images, accuracy {right / seen:.2f}")
    whole = time.perf_counter() - began
    print(f"waited {waited:.2f} s of {whole:.2f} s for data ({100 * waited / whole:.0f} %)")


if __name__ == "__main__":
    main()
