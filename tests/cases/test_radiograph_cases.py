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
    with pytest.raises(DataListError, match="--datalist LIST.json, or --image FILE"):
        gather_radiographs(given=given)


def test_a_list_and_an_image_at_once_are_refused():
    with pytest.raises(DataListError, match="given: image and a datalist"):
        gather_radiographs("list.json", given={"image": "a.png"})
