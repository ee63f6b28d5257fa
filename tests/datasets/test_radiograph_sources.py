"""Chest radiographs and glioma slices as cases of MaC-DM: classes, files, and the split of their tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from shared.cases.splits import SECTIONS
from shared.datasets.radiograph_sources import chest_xray_cases, lgg2d_slice_sections
from shared.runs.errors import DataListError
from tests.helpers.source_layouts import PATIENTS, USABLE, write_gliomas

SOURCE = Path("in")


def row(file: str, kind: str, split: str | None = None) -> dict[str, str]:
    return {"file": file, "class": kind, **({} if split is None else {"split": split})}


def test_a_chest_is_a_case_with_its_lungs_in_place_of_the_tibia():
    table = [row("a.png", "normal", "val"), row("b.png", "abnormal", "train"), row("c.png", "abnormal", "test")]
    sections = chest_xray_cases(SOURCE, table)
    assert list(sections) == list(SECTIONS) and [len(sections[section]) for section in SECTIONS] == [1, 1, 1]
    assert sections["training"] == [
        {
            "case_id": "b",
            "image": str(SOURCE / "cxr" / "b.png"),
            "tibia_mask": str(SOURCE / "masks" / "b.png"),
            "class_label": 1,
        }
    ]
    assert sections["validation"][0]["class_label"] == 0


def test_without_a_split_it_is_one_list_in_the_order_of_the_table():
    cases = chest_xray_cases(SOURCE, [row("b.png", "normal"), row("a.png", "abnormal")])
    assert [(case["case_id"], case["class_label"]) for case in cases] == [("b", 0), ("a", 1)]
    assert chest_xray_cases(SOURCE, []) == []


@pytest.mark.parametrize(("kind", "split"), [("odd", "train"), ("normal", "valid"), ("", None)])
def test_another_class_or_split_is_named(kind, split):
    with pytest.raises(DataListError, match="in: .*'class': '.*is not normal or abnormal, of train, val or test"):
        chest_xray_cases(SOURCE, [row("a.png", "normal", "train"), row("b.png", kind, split)])


def test_slices_of_a_patient_stay_in_the_section_of_the_table(tmp_path):
    source = write_gliomas(tmp_path / "in")
    with (source / "patients.csv").open(newline="") as stream:
        sections = lgg2d_slice_sections(source, list(csv.DictReader(stream)), tmp_path / "out")
    for section, patient in zip(SECTIONS, PATIENTS, strict=True):
        assert [case["class_label"] for case in sections[section]] == list(USABLE.values())
        assert {case["patient_id"] for case in sections[section]} == {patient}
    assert all(Path(case["image"]).parent == tmp_path / "out" for cases in sections.values() for case in cases)
    assert len(list((tmp_path / "out").iterdir())) == 3 * 3 * len(USABLE)
