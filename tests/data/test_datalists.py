"""Datalists: the three ways to name cases, their faults, leakage, and the split by patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.data.datalists import check_splits, gather_cases, split_by_patient, split_sequence
from shared.data.errors import DataListError


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write_list(file: Path, **sections: object) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(sections), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", ["brain 1.nii.gz", "brain 1.nii", "brain 1.NII.GZ", "brain 1.Nii"])
def test_image_is_one_case_named_after_the_file(tmp_path, name):
    file = tmp_path / "größe" / name
    assert gather_cases(image=str(file), dataset_dir="", datalist=None) == [
        {"case_id": "brain 1", "image": str(file), "sequence": "t1"}
    ]


def test_image_path_is_made_absolute_and_backslashes_are_separators(tmp_path, monkeypatch):
    touch(tmp_path / "in" / "t1.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert gather_cases(image="in\\t1.nii.gz")[0]["image"] == str(tmp_path / "in" / "t1.nii.gz")
    assert gather_cases(image="in/t1.nii.gz", sequence="flair")[0]["sequence"] == "flair"


@pytest.mark.parametrize("given", [{}, {"image": "", "dataset_dir": ""}, {"image": "a.nii", "datalist": "b.json"}])
def test_not_exactly_one_source_says_which_options_there_are(given):
    with pytest.raises(DataListError, match="--image FILE, --dataset_dir FOLDER or --datalist LIST.json"):
        gather_cases(**given)


def test_folder_gives_sorted_cases_with_their_labels_and_masks(tmp_path):
    names = ["b/sub1_t1.nii.gz", "b/sub1_label.nii.gz", "b/sub1_brain_mask.nii.gz", "a.NII", "a_lesion.nii.gz", "c.txt"]
    outputs = ["a_anomaly_map.nii.gz", "a_anomaly_mask.nii.gz", "a_pseudo_healthy.nii.gz", "._a.nii.gz"]
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


def test_datalist_paths_start_at_the_list_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    absolute = tmp_path / "elsewhere" / "x.nii.gz"
    touch(tmp_path / "data" / "s1" / "t1.nii.gz", absolute)
    cases = [
        {"case_id": "s1", "t1": "..\\data\\s1\\t1.nii.gz", "brain_mask": "m.nii.gz", "label": "l.nii.gz"},
        {"case_id": "s2", "t1": "a.nii.gz", "image": str(absolute)},
        {"case_id": "s3", "t2": "b.nii.gz", "flair": "c.nii.gz"},
    ]
    listed = write_list(tmp_path / "lists" / "list.json", test=cases, about={"seed": 0})
    one, two, three = gather_cases(datalist=listed)
    assert one["image"] == str(tmp_path / "data" / "s1" / "t1.nii.gz")
    assert one["sequence"] == "t1"
    assert one["brain_mask"] == str(tmp_path / "lists" / "m.nii.gz")
    assert one["label"] == str(tmp_path / "lists" / "l.nii.gz")
    assert (two["image"], two["sequence"]) == (str(absolute), "image")
    assert "image" not in three
    assert three["reason"] == "has no 't1' (it has t2, flair)"
    assert gather_cases(datalist=listed, sequence="flair")[2]["image"] == str(tmp_path / "lists" / "c.nii.gz")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": []}, "list.json: has no section 'test'.*training"),
        ({"test": [{"t1": "a.nii.gz"}]}, "list.json: case 0 of 'test' lacks the key 'case_id'"),
        ({"test": [{"case_id": "a", "T1": "a.nii.gz"}]}, "list.json: case 'a' has none of the keys image, t1"),
        ({"test": [{"case_id": "a/b", "t1": "a.nii.gz"}]}, "holds a slash"),
        ({"test": [{"case_id": "a", "t1": ["a.nii.gz"]}]}, "key 'image' of case 'a' is not a path"),
        ({"test": [{"case_id": "a", "t1": "a.nii.gz"}] * 2}, "list.json: case_id 'a' occurs twice"),
        ({"test": [{"case_id": "a", "t1": "x"}], "training": [{"case_id": "a", "t1": "x"}]}, "list.json: .*leakage"),
    ],
)
def test_wrong_datalists_are_named(tmp_path, sections, message):
    with pytest.raises(DataListError, match=message):
        gather_cases(datalist=write_list(tmp_path / "list.json", **sections))


def test_datalist_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(DataListError, match="cannot be read"):
        gather_cases(datalist=str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{'a':")
    with pytest.raises(DataListError, match="is not JSON"):
        gather_cases(datalist=str(tmp_path / "bad.json"))


def test_check_splits_finds_a_patient_in_two_sections():
    visits = [{"case_id": f"p_{v}", "patient_id": "p"} for v in (1, 2)]
    check_splits({"training": visits, "test": [{"case_id": "q"}], "about": {}})
    with pytest.raises(DataListError, match="'p' is in 'training' and 'test'"):
        check_splits({"training": visits[:1], "test": visits[1:]})


def test_split_deals_out_patients_whatever_the_order():
    cases = [{"case_id": f"p{p:02d}_{v}", "patient_id": f"p{p:02d}"} for p in range(20) for v in range(3)]
    sections = split_by_patient(cases, (0.5, 0.25, 0.25), seed=1)
    assert [len(sections[s]) for s in ("training", "validation", "test")] == [30, 15, 15]
    check_splits(sections)
    assert split_by_patient(cases[::-1], (0.5, 0.25, 0.25), seed=1) == sections
    assert split_by_patient(cases, (0.5, 0.25, 0.25), seed=2) != sections


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_split_refuses_fractions_that_are_no_shares(fractions):
    with pytest.raises(DataListError, match="three shares"):
        split_by_patient([{"case_id": "a"}], fractions)


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
