"""Folders of NIfTI files: which are images, whose label and mask the others are, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cases.datalists import gather_cases
from shared.cases.folder_cases import split_sequence
from shared.runs.errors import DataListError


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_folder_gives_sorted_cases_with_their_labels_and_masks(tmp_path):
    names = ["b/sub1_t1.nii.gz", "b/sub1_label.nii.gz", "b/sub1_brain_mask.nii.gz", "a.NII", "a_lesion.nii.gz", "c.txt"]
    written = ("anomaly_map", "anomaly_mask", "pseudo_healthy", "uncertainty")
    outputs = [*(f"a_{name}.nii.gz" for name in written), "._a.nii.gz"]
    touch(*(tmp_path / name for name in names + outputs))
    first, second = gather_cases(dataset_dir=str(tmp_path))
    assert first == {
        "case_id": "a",
        "image": str(tmp_path / "a.NII"),
        "sequence": "t1",
        "label": str(tmp_path / "a_lesion.nii.gz"),
    }
    assert second["case_id"] == "b_sub1_t1"
    assert second["brain_mask"] == str(tmp_path / "b" / "sub1_brain_mask.nii.gz")
    assert second["label"] == str(tmp_path / "b" / "sub1_label.nii.gz")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "0 NIfTI files below"),
        (["a_label.nii.gz"], "0 images below"),
        (["a/b.nii.gz", "a_b.nii.gz"], "both called 'a_b'"),
    ],
)
def test_folder_without_usable_images(tmp_path, files, message):
    touch(*(tmp_path / name for name in files))
    with pytest.raises(DataListError, match=message):
        gather_cases(dataset_dir=str(tmp_path))


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataListError, match="is not a folder"):
        gather_cases(dataset_dir=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("sub1_T1w", ("sub1", "t1")),
        ("sub1_t1gd", ("sub1", "t1ce")),
        ("t1ce", ("", "t1ce")),
        ("sub1_FLAIR", ("sub1", "flair")),
        ("subt1", ("subt1", "pd")),
    ],
)
def test_sequence_is_read_off_the_name(stem, expected):
    assert split_sequence(stem, "pd") == expected
