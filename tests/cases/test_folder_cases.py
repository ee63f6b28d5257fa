"""Folders of NIfTI files: which are images, whose label and mask the others are, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cases.datalists import gather_cases
from shared.cases.folder_cases import subjects_of_folder
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
        (["a_label.nii.gz"], "0 images of t1 below .*: 1 named as masks or labels"),
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


def test_a_file_whose_name_states_another_sequence_is_passed_over_and_said(tmp_path):
    touch(
        *(tmp_path / f"sub-01_{name}.nii.gz" for name in ("T1w", "FLAIR", "dwi", "T1w_anomaly_map")), tmp_path / "x.nii"
    )
    cases = gather_cases(dataset_dir=str(tmp_path))
    assert [case["case_id"] for case in cases] == ["sub-01_T1w", "x"]
    assert cases.passed_over == [
        "1 named dwi (such as sub-01_dwi.nii.gz)",
        "1 named flair (such as sub-01_FLAIR.nii.gz)",
        "1 written by a bundle (such as sub-01_T1w_anomaly_map.nii.gz)",
    ]
    with pytest.raises(DataListError, match="0 images of pd .*; choose another sequence with --sequence flair or t1"):
        (tmp_path / "x.nii").unlink()
        gather_cases(dataset_dir=str(tmp_path), sequence="pd")


def test_scans_of_bids_get_their_own_masks_in_a_folder_too(tmp_path):
    runs = [f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in (1, 2)]
    masks = [f"derivatives/x/sub-01/anat/sub-01_run-{run}_desc-brain_mask.nii.gz" for run in (1, 2)]
    touch(*(tmp_path / name for name in runs + masks))
    assert [case["brain_mask"] for case in gather_cases(dataset_dir=str(tmp_path))] == [
        str(tmp_path / m) for m in masks
    ]


@pytest.mark.parametrize(
    "names", [("a/b.nii", "a_b.nii"), ("Anna.nii", "anna.nii"), ("Jo\u0308rg.nii", "J\u00f6rg.nii")]
)
def test_two_images_whose_outputs_would_have_one_name_are_refused(tmp_path, names):
    touch(*(tmp_path / name for name in names))
    with pytest.raises(DataListError, match="are both called '.*'; rename one of them"):
        gather_cases(dataset_dir=str(tmp_path))


def test_files_of_a_subject_are_told_by_their_folders(tmp_path):
    names = ["p1/ses-1/T1.nii", "p1/ses-1/flair.nii", "p1/ses-1/seg.nii", "p2/ses-1/T1.nii", "p2/ses-2/T1.nii"]
    touch(*(tmp_path / name for name in names))
    cases = {case["case_id"]: case for case in subjects_of_folder(tmp_path, "")}
    assert {name: case["patient_id"] for name, case in cases.items()} == {
        "p1_ses-1": "p1", "p2_ses-1": "p2", "p2_ses-2": "p2"
    }  # fmt: skip
    assert cases["p1_ses-1"].keys() == {"case_id", "patient_id", "t1", "flair", "label"}


def test_the_same_scan_before_and_after_extraction_is_refused(tmp_path):
    touch(tmp_path / "a_t1.nii", tmp_path / "a_t1_brain.nii")
    with pytest.raises(DataListError, match="a_t1.nii and .*a_t1_brain.nii are both the t1 of 'a'; keep one of them"):
        subjects_of_folder(tmp_path, "")
