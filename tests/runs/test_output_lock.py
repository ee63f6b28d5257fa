"""A folder belongs to one process at a time, for as long as that lives."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runs.errors import OutputError
from shared.runs.output_lock import OutputLock
from tests.helpers.paths import ROOT

HOLD = """
import sys, time
from shared.runs.output_lock import OutputLock
lock = OutputLock(sys.argv[1:])
print("held", flush=True)
time.sleep(60)
"""


def hold(*folders: Path) -> subprocess.Popen[str]:
    """Another process that holds folders."""
    command = [sys.executable, "-c", HOLD, *map(str, folders)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_made_kept_and_left_as_it_was(tmp_path):
    lock = OutputLock([str(tmp_path / "new" / "out"), str(tmp_path / "new" / ".." / "new" / "out")])
    owner = (tmp_path / "new" / "out" / ".lock_owner").read_text()
    assert owner.startswith(f"{os.getpid()} on ")
    del lock
    gc.collect()
    assert list((tmp_path / "new").iterdir()) == []
    lock = OutputLock([str(tmp_path / "new" / "out")])
    (tmp_path / "new" / "out" / "report.csv").touch()
    del lock
    gc.collect()
    assert [file.name for file in (tmp_path / "new" / "out").iterdir()] == ["report.csv"]


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path):
    process = hold(tmp_path / "out", tmp_path / "models")
    try:
        for folder in ("out", "models"):
            with pytest.raises(OutputError, match=rf"{folder}: in use by another run, process {process.pid} on .*-c"):
                OutputLock([str(tmp_path / folder)])
    finally:
        process.kill()
        process.wait()
    (tmp_path / "out" / ".checkpoint.pt.17").touch()
    (tmp_path / "out" / ".hidden").touch()
    lock = OutputLock([str(tmp_path / "out")])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {".lock", ".lock_owner", ".hidden"}
    del lock


def test_a_later_run_of_the_same_process_is_let_in(tmp_path):
    """The first one's objects may not be gone yet."""
    first = OutputLock([str(tmp_path)])
    assert OutputLock([str(tmp_path)]) is not first


def test_the_name_of_a_variable_that_is_not_set_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="is empty"):
        OutputLock([str(tmp_path / "out"), ""])
    assert list(tmp_path.iterdir()) == []
