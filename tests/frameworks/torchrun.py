"""Starts jobs with torchrun, or as ranks.py does, and ends them as a power cut would."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

from conftest import ACCESS_KEY, AZURITE_KEY, REGION, SECRET_KEY, server


def environment(backend):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "S3DLIO_CHECKPOINT_TIMEOUT_MS": "60000"}
    if backend == "seaweed":
        env.update(
            S3DLIO_S3_ENDPOINT=server("S3DLIO_TEST_SEAWEED"), AWS_ACCESS_KEY_ID=ACCESS_KEY,
            AWS_SECRET_ACCESS_KEY=SECRET_KEY, AWS_REGION=REGION,
        )
    elif backend == "azurite":
        env.update(AZURE_STORAGE_ENDPOINT=server("S3DLIO_TEST_AZURITE"), AZURE_STORAGE_ACCOUNT_KEY=AZURITE_KEY)
    return env


def descendants(process):
    """The processes below one, as the system knows them now: what ranks say of themselves may be late or mixed up."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                # The name of the program, in parentheses, may have any characters.
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    found = []
    for child in children.get(process, []):
        found += [child, *descendants(child)]
    return found


class Job:
    """A job of `world` processes whose lines of JSON are read as they come. `forked`: quickly, without torchrun."""

    def __init__(self, world, backend, script, *arguments, seconds=180, forked=False):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
        launcher = [str(Path(__file__).with_name("ranks.py")), str(world)] if forked else torchrun
        command = [sys.executable, "-W", "ignore", *launcher, str(script), *map(str, arguments)]
        self.seconds = seconds
        self.process = subprocess.Popen(
            command, env=environment(backend), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said, self.other, self._lines = [], [], queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self.process.stdout.close()
        self._lines.put(None)

    def next(self):
        """The next object, or None at the end."""
        while True:
            line = self._lines.get(timeout=self.seconds)
            if line is None:
                return None
            try:
                self.said.append(json.loads(line))
                return self.said[-1]
            except ValueError:
                self.other.append(line)

    def until(self, key, value):
        while (facts := self.next()) is not None:
            if facts.get(key) == value:
                return facts
        raise AssertionError(f"the job ended before {key} {value}:\n{''.join(self.other)}")

    def kill(self):
        """SIGKILL to every process of the job."""
        for process in [*descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(self.seconds)
        while self.next() is not None:
            pass
        self._reader.join()

    def finish(self):
        """Waits for success; gives what was said."""
        while self.next() is not None:
            pass
        status = self.process.wait(self.seconds)
        self._reader.join()
        assert status == 0, "".join(self.other)
        return self.said

    def losses(self):
        return {facts["step"]: facts["loss"] for facts in self.said if "loss" in facts}
