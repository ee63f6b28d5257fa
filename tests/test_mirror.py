"""The tests mirror the rooms: who looks for the test of a module finds it by its name, and each test has its module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TESTS = ROOT / "tests"
SHARED = ROOT / "shared"
MODULES = sorted(file for file in SHARED.rglob("*.py") if file.name != "__init__.py")
TOOLS = sorted(file for file in (ROOT / "tools").glob("*.py") if file.name != "__init__.py")
ROOMS = sorted({file.relative_to(SHARED).parts[0] for file in MODULES})


def files_for(module: Path) -> list[Path]:
    """The test files of a module of ``shared`` or ``tools``: ``test_x.py``, and what begins with ``test_x_``."""
    folder = module.relative_to(SHARED).parent if module.is_relative_to(SHARED) else Path("tools")
    return [file for file in (TESTS / folder).glob(f"test_{module.stem}*.py") if is_of(file.stem, module.stem)]


def is_of(test: str, module: str) -> bool:
    return test == f"test_{module}" or test.startswith(f"test_{module}_")


def has_main(file: Path) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in ast.parse(file.read_text()).body)


@pytest.mark.parametrize(
    ("test", "module", "of_it"),
    [
        ("test_door", "door", True),
        ("test_door_slices", "door", True),
        ("test_doors", "door", False),
        ("test_outdoor", "door", False),
    ],
)
def test_a_test_belongs_to_the_module_that_its_name_begins_with(test, module, of_it):
    assert is_of(test, module) == of_it


def test_every_module_has_a_test_of_its_name():
    assert [str(module.relative_to(ROOT)) for module in MODULES if not files_for(module)] == []


def test_every_command_has_a_test_of_its_name():
    assert [str(tool.relative_to(ROOT)) for tool in TOOLS if has_main(tool) and not files_for(tool)] == []


def test_every_test_in_a_room_has_its_module():
    found = {file for module in MODULES for file in files_for(module)}
    there = {file for room in ROOMS for file in (TESTS / room).rglob("test_*.py")}
    assert sorted(str(file.relative_to(ROOT)) for file in there - found) == []


def test_every_test_of_a_tool_has_its_tool():
    there = set((TESTS / "tools").rglob("test_*.py"))
    assert sorted(file.name for file in there - {file for tool in TOOLS for file in files_for(tool)}) == []


def test_all_other_tests_are_of_the_bundles_or_of_the_repository():
    folders = {file.relative_to(TESTS).parts[0] for file in TESTS.rglob("test_*.py") if file.parent != TESTS}
    assert folders == {*ROOMS, "bundles", "tools"}


def test_every_folder_of_tests_is_a_package():
    folders = {file.parent for file in TESTS.rglob("*.py") if file.name != "sitecustomize.py"}  # read by Python itself
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()] == []
