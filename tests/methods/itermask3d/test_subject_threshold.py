"""The subject's threshold on curves whose crossing is known in closed form."""

from __future__ import annotations

from math import acos, ceil, inf, nan, sqrt

import numpy as np
import pytest
from scipy.optimize import curve_fit

from shared.methods.itermask3d.subject_threshold import fit_tangent, subject_threshold

T = np.arange(1, 101)
NO_LIMIT = 1e9


def crossing(a: float, b: float, gamma: float) -> int:
    """First whole t with ``a b / cos(b t)^2 > gamma``."""
    return ceil(acos(sqrt(a * b / gamma)) / b)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.015), (0.5, 0.01), (2.0, 0.0155), (0.02, 0.0157)])
def test_exact_curves(a: float, b: float):
    tau = a * np.tan(b * T)
    assert fit_tangent(tau, 100) == pytest.approx((a, b), rel=1e-4)
    gamma = 3 * a * b
    threshold = subject_threshold(T, tau, gamma, NO_LIMIT)
    assert threshold.rule == "tangent fit"
    assert threshold.percent == crossing(a, b, gamma)
    assert threshold.value == pytest.approx(tau[threshold.percent - 1], rel=1e-9)
    assert threshold.r_squared == pytest.approx(1)


def test_fit_ends_before_the_first_point_above_the_limit():
    a, b = 0.2, 0.02  # pole at 78.5
    tau = np.where(T <= 70, a * np.tan(b * np.minimum(T, 70)), 50.0)
    first_above = ceil(np.arctan(0.8 / a) / b)
    rubbish_after = np.where(T >= first_above, 30.0, tau)
    assert fit_tangent(rubbish_after, first_above - 1) == pytest.approx((a, b), rel=1e-4)
    threshold = subject_threshold(T, rubbish_after, 0.02, 0.8)
    assert (threshold.rule, threshold.percent) == ("tangent fit", crossing(a, b, 0.02))


@pytest.mark.parametrize("seed", range(7))
def test_noisy_curves_agree_with_a_two_parameter_fit(seed: int):
    random = np.random.default_rng(seed)
    a, b = random.uniform(0.05, 0.5), random.uniform(0.012, 0.0153)
    tau = a * np.tan(b * T) * (1 + 0.03 * random.standard_normal(100))
    ours = fit_tangent(tau, 100)
    theirs, _ = curve_fit(lambda t, a, b: a * np.tan(b * t), T, tau, p0=(a, b))
    assert ours[0] == pytest.approx(theirs[0], rel=0.04)
    assert ours[1] == pytest.approx(theirs[1], rel=2e-4)

    def residual(parameters: tuple[float, float]) -> float:
        return float(np.sum((tau - parameters[0] * np.tan(parameters[1] * T)) ** 2))

    assert residual(ours) <= 1.004 * residual(tuple(theirs))


def test_pole_stays_outside_of_the_fitted_range():
    steep = np.where(T < 100, 0.0, 100.0)
    _, b = fit_tangent(steep, 100)
    assert b * 100 < np.pi / 2
    _, b = fit_tangent(steep[::-1].copy(), 40)
    assert b * 40 < np.pi / 2


def test_beyond_the_pole_the_slope_counts_as_infinite():
    a, b, last = 0.1, 0.03, 50  # pole at 52.4
    tau = np.where(T <= last, a * np.tan(b * np.minimum(T, last)), 2.0)
    threshold = subject_threshold(T, tau, 1e6, tau[last - 2])
    assert (threshold.rule, threshold.percent, threshold.value) == ("tangent fit", 53, 2.0)


@pytest.mark.parametrize("tau", [np.zeros(100), 0.02 * np.tan(0.01 * T), 1e-4 * T])
def test_no_crossing_means_no_anomaly(tau: np.ndarray):
    threshold = subject_threshold(T, tau, 0.05, 2.0)
    assert (threshold.value, threshold.percent, threshold.rule) == (inf, 100, "no crossing")


def test_bad_fit_falls_back_to_smoothed_differences():
    step = np.where(T > 30, 1.0, 0.0)
    threshold = subject_threshold(T, step, 0.1, 2.0)
    # The only difference, 1 at t = 31, is spread over five points: 0.2 from 29 to 33.
    assert (threshold.rule, threshold.percent, threshold.value) == ("finite differences", 29, 0.0)
    assert threshold.r_squared < 0.85
    assert subject_threshold(T, step, 0.21, 2.0).rule == "no crossing"


def test_differences_start_from_zero():
    saturating = 1 - np.exp(-T / 3)
    slope = np.diff(saturating, prepend=0.0)[:5]
    threshold = subject_threshold(T, saturating, 0.05, 2.0)
    assert (threshold.rule, threshold.percent) == ("finite differences", 1)
    assert slope[0] == pytest.approx(0.2835, abs=1e-4)


@pytest.mark.parametrize("y_limit", [0.5, 2.0, NO_LIMIT])
@pytest.mark.parametrize(("a", "b"), [(0.1, 0.0145), (0.1, 0.0155), (0.3, 0.012), (0.3, 0.0153)])
def test_sparse_sweep_finds_nearly_the_same_percent(a: float, b: float, y_limit: float):
    tau = a * np.tan(b * T)
    sparse = np.arange(0, 100, 10) + 1
    gamma = 3 * a * b
    few = subject_threshold(sparse, tau[sparse - 1], gamma, y_limit)
    all_points = subject_threshold(T, tau, gamma, y_limit)
    assert few.rule == all_points.rule == "tangent fit"
    assert abs(few.percent - all_points.percent) <= 2


def test_rise_at_the_last_point_of_a_sparse_sweep_is_seen():
    percents, tau = [1, 21, 41, 61, 81, 96, 100], [0.0] * 6 + [6.0]
    threshold = subject_threshold(percents, tau, 0.05, 2.0)
    assert threshold.rule != "no crossing"
    assert 81 < threshold.percent <= 100 and 0 <= threshold.value < 6


@pytest.mark.parametrize(
    ("percent", "tau"),
    [([1, 2], [0.1, 0.2]), ([], []), ([1, 2, 3], [0.1, 0.2]), ([1, 2, 3], [0, nan, 1]), ([1, 2, 3], [0, 1, inf])],
)
def test_unusable_curves_are_refused(percent: list[int], tau: list[float]):
    with pytest.raises(ValueError, match="at least three finite points"):
        subject_threshold(percent, tau, 0.05, 2.0)
