"""Datalists of simulated cases: which case goes where."""

from __future__ import annotations

import json

import pytest

from shared.cases.phantom_dataset import write_datalist


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
