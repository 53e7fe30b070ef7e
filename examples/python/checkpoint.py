#!/usr/bin/env python3
"""Streams a synthetic checkpoint to a store, lists it, reads it back by ranges and verifies it.

    python3 examples/python/checkpoint.py [URI] [MiB]

URI is a folder of a store, such as s3://bucket/run1 or az://account/container/run1; default a
temporary folder. Endpoints and credentials come from the environment. Default size 1024 MiB.
"""

import resource
import sys
import tempfile
import time

import s3dlio

MIB = 1 << 20
CHUNK = 16 * MIB


def report(what, size, started):
    seconds = time.perf_counter() - started
    print(f"{what:5} {size / MIB:8.0f} MiB in {seconds:6.2f} s: {size / MIB / seconds:8.0f} MiB/s")


def write(store, key, size):
    """Fills memory of the library's own and commits it: no copy, constant memory."""
    pattern = bytes(range(256)) * (CHUNK // 256)
    started, left, number = time.perf_counter(), size, 0
    with store.writer(key) as writer:
        while left:
            memory = writer.reserve(min(left, CHUNK))
            count = min(left, len(memory), CHUNK)
            memory[:count] = pattern[:count]
            stamp = number.to_bytes(8, "little")  # no two chunks are the same
            memory[: min(8, count)] = stamp[:count]
            writer.commit(count)
            left, number = left - count, number + 1
    report("write", size, started)
    return writer.stats


def read(store, key, size):
    """Many ranges of one object in one call, into one piece of the caller's memory."""
    memory = memoryview(bytearray(size))
    started = time.perf_counter()
    with store.reader(key) as reader:
        reader.readv_at([(at, memory[at : at + CHUNK]) for at in range(0, size, CHUNK)])
    report("read", size, started)
    return memory


def main(uri, size):
    store = s3dlio.Store(uri)
    key = "checkpoint/shard-0"
    stats = write(store, key, size)
    print(f"memory after writing: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most")
    for entry in store.list("checkpoint/"):
        print(f"{entry.uri}  {entry.size} bytes")
    data = read(store, key, size)
    if s3dlio.crc32c(data) != stats.crc32c:
        sys.exit("the bytes that came back are not those that were written")
    print(f"crc32c:{stats.crc32c:08x} of {size} bytes verified")
    store.delete(key)


if __name__ == "__main__":
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f"file://{folder}", megabytes * MIB)
