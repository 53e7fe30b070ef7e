"""Puts libs3dlio.so into the package and the command `s3dlio` beside the environment's python.

The library is the file that the environment variable S3DLIO_LIBRARY names, and the command the file
of S3DLIO_COMMAND, else `s3dlio` beside that library, else there is none. Without S3DLIO_LIBRARY cargo builds
both from the source tree around this folder. An editable install (`pip install -e`) puts the library
beside the sources. What is set up declaratively is in pyproject.toml.
"""

import json
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Optional

from setuptools import Distribution, setup  # first, as it brings distutils
from distutils.command.build_scripts import build_scripts
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
NAME = "libs3dlio.so"
COMMAND = "s3dlio"


def library() -> Path:
    given = os.environ.get("S3DLIO_LIBRARY")
    return existing("S3DLIO_LIBRARY", given) if given else built(NAME)


def command() -> Optional[Path]:
    given, library = os.environ.get("S3DLIO_COMMAND"), os.environ.get("S3DLIO_LIBRARY")
    if given:
        return existing("S3DLIO_COMMAND", given)
    if not library:
        return built(COMMAND)
    beside = Path(library).resolve().with_name(COMMAND)
    if beside.is_file():
        return beside
    print(f"s3dlio: no {COMMAND} beside {library} and S3DLIO_COMMAND is not set: the package comes without the command")
    return None


def existing(variable: str, path: str) -> Path:
    if not Path(path).is_file():
        raise SystemExit(f"{variable} names {path}, which is not a file")
    return Path(path)


@lru_cache(None)
def built(name: str) -> Path:
    manifest = HERE.parent.parent / "Cargo.toml"
    if not manifest.is_file():
        raise SystemExit(
            "neither S3DLIO_LIBRARY nor the Rust sources are here: build from a checkout of the "
            "repository, or set S3DLIO_LIBRARY to the path of libs3dlio.so"
        )
    if shutil.which("cargo") is None:
        raise SystemExit("cargo is not installed: install Rust, or set S3DLIO_LIBRARY to the path of libs3dlio.so")
    command = ["cargo", "build", "--release", "--lib", "--bin", COMMAND, "--message-format=json-render-diagnostics"]
    output = subprocess.run(command, cwd=manifest.parent, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    files = [file for message in messages for file in message.get("filenames", [])]
    found = [file for file in files if Path(file).name == name]
    if not found:
        raise SystemExit(f"cargo built no {name}")
    return Path(found[-1])


def strip(file: Path) -> None:
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", str(file)], check=True)


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        target = HERE / "s3dlio" if self.editable_mode else Path(self.build_lib) / "s3dlio"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library(), target / NAME)
        if not self.editable_mode:
            strip(target / NAME)

    def get_outputs(self, include_bytecode=True):
        return super().get_outputs(include_bytecode) + [str(Path(self.build_lib) / "s3dlio" / NAME)]


class BuildCommand(build_scripts):
    """The command as it is: setuptools' own step takes scripts of text only."""

    def finalize_options(self):
        super().finalize_options()
        self.scripts = []

    def run(self):
        file = command()
        Path(self.build_dir).mkdir(parents=True, exist_ok=True)  # looked for later on in any case
        if file is None:
            return
        target = Path(self.build_dir) / COMMAND
        shutil.copyfile(file, target)
        target.chmod(0o755)
        strip(target)


class AnyPython(bdist_wheel):
    """No extension module: any Python 3, but one platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True

    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        self.scripts = [COMMAND]  # which BuildCommand makes


setup(distclass=WithLibrary, cmdclass={
    "build_py": BuildWithLibrary, "build_scripts": BuildCommand, "bdist_wheel": AnyPython,
})
