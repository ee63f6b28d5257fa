"""Maps of earlier runs in a folder: those of a refused case are moved, the others are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.reports.earlier_results import maps_of, maps_of_others, set_aside
from shared.reports.sample_files import samples_of, samples_of_others

CASES = ("p1", "p1_b", "p[1]", "p2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for case_id in CASES:
        for name in ("anomaly_map", "anomaly_mask", "pseudo_healthy"):
            (tmp_path / f"{case_id}_{name}.nii.gz").write_text(case_id)
    (tmp_path / "p1_brain_mask.nii.gz").touch()
    (tmp_path / "report.csv").touch()
    return tmp_path


def test_the_maps_of_a_case_are_those_of_no_other(folder: Path):
    for case_id in CASES:
        assert [file.read_text() for file in maps_of(folder, case_id)] == [case_id] * 3
    assert maps_of(folder, "p3") == []


def test_what_is_set_aside_is_named_and_takes_the_place_of_what_was_there(folder: Path, caplog):
    for _ in range(2):
        moved = set_aside(folder, "p1", maps_of(folder, "p1"))
        names = [f"set_aside/p1_{name}.nii.gz" for name in ("anomaly_map", "anomaly_mask", "pseudo_healthy")]
        assert moved == names and all((folder / name).is_file() for name in moved)
        assert f"case 'p1': not written by this run but by an earlier one, so moved: {', '.join(names)}" in caplog.text
        (folder / "p1_anomaly_map.nii.gz").write_text("p1")
        (folder / "p1_anomaly_mask.nii.gz").write_text("p1")
        (folder / "p1_pseudo_healthy.nii.gz").write_text("p1")
    assert (folder / "p1_brain_mask.nii.gz").is_file() and len(maps_of(folder, "p1_b")) == 3


def test_where_there_is_nothing_nothing_is_made_or_said(tmp_path: Path, caplog):
    assert set_aside(tmp_path, "p1", maps_of(tmp_path, "p1")) == [] and not caplog.records
    assert list(tmp_path.iterdir()) == [] and maps_of_others(tmp_path, ()) == []


def test_maps_of_other_cases_are_named(folder: Path):
    assert {name.rsplit("_", 2)[0] for name in maps_of_others(folder, ("p1", "p[1]"))} == {"p1_b", "p2"}
    (folder / "p3_pseudo_healthy.nii.gz").mkdir()  # a folder is no map
    assert maps_of_others(folder, CASES) == []


def test_samples_of_a_source_are_those_of_no_other(tmp_path: Path):
    (tmp_path / "rejected").mkdir()
    for source in ("a", "a_b", "a[b]"):
        (tmp_path / "rejected" / f"{source}_as_normal_01_image.png").write_text(source)
    assert samples_of(tmp_path, "a_as_normal_01") == samples_of(tmp_path, "a")
    assert samples_of_others(tmp_path, {"a_as_normal_01", "a_b_as_normal_01"}) == [
        "rejected/a[b]_as_normal_01_image.png"
    ]
    assert [file.read_text() for file in samples_of(tmp_path, "a")] == ["a"]
    assert [file.read_text() for file in samples_of(tmp_path, "a[b]")] == ["a[b]"]
