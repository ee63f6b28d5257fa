"""The promises of the repository as a whole: what is tracked, how large, and how it is written."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

MEGABYTE = 1_000_000
MAX_LINES = 249  # "under 250"; about 200 is the aim
BUNDLES = sorted(folder for folder in (ROOT / "bundles").iterdir() if folder.is_dir())
MODULES = sorted((ROOT / "shared").rglob("*.py"))

_CACHES = {"__pycache__/", "*.pyc", ".pytest_cache/", ".ruff_cache/"}
_PLACES = "|".join(("tmp", "work", "root", "home", "opt"))
_MACHINE = re.compile(rf"(?<![\w.$>*-])/(?:{_PLACES})(?:/|\b(?!\.))")
_REGISTRY = re.compile("|".join(("--index" + "-url", "--extra-index" + "-url", "find" + "-links", r"://[\w.-]*pypi")))


def git(*arguments: str, names: Iterable[str] = ()) -> list[str]:
    """Run a command that lists files; without the excludes of the user, which are no part of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "-c", f"core.excludesFile={os.devnull}", *arguments, "-z"]
    done = subprocess.run(command, cwd=ROOT, input="\0".join(names), capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # check-ignore: 1 when none is ignored
    return [name for name in done.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    return [ROOT / name for name in git("ls-files") if (ROOT / name).is_file()]


def ignored(names: Iterable[str]) -> list[str]:
    """Those of the names, which need not exist, that .gitignore leaves out."""
    return git("check-ignore", "--no-index", "--stdin", names=names)


def text_of(file: Path) -> str | None:
    content = file.read_bytes()
    return None if b"\0" in content else content.decode("utf-8", errors="replace")


def test_weights_data_code_and_documents_are_not_ignored():
    bundle = "bundles/brain_mri_anomaly_itermask3d"
    promised = ["shared/datasets/new_module.py", "tests/datasets/test_new_module.py", "tools/new_tool.py", ".ci/run"]
    promised += [f"{bundle}/models/{name}" for name in ("model.pt", "calibration.json", "second/model.pt")]
    promised += [f"{bundle}/configs/inference.json", f"{bundle}/docs/README.md", f"{bundle}/docs/result.png"]
    assert ignored(promised) == []


def test_what_runs_leave_behind_is_ignored():
    left = [".venv/bin/python", "quickstart_output/report.html", "out/model.pt", "shared/brains/__pycache__/door.pyc"]
    left += [".mypy_cache/CACHEDIR.TAG", ".coverage.host.1", "generative_monai_bundles.egg-info/PKG-INFO"]
    left += ["bundles/brain_mri_anomaly_itermask3d/eval/report.csv"]
    assert ignored(left) == left


def test_ignore_patterns_are_rooted():
    patterns = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert [p for p in patterns if p and p[0] not in "/#" and p not in _CACHES] == []


def test_no_tracked_file_and_no_module_on_disk_is_ignored():
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []
    on_disk = [
        str(file.relative_to(ROOT).as_posix())
        for room in ("shared", "tools", "tests")
        for file in (ROOT / room).rglob("*.py")
    ]
    assert ignored(on_disk) == []


def test_files_are_small_enough(tracked):
    sizes = {str(file.relative_to(ROOT)): file.stat().st_size for file in tracked}
    assert {name: size for name, size in sizes.items() if size > 18 * MEGABYTE} == {}
    assert sum(size for name, size in sizes.items() if name.endswith((".pt", ".pth", ".ts", ".onnx"))) < 48 * MEGABYTE


def test_no_image_data_is_tracked(tracked):
    medical = re.compile(r"\.(nii|nii\.gz|dcm|mha|mhd|nrrd|mgz)$", re.IGNORECASE)
    statistics = "healthy_residual.nii.gz"  # means and deviations over many scans, no scan
    assert [str(file) for file in tracked if medical.search(file.name) and file.name != statistics] == []


def test_no_path_of_a_machine_and_no_package_registry_is_named(tracked):
    found = []
    for file in tracked:
        for number, line in enumerate((text_of(file) or "").splitlines(), 1):
            if _MACHINE.search(line) or _REGISTRY.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


def test_bundles_hold_no_code_but_the_same_shim():
    assert len({(bundle / "scripts" / "__init__.py").read_bytes() for bundle in BUNDLES}) == 1
    own = [
        file for bundle in BUNDLES for file in bundle.rglob("*.py") if file.relative_to(bundle).parts[:1] != ("eval",)
    ]
    assert [str(file.relative_to(ROOT)) for file in own if file.parts[-2:] != ("scripts", "__init__.py")] == []


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_expressions_in_configs_stay_on_one_line(bundle):
    for file in (bundle / "configs").glob("*.json"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not re.search(r'"\$[^"]*\\n', line), f"{file.name}: {line.strip()}"


def test_every_file_of_weights_is_read_with_weights_only():
    """What MONAI reads itself (CheckpointLoader, ``monai.bundle.load``) it reads so."""
    read = []
    for file in (*MODULES, *(ROOT / "tools").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            options = {k.arg: ast.unparse(k.value) for k in node.keywords} if name else {}
            assert "allow_pickle" not in options, f"{file.name}:{node.lineno}"
            assert not re.search(r"\b(c?pickle|dill|joblib)\.loads?$", name), f"{file.name}:{node.lineno}"
            read += [(f"{file.name}:{node.lineno}", options.get("weights_only"))] if name == "torch.load" else []
    assert len(read) >= 3 and [place for place, weights_only in read if weights_only != "True"] == []
    for file in ROOT.glob("bundles/*/configs/*.json"):
        assert not re.search(r"torch\.load|pickle", file.read_text(encoding="utf-8")), file


def test_files_hold_one_concept_each():
    files = [*MODULES, *(ROOT / "tools").glob("*.py")]
    long = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_the_release_page_names_the_version_there_is():
    metadata = ROOT / "bundles" / "brain_mri_anomaly_itermask3d" / "configs" / "metadata.json"
    version = json.loads(metadata.read_text(encoding="utf-8"))["version"]
    named = re.findall(r"(?:--version |_v)([\d.]+\d)", (ROOT / "docs" / "release.md").read_text(encoding="utf-8"))
    assert len(named) >= 3 and set(named) == {version}


def test_functions_take_few_parameters():
    """More than eight are grouped in a small class where that is natural."""
    many = {}
    for file in (*MODULES, *(ROOT / "tools").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len(names) - (names[:1] == ["self"]) > 8:
                    many[f"{file.relative_to(ROOT).as_posix()}:{node.name}"] = names
    assert set(many) <= {"shared/methods/mmccd/inferer.py:__init__"}  # nine, in groups already
