"""Calibration: thresholds of maps whose distribution is known, the file, and what is said when it does not fit."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.anomaly.calibration import FALSE_POSITIVE_RATES, Calibration, calibrate, load_calibration
from shared.runs.errors import WeightsError
from shared.runs.weights import sha256
from tests.helpers.spread_values import uniform


class TestCalibrate:
    def test_one_uniform_scan(self, weights: str):
        fitted = calibrate([uniform(0, 1, 100_001)], ["a"], 0.02, weights)
        assert fitted.threshold == pytest.approx(0.98, abs=1e-4)
        expected = {f"{rate:g}": 1 - rate for rate in FALSE_POSITIVE_RATES}
        assert fitted.thresholds == pytest.approx(expected, abs=1e-4)
        assert fitted.healthy_scores == pytest.approx([0.02], abs=1e-4)
        assert fitted.weights_sha256 == sha256(weights) and not fitted.stale

    @pytest.mark.parametrize("small", [1_000, 600_000])
    def test_every_scan_counts_alike_whatever_its_size(self, weights: str, small: int):
        # Half of the pool is uniform on (0, 1), half on (0, 2): above t in (1, 2) lies (2 - t) / 2 of the second half.
        scans = [uniform(0, 1, small), uniform(0, 2, 200_000)]
        fitted = calibrate(scans, ["a", "b"], 0.1, weights)
        assert fitted.threshold == pytest.approx(2 - 4 * 0.1, abs=2e-3)
        assert fitted.thresholds["0.05"] == pytest.approx(2 - 4 * 0.05, abs=2e-3)
        assert fitted.thresholds["0.001"] == pytest.approx(2 - 4 * 0.001, abs=2e-3)
        assert fitted.healthy_scores == pytest.approx([0, 0.2], abs=2e-3)

    def test_scores_are_sorted_and_their_mean_is_the_rate(self, weights: str):
        tops = [3.0, 1.0, 2.0]
        fitted = calibrate([uniform(0, top, 200_000) for top in tops], ["c", "a", "b"], 0.05, weights)
        # Above t in (2, 3) lies (3 - t) / 3 of one scan of three; all of them are 5 %.
        assert fitted.threshold == pytest.approx(3 * (1 - 3 * 0.05), abs=2e-3)
        assert fitted.healthy_scores == sorted(fitted.healthy_scores)
        assert np.mean(fitted.healthy_scores) == pytest.approx(0.05, abs=2e-4)
        assert fitted.cases == ["c", "a", "b"]

    def test_a_rate_of_its_own_joins_the_table_and_the_rule(self, weights: str):
        fitted = calibrate([uniform(0, 1, 10_001)] * 3, ["a", "b", "c"], 0.003, weights)
        assert set(fitted.thresholds) == {"0.001", "0.003", "0.01", "0.02", "0.05"}
        assert fitted.threshold == fitted.thresholds["0.003"] == pytest.approx(0.997, abs=1e-3)
        assert fitted.rule == "0.3 % of the brain voxels of 3 healthy scans lie above it"
        assert fitted.false_positive_rate == 0.003
        assert list(fitted.thresholds.values()) == sorted(fitted.thresholds.values(), reverse=True)

    def test_rule_says_that_lesions_were_left_out(self, weights: str):
        fitted = calibrate([uniform(0, 1, 1_001)] * 2, ["a", "b"], 0.02, weights, labelled_left_out=True)
        assert fitted.rule == "2 % of the lesion-free brain voxels of 2 scans lie above it"

    @pytest.mark.parametrize("rate", [-0.1, 0.0, 1.0, 1.5])
    def test_a_rate_that_is_no_share_is_refused(self, weights: str, rate: float):
        with pytest.raises(ValueError, match="share between 0 and 1"):
            calibrate([np.ones(5)], ["a"], rate, weights)

    def test_a_threshold_of_zero_is_refused(self, weights: str):
        with pytest.raises(ValueError, match="maps of the healthy scans are 0"):
            calibrate([np.zeros(5)], ["a"], 0.01, weights)

    @pytest.mark.parametrize(
        "values", [[], [np.ones(5), np.ones(0)], [np.array([1, np.nan])]], ids=["no scan", "no brain", "NaN"]
    )
    def test_nothing_to_fit_to_is_refused(self, weights: str, values: list[np.ndarray]):
        with pytest.raises(ValueError, match="healthy scans with finite maps and brain voxels"):
            calibrate(values, ["a"] * len(values), 0.01, weights)


def stored(weights: str) -> Calibration:
    return Calibration(
        threshold=0.7,
        rule="a rule",
        false_positive_rate=0.01,
        thresholds={"0.01": 0.7},
        healthy_scores=[0.01, 0.02, 0.02, 0.04],
        cases=["a", "b", "c", "d"],
        weights_sha256=sha256(weights),
    )


@pytest.mark.parametrize(("score", "percent"), [(0.0, 0), (0.01, 0), (0.015, 25), (0.02, 25), (0.03, 75), (1.0, 100)])
def test_percentile_is_the_share_of_lower_scores(weights: str, score: float, percent: float):
    assert stored(weights).percentile(score) == percent


def test_quality_percentile_is_that_of_the_named_score(weights: str):
    fitted = calibrate([uniform(0, 1, 101)] * 4, list("abcd"), 0.1, weights, quality={"mean_error": [3, 1, 2, 4]})
    assert fitted.healthy_quality == {"mean_error": [1, 2, 3, 4]}
    assert [fitted.quality_percentile("mean_error", value) for value in (1, 2.5, 9)] == [0, 50, 100]
    assert np.isnan(fitted.quality_percentile("hidden_share", 1.0))


class TestFile:
    def test_comes_back_as_it_was(self, tmp_path: Path, weights: str, caplog: pytest.LogCaptureFixture):
        fitted = calibrate([uniform(0, 1, 1_000), uniform(0, 3, 500)], ["a", "ü"], 0.01, weights)
        path = tmp_path / "calibration.json"
        fitted.save(path)
        loaded = load_calibration(str(path), weights)
        assert loaded == fitted and not loaded.stale and not caplog.records
        assert sorted(p.name for p in tmp_path.iterdir()) == ["calibration.json", "model.pt"]

    def test_quality_scores_come_back_and_an_older_file_has_none(self, tmp_path: Path, weights: str):
        path = tmp_path / "calibration.json"
        replace(stored(weights), healthy_quality={"mean_error": [0.1, 0.2]}).save(path)
        assert load_calibration(str(path), weights).quality_percentile("mean_error", 0.15) == 50
        older = {key: value for key, value in json.loads(path.read_text()).items() if key != "healthy_quality"}
        path.write_text(json.dumps(older))
        loaded = load_calibration(str(path), weights)
        assert loaded == stored(weights) and np.isnan(loaded.quality_percentile("mean_error", 0.15))

    def test_staleness_is_found_not_stored(self, tmp_path: Path, weights: str):
        path = tmp_path / "calibration.json"
        replace(stored(weights), stale="other weights").save(path)
        assert "stale" not in json.loads(path.read_text())
        assert not load_calibration(str(path), weights).stale

    def test_other_weights_make_it_stale_with_a_warning(
        self, tmp_path: Path, weights: str, caplog: pytest.LogCaptureFixture
    ):
        path = tmp_path / "calibration.json"
        stored(weights).save(path)
        Path(weights).write_bytes(b"retrained")
        with caplog.at_level(logging.WARNING):
            loaded = load_calibration(str(path), weights)
        assert loaded.stale
        assert loaded.threshold == 0.7 and loaded.healthy_scores == [0.01, 0.02, 0.02, 0.04]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        for told in (str(path), weights, "configs/calibrate.json"):
            assert told in record.getMessage()

    def test_other_settings_are_named(self, tmp_path: Path, weights: str, caplog: pytest.LogCaptureFixture):
        """Thresholds of a squared and of a one-sided error have different units."""
        settings = {"error": "bright", "timesteps": (999,), "fluid_below": None}
        path = tmp_path / "calibration.json"
        calibrate([uniform(0, 1, 1_000)], ["a"], 0.01, weights, settings=settings).save(path)
        assert not load_calibration(str(path), weights, {**settings, "timesteps": [999]}).stale
        assert not caplog.records
        loaded = load_calibration(str(path), weights, {**settings, "error": "squared", "stride": 2})
        assert loaded.stale == "other settings (error, stride)"
        assert "other settings (error, stride)" in caplog.records[0].getMessage()

    def test_a_file_of_before_the_settings_were_renamed_is_not_outdated(self, tmp_path: Path, weights: str):
        path = tmp_path / "calibration.json"
        old, new = {"fit": True, "use": ["t1"]}, {"fit_intensities": True, "used_sequences": ["t1"]}
        calibrate([uniform(0, 1, 1_000)], ["a"], 0.01, weights, settings=old).save(path)
        assert not load_calibration(str(path), weights, new).stale
        assert load_calibration(str(path), weights, {**new, "fit_intensities": False}).stale

    def test_missing_file(self, tmp_path: Path, weights: str):
        path = str(tmp_path / "calibration.json")
        with pytest.raises(WeightsError, match="calibration missing.*configs/calibrate.json") as raised:
            load_calibration(path, weights)
        assert path in str(raised.value)

    def test_missing_weights(self, tmp_path: Path, weights: str):
        path = tmp_path / "calibration.json"
        stored(weights).save(path)
        absent = str(tmp_path / "absent.pt")
        with pytest.raises(WeightsError, match="weights missing.*configs/train.json") as raised:
            load_calibration(str(path), absent)
        assert absent in str(raised.value)

    @pytest.mark.parametrize(
        "text",
        ["", "<html>log in</html>", "[1, 2]", "3", '{"threshold": 1.0}', '{"unknown": 1}', "\x00\xff"],
        ids=["empty", "html", "list", "number", "too little", "unknown key", "binary"],
    )
    def test_file_that_is_no_calibration(self, tmp_path: Path, weights: str, text: str):
        path = tmp_path / "calibration.json"
        path.write_text(text, encoding="latin-1")
        with pytest.raises(WeightsError, match="not a calibration file.*configs/calibrate.json") as raised:
            load_calibration(str(path), weights)
        assert str(path) in str(raised.value)
