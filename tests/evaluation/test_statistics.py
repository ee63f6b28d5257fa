"""Intervals of means, shares and other statistics: closed forms, edge cases, and how often they hold the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta, norm, ttest_1samp, ttest_ind

from shared.evaluation.statistics import (
    Interval,
    bootstrap_interval,
    mean_difference,
    mean_interval,
    paired_difference,
    share,
)

Z = norm.ppf(0.975)
COHORTS = 2000  # simulated; a share of 0.95 of them is known to 0.005


@pytest.mark.parametrize("size", [2, 9, 52])
@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_a_mean_has_students_t(size, confidence):
    values = np.random.default_rng(size).normal(3, 2, size)
    expected = ttest_1samp(values, 0).confidence_interval(confidence)
    assert mean_interval(values, confidence) == pytest.approx((values.mean(), *expected))
    assert mean_interval(values, confidence, np.full(size, 7.0)) == pytest.approx((values.mean(), *expected))


def test_a_weighted_mean_is_the_ratio_of_sums():
    marked, counted = np.array([0.0, 30, 100]), np.array([100.0, 300, 100])
    estimate, low, high = mean_interval(marked / counted, weights=counted)
    assert estimate == pytest.approx(130 / 500)
    parts = np.array([0 - 26, 30 - 78, 100 - 26]) / (500 / 3)
    assert (low, high) == pytest.approx(ttest_1samp(0.26 + parts, 0).confidence_interval())
    without = mean_interval(np.array([0, 0.1, 1, 0.4]), weights=np.append(counted, 0))
    assert without == pytest.approx((estimate, low, high)), "a case without weight is none"


@pytest.mark.filterwarnings("error")
def test_few_equal_and_missing_values():
    values = np.array([0.2, np.nan, 0.4, 0.9, np.nan])
    for interval in (mean_interval, lambda v: bootstrap_interval(v, np.median)):
        assert interval(values) == interval(values[~np.isnan(values)])
        assert np.isnan(interval(np.array([]))).all() and np.isnan(interval(np.array([np.nan]))).all()
        single = interval(np.array([0.5, np.nan]))
        assert single.estimate == 0.5 and np.isnan(single.low) and np.isnan(single.high)
        assert interval(np.full(7, 0.1)) == pytest.approx((0.1, 0.1, 0.1))


def test_paired_difference_is_narrower_than_the_spread_of_cases():
    generator = np.random.default_rng(3)
    difficulty = generator.normal(size=100)
    better, worse = difficulty + 0.5 + 0.1 * generator.normal(size=100), difficulty
    estimate, low, high = paired_difference(better, worse)
    assert estimate == pytest.approx(np.mean(better - worse))
    assert 0.4 < low < 0.5 < high < 0.6
    reverse = paired_difference(worse, better)
    assert reverse.estimate == pytest.approx(-estimate) and reverse.low == pytest.approx(-high)


def test_paired_difference_leaves_out_incomplete_pairs():
    a, b = np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.0, 5.0, np.nan, 3.0])
    assert paired_difference(a, b) == (1, 1, 1)


@pytest.mark.filterwarnings("error")
def test_mean_difference_has_the_interval_of_two_independent_means():
    generator = np.random.default_rng(0)
    a, b = generator.normal(3, 2, 40), generator.normal(1, 1, 10)
    difference = a.mean() - b.mean()
    expected = ttest_ind(a, b, equal_var=False).confidence_interval()
    assert mean_difference(np.append(a, np.nan), b) == pytest.approx((difference, *expected))
    assert mean_difference(a, b[:1])[0] == a.mean() - b[0] and np.isnan(mean_difference(a, b[:1])[1:]).all()
    assert np.isnan(mean_difference(a, np.array([np.nan]))).all()
    assert mean_difference(np.full(4, 0.75), np.full(3, 0.25)) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("hits, cases", [(15, 20), (20, 20), (0, 7)])
def test_share_has_the_score_interval(hits, cases):
    p, spread = hits / cases, Z**2 / cases
    half = Z * np.sqrt(p * (1 - p) / cases + spread / (4 * cases))
    expected = (p, (p + spread / 2 - half) / (1 + spread), (p + spread / 2 + half) / (1 + spread))
    assert share(np.arange(cases) < hits) == pytest.approx(expected, abs=1e-9)
    assert share(np.append(np.arange(cases) < hits, np.nan)) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(share(np.zeros(0, bool))).all()


def test_another_statistic_is_resampled_by_the_seed():
    interval = bootstrap_interval(np.array([0.0, 1.0, 2.0, 3.0, 100.0]), np.median)
    assert interval.estimate == 2 and interval.low >= 0 and interval.high <= 100
    more = np.random.default_rng(0).random(30)
    first, again, other = (bootstrap_interval(more, np.median, resamples=51, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_as_text():
    assert Interval(0.7, 0.61234, 0.8).text() == "0.700 (0.612 to 0.800)"
    assert Interval(0.1, -0.2, 0.4).text("+.1f") == "+0.1 (-0.2 to +0.4)"
    assert Interval(0.5, np.nan, np.nan).text() == "0.500", "one case has no interval"


def test_wrong_input_is_refused():
    for of_values in (
        mean_interval,
        share,
        lambda v: mean_difference(v, v),
        lambda v: bootstrap_interval(v, np.median),
    ):
        with pytest.raises(ValueError, match="one-dimensional"):
            of_values(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="weight for each case"):
        mean_interval(np.zeros(3), weights=np.ones(2))
    with pytest.raises(ValueError, match="same cases"):
        paired_difference(np.zeros(3), np.zeros(4))
    for refuse in (mean_interval, lambda v, confidence: bootstrap_interval(v, np.median, confidence)):
        with pytest.raises(ValueError, match="confidence"):
            refuse(np.arange(3.0), confidence=95)


def coverage(cohorts: np.ndarray, mean: float, interval: Callable[[np.ndarray], Interval]) -> float:
    """Share of the cohorts (`R N`) whose interval holds the mean."""
    return float(np.mean([found.low <= mean <= found.high for found in map(interval, cohorts)]))


@pytest.mark.parametrize(
    ("cases", "normal", "skewed"), [pytest.param(9, 0.95, 0.94, id="9"), pytest.param(52, 0.95, 0.95, id="52")]
)
def test_students_t_holds_the_mean_in_95_percent_of_the_cohorts(cases, normal, skewed):
    generator = np.random.default_rng(cases)
    assert coverage(generator.normal(size=(COHORTS, cases)), 0, mean_interval) == pytest.approx(normal, abs=0.012)
    dice = beta(4, 1.5)  # of mean 0.73, from 0.2 to 1, its longer tail to the left
    found = coverage(dice.rvs((COHORTS, cases), random_state=generator), dice.mean(), mean_interval)
    assert found == pytest.approx(skewed, abs=0.012)


def test_of_nine_cases_percentiles_of_a_bootstrap_hold_it_in_90_percent():
    """Why means have Student's t."""
    cohorts = np.random.default_rng(0).normal(size=(COHORTS, 9))
    found = coverage(cohorts, 0, lambda values: bootstrap_interval(values, np.mean, resamples=400))
    assert found == pytest.approx(0.895, abs=0.015)


def test_a_rate_pooled_over_cases_of_unequal_size():
    generator = np.random.default_rng(1)
    sizes, rates = generator.gamma(4, 1, (2, COHORTS, 52)), generator.beta(2, 3, (COHORTS, 52))
    covered = [low <= 0.4 <= high for _, low, high in map(_pooled, rates, sizes[0])]
    assert np.mean(covered) == pytest.approx(0.945, abs=0.012)


def _pooled(rates: np.ndarray, sizes: np.ndarray) -> Interval:
    return mean_interval(rates, weights=sizes)
