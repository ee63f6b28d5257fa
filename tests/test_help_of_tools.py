"""``python -m tools.x --help`` of every tool prints help and does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TOOLS = sorted(file.stem for file in (ROOT / "tools").glob("*.py") if "__main__" in file.read_text(encoding="utf-8"))
HEAVY = {"benchmark", "compare_training_sets", "export_bundle"}  # run networks, and import torch and MONAI first
NO_TRACES = ROOT / "tests" / "helpers" / "no_traces"


def run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in an empty folder, where neither a process is started nor a file written outside ``home``."""
    (home / "here").mkdir()
    paths = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": os.pathsep.join([str(NO_TRACES), str(ROOT)])}
    variables = {**os.environ, **paths, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}
    python = [sys.executable, *command]
    return subprocess.run(python, cwd=home / "here", env=variables, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in TOOLS]
)
def test_help_is_printed_and_nothing_else_is_done(name, tmp_path):
    flag = "-h" if TOOLS.index(name) % 2 else "--help"
    done = run(["-m", f"tools.{name}", flag], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ") and "show this help message and exit" in done.stdout
    assert done.stderr == "" and list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    "act",
    [
        "subprocess.run([sys.executable, '--version'])",
        "open('file', 'w')",
        "open('file', 'ab')",
        "pathlib.Path('folder').mkdir()",
        "os.rename('here', 'there')",
        "shutil.rmtree('here')",
    ],
)
def test_what_would_leave_a_trace_is_refused(act, tmp_path):
    done = run(["-c", f"import os, pathlib, shutil, subprocess, sys\n{act}"], tmp_path)
    assert done.returncode == 1 and "no trace" in done.stderr
