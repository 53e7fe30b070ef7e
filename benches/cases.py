"""The cases: what is measured with which clients, and what is promised of it.

`ours` is libs3dlio through its C interface, `sdk` the same program on the plain official SDK
(option net.optimized), `limit` bare system calls. The goals compare within one round.
"""

import os
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass
class Client:
    command: list
    env: dict = field(default_factory=dict)
    before: Optional[Callable] = None  # unmeasured, before each round; may give further arguments
    after: Optional[Callable] = None  # unmeasured; raises where the outcome is wrong
    objects: int = 0  # what a program that prints no figures moves
    bytes: int = 0


@dataclass
class Goal:
    """`client` divided by `of`, or the figure itself where `of` is None, is at most (at least) `bound`."""

    metric: str  # cpu, rate, wall, rss or extra
    bound: float
    of: Optional[str] = None  # a client of the case, or CASE/CLIENT
    at_least: bool = False
    less: Optional[str] = None  # a client whose figure is taken off ours first
    client: str = "ours"


@dataclass
class Case:
    what: str
    clients: Dict[str, Client]
    goals: List[Goal] = field(default_factory=list)
    small: bool = False  # figures per object, else per GiB
    ideal: float = 0  # seconds that a pass takes at best


def get_4k(w, threads):
    size, n = 4 * KIB, w.scale(10_000, 1_000)
    w.objects(size, n)
    same = dict(count=n, size=size, passes=w.scale(5, 1))
    concurrency = {"transfer.get_many_concurrency": threads}
    return Case(
        f"{n} objects of 4 KiB in one call, {threads} in flight",
        {
            "ours": w.client("get_many", w.s3(size), **same, **concurrency),
            "sdk": w.sdk("get_many", w.s3(size), **{**same, "passes": 1}, **concurrency),
            "limit": w.limit("get", port=w.nginx.port, path=f"/bench/{size}", threads=threads, **same),
        },
        [Goal("cpu", 1 / 10, "sdk"), Goal("cpu", 1.6, "limit"), Goal("rate", 0.7, "limit", at_least=True)],
        small=True,
    )


def get_64k(w):
    size, n = 64 * KIB, w.scale(2_000, 500)
    w.objects(size, n)
    same = dict(count=n, size=size, passes=w.scale(10, 1))
    concurrency = {"transfer.get_many_concurrency": 16}
    return Case(
        f"{n} objects of 64 KiB in one call, 16 in flight",
        {
            "ours": w.client("get_many", w.s3(size), **same, **concurrency),
            "sdk": w.sdk("get_many", w.s3(size), **{**same, "passes": w.scale(2, 1)}, **concurrency),
            "limit": w.limit("get", port=w.nginx.port, path=f"/bench/{size}", threads=16, **same),
        },
        [Goal("cpu", 1 / 6, "sdk")],
        small=True,
    )


def large(w):
    n = w.scale(16, 4)
    w.objects(64 * MIB, n)
    return dict(count=n, threads=n, size=64 * MIB, passes=w.scale(4, 1))


def get_64m(w):
    same = large(w)
    return Case(
        f"{same['count']} objects of 64 MiB, all in flight, into reused memory",
        {
            "ours": w.client("get_into", w.s3(64 * MIB), **same),
            "sdk": w.sdk("get_into", w.s3(64 * MIB), **{**same, "passes": 1}),
            "limit": w.limit("get", port=w.nginx.port, path=f"/bench/{64 * MIB}", **same),
        },
        [Goal("cpu", 1.35, "limit"), Goal("rate", 0.9, "limit", at_least=True), Goal("cpu", 0.5, "sdk")],
    )


def get_1g_ranges(w):
    size = w.scale(GIB, 256 * MIB)
    w.objects(size, 1)
    passes = w.scale(4, 1)
    return Case(
        f"one object of {size // MIB} MiB by parallel ranges into reused memory",
        {
            "ours": w.client("get_into", w.s3(size), count=1, size=size, passes=passes),
            "sdk": w.sdk("get_into", w.s3(size), count=1, size=size, passes=1),
            "limit": w.limit("get_ranges", port=w.nginx.port, path=f"/bench/{size}", count=size // (16 * MIB),
                             size=16 * MIB, threads=16, passes=passes),
        },
        [Goal("rate", 0.9, "get_64m/ours", at_least=True), Goal("rss", size + 64 * MIB)],
    )


