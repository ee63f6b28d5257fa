"""What is found below a folder: hidden files, links, loops, files of other formats."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.cases.found_files import find_files
from shared.runs.errors import DataListError


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_hidden_files_and_folders_are_passed_over_below_the_folder_alone(tmp_path):
    folder = tmp_path / ".hidden" / "in"
    touch(folder / "a.nii", folder / "._a.nii", folder / ".git" / "b.nii", folder / "s" / ".x" / "y" / "c.nii")
    found = find_files(folder)
    assert found.files == {folder / "a.nii": "a"}
    assert found.notes == ["3 hidden (such as .git)"]
    touch(folder / "__MACOSX" / "a.nii")
    assert list(find_files(folder).files) == [folder / "a.nii"]


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path / "in" / "z" / "a.nii.gz", tmp_path / "elsewhere" / "b.nii.gz")
    (tmp_path / "in" / "a_link").symlink_to(tmp_path / "in" / "z")
    (tmp_path / "in" / "z" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in" / "out")
    assert list(find_files(tmp_path / "in").files.values()) == ["out/b", "z/a"]
    (tmp_path / "as_link").symlink_to(tmp_path / "in")
    assert list(find_files(tmp_path / "as_link").files.values()) == ["out/b", "z/a"]


def test_a_link_to_no_file_is_found(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "none")
    assert list(find_files(tmp_path).files) == [tmp_path / "a.nii.gz"]


def test_a_link_to_no_folder_is_named(tmp_path):
    (tmp_path / "patients").symlink_to("/nonexist/folder")
    note = f"{tmp_path / 'patients'}: this link leads to nothing (/nonexist/folder)"
    with pytest.raises(DataListError, match=re.escape(note)):
        find_files(tmp_path)
    touch(tmp_path / "a.nii")
    assert find_files(tmp_path).notes == [note]


def test_other_formats_are_counted_and_named(tmp_path):
    names = ["a.nii", "b.mgz", "c.MGZ", "d.nrrd", "e.dcm", "e.json", "readme", "f.nii.bz2"]
    touch(*(tmp_path / name for name in names))
    for name in ("IM0001", "1.2.840.1001"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (note,) = find_files(tmp_path).notes
    assert note.startswith("2 .mgz files, 1 .nii.bz2 files, 1 .nrrd files, 3 DICOM files: convert them to NIfTI")


def test_radiographs_have_other_endings(tmp_path):
    touch(*(tmp_path / name for name in ("a.PNG", "b.dcm", "c.nii.gz", "d.jpg")))
    (tmp_path / "1.2.840.1001").write_bytes(bytes(128) + b"DICM")
    found = find_files(tmp_path, radiographs=True)
    assert list(found.files.values()) == ["1.2.840.1001", "a", "b", "c"]
    assert found.notes == ["1 .jpg files: convert them to PNG without loss"]


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "0 NIfTI files below"), (["a.mgz"], "0 NIfTI files below .*; 1 .mgz files: convert them to NIfTI")],
)
def test_nothing_of_use_is_an_error(tmp_path, names, message):
    touch(*(tmp_path / name for name in names))
    with pytest.raises(DataListError, match=message):
        find_files(tmp_path)
    with pytest.raises(DataListError, match=re.escape(f"{tmp_path / 'none'} is not a folder")):
        find_files(tmp_path / "none")
