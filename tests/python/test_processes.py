"""Threads, fork, other processes, and signals."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import s3dlio
from conftest import fresh_store, in_child

DATA = os.urandom(300_000)


# ---- threads and the GIL


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def answering(before_first):
    """A store whose server is a Python thread of this process: it calls `before_first` when the
    first request came, and says 404 to every request."""
    requests, stop = 0, threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            nonlocal requests
            while not stop.is_set():
                client, _ = listener.accept()
                with client:
                    if not client.recv(65536):
                        continue  # a spare connection of the client
                    requests += 1
                    if requests == 1:
                        before_first()
                    client.sendall(NOT_FOUND)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield s3dlio.Store("s3://bucket", {
            "s3.endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}", "s3.region": "us-east-1",
            "s3.access_key_id": "key", "s3.secret_access_key": "secret", "net.max_attempts": 1,
        })
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join(60)
        assert not thread.is_alive() and requests > 0


def test_python_runs_while_a_call_blocks():
    """The GIL is released: else the server that the call waits for could never answer."""
    with answering(lambda: None) as store:
        with pytest.raises(s3dlio.S3dlioError) as caught:
            store.stat("k")
        assert caught.value.http_status == 404


def test_an_interrupt_arrives_when_the_call_returns():
    """Python runs signal handlers between calls: the call ends first, nothing is lost or leaked."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with answering(lambda: os.kill(os.getpid(), signal.SIGINT)) as store:
            with pytest.raises(KeyboardInterrupt):
                store.stat("k")
    finally:
        signal.signal(signal.SIGINT, before)


def test_many_threads_share_a_store_and_a_reader(store):
    store.put("k", DATA)
    with store.reader("k") as reader, ThreadPoolExecutor(8) as pool:
        def work(n):
            store.put(f"t/{n}", DATA[n:])
            into = bytearray(1000)
            assert reader.read_at(n * 100, into) == 1000 and into == DATA[n * 100 : n * 100 + 1000]
            return store.get(f"t/{n}") == DATA[n:]

        assert all(pool.map(work, range(32)))
    assert store.delete_prefix("t") == 32


# ---- fork


def test_a_store_works_on_both_sides_of_a_fork(store):
    store.put("k", DATA)

    def child():
        assert store.get("k") == DATA
        store.put("from-child", DATA[::-1])
        with store.writer("streamed") as writer:
            writer.write(DATA)
        return sorted(entry.key for entry in store.list())

    assert in_child(child) == ["from-child", "k", "streamed"]
    assert store.get("k") == DATA
    if not store.uri.startswith("memory"):  # the child's memory is its own
        assert store.get("from-child") == DATA[::-1]


def test_streams_belong_to_the_parent(store):
    store.put("k", DATA)
    reader, writer = store.reader("k"), store.writer("w")
    half = reader.read(1000)
    writer.write(DATA)

    def child():
        for use in (lambda: reader.read(1), lambda: reader.read_at(0, bytearray(1)), lambda: writer.write(b"x"), writer.finish):
            with pytest.raises(s3dlio.ForkedError):
                use()
        with contextlib.closing(reader):  # freeing what was inherited is harmless
            return "fine"

    assert in_child(child) == "fine"
    assert half + reader.read() == DATA
    assert writer.finish().bytes == len(DATA) and store.get("w") == DATA
    reader.close()


def test_fork_while_other_threads_work(folder):
    stop = threading.Event()

    def busy(n):
        while not stop.is_set():
            folder.put(f"busy/{n}", DATA)
            assert folder.get(f"busy/{n}") == DATA

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(busy, n) for n in range(4)]
        try:
            folder.put("k", DATA)
            for _ in range(10):
                assert in_child(lambda: bytes(folder.get("k")) == DATA)
        finally:
            stop.set()
        for worker in workers:
            worker.result(60)


