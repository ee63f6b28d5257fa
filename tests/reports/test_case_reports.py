"""Rows, pictures and report of a run, from an engine whose cases are made up."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine
from monai.data import MetaTensor

from shared.reports.case_reports import CaseReports
from shared.runs.case_records import CaseRecords
from shared.runs.errors import OutputError
from shared.runs.weights import sha256

AFFINE = np.diag([-2.0, 2.0, 5.0, 1.0])  # voxels of 20 mm3
SHAPE = (20, 24, 10)
BRAIN = {"brain_litres": 1.3, "brain_from": "mask given"}
FAILURE = {"case_id": "bad", "file": "bad.nii.gz", "key": "t1", "error": "is empty", "remedy": "Pass the scan"}


def box(*widths: int) -> np.ndarray:
    """``X Y Z`` bool, a box of these widths in the middle."""
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice((size - width) // 2, (size + width) // 2) for size, width in zip(SHAPE, widths, strict=True))] = 1
    return mask


def meta(values: np.ndarray) -> MetaTensor:
    return MetaTensor(np.asarray(values, np.float32)[None], affine=AFFINE)


def case(case_id: str, found: np.ndarray, in_map: np.ndarray, label: np.ndarray | None = None) -> dict[str, Any]:
    brain = box(16, 20, 6)
    image = np.where(brain, 100.0 + np.arange(SHAPE[0])[:, None, None], 0)
    made = {"pred": meta(found), "anomaly_map": meta(1.5 * in_map), "pseudo_healthy": meta(image), "facts": {}}
    read = {"case_id": case_id, "native_image": meta(image)}
    return {"batch": read | ({} if label is None else {"label": meta(label)}), "output": made}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return str(path)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is tested elsewhere and takes half a second."""
    monkeypatch.setattr("shared.reports.case_reports.case_picture", lambda *args: b"png")


def run(folder: Path, weights: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the cases, as they are recorded: what is NaN there is None."""
    notes = {"first": ["thick slices"]}
    checked = [{"case_id": c["batch"]["case_id"], "warnings": notes.get(c["batch"]["case_id"], [])} for c in cases]
    records = CaseRecords(str(folder), checked, [weights])
    handler = CaseReports(
        output_dir=str(folder),
        title="A <title>",
        door=SimpleNamespace(
            cases=checked,
            failures=[FAILURE],
            brains=defaultdict(lambda: dict(BRAIN)),
            passed_over=["1 named flair"],
            share=lambda: None,
        ),
        records=records,
        weights=weights,
        settings={"sequence": "t1", "curve points": 18},
    )

    def step(_: Engine, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        number = [c["batch"]["case_id"] for c in cases].index(batch[0]["case_id"])
        return [cases[number]["output"]]

    engine = Engine(step)
    handler.attach(engine)
    engine.run([[c["batch"]] for c in cases])
    return [row for row, _ in records.read()]


FOUND = box(4, 6, 2)


@pytest.fixture
def cases() -> list[dict[str, Any]]:
    # The map is above 1 in more voxels than the mask keeps: small components were removed from the mask.
    return [case("first", FOUND, box(8, 6, 2), label=box(4, 4, 4)), case("second", box(0, 0, 0), box(0, 0, 0))]


def test_rows(tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None):
    for number, one in enumerate(cases):
        one["output"]["facts"] = {"score": 0.05, "network_evaluations": 10 + number, "stop": f"after {number}"}
    first, second = run(tmp_path / "out", weights, cases)
    assert first["case_id"] == "first"
    assert first["anomaly_ml"] == pytest.approx(4 * 6 * 2 * 20 / 1000)
    assert (first["score"], first["network_evaluations"], first["stop"]) == (0.05, 10, "after 0")
    assert first["warnings"] == ["thick slices"]
    assert 0 < first["seconds"] < 60
    assert list(first) == ["case_id", "anomaly_ml", *cases[0]["output"]["facts"], *BRAIN, "seconds", "warnings"]
    assert (second["case_id"], second["anomaly_ml"]) == ("second", 0)
    assert (second["network_evaluations"], second["stop"], second["warnings"]) == (11, "after 1", [])


def test_facts_that_are_no_numbers_are_recorded(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None
):
    """As without a calibration, and where nothing stands out."""
    cases[0]["output"]["facts"] = {"score": float("nan"), "threshold": float("inf"), "hidden_shares": [1.0, 0.5]}
    first, second = run(tmp_path / "out", weights, cases)
    assert (first["score"], first["threshold"], first["hidden_shares"]) == (None, "inf", [1.0, 0.5])
    assert not {"score", "threshold", "hidden_shares"} & set(second)


def test_facts_are_on_the_page(tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None):
    for one, percentile in zip(cases, (50, 75), strict=True):
        one["output"]["facts"] = {"network_evaluations": 10, "quality_percentile": percentile}
    rows = run(tmp_path / "out", weights, cases)
    assert [row["quality_percentile"] for row in rows] == [50, 75]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "quality percentile 50" in page and "quality percentile 75" in page
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["run"]["passed_over"] == ["1 named flair"] and "<td>1 named flair</td>" in page


def test_picture_shows_the_last_of_several_pseudo_healthy_sequences(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """That is the primary sequence, which is also the native image."""
    healthy = cases[0]["output"]["pseudo_healthy"]
    stacked = np.concatenate([3 * healthy, 2 * healthy, healthy])
    cases[0]["output"]["pseudo_healthy"] = MetaTensor(stacked, affine=AFFINE)
    drawn: list[tuple[np.ndarray, ...]] = []
    monkeypatch.setattr("shared.reports.case_reports.case_picture", lambda *arrays: drawn.append(arrays) or b"png")
    run(tmp_path / "out", weights, cases)
    for (image, shown, *_), case in zip(drawn, cases, strict=True):
        np.testing.assert_array_equal(shown, np.asarray(healthy[0]))
        np.testing.assert_array_equal(image, np.asarray(case["batch"]["native_image"][0]))


def test_notes_of_a_case_are_warnings_beside_those_of_the_door(
    tmp_path: Path,
    weights: str,
    cases: list[dict[str, Any]],
    no_pictures: None,
    caplog: pytest.LogCaptureFixture,
):
    note = "the stored threshold belongs to other weights: run configs/calibrate.json on healthy scans"
    for one in cases:
        one["output"]["notes"] = [note]
    rows = run(tmp_path / "out", weights, cases)
    assert [row["warnings"] for row in rows] == [["thick slices", note], [note]]
    assert [f"case '{row['case_id']}': {note}" for row in rows] == caplog.messages[: len(rows)]
    assert note in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_report_files(tmp_path: Path, weights: str, cases: list[dict[str, Any]]):
    run(tmp_path / "out", weights, cases)
    files = [".finished", "report.csv", "report.html", "report.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    with open(tmp_path / "out" / "report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case_id"], row["status"]) for row in rows] == [
        ("first", "done"),
        ("second", "done"),
        ("bad", "failed"),
    ]
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["failures"] == [FAILURE]
    facts = content["run"]
    assert facts["weights"] == weights and facts["weights_sha256"] == sha256(weights)
    assert (facts["sequence"], facts["curve points"]) == ("t1", 18)
    assert facts["seconds"] >= sum(row["seconds"] for row in content["cases"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 and "A &lt;title&gt;" in page and "is empty" in page


def maps_in(folder: Path, case_id: str, *names: str) -> list[Path]:
    """Files as a run would leave them."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{case_id}_{name}.nii.gz" for name in names]
    for file in files:
        file.write_text("map")
    return files


