"""example_case: the case that a bundle describes is made the same everywhere, run, and its numbers compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.cases.datalists import gather_cases
from tests.helpers.paths import ROOT
from tools.example_case import FOLDER, ExampleFailure, described, differences, run_example, write_example

BUNDLES = sorted(folder for folder in (ROOT / "bundles").iterdir() if folder.is_dir())
PHANTOM = {"cases": 2, "lesions": ["tumour", None], "sequences": ["t1"], "spacing": 8.0, "seed": 3}


def bundle(folder: Path, phantom: dict[str, Any] | None, configs: dict[str, Any] | None = None) -> Path:
    """A folder with a described example, and a config that writes ``report.json`` of two cases."""
    (folder / "docs").mkdir(parents=True)
    (folder / "configs").mkdir()
    described = {"phantom": phantom, "options": {"scale": 2.0}, "expected": {"anomaly_ml": [3.0, 0.5]}}
    (folder / "docs" / "example.json").write_text(json.dumps(described))
    report = "{'cases': [{'anomaly_ml': @scale * n} for n in (1, 2)]}"
    config = {
        "imports": ["$import json", "$import pathlib"],
        "output_dir": ".",
        "datalist": "",
        "scale": 1.0,
        "run": [f"$pathlib.Path(@output_dir, 'report.json').write_text(json.dumps({report}))"],
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config | (configs or {})))
    return folder


def test_numbers_off_by_more_than_their_tolerance_are_named_and_so_is_nan():
    expected = {"anomaly_ml": (40.0, 2.0), "score": (0.02, 0.001)}
    assert differences({"anomaly_ml": 41.9, "score": 0.0205}, expected) == []
    assert differences({"anomaly_ml": 43.0, "score": float("nan")}, expected) == [
        "anomaly_ml is 43, expected 40 within 2",
        "score is nan, expected 0.02 within 0.001",
    ]


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_every_bundle_describes_an_example_with_options_that_exist(folder):
    example, config = described(folder), json.loads((folder / "configs" / "inference.json").read_text())
    assert set(example) == {"phantom", "options", "expected"} and example["options"].keys() <= config.keys()
    assert all(tolerance >= 0 and np.isfinite(value) for value, tolerance in example["expected"].values())


def test_the_case_is_written_into_the_bundle_the_same_each_time(tmp_path):
    made = []
    for name in ("a", "b"):
        write_example(bundle(tmp_path / name, PHANTOM))
        cases = gather_cases(datalist=str(tmp_path / name / FOLDER / "datalist.json"), section="test", sequence="t1")
        made.append([(case["case_id"], Path(case["image"]).name) for case in cases])
    assert made[0] == made[1] and [case_id.rsplit("_")[-1] for case_id, _ in made[0]] == ["tumour", "healthy"]
    write_example(bundle(tmp_path / "c", None))
    assert not (tmp_path / "c" / FOLDER).exists(), "it is run without a case"


def test_the_numbers_are_means_over_the_cases_of_the_report(tmp_path):
    """2 and 4 by the option of the example: 3."""
    found = run_example(bundle(tmp_path / "bundle", None), tmp_path / "out")
    assert found == {"anomaly_ml": 3.0} and differences(found, described(tmp_path / "bundle")["expected"]) == []


def test_an_example_that_does_not_run_is_told_with_what_it_said(tmp_path):
    broken = bundle(tmp_path / "bundle", None, {"run": ["$1 / 0"]})
    with pytest.raises(ExampleFailure, match="(?s)exit code 1: .*monai.bundle run.*Failed to evaluate"):
        run_example(broken, tmp_path / "out")
