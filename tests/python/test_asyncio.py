"""asyncio over completion queues: many operations at once on every backend, cancellation, memory."""

import asyncio
import gc
import socket

import pytest

import s3dlio
from conftest import in_child


def run(coroutine):
    return asyncio.run(coroutine)


def test_500_at_once(store):
    """Puts, gets, stats, reads and deletes under way together, each with its own outcome."""
    data = bytes(range(256)) * 20

    async def one(at):
        key = f"k{at:03}"
        written = await store.aput(key, data[at:], metadata={"at": str(at)} if at == 7 else None)
        assert written.finished and written.bytes == len(data) - at
        assert await store.aget(key) == data[at:]
        assert await store.aget_range(key, 5, 10) == data[at + 5 : at + 15]
        memory = bytearray(len(data))
        assert await store.aget_into(key, memory) == len(data) - at
        assert memory[: len(data) - at] == data[at:]
        assert await store.aget_range_into(key, 100, memoryview(memory)[:50]) == 50
        assert memory[:50] == data[at + 100 : at + 150]
        if at % 2:
            await store.adelete(key)
        return (await store.astat(key)).size if at % 2 == 0 else None

    async def all_of_them():
        return await asyncio.gather(*(one(at) for at in range(100)))

    sizes = run(all_of_them())
    assert sizes == [len(data) - at if at % 2 == 0 else None for at in range(100)]

    async def listed():
        return [info.key async for info in store.alist("k")]

    assert run(listed()) == [f"k{at:03}" for at in range(0, 100, 2)]


def test_streams(store):
    async def work():
        writer = store.writer("streamed")
        for at in range(10):
            assert await writer.awrite(bytes([at]) * 1000) == 1000
        assert (await writer.afinish()).bytes == 10_000
        with await store.areader("streamed") as reader:
            memory = [bytearray(1000) for _ in range(10)]
            counts = await asyncio.gather(*(reader.aread_at(at * 1000, memory[at]) for at in range(10)))
            assert counts == [1000] * 10 and all(memory[at] == bytes([at]) * 1000 for at in range(10))
            sequence = bytearray(9_999)
            assert await reader.areadinto(sequence) == 9_999
            assert await reader.areadinto(sequence) == 1 and await reader.areadinto(sequence) == 0

    run(work())


def test_500_gathered(memory):
    async def work():
        await asyncio.gather(*(memory.aput(f"{at}", b"%d" % at) for at in range(500)))
        got = await asyncio.gather(*(memory.aget(f"{at}") for at in range(500)))
        assert [int(bytes(data)) for data in got] == list(range(500))

    run(work())


def test_errors_are_those_of_the_blocking_calls(store):
    async def work():
        with pytest.raises(s3dlio.NotFoundError) as caught:
            await store.aget("missing")
        assert caught.value.uri.endswith("/missing")
        with pytest.raises(s3dlio.BufferTooSmallError) as caught:
            await store.aput("k", b"12345")
            await store.aget_into("k", bytearray(2))
        assert caught.value.required == 5
        with pytest.raises(s3dlio.InvalidKeyError):
            await store.aget("nul\0")
        with pytest.raises(TypeError):
            await store.aput("k", "text")
        outcomes = await asyncio.gather(store.aget("k"), store.aget("missing"), return_exceptions=True)
        assert outcomes[0] == b"12345" and isinstance(outcomes[1], s3dlio.NotFoundError)

    run(work())


@pytest.fixture
def silent():
    """A store whose server takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield s3dlio.Store("s3://silent", {
            "s3.endpoint": f"http://127.0.0.1:{server.getsockname()[1]}", "s3.region": "us-east-1",
            "s3.access_key_id": "a", "s3.secret_access_key": "b",
        })


def test_cancelling_a_task_frees_the_memory(silent):
    """While the operation runs the memory cannot move; after the cancelled task it is free."""

    async def work():
        memory = [bytearray(1000) for _ in range(50)]
        tasks = [asyncio.ensure_future(silent.aget_into("k", buffer)) for buffer in memory]
        await asyncio.sleep(0)
        with pytest.raises(BufferError):
            memory[0].extend(b"x")
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        gc.collect()
        for buffer in memory:
            buffer.extend(b"x")

    run(work())


def test_a_timeout_cancels(silent):
    async def work():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(silent.aput("k", b"data"), 0.05)

    run(work())


def test_a_cancelled_write_cannot_be_published(silent):
    async def work():
        writer = silent.writer("w")
        task = asyncio.ensure_future(writer.awrite(bytes(40 << 20)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(s3dlio.CancelledError):
            await writer.awrite(b"more")

    with pytest.warns(RuntimeWarning, match="dropped unfinished"):
        run(work())
        gc.collect()


def test_other_tasks_run_meanwhile(silent):
    async def work():
        waiting = asyncio.ensure_future(silent.aget("k"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()

    run(work())


def test_each_loop_and_each_process_has_its_own(memory):
    async def work():
        await memory.aput("k", b"data")
        return bytes(await memory.aget("k"))

    assert run(work()) == run(work()) == b"data"

    async def forks():
        await memory.aput("k", b"data")
        return in_child(lambda: run(work()))

    assert run(forks()) == b"data"
