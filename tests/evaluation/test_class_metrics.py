"""Metrics of a two-class classifier against counts by hand and normal theory."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.class_metrics import class_metrics
from shared.evaluation.statistics import share

# Class 1: 0.9, 0.5, 0.3, 0.6. Class 0: 0.1, 0.4, 0.5, 0.2, 0.7, 0.05.
PROBABILITIES = np.array([0.9, 0.1, 0.5, 0.4, 0.5, 0.3, 0.2, 0.7, 0.6, 0.05])
LABELS = np.array([1, 0, 1, 0, 0, 1, 0, 0, 1, 0])


def estimates(*arguments: object, **options: object) -> dict[str, float]:
    return {key: interval.estimate for key, interval in class_metrics(*arguments, resamples=2, **options).items()}


def test_estimates_by_hand():
    # Called class 1 from 0.5 on: 3 of 4 and 2 of 6. Pairs in order: 6 + 4 + 3 + 5, a tie at 0.5 counting half.
    expected = {"accuracy": 0.7, "sensitivity": 3 / 4, "specificity": 4 / 6, "auc": (6 + 4.5 + 3 + 5) / 24}
    assert estimates(PROBABILITIES, LABELS) == pytest.approx(expected)
    assert estimates(PROBABILITIES.tolist(), LABELS.astype(bool).tolist()) == pytest.approx(expected)


def test_threshold_moves_all_but_the_auc():
    moved = estimates(PROBABILITIES, LABELS, threshold=0.55)
    assert moved == pytest.approx({"accuracy": 0.7, "sensitivity": 2 / 4, "specificity": 5 / 6, "auc": 18.5 / 24})


def test_intervals_agree_with_normal_theory():
    """Of each class, what is right is binomial; both are right equally often here."""
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], [200, 800])
    probabilities = np.where(generator.random(1000) < 0.8, labels, 1 - labels) * 0.9
    intervals = class_metrics(probabilities, labels)
    sensitivity, specificity = intervals["sensitivity"].estimate, intervals["specificity"].estimate
    variances = sensitivity * (1 - sensitivity) / 200, specificity * (1 - specificity) / 800
    expected = {
        "sensitivity": variances[0] ** 0.5,
        "specificity": variances[1] ** 0.5,
        "accuracy": (0.2**2 * variances[0] + 0.8**2 * variances[1]) ** 0.5,
        "auc": (variances[0] + variances[1]) ** 0.5 / 2,  # of two values, it is the mean of the two
    }
    for key, deviation in expected.items():
        estimate, low, high = intervals[key]
        assert (high - estimate, estimate - low) == pytest.approx((1.96 * deviation,) * 2, rel=0.12), key
    narrow = class_metrics(probabilities, labels, confidence=0.68, resamples=200)
    assert all(narrow[key].high < intervals[key].high for key in expected)


def test_what_is_right_has_the_interval_of_a_share_also_where_all_are_right():
    is_right = (PROBABILITIES >= 0.5) == LABELS
    found = class_metrics(PROBABILITIES, LABELS)
    assert found["accuracy"] == share(is_right) and found["sensitivity"] == share(is_right[LABELS == 1])
    perfect = class_metrics(LABELS * 0.9, LABELS)["specificity"]
    assert perfect.estimate == perfect.high == 1 and perfect.low < 0.7


def test_seed_decides():
    first, again, *others = (class_metrics(PROBABILITIES, LABELS, resamples=51, seed=seed) for seed in (3, 3, 4, 5, 6))
    assert first == again
    assert any(first["auc"] != other["auc"] for other in others)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused(label: int):
    with pytest.raises(ValueError, match=f"{10 * label} cases of class 1 and {10 - 10 * label} of class 0; add cases"):
        class_metrics(PROBABILITIES, np.full(10, label))


def test_input_of_another_kind_is_refused():
    for probabilities in (PROBABILITIES + 0.2, PROBABILITIES - 0.2, np.where(LABELS, np.nan, PROBABILITIES)):
        with pytest.raises(ValueError, match=r"in \[0, 1\] without NaN; of logits"):
            class_metrics(probabilities, LABELS)
    with pytest.raises(ValueError, match=r"0 or 1, got \[1, 2\]"):
        class_metrics(PROBABILITIES, LABELS + 1)
    for probabilities in (PROBABILITIES[1:], PROBABILITIES[:, None]):
        with pytest.raises(ValueError, match="one-dimensional and of one length"):
            class_metrics(probabilities, LABELS)
    with pytest.raises(ValueError, match="confidence"):
        class_metrics(PROBABILITIES, LABELS, confidence=95)