@contextlib.contextmanager
def traffic(store, threads=3):
    """Puts, gets, streams and lists on threads; what goes wrong there comes out at the end."""
    stop, rounds = threading.Event(), [0] * threads

    def busy(n):
        while not stop.is_set():
            store.put(f"busy/{n}", DATA)
            assert store.get(f"busy/{n}") == DATA
            with store.writer(f"streamed/{n}") as writer:
                writer.write(DATA)
            with store.reader(f"streamed/{n}") as reader:
                assert reader.read() == DATA
            rounds[n] += 1

    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(busy, n) for n in range(threads)]
        try:
            yield
        finally:
            stop.set()
        for worker in workers:
            worker.result(60)
        assert all(rounds)


def get_in_child(store):
    signal.alarm(60)  # a child that hangs dies
    assert store.get("k") == DATA
    store.put(f"child/{os.getpid()}", DATA)


@pytest.mark.parametrize("backend", ["seaweed", "azurite"])
def test_multiprocessing_forks_under_traffic(backend, tmp_path):
    """10 times a child that works and one that leaves at once."""
    store = fresh_store(backend, tmp_path)
    store.put("k", DATA)
    context = multiprocessing.get_context("fork")
    with traffic(store):
        for _ in range(10):
            children = [context.Process(target=get_in_child, args=(store,)), context.Process(target=int)]
            for child in children:
                child.start()
            for child in children:
                child.join(90)
                assert child.exitcode == 0
    assert len(list(store.list("child/"))) == 10
    store.delete_prefix("")
    store.delete_container()


@contextlib.contextmanager
def interrupts():
    """SIGINT for this thread at 1 kHz. Gives a function that runs another one, and says whether it came to its
    end: else a KeyboardInterrupt came somewhere inside, at most one."""
    main, stop, armed = threading.get_ident(), threading.Event(), [False]

    def handler(number, frame):
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    def send():
        while not stop.wait(0.001):
            signal.pthread_kill(main, signal.SIGINT)

    def run(work):
        try:
            armed[0] = True
            work()
            armed[0] = False
            return True
        except KeyboardInterrupt:
            return False

    before = signal.signal(signal.SIGINT, handler)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield run
    finally:
        stop.set()
        sender.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore:writer of")  # a writer that was interrupted before its `with`
@pytest.mark.parametrize("backend", ["file", "seaweed", "azurite"])
def test_a_storm_of_interrupts_under_traffic(backend, tmp_path, monkeypatch):
    """Wherever they come: what is returned is right, nothing hangs, and no handle is lost (no_leaks)."""
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: lost.append(f"{u.object!r}: {u.exc_value!r}"))
    store = fresh_store(backend, tmp_path)
    store.put("k", DATA)

    def work():
        assert store.get("k") == DATA
        with store.reader("k") as reader:
            assert reader.read() == DATA
        with store.writer("w") as writer:
            writer.write(DATA)
        assert [entry.key for entry in store.list("k")] == ["k"]
        assert store.stat("k").size == len(DATA)

    for _ in range(10):
        with traffic(store, threads=2), interrupts() as run:
            cut = 0
            while cut < 20:
                cut += not run(work)
    work()
    store.delete_prefix("")
    store.delete_container()
    # Python itself calls `close` of streams that are collected.
    assert [what for what in lost if "Writer.__del__" not in what and "Reader" not in what] == []


# ---- other processes


def check_in_worker(store, expected):
    store.put(f"worker-{os.getpid()}", expected)
    return bytes(store.get("k")) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pickled_stores_work_in_worker_processes(folder, method):
    folder.put("k", DATA)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        results = [pool.apply_async(check_in_worker, (folder, DATA)) for _ in range(4)]
        assert all(result.get(120) for result in results)
    assert any(entry.key.startswith("worker-") for entry in folder.list())


def test_a_store_is_pickled_by_uri_and_options(store):
    store.put("k", DATA)
    again = pickle.loads(pickle.dumps(store))
    assert again.uri == store.uri and again.get("k") == DATA
    tuned = s3dlio.Store("memory://x", transfer_part_size="32MiB")
    assert pickle.loads(pickle.dumps(tuned))._options["transfer.part_size"] == str(32 << 20)


def test_streams_cannot_be_pickled(memory):
    memory.put("k", b"1")
    with memory.reader("k") as reader, memory.writer("w") as writer:
        for stream in (reader, writer):
            with pytest.raises(TypeError):
                pickle.dumps(stream)
