"""What every evaluation of a network leaves behind, with a report of one metric, the mean of what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Identityd

from shared.evaluation.statistics import Interval
from shared.reports.network_report import NetworkReport
from shared.reports.page import Html
from shared.runs.weights import sha256
from tests.helpers.evaluations import FAILURE, evaluate, read

CASES = [{"case_id": f"case{n}", "image": torch.tensor([float(n)]), "label": 0} for n in range(4)]


class MeanReport(NetworkReport):
    """Twice what was given is answered; a second metric is undefined."""

    def row(self, case: Mapping[str, Any]) -> dict[str, Any]:
        return {"case_id": case["case_id"], "answer_of_it": float(case["pred"])}

    def metrics(self) -> dict[str, tuple[Interval, int]]:
        answers = [row["answer_of_it"] for row in self.rows]
        mean = Interval(float(np.mean(answers)), min(answers), max(answers))
        return {"mean_answer": (mean, len(answers)), "no_answer": (Interval(np.nan, np.nan, np.nan), 0)}

    def parts(self) -> Sequence[Html]:
        return [Html("<p>its own part</p>")]


def run(folder: Path, cases: Sequence[dict[str, Any]] = CASES, network=lambda x: 2 * x, **more: Any) -> SimpleNamespace:
    return evaluate(MeanReport, folder, cases, network, Identityd("pred"), **more)


def test_rows_metrics_and_counts(tmp_path):
    found = run(tmp_path)
    assert {name: row["answer_of_it"] for name, row in found.csv.items()} == {
        "case0": "0.0", "case1": "2.0", "case2": "4.0", "case3": "6.0",
    }  # fmt: skip
    assert found.json["metrics"] == {"mean_answer": [3.0, 0.0, 6.0], "no_answer": [None] * 3}
    assert found.json["counts"] == {"mean_answer": 4, "no_answer": 0}
    assert found.json["cases"][1] == {"case_id": "case1", "answer_of_it": 2.0} and found.json["failures"] == []


def test_the_run_and_its_settings_are_told(tmp_path):
    found = run(tmp_path)
    assert found.json["run"]["weights_sha256"] == sha256(found.weights) and found.json["run"]["arm"] == "reference"
    assert 0 < found.json["run"]["seconds"] < 60 and "torch" in found.json["run"]


def test_the_page_has_metrics_the_own_part_and_cases_in_this_order(tmp_path):
    page = run(tmp_path).html
    order = ["4 cases evaluated, 0 failed", "<h2>Metrics</h2>", "its own part", "<h2>Cases</h2>"]
    assert sorted(order, key=page.index) == order
    assert "<td>mean answer</td><td>3</td><td>0</td><td>6</td><td>4</td>" in page
    assert "An empty value is undefined" in page and "<th>answer of it</th>" in page and "A &lt;title&gt;" in page


def test_failures_stand_in_all_three_files(tmp_path):
    found = run(tmp_path, failures=[FAILURE])
    assert found.csv["bad"]["status"] == "failed" and found.json["failures"] == [FAILURE]
    assert "4 cases evaluated, 1 failed" in found.html and "is &lt;empty&gt;" in found.html


def test_where_nothing_is_left_the_failures_are_written_before_anything_runs(tmp_path):
    found = run(tmp_path, [], failures=[FAILURE])
    assert list(found.csv) == ["bad"] and found.json["metrics"] == found.json["counts"] == {}
    assert "<h2>Metrics</h2>" not in found.html


def test_finished_batches_survive_an_error(tmp_path):
    def network(x: torch.Tensor) -> torch.Tensor:
        if float(x.max()) == 3:
            raise RuntimeError("out of memory")
        return x

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, network=network)
    assert list(read(tmp_path).csv) == ["case0", "case1", "case2"]
    text = (tmp_path / "out" / "report.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["counts"]["mean_answer"] == 3
