#!/usr/bin/env python3
"""Starts the object stores that the tests talk to, on free ports of 127.0.0.1.

    servers.py run   [--only seaweed,s3b,azurite] -- CMD...   CMD sees the variables below; its exit code is ours
    servers.py serve [--only ...]                             prints NAME=value lines, lives until stdin closes

    S3DLIO_TEST_SEAWEED   endpoint of SeaweedFS               key s3dliotest, secret s3dliotestsecret, us-east-1
                          and with the same secret s3dliotestreader and s3dliotestwriter, who may do only that
    S3DLIO_TEST_S3B       endpoint of a second S3 server      the same
    S3DLIO_TEST_AZURITE   blob endpoint with the account      devstoreaccount1 and its well-known key

Tools come from $S3DLIO_TEST_TOOLS or ${XDG_CACHE_HOME:-~/.cache}/s3dlio/tools (py/bin, npm/node_modules/.bin).
Data and logs are in a temporary directory that goes away at the end. Python standard library only.
"""

import argparse
import ctypes
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ACCESS_KEY, SECRET_KEY, REGION = "s3dliotest", "s3dliotestsecret", "us-east-1"
START_TIMEOUT = 90.0  # seconds until a server must answer; a loaded machine is slow
START_TRIES = 3  # another process may take a port between our choice and the server's bind


class StartFailed(Exception):
    """A server did not come up; the text has the reason and the end of its log."""


def tools() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("S3DLIO_TEST_TOOLS") or os.path.join(cache, "s3dlio", "tools"))


def tool(*relative: str) -> str:
    path = tools().joinpath(*relative)
    if not path.exists():
        raise StartFailed(f"{path} is missing; tests/run installs the test servers, or set S3DLIO_TEST_TOOLS")
    return str(path)


def free_ports(count: int) -> list:
    """Ports that nobody listens on now. All are held until all are chosen, so they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def die_with_parent():
    """In the child: be killed when the parent dies, even by SIGKILL (Linux; elsewhere stop() has to do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """One server process in a process group of its own."""

    name = ""
    variable = ""

    def __init__(self, scratch: pathlib.Path):
        self.dir = scratch / self.name
        self.process = None

    def start(self):
        """Starts until it serves; gives up with the log's end."""
        for left in reversed(range(START_TRIES)):
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir.mkdir(parents=True)
            command, env = self.prepare()
            with open(self.dir / "log", "wb") as log:
                self.process = subprocess.Popen(
                    command, cwd=self.dir, env={**os.environ, "TMPDIR": str(self.dir), **env},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, preexec_fn=die_with_parent)
            try:
                return self.wait_until_it_serves()
            except StartFailed:
                self.stop()
                if left == 0:
                    raise

    def wait_until_it_serves(self):
        deadline, last = time.monotonic() + START_TIMEOUT, "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                last = f"it ended with code {self.process.returncode}"
                break
            try:
                return self.probe()
            except (OSError, urllib.error.URLError) as error:  # HTTPError is an URLError
                last = str(error)
                time.sleep(0.1)
        log = (self.dir / "log").read_bytes()[-6000:].decode(errors="replace")
        raise StartFailed(f"{self.name} does not serve: {last}\n--- end of its log ---\n{log}")

    def stop(self):
        """Kills the process group that we made, and nothing else."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # data is temporary: no need to be gentle
            except ProcessLookupError:
                pass
        self.process.wait()

    def prepare(self):
        """Chooses ports; returns the command and additions to the environment."""
        raise NotImplementedError

    def probe(self):
        """Raises OSError or URLError until the server serves."""
        raise NotImplementedError

    def value(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def sign(method: str, host: str, path: str, payload: bytes) -> dict:
    """The headers of AWS Signature Version 4 for a request without query."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(payload).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(headers)
    canonical = "\n".join([method, path, "", *(f"{k}:{v}" for k, v in headers.items()), "", names, digest])
    scope = f"{day}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}")
    return headers


# Never through a proxy that the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http(method: str, url: str, headers=None, payload: bytes = None) -> bytes:
    # urllib would call every body a form, and moto believes it.
    headers = {"content-type": "application/octet-stream", **(headers or {})}
    request = urllib.request.Request(url, data=payload, headers=headers, method=method)
    with DIRECT.open(request, timeout=10) as answer:
        return answer.read()


class S3Server(Server):
    def probe(self):
        """Stores, reads and removes an object in a bucket of its own."""
        host, body = f"127.0.0.1:{self.port}", b"serving"

        def call(method, path, payload=b""):
            return http(method, f"http://{host}{path}", sign(method, host, path, payload),
                        payload if method == "PUT" else None)

        bucket = f"/probe-{time.monotonic_ns()}"
        call("PUT", bucket)
        call("PUT", f"{bucket}/x", body)
        if call("GET", f"{bucket}/x") != body:
            raise OSError("the server gave other bytes back")
        call("DELETE", f"{bucket}/x")
        call("DELETE", bucket)


