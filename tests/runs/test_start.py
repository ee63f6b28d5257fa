"""Start: a mistyped option ends the run before its folders are touched; the first process takes them for all."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path

import monai.bundle.__main__ as program
import pytest

from shared.runs import start
from shared.runs.errors import OutputError
from shared.runs.remaining_cases import RemainingCases
from shared.runs.start import Start
from tests.helpers.paths import ROOT

CONFIG = ROOT / "bundles" / "brain_mri_anomaly_tsgm" / "configs" / "inference.json"


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [program.__file__, "run", "--config_file", str(CONFIG), *words])


def test_a_mistyped_option_ends_it_and_no_folder_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    command(monkeypatch, "--stpes", "9")
    with pytest.raises(SystemExit, match="option --stpes is unknown: did you mean --steps?"):
        Start([str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("debug", ["true", "false"])
def test_debug_shows_where_a_case_was_stopped(monkeypatch: pytest.MonkeyPatch, capsys, debug: str):
    """Through a handler that hides such lines, as MONAI's is; other packages stay as they were."""
    handler, root, package = logging.StreamHandler(sys.stderr), logging.getLogger(), logging.getLogger("shared")
    handler.setLevel(logging.INFO)
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(package, "level", package.level)
    command(monkeypatch, "--debug", debug)
    Start()
    logging.getLogger("another").debug("of another")
    RemainingCases([{"case_id": "a"}]).leave_out("a", ValueError("no such value"))
    package.setLevel(logging.NOTSET)
    said = capsys.readouterr().err
    assert ("was stopped here" in said) is (debug == "true") and "of another" not in said


@pytest.mark.parametrize("rank", [0, 1])
def test_options_are_checked_in_every_process(monkeypatch: pytest.MonkeyPatch, rank: int):
    command(monkeypatch, "--stpes", "9")
    with pytest.raises(SystemExit):
        Start(rank=rank)
    command(monkeypatch, "--steps", "9")
    Start(rank=rank)


def test_the_folders_are_kept_for_as_long_as_it_lives(tmp_path: Path):
    folders = [tmp_path / "out", tmp_path / "models"]
    begun = Start([str(folder) for folder in folders])
    assert all((folder / ".lock_owner").is_file() for folder in folders)
    del begun
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_run_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(folders: list[str]) -> None:
        raise OutputError(f"{folders}: in use by another run")

    monkeypatch.setattr(start, "OutputLock", refuse)
    with pytest.raises(OutputError, match="out'.: in use by another run"):
        Start([str(tmp_path / "out")])


@pytest.mark.parametrize("rank", [1, 3])
def test_the_other_processes_take_no_folder(tmp_path: Path, rank: int):
    begun = Start([str(tmp_path / "out")], rank=rank)
    assert begun.lock is None and list(tmp_path.iterdir()) == []


def test_without_folders_nothing_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "calls"), [({}, 0), ({"keep_freed_memory": True}, 1)])
@pytest.mark.parametrize("rank", [0, 1])
def test_freed_memory_is_kept_where_asked(monkeypatch: pytest.MonkeyPatch, options: dict, calls: int, rank: int):
    called: list[None] = []
    monkeypatch.setattr(start, "keep_it", lambda: called.append(None))
    Start(rank=rank, **options)
    assert len(called) == calls
