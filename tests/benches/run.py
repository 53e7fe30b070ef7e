"""The benchmarks' own test: what a goal holds by, and that a client that fails is no blank.

S3DLIO_LIBRARY=target/release/libs3dlio.so tests/benches/run.py    The last line counts.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCHES = Path(__file__).resolve().parents[2] / "benches"
sys.dont_write_bytecode = True
sys.path.insert(0, str(BENCHES))

import report  # noqa: E402
from cases import Case, Client, Goal  # noqa: E402


def row(cpu, wall=1.0, size=100, rss=0):
    return {"objects": 1, "bytes": size, "wall": wall, "cpu": cpu, "rss": rss}


def judge(goal, ours, **others):
    case = Case("", {"ours": Client([]), **{name: Client([]) for name in others}}, [goal], ideal=2.0)
    (_, _, measured, holds), = report.goals({"case": case}, {"case": {"ours": ours, **others}})
    return measured, holds


class Goals(unittest.TestCase):
    def test_a_ratio_is_taken_in_each_round_and_its_median_decides(self):
        ours, limit = [row(2), row(90), row(3)], [row(2), row(10), row(1)]
        self.assertEqual(judge(Goal("cpu", 3.0, "limit"), ours, limit=limit), ("3.000 (1.000-9.000)", "yes"))
        self.assertEqual(judge(Goal("cpu", 2.9, "limit"), ours, limit=limit)[1], "no")

    def test_at_least_is_the_other_way_round(self):
        slow, fast = [row(1, wall=2.0)], [row(1, wall=1.0)]
        self.assertEqual(judge(Goal("rate", 0.5, "limit", at_least=True), slow, limit=fast), ("0.500", "yes"))
        self.assertEqual(judge(Goal("rate", 0.6, "limit", at_least=True), slow, limit=fast)[1], "no")

    def test_figures_are_per_byte(self):
        self.assertEqual(judge(Goal("cpu", 1.0, "limit"), [row(4, size=400)], limit=[row(1, size=100)]), ("1.000", "yes"))

    def test_the_checksum_pass_is_taken_off_before_comparing(self):
        goal = Goal("cpu", 1.5, "limit", less="crc")
        self.assertEqual(judge(goal, [row(4)], limit=[row(2)], crc=[row(1)]), ("1.500", "yes"))

    def test_sizes_and_the_ideal_are_compared_as_they_are(self):
        self.assertEqual(judge(Goal("rss", 1 << 20), [row(1, rss=2 << 20)]), ("2.0", "no"))
        self.assertEqual(judge(Goal("wall", 1.3, "ideal"), [row(1, wall=2.6)]), ("1.300", "yes"))

    def test_a_failed_client_keeps_no_promise(self):
        self.assertEqual(judge(Goal("cpu", 1.0, "limit"), [], limit=[row(1)]), ("FAILED", "no"))


class Runs(unittest.TestCase):
    """File cases: they need no server."""

    def run_benches(self, library):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, BENCHES / "run", "--quick", "--library", library, "--out", out, "file_4k", "direct_read"]
            process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            left = {path.name for path in Path(out).iterdir()} - {"programs"}
            return process.returncode, process.stdout, left

    def test_a_run_writes_its_results_and_leaves_nothing_else(self):
        status, text, left = self.run_benches(os.environ["S3DLIO_LIBRARY"])
        self.assertEqual(status, 0, text)
        self.assertEqual(left, {"table.txt", "table.md", "plot.svg", "figures.json"})
        self.assertRegex(text, r"file_4k +ours +\d")
        self.assertNotIn("FAILED", text)

    def test_a_client_that_fails_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "libs3dlio.so.0"
            header = (BENCHES.parent / "include/s3dlio.h").read_text()
            names = sorted(set(re.findall(r"^\w.*?\b(s3dlio_\w+)\(", header, re.M)))
            source = "".join(f"long {name}(void) {{ return -3; }}\n" for name in names)
            command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-Wl,-soname,libs3dlio.so.0", "-xc", "-", "-o", library]
            subprocess.run(command, input=source, text=True, check=True)
            status, text, _ = self.run_benches(library)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, r"(?m)^FAILED file_4k ours: status 1: s3dlio_options_new: status -3")
        self.assertRegex(text, r"file_4k +throughput at least 0.9 of limit's +FAILED +no")


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bool(bad))