def put_case(w, what, operation, goals, small=False, options=None, limit=None, **same):
    """`limit` is what bare PUTs do differently."""
    folder = w.put_folder()
    fresh = dict(before=lambda: w.empty(folder))
    stored = dict(after=lambda: w.check_stored(folder, same["count"], same["size"]), **fresh)
    once, options = {**same, "passes": 1}, options or {}
    clients = {
        "ours": w.client(operation, w.s3_put(folder), **same, **options, **stored),
        "sdk": w.sdk(operation, w.s3_put(folder), **once, **options, **stored),
        "limit": w.limit("put", port=w.nginx.put_port, path=f"/bench/{folder.name}", **{**same, **(limit or {})}, **fresh),
    }
    if not small:
        clients["crc"] = w.limit("crc", **same)
    return Case(what, clients, goals, small=small)


def put_64m(w):
    n = w.scale(8, 2)
    return put_case(
        w, f"{n} objects of 64 MiB, one request each", "put", [Goal("cpu", 1.5, "limit", less="crc")],
        count=n, threads=n, size=64 * MIB, passes=w.scale(4, 1), options={"transfer.part_size": 64 * MIB})


def put_64m_multipart(w):
    n = w.scale(8, 2)
    return put_case(
        w, f"{n} objects of 64 MiB through writers, parts of 16 MiB", "write",
        [Goal("cpu", 1.5, "limit", less="crc")],
        count=n, threads=n, size=64 * MIB, passes=w.scale(4, 1),
        options={"transfer.part_size": 16 * MIB, "piece": 16 * MIB},
        limit={"count": 4 * n, "threads": 2 * n, "size": 16 * MIB})


def put_4k(w):
    n = w.scale(5_000, 500)
    same = dict(count=n, size=4 * KIB, passes=w.scale(4, 1))
    case = put_case(
        w, f"{n} objects of 4 KiB, 16 in flight", "put_many", [Goal("cpu", 1 / 6, "sdk")], small=True,
        options={"transfer.put_many_concurrency": 16}, limit={"threads": 16}, **same)
    folder = w.put_folder()
    case.clients["threads"] = w.client(
        "put", w.s3_put(folder), threads=16, before=lambda: w.empty(folder),
        after=lambda: w.check_stored(folder, n, 4 * KIB), **same)
    return case


