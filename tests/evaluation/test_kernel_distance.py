"""The kernel inception distance against sums written out and the moments of normal distributions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from shared.evaluation.kernel_distance import cubic_kernel, kernel_distance


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def distance_by_loops(a: np.ndarray, b: np.ndarray) -> float:
    def mean_kernel(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([(sum(x * y) / len(x) + 1) ** 3 for x, y in pairs]))

    within = mean_kernel(list(combinations(a, 2))) + mean_kernel(list(combinations(b, 2)))
    return within - 2 * mean_kernel([(x, y) for x in a for y in b])


def test_estimate_equals_the_sums_over_pairs():
    a, b = normal(0, 7, 3), normal(1, 5, 3) + 0.5
    assert cubic_kernel(a, b)[2, 4] == pytest.approx((a[2] @ b[4] / 3 + 1) ** 3)
    assert kernel_distance(a, b).estimate == pytest.approx(distance_by_loops(a, b), rel=1e-12)
    as_float32 = kernel_distance(a.astype(np.float32), b.astype(np.float32)).estimate
    assert as_float32 == pytest.approx(distance_by_loops(a, b), rel=1e-5)


def test_mean_is_the_analytic_discrepancy_of_shifted_normals():
    """(x y + 1)^3 = sum of C(3, k) (x y)^k: the squared differences of the moments, weighted 3, 3, 1.

    In D dimensions the moments of order k are tensors, over D^k; the second dimension adds E x1 x2^2 = s, three times.
    """
    s = 0.5
    one = 3 * s**2 + 3 * s**4 + (s**3 + 3 * s) ** 2
    two = 3 / 2 * s**2 + 3 / 4 * s**4 + ((s**3 + 3 * s) ** 2 + 3 * s**2) / 8
    for width, expected in ((1, one), (2, two)):
        shift = np.eye(width)[0] * s
        found = [
            kernel_distance(normal(seed, 120, width), normal(1000 + seed, 100, width) + shift, resamples=1).estimate
            for seed in range(200)
        ]
        error = np.std(found) / np.sqrt(len(found))
        assert error < 0.08 * expected
        assert np.mean(found) == pytest.approx(expected, abs=3 * error)


def test_one_law_has_the_mean_zero_and_values_of_both_signs():
    found = np.array(
        [kernel_distance(normal(n, 12, 4), normal(500 + n, 9, 4), resamples=1).estimate for n in range(500)]
    )
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean()) < 3 * error
    assert 0.4 < (found < 0).mean() < 0.8
    # A biased estimate would keep the diagonals: of the order of E (|x|^2 / 4 + 1)^3 / 9, about 1.5.
    assert error < 0.05


def test_interval_has_the_spread_of_the_estimate_where_laws_differ():
    """The standard deviation over fresh draws against the mean half-width at 68 %."""
    drawn = [
        kernel_distance(normal(n, 60, 1), normal(900 + n, 80, 1) + 1, 0.6827, resamples=300, seed=n) for n in range(80)
    ]
    spread = np.std([interval.estimate for interval in drawn])
    half_widths = [(interval.high - interval.low) / 2 for interval in drawn]
    assert np.mean(half_widths) == pytest.approx(spread, rel=0.2)
    for estimate, low, high in drawn:
        assert low < estimate < high


def test_interval_is_three_times_the_variance_where_laws_are_one():
    drawn = [
        kernel_distance(normal(n, 40, 3), normal(900 + n, 40, 3), 0.6827, resamples=300, seed=n) for n in range(150)
    ]
    spread = np.std([interval.estimate for interval in drawn])
    assert np.mean([(i.high - i.low) / 2 for i in drawn]) == pytest.approx(3**0.5 * spread, rel=0.25)


def test_distance_above_the_reference_tells_laws_apart():
    real, shifted = normal(0, 150, 8), normal(1, 150, 8) + 0.5
    reference = kernel_distance(normal(3, 150, 8), real)
    assert kernel_distance(real, shifted).low > reference.high > kernel_distance(real, normal(2, 150, 8)).estimate


def test_seed_decides():
    a, b = normal(0, 20, 3), normal(1, 20, 3)
    assert kernel_distance(a, b, seed=3) == kernel_distance(a, b, seed=3) != kernel_distance(a, b, seed=4)


def test_features_that_are_none_are_refused():
    good = normal(0, 4, 3)
    for bad in (good[:3], good[:, :2], good[0]):
        with pytest.raises(ValueError, match="matrices of one width"):
            kernel_distance(good, bad)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="must be finite"):
            kernel_distance(np.where(good == good[1, 1], value, good), good)
