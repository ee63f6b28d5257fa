"""The subject's own threshold of IterMask3D: where the curve of kept errors starts to rise steeply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar

PERCENT = np.arange(1, 101)


@dataclass(frozen=True)
class ThresholdCurve:
    """Where the curve of kept errors is drawn, and how the subject's threshold is read from it; as in the paper.

    Attributes:
        percents: of the brain left unmasked at the points of the curve.
        gamma: steepness, per percent, at which the threshold is read.
        y_limit: squared error at which the fit of the curve ends; the first point above it takes no part.
    """

    percents: Sequence[int] = tuple(range(100))
    gamma: float = 0.05
    y_limit: float = 2.0


@dataclass(frozen=True)
class SubjectThreshold:
    """Threshold on the squared error, the percentage of the brain it left unmasked, and how it was found.

    ``rule`` is "tangent fit", "finite differences" (the fit explains the curve badly) or "no crossing" (the curve never
    gets steep: no anomaly, ``value`` is infinite and ``percent`` 100).
    """

    value: float
    percent: int
    rule: str
    r_squared: float


def fit_tangent(tau: np.ndarray, last: int) -> tuple[float, float]:
    """Least-squares fit of ``a tan(b t)`` to ``tau(t)`` at t = 1 ... last, with the pole kept outside of that range.

    For a given b the best a is in closed form, so the fit is a search over b in (0, pi / 2 last) alone.

    Args:
        tau: values at t = 1, 2, ...
        last: number of values used.

    Returns:
        a and b.
    """
    t, y = PERCENT[:last], tau[:last]

    def amplitude(b: float) -> float:
        tangent = np.tan(b * t)
        return float(y @ tangent / (tangent @ tangent))

    def residual(b: float) -> float:
        return float(np.sum((y - amplitude(b) * np.tan(b * t)) ** 2))

    pole = np.pi / (2 * last)
    grid = pole * np.linspace(1e-3, 0.9999, 200)
    nearest = int(np.argmin([residual(b) for b in grid]))
    bounds = grid[max(nearest - 1, 0)], grid[min(nearest + 1, len(grid) - 1)]
    b = float(minimize_scalar(residual, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x)
    return amplitude(b), b


def subject_threshold(percent: Sequence[int], tau: Sequence[float], gamma: float, y_limit: float) -> SubjectThreshold:
    """Find the first t at which the curve tau(t) is steeper than gamma (IterMask3D, phase 2).

    Args:
        percent: points t of the curve, increasing, in percent of the brain left out of the mask; the points between
            are filled in by monotone cubic interpolation.
        tau: at each point the squared error that this percentage of the brain stays below.
        gamma: steepness, per percent.
        y_limit: the fit ends before the first value above it, as in the released code.

    Raises:
        ValueError: fewer than three points, or a value that is not finite.
    """
    if len(percent) < 3 or len(percent) != len(tau) or not np.all(np.isfinite(tau)):
        raise ValueError(f"the curve needs at least three finite points, got {len(percent)} percents, {list(tau)}")
    points = PchipInterpolator([0, *percent], [0.0, *tau])
    curve = np.where(PERCENT <= percent[-1], points(np.minimum(PERCENT, percent[-1])), tau[-1])
    above = np.flatnonzero(curve > y_limit)
    last = max(min(int(above[0]) if len(above) else 100, percent[-1]), 3)  # not the flat tail beyond the sweep
    a, b = fit_tangent(curve, last)
    used = curve[: min(80, last)]
    fitted = a * np.tan(b * PERCENT[: len(used)])
    spread = float(np.sum((used - used.mean()) ** 2))
    r_squared = 1 - float(np.sum((used - fitted) ** 2)) / spread if spread > 0 else 0.0
    if r_squared >= 0.85:
        rule = "tangent fit"
        slope = a * b / np.cos(np.minimum(b * PERCENT, np.pi / 2 - 1e-6)) ** 2
    else:
        rule = "finite differences"
        slope = np.convolve(np.pad(np.diff(curve, prepend=0.0), 2, mode="edge"), np.full(5, 0.2), mode="valid")
    steep = np.flatnonzero(slope > gamma)
    if len(steep) == 0:
        return SubjectThreshold(float("inf"), 100, "no crossing", r_squared)
    return SubjectThreshold(float(curve[steep[0]]), int(PERCENT[steep[0]]), rule, r_squared)
