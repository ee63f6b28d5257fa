"""Uncertainty over cases: percentile bootstrap intervals of a statistic and of paired differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate and the two ends of its confidence interval, in the unit of the values."""

    estimate: float
    low: float
    high: float


def percentile_interval(estimate: float, replicates: np.ndarray, confidence: float) -> Interval:
    """Percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3) from the replicates of a statistic.

    Args:
        estimate: the statistic of the cases themselves.
        replicates: `R`, the statistic of each resample.
        confidence: in (0, 1).

    Raises:
        ValueError: confidence is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1 (0.95 for 95 %), got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return Interval(float(estimate), float(low), float(high))


def bootstrap_interval(
    values: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> Interval:
    """Bootstrap a statistic over cases.

    NaN values (an undefined metric, see `segmentation_metrics`) are left out first: give the number that remains
    beside the result. Written here because `scipy.stats.bootstrap` refuses a single case.

    Args:
        values: `N`, one per case.
        confidence: in (0, 1).
        resamples: number of bootstrap resamples.
        seed: of the resampling; the same seed gives the same interval.
        statistic: a reduction that takes `axis`, such as `np.mean` or `np.median`.

    Returns:
        (estimate, low, high); the ends are NaN with a single value, which says nothing about spread, and all three
        are NaN without any.

    Raises:
        ValueError: values are not one-dimensional, or confidence is not in (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"values must be one-dimensional, one per case, got shape {values.shape}")
    values = values[~np.isnan(values)]
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    estimate = float(statistic(values, axis=0))
    if values.size == 1:
        return Interval(estimate, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    return percentile_interval(estimate, statistic(values[drawn], axis=1), confidence)


def paired_difference(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Bootstrap the mean of a - b over cases that both methods saw; an interval without 0 is a difference.

    Pairs are resampled, so what makes a case hard for both does not widen the interval. A pair with a NaN is left out.

    Args:
        a, b: `N`, one metric of two methods, in the same order of cases.
        confidence, resamples, seed: as in `bootstrap_interval`.

    Returns:
        (mean difference, low, high), NaN as in `bootstrap_interval`.

    Raises:
        ValueError: a and b differ in shape, or as in `bootstrap_interval`.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a and b must hold the same cases in the same order, got shapes {a.shape} and {b.shape}")
    return bootstrap_interval(a - b, confidence, resamples, seed)
