"""pyproject.toml says what the rest of the repository says: version, oldest Python, what is installed."""

from __future__ import annotations

import re

import pytest

from tests.helpers.paths import ROOT
from tools.environment import COLLECTION, FLARE, MONAI_LABEL, OLDEST_PYTHON

tomllib = pytest.importorskip("tomllib")  # of Python 3.11
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, DYNAMIC = TOML["project"], TOML["tool"]["setuptools"]["dynamic"]


def test_the_version_is_that_of_the_citation_and_of_an_entry_of_the_changelog():
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited and cited[1] == PROJECT["version"]
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_oldest_python_is_that_of_the_installation_the_linter_and_the_types():
    oldest = ".".join(map(str, OLDEST_PYTHON))
    assert PROJECT["requires-python"] == f">={oldest}"
    assert TOML["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert TOML["tool"]["mypy"]["python_version"] == oldest


def test_dependencies_are_the_files_that_the_environments_are_made_of():
    extras = DYNAMIC["optional-dependencies"]
    assert {*extras} == {"label", "flare", "extract", "test"}
    for wanted, names in ((COLLECTION, "extract test"), (MONAI_LABEL, "extract label"), (FLARE, "flare")):
        parts = [DYNAMIC["dependencies"], *(extras[name] for name in names.split())]
        assert wanted.requirements == tuple(part["file"] for part in parts)
    listed = {part["file"] for part in (DYNAMIC["dependencies"], *extras.values())}
    assert listed == {file.name for file in ROOT.glob("requirements*.txt")}


def test_no_module_of_a_common_name_is_installed():
    assert TOML["tool"]["setuptools"]["packages"] == []
