"""The wheel: built, installed into a fresh environment, and used there."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "bindings" / "python"
LIBRARY = os.environ["S3DLIO_LIBRARY"]
ROUND_TRIP = """
import sys, s3dlio
for root in sys.argv[1:]:
    store = s3dlio.Store(root)
    with store.writer("dir/key") as writer:
        writer.write(b"123456789" * 1000)
    assert store.get("dir/key") == b"123456789" * 1000
    assert writer.stats.crc32c == s3dlio.crc32c(store.get("dir/key"))
print("version", s3dlio.version(), s3dlio.__file__)
"""


def run(*command, **env):
    """Runs with only the environment that a fresh shell would have, plus `env`."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command], env={**clean, **env}, capture_output=True, text=True, timeout=600, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"  # pip builds in place; leave the checkout alone
    files = [path for path in (SOURCE / "s3dlio").rglob("*") if path.suffix in (".py", ".typed")]
    names = ["pyproject.toml", "setup.py", "README.md", *(path.relative_to(SOURCE) for path in files)]
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((SOURCE / name).read_bytes())
    # setuptools is pinned in the test environment as in pyproject.toml, so nothing is downloaded.
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", folder, copy, S3DLIO_LIBRARY=LIBRARY)
    (path,) = folder.glob("*.whl")
    return path


def test_the_command_comes_with_the_wheel(wheel, tmp_path):
    command = Path(LIBRARY).with_name("s3dlio")
    if not command.is_file():
        pytest.skip(f"there is no {command}")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    assert run(tmp_path / "env" / "bin" / "s3dlio", "version").split() == ["s3dlio", "0.1.0"]


def test_a_command_that_is_named_but_missing_is_an_error(tmp_path):
    (tmp_path / "s3dlio").mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "s3dlio/__init__.py"):
        (tmp_path / name).write_bytes((SOURCE / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_scripts"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "S3DLIO_LIBRARY": LIBRARY, "S3DLIO_COMMAND": "/no/such/command"}, timeout=120,
    )
    assert done.returncode != 0 and "S3DLIO_COMMAND names /no/such/command" in done.stderr


def test_the_wheel_carries_the_library_for_any_python_3(wheel):
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"s3dlio-0.1.0-py3-none-{platform}.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {"s3dlio/libs3dlio.so", "s3dlio/py.typed", "s3dlio/__init__.py", "s3dlio/compat/__init__.py"} <= set(names)


def test_an_installed_wheel_works_alone(wheel, tmp_path):
    """In a fresh environment, without S3DLIO_LIBRARY and without this checkout."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    printed = run(python, "-I", "-c", ROUND_TRIP, "memory://wheel/x", f"file://{tmp_path}/data")
    assert printed.startswith("version 0.1.0") and str(tmp_path / "env") in printed
    assert (tmp_path / "data" / "dir" / "key").read_bytes() == b"123456789" * 1000


NAMES = """
import fsspec, sys
names = [f"s3dlio+{scheme}" for scheme in ("s3", "az", "file", "direct", "memory")]
assert "s3dlio" not in sys.modules and set(names) <= set(fsspec.available_protocols())
for name in names:
    assert fsspec.get_filesystem_class(name).protocol == name, name
with fsspec.open(f"s3dlio+file://{sys.argv[1]}/x", "wb") as file:
    file.write(b"123")
assert fsspec.filesystem("s3dlio+file").cat(f"{sys.argv[1]}/x") == b"123"
print("found", sys.modules["s3dlio"].__file__)
"""


def test_an_installed_wheel_is_found_by_fsspec(wheel, tmp_path):
    """Through its entry points: nobody imports s3dlio or registers anything."""
    import fsspec

    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "fsspec").symlink_to(Path(fsspec.__file__).parent)
    printed = run(python, "-I", "-W", "error", "-c", NAMES, tmp_path / "data")
    assert printed == f"found {packages}/s3dlio/__init__.py\n"
    assert (tmp_path / "data" / "x").read_bytes() == b"123"


def test_the_installer_says_what_is_missing(tmp_path):
    """Without the library and without the Rust sources there is a reason, not a broken package."""
    (tmp_path / "s3dlio" / "compat" / "s3torchconnector").mkdir(parents=True)
    (tmp_path / "s3dlio" / "__init__.py").touch()
    for name in ("pyproject.toml", "setup.py", "README.md"):
        (tmp_path / name).write_bytes((SOURCE / name).read_bytes())
    for env, reason in (({}, "neither S3DLIO_LIBRARY nor the Rust sources"), ({"S3DLIO_LIBRARY": "/no/such.so"}, "/no/such.so")):
        done = subprocess.run(
            [sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=tmp_path, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], **env}, timeout=120,
        )
        assert done.returncode != 0 and reason in done.stderr


def test_a_library_without_the_command_beside_it_makes_a_wheel(tmp_path):
    for name in ("s3dlio/__init__.py", "s3dlio/compat/__init__.py", "s3dlio/compat/s3torchconnector/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("pyproject.toml", "setup.py", "README.md"):
        (tmp_path / name).write_bytes((SOURCE / name).read_bytes())
    library = tmp_path / "elsewhere" / "libs3dlio.so"
    library.parent.mkdir()
    shutil.copy(shutil.which("true"), library)  # what it is nobody asks
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "S3DLIO_LIBRARY": str(library)}, timeout=120,
    )
    assert done.returncode == 0 and "the package comes without the command" in done.stdout, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "s3dlio/libs3dlio.so" in names and not [name for name in names if "scripts" in name]
