"""docs/faults.md: all 62 faults are there once, and every test it names exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from tests.helpers.paths import ROOT

ROWS = re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \| (.*) \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)


@functools.cache
def names_in(file: Path) -> set[str]:
    """Names of the tests of a file as pytest gives them, ``test_x`` and ``TestY::test_x``."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        members = [(f"{node.name}::", m) for m in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        found |= {f"{prefix}{member.name}" for prefix, member in members if isinstance(member, ast.FunctionDef)}
    return {name for name in found if re.search(r"(^|::)test_", name)}


def test_every_fault_has_a_row():
    numbers = [int(number) for number, *_ in ROWS if number.isdigit()]
    assert numbers == list(range(1, 63))


def test_every_test_that_is_named_exists_and_rows_without_one_say_why():
    for number, fault, what, named in ROWS:
        names = re.findall(r"`([^`]+)`", named)
        assert names or re.search(r"does not apply|not found out|nothing here", what), f"{number} {fault}"
        for file, _, test in (name.partition("::") for name in names):
            assert test in names_in(ROOT / "tests" / file), f"{number} {fault}: {file}::{test}"
