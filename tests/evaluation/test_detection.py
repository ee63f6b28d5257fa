"""Detection metrics against hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.detection import detection_intervals, detection_metrics, paired_replicates


def test_detection_metrics_by_hand():
    # Descending: + + - + + | - + -   with 5 anomalous and 3 healthy cases.
    scores = np.array([8, 7, 6, 5, 4, 3, 2, 1], dtype=float)
    is_anomalous = np.array([1, 1, 0, 1, 1, 0, 1, 0])
    metrics = detection_metrics(scores, is_anomalous)
    assert metrics["auroc"] == pytest.approx((3 + 3 + 2 + 2 + 1) / 15)
    assert metrics["auprc"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 5 + 5 / 7) / 5)
    assert metrics["fpr_at_tpr_80"] == pytest.approx(1 / 3)  # 4 of 5 is 0.8 exactly
    assert metrics["fpr_at_tpr_90"] == pytest.approx(2 / 3)


def test_order_of_cases_does_not_matter_with_ties():
    scores, is_anomalous = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1, 0, 0, 0])
    expected = {"auroc": 2 / 3, "auprc": 1 / 3, "fpr_at_tpr_80": 2 / 3, "fpr_at_tpr_90": 2 / 3}
    for shift in range(4):
        assert detection_metrics(np.roll(scores, shift), np.roll(is_anomalous, shift)) == pytest.approx(expected)


def test_perfect_and_reversed_scores():
    is_anomalous = np.arange(20) < 10
    assert detection_metrics(is_anomalous * 1.0, is_anomalous) == {
        "auroc": 1,
        "auprc": 1,
        "fpr_at_tpr_80": 0,
        "fpr_at_tpr_90": 0,
    }
    reversed_scores = detection_metrics(-1.0 * is_anomalous, is_anomalous)
    assert reversed_scores["auroc"] == 0 and reversed_scores["fpr_at_tpr_80"] == 1


def test_one_class_is_nan():
    assert np.isnan(list(detection_metrics(np.arange(3.0), np.ones(3)).values())).all()


def test_nan_score_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        detection_metrics(np.array([np.nan, 1.0]), np.array([0, 1]))


def test_intervals_hold_the_estimate_and_repeat():
    generator = np.random.default_rng(0)
    is_anomalous = np.arange(60) < 30
    scores = generator.normal(size=60) + is_anomalous
    intervals = detection_intervals(scores, is_anomalous, resamples=400)
    for key, estimate in detection_metrics(scores, is_anomalous).items():
        assert intervals[key].estimate == estimate
        assert intervals[key].low <= estimate <= intervals[key].high
    assert intervals == detection_intervals(scores, is_anomalous, resamples=400)
    # Hanley and McNeil (Radiology 143, 1982): the standard error of an AUROC of 0.76 with 30 + 30 cases is about 0.06.
    width = intervals["auroc"].high - intervals["auroc"].low
    assert 2 * 1.96 * 0.04 < width < 2 * 1.96 * 0.08


def test_intervals_of_separable_and_of_single_cases():
    intervals = detection_intervals(np.array([0.0, 1.0]), np.array([0, 1]), resamples=20)
    assert intervals["auroc"] == (1, 1, 1)
    assert np.isnan(detection_intervals(np.array([1.0]), np.array([1]), resamples=20)["auroc"]).all()


class TestPairedReplicates:
    def test_first_is_that_of_the_subjects_and_others_of_resampled_pairs(self):
        """Two subjects: (0, 1) and (2, 3). Both: 3 of 4 pairs are in order; one of them twice: all are."""
        found = paired_replicates(np.array([0.0, 2]), np.array([1.0, 3]), resamples=400)
        assert found["auroc"][0] == 0.75
        assert set(found["auroc"][1:]) == {0.75, 1.0}
        assert np.mean(found["auroc"][1:] == 1) == pytest.approx(0.5, abs=0.08)
        assert found["auprc"][0] == detection_metrics(np.array([0.0, 2, 1, 3]), np.array([0, 0, 1, 1]))["auprc"]

    def test_areas_are_those_of_the_resampled_cases_ties_included(self):
        healthy, anomalous = np.random.default_rng(0).integers(5, size=(2, 12)).astype(float)
        found = paired_replicates(healthy, anomalous, resamples=30, seed=4)
        drawn = np.random.default_rng(4).integers(12, size=(30, 12))
        for replicate, subjects in enumerate((np.arange(12), *drawn)):
            scores = np.concatenate([healthy[subjects], anomalous[subjects]])
            expected = detection_metrics(scores, np.repeat([0, 1], 12))
            assert found["auroc"][replicate] == pytest.approx(expected["auroc"])
            assert found["auprc"][replicate] == pytest.approx(expected["auprc"])

    def test_what_makes_both_scores_of_a_subject_high_is_drawn_together(self):
        """Equal scores: each resample has an AUROC of exactly a half, unlike healthy and anomalous drawn apart."""
        scores = np.random.default_rng(0).normal(size=20)
        assert np.allclose(paired_replicates(scores, scores, resamples=50)["auroc"], 0.5)

    def test_equal_seeds_draw_equal_subjects(self):
        healthy, anomalous = np.random.default_rng(0).normal(size=(2, 10))
        one, other = (paired_replicates(healthy * k, anomalous * k, resamples=50) for k in (1, 2))
        np.testing.assert_array_equal(one["auroc"], other["auroc"])
        another = paired_replicates(healthy, anomalous, resamples=50, seed=1)
        assert (one["auroc"] != another["auroc"]).any()
