"""Whatever the predecessor's functions and methods take, those of the same names take here (issue 5, 6)."""

import ast
import inspect
from pathlib import Path

import pytest

import s3dlio

LINES = [
    line for line in Path(__file__).with_name("predecessor_signatures.txt").read_text().splitlines() if line[:1] != "#"
]
# This library's own, of the same names, whose further arguments the predecessor's come before: test_compat_calls.py calls them.
OWN = {"delete", "put", "put_async"}


def test_there_are_as_many_as_there_were():
    assert len(LINES) == len(set(LINES)) > 150


@pytest.mark.parametrize("line", LINES)
def test_arguments(line):
    name, _, rest = line.partition("(")
    said = ast.parse(f"lambda {rest[:-1]}: None", mode="eval").body.args
    names = [one.arg for one in said.args]
    defaults = dict(zip(names[len(names) - len(said.defaults):], map(ast.literal_eval, said.defaults)))
    only = {one.arg: ast.literal_eval(value) for one, value in zip(said.kwonlyargs, said.kw_defaults) if value is not None}
    keywords = [one.arg for one in said.kwonlyargs]

    owner, _, method = name.partition(".")
    found = getattr(s3dlio, owner)
    itself = []
    if method:
        if owner == "PyLoaderOptions":
            found = found()
        elif not inspect.ismethod(getattr(found, method)):
            itself = [None]
        found = getattr(found, method)
    signature = inspect.signature(found)
    by_name = {keyword: None for keyword in keywords}
    signature.bind(*itself, *names, **by_name)
    if owner != "PyLoaderOptions" and method[:2] != "__" and name not in OWN:
        signature.bind(*itself, **{one: None for one in names}, **by_name)
    if name in OWN:
        return
    required = [one for one in names if one not in defaults]
    signature.bind(*itself, *required, **{one: None for one in keywords if one not in only})
    for one, value in {**defaults, **only}.items():
        assert signature.parameters[one].default == value, one
