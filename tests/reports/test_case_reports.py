"""Rows, pictures and report of a run, from an engine whose cases are made up."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine
from monai.data import MetaTensor

from shared.anomaly.calibration import Calibration
from shared.reports.case_reports import CaseReports
from shared.runs.case_records import CaseRecords
from shared.runs.weights import sha256

AFFINE = np.diag([-2.0, 2.0, 5.0, 1.0])  # voxels of 20 mm3
SHAPE = (20, 24, 10)
THRESHOLD = 0.5
FAILURE = {"case_id": "bad", "file": "bad.nii.gz", "key": "t1", "error": "is empty", "remedy": "Pass the scan"}
BRAIN_VOXELS = 16 * 20 * 6


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
    made = {"pred": meta(found), "anomaly_map": meta(1.5 * in_map), "pseudo_healthy": meta(image)}
    read = {"case_id": case_id, "native_image": meta(image), "native_brain_mask": meta(brain)}
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


class History:
    """An inferer's history, another one for each case."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []


def run(
    folder: Path,
    weights: str,
    cases: list[dict[str, Any]],
    threshold: float = THRESHOLD,
    stale: str = "",
    calibrated: bool = True,
    quality_score: str = "",
) -> list[dict[str, Any]]:
    """Rows of the cases, as they are recorded: what is NaN there is None."""
    calibration = Calibration(
        threshold=THRESHOLD,
        rule="1 % of the brain voxels of 4 healthy scans lie above it",
        false_positive_rate=0.01,
        thresholds={"0.01": THRESHOLD},
        healthy_scores=[0.001, 0.004, 0.02, 0.05],
        cases=list("abcd"),
        weights_sha256="",
        healthy_quality={"network_evaluations": [8.0, 9.0, 10.5, 12.0]},
        stale=stale,
    )
    notes = {"first": ["thick slices"]}
    checked = [{"case_id": c["batch"]["case_id"], "warnings": notes.get(c["batch"]["case_id"], [])} for c in cases]
    inferer, records = History(), CaseRecords(str(folder), checked, [weights])
    handler = CaseReports(
        output_dir=str(folder),
        title="A <title>",
        door=SimpleNamespace(cases=checked, failures=[FAILURE]),
        records=records,
        inferer=inferer,
        calibration=calibration if calibrated else None,
        threshold=threshold,
        weights=weights,
        settings={"sequence": "t1", "curve points": 18},
        quality_score=quality_score,
    )

    def step(_: Engine, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        number = [c["batch"]["case_id"] for c in cases].index(batch[0]["case_id"])
        inferer.history = [{"network_evaluations": 10 + number, "stop": f"after {number}"}]
        return [{"map_threshold": threshold, **cases[number]["output"]}]

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
    first, second = run(tmp_path / "out", weights, cases)
    assert first["case_id"] == "first"
    assert first["anomaly_ml"] == pytest.approx(4 * 6 * 2 * 20 / 1000)
    assert first["score"] == pytest.approx(8 * 6 * 2 / BRAIN_VOXELS)  # 0.05, of the map
    assert first["threshold"] == THRESHOLD
    assert first["threshold_source"] == "1 % of the brain voxels of 4 healthy scans lie above it"
    assert (first["network_evaluations"], first["stop"]) == (10, "after 0")
    assert first["warnings"] == ["thick slices"]
    assert 0 < first["seconds"] < 60
    assert (second["anomaly_ml"], second["score"], second["score_percentile"]) == (0, 0, 0)
    assert (second["network_evaluations"], second["warnings"]) == (11, [])


def test_percentile_among_healthy_scans(tmp_path: Path, weights: str, no_pictures: None):
    maps = [box(2, 2, 1), box(8, 6, 1), box(16, 20, 6)]  # shares of 0.002, 0.025 and 1
    rows = run(tmp_path, weights, [case(str(number), found, found) for number, found in enumerate(maps)])
    assert [row["score_percentile"] for row in rows] == [25, 75, 100]


def test_percentile_of_the_quality_score_is_that_of_what_the_inferer_says(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None
):
    rows = run(tmp_path / "out", weights, cases, quality_score="network_evaluations")
    assert [(row["network_evaluations"], row["quality_percentile"]) for row in rows] == [(10, 50), (11, 75)]
    assert "quality percentile 75" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    rows = run(tmp_path / "none", weights, cases, quality_score="network_evaluations", calibrated=False)
    assert [row["quality_percentile"] for row in rows] == [None, None]
    assert "quality_percentile" not in run(tmp_path / "off", weights, cases)[0]


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


def test_given_threshold_is_named_as_such(tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None):
    rows = run(tmp_path / "out", weights, cases, threshold=0.8)
    assert [row["threshold_source"] for row in rows] == ["given by --threshold"] * 2
    assert [row["threshold"] for row in rows] == [0.8] * 2


def test_threshold_of_a_volume_is_named_and_its_score_stays_that_of_the_stored_one(
    tmp_path: Path, weights: str, no_pictures: None
):
    """The percentile among healthy scans holds for the share above the stored threshold, whatever Otsu says."""
    found, nothing = case("lesion", FOUND, box(8, 6, 2)), case("nothing", box(0, 0, 0), box(0, 0, 0))
    found["output"]["anomaly_map"] *= 0.5  # 0.75 times the volume's threshold, 1.5 times the stored one
    found["output"]["map_threshold"], nothing["output"]["map_threshold"] = 2 * THRESHOLD, float("inf")
    first, second = run(tmp_path / "out", weights, [found, nothing])
    assert first["threshold"] == 2 * THRESHOLD and first["threshold_source"].startswith("of this volume")
    assert first["score"] == pytest.approx(8 * 6 * 2 / BRAIN_VOXELS)
    assert (second["score"], second["threshold"]) == (0, "inf")


def test_stale_threshold_is_a_warning_of_every_case(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None
):
    first, second = (row["warnings"] for row in run(tmp_path / "out", weights, cases, stale="other weights"))
    assert first[0] == "thick slices" and "other weights" in first[1] and "configs/calibrate.json" in first[1]
    assert second == first[1:]
    assert first[1] in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_without_calibration_there_is_neither_score_nor_percentile_nor_warning(
    tmp_path: Path, weights: str, cases: list[dict[str, Any]], no_pictures: None
):
    cases[0]["output"]["map_threshold"] = 2.0  # Otsu's, the other case has the one of the run
    first, second = run(tmp_path / "out", weights, cases, stale="other weights", calibrated=False)
    assert all(row[key] is None for row in (first, second) for key in ("score", "score_percentile"))
    assert (first["threshold"], first["threshold_source"]) == (2.0, "of this volume")
    assert (second["threshold"], second["threshold_source"]) == (THRESHOLD, "given by --threshold")
    assert first["anomaly_ml"] > 0 and second["warnings"] == []


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
