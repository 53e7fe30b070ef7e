#!/usr/bin/env python3
"""Compiles every C example of docs/c.md, docs/datagen.md and README.md; whole programs are also linked and run.

A block ```c is a whole program, a block ```c fragment is the body of a function with `store`, `key` and `err`.
Fragments are run, too: on a store that holds what they expect. Environment: S3DLIO_LIB_DIR (with
libs3dlio.so), CC. Last line: `N passed, N failed`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = os.environ.get("CARGO_TARGET_DIR") or ROOT / "target"
LIBRARY = Path(os.environ.get("S3DLIO_LIB_DIR") or Path(TARGET) / "release")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'include'}"]

# What a fragment is put into. It returns a status; 0 and positive are success.
FRAME = """
#include <s3dlio.h>
#include <stdio.h>
static int32_t fragment(s3dlio_store *store, const char *key, s3dlio_error **err) {
    (void)store; (void)key; (void)err;
%s
    return S3DLIO_OK;
}
int main(void) {
    s3dlio_store *store = NULL;
    s3dlio_error *err = NULL;
    char bytes[2000] = "123456789";
    int32_t status = s3dlio_store_open("memory://fragment", NULL, &store, &err);
    if (status == 0) status = s3dlio_store_put(store, "k", bytes, %d, NULL, 0, NULL, 0, &err);
    if (status == 0) status = fragment(store, "k", &err);
    if (status < 0) fprintf(stderr, "%%s\\n", s3dlio_error_message(err));
    s3dlio_error_free(err);
    s3dlio_store_free(store);
    return status < 0;
}
"""


def programs():
    """Gives (name, source) of every example."""
    for page in ("docs/c.md", "docs/datagen.md", "README.md"):
        text = (ROOT / page).read_text()
        for match in re.finditer(r"^```c( fragment)?\n(.*?)^```$", text, re.M | re.S):
            line = text.count("\n", 0, match.start()) + 1
            size = 9 if "crc32c(0" in match[2] else 2000
            source = FRAME % (match[2], size) if match[1] else match[2]
            yield f"{page}:{line}", source


def trial(name, source, folder):
    """Compiles and runs one example; says what went wrong."""
    (folder / "example.c").write_text(source.replace("file:///tmp/", f"file://{folder}/"))
    link = [f"-L{folder}", "-ls3dlio", f"-Wl,-rpath,{folder}"]
    command = [os.environ.get("CC", "cc"), *FLAGS, "example.c", *link, "-o", "example"]
    for step in (command, ["./example"]):
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
        if done.returncode != 0:
            print(f"FAILED {name}: {step[0]} gave {done.returncode}\n{done.stdout}{done.stderr}")
            return False
    return True


def main():
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for link in ("libs3dlio.so", "libs3dlio.so.0"):  # the name to link with, and the one in the program
            Path(folder, link).symlink_to(LIBRARY.resolve() / "libs3dlio.so")
        for name, source in programs():
            results.append(trial(name, source, Path(folder)))
    if len(results) < 9:
        print(f"FAILED: only {len(results)} examples were found")
        results.append(False)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


main()
