"""Lists of the Decathlon and of others: cases without names, plain paths, several files of an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.cases.datalist_files import read_datalist, read_section
from shared.cases.datalists import gather_cases
from shared.runs.errors import DataListError


def listed(file: Path, **sections: object) -> Path:
    file.write_text(json.dumps(sections), encoding="utf-8")
    return file


def test_a_list_of_the_decathlon_is_read_as_it_is(tmp_path):
    pairs = [{"image": f"./imagesTr/B_{n}.nii.gz", "label": f"./labelsTr/B_{n}.nii.gz"} for n in (1, 2)]
    modality, labels = {"0": "FLAIR"}, ["background", "tumour"]
    file = listed(
        tmp_path / "dataset.json", modality=modality, labels=labels, training=pairs, test=["./imagesTs/B_3.nii.gz"]
    )
    assert set(read_datalist(file)) == {"training", "test"}
    one, two = gather_cases(datalist=str(file), section="training")
    assert (one["case_id"], two["case_id"]) == ("B_1", "B_2")
    assert one["label"] == str(tmp_path / "labelsTr" / "B_1.nii.gz")
    (three,) = gather_cases(datalist=str(file))
    assert three == {"case_id": "B_3", "image": str(tmp_path / "imagesTs" / "B_3.nii.gz"), "sequence": "image"}


def test_cases_without_names_are_named_after_subject_or_path(tmp_path):
    cases = [{"t1": "p1/t1.nii", "flair": "p1/flair.nii"}, {"t1": "p2/anna_t1.nii"}]
    same = ["a/scan.nii", {"image": "b\\scan.nii"}, {"case_id": "c", "image": "c/scan.nii"}]
    file = listed(tmp_path / "l.json", training=cases, test=same)
    assert [case["case_id"] for case in read_section(file, "training")] == ["p1", "anna"]
    assert [case["case_id"] for case in read_section(file, "test")] == ["a_scan", "b_scan", "c"]


def test_the_files_of_an_image_become_the_sequences_that_their_names_state(tmp_path):
    files = [f"BraTS2021_1/BraTS2021_1_{name}.nii.gz" for name in ("flair", "t1ce", "t1", "t2")]
    file = listed(tmp_path / "l.json", training=[{"fold": 0, "image": files, "label": "seg.nii.gz"}])
    (case,) = gather_cases(datalist=str(file), section="training", sequence="t1ce")
    assert case["case_id"] == "BraTS2021_1" and case["image"] == str(tmp_path / files[1])
    listed(tmp_path / "l.json", test=[{"image": ["a.nii", "b.nii"]}])
    with pytest.raises(DataListError, match="case 0 of 'test': the files of its 'image' do not state a sequence each"):
        read_section(file, "test")


def test_names_that_differ_in_case_or_form_of_unicode_are_one(tmp_path):
    file = listed(tmp_path / "l.json", test=["Jo\u0308rg.nii", "J\u00d6RG.nii"])
    with pytest.raises(DataListError, match="occurs twice in 'test'"):
        read_section(file, "test")
    listed(tmp_path / "l.json", training=["a/Anna.nii"], test=["b/anna.nii"])
    with pytest.raises(DataListError, match="leakage"):
        read_section(file, "test")


def test_the_masks_of_a_sequence_go_before_those_of_all(tmp_path):
    case = {"case_id": "a", "t1": "t1.nii", "flair": "f.nii", "brain_mask": "f_m.nii", "t1_brain_mask": "t1_m.nii"}
    file = str(listed(tmp_path / "l.json", test=[case]))
    masks = [gather_cases(datalist=file, sequence=name)[0]["brain_mask"] for name in ("t1", "flair")]
    assert masks == [str(tmp_path / "t1_m.nii"), str(tmp_path / "f_m.nii")]
