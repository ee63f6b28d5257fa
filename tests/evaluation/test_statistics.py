"""Bootstrap intervals against normal theory and their edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.statistics import bootstrap_interval, paired_difference


def test_interval_of_a_mean_agrees_with_normal_theory():
    values = np.random.default_rng(1).normal(3, 2, size=400)
    estimate, low, high = bootstrap_interval(values)
    half_width = 1.96 * values.std() / np.sqrt(values.size)
    assert estimate == pytest.approx(values.mean())
    assert low == pytest.approx(estimate - half_width, abs=0.1 * half_width)
    assert high == pytest.approx(estimate + half_width, abs=0.1 * half_width)
    narrow = bootstrap_interval(values, confidence=0.68)
    assert narrow.high - narrow.low == pytest.approx(2 * half_width * 0.9945 / 1.96, rel=0.1)


def test_coverage_is_near_the_confidence():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        _, low, high = bootstrap_interval(generator.normal(size=40), confidence=0.9, resamples=300)
        covered += low <= 0 <= high
    assert covered / 300 == pytest.approx(0.9, abs=0.06)


def test_nan_is_left_out_and_seed_repeats():
    values = np.array([0.2, np.nan, 0.4, 0.9, np.nan])
    assert bootstrap_interval(values) == bootstrap_interval(values[~np.isnan(values)])
    more = np.random.default_rng(0).random(30)
    assert bootstrap_interval(more) == bootstrap_interval(more)
    assert bootstrap_interval(more) != bootstrap_interval(more, seed=1)


def test_other_statistic():
    interval = bootstrap_interval(np.array([0.0, 1.0, 2.0, 3.0, 100.0]), statistic=np.median)
    assert interval.estimate == 2 and interval.low >= 0 and interval.high <= 100


@pytest.mark.filterwarnings("error")
def test_few_and_equal_values():
    assert np.isnan(bootstrap_interval(np.array([]))).all()
    assert np.isnan(bootstrap_interval(np.array([np.nan]))).all()
    single = bootstrap_interval(np.array([0.5, np.nan]))
    assert single.estimate == 0.5 and np.isnan(single.low) and np.isnan(single.high)
    assert bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25, 0.25)


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


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="one-dimensional"):
        bootstrap_interval(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="same cases"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(np.arange(3.0), confidence=95)
