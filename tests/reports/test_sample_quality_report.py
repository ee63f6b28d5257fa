"""The report on generated radiographs: what is measured, left out and refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shared.evaluation.described_radiographs import DescribedRadiographs
from shared.evaluation.sample_quality import class_matched, feature_metrics
from shared.reports.sample_quality_report import Comparison, SampleQualityReport
from shared.runs.errors import DataListError
from shared.runs.weights import sha256
from tests.helpers.described_sets import SIZE, described
from tests.helpers.pages import pictures

FAILURE = {"case_id": "bad", "file": "bad.png", "key": "image", "error": "is <empty>", "remedy": "Mend it"}
NAMES = ("healthy", "broken")


def report(
    folder: Path, sets: dict[str, DescribedRadiographs], weights: dict[str, str], match_classes: bool = True
) -> SampleQualityReport:
    doors = {name: SimpleNamespace(cases=name, failures=[]) for name in ("held_out", "reference", "samples")}
    doors["reference"].failures.append(FAILURE)

    def describe(cases: str, name: str) -> DescribedRadiographs:
        assert cases == name
        return sets[name]

    comparison = Comparison(match_classes, permutations=2)
    return SampleQualityReport(str(folder), "Quality", doors, describe, weights, comparison, NAMES)


def three_sets() -> dict[str, DescribedRadiographs]:
    generator, sets = np.random.default_rng(0), {}
    for seed, (name, labels) in enumerate({"samples": [0, 1] * 6, "reference": [0] * 9 + [1] * 3}.items()):
        sets[name] = described(seed, labels, features=generator.normal(size=(12, 4)))
    sets["held_out"] = described(2, [0, 0, 1] * 3, features=generator.normal(size=(9, 4)))
    for of in sets.values():
        of.probabilities = np.where(of.labels == 1, 0.75, 0.25)
        of.dice = np.where(np.stack([of.labels >= 0, of.labels == 1], axis=1), 0.5, np.nan)
    return sets


def test_everything_is_measured_on_samples_of_the_held_out_mix(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"weights")
    sets = three_sets()
    sets["samples"].radiographs[0] = sets["reference"].radiographs[7, :, ::-1]
    report(tmp_path / "out", sets, weights={"classifier": str(tmp_path / "net.pt"), "segmenter": ""}).run()
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    run, metrics = written["run"], written["metrics"]
    assert [run[key] for key in ("samples", "compared", "reference", "held_out")] == [12, 9, 12, 9]
    assert run["classifier"]["sha256"] == sha256(tmp_path / "net.pt") and "segmenter" not in run
    assert written["left_out"] == {} and written["failures"] == [FAILURE]
    assert len(metrics) == 6 + 6 + 4 + 1 + 4 and all(len(interval) == 3 for interval in metrics.values())
    assert metrics["agreement_broken"][0] == 1 and metrics["dice_lesion"] == [0.5, 0.5, 0.5]
    with (tmp_path / "out" / "report.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case_id"] for row in rows] == sets["samples"].case_ids
    compared = np.flatnonzero([row["compared"] == "True" for row in rows])
    assert np.bincount(sets["samples"].labels[compared]).tolist() == [6, 3]
    distances = np.array([float(row["nearest_distance"]) for row in rows])
    assert metrics["nearest_distance"][0] == np.median(distances[compared]) != np.median(distances)
    held_out, of_reference = sets["held_out"].features, class_matched(sets["reference"].labels, sets["held_out"].labels)
    assert len(of_reference) == 9
    expected = feature_metrics(
        sets["samples"].features[compared], sets["reference"].features[of_reference], held_out, 2
    )
    assert [metrics[name][0] for name in expected] == [interval.estimate for interval in expected.values()]
    first = {key: rows[0][key] for key in ("class", "verdict", "nearest_case", "nearest_mirrored", "dice_lesion")}
    assert list(first.values()) == ["healthy", "healthy", "case1_7", "True", ""]
    assert float(rows[0]["nearest_distance"]) < 1e-5 and rows[1]["verdict"] == "broken"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "9 of them compared with 9 held-out" in page and "is &lt;empty&gt;" in page and "Left out" not in page
    assert len(pictures(page)) == 2


def test_what_cannot_be_measured_is_left_out_and_named(tmp_path):
    sets = three_sets()
    sets["samples"].dice = sets["samples"].features = None
    report(tmp_path, sets, weights={}, match_classes=False).run()
    written = json.loads((tmp_path / "report.json").read_text())
    assert list(written["left_out"]) == ["agreement with the class", "Dice of the masks", "kernel distance and AUC"]
    assert "match_classes is false" in written["left_out"]["agreement with the class"]
    assert len(written["metrics"]) == 4 + 1 and written["run"]["compared"] == 12
    page = (tmp_path / "report.html").read_text()
    assert "no segmenter was given" in page and "In another class" not in page
    sets = three_sets()
    sets["samples"].probabilities, sets["held_out"] = None, described(2, [0, 1], features=np.zeros((2, 4)))
    sets["held_out"].dice = np.full((2, 2), 0.5)
    report(tmp_path, sets, weights={}).run()
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["left_out"] == {
        "agreement with the class": "no classifier was given",
        "kernel distance and AUC": "a set has fewer than 5 radiographs",
    }


def test_a_held_out_training_image_ends_the_run(tmp_path):
    sets = three_sets()
    sets["held_out"].radiographs[4] = sets["reference"].radiographs[2]
    with pytest.raises(DataListError, match=r"training images \(case2_4\)"):
        report(tmp_path, sets, weights={}).run()
    assert sets["held_out"].radiographs.shape[1:] == (SIZE, SIZE) and not list(tmp_path.iterdir())
