#!/usr/bin/env python3
"""Measures s3dlio_generate against memset and, where it is installed, dgen-py, all in one interleaved run.

    benches/datagen.py [--rounds N] [--size MIB] [--threads N]

Every filler fills the same memory, which was touched before, in turn; a row is the median of the rounds. The memsets
are the C library's, by one thread and by as many as the generator has. dgen-py (`pip install dgen-py`) fills chunks of
32 MiB of it, which is its fastest way. S3DLIO_LIBRARY names the library; default: what cargo built.
"""

import argparse
import ctypes
import os
import statistics
import threading
import time
from ctypes import byref, c_double, c_int32, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
LIBRARY = os.environ.get("S3DLIO_LIBRARY") or TARGET / "release/libs3dlio.so"


class Params(ctypes.Structure):
    _fields_ = [("seed", c_uint64), ("dedupe", c_double), ("compress", c_double), ("block_size", c_uint64),
                ("threads", c_uint32), ("reserved", c_uint32)]


def generator(dedupe, compress, threads):
    library = ctypes.CDLL(str(LIBRARY))
    library.s3dlio_generate.argtypes = [c_void_p, c_size_t, c_uint64, c_uint64, c_void_p, c_size_t, c_void_p]
    library.s3dlio_generate.restype = c_int32
    params = Params(1, dedupe, compress, 0, threads, 0)

    def fill(address, size, number):
        status = library.s3dlio_generate(byref(params), sizeof(params), number, 0, address, size, None)
        assert status == 0, status

    return fill


def memset(threads):
    call = ctypes.CDLL(None).memset
    call.argtypes, call.restype = [c_void_p, c_int32, c_size_t], c_void_p

    def fill(address, size, number):
        each = size // threads
        others = [threading.Thread(target=call, args=(address + i * each, number, each)) for i in range(1, threads)]
        for thread in others:
            thread.start()
        call(address, number, each)
        for thread in others:
            thread.join()

    return fill


def dgen(memory, threads):
    try:
        import dgen_py
    except ImportError:
        return None
    view = memoryview(memory).cast("B")
    made = dgen_py.Generator(size=len(view), max_threads=threads, seed=1)
    chunk = made.chunk_size

    def fill(_address, size, _number):
        made.reset()
        for at in range(0, size, chunk):
            made.fill_chunk(view[at:at + chunk])

    return fill


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=512, help="MiB")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    size, threads = arguments.size << 20, arguments.threads
    memory = (ctypes.c_ubyte * size)()
    fillers = {
        "memset, 1 thread": memset(1),
        f"memset, {threads} threads": memset(threads),
        "s3dlio, 1 thread": generator(1, 1, 1),
        f"s3dlio, {threads} threads": generator(1, 1, threads),
        f"s3dlio, {threads} threads, dedupe 2, compress 2": generator(2, 2, threads),
        f"dgen-py, {threads} threads": dgen(memory, threads),
    }
    fillers = {name: fill for name, fill in fillers.items() if fill}
    rates = {name: [] for name in fillers}
    for number in range(-1, arguments.rounds):
        for name, fill in fillers.items():
            began = time.perf_counter()
            fill(ctypes.addressof(memory), size, number + 1)
            if number >= 0:  # the first round warms up
                rates[name].append(size / (time.perf_counter() - began) / 1e9)
    base = {1: statistics.median(rates["memset, 1 thread"]), threads: statistics.median(rates[f"memset, {threads} threads"])}
    print(f"{'':46} GB/s   of memset with as many threads")
    for name, each in rates.items():
        rate = statistics.median(each)
        print(f"{name:46} {rate:5.1f}  {rate / base[1 if ', 1 thread' in name and ', 1 threads' not in name else threads]:5.2f}")


if __name__ == "__main__":
    main()
