"""From map to mask, and what is said of the threshold, of brains and maps whose shares are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.anomaly.calibration import Calibration
from shared.anomaly.threshold_map import ThresholdMapd
from tests.helpers.native_cases import affine_of, meta

THRESHOLD = 0.5
RULE = "1 % of the brain voxels of 4 healthy scans lie above it"
CALIBRATION = Calibration(
    threshold=THRESHOLD,
    rule=RULE,
    false_positive_rate=0.01,
    thresholds={"0.01": THRESHOLD},
    healthy_scores=[0.001, 0.004, 0.02, 0.05],
    cases=list("abcd"),
    weights_sha256="",
    healthy_quality={"network_evaluations": [8.0, 9.0, 10.5, 12.0]},
)
BRAIN_VOXELS = 16 * 20 * 6


def case_of(anomaly_map: torch.Tensor, brain: torch.Tensor | None = None) -> dict[str, Any]:
    """A map in a brain, which is all of the grid where none is given."""
    brain = torch.ones_like(anomaly_map) if brain is None else brain
    return {"anomaly_map": MetaTensor(anomaly_map), "native_brain_mask": MetaTensor(brain)}


def box(*widths: int) -> torch.Tensor:
    """``1 20 24 10``, 1 in a box of these widths in the middle."""
    mask, shape = torch.zeros(1, 20, 24, 10), (20, 24, 10)
    mask[0][tuple(slice((size - width) // 2, (size + width) // 2) for size, width in zip(shape, widths))] = 1
    return mask


def patient(raw: torch.Tensor, **facts: Any) -> dict[str, Any]:
    """A raw map in a brain of 1920 voxels, and what the Inferer says; outside the brain the map is 99."""
    brain = box(16, 20, 6)
    return {**case_of(torch.where(brain > 0, raw, 99.0), brain), "facts": facts}


class TestThresholdMapd:
    def test_mask_is_where_the_map_is_above_one(self):
        values = torch.tensor([0.0, 1.9, 2.0, 2.1, 8.0]).reshape(1, 5, 1, 1)
        result = ThresholdMapd(threshold=2.0)(case_of(values))
        assert result["anomaly_map"].flatten().tolist() == pytest.approx([0, 0.95, 1, 1.05, 4])
        assert result["pred"].flatten().tolist() == [0, 0, 0, 1, 1] and result["pred"].dtype == torch.uint8
        assert torch.equal(result["pred"] > 0, result["anomaly_map"] > 1)

    def test_mask_keeps_the_grid_and_replaces_the_prediction(self):
        affine = affine_of("LAS", (1, 1, 2), (4, 4, 4))
        data = {**case_of(meta(np.ones((4, 4, 4)), affine)), "pred": torch.zeros(2, 3, 3, 3)}
        result = ThresholdMapd(threshold=0.5)(data)
        assert result["pred"].shape == (1, 4, 4, 4) and result["pred"].all()
        np.testing.assert_allclose(np.asarray(result["pred"].affine), affine)
        assert data["anomaly_map"].max() == 1, "the input is left alone"

    def test_another_name_for_the_mask(self):
        result = ThresholdMapd(threshold=1.0, mask_key="mask")({**case_of(torch.full((1, 1, 1, 1), 2.0)), "pred": 5})
        assert result["pred"] == 5 and result["mask"].all()

    def test_threshold_of_the_volume_is_stated(self):
        found = ThresholdMapd(threshold=2)(case_of(torch.ones(1, 2, 2, 2)))["facts"]["threshold"]
        assert found == 2.0 and isinstance(found, float)

    @pytest.mark.parametrize(
        ("rule", "stored", "expected"),
        [("otsu", 0.1, 2.0), ("otsu", 3.0, 3.0), ("peak", 0.1, 0.995), ("peak", 3.0, 3.0)],
    )
    def test_own_threshold_of_this_volume_but_not_below_the_stored(self, rule: str, stored: float, expected: float):
        # Uniform on (0, 4) in the brain: Otsu cuts at 2, the peak is 3.98. What is outside the brain does not count.
        brain = torch.zeros(1, 20, 20, 20)
        brain[:, 2:-2] = 1
        values = torch.where(brain > 0, torch.linspace(0, 4, 8000).reshape(brain.shape), 90.0)
        values[brain > 0] = torch.linspace(0, 4, int(brain.sum()))
        result = ThresholdMapd(threshold=stored, rule=rule)(case_of(values, brain))
        found = result["facts"]["threshold"]
        assert found == pytest.approx(expected, abs=0.02)
        np.testing.assert_allclose(result["anomaly_map"] * found, values, rtol=1e-5)
        assert torch.equal(result["pred"] > 0, result["anomaly_map"] > 1)
        assert (result["pred"][brain > 0] > 0).float().mean() == pytest.approx(1 - expected / 4, abs=0.01)

    @pytest.mark.parametrize("threshold", [0.5, 2.0])
    def test_uncertainty_has_the_unit_of_the_map(self, threshold: float):
        data = {**case_of(torch.rand(1, 4, 4, 4)), "uncertainty": MetaTensor(torch.rand(1, 4, 4, 4))}
        result = ThresholdMapd(threshold=threshold)(data)
        torch.testing.assert_close(result["uncertainty"] * threshold, data["uncertainty"])
        alone = ThresholdMapd(threshold=threshold)(case_of(data["anomaly_map"]))
        assert torch.equal(alone["anomaly_map"], result["anomaly_map"]) and "uncertainty" not in alone

    def test_otsu_of_a_map_in_which_nothing_stands_out(self):
        result = ThresholdMapd(threshold=0.5, rule="otsu")(case_of(torch.zeros(1, 4, 4, 4)))
        assert result["facts"]["threshold"] == float("inf")
        assert not result["pred"].any() and not result["anomaly_map"].any()

    def test_rule_must_be_known(self):
        with pytest.raises(ValueError, match="one of stored, otsu, peak, got 'Otsu'"):
            ThresholdMapd(threshold=1.0, rule="Otsu")

    @pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
    def test_threshold_must_be_above_zero(self, threshold: float):
        with pytest.raises(ValueError, match="threshold must be above 0"):
            ThresholdMapd(threshold=threshold)

    @pytest.mark.parametrize("threshold", [-1.0, float("nan")])
    def test_a_wrong_threshold_is_not_replaced_by_the_stored_one(self, threshold: float):
        with pytest.raises(ValueError, match="threshold must be above 0"):
            ThresholdMapd(threshold=threshold, calibration=CALIBRATION)


class TestFacts:
    @pytest.mark.parametrize("threshold", [0, 0.0])
    def test_score_is_the_share_of_the_brain_above_the_stored_threshold(self, threshold: float):
        transform = ThresholdMapd(threshold=threshold, calibration=CALIBRATION)
        found = transform(patient(0.75 * box(8, 6, 2)))
        assert found["facts"]["score"] == pytest.approx(8 * 6 * 2 / BRAIN_VOXELS)  # 0.05
        assert (found["facts"]["threshold"], found["facts"]["threshold_source"]) == (THRESHOLD, RULE)
        assert found["anomaly_map"][0, 10, 12, 5] == pytest.approx(1.5) and "notes" not in found
        nothing = transform(patient(0.25 * box(8, 6, 2)))["facts"]
        assert (nothing["score"], nothing["score_percentile"]) == (0, 0)

    def test_percentile_among_healthy_scans(self):
        boxes = [box(2, 2, 1), box(8, 6, 1), box(16, 20, 6)]  # shares of 0.002, 0.025 and 1
        found = [ThresholdMapd(calibration=CALIBRATION)(patient(1.5 * b))["facts"]["score_percentile"] for b in boxes]
        assert found == [25, 75, 100]

    def test_a_given_threshold_is_named_as_such_and_not_compared_with_healthy_scans(self):
        facts = ThresholdMapd(threshold=0.8, calibration=CALIBRATION)(patient(0.75 * box(8, 6, 2) + 0.1))["facts"]
        assert (facts["threshold"], facts["threshold_source"]) == (0.8, "given by --threshold")
        assert facts["score"] == pytest.approx(8 * 6 * 2 / BRAIN_VOXELS) and np.isnan(facts["score_percentile"])

    def test_threshold_of_a_volume_is_named_and_its_score_stays_that_of_the_stored_one(self):
        """The percentile among healthy scans holds for the share above the stored threshold, whatever the rule says."""
        raw = 0.75 * box(8, 6, 4) + 3.25 * box(8, 6, 2)  # the peak is 4, a quarter of it twice the stored threshold
        found = ThresholdMapd(calibration=CALIBRATION, rule="peak")(patient(raw))
        facts = found["facts"]
        assert facts["threshold"] == 2 * THRESHOLD and facts["threshold_source"] == f"of this volume (stored: {RULE})"
        assert torch.equal(found["pred"][box(16, 20, 6) > 0], box(8, 6, 2)[box(16, 20, 6) > 0].to(torch.uint8))
        assert facts["score"] == pytest.approx(8 * 6 * 4 / BRAIN_VOXELS) and facts["score_percentile"] == 100

    def test_a_volume_in_which_nothing_stands_out_scores_nothing(self):
        facts = ThresholdMapd(calibration=CALIBRATION, rule="otsu")(patient(box(0, 0, 0)))["facts"]
        assert (facts["score"], facts["score_percentile"], facts["threshold"]) == (0, 0, float("inf"))
        assert facts["threshold_source"] == f"of this volume (stored: {RULE})"

    def test_a_rule_that_keeps_the_stored_threshold_is_not_named(self):
        facts = ThresholdMapd(calibration=CALIBRATION, rule="peak")(patient(box(8, 6, 2)))["facts"]
        assert (facts["threshold"], facts["threshold_source"]) == (THRESHOLD, RULE)

    def test_without_calibration_there_is_neither_score_nor_percentile_nor_note(self):
        for raw, threshold, source in (
            (4.0 * box(8, 6, 2), 1.0, "of this volume"),
            (box(8, 6, 2), THRESHOLD, "given by --threshold"),
        ):
            found = ThresholdMapd(threshold=THRESHOLD, rule="peak")(patient(raw))
            facts = found["facts"]
            assert np.isnan([facts["score"], facts["score_percentile"]]).all()
            assert (facts["threshold"], facts["threshold_source"]) == (threshold, source)
            assert found["pred"].any() and "notes" not in found

    def test_percentile_of_the_quality_score_is_that_of_what_the_inferer_says(self):
        transform = ThresholdMapd(calibration=CALIBRATION, quality_score="network_evaluations")
        found = [transform(patient(box(2, 2, 2), network_evaluations=n))["facts"] for n in (10, 11)]
        assert [(facts["network_evaluations"], facts["quality_percentile"]) for facts in found] == [(10, 50), (11, 75)]
        without = ThresholdMapd(threshold=THRESHOLD, quality_score="network_evaluations")
        assert np.isnan(without(patient(box(2, 2, 2), network_evaluations=10))["facts"]["quality_percentile"])
        off = ThresholdMapd(calibration=CALIBRATION)(patient(box(2, 2, 2), network_evaluations=10))["facts"]
        assert "quality_percentile" not in off

    def test_facts_of_the_inferer_stand_between_threshold_and_quality_and_the_input_is_left_alone(self):
        data = patient(box(2, 2, 2), network_evaluations=10, stop="after 3")
        facts = ThresholdMapd(calibration=CALIBRATION, quality_score="network_evaluations")(data)["facts"]
        first = ["score", "score_percentile", "threshold", "threshold_source"]
        assert list(facts) == [*first, "network_evaluations", "stop", "quality_percentile"]
        assert (facts["network_evaluations"], facts["stop"]) == (10, "after 3")
        assert data["facts"] == {"network_evaluations": 10, "stop": "after 3"}

    @pytest.mark.parametrize("threshold", [0.0, 0.8])
    def test_stale_threshold_is_a_note_of_every_case(self, threshold: float):
        transform = ThresholdMapd(threshold=threshold, calibration=replace(CALIBRATION, stale="other weights"))
        (note,) = transform(patient(box(2, 2, 2)))["notes"]
        assert note == "the stored threshold belongs to other weights: run configs/calibrate.json on healthy scans"
        earlier = ["thick slices"]
        assert transform({**patient(box(2, 2, 2)), "notes": earlier})["notes"] == ["thick slices", note]
        assert earlier == ["thick slices"]

    def test_more_than_in_any_healthy_scan_is_a_note(self):
        transform = ThresholdMapd(calibration=CALIBRATION)
        assert "notes" not in transform(patient(0.75 * box(8, 6, 2)))  # a share of .05, as the worst healthy scan
        (note,) = transform(patient(0.75 * box(8, 6, 4)))["notes"]
        begin = "10 % of the brain is above the stored threshold, more than in any of the 4 scans it was fitted on: "
        assert note.startswith(begin)
        assert "a failed extraction or a pathology; look at the picture" in note
        stale = ThresholdMapd(calibration=replace(CALIBRATION, stale="other weights"))
        assert len(stale(patient(0.75 * box(8, 6, 4)))["notes"]) == 2

    def test_over_a_tenth_of_the_brain_is_a_note_without_healthy_scans_to_compare_with(self):
        transform = ThresholdMapd(threshold=THRESHOLD)
        assert "notes" not in transform(patient(0.75 * box(8, 6, 4)))  # a tenth
        (note,) = transform(patient(0.75 * box(8, 8, 6)))["notes"]
        assert note.startswith("20 % of the brain is marked: shading, another sequence")
        assert ThresholdMapd(threshold=THRESHOLD, calibration=CALIBRATION)(patient(0.75 * box(8, 8, 6)))["notes"] == [
            note
        ]