def file_1g(w):
    size = w.scale(GIB, 256 * MIB)
    folder = w.files(size, 1)
    passes = w.scale(8, 2)
    return Case(
        f"a cached file of {size // MIB} MiB into reused memory",
        {
            "ours": w.client("get_into", f"file://{folder}", count=1, size=size, passes=passes),
            "limit": w.limit("read", folder=folder, count=size // MIB, size=MIB, threads=1, passes=passes),
        },
        [Goal("rate", 0.95, "limit", at_least=True)],
    )


def file_4k(w):
    size, n = 4 * KIB, w.scale(10_000, 1_000)
    folder = w.files(size, n)
    threads = len(os.sched_getaffinity(0))
    same = dict(count=n, size=size, passes=w.scale(20, 2))
    return Case(
        f"{n} cached files of 4 KiB; the limit has {threads} threads",
        {
            "ours": w.client("get_many", f"file://{folder}", **same),
            "threads": w.client("get_into", f"file://{folder}", threads=threads, **same),
            "limit": w.limit("files", folder=folder, threads=threads, **same),
        },
        [Goal("rate", 0.9, "limit", at_least=True)],
        small=True,
    )


def direct(w, what, operation, limit):
    size, depth = w.scale(GIB, 256 * MIB), 32
    folder = w.files(size, 1, flushed=True) if limit == "direct_read" else w.file_folder(f"direct-{size}")
    other = w.file_folder(f"limit-{size}") if limit == "direct_write" else folder
    passes = w.scale(2, 1)
    options = {"local.block_size": MIB, "local.queue_depth": depth}
    return Case(
        f"{what} {size // MIB} MiB past the page cache, blocks of 1 MiB, {depth} at once",
        {
            "ours": w.client(operation, f"direct://{folder}", count=1, size=size, passes=passes, **options),
            "limit": w.limit(limit, folder=other, count=size // MIB, size=MIB, passes=passes, depth=depth),
        },
        [Goal("rate", 0.95, "limit", at_least=True)],
    )


def tls_get_64m(w):
    same = large(w)
    n, url = same["count"], f"https://127.0.0.1:{w.nginx.tls_port}"
    curl = [w.need("curl", "curl"), "-sSf", "--cacert", str(w.nginx.authority)]
    for i in range(n):
        curl += ["-o", "/dev/null", f"{url}/bench/{64 * MIB}/{i}"]
    return Case(
        f"{n} objects of 64 MiB over TLS; curl takes one after the other",
        {
            "ours": w.client("get_into", w.s3(64 * MIB, url), **same, **{"net.ca_bundle": w.nginx.authority}),
            "sdk": w.sdk("get_into", w.s3(64 * MIB, url), **{**same, "passes": 1}, **{"net.ca_bundle": w.nginx.authority}),
            "curl": Client(curl, objects=n, bytes=n * 64 * MIB),
        },
        [Goal("cpu", 1.0, "curl")],
    )


def latency_10ms(w):
    n, threads = 1_000, 64
    uri = w.slow_objects(4 * KIB, n)
    ideal = n / threads * 0.010
    return Case(
        f"{n} objects of 4 KiB, {threads} in flight, the server waits 10 ms; at best {ideal * 1000:.0f} ms",
        {"ours": w.client("get_many", uri, count=n, size=4 * KIB, passes=w.scale(5, 2),
                          **{"transfer.get_many_concurrency": threads})},
        [Goal("wall", 1.3, "ideal")],
        small=True,
        ideal=ideal,
    )


def idle_rss(w):
    folder = w.put_folder()
    return Case(
        "the library after one put and one get",
        {"ours": w.client("idle", w.s3_put(folder))},
        [Goal("rss", 20 * MIB)],
    )


# The clients of `python_client.py`; ours comes first. Pins of their packages are in peers.txt.
PEERS = ["s3dlio_0_10", "obstore", "s3torch", "boto3", "awscrt", "pyarrow"]


def python(w, what, operation, size, count, threads, small=False, passes=1):
    put = operation == "put"
    folder = w.put_folder() if put else None
    where = dict(endpoint=f"http://127.0.0.1:{w.nginx.put_port if put else w.nginx.port}",
                 prefix=folder.name if put else size)
    same = dict(count=count, size=size, threads=threads, passes=passes, **where)
    before = (lambda: w.empty(folder)) if put else None
    clients = {"ours": w.python("ours", operation, before=before, **same)}
    goals = []
    for peer in PEERS if w.peers else []:
        if put and peer in ("s3torch", "awscrt"):
            continue  # they take nothing but 200 for a put; nginx says 201
        fewer = {"count": min(count, 2_000)} if peer == "boto3" else {}
        clients[peer] = w.python(peer, operation, before=before, **{**same, **fewer})
        bound = (1 / 3 if small else 1 / 1.5) if peer == "s3dlio_0_10" else 1.0
        goals += [Goal("cpu", bound, peer), Goal("rate", 1 / bound, peer, at_least=True)]
    return Case(what, clients, goals, small=small)


def python_get_4k(w):
    n = w.scale(10_000, 1_000)
    w.objects(4 * KIB, n)
    return python(w, f"Python: {n} objects of 4 KiB, 16 in flight", "get_many", 4 * KIB, n, 16, small=True)


def python_get_64m(w):
    same = large(w)
    return python(w, f"Python: {same['count']} objects of 64 MiB, all in flight", "get", 64 * MIB, same["count"], same["count"])


def python_put_64m(w):
    n = w.scale(8, 2)
    return python(w, f"Python: {n} puts of 64 MiB", "put", 64 * MIB, n, n)


def loader(w, size, count):
    n = w.scale(count, count // 10)
    w.objects(size, n)
    # A prefix of its own for each length, as a listing names all of it.
    w.nginx.list(str(size), n, size)
    same = dict(endpoint=f"http://127.0.0.1:{w.nginx.port}", prefix=size, count=n, size=size, batch=64)
    passes = w.scale(3, 1)
    ways = ("ours", "completion", "given", "given_completion", "get_many")
    clients = {who: w.loader(who, passes=passes, **same) for who in ways}
    # The bare call has its keys: so has what is compared with it.
    goals = [Goal("rate", 0.85, "get_many", at_least=True, client=who) for who in ("given", "given_completion")]
    for peer, times in (("s3torch", 5), ("s3dlio_0_10", 3)) if w.peers else ():
        clients[peer] = w.loader(peer, passes=1, **same)
        goals += [Goal("rate", times, peer, at_least=True), Goal("cpu", 1 / times, peer)]
    if w.peers:
        clients["ours_torch"] = w.loader("ours_torch", passes=passes, **same)
    return Case(f"Python: an epoch of {n} objects of {size // KIB} KiB in batches of 64", clients, goals, small=True)


def loader_seaweed(w, size, count):
    """SeaweedFS takes most of the machine: objects per second say little about us, client CPU does."""
    n = w.scale(count, count // 10)
    _, options = w.real("seaweed", size, n)
    same = dict(endpoint=options["s3.endpoint"], prefix=size, count=n, size=size, batch=64, passes=1)
    clients = {who: w.loader(who, **same) for who in ("ours", "completion", "get_many")}
    goals = []
    for peer, times in (("s3torch", 5), ("s3dlio_0_10", 3)) if w.peers else ():
        clients[peer] = w.loader(peer, **same)
        goals += [Goal("cpu", 1 / times, peer)]
    return Case(f"SeaweedFS: an epoch of {n} objects of {size // KIB} KiB in batches of 64", clients, goals, small=True)


def loader_files(w, size, count):
    n = w.scale(count, count // 10)
    folder = w.files(size, n)
    threads = len(os.sched_getaffinity(0))
    same = dict(count=n, size=size, passes=w.scale(10, 1))
    return Case(
        f"an epoch of {n} cached files of {size // KIB} KiB in batches of 64; the limit has {threads} threads",
        {
            "ours": w.client("draw", f"file://{folder}", **same),
            "completion": w.client("draw", f"file://{folder}", **{"loader.order": "completion"}, **same),
            "get_many": w.client("get_many", f"file://{folder}", **same),
            "limit": w.limit("files", folder=folder, threads=threads, **same),
        },
        [Goal("rate", 0.85, "limit", at_least=True)],
        small=True,
    )


def loader_late(w):
    size, n = KIB, w.scale(100_000, 1_000)
    prompt, late = w.late_objects(size, n, 0.05)
    options = {"loader.in_flight": 64, "net.max_connections": 512}
    same = dict(count=n, size=size, **options, **{"loader.order": "completion"})
    return Case(
        f"an epoch of {n} objects, each answered after 10 ms, of which 5 % come 500 ms late, in the order of arrival",
        {
            "ours": w.client("draw", late, **same),
            "prompt": w.client("draw", prompt, **same),
        },
        [Goal("rate", 0.9, "prompt", at_least=True)],
        small=True,
    )


def loader_first_batch(w):
    size, n = KIB, w.scale(10_000_000, 100_000)
    endpoint, manifest = w.listed(size, n)
    same = dict(endpoint=endpoint, prefix="listed", count=n, size=size, batch=64, passes=1)
    text = manifest.stat().st_size
    return Case(
        f"from the opening of a dataset of {n:,} objects to its first batch: as it is listed, or from a manifest of "
        f"{text / MIB:.0f} MiB in shuffled order",
        {"ours": w.loader("listed", "first", **same), "manifest": w.loader("manifest", "first", manifest=manifest, **same)},
        # The text itself is mapped, not copied.
        [Goal("extra", 0.2 * text + 64 * MIB, client="manifest")],
        small=True,
    )


def tensors(w):
    return dict(count=w.scale(128, 32), size=w.scale(16 * MIB, MIB), passes=w.scale(1, 1))


def tensor_text(same):
    return f"{same['count']} tensors of {same['size'] // MIB} MiB"


def checkpoint_save(w):
    same = tensors(w)
    folder = lambda name: w.file_folder(f"save-{name}")  # noqa: E731
    clear = lambda name: lambda: w.clear(folder(name))  # noqa: E731
    clients = {
        "ours": w.checkpoint("save", f"file://{folder('ours')}", after=clear("ours"), **same),
        "limit": w.limit("save", folder=folder("limit"), **same),
    }
    peers = ["torch", "safetensors", "dcp"] if w.peers else []
    for peer in peers:
        clients[peer] = w.checkpoint_peer(peer, "save", folder=folder(peer), after=clear(peer), **same)
    return Case(
        f"a checkpoint of {tensor_text(same)} to new files, flushed; the limit is one file and one thread",
        clients,
        [Goal("rate", 0.9, "limit", at_least=True), *(Goal("rate", 1.0, peer, at_least=True) for peer in peers),
         Goal("extra", 128 * MIB)])


def checkpoint_load(w):
    same = tensors(w)
    once = {**same, "passes": 1}

    def saved(name, make):
        """What is loaded is saved before and goes afterwards: the disk need not hold all of them."""
        folder = w.file_folder(f"load-{name}")
        return folder, dict(before=lambda: w.must(make(folder)), after=lambda: w.clear(folder))

    clients = {}
    folder, hooks = saved("ours", lambda folder: w.checkpoint("save", f"file://{folder}", **once))
    clients["ours"] = w.checkpoint("load", f"file://{folder}", **hooks, **same)
    whole = dict(count=1, size=same["count"] * same["size"])
    folder, hooks = saved("limit", lambda folder: w.limit("make", folder=folder, **whole))
    clients["limit"] = w.limit("read", folder=folder, **hooks, **same)
    peers = ["torch", "torch_mmap", "safetensors", "dcp"] if w.peers else []
    for peer in peers:
        writer = "torch" if peer == "torch_mmap" else peer
        folder, hooks = saved(peer, lambda folder, writer=writer: w.checkpoint_peer(writer, "save", folder=folder, **once))
        clients[peer] = w.checkpoint_peer(peer, "load", folder=folder, **hooks, **same)
    return Case(
        f"a cached checkpoint of {tensor_text(same)} into the caller's memory; torch_mmap and safetensors map and add up",
        clients,
        [Goal("rate", 0.9, "limit", at_least=True),
         *(Goal("rate", 1.0, peer, at_least=True) for peer in peers if peer in ("torch", "dcp")), Goal("extra", 128 * MIB)])


def checkpoint_async(w):
    same = tensors(w)
    folder, handed = w.file_folder("snapshot"), w.file_folder("handed")
    return Case(
        f"for how long an asynchronous save of {tensor_text(same)} keeps its caller; the limits are memcpy into used and new memory",
        {
            "ours": w.checkpoint("snapshot", f"file://{folder}", after=lambda: w.clear(folder), **same),
            "ours_no_copy": w.checkpoint("hand_over", f"file://{handed}", after=lambda: w.clear(handed), **same),
            "limit": w.limit("copy", **same),
            "fresh": w.limit("copy", depth=1, **same),
        },
        [Goal("wall", 1.25, "fresh")])


def checkpoint_seaweed(w, operation):
    same = tensors(w)

    def stored(make):
        """A server of its own for every client, which what others stored does not slow; for loads with a checkpoint."""
        def before():
            endpoint = w.fresh_seaweed()
            if operation == "load":
                w.must(make("save", endpoint))
            return {"s3.endpoint": endpoint, "endpoint": endpoint}
        return before

    ours = lambda operation, endpoint, **more: w.checkpoint(  # noqa: E731
        operation, ("s3://bench/ours", {"s3.endpoint": endpoint} if endpoint else {}), **same, **more)
    clients = {"ours": ours(operation, None, before=stored(ours))}
    peers = ["s3torch", "s3fs", "s3dlio_0_10"] if w.peers else []
    for peer in peers:
        theirs = lambda operation, endpoint, peer=peer, **more: w.checkpoint_peer(  # noqa: E731
            peer, operation, **({"endpoint": endpoint} if endpoint else {}), **same, **more)
        clients[peer] = theirs(operation, None, before=stored(theirs))
    return Case(
        f"SeaweedFS: {operation} of a checkpoint of {tensor_text(same)}, each with a server of its own",
        clients,
        [*(Goal("rate", 1.0, peer, at_least=True) for peer in peers), Goal("extra", 128 * MIB)])


def real(w, server, operation, size, count, threads):
    """A real server: it takes most of the machine, so that only client CPU compares."""
    uri, options = w.real(server, size, count)
    same = {"count": count, "size": size, **options}
    same["threads" if operation == "get_into" else "transfer.get_many_concurrency"] = threads
    return Case(
        f"{server}: {count} objects of {f'{size // MIB} MiB' if size >= MIB else f'{size // KIB} KiB'}, {min(threads, count)} in flight",
        {"ours": w.client(operation, uri, **same), "sdk": w.sdk(operation, uri, **same)},
        small=size < MIB,
    )


CASES = {
    "get_4k_c16": lambda w: get_4k(w, 16),
    "get_4k_c32": lambda w: get_4k(w, 32),
    "get_4k_c64": lambda w: get_4k(w, 64),
    "get_64k": get_64k,
    "get_64m": get_64m,
    "get_1g_ranges": get_1g_ranges,
    "put_64m": put_64m,
    "put_64m_multipart": put_64m_multipart,
    "put_4k": put_4k,
    "file_1g": file_1g,
    "file_4k": file_4k,
    "direct_read": lambda w: direct(w, "reads", "get_into", "direct_read"),
    "direct_write": lambda w: direct(w, "writes", "put", "direct_write"),
    "tls_get_64m": tls_get_64m,
    "latency_10ms": latency_10ms,
    "idle_rss": idle_rss,
    "python_get_4k": python_get_4k,
    "python_get_64m": python_get_64m,
    "python_put_64m": python_put_64m,
    "loader_4k": lambda w: loader(w, 4 * KIB, 20_000),
    "loader_115k": lambda w: loader(w, 115 * KIB, 4_000),
    "loader_files_4k": lambda w: loader_files(w, 4 * KIB, 20_000),
    "loader_files_115k": lambda w: loader_files(w, 115 * KIB, 4_000),
    "loader_late": loader_late,
    "loader_first_batch": loader_first_batch,
    "checkpoint_save": checkpoint_save,
    "checkpoint_load": checkpoint_load,
    "checkpoint_async": checkpoint_async,
}
# Only by name or with --real.
REAL = {
    "seaweed_get_4k": lambda w: real(w, "seaweed", "get_many", 4 * KIB, w.scale(5_000, 500), 16),
    "seaweed_get_64m": lambda w: real(w, "seaweed", "get_into", 64 * MIB, w.scale(8, 2), 8),
    "azurite_get_4k": lambda w: real(w, "azurite", "get_many", 4 * KIB, w.scale(1_000, 200), 16),
    "azurite_get_64m": lambda w: real(w, "azurite", "get_into", 64 * MIB, w.scale(8, 2), 8),
    "loader_seaweed_4k": lambda w: loader_seaweed(w, 4 * KIB, 20_000),
    "loader_seaweed_115k": lambda w: loader_seaweed(w, 115 * KIB, 4_000),
    "checkpoint_seaweed_save": lambda w: checkpoint_seaweed(w, "save"),
    "checkpoint_seaweed_load": lambda w: checkpoint_seaweed(w, "load"),
}
