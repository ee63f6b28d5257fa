"""Data sets of brains with a layout of their own; their commands are tested in tests/tools/test_make_datalist.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.datasets.brain_sources import lgg2d_sections, wmh_cases
from shared.runs.errors import DataListError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_one_number_at_two_sites_is_two_cases_of_the_wmh_challenge(tmp_path):
    for site in ("training/Utrecht", "training/Amsterdam/GE3T"):
        touch(tmp_path / site / "0", "pre/FLAIR.nii.gz", "pre/T1.nii.gz", "pre/3DT1.nii.gz", "orig/FLAIR.nii.gz")
    touch(tmp_path, "training/Utrecht/0/wmh.nii.gz")
    amsterdam, utrecht = wmh_cases(tmp_path)
    assert amsterdam["case_id"] == "training_Amsterdam_GE3T_0" and "label" not in amsterdam
    assert utrecht == {
        "case_id": "training_Utrecht_0",
        "flair": str(tmp_path / "training/Utrecht/0/pre/FLAIR.nii.gz"),
        "t1": str(tmp_path / "training/Utrecht/0/pre/T1.nii.gz"),
        "label": str(tmp_path / "training/Utrecht/0/wmh.nii.gz"),
    }
    assert wmh_cases(tmp_path / "training" / "Utrecht" / "0")[0]["case_id"] == "0"


def test_a_folder_without_the_layout_is_named(tmp_path):
    touch(tmp_path, "orig/FLAIR.nii.gz")
    with pytest.raises(DataListError, match="0 folders with pre/FLAIR.nii.gz below"):
        wmh_cases(tmp_path)


def test_gliomas_have_the_files_that_are_there_and_the_split_of_the_table(tmp_path):
    touch(tmp_path, "a/flair.nii.gz", "a/lesion.nii.gz", "a/brain.nii.gz", "b/t1.nii.gz")
    sections = lgg2d_sections(tmp_path, [{"patient": "a", "split": "val"}, {"patient": "b", "split": "test"}])
    assert sections["training"] == [] and sections["test"] == [
        {"case_id": "b", "t1": str(tmp_path / "b" / "t1.nii.gz")}
    ]
    assert sections["validation"][0].keys() == {"case_id", "flair", "label", "brain_mask"}
