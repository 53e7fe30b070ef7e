"""Puts libs3dlio.so into the package.

The library is the file that the environment variable S3DLIO_LIBRARY names, else cargo builds it
from the source tree around this folder. An editable install (`pip install -e`) puts it beside the
sources. What is set up declaratively is in pyproject.toml.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
NAME = "libs3dlio.so"


def library() -> Path:
    given = os.environ.get("S3DLIO_LIBRARY")
    if given:
        if not Path(given).is_file():
            raise SystemExit(f"S3DLIO_LIBRARY names {given}, which is not a file")
        return Path(given)
    manifest = HERE.parent.parent / "Cargo.toml"
    if not manifest.is_file():
        raise SystemExit(
            "neither S3DLIO_LIBRARY nor the Rust sources are here: build from a checkout of the "
            "repository, or set S3DLIO_LIBRARY to the path of libs3dlio.so"
        )
    if shutil.which("cargo") is None:
        raise SystemExit("cargo is not installed: install Rust, or set S3DLIO_LIBRARY to the path of libs3dlio.so")
    command = ["cargo", "build", "--release", "--lib", "--message-format=json-render-diagnostics"]
    output = subprocess.run(command, cwd=manifest.parent, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    files = [file for message in messages for file in message.get("filenames", [])]
    found = [file for file in files if Path(file).name == NAME]
    if not found:
        raise SystemExit(f"cargo built no {NAME}")
    return Path(found[-1])


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        target = HERE / "s3dlio" if self.editable_mode else Path(self.build_lib) / "s3dlio"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library(), target / NAME)
        if not self.editable_mode and shutil.which("strip"):
            subprocess.run(["strip", "--strip-unneeded", str(target / NAME)], check=True)

    def get_outputs(self, include_bytecode=True):
        return super().get_outputs(include_bytecode) + [str(Path(self.build_lib) / "s3dlio" / NAME)]


class AnyPython(bdist_wheel):
    """No extension module: any Python 3, but one platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


setup(distclass=WithLibrary, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": AnyPython})
