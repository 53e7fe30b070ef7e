"""The same work from Python: our binding and its peers.

python_client.py WHO get_many|get|put endpoint=URL prefix=TEXT count=N size=BYTES threads=N passes=N

`get_many` is the client's own call for many objects where it has one, else `get` on threads. Every client
keeps `threads` requests in flight. One pass warms up and is not measured. Prints one line of JSON.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

BUCKET = "bench"


class Peer:
    """One client; each method does one pass and gives the bytes that it moved."""

    def __init__(self, arguments):
        self.endpoint, self.prefix = arguments["endpoint"], arguments["prefix"]
        self.size, self.threads = int(arguments["size"]), int(arguments["threads"])
        self.keys = [f"{self.prefix}/{index}" for index in range(int(arguments["count"]))]
        self.payload = os.urandom(1 << 20) * (self.size >> 20) if self.size >= 1 << 20 else os.urandom(self.size)
        self.id, self.secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        self.region = os.environ["AWS_REGION"]
        self.host = self.endpoint.split("//")[1]
        self.pool = ThreadPoolExecutor(self.threads)
        self.open()

    def open(self):
        raise NotImplementedError

    def get_one(self, key):
        raise NotImplementedError

    def put_one(self, key):
        raise NotImplementedError

    def get(self):
        return sum(self.pool.map(self.get_one, self.keys))

    def get_many(self):
        return self.get()

    def put(self):
        list(self.pool.map(self.put_one, self.keys))
        return len(self.keys) * self.size


class Ours(Peer):
    def open(self):
        import s3dlio

        self.store = s3dlio.Store(f"s3://{BUCKET}", {
            "s3.endpoint": self.endpoint, "transfer.get_many_concurrency": self.threads,
            "transfer.part_size": max(self.size, 16 << 20)})
        self.memory = SimpleQueue()  # used again, as a loader would
        self.ready = False

    def get(self):
        if not self.ready:
            for _ in range(self.threads):
                self.memory.put(bytearray(self.size))
            self.ready = True
        return super().get()

    def get_one(self, key):
        memory = self.memory.get()
        got = self.store.get_into(key, memory)
        self.memory.put(memory)
        return got

    def get_many(self):
        return sum(len(data) for data in self.store.get_many(self.keys))

    def put_one(self, key):
        self.store.put(key, self.payload)


class S3dlio010(Peer):
    def open(self):
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        import s3dlio

        self.library = s3dlio

    def get_many(self):
        uris = [f"s3://{BUCKET}/{key}" for key in self.keys]
        return sum(len(data) for _, data in self.library.get_many(uris, self.threads))

    get = get_many

    def put_one(self, key):
        self.library.put_bytes(f"s3://{BUCKET}/{key}", self.payload)


class Obstore(Peer):
    def open(self):
        import obstore

        self.library = obstore
        self.store = obstore.store.S3Store(
            BUCKET, endpoint=self.endpoint, access_key_id=self.id, secret_access_key=self.secret, region=self.region,
            virtual_hosted_style_request=False, client_options={"allow_http": True})

    async def _all(self, one):
        places = asyncio.Semaphore(self.threads)

        async def bounded(key):
            async with places:
                return await one(key)

        return sum(await asyncio.gather(*map(bounded, self.keys)))

    def get(self):
        async def one(key):
            return len(await (await self.library.get_async(self.store, key)).bytes_async())

        return asyncio.run(self._all(one))

    def put(self):
        async def one(key):
            await self.library.put_async(self.store, key, self.payload, use_multipart=False)
            return self.size

        return asyncio.run(self._all(one))


class S3Torch(Peer):
    def open(self):
        from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

        self.client = MountpointS3Client(
            region=self.region, user_agent_prefix="bench", throughput_target_gbps=100.0, part_size=8 << 20,
            endpoint=self.endpoint, force_path_style=True)

    def get_one(self, key):
        return sum(map(len, self.client.get_object(BUCKET, key)))


class Boto3(Peer):
    def open(self):
        import boto3
        from botocore.config import Config

        self.client = boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.id, aws_secret_access_key=self.secret,
            region_name=self.region, config=Config(max_pool_connections=self.threads, s3={"addressing_style": "path"}))

    def get_one(self, key):
        return len(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put_one(self, key):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=self.payload)


class AwsCrt(Peer):
    def open(self):
        from awscrt import auth, http, io, s3

        group = io.EventLoopGroup(os.cpu_count())
        self.http, self.s3 = http, s3
        self.client = s3.S3Client(
            bootstrap=io.ClientBootstrap(group, io.DefaultHostResolver(group)), region=self.region,
            credential_provider=auth.AwsCredentialsProvider.new_static(self.id, self.secret),
            throughput_target_gbps=100, part_size=8 << 20, tls_mode=s3.S3RequestTlsMode.DISABLED)

    def get(self):
        places, futures, moved = threading.Semaphore(self.threads), [], []
        for key in self.keys:
            places.acquire()
            request = self.http.HttpRequest("GET", f"/{BUCKET}/{key}", self.http.HttpHeaders([("Host", self.host)]))
            call = self.client.make_request(
                request=request, type=self.s3.S3RequestType.GET_OBJECT,
                on_body=lambda chunk, offset, **_: moved.append(len(chunk)))
            call.finished_future.add_done_callback(lambda _: places.release())
            futures.append(call.finished_future)
        for future in futures:
            future.result()
        return sum(moved)


class PyArrow(Peer):
    def open(self):
        from pyarrow import fs

        self.files = fs.S3FileSystem(
            access_key=self.id, secret_key=self.secret, endpoint_override=self.host, scheme="http", region=self.region)

    def get_one(self, key):
        with self.files.open_input_file(f"{BUCKET}/{key}") as file:
            return len(file.read_buffer())

    def put_one(self, key):
        with self.files.open_output_stream(f"{BUCKET}/{key}") as file:
            file.write(self.payload)


PEERS = {"ours": Ours, "s3dlio_0_10": S3dlio010, "obstore": Obstore, "s3torch": S3Torch, "boto3": Boto3,
         "awscrt": AwsCrt, "pyarrow": PyArrow}


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise SystemExit("/proc/self/status has no VmHWM")


def main():
    arguments = dict(argument.split("=", 1) for argument in sys.argv[3:])
    peer = PEERS[sys.argv[1]](arguments)
    one_pass, passes = getattr(peer, sys.argv[2]), int(arguments["passes"])
    expected = len(peer.keys) * peer.size
    before = began = None
    for turn in range(passes + 1):
        if turn == 1:
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        moved = one_pass()
        if moved != expected:
            raise SystemExit(f"{moved} bytes instead of {expected}")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "passes": passes, "objects": len(peer.keys) * passes, "bytes": expected * passes, "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "rss": peak(),
        "switches": after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw}))


if __name__ == "__main__":
    main()
