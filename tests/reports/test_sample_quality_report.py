"""The report on generated radiographs: its table, its pictures, and what is left out and refused."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.evaluation.described_radiographs import DescribedRadiographs
from shared.evaluation.sample_quality import class_matched, feature_metrics
from shared.evaluation.statistics import Interval
from shared.reports.radiograph_grid import outlined
from shared.reports.sample_quality_page import closest_pairs, disagreements, measures_table
from shared.reports.sample_quality_report import SampleQualityReport
from shared.runs.errors import DataListError
from shared.runs.weights import sha256
from tests.helpers.described_sets import SIZE, described

FAILURE = {"case_id": "bad", "file": "bad.png", "key": "image", "error": "is <empty>", "remedy": "Mend it"}
NAMES = ("healthy", "broken")


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))) for picture in found]


def test_table_shows_what_there_is_beside_its_reference():
    metrics = {
        "agreement": Interval(0.91234, 0.85, 0.95),
        "held_out_agreement": Interval(0.95, 0.9, 0.99),
        "near_share": Interval(0.5, 0.25, 0.75),
        "agreement_broken": Interval(np.nan, np.nan, np.nan),
        "held_out_agreement_broken": Interval(1.0, 0.5, 1.0),
        "real_or_generated_auc": Interval(0.75, np.nan, np.nan),
        "real_or_generated_auc_by_chance": Interval(0.5, 0.375, 0.625),
    }
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", measures_table(metrics, NAMES))
    assert [row.split("</td><td>")[1:3] for row in rows] == [
        ["0.912 (0.85 to 0.95)", "0.95 (0.9 to 0.99)"],
        ["no case", "1 (0.5 to 1)"],
        ["0.5 (0.25 to 0.75)", "0.05"],
        ["0.75", "0.5 (0.375 to 0.625)"],
    ]


def test_pairs_show_each_sample_beside_its_neighbour_as_it_is_nearest():
    samples, reference = described(0, [0, 1, 1]), described(1, [1, 0])
    page = closest_pairs(samples, reference, np.array([3.0, 1.0, 2.0]), np.array([0, 1, 0]), np.array([0, 0, 1], bool))
    names = re.findall(r"(case\d_\d) and (case\d_\d)( mirrored)? \((\d)\)", page)
    assert names == [
        ("case0_1", "case1_1", "", "1"), ("case0_2", "case1_0", " mirrored", "2"), ("case0_0", "case1_0", "", "3")
    ]  # fmt: skip
    (grid,) = pictures(page)
    mirrored = [image[:, ::-1] for image in (reference.radiographs[0], *reference.masks[0])]
    second = np.hstack([outlined(samples.radiographs[2], *samples.masks[2]), outlined(*mirrored)])
    top = second.shape[0] + 2 * 4
    assert np.array_equal(grid[top : top + second.shape[0], 4 : 4 + second.shape[1]], second)


def test_disagreements_are_shown_the_surest_first():
    samples = described(0, [0, 0, 1, 1], probabilities=np.array([0.75, 0.25, 0.125, 0.5]))
    page = disagreements(samples, NAMES)
    assert "classifier: 2 of 4</h2>" in page and len(pictures(page)) == 1
    assert re.findall(r"(case0_\d) \((.*?)\)", page) == [
        ("case0_2", "0.12 for broken"),
        ("case0_0", "0.25 for healthy"),
    ]
    agreeing = disagreements(described(0, [0, 1], probabilities=np.array([0.25, 0.75])), NAMES)
    assert agreeing.endswith("0 of 2</h2>")


def report(folder: Path, sets: dict[str, DescribedRadiographs], **more: Any) -> SampleQualityReport:
    doors = {name: SimpleNamespace(cases=name, failures=[]) for name in ("held_out", "reference", "samples")}
    doors["reference"].failures.append(FAILURE)

    def describe(cases: str, name: str) -> DescribedRadiographs:
        assert cases == name
        return sets[name]

    return SampleQualityReport(str(folder), "Quality", doors, describe, class_names=NAMES, permutations=2, **more)


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
    assert len(metrics) == 6 + 6 + 4 + 4 and all(len(interval) == 3 for interval in metrics.values())
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
    assert len(written["metrics"]) == 4 and written["run"]["compared"] == 12
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
