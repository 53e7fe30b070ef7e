"""Lets PyPI's torch, which is built for CUDA, be loaded without the 4 GB of NVIDIA's packages.

Its libraries name CUDA's, which a machine without a GPU has no use for. Each of those gets a library in its
place that has every symbol that is asked for, and whatever is called answers that there is no device.
usage: torch_cpu.py SITE-PACKAGES
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

CUDA = r"lib(?:cu|nv|nccl)\w*\.so\.\d+"
NEEDED = re.compile(rf"\(NEEDED\).*\[({CUDA})\]")
FILE, VERSION = re.compile(r"File: (\S+) "), re.compile(r"Name: (\S+) ")
SYMBOL = re.compile(r" U ((?:_*cu|nv|nccl)\w+)(?:@(\S+))?")

NO_DEVICE = 100  # cudaErrorNoDevice


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def build(path, symbols):
    """`symbols`: version -> names; None stands for those without one."""
    source = "".join(f"long {name}(void) {{ return {NO_DEVICE}; }}\n" for names in symbols.values() for name in names)
    versions = "".join(f"{version} {{ {'; '.join(sorted(names))}; }};\n" for version, names in symbols.items() if version)
    with tempfile.NamedTemporaryFile("w", suffix=".map") as script:
        script.write(versions)
        script.flush()
        flags = [f"-Wl,--version-script={script.name}"] if versions else []
        command = ["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname={path.name}", *flags, "-o", str(path), "-x", "c", "-"]
        subprocess.run(command, input=source, check=True, text=True)


def main(site):
    folder = Path(site) / "torch/lib"
    libraries, file_of, symbols = {}, {}, set()
    for file in folder.glob("*.so"):
        for name in NEEDED.findall(output("readelf", "-d", str(file))):
            libraries[name] = defaultdict(set)
        for line in output("readelf", "-V", str(file)).splitlines():
            if found := FILE.search(line):
                needed = found[1]
            elif found := VERSION.search(line):
                file_of[found[1]] = needed
        symbols.update(SYMBOL.findall(output("nm", "-D", "--undefined-only", str(file))))
    anywhere = next(name for name in libraries if name.startswith("libcudart"))
    for name, version in symbols:
        libraries[file_of[version] if version else anywhere][version or None].add(name)
    for name, found in libraries.items():
        build(folder / name, found)


main(sys.argv[1])
