"""The report on a classifier: ten cases whose metrics are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.transforms import Activationsd

from shared.reports.classifier_report import ClassifierReport, roc_curve, roc_points
from shared.runs.weights import sha256
from tests.helpers.evaluations import FAILURE, evaluate, read

FRACTURES = (0.9, 0.8, 0.6, 0.4)
NORMALS = (0.1, 0.2, 0.3, 0.7, 0.05, 0.5)  # the last one is at the threshold and called a fracture
CASES = [
    {"case_id": f"{label}_{p}", "class_label": label, "label": label, "image": torch.tensor([0, np.log(p / (1 - p))])}
    for label, probabilities in enumerate((NORMALS, FRACTURES))
    for p in probabilities
]


def run(folder: Path, cases: list[dict], network=torch.clone, **more) -> SimpleNamespace:
    return evaluate(ClassifierReport, folder, cases, network, Activationsd("pred", softmax=True), **more)


def test_metrics_are_those_counted_by_hand(tmp_path):
    metrics = run(tmp_path, CASES).json["metrics"]
    # Three of four fractures are called, four of six normals are not; 21 of 24 pairs are in the right order.
    expected = {"accuracy": 0.7, "sensitivity": 0.75, "specificity": 4 / 6, "auc": 21 / 24}
    assert {name: value[0] for name, value in metrics.items()} == pytest.approx(expected)
    for value, low, high in metrics.values():
        assert 0 <= low < value < high <= 1


def test_each_case_has_its_row(tmp_path):
    found = run(tmp_path, CASES)
    assert list(found.csv) == [case["case_id"] for case in CASES]
    for case_id, kind, correct in (
        ("1_0.4", "fracture", "False"),
        ("0_0.5", "normal", "False"),
        ("0_0.3", "normal", "True"),
    ):
        row = found.csv[case_id]
        assert float(row["probability"]) == pytest.approx(float(case_id[2:]), abs=1e-6)
        assert (row["prediction"], row["correct"]) == (str(int(float(case_id[2:]) >= 0.5)), correct)
        kind = {"0": "normal", "1": "fracture"}[case_id[0]]
        assert (row["class"], row["class_label"], row["status"]) == (kind, case_id[0], "done")
    assert found.json["counts"] == {"accuracy": 10, "sensitivity": 4, "specificity": 6, "auc": 10}
    assert len(found.json["cases"]) == 10


def test_run_is_described_and_the_page_stands_alone(tmp_path):
    found = run(tmp_path, CASES)
    assert found.json["run"]["weights_sha256"] == sha256(found.weights)
    assert found.json["run"]["arm"] == "reference" and found.json["run"]["seconds"] < 60
    assert "A &lt;title&gt;" in found.html and "data:image/png;base64," in found.html
    assert "<td>sensitivity</td><td>0.75</td>" in found.html and "http" not in found.html
    assert "undefined" not in found.html and "Failed" not in found.html


@pytest.mark.parametrize(("label", "missing"), [(0, "fracture"), (1, "normal")])
def test_one_class_alone_has_rows_but_no_metrics(tmp_path, label, missing):
    found = run(tmp_path, [case for case in CASES if case["class_label"] == label])
    assert set(found.json["metrics"]) == {"accuracy", "sensitivity", "specificity", "auc"}
    assert all(value == [None] * 3 for value in found.json["metrics"].values())
    assert f"metrics need cases of the class {missing} too" in found.html and "undefined" in found.html
    assert len(found.csv) == (6, 4)[label]


def test_left_out_cases_are_listed(tmp_path):
    found = run(tmp_path, CASES, failures=[FAILURE])
    assert found.json["failures"] == [FAILURE] and "is &lt;empty&gt;" in found.html
    assert (found.csv["bad"]["status"], found.csv["bad"]["error"]) == ("failed", "is <empty>")
    assert "10 cases evaluated, 1 failed" in found.html


def test_failures_are_reported_where_no_case_is_left(tmp_path):
    found = run(tmp_path, [], failures=[FAILURE])
    assert found.json["failures"] == [FAILURE] and found.json["metrics"] == {}
    assert "0 cases evaluated, 1 failed" in found.html


def test_what_is_finished_survives_an_error(tmp_path):
    batches = []

    def network(inputs: torch.Tensor) -> torch.Tensor:
        batches.append(inputs)
        if len(batches) == 3:
            raise RuntimeError("out of memory")
        return inputs

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, CASES, network)
    assert list(read(tmp_path).csv) == [case["case_id"] for case in CASES[:6]]


def test_report_json_has_no_nan(tmp_path):
    run(tmp_path, CASES[:1])
    text = (tmp_path / "out" / "report.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)


def test_roc_curve_passes_through_the_points_counted_by_hand():
    rates = roc_points(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0]))
    assert [list(rate) for rate in rates] == [[0, 0, 0.5, 1], [0, 0.5, 1, 1]]
    assert roc_curve(np.array([0.9, 0.1]), np.array([1, 0])).startswith(b"\x89PNG")
