"""The ctypes tables against include/s3dlio.h: nothing may be missing or different on either side."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from s3dlio import _ffi

HEADER = Path(__file__).resolve().parents[2] / "include" / "s3dlio.h"

SCALARS = {
    ctypes.c_int32: "int32_t",
    ctypes.c_int64: "int64_t",
    ctypes.c_uint16: "uint16_t",
    ctypes.c_uint32: "uint32_t",
    ctypes.c_uint64: "uint64_t",
    ctypes.c_double: "double",
    ctypes.c_char_p: "char *",
    ctypes.c_void_p: "void *",
    None: "void",
}
# size_t is uint64_t to ctypes on this platform, so the two compare as one type.
SAME = {"size_t": f"uint{8 * ctypes.sizeof(ctypes.c_size_t)}_t"}


def spell(kind):
    """The C spelling of a ctypes type, without const."""
    if kind in SCALARS:
        return SCALARS[kind]
    if kind is _ffi.s3dlio_log_callback:
        return "s3dlio_log_callback"
    if issubclass(kind, ctypes._Pointer):
        return normal(spell(kind._type_) + " *")
    if issubclass(kind, ctypes.Array):
        return f"{'char' if kind._type_ is ctypes.c_char else spell(kind._type_)}[{kind._length_}]"
    return kind.__name__


def normal(text):
    """One spelling per C type: no const, no struct, single spaces, stars together."""
    text = re.sub(r"\b(const|struct)\b", " ", text)
    words = re.findall(r"\w+|\*|\[\d+\]", text)
    names = [SAME.get(word, word) for word in words if word != "*" and word[0] != "["]
    stars, array = words.count("*"), [word for word in words if word[0] == "["]
    return " ".join(names) + (" " + "*" * stars if stars else "") + "".join(array)


def split_name(declaration):
    """`const char *key[3]` -> ("key", type)."""
    match = re.fullmatch(r"(.*?)(\w+)\s*((?:\[\d+\])?)", declaration.strip(), re.S)
    return match[2], normal(match[1] + match[3])


@pytest.fixture(scope="module")
def header():
    """The header after the preprocessor: only declarations."""
    text = subprocess.run(
        ["cc", "-E", "-P", "-x", "c", str(HEADER)], check=True, capture_output=True, text=True
    ).stdout
    return text[text.index("s3dlio") :]


@pytest.fixture(scope="module")
def macros():
    text = subprocess.run(
        ["cc", "-E", "-dM", "-x", "c", str(HEADER)], check=True, capture_output=True, text=True
    ).stdout
    return dict(re.findall(r"^#define (S3DLIO_\w+) +(.+)$", text, re.M))


def functions_of(header):
    found = {}
    outside = re.sub(r"\{.*?\}", "", header, flags=re.S)
    for result, name, arguments in re.findall(r"([\w\s*]+?)\b(s3dlio_\w+)\s*\(([^()]*)\)\s*;", outside):
        result = result.split("typedef")[-1]
        kinds = [] if arguments.strip() in ("", "void") else [split_name(a)[1] for a in arguments.split(",")]
        found[name] = (normal(result), kinds)
    return found


def structs_of(header):
    found = {}
    for body, name in re.findall(r"typedef\s+struct\s*\w*\s*\{(.*?)\}\s*(\w+)\s*;", header, re.S):
        found[name] = []
        for declaration in filter(None, (line.strip() for line in body.split(";"))):
            first, *others = declaration.split(",")
            field, kind = split_name(first)
            found[name].append((field, kind))
            base = re.sub(r"[*\s]*\w+$", "", first)
            found[name] += [split_name(f"{base} {other}") for other in others]
    return found


def test_functions_are_those_of_the_header(header):
    ours = {
        name: (normal(spell(result)), [normal(spell(kind)) for kind in arguments])
        for name, (result, arguments) in _ffi.FUNCTIONS.items()
    }
    theirs = functions_of(header)
    assert len(theirs) > 70, "the header was not understood"
    assert ours == theirs


def test_structs_have_the_fields_of_the_header(header):
    ours = {
        name: [(field, normal(spell(kind))) for field, kind in struct._fields_]
        for name, struct in vars(_ffi).items()
        if isinstance(struct, type) and issubclass(struct, ctypes.Structure) and hasattr(struct, "_fields_")
    }
    assert ours == structs_of(header)


def test_structs_have_the_layout_of_the_compiler(header, tmp_path):
    """Sizes and offsets as the C compiler sees them."""
    lines, expected = [], []
    for name in structs_of(header):
        struct = getattr(_ffi, name)
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        expected.append(f"{name} {ctypes.sizeof(struct)}")
        for field, _ in struct._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
            expected.append(f"{name}.{field} {getattr(struct, field).offset}")
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(
        f'#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{ {" ".join(lines)} return 0; }}\n'
    )
    subprocess.run(["cc", "-o", program, source], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == expected


def test_the_callback_is_that_of_the_header(header):
    kinds = re.search(r"typedef\s+(\w+)\s*\(\s*\*\s*s3dlio_log_callback\s*\)\s*\((.*?)\)\s*;", header, re.S)
    ours = _ffi.s3dlio_log_callback
    assert (kinds[1], [split_name(a)[1] for a in kinds[2].split(",")]) == (
        spell(ours._restype_),
        [normal(spell(kind)) for kind in ours._argtypes_],
    )


def test_constants_are_those_of_the_header(macros):
    def number(text):
        text = text.strip("() ")
        return 2**64 - 1 if text == "UINT64_MAX" else int(re.sub(r"[uUlL]+$", "", text), 0)

    theirs = {
        name: number(value)
        for name, value in macros.items()
        if not name.startswith("S3DLIO_VERSION_") and re.fullmatch(r"\(?-?(0x)?[0-9a-fA-F]+[uUlL]*\)?|UINT64_MAX", value)
    }
    errors = {f"S3DLIO_ERR_{name.upper()}": number for number, name in _ffi.ERRORS.items()}
    ours = {name: value for name, value in vars(_ffi).items() if name.startswith("S3DLIO_")}
    assert {**ours, **errors} == theirs


def test_the_package_has_the_version_of_the_header(macros):
    import s3dlio

    assert macros["S3DLIO_VERSION_STRING"].strip('"') == s3dlio.__version__ == s3dlio.version()
