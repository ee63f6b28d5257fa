"""The faults of MONAI that docs/monai-issues reports are there: when one of these fails, MONAI has mended it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

FOLDER = ROOT / "docs" / "monai-issues"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def test_each_script_is_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) >= 5 and all(f"`{script.name}`" in listed for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_fault_is_there(script: Path, tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "FAULT: " in done.stderr and "Traceback" not in done.stderr
