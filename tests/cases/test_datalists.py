"""Datalists: the three ways to name cases, their faults, leakage, and the split by patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.cases.datalists import gather_cases, named, write_datalist
from shared.runs.errors import DataListError


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


def test_companions_of_an_image_are_its_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (case,) = gather_cases(image="f.nii.gz", sequence="flair", companions={"t1": "in/t1.nii.gz", "t2": "/t2.nii"})
    assert case == {
        "case_id": "f",
        "image": str(tmp_path / "f.nii.gz"),
        "sequence": "flair",
        "t1": str(tmp_path / "in" / "t1.nii.gz"),
        "t2": "/t2.nii",
    }


@pytest.mark.parametrize("file", ["", None])
def test_an_image_without_its_companion_says_which_option_is_missing(file):
    with pytest.raises(DataListError, match="needs the t1 of the same session.*pass --t1 FILE"):
        gather_cases(image="f.nii.gz", sequence="flair", companions={"t1": file})


def test_a_folder_has_no_companions(tmp_path):
    touch(tmp_path / "f.nii.gz")
    with pytest.raises(DataListError, match="needs its t1 and t2; .*tools.make_datalist folder.*--datalist"):
        gather_cases(dataset_dir=str(tmp_path), sequence="flair", companions={"t1": "t1.nii.gz", "t2": ""})


def test_companions_of_a_datalist_are_the_cases_own(tmp_path):
    cases = [
        {"case_id": "a", "flair": "f.nii.gz", "t1": "t1.nii.gz", "label": "l.nii.gz"},
        {"case_id": "b", "flair": "f.nii.gz", "t2": "t2.nii.gz"},
        {"case_id": "c", "image": "i.nii.gz"},
        {"case_id": "d", "t2": "t2.nii.gz"},
    ]
    listed = write_list(tmp_path / "list.json", test=cases)
    a, b, c, d = gather_cases(datalist=listed, sequence="flair", companions={"t1": "elsewhere.nii.gz"})
    files = {key: str(tmp_path / f"{name}.nii.gz") for key, name in (("image", "f"), ("t1", "t1"), ("label", "l"))}
    assert a == {"case_id": "a", "sequence": "flair", **files}
    assert (b["reason"], b["missing"]) == ("has no 't1' (it has t2, flair)", "t1") and "t1" not in b
    assert (c["reason"], c["missing"]) == ("has no 't1' (it has image)", "t1")
    assert (d["reason"], d["missing"]) == ("has no 'flair' and no 't1' (it has t2)", "flair")


@pytest.mark.parametrize("companions", [None, {}])
def test_without_companions_nothing_changes(tmp_path, companions):
    touch(tmp_path / "f.nii.gz")
    listed = write_list(tmp_path / "list.json", test=[{"case_id": "a", "t1": "f.nii.gz", "t2": "t2.nii.gz"}])
    for source in ({"image": "f.nii.gz"}, {"dataset_dir": str(tmp_path)}, {"datalist": listed}):
        (case,) = gather_cases(**source, companions=companions)
        assert set(case) == {"case_id", "image", "sequence"} and [case] == gather_cases(**source)


def test_companions_are_named_after_sequences():
    with pytest.raises(DataListError, match="companions are sequences .*, not dwi"):
        gather_cases(image="f.nii.gz", companions={"dwi": "d.nii.gz", "t1": "t1.nii.gz"})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": []}, "list.json: has no section 'test'.*training"),
        ({"test": [{"case_id": 7, "t1": "a.nii.gz"}]}, "list.json: case 0 of 'test': its 'case_id' is 7, not a string"),
        ({"test": ["a.nii.gz", 7]}, "list.json: case 1 of 'test' is neither a case nor the path"),
        ({"test": [{"case_id": "a\n", "t1": "a.nii.gz"}]}, "holds a control character"),
        ({"test": [{"case_id": i, "t1": f"{i}.nii"} for i in ("A", "a")]}, "case_id 'A' and 'a' occurs twice"),
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


@pytest.mark.parametrize("image", ["/studies/brain 1.nii.gz", "brain 1.NII", "brain 1"])
def test_a_case_as_monai_label_lists_it_is_named_after_its_image(image):
    listed = {"image": image, "label": "l.nii.gz"}
    assert named(listed) == {"case_id": "brain 1", "sequence": "image", "image": image, "label": "l.nii.gz"}
    assert listed == {"image": image, "label": "l.nii.gz"}, "the list of the server is left alone"


def test_a_case_that_is_named_keeps_its_name_and_sequence():
    case = {"case_id": "sub-01", "image": "brain.nii.gz", "sequence": "flair"}
    assert named(case) == case
    assert named({"case_id": "sub-01"}) == {"case_id": "sub-01", "sequence": "image"}


@pytest.mark.parametrize(
    ("count", "section", "training", "validation", "test"),
    [(7, None, 7, 0, 0), (8, None, 7, 1, 0), (17, None, 15, 2, 0), (3, "test", 0, 0, 3), (9, "validation", 0, 9, 0)],
)
def test_the_last_eighth_validates_unless_a_section_takes_all(tmp_path, count, section, training, validation, test):
    cases = [{"case_id": f"c{n}"} for n in range(count)]
    path = write_datalist(tmp_path, cases, section)
    written = json.loads(path.read_text())
    assert path == tmp_path / "datalist.json"
    assert {name: len(part) for name, part in written.items()} == {
        "training": training,
        "validation": validation,
        "test": test,
    }
    assert written["training"] + written["validation"] + written["test"] == cases
