"""Quality control with IterMask3D through the real command: artefacts and their scores, resumed, and the percentile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shared.simulation.artefacts import artefact_parameters
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import report_rows, table

QUICK = {"draws": 1, "amp": "$False"}
EVALUATE = "inference.json evaluate_artefacts.json"
CHOSEN = {"artefacts": "['spike','brain_cut']", "severities": "[1,5]"}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """A datalist of healthy simulated brains: two to train on, two to validate, two to test, and a broken file."""
    folder = tmp_path_factory.mktemp("phantoms")
    written = [
        write_phantom(make_phantom(seed, None, ("t1",), spacing=4.0), folder, f"case{seed}") for seed in range(6)
    ]
    (folder / "broken.nii.gz").write_text("no NIfTI")
    test = [*written[4:], {"case_id": "broken", "t1": "broken.nii.gz"}]
    sections = {"training": written[:2], "validation": written[2:4], "test": test}
    (folder / "list.json").write_text(json.dumps(sections))
    return folder / "list.json"


@pytest.fixture(scope="module")
def evaluated(itermask3d: Bundle, phantoms: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("artefacts")
    done = itermask3d.run(EVALUATE, {"datalist": phantoms, "output_dir": out, **CHOSEN, **QUICK})
    assert done.returncode != 0 and "broken" in done.stderr + done.stdout, done.stderr  # the others are finished
    return out


def volumes(out: Path) -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in table(out / "report.csv")}


@pytest.mark.slow
def test_each_subject_is_scored_clean_and_with_every_artefact(evaluated: Path):
    names = ["", "_spike_1", "_spike_5", "_brain_cut_1", "_brain_cut_5"]
    rows = volumes(evaluated)
    assert list(rows) == [f"{case}{name}" for case in ("case4", "case5") for name in names]
    for case in ("case4", "case5"):
        errors = [float(rows[f"{case}{name}"]["mean_error"]) for name in names]
        assert errors[0] < errors[1] < errors[2] and errors[2] > 5 * errors[0]
        distances = [float(rows[f"{case}{name}"]["histogram_distance"]) for name in names]
        assert distances[2] > 5 * distances[0]
    drawn = artefact_parameters("brain_cut", 5, "case5")
    assert rows["case5_brain_cut_5"]["artefact_parameters"] == (
        f"share: 0.25; direction: {'; '.join(map(str, drawn['direction']))}"
    )
    assert not list(evaluated.glob("*.nii.gz"))


@pytest.mark.slow
def test_detection_is_reported_by_artefact_and_severity(evaluated: Path):
    rows = table(evaluated / "detection.csv")
    found = {(row["artefact"], row["severity"], row["score"]): row for row in rows}
    assert len(rows) == len(found) == (4 + 1) * 3  # no final mask in a single pass
    assert float(found["spike", "5", "mean_error"]["auroc"]) == 1
    report = json.loads((evaluated / "report.json").read_text())
    assert report["run"]["reference scans"] == 2 and len(report["volumes"]) == 10
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "2 subjects" in page and "brain_cut" in page and "data:image/png;base64," in page
    assert (evaluated / "severity_curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_to_the_same_scores(
    itermask3d: Bundle, phantoms: Path, evaluated: Path, tmp_path
):
    """Four volumes are there; then all; with another threshold they are done again."""
    options = {"datalist": phantoms, "output_dir": tmp_path, **CHOSEN, **QUICK}
    first = {**options, "artefacts": "['spike']", "severities": "[1]"}
    itermask3d.run(EVALUATE, first)
    assert len(volumes(tmp_path)) == 4

    done = itermask3d.run(EVALUATE, {**first, "resume": "$True"})  # nothing is left to do
    assert "4 of 4 cases are finished already" in done.stdout + done.stderr
    assert len(volumes(tmp_path)) == 4
    done = itermask3d.run(EVALUATE, {**first, "resume": "$True", "threshold": 9})
    said = done.stdout + done.stderr
    assert said.count("is done again: option threshold is another one") == 4 and "0 of 4 cases are finished" in said

    itermask3d.run(EVALUATE, options)
    for case_id in list(volumes(tmp_path))[4:]:
        (tmp_path / ".finished" / f"{case_id}.json").unlink()
    done = itermask3d.run(EVALUATE, {**options, "resume": "$True"})
    assert "4 of 10 cases are finished already" in done.stdout + done.stderr
    assert volumes(tmp_path) == volumes(evaluated)
    assert (tmp_path / "detection.csv").read_bytes() == (evaluated / "detection.csv").read_bytes()


@pytest.mark.slow
def test_intensity_alone_is_measured_by_what_it_scores(itermask3d: Bundle, phantoms: Path, tmp_path: Path):
    chosen = {"artefacts": "['bias_field']", "severities": "[5]"}
    itermask3d.run(
        "inference.json baseline_intensity.json evaluate_artefacts.json",
        {"datalist": phantoms, "output_dir": tmp_path, "threshold": 2.0, **chosen},
    )
    assert {row["score"] for row in table(tmp_path / "detection.csv")} == {"score", "histogram_distance"}


@pytest.mark.slow
def test_unknown_artefact_is_named_before_anything_runs(itermask3d: Bundle, phantoms: Path, tmp_path: Path):
    done = itermask3d.run(EVALUATE, {"datalist": phantoms, "output_dir": tmp_path / "out", "artefacts": "['rust']"})
    assert done.returncode != 0 and "no artefact 'rust': choose from gaussian_noise" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_percentile_among_the_scans_of_the_calibration(itermask3d: Bundle, phantoms: Path, tmp_path: Path):
    """The healthy scans themselves lie at 0 and 50 %; a calibration from before has no percentile."""
    options = {"datalist": phantoms, "calibration_file": tmp_path / "fitted.json", **QUICK}
    done = itermask3d.run("inference.json calibrate.json", options)
    assert done.returncode == 0, done.stderr
    fitted = json.loads((tmp_path / "fitted.json").read_text())
    healthy = fitted["healthy_quality"]["mean_error"]
    assert healthy == sorted(healthy) and len(healthy) == 2 and healthy[0] > 0

    older = {key: value for key, value in fitted.items() if key != "healthy_quality"}
    (tmp_path / "older.json").write_text(json.dumps(older))
    for name, percentiles in (("fitted", {"0.0", "50.0"}), ("older", {""})):
        out, options["calibration_file"] = tmp_path / name, tmp_path / f"{name}.json"
        done = itermask3d.run("inference.json", {**options, "section": "validation", "output_dir": out})
        assert done.returncode == 0, done.stderr
        rows = report_rows(out)
        assert {row["quality_percentile"] for row in rows.values()} == percentiles
        assert sorted(float(row["mean_error"]) for row in rows.values()) == pytest.approx(healthy)


def test_stored_calibration_has_a_quality_score_of_each_healthy_scan(itermask3d: Bundle):
    stored = json.loads((itermask3d.folder / "models" / "calibration.json").read_text())
    healthy = stored["healthy_quality"][itermask3d.config("inference.json")["quality_score"]]
    assert len(healthy) == len(stored["cases"]) and np.all(np.diff(healthy) >= 0)
