"""A reference and what was generated from it: joined for training, never across its sections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.cases.added_radiographs import gather_with_generated
from shared.cases.radiograph_cases import gather_radiographs
from shared.runs.errors import DataListError

REFERENCE = {
    "training": [{"case_id": "a_left", "patient_id": "a"}, {"case_id": "b"}],
    "validation": [{"case_id": "c_left", "patient_id": "c"}],
    "test": [{"case_id": "d"}],
}


def written(folder: Path, sections: dict[str, list[dict[str, Any]]]) -> str:
    folder.mkdir(exist_ok=True)
    image = {"image": "x.png", "class_label": 1}
    listed = {section: [{**image, **case} for case in cases] for section, cases in sections.items()}
    (folder / "list.json").write_text(json.dumps(listed))
    return str(folder / "list.json")


@pytest.fixture
def reference(tmp_path) -> str:
    return written(tmp_path / "reference", REFERENCE)


def generated(tmp_path: Path, *cases: dict[str, Any]) -> str:
    return written(tmp_path / "generated", {"training": list(cases)})


def test_generated_cases_follow_the_reference_each_with_its_own_files(reference, tmp_path):
    made = generated(tmp_path, {"case_id": "s1"}, {"case_id": "s2", "patient_id": "a_left"})
    cases = gather_with_generated(reference, made)
    assert [case["case_id"] for case in cases] == ["a_left", "b", "s1", "s2"]
    folders = [Path(case["image"]).parent.name for case in cases]
    assert folders == ["reference", "reference", "generated", "generated"]
    assert all(case["class_label"] == 1 for case in cases)


def test_without_a_generated_list_it_is_the_reference_alone(reference):
    assert gather_with_generated(reference) == gather_radiographs(reference, "training")


@pytest.mark.parametrize("source", ["c_left", "c", "d"])
def test_sample_of_a_source_outside_training_is_refused(reference, tmp_path, source):
    made = generated(tmp_path, {"case_id": "s1"}, {"case_id": "s2", "patient_id": source})
    with pytest.raises(DataListError, match=f"list.json does not go with .*'{source}' is in .*leakage"):
        gather_with_generated(reference, made)


def test_same_case_in_both_lists_is_refused(reference, tmp_path):
    with pytest.raises(DataListError, match="case_id 'b' occurs twice"):
        gather_with_generated(reference, generated(tmp_path, {"case_id": "b"}))


def test_list_without_a_sample_is_refused(reference, tmp_path):
    with pytest.raises(DataListError, match="no sample was accepted"):
        gather_with_generated(reference, generated(tmp_path))
