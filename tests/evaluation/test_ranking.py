"""Areas under curves against hand-worked values and MONAI's slower implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_precision, compute_roc_auc

from shared.evaluation.ranking import area_under_roc, average_precision, counts_at_thresholds


def test_counts_at_thresholds_take_ties_in_together():
    thresholds, true_positives, false_positives = counts_at_thresholds(
        np.array([1.0, 3.0, 2.0, 2.0, 2.0]), np.array([0, 1, 1, 0, 1])
    )
    assert thresholds.tolist() == [3, 2, 1]
    assert true_positives.tolist() == [1, 3, 3]
    assert false_positives.tolist() == [0, 1, 2]


def test_counts_at_thresholds_treat_infinite_scores_as_ties():
    thresholds, true_positives, _ = counts_at_thresholds(np.array([np.inf, np.inf, -np.inf]), np.array([1, 0, 1]))
    assert thresholds.tolist() == [np.inf, -np.inf]
    assert true_positives.tolist() == [1, 2]


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_areas_agree_with_monai_with_ties(levels):
    generator = np.random.default_rng(levels)
    is_positive = generator.random(500) < 0.2
    scores = (generator.integers(levels, size=500) + levels // 3 * is_positive).astype(np.float32)
    _, true_positives, false_positives = counts_at_thresholds(scores, is_positive)
    tensors = torch.from_numpy(scores), torch.from_numpy(is_positive.astype(np.int64))
    assert area_under_roc(true_positives, false_positives) == pytest.approx(compute_roc_auc(*tensors), abs=1e-9)
    assert average_precision(true_positives, false_positives) == pytest.approx(
        compute_average_precision(*tensors), abs=1e-9
    )


def test_constant_scores_are_chance():
    is_positive = np.arange(10) < 3
    _, true_positives, false_positives = counts_at_thresholds(np.ones(10), is_positive)
    assert area_under_roc(true_positives, false_positives) == 0.5
    assert average_precision(true_positives, false_positives) == pytest.approx(0.3)


def test_two_shifted_normals_have_the_closed_form_auroc():
    # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2) = 0.76025; the standard error here is about 0.001.
    generator = np.random.default_rng(0)
    is_positive = np.arange(400_000) % 2 == 0
    _, *counts = counts_at_thresholds(generator.normal(size=is_positive.size) + is_positive, is_positive)
    assert area_under_roc(*counts) == pytest.approx(0.76025, abs=0.003)


@pytest.mark.parametrize("is_positive", [np.zeros(4, bool), np.ones(4, bool)])
def test_areas_are_nan_with_one_class(is_positive):
    _, *counts = counts_at_thresholds(np.arange(4.0), is_positive)
    assert np.isnan(area_under_roc(*counts)) and np.isnan(average_precision(*counts))


def test_nan_score_is_refused():
    with pytest.raises(ValueError, match="1 of 3 scores are NaN .*index 1"):
        counts_at_thresholds(np.array([0.0, np.nan, 1.0]), np.array([0, 1, 1]))


@pytest.mark.parametrize("shapes", [((3,), (2,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_wrong_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="one-dimensional"):
        counts_at_thresholds(np.zeros(shapes[0]), np.zeros(shapes[1]))
