"""The handler that fits a threshold: to what lies in the brains of all scans, lesions and their margins left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine
from monai.data import MetaTensor

from shared.anomaly.calibration import Calibration, calibrate, load_calibration
from shared.anomaly.calibration_fit import CalibrationFit
from tests.helpers.spread_values import uniform


def fit(folder: Path, weights: str, cases: list[dict[str, np.ndarray | None]], **options: float) -> Calibration:
    """The handler at 10 % on cases of ``anomaly_map``, ``brain`` and ``label``; voxels of 1, 1 and 4 mm."""
    affine = np.diag([-1.0, 1.0, 4.0, 1.0])

    def meta(values: np.ndarray) -> MetaTensor:
        return MetaTensor(np.asarray(values, np.float32)[None], affine=affine)

    batches, outputs = [], {}
    for number, case in enumerate(cases):
        batch = {"case_id": f"case{number}", "native_brain_mask": meta(case["brain"])}
        if "label" in case:
            batch["label"] = None if case["label"] is None else meta(case["label"])
        outputs[batch["case_id"]] = {"anomaly_map": meta(case["anomaly_map"])}
        batches.append([batch])
    engine = Engine(lambda _, batch: [outputs[batch[0]["case_id"]]])
    CalibrationFit(str(folder / "calibration.json"), 0.1, weights, **options).attach(engine)
    engine.run(batches)
    return load_calibration(str(folder / "calibration.json"), weights)


class TestCalibrationFitWithLabels:
    """A map that is uniform on (0, 1), but 5 in a lesion and 3 around it, as far as the lesion shines."""

    def case(self, halo_mm: float) -> dict[str, np.ndarray | None]:
        shape, at = (40, 40, 20), (20, 18, 9)
        distance = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - at) * (1, 1, 4), axis=-1)
        anomaly_map = uniform(0, 1, int(np.prod(shape))).reshape(shape)
        anomaly_map[distance <= 8 + halo_mm], anomaly_map[distance <= 8] = 3, 5
        return {"anomaly_map": anomaly_map, "brain": np.ones(shape), "label": (distance <= 8).astype(np.float32)}

    def test_lesion_and_margin_are_left_out(self, tmp_path: Path, weights: str):
        fitted = fit(tmp_path, weights, [self.case(halo_mm=3.0)])
        assert fitted.threshold == pytest.approx(0.9, abs=0.01)
        assert fitted.thresholds["0.001"] < 1, "nothing of the lesion's shine is counted"
        assert fitted.rule == "10 % of the lesion-free brain voxels of 1 scans lie above it"
        assert fitted.healthy_scores == pytest.approx([0.1], abs=1e-3)

    def test_margin_is_a_setting(self, tmp_path: Path, weights: str):
        assert fit(tmp_path, weights, [self.case(halo_mm=8.0)]).thresholds["0.001"] == 3
        assert fit(tmp_path, weights, [self.case(halo_mm=8.0)], label_margin_mm=10.0).thresholds["0.001"] < 1
        assert fit(tmp_path, weights, [self.case(halo_mm=0.0)], label_margin_mm=0.0).thresholds["0.001"] < 1

    @pytest.mark.parametrize("label", ["absent", "none", "empty"])
    def test_healthy_scans_are_as_ever(self, tmp_path: Path, weights: str, label: str):
        case = self.case(halo_mm=3.0)
        case["label"] = np.zeros(case["brain"].shape) if label == "empty" else None
        case = {key: value for key, value in case.items() if label != "absent" or key != "label"}
        fitted = fit(tmp_path, weights, [case])
        expected = calibrate([case["anomaly_map"].ravel()], ["case0"], 0.1, weights)
        assert fitted == expected and "brain voxels of 1 healthy scans" in fitted.rule

    def test_one_labelled_scan_among_healthy_ones_changes_the_rule(self, tmp_path: Path, weights: str):
        healthy = {**self.case(halo_mm=0.0), "label": None}
        healthy["anomaly_map"] = uniform(0, 1, healthy["brain"].size).reshape(healthy["brain"].shape)
        fitted = fit(tmp_path, weights, [healthy, self.case(halo_mm=0.0), healthy])
        assert fitted.rule == "10 % of the lesion-free brain voxels of 3 scans lie above it"
        assert fitted.threshold == pytest.approx(0.9, abs=0.01)

    @pytest.mark.parametrize("margin_mm", [-1.0, float("nan")])
    def test_margin_must_be_a_distance(self, weights: str, margin_mm: float):
        with pytest.raises(ValueError, match="label_margin_mm is a distance"):
            CalibrationFit("calibration.json", 0.1, weights, label_margin_mm=margin_mm)


class TestCalibrationFit:
    def test_fits_to_the_brains_of_all_scans_and_writes(self, tmp_path: Path, weights: str):
        random, brains, scans = np.random.default_rng(1), [], []
        for top, voxels in ((1.0, 8_000), (2.0, 1_000)):
            brain = random.permutation(np.arange(27_000) < voxels).reshape(1, 30, 30, 30)
            anomaly_map = np.full(brain.shape, 99.0, np.float32)  # what lies outside the brain must not count
            anomaly_map[brain] = uniform(0, top, voxels)
            brains.append(MetaTensor(brain.astype(np.float32)))
            scans.append(MetaTensor(anomaly_map))

        def step(_: Engine, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
            number = batch[0]["number"]
            return [{"anomaly_map": scans[number], "facts": {"mean_error": 5.0 - number, "hidden_share": 0.5}}]

        engine, path = Engine(step), tmp_path / "calibration.json"
        CalibrationFit(str(path), 0.1, weights, quality_score="mean_error").attach(engine)
        cases = [{"case_id": f"case{i}", "number": i, "native_brain_mask": brain} for i, brain in enumerate(brains)]
        engine.run([[case] for case in cases])
        fitted = load_calibration(str(path), weights)
        assert fitted.threshold == pytest.approx(2 - 4 * 0.1, abs=0.01)
        assert fitted.healthy_scores == pytest.approx([0, 0.2], abs=0.01)
        assert fitted.cases == ["case0", "case1"] and not fitted.stale
        assert fitted.healthy_quality == {"mean_error": [4, 5]}


@pytest.mark.parametrize("rate", [0, 1, 2, -0.1])
def test_a_rate_outside_0_and_1_is_refused_before_any_scan_is_computed(rate):
    with pytest.raises(ValueError, match="false_positive_rate is a share between 0 and 1"):
        CalibrationFit("calibration.json", rate, "model.pt")