def test_a_map_that_only_an_earlier_run_has_written_is_moved_and_named(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None, caplog: pytest.LogCaptureFixture
):
    """As the uncertainty, which a run of TSGM with one sample does not write."""
    out = tmp_path / "out"
    new = maps_in(out, "first", "anomaly_map", "anomaly_mask", "pseudo_healthy")
    (old,) = maps_in(out, "first", "uncertainty")
    run(out, weights, cases)
    assert all(file.is_file() for file in new) and not old.exists() and (out / "set_aside" / old.name).is_file()
    moved = f"set_aside/{old.name}"
    assert f"case 'first': not written by this run but by an earlier one, so moved: {moved}" in caplog.text
    assert json.loads((out / "report.json").read_text())["run"]["earlier_results"] == [moved]
    record = json.loads((out / ".finished" / "first.json").read_text())
    assert sorted(record["outputs"]) == [file.name for file in new]


def test_the_maps_of_a_case_whose_picture_fails_are_not_called_those_of_an_earlier_run(
    tmp_path: Path,
    weights: str,
    cases: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    out = tmp_path / "out"
    written = maps_in(out, "first", "anomaly_map", "anomaly_mask", "pseudo_healthy")

    def fail(*args: Any) -> bytes:
        raise ValueError("no picture")

    monkeypatch.setattr("shared.reports.case_reports.case_picture", fail)
    with pytest.raises(ValueError, match="no picture"):
        run(out, weights, cases)
    assert not any(file.exists() for file in written) and not (out / "set_aside").exists()
    assert "earlier" not in caplog.text


@pytest.mark.parametrize(
    ("name", "made"), [("report.html", Path.mkdir), ("report.csv", Path.mkdir), ("set_aside", Path.touch)]
)
def test_what_is_in_the_way_of_the_report_is_named_before_anything_is_computed(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], name: str, made: Any
):
    (tmp_path / "out").mkdir()
    made(tmp_path / "out" / name)
    with pytest.raises(OutputError, match=f"{name}: is a .*Rename or remove it, or choose another --output_dir"):
        run(tmp_path / "out", weights, cases)
    assert not (tmp_path / "out" / ".finished").exists()
