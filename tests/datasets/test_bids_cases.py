"""bids_cases: sessions, runs, contrast, masks of derivatives, and what is no image of the anatomy."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.datasets.bids_cases import bids_cases
from shared.runs.errors import DataListError

FILES = (
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_run-2_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_ce-gadolinium_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_T1w.json",
    "sub-01/ses-2/func/sub-01_ses-2_task-rest_bold.nii.gz",
    "sub-02/anat/sub-02_acq-mprage_T1w.nii",
    "sub-02/anat/sub-02_T2starw.nii.gz",
    "sub-03/anat/sub-03_FLAIR.nii.gz",
    "derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz",
    "derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_space-MNI152_desc-brain_mask.nii.gz",
    "derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz",
    "derivatives/manual/sub-02/anat/sub-02_label-lesion_mask.nii.gz",
    "sourcedata/sub-09/anat/sub-09_T1w.nii.gz",
    "sub-02/anat/msub-02_acq-mprage_T1w.nii",
    "sub-02/anat/c1sub-02_acq-mprage_T1w.nii",
    "sub-03/func/sub-03_task-rest_boldref.nii.gz",
    "derivatives/sub-03/sub-03_msk.nii.gz",
)


@pytest.fixture
def root(tmp_path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_session_is_a_case_of_its_subject_and_another_run_one_of_its_own(root):
    cases = {case.pop("case_id"): case for case in bids_cases(root, "t1")}
    one, two, mask = root / "sub-01/ses-1/anat", root / "sub-01/ses-2/anat", root / "derivatives"
    brain = {"brain_mask": str(mask / "fmriprep/sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz")}
    assert cases == {
        "sub-01_ses-1": {
            "patient_id": "sub-01",
            "flair": str(one / "sub-01_ses-1_FLAIR.nii.gz"),
            "t1": str(one / "sub-01_ses-1_T1w.nii.gz"),
            **brain,
        },
        "sub-01_ses-1_run-2": {
            "patient_id": "sub-01",
            "t1": str(one / "sub-01_ses-1_run-2_T1w.nii.gz"),
            "missing": "brain_mask",
            "reason": "cannot be told which brain_mask is its: sub-01_ses-1_desc-brain_mask.nii.gz",
            "remedy": "Name it after the scan, or make a datalist that says which it is",
        },
        "sub-01_ses-2": {
            "patient_id": "sub-01",
            "t1ce": str(two / "sub-01_ses-2_ce-gadolinium_T1w.nii.gz"),
            "t1": str(two / "sub-01_ses-2_T1w.nii.gz"),
        },
        "sub-02": {
            "patient_id": "sub-02",
            "t1": str(root / "sub-02/anat/sub-02_acq-mprage_T1w.nii"),
            "label": str(mask / "manual/sub-02/anat/sub-02_label-lesion_mask.nii.gz"),
        },
    }


def test_every_case_has_the_sequence(root):
    assert [case["case_id"] for case in bids_cases(root, "flair")] == ["sub-01_ses-1", "sub-03"]
    assert bids_cases(root, "flair")[1]["label"] == str(root / "derivatives/sub-03/sub-03_msk.nii.gz")
    with pytest.raises(DataListError, match="0 sessions with the sequence 'pd' in .*anat"):
        bids_cases(root, "pd")