class Seaweed(S3Server):
    """SeaweedFS: signatures, checksums and conditions are checked.

    Keys are paths of a file system there: lists walk the tree (a/1 before a-b), \\ becomes /, a//b becomes a/b,
    keys with . or .. components are refused, a name has at most 255 bytes, and a folder that became empty
    stays listed for a while.
    """

    name, variable = "seaweed", "S3DLIO_TEST_SEAWEED"

    def prepare(self):
        ports = free_ports(8)
        self.port = ports[0]
        actions = {"": ["Admin", "Read", "List", "Tagging", "Write"], "reader": ["Read", "List"], "writer": ["Write"]}
        identities = [{"name": f"tests{who}", "actions": may,
                       "credentials": [{"accessKey": ACCESS_KEY + who, "secretKey": SECRET_KEY}]}
                      for who, may in actions.items()]
        config = self.dir / "s3.json"
        config.write_text(json.dumps({"identities": identities}))
        names = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc"]
        command = [
            tool("py", "bin", "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.dir}",
            *(f"-{name}={port}" for name, port in zip(names, ports)),
            "-filer", f"-filer.localSocket={self.dir}/filer.sock",
            "-s3", f"-s3.config={config}", f"-s3.localSocket={self.dir}/s3.sock",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            # A missing bucket is an error, a full one cannot be deleted: as on S3.
            "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false",
            # Every bucket takes volumes of its own; files grow only as they are written.
            "-master.volumeSizeLimitMB=1024", "-volume.max=10000", "-master.telemetry=false",
            "-volume.preStopSeconds=0",
        ]
        return command, {"GOMEMLIMIT": "6GiB", "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


class SecondS3(S3Server):
    """moto: every key literally, lists in byte order, conditional writes, whole multipart semantics.

    It checks neither signatures nor the checksums of uploads, answers 200 where a bucket exists already (as
    us-east-1 does), and cannot take a newline in a key. `rclone serve s3`, the other candidate, ignores
    conditions on writes and if-match on reads, loses content type and metadata on copies, and refuses keys
    such as a//b, or a/b beside a.
    """

    name, variable = "s3b", "S3DLIO_TEST_S3B"

    def prepare(self):
        self.port, = free_ports(1)
        return [tool("py", "bin", "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)], {}


class Azurite(Server):
    name, variable = "azurite", "S3DLIO_TEST_AZURITE"

    def prepare(self):
        self.port, = free_ports(1)
        # Not --loose: a header or parameter that the real service refuses must not pass here. The version check
        # is off because clients may speak a newer API version than Azurite knows.
        return [tool("npm", "node_modules", ".bin", "azurite-blob"), "--blobHost", "127.0.0.1",
                "--blobPort", str(self.port), "--location", str(self.dir), "--silent",
                "--disableTelemetry", "--skipApiVersionCheck"], {}

    def probe(self):
        try:
            http("GET", f"{self.value()}?comp=list")
        except urllib.error.HTTPError as error:
            if error.code not in (400, 403):  # unsigned, so it must refuse: that is its own answer
                raise

    def value(self):
        return f"http://127.0.0.1:{self.port}/devstoreaccount1"


KINDS = [Seaweed, SecondS3, Azurite]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "serve"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--only", default=",".join(kind.name for kind in KINDS))
        if verb == "run":
            sub.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    only = args.only.split(",")
    known = [kind.name for kind in KINDS]
    if set(only) - set(known):
        parser.error(f"--only takes {', '.join(known)}, not {args.only}")
    command = getattr(args, "command", [])
    if command[:1] == ["--"]:
        command = command[1:]
    if args.verb == "run" and not command:
        parser.error("run needs a command after --")

    # A termination request becomes an exception, so that the finally below stops the servers.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))

    scratch = pathlib.Path(tempfile.mkdtemp(prefix="s3dlio-servers-"))
    servers = [kind(scratch) for kind in KINDS if kind.name in only]
    try:
        for server in servers:
            server.start()
        variables = {server.variable: server.value() for server in servers}
        if args.verb == "run":
            return run(command, {**os.environ, **variables})
        # One write; an empty line ends the list.
        print("".join(f"{name}={value}\n" for name, value in variables.items()), flush=True)
        while os.read(0, 4096):
            pass
        return 0
    except StartFailed as error:
        print(f"servers.py: {error}", file=sys.stderr)
        return 70
    except KeyboardInterrupt:
        return 130
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def run(command: list, env: dict) -> int:
    """Runs the command in our terminal; its exit code, or 128 + signal as a shell has it."""
    process = subprocess.Popen(command, env=env)
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
