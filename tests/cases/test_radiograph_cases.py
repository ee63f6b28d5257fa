"""Which radiographs are the cases of a run."""

from __future__ import annotations

import json

import pytest

from shared.cases.radiograph_cases import gather_radiographs
from shared.runs.errors import DataListError
from tests.helpers.radiograph_files import png


def test_a_section_is_listed_with_absolute_paths(tmp_path):
    listed = {"case_id": "a", "image": "a.png", "tibia_mask": "m/a.png", "class_label": 0, "group": "h", "age": 3}
    sections = {"training": [listed], "test": [{"case_id": "b", "image": str(tmp_path / "b.png"), "lesion_mask": ""}]}
    (tmp_path / "list.json").write_text(json.dumps(sections))
    (case,) = gather_radiographs(str(tmp_path / "list.json"), "training")
    paths = {"image": str(tmp_path / "a.png"), "tibia_mask": str(tmp_path / "m" / "a.png")}
    assert case == {"case_id": "a", **paths, "class_label": 0, "group": "h"}
    assert gather_radiographs(str(tmp_path / "list.json")) == [{"case_id": "b", "image": str(tmp_path / "b.png")}]
    with pytest.raises(DataListError, match="no section 'validation'"):
        gather_radiographs(str(tmp_path / "list.json"), "validation")


def test_one_case_is_given_by_its_files(tmp_path, monkeypatch):
    png(tmp_path / "ankle.left.png")
    monkeypatch.chdir(tmp_path)
    (case,) = gather_radiographs(given={"image": "ankle.left.png", "tibia_mask": "t.png", "class_label": 0})
    paths = {"image": str(tmp_path / "ankle.left.png"), "tibia_mask": str(tmp_path / "t.png")}
    assert case == {"case_id": "ankle.left", **paths, "class_label": 0}


@pytest.mark.parametrize("given", [{}, {"tibia_mask": "t.png"}, {"image": ""}])
def test_a_case_without_image_and_list_is_told_what_to_pass(given):
    with pytest.raises(DataListError, match="--dataset_dir FOLDER, or --datalist LIST.json, or --image FILE"):
        gather_radiographs(given=given)


def test_a_list_and_an_image_at_once_are_refused():
    with pytest.raises(DataListError, match="given: image and a datalist"):
        gather_radiographs("list.json", given={"image": "a.png"})


def test_a_folder_gives_its_list_or_else_its_radiographs(tmp_path):
    for name in ("ankle.left", "ankle.right", "ankle.right_tibia_mask", "ankle.right_label", "out/samples/drawn_image"):
        (tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        png(tmp_path / f"{name}.png")
    (tmp_path / "out" / "samples.csv").touch()
    (tmp_path / "1.2.840.1001.dcm").touch()
    cases = gather_radiographs(dataset_dir=str(tmp_path))
    assert [case["case_id"] for case in cases] == ["1.2.840.1001", "ankle.left", "ankle.right"]
    assert cases.passed_over == [
        "2 named as masks or labels (such as ankle.right_label.png)",
        "1 drawn by a bundle (such as drawn_image.png)",
    ]
    (tmp_path / "datalist.json").write_text(json.dumps({"test": ["ankle.left.png"]}))
    assert [case["case_id"] for case in gather_radiographs(dataset_dir=str(tmp_path))] == ["ankle.left"]


def test_a_folder_with_masks_alone_and_two_radiographs_of_one_name(tmp_path):
    png(tmp_path / "a_mask.png")
    with pytest.raises(DataListError, match="0 radiographs below .*; 1 named as masks or labels"):
        gather_radiographs(dataset_dir=str(tmp_path))
    (tmp_path / "b.dcm").touch()
    (tmp_path / "b.png").touch()
    with pytest.raises(DataListError, match="b.dcm and .*b.png are both called 'b'"):
        gather_radiographs(dataset_dir=str(tmp_path))
