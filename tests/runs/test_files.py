"""Files that are replaced are the old ones or the new ones, whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runs.errors import InputError, OutputError
from shared.runs.files import check_is_file, check_places, removing_after_error, replacing
from shared.runs.output_lock import OutputLock
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("old", [None, "old"])
def test_the_new_file_appears_when_the_block_ends_well(tmp_path: Path, old: str | None):
    path = tmp_path / "new folder" / "a.txt"
    if old:
        path.parent.mkdir()
        path.write_text(old)
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and (path.read_text() if path.exists() else None) == old
    assert path.read_text() == "new" and [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_after_an_error_all_is_as_before(tmp_path: Path, error: BaseException):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(str(path)) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["a folder", "x" * 255])
def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path, name: str):
    (tmp_path / "a folder").mkdir()
    with (
        pytest.raises(OSError, match="Is a directory|File name too long") as caught,
        replacing(tmp_path / name) as f,
    ):
        f.write_text("new")
    assert caught.value.filename == str(tmp_path / name) and len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_run_leaves_is_hidden_and_removed_by_the_next_one(tmp_path: Path):
    """The run is a process that kills itself as it writes."""
    code = "import os, sys; from shared.runs.files import replacing\n"
    code += "with replacing(sys.argv[1]) as file:\n    file.write_text('half')\n    os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], cwd=ROOT)
    (left,) = tmp_path.iterdir()
    assert done.returncode == -signal.SIGKILL and left.name.startswith(".a.txt.") and left.read_text() == "half"
    lock = OutputLock([str(tmp_path)])
    assert lock and not left.exists() and not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: None, "file not found"),
        (lambda p: p.symlink_to(".git/annex/x"), "is a link to .git/annex/x, which is not there. Mend the link"),
    ],
)
def test_what_is_no_file_is_told(tmp_path, make, problem):
    make(tmp_path / "a.nii")
    with pytest.raises(InputError, match=problem):
        check_is_file(str(tmp_path / "a.nii"), "t1")


def test_what_is_in_the_way_is_named_with_its_remedy(tmp_path: Path):
    check_places(tmp_path / "new", ["report.html"], ["samples"])
    (tmp_path / "report.html").touch()
    (tmp_path / "samples").mkdir()
    check_places(tmp_path, ["report.html"], ["samples"])
    said = "is a {}, where the run writes a {} of this name. Rename or remove it, or choose another --output_dir"
    for files, folders, words in ((["samples"], [], ("folder", "file")), ([], ["report.html"], ("file", "folder"))):
        with pytest.raises(OutputError) as caught:
            check_places(tmp_path, files, folders)
        assert str(caught.value) == f"{tmp_path / (files + folders)[0]}: {said.format(*words)}"


def test_files_of_a_block_that_fails_are_removed(tmp_path: Path):
    written: list[Path] = []
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="stopped"), removing_after_error(written):
        written += [tmp_path / "a", tmp_path / "b", tmp_path / "gone"]
        raise ValueError("stopped")
    with removing_after_error([tmp_path / "c"]):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["c"]
