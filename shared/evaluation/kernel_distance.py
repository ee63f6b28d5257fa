"""The kernel inception distance (Binkowski et al., ICLR 2018) of two sets of feature vectors.

It is the squared maximum mean discrepancy of a cubic kernel, estimated without bias: the Frechet distance, which most
papers give, is far too high with a few hundred images. `monai.metrics.MMDMetric` knows the linear kernel only, which
compares means, and needs sets of one size. The features are those of any network, the same for both sets; the value
depends on their scale and is comparable only among sets described by the same network.
"""

from __future__ import annotations

import numpy as np

from .statistics import Interval, percentile_interval


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a . b / D + 1)^3 of all pairs, `N D` and `M D` to `N M` float64 (Binkowski et al. 2018, section 4)."""
    return (np.asarray(a, np.float64) @ np.asarray(b, np.float64).T / a.shape[1] + 1) ** 3


def kernel_distance(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Kernel inception distance of two sets; 0 in the mean, and as often below as above, where their laws are one.

    The interval is that of random halves of both sets, without replacement: a half has the mean of the whole, and
    varies about it as the whole varies about the truth where the laws differ. Where they do not, the variance is three
    times too large and the interval on the safe side. A bootstrap would pair vectors with their own copies, and be
    biased.

    Args:
        a: `N D`, one vector per image, at least 4.
        b: `M D`, at least 4.
        confidence: in (0, 1).
        resamples: number of random halves.
        seed: of the halves; the same seed gives the same interval.

    Returns:
        (estimate of all vectors, low, high), in the unit of the kernel.

    Raises:
        ValueError: the sets are no matrices of equal width, hold fewer than 4 vectors or a value that is not finite,
            or confidence is not in (0, 1).
    """
    _check(a, b)
    kernels = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    generator = np.random.default_rng(seed)
    half_a, half_b = (_random_order(generator, resamples, len(x)) < len(x) // 2 for x in (a, b))
    whole = _squared_discrepancy(np.ones((1, len(a))), np.ones((1, len(b))), *kernels)
    return percentile_interval(whole[0], _squared_discrepancy(half_a, half_b, *kernels), confidence)


def _random_order(generator: np.random.Generator, resamples: int, size: int) -> np.ndarray:
    return generator.permuted(np.tile(np.arange(size), (resamples, 1)), axis=1)


def _squared_discrepancy(
    in_a: np.ndarray, in_b: np.ndarray, kernel_a: np.ndarray, kernel_b: np.ndarray, kernel_ab: np.ndarray
) -> np.ndarray:
    """Unbiased squared discrepancy of subsets, each a row of 0 and 1: `R N` and `R M` to `R` (Gretton et al. 2012)."""
    in_a, in_b = in_a.astype(np.float64), in_b.astype(np.float64)
    size_a, size_b = in_a.sum(axis=1), in_b.sum(axis=1)
    within_a, within_b = (
        (((drawn @ kernel) * drawn).sum(axis=1) - drawn @ np.diagonal(kernel)) / (size * (size - 1))
        for drawn, kernel, size in ((in_a, kernel_a, size_a), (in_b, kernel_b, size_b))
    )
    return within_a + within_b - 2 * ((in_a @ kernel_ab) * in_b).sum(axis=1) / (size_a * size_b)


def _check(*sets: np.ndarray) -> None:
    shapes = [np.shape(features) for features in sets]
    if any(len(shape) != 2 or shape[0] < 4 for shape in shapes) or len({shape[1] for shape in shapes}) > 1:
        raise ValueError(f"features must be matrices of one width, a row per image, at least 4, got shapes {shapes}")
    if not all(np.isfinite(features).all() for features in sets):
        raise ValueError("features must be finite; find out for which image the network returned no number")
