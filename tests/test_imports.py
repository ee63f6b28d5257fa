"""Which room of ``shared`` may import which, as docs/architecture.md says; nothing imports in a circle."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SHARED = ROOT / "shared"
MODULES = sorted(SHARED.rglob("*.py"))
PAPERS = {folder.name for folder in (SHARED / "methods").iterdir() if (folder / "__init__.py").is_file()}
ROOMS = {
    "runs": set(),
    "training": {"runs"},
    "cases": {"runs"},
    "brains": {"cases", "runs"},
    "radiographs": {"cases", "runs"},
    "simulation": {"cases", "runs"},
    "datasets": {"cases", "brains", "radiographs", "runs"},
    "diffusion": set(),
    "anomaly": {"brains", "runs"},
    "evaluation": {"brains", "radiographs", "simulation", "runs"},
}
ROOMS["methods"] = {*ROOMS} - {"evaluation"}  # and not reports
ROOMS["reports"] = {*ROOMS} - {"methods"}


def imported(file: Path, text: str | None = None) -> list[tuple[str, ...]]:
    """Modules and packages of ``shared`` that a module of it imports, as paths below ``shared``."""
    found: list[tuple[str, ...]] = []
    package = file.relative_to(SHARED).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8") if text is None else text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for name in (alias.name for alias in node.names):
                place = SHARED / Path(*base, name)
                found.append((*base, name) if place.is_dir() or place.with_suffix(".py").is_file() else base)
    return found


def forbidden(file: Path, targets: Iterable[tuple[str, ...]]) -> list[str]:
    """What a module imports against the table: another room, or a paper's folder from outside of it."""
    room, *inside = file.relative_to(SHARED).parts
    wrong = [target for target in targets if target[0] != room and target[0] not in ROOMS[room]]
    if room == "methods":  # what all papers share imports none of them
        own = inside[0] if len(inside) > 1 else None
        wrong += [t for t in targets if t[0] == room and len(t) > 1 and t[1] in PAPERS and t[1] != own]
    return [f"{file.relative_to(SHARED)} imports {'/'.join(target)}" for target in wrong]


def graph(depth: int | None) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """What imports what, modules cut to so many parts of their path; None: whole modules."""
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for file in MODULES:
        module = file.relative_to(SHARED).with_suffix("").parts
        if len(module) > 1:
            found[module[:depth]] |= {target[:depth] for target in imported(file)} - {module[:depth]}
    return found


def test_every_module_lies_in_a_room():
    assert {file.relative_to(SHARED).parts[0] for file in MODULES} == {*ROOMS, "__init__.py"}


def test_rooms_import_only_what_the_table_allows():
    assert [wrong for file in MODULES if file.parent != SHARED for wrong in forbidden(file, imported(file))] == []


@pytest.mark.parametrize(
    "file, text",
    [
        ("runs/files.py", "from ..cases.datalists import gather_cases"),
        ("anomaly/residuals.py", "from ..methods.tsgm.inferer import TSGMInferer"),
        ("reports/page.py", "from .. import methods"),
        ("methods/tsgm/inferer.py", "from ..mmccd.stripes import stripes"),
        ("methods/mmccd/inferer.py", "from .. import tsgm"),
        ("methods/mmccd/inferer.py", "from ..tsgm import *"),
        ("methods/autocast.py", "from .tsgm.inferer import TSGMInferer"),
        ("methods/autocast.py", "def late():\n    from ..evaluation import cohort"),
    ],
)
def test_an_import_against_the_table_is_found(file, text):
    assert len(forbidden(SHARED / file, imported(SHARED / file, text))) == 1


def test_no_module_is_imported_by_its_name_as_a_text():
    """What the table cannot see: importlib, ``sys.modules``, targets of configs."""
    found = [
        f
        for f in MODULES
        if re.search(r"importlib(?!\.metadata)|sys\.modules|scripts\.shared\.", f.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("depth", [1, 2, None], ids=["rooms", "files and papers", "modules"])
def test_nothing_imports_in_a_circle(depth):
    TopologicalSorter(graph(depth)).prepare()  # raises CycleError, with the circle


def test_imports_inside_shared_are_relative():
    wrong = []
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            wrong += [
                f"{file.relative_to(ROOT)}: {n}" for n in names if n.split(".")[0] in ("shared", "scripts", "tools")
            ]
    assert wrong == []


def test_the_table_of_the_architecture_is_this_one():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## The rooms")[1].split("\n## ")[0]
    table = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            (room,), names = (re.findall(r"`(\w+)`", cell) for cell in (line.split("|")[1], line.split("|")[3]))
            table[room] = {*ROOMS} - {room, *names} if "all but" in line.split("|")[3] else {*names}
    assert table == ROOMS
